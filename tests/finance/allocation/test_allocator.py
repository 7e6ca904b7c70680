"""Shared charges shared out: who bears what, no total changes, and running again replaces."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from tenants.principal import Role
from tests.app import Api
from tests.finance.bills_of import cost_of, openai_costs, post_bill
from tests.ingest.events import wire_event
from tests.ingest.test_charges import charge

FIRST = (datetime.now(UTC) - timedelta(days=40)).date().replace(day=1)
MONTH = f"{FIRST:%Y-%m}"
NOON = f"{FIRST}T12:00:00Z"
RETIRED = f'name: "platform", effectiveFrom: "{NOON}", expectedVersion: 1'

_SET = """mutation($input: SetAllocationRuleInput!) { setAllocationRule(input: $input) {
  rule { name version } errors { code field } } }"""


def set_rule(api: Api, name: str = "platform", *, key: str | None = None, **fields: Any) -> Any:
    """The outcome of adding a rule that shares by usage among tenants, unless said otherwise."""
    usual = {
        "name": name,
        "effectiveFrom": f"{FIRST}T00:00:00Z",
        "members": {"dimension": "TENANT"},
        "method": "PROPORTIONAL",
        "measure": "EFFECTIVE_COST",
    }
    said = {field: value for field, value in (usual | fields).items() if value is not None}
    return api.data(_SET, key=key, input=said)["setAllocationRule"]


def run(api: Api, *, dry_run: bool = False, period: str = MONTH, key: str | None = None) -> Any:
    query = (
        f'mutation {{ runAllocation(period: "{period}", dryRun: {str(dry_run).lower()}) {{ errors {{ code }} report {{ '
        "charged allocated unallocated rowsWritten rowsRemoved rowsUnchanged shares { rule member amount share basis } "
        "unallocatedCharges { eventId amount reason } } } }"
    )
    return api.data(query, key=key)["runAllocation"]


def by_tenant(api: Api) -> dict[str, str]:
    query = """{ costs(timeRange: {preset: LAST_90_DAYS}, groupBy: [{dimension: TENANT}]) {
      nodes { tenant effectiveCost } } }"""
    return {row["tenant"]: row["effectiveCost"] for row in api.data(query)["costs"]["nodes"]}


@pytest.fixture
def used(embedded_api: Api) -> Api:
    """Two tenants who used 3 and 1 dollars, and a fee of 10 for all."""
    events = [
        wire_event("a", tenant_id="acme", start_time=NOON, cost={"amount": "3"}, feature="search"),
        wire_event("b", tenant_id="beta", start_time=NOON, cost={"amount": "1"}, feature="chat", tags={"plan": "pro"}),
        charge("fee", start_time=NOON, cost={"amount": "10"}),
    ]
    assert embedded_api.post_events(events).json()["accepted"] == 3
    return embedded_api


def test_a_fee_is_borne_by_usage_and_no_total_changes(used: Api) -> None:
    assert set_rule(used) == {"rule": {"name": "platform", "version": 1}, "errors": []}
    preview = run(used, dry_run=True)["report"]
    assert by_tenant(used) == {"unattributed": "10", "acme": "3", "beta": "1"}
    done = run(used)["report"]
    assert done == preview
    assert done["shares"] == [
        {"rule": "platform@1", "member": "acme", "amount": "7.5", "share": "0.75", "basis": "3"},
        {"rule": "platform@1", "member": "beta", "amount": "2.5", "share": "0.25", "basis": "1"},
    ]
    assert (done["charged"], done["allocated"], done["unallocated"], done["rowsWritten"]) == ("10", "10", "0", 3)
    assert by_tenant(used) == {"acme": "10.5", "beta": "3.5", "unattributed": "0"}
    assert cost_of(used) == Decimal(14)


def test_running_again_changes_nothing(used: Api) -> None:
    set_rule(used)
    run(used)
    again = run(used)["report"]
    assert (again["rowsWritten"], again["rowsRemoved"], again["rowsUnchanged"]) == (0, 0, 3)
    assert cost_of(used) == Decimal(14)


def test_late_usage_and_a_corrected_charge_are_followed(used: Api) -> None:
    set_rule(used)
    run(used)
    late = wire_event("late", tenant_id="gamma", start_time=NOON, cost={"amount": "4"})
    used.post_events([late, charge("fee", version=1, start_time=NOON, cost={"amount": "8"})])
    run(used)
    assert by_tenant(used) == {"acme": "6", "beta": "2", "gamma": "8", "unattributed": "0"}


def test_members_that_vanish_bear_nothing_and_may_come_back(used: Api) -> None:
    set_rule(used)
    run(used)
    set_rule(used, expectedVersion=1, only=["acme"])
    assert run(used)["report"]["rowsRemoved"] == 1
    assert by_tenant(used) == {"acme": "13", "beta": "1", "unattributed": "0"}
    set_rule(used, expectedVersion=2)
    run(used)
    assert by_tenant(used) == {"acme": "10.5", "beta": "3.5", "unattributed": "0"}


def test_a_retired_rule_gives_its_charges_back(used: Api) -> None:
    set_rule(used)
    run(used)
    retire = (
        f"mutation {{ retireAllocationRule(input: {{{RETIRED}}}) {{ rule {{ version retired }} errors {{ code }} }} }}"
    )
    assert used.data(retire)["retireAllocationRule"]["rule"] == {"version": 2, "retired": True}
    done = run(used)["report"]
    assert (done["unallocated"], done["unallocatedCharges"][0]["reason"]) == ("10", "no rule takes it")
    assert by_tenant(used) == {"acme": "3", "beta": "1", "unattributed": "10"}


def test_fixed_shares_leave_the_rest_unallocated(used: Api) -> None:
    shares = [{"member": "acme", "share": "0.5"}, {"member": "beta", "share": "0.333333333333"}]
    set_rule(used, method="FIXED", measure=None, shares=shares)
    done = run(used)["report"]
    assert done["unallocatedCharges"] == [
        {"eventId": "fee", "amount": "1.66666666667", "reason": "the rule's shares leave it open"}
    ]
    assert by_tenant(used) == {"acme": "8", "beta": "4.33333333333", "unattributed": "1.66666666667"}


def test_equal_shares_among_three_are_exact(used: Api) -> None:
    set_rule(used, method="EQUAL", measure=None, only=["acme", "beta", "new"])
    amounts = [Decimal(share["amount"]) for share in run(used)["report"]["shares"]]
    assert amounts == [Decimal("3.333333333334"), Decimal("3.333333333333"), Decimal("3.333333333333")]


def test_a_charges_quantity_is_shared_like_its_cost(used: Api) -> None:
    used.post_events([charge("gpu", start_time=NOON, cost={"amount": "9"}, quantity=720, unit="gpu_hours")])
    set_rule(used, where={"unit": {"eq": "gpu_hours"}})
    run(used)
    query = """{ events(timeRange: {preset: LAST_90_DAYS}, where: {unit: {eq: "gpu_hours"}}) {
      nodes { tenantId quantity } } }"""
    found = [(row["tenantId"], Decimal(row["quantity"])) for row in used.data(query)["events"]["nodes"]]
    assert sorted(found) == [("acme", 540), ("beta", 180), ("unattributed", -720), ("unattributed", 720)]


def test_more_members_than_one_run_takes_are_refused_unless_the_rule_names_them(
    used: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finance.allocation.allocator.MAX_ROWS", 1)
    set_rule(used, members={"dimension": "FEATURE"})
    assert run(used, dry_run=True)["errors"] == [{"code": "TOO_MANY_ROWS"}]
    monkeypatch.setattr("finance.allocation.allocator.MAX_ROWS", 2)
    used.post_events([wire_event("c", tenant_id="gamma", start_time=NOON, cost={"amount": "4"}, feature="third")])
    set_rule(used, members={"dimension": "FEATURE"}, only=["chat"], expectedVersion=1)
    assert [share["member"] for share in run(used, dry_run=True)["report"]["shares"]] == ["chat"]


def test_features_and_tags_bear_on_the_charges_own_tenant(used: Api) -> None:
    set_rule(used, members={"dimension": "FEATURE"})
    run(used)
    assert cost_of(used, '{feature: {eq: "search"}}') == Decimal("10.5")
    assert by_tenant(used) == {"unattributed": "10", "acme": "3", "beta": "1"}
    set_rule(used, expectedVersion=1, members={"tag": "plan"})
    run(used)
    assert cost_of(used, '{tag: [{key: "plan", is: {eq: "pro"}}]}') == Decimal(11)


def test_the_first_rule_by_priority_takes_a_charge(used: Api) -> None:
    set_rule(used, "rest", priority=200)
    set_rule(used, "fees", priority=10, only=["beta"], where={"chargeCategory": {"eq": "purchase"}})
    assert [share["rule"] for share in run(used)["report"]["shares"]] == ["fees@1"]
    assert by_tenant(used)["beta"] == "11"


def test_rows_say_from_what_and_why(used: Api) -> None:
    set_rule(used)
    run(used)
    query = """{ events(timeRange: {preset: LAST_90_DAYS}, where: {source: {eq: "allocation"}}, orderBy: EFFECTIVE_COST) {
      nodes { tenantId effectiveCost costSource chargeCategory chargeDescription allocatedMethodId allocatedMethodDetails
              allocatedResourceId } } }"""
    first, _, offset = used.data(query)["events"]["nodes"]
    assert json.loads(first.pop("allocatedMethodDetails")) == {
        "method": "proportional",
        "measure": "EFFECTIVE_COST",
        "period": MONTH,
        "timezone": "UTC",
        "part": "share",
        "share": "0.75",
        "basis": "3",
    }
    assert first == {
        "tenantId": "acme",
        "effectiveCost": "7.5",
        "costSource": "allocated",
        "chargeCategory": "purchase",
        "chargeDescription": "Platform fee",
        "allocatedMethodId": "platform@1",
        "allocatedResourceId": "fee",
    }
    assert (offset["tenantId"], offset["effectiveCost"]) == ("unattributed", "-10")


def test_repricing_and_a_replay_leave_shares_alone(used: Api) -> None:
    set_rule(used)
    run(used)
    used.post_events([charge("fee", start_time=NOON, cost={"amount": "10"})])
    reprice = f'mutation {{ repriceEvents(input: {{since: "{FIRST}T00:00:00Z"}}) {{ finished }} }}'
    assert used.data(reprice)["repriceEvents"]["finished"] is True
    assert by_tenant(used) == {"acme": "10.5", "beta": "3.5", "unattributed": "0"}


def test_a_month_is_a_zones_month(used: Api) -> None:
    set_rule(used, effectiveFrom="2020-01-01T00:00:00Z")
    early = f"{FIRST - timedelta(days=1)}T23:30:00Z"
    used.post_events([charge("before", start_time=early, cost={"amount": "4"})])
    assert run(used, dry_run=True)["report"]["charged"] == "10"
    query = f'mutation {{ runAllocation(period: "{MONTH}", timezone: "Europe/Berlin") {{ report {{ charged }} }} }}'
    assert used.data(query)["runAllocation"]["report"]["charged"] == "14"


def test_a_true_up_can_be_shared_out(used: Api) -> None:
    post_bill(used, openai_costs((FIRST, "gpt-4o, input", "6")))
    used.data(f'mutation {{ trueUp(provider: "openai", period: "{MONTH}") {{ errors {{ code }} }} }}')
    assert by_tenant(used) == {"unattributed": "12", "acme": "3", "beta": "1"}
    set_rule(used, where={"source": {"eq": "bill"}})
    run(used)
    assert by_tenant(used) == {"unattributed": "10", "acme": "4.5", "beta": "1.5"}
    assert cost_of(used, '{provider: {eq: "openai"}}') == Decimal(6)


def test_a_version_somebody_else_added_is_not_overwritten(used: Api) -> None:
    set_rule(used)
    assert set_rule(used)["errors"] == [{"code": "RULE_CHANGED", "field": "expectedVersion"}]
    assert set_rule(used, "other", measure="ACTIVE_USERS")["errors"] == [
        {"code": "INVALID_ALLOCATION_RULE", "field": "measure"}
    ]
    rules = used.data("{ allocationRules { name version members measure where } }")["allocationRules"]
    assert rules == [
        {"name": "platform", "version": 1, "members": "tenant", "measure": "EFFECTIVE_COST", "where": "{}"}
    ]


def test_changes_and_runs_are_recorded(used: Api) -> None:
    set_rule(used)
    run(used)
    run(used)
    log = used.data("{ auditLog { nodes { action target } } }")["auditLog"]["nodes"]
    assert [entry for entry in log if "ALLOCATION" in entry["action"]] == [
        {"action": "RUN_ALLOCATION", "target": MONTH},
        {"action": "SET_ALLOCATION_RULE", "target": "platform"},
    ]


def test_allocation_needs_finance_without_a_scope(used: Api) -> None:
    for role, scope in ((Role.EDITOR, {}), (Role.FINANCE, {"tenant": "acme"}), (Role.FINANCE, {"team": "t"})):
        key = used.make_key(role, **scope)
        for query in (
            f'mutation {{ runAllocation(period: "{MONTH}", dryRun: true) {{ errors {{ code }} }} }}',
            f"mutation {{ retireAllocationRule(input: {{{RETIRED}}}) {{ errors {{ code }} }} }}",
        ):
            assert used.graphql(query, key=key)["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert used.data("{ allocationRules { name } }", key=used.make_key(Role.FINANCE, tenant="acme")) == {
        "allocationRules": []
    }
    assert used.graphql("{ allocationRules { name } }", key=used.make_key(Role.VIEWER))["errors"]


def test_a_scoped_key_sees_its_own_share_and_no_other(used: Api) -> None:
    set_rule(used)
    run(used)
    key = used.make_key(Role.VIEWER, tenant="beta")
    query = '{ events(timeRange: {preset: LAST_90_DAYS}, where: {source: {eq: "allocation"}}) { nodes { tenantId } } }'
    assert used.data(query, key=key)["events"]["nodes"] == [{"tenantId": "beta"}]


def test_whatever_is_charged_no_total_changes(embedded_api: Api) -> None:
    """Charges of all sizes and signs, on shared and own slices, under three rules: only where costs stand changes."""
    random, api = Random(3), embedded_api
    tenants = [f"t{i}" for i in range(7)]
    sent = [
        wire_event(
            f"u{i}",
            tenant_id=random.choice(tenants),
            start_time=NOON,
            cost={"amount": f"0.{random.randrange(10**9):012}"},
        )
        for i in range(40)
    ]
    for i in range(40):
        cents = random.choice((1, 10**6, 10**12, 999_999 * 10**12)) * random.randrange(1, 9) // random.choice((1, 3, 7))
        pico = min(cents, 10**18 - 1) * random.choice((1, -1))
        amount = str(Decimal(pico).scaleb(-12))
        category = "credit" if pico < 0 else random.choice(("purchase", "tax", "adjustment"))
        tenant = random.choice(("unattributed", "unattributed", "t1"))
        sent.append(
            charge(f"c{i}", tenant_id=tenant, start_time=NOON, charge_category=category, cost={"amount": amount})
        )
    assert api.post_events(sent).json()["rejected"] == 0
    set_rule(api, "credits", where={"chargeCategory": {"eq": "credit"}}, priority=1, measure="TOTAL_TOKENS")
    set_rule(api, "tax", where={"chargeCategory": {"eq": "tax"}}, method="EQUAL", measure=None)
    shares = [{"member": "t1", "share": "0.1"}, {"member": "t9", "share": "0.777777777777"}]
    set_rule(api, "rest", method="FIXED", measure=None, shares=shares, priority=999)
    before = cost_of(api)
    done = run(api)["report"]
    assert cost_of(api) == before == sum(map(Decimal, by_tenant(api).values()))
    assert cost_of(api, '{source: {eq: "allocation"}}') == 0
    assert Decimal(done["charged"]) == Decimal(done["allocated"]) + Decimal(done["unallocated"])
    assert run(api)["report"]["rowsWritten"] == 0
