"""A price book on a real database of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import SQLModel

from core.database import Database
from pricing.book import PriceBook
from tests.engines import fresh_sqlite_url


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(fresh_sqlite_url(tmp_path))
    SQLModel.metadata.create_all(database.engine)
    yield database
    database.close()


@pytest.fixture
def book(database: Database) -> PriceBook:
    return PriceBook(database.session)
