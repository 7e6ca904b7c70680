"""Negotiated prices: listed and added, never overwritten. For keys with the finance role."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated

import strawberry

from api.graphql.context import Context, Information
from api.graphql.user_errors import UserError, user_error
from core.errors import Conflict, Forbidden, InvalidInput
from pricing.models import NegotiatedPrice
from tenants.principal import Permission


class OutsideScope(Forbidden):
    """The key's scope does not cover that price."""

    def __init__(self) -> None:
        super().__init__("a key scoped to a tenant may only add that tenant's prices; other scopes may add none")


@strawberry.type(description="`per` units cost `price` from `effectiveFrom` until a later price of the same key.")
class Price:
    """A negotiated price."""

    id: strawberry.ID = strawberry.field(description="Its number; stored events name it as `negotiated:<id>`.")
    provider: str = strawberry.field(description="Who sells it.")
    model: str | None = strawberry.field(description="The model; null means every model of the provider.")
    unit: str = strawberry.field(description="What is counted, such as input_tokens or gpu_seconds.")
    tenant: str | None = strawberry.field(description="The tenant it is for; null means all.")
    price: Decimal = strawberry.field(description="What `per` units cost.")
    per: int = strawberry.field(description="How many units the price is for.")
    currency: str = strawberry.field(description="ISO 4217.")
    effective_from: datetime = strawberry.field(description="First instant it is in force.")
    note: str = strawberry.field(description="Why, for people.")
    created_at: datetime = strawberry.field(description="When it was added.")
    created_by: str = strawberry.field(description="The key that added it.")


@strawberry.input(description="A price to add.")
class AddPriceInput:
    """What a new price says."""

    provider: str = strawberry.field(description="Who sells it.")
    unit: str = strawberry.field(description="input_tokens, output_tokens, requests, gpu_seconds, ...")
    price: Decimal = strawberry.field(description="What `per` units cost.")
    effective_from: datetime = strawberry.field(description="First instant it is in force.")
    per: int = strawberry.field(default=1, description="How many units the price is for, such as 1000000.")
    model: str = strawberry.field(default="", description="The model; empty means every model of the provider.")
    tenant: str = strawberry.field(default="", description="The tenant it is for; empty means all.")
    currency: str | None = strawberry.field(default=None, description="Default: the deployment's currency.")
    note: str = strawberry.field(default="", description="Why, for people.")


@strawberry.type(description="The price that was added, or why none was.")
class AddPricePayload:
    """The outcome of addPrice."""

    price: Price | None = strawberry.field(description="The new price.")
    errors: list[UserError] = strawberry.field(description="Empty when it was added.")


def _price(row: NegotiatedPrice) -> Price:
    return Price(
        id=strawberry.ID(str(row.id)),
        provider=row.provider,
        model=row.model or None,
        unit=row.unit,
        tenant=row.tenant_id or None,
        price=row.price,
        per=row.per,
        currency=row.currency,
        effective_from=row.effective_from,
        note=row.note,
        created_at=row.created_at,
        created_by=row.created_by,
    )


async def prices(
    info: Information,
    provider: Annotated[str | None, strawberry.argument(description="Only this provider's.")] = None,
    model: Annotated[str | None, strawberry.argument(description="Only this model's.")] = None,
    unit: Annotated[str | None, strawberry.argument(description="Only this unit's.")] = None,
) -> list[Price] | None:
    """Every negotiated price, past and future. Public prices apply where none is negotiated."""
    context = info.context
    scope = context.scope(Permission.FINANCE)
    if scope.team is not None or scope.environment is not None:
        return []
    rows = await context.services.read(
        context.services.book.prices, provider=provider, model=model, unit=unit, tenant_id=scope.tenant
    )
    return [_price(row) for row in rows]


async def add_price(
    info: Information,
    input: Annotated[AddPriceInput, strawberry.argument(description="The price.")],  # noqa: A002
) -> AddPricePayload | None:
    """Add a negotiated price. Nothing already rated changes, and no price is ever overwritten."""
    context = info.context
    try:
        return AddPricePayload(price=await _add(context, input), errors=[])
    except (InvalidInput, Conflict) as error:
        return AddPricePayload(price=None, errors=[user_error(error)])


async def _add(context: Context, wanted: AddPriceInput) -> Price:
    scope = context.scope(Permission.FINANCE)
    if not scope.unrestricted and (scope.tenant is None or scope.tenant != wanted.tenant or scope.team is not None):
        raise OutsideScope
    row = await context.services.read(
        context.services.book.add,
        provider=wanted.provider,
        model=wanted.model,
        unit=wanted.unit,
        tenant_id=wanted.tenant,
        price=wanted.price,
        per=wanted.per,
        currency=wanted.currency or "",
        effective_from=wanted.effective_from,
        note=wanted.note,
        created_by=context.principal.name,
    )
    return _price(row)
