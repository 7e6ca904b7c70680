"""The engines as fixtures. Servers start when the first test asks for one, once per worker process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app import Api, running_api
from tests.engines import ClickHouse, EmbeddedClickHouse, fresh_clickhouse_url, fresh_sqlite_url
from tests.servers.clickhouse import ClickHouseServer
from tests.servers.postgres import PostgresServer

SERVERS = frozenset({"http", "clickhouse_server", "postgresql", "postgres_server"})
"""Fixtures, and values of parametrised ones, that stand for a server process."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what needs a server, so that `make check` can leave it out and stay quick."""
    for item in items:
        names: set[object] = set(getattr(item, "fixturenames", ()))
        if (case := getattr(item, "callspec", None)) is not None:
            names |= {value for value in case.params.values() if isinstance(value, str)}
        if names & SERVERS:
            item.add_marker("server")


@pytest.fixture(scope="session")
def embedded_clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedClickHouse]:
    """The one chDB directory of this process."""
    with EmbeddedClickHouse(tmp_path_factory.mktemp("chdb")) as engine:
        yield engine


@pytest.fixture(scope="session")
def clickhouse_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    """A ClickHouse server shared by the tests of this process: to stop or kill one, start your own."""
    with ClickHouseServer(tmp_path_factory.mktemp("clickhouse")) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A PostgreSQL server shared by the tests of this process."""
    with PostgresServer(tmp_path_factory.mktemp("postgres") / "keeper.log") as server:
        yield server


@pytest.fixture(params=["chdb", "http"])
def clickhouse_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The product's ClickHouse setting, in both forms, naming a database nobody has used or created."""
    fixture = {"chdb": "embedded_clickhouse", "http": "clickhouse_server"}[request.param]
    engine: ClickHouse = request.getfixturevalue(fixture)
    with fresh_clickhouse_url(engine) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The product's SQLAlchemy setting, in both forms, naming an empty database."""
    if request.param == "sqlite":
        yield fresh_sqlite_url(tmp_path)
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    with server.database() as url:
        yield url


@pytest.fixture
def api(clickhouse_url: str, tmp_path: Path) -> Iterator[Api]:
    """The whole application, on each form of the events store in turn."""
    with running_api(clickhouse_url, tmp_path) as running:
        yield running


@pytest.fixture
def embedded_api(embedded_clickhouse: EmbeddedClickHouse, tmp_path: Path) -> Iterator[Api]:
    """The whole application on the embedded store, for what does not depend on the engine."""
    with fresh_clickhouse_url(embedded_clickhouse) as url, running_api(url, tmp_path) as running:
        yield running
