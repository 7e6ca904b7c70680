"""Pricing tiers and the versions of their terms. For keys with the finance role."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, ParamSpec

import strawberry

from api.graphql.context import Context, Information
from api.graphql.terms import TierTermsInput, TierTermsView, terms_view
from api.graphql.user_errors import UserError, user_error
from core.errors import Conflict, Forbidden, InvalidInput, NotFound
from tenants.models import Tier as TierRow
from tenants.models import TierVersion as VersionRow
from tenants.principal import Permission
from tenants.terms import decode_terms

P = ParamSpec("P")


class EveryonesTiers(Forbidden):
    """A part of the tenants cannot decide about tiers, which are everybody's, nor about its own."""

    def __init__(self) -> None:
        super().__init__("tenants and tiers are changed by keys without a scope only")


@strawberry.type(description="A tier's terms from `effectiveFrom` until its next version.")
class TierVersion:
    """A version."""

    effective_from: datetime = strawberry.field(description="First instant they are in force.")
    terms: TierTermsView = strawberry.field(description="What a tenant pays for a period.")
    note: str = strawberry.field(description="Why, for people.")
    created_at: datetime = strawberry.field(description="When they were entered first.")
    created_by: str = strawberry.field(description="The key that entered them first.")


@strawberry.type(description="A pricing tier.")
class Tier:
    """A tier."""

    key: str = strawberry.field(description="What the dimension TIER says.")
    name: str = strawberry.field(description="For people.")
    description: str = strawberry.field(description="For people.")
    timezone: str = strawberry.field(description="IANA zone of its billing periods.")
    version: int = strawberry.field(description="Counts its changes; what `expectedVersion` compares with.")
    versions: list[TierVersion] = strawberry.field(description="Its terms over time, the oldest first.")


@strawberry.input(description="A tier to make.")
class CreateTierInput:
    """A new tier."""

    key: str = strawberry.field(description="Up to 64 lower-case letters, digits, hyphens and underscores; for good.")
    name: str = strawberry.field(description="For people.")
    description: str = strawberry.field(default="", description="For people.")
    timezone: str = strawberry.field(default="UTC", description="IANA zone of its billing periods; for good.")


@strawberry.input(description="What changes of a tier; null stays as it is.")
class UpdateTierInput:
    """A change."""

    key: str = strawberry.field(description="The tier.")
    name: str | None = strawberry.field(default=None, description="Another name.")
    description: str | None = strawberry.field(default=None, description="Another description.")
    expected_version: int | None = strawberry.field(default=None, description="Refuse if it is at another version.")


@strawberry.input(description="Terms from an instant on.")
class SetTierTermsInput:
    """A version to add or replace."""

    tier: str = strawberry.field(description="The tier's key.")
    effective_from: datetime = strawberry.field(description="A whole second; terms of the same one are replaced.")
    terms: TierTermsInput = strawberry.field(description="What a tenant pays for a period.")
    note: str = strawberry.field(default="", description="Why, for people.")
    expected_version: int | None = strawberry.field(default=None, description="Refuse if it is at another version.")


@strawberry.type(description="The tier as it is now, or why it was not changed.")
class TierPayload:
    """The outcome."""

    tier: Tier | None = strawberry.field(description="The tier.")
    errors: list[UserError] = strawberry.field(description="Empty when it was done.")


def _tier(row: TierRow, versions: list[VersionRow]) -> Tier:
    return Tier(
        key=row.key,
        name=row.name,
        description=row.description,
        timezone=row.timezone,
        version=row.version,
        versions=[_version(version) for version in versions],
    )


def _version(row: VersionRow) -> TierVersion:
    return TierVersion(
        effective_from=row.effective_from,
        terms=terms_view(decode_terms(row.terms)),
        note=row.note,
        created_at=row.created_at,
        created_by=row.created_by,
    )


async def tiers(
    info: Information,
    key: Annotated[str | None, strawberry.argument(description="Only this one.")] = None,
) -> list[Tier] | None:
    """Every pricing tier with its terms over time. A key scoped to a tenant sees the tiers that tenant had.

    Null for keys scoped to a team or an environment.
    """
    context = info.context
    scope = context.revenue_scope()
    if scope is None:
        return None
    found = await context.services.read(_tiers, context, scope.tenant)
    return [tier for tier in found if key in {None, tier.key}]


def _tiers(context: Context, tenant_id: str | None) -> list[Tier]:
    services = context.services
    versions: defaultdict[str, list[VersionRow]] = defaultdict(list)
    for version in services.money.tiers.versions():
        versions[version.tier].append(version)
    had = {each.tier for each in services.money.tenants.assignments(tenant_id)} if tenant_id is not None else None
    return [_tier(row, versions[row.key]) for row in services.money.tiers.all() if had is None or row.key in had]


def changer(context: Context) -> str:
    """The name under which the caller changes tenants and tiers. Raises NotAllowed or EveryonesTiers."""
    if not context.scope(Permission.FINANCE).unrestricted:
        raise EveryonesTiers
    return context.principal.name


async def _changed(context: Context, change: Callable[P, TierRow], *args: P.args, **kwargs: P.kwargs) -> TierPayload:
    try:
        row = await context.services.read(change, *args, **kwargs)
    except (InvalidInput, Conflict, NotFound) as error:
        return TierPayload(tier=None, errors=[user_error(error)])
    found = await context.services.read(_tiers, context, None)
    return TierPayload(tier=next(tier for tier in found if tier.key == row.key), errors=[])


async def create_tier(
    info: Information,
    input: Annotated[CreateTierInput, strawberry.argument(description="The tier.")],  # noqa: A002
) -> TierPayload | None:
    """Make a tier. Give it terms next: until then its tenants' revenue is unknown."""
    context, by = info.context, changer(info.context)
    return await _changed(
        context,
        context.services.money.tiers.create,
        input.key,
        input.name,
        description=input.description,
        timezone=input.timezone,
        by=by,
    )


async def update_tier(
    info: Information,
    input: Annotated[UpdateTierInput, strawberry.argument(description="What changes.")],  # noqa: A002
) -> TierPayload | None:
    """Give a tier another name or description."""
    context, by = info.context, changer(info.context)
    return await _changed(
        context,
        context.services.money.tiers.update,
        input.key,
        name=input.name,
        description=input.description,
        expected_version=input.expected_version,
        by=by,
    )


async def set_tier_terms(
    info: Information,
    input: Annotated[SetTierTermsInput, strawberry.argument(description="Terms and since when.")],  # noqa: A002
) -> TierPayload | None:
    """Let a tier have these terms from an instant on, until its next version. Modelled revenue follows at once."""
    context, by = info.context, changer(info.context)
    try:
        terms = input.terms.terms(context.services.settings.currency)
    except InvalidInput as error:
        return TierPayload(tier=None, errors=[user_error(error)])
    return await _changed(
        context,
        context.services.money.tiers.set_terms,
        input.tier,
        input.effective_from,
        terms,
        note=input.note,
        expected_version=input.expected_version,
        by=by,
    )
