"""`tierSimulation` and `tierSuggestion`: another definition of a tier, tried on its own tenants."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Final

import strawberry

from api.graphql.context import Context, Information
from api.graphql.economics import Economics, economics
from api.graphql.inputs import TimeRange
from api.graphql.paging import PageInfo, check_page_size, decode_cursor, encode_cursor, fingerprint, page_info
from api.graphql.scalars import BigInt
from api.graphql.terms import TierTermsInput
from attribution.measures import Measure
from core.time import parse_timezone
from finance.profit.question import Question
from finance.profit.simulation import Simulated, Simulation, simulate
from finance.profit.suggestion import Suggestion, suggest
from finance.revenue.books import Books
from tenants.scope import Scope
from tenants.terms import Meter, TierOverrides, TierTerms

MAX_PAGE: Final = 10_000
_BY_NAME = {measure.spec.name: measure for measure in Measure}


@strawberry.type(description="A tenant under its tier's own terms, and under the simulated ones.")
class SimulatedTenant:
    """One tenant."""

    tenant: str = strawberry.field(description="The tenant.")
    current: Economics = strawberry.field(description="Under the tier's terms, as modelled.")
    simulated: Economics = strawberry.field(description="Under the simulated terms.")
    change: Decimal = strawberry.field(description="By how much it would have paid more; negative: less.")


@strawberry.type(description="What the same tenants would have paid under another definition of their tier.")
class TierSimulation:
    """A page of tenants, and all of them together."""

    nodes: list[SimulatedTenant] = strawberry.field(description="Those that would have paid most more, first.")
    page_info: PageInfo = strawberry.field(description="Where this page stands.")
    total_count: BigInt = strawberry.field(description="Tenants over all pages.")
    current: Economics = strawberry.field(description="All tenants together, under the tier's terms.")
    simulated: Economics = strawberry.field(description="All tenants together, under the simulated terms.")
    change: Decimal = strawberry.field(description="By how much they would have paid more together.")
    paying_more: int = strawberry.field(description="Tenants that would have paid more.")
    paying_less: int = strawberry.field(description="Tenants that would have paid less.")
    paying_the_same: int = strawberry.field(description="Tenants that would have paid the same.")


@strawberry.type(description="A flat price for each unit beyond what is included.")
class SuggestedRate:
    """A rate."""

    measure: Measure = strawberry.field(description="What is counted.")
    price_per_unit: Decimal = strawberry.field(description="The price, rounded up at the twelfth decimal.")
    price_per_million: Decimal = strawberry.field(description="The same for a million units.")
    tenants: int = strawberry.field(description="Tenants beyond what is included; a rate reaches no others.")


@strawberry.type(description="Either change alone leaves the wished margin at that percentile of the tier's tenants.")
class TierSuggestion:
    """A suggestion."""

    percentile: int = strawberry.field(description="50: the median tenant; 90: nine in ten tenants.")
    period_fee: Decimal | None = strawberry.field(
        description="The fee for a whole period, all else as it is. Null where no tenant can be worked out."
    )
    overage_rates: list[SuggestedRate] = strawberry.field(
        description="A flat price of a measure's overage, all else as it is; one for each measure that has any."
    )


def _asked(scope: Scope, context: Context, time_range: TimeRange, timezone: str, tenants: list[str] | None) -> Question:
    zone = parse_timezone(timezone)
    window = time_range.window(context.now, zone)
    chosen = None if tenants is None else tuple(tenants)
    return Question(scope, window, zone, tenants=chosen)


def _books(context: Context, asked: Question) -> Books:
    context.services.money.tier_mirror.follow()
    return context.services.money.bookkeeping.books(asked.window, asked.scope.tenant)


def _simulate(context: Context, asked: Question, tier: str, terms: TierTerms) -> Simulation:
    context.services.money.tiers.check(terms)
    return simulate(context.services.store.report, _books(context, asked), asked, tier, terms)


def _suggest(
    context: Context, asked: Question, tier: str, margin_percent: Decimal, measure: Measure | None
) -> list[Suggestion]:
    if measure is not None:
        context.services.money.tiers.check(TierOverrides(meters=(Meter(measure.spec.name),)))
    report, name = context.services.store.report, measure.spec.name if measure else None
    return suggest(report, _books(context, asked), asked, tier, margin_percent, measure=name)


def _simulated(each: Simulated) -> SimulatedTenant:
    return SimulatedTenant(
        tenant=each.tenant_id,
        current=economics(each.before),
        simulated=economics(each.after),
        change=each.change,
    )


async def tier_simulation(
    info: Information,
    tier: Annotated[str, strawberry.argument(description="The tier whose tenants are looked at.")],
    definition: Annotated[TierTermsInput, strawberry.argument(description="The terms to try.")],
    time_range: Annotated[TimeRange, strawberry.argument(description="Which time.")],
    timezone: Annotated[str, strawberry.argument(description="IANA zone of presets.")] = "UTC",
    tenants: Annotated[list[str] | None, strawberry.argument(description="Only these of its tenants.")] = None,
    first: Annotated[int, strawberry.argument(description="Tenants per page.")] = 100,
    after: Annotated[str | None, strawberry.argument(description="endCursor of the previous page.")] = None,
) -> TierSimulation | None:
    """What the tenants of a tier would have paid, and earned you, under another definition of it, tenant by tenant.

    Both sides are modelled, so that like is compared with like; contracts' overrides stay in force. Changes nothing.
    Null for keys scoped to a team or an environment.
    """
    context = info.context
    scope = context.revenue_scope()
    if scope is None:
        return None
    asked = _asked(scope, context, time_range, timezone, tenants)
    question = fingerprint("tierSimulation", tier, definition, time_range, timezone, tenants)
    size = check_page_size(first, MAX_PAGE)
    offset = decode_cursor(after, question, int)[0] if after is not None else 0
    terms = definition.terms(context.services.settings.currency)
    found = await context.services.read(_simulate, context, asked, tier, terms)
    page, changes = found.tenants[offset : offset + size], [each.change for each in found.tenants]
    cursors = [encode_cursor(question, offset + place) for place in range(1, len(page) + 1)]
    return TierSimulation(
        nodes=[_simulated(each) for each in page],
        page_info=page_info(cursors, has_next=offset + size < len(changes), has_previous=offset > 0),
        total_count=BigInt(len(changes)),
        current=economics(found.before),
        simulated=economics(found.after),
        change=sum(changes, Decimal(0)),
        paying_more=sum(change > 0 for change in changes),
        paying_less=sum(change < 0 for change in changes),
        paying_the_same=sum(change == 0 for change in changes),
    )


async def tier_suggestion(
    info: Information,
    tier: Annotated[str, strawberry.argument(description="The tier.")],
    margin_percent: Annotated[Decimal, strawberry.argument(description="The part of revenue to keep; 0 breaks even.")],
    time_range: Annotated[TimeRange, strawberry.argument(description="Which time.")],
    timezone: Annotated[str, strawberry.argument(description="IANA zone of presets.")] = "UTC",
    measure: Annotated[
        Measure | None, strawberry.argument(description="Also suggest a rate of this measure, metered so far or not.")
    ] = None,
) -> list[TierSuggestion] | None:
    """The fee, or the overage rate, that would have left a wished margin at the median tenant, and at nine in ten.

    Null for keys scoped to a team or an environment.
    """
    context = info.context
    scope = context.revenue_scope()
    if scope is None:
        return None
    asked = _asked(scope, context, time_range, timezone, None)
    found = await context.services.read(_suggest, context, asked, tier, margin_percent, measure)
    return [_suggestion(each) for each in found]


def _suggestion(each: Suggestion) -> TierSuggestion:
    return TierSuggestion(
        percentile=each.percentile,
        period_fee=each.period_fee,
        overage_rates=[
            SuggestedRate(
                measure=_BY_NAME[rate.measure],
                price_per_unit=rate.price_per_unit,
                price_per_million=rate.price_per_unit * 1_000_000,
                tenants=rate.tenants,
            )
            for rate in each.rates
        ],
    )
