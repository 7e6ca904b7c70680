"""Tier charges of statements: exactly what revenue counts, line by line."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from core.time import Window
from finance.revenue.books import Bookkeeping, Books
from finance.revenue.contracts import overlap
from finance.revenue.earnings import charge, earnings, uncovered
from finance.revenue.metering import Report
from finance.revenue.proration import rounded
from finance.statements.lines import TierChargeLine
from tenants.scope import Scope

ACTUAL = "actual"
"""The charge of what the billing system said itself."""


@dataclass(frozen=True, slots=True)
class RevenueCharges:
    """What tenants owe by their tiers' terms, and what was said to be paid in its place."""

    report: Report
    bookkeeping: Bookkeeping

    def tenants(self, window: Window) -> Iterable[str]:
        """The tenants with a tier or actual revenue in the window."""
        books = self.bookkeeping.books(window, None)
        held = {c.tenant_id for c in books.contracts if overlap(window, c.start, c.end) is not None}
        return held | {actual.tenant_id for actual in books.actuals}

    def lines(self, tenant_id: str, window: Window) -> Sequence[TierChargeLine]:
        """The tenant's charges by tier, kind and measure. They add up to its revenue."""
        books = self.bookkeeping.books(window, tenant_id)
        return [*self._modelled(tenant_id, window, books), *_actual(window, books)]

    def _modelled(self, tenant_id: str, window: Window, books: Books) -> list[TierChargeLine]:
        sums: defaultdict[tuple[str, str, str], list[Decimal]] = defaultdict(lambda: [Decimal(0), Decimal(0)])
        for each in charge(self.report, Scope(tenant=tenant_id), books.contracts, books.definitions, [window]):
            part = uncovered(each.stretch, books.actuals)
            for line in each.lines if part else ():
                cell = sums[each.stretch.contract.tier, line.kind.value, line.measure]
                cell[0] += rounded(Fraction(line.quantity or 0) * part)
                cell[1] += rounded(Fraction(line.amount) * part)
        return [TierChargeLine(*key, quantity, amount) for key, (quantity, amount) in sums.items()]


def _actual(window: Window, books: Books) -> list[TierChargeLine]:
    paid: defaultdict[str, Decimal] = defaultdict(Decimal)
    for each in earnings((), books.actuals, books.contracts, [window]):
        paid[each.tier] += each.revenue.actual
    return [TierChargeLine(tier, ACTUAL, "", Decimal(0), amount) for tier, amount in paid.items()]
