"""Tier charges of statements: exactly what revenue counts, line by line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
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
    """What tenants owe by their tiers' terms, and what was said to be paid in its place.

    `refresh` makes the events store's copy of the tiers equal to the database's, or raises Unavailable: a statement is
    never changed, so usage is not read by tiers of a moment ago.
    """

    report: Report
    bookkeeping: Bookkeeping
    refresh: Callable[[], None]

    def tenants(self, window: Window) -> Iterable[str]:
        """The tenants with a tier or actual revenue in the window."""
        books = self.bookkeeping.books(window, None)
        held = {c.tenant_id for c in books.contracts if overlap(window, c.start, c.end) is not None}
        return held | {actual.tenant_id for actual in books.actuals}

    def lines(self, tenant_id: str, months: Sequence[Window]) -> Iterator[tuple[Window, TierChargeLine]]:
        """The tenant's charges of each month by tier, kind and measure. They add up to its revenue."""
        self.refresh()
        books = self.bookkeeping.books(Window(months[0].start, months[-1].end), tenant_id)
        yield from self._modelled(tenant_id, months, books)
        yield from _actual(months, books)

    def _modelled(
        self, tenant_id: str, months: Sequence[Window], books: Books
    ) -> Iterator[tuple[Window, TierChargeLine]]:
        for each in charge(self.report, Scope(tenant=tenant_id), books.contracts, books.definitions, months):
            part = uncovered(each.stretch, books.actuals)
            month = next(month for month in months if month.start <= each.stretch.window.start < month.end)
            for line in each.lines if part else ():
                quantity = rounded(Fraction(line.quantity or 0) * part)
                amount = rounded(Fraction(line.amount) * part)
                tier = each.stretch.contract.tier
                yield month, TierChargeLine(tier, line.kind.value, line.measure, quantity, amount)


def _actual(months: Sequence[Window], books: Books) -> Iterator[tuple[Window, TierChargeLine]]:
    for each in earnings((), books.actuals, books.contracts, months):
        yield each.bucket, TierChargeLine(each.tier, ACTUAL, "", Decimal(0), each.revenue.actual)
