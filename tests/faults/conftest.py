"""How much to break, and what: a few rounds in the suite, more of them when the environment says so."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.engines import fresh_clickhouse_url
from tests.faults.product import Product
from tests.servers.clickhouse import ClickHouseServer

ROUNDS: Final = int(os.environ.get("FAULT_ROUNDS", "1"))
CONNECTIONS: Final = int(os.environ.get("FAULT_CONNECTIONS", "30"))
SECONDS: Final = float(os.environ.get("FAULT_SECONDS", "1"))


def report(figures: str) -> None:
    """Shown with `-s`: what a run of many rounds is for."""
    sys.stdout.write(f"\n{figures}\n")


@pytest.fixture(params=["chdb", "http"])
def product(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Product]:
    """A running product, on each form of the events store in turn."""
    if request.param == "chdb":
        with Product(tmp_path / "product") as running:
            yield running
        return
    server: ClickHouseServer = request.getfixturevalue("clickhouse_server")
    with fresh_clickhouse_url(server) as url, Product(tmp_path / "product", url) as running:
        yield running


@pytest.fixture
def clickhouse(tmp_path: Path) -> Iterator[ClickHouseServer]:
    """A ClickHouse server to be broken."""
    with ClickHouseServer(tmp_path / "clickhouse") as server:
        yield server
