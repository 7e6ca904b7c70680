"""What GraphQL over HTTP adds to the bare SQL: both in one process, on one engine, taking turns."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from statistics import median, quantiles
from threading import Thread
from time import perf_counter, sleep
from typing import Any, Final, NamedTuple

import clickhouse_connect
import msgspec
import uvicorn
from clickhouse_connect.driver.client import Client

from api.app import make_app
from api.services import Services
from api.serving import open_services
from attribution.compiler import compile_query
from attribution.dimensions import Dimension
from attribution.measures import Measure
from attribution.query import CostQuery, Page
from bench.chunks import Chunk
from bench.client import Connection
from bench.figures import Figure
from core.settings import Settings
from core.time import Granularity, Window
from tenants.principal import Role
from tenants.scope import Scope

WARM_UPS: Final = 3
AIM_ADDED_MS: Final = {100: 10.0, 5_000: 60.0}
"""Rows asked for, and what may come on top of the bare SQL."""

MEASURES: Final = (
    Measure.EFFECTIVE_COST,
    Measure.OPERATIONS,
    Measure.TOTAL_TOKENS,
    Measure.COST_PER_OPERATION,
    Measure.ERROR_RATE,
)
QUERY: Final = """query ($start: DateTime!, $end: DateTime!, $first: Int!) {
  costs(
    timeRange: {between: {start: $start, end: $end}}
    groupBy: [{dimension: TENANT}, {dimension: FEATURE}]
    granularity: DAY
    first: $first
  ) {
    totalCount
    nodes { bucketStart tenant feature effectiveCost operations totalTokens costPerOperation errorRate }
  }
}"""


class Timing(NamedTuple):
    """Milliseconds of one answer over HTTP, and of the same statement alone just before or after."""

    graphql: float
    bare: float


def measure(chunks: Sequence[Chunk], directory: Path, runs: int) -> list[Figure]:
    """The figures of both page sizes, measured in a process of their own: an embedded engine has one directory."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(_measure, chunks, directory, runs).result()


def _measure(chunks: Sequence[Chunk], directory: Path, runs: int) -> list[Figure]:
    services = open_services(Settings(data_dir=directory, log_level="warning"))
    key = services.keys.create("bench", Role.VIEWER)
    with closing(clickhouse_connect.get_client(interface="chdb", path=str(directory / "events"))) as client:
        fill(client, chunks)
    with _served(services) as port, closing(Connection(port, key)) as connection:
        window = Window(datetime.now(UTC) - timedelta(days=91), datetime.now(UTC))
        asking = _Asking(services, connection, window)
        return [_figure(rows, asking.timings(rows, runs)) for rows in AIM_ADDED_MS]


def fill(client: Client, chunks: Sequence[Chunk]) -> None:
    """Insert everything, then wait until the engine has merged what it will merge by itself."""
    for chunk in chunks:
        client.insert_arrow("events", chunk.table(), database="apportion")
    for _ in range(60):
        if not client.command("SELECT count() FROM system.merges"):
            return
        sleep(0.5)


@contextmanager
def _served(services: Services) -> Iterator[int]:
    """The port of the application, served by a thread of this process, which also closes the services."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(make_app(services), log_level="warning", access_log=False))
    thread = Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


class _Asking:
    """The same question asked both ways, in pairs whose order changes from one to the next."""

    def __init__(self, services: Services, connection: Connection, window: Window) -> None:
        self._store = services.store
        self._connection = connection
        self._window = window

    def timings(self, rows: int, runs: int) -> list[Timing]:
        """As many timings as `runs`, of a page of `rows`, once both ways are warm and found to agree."""
        body, statement = _body(self._window, rows), compile_query(_query(self._window, rows))

        def graphql() -> bytes:
            return self._connection.post("/graphql", body, {"Accept-Encoding": "gzip"})

        def bare() -> Sequence[Sequence[Any]]:
            return self._store.columns(statement)

        assert _nodes(self._connection.post("/graphql", body)) == len(bare()[0]) - 1
        timings = []
        for run in range(WARM_UPS + runs):
            if run % 2:
                timings.append(Timing(_milliseconds(graphql), _milliseconds(bare)))
            else:
                alone = _milliseconds(bare)
                timings.append(Timing(_milliseconds(graphql), alone))
        return timings[WARM_UPS:]


def _body(window: Window, rows: int) -> bytes:
    variables = {"start": window.start, "end": window.end, "first": rows}
    return msgspec.json.encode({"query": QUERY, "variables": variables})


def _query(window: Window, rows: int) -> CostQuery:
    """What the field makes of `QUERY`."""
    return CostQuery(
        scope=Scope(),
        window=window,
        measures=MEASURES,
        group_by=(Dimension.TENANT, Dimension.FEATURE),
        granularity=Granularity.DAY,
        page=Page(rows),
    )


def _nodes(answer: bytes) -> int:
    document: Any = msgspec.json.decode(answer)
    return len(document["data"]["costs"]["nodes"])


def _milliseconds(work: Callable[[], object]) -> float:
    started = perf_counter()
    work()
    return (perf_counter() - started) * 1e3


def _figure(rows: int, timings: Sequence[Timing]) -> Figure:
    graphql, bare = ([*times] for times in zip(*timings, strict=True))
    added = median(each.graphql - each.bare for each in timings)
    at_best = min(graphql) - min(bare)
    return Figure(
        name=f"query, {rows:,} rows",
        unit="ms",
        measured=median(graphql),
        limit=median(bare),
        limit_is="the same statement, through the store",
        ratio=median(each.graphql / each.bare for each in timings),
        aim=f"adds <= {AIM_ADDED_MS[rows]:g} ms",
        met=added <= AIM_ADDED_MS[rows],
        note=f"adds {added:.1f}, at best {at_best:.1f}; p95 {_p95(graphql):.1f}, bare {_p95(bare):.1f}",
    )


def _p95(times: Sequence[float]) -> float:
    return quantiles(times, n=20, method="inclusive")[-1]
