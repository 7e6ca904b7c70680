"""The events store: the only place that talks to ClickHouse, embedded (chDB) or over HTTP, through the same client."""

from __future__ import annotations

import contextlib
import os
import queue
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, OperationalError

from attribution.compiler import Statement, compile_query
from attribution.event import EventRow, to_arrow
from attribution.migrations import Migration, migrations
from attribution.operations import OperationPage, OperationQuery, compile_operations, decode_operations
from attribution.query import CostQuery
from attribution.report import CostReport, decode_report
from core.errors import InvalidInput, Unavailable

_TIMEOUT_CODES = {159, 160}
_MEMORY_CODES = {241}


class StoreUnavailable(Unavailable):
    """ClickHouse does not answer."""

    code = "STORE_UNAVAILABLE"


class StoreBusy(StoreUnavailable):
    """Every connection stayed in use for as long as a caller should wait."""

    def __init__(self) -> None:
        super().__init__("every connection to the events store is in use; retry shortly")


class DirectoryInUse(Unavailable):
    """An embedded data directory belongs to one process at a time."""

    code = "DIRECTORY_IN_USE"

    def __init__(self, directory: str) -> None:
        super().__init__(
            f"{directory} is in use by another process: one process owns an embedded store. "
            "Stop that one, or set APPORTION_CLICKHOUSE_URL to a ClickHouse server, which many can share."
        )


class QueryTooSlow(InvalidInput):
    """The query ran into its time limit."""

    code = "QUERY_TIMEOUT"

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the query took longer than {seconds:g} s; narrow the time range, filter or grouping")


class QueryTooLarge(InvalidInput):
    """The query ran into its memory limit."""

    code = "QUERY_TOO_LARGE"

    def __init__(self) -> None:
        super().__init__("the query needs more memory than it may use; narrow the time range, filter or grouping")


class ChangedMigration(Unavailable):
    """A migration file differs from what was applied under its number."""

    code = "CHANGED_MIGRATION"

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} was changed after it was applied; restore it and add a new one")


class _Connection:
    """Where the store is and how to open a client to it."""

    def __init__(self, url: str, memory_bytes: int) -> None:
        parts = urlsplit(url)
        self.embedded = parts.scheme == "chdb"
        self.database = parse_qs(parts.query).get("database", ["apportion"])[0]
        if self.embedded:
            self.directory = parts.path
            options = {"max_server_memory_usage": str(memory_bytes)} if memory_bytes else {}
            self._arguments: dict[str, Any] = {"interface": "chdb", "path": parts.path}
            if options:
                self._arguments["chdb_options"] = options
        else:
            # A session would answer SESSION_IS_LOCKED after a client-side timeout.
            self._arguments = {
                "host": parts.hostname,
                "port": parts.port or (8443 if parts.scheme == "https" else 8123),
                "username": unquote(parts.username or "default"),
                "password": unquote(parts.password or ""),
                "secure": parts.scheme == "https",
                "autogenerate_session_id": False,
                "compress": False,
                "connect_timeout": 5,
            }

    def open(self, *, database: bool = True) -> Client:
        """A new client. Raises DirectoryInUse or StoreUnavailable."""
        arguments = {**self._arguments, **({"database": self.database} if database else {})}
        try:
            return clickhouse_connect.get_client(**arguments)
        except ClickHouseError as error:
            if self.embedded and "Cannot lock file" in str(error):
                raise DirectoryInUse(self.directory) from error
            raise StoreUnavailable(f"the events store does not answer: {_first_line(error)}") from error


class Store:
    """The events of one deployment. Safe to share between threads.

    At most `concurrency` queries and one insert run at a time; further callers wait. A client that saw any exception
    is closed and never used again: an embedded engine hands rows that a failed query had produced to the next query
    on the same handle (docs/decisions/0004-embedded-handles.md).
    """

    def __init__(
        self,
        url: str,
        *,
        concurrency: int = 4,
        timeout_seconds: float = 30,
        query_memory_bytes: int = 4_000_000_000,
        engine_memory_bytes: int = 0,
    ) -> None:
        self._connection = _Connection(url, engine_memory_bytes)
        if self._connection.embedded:
            Path(self._connection.directory).mkdir(parents=True, exist_ok=True)
        self._timeout = timeout_seconds
        self._owner = os.getpid()
        self._keeper: Client | None = None
        self._lock = Lock()
        self._clients: queue.LifoQueue[Client | None] = queue.LifoQueue()
        for _ in range(concurrency + 1):
            self._clients.put(None)
        self._settings = {
            "max_execution_time": timeout_seconds,
            "max_memory_usage": query_memory_bytes,
            "do_not_merge_across_partitions_select_final": 1,
            "use_skip_indexes_if_final": 1,
            "use_skip_indexes_if_final_exact_mode": 1,
        }

    @property
    def is_embedded(self) -> bool:
        """True when the engine runs inside this process."""
        return self._connection.embedded

    def report(self, query: CostQuery) -> CostReport:
        """The answer to the query, from one statement."""
        return decode_report(query, self.columns(compile_query(query)))

    def operations(self, query: OperationQuery) -> OperationPage:
        """The single operations the query selects, from one statement."""
        return decode_operations(query, self.columns(compile_operations(query)))

    def columns(self, statement: Statement) -> Sequence[Sequence[Any]]:
        """The statement's result, column by column. Raises QueryTooSlow, QueryTooLarge or StoreUnavailable."""
        with self._client() as client:
            result = client.query(
                statement.sql,
                parameters=statement.parameters,
                settings=self._settings,
                column_oriented=True,
                query_tz="UTC",
            )
            return result.result_set

    def insert(self, rows: Sequence[EventRow]) -> None:
        """Store the rows; when this returns they are durable. Raises StoreUnavailable, and then nothing is known.

        The token makes the engine drop the copy when the driver, after a connection reset, sends the same insert
        again; a new one per call means that it can never drop anything else.
        """
        if not rows:
            return
        table = to_arrow(rows)
        with self._client() as client:
            client.insert_arrow("events", table, settings={"insert_deduplication_token": uuid.uuid4().hex})

    def ping(self) -> None:
        """Return when the store answers; raise StoreUnavailable when it does not."""
        self.columns(Statement("SELECT 1", {}))

    def migrate(self) -> None:
        """Create the database and apply what is missing. Safe to repeat; every statement is idempotent."""
        bootstrap = self._connection.open(database=False)
        try:
            # `default` is an Overlay database in the embedded engine; ours is Atomic in both.
            bootstrap.command(f"CREATE DATABASE IF NOT EXISTS {_identifier(self._connection.database)} ENGINE = Atomic")
        finally:
            self._retire(bootstrap)
        with self._client() as client:
            _create_ledger(client)
            applied = _applied(client)
            for migration in migrations():
                _apply(client, migration, applied)

    def is_current(self) -> bool:
        """True when every migration has been applied."""
        with self._client() as client:
            applied = _applied(client)
        return all(migration.number in applied for migration in migrations())

    def close(self) -> None:
        """Close every client; an embedded directory is free afterwards."""
        while not self._clients.empty():
            client = self._clients.get_nowait()
            if client is not None:
                client.close()
        with self._lock:
            if self._keeper is not None:
                self._keeper.close()
                self._keeper = None

    @contextlib.contextmanager
    def _client(self) -> Iterator[Client]:
        """A client for one piece of work. After any exception it is closed, not reused."""
        client = self._take()
        try:
            if client is None:
                self._keep_open()
                client = self._connection.open()
            yield client
        except BaseException as error:
            if client is not None:
                client.close()
            client = None
            if isinstance(error, ClickHouseError):
                raise self._explain(error) from error
            raise
        finally:
            self._clients.put(client)

    def _take(self) -> Client | None:
        try:
            return self._clients.get(timeout=self._timeout)
        except queue.Empty:
            raise StoreBusy from None

    def _keep_open(self) -> None:
        """Hold one idle handle, so that closing a broken one never closes the embedded engine itself."""
        with self._lock:
            if self._keeper is None and self._connection.embedded:
                self._keeper = self._connection.open(database=False)

    def _retire(self, client: Client) -> None:
        with self._lock:
            if self._keeper is None and self._connection.embedded:
                self._keeper = client
                return
        client.close()

    def _explain(self, error: ClickHouseError) -> Exception:
        code = getattr(error, "code", None)
        text = str(error)
        if code in _TIMEOUT_CODES or "TIMEOUT_EXCEEDED" in text:
            return QueryTooSlow(self._timeout)
        if code in _MEMORY_CODES or "MEMORY_LIMIT_EXCEEDED" in text:
            return QueryTooLarge()
        if isinstance(error, OperationalError) or "UNKNOWN_DATABASE" in text or "UNKNOWN_TABLE" in text:
            return StoreUnavailable(f"the events store does not answer: {_first_line(error)}")
        return error


def _create_ledger(client: Client) -> None:
    client.command(
        "CREATE TABLE IF NOT EXISTS schema_migrations (number UInt32, name String, sha256 String, "
        "applied_at DateTime64(3, 'UTC') DEFAULT now64(3)) ENGINE = MergeTree ORDER BY number"
    )


def _applied(client: Client) -> dict[int, str]:
    rows = client.query("SELECT number, argMin(sha256, applied_at) FROM schema_migrations GROUP BY number").result_rows
    return dict(rows)  # type: ignore[arg-type]


def _apply(client: Client, migration: Migration, applied: dict[int, str]) -> None:
    """Run every statement, then record the file: one that is interrupted runs again from its start."""
    known = applied.get(migration.number)
    if known is not None:
        if known != migration.sha256:
            raise ChangedMigration(migration.name)
        return
    for statement in migration.statements:
        client.command(statement)
    client.insert(
        "schema_migrations",
        [[migration.number, migration.name, migration.sha256]],
        column_names=["number", "name", "sha256"],
    )


def _identifier(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:300]
