"""From definitions and what was spent to statuses. Pure: equal spending at the same instant gives equal answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from attribution.slices import Bucket
from budgets.definition import BudgetTerms
from budgets.forecast import HISTORY_DAYS, Habit, Passage, forecast, habit
from budgets.periods import RollingPeriod, clipped
from budgets.spending import NOTHING, Slice, Spending, Sum
from budgets.status import BudgetState, BudgetStatus, Forecast
from budgets.targets import Definition
from core.money import EXACT
from core.time import Granularity, Window, midnight

GRACE: Final = timedelta(minutes=15)
"""How long after its end a period is still judged: events arrive late, and evaluations come after them."""

WORTH_A_FORECAST: Final = Decimal("0.5")
"""Of a member's limit: there may be a hundred thousand members, of which few come near."""

Habits = Mapping[tuple[int, str | None], Habit]
"""By budget and member."""


@dataclass(frozen=True, slots=True)
class Term:
    """A budget in one of its periods: what to ask for, and under which budget."""

    definition: Definition
    terms: BudgetTerms
    period: Window
    counted: Window
    before: Window | None
    """The period that left something over, where that counts."""

    @property
    def spending(self) -> Slice:
        """What is spent in it."""
        return _slice(self.terms, self.counted)

    @property
    def inherited(self) -> Slice | None:
        """What was spent in the period before."""
        return _slice(self.terms, self.before) if self.before else None


def current_terms(definitions: Iterable[Definition], now: datetime) -> list[Term]:
    """Every budget that runs now, in its current period."""
    return [term for d in definitions if isinstance(d.terms, BudgetTerms) and (term := _term(d, d.terms, now))]


def ended_terms(definitions: Iterable[Definition], now: datetime) -> list[Term]:
    """The budgets whose period ended within GRACE, in that period. What rolls never ends."""
    found = []
    for definition in definitions:
        terms = definition.terms
        if isinstance(terms, BudgetTerms) and not isinstance(terms.period, RollingPeriod):
            earlier = _term(definition, terms, now - GRACE)
            if earlier and earlier.counted.end <= now and definition.created_at < earlier.counted.end:
                found.append(earlier)
    return found


def _term(definition: Definition, terms: BudgetTerms, now: datetime) -> Term | None:
    period = terms.period.at(now)
    counted = clipped(period, terms.starts_at, terms.ends_at) if period else None
    if period is None or counted is None or not counted.start <= now < counted.end:
        return None
    earlier = terms.period.before(period) if terms.rollover else None
    before = (
        clipped(earlier, terms.starts_at, terms.ends_at) if earlier and definition.created_at < earlier.end else None
    )
    return Term(definition, terms, period, counted, before)


def _slice(terms: BudgetTerms, window: Window) -> Slice:
    return Slice(window, terms.where, terms.measure, terms.each, terms.period.zone)


def slices(terms: Iterable[Term]) -> Iterator[Slice]:
    """All that must be asked to evaluate them."""
    for term in terms:
        yield term.spending
        if term.inherited:
            yield term.inherited


def answered(terms: Iterable[Term], spending: Spending) -> list[Term]:
    """Those of which the store said what was spent."""
    return [term for term in terms if all(map(spending.knows, slices([term])))]


@lru_cache(maxsize=256)
def _passage(period: Window, zone: ZoneInfo, now: datetime) -> Passage:
    """The passage of a period that many budgets share."""
    return Passage.of(period, now, zone)


def evaluate(term: Term, spending: Spending, habits: Habits, now: datetime) -> BudgetState:
    """How the budget stands at `now`."""
    passage = _passage(term.counted, term.terms.period.zone, now)
    sums, limits = spending.of(term.spending), _Limits(term, spending)
    statuses = {}
    for member in dict.fromkeys((*sums, *limits.own)):
        limit = limits.of(member)
        if limit is not None:
            found = habits.get((term.definition.id, member))
            spent = sums.get(member, NOTHING)
            foreseen = _foreseen(term, found, passage, spent, limit) if found else None
            statuses[member] = _status(term, member, spent, limit, foreseen, now)
    return BudgetState(
        budget_id=term.definition.id,
        version=term.definition.version,
        terms=term.terms,
        period=term.period,
        counted=term.counted,
        default_limit=limits.default.amount,
        statuses=statuses,
        unwatched=frozenset(member for member, amount in limits.own.items() if amount is None),
        foresees=any((term.definition.id, member) in habits for member in statuses),
    )


def _foreseen(term: Term, found: Habit, passage: Passage, spent: Sum, limit: _Limit) -> Forecast | None:
    if term.terms.each is None:
        return forecast(found, passage, spent.amount, limit.amount)
    worth = EXACT.multiply(limit.amount, WORTH_A_FORECAST)
    return forecast(found, passage, spent.amount, limit.amount, at_least=worth)


class _Limit(NamedTuple):
    """What may be spent, and what part of it is left over from before."""

    amount: Decimal
    rolled_over: Decimal


class _Limits:
    """What each member of a budget may spend in a period. `own` are the amounts that members have of their own."""

    def __init__(self, term: Term, spending: Spending) -> None:
        self.own = {override.member: override.amount for override in term.terms.overrides}
        self._amount = _amount(term, term.period)
        self._earlier = _amount(term, term.before) if term.before else Decimal(0)
        self._inherited = spending.of(term.inherited) if term.inherited else {}
        self._rolls = term.before is not None

    @property
    def default(self) -> _Limit:
        """For whoever has spent nothing and has no amount of their own."""
        return self._limit(self._amount, self._earlier, NOTHING)

    def of(self, member: str | None) -> _Limit | None:
        """The member's limit; None when it is not watched."""
        spent = self._inherited.get(member, NOTHING)
        if member is None or member not in self.own:
            return self._limit(self._amount, self._earlier, spent)
        own = self.own[member]
        return None if own is None else self._limit(own, own, spent)

    def _limit(self, amount: Decimal, earlier: Decimal, spent: Sum) -> _Limit:
        left = max(Decimal(0), EXACT.subtract(earlier, spent.amount)) if self._rolls else Decimal(0)
        return _Limit(EXACT.add(amount, left), left)


def _amount(term: Term, period: Window) -> Decimal:
    amount = term.terms.amount(period.start.astimezone(term.terms.period.zone).date())
    assert amount is not None
    return amount


def _status(
    term: Term, member: str | None, spent: Sum, limit: _Limit, foreseen: Forecast | None, now: datetime
) -> BudgetStatus:
    return BudgetStatus(
        budget_id=term.definition.id,
        terms=term.terms,
        member=member,
        period=term.period,
        counted=term.counted,
        spent=spent.amount,
        limit=limit.amount,
        evaluated_at=now,
        rolled_over=limit.rolled_over,
        unpriced_operations=spent.unpriced,
        forecast=foreseen,
    )


def history_slices(terms: Iterable[Term], now: datetime) -> list[tuple[Term, Slice]]:
    """What to ask to learn the budgets' habits: the daily amounts of the weeks before today."""
    return [(term, _daily(term, now)) for term in terms if not isinstance(term.terms.period, RollingPeriod)]


def _daily(term: Term, now: datetime) -> Slice:
    zone = term.terms.period.zone
    today = now.astimezone(zone).date()
    weeks = Window(midnight(today - timedelta(days=HISTORY_DAYS), zone), midnight(today, zone))
    return replace(term.spending, window=weeks, bucket=Granularity.DAY)


def learn(term: Term, daily: Slice, spending: Spending, now: datetime) -> dict[tuple[int, str | None], Habit]:
    """The habits that the budget and its members have shown."""
    today = now.astimezone(term.terms.period.zone).date()
    habits = {member: habit(amounts, today) for member, amounts in _by_member(spending.by_bucket(daily)).items()}
    return {(term.definition.id, member): found for member, found in habits.items() if found}


def _by_member(sums: Mapping[tuple[str | None, Bucket], Sum]) -> dict[str | None, dict[date, Decimal]]:
    members: defaultdict[str | None, dict[date, Decimal]] = defaultdict(dict)
    for (member, day), total in sums.items():
        if isinstance(day, date):
            members[member][day] = total.amount
    return members
