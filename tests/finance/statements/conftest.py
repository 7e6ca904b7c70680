"""A company on real engines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from attribution.store import Store
from core.database import Database
from tests.engines import EmbeddedClickHouse, fresh_clickhouse_url, fresh_sqlite_url
from tests.finance.statements.company import Company


@pytest.fixture
def store(embedded_clickhouse: EmbeddedClickHouse) -> Iterator[Store]:
    """An empty embedded store."""
    with fresh_clickhouse_url(embedded_clickhouse) as url, closing(Store(url)) as opened:
        opened.migrate()
        yield opened


@pytest.fixture
def books_of(tmp_path: Path) -> Iterator[Database]:
    """A migrated SQLite database."""
    with closing(Database(fresh_sqlite_url(tmp_path))) as opened:
        opened.migrate()
        yield opened


@pytest.fixture
def company(store: Store, books_of: Database) -> Company:
    """Nothing has happened yet."""
    return Company(store, books_of)
