"""One process at a time: a lease in the database, on the database's clock, which dies with its holder in seconds."""

from __future__ import annotations

import secrets
from typing import Any, Final

from sqlalchemy import ColumnElement, Float, func, literal_column, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col

from budgets.models import LeaseRow
from core.database import Database
from core.errors import Unavailable

TTL_SECONDS: Final = 4.0
"""How long a silent holder is believed to live."""

_INSERT: Final[dict[str, Any]] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}


class LeaseLost(Unavailable):
    """Another process does this now."""

    code = "LEASE_LOST"

    def __init__(self, name: str) -> None:
        super().__init__(f"another process holds the lease {name!r} now")


class Lease:
    """The right of this process to do what `name` stands for. Instants are the database's: hosts' clocks differ.

    `term` is another number each time that the lease was anybody else's, or nobody's, in between.
    """

    def __init__(self, database: Database, name: str, *, ttl_seconds: float = TTL_SECONDS) -> None:
        self.holder = secrets.token_hex(16)
        self.term = 0
        self._database = database
        self._name = name
        self._ttl = ttl_seconds

    def hold(self) -> bool:
        """Whether this process holds the lease from now on for its time to live: renewed, or taken when it was free."""
        with self._database.session() as session:
            held = self._renew(session)
            if not held and (self._take(session) or self._create(session)):
                held, self.term = True, self.term + 1
            session.commit()
            return held

    def renew(self) -> bool:
        """Whether this process still holds it, and does so for its time to live from now on. Nothing is taken."""
        with self._database.session() as session:
            held = self._renew(session)
            session.commit()
            return held

    def confirm(self, session: Session) -> None:
        """Keep the lease until the session's transaction ends. Raises LeaseLost when another process took it."""
        if not self._renew(session):
            raise LeaseLost(self._name)

    def release(self) -> None:
        """Let another process take over at once, where this one holds it."""
        with self._database.session() as session:
            mine = (col(LeaseRow.name) == self._name, col(LeaseRow.holder) == self.holder)
            session.exec(update(LeaseRow).where(*mine).values(holder="", expires_at=0.0))
            session.commit()

    def _renew(self, session: Session) -> bool:
        """Renew it even when it has expired: as long as it bears this holder's name, nobody else has taken it."""
        mine = (col(LeaseRow.name) == self._name, col(LeaseRow.holder) == self.holder)
        return session.exec(update(LeaseRow).where(*mine).values(expires_at=_now(session) + self._ttl)).rowcount == 1

    def _take(self, session: Session) -> bool:
        now = _now(session)
        free = (col(LeaseRow.name) == self._name, col(LeaseRow.expires_at) <= now)
        taken = update(LeaseRow).where(*free).values(holder=self.holder, expires_at=now + self._ttl)
        return session.exec(taken).rowcount == 1

    def _create(self, session: Session) -> bool:
        row = {"name": self._name, "holder": self.holder, "expires_at": _now(session) + self._ttl}
        insert = _INSERT[session.get_bind().dialect.name](LeaseRow).values(row).on_conflict_do_nothing()
        return session.scalars(insert.returning(col(LeaseRow.name))).first() is not None


def _now(session: Session) -> ColumnElement[float]:
    """Unix seconds by the database's clock, not frozen at the transaction's start."""
    if session.get_bind().dialect.name == "postgresql":
        return func.extract("epoch", func.clock_timestamp()).cast(Float(53))
    return literal_column("((julianday('now') - 2440587.5) * 86400.0)", Float)
