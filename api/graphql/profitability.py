"""`profitability`: who makes money. For keys with the finance role."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Final

import strawberry

from api.graphql.context import Context, Information
from api.graphql.costs import selected_names
from api.graphql.economics import (
    Economics,
    RevenueParts,
    TenantsBelow,
    Trend,
    economics,
    revenue_parts,
    tenants_below,
    trend,
)
from api.graphql.inputs import TimeRange
from api.graphql.naming import described_enum
from api.graphql.paging import PageInfo, check_page_size, decode_cursor, encode_cursor, fingerprint, page_info
from api.graphql.profit_order import USUAL_ORDER, ProfitOrderInput, ordered
from api.graphql.scalars import BigInt
from core.errors import InvalidInput
from core.time import Granularity, parse_timezone
from finance.profit.costs import Member
from finance.profit.economics import Economics as Values
from finance.profit.profitability import Profitability, Row, profitability
from finance.profit.question import AllocateBy, By, Question

MAX_PAGE: Final = 10_000

_BY = {
    By.TENANT: "Each customer.",
    By.TIER: "Each pricing tier, as tenants had it when they used and paid.",
    By.FEATURE: "Each feature, with a part of the revenue of every tier that used it.",
    By.USER_SEGMENT: "The users who cause most of the cost (`power`), and the others (`regular`).",
}
_ALLOCATE_BY = {
    AllocateBy.COST: "In proportion to effective cost.",
    AllocateBy.OPERATIONS: "In proportion to operations.",
    AllocateBy.TOKENS: "In proportion to tokens.",
}
described_enum(By, "ProfitBy", "Whose revenue and cost are compared.", _BY.__getitem__)
described_enum(
    AllocateBy,
    "AllocateRevenueBy",
    "In proportion to what a tier's revenue is allocated to features and user segments.",
    _ALLOCATE_BY.__getitem__,
)


class BadPercent(InvalidInput):
    """The number is no percentage that means something here."""

    code = "BAD_PERCENT"

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} must lie between 0 and 100")


@strawberry.input(description="What to look at; all that is given must hold.")
class ProfitFilter:
    """Which tenants and tiers count, and which rows to show."""

    tenants: list[str] | None = strawberry.field(default=None, description="Only these tenants' revenue and cost.")
    tiers: list[str] | None = strawberry.field(
        default=None, description="Only revenue and cost of the time in these tiers; empty text: unassigned."
    )
    margin_below_percent: Decimal | None = strawberry.field(
        default=None, description="Show only rows that keep less than that of their revenue. Totals stay."
    )
    has_revenue: bool | None = strawberry.field(
        default=None, description="Show only rows whose revenue is known, or only those where it is not. Totals stay."
    )


@strawberry.type(description="A tenant, tier, feature or user segment, in a time bucket when there is a granularity.")
class ProfitRow:
    """One row."""

    tenant: str | None = strawberry.field(description="The tenant, by TENANT.")
    tier: str | None = strawberry.field(description="The tier, by TIER; null: unassigned.")
    feature: str | None = strawberry.field(description="The feature, by FEATURE; null where operations do not say.")
    user_segment: str | None = strawberry.field(
        description="`power` or `regular`, by USER_SEGMENT; null: operations without a user."
    )
    bucket_start: datetime | None = strawberry.field(description="First instant of the bucket in the window.")
    bucket_end: datetime | None = strawberry.field(description="First instant after it.")
    economics: Economics = strawberry.field(description="Revenue against cost.")
    tenants_below: TenantsBelow | None = strawberry.field(
        description="By TIER: how many of its tenants keep less than `marginFloorPercent`."
    )
    trend: Trend | None = strawberry.field(description="Against the window before; null with a granularity.")


@strawberry.type(description="Who makes money.")
class ProfitConnection:
    """A page of rows, and everything together."""

    nodes: list[ProfitRow] = strawberry.field(description="The rows of this page.")
    page_info: PageInfo = strawberry.field(description="Where this page stands.")
    total_count: BigInt = strawberry.field(description="Rows over all pages.")
    totals: Economics = strawberry.field(
        description="Of everything that `tenants` and `tiers` select, whatever rows are shown."
    )
    unallocated_revenue: RevenueParts | None = strawberry.field(
        description="By FEATURE and USER_SEGMENT: revenue of tiers without any usage to allocate it by."
    )
    tenants_below: TenantsBelow | None = strawberry.field(
        description="How many tenants keep less than `marginFloorPercent` of their revenue."
    )
    trend: Trend | None = strawberry.field(description="The totals against the window before.")
    start: datetime = strawberry.field(description="First instant of the window.")
    end: datetime = strawberry.field(description="First instant after the window.")


@dataclass(frozen=True)
class _Answer:
    """What was found about the window and, where it was asked for, about the one before."""

    found: Profitability
    before: Profitability | None

    def node(self, row: Row) -> ProfitRow:
        """The row as clients see it."""
        asked = self.found.asked
        names = dict.fromkeys(("tenant", "tier", "feature", "user_segment")) | {asked.by.name.lower(): row.member}
        return ProfitRow(
            **names,
            bucket_start=row.bucket.start if asked.granularity else None,
            bucket_end=row.bucket.end if asked.granularity else None,
            economics=economics(row.economics),
            tenants_below=tenants_below(row.below),
            trend=self._trend_of(row.member, row.economics),
        )

    def _trend_of(self, member: Member, now: Values) -> Trend | None:
        if self.before is None or self.before.asked.granularity:
            return None
        return trend(now, self._earlier.get(member, Values(cost=Decimal(0))))

    @cached_property
    def _earlier(self) -> dict[Member, Values]:
        """What each member came to before; without a granularity it has one row."""
        return {row.member: row.economics for row in self.before.rows} if self.before else {}

    def trend(self) -> Trend | None:
        """The totals' trend."""
        return trend(self.found.totals, self.before.totals) if self.before else None


def _is_shown(row: Row, where: ProfitFilter | None) -> bool:
    if where is None:
        return True
    floor = where.margin_below_percent
    is_known = row.economics.revenue is not None
    is_below = floor is None or row.economics.is_below(floor) is True
    return is_below and where.has_revenue in {None, is_known}


def _narrowed(asked: Question, where: ProfitFilter | None) -> Question:
    if where is None:
        return asked
    tenants, tiers = (None if names is None else tuple(names) for names in (where.tenants, where.tiers))
    return replace(asked, tenants=tenants, tiers=tiers)


def _check_percent(name: str, value: Decimal) -> None:
    if not 0 <= value <= 100:
        raise BadPercent(name)


def ask(context: Context, asked: Question, floor_percent: Decimal | None = None) -> Profitability:
    """The answer to the question, from both stores as they are now."""
    services = context.services
    services.money.tier_mirror.follow()
    books = services.money.bookkeeping.books(asked.window, asked.scope.tenant)
    return profitability(services.store.report, books, asked, floor_percent=floor_percent)


def _ask_both(context: Context, asked: Question, floor: Decimal | None, *, with_before: bool) -> _Answer:
    before = ask(context, asked.before()) if with_before else None
    return _Answer(ask(context, asked, floor), before)


async def profitability_of(
    info: Information,
    time_range: Annotated[TimeRange, strawberry.argument(description="Which time.")],
    by: Annotated[By, strawberry.argument(description="Whose revenue and cost are compared.")] = By.TENANT,
    timezone: Annotated[
        str, strawberry.argument(description="IANA zone of presets and buckets; billing periods have their tier's.")
    ] = "UTC",
    granularity: Annotated[
        Granularity | None, strawberry.argument(description="Also by time bucket of a day or more.")
    ] = None,
    where: Annotated[ProfitFilter | None, strawberry.argument(description="What to look at.")] = None,
    order_by: Annotated[
        list[ProfitOrderInput] | None,
        strawberry.argument(description="Default: the bucket forward in time, then the smallest gross margin first."),
    ] = None,
    allocate_by: Annotated[
        AllocateBy, strawberry.argument(description="How a tier's revenue is allocated to features and user segments.")
    ] = AllocateBy.COST,
    margin_floor_percent: Annotated[
        Decimal, strawberry.argument(description="The margin that `tenantsBelow` counts against.")
    ] = Decimal(0),
    power_percent: Annotated[
        Decimal,
        strawberry.argument(description="Power users are the fewest whose cost makes that part of all users' cost."),
    ] = Decimal(80),
    first: Annotated[int, strawberry.argument(description="Rows per page.")] = 100,
    after: Annotated[str | None, strawberry.argument(description="endCursor of the previous page.")] = None,
) -> ProfitConnection | None:
    """Who makes money: revenue, all-in cost and margin by tenant, tier, feature or user segment.

    Revenue is actual where some was entered for those days, else modelled from the tier's terms. Features and user
    segments get each tier's revenue in proportion to their part of what `allocateBy` says of that tier. Null for keys
    scoped to a team or an environment: revenue is a whole tenant's.
    """
    context, zone = info.context, parse_timezone(timezone)
    scope = context.revenue_scope()
    if scope is None:
        return None
    _check_percent("powerPercent", power_percent)
    window = time_range.window(context.now, zone)
    asked = _narrowed(Question(scope, window, zone, by, granularity, None, None, allocate_by, power_percent), where)
    orders = tuple((order.by, order.direction) for order in order_by or ()) or USUAL_ORDER
    question = fingerprint(time_range, by, zone.key, granularity, where, orders, allocate_by, power_percent)
    size = check_page_size(first, MAX_PAGE)
    offset = decode_cursor(after, question, int)[0] if after is not None else 0
    names = set(selected_names(info.selected_fields))
    floor = margin_floor_percent if "tenantsBelow" in names else None

    def answered() -> ProfitConnection:
        answer = _ask_both(context, asked, floor, with_before="trend" in names)
        rows = ordered((row for row in answer.found.rows if _is_shown(row, where)), orders)
        return _connection(answer, rows, question, offset, size)

    return await context.services.read(answered)


def _connection(answer: _Answer, rows: Sequence[Row], question: str, offset: int, size: int) -> ProfitConnection:
    page, window = rows[offset : offset + size], answer.found.asked.window
    cursors = [encode_cursor(question, offset + place) for place in range(1, len(page) + 1)]
    return ProfitConnection(
        nodes=[answer.node(row) for row in page],
        page_info=page_info(cursors, has_next=offset + size < len(rows), has_previous=offset > 0),
        total_count=BigInt(len(rows)),
        totals=economics(answer.found.totals),
        unallocated_revenue=revenue_parts(answer.found.unallocated),
        tenants_below=tenants_below(answer.found.below),
        trend=answer.trend(),
        start=window.start,
        end=window.end,
    )
