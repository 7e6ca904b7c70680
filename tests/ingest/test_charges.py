"""Charges come through the door of events, and only as charges can be."""

from __future__ import annotations

from typing import Any

import pytest

from tenants.principal import Role
from tests.app import Api
from tests.ingest.events import ago, wire_event

COSTS = """{ costs(timeRange: {preset: LAST_30_DAYS}) { totals {
  effectiveCost reportedCost listCost operations unpricedOperations unlistedOperations requests } } }"""


def charge(event_id: str = "fee", **fields: Any) -> dict[str, Any]:
    """A platform fee that all tenants share; fields set to None are left out."""
    usual = {
        "event_id": event_id,
        "kind": "charge",
        "tenant_id": "unattributed",
        "start_time": ago(hours=2),
        "cost": {"amount": "120.50"},
        "charge_category": "purchase",
        "charge_description": "Platform fee",
    }
    return {name: value for name, value in (usual | fields).items() if value is not None}


def test_a_charge_costs_and_is_no_operation(embedded_api: Api) -> None:
    sent = [charge(), charge("back", cost={"amount": "-0.5"}, charge_category="credit")]
    assert embedded_api.post_events(sent).json()["accepted"] == 2
    totals = embedded_api.data(COSTS)["costs"]["totals"]
    assert totals == {
        "effectiveCost": "120",
        "reportedCost": "120",
        "listCost": None,
        "operations": 0,
        "unpricedOperations": 0,
        "unlistedOperations": 0,
        "requests": 0,
    }
    query = (
        "{ events(timeRange: {preset: LAST_7_DAYS}) { nodes { kind costSource chargeCategory chargeDescription } } }"
    )
    assert embedded_api.data(query)["events"]["nodes"][0] == {
        "kind": "charge",
        "costSource": "reported",
        "chargeCategory": "purchase",
        "chargeDescription": "Platform fee",
    }


@pytest.mark.parametrize(
    ("fields", "field", "rule"),
    [
        ({"cost": None, "quantity": 3, "unit": "seats"}, "cost", "required"),
        ({"charge_category": None}, "charge_category", "required"),
        ({"charge_category": "fee"}, "charge_category", "one_of"),
        ({"input_tokens": 0}, "input_tokens", "kind"),
        ({"duration_ms": 5}, "duration_ms", "kind"),
        ({"status": "error"}, "status", "kind"),
        ({"request_id": "r1"}, "request_id", "kind"),
        ({"cost": {"amount": "-1"}}, "cost.amount", "sign"),
        ({"charge_category": "credit"}, "cost.amount", "sign"),
        ({"kind": "usage", "input_tokens": 1}, "charge_category", "kind"),
    ],
)
def test_a_charge_that_is_none_is_refused(embedded_api: Api, fields: dict[str, Any], field: str, rule: str) -> None:
    receipt = embedded_api.post_events([charge(**fields)]).json()
    assert [(error["field"], error["rule"]) for error in receipt["errors"]] == [(field, rule)]


def test_a_quantity_of_a_charge_is_told_and_not_rated(embedded_api: Api) -> None:
    add = """mutation { addPrice(input: {provider: "staff", unit: "hours", price: "80",
      effectiveFrom: "2026-01-01T00:00:00Z"}) { errors { code } } }"""
    assert embedded_api.data(add)["addPrice"]["errors"] == []
    labor = charge("labor", provider_name="staff", quantity=3, unit="hours", cost={"amount": "200"})
    assert embedded_api.post_events([labor]).json()["accepted"] == 1
    preview = 'mutation { repriceEvents(input: {since: "2026-01-01T00:00:00Z"}) { finished report { changed } } }'
    assert embedded_api.data(preview)["repriceEvents"] == {"finished": True, "report": {"changed": 0}}
    assert embedded_api.data(COSTS)["costs"]["totals"]["effectiveCost"] == "200"


def test_a_scoped_key_sends_usage_and_no_charge(embedded_api: Api) -> None:
    key = embedded_api.make_key(Role.INGEST, tenant="acme")
    receipt = embedded_api.post_events([wire_event(), charge(tenant_id="acme")], key=key).json()
    assert receipt["accepted"] == 1
    assert [(error["field"], error["rule"]) for error in receipt["errors"]] == [("kind", "scope")]


def test_a_charge_is_corrected_and_deleted_like_any_event(embedded_api: Api) -> None:
    embedded_api.post_events([charge()])
    embedded_api.post_events([charge(version=1, cost={"amount": "99"})])
    assert embedded_api.data(COSTS)["costs"]["totals"]["effectiveCost"] == "99"
    headers = {"authorization": f"Bearer {embedded_api.key}"}
    path = "/v1/events/fee?tenant_id=unattributed"
    assert embedded_api.client.delete(path, headers=headers).status_code == 200
    assert embedded_api.data(COSTS)["costs"]["totals"]["effectiveCost"] == "0"
