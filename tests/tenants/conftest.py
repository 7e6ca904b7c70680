"""A migrated database of either kind, and a key ring on it with a clock that only moves when told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from core.database import Database
from tenants.keys import KeyRing


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ring(database: Database, clock: Clock) -> KeyRing:
    return KeyRing(database, clock=clock)
