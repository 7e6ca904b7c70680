"""Erasing a user: nothing on disk names him any more, sums stay or go as asked, and late replays stay anonymous."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from api.cli import app
from tenants.principal import Role
from tests.app import Api, running_api
from tests.engines import EmbeddedClickHouse, connect, fresh_clickhouse_url
from tests.ingest.events import ago, wire_event

ERASE = """mutation($input: EraseUserInput!) { eraseUser(input: $input) { erased events effectiveCost } }"""
SUMS = """{ costs(timeRange: {preset: LAST_90_DAYS}) { totals { operations effectiveCost inputTokens activeUsers } }
  events(timeRange: {preset: LAST_90_DAYS}, orderBy: START_TIME, direction: ASC) {
    nodes { eventId userId sessionId tags { key value } effectiveCost } } }"""
ADA = {"user_id": "ada's", "session_id": "s1", "tags": {"user.email": "ada@example.com", "plan": "pro"}}


def erase(api: Api, key: str | None = None, **wanted: Any) -> Any:
    return api.data(ERASE, key=key, input={"tenant": "acme", "user": "ada's"} | wanted)["eraseUser"]


def sums(api: Api) -> Any:
    return api.data(SUMS)


def on_disk(url: str) -> str:
    """Every row of every version, as text."""
    client = connect(url)
    try:
        return repr(client.query("SELECT * FROM events").result_rows)
    finally:
        client.close()


def populate(api: Api) -> list[dict[str, Any]]:
    hers = [wire_event(f"e{i}", **ADA, start_time=ago(hours=9 - i)) for i in range(3)]
    older = wire_event("e3", **ADA, start_time=ago(hours=6))
    api.post_events([*hers, older])
    api.post_events(older | {"version": 1, "input_tokens": 7})
    api.post_events([wire_event("bob", user_id="bob", session_id="s2"), wire_event("x", **ADA, tenant_id="other")])
    return [*hers, older]


@pytest.mark.slow
def test_the_person_goes_and_the_costs_stay(api: Api, clickhouse_url: str) -> None:
    sent = populate(api)
    before = sums(api)
    assert erase(api, dryRun=True) == {"erased": False, "events": 4, "effectiveCost": "0.0115175"}
    assert sums(api) == before
    assert erase(api) == {"erased": True, "events": 4, "effectiveCost": "0.0115175"}
    after = sums(api)
    for name in ("operations", "effectiveCost", "inputTokens"):
        assert after["costs"]["totals"][name] == before["costs"]["totals"][name]
    for node in after["events"]["nodes"][:4]:
        assert (node["userId"], node["sessionId"], node["tags"]) == (None, None, [{"key": "plan", "value": "pro"}])
    assert on_disk(clickhouse_url).count("ada") == 2  # her namesake at the other tenant, with an address
    api.services.pipeline._preparation._recent._content.clear()  # as after a restart
    late = [*sent, wire_event("new", **ADA), wire_event("e0", **ADA, version=3, start_time=ago(hours=9))]
    assert api.post_events(late).json()["rejected"] == 0
    assert on_disk(clickhouse_url).count("ada") == 2
    assert sums(api)["costs"]["totals"]["operations"] == before["costs"]["totals"]["operations"] + 1


@pytest.mark.slow
def test_on_demand_the_costs_go_too_and_replays_do_not_bring_them_back(api: Api, clickhouse_url: str) -> None:
    before_her = wire_event("e0", user_id="someone", start_time=ago(hours=9))
    api.post_events(before_her)
    sent = [each | {"version": 2} for each in populate(api)]
    api.post_events(sent)
    assert erase(api, keepCosts=False)["erased"]
    left = {node["eventId"] for node in sums(api)["events"]["nodes"]}
    assert left == {"bob", "x"}
    assert on_disk(clickhouse_url).count("ada") == 2
    api.services.pipeline._preparation._recent._content.clear()
    api.post_events(sent)
    assert {node["eventId"] for node in sums(api)["events"]["nodes"]} == left
    assert on_disk(clickhouse_url).count("ada") == 2


def test_erasing_twice_or_nobody_changes_nothing(embedded_api: Api) -> None:
    populate(embedded_api)
    erase(embedded_api)
    after = sums(embedded_api)
    assert erase(embedded_api) == {"erased": True, "events": 0, "effectiveCost": None}
    assert sums(embedded_api) == after
    for nobody in ({"user": ""}, {"tenant": ""}):
        wanted = {"tenant": "acme", "user": "u"} | nobody
        answer = embedded_api.graphql(ERASE, input=wanted)
        assert answer["errors"][0]["extensions"]["code"] == "NO_USER_NAMED"


def test_dead_letters_forget_too(embedded_api: Api) -> None:
    api = embedded_api
    bad = [wire_event("a", **ADA, version=-1), wire_event("b", user_id="Ada's", version=-1)]
    api.post_events(bad)
    erase(api)
    api.post_events(bad)
    nodes = api.data("{ rejectedEvents { nodes { eventId payload } } }")["rejectedEvents"]["nodes"]
    assert [(node["eventId"], node["payload"] is None) for node in nodes] == [
        ("b", False),
        ("a", True),
        ("b", False),
        ("a", True),
    ]
    assert "ada's" not in repr(nodes)


def test_only_admins_erase_and_only_within_their_tenant(embedded_api: Api) -> None:
    api = embedded_api
    populate(api)
    wanted = {"tenant": "acme", "user": "ada's", "dryRun": True}
    keys = [api.make_key(role) for role in (Role.INGEST, Role.VIEWER, Role.EDITOR, Role.FINANCE)]
    keys += [api.make_key(Role.ADMIN, tenant="other"), api.make_key(Role.ADMIN, tenant="acme", team="t")]
    for key in keys:
        answer = api.graphql(ERASE, key=key, input=wanted)
        assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert erase(api, key=api.make_key(Role.ADMIN, tenant="acme"))["events"] == 4


def test_an_erasure_is_recorded_without_the_name(embedded_api: Api) -> None:
    populate(embedded_api)
    erase(embedded_api)
    (entry,) = embedded_api.data("{ auditLog(first: 1) { nodes { action target details } } }")["auditLog"]["nodes"]
    assert entry["action"] == "ERASE_USER"
    assert json.loads(entry["details"]) == {"tenant": "acme", "kept_costs": True, "events": 4}
    assert "ada" not in repr(entry)


@pytest.mark.slow
def test_the_command_says_what_it_does(embedded_clickhouse: EmbeddedClickHouse, tmp_path: Path) -> None:
    words = ["erase-user", "--tenant", "acme", "--user", "ada's", "--data-dir", str(tmp_path)]
    with fresh_clickhouse_url(embedded_clickhouse) as url:
        with running_api(url, tmp_path) as api:
            api.post_events(wire_event("e", **ADA))
        for options, said in (
            (["--dry-run"], "1 events of the user, effective cost 0.0035, would be erased"),
            ([], "1 events of the user, effective cost 0.0035, are anonymous"),
            (["--delete"], "0 events of the user, effective cost unknown, are deleted"),
        ):
            done = CliRunner().invoke(app, [*words, *options], env={"APPORTION_CLICKHOUSE_URL": url})
            assert (done.exit_code, done.stdout.strip()) == (0, said)
        with running_api(url, tmp_path) as api:
            log = api.data("{ auditLog(first: 3) { nodes { actor action } } }")["auditLog"]["nodes"]
            assert log[1:] == [{"actor": "command line", "action": "ERASE_USER"}] * 2
