"""`ingestStatus`: what came in, how fresh it is and what has no price; and `dimensionValues` for filter menus."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated

import strawberry

from api.graphql.context import Context, Information
from api.graphql.inputs import TimeRange
from api.graphql.paging import check_page_size
from api.graphql.scalars import BigInt
from attribution.dimensions import Dimension
from attribution.failures import StoreUnavailable
from attribution.measures import Measure
from attribution.query import Condition, CostQuery, Filter, MeasureBound, Operator, Order, Page
from core.time import Preset, Window, parse_timezone
from ingest.counters import OUTCOMES


@strawberry.type(
    description="What went through this process since it started: received = accepted + duplicate + rejected + spooled."
)
class IngestCounters:
    """Conservation counters."""

    received: BigInt = strawberry.field(description="Items that were sent.")
    accepted: BigInt = strawberry.field(description="Stored durably.")
    duplicate: BigInt = strawberry.field(description="Recognised as sent before.")
    rejected: BigInt = strawberry.field(description="Refused, each with a reason in its receipt.")
    spooled: BigInt = strawberry.field(description="Kept on disk while the events store was away, and stored since.")
    queued: BigInt = strawberry.field(description="Waiting to be stored right now.")


@strawberry.type(description="Events on the disk of the process that answers, to be stored once the store takes them.")
class SpoolState:
    """What waits while the events store is away."""

    events: BigInt = strawberry.field(description="How many wait.")
    bytes: BigInt = strawberry.field(description="The room they take on disk.")
    oldest: datetime | None = strawberry.field(description="Since when the first of them waits.")
    quarantined: BigInt = strawberry.field(description="Set aside since the start, because the store refused them.")


@strawberry.type(description="Operations without a cost, and why: no price, or no usage reported.")
class UnpricedModel:
    """Operations without a cost."""

    provider: str | None = strawberry.field(description="The provider, as sent.")
    model: str | None = strawberry.field(description="The model, as sent.")
    unit: str | None = strawberry.field(description="The unit, where it is not tokens.")
    reason: str | None = strawberry.field(description="Why there is no price.")
    operations: BigInt = strawberry.field(description="How many operations.")
    last_seen: datetime | None = strawberry.field(description="When the newest of them started.")


async def _unpriced(
    info: Information, first: Annotated[int, strawberry.argument(description="How many.")] = 20
) -> list[UnpricedModel]:
    context = info.context
    query = CostQuery(
        context.scope(),
        Preset.LAST_30_DAYS.window(context.now, parse_timezone("UTC")),
        (Measure.OPERATIONS, Measure.LAST_SEEN),
        group_by=(Dimension.PROVIDER, Dimension.MODEL, Dimension.UNIT, Dimension.UNPRICED_REASON),
        where=Condition(Dimension.COST_SOURCE, Operator.ANY_OF, ("unpriced",)),
        order_by=(Order(Measure.OPERATIONS),),
        page=Page(check_page_size(first, 1_000)),
    )
    report = await context.services.read(context.services.store.report, query)
    columns = (*report.keys, report.measures[Measure.OPERATIONS], report.measures[Measure.LAST_SEEN])
    names = ("provider", "model", "unit", "reason", "operations", "last_seen")
    return [UnpricedModel(**dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)]


@strawberry.type(description="What is stored, how fresh it is, and what has no price.")
class IngestStatus:
    """The state of the write path, within the caller's scope."""

    operations: BigInt | None = strawberry.field(
        description="Operations stored in the retention window. Null, as are the dates, while the events store is away."
    )
    newest_event: datetime | None = strawberry.field(description="When the newest operation started.")
    fresh_as_of: datetime | None = strawberry.field(description="When the newest operation arrived.")
    counters: IngestCounters | None = strawberry.field(
        description="Counters of the process that answers. Null for keys with a scope: they count everybody's items."
    )

    spool: SpoolState | None = strawberry.field(
        description="What this process keeps on disk for the events store. Null for keys with a scope."
    )
    unpriced_models: list[UnpricedModel] = strawberry.field(
        resolver=_unpriced, description="What has no price in the last 30 days, most operations first."
    )


@strawberry.type(description="A value that a dimension has.")
class DimensionValue:
    """An entry of a filter menu."""

    value: str = strawberry.field(description="The value.")
    operations: BigInt = strawberry.field(description="Operations that have it.")
    effective_cost: Decimal | None = strawberry.field(description="What they cost.")


def _retained(context: Context) -> Window:
    age = timedelta(days=context.services.settings.max_event_age_days + 1)
    return Window(context.now - age, context.now + timedelta(days=1))


async def ingest_status(info: Information) -> IngestStatus | None:
    """What is stored, how fresh it is, and what has no price."""
    context = info.context
    query = CostQuery(context.scope(), _retained(context), (Measure.OPERATIONS, Measure.LAST_SEEN, Measure.FRESH_AS_OF))
    try:
        totals = (await context.services.read(context.services.store.report, query)).totals
    except StoreUnavailable:  # when the rest matters most
        totals = {}
    is_unrestricted = context.scope().unrestricted
    return IngestStatus(
        operations=totals.get(Measure.OPERATIONS),
        newest_event=totals.get(Measure.LAST_SEEN),
        fresh_as_of=totals.get(Measure.FRESH_AS_OF),
        counters=_counters(context) if is_unrestricted else None,
        spool=_spool(context) if is_unrestricted else None,
    )


def _counters(context: Context) -> IngestCounters:
    pipeline = context.services.pipeline
    totals = {name: BigInt(pipeline.counters.total(name)) for name in ("received", *OUTCOMES)}
    return IngestCounters(**totals, queued=BigInt(pipeline.queue_depth))


def _spool(context: Context) -> SpoolState:
    status = context.services.pipeline.spool
    return SpoolState(
        events=BigInt(status.events),
        bytes=BigInt(status.bytes),
        oldest=status.oldest,
        quarantined=BigInt(status.quarantined),
    )


async def dimension_values(
    info: Information,
    dimension: Annotated[Dimension, strawberry.argument(description="Whose values.")],
    search: Annotated[str | None, strawberry.argument(description="Part of the value, in any letter case.")] = None,
    time_range: Annotated[TimeRange | None, strawberry.argument(description="Default: the last 90 days.")] = None,
    timezone: Annotated[str, strawberry.argument(description="IANA zone of presets and hours.")] = "UTC",
    first: Annotated[int, strawberry.argument(description="How many values.")] = 50,
) -> list[DimensionValue] | None:
    """The values that a dimension has, costliest first, for filter menus. Operations without a value are left out."""
    context, zone = info.context, parse_timezone(timezone)
    window = time_range.window(context.now, zone) if time_range else Preset.LAST_90_DAYS.window(context.now, zone)
    query = CostQuery(
        context.scope(),
        window,
        (Measure.OPERATIONS, Measure.EFFECTIVE_COST),
        timezone=zone,
        group_by=(dimension,),
        where=_matching(dimension, search),
        having=(MeasureBound(Measure.OPERATIONS, at_least=Decimal(1)),),
        order_by=(Order(Measure.EFFECTIVE_COST), Order(dimension, descending=False)),
        page=Page(check_page_size(first, 1_000)),
    )
    report = await context.services.read(context.services.store.report, query)
    columns = (report.keys[0], report.measures[Measure.OPERATIONS], report.measures[Measure.EFFECTIVE_COST])
    return [
        DimensionValue(value=_text(value), operations=operations, effective_cost=cost)
        for value, operations, cost in zip(*columns, strict=True)
    ]


def _matching(dimension: Dimension, search: str | None) -> Filter:
    if search:
        return Condition(dimension, Operator.CONTAINS, (search,))
    return Condition(dimension, Operator.EXISTS, (True,))


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
