"""How fast gateways are answered: decisions over 2,000 enforced budgets, beside an endpoint that does nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from decimal import Decimal
from itertools import cycle, islice
from multiprocessing import get_context
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter, sleep
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from attribution.dimensions import Dimension
from attribution.query import All, Condition, Filter, Operator, Tag
from bench.figures import Figure
from bench.server import Server
from budgets.definition import AmountFrom, BudgetTerms, Mode
from budgets.periods import CalendarPeriod
from budgets.targets import Targets
from core.database import Database
from core.settings import Settings
from core.time import Granularity

BUDGETS: Final = 2_000
CONNECTIONS: Final = 16
RATE: Final = 2_000
SECONDS: Final = 10
AIM_P99_MS: Final = 5.0


class Run(NamedTuple):
    """What one run found: milliseconds from when each request was due to its answer, and answers a second."""

    latencies: Sequence[float]
    rate: float

    @property
    def p99(self) -> float:
        """Ninety-nine of a hundred are no slower."""
        return quantiles(self.latencies, n=100)[98]


def measure(directory: Path, *, budgets: int = BUDGETS, seconds: float = SECONDS) -> Iterator[Figure]:
    """The latency at a steady rate, and the most that one process answers."""
    _set_budgets(directory, budgets)
    with Server(directory) as server, ProcessPoolExecutor(1, mp_context=get_context("spawn")) as client:

        def run(requests: Sequence[bytes], rate: float | None) -> Run:
            return client.submit(_load, server.port, requests, rate, seconds).result()

        asking, nothing = [_post(server.key, n) for n in range(1_000)], [_get(server.key)]
        run(asking, RATE)
        sleep(2)
        steady, floor = run(asking, RATE), run(nothing, RATE)
        most, bare = run(asking, None), run(nothing, None)
    yield Figure(
        name="decisions, p99",
        unit="ms",
        measured=steady.p99,
        limit=floor.p99,
        limit_is="GET /healthz at the same rate",
        ratio=steady.p99 / floor.p99,
        aim=f"under {AIM_P99_MS:g} ms at {RATE:,}/s",
        met=steady.p99 < AIM_P99_MS,
        note=f"p50 {median(steady.latencies):.2f} ms at {steady.rate:,.0f}/s over {CONNECTIONS} connections",
    )
    yield Figure(
        name="decisions",
        unit="/s",
        measured=most.rate,
        limit=bare.rate,
        limit_is="GET /healthz",
        ratio=most.rate / bare.rate,
        aim=f"{RATE:,}/s in one process",
        met=most.rate >= RATE,
        note=f"p50 {median(most.latencies):.2f} ms, p99 {most.p99:.2f} ms; {budgets:,} budgets",
    )


def _set_budgets(directory: Path, count: int) -> None:
    """Budgets as deployments have them: of tenants, features, plans and teams, a few for each user or tenant."""
    database = Database(Settings(data_dir=directory).effective_database_url)
    database.migrate()
    targets = Targets(database)
    for number in range(count):
        targets.create(_budget(number), by="bench")
    database.close()


def _budget(number: int) -> BudgetTerms:
    wheres: tuple[Filter, ...] = (
        _equals(Dimension.TENANT, f"t{number % 1_000}"),
        All((_equals(Dimension.TENANT, f"t{number % 1_000}"), _equals(Dimension.FEATURE, f"f{number % 20}"))),
        _equals(Tag("plan"), f"plan{number % 400}"),
        All((_equals(Dimension.TEAM, f"team{number % 400}"), Condition(Dimension.MODEL, Operator.PREFIX, ("gpt",)))),
    )
    return BudgetTerms(
        name=f"budget {number}",
        where=wheres[number % 4],
        each=Dimension.USER if number % 100 == 0 else None,
        period=CalendarPeriod(Granularity.MONTH, ZoneInfo("UTC")),
        amounts=(AmountFrom(Decimal(10**9)),),
        mode=Mode.ENFORCE,
    )


def _equals(attribute: Dimension | Tag, value: str) -> Condition:
    return Condition(attribute, Operator.ANY_OF, (value,))


def _post(key: str, number: int) -> bytes:
    body = msgspec.json.encode(
        {
            "tenant_id": f"t{number % 1_000}",
            "feature": f"f{number % 20}",
            "team": f"team{number % 400}",
            "user_id": f"u{number}",
            "request_model": "gpt-4o",
            "tags": {"plan": f"plan{number % 400}"},
            "estimated_cost": "0.0021",
            "ttl_seconds": 10,
        }
    )
    return _request("POST", "/v1/decisions", key, body)


def _get(key: str) -> bytes:
    return _request("GET", "/healthz", key, b"")


def _request(method: str, path: str, key: str, body: bytes) -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nhost: b\r\nauthorization: Bearer {key}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _load(port: int, requests: Sequence[bytes], rate: float | None, seconds: float) -> Run:
    return asyncio.run(_connections(port, requests, rate, seconds))


async def _connections(port: int, requests: Sequence[bytes], rate: float | None, seconds: float) -> Run:
    began = perf_counter()
    found: list[list[float]] = await asyncio.gather(
        *(
            _connection(port, islice(cycle(requests), number, None, CONNECTIONS), began, number, rate, seconds)
            for number in range(CONNECTIONS)
        )
    )
    latencies = [each for one in found for each in one]
    return Run(latencies, len(latencies) / (perf_counter() - began))


async def _connection(
    port: int, requests: Iterator[bytes], began: float, number: int, rate: float | None, seconds: float
) -> list[float]:
    """The latencies of one connection, which has one request under way at a time."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    latencies = []
    pause = CONNECTIONS / rate if rate else 0.0
    due = began + pause * number / CONNECTIONS
    while (now := perf_counter()) < began + seconds:
        if rate and due > now:
            await asyncio.sleep(due - now)
        started = due if rate else perf_counter()
        writer.write(next(requests))
        await _answer(reader)
        latencies.append((perf_counter() - started) * 1_000)
        due += pause
    writer.close()
    return latencies


async def _answer(reader: asyncio.StreamReader) -> None:
    """Read one answer to its end. Raises RuntimeError for any status but 200."""
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(head.decode())
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    await reader.readexactly(int(length.partition(b":")[2]))
