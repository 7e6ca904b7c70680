"""Windows, presets and buckets against clocks that jump, stand still for a day, and differ by half an hour."""

from __future__ import annotations

import calendar
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.time import (
    EmptyWindow,
    Granularity,
    NaiveDatetime,
    Preset,
    UnknownTimezone,
    Window,
    clock_settings,
    midnight,
    parse_timezone,
)

BERLIN = ZoneInfo("Europe/Berlin")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

zones = st.sampled_from(sorted(available_timezones() - {"localtime", "Factory"})).map(ZoneInfo)
# In 2010 and before, some clocks were set back over midnight, so that a local date came twice.
instants = st.datetimes(
    datetime(2012, 1, 1),  # noqa: DTZ001 - Hypothesis wants its bounds naive
    datetime(2037, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
_WIDEST = {Granularity.MINUTE: 3 * HOUR, Granularity.HOUR: 4 * DAY, Granularity.DAY: 60 * DAY}


# Windows


def test_a_window_has_a_zone_and_an_instant() -> None:
    noon = datetime(2026, 3, 2, 12, tzinfo=UTC)
    for start, end in ((noon.replace(tzinfo=None), noon), (noon, noon.replace(tzinfo=None))):
        with pytest.raises(NaiveDatetime, match="2026-03-02T12:00:00 has no time zone"):
            Window(start, end)
    for end in (noon, noon - timedelta(microseconds=1)):
        with pytest.raises(EmptyWindow, match="is not after start"):
            Window(noon, end)
    assert Window(noon, noon + timedelta(microseconds=1)).start == noon


def test_a_window_inside_the_repeated_hour_is_judged_by_instants() -> None:
    """On that night Berlin's clocks show 2:15 to 2:45 twice; of two times of one zone Python compares the clock faces."""
    first, second = (datetime(2025, 10, 26, 2, 30, tzinfo=BERLIN, fold=fold) for fold in (0, 1))
    assert Window(first, second).end.astimezone(UTC) - first.astimezone(UTC) == HOUR
    assert Window(first + 15 * MINUTE, (second - 15 * MINUTE).replace(fold=1))
    with pytest.raises(EmptyWindow):
        Window((second - 15 * MINUTE).replace(fold=1), (first + 15 * MINUTE).replace(fold=0))


# Zones


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "UTC ", "europe/berlin", "../UTC", "Europe", "CEST", "\x00"])
def test_unknown_zones_are_refused(name: str) -> None:
    with pytest.raises(UnknownTimezone) as refused:
        parse_timezone(name)
    assert repr(name) in str(refused.value)


def test_every_listed_zone_is_known() -> None:
    assert {parse_timezone(name).key for name in available_timezones()} == available_timezones()


# Days


def _first_instant(day: date, zone: ZoneInfo) -> datetime:
    """The first second of that local date or a later one, by halving the days around it."""
    before = datetime(day.year, day.month, day.day, tzinfo=UTC) - 2 * DAY
    after = before + 4 * DAY
    while after - before > SECOND:
        middle = before + (after - before) // 2 // SECOND * SECOND
        if middle.astimezone(zone).date() >= day:
            after = middle
        else:
            before = middle
    return after


@settings(deadline=None)
@given(instant=instants, zone=zones)
def test_midnight_is_the_first_instant_of_the_day(instant: datetime, zone: ZoneInfo) -> None:
    day = instant.astimezone(zone).date()
    assert midnight(day, zone) == _first_instant(day, zone)


@pytest.mark.parametrize(
    ("zone", "day", "start", "hours"),
    [
        ("America/Sao_Paulo", date(2018, 11, 4), "2018-11-04T01:00:00-02:00", 23),
        ("Africa/Cairo", date(2024, 4, 26), "2024-04-26T01:00:00+03:00", 23),
        ("America/Havana", date(2025, 11, 2), "2025-11-02T00:00:00-04:00", 25),
        ("Pacific/Apia", date(2011, 12, 31), "2011-12-31T00:00:00+14:00", 24),
        ("Australia/Lord_Howe", date(2025, 4, 6), "2025-04-06T00:00:00+11:00", 24.5),
        ("Europe/Berlin", date(2026, 3, 29), "2026-03-29T00:00:00+01:00", 23),
        ("UTC", date(2026, 3, 29), "2026-03-29T00:00:00+00:00", 24),
    ],
)
def test_days_on_which_clocks_are_set(zone: str, day: date, start: str, hours: float) -> None:
    bucket = Granularity.DAY.bucket(midnight(day, ZoneInfo(zone)), ZoneInfo(zone))
    assert bucket.start == datetime.fromisoformat(start)
    assert bucket.end - bucket.start == hours * HOUR


# Buckets


@settings(deadline=None)
@given(
    start=instants,
    part=st.floats(1e-6, 1),
    granularity=st.sampled_from(Granularity),
    zone=zones,
)
def test_buckets_tile_the_window_without_gap_or_overlap(
    start: datetime, part: float, granularity: Granularity, zone: ZoneInfo
) -> None:
    window = Window(start.astimezone(zone), start + _WIDEST.get(granularity, 900 * DAY) * part)
    buckets = list(granularity.buckets(window, zone))
    assert buckets[0].start <= window.start < buckets[0].end
    assert buckets[-1].start < window.end <= buckets[-1].end
    assert all(one.end == other.start for one, other in pairwise(buckets))


@settings(deadline=None)
@given(instant=instants, granularity=st.sampled_from(Granularity), zone=zones)
def test_every_instant_of_a_bucket_is_in_that_bucket(
    instant: datetime, granularity: Granularity, zone: ZoneInfo
) -> None:
    bucket = granularity.bucket(instant, zone)
    assert bucket.start <= instant < bucket.end
    for other in (bucket.start, bucket.end - timedelta(microseconds=1), instant.astimezone(zone)):
        assert granularity.bucket(other, zone) == bucket
    assert granularity.bucket(bucket.end, zone) != bucket


@settings(deadline=None)
@given(instant=instants, zone=zones)
def test_calendar_buckets_begin_on_the_first_local_date(instant: datetime, zone: ZoneInfo) -> None:
    local = instant.astimezone(zone).date()
    firsts = {
        Granularity.DAY: local,
        Granularity.WEEK: date.fromisocalendar(*local.isocalendar()[:2], 1),
        Granularity.MONTH: date(local.year, local.month, 1),
        Granularity.QUARTER: date(local.year, {1: 1, 2: 4, 3: 7, 4: 10}[(local.month + 2) // 3], 1),
        Granularity.YEAR: date(local.year, 1, 1),
    }
    for granularity, first in firsts.items():
        assert granularity.bucket(instant, zone).start == _first_instant(first, zone)


def _hours(day: date, zone: ZoneInfo) -> list[str]:
    """Each hour of the day as its first local minute and its length in minutes."""
    window = Granularity.DAY.bucket(midnight(day, zone), zone)
    buckets = Granularity.HOUR.buckets(window, zone)
    return [f"{b.start.astimezone(zone):%H:%M} {(b.end - b.start) // MINUTE}" for b in buckets]


def test_hours_end_when_the_clock_strikes_or_is_set() -> None:
    assert _hours(date(2026, 3, 29), BERLIN)[:3] == ["00:00 60", "01:00 60", "03:00 60"]
    assert _hours(date(2025, 10, 26), BERLIN)[:4] == ["00:00 60", "01:00 60", "02:00 60", "02:00 60"]
    assert _hours(date(2025, 4, 6), LORD_HOWE)[:4] == ["00:00 60", "01:00 60", "01:30 30", "02:00 60"]
    assert _hours(date(2025, 10, 5), LORD_HOWE)[:4] == ["00:00 60", "01:00 60", "02:30 30", "03:00 60"]
    assert _hours(date(2026, 3, 2), ZoneInfo("Asia/Kathmandu")) == [f"{hour:02}:00 60" for hour in range(24)]


# Clocks


@settings(deadline=None)
@given(start=instants, days=st.integers(1, 2_000), part=st.floats(0, 1), zone=zones)
def test_clock_settings_are_those_of_the_zone(start: datetime, days: int, part: float, zone: ZoneInfo) -> None:
    window = Window(start, start + timedelta(days=days))
    settings = clock_settings(window, zone)
    assert settings[0].since == 0
    assert settings == sorted(set(settings))
    for instant in (start, start + part * (window.end - start), window.end - timedelta(microseconds=1)):
        in_force = [setting for setting in settings if setting.since <= instant.timestamp()][-1]
        assert timedelta(seconds=in_force.ahead) == instant.astimezone(zone).utcoffset()


def test_clocks_of_a_year() -> None:
    year = Window(datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
    spring, autumn = (int(datetime(2026, *at, 1, tzinfo=UTC).timestamp()) for at in ((3, 29), (10, 25)))
    assert clock_settings(year, BERLIN) == [(0, 3600), (spring, 7200), (autumn, 3600)]
    assert clock_settings(year, ZoneInfo("Asia/Kolkata")) == [(0, 19_800)]


def test_a_window_of_all_time_has_clocks_too() -> None:
    ever = Window(datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC))
    assert clock_settings(ever, ZoneInfo("UTC")) == [(0, 0)]
    assert len(clock_settings(ever, BERLIN)) > 200


# Presets


def _expected(preset: Preset, today: date) -> tuple[date, date]:
    """The first local date of the preset and the first after it, by a calendar on the wall."""
    monday = today - timedelta(days=today.weekday())
    first = today.replace(day=1)
    quarter = date(today.year, (today.month - 1) // 3 * 3 + 1, 1)
    spans = {
        Preset.TODAY: (today, today + DAY),
        Preset.YESTERDAY: (today - DAY, today),
        Preset.LAST_7_DAYS: (today - 6 * DAY, today + DAY),
        Preset.LAST_30_DAYS: (today - 29 * DAY, today + DAY),
        Preset.LAST_90_DAYS: (today - 89 * DAY, today + DAY),
        Preset.THIS_WEEK: (monday, monday + 7 * DAY),
        Preset.LAST_WEEK: (monday - 7 * DAY, monday),
        Preset.THIS_MONTH: (first, _months_after(first, 1)),
        Preset.LAST_MONTH: (_months_after(first, -1), first),
        Preset.THIS_QUARTER: (quarter, _months_after(quarter, 3)),
        Preset.LAST_QUARTER: (_months_after(quarter, -3), quarter),
        Preset.THIS_YEAR: (date(today.year, 1, 1), date(today.year + 1, 1, 1)),
    }
    return spans[preset]


def _months_after(first: date, months: int) -> date:
    for _ in range(abs(months)):
        length = calendar.monthrange(first.year, first.month)[1]
        first = first + timedelta(days=length) if months > 0 else (first - DAY).replace(day=1)
    return first


_CALENDAR = [preset for preset in Preset if preset is not Preset.LAST_24_HOURS]


@settings(deadline=None)
@given(now=instants, zone=zones, preset=st.sampled_from(_CALENDAR))
def test_presets_run_from_local_midnight_to_local_midnight(now: datetime, zone: ZoneInfo, preset: Preset) -> None:
    first, after = _expected(preset, now.astimezone(zone).date())
    window = preset.window(now, zone)
    assert (window.start, window.end) == (_first_instant(first, zone), _first_instant(after, zone))
    assert preset.window(now.astimezone(ZoneInfo("Asia/Tokyo")), zone) == window


@pytest.mark.parametrize(
    ("preset", "start", "end"),
    [
        (Preset.TODAY, "2026-12-31", "2027-01-01"),
        (Preset.THIS_WEEK, "2026-12-28", "2027-01-04"),
        (Preset.THIS_MONTH, "2026-12-01", "2027-01-01"),
        (Preset.LAST_QUARTER, "2026-07-01", "2026-10-01"),
        (Preset.THIS_YEAR, "2026-01-01", "2027-01-01"),
        (Preset.LAST_30_DAYS, "2026-12-02", "2027-01-01"),
    ],
)
def test_presets_in_the_last_hour_of_a_year(preset: Preset, start: str, end: str) -> None:
    """In New York it is still the old year when UTC has the new one."""
    zone = ZoneInfo("America/New_York")
    window = preset.window(datetime(2027, 1, 1, 4, 59, tzinfo=UTC), zone)
    assert [t.astimezone(zone).isoformat() for t in (window.start, window.end)] == [
        datetime.fromisoformat(day).replace(tzinfo=zone).isoformat() for day in (start, end)
    ]


@pytest.mark.parametrize("zone", [UTC, BERLIN, timezone(timedelta(hours=-5))])
def test_the_last_24_hours_are_24_hours_on_every_day(zone: timezone | ZoneInfo) -> None:
    now = datetime(2026, 3, 29, 10, tzinfo=UTC)
    window = Preset.LAST_24_HOURS.window(now.astimezone(zone), BERLIN)
    assert (window.start, window.end) == (now - 24 * HOUR, now)
    assert window.end.astimezone(UTC) - window.start.astimezone(UTC) == 24 * HOUR
