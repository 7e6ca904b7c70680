"""Migrations: again, at once, halfway, beneath stored rows, and never over a changed file."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from decimal import Decimal

import pytest

from attribution.failures import StoreUnavailable
from attribution.measures import Measure
from attribution.migrations import ChangedMigration, migrations
from attribution.store import Store
from tests.attribution.conftest import open_store
from tests.attribution.factories import event
from tests.attribution.reports import costs_by
from tests.engines import connect, fresh_clickhouse_url
from tests.servers.clickhouse import ClickHouseServer

_MIGRATE = """
import sys
from attribution.store import Store
store = Store(sys.argv[1])
sys.stdin.readline()
store.migrate()
print(store.is_current())
"""
LEDGER = "SELECT number, name, sha256 FROM schema_migrations ORDER BY number"


def _ledger(url: str) -> list[tuple[object, ...]]:
    with closing(connect(url, create=False)) as client:
        return [tuple(row) for row in client.query(LEDGER).result_rows]


RECORDED = [(migration.number, migration.name, migration.sha256) for migration in migrations()]


def test_a_second_time_changes_nothing_beneath_stored_rows(store: Store, clickhouse_url: str) -> None:
    store.insert([event()])
    store.migrate()
    assert store.is_current()
    assert _ledger(clickhouse_url) == RECORDED
    assert store.report(costs_by()).totals == {Measure.EFFECTIVE_COST: Decimal("0.01")}


def test_an_interrupted_migration_runs_again_from_its_start(clickhouse_url: str) -> None:
    """Its first statement ran, and the process died before the file was recorded."""
    first = next(migrations())
    with closing(connect(clickhouse_url)) as client:
        client.command(first.statements[0])
    with open_store(clickhouse_url) as store:
        store.insert([event()])
        assert store.is_current()
    assert _ledger(clickhouse_url) == RECORDED


def test_a_file_that_was_changed_after_it_was_applied_is_refused(store: Store, clickhouse_url: str) -> None:
    with closing(connect(clickhouse_url, create=False)) as client:
        client.command("TRUNCATE TABLE schema_migrations")
        row = [RECORDED[0][0], RECORDED[0][1], "another checksum"]
        client.insert("schema_migrations", [row], column_names=["number", "name", "sha256"])
    with pytest.raises(ChangedMigration, match=r"0001_events\.sql was changed after it was applied"):
        store.migrate()


def test_a_database_without_a_ledger_is_not_current(clickhouse_url: str) -> None:
    with closing(Store(clickhouse_url)) as store, pytest.raises(StoreUnavailable):
        store.is_current()


def test_an_older_database_is_not_current(store: Store, clickhouse_url: str) -> None:
    with closing(connect(clickhouse_url, create=False)) as client:
        client.command("TRUNCATE TABLE schema_migrations")
    assert not store.is_current()


@pytest.mark.slow
def test_processes_that_migrate_at_once_all_succeed(clickhouse_server: ClickHouseServer) -> None:
    with fresh_clickhouse_url(clickhouse_server) as url:
        command = [sys.executable, "-c", _MIGRATE, url]
        pipe = subprocess.PIPE
        processes = [subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in range(3)]
        outcomes = [process.communicate("\n", timeout=60) for process in processes]
        assert outcomes == [("True\n", "")] * 3
        assert set(_ledger(url)) == set(RECORDED)
        with closing(Store(url)) as store:
            store.insert([event()])


@pytest.mark.parametrize("name", ["a-b", "a`b", "a\\b", "select", "ünïcode"])
def test_any_name_of_a_database_will_do(clickhouse_server: ClickHouseServer, name: str) -> None:
    with open_store(clickhouse_server.url(name)) as store:
        store.insert([event()])
        assert store.report(costs_by()).totals == {Measure.EFFECTIVE_COST: Decimal("0.01")}


def test_files_are_numbered_without_a_gap_and_every_statement_can_run_twice() -> None:
    files = list(migrations())
    assert [migration.number for migration in files] == list(range(1, len(files) + 1))
    for statement in (statement for migration in files for statement in migration.statements):
        assert "IF NOT EXISTS" in statement or "IF EXISTS" in statement
        assert "${" not in statement
