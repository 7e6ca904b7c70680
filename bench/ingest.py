"""Events a second through the doors, and what the server holds in memory after many of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from time import perf_counter, process_time
from typing import Final, NamedTuple

from bench.chunks import Chunk
from bench.client import Body, send
from bench.figures import Figure
from bench.limit import Limit
from bench.process import cpu_seconds, memory_of, settle
from bench.server import Server
from bench.workloads import JSON_ARRAYS, Workload

ROUNDS: Final = 5
AIM_MEGABYTES: Final = 700


class Round(NamedTuple):
    """Events a second, the server's and the limit's, over the same events; and processor seconds for each event."""

    served: float
    limit: float
    server_cpu: float
    client_cpu: float


def rates(chunks: Sequence[Chunk], workload: Workload, server: Server, limit: Limit) -> Figure:
    """The figure of one workload. The server's turns alternate with the limit's, so that noise meets both alike."""
    return _rate([_round(server, limit, part, workload) for part in _parts(chunks)], workload)


def memory(chunks: Sequence[Chunk], events: int, server: Server, limit: Limit) -> Figure:
    """What both hold once they were given these chunks too, which makes it `events` altogether."""
    send(server.port, server.key, _bodies(chunks), JSON_ARRAYS)
    limit.seconds(chunks, JSON_ARRAYS.insert_rows, JSON_ARRAYS.decode)
    held, least = memory_of(server.pid), memory_of(limit.pid)
    return Figure(
        name="server memory",
        unit="MB",
        measured=held.resident,
        limit=least.resident,
        limit_is="the engine alone after the same rows",
        ratio=held.resident / least.resident,
        aim=f"< {AIM_MEGABYTES} MB",
        met=held.resident < AIM_MEGABYTES,
        note=f"after {events:,} events; peak {held.peak:,.0f} MB",
    )


def rate_events(workload: Workload) -> int:
    """How many events all rounds of a workload take."""
    return ROUNDS * workload.chunks_a_round * workload.chunk_events


def _parts(chunks: Sequence[Chunk]) -> list[Sequence[Chunk]]:
    width = -(-len(chunks) // ROUNDS)
    return [chunks[start : start + width] for start in range(0, len(chunks), width)]


def _bodies(chunks: Sequence[Chunk]) -> Iterator[Body]:
    for chunk in chunks:
        left = chunk.events
        for body in chunk.bodies():
            yield body, min(left, chunk.body_events)
            left -= chunk.body_events


def _round(server: Server, limit: Limit, chunks: Sequence[Chunk], workload: Workload) -> Round:
    events, bodies = sum(chunk.events for chunk in chunks), list(_bodies(chunks))
    least = limit.seconds(chunks, workload.insert_rows, workload.decode)
    settle(limit.pid)
    server_cpu, client_cpu, started = cpu_seconds(server.pid), process_time(), perf_counter()
    accepted = send(server.port, server.key, bodies, workload)
    served = perf_counter() - started
    server_cpu, client_cpu = cpu_seconds(server.pid) - server_cpu, process_time() - client_cpu
    assert accepted == events, f"{accepted} of {events} events were acknowledged"
    settle(server.pid)
    return Round(events / served, events / least, server_cpu / events, client_cpu / events)


def _rate(rounds: Sequence[Round], workload: Workload) -> Figure:
    served, limit, server_cpu, client_cpu = (median(values) for values in zip(*rounds, strict=True))
    slowest, fastest = min(each.served for each in rounds), max(each.served for each in rounds)
    share = client_cpu / (client_cpu + server_cpu) if server_cpu else 0
    spread = f"{len(rounds)} rounds, {slowest:,.0f} to {fastest:,.0f}"
    work = f"server CPU {server_cpu * 1e3:.3f} s per 1,000; the client takes {share:.0%} of all CPU"
    return Figure(
        name=workload.name,
        unit=workload.unit,
        measured=served,
        limit=limit,
        limit_is=f"decode, and insert {workload.insert_rows:,} at a time",
        ratio=median(each.served / each.limit for each in rounds),
        aim=f">= {workload.aim_per_second:,} {workload.unit}",
        met=served >= workload.aim_per_second,
        note=f"{workload.connections} connections post {workload.events} each; {spread}; {work}",
    )
