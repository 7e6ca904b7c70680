"""Listeners hear of every breach that opens, once, whichever process recorded it, and never hold each other up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import anyio
import pytest

from budgets import openings as module
from budgets.live import Live
from budgets.models import Breach
from budgets.openings import Openings, TooSlow
from budgets.status import Snapshot
from budgets.stream import SnapshotStream, TooManyListeners
from budgets.targets import Targets
from core.database import Database
from tests.budgets.boards import terms
from tests.engines import fresh_sqlite_url

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class World:
    """A database with one budget, what is recorded in it, and who listens."""

    def __init__(self, url: str) -> None:
        self.database = Database(url)
        self.database.migrate()
        self.targets = Targets(self.database)
        self.target = self.targets.create(terms(name="b"), by="test").id
        self.live = Live()
        self.openings = Openings(self.database, self.targets, self.live)

    def open(self, threshold: str, *, at: datetime | None = None) -> None:
        """Record a breach as another process would."""
        now = at or datetime.now(UTC)
        row = Breach(
            target_id=self.target,
            target_version=1,
            member="",
            period_start=now.replace(hour=0),
            period_end=now + timedelta(days=1),
            threshold=threshold,
            state="open",
            observed=Decimal(1),
            bound=Decimal(1),
            contributors="[]",
            opened_at=now,
        )
        with self.database.session() as session:
            session.add(row)
            session.commit()

    def reopen(self) -> None:
        with self.database.session() as session:
            row = session.get_one(Breach, 1)
            row.openings, row.opened_at = row.openings + 1, datetime.now(UTC)
            session.add(row)
            session.commit()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(fresh_sqlite_url(tmp_path))
    yield made
    made.database.close()


async def test_a_breach_that_another_process_recorded_is_heard_of(world: World) -> None:
    world.open("actual:50", at=datetime.now(UTC) - timedelta(seconds=1))
    async with aclosing(world.openings.listen()) as heard:
        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(_later, world.open, "actual:80")
                opening = await anext(heard)
            assert (opening.breach.threshold, opening.definition.terms.name) == ("actual:80", "b")
            world.reopen()
            assert (await anext(heard)).breach.openings == 2


async def test_an_evaluation_of_our_own_is_heard_of_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL_SECONDS", 60.0)

    def evaluate() -> None:
        world.open("actual:80")
        world.live.publish(Snapshot(datetime.now(UTC)))

    async with aclosing(world.openings.listen()) as heard:
        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(_later, evaluate)
                assert (await anext(heard)).breach.threshold == "actual:80"


async def test_who_is_too_slow_ends_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 2)
    async with aclosing(world.openings.listen()) as slow, aclosing(world.openings.listen()) as quick:
        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(_later, world.open, "actual:1")
                group.start_soon(anext, slow)
                group.start_soon(anext, quick)
            for percent in range(2, 6):
                world.open(f"actual:{percent}")
                world.live.publish(Snapshot(datetime.now(UTC)))
                assert (await anext(quick)).breach.threshold == f"actual:{percent}"
            with pytest.raises(TooSlow):
                await anext(slow)


async def test_more_than_may_wait_can_open_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 10)
    monkeypatch.setattr(module, "POLL_SECONDS", 0.5)
    async with aclosing(world.openings.listen()) as heard:
        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                group.start_soon(_later, world.open, "actual:1")
                await anext(heard)
            for percent in range(2, 40):
                world.open(f"actual:{percent}")
            world.live.publish(Snapshot(datetime.now(UTC)))
            assert [(await anext(heard)).breach.threshold for _ in range(38)] == [f"actual:{n}" for n in range(2, 40)]


async def test_no_error_ends_it_and_what_it_hid_is_told_later(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    real, failures = world.targets.ever, iter([RuntimeError("odd"), KeyError("odder")])

    def ever() -> object:
        for failure in failures:
            raise failure
        return real()

    monkeypatch.setattr(world.targets, "ever", ever)
    monkeypatch.setattr(module, "POLL_SECONDS", 0.02)
    async with aclosing(world.openings.listen()) as heard:
        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(_later, world.open, "actual:80")
                assert (await anext(heard)).breach.threshold == "actual:80"


async def test_there_is_room_for_so_many_listeners(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("budgets.stream.MAX_LISTENERS", 1)
    stream = SnapshotStream(world.live)
    async with aclosing(stream.listen()) as first:
        await anext(first)
        with pytest.raises(TooManyListeners):
            await anext(stream.listen())


async def test_the_end_is_told(world: World) -> None:
    async with aclosing(world.openings.listen()) as heard, anyio.create_task_group() as group:
        group.start_soon(_later, world.openings.close)
        assert [opening async for opening in heard] == []


async def _later(work: object, *arguments: object) -> None:
    await anyio.sleep(0.3)
    work(*arguments)
