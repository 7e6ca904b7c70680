"""Time is aware and half-open: windows, calendar buckets and presets, in any IANA zone."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum, unique
from functools import lru_cache
from itertools import pairwise
from typing import ClassVar, Final, NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from core.errors import InvalidInput


class NaiveDatetime(InvalidInput):
    """A time without a zone names no instant."""

    code = "NAIVE_DATETIME"

    def __init__(self, name: str, value: datetime) -> None:
        super().__init__(f"{name} {value.isoformat()} has no time zone")


class EmptyWindow(InvalidInput):
    """A window whose end is not after its start holds no instant."""

    code = "EMPTY_WINDOW"

    def __init__(self, start: datetime, end: datetime) -> None:
        super().__init__(f"end {end.isoformat()} is not after start {start.isoformat()}")


class UnknownTimezone(InvalidInput):
    """The name is not in the IANA time zone database."""

    code = "UNKNOWN_TIMEZONE"

    def __init__(self, name: str) -> None:
        super().__init__(f"{name!r} is not an IANA time zone, such as 'Europe/Berlin' or 'UTC'")


@lru_cache
def _zone_names() -> frozenset[str]:
    return frozenset(available_timezones())


def parse_timezone(name: str) -> ZoneInfo:
    """The zone of that IANA name. Raises UnknownTimezone; the name is checked before any file is opened."""
    if name not in _zone_names():
        raise UnknownTimezone(name)
    return ZoneInfo(name)


@dataclass(frozen=True, slots=True)
class Window:
    """The instants from `start` (in) to `end` (out), both aware."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        for name, value in (("start", self.start), ("end", self.end)):
            if value.utcoffset() is None:
                raise NaiveDatetime(name, value)
        # Two times of one zone would be compared by their wall clocks, which run twice through a repeated hour.
        if self.end.astimezone(UTC) <= self.start.astimezone(UTC):
            raise EmptyWindow(self.start, self.end)


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """The first instant of that local day, in UTC. Where the clock jumps over midnight, the instant of the jump."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


_MINUTE: Final = 60
_HOUR: Final = 3_600
_DAY: Final = 86_400
_LAST_SECOND: Final = (1 << 32) - 1
"""In 2106. Changes of clocks are looked for from 1970 until then."""


class ClockSetting(NamedTuple):
    """From unix second `since` on, local time is `ahead` seconds ahead of UTC."""

    since: int
    ahead: int


def clock_settings(window: Window, zone: ZoneInfo) -> list[ClockSetting]:
    """What the zone's clock is set to during the window and the hour before it, in order; the first since 1970."""
    start, end = (min(max(0, at), _LAST_SECOND) for at in (_unix(window.start) - _HOUR, _unix(window.end) + 1))
    changes = _changes_between(start, end, zone)
    return [ClockSetting(0, _ahead(start, zone)), *(ClockSetting(at, _ahead(at, zone)) for at in changes)]


def _changes_between(start: int, end: int, zone: ZoneInfo) -> list[int]:
    """The unix seconds after `start` and before `end` at which the zone's clock is set anew."""
    first, last = (datetime.fromtimestamp(at, UTC).year for at in (start, end))
    return [at for year in range(first, last + 1) for at in _changes_of(year, zone) if start < at < end]


@lru_cache(maxsize=4_096)
def _changes_of(year: int, zone: ZoneInfo) -> tuple[int, ...]:
    start, end = (_unix(datetime(y, 1, 1, tzinfo=UTC)) for y in (year, year + 1))
    days = ((day - 1, day + _DAY - 1) for day in range(start, end, _DAY))
    return tuple(_change(before, after, zone) for before, after in days if _ahead(before, zone) != _ahead(after, zone))


def _change(before: int, after: int, zone: ZoneInfo) -> int:
    """The first unix second, after `before` and up to `after`, of the setting that holds at `after`."""
    while after - before > 1:
        middle = (before + after) // 2
        if _ahead(middle, zone) == _ahead(after, zone):
            after = middle
        else:
            before = middle
    return after


def _ahead(unix: int, zone: ZoneInfo) -> int:
    return int((datetime.fromtimestamp(unix, zone).utcoffset() or timedelta()).total_seconds())


def _unix(instant: datetime) -> int:
    return (instant - _EPOCH) // timedelta(seconds=1)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@unique
class Granularity(Enum):
    """How wide a time bucket is. Weeks start on Monday (ISO 8601)."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"

    @property
    def is_calendar(self) -> bool:
        """True when buckets follow local dates, whose length in hours varies."""
        return self not in {Granularity.MINUTE, Granularity.HOUR}

    def first_day(self, day: date) -> date:
        """The first local date of the bucket that holds `day`. For calendar granularities only."""
        match self:
            case Granularity.WEEK:
                return day - timedelta(days=day.weekday())
            case Granularity.MONTH:
                return day.replace(day=1)
            case Granularity.QUARTER:
                return day.replace(month=day.month - (day.month - 1) % 3, day=1)
            case Granularity.YEAR:
                return day.replace(month=1, day=1)
            case _:
                return day

    def next_day(self, first: date) -> date:
        """The first local date of the bucket after the one that starts on `first`."""
        longest = {Granularity.WEEK: 7, Granularity.MONTH: 31, Granularity.QUARTER: 92, Granularity.YEAR: 366}
        return self.first_day(first + timedelta(days=longest.get(self, 1)))

    def bucket(self, instant: datetime, zone: ZoneInfo) -> Window:
        """The bucket of local time in `zone` that holds `instant`, as instants in UTC."""
        if self.is_calendar:
            first = self.first_day(instant.astimezone(zone).date())
            return Window(midnight(first, zone), midnight(self.next_day(first), zone))
        start, end = self._clock_bounds(_unix(instant), zone)
        return Window(datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end, UTC))

    def _clock_bounds(self, at: int, zone: ZoneInfo) -> tuple[int, int]:
        """A minute is one of UTC's. An hour ends when the local clock strikes, or is set anew within it."""
        if self is Granularity.MINUTE:
            start = at - at % _MINUTE
            return start, start + _MINUTE
        start = at - (at + _ahead(at, zone)) % _HOUR
        changes = _changes_between(start, start + _HOUR, zone)
        return max([start, *(c for c in changes if c <= at)]), min([start + _HOUR, *(c for c in changes if c > at)])

    def buckets(self, window: Window, zone: ZoneInfo) -> Iterator[Window]:
        """Every bucket that shares an instant with `window`, in order."""
        bucket = self.bucket(window.start, zone)
        while bucket.start < window.end:
            yield bucket
            bucket = self.bucket(bucket.end, zone)


@dataclass(frozen=True, slots=True)
class Cuts:
    """Time buckets between instants of the caller's own: whole seconds in UTC, rising, at least two."""

    instants: tuple[datetime, ...]

    is_calendar: ClassVar = False

    def bucket(self, instant: datetime, zone: ZoneInfo) -> Window:  # noqa: ARG002 - as a granularity's
        """The bucket that holds `instant`, which lies between the first cut (in) and the last (out)."""
        place = bisect_right(self.instants, instant)
        return Window(self.instants[place - 1], self.instants[place])

    def buckets(self, window: Window, zone: ZoneInfo) -> Iterator[Window]:  # noqa: ARG002 - as a granularity's
        """Every bucket that shares an instant with `window`, in order."""
        for start, end in pairwise(self.instants):
            if start < window.end and window.start < end:
                yield Window(start, end)


@unique
class Preset(Enum):
    """Windows people ask for by name, resolved against now in the asked zone.

    Calendar presets run from local midnight to local midnight and include the whole current period;
    LAST_N_DAYS are today and the N-1 days before it; LAST_24_HOURS ends now.
    """

    TODAY = "today"
    YESTERDAY = "yesterday"
    LAST_24_HOURS = "last_24_hours"
    LAST_7_DAYS = "last_7_days"
    LAST_30_DAYS = "last_30_days"
    LAST_90_DAYS = "last_90_days"
    THIS_WEEK = "this_week"
    LAST_WEEK = "last_week"
    THIS_MONTH = "this_month"
    LAST_MONTH = "last_month"
    THIS_QUARTER = "this_quarter"
    LAST_QUARTER = "last_quarter"
    THIS_YEAR = "this_year"

    def window(self, now: datetime, zone: ZoneInfo) -> Window:
        """The instants this preset means when asked at `now` (aware) in `zone`."""
        if self is Preset.LAST_24_HOURS:
            now = now.astimezone(UTC)  # in a zone, subtracting would turn the wall clock back instead
            return Window(now - timedelta(hours=24), now)
        first, end = self._days(now.astimezone(zone).date())
        return Window(midnight(first, zone), midnight(end, zone))

    def _days(self, today: date) -> tuple[date, date]:
        if self in _ROLLING_DAYS:
            return today - timedelta(days=_ROLLING_DAYS[self] - 1), today + timedelta(days=1)
        granularity, back = _CALENDAR[self]
        first = granularity.first_day(today)
        for _ in range(back):
            first = granularity.first_day(first - timedelta(days=1))
        return first, granularity.next_day(first)


_ROLLING_DAYS = {Preset.LAST_7_DAYS: 7, Preset.LAST_30_DAYS: 30, Preset.LAST_90_DAYS: 90}
_CALENDAR = {
    Preset.TODAY: (Granularity.DAY, 0),
    Preset.YESTERDAY: (Granularity.DAY, 1),
    Preset.THIS_WEEK: (Granularity.WEEK, 0),
    Preset.LAST_WEEK: (Granularity.WEEK, 1),
    Preset.THIS_MONTH: (Granularity.MONTH, 0),
    Preset.LAST_MONTH: (Granularity.MONTH, 1),
    Preset.THIS_QUARTER: (Granularity.QUARTER, 0),
    Preset.LAST_QUARTER: (Granularity.QUARTER, 1),
    Preset.THIS_YEAR: (Granularity.YEAR, 0),
}
