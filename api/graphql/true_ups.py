"""`trueUp`: what a bill says beyond what is attributed, booked. For finance keys without a scope."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Annotated

import strawberry

from api.graphql.context import Information
from api.graphql.scalars import BigInt
from api.graphql.user_errors import UserError, user_error
from core.errors import Conflict, InvalidInput, NotFound
from core.money import from_pico
from finance.month import Month
from finance.reconciliation.comparison import Cause
from finance.reconciliation.true_ups import TrueUp
from tenants.principal import Permission


@strawberry.type(description="One charge that a true-up books.")
class TrueUpCharge:
    """A booked difference."""

    day: str = strawberry.field(description="The UTC day.")
    model: str | None = strawberry.field(description="The model.")
    account: str | None = strawberry.field(description="The account at the provider.")
    category: str | None = strawberry.field(description="The category of charge.")
    billed: Decimal = strawberry.field(description="What the bill says.")
    attributed: Decimal = strawberry.field(description="What events cost.")
    amount: Decimal = strawberry.field(description="What is booked.")
    cause: Cause = strawberry.field(description="Why the two differ.")


@strawberry.type(description="A month trued up: `billed` is `attributed` and `amount`.")
class TrueUpReport:
    """A true-up, done or previewed."""

    provider: str = strawberry.field(description="The provider.")
    period: str = strawberry.field(description="The month, in UTC.")
    billed: Decimal = strawberry.field(description="What the bills say of the days they cover, but for what is late.")
    attributed: Decimal = strawberry.field(description="What events cost there.")
    amount: Decimal = strawberry.field(description="What is booked altogether.")
    charges: list[TrueUpCharge] = strawberry.field(description="What is booked, the largest first; at most 1,000.")
    rows_written: BigInt = strawberry.field(description="Rows that are new or other than before.")
    rows_removed: BigInt = strawberry.field(description="Rows of an earlier true-up that are taken back.")
    rows_unchanged: BigInt = strawberry.field(description="Rows of an earlier true-up that stay.")


@strawberry.type(description="The true-up, or why there is none.")
class TrueUpPayload:
    """The outcome of trueUp."""

    report: TrueUpReport | None = strawberry.field(description="What was done, or would be.")
    errors: list[UserError] = strawberry.field(description="Empty when it was done.")


async def true_up(
    info: Information,
    provider: Annotated[str, strawberry.argument(description="Whose bill.")],
    period: Annotated[str, strawberry.argument(description="The month, such as 2026-10, in UTC as bills are.")],
    dry_run: Annotated[bool, strawberry.argument(description="Only say what would be booked.")] = False,  # noqa: FBT002
) -> TrueUpPayload | None:
    """Book what the bill says beyond what is attributed, as charges of nobody. Run again, it replaces.

    Allocation rules can share the charges out: they are charges of the source `bill`.
    """
    context = info.context
    context.scope(Permission.FINANCE).require_unrestricted("bills")
    ups = context.services.money.true_ups
    try:
        month = Month.parse(period)
        if dry_run:
            done = await context.services.read(ups.preview, provider, month)
        else:
            done = await asyncio.to_thread(ups.run, provider, month, by=context.principal.name)
    except (InvalidInput, Conflict, NotFound) as error:
        return TrueUpPayload(report=None, errors=[user_error(error)])
    return TrueUpPayload(report=_true_up(done), errors=[])


def _true_up(done: TrueUp) -> TrueUpReport:
    largest = sorted(done.booked, key=lambda one: -abs(one.cell.gap))[:1_000]
    return TrueUpReport(
        provider=done.provider,
        period=str(done.month),
        billed=from_pico(done.billed),
        attributed=from_pico(done.attributed),
        amount=from_pico(done.amount),
        charges=[
            TrueUpCharge(
                day=str(one.place.day),
                model=one.place.model or None,
                account=one.place.account or None,
                category=one.place.category,
                billed=from_pico(one.cell.billed),
                attributed=from_pico(one.cell.attributed),
                amount=from_pico(one.cell.gap),
                cause=one.cell.cause,
            )
            for one in largest
        ],
        rows_written=BigInt(len(done.changes.written)),
        rows_removed=BigInt(len(done.changes.removed)),
        rows_unchanged=BigInt(done.changes.unchanged),
    )
