"""However many bodies come at once, no more of them is in memory than may be."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path

import pytest

from ingest import admission
from ingest.admission import Admission, Overloaded
from tests.app import running_api
from tests.engines import EmbeddedClickHouse, fresh_clickhouse_url
from tests.ingest.events import wire_event


def test_bodies_wait_for_room_and_take_turns() -> None:
    async def run() -> None:
        bound, most, done = Admission(100), 0, 0

        async def work(count: int) -> None:
            nonlocal most, done
            async with bound.hold() as hold:
                await hold.wait_for(count)
                most = max(most, bound.held)
                await asyncio.sleep(0.001)
                done += 1

        await asyncio.gather(*(work(30 + number % 30) for number in range(50)))
        assert (most <= 100, done, bound.held) == (True, 50, 0)

    asyncio.run(run())


def test_a_body_larger_than_all_room_is_worked_on_alone() -> None:
    async def run() -> None:
        bound = Admission(10)
        async with bound.hold() as hold:
            await hold.wait_for(1_000)
            async with bound.hold() as other:
                with pytest.raises(Overloaded):
                    await other.resize(1)
        assert bound.held == 0

    asyncio.run(run())


def test_whoever_waits_too_long_is_told_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "PATIENCE_SECONDS", 0.02)

    async def run() -> None:
        bound = Admission(10)
        async with bound.hold() as hold:
            await hold.wait_for(8)
            async with bound.hold() as late:
                with pytest.raises(Overloaded):
                    await late.wait_for(3)
            await hold.resize(6)
            async with bound.hold() as small:
                await small.wait_for(3)
        assert bound.held == 0

    asyncio.run(run())


def test_a_body_that_unpacks_to_more_than_there_is_room_for_is_let_go() -> None:
    async def run() -> None:
        bound = Admission(100)
        async with bound.hold() as first, bound.hold() as second:
            await first.wait_for(5)
            await second.wait_for(5)
            await first.resize(90)
            with pytest.raises(Overloaded):
                await second.resize(90)
        assert bound.held == 0

    asyncio.run(run())


def test_small_room_serves_one_after_the_other(embedded_clickhouse: EmbeddedClickHouse, tmp_path: Path) -> None:
    """Every body is larger than the room; declared, compressed or chunked, each is worked on, and none is counted twice."""
    with (
        fresh_clickhouse_url(embedded_clickhouse) as url,
        running_api(url, tmp_path, ingest_body_bytes=1_000) as api,
    ):
        body = json.dumps([wire_event(f"e{i}") for i in range(20)]).encode()
        answers = [
            api.post_events(body),
            api.post_events(gzip.compress(body), **{"content-encoding": "gzip"}),
            api.client.post("/v1/events", content=iter([body[:50], body[50:]]), headers=api._headers(None)),
        ]
        assert [answer.json()["received"] for answer in answers] == [20, 20, 20]
