"""The events store: the only place that talks to ClickHouse, embedded (chDB) or over HTTP, through the same client."""

from __future__ import annotations

import contextlib
import fcntl
import queue
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from math import ceil
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

import clickhouse_connect
import pyarrow as pa
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, OperationalError

from attribution.compiler import compile_query
from attribution.event import EventRow, to_arrow
from attribution.migrations import is_current, migrate
from attribution.operations import OperationPage, OperationQuery, compile_operations, decode_operations
from attribution.query import EVERYTHING, CostQuery, Filter
from attribution.report import CostReport, decode_report
from attribution.retention import retain
from attribution.rows import RowQuery, compile_row_counts, compile_rows, decode_rows
from attribution.slices import Group, Grouping, SliceQuery, compile_slices, decode_slices
from attribution.statement import Statement
from core.errors import InvalidInput, Unavailable
from core.time import Window
from tenants.scope import Scope

_GRACE_SECONDS = 5
"""What a server may take beyond a query's time limit before it counts as unreachable."""
_MIGRATION_SECONDS = 3_600
_INSERT = {"max_threads": 1, "optimize_on_insert": 0}
"""One block is written by one thread at least cost; FINAL merges what it holds twice, as it does across parts."""

_ON_EVERY_REPLICA = {"mutations_sync": 2, "alter_sync": 2}
_TIMEOUT_CODES = {159, 160}
_MEMORY_CODES = {241}


class StoreUnavailable(Unavailable):
    """ClickHouse does not answer."""

    code = "STORE_UNAVAILABLE"


class InsertRefused(StoreUnavailable):
    """ClickHouse answers, and does not take these rows: because of what they hold, or of a state it is in."""

    code = "INSERT_REFUSED"


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


class _Connection:
    """Where the store is and how to open a client to it."""

    def __init__(self, url: str, *, memory_bytes: int, answer_seconds: float) -> None:
        parts = urlsplit(url)
        self.embedded = parts.scheme == "chdb"
        self.directory = parts.path
        self.database = parse_qs(parts.query).get("database", ["apportion"])[0]
        self._arguments = _embedded(parts, memory_bytes) if self.embedded else _served(parts, answer_seconds)

    def open(self) -> Client:
        """A new client of the database. Raises DirectoryInUse or StoreUnavailable."""
        return self._open(database=self.database)

    def open_outside(self) -> Client:
        """A new client of no database, which waits for as long as a migration may take."""
        return self._open() if self.embedded else self._open(send_receive_timeout=_MIGRATION_SECONDS)

    def _open(self, **overrides: Any) -> Client:
        try:
            return clickhouse_connect.get_client(**{**self._arguments, **overrides})
        except ClickHouseError as error:
            if "EmbeddedServer" in str(error) and _is_locked(self.directory):
                raise DirectoryInUse(self.directory) from error
            raise StoreUnavailable(f"the events store does not answer: {_first_line(error)}") from error


def _is_locked(directory: str) -> bool:
    """Whether an engine has the directory open: as long as it does, it holds a lock on the file `status`."""
    try:
        with Path(directory, "status").open("rb") as status:
            fcntl.flock(status, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _embedded(parts: SplitResult, memory_bytes: int) -> dict[str, Any]:
    options = {"max_server_memory_usage": str(memory_bytes)} if memory_bytes else None
    return {"interface": "chdb", "path": parts.path, "chdb_options": options}


def _served(parts: SplitResult, answer_seconds: float) -> dict[str, Any]:
    return {
        "host": parts.hostname,
        "port": parts.port or (8443 if parts.scheme == "https" else 8123),
        "username": unquote(parts.username or "default"),
        "password": unquote(parts.password or ""),
        "secure": parts.scheme == "https",
        "autogenerate_session_id": False,  # a session would answer SESSION_IS_LOCKED after a client-side timeout
        "compress": False,
        "connect_timeout": 5,
        "send_receive_timeout": ceil(answer_seconds),
    }


def _unchanged(rows: Sequence[EventRow]) -> Sequence[EventRow]:
    return rows


class Store:
    """The events of one deployment. Safe to share between threads.

    At most `concurrency` queries and one insert run at a time; further callers wait. A client that saw any exception
    is closed and never used again: an embedded engine hands rows that a failed query had produced to the next query
    on the same handle (docs/decisions/0004-embedded-handles.md).

    Every row passes `redact` on its way to disk, and is dropped `retention_days` after its start, unless that is 0.
    """

    def __init__(
        self,
        url: str,
        *,
        concurrency: int = 4,
        timeout_seconds: float = 30,
        query_memory_bytes: int = 4_000_000_000,
        engine_memory_bytes: int = 0,
        retention_days: int = 0,
        redact: Callable[[Sequence[EventRow]], Sequence[EventRow]] = _unchanged,
    ) -> None:
        self._connection = _Connection(
            url, memory_bytes=engine_memory_bytes, answer_seconds=timeout_seconds + _GRACE_SECONDS
        )
        if self._connection.embedded:
            Path(self._connection.directory).mkdir(parents=True, exist_ok=True)
        self._timeout = timeout_seconds
        self._retention_days = retention_days
        self._redact = redact
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

    def slices(self, query: SliceQuery) -> dict[Grouping, list[Group]]:
        """The groups of each of the query's groupings, from one statement."""
        return decode_slices(query, self.columns(compile_slices(query)))

    def operations(self, query: OperationQuery) -> OperationPage:
        """The single operations the query selects, from one statement."""
        return decode_operations(query, self.columns(compile_operations(query)))

    def rows(self, query: RowQuery) -> list[EventRow]:
        """The whole rows the query selects, from one statement."""
        return decode_rows(self.columns(compile_rows(query)))

    def row_counts(self, scope: Scope, window: Window, where: Filter = EVERYTHING) -> Sequence[tuple[date, int]]:
        """How many true rows each UTC day has that has any, in order."""
        return list(zip(*self.columns(compile_row_counts(scope, window, where)), strict=True))

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

        An insert whose connection broke is sent once more. Its token makes the engine drop the copy when the first one
        had arrived; a new one per call means that it can never drop anything else.
        """
        if not rows:
            return
        table, token = to_arrow(self._redact(rows)), uuid.uuid4().hex
        try:
            self._send(table, token)
        except InsertRefused:
            raise
        except StoreUnavailable:
            self._send(table, token)

    def _send(self, table: pa.Table, token: str) -> None:
        with self._client(_not_taken) as client:
            client.insert_arrow("events", table, settings={**_INSERT, "insert_deduplication_token": token})

    def rewrite(self, statement: Statement) -> None:
        """Run a statement that changes what is stored; when this returns, every replica has done it.

        It may take as long as a migration. Raises StoreUnavailable, and then nothing is known.
        """
        with self._patient() as client:
            client.command(statement.sql, parameters=statement.parameters, settings=_ON_EVERY_REPLICA)

    def ping(self) -> None:
        """Return when the store answers; raise StoreUnavailable when it does not."""
        self.columns(Statement("SELECT 1", {}))

    def migrate(self) -> None:
        """Create the database, apply what is missing, and keep events for as long as they are to be kept.

        Safe to repeat; every statement is idempotent.
        """
        # `default` is an Overlay database in the embedded engine; ours is Atomic in both.
        create = f"CREATE DATABASE IF NOT EXISTS {_identifier(self._connection.database)} ENGINE = Atomic"
        with self._patient(create) as client:
            migrate(client)
            retain(client, self._retention_days)

    def is_current(self) -> bool:
        """True when every migration has been applied."""
        with self._client() as client:
            return is_current(client)

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
    def _client(self, explain: Callable[[ClickHouseError], Exception] | None = None) -> Iterator[Client]:
        """A client for one piece of work. After any exception it is closed, not reused."""
        client = self._take()
        try:
            if client is None:
                self._keep_open()
                client = self._connection.open()
            yield client
        except BaseException as error:
            broken, client = client, None
            if broken is not None:
                broken.close()
            if isinstance(error, ClickHouseError):
                raise (explain or self._explain)(error) from error
            raise
        finally:
            self._clients.put(client)

    @contextlib.contextmanager
    def _patient(self, before: str = "SELECT 1") -> Iterator[Client]:
        """A client for one piece of work that may take long; `before` runs outside of the database."""
        client = self._connection.open_outside()
        try:
            client.command(before)
            client.database = self._connection.database
            yield client
        except ClickHouseError as error:
            raise self._explain(error) from error
        finally:
            self._retire(client)

    def _take(self) -> Client | None:
        try:
            return self._clients.get(timeout=self._timeout)
        except queue.Empty:
            raise StoreBusy from None

    def _keep_open(self) -> None:
        """Hold one idle handle, so that closing a broken one never closes the embedded engine itself."""
        with self._lock:
            if self._keeper is None and self._connection.embedded:
                self._keeper = self._connection.open_outside()

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


def _identifier(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _not_taken(error: ClickHouseError) -> Exception:
    """Whatever keeps rows out, be it too many parts or a full disk, may be over when they are sent again."""
    code = getattr(error, "code", None)
    has_judged = code is not None and code not in _TIMEOUT_CODES | _MEMORY_CODES
    kind = InsertRefused if has_judged else StoreUnavailable
    return kind(f"the events store does not take events now: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:300]
