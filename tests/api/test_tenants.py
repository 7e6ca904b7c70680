"""Tenants and tiers over GraphQL: entered, seen, assigned and re-assigned; and actual revenue over HTTP."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.app import Api
from tests.finance.profit.conftest import OCTOBER, TIERS, usage
from tests.ingest.events import ago, wire_event

NOVEMBER = "2026-11-01T00:00:00Z"


@pytest.fixture
def tiers(embedded_api: Api) -> Api:
    """Two tiers; acme is pro, globex free and then pro."""
    embedded_api.data(TIERS, meters=[])
    return embedded_api


def change(api: Api, mutation: str, **fields: Any) -> Any:
    """The payload of the mutation, whose input are these fields as JSON-like GraphQL."""
    given = ", ".join(f"{name}: {json.dumps(value)}" for name, value in fields.items())
    return api.data(
        f"mutation {{ {mutation}(input: {{{given}}}) {{ errors {{ code field }} "
        "tenant { tenant externalId name status version tier metadata { key value } } } }"
    )[mutation]


def test_tenants_seen_in_events_are_there_without_being_entered(tiers: Api):
    tiers.post_events([wire_event("1", tenant_id="passer-by", start_time=ago(hours=1))])
    query = "{ tenants { totalCount nodes { tenant version tier operations lastSeen } } }"
    found = tiers.data(query)["tenants"]
    assert [(node["tenant"], node["version"], node["tier"], node["operations"]) for node in found["nodes"]] == [
        ("acme", 1, "pro", 0),
        ("globex", 2, "pro", 0),
        ("passer-by", 0, None, 1),
    ]
    unassigned = tiers.data('{ tenants(tier: "") { nodes { tenant } } }')["tenants"]["nodes"]
    assert unassigned == [{"tenant": "passer-by"}]


def test_tenants_are_found_and_paged(tiers: Api):
    change(tiers, "saveTenant", tenant="acme", name="Acme Rockets", externalId="cus_9")
    for search in ("rock", "CUS_9", "acm"):
        assert tiers.data(f'{{ tenants(search: "{search}") {{ nodes {{ tenant }} }} }}')["tenants"]["nodes"] == [
            {"tenant": "acme"}
        ]
    query = "query ($after: String) { tenants(first: 1, after: $after) { nodes { tenant } pageInfo { endCursor hasNextPage } } }"
    first = tiers.data(query, after=None)["tenants"]
    second = tiers.data(query, after=first["pageInfo"]["endCursor"])["tenants"]
    assert (first["nodes"], second["nodes"]) == ([{"tenant": "acme"}], [{"tenant": "globex"}])
    assert not second["pageInfo"]["hasNextPage"]


def test_a_tenant_is_saved_and_a_change_made_in_ignorance_is_refused(tiers: Api):
    query = (
        'mutation { saveTenant(input: {tenant: "acme", externalId: "cus_1", status: TRIAL, expectedVersion: 1, '
        'metadata: [{key: "segment", value: "smb"}]}) { tenant { version status metadata { key value } } errors { code } } }'
    )
    saved = tiers.data(query)["saveTenant"]
    assert saved["tenant"] == {"version": 2, "status": "TRIAL", "metadata": [{"key": "segment", "value": "smb"}]}
    assert tiers.data(query)["saveTenant"]["errors"] == [{"code": "VERSION_CONFLICT"}]
    taken = change(tiers, "saveTenant", tenant="globex", externalId="cus_1")
    assert taken == {"errors": [{"code": "EXTERNAL_ID_TAKEN", "field": "externalId"}], "tenant": None}


def test_re_assigning_history_changes_costs_by_tier_at_once(tiers: Api):
    tiers.post_events([usage("acme", "02T10:00", "3"), usage("acme", "20T10:00", "5")])
    query = f"{{ costs(timeRange: {OCTOBER}, groupBy: [{{dimension: TIER}}]) {{ nodes {{ tier effectiveCost }} }} }}"
    assert tiers.data(query)["costs"]["nodes"] == [{"tier": "pro", "effectiveCost": "8"}]
    change(tiers, "assignTier", tenant="acme", tier="free", start="2026-10-10T00:00:00Z", end=NOVEMBER)
    assert tiers.data(query)["costs"]["nodes"] == [
        {"tier": "free", "effectiveCost": "5"},
        {"tier": "pro", "effectiveCost": "3"},
    ]
    change(tiers, "assignTier", tenant="acme", start="2026-01-01T00:00:00Z")
    assert tiers.data(query)["costs"]["nodes"] == [{"tier": None, "effectiveCost": "8"}]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"tier": "gold", "start": NOVEMBER}, "NO_SUCH_TIER"),
        ({"tier": "pro", "start": NOVEMBER, "end": NOVEMBER}, "INVALID_TENANT"),
        ({"tier": "pro", "start": "2026-11-01T00:00:00.5Z"}, "INVALID_TIER"),
        ({"tier": "pro", "start": NOVEMBER, "expectedVersion": 0}, "VERSION_CONFLICT"),
    ],
)
def test_a_placement_that_cannot_be_is_told_as_data(tiers: Api, fields: dict[str, Any], code: str):
    assert change(tiers, "assignTier", tenant="acme", **fields)["errors"][0]["code"] == code


def test_terms_over_time_are_read_as_they_were_set(tiers: Api):
    query = """mutation { setTierTerms(input: {tier: "pro", effectiveFrom: "2026-12-01T00:00:00Z", note: "dearer",
      expectedVersion: 2, terms: {period: YEAR, periodFee: "1200", minimumFee: "1000", markupPercent: "0",
      seats: {price: "12", included: 3}, meters: [{measure: OPERATIONS, included: "10", mode: VOLUME,
      bands: [{upTo: "100", price: "0.1"}, {price: "80", per: 1000}]}]}}) { errors { code } tier { version versions {
        effectiveFrom note terms { period periodFee minimumFee markupPercent currency seats { price source included }
        meters { measure included mode bands { upTo price per } } } } } } }"""
    tier = tiers.data(query)["setTierTerms"]["tier"]
    assert (tier["version"], len(tier["versions"])) == (3, 2)
    assert tier["versions"][1] == {
        "effectiveFrom": "2026-12-01T00:00:00Z",
        "note": "dearer",
        "terms": {
            "period": "YEAR",
            "periodFee": "1200",
            "minimumFee": "1000",
            "markupPercent": "0",
            "currency": "USD",
            "seats": {"price": "12", "source": "ACTIVE_USERS", "included": 3},
            "meters": [
                {
                    "measure": "OPERATIONS",
                    "included": "10",
                    "mode": "VOLUME",
                    "bands": [{"upTo": "100", "price": "0.1", "per": 1}, {"upTo": None, "price": "80", "per": 1000}],
                }
            ],
        },
    }
    assert tiers.data(query)["setTierTerms"]["errors"] == [{"code": "VERSION_CONFLICT"}]


# Actual revenue


def post(api: Api, body: Any) -> Any:
    sent = {"content": body} if isinstance(body, bytes) else {"json": body}
    return api.client.post("/v1/revenue", headers={"authorization": f"Bearer {api.key}"}, **sent)


def test_revenue_is_entered_once_and_corrected_by_its_id(embedded_api: Api):
    item = {"id": "inv-1", "tenant_id": "acme", "period": "2026-10", "amount": "120.50", "source": "stripe"}
    assert post(embedded_api, item).json() == {
        "accepted": 1,
        "unchanged": 0,
        "corrected": 0,
        "rejected": 0,
        "errors": [],
    }
    lines = b"\n".join(
        json.dumps(each).encode() for each in (item, item | {"amount": "99"}, item | {"source": "other"})
    )
    answer = post(embedded_api, lines).json()
    assert (answer["accepted"], answer["unchanged"], answer["corrected"]) == (1, 1, 1)
    query = f"{{ actualRevenue(timeRange: {OCTOBER}) {{ totalCount nodes {{ id source tenant start end amount }} }} }}"
    found = embedded_api.data(query)["actualRevenue"]
    assert found["totalCount"] == 2
    expected = {"id": "inv-1", "source": "stripe", "tenant": "acme", "start": "2026-10-01", "end": "2026-11-01"}
    assert found["nodes"][0] == expected | {"amount": "99"}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"amount": "NaN"}, "amount"),
        ({"amount": "1e99"}, "amount"),
        ({"amount": "much"}, "amount"),
        ({"period": "2026-13"}, "period"),
        ({"period": "9999-12"}, "period"),
        ({"period": "1999-12"}, "period"),
        ({"period": None}, "period"),
        ({"period": None, "start": "0001-01-01", "end": "2026-01-01", "timezone": "Asia/Tokyo"}, "start"),
        ({"period": None, "start": "2200-12-31", "end": "9999-12-31"}, "end"),
        ({"note": "\0"}, "note"),
        ({"start": "2026-10-01", "end": "2026-10-02"}, "period"),
        ({"currency": "EUR"}, "currency"),
        ({"tenant_id": ""}, "tenant_id"),
        ({"timezone": "Mars/Olympus"}, None),
        ({"surprise": 1}, None),
    ],
)
def test_unusable_revenue_is_refused_item_by_item(embedded_api: Api, fields: dict[str, Any], field: str | None):
    good = {"id": "1", "tenant_id": "acme", "period": "2026-10", "amount": "1"}
    answer = post(embedded_api, [good, good | {"id": "2"} | fields])
    assert answer.status_code == 207
    receipt = answer.json()
    assert (receipt["accepted"], receipt["rejected"]) == (1, 1)
    assert (receipt["errors"][0]["index"], receipt["errors"][0]["field"]) == (1, field)


def test_every_change_is_in_the_audit_log(tiers: Api):
    post(tiers, {"id": "1", "tenant_id": "acme", "period": "2026-10", "amount": "1"})
    actions = {node["action"] for node in tiers.data("{ auditLog { nodes { action } } }")["auditLog"]["nodes"]}
    assert {"CREATE_TIER", "SET_TERMS", "ASSIGN_TIER", "IMPORT_REVENUE"} <= actions
