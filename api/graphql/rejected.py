"""`rejectedEvents`, the items that a door refused, and `redriveEvents`, which sends them in again.

For editors and admins: the same people who mend what sends them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import strawberry

from api.graphql.context import Information
from api.graphql.naming import described_enum
from api.graphql.paging import PageInfo, check_page_size, decode_cursor, encode_cursor, fingerprint, page_info
from core.errors import InvalidInput
from ingest.redrive import Outcome
from ingest.rejected import RejectedEvent as Row
from tenants.principal import Permission

MAX_PAGE = 1_000
_OUTCOMES = {
    Outcome.REDRIVEN: "It is stored now, or was stored before.",
    Outcome.REFUSED: "It was refused again, and `message` says why.",
    Outcome.DONE_BEFORE: "It was redriven before; nothing was done.",
    Outcome.NOT_KEPT: "Its payload was not kept; its sender has to send it again.",
    Outcome.UNKNOWN: "There is no such item, or not any more, or not within the caller's scope.",
}
described_enum(Outcome, "RedriveOutcome", "What became of an item to redrive.", _OUTCOMES.__getitem__)


class BadId(InvalidInput):
    """The text is no id of a rejected event."""

    code = "BAD_ID"

    def __init__(self, text: str) -> None:
        super().__init__(f"{text!r} is no id of a rejected event; `rejectedEvents` lists them")


@strawberry.type(description="An item that a door refused, with the reason.")
class RejectedEvent:
    """A dead letter."""

    id: strawberry.ID = strawberry.field(description="Its number, for redriveEvents.")
    received_at: datetime = strawberry.field(description="When it was sent.")
    source: str = strawberry.field(description="The door it was sent to.")
    key_name: str = strawberry.field(description="The name of the API key that sent it.")
    tenant: str | None = strawberry.field(description="Whose it is, where that is known.")
    item_index: int = strawberry.field(description="Its place in the body it was sent in, from 0.")
    event_id: str | None = strawberry.field(description="Its id, where it had one.")
    field: str = strawberry.field(description="The field at fault; empty when it is the whole item.")
    rule: str = strawberry.field(description="The rule it breaks.")
    message: str = strawberry.field(description="The reason, for people.")
    payload: str | None = strawberry.field(
        description="Its known fields as JSON, without the values of unknown ones, which may be content. "
        "Null when it was no JSON object or longer than 16 kB."
    )
    redriven_at: datetime | None = strawberry.field(description="When it was redriven and stored.")


@strawberry.type(description="Refused items, newest first.")
class RejectedEventConnection:
    """A page of dead letters."""

    nodes: list[RejectedEvent] = strawberry.field(description="The items of this page.")
    page_info: PageInfo = strawberry.field(description="Where this page stands.")


@strawberry.type(description="What became of one item.")
class RedriveResult:
    """An outcome."""

    id: strawberry.ID = strawberry.field(description="The item.")
    outcome: Outcome = strawberry.field(description="What became of it.")
    message: str | None = strawberry.field(description="Why it was refused again.")


@strawberry.type(description="What became of the items.")
class RedrivePayload:
    """The outcome of redriveEvents."""

    results: list[RedriveResult] = strawberry.field(description="One for each id, in the order asked.")


def _node(row: Row) -> RejectedEvent:
    return RejectedEvent(
        id=strawberry.ID(str(row.id)),
        received_at=row.received_at,
        source=row.source,
        key_name=row.key_name,
        tenant=row.tenant_id,
        item_index=row.item_index,
        event_id=row.event_id,
        field=row.field,
        rule=row.rule,
        message=row.message,
        payload=row.payload,
        redriven_at=row.redriven_at,
    )


async def rejected_events(
    info: Information,
    first: Annotated[int, strawberry.argument(description="Items per page.")] = 100,
    after: Annotated[str | None, strawberry.argument(description="endCursor of the previous page.")] = None,
    source: Annotated[str | None, strawberry.argument(description="Only those sent to this door.")] = None,
    rule: Annotated[str | None, strawberry.argument(description="Only those that break this rule.")] = None,
) -> RejectedEventConnection | None:
    """The items that were refused, with their reasons, newest first. The oldest go when there are too many."""
    context = info.context
    scope, question = context.scope(Permission.REDRIVE), fingerprint("rejectedEvents", source, rule)
    size = check_page_size(first, MAX_PAGE)
    rows = await context.services.read(
        context.services.rejected.find,
        scope,
        first=size + 1,
        before=decode_cursor(after, question, int)[0] if after is not None else None,
        source=source,
        rule=rule,
    )
    shown = rows[:size]
    cursors = [encode_cursor(question, int(row.id or 0)) for row in shown]
    return RejectedEventConnection(
        nodes=[_node(row) for row in shown],
        page_info=page_info(cursors, has_next=len(rows) > size, has_previous=after is not None),
    )


async def redrive_events(
    info: Information,
    ids: Annotated[list[strawberry.ID], strawberry.argument(description="At most 1,000 rejected events.")],
) -> RedrivePayload | None:
    """Send refused items through their door again, once what stood in their way is mended: a setting, a name, a price.

    The door's rules hold as ever. An item that needs other content has to be sent again by its sender.
    """
    context = info.context
    context.scope(Permission.REDRIVE)
    results = await context.services.redrive.redrive([_number(id_) for id_ in ids], context.principal)
    return RedrivePayload(
        results=[
            RedriveResult(id=strawberry.ID(str(each.id)), outcome=each.outcome, message=each.message or None)
            for each in results
        ]
    )


def _number(id_: str) -> int:
    if not (id_.isascii() and id_.isdecimal() and len(id_) <= 9):
        raise BadId(id_)
    return int(id_)
