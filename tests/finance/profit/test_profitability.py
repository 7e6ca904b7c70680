"""Revenue, cost and margin of a company small enough to be worked out by hand."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from attribution.query import CostQuery
from tests.app import Api
from tests.finance.profit.conftest import OCTOBER

ECONOMICS = """{
  revenue { total source periodFee overage discount actual }
  cost costs { category cost } grossMargin grossMarginPercent activeUsers costPerActiveUser unpricedOperations
}"""


def ask(api: Api, arguments: str, nodes: str = f"tenant tier feature userSegment economics {ECONOMICS}") -> Any:
    query = f"""{{ profitability(timeRange: {OCTOBER}, {arguments}) {{
      nodes {{ {nodes} }} totalCount totals {ECONOMICS} unallocatedRevenue {{ total }}
      tenantsBelow {{ tenants known unknown share }} }} }}"""
    return api.data(query)["profitability"]


def by_name(found: Any, key: str) -> dict[str | None, Any]:
    return {node[key]: node["economics"] for node in found["nodes"]}


# Acme: a whole month of pro: 31 + (3000 - 1550) * 10 / 1000 = 45.5, less 10 % = 40.95; cost 60.
# Globex: 11 of 31 days of pro: 11 + (1000 - 550) * 10 / 1000 = 15.5, less 10 % = 13.95; cost 10.


def test_by_tenant(company: Api):
    found = ask(company, "by: TENANT")
    rows = by_name(found, "tenant")
    assert [node["tenant"] for node in found["nodes"]] == ["acme", "globex", "stray"]  # the smallest margin first
    acme = rows["acme"]
    assert acme["revenue"] == {
        "total": "40.95",
        "source": "MODELLED",
        "periodFee": "31",
        "overage": "14.5",
        "discount": "-4.55",
        "actual": "0",
    }
    assert acme["cost"] == "60"
    assert acme["costs"] == [{"category": "llm", "cost": "50"}, {"category": "gpu", "cost": "10"}]
    assert (acme["grossMargin"], acme["grossMarginPercent"]) == ("-19.05", "-46.5201")
    assert (acme["activeUsers"], acme["costPerActiveUser"]) == (2, "30")
    assert (rows["globex"]["revenue"]["total"], rows["globex"]["grossMargin"]) == ("13.95", "3.95")
    stray = rows["stray"]
    assert (stray["revenue"], stray["cost"], stray["grossMargin"], stray["grossMarginPercent"]) == (
        None,
        "7",
        None,
        None,
    )
    assert (found["totals"]["revenue"]["total"], found["totals"]["cost"]) == ("54.9", "77")
    assert found["tenantsBelow"] == {"tenants": 1, "known": 2, "unknown": 1, "share": 0.5}


def test_by_tier(company: Api):
    found = ask(
        company, "by: TIER, marginFloorPercent: 20", f"tier tenantsBelow {{ tenants known }} economics {ECONOMICS}"
    )
    rows = by_name(found, "tier")
    assert (rows["pro"]["revenue"]["total"], rows["pro"]["cost"]) == ("54.9", "66")
    assert (rows["free"]["revenue"]["total"], rows["free"]["cost"]) == ("0", "4")
    assert rows["free"]["grossMarginPercent"] is None
    assert (rows[None]["revenue"], rows[None]["cost"]) == (None, "7")
    below = {node["tier"]: node["tenantsBelow"] for node in found["nodes"]}
    assert below["pro"] == {"tenants": 1, "known": 2}  # globex keeps 13.95 - 6
    assert below["free"] == {"tenants": 1, "known": 1}


def test_by_feature_the_revenue_of_each_tier_follows_its_cost(company: Api):
    rows = by_name(ask(company, "by: FEATURE"), "feature")
    # pro cost 66: chat 40, search 26
    assert Decimal(rows["chat"]["revenue"]["total"]).quantize(Decimal("0.000001")) == Decimal("33.272727")
    assert Decimal(rows["search"]["revenue"]["total"]).quantize(Decimal("0.000001")) == Decimal("21.627273")
    assert Decimal(rows["chat"]["revenue"]["total"]) + Decimal(rows["search"]["revenue"]["total"]) == Decimal("54.9")
    assert (rows["chat"]["cost"], rows["search"]["cost"]) == ("51", "26")


def test_by_feature_and_operations(company: Api):
    rows = by_name(ask(company, "by: FEATURE, allocateBy: OPERATIONS"), "feature")
    assert (rows["chat"]["revenue"]["total"], rows["search"]["revenue"]["total"]) == ("27.45", "27.45")


def test_revenue_of_a_tier_without_usage_is_unallocated(company: Api):
    found = ask(company, 'by: FEATURE, where: {tenants: ["idle"]}')
    assert found["unallocatedRevenue"] is None
    company.data(
        """mutation { assignTier(input: {tenant: "idle", tier: "pro", start: "2026-01-01T00:00:00Z"})
        { errors { message } } }"""
    )
    found = ask(company, 'by: FEATURE, where: {tenants: ["idle"]}')
    assert found["unallocatedRevenue"]["total"] == found["totals"]["revenue"]["total"] == "27.9"


def test_power_users_are_the_fewest_that_make_most_of_the_cost(company: Api):
    rows = by_name(ask(company, "by: USER_SEGMENT, powerPercent: 70"), "userSegment")
    # acme's ada 30 and bob 30 of 77: two reach 60 of the 53.9 that are wanted
    assert (rows["power"]["cost"], rows["power"]["activeUsers"]) == ("60", 2)
    assert (rows["regular"]["cost"], rows["regular"]["activeUsers"]) == ("17", 2)


def test_parts_of_the_month_add_up_in_fee_and_cost(company: Api):
    found = ask(company, "by: TENANT, granularity: WEEK", f"tenant bucketStart economics {ECONOMICS}")
    acme = [node["economics"] for node in found["nodes"] if node["tenant"] == "acme"]
    assert sum(Decimal(week["revenue"]["periodFee"]) for week in acme) == 31
    assert sum(Decimal(week["cost"]) for week in acme) == 60
    assert found["nodes"][0]["bucketStart"] == "2026-10-01T00:00:00Z"


def test_margins_filter_rows_and_pages_follow_one_another(company: Api):
    losing = ask(company, "by: TENANT, where: {marginBelowPercent: 0}")
    assert [node["tenant"] for node in losing["nodes"]] == ["acme"]
    assert losing["totals"]["cost"] == "77"
    query = f"""query ($after: String) {{ profitability(timeRange: {OCTOBER}, by: TENANT, first: 2, after: $after,
      orderBy: [{{by: MEMBER, direction: ASC}}]) {{ nodes {{ tenant }} pageInfo {{ endCursor hasNextPage }} }} }}"""
    page = company.data(query, after=None)["profitability"]
    rest = company.data(query, after=page["pageInfo"]["endCursor"])["profitability"]
    assert [node["tenant"] for node in page["nodes"] + rest["nodes"]] == ["acme", "globex", "stray"]
    assert (page["pageInfo"]["hasNextPage"], rest["pageInfo"]["hasNextPage"]) == (True, False)


def test_the_trend_compares_with_the_window_before(company: Api):
    window = '{between: {start: "2026-10-11T00:00:00Z", end: "2026-10-21T00:00:00Z"}}'
    query = f"""{{ profitability(timeRange: {window}, by: TENANT, where: {{tenants: ["acme"]}}) {{
      nodes {{ trend {{ before {{ cost }} revenueChange costChange grossMarginChange }} }} trend {{ costChange }} }} }}"""
    found = company.data(query)["profitability"]
    # the same part of the fee and the same usage; but the first 1,000 tokens were included, and of these 450 are not
    assert found["nodes"][0]["trend"] == {
        "before": {"cost": "30"},
        "revenueChange": "4.05",
        "costChange": "-10",
        "grossMarginChange": "14.05",
    }
    assert found["trend"]["costChange"] == "-10"


def test_buckets_shorter_than_a_day_are_refused(company: Api):
    query = f"{{ profitability(timeRange: {OCTOBER}, granularity: HOUR) {{ totalCount }} }}"
    assert company.graphql(query)["errors"][0]["extensions"]["code"] == "TOO_FINE"


def test_actual_revenue_wins_for_its_days_and_says_so(company: Api):
    items = [
        {"id": "inv-1", "tenant_id": "acme", "period": "2026-10", "amount": "100", "source": "billing"},
        {"id": "inv-2", "tenant_id": "globex", "start": "2026-10-26", "end": "2026-11-05", "amount": "50"},
        {"id": "inv-3", "tenant_id": "stray", "start": "2026-09-21", "end": "2026-10-11", "amount": "40"},
    ]
    headers = {"authorization": f"Bearer {company.key}"}
    assert company.client.post("/v1/revenue", json=items, headers=headers).json()["accepted"] == 3
    assert company.client.post("/v1/revenue", json=items, headers=headers).json()["unchanged"] == 3
    rows = by_name(ask(company, "by: TENANT"), "tenant")
    assert (rows["acme"]["revenue"]["total"], rows["acme"]["revenue"]["source"]) == ("100", "ACTUAL")
    # globex: 6 of the invoice's 10 days, and 5 of its 11 modelled days: 30 + 13.95 * 5 / 11
    globex = rows["globex"]["revenue"]
    assert (globex["actual"], globex["source"]) == ("30", "MIXED")
    assert Decimal(globex["total"]).quantize(Decimal("0.000001")) == Decimal("36.340909")
    assert (rows["stray"]["revenue"]["total"], rows["stray"]["revenue"]["source"]) == ("20", "ACTUAL")
    tiers = by_name(ask(company, "by: TIER"), "tier")
    assert tiers[None]["revenue"]["total"] == "20"
    assert Decimal(tiers["pro"]["revenue"]["total"]) == 100 + Decimal(globex["total"])


def test_statements_charge_exactly_what_revenue_counts(company: Api):
    items = [{"id": "inv-2", "tenant_id": "globex", "start": "2026-10-26", "end": "2026-11-05", "amount": "50"}]
    company.client.post("/v1/revenue", json=items, headers={"authorization": f"Bearer {company.key}"})
    rows = by_name(ask(company, "by: TENANT"), "tenant")
    for tenant in ("acme", "globex"):
        query = f"""{{ statementPreview(tenant: "{tenant}", period: "2026-10") {{
          lines {{ kind tier charge unit quantity amount }} }} }}"""
        lines = company.data(query)["statementPreview"]["lines"]
        charges = [line for line in lines if line["kind"] == "TIER_CHARGE"]
        assert sum(Decimal(line["amount"]) for line in charges) == Decimal(rows[tenant]["revenue"]["total"])
        assert {line["tier"] for line in charges} <= {"pro", "free"}
        assert {"period_fee", "overage", "included", "discount"} <= {line["charge"] for line in charges}


def test_charges_are_explained_line_by_line(company: Api):
    query = f"""{{ tierCharges(timeRange: {OCTOBER}, tenant: "globex") {{ total invoiceTotal stretches {{
      tier start days periodDays terms {{ periodFee }} uncoveredPart
      lines {{ kind measure quantity amount invoiceAmount }} }} }} }}"""
    found = company.data(query)["tierCharges"]
    free, pro = found["stretches"]
    assert (free["tier"], free["days"], free["lines"]) == ("free", 20, [])
    assert (pro["tier"], pro["start"], pro["days"], pro["periodDays"]) == ("pro", "2026-10-21T00:00:00Z", 11, 31)
    assert {line["kind"]: (line["quantity"], line["amount"]) for line in pro["lines"]} == {
        "PERIOD_FEE": (None, "11"),
        "INCLUDED": ("550", "0"),
        "OVERAGE": ("450", "4.5"),
        "DISCOUNT": (None, "-1.55"),
    }
    assert (found["total"], found["invoiceTotal"]) == ("13.95", "13.95")


def test_lines_to_the_cent_add_up_to_the_total(company: Api):
    window = '{between: {start: "2026-10-01T00:00:00Z", end: "2026-10-20T00:00:00Z"}}'
    query = f"""{{ tierCharges(timeRange: {window}, tenant: "acme") {{
      total invoiceTotal stretches {{ lines {{ amount invoiceAmount }} }} }} }}"""
    found = company.data(query)["tierCharges"]
    cents = [Decimal(line["invoiceAmount"]) for line in found["stretches"][0]["lines"]]
    assert sum(cents) == Decimal(found["invoiceTotal"]) == Decimal(found["total"]).quantize(Decimal("0.01"))


@pytest.mark.parametrize(("by", "most"), [("TENANT", 4), ("TIER", 4), ("FEATURE", 4), ("USER_SEGMENT", 3)])
def test_the_number_of_statements_does_not_grow_with_tenants(
    company: Api, monkeypatch: pytest.MonkeyPatch, by: str, most: int
):
    for number in range(5):
        company.data(
            f"""mutation {{ assignTier(input: {{tenant: "t{number}", tier: "pro", start: "2026-10-0{number + 1}T00:00:00Z"}})
            {{ errors {{ message }} }} }}"""
        )
    asked: list[CostQuery] = []
    answer = company.services.store.report
    monkeypatch.setattr(company.services.store, "report", lambda query: asked.append(query) or answer(query))
    ask(company, f"by: {by}, granularity: WEEK")
    assert len(asked) <= most
