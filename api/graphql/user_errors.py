"""Errors as data: what a mutation answers when it did not happen, for a form to show beside its fields."""

from __future__ import annotations

import strawberry

from core.errors import ApportionError


@strawberry.type(description="Why a mutation did not happen.")
class UserError:
    """An error as data."""

    code: str = strawberry.field(description="Stable, to match on.")
    message: str = strawberry.field(description="For people.")
    field: str | None = strawberry.field(description="The input field at fault, where there is one.")


def user_error(error: ApportionError) -> UserError:
    """The error as a client may see it."""
    return UserError(code=error.code, message=str(error), field=getattr(error, "field", None))
