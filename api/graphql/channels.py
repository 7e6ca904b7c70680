"""Channels: the named places that notifications go to. Operators make them; whoever edits budgets may name them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

import strawberry

from api.graphql.context import Context, Information
from api.graphql.naming import described_enum
from api.graphql.user_errors import UserError, user_error
from core.errors import Conflict, Forbidden, InvalidInput, NotFound
from notifications.channels import Channel as Row
from notifications.channels import Kind, NewChannel
from notifications.senders import trial_letter
from notifications.sending import NotDelivered
from notifications.topics import Topic
from tenants.principal import Permission

DAY_SECONDS = 86_400
_KINDS = {
    Kind.WEBHOOK: "JSON over HTTP, signed as Standard Webhooks says.",
    Kind.SLACK: "Slack's incoming webhooks, and whatever takes their form.",
    Kind.EMAIL: "E-mail to one mailbox or several.",
}
described_enum(Kind, "ChannelKind", "How a channel is reached.", _KINDS.__getitem__)
described_enum(Topic, "NotificationTopic", "What can be told.", lambda topic: topic.spec.description)


class ScopedOperator(Forbidden):
    """Channels are the whole deployment's."""

    def __init__(self) -> None:
        super().__init__("channels are made and tried with a key that has no scope: they are the whole deployment's")


@strawberry.type(description="A named place that notifications go to. Its secrets cannot be read.")
class Channel:
    """A channel."""

    name: str = strawberry.field(description="What budgets call it.")
    kind: Kind = strawberry.field(description="How it is reached.")
    address: str = strawberry.field(description="The mailboxes, or the URL without its path, which can be a password.")
    topics: list[Topic] = strawberry.field(description="What it is told without being named.")
    team: str | None = strawberry.field(description="Whose it is: of its topics it is told this team's news alone.")
    created_at: datetime = strawberry.field(description="When it was made.")
    created_by: str = strawberry.field(description="The key that made it, or `command line`.")


@strawberry.input(description="A channel to make.")
class CreateChannelInput:
    """What a new channel is."""

    name: str = strawberry.field(description="What budgets will call it.")
    kind: Kind = strawberry.field(description="How it is reached.")
    address: str = strawberry.field(description="A http(s) URL; for e-mail, mailboxes separated by commas.")
    topics: list[Topic] = strawberry.field(
        default_factory=list, description="What it is told without being named by a budget."
    )
    team: str | None = strawberry.field(default=None, description="Only this team's news of those topics.")
    secret: str | None = strawberry.field(
        default=None, description="A webhook's signing secret, whsec_...; without it one is made."
    )


@strawberry.type(description="The channel that was made, or why none was.")
class CreateChannelPayload:
    """The outcome of createChannel."""

    channel: Channel | None = strawberry.field(description="The new channel.")
    secret: str | None = strawberry.field(description="A webhook's signing secret, shown only now.")
    errors: list[UserError] = strawberry.field(description="Empty when it was made.")


@strawberry.type(description="The new secret, or why there is none.")
class RotateChannelSecretPayload:
    """The outcome of rotateChannelSecret."""

    secret: str | None = strawberry.field(description="The new signing secret, shown only now.")
    errors: list[UserError] = strawberry.field(description="Empty when it was made.")


@strawberry.type(description="Whether the channel was deleted.")
class DeleteChannelPayload:
    """The outcome of deleteChannel."""

    deleted: bool = strawberry.field(description="Whether it was there and is no more.")
    errors: list[UserError] = strawberry.field(description="Empty when it was deleted.")


@strawberry.type(description="Whether the channel took a test.")
class TestChannelPayload:
    """The outcome of testChannel."""

    delivered: bool = strawberry.field(description="Whether the channel took it.")
    errors: list[UserError] = strawberry.field(description="Why it did not.")


def _channel(row: Row) -> Channel:
    return Channel(
        name=row.name,
        kind=Kind(row.kind),
        address=row.shown_address,
        topics=list(row.listens_to()),
        team=row.team,
        created_at=row.created_at,
        created_by=row.created_by,
    )


Name = Annotated[str, strawberry.argument(description="The channel.")]


async def channels(info: Information) -> list[Channel] | None:
    """Every channel by name; for a key scoped to a team, that team's. For keys that may change budgets."""
    context = info.context
    scope = context.scope(Permission.EDIT)
    if scope.tenant is not None or scope.environment is not None:
        return []
    rows = await context.services.read(context.services.telling.channels.every)
    return [_channel(row) for row in rows if scope.team in {None, row.team}]


async def create_channel(
    info: Information,
    input: Annotated[CreateChannelInput, strawberry.argument(description="The channel.")],  # noqa: A002
) -> CreateChannelPayload | None:
    """Make a channel. For operators: Apportion will send requests to its address."""
    context = _operator(info)
    try:
        wanted = NewChannel(input.name, input.kind, input.address, tuple(input.topics), input.team, input.secret)
        row, secret = await context.services.read(
            context.services.telling.channels.create, wanted, by=context.principal.name
        )
    except (InvalidInput, Conflict) as error:
        return CreateChannelPayload(channel=None, secret=None, errors=[user_error(error)])
    return CreateChannelPayload(channel=_channel(row), secret=secret, errors=[])


async def rotate_channel_secret(
    info: Information,
    name: Name,
    overlap_seconds: Annotated[
        int, strawberry.argument(description="How long the old secret signs beside the new one.")
    ] = DAY_SECONDS,
) -> RotateChannelSecretPayload | None:
    """Give a webhook a new signing secret. For a while each request carries a signature by either."""
    context = _operator(info)
    try:
        secret = await context.services.read(
            context.services.telling.channels.rotate,
            name,
            overlap=timedelta(seconds=overlap_seconds),
            by=context.principal.name,
        )
    except (InvalidInput, NotFound) as error:
        return RotateChannelSecretPayload(secret=None, errors=[user_error(error)])
    return RotateChannelSecretPayload(secret=secret, errors=[])


async def delete_channel(info: Information, name: Name) -> DeleteChannelPayload | None:
    """Delete a channel. What still waits for it becomes a dead letter, to be retried once there is one of that name."""
    context = _operator(info)
    try:
        await context.services.read(context.services.telling.channels.delete, name, by=context.principal.name)
    except NotFound as error:
        return DeleteChannelPayload(deleted=False, errors=[user_error(error)])
    return DeleteChannelPayload(deleted=True, errors=[])


async def test_channel(info: Information, name: Name) -> TestChannelPayload | None:
    """Send a test to a channel, now and once, and say whether it was taken."""
    context = _operator(info)
    try:
        channel = await context.services.read(context.services.telling.channels.get, name)
        await context.services.telling.senders.send(channel, trial_letter(channel, by=context.principal.name))
    except (NotFound, NotDelivered) as error:
        return TestChannelPayload(delivered=False, errors=[user_error(error)])
    return TestChannelPayload(delivered=True, errors=[])


def _operator(info: Information) -> Context:
    """The context of a caller who may have Apportion send requests somewhere. Raises NotAllowed or ScopedOperator."""
    if not info.context.scope(Permission.ADMIN).unrestricted:
        raise ScopedOperator
    return info.context
