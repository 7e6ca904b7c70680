"""Stores on both engines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from attribution.event import EventRow
from attribution.store import Store
from tests.attribution.factories import TIERS, insert_in_batches, random_history
from tests.engines import ClickHouse, fresh_clickhouse_url


@contextmanager
def open_store(url: str) -> Iterator[Store]:
    """A migrated store that knows some tiers, closed at the end."""
    with closing(Store(url)) as store:
        store.migrate()
        store.put_tier_history(TIERS, 1)
        yield store


@pytest.fixture
def store(clickhouse_url: str) -> Iterator[Store]:
    """An empty store."""
    with open_store(clickhouse_url) as store:
        yield store


@pytest.fixture(scope="module")
def history() -> list[EventRow]:
    """Rows as they were sent, corrections and all."""
    return random_history(seed=1, size=600)


@pytest.fixture(scope="module", params=["embedded_clickhouse", "clickhouse_server"])
def populated(request: pytest.FixtureRequest, history: list[EventRow]) -> Iterator[Store]:
    """A store with the history in it, to read from only."""
    engine: ClickHouse = request.getfixturevalue(request.param)
    with fresh_clickhouse_url(engine) as url, open_store(url) as store:
        insert_in_batches(store, history)
        yield store
