"""API keys: created once, shown once, stored hashed, found by prefix, revocable."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
import unicodedata
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from threading import Lock
from typing import Final

from sqlalchemy import Column, func
from sqlmodel import Field, SQLModel, col, select

from core.database import Database, UtcDateTime
from core.errors import InvalidInput, NotFound, Unauthenticated
from tenants.audit import COMMAND_LINE, Action, record
from tenants.principal import Principal, Role
from tenants.scope import Scope

CACHE_SECONDS: Final = 5.0
"""How long a verified key is believed without asking the database: the longest a revoked key still works."""

_CACHE_KEYS: Final = 10_000
_MAX_LENGTH: Final = 200
_PREFIX: Final = re.compile(r"[0-9a-f]{1,16}")
_TOKEN: Final = re.compile(rf"apn_({_PREFIX.pattern})_([0-9a-f]{{64}})")


class ApiKey(SQLModel, table=True):
    """A key at rest. The secret itself is not here; `secret_hash` is SHA-256 of 256 random bits."""

    __tablename__ = "api_keys"

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(max_length=200)
    prefix: str = Field(max_length=16, unique=True, index=True)
    secret_hash: str = Field(max_length=64)
    role: str = Field(max_length=20)
    tenant_id: str | None = Field(default=None, max_length=200)
    team: str | None = Field(default=None, max_length=200)
    environment: str | None = Field(default=None, max_length=200)
    created_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    revoked_at: datetime | None = Field(default=None, sa_column=Column(UtcDateTime, nullable=True))

    @property
    def principal(self) -> Principal:
        """Whom this key stands for."""
        return Principal(self.name, Role(self.role), Scope(self.tenant_id, self.team, self.environment))


class UnknownKey(Unauthenticated):
    """No live key matches."""

    def __init__(self) -> None:
        super().__init__("this API key is unknown or revoked; create one with `apportion keys create`")


class NoSuchKey(NotFound):
    """There is no key to revoke under that prefix."""

    def __init__(self, prefix: str) -> None:
        super().__init__(f"no key has the prefix {prefix!r}; `apportion keys list` shows them")


class UnusableKey(InvalidInput):
    """The new key's name or a part of its scope is empty, too long or cannot be shown."""

    code = "UNUSABLE_KEY"

    def __init__(self, what: str) -> None:
        super().__init__(f"the {what} of a key has 1 to {_MAX_LENGTH} characters and no control characters")


class KeyRing:
    """Creates, lists, revokes and verifies keys. Safe to share between threads."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._verified: OrderedDict[bytes, tuple[float, Principal]] = OrderedDict()
        self._lock = Lock()

    def create(self, name: str, role: Role, scope: Scope = Scope(), *, by: str = COMMAND_LINE) -> str:  # noqa: B008 - a frozen value
        """A new key as text, `apn_<prefix>_<secret>`. It cannot be shown again. Raises UnusableKey."""
        _check(name, scope)
        prefix, secret = secrets.token_hex(6), secrets.token_hex(32)
        key = ApiKey(
            name=name,
            prefix=prefix,
            secret_hash=_hash(secret),
            role=role.value,
            tenant_id=scope.tenant,
            team=scope.team,
            environment=scope.environment,
            created_at=datetime.now(UTC),
        )
        with self._database.session() as session:
            session.add(key)
            record(session, by, Action.CREATE_KEY, prefix, name=name, role=role.value, **asdict(scope))
            session.commit()
        return f"apn_{prefix}_{secret}"

    def all_keys(self) -> list[ApiKey]:
        """Every key, revoked ones too, oldest first."""
        with self._database.session() as session:
            return list(session.exec(select(ApiKey).order_by(col(ApiKey.id))))

    def is_empty(self) -> bool:
        """True when no key was ever created."""
        with self._database.session() as session:
            return session.exec(select(func.count()).select_from(ApiKey)).one() == 0

    def revoke(self, prefix: str, *, by: str = COMMAND_LINE) -> None:
        """Make the key useless, within CACHE_SECONDS in every running server. Raises NoSuchKey."""
        if not _PREFIX.fullmatch(prefix):
            raise NoSuchKey(prefix)
        with self._database.session() as session:
            key = session.exec(select(ApiKey).where(ApiKey.prefix == prefix)).one_or_none()
            if key is None:
                raise NoSuchKey(prefix)
            if key.revoked_at is None:
                key.revoked_at = datetime.now(UTC)
                session.add(key)
                record(session, by, Action.REVOKE_KEY, prefix, name=key.name)
            session.commit()
        with self._lock:
            self._verified.clear()

    def cached(self, token: str) -> Principal | None:
        """Whom the key stands for when it was verified in the last CACHE_SECONDS; touches no database."""
        found = self._verified.get(_digest(token))
        return found[1] if found and found[0] > self._clock() else None

    def verify(self, token: str) -> Principal:
        """Whom the key stands for. Raises UnknownKey."""
        return self.cached(token) or self._verify(token)

    def _verify(self, token: str) -> Principal:
        parts = _TOKEN.fullmatch(token)
        if parts is None:
            raise UnknownKey
        asked_at = self._clock()
        with self._database.session() as session:
            key = session.exec(select(ApiKey).where(ApiKey.prefix == parts[1])).one_or_none()
        expected = key.secret_hash if key else _NO_HASH
        if not hmac.compare_digest(_hash(parts[2]), expected) or key is None or key.revoked_at:
            raise UnknownKey
        self._believe(token, asked_at + CACHE_SECONDS, key.principal)
        return key.principal

    def _believe(self, token: str, until: float, principal: Principal) -> None:
        with self._lock:
            self._verified[_digest(token)] = (until, principal)
            self._verified.move_to_end(_digest(token))
            if len(self._verified) > _CACHE_KEYS:
                self._verified.popitem(last=False)


def _check(name: str, scope: Scope) -> None:
    parts = {"name": name, "tenant": scope.tenant, "team": scope.team, "environment": scope.environment}
    for what, text in parts.items():
        if text is not None and not is_showable(text):
            raise UnusableKey(what)


def is_showable(text: str) -> bool:
    """True for what both databases keep and a terminal shows: control characters and lone surrogates are neither."""
    return 1 <= len(text) <= _MAX_LENGTH and {"Cc", "Cs"}.isdisjoint(map(unicodedata.category, text))


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


_NO_HASH: Final = "-" * 64
"""As long as a hash and equal to none: an unknown prefix takes as long to refuse as a wrong secret."""


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()
