"""Tenants: entered ones and those only seen in events, and which tier each has when."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Final, ParamSpec

import strawberry

from api.graphql.context import Context, Information
from api.graphql.naming import described_enum
from api.graphql.paging import PageInfo, check_page_size, decode_cursor, encode_cursor, fingerprint, page_info
from api.graphql.scalars import BigInt
from api.graphql.terms import OverridesInput, OverridesView, overrides_view
from api.graphql.tiers import changer
from api.graphql.user_errors import UserError, user_error
from attribution.dimensions import Dimension
from attribution.event import UNATTRIBUTED
from attribution.measures import Measure
from attribution.query import CostQuery, Page
from core.errors import Conflict, InvalidInput, NotFound
from core.time import Preset, parse_timezone
from finance.revenue.metering import MAX_ROWS, whole_page
from tenants.directory import Placement, TenantChange
from tenants.models import Tenant as TenantRow
from tenants.models import TenantStatus, TierAssignment
from tenants.principal import Permission
from tenants.scope import Scope
from tenants.terms import NO_OVERRIDES, decode_overrides

P = ParamSpec("P")
MAX_PAGE: Final = 1_000
_STATUSES = {
    TenantStatus.ACTIVE: "A customer.",
    TenantStatus.TRIAL: "Trying.",
    TenantStatus.SUSPENDED: "A customer who cannot use the product now.",
    TenantStatus.CLOSED: "No customer any more.",
}
described_enum(
    TenantStatus, "TenantStatus", "Where a tenant stands with the seller. Changes no number.", _STATUSES.__getitem__
)


@strawberry.type(description="A text by its key.")
class MetadataEntry:
    """An entry of a tenant's metadata."""

    key: str = strawberry.field(description="The key.")
    value: str = strawberry.field(description="The text.")


@strawberry.input(description="A text by its key.")
class MetadataInput:
    """An entry of a tenant's metadata."""

    key: str = strawberry.field(description="The key.")
    value: str = strawberry.field(description="The text.")


@strawberry.type(description="A tenant has a tier from `start` (in) to `end` (out; null: open).")
class Assignment:
    """An assignment."""

    id: strawberry.ID = strawberry.field(description="What the dimension ASSIGNMENT says.")
    tier: str = strawberry.field(description="The tier's key.")
    start: datetime = strawberry.field(description="First instant.")
    end: datetime | None = strawberry.field(description="First instant after it.")
    overrides: OverridesView | None = strawberry.field(
        description="What this contract says instead of the tier; null for keys without the finance role."
    )


@strawberry.type(description="A customer.")
class Tenant:
    """A tenant."""

    tenant: str = strawberry.field(description="What events say.")
    external_id: str | None = strawberry.field(description="What the billing system says.")
    name: str | None = strawberry.field(description="For people.")
    status: TenantStatus = strawberry.field(description="Where it stands with the seller.")
    metadata: list[MetadataEntry] = strawberry.field(description="Texts of your own.")
    version: int = strawberry.field(description="Counts its changes; 0: only seen in events, never entered.")
    tier: str | None = strawberry.field(description="The tier it has now; null: unassigned.")
    assignments: list[Assignment] = strawberry.field(description="Its tiers over time, the oldest first.")
    operations: BigInt = strawberry.field(description="Its operations in the last 90 days.")
    effective_cost: Decimal | None = strawberry.field(description="What they cost.")
    last_seen: datetime | None = strawberry.field(description="When the newest of them started.")


@strawberry.type(description="Tenants by id.")
class TenantConnection:
    """A page of tenants."""

    nodes: list[Tenant] = strawberry.field(description="The tenants of this page.")
    page_info: PageInfo = strawberry.field(description="Where this page stands.")
    total_count: BigInt = strawberry.field(description="Tenants over all pages.")


@strawberry.input(description="What changes of a tenant; null stays as it is.")
class SaveTenantInput:
    """A change."""

    tenant: str = strawberry.field(description="The tenant as events name it; entered if it was not.")
    external_id: str | None = strawberry.field(
        default=None, description="What the billing system says; empty takes it away."
    )
    name: str | None = strawberry.field(default=None, description="For people.")
    status: TenantStatus | None = strawberry.field(default=None, description="Where it stands with the seller.")
    metadata: list[MetadataInput] | None = strawberry.field(default=None, description="All of its texts.")
    expected_version: int | None = strawberry.field(
        default=None, description="Refuse if it is at another version; 0: if it was entered already."
    )

    def change(self) -> TenantChange:
        """The change meant. Raises InvalidTenant."""
        details = None if self.metadata is None else {entry.key: entry.value for entry in self.metadata}
        return TenantChange(self.tenant, self.external_id, self.name, self.status, details)


@strawberry.input(description="A tier for a time, in the place of what the tenant had then.")
class AssignTierInput:
    """A placement."""

    tenant: str = strawberry.field(description="The tenant as events name it; entered if it was not.")
    start: datetime = strawberry.field(description="First instant, a whole second. May lie in the past.")
    tier: str | None = strawberry.field(default=None, description="The tier's key; null: none.")
    end: datetime | None = strawberry.field(default=None, description="First instant after it; null: open.")
    overrides: OverridesInput | None = strawberry.field(
        default=None, description="What this contract says instead of the tier."
    )
    expected_version: int | None = strawberry.field(
        default=None, description="Refuse if the tenant is at another version; 0: if it was entered already."
    )

    def placement(self) -> Placement:
        """The placement meant. Raises InvalidTenant, InvalidTier or InvalidTerms."""
        overrides = self.overrides.terms() if self.overrides else NO_OVERRIDES
        return Placement(self.tenant, self.tier, self.start, self.end, overrides)


@strawberry.type(description="The tenant as it is now, or why it was not changed.")
class TenantPayload:
    """The outcome."""

    tenant: Tenant | None = strawberry.field(description="The tenant.")
    errors: list[UserError] = strawberry.field(description="Empty when it was done.")


@dataclass(frozen=True, slots=True)
class _Seen:
    """What events say of a tenant."""

    operations: int = 0
    cost: Decimal | None = None
    last: datetime | None = None


async def tenants(
    info: Information,
    search: Annotated[str | None, strawberry.argument(description="Part of an id or a name, in any case.")] = None,
    status: Annotated[TenantStatus | None, strawberry.argument(description="Only those.")] = None,
    tier: Annotated[str | None, strawberry.argument(description="Only those that have it now; empty: none.")] = None,
    first: Annotated[int, strawberry.argument(description="Tenants per page.")] = 100,
    after: Annotated[str | None, strawberry.argument(description="endCursor of the previous page.")] = None,
) -> TenantConnection | None:
    """Every tenant that was entered or seen in the last 90 days, with the tier it has now and had before."""
    context = info.context
    question = fingerprint("tenants", search, status, tier)
    size = check_page_size(first, MAX_PAGE)
    offset = decode_cursor(after, question, int)[0] if after is not None else 0
    everyone = await context.services.read(_everyone, context, context.scope())
    found = [each for each in everyone if _is_meant(each, search, status, tier)]
    page = found[offset : offset + size]
    cursors = [encode_cursor(question, offset + place) for place in range(1, len(page) + 1)]
    return TenantConnection(
        nodes=page,
        page_info=page_info(cursors, has_next=offset + size < len(found), has_previous=offset > 0),
        total_count=BigInt(len(found)),
    )


def _is_meant(each: Tenant, search: str | None, status: TenantStatus | None, tier: str | None) -> bool:
    texts = (each.tenant, each.name or "", each.external_id or "")
    is_found = search is None or any(search.casefold() in text.casefold() for text in texts)
    return is_found and status in {None, each.status} and tier in {None, each.tier or ""}


def _everyone(context: Context, scope: Scope) -> list[Tenant]:
    """Entered and seen tenants, by id. A team or an environment knows those it has seen."""
    services = context.services
    seen = _seen(context, scope)
    entered = {row.tenant_id: row for row in services.money.tenants.all(scope.tenant)}
    is_whole = scope.team is None and scope.environment is None
    assignments: defaultdict[str, list[TierAssignment]] = defaultdict(list)
    for each in services.money.tenants.assignments(scope.tenant):
        assignments[each.tenant_id].append(each)
    known = ({*seen, *entered} if is_whole else {*seen}) - {UNATTRIBUTED}
    return [
        _tenant(context, name, entered.get(name), assignments[name], seen.get(name, _Seen())) for name in sorted(known)
    ]


def _seen(context: Context, scope: Scope) -> dict[str, _Seen]:
    query = CostQuery(
        scope,
        Preset.LAST_90_DAYS.window(context.now, parse_timezone("UTC")),
        (Measure.OPERATIONS, Measure.EFFECTIVE_COST, Measure.LAST_SEEN),
        group_by=(Dimension.TENANT,),
        page=Page(MAX_ROWS),
    )
    report = whole_page(context.services.store.report(query))
    rows = zip(report.keys[0], *(report.measures[measure] for measure in query.measures), strict=True)
    return {tenant: _Seen(*cells) for tenant, *cells in rows if tenant}


def _tenant(
    context: Context, name: str, row: TenantRow | None, assignments: list[TierAssignment], seen: _Seen
) -> Tenant:
    now = context.now
    current = (a.tier for a in assignments if a.start <= now and (a.end is None or now < a.end))
    is_finance = Permission.FINANCE in context.principal.role.permissions
    return Tenant(
        tenant=name,
        external_id=row.external_id if row else None,
        name=(row.name or None) if row else None,
        status=TenantStatus(row.status) if row else TenantStatus.ACTIVE,
        metadata=[MetadataEntry(key=k, value=v) for k, v in json.loads(row.details).items()] if row else [],
        version=row.version if row else 0,
        tier=next(current, None),
        assignments=[_assignment(each, with_overrides=is_finance) for each in assignments],
        operations=BigInt(seen.operations),
        effective_cost=seen.cost,
        last_seen=seen.last,
    )


def _assignment(row: TierAssignment, *, with_overrides: bool) -> Assignment:
    return Assignment(
        id=strawberry.ID(str(row.id)),
        tier=row.tier,
        start=row.start,
        end=row.end,
        overrides=overrides_view(decode_overrides(row.overrides)) if with_overrides else None,
    )


async def save_tenant(
    info: Information,
    input: Annotated[SaveTenantInput, strawberry.argument(description="What changes.")],  # noqa: A002
) -> TenantPayload | None:
    """Enter a tenant, or change what is known of it."""
    context, by = info.context, changer(info.context)
    try:
        change = input.change()
    except InvalidInput as error:
        return TenantPayload(tenant=None, errors=[user_error(error)])
    return await _changed(
        context, context.services.money.tenants.save, change, expected_version=input.expected_version, by=by
    )


async def assign_tier(
    info: Information,
    input: Annotated[AssignTierInput, strawberry.argument(description="Which tier, and when.")],  # noqa: A002
) -> TenantPayload | None:
    """Give a tenant a tier for a time; what it had then makes room. Costs by tier and revenue follow, the past too."""
    context, by = info.context, changer(info.context)
    try:
        placement = input.placement()
        context.services.money.tiers.check(placement.overrides)
    except InvalidInput as error:
        return TenantPayload(tenant=None, errors=[user_error(error)])
    payload = await _changed(
        context, context.services.money.tenants.place, placement, expected_version=input.expected_version, by=by
    )
    await context.services.read(context.services.money.tier_mirror.follow)
    return payload


async def _changed(
    context: Context, change: Callable[P, TenantRow], *args: P.args, **kwargs: P.kwargs
) -> TenantPayload:
    services = context.services
    try:
        row = await services.read(change, *args, **kwargs)
    except (InvalidInput, Conflict, NotFound) as error:
        return TenantPayload(tenant=None, errors=[user_error(error)])
    assignments = await services.read(services.money.tenants.assignments, row.tenant_id)
    seen = await services.read(_seen, context, Scope(tenant=row.tenant_id))
    tenant = _tenant(context, row.tenant_id, row, assignments, seen.get(row.tenant_id, _Seen()))
    return TenantPayload(tenant=tenant, errors=[])
