"""`actualRevenue` and `withdrawRevenue`: what the billing system said, item by item. For the finance role."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Final

import strawberry

from api.graphql.context import Information
from api.graphql.inputs import TimeRange
from api.graphql.paging import PageInfo, check_page_size, decode_cursor, encode_cursor, fingerprint, page_info
from api.graphql.scalars import BigInt
from api.graphql.user_errors import UserError, user_error
from core.errors import NotFound
from core.time import parse_timezone
from finance.profit.question import RevenueIsTheTenants
from finance.revenue.actual import ActualRevenue as Row

MAX_PAGE: Final = 1_000


@strawberry.type(description="An item of actual revenue. It wins over the modelled one for the days it is for.")
class ActualRevenue:
    """An item."""

    id: strawberry.ID = strawberry.field(description="The id it was sent with; unique in its source.")
    source: str = strawberry.field(description="Where it comes from, such as stripe.")
    tenant: str = strawberry.field(description="Who paid.")
    start: date = strawberry.field(description="The first day it is for.")
    end: date = strawberry.field(description="The first day after it.")
    timezone: str = strawberry.field(description="Whose days they are.")
    amount: Decimal = strawberry.field(description="How much.")
    currency: str = strawberry.field(description="ISO 4217.")
    note: str = strawberry.field(description="For people.")
    created_at: datetime = strawberry.field(description="When it was entered first.")
    created_by: str = strawberry.field(description="The key that entered it first.")


@strawberry.type(description="Actual revenue by tenant and period.")
class ActualRevenueConnection:
    """A page of items."""

    nodes: list[ActualRevenue] = strawberry.field(description="The items of this page.")
    page_info: PageInfo = strawberry.field(description="Where this page stands.")
    total_count: BigInt = strawberry.field(description="Items over all pages.")


@strawberry.type(description="Whether the item was withdrawn.")
class WithdrawRevenuePayload:
    """The outcome of withdrawRevenue."""

    errors: list[UserError] = strawberry.field(description="Empty when it was withdrawn.")


def _node(row: Row) -> ActualRevenue:
    return ActualRevenue(
        id=strawberry.ID(row.client_id),
        source=row.source,
        tenant=row.tenant_id,
        start=row.start,
        end=row.end,
        timezone=row.timezone,
        amount=row.amount,
        currency=row.currency,
        note=row.note,
        created_at=row.created_at,
        created_by=row.created_by,
    )


async def actual_revenue(
    info: Information,
    time_range: Annotated[TimeRange, strawberry.argument(description="Items for days in it.")],
    timezone: Annotated[str, strawberry.argument(description="IANA zone of presets.")] = "UTC",
    tenant: Annotated[str | None, strawberry.argument(description="Only this tenant's.")] = None,
    first: Annotated[int, strawberry.argument(description="Items per page.")] = 100,
    after: Annotated[str | None, strawberry.argument(description="endCursor of the previous page.")] = None,
) -> ActualRevenueConnection | None:
    """The actual revenue that was entered, for checking. Enter it with `POST /v1/revenue`.

    Null for keys scoped to a team or an environment.
    """
    context, zone = info.context, parse_timezone(timezone)
    scope = context.revenue_scope()
    if scope is None:
        return None
    question = fingerprint("actualRevenue", time_range, zone.key, tenant)
    size = check_page_size(first, MAX_PAGE)
    offset = decode_cursor(after, question, int)[0] if after is not None else 0
    window = time_range.window(context.now, zone)
    rows = await context.services.read(context.services.money.actuals.between, window, scope.tenant or tenant)
    found = [row for row in rows if tenant in {None, row.tenant_id}]
    page = found[offset : offset + size]
    cursors = [encode_cursor(question, offset + place) for place in range(1, len(page) + 1)]
    return ActualRevenueConnection(
        nodes=[_node(row) for row in page],
        page_info=page_info(cursors, has_next=offset + size < len(found), has_previous=offset > 0),
        total_count=BigInt(len(found)),
    )


async def withdraw_revenue(
    info: Information,
    source: Annotated[str, strawberry.argument(description="The source it was sent with.")],
    id: Annotated[strawberry.ID, strawberry.argument(description="The id it was sent with.")],  # noqa: A002
) -> WithdrawRevenuePayload | None:
    """Withdraw an item of actual revenue, as if it had never been entered. The audit log keeps it."""
    context, by = info.context, info.context.principal.name
    scope, actuals = context.revenue_scope(), context.services.money.actuals
    if scope is None:
        raise RevenueIsTheTenants
    try:
        await context.services.read(actuals.withdraw, source, id, scope=scope, by=by)
    except NotFound as error:
        return WithdrawRevenuePayload(errors=[user_error(error)])
    return WithdrawRevenuePayload(errors=[])
