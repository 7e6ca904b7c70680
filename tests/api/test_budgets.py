"""Budgets, guardrails and breaches as their users meet them: over GraphQL, on the real store."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from notifications.channels import Kind, NewChannel
from tenants.principal import Role
from tests.api.waiting import eventually
from tests.app import Api
from tests.ingest.events import ago, wire_event

CREATE = """mutation($input: BudgetInput!) { createBudget(input: $input) {
  budget { id version name team where warnings } errors { code field message } } }"""
UPDATE = """mutation($id: ID!, $version: Int!, $input: BudgetInput!) { updateBudget(id: $id, version: $version, input: $input)
  { budget { id version name } errors { code field } } }"""
STATUS = """{ budgets { totalCount nodes { name memberCount
  status { standing spent limit remaining percent unpricedOperations forecast { amount } projectedBreachDate }
  members { member spent limit standing } history { start end spent limit } series { start spent } } } }"""
BREACHES = """{ breaches { nodes { id name member threshold state resolution observed bound limit openings
  contributorsBy contributors { name value } acknowledgedBy note playbook } } }"""
DAILY = {"every": "DAY"}


def budget(**fields: Any) -> dict[str, Any]:
    return {"name": "search", "amount": "10", "period": DAILY, "thresholds": [{"percent": "100"}]} | fields


def create(api: Api, *, key: str | None = None, **fields: Any) -> Any:
    answer = api.data(CREATE, key=key, input=budget(**fields))["createBudget"]
    assert not answer["errors"], answer["errors"]
    return answer["budget"]


def breaches(api: Api, **wanted: Any) -> list[Any]:
    found = api.data(BREACHES)["breaches"]["nodes"]
    return [each for each in found if all(each[name] == value for name, value in wanted.items())]


def send(api: Api, *events: dict[str, Any]) -> None:
    receipt = api.post_events(list(events)).json()
    assert receipt["accepted"] == len(events), receipt


def spend(event_id: str, amount: str, **fields: Any) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat()
    return wire_event(event_id, start_time=now, team="search", cost={"amount": amount}) | fields


def test_a_crossing_event_opens_one_breach_which_is_over_when_it_is_corrected(embedded_api: Api) -> None:
    api = embedded_api
    create(api, where={"team": {"eq": "search"}}, playbook="https://wiki.example/stop")
    send(api, spend("e1", "6"), spend("e2", "3.999999999999", feature="answers"), spend("other", "99", team="growth"))
    assert eventually(lambda: [s for s in statuses(api) if s["spent"] == "9.999999999999"])[0]["standing"] == "FINE"
    send(api, spend("e3", "0.000000000001"))
    (breach,) = eventually(lambda: breaches(api))
    assert (breach["state"], breach["observed"], breach["bound"], breach["limit"]) == ("OPEN", "10", "10", "10")
    assert breach["contributors"] == [
        {"name": "search", "value": "6.000000000001"},
        {"name": "answers", "value": "3.999999999999"},
    ]
    assert (breach["contributorsBy"], breach["playbook"]) == ("feature", "https://wiki.example/stop")
    send(api, spend("e1", "5", version=2))
    eventually(lambda: breaches(api, state="RESOLVED", resolution="CORRECTED"))
    send(api, spend("e4", "7"))
    (again,) = eventually(lambda: breaches(api, state="OPEN"))
    assert (again["id"], again["openings"]) == (breach["id"], 2)
    assert len(breaches(api)) == 1


def statuses(api: Api) -> list[Any]:
    return [node["status"] for node in api.data(STATUS)["budgets"]["nodes"] if node["status"]]


def test_members_have_limits_of_their_own(embedded_api: Api) -> None:
    api = embedded_api
    overrides = [
        {"member": "big", "amount": "100"},
        {"member": "free", "amount": None},
        {"member": "none", "amount": "0"},
    ]
    create(api, each={"dimension": "TENANT"}, overrides=overrides)
    tenants = ("big", "free", "none", "acme", "small")
    send(api, *(spend(f"e-{t}", "1" if t == "small" else "20", tenant_id=t) for t in tenants))
    eventually(lambda: len(breaches(api)) == 2)
    assert {each["member"] for each in breaches(api)} == {"none", "acme"}
    (node,) = api.data(STATUS)["budgets"]["nodes"]
    standings = {m["member"]: (m["limit"], m["standing"]) for m in node["members"]}
    assert standings == {
        "none": ("0", "BREACHED"),
        "acme": ("10", "BREACHED"),
        "big": ("100", "FINE"),
        "small": ("10", "FINE"),
    }
    assert node["status"]["standing"] == "BREACHED"


def test_status_history_and_series_equal_costs(embedded_api: Api) -> None:
    api = embedded_api
    zone = "America/New_York"
    events = [
        wire_event(f"e{i}", start_time=ago(hours=i * 7), team="search", cost={"amount": f"0.{i + 1}"})
        for i in range(40)
    ]
    send(api, *events)
    create(api, period={"every": "WEEK", "timezone": zone, "weekStart": "MONDAY"}, where={"team": {"eq": "search"}})
    eventually(lambda: statuses(api))
    (node,) = api.data(STATUS)["budgets"]["nodes"]
    costs = api.data(
        """query($zone: String!) { costs(timeRange: {preset: LAST_90_DAYS}, timezone: $zone, granularity: WEEK,
        where: {team: {eq: "search"}}) { nodes { bucketStart bucketEnd effectiveCost } } }""",
        zone=zone,
    )["costs"]["nodes"]
    past = {(p["start"], p["end"]): p["spent"] for p in node["history"] if p["spent"] != "0"}
    assert past == {(row["bucketStart"], row["bucketEnd"]): row["effectiveCost"] for row in costs}
    assert len(node["history"]) == 12
    assert node["status"]["spent"] == node["history"][-1]["spent"]
    assert sum(Decimal(point["spent"]) for point in node["series"]) == Decimal(node["status"]["spent"])


def test_changes_are_versions_and_nobody_overwrites_another(embedded_api: Api) -> None:
    api = embedded_api
    made = create(api)
    taken = api.data(CREATE, input=budget())["createBudget"]
    assert [(e["code"], e["field"]) for e in taken["errors"]] == [("NAME_TAKEN", "name")]
    first = api.data(UPDATE, id=made["id"], version=1, input=budget(amount="20"))["updateBudget"]
    assert (first["budget"]["version"], first["errors"]) == (2, [])
    second = api.data(UPDATE, id=made["id"], version=1, input=budget(amount="30"))["updateBudget"]
    assert [e["code"] for e in second["errors"]] == ["CHANGED_MEANWHILE"]
    gone = api.data("mutation($id: ID!) { deleteBudget(id: $id, version: 2) { errors { code } } }", id=made["id"])
    assert gone["deleteBudget"]["errors"] == []
    missing = api.data(UPDATE, id=made["id"], version=2, input=budget())["updateBudget"]
    assert [e["code"] for e in missing["errors"]] == ["NOT_FOUND"]
    assert create(api)["version"] == 1, "the name is free again"
    log = api.data("{ auditLog { nodes { action details } } }")["auditLog"]["nodes"]
    assert [entry["action"] for entry in log][:4] == [
        "CREATE_BUDGET",
        "DELETE_BUDGET",
        "UPDATE_BUDGET",
        "CREATE_BUDGET",
    ]


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"amount": "-1"}, "INVALID_TARGET", "amount"),
        ({"name": " "}, "INVALID_TARGET", "name"),
        ({"measure": "LATENCY_P95_MS"}, "INVALID_TARGET", "measure"),
        ({"period": {}}, "INVALID_TARGET", "period"),
        ({"period": {"every": "DAY", "hours": 2}}, "INVALID_TARGET", "period"),
        ({"period": {"every": "MINUTE"}}, "INVALID_PERIOD", "period"),
        ({"period": {"hours": 0}}, "INVALID_PERIOD", "period"),
        ({"period": {"every": "DAY", "timezone": "Mars/Base"}}, "UNKNOWN_TIMEZONE", None),
        ({"thresholds": []}, "INVALID_TARGET", "thresholds"),
        ({"overrides": [{"member": "a", "amount": "1"}]}, "INVALID_TARGET", "overrides"),
        ({"each": {"dimension": "ATTEMPT"}}, "INVALID_TARGET", "each"),
        ({"each": {"dimension": "REQUEST"}}, "INVALID_TARGET", "each"),
    ],
)
def test_unusable_budgets_come_back_as_data(embedded_api: Api, fields: Any, code: str, field: str | None) -> None:
    answer = embedded_api.data(CREATE, input=budget(**fields))["createBudget"]
    assert answer["budget"] is None
    assert [(e["code"], e["field"]) for e in answer["errors"]] == [(code, field)]


def test_breaches_are_taken_on_with_a_note(embedded_api: Api) -> None:
    api = embedded_api
    create(api)
    send(api, spend("e1", "11"))
    (breach,) = eventually(lambda: breaches(api))
    take = 'mutation { acknowledgeBreach(id: "%s", note: "limits are being set") { breach { state note } errors { code } } }'
    answer = api.data(take % breach["id"])["acknowledgeBreach"]
    assert answer == {"breach": {"state": "ACKNOWLEDGED", "note": "limits are being set"}, "errors": []}
    send(api, spend("e2", "1"))
    time.sleep(1)
    (still,) = breaches(api)
    assert (still["state"], still["acknowledgedBy"], still["openings"]) == ("ACKNOWLEDGED", "test admin", 1)
    assert [e["code"] for e in api.data(take % "999")["acknowledgeBreach"]["errors"]] == ["NOT_FOUND"]
    api.data(UPDATE, id="1", version=1, input=budget(amount="100"))
    eventually(lambda: breaches(api, state="RESOLVED"))
    assert [e["code"] for e in api.data(take % breach["id"])["acknowledgeBreach"]["errors"]] == ["ALREADY_RESOLVED"]


def test_editors_of_a_team_touch_their_own_alone(embedded_api: Api) -> None:
    api = embedded_api
    editor = api.make_key(Role.EDITOR, team="search")
    theirs = create(api, name="growth", team="growth", where={"team": {"eq": "growth"}})
    everybody = create(api, name="all")
    own = create(api, key=editor, name="mine")
    assert (own["team"], own["where"]) == ("search", '{"team": "search"}')
    seen = api.data("{ budgets { nodes { name } } }", key=editor)["budgets"]["nodes"]
    assert [each["name"] for each in seen] == ["mine"]
    for other in (theirs, everybody):
        answer = api.data(UPDATE, key=editor, id=other["id"], version=1, input=budget())["updateBudget"]
        assert [e["code"] for e in answer["errors"]] == ["NOT_FOUND"]
    foreign = create(api, name="theirs in my slice", team="growth", where={"team": {"eq": "search"}})
    refused = api.graphql(UPDATE, key=editor, id=foreign["id"], version=1, input=budget())
    assert refused["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    for fields in (
        {"team": "growth"},
        {"where": {"team": {"eq": "growth"}}},
        {"where": {"team": {"anyOf": ["search", "x"]}}},
    ):
        refused = api.graphql(CREATE, key=editor, input=budget(**fields))
        assert refused["errors"][0]["extensions"]["code"] == "FORBIDDEN", fields
    viewer = api.make_key(Role.VIEWER)
    refused = api.graphql(CREATE, key=viewer, input=budget(name="v"))
    assert refused["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert len(api.data("{ budgets { nodes { name } } }", key=viewer)["budgets"]["nodes"]) == 4


def test_news_of_a_budget_are_seen_by_whom_it_counts_for_and_not_by_who_owns_it(embedded_api: Api) -> None:
    api = embedded_api
    everybodys = {"team": "search", "channels": ["ops"]}
    create(api, name="all", **everybodys)
    create(api, name="own", where={"team": {"eq": "search"}}, **everybodys)
    send(api, spend("e1", "99"))
    told = "{ notifications { nodes { payload } } }"
    eventually(lambda: len(api.data(told)["notifications"]["nodes"]) == 2)
    seen = api.data(told, key=api.make_key(Role.EDITOR, team="search"))["notifications"]["nodes"]
    assert {json.loads(each["payload"])["budget"] for each in seen} == {"own"}


def test_another_teams_channel_cannot_be_named(embedded_api: Api) -> None:
    api = embedded_api
    for name, team in (("ops", None), ("mine", "search"), ("theirs", "growth")):
        address = "https://hooks.example.com/x"
        api.services.telling.channels.create(NewChannel(name, Kind.WEBHOOK, address, team=team))
    editor = api.make_key(Role.EDITOR, team="search")
    refused = api.graphql(CREATE, key=editor, input=budget(channels=["ops", "theirs"]))
    assert refused["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    create(api, key=editor, channels=["ops", "mine", "not yet"])


def test_a_breach_is_seen_by_whom_its_filter_then_was_for(embedded_api: Api) -> None:
    api = embedded_api
    made = create(api, where={"team": {"eq": "growth"}})
    send(api, spend("e1", "99", team="growth"))
    (breach,) = eventually(lambda: breaches(api))
    changed = budget(where={"team": {"eq": "search"}})
    assert not api.data(UPDATE, id=made["id"], version=1, input=changed)["updateBudget"]["errors"]
    search, growth = (api.make_key(Role.EDITOR, team=team) for team in ("search", "growth"))
    for key in (search, growth):
        assert api.data(BREACHES, key=key)["breaches"]["nodes"] == []
        take = api.data(
            "mutation($id: ID!) { acknowledgeBreach(id: $id) { errors { code } } }", key=key, id=breach["id"]
        )
        assert take["acknowledgeBreach"]["errors"] == [{"code": "NOT_FOUND"}]
    send(api, spend("e2", "99"))
    eventually(lambda: api.data(BREACHES, key=search)["breaches"]["nodes"])
    assert [b["observed"] for b in api.data(BREACHES, key=search)["breaches"]["nodes"]] == ["99"]


def test_a_dry_run_says_what_would_have_been_and_stores_nothing(embedded_api: Api) -> None:
    api = embedded_api
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    starts = [today - timedelta(days=d) + timedelta(hours=3) for d in range(1, 15)]
    amounts = ["5"] * 14
    amounts[2], amounts[5] = "12", "8.5"
    send(
        api,
        *(
            wire_event(f"e{i}", start_time=at.isoformat(), cost={"amount": amount})
            for i, (at, amount) in enumerate(zip(starts, amounts, strict=True))
        ),
    )
    run = """query($input: BudgetInput!, $days: Int!) { budgetDryRun(input: $input, days: $days) { breachCount memberCount
      breaches { at observed limit threshold { percent basis } periodStart } periods { start spent limit percent }
      errors { code } } }"""
    thresholds = [{"percent": "80"}, {"percent": "100"}]
    found = api.data(run, input=budget(thresholds=thresholds), days=14)["budgetDryRun"]
    crossed = [(b["periodStart"], b["observed"], b["threshold"]["percent"]) for b in found["breaches"]]
    days = [at.replace(hour=0).isoformat().replace("+00:00", "Z") for at in starts]
    assert crossed == [(days[5], "8.5", "80"), (days[2], "12", "80"), (days[2], "12", "100")]
    assert [p["spent"] for p in found["periods"]][-15:] == [*amounts[::-1], "0"]
    rolling = api.data(run, input=budget(period={"hours": 48}, amount="17"), days=14)["budgetDryRun"]
    assert [(b["observed"], b["threshold"]["percent"]) for b in rolling["breaches"]] == [("17", "100")]
    assert api.data("{ budgets { totalCount } }")["budgets"]["totalCount"] == 0
    assert api.data(run, input=budget(), days=401)["budgetDryRun"]["errors"] == [{"code": "INVALID_TARGET"}]


def test_children_beyond_their_parent_are_warned_of(embedded_api: Api) -> None:
    api = embedded_api
    create(api, name="company", amount="10")
    assert create(api, name="a", amount="6", parent="company")["warnings"] == []
    (warning,) = create(api, name="b", amount="5", parent="company")["warnings"]
    assert warning == "the children of 'company' may spend 11 together, and it may spend 10"
    assert "no budget named 'nobody'" in create(api, name="c", parent="nobody")["warnings"][0]


GUARDRAIL = """mutation($input: GuardrailInput!) { createGuardrail(input: $input) { guardrail { id } errors { code field } } }"""


def test_a_guardrail_is_broken_by_intervals_in_a_row(embedded_api: Api) -> None:
    api = embedded_api
    minute = datetime.now(UTC).replace(second=0, microsecond=0)
    for ago_minutes, duration in ((3, 100), (2, 5_000), (1, 6_000), (0, 6_000)):  # the last for when a minute begins
        at = (minute - timedelta(minutes=ago_minutes)).isoformat()
        send(api, *(wire_event(f"e{ago_minutes}-{i}", start_time=at, duration_ms=duration) for i in range(5)))
    rail = {
        "name": "slow",
        "measure": "LATENCY_P95_MS",
        "bound": "2000",
        "intervalMinutes": 1,
        "inARow": 2,
        "minimumOperations": 5,
        "settleSeconds": 0,
        "each": {"dimension": "FEATURE"},
        "severity": "CRITICAL",
    }
    assert api.data(GUARDRAIL, input=rail)["createGuardrail"]["errors"] == []
    assert api.data(GUARDRAIL, input=rail | {"name": "many", "inARow": 4})["createGuardrail"]["errors"] == []
    (breach,) = eventually(lambda: breaches(api))
    assert (breach["name"], breach["member"], breach["threshold"]) == ("slow", "search", "above 2000")
    assert breach["observed"] in {"5000", "6000"}
    (node,) = api.data('{ guardrails(name: "slow") { nodes { members { member broken value beyondInARow } } } }')[
        "guardrails"
    ]["nodes"]
    assert node["members"][0]["broken"]
    bad = api.data(GUARDRAIL, input=rail | {"name": "x", "measure": "EFFECTIVE_COST"})["createGuardrail"]
    assert bad["errors"] == [{"code": "INVALID_TARGET", "field": "measure"}]
