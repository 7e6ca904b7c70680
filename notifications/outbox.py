"""The outbox: what is to be told, written in the transaction of whatever happened, and kept until it was told.

A notification is due when `due_at` has come. To claim it is to move `due_at` ahead by a lease and to put one's name on
it; whoever works on it moves it on. So rows of a process that died are due again by themselves.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum, unique
from typing import Any, Final

from sqlalchemy import Column, Index, Text, UniqueConstraint, delete, func, or_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.elements import ColumnElement
from sqlmodel import Field, Session, SQLModel, col, select

from core.database import Database, UtcDateTime
from core.money import plain
from notifications.channels import Channel
from notifications.topics import BY_NAME, Topic
from tenants.audit import Action, record
from tenants.scope import Scope

LEASE: Final = timedelta(seconds=5)
"""How long after a process fell silent others take over what it was telling."""

MAX_KEY: Final = 300
_MAX_ERROR: Final = 500
_INSERT: Final[dict[str, Any]] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}


@unique
class State(Enum):
    """How far a notification has come."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"


class Notification(SQLModel, table=True):
    """One thing to tell one channel. `payload` is a JSON object; tenant, team and environment say which keys see it."""

    __tablename__ = "notifications"
    __table_args__ = (
        UniqueConstraint("dedupe_key", "channel"),
        Index("ix_notifications_state_due_at", "state", "due_at"),
    )

    id: int | None = Field(default=None, primary_key=True)
    message_id: str = Field(max_length=40)
    dedupe_key: str = Field(max_length=MAX_KEY)
    topic: str = Field(max_length=40)
    channel: str = Field(max_length=100)
    tenant_id: str | None = Field(default=None, max_length=200)
    team: str | None = Field(default=None, max_length=200)
    environment: str | None = Field(default=None, max_length=200)
    payload: str = Field(sa_column=Column(Text, nullable=False))
    created_at: datetime = Field(sa_type=UtcDateTime)
    state: str = Field(max_length=20)
    attempts: int = 0
    due_at: datetime = Field(sa_type=UtcDateTime)
    claimed_by: str | None = Field(default=None, max_length=32)
    delivered_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    last_error: str | None = Field(default=None, max_length=_MAX_ERROR)


@dataclass(frozen=True, slots=True)
class Letter:
    """What a receiver gets. `message_id` is the same however often, and to however many channels, it is sent."""

    message_id: str
    topic: Topic
    created_at: datetime
    payload: Mapping[str, Any]


def letter_of(row: Notification) -> Letter:
    """The notification as it is sent."""
    return Letter(row.message_id, BY_NAME[row.topic], row.created_at, json.loads(row.payload))


def enqueue(
    session: Session,
    topic: Topic,
    payload: Mapping[str, object],
    *,
    channels: Collection[str] | None = None,
    dedupe_key: str | None = None,
    team: str | None = None,
    scope: Scope = Scope(),  # noqa: B008 - a frozen value
    now: datetime | None = None,
) -> int:
    """How many notifications were added to the caller's transaction: they are told exactly when it is committed.

    They go to the named channels and to those that listen to the topic, for everybody or for `team`. Keys see them
    whose scope is on each side open or that of `scope`. An unknown name becomes a dead letter, so that it is seen. Of
    notifications with one dedupe key a channel gets one, whoever enqueues them and however often; the key names what
    happened: `breach:17:opened`.
    """
    at, message_id = now or datetime.now(UTC), "msg_" + secrets.token_hex(12)
    values = {
        "message_id": message_id,
        "dedupe_key": dedupe_key or message_id,
        "topic": topic.spec.name,
        "tenant_id": scope.tenant,
        "team": scope.team,
        "environment": scope.environment,
        "payload": json.dumps(payload, default=_json, ensure_ascii=False),
        "created_at": at,
        "state": State.PENDING.value,
        "attempts": 0,
        "due_at": at,
    }
    rows = [values | {"channel": name} for name in sorted({*(channels or ()), *_listeners(session, topic, team)})]
    if not rows:
        return 0
    insert = _INSERT[session.get_bind().dialect.name](Notification).values(rows).on_conflict_do_nothing()
    return len(session.scalars(insert.returning(col(Notification.id))).all())


def _listeners(session: Session, topic: Topic, team: str | None) -> list[str]:
    listening = session.exec(select(Channel).where(or_(col(Channel.team).is_(None), col(Channel.team) == team)))
    return [channel.name for channel in listening if topic in channel.listens_to()]


def _json(value: object) -> object:
    """Money as its digits, instants in RFC 3339."""
    match value:
        case Decimal():
            return plain(value)
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case Enum():
            return value.name
        case _:
            raise TypeError(f"{type(value).__name__} has no place in a notification")


@dataclass(frozen=True, slots=True)
class Sight:
    """What a key may see of the outbox: what lies within its scope, and money that is earned only where it may."""

    scope: Scope
    finance: bool = True

    def clauses(self) -> list[ColumnElement[bool]]:
        """What the rows that it sees have in common."""
        places = (
            (Notification.tenant_id, self.scope.tenant),
            (Notification.team, self.scope.team),
            (Notification.environment, self.scope.environment),
        )
        within = [col(column) == value for column, value in places if value is not None]
        earned = [topic.spec.name for topic in Topic if topic.spec.tells_revenue]
        return within if self.finance else [*within, col(Notification.topic).not_in(earned)]


class Outbox:
    """The notifications of one deployment, for who tells them and who looks at them. Safe to share between threads."""

    def __init__(self, database: Database, *, owner: str | None = None) -> None:
        self._database = database
        self._owner = owner or secrets.token_hex(16)

    def claim(self, now: datetime, *, limit: int, besides: Collection[str] = ()) -> list[Notification]:
        """Due notifications, now ours for a LEASE, at most `limit`, the longest due first; none for those channels.

        No two processes ever get the same one: the update asks again for what the select had seen.
        """
        due = (col(Notification.state) == State.PENDING.value, col(Notification.due_at) <= now)
        wanted = select(Notification.id).where(*due, col(Notification.channel).not_in(besides))
        wanted = wanted.order_by(col(Notification.due_at)).limit(limit).with_for_update(skip_locked=True)
        with self._database.session() as session:
            ids = session.exec(wanted).all()
            if not ids:
                return []
            claimed = (
                update(Notification)
                .where(col(Notification.id).in_(ids), *due)
                .values(due_at=now + LEASE, claimed_by=self._owner)
                .returning(Notification)
            )
            rows = list(session.scalars(claimed))
            session.commit()
        return rows

    def renew(self, ids: Collection[int | None], now: datetime) -> None:
        """Keep what is being told for another LEASE."""
        self._change(col(Notification.id).in_(ids), due_at=now + LEASE)

    def let_go(self, now: datetime) -> None:
        """Leave everything we had claimed to others, at once."""
        self._change(due_at=now, claimed_by=None)

    def delivered(self, row: Notification, now: datetime) -> None:
        """It was told."""
        done = {"state": State.DELIVERED.value, "delivered_at": now, "last_error": None}
        self._change(col(Notification.id) == row.id, attempts=row.attempts + 1, claimed_by=None, **done)

    def failed(self, row: Notification, reason: str, *, again_at: datetime | None) -> None:
        """It could not be told: to be tried again at that time, or never, which makes it a dead letter."""
        state = State.DEAD if again_at is None else State.PENDING
        values: dict[str, object] = {"state": state.value, "last_error": reason[:_MAX_ERROR].replace("\0", "")}
        if again_at is not None:
            values["due_at"] = again_at
        self._change(col(Notification.id) == row.id, attempts=row.attempts + 1, claimed_by=None, **values)

    def _change(self, *which: ColumnElement[bool], **values: object) -> None:
        """Change notifications that are still ours: one that others took over is theirs to tell."""
        ours = (col(Notification.claimed_by) == self._owner, col(Notification.state) == State.PENDING.value)
        with self._database.session() as session:
            session.exec(update(Notification).where(*ours, *which).values(**values))
            session.commit()

    def find(
        self, sight: Sight, *, first: int, before: int | None = None, state: State | None = None
    ) -> Sequence[Notification]:
        """The newest notifications in sight, at most `first`, older than the one with that id."""
        statement = select(Notification).where(*sight.clauses()).order_by(col(Notification.id).desc()).limit(first)
        if state is not None:
            statement = statement.where(Notification.state == state.value)
        if before is not None:
            statement = statement.where(col(Notification.id) < before)
        with self._database.session() as session:
            return session.exec(statement).all()

    def retry(self, sight: Sight, ids: Collection[int], *, by: str) -> Sequence[Notification]:
        """The dead letters with these ids in sight, due again now as if they had never been tried."""
        which = (col(Notification.id).in_(ids), col(Notification.state) == State.DEAD.value, *sight.clauses())
        values = {"state": State.PENDING.value, "attempts": 0, "due_at": datetime.now(UTC), "claimed_by": None}
        with self._database.session() as session:
            rows = session.scalars(update(Notification).where(*which).values(**values).returning(Notification)).all()
            for row in rows:
                record(session, by, Action.RETRY_NOTIFICATIONS, f"{row.topic} to {row.channel}", id=row.id)
            session.commit()
        return rows

    def depth(self) -> dict[str, int]:
        """How many notifications are in each state."""
        counted = select(Notification.state, func.count()).group_by(col(Notification.state))
        with self._database.session() as session:
            counts = dict(session.exec(counted).all())
        return {state.value: counts.get(state.value, 0) for state in State}

    def forget(self, before: datetime) -> None:
        """Remove those that were told, or given up, and are older than that."""
        over = (col(Notification.state) != State.PENDING.value, col(Notification.created_at) < before)
        with self._database.session() as session:
            session.exec(delete(Notification).where(*over))
            session.commit()
