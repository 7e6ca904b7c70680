"""Revenue against cost in GraphQL's shape."""

from __future__ import annotations

from decimal import Decimal

import strawberry

from api.graphql.naming import described_enum
from api.graphql.scalars import BigInt
from finance.profit.economics import Economics as Values
from finance.profit.profitability import Below
from finance.revenue.amounts import Revenue, RevenueSource

_SOURCES = {
    RevenueSource.MODELLED: "From the tier's terms and the usage.",
    RevenueSource.ACTUAL: "As the billing system says.",
    RevenueSource.MIXED: "Some days one way, some the other.",
}
described_enum(RevenueSource, "RevenueSource", "How revenue is known.", _SOURCES.__getitem__)


@strawberry.type(description="Revenue and its parts, which add up to the total.")
class RevenueParts:
    """Revenue."""

    total: Decimal = strawberry.field(description="All parts together.")
    source: RevenueSource = strawberry.field(description="How it is known.")
    period_fee: Decimal = strawberry.field(description="Period fees.")
    overage: Decimal = strawberry.field(description="Usage beyond what fees include.")
    markup: Decimal = strawberry.field(description="Usage passed on at cost and markup.")
    seats: Decimal = strawberry.field(description="Seats.")
    discount: Decimal = strawberry.field(description="Discounts, negative.")
    minimum: Decimal = strawberry.field(description="What was made up to minimum fees.")
    actual: Decimal = strawberry.field(description="Actual revenue, for the days it covers.")


@strawberry.type(description="The cost of one category.")
class CategoryCost:
    """A part of the cost."""

    category: str | None = strawberry.field(description="Such as llm or gpu; null where operations do not say.")
    cost: Decimal = strawberry.field(description="What is known of its cost.")


@strawberry.type(description="Revenue against cost. Null is unknown, never zero.")
class Economics:
    """Revenue, cost and margin."""

    revenue: RevenueParts | None = strawberry.field(
        description="Null where neither a tier's terms nor actual revenue say anything."
    )
    cost: Decimal | None = strawberry.field(
        description="Effective cost of usage and charges. Null where nothing has a price."
    )
    costs: list[CategoryCost] = strawberry.field(description="The cost by category, largest first.")
    gross_margin: Decimal | None = strawberry.field(description="Revenue less cost.")
    gross_margin_percent: Decimal | None = strawberry.field(
        description="The margin in percent of the revenue, to four decimals; null without revenue to divide by."
    )
    active_users: BigInt = strawberry.field(description="Distinct users.")
    cost_per_active_user: Decimal | None = strawberry.field(description="What it costs to serve one of them.")
    unpriced_operations: BigInt = strawberry.field(description="Operations whose cost is unknown, and left out.")


@strawberry.type(description="How many tenants keep less of their revenue than the floor.")
class TenantsBelow:
    """The share of tenants below a margin."""

    tenants: int = strawberry.field(description="Below the floor.")
    known: int = strawberry.field(description="Tenants whose margin is known.")
    unknown: int = strawberry.field(description="Tenants whose margin is not.")
    share: float | None = strawberry.field(description="Those below, over those known.")


@strawberry.type(description="The same in the window of equal length just before, and the change since.")
class Trend:
    """A comparison in time."""

    before: Economics = strawberry.field(description="What it was.")
    revenue_change: Decimal | None = strawberry.field(description="Revenue now less revenue then.")
    cost_change: Decimal | None = strawberry.field(description="Cost now less cost then.")
    gross_margin_change: Decimal | None = strawberry.field(description="Margin now less margin then.")


def revenue_parts(revenue: Revenue | None) -> RevenueParts | None:
    """The revenue as clients see it."""
    if revenue is None:
        return None
    return RevenueParts(
        total=revenue.total,
        source=revenue.source,
        period_fee=revenue.period_fee,
        overage=revenue.overage,
        markup=revenue.markup,
        seats=revenue.seats,
        discount=revenue.discount,
        minimum=revenue.minimum,
        actual=revenue.actual,
    )


def economics(values: Values) -> Economics:
    """Revenue against cost as clients see it."""
    costs = sorted(values.costs.items(), key=lambda item: (-item[1], item[0]))
    return Economics(
        revenue=revenue_parts(values.revenue),
        cost=values.cost,
        costs=[CategoryCost(category=category or None, cost=cost) for category, cost in costs],
        gross_margin=values.gross_margin,
        gross_margin_percent=values.margin_percent,
        active_users=BigInt(values.active_users),
        cost_per_active_user=values.cost_per_active_user,
        unpriced_operations=BigInt(values.unpriced),
    )


def tenants_below(below: Below | None) -> TenantsBelow | None:
    """The count as clients see it."""
    if below is None:
        return None
    share = below.below / below.known if below.known else None
    return TenantsBelow(tenants=below.below, known=below.known, unknown=below.unknown, share=share)


def trend(now: Values, before: Values) -> Trend:
    """The comparison as clients see it."""
    revenues = [values.revenue.total if values.revenue else None for values in (now, before)]
    return Trend(
        before=economics(before),
        revenue_change=_change(*revenues),
        cost_change=_change(now.cost, before.cost),
        gross_margin_change=_change(now.gross_margin, before.gross_margin),
    )


def _change(now: Decimal | None, before: Decimal | None) -> Decimal | None:
    return None if now is None or before is None else now - before
