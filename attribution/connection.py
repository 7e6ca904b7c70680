"""Where ClickHouse is, and the clients that speak to it: embedded (chDB) or over HTTP, through the same driver."""

from __future__ import annotations

import contextlib
import fcntl
import queue
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from threading import Lock
from typing import Any, Final
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from attribution.failures import DirectoryInUse, StoreBusy, StoreUnavailable, first_line

_MIGRATION_SECONDS: Final = 3_600


class Connection:
    """The address of a store, and how to open a client to it."""

    def __init__(self, url: str, *, memory_bytes: int, answer_seconds: float) -> None:
        parts = urlsplit(url)
        self.embedded = parts.scheme == "chdb"
        self.directory = parts.path
        self.database = parse_qs(parts.query).get("database", ["apportion"])[0]
        self._arguments = _embedded(parts, memory_bytes) if self.embedded else _served(parts, answer_seconds)
        if self.embedded:
            Path(self.directory).mkdir(parents=True, exist_ok=True)

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
            raise StoreUnavailable(first_line(error)) from error


class Clients:
    """The clients of one store: at most `count` work at a time, further callers wait for `patience_seconds`.

    A client that saw any exception is closed and never used again: an embedded engine hands rows that a failed query
    had produced to the next query on the same handle (docs/decisions/0004-embedded-handles.md).
    """

    def __init__(self, connection: Connection, *, count: int, patience_seconds: float) -> None:
        self._connection = connection
        self._patience = patience_seconds
        self._keeper: Client | None = None
        self._lock = Lock()
        self._idle: queue.LifoQueue[Client | None] = queue.LifoQueue()
        for _ in range(count):
            self._idle.put(None)

    @contextlib.contextmanager
    def one(self) -> Iterator[Client]:
        """A client for one piece of work. Raises StoreBusy, DirectoryInUse or StoreUnavailable."""
        client = self._take()
        try:
            if client is None:
                self._keep_open()
                client = self._connection.open()
            yield client
        except BaseException:
            broken, client = client, None
            if broken is not None:
                broken.close()
            raise
        finally:
            self._idle.put(client)

    @contextlib.contextmanager
    def patient(self, before: str = "SELECT 1") -> Iterator[Client]:
        """A client for one piece of work that may take long; `before` runs outside of the database."""
        client = self._connection.open_outside()
        try:
            client.command(before)
            client.database = self._connection.database
            yield client
        finally:
            self._retire(client)

    def close(self) -> None:
        """Close every client; an embedded directory is free afterwards."""
        while not self._idle.empty():
            client = self._idle.get_nowait()
            if client is not None:
                client.close()
        with self._lock:
            if self._keeper is not None:
                self._keeper.close()
                self._keeper = None

    def _take(self) -> Client | None:
        try:
            return self._idle.get(timeout=self._patience)
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
