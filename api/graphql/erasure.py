"""`eraseUser`: takes the link to a person out of everything stored. For admins."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Annotated

import strawberry

from api.graphql.context import Context, Information
from api.graphql.scalars import BigInt
from attribution.erasure import Person, Traces
from core.errors import Forbidden
from tenants.principal import Permission


class OutsideErasureScope(Forbidden):
    """The key's scope does not cover all of that user."""

    def __init__(self) -> None:
        super().__init__("a key scoped to a tenant may only erase that tenant's users; other scopes may erase none")


@strawberry.input(description="Whom to erase, and how.")
class EraseUserInput:
    """A user of a tenant."""

    tenant: str = strawberry.field(description="The tenant.")
    user: str = strawberry.field(description="The user id, as it was sent.")
    keep_costs: bool = strawberry.field(
        default=True,
        description="True: user and session ids are emptied, tags named `user.*` dropped, and costs stay. False: the "
        "user's events are deleted, and with them what they cost.",
    )
    dry_run: bool = strawberry.field(default=False, description="Only count what would be erased.")


@strawberry.type(description="What was stored about the user.")
class EraseUserPayload:
    """The outcome of eraseUser."""

    erased: bool = strawberry.field(description="True when nothing is left; false for a dry run.")
    events: BigInt = strawberry.field(description="Events that named the user.")
    effective_cost: Decimal | None = strawberry.field(description="What they cost; null when that is unknown.")


async def erase_user(
    info: Information,
    input: Annotated[EraseUserInput, strawberry.argument(description="Whom, and how.")],  # noqa: A002
) -> EraseUserPayload | None:
    """Erase a user, as privacy laws ask. It cannot be undone, and holds for whatever is sent about the user later.

    Takes a few seconds, more where much is stored: every process has to learn of it before what is stored is rewritten.
    Should the answer not come in time, ask once more: it is safe to repeat.
    """
    context, person = info.context, Person(input.tenant, input.user)
    _check_scope(context, person)
    found = await asyncio.to_thread(_erase, context, person, input)
    return EraseUserPayload(erased=not input.dry_run, events=BigInt(found.events), effective_cost=found.effective_cost)


def _check_scope(context: Context, person: Person) -> None:
    scope = context.scope(Permission.ADMIN)
    if scope.team or scope.environment or scope.tenant not in {None, person.tenant_id}:
        raise OutsideErasureScope


def _erase(context: Context, person: Person, wanted: EraseUserInput) -> Traces:
    eraser = context.services.eraser
    if wanted.dry_run:
        return eraser.traces(person)
    return eraser.erase(person, keep_costs=wanted.keep_costs, by=context.principal.name)
