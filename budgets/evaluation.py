"""From definitions and what was spent to statuses. Pure: equal spending at the same instant gives equal answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

from attribution.slices import Bucket
from budgets.definition import BudgetTerms, Terms
from budgets.forecast import HISTORY_DAYS, Habit, Passage, forecast, habit, passage_of
from budgets.periods import RollingPeriod, clipped
from budgets.spending import NOTHING, Slice, Spending, Sum
from budgets.status import BudgetState, BudgetStatus, Forecast
from budgets.targets import Definition, counts_the_same
from core.money import EXACT
from core.time import Granularity, Window, midnight

GRACE: Final = timedelta(minutes=15)
"""How long after its end a period is still judged: events arrive late, and evaluations come after them."""

_INSTANT: Final = timedelta(microseconds=1)

WORTH_A_FORECAST: Final = Decimal("0.5")
"""Of a member's limit: there may be a hundred thousand members, of which few come near."""

Habits = Mapping[tuple[int, str | None], Habit]
"""By budget and member."""


AsOf = Callable[[Definition, datetime], Definition]
"""The target as it was at that time."""


@dataclass(frozen=True, slots=True)
class Before:
    """A period that may have left something over, and what the budget said at its end."""

    period: Window
    counted: Window
    terms: BudgetTerms


@dataclass(frozen=True, slots=True)
class Term:
    """A budget in one of its periods: what to ask for, and under which budget."""

    definition: Definition
    terms: BudgetTerms
    period: Window
    counted: Window
    before: Before | None
    """The period that left something over, where that counts."""

    @property
    def spending(self) -> Slice:
        """What is spent in it."""
        return _slice(self.terms, self.counted)

    @property
    def inherited(self) -> Slice | None:
        """What was spent in the period before."""
        return _slice(self.terms, self.before.counted) if self.before else None


def current_terms(definitions: Iterable[Definition], now: datetime, as_of: AsOf) -> list[Term]:
    """Every budget that runs now, in its current period."""
    return [term for definition in definitions if (term := _term(definition, now, as_of))]


def ended_terms(definitions: Iterable[Definition], now: datetime, as_of: AsOf) -> list[Term]:
    """The budgets whose period ended within GRACE, in that period, under what they said at its end."""
    return [term for definition in definitions if (term := _ended(definition, now, as_of))]


def _ended(definition: Definition, now: datetime, as_of: AsOf) -> Term | None:
    """What rolls never ends."""
    then = as_of(definition, now - GRACE)
    term = _term(then, now - GRACE, as_of)
    if term and (last := as_of(definition, term.counted.end - _INSTANT)).version != then.version:
        term = _term(last, now - GRACE, as_of)
    if term is None or isinstance(term.terms.period, RollingPeriod):
        return None
    return term if definition.created_at < term.counted.end <= now else None


def _term(definition: Definition, now: datetime, as_of: AsOf) -> Term | None:
    terms = definition.terms
    period = terms.period.at(now) if isinstance(terms, BudgetTerms) else None
    if not isinstance(terms, BudgetTerms) or period is None:
        return None
    counted = clipped(period, terms.starts_at, terms.ends_at)
    if counted is None or not counted.start <= now < counted.end:
        return None
    return Term(definition, terms, period, counted, _before(definition, terms, period, as_of))


def _before(definition: Definition, terms: BudgetTerms, period: Window, as_of: AsOf) -> Before | None:
    earlier = terms.period.before(period) if terms.rollover else None
    if earlier is None or definition.created_at >= earlier.end:
        return None
    counted = clipped(earlier, terms.starts_at, terms.ends_at)
    was = as_of(definition, earlier.end - _INSTANT).terms
    return Before(earlier, counted, was) if counted and isinstance(was, BudgetTerms) and rolls(was, terms) else None


def rolls(was: Terms, terms: BudgetTerms) -> bool:
    """Whether what was left under the earlier terms is of the same kind as what may be spent under the later ones."""
    return (
        terms.rollover and isinstance(was, BudgetTerms) and was.period == terms.period and counts_the_same(was, terms)
    )


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


def evaluate(term: Term, spending: Spending, habits: Habits, now: datetime) -> BudgetState:
    """How the budget stands at `now`."""
    passage = passage_of(term.counted, now, term.terms.period.zone)
    sums, limits = spending.of(term.spending), _Limits(term, spending)
    statuses = {}
    for member in dict.fromkeys((*sums, *limits.inherited, *limits.own)):
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
        default_limit=limits.default,
        statuses=statuses,
        unwatched=frozenset(o.member for o in term.terms.overrides if o.amount is None),
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


class _Amounts:
    """What each member may spend in a period, without what is left over. `own` are those that have their own."""

    def __init__(self, terms: BudgetTerms, period: Window) -> None:
        self.own: dict[str | None, Decimal | None] = {each.member: each.amount for each in terms.overrides}
        self._usual = terms.amount(period.start.astimezone(terms.period.zone).date())

    def of(self, member: str | None) -> Decimal | None:
        """The member's amount; None when it is not watched."""
        return self.own.get(member, self._usual)


class _Limits:
    """What each member of a budget may spend in a period. `inherited` is what they spent in the one before."""

    def __init__(self, term: Term, spending: Spending) -> None:
        self.inherited = spending.of(term.inherited) if term.inherited else {}
        self._amounts = _Amounts(term.terms, term.period)
        self._earlier = _Amounts(term.before.terms, term.before.period) if term.before else None

    @property
    def own(self) -> Mapping[str | None, Decimal | None]:
        """The amounts that members have of their own."""
        return self._amounts.own

    @property
    def default(self) -> Decimal:
        """For whoever has spent nothing and has no amount of their own."""
        limit = self.of(None)
        assert limit is not None
        return limit.amount

    def of(self, member: str | None) -> _Limit | None:
        """The member's limit; None when it is not watched."""
        amount, left = self._amounts.of(member), self._left(member)
        return None if amount is None else _Limit(EXACT.add(amount, left), left)

    def _left(self, member: str | None) -> Decimal:
        """What the member left of its amount in the period before."""
        earlier = self._earlier.of(member) if self._earlier else None
        return left_over(earlier, self.inherited.get(member, NOTHING).amount)


def left_over(amount: Decimal | None, spent: Decimal) -> Decimal:
    """What is left of the amount: what was overspent is no debt, and who is not watched leaves nothing."""
    return Decimal(0) if amount is None else max(Decimal(0), EXACT.subtract(amount, spent))


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
