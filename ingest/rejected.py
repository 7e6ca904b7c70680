"""Dead letters: every refused item is kept with its reason, bounded, so that it can be mended and sent in again.

Keeping them is an extra: the client has its answer either way, so trouble here is logged, and neither fails an ingest
request nor holds it up for more than a second.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Column, Text, delete, insert, or_, update
from sqlmodel import Field, SQLModel, col, select

from core.database import Database, UtcDateTime
from ingest.payloads import ENCODER, EventPayload, Rejection
from ingest.remains import remains
from tenants.erasures import ErasedUsers, ErasureList
from tenants.scope import Scope

MAX_PAYLOAD_BYTES: Final = 16_000
"""A longer payload is not kept; its item is, with the reason."""

PATIENCE_SECONDS: Final = 1.0
"""How long an ingest request waits for its refused items to be kept."""

MAX_BODIES_WAITING: Final = 64
"""Beyond it, refused items are logged and not kept: the database is too slow to hold them all in memory."""

_logger = logging.getLogger("apportion.rejected")


class RejectedEvent(SQLModel, table=True):
    """A refused item: where it came from, whose it is as far as known, the rule it breaks, and its known fields.

    Tenant, team and environment are the key's where its scope names them, else what the item says.
    """

    __tablename__ = "rejected_events"

    id: int | None = Field(default=None, primary_key=True)
    received_at: datetime = Field(sa_type=UtcDateTime)
    source: str = Field(max_length=40)
    key_name: str = Field(max_length=200)
    tenant_id: str | None = Field(default=None, max_length=200)
    team: str | None = Field(default=None, max_length=200)
    environment: str | None = Field(default=None, max_length=200)
    item_index: int
    event_id: str | None = Field(default=None, max_length=256)
    field: str = Field(max_length=200)
    rule: str = Field(max_length=64)
    message: str = Field(max_length=1000)
    payload: str | None = Field(default=None, sa_column=Column(Text))
    redriven_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


@dataclass(frozen=True, slots=True)
class Refused:
    """An item that a door refused: why, and what is left of it."""

    rejection: Rejection
    item: bytes | EventPayload | None = None


class RejectedEvents:
    """The last `kept` refused items of a deployment. Safe to share between threads."""

    def __init__(self, database: Database, kept: int, erased: ErasedUsers) -> None:
        self._database = database
        self._erased = erased
        self._kept = kept
        self._waiting = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rejected")

    async def keep(self, refused: Sequence[Refused], *, source: str, key_name: str, scope: Scope) -> None:
        """Keep the refused items of one body; return once they are kept, or a second later. Never raises."""
        if not refused or not self._kept:
            return
        if self._waiting >= MAX_BODIES_WAITING:
            _logger.error("%d refused items of %s are not kept: too many wait already", len(refused), source)
            return
        self._waiting += 1
        write = asyncio.get_running_loop().run_in_executor(
            self._thread, self._write, refused[-self._kept :], source, key_name, scope
        )
        write.add_done_callback(self._written)
        await asyncio.wait({write}, timeout=PATIENCE_SECONDS)

    def find(
        self,
        scope: Scope,
        *,
        first: int,
        before: int | None = None,
        source: str | None = None,
        rule: str | None = None,
    ) -> Sequence[RejectedEvent]:
        """The newest refused items that the scope may see, at most `first`, older than the one with that id."""
        statement = select(RejectedEvent).order_by(col(RejectedEvent.id).desc()).limit(first)
        for column, value in (*_places(scope), (RejectedEvent.source, source), (RejectedEvent.rule, rule)):
            if value is not None:
                statement = statement.where(col(column) == value)
        if before is not None:
            statement = statement.where(col(RejectedEvent.id) < before)
        with self._database.session() as session:
            return session.exec(statement).all()

    def get(self, scope: Scope, ids: Iterable[int]) -> Mapping[int, RejectedEvent]:
        """Those of the items with these ids that the scope may see."""
        statement = select(RejectedEvent).where(col(RejectedEvent.id).in_(ids))
        for column, value in _places(scope):
            if value is not None:
                statement = statement.where(col(column) == value)
        with self._database.session() as session:
            return {row.id: row for row in session.exec(statement) if row.id is not None}

    def settle(self, redriven: Sequence[int], refused: Mapping[int, Rejection]) -> None:
        """Mark what came through, and tell the newest reason of what did not."""
        with self._database.session() as session:
            session.exec(
                update(RejectedEvent).where(col(RejectedEvent.id).in_(redriven)).values(redriven_at=datetime.now(UTC))
            )
            for id_, rejection in refused.items():
                session.exec(update(RejectedEvent).where(col(RejectedEvent.id) == id_).values(**_reason(rejection)))
            session.commit()

    def forget(self, tenant_id: str, user_id: str) -> None:
        """Drop the payloads that name that user."""
        named = f'"user_id":{ENCODER.encode(user_id).decode()}'
        theirs = or_(col(RejectedEvent.tenant_id) == _clean(tenant_id, 200), col(RejectedEvent.tenant_id).is_(None))
        statement = select(RejectedEvent).where(theirs, col(RejectedEvent.payload).contains(named, autoescape=True))
        with self._database.session() as session:
            for row in session.exec(statement):
                if named in (row.payload or ""):  # LIKE disregards case on SQLite
                    row.payload = None
            session.commit()

    def close(self) -> None:
        """Keep what still waits, then stop."""
        self._thread.shutdown()

    def _written(self, _write: asyncio.Future[None]) -> None:
        self._waiting -= 1

    def _write(self, refused: Sequence[Refused], source: str, key_name: str, scope: Scope) -> None:
        now = datetime.now(UTC)
        try:
            common = {"received_at": now, "source": source, "key_name": key_name}
            erased = self._erased.known()
            rows = [common | _row(item, scope, erased) for item in refused]
            with self._database.session() as session:
                session.connection().execute(insert(RejectedEvent), rows)
                ids = select(RejectedEvent.id).order_by(col(RejectedEvent.id).desc())
                oldest = ids.offset(self._kept).limit(1).scalar_subquery()
                session.exec(delete(RejectedEvent).where(col(RejectedEvent.id) <= oldest))
                session.commit()
        except Exception as error:  # noqa: BLE001 - an ingest request must not fail for what is kept beside it
            # The type alone: a driver's text repeats the values, which are none of the log's business.
            _logger.error("%d refused items of %s are not kept: %s", len(refused), source, type(error).__name__)  # noqa: TRY400


def _places(scope: Scope) -> Sequence[tuple[Any, str | None]]:
    return (
        (RejectedEvent.tenant_id, scope.tenant),
        (RejectedEvent.team, scope.team),
        (RejectedEvent.environment, scope.environment),
    )


def _row(refused: Refused, scope: Scope, erased: ErasureList) -> dict[str, Any]:
    left = remains(refused.item)
    payload = None if left is None else left.payload
    said = {} if left is None else left.texts
    tenant_id = scope.tenant or said.get("tenant_id", "")
    if erased.covers(tenant_id, said.get("user_id", "")):
        payload = None
    return {
        "tenant_id": _clean(tenant_id, 200),
        "team": scope.team or _clean(said.get("team"), 200),
        "environment": scope.environment or _clean(said.get("environment"), 200),
        "item_index": refused.rejection.index,
        "event_id": _clean(refused.rejection.event_id or said.get("event_id"), 256),
        **_reason(refused.rejection),
        "payload": payload.decode() if payload and len(payload) <= MAX_PAYLOAD_BYTES else None,
    }


def _reason(rejection: Rejection) -> dict[str, str]:
    return {
        "field": _clean(rejection.field, 200) or "",
        "rule": _clean(rejection.rule, 64) or "",
        "message": _clean(rejection.message, 1000) or "",
    }


def _clean(text: str | None, limit: int) -> str | None:
    """The text as both databases can hold it; None for none."""
    return text[:limit].replace("\0", "\N{REPLACEMENT CHARACTER}") if text else None
