"""`apportion channels`: where notifications go."""

# ruff: noqa: PLC0415 - commands import what they work with when they run: help and typos answer at once

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.commands.stores import DataDir, database_of, settings_with
from api.commands.terminal import moment, note, say, show
from core.errors import InvalidInput

if TYPE_CHECKING:
    from core.settings import Settings
    from notifications.channels import Channel, Channels
    from notifications.topics import Topic

channels = typer.Typer(
    no_args_is_help=True, help="Channels for notifications: create, list, test. Works beside a running server."
)

Name = Annotated[str, typer.Argument(help="The channel's name.")]


class UnknownTopic(InvalidInput):
    """There is no such topic."""

    code = "UNKNOWN_TOPIC"

    def __init__(self, name: str, known: str) -> None:
        super().__init__(f"{name!r} is no topic; there are {known}")


@contextmanager
def _channels(data_dir: Path | None) -> Iterator[Channels]:
    from notifications.channels import Channels

    with database_of(settings_with(data_dir=data_dir)) as database:
        yield Channels(database)


@channels.command("create")
def create_channel(
    name: Annotated[str, typer.Option(help="What budgets will call it.")],
    kind: Annotated[str, typer.Option(help="webhook, slack or email.")],
    address: Annotated[str, typer.Option(help="A http(s) URL; for e-mail, mailboxes separated by commas.")],
    topic: Annotated[list[str] | None, typer.Option(help="Told without being named by a budget; repeatable.")] = None,
    team: Annotated[str | None, typer.Option(help="Only this team's news of those topics.")] = None,
    secret: Annotated[
        str | None, typer.Option(help="A webhook's signing secret.", envvar="CHANNEL_SECRET", show_envvar=True)
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Create a channel. For a webhook the last line of output is its signing secret; it is never shown again."""
    from notifications.channels import Kind, NewChannel

    kinds = {each.value: each for each in Kind}
    if kind not in kinds:
        raise typer.BadParameter(f"{kind!r} is not webhook, slack or email", param_hint="--kind")
    wanted = NewChannel(name, kinds[kind], address, tuple(map(_topic, topic or ())), team, secret)
    with _channels(data_dir) as book:
        _, made = book.create(wanted)
    note(f"channel {name!r} is created" + ("; store its signing secret now, it is not shown again" if made else ""))
    if made:
        sys.stdout.write(made + "\n")


@channels.command("list")
def list_channels(data_dir: DataDir = None) -> None:
    """List channels; of URLs only the host is shown."""
    with _channels(data_dir) as book:
        rows = [
            [
                each.name,
                each.kind,
                each.shown_address,
                ", ".join(topic.spec.name for topic in each.listens_to()),
                each.team or "",
                moment(each.created_at),
            ]
            for each in book.every()
        ]
    show(["name", "kind", "address", "topics", "team", "created"], rows)


@channels.command("rotate-secret")
def rotate_secret(
    name: Name,
    overlap_hours: Annotated[int, typer.Option(help="How long the old secret signs beside the new one.", min=0)] = 24,
    data_dir: DataDir = None,
) -> None:
    """Give a webhook a new signing secret. The last line of output is the secret; it is never shown again."""
    with _channels(data_dir) as book:
        secret = book.rotate(name, overlap=timedelta(hours=overlap_hours))
    note(f"channel {name!r} has a new secret; for {overlap_hours} hours the old one signs too")
    sys.stdout.write(secret + "\n")


@channels.command("delete")
def delete_channel(name: Name, data_dir: DataDir = None) -> None:
    """Delete a channel; what still waits for it becomes a dead letter."""
    with _channels(data_dir) as book:
        book.delete(name)
    say(f"channel {name!r} is deleted")


@channels.command("test")
def try_channel(name: Name, data_dir: DataDir = None) -> None:
    """Send a test to a channel, now and once. Exits with 1 when it was not taken."""
    with _channels(data_dir) as book:
        channel = book.get(name)
    asyncio.run(_send(channel, settings_with(data_dir=data_dir)))
    say(f"channel {name!r} has taken it")


async def _send(channel: Channel, settings: Settings) -> None:
    from notifications.senders import Senders, trial_letter
    from tenants.audit import COMMAND_LINE

    senders = Senders(smtp_url=settings.smtp_url, mail_sender=settings.mail_sender)
    try:
        await senders.send(channel, trial_letter(channel, by=COMMAND_LINE))
    finally:
        await senders.close()


def _topic(name: str) -> Topic:
    from notifications.topics import BY_NAME

    if name not in BY_NAME:
        raise UnknownTopic(name, ", ".join(BY_NAME))
    return BY_NAME[name]
