"""Drafts: what a tenant's statement of a month would say now, from the events, the tiers and the books."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

from attribution.dimensions import Dimension
from attribution.measures import Measure
from attribution.query import CostQuery, Page
from attribution.report import CostReport
from attribution.store import Store
from core.errors import InvalidInput
from core.time import Granularity, Window
from finance.statements.books import Account
from finance.statements.charges import TierCharges
from finance.statements.document import Draft
from finance.statements.lines import Line, LineKey, LineKind, Value, difference, total
from finance.statements.period import BillingPeriod
from tenants.scope import Scope

MAX_LINES: Final = 200_000
"""Most groups of one tenant over all the months that a draft looks at."""
MAX_TENANTS: Final = 1_000_000

_AXES: Final = (Dimension.FEATURE, Dimension.MODEL, Dimension.COST_CATEGORY)
_MEASURES: Final = (Measure.EFFECTIVE_COST, Measure.OPERATIONS, Measure.UNPRICED_OPERATIONS)


class TooManyLines(InvalidInput):
    """A statement that nobody could read."""

    code = "TOO_MANY_LINES"

    def __init__(self, tenant_id: str) -> None:
        super().__init__(f"tenant {tenant_id!r} has more than {MAX_LINES} combinations of feature, model and category")


@dataclass(frozen=True, slots=True)
class Drafting:
    """Makes drafts for one deployment. Months of `timezone`; amounts in `currency`."""

    store: Store
    charges: TierCharges
    timezone: ZoneInfo
    currency: str
    retention_days: int = 0

    def draft(self, tenant_id: str, period: BillingPeriod, account: Account, now: datetime) -> Draft:
        """The month's lines and, for each closed month before it, what has changed since it was billed."""
        earlier = {p for p in account.closed if p < period and self.is_kept(p, now)}
        return self._draft(tenant_id, period, account, {period, *earlier})

    def _draft(self, tenant_id: str, period: BillingPeriod, account: Account, months: set[BillingPeriod]) -> Draft:
        names = {str(month) for month in months}
        known = total((*self._costs(tenant_id, months), *self._charges(tenant_id, months)))
        billed = {key: value for key, value in account.billed.items() if key.period in names}
        return Draft(tenant_id, period, self.timezone, self.currency, difference(known, billed))

    def is_kept(self, period: BillingPeriod, now: datetime) -> bool:
        """False once retention has begun to drop the month's events: from then on nothing can be told about it."""
        if not self.retention_days:
            return True
        return period.window(self.timezone).start > now - timedelta(days=self.retention_days)

    def tenants(self, months: Iterable[BillingPeriod]) -> set[str]:
        """The tenants with any event or tier charge between the first and the last of these months."""
        window = self._span(months)
        query = CostQuery(Scope(), window, (), group_by=(Dimension.TENANT,), page=Page(first=MAX_TENANTS))
        seen = self.store.report(query).keys[0]
        return {tenant for tenant in (*seen, *self.charges.tenants(window)) if tenant}

    def _costs(self, tenant_id: str, months: set[BillingPeriod]) -> Iterator[Line]:
        query = CostQuery(
            scope=Scope(tenant=tenant_id),
            window=self._span(months),
            measures=_MEASURES,
            timezone=self.timezone,
            group_by=_AXES,
            granularity=Granularity.MONTH,
            page=Page(first=MAX_LINES),
        )
        report = self.store.report(query)
        if report.group_count > report.size:
            raise TooManyLines(tenant_id)
        return (line for month, line in self._cost_lines(report) if month in months)

    def _cost_lines(self, report: CostReport) -> Iterator[tuple[BillingPeriod, Line]]:
        measured = zip(*(report.measures[measure] for measure in _MEASURES), strict=True)
        for bucket, axes, (cost, operations, unpriced) in zip(
            report.buckets, zip(*report.keys, strict=True), measured, strict=True
        ):
            month = BillingPeriod.of(bucket.start, self.timezone)
            key = LineKey(str(month), LineKind.COST.value, *(axis or "" for axis in axes))
            yield month, Line(key, Value(cost, Decimal(operations), unpriced))

    def _charges(self, tenant_id: str, months: set[BillingPeriod]) -> Iterator[Line]:
        whole = list(Granularity.MONTH.buckets(self._span(months), self.timezone))
        for window, charge in self.charges.lines(tenant_id, whole):
            month = BillingPeriod.of(window.start, self.timezone)
            if month in months:
                yield charge.line(str(month))

    def _span(self, months: Iterable[BillingPeriod]) -> Window:
        windows = [month.window(self.timezone) for month in months]
        return Window(min(w.start for w in windows), max(w.end for w in windows))
