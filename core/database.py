"""The relational database: an engine for SQLite or PostgreSQL, sessions, and migrations under a lock."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import DateTime, Engine, event, text
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.engine.url import make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.types import TypeDecorator
from sqlmodel import Session, create_engine

from core.errors import Unavailable

_MIGRATION_LOCK = 0x4150504F  # "APPO": any constant shared by all processes


class UtcDateTime(TypeDecorator[datetime]):
    """An aware instant, stored in UTC and read back aware: SQLite forgets zones, PostgreSQL shifts them."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Refuse naive times; they name no instant."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value.isoformat()} has no time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """The stored instant in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class DatabaseUnavailable(Unavailable):
    """The relational database does not answer."""

    code = "DATABASE_UNAVAILABLE"


class Database:
    """One relational database. Safe to share between threads; `session()` gives each unit of work its own."""

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.engine = _engine(url)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A session that is rolled back unless the caller commits. Raises DatabaseUnavailable."""
        try:
            with Session(self.engine, expire_on_commit=False) as session:
                yield session
        except OperationalError as error:
            raise DatabaseUnavailable(f"the relational database does not answer: {error.orig}") from error

    def ping(self) -> None:
        """Return when the database answers; raise DatabaseUnavailable when it does not."""
        with self.session() as session:
            session.connection().execute(text("SELECT 1"))

    def migrate(self) -> None:
        """Bring the schema to the newest revision. The caller holds `lock()` when others may migrate too."""
        with self.engine.begin() as connection:
            config = _alembic_config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def is_current(self) -> bool:
        """True when every migration has been applied."""
        with self.engine.connect() as connection:
            current = MigrationContext.configure(connection).get_current_revision()
        return current == ScriptDirectory.from_config(_alembic_config()).get_current_head()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Only one process at a time is inside: an advisory lock on PostgreSQL, a lock file beside a SQLite file."""
        if self.url.get_backend_name() == "postgresql":
            with self.engine.connect() as connection:
                connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _MIGRATION_LOCK})
                try:
                    yield
                finally:
                    connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _MIGRATION_LOCK})
        else:
            with Path(f"{self.url.database}.lock").open("w") as handle:
                fcntl.flock(handle, fcntl.LOCK_EX)
                yield

    def close(self) -> None:
        """Return every connection."""
        self.engine.dispose()


def _engine(url: str) -> Engine:
    if not url.startswith("sqlite"):
        return create_engine(url, pool_pre_ping=True)
    Path(make_url(url).database or "").parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url)
    event.listen(engine, "connect", _sqlite_pragmas)
    return engine


def _sqlite_pragmas(connection: Any, _record: object) -> None:
    """WAL lets `apportion keys create` write beside a running server; the timeout lets the two take turns."""
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _alembic_config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_migrations()))
    return config


def _migrations() -> Path:
    """The migration scripts: beside this module in an installed wheel, beside the packages in a checkout."""
    here = Path(__file__).parent
    installed = here / "alembic"
    return installed if installed.is_dir() else here.parent / "alembic"
