"""What a period will have cost by its end: the pace of the last days, the shape of the week, how sure that is. Pure.

With daily amounts of the last weeks, w(d) is how much day d of the week takes against an average day, and `rate` what
an average day took lately. The period itself may run faster or slower than that: `tempo` is what was spent in it over
what was to be expected, drawn towards 1 by one more expected day (at most a quarter of the period). Then

    amount = spent + tempo x rate x (the weights of what is left)

and four times out of five the truth lies within 1.28 standard deviations of it, which come from how far single days lie
from their expectation, and from how few days the rate is known by. Credits are no habit: a day or a period that was
given more than it spent counts as one that spent nothing. Estimates may be floats: they are no money.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from math import sqrt
from operator import mul
from typing import Final
from zoneinfo import ZoneInfo

from budgets.status import Forecast
from core.time import Window, midnight

HISTORY_DAYS: Final = 28
"""How many complete days before today are looked at."""
ENOUGH_DAYS: Final = 7
"""So many of them must have passed since the slice first spent something, or there is no forecast."""
_SHAPE_DAYS: Final = 14
_RECENT_DAYS: Final = 14
_QUANTILE: Final = 1.2816
"""Of the standard normal distribution, at 90 %."""
_WEEK: Final = range(7)
_ANYTHING: Final = Decimal("-Infinity")
_CENT: Final = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class Habit:
    """What a slice usually spends: on an average day lately, on each weekday relative to that, and how steadily.

    `days` are those that `rate` is known by.
    """

    rate: float
    weights: tuple[float, ...]
    deviation: float
    days: int


def habit(daily: Mapping[date, Decimal], today: date) -> Habit | None:
    """The habit that the complete days before today show; None before there are ENOUGH_DAYS, and without any spend."""
    spending = [day for day, amount in daily.items() if amount > 0 and day < today]
    if not spending:
        return None
    first = max(min(spending), today - timedelta(days=HISTORY_DAYS))
    days = [first + timedelta(days=i) for i in range((today - first).days)]
    if len(days) < ENOUGH_DAYS:
        return None
    amounts = {day: max(0.0, float(daily.get(day, 0))) for day in days}
    if not any(amounts.values()):
        return None
    weights = _weights(amounts)
    recent = days[-_RECENT_DAYS:]
    rate = sum(amounts[day] for day in recent) / sum(weights[day.weekday()] for day in recent)
    misses = [amount - rate * weights[day.weekday()] for day, amount in amounts.items()]
    free = len(days) - (len(_WEEK) if len(days) >= _SHAPE_DAYS else 1)  # what the shape is fitted to tells nothing
    return Habit(rate, weights, sqrt(sum(miss * miss for miss in misses) / free), len(recent))


def _weights(amounts: Mapping[date, float]) -> tuple[float, ...]:
    """By weekday, its mean over the mean of all days; one average day among each keeps a single odd one in bounds."""
    mean = sum(amounts.values()) / len(amounts)
    if len(amounts) < _SHAPE_DAYS:
        return (1.0,) * len(_WEEK)
    by_day = {day: [a for d, a in amounts.items() if d.weekday() == day] for day in _WEEK}
    return tuple((sum(by_day[day]) + mean) / (len(by_day[day]) + 1) / mean for day in _WEEK)


@dataclass(frozen=True, slots=True)
class Passage:
    """How far a period has come: how many of each weekday have passed in it, and how many are left; parts count."""

    now: datetime
    end: datetime
    zone: ZoneInfo
    passed: tuple[float, ...]
    left: tuple[float, ...]

    @classmethod
    def of(cls, period: Window, now: datetime, zone: ZoneInfo) -> Passage:
        """The passage of the period at `now`."""
        now = min(max(now, period.start), period.end)
        return cls(now, period.end, zone, _weekdays(period.start, now, zone), _weekdays(now, period.end, zone))


@lru_cache(maxsize=1_024)
def passage_of(period: Window, now: datetime, zone: ZoneInfo) -> Passage:
    """The passage of a period that many budgets or members share, worked out once."""
    return Passage.of(period, now, zone)


def _weekdays(start: datetime, end: datetime, zone: ZoneInfo) -> tuple[float, ...]:
    counts = [0.0] * len(_WEEK)
    for day, _, share in _days(start, end, zone):
        counts[day.weekday()] += share
    return tuple(counts)


def _days(start: datetime, end: datetime, zone: ZoneInfo) -> Iterator[tuple[date, datetime, float]]:
    """Each local day of the span: its date, where the span is in it first, and what share of it the span holds."""
    at = start.astimezone(UTC)
    while at < end:
        day = at.astimezone(zone).date()
        first, after = midnight(day, zone), midnight(day + timedelta(days=1), zone)
        until = min(after, end)
        yield day, at, (until - at) / (after - first)
        at = until


def forecast(
    habit: Habit, passage: Passage, spent: Decimal, limit: Decimal, *, at_least: Decimal = _ANYTHING
) -> Forecast | None:
    """What the period will have spent by its end, when the slice goes on as it has.

    None when that is less than `at_least`: to know so much takes a third of the time.
    """
    passed, left = (_weighed(habit, days) for days in (passage.passed, passage.left))
    pace = habit.rate * _tempo(habit, max(0.0, float(spent)), passed, passed + left)
    expected = float(spent) + pace * left
    if expected < at_least:
        return None
    spread = _QUANTILE * habit.deviation * sqrt(left + left * left / _seen(habit, passed, passed + left))
    return Forecast(
        amount=_rounded(expected),
        low=max(spent, _rounded(expected - spread)),
        high=_rounded(expected + spread),
        pace=_rounded(pace),
        reaches_limit_at=_reaching(habit, passage, float(limit - spent), pace) if spent < limit <= expected else None,
    )


def _weighed(habit: Habit, days: tuple[float, ...]) -> float:
    return float(sum(map(mul, habit.weights, days)))


def _cushion(whole: float) -> float:
    """How many days of the usual spend are added to a period's own: one, and in short periods a quarter of them."""
    return min(1.0, whole / 4)


def _tempo(habit: Habit, spent: float, passed: float, whole: float) -> float:
    cushion = habit.rate * _cushion(whole)
    return (spent + cushion) / (habit.rate * passed + cushion) if cushion else 1.0


def _seen(habit: Habit, passed: float, whole: float) -> float:
    """How many days the pace is known by: at first those of the habit, more and more the period's own."""
    own = passed / (passed + _cushion(whole))
    return habit.days * (1 - own) + passed * own


def _reaching(habit: Habit, passage: Passage, room: float, pace: float) -> datetime | None:
    """When the room is used up at this pace."""
    for day, start, share in _days(passage.now, passage.end, passage.zone):
        due = pace * habit.weights[day.weekday()] * share
        if due >= room and due:
            whole = midnight(day + timedelta(days=1), passage.zone) - midnight(day, passage.zone)
            return start + whole * share * (room / due)
        room -= due
    return None


def _rounded(amount: float) -> Decimal:
    return Decimal(amount).quantize(_CENT)
