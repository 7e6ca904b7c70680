"""What the suite runs on: both forms of both engines, real ones, each test in a database of its own."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self
from urllib.parse import parse_qs, unquote, urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client


class ClickHouse(Protocol):
    """Either form of the event engine: it runs, and has a URL per database."""

    def url(self, database: str) -> str:
        """The product's setting for that database here; the database need not exist."""
        ...

    def execute(self, sql: str) -> object:
        """One statement, run outside any particular database."""
        ...


class EmbeddedClickHouse:
    """chDB in this process, open inside a `with` block.

    A process can have one directory open, so there is one of these per process; opened here once, further
    handles cost milliseconds.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory.resolve()

    def __enter__(self) -> Self:
        self._keeper = self._handle()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._keeper.close()

    def url(self, database: str) -> str:
        """`chdb:///absolute/directory?database=name`."""
        return f"chdb://{self._directory}?database={database}"

    def execute(self, sql: str) -> object:
        """The statement's answer. Each has a handle of its own: after an error a handle can leak stale rows."""
        with closing(self._handle()) as handle:
            return handle.command(sql)

    def _handle(self) -> Client:
        return clickhouse_connect.get_client(interface="chdb", path=str(self._directory))


@contextmanager
def fresh_clickhouse_url(engine: ClickHouse) -> Iterator[str]:
    """The URL of a database nobody has used, dropped at the end. It is named, not created: migrations do that."""
    name = f"t{uuid.uuid4().hex}"
    try:
        yield engine.url(name)
    finally:
        engine.execute(f"DROP DATABASE IF EXISTS {name} SYNC")


def fresh_sqlite_url(directory: Path) -> str:
    """The SQLAlchemy URL of a SQLite file that does not exist yet."""
    return f"sqlite:///{directory.resolve()}/{uuid.uuid4().hex}.sqlite"


def connect(url: str, *, create: bool = True) -> Client:
    """A clickhouse-connect client of the URL's database, for tests that look beneath the product.

    The database is made first, of the Atomic kind the product makes, unless `create` is false.
    """
    database = database_of(url)
    if create:
        with closing(_client(url, None)) as client:
            client.command(f"CREATE DATABASE IF NOT EXISTS {database} ENGINE = Atomic")
    return _client(url, database)


def database_of(url: str) -> str:
    """The database a ClickHouse URL names."""
    return parse_qs(urlsplit(url).query)["database"][0]


def _client(url: str, database: str | None) -> Client:
    parts = urlsplit(url)
    if parts.scheme == "chdb":
        return clickhouse_connect.get_client(interface="chdb", path=parts.path, database=database)
    return clickhouse_connect.get_client(
        host=parts.hostname,
        port=parts.port or 8123,
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password or ""),
        database=database or "__default__",
        autogenerate_session_id=False,  # a session would be locked for as long as a timed-out query still runs
    )
