"""Users whose personal link was erased, remembered without naming them, so that late replays do not restore it."""

from __future__ import annotations

import hashlib
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock
from typing import Final

from sqlalchemy.exc import IntegrityError
from sqlmodel import Field, Session, SQLModel, col, select

from core.database import Database, UtcDateTime
from tenants.audit import Action, record

REFRESH_SECONDS: Final = 2.0
"""How old a process' knowledge of the list may be: an erasure waits this long before it rewrites what is stored."""

_PATIENCE_SECONDS: Final = 0.5
"""How long a caller waits for newer knowledge; while the database does not answer, the last one stays in force."""

_logger = logging.getLogger("apportion.erasures")


class Erasure(SQLModel, table=True):
    """One erased user: a keyed hash of tenant and user id. `salt` is the deployment's key, the same in every row."""

    __tablename__ = "erasures"

    id: int | None = Field(default=None, primary_key=True)
    erased_at: datetime = Field(sa_type=UtcDateTime)
    salt: str = Field(max_length=64)
    digest: str = Field(max_length=64, unique=True)


@dataclass(frozen=True, slots=True)
class ErasureList:
    """The list as it was read; false when it is empty.

    Two processes that erase a deployment's first user at once make two salts; then both are tried.
    """

    salts: tuple[str, ...] = ()
    digests: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.digests)

    def covers(self, tenant_id: str, user_id: str) -> bool:
        """True for an erased user."""
        return any(_digest(salt, tenant_id, user_id) in self.digests for salt in self.salts)


class ErasedUsers:
    """The erased users of a deployment, in memory. Safe to share between threads."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._known: ErasureList | None = None
        self._asked_at = float("-inf")
        self._reading: Future[None] | None = None
        self._lock = Lock()
        self._one_reads = Lock()  # else an older reading could replace a newer one
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="erasures")

    def known(self) -> ErasureList:
        """The list as of REFRESH_SECONDS ago or later. Raises DatabaseUnavailable until it was read once."""
        if self._known is None:
            self.refresh()
        now = self._clock()
        with self._lock:
            if now - self._asked_at >= REFRESH_SECONDS and (self._reading is None or self._reading.done()):
                self._asked_at = now
                self._reading = self._thread.submit(self._refresh)
        if self._reading is not None:
            wait([self._reading], timeout=max(0.0, self._asked_at + _PATIENCE_SECONDS - now))
        assert self._known is not None
        return self._known

    def add(self, tenant_id: str, user_id: str, *, by: str, **details: object) -> None:
        """Remember the user as erased, with a record that does not name him. This process knows at once."""
        try:
            self._add(tenant_id, user_id, by, details)
        except IntegrityError:  # another process has just erased the same user: what is left is to record it
            self._add(tenant_id, user_id, by, details)
        self.refresh()

    def refresh(self) -> None:
        """Read the list again, now. Raises DatabaseUnavailable."""
        with self._one_reads, self._database.session() as session:
            self._known = _read(session)

    def close(self) -> None:
        """Stop reading."""
        self._thread.shutdown()

    def _add(self, tenant_id: str, user_id: str, by: str, details: Mapping[str, object]) -> None:
        with self._database.session() as session:
            known = _read(session)
            salt = known.salts[0] if known.salts else secrets.token_hex(32)
            digest = _digest(salt, tenant_id, user_id)
            record(session, by, Action.ERASE_USER, f"user {digest[:12]}", tenant=tenant_id, **details)
            if not known.covers(tenant_id, user_id):
                session.add(Erasure(erased_at=datetime.now(UTC), salt=salt, digest=digest))
            session.commit()

    def _refresh(self) -> None:
        try:
            self.refresh()
        except Exception as error:  # noqa: BLE001 - whatever it is, what was last read stays in force
            _logger.warning("the list of erased users could not be read again: %s", type(error).__name__)


def _read(session: Session) -> ErasureList:
    rows = session.exec(select(Erasure.salt, Erasure.digest).order_by(col(Erasure.id))).all()
    return ErasureList(tuple(dict.fromkeys(salt for salt, _ in rows)), frozenset(digest for _, digest in rows))


def _digest(salt: str, tenant_id: str, user_id: str) -> str:
    # A length before the tenant keeps ("a", "bc") apart from ("ab", "c").
    text = f"{len(tenant_id)}:{tenant_id}{user_id}".encode(errors="surrogatepass")
    return hashlib.blake2b(text, key=bytes.fromhex(salt), digest_size=32).hexdigest()
