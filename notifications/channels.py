"""Channels: named places to tell things to. What is secret about them goes in and never comes out again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.headerregistry import Address
from enum import Enum, unique
from typing import Final
from urllib.parse import SplitResult, urlsplit

from sqlalchemy import Column, Text
from sqlalchemy.exc import IntegrityError
from sqlmodel import Field, Session, SQLModel, col, select

from core.database import Database, UtcDateTime
from core.errors import Conflict, InvalidInput, NotFound
from notifications.signing import key_of, new_secret
from notifications.topics import BY_NAME, Topic
from tenants.audit import COMMAND_LINE, Action, record

MAX_NAME: Final = 100
MAX_ADDRESS: Final = 2_000
MAX_OVERLAP: Final = timedelta(days=30)


@unique
class Kind(Enum):
    """How a channel is reached."""

    WEBHOOK = "webhook"
    SLACK = "slack"
    EMAIL = "email"


class Channel(SQLModel, table=True):
    """A channel. `address` is a URL, or mailboxes separated by commas; `topics` a JSON list of names of topics.

    Secrets are stored as they are: signing takes the key itself. `previous_secret` signs beside `secret` until
    `previous_until`.
    """

    __tablename__ = "channels"

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(max_length=MAX_NAME, unique=True)
    kind: str = Field(max_length=20)
    address: str = Field(sa_column=Column(Text, nullable=False))
    topics: str = Field(sa_column=Column(Text, nullable=False))
    team: str | None = Field(default=None, max_length=200)
    secret: str | None = Field(default=None, max_length=200)
    previous_secret: str | None = Field(default=None, max_length=200)
    previous_until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    created_at: datetime = Field(sa_type=UtcDateTime)
    created_by: str = Field(max_length=200)

    @property
    def shown_address(self) -> str:
        """What people may see of the address: a URL's path can be its password."""
        if self.kind == Kind.EMAIL.value:
            return self.address
        url = urlsplit(self.address)
        return f"{url.scheme}://{_place(url)}/…"

    def listens_to(self) -> tuple[Topic, ...]:
        """The topics it is told without being named."""
        return tuple(BY_NAME[name] for name in json.loads(self.topics) if name in BY_NAME)

    def keys(self, now: datetime) -> list[bytes]:
        """The keys that sign for it now, the newest first."""
        secrets = [self.secret]
        if self.previous_until is not None and now < self.previous_until:
            secrets.append(self.previous_secret)
        return [key_of(secret) for secret in secrets if secret]


class UnusableChannel(InvalidInput):
    """Something about the wanted channel cannot be used."""

    code = "UNUSABLE_CHANNEL"

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"the {field} of a channel {rule}")
        self.field = field


class ChannelExists(Conflict):
    """Names are what budgets refer to, so one names one channel."""

    code = "CHANNEL_EXISTS"
    field = "name"

    def __init__(self, name: str) -> None:
        super().__init__(f"there is a channel {name!r} already; delete it first, or choose another name")


class NoSuchChannel(NotFound):
    """No channel has that name."""

    code = "NO_SUCH_CHANNEL"

    def __init__(self, name: str) -> None:
        super().__init__(f"no channel is named {name!r}; `apportion channels list` shows them")


class NotSigned(InvalidInput):
    """Only webhooks are signed, so only they have a secret to replace."""

    code = "NOT_SIGNED"

    def __init__(self, channel: Channel) -> None:
        super().__init__(f"{channel.name!r} is a channel of kind {channel.kind}; only webhooks have a signing secret")


@dataclass(frozen=True, slots=True)
class NewChannel:
    """What a new channel is to be. Raises UnusableChannel or UnusableSecret."""

    name: str
    kind: Kind
    address: str
    topics: tuple[Topic, ...] = ()
    team: str | None = None
    secret: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.name) <= MAX_NAME or not self.name.isprintable() or self.name != self.name.strip():
            raise UnusableChannel("name", f"has 1 to {MAX_NAME} printable characters and no blanks around them")
        if self.team is not None and not (1 <= len(self.team) <= 200 and self.team.isprintable()):
            raise UnusableChannel("team", "has 1 to 200 printable characters")
        _check_address(self.kind, self.address)
        if self.secret is not None:
            if self.kind is not Kind.WEBHOOK:
                raise UnusableChannel("secret", "is for webhooks; other kinds have none")
            key_of(self.secret)


def _check_address(kind: Kind, address: str) -> None:
    if len(address) > MAX_ADDRESS:
        raise UnusableChannel("address", f"has at most {MAX_ADDRESS} characters")
    if kind is Kind.EMAIL:
        recipients(address)
    elif not _is_web_address(address):
        raise UnusableChannel("address", "is a URL such as https://hooks.example.com/spend, without user:password@")


def _is_web_address(address: str) -> bool:
    try:
        url = urlsplit(address)
        url.port  # noqa: B018 - raises when it is none
    except ValueError:
        return False
    is_plain = address.isascii() and address.isprintable() and " " not in address
    return is_plain and url.scheme in {"http", "https"} and bool(url.hostname) and "@" not in url.netloc


def _place(url: SplitResult) -> str:
    return url.netloc.rpartition("@")[2]


def recipients(address: str) -> list[str]:
    """The mailboxes in an e-mail channel's address. Raises UnusableChannel."""
    found = [part.strip() for part in address.split(",") if part.strip()]
    for mailbox in found or [""]:
        try:
            parsed = Address(addr_spec=mailbox)
        except (ValueError, IndexError):
            parsed = Address()
        if not (parsed.username and parsed.domain and mailbox.isascii() and mailbox.isprintable()):
            raise UnusableChannel("address", "is one mailbox or several, such as ops@example.com, fin@example.com")
    return found


class Channels:
    """The channels of one deployment. Safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, wanted: NewChannel, *, by: str = COMMAND_LINE) -> tuple[Channel, str | None]:
        """The new channel, and a webhook's signing secret, which cannot be shown again. Raises ChannelExists."""
        secret = (wanted.secret or new_secret()) if wanted.kind is Kind.WEBHOOK else None
        names = [topic.spec.name for topic in wanted.topics]
        channel = Channel(
            name=wanted.name,
            kind=wanted.kind.value,
            address=wanted.address,
            topics=json.dumps(names),
            team=wanted.team,
            secret=secret,
            created_at=datetime.now(UTC),
            created_by=by,
        )
        details = {"kind": channel.kind, "address": channel.shown_address, "topics": names, "team": wanted.team}
        with self._database.session() as session:
            session.add(channel)
            record(session, by, Action.CREATE_CHANNEL, wanted.name, **details)
            try:
                session.commit()
            except IntegrityError:
                raise ChannelExists(wanted.name) from None
        return channel, secret

    def every(self) -> Sequence[Channel]:
        """All of them, by name."""
        with self._database.session() as session:
            return session.exec(select(Channel).order_by(col(Channel.name))).all()

    def get(self, name: str) -> Channel:
        """The channel of that name. Raises NoSuchChannel."""
        with self._database.session() as session:
            return _named(session, name)

    def delete(self, name: str, *, by: str = COMMAND_LINE) -> None:
        """Tell it nothing more; what still waits for it becomes a dead letter. Raises NoSuchChannel."""
        with self._database.session() as session:
            channel = _named(session, name)
            session.delete(channel)
            record(session, by, Action.DELETE_CHANNEL, name, kind=channel.kind, address=channel.shown_address)
            session.commit()

    def rotate(self, name: str, *, overlap: timedelta, by: str = COMMAND_LINE) -> str:
        """A new signing secret; the old one signs beside it for so long. Raises NoSuchChannel or NotSigned."""
        if not timedelta() <= overlap <= MAX_OVERLAP:
            raise UnusableChannel("overlap", f"lasts at most {MAX_OVERLAP.days} days")
        with self._database.session() as session:
            channel = _named(session, name)
            if channel.kind != Kind.WEBHOOK.value:
                raise NotSigned(channel)
            channel.previous_secret, channel.previous_until = channel.secret, datetime.now(UTC) + overlap
            channel.secret = secret = new_secret()
            session.add(channel)
            record(session, by, Action.ROTATE_CHANNEL_SECRET, name, overlap_seconds=int(overlap.total_seconds()))
            session.commit()
        return secret


def _named(session: Session, name: str) -> Channel:
    channel = session.exec(select(Channel).where(Channel.name == name)).one_or_none()
    if channel is None:
        raise NoSuchChannel(name)
    return channel
