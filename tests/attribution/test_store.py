"""The store on both engines: failures stay apart from answers, errors have types, and what is stored is what was sent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError

from attribution.event import COLUMNS, ColumnType, EventRow
from attribution.failures import InsertRefused, QueryTooLarge, QueryTooSlow, StoreBusy, StoreUnavailable
from attribution.measures import Measure
from attribution.operations import OperationQuery
from attribution.statement import Statement
from attribution.store import Store
from core.errors import in_full
from tenants.scope import Scope
from tests.attribution.conftest import open_store
from tests.attribution.factories import ALL_TIME, BLANK, event, random_rows
from tests.attribution.reports import costs_by
from tests.engines import connect
from tests.servers.clickhouse import ClickHouseServer
from tests.servers.proxy import Fault, FaultyProxy

EXPLODES = "SELECT number, throwIf(number = 70000) FROM numbers(100000) SETTINGS max_block_size = 1000"
CRAWLS = "SELECT number, sleepEachRow(0.01) FROM numbers(100000) SETTINGS max_block_size = 5"
SWELLS = "SELECT groupArray(number) FROM numbers(100000000)"


def _rows(store: Store, sql: str) -> list[tuple[Any, ...]]:
    return list(zip(*store.columns(Statement(sql, {})), strict=True))


# Failing queries


def test_a_query_that_takes_too_long_says_so(clickhouse_url: str) -> None:
    with closing(Store(clickhouse_url, timeout_seconds=0.5)) as store:
        store.migrate()
        with pytest.raises(QueryTooSlow, match=r"longer than 0\.5 s"):
            store.columns(Statement(CRAWLS, {}))


def test_a_query_that_needs_too_much_memory_says_so(clickhouse_url: str) -> None:
    with closing(Store(clickhouse_url, query_memory_bytes=50_000_000)) as store:
        store.migrate()
        with pytest.raises(QueryTooLarge):
            store.columns(Statement(SWELLS, {}))


@pytest.mark.slow
def test_rows_of_a_failed_query_never_reach_another(clickhouse_url: str) -> None:
    """The embedded engine's trap: a handle keeps the rows of a query that failed midway for whoever comes next."""
    random = Random(3)
    failures: dict[str, type[Exception]] = {EXPLODES: ClickHouseError, SWELLS: QueryTooLarge, CRAWLS: QueryTooSlow}
    work = [random.choice([EXPLODES, EXPLODES, SWELLS, *["good"] * 4]) for _ in range(300)] + [CRAWLS] * 2
    random.shuffle(work)

    def run(number: int) -> bool:
        sql = work[number]
        if sql == "good":
            answer = _rows(store, f"SELECT {number} + number, toString({number}) FROM numbers(3)")
            return answer == [(number + i, str(number)) for i in range(3)]
        with pytest.raises(failures[sql]):
            store.columns(Statement(sql, {}))
        return True

    with (
        closing(Store(clickhouse_url, timeout_seconds=3, query_memory_bytes=20_000_000)) as store,
        ThreadPoolExecutor(5) as threads,
    ):
        store.migrate()
        assert all(threads.map(run, range(len(work))))


def test_a_store_whose_connections_are_all_taken_says_so(clickhouse_url: str) -> None:
    with closing(Store(clickhouse_url, concurrency=1, timeout_seconds=1)) as store, ThreadPoolExecutor(4) as threads:
        store.migrate()
        slow = [threads.submit(_rows, store, "SELECT sleep(2)") for _ in range(2)]
        busy = [threads.submit(store.ping) for _ in range(2)]
        assert {type(task.exception()) for task in slow} <= {QueryTooSlow, type(None)}
        assert StoreBusy in {type(task.exception()) for task in busy}


# A server that goes away


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[ClickHouseServer]:
    with ClickHouseServer(tmp_path / "clickhouse") as server:
        yield server


@pytest.mark.slow
def test_a_dead_server_is_unavailable_until_it_is_back(own_server: ClickHouseServer) -> None:
    with open_store(own_server.url("costs")) as store:
        store.insert([event()])
        own_server.kill()
        for attempt in (store.ping, lambda: store.insert([event()]), lambda: store.report(costs_by()), store.migrate):
            with pytest.raises(StoreUnavailable):
                attempt()
        own_server.start()
        assert store.report(costs_by()).totals == {Measure.EFFECTIVE_COST: Decimal("0.01")}


@pytest.mark.slow
def test_a_server_that_hangs_is_given_up_on(own_server: ClickHouseServer) -> None:
    with closing(Store(own_server.url("costs"), timeout_seconds=1)) as store:
        store.migrate()
        store.ping()
        os.kill(own_server.pid, signal.SIGSTOP)
        try:
            with pytest.raises(StoreUnavailable):
                store.ping()
        finally:
            os.kill(own_server.pid, signal.SIGCONT)
        store.ping()


def test_a_store_that_was_never_migrated_is_unavailable(clickhouse_url: str) -> None:
    with closing(Store(clickhouse_url)) as store, pytest.raises(StoreUnavailable):
        store.report(costs_by())


def test_rows_that_the_engine_does_not_take_may_be_sent_again(store: Store, clickhouse_url: str) -> None:
    with closing(connect(clickhouse_url, create=False)) as client:
        client.command("SYSTEM STOP MERGES events")
        client.command("ALTER TABLE events MODIFY SETTING parts_to_delay_insert = 1, parts_to_throw_insert = 1")
        store.insert([event()])
        with pytest.raises(InsertRefused, match=r"does not take events now") as refusal:
            store.insert([event()])
        assert "TOO_MANY_PARTS" in in_full(refusal.value)
        assert "TOO_MANY_PARTS" not in str(refusal.value)
        client.command("ALTER TABLE events RESET SETTING parts_to_delay_insert, parts_to_throw_insert")
    store.insert([event()])
    assert store.report(costs_by()).totals == {Measure.EFFECTIVE_COST: Decimal("0.02")}


@pytest.fixture
def proxy(clickhouse_server: ClickHouseServer) -> Iterator[FaultyProxy]:
    with FaultyProxy(clickhouse_server.port) as proxy:
        yield proxy


@pytest.fixture
def proxied(clickhouse_server: ClickHouseServer, proxy: FaultyProxy) -> Iterator[Store]:
    """A store that reaches its server through the proxy."""
    with open_store(f"http://127.0.0.1:{proxy.port}/?database=proxied") as store:
        yield store
    clickhouse_server.execute("DROP DATABASE proxied SYNC")


def _physical_rows(store: Store) -> int:
    count: int = _rows(store, "SELECT count() FROM events")[0][0]
    return count


@pytest.mark.parametrize("fault", [Fault.UNHEARD, Fault.UNANSWERED])
def test_an_insert_whose_connection_is_reset_is_stored_once(proxied: Store, proxy: FaultyProxy, fault: Fault) -> None:
    """It is sent again, and only the token tells the engine that it has seen it."""
    before = proxy.count("insert_deduplication_token")
    proxy.plan("insert_deduplication_token", fault)
    rows = random_rows(seed=5, size=50)
    proxied.insert(rows)
    assert proxy.count("insert_deduplication_token") == before + 2
    assert _physical_rows(proxied) == len(rows)


def test_the_same_rows_inserted_again_are_not_dropped(proxied: Store) -> None:
    """A caller's replay is settled by versions, not by the token: otherwise a token could drop what is new."""
    for _ in range(2):
        proxied.insert([event(event_id="same")])
    assert _physical_rows(proxied) == 2


@pytest.mark.parametrize("fault", [Fault.UNHEARD, Fault.UNANSWERED, Fault.CUT_SHORT])
def test_a_query_whose_connection_is_reset_fails_by_its_type_or_succeeds(
    proxied: Store, proxy: FaultyProxy, fault: Fault
) -> None:
    proxied.insert([event()])
    for times in (1, 5):
        proxy.plan("grouping_probe", *[fault] * times)
        try:
            answer = _rows(proxied, "SELECT count() AS grouping_probe, sum(effective_cost) FROM events")
        except StoreUnavailable:
            continue
        assert answer == [(1, Decimal("0.01"))]
    proxied.ping()


# Processes

_OPEN = """
import sys
from attribution.store import Store
from core.errors import ApportionError
store = Store(sys.argv[1])
try:
    store.migrate()
except ApportionError as error:
    print(error.code)
else:
    print("open")
    if len(sys.argv) > 2:
        store.close()
        import subprocess
        subprocess.run([sys.executable, "-c", sys.argv[2], sys.argv[1]], check=True)
"""


def _elsewhere(*arguments: str) -> str:
    """What another process prints that opens the store at the URL."""
    command = [sys.executable, "-c", _OPEN, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


@pytest.mark.slow
def test_an_embedded_directory_belongs_to_one_process(embedded_clickhouse: Any) -> None:
    assert _elsewhere(embedded_clickhouse.url("elsewhere")) == "DIRECTORY_IN_USE\n"


@pytest.mark.slow
def test_a_closed_store_frees_its_directory(tmp_path: Path) -> None:
    """A child opens it while the process that closed it still lives."""
    assert sorted(_elsewhere(f"chdb://{tmp_path}/data", _OPEN).split()) == ["open", "open"]


# Columns


def _stored(store: Store) -> list[dict[str, Any]]:
    query = OperationQuery(Scope(), ALL_TIME, descending=False, first=10_000)
    return [operation.values for operation in store.operations(query).operations]


_TYPES: dict[ColumnType, set[str]] = {
    ColumnType.TEXT: {"String", "LowCardinality(String)"},
    ColumnType.INSTANT: {"DateTime64(6, 'UTC')"},
    ColumnType.FLAG: {"Bool"},
    ColumnType.COUNT: {"UInt32"},
    ColumnType.ATTEMPT: {"UInt16"},
    ColumnType.VERSION: {"UInt64"},
    ColumnType.MILLISECONDS: {"Nullable(UInt32)"},
    ColumnType.QUANTITY: {"Decimal(18, 9)"},
    ColumnType.COST: {"Nullable(Decimal(18, 12))"},
    ColumnType.SAVINGS: {"Decimal(18, 12)"},
    ColumnType.TAGS: {"Map(LowCardinality(String), String)"},
}


def test_the_table_has_the_columns_of_a_row(store: Store) -> None:
    described = "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = 'events'"
    columns = dict(_rows(store, described))
    assert set(columns) == set(COLUMNS)
    assert {name: type_ for name, type_ in columns.items() if type_ not in _TYPES[COLUMNS[name]]} == {}


def test_a_column_that_was_not_sent_holds_what_would_have_been_sent(store: Store) -> None:
    """Alone, a blank row leaves its columns out; beside a full one they are sent."""
    blank = EventRow(**{**BLANK, **event(event_id="alone")._asdict(), **_texts_blank()})
    full = random_rows(seed=11, size=1)[0]
    store.insert([blank])
    store.insert([blank._replace(event_id="beside"), full])
    alone, beside = (row for row in _stored(store) if row["tenant_id"] == "")
    assert {**alone, "event_id": ""} == {**beside, "event_id": ""}
    assert alone["kind"] == ""


def _texts_blank() -> dict[str, Any]:
    instants = {"event_id", "version", "start_time", "ingested_at"}
    return {name: value for name, value in BLANK.items() if name not in instants}


EXTREMES = (999_999_999_999_999_999, -999_999_999_999_999_999, 1, -1, 0, None)


def test_money_survives_to_the_last_pico(store: Store) -> None:
    store.insert([event(event_id=str(i), **_all_costs(pico)) for i, pico in enumerate(EXTREMES)])
    exact = {str(i): None if pico is None else Decimal(pico).scaleb(-12) for i, pico in enumerate(EXTREMES)}
    for row in _stored(store):
        money = [row[name] for name in ("effective_cost", "reported_cost", "rated_cost", "list_cost")]
        assert money == [exact[row["event_id"]]] * 4
        assert row["cache_savings"] == (exact[row["event_id"]] or 0)
    assert store.report(costs_by()).totals[Measure.EFFECTIVE_COST] == Decimal(0)


def _all_costs(pico: int | None) -> dict[str, Any]:
    costs = dict.fromkeys(("effective_cost", "reported_cost", "rated_cost", "list_cost"), pico)
    return {**costs, "cache_savings": pico or 0}


def test_every_value_of_a_row_comes_back(store: Store) -> None:
    rows = random_rows(seed=2, size=200)
    store.insert(rows)
    sent = {row.event_id: row._asdict() for row in rows}
    scales = {ColumnType.COST: -12, ColumnType.SAVINGS: -12, ColumnType.QUANTITY: -9}
    stored = _stored(store)
    assert len(stored) == len(rows)
    for row in stored:
        for name, value in row.items():
            expected = sent[row["event_id"]][name]
            scale = scales.get(COLUMNS[name])
            assert value == (expected if scale is None or expected is None else Decimal(expected).scaleb(scale)), name


def test_nothing_to_insert_is_nothing_done(clickhouse_url: str) -> None:
    with closing(Store(clickhouse_url)) as store:
        store.insert([])
