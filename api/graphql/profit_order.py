"""What rows of profitability are ordered by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import Enum, unique

import strawberry

from api.graphql.inputs import Direction
from api.graphql.naming import described_enum
from finance.profit.profitability import Row


@unique
class ProfitOrder(Enum):
    """What rows are ordered by."""

    REVENUE = "revenue"
    COST = "cost"
    GROSS_MARGIN = "gross_margin"
    GROSS_MARGIN_PERCENT = "margin_percent"
    ACTIVE_USERS = "active_users"
    COST_PER_ACTIVE_USER = "cost_per_active_user"
    MEMBER = "member"
    BUCKET = "bucket"


_ORDERS = {
    ProfitOrder.REVENUE: "Revenue.",
    ProfitOrder.COST: "All-in cost.",
    ProfitOrder.GROSS_MARGIN: "Revenue less cost.",
    ProfitOrder.GROSS_MARGIN_PERCENT: "The margin in percent of the revenue.",
    ProfitOrder.ACTIVE_USERS: "Distinct users.",
    ProfitOrder.COST_PER_ACTIVE_USER: "Cost to serve one of them.",
    ProfitOrder.MEMBER: "The tenant, tier, feature or segment, by name.",
    ProfitOrder.BUCKET: "The start of the time bucket.",
}
described_enum(ProfitOrder, "ProfitOrderBy", "What rows are ordered by.", _ORDERS.__getitem__)


@strawberry.input(description="One key of the order; later keys decide between equals. Unknown values come last.")
class ProfitOrderInput:
    """An order key with its direction."""

    by: ProfitOrder = strawberry.field(description="What to order by.")
    direction: Direction = strawberry.field(default=Direction.DESC, description="Which way.")


_SORT_KEYS: dict[ProfitOrder, Callable[[Row], object]] = {
    ProfitOrder.REVENUE: lambda row: row.economics.revenue.total if row.economics.revenue else None,
    ProfitOrder.COST: lambda row: row.economics.cost,
    ProfitOrder.GROSS_MARGIN: lambda row: row.economics.gross_margin,
    ProfitOrder.GROSS_MARGIN_PERCENT: lambda row: row.economics.margin_percent,
    ProfitOrder.ACTIVE_USERS: lambda row: row.economics.active_users,
    ProfitOrder.COST_PER_ACTIVE_USER: lambda row: row.economics.cost_per_active_user,
    ProfitOrder.MEMBER: lambda row: row.member,
    ProfitOrder.BUCKET: lambda row: row.bucket.start,
}
"""What is compared; None comes last either way."""

USUAL_ORDER = (
    (ProfitOrder.BUCKET, Direction.ASC),
    (ProfitOrder.GROSS_MARGIN, Direction.ASC),
    (ProfitOrder.COST, Direction.DESC),
)


def ordered(rows: Iterable[Row], orders: Sequence[tuple[ProfitOrder, Direction]]) -> list[Row]:
    """The rows in that order; members by name between equals."""
    found = sorted(rows, key=lambda row: (row.bucket.start, row.member or ""))
    for by, direction in reversed(orders):
        key = _SORT_KEYS[by]
        known = [row for row in found if key(row) is not None]
        known.sort(key=key, reverse=direction is Direction.DESC)  # type: ignore[arg-type]
        found = known + [row for row in found if key(row) is None]
    return found
