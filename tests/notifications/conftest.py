"""Receivers, and an outbox with its channels on a migrated database of either kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.database import Database
from notifications.channels import Channels
from notifications.outbox import Outbox
from tests.engines import fresh_sqlite_url
from tests.notifications.receivers import HttpReceiver, MailReceiver, http_receiver, mail_receiver


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def hook() -> Iterator[HttpReceiver]:
    with http_receiver() as receiver:
        yield receiver


@pytest.fixture
def mailbox() -> Iterator[MailReceiver]:
    with mail_receiver() as receiver:
        yield receiver


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    yield from _migrated(database_url)


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Database]:
    yield from _migrated(fresh_sqlite_url(tmp_path))


def _migrated(url: str) -> Iterator[Database]:
    opened = Database(url)
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def channels(database: Database) -> Channels:
    return Channels(database)


@pytest.fixture
def outbox(database: Database) -> Outbox:
    return Outbox(database)
