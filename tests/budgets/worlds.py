"""One deployment without a server, and what it watches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sqlmodel import Session, col, select

from attribution.dimensions import Dimension
from attribution.event import EventRow
from attribution.query import Condition, Operator
from attribution.slices import SliceQuery
from attribution.store import Store
from budgets.definition import AmountFrom, BudgetTerms, Threshold
from budgets.lease import Lease
from budgets.models import Breach, Target, TargetVersion
from budgets.notices import Notice
from budgets.periods import CalendarPeriod
from budgets.round import Round
from budgets.status import BudgetStatus, Snapshot
from budgets.targets import Targets
from core.database import Database
from core.money import to_pico
from core.time import Granularity
from tests.attribution.factories import event

ZONE = ZoneInfo("UTC")
FEBRUARY = datetime(2026, 2, 10, tzinfo=UTC)
MARCH = datetime(2026, 3, 10, 12, tzinfo=UTC)
SEARCH = Condition(Dimension.TEAM, Operator.ANY_OF, ("search",))
MONTHLY = BudgetTerms(
    name="search",
    where=SEARCH,
    period=CalendarPeriod(Granularity.MONTH, ZONE),
    amounts=(AmountFrom(Decimal(10)),),
    thresholds=(Threshold(Decimal(100)),),
    channels=("ops",),
)


class World:
    """One deployment without a server."""

    def __init__(self, store: Store, database: Database) -> None:
        self.store = store
        self.database = database
        self.targets = Targets(database)
        self.told: list[Notice] = []
        self.lease = Lease(database, "budgets", ttl_seconds=60)
        self.round = self.another(self.lease)

    def another(self, lease: Lease, ask: Callable[[SliceQuery], Any] | None = None) -> Round:
        return Round(ask or self.store.slices, self.database, self.targets, lease, tell=self._tell, currency="USD")

    def run(self, now: datetime) -> Snapshot:
        assert self.lease.hold()
        return evaluated(self.round, now)

    def status(self, now: datetime, member: str | None = None) -> BudgetStatus:
        (state,) = self.run(now).budgets.values()
        return state.statuses[member]

    def breaches(self) -> list[Breach]:
        with self.database.session() as session:
            return list(session.exec(select(Breach).order_by(col(Breach.id))))

    def _tell(self, _session: Session, notice: Notice) -> None:
        self.told.append(notice)


def evaluated(round_: Round, now: datetime) -> Snapshot:
    seen = round_.look(now)
    round_.record(seen)
    return seen.snapshot


def spend(at: datetime, amount: str, **fields: Any) -> EventRow:
    return event(start_time=at, effective_cost=to_pico(Decimal(amount)), **fields)


def made_before(world: World, terms: BudgetTerms) -> None:
    """A target that existed all the time."""
    definition = world.targets.create(terms, by="ada")
    world.targets._read()
    known = world.targets._known
    old = replace(definition, created_at=datetime(2025, 1, 1, tzinfo=UTC))
    world.targets._known = known._replace(live=(old,), ever=(old,))


def changed_in(world: World, before: datetime, was: BudgetTerms, after: datetime, terms: BudgetTerms) -> None:
    """A target that said one thing from then on, and something else later."""
    definition = world.targets.create(was, by="ada")
    world.targets.update(definition, terms, by="ada")
    with world.database.session() as session:
        session.get_one(Target, definition.id).created_at = before
        for row, since in zip(session.exec(select(TargetVersion)), (before, after), strict=True):
            row.effective_from = since
            session.add(row)
        session.commit()
    world.targets = Targets(world.database)
    world.round = world.another(world.lease)
