"""Every engine the suite relies on is real: it has a version, keeps rows, and dies when it should."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import sqlalchemy

from tests.engines import EmbeddedClickHouse, connect, database_of
from tests.servers.clickhouse import ClickHouseServer
from tests.servers.postgres import PostgresServer
from tests.servers.tether import ServerFailed, wait_until_gone

_TABLE = "CREATE TABLE {}.kept (n UInt32) ENGINE = MergeTree ORDER BY n"
_SUM = "SELECT count(), sum(n) FROM {}.kept"

_OWNER = """
import pathlib, sys, time
from tests.servers.{module} import {server}
with {server}(pathlib.Path(sys.argv[1])) as server:
    print(server.pid, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[ClickHouseServer]:
    with ClickHouseServer(tmp_path / "clickhouse") as server:
        server.execute("CREATE DATABASE mine ENGINE = Atomic")
        server.execute(_TABLE.format("mine"))
        yield server


def _insert_thousand(server: ClickHouseServer) -> None:
    server.execute("INSERT INTO mine.kept SELECT number FROM numbers(1000)")


def test_clickhouse_stores_what_is_inserted(clickhouse_url: str) -> None:
    with closing(connect(clickhouse_url)) as client:
        assert str(client.command("SELECT version()")).startswith("26.")
        client.command("CREATE TABLE t (n UInt32, s String) ENGINE = MergeTree ORDER BY n")
        client.insert("t", [[1, "one"], [2, "zwei"]], column_names=["n", "s"])
        assert client.query("SELECT n, s FROM t ORDER BY n").result_rows == [(1, "one"), (2, "zwei")]


def test_both_forms_are_the_same_clickhouse(
    embedded_clickhouse: EmbeddedClickHouse, clickhouse_server: ClickHouseServer
) -> None:
    sql = "SELECT version()"
    assert str(embedded_clickhouse.execute(sql)).strip() == clickhouse_server.execute(sql).strip()


def test_a_clickhouse_url_names_a_database_that_does_not_exist_yet(clickhouse_url: str) -> None:
    with closing(connect(clickhouse_url)) as client:
        assert client.command("SELECT currentDatabase()") == database_of(clickhouse_url)
        assert client.query("SHOW TABLES").result_rows == []


def test_restarted_server_keeps_rows_and_port(own_server: ClickHouseServer) -> None:
    _insert_thousand(own_server)
    url, pid = own_server.url("mine"), own_server.pid
    own_server.restart()
    assert own_server.url("mine") == url
    assert own_server.pid != pid
    assert own_server.execute(_SUM.format("mine")) == "1000\t499500\n"


def test_killed_server_keeps_acknowledged_rows(own_server: ClickHouseServer) -> None:
    _insert_thousand(own_server)
    pid = own_server.pid
    own_server.kill()
    assert wait_until_gone(pid)
    with pytest.raises(OSError, match="refused"):
        own_server.execute("SELECT 1")
    own_server.start()
    assert own_server.execute(_SUM.format("mine")) == "1000\t499500\n"


def test_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    overrides = tmp_path / "overrides"
    (overrides / "users.d").mkdir(parents=True)
    profile = "<clickhouse><profiles><default><no_such_setting>1</no_such_setting></default></profiles></clickhouse>"
    (overrides / "users.d" / "profile.xml").write_text(profile)
    server = ClickHouseServer(tmp_path / "clickhouse", overrides=overrides)
    with pytest.raises(ServerFailed, match="Unknown setting 'no_such_setting'"), server:
        pass


@contextmanager
def _owner(module: str, server: str, argument: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Another Python process that runs a server, and the server's process id."""
    script = _OWNER.format(module=module, server=server)
    owner = subprocess.Popen([sys.executable, "-c", script, str(argument)], stdout=subprocess.PIPE)
    with owner:
        assert owner.stdout is not None
        yield owner, int(owner.stdout.readline())


@pytest.mark.parametrize(("module", "server"), [("clickhouse", "ClickHouseServer"), ("postgres", "PostgresServer")])
def test_no_server_outlives_a_killed_test_process(module: str, server: str, tmp_path: Path) -> None:
    with _owner(module, server, tmp_path / "state") as (owner, pid):
        os.kill(pid, 0)
        owner.send_signal(signal.SIGKILL)
        assert wait_until_gone(pid)


def test_relational_engine_stores_what_is_inserted(database_url: str) -> None:
    engine = sqlalchemy.create_engine(database_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (n INTEGER PRIMARY KEY, s TEXT)")
        connection.exec_driver_sql("INSERT INTO t VALUES (1, 'one'), (2, 'zwei')")
    with engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT n, s FROM t ORDER BY n").all()
    engine.dispose()
    assert [tuple(row) for row in rows] == [(1, "one"), (2, "zwei")]


def test_postgres_is_a_real_one_and_databases_are_apart(postgres_server: PostgresServer) -> None:
    with postgres_server.database() as first, postgres_server.database() as second:
        engines = [sqlalchemy.create_engine(url) for url in (first, second)]
        with engines[0].begin() as connection:
            assert str(connection.exec_driver_sql("SELECT version()").scalar()).startswith("PostgreSQL 18")
            connection.exec_driver_sql("CREATE TABLE only_here (n INTEGER)")
        assert [sqlalchemy.inspect(engine).get_table_names() for engine in engines] == [["only_here"], []]
        for engine in engines:
            engine.dispose()
