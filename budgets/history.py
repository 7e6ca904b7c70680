"""What budgets spent in earlier periods, and how the current one grew, from daily or hourly sums. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Final, NamedTuple

from budgets.definition import BudgetTerms, Terms
from budgets.evaluation import Term, left_over, rolls
from budgets.periods import CalendarPeriod, clipped
from budgets.spending import Slice, Spending
from core.money import EXACT
from core.time import Granularity, Window, midnight

MAX_PERIODS: Final = 60
_HOURLY: Final = timedelta(hours=49)
_INSTANT: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Past:
    """One period of a budget, all members together; `limit` is None for a budget that is for each."""

    period: Window
    spent: Decimal
    limit: Decimal | None


@dataclass(frozen=True, slots=True)
class Point:
    """What was spent in one day, or hour, of the current period."""

    start: datetime
    spent: Decimal


Versions = Sequence[tuple[datetime, Terms]]


def periods_of(term: Term, count: int) -> list[Window]:
    """The current period and those before it, oldest first; what neither repeats nor ends has none before it."""
    found = [term.counted]
    period = term.terms.period
    earlier = period.before(term.period)
    while isinstance(period, CalendarPeriod) and earlier and len(found) < count:
        counted = clipped(earlier, term.terms.starts_at, term.terms.ends_at)
        if counted is None:
            break
        found.append(counted)
        earlier = period.before(earlier)
    return found[::-1]


def past_slice(term: Term, count: int) -> Slice:
    """What to ask for the history: the daily sums of all its periods, and of the one that left something to them."""
    periods = periods_of(term, count + 1)
    whole = Window(periods[0].start, periods[-1].end)
    return replace(term.spending, each=None, window=whole, bucket=Granularity.DAY)


def past(term: Term, count: int, spending: Spending, versions: Versions, now: datetime) -> list[Past]:
    """The periods with what was spent in each and what might be, rollover included, oldest first."""
    zone = term.terms.period.zone
    sums = {day: total.amount for (_, day), total in spending.by_bucket(past_slice(term, count)).items()}
    lasted = []
    for period in periods_of(term, count + 1):
        first, after = period.start.astimezone(zone).date(), (period.end - _INSTANT).astimezone(zone).date()
        days = (first + timedelta(days=i) for i in range((after - first).days + 1))
        terms = _in_force(versions, min(period.end - _INSTANT, now))
        lasted.append(_Lasted(period, _sum(sums.get(day, Decimal(0)) for day in days), terms))
    since = versions[0][0]
    found = [Past(each.period, each.spent, _limit(each, b, since)) for b, each in pairwise([None, *lasted]) if each]
    return found[-count:]


class _Lasted(NamedTuple):
    """A period, what was spent in it, and what held at its end."""

    period: Window
    spent: Decimal
    terms: Terms

    @property
    def amount(self) -> Decimal | None:
        """Its amount; None of a budget that is for each."""
        if not isinstance(self.terms, BudgetTerms) or self.terms.each is not None:
            return None
        period = self.terms.period
        first = self.period.start.astimezone(period.zone).date()
        return self.terms.amount(period.first_day(first) if isinstance(period, CalendarPeriod) else first)


def _in_force(versions: Versions, at: datetime) -> Terms:
    """What held at that time; before there was anything, the first."""
    return next((terms for since, terms in reversed(versions) if since <= at), versions[0][1])


def _limit(period: _Lasted, before: _Lasted | None, created_at: datetime) -> Decimal | None:
    amount, terms = period.amount, period.terms
    if amount is None or before is None or created_at >= before.period.end or not isinstance(terms, BudgetTerms):
        return amount
    return EXACT.add(amount, left_over(before.amount, before.spent)) if rolls(before.terms, terms) else amount


def series_slice(term: Term) -> Slice:
    """What to ask for the current period's course: by hour when it is short, else by local day."""
    is_short = term.counted.end - term.counted.start <= _HOURLY
    return replace(term.spending, each=None, bucket=Granularity.HOUR if is_short else Granularity.DAY)


def series(term: Term, spending: Spending, now: datetime) -> list[Point]:
    """The current period up to now, bucket by bucket, empty ones included."""
    asked = series_slice(term)
    zone, granularity = asked.zone, asked.bucket
    assert isinstance(granularity, Granularity)
    sums = {_start(bucket, asked): total.amount for (_, bucket), total in spending.by_bucket(asked).items()}
    window = Window(term.counted.start, min(max(now, term.counted.start + _INSTANT), term.counted.end))
    starts = [bucket.start for bucket in granularity.buckets(window, zone)]
    return [Point(max(start, term.counted.start), sums.get(start, Decimal(0))) for start in starts]


def _start(bucket: date | datetime | None, asked: Slice) -> datetime:
    assert bucket is not None
    return bucket if isinstance(bucket, datetime) else midnight(bucket, asked.zone)


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    total = Decimal(0)
    for amount in amounts:
        total = EXACT.add(total, amount)
    return total
