"""The demo's bills hold a discrepancy of about three percent, which reconciliation explains and the true-up closes."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from api.demo.events import generate
from api.demo.money import bring_money
from api.services import Services
from api.serving import open_services
from attribution.query import UTC as UTC_ZONE
from core.money import from_pico
from core.settings import Settings
from finance.month import Month
from finance.reconciliation.comparison import Cause
from ingest.door import EVENTS
from ingest.payloads import ENCODER
from tenants.scope import Scope
from tests.engines import EmbeddedClickHouse, fresh_clickhouse_url

END = datetime.now(UTC).replace(second=0, microsecond=0)
MONTH = Month((END.date().replace(day=1) - timedelta(days=1)).replace(day=1))


async def load(services: Services) -> None:
    events = [ENCODER.encode(event) for event in generate(6_000, seed=7, end=END)]
    receipt = await services.pipeline.ingest(events, door=EVENTS, scope=Scope())
    assert receipt.rejected == 0
    for _ in range(2):
        await bring_money(services, END)


@pytest.fixture
def services(embedded_clickhouse: EmbeddedClickHouse, tmp_path: Path) -> Any:
    with fresh_clickhouse_url(embedded_clickhouse) as url:
        services = open_services(Settings(clickhouse_url=url, data_dir=tmp_path, _env_file=None))
        asyncio.run(load(services))
        yield services
        services.release()


@pytest.mark.slow
def test_three_bills_differ_by_three_percent_and_are_trued_up_to_nothing(services: Services) -> None:
    causes = {"openai": Cause.MISSING_TRAFFIC, "anthropic": Cause.MISSING_TRAFFIC, "google": Cause.PRICE_DIFFERENCE}
    assert {bill.provider for bill in services.money.reconciler.bills()} == causes.keys()
    for provider, cause in causes.items():
        found = services.money.reconciler.reconcile(provider, MONTH.window(UTC_ZONE), tolerance_percent=Decimal("0.01"))
        assert found is not None
        total = found.comparison.total
        surplus = from_pico(total.causes[cause]) / from_pico(total.attributed)
        assert round(surplus, 3) == Decimal("0.030")
        assert total.cause is cause
        services.money.true_ups.run(provider, MONTH, by="test")
        after = services.money.reconciler.reconcile(provider, MONTH.window(UTC_ZONE), tolerance_percent=Decimal(1))
        assert after is not None
        assert after.comparison.total.difference == 0
        assert from_pico(after.comparison.total.billed) == sum(bill.cost for bill in after.bills)


@pytest.mark.slow
def test_last_months_fee_is_allocated_and_this_months_is_not(services: Services) -> None:
    assert services.money.allocator.preview(MONTH, UTC_ZONE).changes.any is False
    this = Month(END.date().replace(day=1))
    assert services.money.allocator.preview(this, UTC_ZONE).changes.any is True
