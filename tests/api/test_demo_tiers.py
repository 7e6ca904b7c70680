"""The demo's tiers: one loses money, a simulation mends it, and every margin can be worked out by hand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from api.demo import tiers
from api.demo.company import TENANTS
from api.demo.events import generate
from core.time import Granularity
from ingest.payloads import ENCODER
from tests.app import Api, running_api
from tests.engines import EmbeddedClickHouse, fresh_clickhouse_url

EVENTS = 12_000
END = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
UTC_ZONE = ZoneInfo("UTC")
CENT = Decimal("0.01")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def demo(embedded_clickhouse: EmbeddedClickHouse, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    directory: Path = tmp_path_factory.mktemp("demo")
    with fresh_clickhouse_url(embedded_clickhouse) as url, running_api(url, directory) as api:
        for _ in range(2):  # an interrupted load goes on
            tiers.agree(api.services, events=EVENTS, end=END)
        events = [ENCODER.encode(event) for event in generate(EVENTS, seed=7, end=END)]
        for at in range(0, EVENTS, 6_000):
            receipt = api.post_events(b"\n".join(events[at : at + 6_000])).json()
            assert receipt["rejected"] == 0, receipt["errors"][:1]
        yield api


def ask(api: Api, by: str) -> dict[str | None, Any]:
    query = f"""{{ profitability(timeRange: {{preset: LAST_MONTH}}, by: {by}) {{
      nodes {{ {by.lower()} economics {{ revenue {{ total source }} cost grossMargin }} }} }} }}"""
    return {node[by.lower()]: node["economics"] for node in api.data(query)["profitability"]["nodes"]}


def test_one_tier_loses_money_and_a_simulation_mends_it(demo: Api):
    margins = {tier: values["grossMargin"] for tier, values in ask(demo, "TIER").items()}
    assert {tier for tier, margin in margins.items() if margin is not None and Decimal(margin) < 0} == {"pro"}
    assert margins[None] is None
    definition = (
        f'{{periodFee: "{tiers.scaled(tiers.TIERS[1].terms, EVENTS).period_fee}", meters: [{{measure: TOTAL_TOKENS, '
        f'included: "{3_000_000 * EVENTS // 300_000}", bands: [{{price: "2.20", per: 1000000}}]}}]}}'
    )
    query = f"""{{ tierSimulation(timeRange: {{preset: LAST_MONTH}}, tier: "pro", definition: {definition}) {{
      current {{ grossMargin }} simulated {{ grossMargin }} payingLess }} }}"""
    found = demo.data(query)["tierSimulation"]
    assert found["current"]["grossMargin"] == margins["pro"]
    assert Decimal(found["simulated"]["grossMargin"]) > 0
    assert found["payingLess"] == 0


def test_margins_by_hand_to_the_cent(demo: Api):
    """From `costs` by tenant and the tiers' definition, without the dimension TIER and the product's arithmetic."""
    month = Granularity.MONTH.bucket(END, UTC_ZONE).start
    start = Granularity.MONTH.bucket(month - timedelta(days=1), UTC_ZONE).start
    upgrade = start + timedelta(days=14)
    totals: dict[str | None, Decimal] = {}
    for tenant in TENANTS:
        for tier, begin, end in _spans(tenant, start, upgrade, month):
            share = Decimal((end - begin).days) / (month - start).days
            margin = _revenue(tenant.tenant_id, tier, share, _used(demo, tenant.tenant_id, begin, end))
            totals[tier] = totals.get(tier, Decimal(0)) + margin
    found = ask(demo, "TIER")
    for tier in ("starter", "pro", "enterprise"):
        assert Decimal(found[tier]["grossMargin"]).quantize(CENT) == totals[tier].quantize(CENT), tier


def _spans(tenant: Any, start: datetime, upgrade: datetime, end: datetime) -> Iterator[tuple[str, datetime, datetime]]:
    tier = next(each.key for each in tiers.TIERS if each.plan == tenant.plan)
    if tenant.tenant_id == tiers.UPGRADED:
        yield tier, start, upgrade
        yield "enterprise", upgrade, end
    elif tenant.tenant_id != tiers.UNASSIGNED:
        yield tier, start, end


def _used(api: Api, tenant: str, start: datetime, end: datetime) -> dict[str, Decimal]:
    query = f"""{{ costs(timeRange: {{between: {{start: "{start.isoformat()}", end: "{end.isoformat()}"}}}},
      where: {{tenant: {{eq: "{tenant}"}}}}) {{ totals {{ effectiveCost operations totalTokens activeUsers }} }} }}"""
    return {name: Decimal(value or 0) for name, value in api.data(query)["costs"]["totals"].items()}


def _revenue(tenant: str, tier: str, share: Decimal, used: dict[str, Decimal]) -> Decimal:
    """What is left of revenue once the cost is paid."""
    size = Decimal(EVENTS) / 300_000
    match tier:
        case "starter":
            beyond = max(Decimal(0), used["operations"] - round(800 * size) * share)
            due = (4 * size).quantize(CENT) * share + beyond * Decimal("0.004")
        case "pro":
            due = (9 * size).quantize(CENT) * share
        case _:
            beyond = max(Decimal(0), used["totalTokens"] - round(20_000_000 * size) * share)
            first = min(beyond, round(50_000_000 * size) * share)
            overage = (first * Decimal("1.6") + (beyond - first) * Decimal("1.2")) / 1_000_000
            seats = max(Decimal(0), used["activeUsers"] - round(100 * size)) * share / 4
            gross = (60 * size).quantize(CENT) * share + overage + seats
            net = gross * (Decimal("0.9") if tenant == tiers.WITH_A_CONTRACT else 1)
            due = max(net, (80 * size).quantize(CENT) * share)
            if tenant == tiers.INVOICED:
                due = (tiers.INVOICE * size).quantize(CENT)
    return due - used["effectiveCost"]
