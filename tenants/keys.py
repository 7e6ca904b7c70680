"""API keys: created once, shown once, stored hashed, found by prefix, revocable."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from datetime import UTC, datetime
from threading import Lock

from sqlalchemy import Column, func
from sqlmodel import Field, SQLModel, col, select

from core.database import Database, UtcDateTime
from core.errors import InvalidInput, NotFound, Unauthenticated
from tenants.principal import Principal, Role
from tenants.scope import Scope

CACHE_SECONDS = 5.0
"""How long a verified key is believed without asking the database: the longest a revoked key still works."""

_CACHE_KEYS = 10_000


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


class UnusableKeyName(InvalidInput):
    """A key needs a name that people can recognise it by."""

    def __init__(self) -> None:
        super().__init__("a key needs a name of 1 to 200 characters")


class KeyRing:
    """Creates, lists, revokes and verifies keys. Safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._verified: OrderedDict[bytes, tuple[float, Principal]] = OrderedDict()
        self._lock = Lock()

    def create(self, name: str, role: Role, scope: Scope = Scope()) -> str:  # noqa: B008 - a frozen value
        """A new key as text, `apn_<prefix>_<secret>`. It cannot be shown again."""
        if not 1 <= len(name) <= 200:
            raise UnusableKeyName
        prefix, secret = secrets.token_hex(4), secrets.token_hex(32)
        with self._database.session() as session:
            session.add(
                ApiKey(
                    name=name,
                    prefix=prefix,
                    secret_hash=_hash(secret),
                    role=role.value,
                    tenant_id=scope.tenant,
                    team=scope.team,
                    environment=scope.environment,
                    created_at=datetime.now(UTC),
                )
            )
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

    def revoke(self, prefix: str) -> None:
        """Make the key useless, within CACHE_SECONDS in every running server. Raises NoSuchKey."""
        with self._database.session() as session:
            key = session.exec(select(ApiKey).where(ApiKey.prefix == prefix)).one_or_none()
            if key is None:
                raise NoSuchKey(prefix)
            key.revoked_at = key.revoked_at or datetime.now(UTC)
            session.add(key)
            session.commit()
        with self._lock:
            self._verified.clear()

    def cached(self, token: str) -> Principal | None:
        """Whom the key stands for when it was verified in the last CACHE_SECONDS; touches no database."""
        found = self._verified.get(_digest(token))
        return found[1] if found and found[0] > time.monotonic() else None

    def verify(self, token: str) -> Principal:
        """Whom the key stands for. Raises UnknownKey."""
        principal = self.cached(token)
        return principal or self._verify(token)

    def _verify(self, token: str) -> Principal:
        parts = token.split("_")
        if len(parts) != 3 or parts[0] != "apn":
            raise UnknownKey
        with self._database.session() as session:
            key = session.exec(select(ApiKey).where(ApiKey.prefix == parts[1])).one_or_none()
        expected = key.secret_hash if key else ""
        if not hmac.compare_digest(_hash(parts[2]), expected) or key is None or key.revoked_at:
            raise UnknownKey
        with self._lock:
            self._verified[_digest(token)] = (time.monotonic() + CACHE_SECONDS, key.principal)
            if len(self._verified) > _CACHE_KEYS:
                self._verified.popitem(last=False)
        return key.principal


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
