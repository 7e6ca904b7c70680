"""One evaluation of all budgets and guardrails: ask the store, judge, and put on record what changed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Final, NamedTuple, TypeVar

from budgets import breaches
from budgets.apart import Apart
from budgets.breaches import Telling
from budgets.contributors import contribution, top
from budgets.evaluation import (
    GRACE,
    Habits,
    Term,
    answered,
    current_terms,
    ended_terms,
    evaluate,
    history_slices,
    learn,
    slices,
)
from budgets.forecast import Habit
from budgets.guarding import Judged, Watch, guard, watches
from budgets.judging import Changes, Known, findings, judge
from budgets.lease import Lease
from budgets.notices import Tell
from budgets.pacing import Paced
from budgets.spending import Ask, Plan
from budgets.status import BudgetState, Snapshot
from budgets.targets import Definition, Targets
from core.database import Database

HABITS_AGE: Final = timedelta(minutes=10)
"""How old what was learned of the last weeks may be: complete days change little."""


@dataclass(slots=True)
class _Learned:
    """What the last weeks have shown, of which versions of which targets, and until when that is new enough."""

    until: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    habits: dict[tuple[int, str | None], Habit] = field(default_factory=dict)
    versions: dict[int, int] = field(default_factory=dict)

    def add(self, definitions: Iterable[Definition], habits: Habits) -> None:
        """Replace what was known of these targets."""
        new = {each.id: each.version for each in definitions}
        self.habits = {key: habit for key, habit in self.habits.items() if key[0] not in new} | {**habits}
        self.versions |= new


class Sight(NamedTuple):
    """How everything stands, how what has just ended stood, and of which targets nothing is known now."""

    snapshot: Snapshot
    ended: Collection[BudgetState]
    unjudged: Collection[int]
    definitions: Mapping[int, Definition]


class Round:
    """One evaluation of everything. The caller sees to it that there is one at a time."""

    def __init__(
        self, ask: Ask, database: Database, targets: Targets, lease: Lease, *, tell: Tell | None, currency: str
    ) -> None:
        self._ask = ask
        self._database = database
        self._targets = targets
        self._lease = lease
        self._tell = tell
        self._currency = currency
        self._learned = _Learned()
        self._known: list[Known] | None = None
        self._known_in = 0
        self._judged = Judged()
        self._judged_in = 0
        self._were_muted: set[int] = set()
        self._muted_in = 0

    def look(self, now: datetime) -> Sight:
        """How everything stands at `now`. Raises StoreUnavailable or DatabaseUnavailable."""
        return self._assess(self._targets.all(), now)

    def record(self, seen: Sight) -> None:
        """Make the breaches on record agree with what was seen.

        Raises LeaseLost, StoreUnavailable or DatabaseUnavailable, and then nothing was written.
        """
        now = seen.snapshot.evaluated_at
        found = findings(seen.definitions, seen.snapshot, seen.ended)
        muted = self._muted(seen.definitions.values(), now)
        unmuted = self._were_muted - muted
        changes = judge(found, self._breaches(now), seen.definitions, seen.snapshot, now, seen.unjudged, unmuted)
        if changes:
            self._write(changes, seen.definitions, now)
        self._were_muted = muted | (unmuted & {*seen.unjudged})

    def _assess(self, definitions: Sequence[Definition], now: datetime) -> Sight:
        """How everything stands, by what the store answers."""
        apart, habits, as_of = Apart(), self._habits(definitions, now), self._targets.as_of
        terms = _all(apart.each(Paced(definitions), _id_of, lambda each: current_terms([each], now, as_of)))
        ended = _all(apart.each(Paced(definitions), _id_of, lambda each: ended_terms([each], now, as_of)))
        watched = _all(apart.each(Paced(definitions), _id_of, lambda each: watches([each], now)))
        new = self._not_judged(watched)
        plan = Plan(Paced([*slices(terms), *slices(ended), *(watch.slice for watch in new)]))
        spending = plan.answer_what_can_be(self._ask)
        told, over = (answered(each, spending) for each in (terms, ended))
        answers = [watch for watch in new if spending.knows(watch.slice)]
        for watch, statuses in apart.each(answers, _whose, lambda watch: (watch, guard(watch, spending, now))):
            self._judged.add(watch, statuses)
        guarded = [watch for watch in watched if self._judged.holds(watch)]
        asked = {term.definition.id for term in terms} | {watch.definition.id for watch in watched}
        known = {term.definition.id for term in told} | {watch.definition.id for watch in guarded}
        states = apart.each(Paced(told), _whose, lambda term: evaluate(term, spending, habits, now))
        return Sight(
            Snapshot(now, {state.budget_id: state for state in states}, _merged(map(self._judged.of, guarded))),
            list(apart.each(over, _whose, lambda term: evaluate(term, spending, {}, now))),
            asked - known | apart.failed,
            {definition.id: definition for definition in definitions},
        )

    def _not_judged(self, watched: Sequence[Watch]) -> list[Watch]:
        """Those whose newest interval has not been judged. A process that takes over judges it once more."""
        if self._judged_in != self._lease.term:
            self._judged_in, self._judged = self._lease.term, Judged()
        return [watch for watch in watched if not self._judged.holds(watch)]

    def _habits(self, definitions: Sequence[Definition], now: datetime) -> Habits:
        """What the last weeks have shown: of all budgets now and then, and at once of those that are new or changed."""
        if now >= self._learned.until:
            self._learned = _Learned(until=now + HABITS_AGE)
        new = [each for each in definitions if self._learned.versions.get(each.id) != each.version]
        if new:
            self._learned.add(new, self._learn(new, now))
        return self._learned.habits

    def _learn(self, new: Sequence[Definition], now: datetime) -> Habits:
        apart, as_of = Apart(), self._targets.as_of
        asked = _all(apart.each(new, _id_of, lambda each: history_slices(current_terms([each], now, as_of), now)))
        spending = Plan([slice_ for _, slice_ in asked]).answer_what_can_be(self._ask)
        known = [each for each in asked if spending.knows(each[1])]
        habits = apart.each(known, lambda each: _whose(each[0]), lambda each: learn(*each, spending, now))
        return _merged(habits)

    def _muted(self, definitions: Iterable[Definition], now: datetime) -> set[int]:
        """The targets of which nobody is to be told now. A process that takes over starts with those of GRACE ago."""
        if self._muted_in != self._lease.term:
            self._muted_in = self._lease.term
            self._were_muted = {each.id for each in definitions if each.is_muted(now - GRACE)}
        return {each.id for each in definitions if each.is_muted(now)}

    def _breaches(self, now: datetime) -> list[Known]:
        """What is on record: read once for as long as this process alone may change it."""
        if self._known is None or self._known_in != self._lease.term:
            self._known_in = self._lease.term
            with self._database.session() as session:
                self._known = breaches.known(session, now)
        return self._known

    def _write(self, changes: Changes, definitions: Mapping[int, Definition], now: datetime) -> None:
        """All changes in one transaction, which only the holder of the lease can commit."""
        new = [*changes.opened, *(finding for _, finding in changes.reopened)]
        driven = Plan([contribution(finding) for finding in new]).answer_what_can_be(self._ask)
        self._known = None
        with self._database.session() as session:
            self._lease.confirm(session)
            telling = Telling(self._tell, self._currency, now)
            breaches.write(session, changes, definitions, lambda finding: top(finding, driven), telling)
            session.commit()


K = TypeVar("K")
V = TypeVar("V")


def _all(parts: Iterable[Iterable[V]]) -> list[V]:
    return list(chain.from_iterable(parts))


def _merged(parts: Iterable[Mapping[K, V]]) -> dict[K, V]:
    return {key: value for part in parts for key, value in part.items()}


def _id_of(definition: Definition) -> int:
    return definition.id


def _whose(asked: Term | Watch) -> int:
    return asked.definition.id
