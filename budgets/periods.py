"""When a budget's money is for: calendar periods in any zone, one fixed window, or the last so many hours. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import IntEnum, unique
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

from core.errors import InvalidInput
from core.time import Granularity, Window, midnight

MAX_ROLLING_HOURS: Final = 24 * 366
_MINUTE: Final = timedelta(minutes=1)


class InvalidPeriod(InvalidInput):
    """A period that cannot be."""

    code = "INVALID_PERIOD"
    field = "period"


@unique
class Weekday(IntEnum):
    """Days of the week, numbered as `date.weekday()` does."""

    MONDAY = 0
    TUESDAY = 1
    WEDNESDAY = 2
    THURSDAY = 3
    FRIDAY = 4
    SATURDAY = 5
    SUNDAY = 6


@dataclass(frozen=True, slots=True)
class CalendarPeriod:
    """Every calendar day, week, month, quarter or year of the zone. Weeks begin on `week_start`."""

    every: Granularity
    zone: ZoneInfo
    week_start: Weekday = Weekday.MONDAY

    def __post_init__(self) -> None:
        if not self.every.is_calendar:
            raise InvalidPeriod("a budget's calendar period is a day, week, month, quarter or year")

    def first_day(self, day: date) -> date:
        """The first local date of the period that holds `day`."""
        shift = timedelta(days=int(self.week_start) if self.every is Granularity.WEEK else 0)
        return self.every.first_day(day - shift) + shift

    def next_day(self, first: date) -> date:
        """The first local date of the period after the one that starts on `first`."""
        if self.every is Granularity.WEEK:
            return first + timedelta(days=7)
        return self.every.next_day(first)

    def at(self, now: datetime) -> Window:
        """The period that holds `now`, as instants in UTC."""
        first = self.first_day(now.astimezone(self.zone).date())
        return Window(midnight(first, self.zone), midnight(self.next_day(first), self.zone))

    def before(self, period: Window) -> Window:
        """The period that ends where `period` starts."""
        return self.at(period.start - timedelta(microseconds=1))


@dataclass(frozen=True, slots=True)
class FixedPeriod:
    """One window, and never again. `zone` is whose days its forecast counts."""

    window: Window
    zone: ZoneInfo

    def __post_init__(self) -> None:
        # In a repeated hour a local time equals no other time, not even itself in UTC, so the window is kept in UTC.
        in_utc = Window(self.window.start.astimezone(UTC), self.window.end.astimezone(UTC))
        object.__setattr__(self, "window", in_utc)

    def at(self, now: datetime) -> Window | None:
        """The window while it runs."""
        return self.window if self.window.start <= now < self.window.end else None

    def before(self, period: Window) -> None:  # noqa: ARG002 - of one signature with calendar periods
        """Nothing comes before it."""
        return


@dataclass(frozen=True, slots=True)
class RollingPeriod:
    """The last so many hours, to the end of the running minute."""

    hours: int
    zone: ZoneInfo

    def __post_init__(self) -> None:
        if not 1 <= self.hours <= MAX_ROLLING_HOURS:
            raise InvalidPeriod(f"a rolling period has 1 to {MAX_ROLLING_HOURS} hours")

    def at(self, now: datetime) -> Window:
        """The hours that end with the running minute."""
        end = now.astimezone(UTC).replace(second=0, microsecond=0) + _MINUTE
        return Window(end - timedelta(hours=self.hours), end)

    def before(self, period: Window) -> None:  # noqa: ARG002 - of one signature with calendar periods
        """What rolls has no predecessor to inherit from."""
        return


Period: TypeAlias = CalendarPeriod | FixedPeriod | RollingPeriod


def clipped(period: Window, starts_at: datetime | None, ends_at: datetime | None) -> Window | None:
    """The part of the period from `starts_at` to `ends_at`; None when there is none."""
    start = period.start if starts_at is None else max(period.start, starts_at)
    end = period.end if ends_at is None else min(period.end, ends_at)
    return Window(start, end) if start < end else None
