"""What a budget would have done over the last weeks, had it existed: each period, and when it would have breached.

Calendar and fixed periods are replayed from daily sums: a crossing is dated to its local day. What rolls is replayed
from hourly sums. Forecasts are replayed as of each midnight, from nothing but the days before it. Pure.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import accumulate
from typing import Final

from attribution.slices import Bucket
from budgets.definition import Basis, BudgetTerms, InvalidTarget, Threshold
from budgets.forecast import HISTORY_DAYS, forecast, habit, passage_of
from budgets.judging import RECOVERY
from budgets.periods import RollingPeriod, clipped
from budgets.spending import Slice, Spending, Sum
from core.money import EXACT
from core.time import Granularity, Window, midnight

MAX_DAYS: Final = 400
MAX_MEMBERS: Final = 200
_MAX_MEMBER_DAYS: Final = 18_000
"""With `each`, so many members are replayed, and of long stretches so many as come to that: those who spent most."""

_INSTANT: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Crossing:
    """A breach that would have opened."""

    member: str | None
    period: Window
    threshold: Threshold
    at: datetime
    observed: Decimal
    limit: Decimal


@dataclass(frozen=True, slots=True)
class Replay:
    """What would have been: the breaches in order of time, and what each period would have spent.

    `periods` are (member, period, spent, limit); of what rolls there is one, the highest of all windows.
    """

    crossings: list[Crossing]
    periods: list[tuple[str | None, Window, Decimal, Decimal]]
    members: int


def replay_slice(terms: BudgetTerms, days: int, now: datetime) -> Slice:
    """What to ask. Raises InvalidTarget for a stretch that cannot be replayed."""
    if not 1 <= days <= MAX_DAYS:
        raise InvalidTarget("days", f"it lies between 1 and {MAX_DAYS}")
    zone, rolls = terms.period.zone, isinstance(terms.period, RollingPeriod)
    first = _start(terms, days, now).astimezone(zone).date()
    earlier = timedelta(hours=terms.period.hours) if isinstance(terms.period, RollingPeriod) else timedelta()
    start = midnight(first - timedelta(days=0 if rolls else HISTORY_DAYS), zone) - earlier
    bucket = Granularity.HOUR if rolls else Granularity.DAY
    return Slice(Window(start, now), terms.where, terms.measure, terms.each, zone, bucket)


def replay(terms: BudgetTerms, days: int, now: datetime, spending: Spending) -> Replay:
    """What the budget would have done in the last so many days; the first and the last period are whole or running."""
    sums = _by_member(spending.by_bucket(replay_slice(terms, days, now)))
    kept = sorted(sums, key=lambda member: (-sum(sums[member].values()), member or ""))
    kept = kept[: min(MAX_MEMBERS, _MAX_MEMBER_DAYS // days)]
    found, periods = [], []
    for member in kept or ([None] if terms.each is None else []):
        one = _Member(terms, member, sums.get(member, {}), now)
        crossings, spent = one.rolled(days) if isinstance(terms.period, RollingPeriod) else one.repeated(days)
        found += crossings
        periods += spent
    return Replay(sorted(found, key=lambda crossing: crossing.at), periods, len(sums))


def _start(terms: BudgetTerms, days: int, now: datetime) -> datetime:
    """The start of the period that held the first of the days."""
    first = now.astimezone(UTC) - timedelta(days=days)
    period = None if isinstance(terms.period, RollingPeriod) else terms.period.at(first)
    return period.start if period else first


def _by_member(sums: Mapping[tuple[str | None, Bucket], Sum]) -> dict[str | None, dict[Bucket, Decimal]]:
    members: defaultdict[str | None, dict[Bucket, Decimal]] = defaultdict(dict)
    for (member, bucket), total in sums.items():
        members[member][bucket] = total.amount
    return members


Outcome = tuple[list[Crossing], list[tuple[str | None, Window, Decimal, Decimal]]]


class _Member:
    """One member, or all together, with their sums by bucket."""

    def __init__(self, terms: BudgetTerms, member: str | None, sums: Mapping[Bucket, Decimal], now: datetime) -> None:
        self._terms = terms
        self._member = member
        self._sums = sums
        self._now = now
        self._zone = terms.period.zone
        self._daily = {day: amount for day, amount in sums.items() if type(day) is date}

    def repeated(self, days: int) -> Outcome:
        """Period after period, day after day."""
        crossings: list[Crossing] = []
        periods = []
        left = Decimal(0)
        for period in self._periods(days):
            amount = self._terms.amount(period.start.astimezone(self._zone).date(), self._member)
            if amount is None:
                continue
            limit = EXACT.add(amount, left)
            spent = self._through(period, limit, crossings)
            periods.append((self._member, period, spent, limit))
            left = max(Decimal(0), EXACT.subtract(amount, spent)) if self._terms.rollover else Decimal(0)
        return crossings, periods

    def _periods(self, days: int) -> Iterator[Window]:
        at = _start(self._terms, days, self._now)
        while at < self._now:
            period = self._terms.period.at(at)
            if period is None:
                return
            counted = clipped(period, self._terms.starts_at, self._terms.ends_at)
            if counted:
                yield counted
            at = period.end

    def _through(self, period: Window, limit: Decimal, crossings: list[Crossing]) -> Decimal:
        """What the period spent, after looking at every day of it."""
        spent, uncrossed = Decimal(0), list(self._terms.thresholds)
        for day, start, end in self._days(period):
            foreseen = self._foreseen(day, start, period, spent, limit, uncrossed)
            spent = EXACT.add(spent, self._daily.get(day, Decimal(0)))
            for threshold in [*uncrossed]:
                ahead = threshold.basis is Basis.FORECAST
                reached, at = (foreseen, start) if ahead else (spent, min(end, self._now))
                if reached and reached >= threshold.amount(limit):
                    uncrossed.remove(threshold)
                    crossings.append(Crossing(self._member, period, threshold, at, reached, limit))
        return spent

    def _days(self, period: Window) -> Iterator[tuple[date, datetime, datetime]]:
        at = period.start
        while at < min(period.end, self._now):
            day = at.astimezone(self._zone).date()
            end = min(midnight(day + timedelta(days=1), self._zone), period.end)
            yield day, at, end
            at = end

    def _foreseen(
        self, today: date, start: datetime, period: Window, spent: Decimal, limit: Decimal, uncrossed: list[Threshold]
    ) -> Decimal | None:
        """What the period will have spent, where that crosses a threshold. Nothing else takes as long."""
        bounds = [threshold.amount(limit) for threshold in uncrossed if threshold.basis is Basis.FORECAST]
        found = habit(self._daily, today) if bounds else None
        if found is None:
            return None
        seen = forecast(found, passage_of(period, start, self._zone), spent, limit, at_least=min(bounds))
        return seen.amount if seen else None

    def rolled(self, days: int) -> Outcome:
        """Hour after hour, the sum of the hours before."""
        assert isinstance(self._terms.period, RollingPeriod)
        width = timedelta(hours=self._terms.period.hours)
        limit = self._terms.amount(self._now.astimezone(self._zone).date(), self._member)
        if limit is None:
            return [], []
        crossings: list[Crossing] = []
        over: set[str] = set()
        highest, highest_in = Decimal(0), Window(self._now - width, self._now)
        for end, spent in self._windows(width, self._now - timedelta(days=days)):
            window = Window(end - width, end)
            if spent > highest:
                highest, highest_in = spent, window
            crossings += self._turned(window, spent, limit, over)
        return crossings, [(self._member, highest_in, highest, limit)]

    def _windows(self, width: timedelta, since: datetime) -> Iterator[tuple[datetime, Decimal]]:
        """The sum of each window that ends with an hour in which something was spent, or leaves one."""
        starts = sorted(hour for hour in self._sums if isinstance(hour, datetime))
        so_far = list(accumulate((self._sums[hour] for hour in starts), EXACT.add, initial=Decimal(0)))
        hour = timedelta(hours=1)
        for end in sorted({at for start in starts for at in (start + hour, start + hour + width)}):
            if since <= end <= self._now:
                before, until = bisect_left(starts, end - width), bisect_left(starts, end)
                yield end, EXACT.subtract(so_far[until], so_far[before])

    def _turned(self, window: Window, spent: Decimal, limit: Decimal, over: set[str]) -> Iterator[Crossing]:
        for threshold in self._terms.thresholds:
            bound = threshold.amount(limit)
            if threshold.basis is Basis.FORECAST:
                continue
            if threshold.key not in over and spent and spent >= bound:
                over.add(threshold.key)
                yield Crossing(self._member, window, threshold, window.end, spent, limit)
            elif threshold.key in over and spent < EXACT.multiply(bound, RECOVERY):
                over.remove(threshold.key)
