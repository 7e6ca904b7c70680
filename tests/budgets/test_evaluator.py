"""Several processes that watch one deployment, turn by turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from attribution.failures import StoreUnavailable
from attribution.query import EVERYTHING
from attribution.slices import SliceQuery
from budgets.definition import AmountFrom
from budgets.evaluator import Evaluator
from budgets.lease import Lease
from budgets.live import Live
from budgets.relay import Relay
from budgets.status import Snapshot
from tests.budgets.worlds import MONTHLY, World, spend


class Process:
    """One of them."""

    def __init__(self, world: World, ask: Callable[[SliceQuery], Any] | None = None) -> None:
        lease = Lease(world.database, "budgets", ttl_seconds=60)
        self.live, self.relay = Live(), Relay(world.database)
        round_ = world.another(lease, ask)
        self.evaluator = Evaluator(world.targets, round_, lease, self.live, self.relay, interval_seconds=5)

    def turn(self, *, called: bool = False) -> Snapshot:
        self.evaluator._turn(called=called)
        return self.live.snapshot


def test_who_cannot_evaluate_lets_others_try(world: World) -> None:
    def away(_: SliceQuery) -> Any:
        raise StoreUnavailable

    world.targets.create(replace(MONTHLY, where=EVERYTHING), by="ada")
    cut_off, able = Process(world, away), Process(world)
    with pytest.raises(StoreUnavailable):
        cut_off.turn()
    assert not able.turn().is_of_targets, "once may happen to anybody"
    with pytest.raises(StoreUnavailable):
        cut_off.turn()
    assert able.turn().is_of_targets
    assert cut_off.turn() == able.live.snapshot


def test_what_was_deleted_last_is_seen_by_all_and_withdrawn(world: World) -> None:
    definition = world.targets.create(replace(MONTHLY, where=EVERYTHING), by="ada")
    world.store.insert([spend(datetime.now(UTC), "20")])
    holder, follower = Process(world), Process(world)
    holder.turn()
    assert follower.turn().is_of_targets
    world.targets.delete(definition, by="ada")
    assert not holder.turn().is_of_targets
    assert not follower.turn().is_of_targets
    late = follower.relay.read(Snapshot(), [])
    assert late is not None
    assert late.evaluated_at == holder.live.snapshot.evaluated_at
    assert [breach.resolution for breach in world.breaches()] == ["withdrawn"]


def test_what_was_deleted_while_nobody_ran_is_withdrawn(world: World) -> None:
    definition = world.targets.create(replace(MONTHLY, where=EVERYTHING), by="ada")
    world.store.insert([spend(datetime.now(UTC), "20")])
    first = Process(world)
    first.turn()
    first.evaluator._lease.release()
    world.targets.delete(definition, by="ada")
    Process(world).turn()
    assert [breach.resolution for breach in world.breaches()] == ["withdrawn"]


def test_whoever_hears_of_something_new_calls_the_holder(world: World) -> None:
    holder, other = Process(world), Process(world)
    definition = world.targets.create(MONTHLY, by="ada")
    holder.turn()
    assert not holder.relay.was_called()
    other.turn()
    assert not holder.relay.was_called()
    other.turn(called=True)
    assert [holder.relay.was_called(), holder.relay.was_called()] == [True, False]
    world.targets.update(definition, replace(MONTHLY, amounts=(AmountFrom(Decimal(3)),)), by="ada")
    assert other.turn().is_of_targets, "until it is evaluated, it stands as it did"


def test_how_things_stand_is_known_even_if_it_cannot_be_recorded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.targets.create(replace(MONTHLY, where=EVERYTHING), by="ada")
    world.store.insert([spend(datetime.now(UTC), "20")])
    process, other = Process(world), Process(world)

    def write(*_: Any) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr("budgets.breaches.write", write)
    with pytest.raises(RuntimeError):
        process.turn()
    assert process.live.snapshot.is_of_targets
    assert other.turn() == process.live.snapshot
