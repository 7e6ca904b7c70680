"""Events a second through the door, and what the server holds in memory after many of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Final, NamedTuple

from bench.chunks import BODY_EVENTS, CHUNK_EVENTS, Chunk
from bench.client import send
from bench.figures import Figure
from bench.limit import Limit
from bench.process import memory_of, settle
from bench.server import Server

ROUNDS: Final = 5
ROUND_CHUNKS: Final = 4
RATE_EVENTS: Final = ROUNDS * ROUND_CHUNKS * CHUNK_EVENTS

AIM_SHARE: Final = 0.5
AIM_PER_SECOND: Final = 6_000
AIM_MEGABYTES: Final = 700


class Round(NamedTuple):
    """Events a second over the same events: the server's, and the limit's at the clients' and at a large batch."""

    served: float
    small: float
    large: float


def measure(chunks: Sequence[Chunk], directory: Path, *, rate: bool, memory: bool) -> Iterator[Figure]:
    """The figures of one server that starts empty. Its turns alternate with the limit's, so noise meets both alike."""
    rounds = _rounds(chunks) if rate else []
    with Server(directory / "served") as server, Limit(directory / "limit") as limit:
        yield from _rates([_round(server, limit, part) for part in rounds])
        if memory:
            rest = chunks[sum(map(len, rounds)) :]
            send(server.port, server.key, (body for chunk in rest for body in chunk.bodies()))
            limit.seconds(rest, CHUNK_EVENTS)
            yield _memory(server, limit, sum(chunk.events for chunk in chunks))


def _rounds(chunks: Sequence[Chunk]) -> list[Sequence[Chunk]]:
    measured = chunks[: ROUNDS * ROUND_CHUNKS]
    width = -(-len(measured) // ROUNDS)
    return [measured[start : start + width] for start in range(0, len(measured), width)]


def _round(server: Server, limit: Limit, chunks: Sequence[Chunk]) -> Round:
    events = sum(chunk.events for chunk in chunks)
    bodies = [body for chunk in chunks for body in chunk.bodies()]
    small = limit.seconds(chunks, BODY_EVENTS)
    settle(limit.pid)
    started = perf_counter()
    accepted = send(server.port, server.key, bodies)
    served = perf_counter() - started
    assert accepted == events, f"{accepted} of {events} events were acknowledged"
    settle(server.pid)
    large = limit.seconds(chunks, CHUNK_EVENTS)
    settle(limit.pid)
    return Round(events / served, events / small, events / large)


def _rates(rounds: Sequence[Round]) -> Iterator[Figure]:
    if not rounds:
        return
    served, small, large = (median(rates) for rates in zip(*rounds, strict=True))
    share = median(each.served / each.small for each in rounds)
    slowest, fastest = min(each.served for each in rounds), max(each.served for each in rounds)
    yield Figure(
        name="ingest",
        unit="events/s",
        measured=served,
        limit=small,
        limit_is=f"decode and insert {BODY_EVENTS} at a time",
        ratio=share,
        aim=f"ratio >= {AIM_SHARE}",
        met=share >= AIM_SHARE,
        note=f"{len(rounds)} rounds, {slowest:,.0f} to {fastest:,.0f}",
    )
    yield Figure(
        name="ingest, coalesced",
        unit="events/s",
        measured=served,
        limit=large,
        limit_is=f"decode and insert {CHUNK_EVENTS:,} at a time",
        ratio=median(each.served / each.large for each in rounds),
        aim=f">= {AIM_PER_SECOND:,} events/s",
        met=served >= AIM_PER_SECOND,
    )


def _memory(server: Server, limit: Limit, events: int) -> Figure:
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
