"""`auditLog`: who changed keys, prices and stored events. For admins."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import strawberry

from api.graphql.context import Information
from api.graphql.naming import described_enum
from api.graphql.paging import PageInfo, check_page_size, decode_cursor, encode_cursor, page_info
from tenants.audit import Action, AuditRecord, records
from tenants.principal import Permission

MAX_PAGE = 1_000
_QUESTION = "auditLog"
_ACTIONS = {
    Action.CREATE_KEY: "An API key was created; the target is its prefix.",
    Action.REVOKE_KEY: "An API key was revoked; the target is its prefix.",
    Action.ADD_PRICE: "A negotiated price was added.",
    Action.DELETE_EVENT: "An event was deleted; the target is its tenant and id.",
    Action.REDRIVE_EVENTS: "Rejected events were sent through their door again.",
    Action.REPRICE_EVENTS: "Stored events were rated again: once when it began and once when it ended.",
    Action.ERASE_USER: "A user was erased; the record does not say who.",
    Action.CREATE_TIER: "A tier was made.",
    Action.UPDATE_TIER: "A tier got another name or description.",
    Action.SET_TERMS: "A tier got terms from a date on.",
    Action.SAVE_TENANT: "What is known of a tenant was changed.",
    Action.ASSIGN_TIER: "A tenant got a tier for a time, or lost it.",
    Action.IMPORT_REVENUE: "Actual revenue was entered.",
    Action.WITHDRAW_REVENUE: "An item of actual revenue was withdrawn.",
    Action.CLOSE_STATEMENT: "A tenant's month was closed into a statement.",
    Action.REOPEN_STATEMENT: "A statement was reopened; the details say why.",
    Action.SET_ALLOCATION_RULE: "An allocation rule got a version; the target is its name.",
    Action.RUN_ALLOCATION: "Shared charges of a period were allocated; the target is the period.",
    Action.IMPORT_BILL: "A provider's bill was imported; the target is provider and month.",
    Action.REMOVE_BILL: "A provider's bill was removed; the target is provider and month.",
    Action.TRUE_UP: "What a bill says beyond what is attributed was booked.",
    Action.CREATE_CHANNEL: "A channel for notifications was created.",
    Action.DELETE_CHANNEL: "A channel for notifications was deleted.",
    Action.ROTATE_CHANNEL_SECRET: "A webhook got a new signing secret.",
    Action.RETRY_NOTIFICATIONS: "Dead letters among the notifications were sent again.",
    Action.CREATE_BUDGET: "A budget was created; the target is its id and name.",
    Action.UPDATE_BUDGET: "A budget got new terms.",
    Action.DELETE_BUDGET: "A budget was deleted; its breaches stay on record.",
    Action.MUTE_BUDGET: "A budget was muted until some time, or no longer.",
    Action.CREATE_GUARDRAIL: "A guardrail was created; the target is its id and name.",
    Action.UPDATE_GUARDRAIL: "A guardrail got new terms.",
    Action.DELETE_GUARDRAIL: "A guardrail was deleted; its breaches stay on record.",
    Action.MUTE_GUARDRAIL: "A guardrail was muted until some time, or no longer.",
    Action.ACKNOWLEDGE_BREACH: "Somebody took a breach on; the target is its id.",
}
described_enum(Action, "AuditAction", "What can be done that is recorded.", _ACTIONS.__getitem__)


@strawberry.type(description="One recorded change.")
class AuditEntry:
    """A record of the log."""

    id: strawberry.ID = strawberry.field(description="Its number; later records have higher ones.")
    at: datetime = strawberry.field(description="When.")
    actor: str = strawberry.field(description="The name of the key that did it, or `command line`.")
    action: Action = strawberry.field(description="What was done.")
    target: str = strawberry.field(description="To what.")
    details: str = strawberry.field(description="The particulars, as a JSON object.")


@strawberry.type(description="Recorded changes, newest first.")
class AuditConnection:
    """A page of the log."""

    nodes: list[AuditEntry] = strawberry.field(description="The records of this page.")
    page_info: PageInfo = strawberry.field(description="Where this page stands.")


def _entry(row: AuditRecord) -> AuditEntry:
    return AuditEntry(
        id=strawberry.ID(str(row.id)),
        at=row.at,
        actor=row.actor,
        action=Action(row.action),
        target=row.target,
        details=row.details,
    )


async def audit_log(
    info: Information,
    first: Annotated[int, strawberry.argument(description="Records per page.")] = 100,
    after: Annotated[str | None, strawberry.argument(description="endCursor of the previous page.")] = None,
) -> AuditConnection | None:
    """Who changed keys, prices and stored events, newest first. Null for keys with a scope: it concerns everybody."""
    context = info.context
    if not context.scope(Permission.ADMIN).unrestricted:
        return None
    size = check_page_size(first, MAX_PAGE)
    before = decode_cursor(after, _QUESTION, int)[0] if after is not None else None
    rows = await context.services.read(records, context.services.database, first=size + 1, before=before)
    shown = rows[:size]
    cursors = [encode_cursor(_QUESTION, int(row.id or 0)) for row in shown]
    return AuditConnection(
        nodes=[_entry(row) for row in shown],
        page_info=page_info(cursors, has_next=len(rows) > size, has_previous=after is not None),
    )
