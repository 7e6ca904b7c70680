"""ClickHouse killed, frozen, cut off in mid-insert or refusing: events are accepted all the while, and none is lost."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random
from urllib.error import URLError

import pytest

from tests.faults.conftest import ROUNDS, report
from tests.faults.product import Product
from tests.faults.senders import Load, wait_until
from tests.servers.clickhouse import ClickHouseServer
from tests.servers.proxy import Fault, FaultyProxy

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60 + 30 * ROUNDS)]

_INSERT = "insert_deduplication_token"
_SPOOL = "{ ingestStatus { operations spool { events bytes oldest quarantined } counters { spooled } } }"


def is_drained(product: Product) -> bool:
    with suppress(URLError):
        return product.metric("apportion_spool_events") == 0
    return False


def assert_balanced(product: Product) -> None:
    for name in ("ingest_unaccounted", "ingest_mismatches_total", "spool_unaccounted", "spool_damaged_total"):
        assert product.metric(f"apportion_{name}") == 0


def test_clickhouse_killed_and_started_again(clickhouse: ClickHouseServer, tmp_path: Path) -> None:
    random = Random(ROUNDS)
    with Product(tmp_path / "product", clickhouse.url("events")) as product:
        with Load(product) as load:
            for _ in range(max(1, ROUNDS // 2)):
                load.work_for(random.uniform(0, 1))
                clickhouse.kill()
                load.work_for(random.uniform(0.2, 1))
                assert product.get("/readyz") == (
                    200,
                    {"ready": True, "checks": {"database": "ok", "events": "spooling"}},
                )
                clickhouse.start()
                wait_until(lambda: is_drained(product))
        wait_until(lambda: is_drained(product))
        load.verify()
        report(load.told())
        assert set(load.statuses) == {200}
        assert load.outcomes["spooled"] > 0
        assert_balanced(product)
        assert product.get("/readyz")[1]["checks"]["events"] == "ok"


def test_started_while_clickhouse_is_away(clickhouse: ClickHouseServer, tmp_path: Path) -> None:
    clickhouse.kill()
    with Product(tmp_path / "product", clickhouse.url("events")) as product:
        assert product.get("/readyz") == (200, {"ready": True, "checks": {"database": "ok", "events": "spooling"}})
        with Load(product) as load:
            load.work_for(0.5)
            clickhouse.start()
            wait_until(lambda: product.get("/readyz")[1]["checks"]["events"] == "ok")
        wait_until(lambda: is_drained(product))
        load.verify()
        report(load.told())
        assert set(load.statuses) == {200}
        assert load.outcomes["spooled"] > 0
        assert_balanced(product)


def test_both_killed(clickhouse: ClickHouseServer, tmp_path: Path) -> None:
    """The product dies with rows in its spool, in the midst of filling or emptying it; the next one finds them."""
    random = Random(ROUNDS)
    with Product(tmp_path / "product", clickhouse.url("events")) as product:
        with Load(product) as load:
            for _ in range(max(1, ROUNDS // 2)):
                load.work_for(random.uniform(0, 0.5))
                clickhouse.kill()
                load.work_for(random.uniform(0, 0.5))
                with suppress(OSError):
                    status = product.graphql(_SPOOL)["ingestStatus"]
                    assert status["operations"] is None
                    assert status["spool"]["quarantined"] == 0
                product.kill()
                clickhouse.start()
                product.start()
                if random.random() < 0.5:
                    time.sleep(random.uniform(0, 1))
                    product.kill()
                    product.start()
        wait_until(lambda: is_drained(product))
        load.verify()
        report(load.told())


def test_frozen_in_mid_insert(clickhouse: ClickHouseServer, tmp_path: Path) -> None:
    """A server that stops answering costs the first requests some seconds, and none their events."""
    with Product(tmp_path / "product", clickhouse.url("events")) as product:
        with Load(product, pause=0.02) as load:
            time.sleep(0.5)
            os.kill(clickhouse.pid, signal.SIGSTOP)
            wait_until(lambda: product.metric("apportion_spool_events") > 0)
            os.kill(clickhouse.pid, signal.SIGCONT)
        wait_until(lambda: is_drained(product))
        load.verify()
        assert set(load.statuses) == {200}
        assert max(sender.slowest for sender in load.senders) < 9
        assert_balanced(product)


def test_connections_reset_in_mid_insert(clickhouse: ClickHouseServer, tmp_path: Path) -> None:
    """Before, during and after the server's work: repeating what may or may not have happened changes nothing."""
    random = Random(ROUNDS)
    with FaultyProxy(clickhouse.port) as proxy:
        url = clickhouse.url("events").replace(str(clickhouse.port), str(proxy.port))
        with Product(tmp_path / "product", url) as product:
            with Load(product) as load:
                for _ in range(ROUNDS):
                    faults = random.choices([*Fault], k=random.randint(2, 4))
                    expected = proxy.count(_INSERT) + len(faults)
                    proxy.plan(_INSERT, *faults)
                    wait_until(partial(lambda count: proxy.count(_INSERT) >= count, expected))
            wait_until(lambda: is_drained(product))
            load.verify()
            report(load.told())
            assert set(load.statuses) == {200}
            assert load.outcomes["spooled"] > 0
            assert_balanced(product)
