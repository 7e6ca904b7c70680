"""The ledger of repricings: how far each has come, so that an interrupted one resumes, and one runs at a time."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Column, Text, update
from sqlmodel import Field, Session, SQLModel, col, select

from core.database import Database, UtcDateTime
from core.errors import Conflict
from tenants.audit import Action, record

LEASE: Final = timedelta(seconds=60)
"""A repricing that has written nothing for so long was interrupted without a word."""

_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Repricing(SQLModel, table=True):
    """One repricing. `asked` is a fingerprint of the request and the prices; `progress` a JSON object."""

    __tablename__ = "repricings"

    id: int | None = Field(default=None, primary_key=True)
    asked: str = Field(max_length=64)
    actor: str = Field(max_length=200)
    until: datetime = Field(sa_type=UtcDateTime)
    started_at: datetime = Field(sa_type=UtcDateTime)
    active_at: datetime = Field(sa_type=UtcDateTime)
    finished_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    owner: str = Field(max_length=32)
    progress: str = Field(sa_column=Column(Text, nullable=False))


class RepricingRuns(Conflict):
    """Two repricings at a time would write the same versions of the same events."""

    code = "REPRICING_RUNS"

    def __init__(self, run: Repricing) -> None:
        super().__init__(
            f"a repricing that {run.actor} began at {run.started_at.isoformat(timespec='seconds')} is under way; "
            "wait for its end, or, where it was killed, a minute"
        )


class RepricingTakenOver(Conflict):
    """Another process went on with this repricing, because it had been silent for too long."""

    code = "REPRICING_TAKEN_OVER"

    def __init__(self) -> None:
        super().__init__("another process has gone on with this repricing; wait for its end")


@dataclass(frozen=True, slots=True)
class Run:
    """The right to go on with a repricing, and where to go on. `progress` is empty for a new one."""

    id: int
    owner: str
    until: datetime
    progress: str


class Ledger:
    """The repricings of one deployment."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def is_unfinished(self, asked: str) -> bool:
        """True when such a repricing was begun and not ended."""
        with self._database.session() as session:
            return any(run.asked == asked for run in _unfinished(session))

    def begin(self, asked: str, *, until: datetime, actor: str, details: Mapping[str, object]) -> Run:
        """The run to do now: one that was interrupted, where the same was asked, else a new one, which is recorded.

        Raises RepricingRuns while any other is under way.
        """
        now, owner = datetime.now(UTC), secrets.token_hex(16)
        with self._database.lock(), self._database.session() as session:
            unfinished = _unfinished(session)
            for other in unfinished:
                if other.active_at > now - LEASE:
                    raise RepricingRuns(other)
            run = next((run for run in unfinished if run.asked == asked), None)
            if run is None:
                run = Repricing(
                    asked=asked, actor=actor, until=until, started_at=now, active_at=now, owner=owner, progress=""
                )
                record(session, actor, Action.REPRICE_EVENTS, "began", **details)
            run.owner, run.active_at = owner, now
            session.add(run)
            session.commit()
            assert run.id is not None
            return Run(run.id, owner, run.until, run.progress)

    def advance(self, run: Run, progress: str) -> None:
        """Write down how far the run is about to come. Raises RepricingTakenOver."""
        with self._database.session() as session:
            _change(session, run, progress=progress, active_at=datetime.now(UTC))
            session.commit()

    def pause(self, run: Run) -> None:
        """Let anybody go on with the run at once."""
        with self._database.session() as session:
            _change(session, run, active_at=_LONG_AGO)
            session.commit()

    def finish(self, run: Run, *, actor: str, details: Mapping[str, object]) -> None:
        """The run is done; a record says what it came to. Raises RepricingTakenOver."""
        with self._database.session() as session:
            _change(session, run, finished_at=datetime.now(UTC))
            record(session, actor, Action.REPRICE_EVENTS, "ended", **details)
            session.commit()


def _unfinished(session: Session) -> list[Repricing]:
    statement = select(Repricing).where(col(Repricing.finished_at).is_(None)).order_by(col(Repricing.id).desc())
    return list(session.exec(statement))


def _change(session: Session, run: Run, **values: object) -> None:
    held = (col(Repricing.id) == run.id, col(Repricing.owner) == run.owner, col(Repricing.finished_at).is_(None))
    changed = session.exec(update(Repricing).where(*held).values(**values))
    if changed.rowcount != 1:
        raise RepricingTakenOver
