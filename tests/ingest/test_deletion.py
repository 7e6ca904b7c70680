"""`DELETE /v1/events/{id}`: gone from every sum at once, for good, for those who may, with a record."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from tenants.principal import Role
from tests.app import Api
from tests.ingest.events import ago, wire_event

SUMS = """{ costs(timeRange: {preset: LAST_90_DAYS}, groupBy: [{dimension: FEATURE}]) {
  totals { operations effectiveCost inputTokens activeUsers } nodes { operations effectiveCost } }
  events(timeRange: {preset: LAST_90_DAYS}) { nodes { eventId startTime } } }"""


def sums(api: Api) -> Any:
    return api.data(SUMS)


def delete(api: Api, event_id: str, key: str | None = None, **query: str) -> Any:
    headers = {"authorization": f"Bearer {key or api.key}"}
    return api.client.delete(f"/v1/events/{quote(event_id, safe='')}", params=query, headers=headers)


def told(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_a_deleted_event_is_in_no_sum_and_never_comes_back(api: Api) -> None:
    stays = wire_event("stays", user_id="bob")
    api.post_events(stays)
    before = sums(api)
    gone = wire_event("a/b?c", user_id="ada", tags={"secret": "s"})
    api.post_events(gone)
    answer = delete(api, "a/b?c", tenant_id="acme")
    assert (answer.status_code, answer.json()["event_id"], answer.json()["tenant_id"]) == (200, "a/b?c", "acme")
    assert sums(api) == before
    api.services.pipeline._preparation._recent._content.clear()  # as after a restart
    assert api.post_events([gone, gone | {"version": 7}, gone | {"version": 9_999}]).json()["rejected"] == 0
    assert sums(api) == before
    assert told(delete(api, "a/b?c", tenant_id="acme")) == (404, "NO_SUCH_EVENT")


def test_an_id_used_on_several_days_needs_the_time(embedded_api: Api) -> None:
    api = embedded_api
    times = [ago(days=1), ago(days=3)]
    api.post_events([wire_event("e", start_time=time) for time in times])
    assert told(delete(api, "e", tenant_id="acme")) == (409, "AMBIGUOUS_EVENT")
    assert told(delete(api, "e", tenant_id="acme", start_time=ago(days=2))) == (404, "NO_SUCH_EVENT")
    assert delete(api, "e", tenant_id="acme", start_time=times[1]).status_code == 200
    assert [node["startTime"] for node in sums(api)["events"]["nodes"]] == [times[0]]


@pytest.mark.parametrize("text", ["yesterday", "2026-03-01", "2026-03-01T00:00:00", "0001-01-01T00:00:00+14:00"])
def test_an_unusable_time_is_refused(embedded_api: Api, text: str) -> None:
    assert told(delete(embedded_api, "e", tenant_id="acme", start_time=text)) == (400, "UNUSABLE_START_TIME")


def test_only_admins_delete_and_only_within_their_scope(embedded_api: Api) -> None:
    api = embedded_api
    api.post_events([wire_event("e"), wire_event("e", tenant_id="other"), wire_event("f", team="red")])
    for role in (Role.INGEST, Role.VIEWER, Role.EDITOR, Role.FINANCE):
        assert delete(api, "e", key=api.make_key(role), tenant_id="acme").status_code == 403
    assert told(delete(api, "e")) == (400, "MISSING_TENANT")
    acme = api.make_key(Role.ADMIN, tenant="acme")
    assert told(delete(api, "e", key=acme, tenant_id="other")) == (404, "NO_SUCH_EVENT")
    assert told(delete(api, "f", key=api.make_key(Role.ADMIN, team="blue"), tenant_id="acme")) == (404, "NO_SUCH_EVENT")
    assert delete(api, "e", key=acme).status_code == 200
    assert sums(api)["costs"]["totals"]["operations"] == 2


def test_a_deletion_is_recorded_and_nothing_is_deleted_unrecorded(embedded_api: Api) -> None:
    api = embedded_api
    api.post_events(wire_event("e"))
    log = "{ auditLog(first: 1) { nodes { actor action target details } } }"
    delete(api, "e", tenant_id="acme")
    (entry,) = api.data(log)["auditLog"]["nodes"]
    assert (entry["actor"], entry["action"], entry["target"]) == ("test admin", "DELETE_EVENT", "acme/e")
    assert json.loads(entry["details"])["event_id"] == "e"
    api.post_events(wire_event("kept"))
    with api.services.database.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE audit_log RENAME TO audit_log_away")
    assert delete(api, "kept", tenant_id="acme").status_code == 503
    assert sums(api)["costs"]["totals"]["operations"] == 1
