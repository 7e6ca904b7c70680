"""A store full of odd events, and a migrated database of either kind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from attribution.store import Store
from core.database import Database
from tests.attribution.conftest import open_store
from tests.attribution.factories import insert_in_batches, random_history
from tests.budgets.worlds import World
from tests.engines import EmbeddedClickHouse, fresh_clickhouse_url


@pytest.fixture(scope="module")
def populated(embedded_clickhouse: EmbeddedClickHouse) -> Iterator[Store]:
    """A store to read from only."""
    with fresh_clickhouse_url(embedded_clickhouse) as url, open_store(url) as store:
        insert_in_batches(store, random_history(seed=5, size=600))
        yield store


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def world(embedded_clickhouse: EmbeddedClickHouse, database: Database) -> Iterator[World]:
    with fresh_clickhouse_url(embedded_clickhouse) as url, open_store(url) as store:
        yield World(store, database)
