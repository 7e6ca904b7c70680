"""The relational database: an engine for SQLite or PostgreSQL, sessions, and migrations under a lock."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum, unique
from functools import cache
from pathlib import Path
from typing import Any, TextIO

from sqlalchemy import Connection, DateTime, Engine, String, event, inspect, text
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.engine.url import URL, make_url
from sqlalchemy.exc import ArgumentError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from sqlalchemy.types import TypeDecorator
from sqlmodel import Session, create_engine

from core.errors import InvalidInput, Unavailable
from core.money import plain

_LOCK = 0x4150504F  # "APPO": any constant shared by all processes; turns count from it
_POSTGRESQL = "postgresql+psycopg"


@unique
class Turn(Enum):
    """What only one process at a time may do. Those of different turns do not wait for each other."""

    MONEY = 0
    MIGRATION = 1
    BILLS = 2


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


class ExactDecimal(TypeDecorator[Decimal]):
    """A decimal stored as its digits: SQLite would make it a float."""

    impl = String(40)
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """The digits, without exponent or trailing zeros."""
        return None if value is None else plain(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Decimal | None:  # noqa: ARG002
        """The decimal of those digits."""
        return None if value is None else Decimal(value)


class DatabaseUnavailable(Unavailable):
    """The relational database does not answer. Why is for operators, in a note: drivers name hosts and users."""

    code = "DATABASE_UNAVAILABLE"

    def __init__(self, reason: str) -> None:
        super().__init__("the relational database does not answer; retry shortly")
        self.add_note(reason)


class UnusableDatabaseUrl(InvalidInput):
    """The setting names no database of a supported kind. The text is not repeated: it may hold a password."""

    code = "UNUSABLE_DATABASE_URL"

    def __init__(self) -> None:
        super().__init__(
            f"APPORTION_DATABASE_URL must look like {_POSTGRESQL}://user:password@host/database or sqlite:///file"
        )


class UnusableDirectory(Unavailable):
    """The directory for the database file cannot be made or written."""

    code = "UNUSABLE_DIRECTORY"

    def __init__(self, error: OSError) -> None:
        super().__init__(f"{error.filename} cannot be used for data: {error.strerror}")


class Database:
    """One relational database. Safe to share between threads; `session()` gives each unit of work its own.

    Raises UnusableDatabaseUrl or UnusableDirectory; a server is first asked when it is first needed.
    """

    def __init__(self, url: str) -> None:
        self.url = _usable(url)
        self.engine = _engine(self.url)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A session that is rolled back unless the caller commits. Raises DatabaseUnavailable."""
        with _explained(), Session(self.engine, expire_on_commit=False) as session:
            yield session

    def ping(self) -> None:
        """Return when the database answers; raise DatabaseUnavailable when it does not."""
        with self.session() as session:
            session.connection().execute(text("SELECT 1"))

    def migrate(self) -> None:
        """Bring the schema to the newest revision or leave it as it was. Leaves a newer schema alone.

        The caller holds `lock(Turn.MIGRATION)` when others may migrate too. Raises DatabaseUnavailable.
        """
        if self.is_current():
            return
        with _explained(), self.engine.begin() as connection:
            if self.url.get_backend_name() == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")  # else each statement of a migration commits alone
            _upgrade(connection)

    def is_current(self) -> bool:
        """True when every migration of this version has been applied; a newer version may have applied more.

        Raises DatabaseUnavailable.
        """
        with _explained(), self.engine.connect() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return False
            applied: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        return applied is not None and applied >= _newest_migration()

    @contextmanager
    def lock(self, turn: Turn = Turn.MONEY) -> Iterator[None]:
        """Only one process at a time is inside: an advisory lock on PostgreSQL, a lock file beside a SQLite file.

        Raises DatabaseUnavailable or UnusableDirectory.
        """
        is_server = self.url.get_backend_name() == "postgresql"
        with self._advisory_lock(_LOCK + turn.value) if is_server else self._file_lock(turn):
            yield

    @contextmanager
    def _advisory_lock(self, key: int) -> Iterator[None]:
        # Without a transaction of its own: one that waits for long is in the way of vacuuming, and may be ended.
        with _explained(), self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": key})
            try:
                yield
            finally:
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": key})

    @contextmanager
    def _file_lock(self, turn: Turn) -> Iterator[None]:
        name = "lock" if turn is Turn.MONEY else f"{turn.name.lower()}.lock"
        with _opened(Path(f"{self.url.database}.{name}")) as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def close(self) -> None:
        """Return every connection."""
        self.engine.dispose()


def _opened(path: Path) -> TextIO:
    try:
        return path.open("w")
    except OSError as error:
        raise UnusableDirectory(error) from error


@contextmanager
def _explained() -> Iterator[None]:
    """What the driver says about an absent database, as DatabaseUnavailable."""
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        raise DatabaseUnavailable(str(error.orig).strip()) from error
    except PoolExhausted as error:
        raise DatabaseUnavailable("every connection stayed in use") from error


def _usable(text: str) -> URL:
    """The URL with the driver we ship, whichever of PostgreSQL's names it is written with."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise UnusableDatabaseUrl from None
    if url.drivername in {_POSTGRESQL, "postgresql", "postgres"}:
        patience = {} if "connect_timeout" in url.query else {"connect_timeout": "5"}
        return url.set(drivername=_POSTGRESQL).update_query_dict(patience)
    if url.drivername not in {"sqlite", "sqlite+pysqlite"} or not url.database or url.database == ":memory:":
        raise UnusableDatabaseUrl
    return url


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "postgresql":
        return create_engine(url, pool_pre_ping=True)
    try:
        Path(url.database or "").parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnusableDirectory(error) from error
    engine = create_engine(url)
    event.listen(engine, "connect", _sqlite_pragmas)
    return engine


def _sqlite_pragmas(connection: Any, _record: object) -> None:
    """WAL lets `apportion keys create` write beside a running server; the timeout lets the two take turns."""
    cursor = connection.cursor()
    for pragma in ("busy_timeout=10000", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _upgrade(connection: Connection) -> None:
    """Every missing migration applied, on that connection and in its transaction."""
    # Here because it takes longer to import than most commands take to run, and only a new database needs it.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_migrations()))
    command.upgrade(config, "head")


@cache
def _newest_migration() -> str:
    """The revision to reach. Revisions are numbered in the order of their file names, `0001_<what>.py`."""
    return max(path.name.split("_")[0] for path in (_migrations() / "versions").glob("[0-9]*.py"))


def _migrations() -> Path:
    """The migration scripts: beside this module in an installed wheel, beside the packages in a checkout."""
    here = Path(__file__).parent
    installed = here / "alembic"
    return installed if installed.is_dir() else here.parent / "alembic"
