"""A deployment whose clock stands in December 2026, whose tiers a test sets, and whose law can be asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sqlmodel import Session

from attribution.dimensions import Dimension
from attribution.event import EventRow, row_version
from attribution.measures import Measure
from attribution.query import CostQuery, Page
from attribution.store import Store
from core.database import Database
from core.money import EXACT
from core.time import Granularity, Window
from finance.statements import books
from finance.statements.books import Statement
from finance.statements.closing import Asked, Closer, Outcome
from finance.statements.document import Draft, lines_of
from finance.statements.drafting import Drafting
from finance.statements.lines import Line, TierChargeLine
from finance.statements.period import BillingPeriod
from tenants.scope import Scope
from tests.attribution.factories import event

NOW = datetime(2026, 12, 3, tzinfo=UTC)
SEPTEMBER, OCTOBER, NOVEMBER, DECEMBER = (BillingPeriod.parse(f"2026-{month}") for month in ("09", "10", "11", "12"))
MONTHS = (SEPTEMBER, OCTOBER, NOVEMBER, DECEMBER)
NAMES = ("period", "feature", "model", "cost_category")


@dataclass
class Tiers:
    """Tier charges by tenant and month, as a test says."""

    zone: ZoneInfo
    owed: dict[tuple[str, BillingPeriod], Sequence[TierChargeLine]] = field(default_factory=dict)

    def tenants(self, window: Window) -> Iterable[str]:
        return [tenant for tenant, month in self.owed if window.start <= month.window(self.zone).start < window.end]

    def lines(self, tenant_id: str, months: Sequence[Window]) -> Iterable[tuple[Window, TierChargeLine]]:
        for month in months:
            for line in self.owed.get((tenant_id, BillingPeriod.of(month.start, self.zone)), ()):
                yield month, line


class Company:
    """What tests do to a deployment, and what they ask."""

    def __init__(self, store: Store, database: Database, zone: str = "UTC", **drafting: Any) -> None:
        self.store, self.database, self.zone = store, database, ZoneInfo(zone)
        self.tiers = Tiers(self.zone)
        self.told: list[Mapping[str, Any]] = []
        self.closer = Closer(database, Drafting(store, self.tiers, self.zone, "USD", **drafting), self._announce)

    def _announce(self, _session: Session, payload: Mapping[str, Any]) -> None:
        self.told.append(payload)

    def send(self, month: int, cents: int | None, *, version: int = 1, day: int = 10, **fields: Any) -> EventRow:
        """A stored event of that month of 2026; with a higher version, a correction."""
        start = datetime(2026, month, day, 12, tzinfo=UTC)
        cost = None if cents is None else cents * 10**10
        row = event(start_time=start, version=row_version(version, start), effective_cost=cost, **fields)
        self.store.insert([row])
        return row

    def close(self, period: BillingPeriod, tenant: str | None = None, now: datetime = NOW) -> Outcome:
        return self.closer.close(Asked(period, Scope(), tenant), by="fin", now=now)

    def close_one(self, period: BillingPeriod, tenant: str = "acme") -> Statement:
        (statement,) = self.close(period, tenant).closed
        return statement

    def preview(self, period: BillingPeriod, tenant: str = "acme") -> Draft:
        return self.closer.preview(tenant, period, now=NOW)

    def reopen(self, statement: Statement, reason: str = "a mistake") -> Statement:
        return self.closer.reopen(statement.record.number, reason, scope=Scope(), by="fin", now=NOW)

    def statements(self, tenant: str | None = None) -> Sequence[Statement]:
        with self.database.session() as session:
            return books.page(session, tenant_id=tenant, period=None, after=0, first=1_000)

    def told_lines(self, tenant: str = "acme") -> list[Line]:
        """Every line that holds: of the closed statements, then of the open months, pending adjustments once."""
        with self.database.session() as session:
            account = books.account(session, tenant)
        closed = [line for statement in account.holding.values() for line in lines_of(statement.content)]
        open_months = [month for month in MONTHS if month not in account.closed]
        for i, month in enumerate(reversed(open_months)):
            draft = self.preview(month, tenant)
            closed += [line for line in draft.lines if i == 0 or not draft.is_adjustment(line)]
        return closed

    def costs(self, tenant: str = "acme") -> dict[tuple[str, ...], Decimal]:
        """The cost of each month, feature, model and category, as `costs` answers."""
        window = Window(SEPTEMBER.window(self.zone).start, DECEMBER.window(self.zone).end)
        axes = (Dimension.FEATURE, Dimension.MODEL, Dimension.COST_CATEGORY)
        report = self.store.report(
            CostQuery(
                Scope(tenant=tenant),
                window,
                (Measure.EFFECTIVE_COST,),
                timezone=self.zone,
                group_by=axes,
                granularity=Granularity.MONTH,
                page=Page(10_000),
            )
        )
        months = [str(BillingPeriod.of(bucket.start, self.zone)) for bucket in report.buckets]
        keys = zip(months, *([key or "" for key in keys] for keys in report.keys), strict=True)
        amounts = zip(keys, report.measures[Measure.EFFECTIVE_COST], strict=True)
        return {key: amount for key, amount in amounts if amount}


def by_key(lines: Iterable[Line]) -> dict[tuple[str, ...], Decimal]:
    """The non-zero cost of each month, feature, model and category that the lines say."""
    sums: dict[tuple[str, ...], Decimal] = {}
    for line in lines:
        if line.key.kind == "cost":
            key = tuple(getattr(line.key, name) for name in NAMES)
            sums[key] = EXACT.add(sums.get(key, Decimal(0)), line.value.amount or Decimal(0))
    return {key: amount for key, amount in sums.items() if amount}
