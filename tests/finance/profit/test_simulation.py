"""Another definition of a tier, tried on its own tenants, worked out by hand."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.app import Api
from tests.finance.profit.conftest import OCTOBER

SIMULATE = f"""query ($definition: TierTermsInput!) {{
  tierSimulation(timeRange: {OCTOBER}, tier: "pro", definition: $definition) {{
    nodes {{ tenant change current {{ revenue {{ total }} cost grossMargin }} simulated {{ revenue {{ total }} }} }}
    payingMore payingLess payingTheSame change
    current {{ revenue {{ total }} cost grossMargin }} simulated {{ revenue {{ total }} grossMargin }}
  }}
}}"""


def simulate(api: Api, **definition: Any) -> Any:
    return api.data(SIMULATE, definition=definition)["tierSimulation"]


def test_the_same_tenants_under_a_higher_fee_and_without_overage(company: Api):
    found = simulate(company, periodFee="62")
    # acme: 62 instead of 40.95; globex: 22 instead of 13.95, for 11 of 31 days
    assert [(node["tenant"], node["change"]) for node in found["nodes"]] == [("acme", "21.05"), ("globex", "8.05")]
    assert (found["payingMore"], found["payingLess"], found["payingTheSame"]) == (2, 0, 0)
    assert (found["change"], found["simulated"]["revenue"]["total"]) == ("29.1", "84")
    assert found["current"] == {"revenue": {"total": "54.9"}, "cost": "66", "grossMargin": "-11.1"}
    assert found["nodes"][1]["current"]["cost"] == "6"  # of the time in this tier


def test_a_simulation_changes_nothing_and_costs_plus_a_markup_never_lose(company: Api):
    before = company.data("{ tiers { key version versions { terms { periodFee } } } }")
    found = simulate(company, markupPercent="25")
    assert found["simulated"] == {"revenue": {"total": "82.5"}, "grossMargin": "16.5"}
    assert company.data("{ tiers { key version versions { terms { periodFee } } } }") == before


def test_another_period_is_prorated(company: Api):
    found = simulate(company, period="QUARTER", periodFee="92")
    assert {node["tenant"]: node["simulated"]["revenue"]["total"] for node in found["nodes"]} == {
        "acme": "31",
        "globex": "11",
    }


def test_overrides_stay_in_force(company: Api):
    company.data(
        """mutation { assignTier(input: {tenant: "acme", tier: "pro", start: "2026-01-01T00:00:00Z",
        overrides: {periodFee: "3.1"}}) { errors { message } } }"""
    )
    found = simulate(company, periodFee="62")
    assert {node["tenant"]: node["change"] for node in found["nodes"]}["acme"] == "-12.74"  # 3.1 less 15.84


def test_the_median_and_nine_in_ten(company: Api):
    query = f"""{{ tierSuggestion(timeRange: {OCTOBER}, tier: "pro", marginPercent: "25", measure: OPERATIONS) {{
      percentile periodFee overageRates {{ measure pricePerUnit pricePerMillion tenants }} }} }}"""
    median, most = company.data(query)["tierSuggestion"]
    # Gross needed, before the discount of 10 %: acme 60 / 0.75 / 0.9 = 88.889, globex 6 / 0.75 / 0.9 = 8.889.
    # Fee: acme 88.889 - 14.5 = 74.389; globex (8.889 - 4.5) * 31 / 11 = 12.369.
    assert (median["percentile"], most["percentile"]) == (50, 90)
    assert Decimal(median["periodFee"]).quantize(Decimal("0.001")) == Decimal("12.369")
    assert Decimal(most["periodFee"]).quantize(Decimal("0.001")) == Decimal("74.389")
    rates = {rate["measure"]: rate for rate in most["overageRates"]}
    # Tokens beyond: acme 1450, globex 450; acme needs 57.889 for them, globex nothing beyond its fee.
    assert Decimal(rates["TOTAL_TOKENS"]["pricePerUnit"]) == Decimal("0.03992337164751").quantize(Decimal("1e-12"))
    assert rates["TOTAL_TOKENS"]["tenants"] == 2
    assert {rate["measure"]: rate["pricePerUnit"] for rate in median["overageRates"]}["TOTAL_TOKENS"] == "0"
    assert Decimal(rates["OPERATIONS"]["pricePerUnit"]).quantize(Decimal("0.001")) == Decimal("14.463")


def test_a_suggested_fee_leaves_the_wished_margin_at_that_tenant(company: Api):
    query = f"""{{ tierSuggestion(timeRange: {OCTOBER}, tier: "pro", marginPercent: "30") {{ periodFee }} }}"""
    fee = company.data(query)["tierSuggestion"][1]["periodFee"]
    meters = [{"measure": "TOTAL_TOKENS", "included": "1550", "bands": [{"price": "10", "per": 1000}]}]
    found = simulate(company, periodFee=fee, meters=meters, discountPercent="10")
    acme = next(node for node in found["nodes"] if node["tenant"] == "acme")
    revenue = Decimal(acme["simulated"]["revenue"]["total"])
    assert ((revenue - 60) / revenue).quantize(Decimal("0.000000001")) == Decimal("0.3")


@pytest.mark.parametrize(
    ("field", "code"),
    [
        ('tierSuggestion(timeRange: %s, tier: "pro", marginPercent: "100") { percentile }', "IMPOSSIBLE_MARGIN"),
        ('tierSuggestion(timeRange: %s, tier: "gold", marginPercent: "1") { percentile }', "NO_SUCH_TIER"),
        ('tierSimulation(timeRange: %s, tier: "gold", definition: {}) { change }', "NO_SUCH_TIER"),
        ('tierSimulation(timeRange: %s, tier: "pro", definition: {periodFee: "-1"}) { change }', "INVALID_TERMS"),
        (
            'tierSimulation(timeRange: %s, tier: "pro", definition: {meters: [{measure: ERROR_RATE}]}) { change }',
            "INVALID_TERMS",
        ),
        ('profitability(timeRange: %s, powerPercent: "101") { totalCount }', "BAD_PERCENT"),
    ],
)
def test_what_makes_no_sense_is_refused(company: Api, field: str, code: str):
    answer = company.graphql("{ " + field % OCTOBER + " }")
    assert answer["errors"][0]["extensions"]["code"] == code
