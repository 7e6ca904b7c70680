"""`tierCharges`: what one tenant owes by its tiers, line by line, so that modelled revenue can be worked out again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated

import strawberry

from api.graphql.context import Context, Information
from api.graphql.inputs import TimeRange
from api.graphql.naming import described_enum
from api.graphql.scalars import BigInt
from api.graphql.terms import TierTermsView, terms_view
from attribution.measures import Measure
from core.time import parse_timezone
from finance.profit.question import Question
from finance.revenue.earnings import Charged, charge, uncovered
from finance.revenue.lines import Line, LineKind
from finance.revenue.proration import to_cents

_KINDS = {
    LineKind.PERIOD_FEE: "The fee.",
    LineKind.INCLUDED: "What of the usage the fee includes; it costs nothing.",
    LineKind.OVERAGE: "Usage beyond what is included.",
    LineKind.MARKUP: "The usage's cost, passed on with a markup.",
    LineKind.SEATS: "Seats.",
    LineKind.DISCOUNT: "The discount, negative.",
    LineKind.MINIMUM: "What is made up to the minimum fee.",
}
described_enum(LineKind, "TierChargeKind", "What a line of a tier's charges is for.", _KINDS.__getitem__)
_BY_NAME = {measure.spec.name: measure for measure in Measure}


@strawberry.type(description="One line of what is owed.")
class TierChargeLine:
    """A line."""

    kind: LineKind = strawberry.field(description="What it is for.")
    measure: Measure | None = strawberry.field(description="What is counted, where something is.")
    quantity: Decimal | None = strawberry.field(description="How much of it.")
    amount: Decimal = strawberry.field(description="What is owed for it, to twelve decimals.")
    invoice_amount: Decimal = strawberry.field(
        description="The same to the cent: lines add up to the total's cents, by largest remainder."
    )


@strawberry.type(description="A part of a billing period in which the tenant had one tier on the same terms.")
class TierStretch:
    """A stretch."""

    tier: str = strawberry.field(description="The tier.")
    assignment: strawberry.ID = strawberry.field(description="The assignment.")
    terms: TierTermsView = strawberry.field(description="What this contract said: the tier's terms with its overrides.")
    start: datetime = strawberry.field(description="First instant of the stretch.")
    end: datetime = strawberry.field(description="First instant after it.")
    period_start: datetime = strawberry.field(description="First instant of the billing period.")
    period_end: datetime = strawberry.field(description="First instant after the billing period.")
    days: int = strawberry.field(description="Days of the tier's zone that begin in the stretch.")
    period_days: int = strawberry.field(description="Days of the billing period.")
    uncovered_part: float = strawberry.field(
        description="The part of its days that no actual revenue covers: what of these lines counts as revenue."
    )
    lines: list[TierChargeLine] = strawberry.field(description="What is owed.")


@strawberry.type(description="What a tenant owes by its tiers.")
class TierCharges:
    """Stretches and their sum."""

    total: Decimal = strawberry.field(description="All lines together, to twelve decimals.")
    invoice_total: Decimal = strawberry.field(description="The same to the cent.")
    stretches: list[TierStretch] = strawberry.field(description="In order of time.")
    stretch_count: BigInt = strawberry.field(description="How many there are.")


def _charges(context: Context, asked: Question, tenant: str) -> TierCharges:
    services = context.services
    services.money.tier_mirror.follow()
    books = services.money.bookkeeping.books(asked.window, tenant)
    charged = charge(services.store.report, asked.scope, books.contracts, books.definitions, [asked.window])
    lines = [line for each in charged for line in each.lines]
    cents = iter(to_cents([line.amount for line in lines]))
    stretches = [
        _stretch(each, float(uncovered(each.stretch, books.actuals)), [next(cents) for _ in each.lines])
        for each in charged
    ]
    return TierCharges(
        total=sum((line.amount for line in lines), Decimal(0)),
        invoice_total=sum((line.invoice_amount for each in stretches for line in each.lines), Decimal(0)),
        stretches=stretches,
        stretch_count=BigInt(len(stretches)),
    )


def _stretch(charged: Charged, uncovered_part: float, cents: Sequence[Decimal]) -> TierStretch:
    stretch = charged.stretch
    return TierStretch(
        tier=stretch.contract.tier,
        assignment=strawberry.ID(stretch.contract.id),
        terms=terms_view(stretch.terms),
        start=stretch.window.start,
        end=stretch.window.end,
        period_start=stretch.segment.period.start,
        period_end=stretch.segment.period.end,
        days=stretch.share.days,
        period_days=stretch.share.total,
        uncovered_part=uncovered_part,
        lines=[_line(line, cent) for line, cent in zip(charged.lines, cents, strict=True)],
    )


def _line(line: Line, cents: Decimal) -> TierChargeLine:
    return TierChargeLine(
        kind=line.kind,
        measure=_BY_NAME.get(line.measure),
        quantity=line.quantity,
        amount=line.amount,
        invoice_amount=cents,
    )


async def tier_charges(
    info: Information,
    tenant: Annotated[str, strawberry.argument(description="Whose.")],
    time_range: Annotated[TimeRange, strawberry.argument(description="Which time.")],
    timezone: Annotated[str, strawberry.argument(description="IANA zone of presets.")] = "UTC",
) -> TierCharges | None:
    """What a tenant owes by its tiers, stretch by stretch and line by line: how its modelled revenue comes about.

    Null for keys scoped to another tenant, to a team or to an environment.
    """
    context, zone = info.context, parse_timezone(timezone)
    scope = context.revenue_scope()
    if scope is None or scope.tenant not in {None, tenant}:
        return None
    asked = Question(scope, time_range.window(context.now, zone), zone, tenants=(tenant,))
    return await context.services.read(_charges, context, asked, tenant)
