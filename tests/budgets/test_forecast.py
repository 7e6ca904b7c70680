"""Forecasts of slices whose future is known: steady ones, weekly ones, and ones that nobody can tell yet."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from zoneinfo import ZoneInfo

import pytest

from budgets.forecast import Habit, Passage, forecast, habit
from budgets.periods import CalendarPeriod
from budgets.status import Forecast
from core.time import Granularity, Window

ZONE = ZoneInfo("UTC")
TODAY = date(2026, 3, 16)  # a Monday
NOON = datetime(2026, 3, 16, 12, tzinfo=UTC)
MARCH = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC))
LIMIT = Decimal(10_000)


def days(count: int, amount: object = lambda day: 10) -> dict[date, Decimal]:
    each = [TODAY - timedelta(days=i) for i in range(1, count + 1)]
    return {day: Decimal(amount(day)) for day in each}  # type: ignore[operator]


def foreseen(found: Habit, passage: Passage, spent: Decimal, limit: Decimal) -> Forecast:
    seen = forecast(found, passage, spent, limit)
    assert seen is not None
    return seen


def test_there_is_none_before_seven_days() -> None:
    assert habit({}, TODAY) is None
    assert habit(days(6), TODAY) is None
    assert habit(days(7), TODAY) is not None
    assert habit({TODAY - timedelta(days=7): Decimal(1)}, TODAY) is not None, "days without spend are days"
    assert habit(days(3, lambda _: 0), TODAY) is None
    assert habit({TODAY: Decimal(5)}, TODAY) is None, "today is not over"


def test_what_is_steady_goes_on() -> None:
    found = habit(days(28), TODAY)
    assert found is not None
    seen = foreseen(found, Passage.of(MARCH, NOON, ZONE), Decimal(155), LIMIT)
    assert (seen.amount, seen.low, seen.high, seen.pace) == (310, 310, 310, 10)
    assert seen.reaches_limit_at is None


def test_weekends_are_weekends() -> None:
    found = habit(days(28, lambda day: 10 if day.weekday() < 5 else 0), TODAY)
    assert found is not None
    week = CalendarPeriod(Granularity.WEEK, ZONE).at(NOON)
    seen = foreseen(found, Passage.of(week, NOON, ZONE), Decimal(5), LIMIT)
    assert seen.amount == pytest.approx(Decimal(50), rel=Decimal("0.06"))
    friday = datetime(2026, 3, 20, 23, 59, tzinfo=UTC)
    late = foreseen(found, Passage.of(week, friday, ZONE), Decimal(50), LIMIT)
    assert late.amount < 55


def test_a_period_that_runs_twice_as_fast_is_seen_to() -> None:
    found = habit(days(28), TODAY)
    assert found is not None
    seen = foreseen(found, Passage.of(MARCH, NOON, ZONE), Decimal(310), LIMIT)
    assert 560 < seen.amount < 620


def test_the_limit_is_reached_when_the_pace_says_so() -> None:
    found = habit(days(28), TODAY)
    assert found is not None
    passage = Passage.of(MARCH, NOON, ZONE)
    assert foreseen(found, passage, Decimal(155), Decimal(200)).reaches_limit_at == NOON + timedelta(days=4.5)
    assert foreseen(found, passage, Decimal(155), Decimal(311)).reaches_limit_at is None
    assert foreseen(found, passage, Decimal(155), Decimal(100)).reaches_limit_at is None, "it is reached already"


def test_four_times_out_of_five_the_truth_lies_within() -> None:
    draw, within, trials = Random(1), 0, 200
    for _ in range(trials):
        past = days(28, lambda _: round(draw.gauss(100, 20), 2))
        found = habit(past, TODAY)
        assert found is not None
        month_so_far = sum((past[TODAY - timedelta(days=i)] for i in range(1, 16)), Decimal(0))
        rest = sum(draw.gauss(100, 20) for _ in range(16))
        midnight = datetime(2026, 3, 16, tzinfo=UTC)
        seen = foreseen(found, Passage.of(MARCH, midnight, ZONE), month_so_far, LIMIT)
        within += seen.low <= month_so_far + Decimal(rest) <= seen.high
    assert 0.7 * trials < within < 0.95 * trials


def test_days_with_turned_clocks_count_as_days() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    month = CalendarPeriod(Granularity.MONTH, berlin).at(NOON)
    passage = Passage.of(month, NOON, berlin)
    assert sum(passage.passed) + sum(passage.left) == pytest.approx(31)
    assert sum(passage.passed) == pytest.approx(15 + 13 / 24)


def test_what_is_over_has_come_true() -> None:
    found = habit(days(28), TODAY)
    assert found is not None
    seen = foreseen(found, Passage.of(MARCH, MARCH.end, ZONE), Decimal(42), LIMIT)
    assert (seen.amount, seen.low, seen.high) == (42, 42, 42)


def test_what_comes_nowhere_near_is_not_worth_one() -> None:
    found = habit(days(28), TODAY)
    assert found is not None
    passage = Passage.of(MARCH, NOON, ZONE)
    for at_least, is_made in ((Decimal(310), True), (Decimal(311), False)):
        assert (forecast(found, passage, Decimal(155), LIMIT, at_least=at_least) is not None) is is_made


def test_a_credit_is_no_habit() -> None:
    tuesday = TODAY - timedelta(days=6)
    found = habit(days(28, lambda day: -300 if day == tuesday else 10), TODAY)
    assert found is not None
    assert min(found.weights) > 0
    seen = foreseen(found, Passage.of(MARCH, NOON, ZONE), Decimal(-150), LIMIT)
    assert seen.low <= seen.amount <= seen.high
    assert habit(days(28, lambda _: -10), TODAY) is None
