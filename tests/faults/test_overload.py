"""More than the product can take: it says so with 503, stays within its memory, and loses nothing it acknowledged."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.faults.conftest import CONNECTIONS, SECONDS, report
from tests.faults.product import Product
from tests.faults.senders import Load

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120 + 6 * SECONDS)]


def test_many_connections(tmp_path: Path) -> None:
    with Product(tmp_path, ingest_queue_events=2_000) as product:
        with Load(product, CONNECTIONS, batch=200) as load:
            time.sleep(SECONDS)
        load.verify()
        report(f"{load.told()}, peak {product.peak_megabytes:.0f} MB")
        assert set(load.statuses) <= {200, 503}
        assert load.statuses[200] > 0
        assert product.peak_megabytes < 1_500


def test_many_large_bodies(tmp_path: Path) -> None:
    """Bodies of megabytes over every connection at once, where 20 MB may be held."""
    with Product(tmp_path, ingest_body_bytes=20_000_000) as product:
        with Load(product, CONNECTIONS // 2, batch=400, padding=40) as load:
            time.sleep(SECONDS)
        load.verify()
        report(f"{load.told()}, peak {product.peak_megabytes:.0f} MB")
        assert load.statuses[200] > 0
        assert product.peak_megabytes < 1_500
