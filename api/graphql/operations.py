"""Drill-down: `events`, the single operations behind a sum, and `request`, the timeline of one user action."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Optional

import strawberry

from api.graphql.context import Information
from api.graphql.costs import TagValue
from api.graphql.inputs import CostFilter, Direction, TimeRange
from api.graphql.naming import described_enum
from api.graphql.paging import PageInfo, check_page_size, decode_cursor, encode_cursor, fingerprint, page_info
from api.graphql.scalars import BigInt
from attribution.dimensions import Dimension
from attribution.event import COLUMNS, ColumnType
from attribution.operations import (
    SELECTED,
    Operation,
    OperationOrder,
    OperationPage,
    OperationQuery,
    Position,
    total_cost,
)
from attribution.query import EVERYTHING, All, Condition, Operator
from core.errors import InvalidInput
from core.time import Window, parse_timezone

MAX_TIMELINE = 5_000

_TYPES: dict[ColumnType, Any] = {
    ColumnType.TEXT: str | None,
    ColumnType.INSTANT: datetime,
    ColumnType.FLAG: bool,
    ColumnType.COUNT: BigInt,
    ColumnType.ATTEMPT: int,
    ColumnType.MILLISECONDS: Optional[BigInt],  # noqa: UP045
    ColumnType.QUANTITY: Decimal,
    ColumnType.COST: Optional[Decimal],  # noqa: UP045
    ColumnType.SAVINGS: Decimal,
    ColumnType.TAGS: list[TagValue],
}
_CERTAIN = {"tenant_id", "event_id", "kind", "source", "status", "workload"}
_DESCRIPTIONS = {
    "event_id": "The operation's id, unique within its tenant and UTC day.",
    "start_time": "When it started.",
    "ingested_at": "When it arrived.",
    "parent_event_id": "The operation that caused this one.",
    "duration_ms": "How long it took.",
    "time_to_first_token_ms": "How long until the first token.",
    "uncached_input_tokens": "Input tokens neither cached nor audio.",
    "cache_read_input_tokens": "Input tokens read from the provider's cache.",
    "cache_creation_5m_input_tokens": "Input tokens written to the provider's cache for five minutes.",
    "cache_creation_1h_input_tokens": "Input tokens written to the provider's cache for an hour.",
    "audio_input_tokens": "Audio input tokens.",
    "text_output_tokens": "Output tokens that are neither reasoning nor audio.",
    "reasoning_output_tokens": "Output tokens spent on reasoning.",
    "audio_output_tokens": "Audio output tokens.",
    "quantity": "How much, in `unit`, where it is not tokens.",
    "effective_cost": "What it cost; null is unknown, and `unpricedReason` says why.",
    "reported_cost": "What the caller said it cost.",
    "rated_cost": "What the price book says it cost.",
    "list_cost": "What it would cost at public prices.",
    "cache_savings": "What the provider's prompt cache saved.",
    "billing_currency": "Currency of every amount.",
    "charge_description": "What a charge is for, in words.",
    "allocated_method_details": "How the rule shared the cost out, as a JSON object.",
    "allocated_resource_id": "The charge or bill that was shared out.",
    "tags": "The operation's tags.",
}
_BY_COLUMN = {dimension.spec.sql.removeprefix("e."): dimension for dimension in Dimension}


def _describe(column: str) -> str:
    return _DESCRIPTIONS.get(column) or _BY_COLUMN[column].spec.description


def _event_type() -> type:
    """Event: one field per column of the store."""
    namespace: dict[str, Any] = {"__module__": __name__, "__doc__": "One operation.", "__annotations__": {}}
    for column in SELECTED:
        namespace["__annotations__"][column] = str if column in _CERTAIN else _TYPES[COLUMNS[column]]
        namespace[column] = strawberry.field(description=_describe(column))
    return strawberry.type(type("Event", (), namespace), description="One cost-generating operation as stored.")


Event: Any = _event_type()
described_enum(
    OperationOrder,
    "EventOrderBy",
    "What to list events by; unknown values come last.",
    lambda o: f"By {o.name.lower()}.",
)


def _event(operation: Operation) -> Any:
    values = {name: _present(name, value) for name, value in operation.values.items()}
    return Event(**values)


def _present(name: str, value: Any) -> Any:
    if name == "tags":
        return [TagValue(key=key, value=text) for key, text in sorted(value.items())]
    return None if value == "" and name not in _CERTAIN else value


@strawberry.type(description="An operation with its cursor.")
class EventEdge:
    """An operation in the list."""

    cursor: str = strawberry.field(description="Where this operation stands; pages continue after it.")
    node: Event = strawberry.field(description="The operation.")


@strawberry.type(description="Single operations in order.")
class EventConnection:
    """A page of operations."""

    nodes: list[Event] = strawberry.field(description="The operations of this page.")
    edges: list[EventEdge] = strawberry.field(description="The same operations, each with its cursor.")
    page_info: PageInfo = strawberry.field(description="Where this page stands.")


@strawberry.type(description="One user action: every operation it fanned out into, in order, with the sums.")
class RequestTimeline:
    """The timeline of a request id."""

    request_id: str = strawberry.field(description="The user action.")
    tenant: str = strawberry.field(description="Whose it is.")
    start: datetime = strawberry.field(description="When its first operation started.")
    end: datetime = strawberry.field(description="When its last operation ended.")
    duration_ms: BigInt = strawberry.field(description="From `start` to `end`.")
    effective_cost: Decimal | None = strawberry.field(description="The sum of its known costs.")
    unpriced_operations: BigInt = strawberry.field(description="Operations whose cost is unknown.")
    operations: list[Event] = strawberry.field(description="Its operations, first to last.")


class AmbiguousRequest(InvalidInput):
    """The id names requests of several tenants."""

    code = "AMBIGUOUS_REQUEST"

    def __init__(self, request_id: str, tenants: list[str]) -> None:
        named = ", ".join(tenants[:5])
        super().__init__(f"request {request_id!r} exists for several tenants ({named}); give `tenant` too")


class RequestTooLarge(InvalidInput):
    """One request id stands for more operations than one user action can have."""

    code = "REQUEST_TOO_LARGE"

    def __init__(self, request_id: str) -> None:
        super().__init__(f"request {request_id!r} has more than {MAX_TIMELINE} operations; list them with `events`")


async def events(
    info: Information,
    time_range: Annotated[TimeRange, strawberry.argument(description="Which operations, by when they started.")],
    timezone: Annotated[str, strawberry.argument(description="IANA zone of presets and hours.")] = "UTC",
    where: Annotated[CostFilter | None, strawberry.argument(description="Which operations to list.")] = None,
    order_by: Annotated[
        OperationOrder, strawberry.argument(description="What to list by.")
    ] = OperationOrder.START_TIME,
    direction: Annotated[Direction, strawberry.argument(description="Which way.")] = Direction.DESC,
    first: Annotated[int, strawberry.argument(description="Operations per page.")] = 100,
    after: Annotated[str | None, strawberry.argument(description="endCursor of the previous page.")] = None,
) -> EventConnection | None:
    """The single operations behind a sum. Pages stay stable while new operations arrive."""
    context, zone = info.context, parse_timezone(timezone)
    condition = where.filter() if where else EVERYTHING
    question = fingerprint("events", time_range, condition, order_by, direction, zone.key)
    query = OperationQuery(
        scope=context.scope(),
        window=time_range.window(context.now, zone),
        where=condition,
        timezone=zone,
        order_by=order_by,
        descending=direction is Direction.DESC,
        first=check_page_size(first, context.services.settings.max_page_rows),
        after=Position(*decode_cursor(after, question, int, int, str, str)) if after is not None else None,
    )
    return _connection(await context.services.read(context.services.store.operations, query), question, after)


def _connection(page: OperationPage, question: str, after: str | None) -> EventConnection:
    nodes = [_event(operation) for operation in page.operations]
    cursors = [encode_cursor(question, *operation.position) for operation in page.operations]
    return EventConnection(
        nodes=nodes,
        edges=[EventEdge(cursor=c, node=n) for c, n in zip(cursors, nodes, strict=True)],
        page_info=page_info(cursors, has_next=page.has_next, has_previous=after is not None),
    )


async def request(
    info: Information,
    id: Annotated[strawberry.ID, strawberry.argument(description="The request id.")],  # noqa: A002
    tenant: Annotated[str | None, strawberry.argument(description="Whose, when tenants share ids.")] = None,
) -> RequestTimeline | None:
    """One user action: every operation with its latency and cost, and the sum. Null when there is none."""
    context = info.context
    age = timedelta(days=context.services.settings.max_event_age_days + 1)
    conditions = [Condition(Dimension.REQUEST, Operator.ANY_OF, (str(id),))]
    if tenant is not None:
        conditions.append(Condition(Dimension.TENANT, Operator.ANY_OF, (tenant,)))
    query = OperationQuery(
        scope=context.scope(),
        window=Window(context.now - age, context.now + timedelta(days=1)),
        where=All(tuple(conditions)),
        descending=False,
        first=MAX_TIMELINE,
    )
    page = await context.services.read(context.services.store.operations, query)
    return _timeline(str(id), page)


def _timeline(request_id: str, page: OperationPage) -> RequestTimeline | None:
    if not page.operations or not request_id:
        return None
    if page.has_next:
        raise RequestTooLarge(request_id)
    values = [operation.values for operation in page.operations]
    tenants = sorted({row["tenant_id"] for row in values})
    if len(tenants) > 1:
        raise AmbiguousRequest(request_id, tenants)
    start = min(row["start_time"] for row in values)
    end = max(row["start_time"] + timedelta(milliseconds=row["duration_ms"] or 0) for row in values)
    return RequestTimeline(
        request_id=request_id,
        tenant=tenants[0],
        start=start,
        end=end,
        duration_ms=BigInt((end - start) // timedelta(milliseconds=1)),
        effective_cost=total_cost(page.operations),
        unpriced_operations=BigInt(sum(row["effective_cost"] is None for row in values)),
        operations=[_event(operation) for operation in page.operations],
    )
