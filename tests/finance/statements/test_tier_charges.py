"""Tier charges of statements are the revenue that profitability shows, and follow it after a month was closed."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from tenants.directory import Placement, Tenants
from tests.app import Api
from tests.finance.profit.conftest import company as sold
from tests.finance.profit.conftest import usage

REVENUE = """{ profitability(timeRange: {between: {start: "2026-10-01T00:00:00Z", end: "2026-11-01T00:00:00Z"}},
    by: TENANT) { nodes { tenant economics { revenue { total } cost } } } }"""
__all__ = ["sold"]


def close(api: Api, period: str) -> dict[str, Any]:
    """The month's statements by tenant."""
    answer = api.client.post("/v1/statements/close", json={"period": period}, headers={"x-api-key": api.key}).json()
    numbers = [each["statement"]["number"] for each in answer["closed"]]
    read = [api.client.get(f"/v1/statements/{n}", headers={"x-api-key": api.key}).json()["statement"] for n in numbers]
    return {statement["tenant"]: statement for statement in read}


def charges(statement: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    lines = [line for line in statement["lines"] if line["kind"] == "tier_charge"]
    return [(line["period"], line["tier"], line["charge"], line["amount"]) for line in lines]


def test_they_add_up_to_revenue_and_name_what_for(sold: Api) -> None:
    october = close(sold, "2026-10")
    for node in sold.data(REVENUE)["profitability"]["nodes"]:
        statement, economics = october[node["tenant"]], node["economics"]
        assert Decimal(statement["cost"]) == Decimal(economics["cost"])
        assert Decimal(statement["charges"]) == Decimal((economics["revenue"] or {"total": 0})["total"])
    assert charges(october["acme"]) == [
        ("2026-10", "pro", "discount", "-4.55"),
        ("2026-10", "pro", "included", "0"),
        ("2026-10", "pro", "overage", "14.5"),
        ("2026-10", "pro", "period_fee", "31"),
    ]
    assert charges(october["stray"]) == []


def test_actual_revenue_that_comes_after_closing_is_an_adjustment(sold: Api) -> None:
    close(sold, "2026-10")
    invoice = {"id": "inv_1", "tenant_id": "acme", "amount": "50", "period": "2026-10"}
    headers = {"x-api-key": sold.key}
    assert sold.client.post("/v1/revenue", json=[invoice], headers=headers).json()["accepted"] == 1
    asked = {"tenant": "acme", "period": "2026-11"}
    preview = sold.client.get("/v1/statements/preview", params=asked, headers=headers).json()["preview"]
    late = [charge for charge in charges(preview) if charge[0] == "2026-10"]
    assert late == [
        ("2026-10", "pro", "actual", "50"),
        ("2026-10", "pro", "discount", "4.55"),
        ("2026-10", "pro", "included", "0"),
        ("2026-10", "pro", "overage", "-14.5"),
        ("2026-10", "pro", "period_fee", "-31"),
    ]


def test_they_follow_a_tier_that_another_process_gave_just_now(sold: Api) -> None:
    placed = Placement("stray", "pro", datetime(2026, 10, 1, tzinfo=UTC))
    Tenants(sold.services.database).place(placed, by="another process")
    said = [charge for *_, charge, _ in charges(close(sold, "2026-10")["stray"])]
    assert said == ["discount", "included", "period_fee"]


def test_a_yearly_tier_charges_overage_in_the_month_that_goes_beyond_what_the_year_includes(sold: Api) -> None:
    late = usage("stray", "10T10:00", "1") | {"event_id": "in November", "start_time": "2026-11-10T10:00:00Z"}
    assert sold.post_events([late]).json()["accepted"] == 1
    yearly = """mutation { a: createTier(input: {key: "yearly", name: "Yearly"}) { errors { code } }
      b: setTierTerms(input: {tier: "yearly", effectiveFrom: "2026-01-01T00:00:00Z", terms: {period: YEAR,
        periodFee: "365", meters: [{measure: TOTAL_TOKENS, included: "1500", bands: [{price: "2"}]}]}}) {
        errors { code } }
      c: assignTier(input: {tenant: "stray", tier: "yearly", start: "2026-01-01T00:00:00Z"}) { errors { code } } }"""
    assert not any(payload["errors"] for payload in sold.data(yearly).values())
    assert charges(close(sold, "2026-10")["stray"]) == [
        ("2026-10", "yearly", "included", "0"),
        ("2026-10", "yearly", "period_fee", "31"),
    ]
    november = {"tenant": "stray", "period": "2026-11"}
    headers = {"x-api-key": sold.key}
    preview = sold.client.get("/v1/statements/preview", params=november, headers=headers).json()["preview"]
    assert ("2026-11", "yearly", "overage", "1000") in charges(preview)
