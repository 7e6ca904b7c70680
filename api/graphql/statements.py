"""Statements: closed, read, previewed and reopened. For keys with the finance role."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

import strawberry

from api.graphql.context import Context, Information
from api.graphql.naming import described_enum
from api.graphql.paging import PageInfo, check_page_size, decode_cursor, encode_cursor, fingerprint, page_info
from api.graphql.scalars import BigInt
from api.graphql.user_errors import UserError, user_error
from api.statements import MAX_PAGE, PAGE, close_in_time
from core.errors import Conflict, InvalidInput, NotFound
from finance.statements.books import NoSuchStatement, Status
from finance.statements.books import Statement as Stored
from finance.statements.closing import Asked, covers_tenants
from finance.statements.lines import LineKind
from finance.statements.period import BillingPeriod
from finance.statements.reading import StatementQuery, find, get, tenant_meant
from tenants.principal import Permission

described_enum(
    Status,
    "StatementStatus",
    "Whether a statement holds.",
    {
        Status.CLOSED: "It holds.",
        Status.REOPENED: "It was reopened, and its month is open until it is closed again.",
        Status.SUPERSEDED: "It was reopened, and a later revision holds in its place.",
    }.__getitem__,
)
described_enum(
    LineKind,
    "StatementLineKind",
    "What a line is about.",
    {
        LineKind.COST: "What the tenant's usage and charges cost.",
        LineKind.TIER_CHARGE: "What the tenant's pricing tier asks of the tenant.",
    }.__getitem__,
)


@strawberry.type(description="One line. A statement has one per month, kind, feature, model, cost category and charge.")
class StatementLine:
    """A line."""

    period: str = strawberry.field(description="The month the money belongs to, such as 2026-10.")
    kind: LineKind = strawberry.field(description="What the line is about.")
    feature: str | None = strawberry.field(description="The feature of a cost.")
    model: str | None = strawberry.field(description="The model of a cost.")
    cost_category: str | None = strawberry.field(description="The category of a cost.")
    tier: str | None = strawberry.field(description="The tier of a charge.")
    charge: str | None = strawberry.field(description="What the tier charges for, such as period_fee.")
    unit: str = strawberry.field(description="What the quantity counts.")
    is_adjustment: bool = strawberry.field(description="Whether the money belongs to an earlier month.")
    amount: Decimal | None = strawberry.field(description="Null: operations without any known cost.")
    quantity: Decimal = strawberry.field(description="How many of the unit; less than none in an adjustment.")
    unpriced_operations: BigInt = strawberry.field(description="Operations whose cost is unknown.")


@strawberry.interface(description="What closed statements and previews have in common.")
class StatementContent:
    """A tenant's month."""

    tenant: str = strawberry.field(description="Whose month it is.")
    period: str = strawberry.field(description="The month, such as 2026-10.")
    timezone: str = strawberry.field(description="IANA zone of the month.")
    start: datetime = strawberry.field(description="First instant of the month.")
    end: datetime = strawberry.field(description="First instant after it.")
    currency: str = strawberry.field(description="Currency of every amount, ISO 4217.")
    cost: Decimal = strawberry.field(description="Sum of the cost lines with a known amount, adjustments included.")
    charges: Decimal = strawberry.field(description="Sum of the tier charges, adjustments included.")
    adjustments: Decimal = strawberry.field(description="The part of the cost that belongs to earlier months.")
    unpriced_operations: BigInt = strawberry.field(description="Operations whose cost is unknown.")
    lines: list[StatementLine] = strawberry.field(description="The lines, in a stable order.")


@strawberry.type(description="What a statement would say if the month were closed now.")
class StatementPreview(StatementContent):
    """A draft."""


@strawberry.type(description="A closed month. It never changes; its status may.")
class Statement(StatementContent):
    """A statement."""

    number: int = strawberry.field(description="1, 2, 3, ... without a gap in the deployment.")
    revision: int = strawberry.field(description="1, and one more each time the month was closed again.")
    supersedes: int | None = strawberry.field(description="The number of the revision before.")
    closed_at: datetime = strawberry.field(description="When it was closed.")
    closed_by: str = strawberry.field(description="The key that closed it.")
    checksum: str = strawberry.field(description="SHA-256 of its canonical JSON, as REST delivers it.")
    status: Status = strawberry.field(description="Whether it holds.")
    tenant_external_id: str | None = strawberry.field(description="What the billing system calls the tenant today.")
    superseded_by: int | None = strawberry.field(description="The number of the next revision.")
    reopened_at: datetime | None = strawberry.field(description="When it was reopened.")
    reopened_because: str | None = strawberry.field(description="Why.")


@strawberry.type(description="Statements in the order of their numbers.")
class StatementConnection:
    """A page of statements."""

    nodes: list[Statement] = strawberry.field(description="The statements of this page.")
    page_info: PageInfo = strawberry.field(description="Where this page stands.")


@strawberry.type(description="What closing came to.")
class CloseStatementsPayload:
    """The outcome of closeStatements."""

    closed: list[Statement] = strawberry.field(description="The statements that this call made.")
    closed_before: int = strawberry.field(description="How many tenants' months were closed already.")
    remaining: int = strawberry.field(description="Tenants not reached in time: call again, and it goes on.")
    errors: list[UserError] = strawberry.field(description="Why nothing was closed; empty when it was.")


@strawberry.type(description="The reopened statement, or why it was not reopened.")
class ReopenStatementPayload:
    """The outcome of reopenStatement."""

    statement: Statement | None = strawberry.field(description="The statement as it stands now.")
    errors: list[UserError] = strawberry.field(description="Empty when it was reopened.")


def _content(content: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of StatementContent out of a document."""
    said = {field.name: content[field.name] for field in fields(StatementContent)}
    said |= {name: Decimal(said[name]) for name in ("cost", "charges", "adjustments")}
    said |= {name: datetime.fromisoformat(said[name]) for name in ("start", "end")}
    return said | {"lines": [_line(line) for line in content["lines"]]}


def _line(line: Mapping[str, Any]) -> StatementLine:
    amount = None if line["amount"] is None else Decimal(line["amount"])
    typed = {"kind": LineKind(line["kind"]), "amount": amount, "quantity": Decimal(line["quantity"])}
    return StatementLine(**{**line, **typed})


def _statement(stored: Stored) -> Statement:
    row, reopening = stored.record, stored.reopening
    return Statement(
        **_content(stored.content),
        number=row.number,
        revision=row.revision,
        supersedes=stored.content["supersedes"],
        closed_at=row.closed_at,
        closed_by=row.closed_by,
        checksum=row.checksum,
        status=stored.status,
        tenant_external_id=stored.external_id,
        superseded_by=stored.superseded_by,
        reopened_at=reopening.at if reopening else None,
        reopened_because=reopening.reason if reopening else None,
    )


async def statements(
    info: Information,
    period: Annotated[str | None, strawberry.argument(description="Only this month's, such as 2026-10.")] = None,
    tenant: Annotated[str | None, strawberry.argument(description="Only this tenant's.")] = None,
    first: Annotated[int, strawberry.argument(description="Statements per page.")] = PAGE,
    after: Annotated[str | None, strawberry.argument(description="endCursor of the previous page.")] = None,
) -> StatementConnection | None:
    """The closed statements, reopened ones too, in the order of their numbers."""
    context = info.context
    scope, question = context.scope(Permission.FINANCE), fingerprint("statements", period, tenant)
    position = decode_cursor(after, question, int)[0] if after is not None else 0
    query = StatementQuery.of(scope, period, tenant, after=position, first=check_page_size(first, MAX_PAGE))
    page = await context.services.read(find, context.services.database, query)
    cursors = [encode_cursor(question, stored.record.number) for stored in page.statements]
    return StatementConnection(
        nodes=[_statement(stored) for stored in page.statements],
        page_info=page_info(cursors, has_next=page.has_next, has_previous=after is not None),
    )


async def statement(
    info: Information,
    number: Annotated[int, strawberry.argument(description="Its number.")],
) -> Statement | None:
    """One statement. Null when there is none of that number, or not for this key."""
    context = info.context
    scope = context.scope(Permission.FINANCE)
    try:
        return _statement(await context.services.read(get, context.services.database, scope, number))
    except NoSuchStatement:
        return None


async def statement_preview(
    info: Information,
    period: Annotated[str | None, strawberry.argument(description="The month; default: the one that runs.")] = None,
    tenant: Annotated[str | None, strawberry.argument(description="Whose; default: the key's own tenant.")] = None,
) -> StatementPreview | None:
    """What a statement would say now, late changes of closed months too. Null for keys that see part of a tenant."""
    context, closer = info.context, info.context.services.money.statements
    scope = context.scope(Permission.FINANCE)
    if not covers_tenants(scope):
        return None
    month = BillingPeriod.parse(period) if period else BillingPeriod.of(context.now, closer.timezone)
    whose = tenant_meant(scope, tenant)
    draft = await context.services.read(closer.preview, whose, month, now=context.now)
    return StatementPreview(**_content(draft.content()))


async def close_statements(
    info: Information,
    period: Annotated[str, strawberry.argument(description="A month that is over, such as 2026-10.")],
    tenant: Annotated[str | None, strawberry.argument(description="Only this tenant's; default: everyone's.")] = None,
) -> CloseStatementsPayload | None:
    """Close a month into statements. Safe to repeat: what is closed stays as it is."""
    context = info.context
    scope = context.scope(Permission.FINANCE)
    try:
        asked = Asked(BillingPeriod.parse(period), scope, tenant)
        outcome = await close_in_time(context.services, asked, by=context.principal.name, now=context.now)
    except (InvalidInput, Conflict) as error:
        return CloseStatementsPayload(closed=[], closed_before=0, remaining=0, errors=[user_error(error)])
    return CloseStatementsPayload(
        closed=[_statement(stored) for stored in outcome.closed],
        closed_before=outcome.closed_before,
        remaining=outcome.remaining,
        errors=[],
    )


async def reopen_statement(
    info: Information,
    number: Annotated[int, strawberry.argument(description="The statement.")],
    reason: Annotated[str, strawberry.argument(description="Why; it is kept for ever.")],
) -> ReopenStatementPayload | None:
    """Let a statement hold no more. It stays readable; closing its month again makes the next revision."""
    try:
        return ReopenStatementPayload(statement=await _reopen(info.context, number, reason), errors=[])
    except (InvalidInput, Conflict, NotFound) as error:
        return ReopenStatementPayload(statement=None, errors=[user_error(error)])


async def _reopen(context: Context, number: int, reason: str) -> Statement:
    closer, scope = context.services.money.statements, context.scope(Permission.FINANCE)
    by, now = context.principal.name, context.now
    return _statement(await asyncio.to_thread(closer.reopen, number, reason, scope=scope, by=by, now=now))
