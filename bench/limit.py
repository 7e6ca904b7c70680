"""The physical limit of ingest: the same bytes decoded, the same rows inserted into the same table, nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Self

import clickhouse_connect
from clickhouse_connect.driver.client import Client

from attribution.store import Store
from bench.chunks import Chunk


class Limit:
    """An embedded engine in a process of its own, driven by one loop, with its process id, inside a `with` block."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._process = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
        self.pid = self._process.submit(os.getpid).result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.shutdown()

    def seconds(self, chunks: Sequence[Chunk], rows: int, decode: Callable[[bytes], object]) -> float:
        """How long it takes to decode the chunks' bodies and to insert their rows, `rows` at a time."""
        return self._process.submit(_store, self._directory, chunks, rows, decode).result()


def _store(directory: Path, chunks: Sequence[Chunk], rows: int, decode: Callable[[bytes], object]) -> float:
    client = _client(directory, f"rows_{rows}")
    return sum(_store_chunk(client, chunk, rows, decode) for chunk in chunks)


def _store_chunk(client: Client, chunk: Chunk, rows: int, decode: Callable[[bytes], object]) -> float:
    bodies, table = chunk.bodies(), chunk.table()
    started = perf_counter()
    for body in bodies:
        decode(body)
    for first in range(0, chunk.events, rows):
        client.insert_arrow("events", table.slice(first, rows))
    return perf_counter() - started


@cache
def _client(directory: Path, database: str) -> Client:
    """A client on a database of its own that holds the product's tables; open for as long as the process lives."""
    store = Store(f"chdb://{directory}?database={database}")
    store.migrate()
    client = clickhouse_connect.get_client(interface="chdb", path=str(directory), database=database)
    store.close()
    return client
