"""The events store: what is asked of ClickHouse, and what is given to it, on either form of the engine."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from typing import Any, Final

import pyarrow as pa
from clickhouse_connect.driver.exceptions import ClickHouseError

from attribution.compiler import compile_query
from attribution.connection import Clients, Connection
from attribution.event import EventRow, to_arrow
from attribution.export import ExportQuery, compile_piece, compile_sizes, decode_piece, piece_rows, pieces
from attribution.failures import InsertRefused, StoreUnavailable, insert_failure, query_failure
from attribution.migrations import is_current, migrate
from attribution.operations import OperationPage, OperationQuery, compile_operations, decode_operations
from attribution.query import EVERYTHING, CostQuery, Filter
from attribution.report import CostReport, decode_report
from attribution.retention import retain
from attribution.rows import RowQuery, compile_row_counts, compile_rows, decode_rows
from attribution.slices import Group, Grouping, SliceQuery, compile_slices, decode_slices
from attribution.statement import Statement
from attribution.tier_history import NEWEST, TABLE, TierHistory
from core.time import Window
from tenants.scope import Scope

_GRACE_SECONDS: Final = 5
"""What a server may take beyond a query's time limit before it counts as unreachable."""

_INSERT: Final = {"max_threads": 1, "optimize_on_insert": 0}
"""One block is written by one thread at least cost; FINAL merges what it holds twice, as it does across parts."""

_ON_EVERY_REPLICA: Final = {"mutations_sync": 2, "alter_sync": 2}


def _unchanged(rows: Sequence[EventRow]) -> Sequence[EventRow]:
    return rows


class Store:
    """The events of one deployment. Safe to share between threads.

    At most `concurrency` queries and one insert run at a time; further callers wait. Every row passes `redact` on its
    way to disk, and is dropped `retention_days` after its start, unless that is 0.
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
        self._connection = Connection(
            url, memory_bytes=engine_memory_bytes, answer_seconds=timeout_seconds + _GRACE_SECONDS
        )
        self._clients = Clients(self._connection, count=concurrency + 1, patience_seconds=timeout_seconds)
        self._timeout = timeout_seconds
        self._retention_days = retention_days
        self._redact = redact
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

    def export(self, query: ExportQuery) -> Iterator[pa.Table]:
        """Every group of the query, a piece at a time, in order. A piece is read when it is asked for.

        Between two pieces no connection is in use, so a slow reader costs nothing. Raises what `columns` does.
        """
        sizes = list(zip(*self.columns(compile_sizes(query)), strict=True))
        for piece in pieces(query, sizes, piece_rows(query)):
            yield decode_piece(query, self._arrow(compile_piece(query, piece)))

    def _arrow(self, statement: Statement) -> pa.Table:
        with self._explained(), self._clients.one() as client:
            return client.query_arrow(
                statement.sql, parameters=statement.parameters, settings=self._settings, use_strings=True
            )

    def rows(self, query: RowQuery) -> list[EventRow]:
        """The whole rows the query selects, from one statement."""
        return decode_rows(self.columns(compile_rows(query)))

    def row_counts(self, scope: Scope, window: Window, where: Filter = EVERYTHING) -> Sequence[tuple[date, int]]:
        """How many true rows each UTC day has that has any, in order."""
        return list(zip(*self.columns(compile_row_counts(scope, window, where)), strict=True))

    def columns(self, statement: Statement) -> Sequence[Sequence[Any]]:
        """The statement's result, column by column. Raises QueryTooSlow, QueryTooLarge or StoreUnavailable."""
        with self._explained(), self._clients.one() as client:
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
        if rows:
            self.append("events", to_arrow(self._redact(rows)))

    def append(self, table: str, rows: pa.Table) -> None:
        """Store Arrow rows in a table, as `insert` stores events. Raises StoreUnavailable."""
        token = uuid.uuid4().hex
        try:
            self._send(table, rows, token)
        except InsertRefused:
            raise
        except StoreUnavailable:
            self._send(table, rows, token)

    def _send(self, table: str, rows: pa.Table, token: str) -> None:
        try:
            with self._clients.one() as client:
                client.insert_arrow(table, rows, settings={**_INSERT, "insert_deduplication_token": token})
        except ClickHouseError as error:
            raise insert_failure(error) from error

    def newest_tier_history(self) -> tuple[int, str]:
        """The version and the digest of the tiers that statements see now. Raises StoreUnavailable."""
        (version,), (digest,) = self.columns(NEWEST)
        return version, digest

    def put_tier_history(self, history: TierHistory, version: int) -> None:
        """Let statements see this history, unless a higher version is stored. Raises StoreUnavailable."""
        self._send(TABLE, history.to_arrow(version), uuid.uuid4().hex)

    def rewrite(self, statement: Statement) -> None:
        """Run a statement that changes what is stored; when this returns, every replica has done it.

        It may take as long as a migration. Raises StoreUnavailable, and then nothing is known.
        """
        with self._explained(), self._clients.patient() as client:
            client.command(statement.sql, parameters=statement.parameters, settings=_ON_EVERY_REPLICA)

    def ping(self) -> None:
        """Return when the store answers; raise StoreUnavailable when it does not."""
        self.columns(Statement("SELECT 1", {}))

    def migrate(self) -> None:
        """Create the database, apply what is missing, and keep events for as long as they are to be kept.

        Safe to repeat; every statement is idempotent. Raises StoreUnavailable, DirectoryInUse or ChangedMigration.
        """
        # `default` is an Overlay database in the embedded engine; ours is Atomic in both.
        create = f"CREATE DATABASE IF NOT EXISTS {_identifier(self._connection.database)} ENGINE = Atomic"
        with self._explained(), self._clients.patient(create) as client:
            migrate(client)
            retain(client, self._retention_days)

    def is_current(self) -> bool:
        """True when every migration has been applied."""
        with self._explained(), self._clients.one() as client:
            return is_current(client)

    def close(self) -> None:
        """Close every client; an embedded directory is free afterwards."""
        self._clients.close()

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Errors of the driver, as ours."""
        try:
            yield
        except ClickHouseError as error:
            raise query_failure(error, self._timeout) from error


def _identifier(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"
