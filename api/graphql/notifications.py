"""`notifications`, what was told or is to be told, and `retryNotifications` for what could not be."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import strawberry

from api.graphql.context import Context, Information
from api.graphql.naming import described_enum
from api.graphql.paging import PageInfo, check_page_size, decode_cursor, encode_cursor, fingerprint, page_info
from core.errors import InvalidInput
from notifications.outbox import Notification as Row
from notifications.outbox import Sight, State
from notifications.topics import BY_NAME, Topic
from tenants.principal import Permission

MAX_PAGE = 1_000
_STATES = {
    State.PENDING: "To be delivered, now or after a pause.",
    State.DELIVERED: "The channel has it.",
    State.DEAD: "Given up, or the channel is gone. `retryNotifications` sends it again.",
}
described_enum(State, "NotificationState", "How far a notification has come.", _STATES.__getitem__)


class NoNotificationId(InvalidInput):
    """The text is no id of a notification."""

    code = "BAD_ID"

    def __init__(self, text: str) -> None:
        super().__init__(f"{text!r} is no id of a notification; `notifications` lists them")


@strawberry.type(description="One thing to tell one channel.")
class Notification:
    """A notification."""

    id: strawberry.ID = strawberry.field(description="Its number, for retryNotifications.")
    message_id: str = strawberry.field(description="The webhook-id: the same for every channel and attempt.")
    topic: Topic = strawberry.field(description="What it is about.")
    channel: str = strawberry.field(description="The channel it is for.")
    state: State = strawberry.field(description="How far it has come.")
    created_at: datetime = strawberry.field(description="When it happened.")
    attempts: int = strawberry.field(description="How often it was tried.")
    due_at: datetime | None = strawberry.field(description="When it is tried next; null once it is over.")
    delivered_at: datetime | None = strawberry.field(description="When the channel took it.")
    last_error: str | None = strawberry.field(description="Why the last attempt failed.")
    payload: str = strawberry.field(description="What it tells, as a JSON object.")


@strawberry.type(description="Notifications, newest first.")
class NotificationConnection:
    """A page of the outbox."""

    nodes: list[Notification] = strawberry.field(description="The notifications of this page.")
    page_info: PageInfo = strawberry.field(description="Where this page stands.")


@strawberry.type(description="What is tried again.")
class RetryNotificationsPayload:
    """The outcome of retryNotifications."""

    notifications: list[Notification] = strawberry.field(
        description="Those that are pending again. Ids that name no dead letter within the scope are left out."
    )


def _node(row: Row) -> Notification:
    return Notification(
        id=strawberry.ID(str(row.id)),
        message_id=row.message_id,
        topic=BY_NAME[row.topic],
        channel=row.channel,
        state=State(row.state),
        created_at=row.created_at,
        attempts=row.attempts,
        due_at=row.due_at if row.state == State.PENDING.value else None,
        delivered_at=row.delivered_at,
        last_error=row.last_error,
        payload=row.payload,
    )


def _sight(context: Context) -> Sight:
    """What the caller may see, provided the key may change budgets. Raises NotAllowed."""
    scope = context.scope(Permission.EDIT)
    return Sight(scope, finance=Permission.FINANCE in context.principal.role.permissions)


async def notifications(
    info: Information,
    state: Annotated[State | None, strawberry.argument(description="Only those in this state.")] = None,
    first: Annotated[int, strawberry.argument(description="Notifications per page.")] = 100,
    after: Annotated[str | None, strawberry.argument(description="endCursor of the previous page.")] = None,
) -> NotificationConnection | None:
    """What was told, or is to be told, newest first. For keys that may change budgets.

    Those about statements are shown to keys that may see revenue as well.
    """
    context, question = info.context, fingerprint("notifications", state)
    sight = _sight(context)
    size = check_page_size(first, MAX_PAGE)
    before = decode_cursor(after, question, int)[0] if after is not None else None
    rows = await context.services.read(
        context.services.telling.outbox.find, sight, first=size + 1, before=before, state=state
    )
    shown = rows[:size]
    cursors = [encode_cursor(question, int(row.id or 0)) for row in shown]
    return NotificationConnection(
        nodes=[_node(row) for row in shown],
        page_info=page_info(cursors, has_next=len(rows) > size, has_previous=after is not None),
    )


async def retry_notifications(
    info: Information,
    ids: Annotated[list[strawberry.ID], strawberry.argument(description="At most 1,000 dead letters.")],
) -> RetryNotificationsPayload | None:
    """Send dead letters again, once what stood in their way is mended."""
    context = info.context
    sight = _sight(context)
    wanted = [_number(id_) for id_ in ids[: check_page_size(max(1, len(ids)), MAX_PAGE)]]
    rows = await context.services.read(context.services.telling.outbox.retry, sight, wanted, by=context.principal.name)
    context.services.telling.courier.wake()
    return RetryNotificationsPayload(notifications=[_node(row) for row in rows])


def _number(id_: str) -> int:
    if not (id_.isascii() and id_.isdecimal() and len(id_) <= 9):
        raise NoNotificationId(id_)
    return int(id_)
