"""Periods against an oracle that knows no calendar arithmetic.

The oracle names the period of an instant from nothing but its local date, and finds where that name begins and ends by
bisection over quarter hours, on which all zones of today set their clocks and begin their days.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest

from budgets.periods import CalendarPeriod, FixedPeriod, RollingPeriod, Weekday, clipped
from core.time import Granularity, Window
from tests.attribution.factories import ZONES

QUARTER_HOUR = timedelta(minutes=15)
EPOCH = datetime(2010, 1, 1, tzinfo=UTC)
LAST = 16 * 366 * 96
YEARS = (2011, 2023, 2024)
"""In 2011 Samoa skipped a day, 2024 was a leap year, 2023 was not."""

LABELS: dict[Granularity, Callable[[date, int], object]] = {
    Granularity.DAY: lambda day, _: day,
    Granularity.WEEK: lambda day, start: (day.toordinal() - 1 - start) // 7,  # day 1 was a Monday
    Granularity.MONTH: lambda day, _: (day.year, day.month),
    Granularity.QUARTER: lambda day, _: (day.year, (day.month + 2) // 3),
    Granularity.YEAR: lambda day, _: day.year,
}


@cache
def local_day(step: int, zone: ZoneInfo) -> date:
    return (EPOCH + step * QUARTER_HOUR).astimezone(zone).date()


def oracle(instant: datetime, zone: ZoneInfo, every: Granularity, start: int) -> Window:
    label = LABELS[every]
    step = (instant - EPOCH) // QUARTER_HOUR
    mine = label(local_day(step, zone), start)
    first = bisected(0, step, lambda at: label(local_day(at, zone), start) == mine)
    after = bisected(step, LAST, lambda at: label(local_day(at, zone), start) != mine)
    return Window(EPOCH + first * QUARTER_HOUR, EPOCH + after * QUARTER_HOUR)


def bisected(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """The first step from which on it holds."""
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def instants(zone: ZoneInfo) -> Iterator[datetime]:
    """Around every change of the zone's clock, the turns of months and years, and the leap day."""
    turns = [datetime(2024, month, 1, tzinfo=UTC) for month in range(1, 13)]
    turns += [datetime(2024, 2, 29, 12, tzinfo=UTC), datetime(2011, 12, 30, 12, tzinfo=UTC)]
    for year in YEARS:
        hours = [datetime(year, 1, 1, tzinfo=UTC) + timedelta(hours=h) for h in range(366 * 24)]
        offsets = [hour.astimezone(zone).utcoffset() for hour in hours]
        turns += [hours[i] for i in range(1, len(hours)) if offsets[i] != offsets[i - 1]]
    for turn in turns:
        for hours_off in (-13, -1, 0, 12):
            yield turn + timedelta(hours=hours_off, minutes=15)


@pytest.mark.parametrize("name", ZONES)
def test_every_kind_of_period_in_every_zone(name: str) -> None:
    zone, checked = ZoneInfo(name), 0
    for instant in instants(zone):
        for every in LABELS:
            for start in Weekday if every is Granularity.WEEK else [Weekday.MONDAY]:
                period = CalendarPeriod(every, zone, start)
                found = period.at(instant)
                assert found == oracle(instant, zone, every, start), (instant, every, start)
                assert period.before(found).end == found.start
                checked += 1
    assert checked > 500


def test_a_fixed_period_is_while_it_runs() -> None:
    window = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 8, tzinfo=UTC))
    period = FixedPeriod(window, ZoneInfo("UTC"))
    assert [period.at(at) for at in (window.start, window.end - timedelta(microseconds=1))] == [window, window]
    assert [period.at(at) for at in (window.start - timedelta(microseconds=1), window.end)] == [None, None]
    assert period.before(window) is None


def test_a_rolling_period_holds_its_hours_and_now() -> None:
    now = datetime(2026, 3, 29, 1, 30, 20, 5, tzinfo=UTC).astimezone(ZoneInfo("Europe/Berlin"))
    found = RollingPeriod(24, ZoneInfo("Europe/Berlin")).at(now)
    assert found == Window(datetime(2026, 3, 28, 1, 31, tzinfo=UTC), datetime(2026, 3, 29, 1, 31, tzinfo=UTC))


def test_periods_are_clipped_to_the_life_of_a_budget() -> None:
    march = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC))
    middle = datetime(2026, 3, 15, tzinfo=UTC)
    assert clipped(march, None, None) == march
    assert clipped(march, middle, None) == Window(middle, march.end)
    assert clipped(march, None, middle) == Window(march.start, middle)
    assert clipped(march, march.end, None) is None
    assert clipped(march, None, march.start) is None


def test_a_window_that_begins_in_a_repeated_hour_equals_itself_in_utc() -> None:
    zone = ZoneInfo("Australia/Lord_Howe")
    local = Window(datetime(2025, 4, 6, 1, 45, tzinfo=zone), datetime(2025, 5, 1, tzinfo=zone))
    in_utc = Window(local.start.astimezone(UTC), local.end.astimezone(UTC))
    assert FixedPeriod(local, zone) == FixedPeriod(in_utc, zone)
