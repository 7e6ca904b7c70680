"""Revenue against cost, of whatever it is. What is unknown is None, never zero."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal

from core.money import EXACT, quantize
from finance.revenue.amounts import Revenue

_PERCENT_GRAIN = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class Economics:
    """`costs` are the known costs by category, and `cost` their sum; both cover usage and charges.

    `revenue` is None where neither terms nor actual revenue say anything, `cost` where nothing has a price.
    """

    revenue: Revenue | None = None
    cost: Decimal | None = None
    costs: Mapping[str, Decimal] = field(default_factory=dict)
    active_users: int = 0
    unpriced: int = 0

    @property
    def gross_margin(self) -> Decimal | None:
        """Revenue less cost."""
        if self.revenue is None or self.cost is None:
            return None
        return EXACT.subtract(self.revenue.total, self.cost)

    @property
    def margin_percent(self) -> Decimal | None:
        """The margin in percent of the revenue, to four decimals; None without revenue to divide by."""
        margin = self.gross_margin
        if margin is None or self.revenue is None or self.revenue.total <= 0:
            return None
        return percent(margin, self.revenue.total)

    @property
    def cost_per_active_user(self) -> Decimal | None:
        """What it costs to serve one of the users who were active."""
        if self.cost is None or not self.active_users:
            return None
        return quantize(EXACT.divide(self.cost, self.active_users))

    def is_below(self, floor_percent: Decimal) -> bool | None:
        """Whether less than that percentage of the revenue is left; None where that is unknown.

        Without revenue, whatever it costs is a loss.
        """
        margin = self.gross_margin
        if margin is None or self.revenue is None:
            return None
        return EXACT.multiply(margin, 100) < EXACT.multiply(self.revenue.total, floor_percent)


def percent(part: Decimal, whole: Decimal) -> Decimal:
    """The part in percent of the whole, to four decimals."""
    ratio = EXACT.divide(EXACT.multiply(part, Decimal(100)), whole)
    return ratio.quantize(_PERCENT_GRAIN, rounding=ROUND_HALF_EVEN, context=EXACT)
