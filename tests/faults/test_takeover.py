"""The process that evaluates budgets killed at random moments: another takes over, no breach is missing, none is there
twice, and each is told."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from random import Random

import pytest
import sqlalchemy
from sqlalchemy.pool import NullPool

from tests.api.waiting import eventually
from tests.engines import fresh_clickhouse_url
from tests.faults.conftest import ROUNDS, report
from tests.faults.product import Product
from tests.notifications.receivers import HttpReceiver, http_receiver
from tests.servers.clickhouse import ClickHouseServer
from tests.servers.postgres import PostgresServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90 + 40 * ROUNDS)]

CHANNEL = """mutation { createChannel(input: {name: "hook", kind: WEBHOOK, address: "%s"}) { errors { message } } }"""
BUDGET = """mutation { createBudget(input: {name: "each", amount: "1", period: {every: YEAR}, each: {dimension: TENANT},
  thresholds: [{percent: "50"}, {percent: "100"}], channels: ["hook"]}) { errors { message } } }"""
BREACHES = "{ breaches(first: 1000) { nodes { member threshold openings state } } }"


class Two:
    """Two processes on one pair of stores. The one that evaluates is the one that was not started last."""

    def __init__(self, first: Product, second: Product, database_url: str) -> None:
        self.evaluating, self.waiting = first, second
        self._database = sqlalchemy.create_engine(database_url, poolclass=NullPool)
        self._numbers = count()
        self.tenants: list[str] = []

    def spend(self, product: Product, tenants: int) -> None:
        """Acknowledged events that take so many new tenants over both thresholds."""
        names = [f"tenant-{next(self._numbers):04}" for _ in range(tenants)]
        now = datetime.now(UTC).isoformat()
        events = [
            {"event_id": f"{n}-{i}", "start_time": now, "tenant_id": n, "feature": "f", "cost": {"amount": "0.6"}}
            for n in names
            for i in range(2)
        ]
        receipt = json.loads(product._request("/v1/events", json.dumps(events).encode()))
        assert receipt["accepted"] == len(events), receipt
        self.tenants += names

    def kill_the_evaluating(self) -> float:
        """How long it takes until the other one evaluates. The killed one is started again."""
        before, since = self._holder(), time.monotonic()
        self.evaluating.kill()
        self.spend(self.waiting, 3)
        eventually(lambda: self._holder() != before)
        took = time.monotonic() - since
        self.evaluating.start()
        self.evaluating, self.waiting = self.waiting, self.evaluating
        return took

    def _holder(self) -> str:
        with self._database.connect() as connection:
            return str(connection.execute(sqlalchemy.text("SELECT holder FROM leases")).scalar())


@contextmanager
def two(tmp_path: Path, clickhouse_url: str, database_url: str, hook: str) -> Iterator[Two]:
    """The first one evaluates a budget for each tenant before there is a second one."""
    settings = {"database_url": database_url, "budget_interval_seconds": 2}
    with Product(tmp_path / "first", clickhouse_url, **settings) as first:
        first.graphql(CHANNEL % hook)
        first.graphql(BUDGET)
        eventually(lambda: first.graphql("{ budgets { evaluatedAt } }")["budgets"]["evaluatedAt"])
        with Product(tmp_path / "second", clickhouse_url, **settings) as second:
            second.key = first.key
            yield Two(first, second, database_url)


def test_no_breach_is_missing_and_none_is_there_twice(
    clickhouse_server: ClickHouseServer, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    random = Random(ROUNDS)
    with (
        fresh_clickhouse_url(clickhouse_server) as clickhouse_url,
        postgres_server.database() as database_url,
        http_receiver() as receiver,
        two(tmp_path, clickhouse_url, database_url, receiver.url) as pair,
    ):
        took = []
        for _ in range(ROUNDS):
            pair.spend(random.choice([pair.evaluating, pair.waiting]), 5)
            time.sleep(random.uniform(0, 1.5))
            took.append(pair.kill_the_evaluating())
        expected = len(pair.tenants) * 2
        eventually(lambda: len(found(pair.evaluating)) >= expected)
        eventually(lambda: len(told(receiver)) >= expected)
        time.sleep(1)
        counts = Counter((each["member"], each["threshold"]) for each in found(pair.waiting))
        assert set(counts.values()) == {1}
        assert len(counts) == expected
        assert {each["openings"] for each in found(pair.waiting)} == {1}
        assert len(told(receiver)) == expected
        eventually(lambda: members(pair.waiting) == members(pair.evaluating) == len(pair.tenants))
        twice = sum(times - 1 for times in told(receiver).values())
        report(
            f"{ROUNDS} kills of the evaluating process: {expected} breaches, each once; taken over after "
            f"{sorted(took)[len(took) // 2]:.1f} s, at worst {max(took):.1f} s; told {expected}, {twice} of them again"
        )


def found(product: Product) -> list[dict[str, object]]:
    nodes: list[dict[str, object]] = product.graphql(BREACHES)["breaches"]["nodes"]
    return nodes


def members(product: Product) -> int:
    """How many members the process knows to stand somehow."""
    return int(product.graphql("{ budgets { nodes { memberCount } } }")["budgets"]["nodes"][0]["memberCount"])


def told(receiver: HttpReceiver) -> Counter[str]:
    """How often each breach was told."""
    bodies = [json.loads(request.body) for request in list(receiver.requests)]
    return Counter(json.dumps([key(body) for key in _KEYS]) for body in bodies)


_KEYS: tuple[Callable[[dict[str, object]], object], ...] = (
    lambda body: body["type"],
    lambda body: body["data"]["breachId"],  # type: ignore[index]
)
