"""The billing system's door, over REST and GraphQL: what it says, who may ask, and that both say the same."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from finance.statements.period import BillingPeriod
from tenants.directory import TenantChange
from tenants.principal import Role
from tests.app import Api
from tests.ingest.events import wire_event
from tests.notifications.receivers import http_receiver, wait_until

THIS_MONTH = BillingPeriod(datetime.now(UTC).date().replace(day=1))
LAST_MONTH = BillingPeriod.of(datetime.fromordinal(THIS_MONTH.first.toordinal() - 1).replace(tzinfo=UTC), UTC)  # type: ignore[arg-type]
CLOSE = """mutation($period: String!, $tenant: String) { closeStatements(period: $period, tenant: $tenant) {
    closed { number revision status tenant cost charges adjustments checksum lines { feature amount quantity } }
    closedBefore remaining errors { code field } } }"""
REOPEN = """mutation($number: Int!, $reason: String!) { reopenStatement(number: $number, reason: $reason) {
    statement { number status reopenedBecause } errors { code field } } }"""


def canonical(statement: dict[str, Any]) -> str:
    """As docs/billing.md tells integrators."""
    return json.dumps(statement, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@pytest.fixture
def billed(embedded_api: Api) -> Api:
    """Two tenants' last month, closed: acme 0.75, globex 0.5."""
    api = embedded_api
    month = {"start_time": f"{LAST_MONTH}-10T12:00:00Z"}
    events = [
        wire_event("a1", **month, cost={"amount": "0.50"}),
        wire_event("a2", **month, cost={"amount": "0.25"}, feature='=cmd,"é'),
        wire_event("g1", **month, cost={"amount": "0.50"}, tenant_id="globex"),
    ]
    assert api.post_events(events).json()["accepted"] == 3
    answer = rest(api, "/close", method="POST", json={"period": str(LAST_MONTH)}).json()
    assert [each["statement"]["number"] for each in answer["closed"]] == [1, 2]
    return api


def rest(api: Api, path: str = "", *, key: str | None = None, method: str = "GET", **more: Any) -> Any:
    headers = {"authorization": f"Bearer {key or api.key}"} | more.pop("headers", {})
    return api.client.request(method, f"/v1/statements{path}", headers=headers, **more)


def code(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


def test_a_statement_is_delivered_as_its_checksum_has_it(billed: Api) -> None:
    document = rest(billed, "/1").json()
    said = document["statement"]
    assert (said["tenant"], said["period"], said["cost"]) == ("acme", str(LAST_MONTH), "0.75")
    assert document["checksum"] == hashlib.sha256(canonical(said).encode()).hexdigest()
    assert (document["status"], document["superseded_by"], document["reopened_at"]) == ("closed", None, None)


def test_pages_are_stable_and_the_cursor_continues_with_what_is_closed_later(billed: Api) -> None:
    first = rest(billed, "?first=1")
    assert [each["statement"]["number"] for each in first.json()["statements"]] == [1]
    assert first.json()["has_more"]
    second = billed.client.get(first.links["next"]["url"], headers={"x-api-key": billed.key})
    assert [each["statement"]["number"] for each in second.json()["statements"]] == [2]
    assert (second.json()["has_more"], second.links) == (False, {})
    later = {"cursor": second.json()["cursor"], "first": 1}
    assert rest(billed, params=later).json() == {"statements": [], "cursor": later["cursor"], "has_more": False}
    rest(billed, "/close", method="POST", json={"period": str(LAST_MONTH), "tenant": "initech"})
    assert [each["statement"]["tenant"] for each in rest(billed, params=later).json()["statements"]] == ["initech"]


def test_filters_narrow_and_misspelt_ones_are_refused(billed: Api) -> None:
    assert len(rest(billed, f"?period={LAST_MONTH}").json()["statements"]) == 2
    assert rest(billed, "?period=2020-01").json() == {"statements": [], "cursor": None, "has_more": False}
    assert len(rest(billed, "?tenant=globex").json()["statements"]) == 1
    cursor = rest(billed, "?tenant=globex").json()["cursor"]
    for query, expected in {
        "?perod=2026-10": "UNKNOWN_PARAMETER",
        "?tenant=a&tenant=b": "REPEATED_PARAMETER",
        "?period=october": "INVALID_PERIOD",
        "?first=many": "INVALID_PARAMETER",
        "?first=0": "BAD_PAGE_SIZE",
        "?first=201": "BAD_PAGE_SIZE",
        "?format=xml": "INVALID_PARAMETER",
        f"?cursor={cursor}": "BAD_CURSOR",
    }.items():
        assert code(rest(billed, query)) == (400, expected), query


def test_what_did_not_change_is_not_sent_again(billed: Api) -> None:
    for path in ("", "/1", "?format=csv"):
        tag = rest(billed, path).headers["etag"]
        again = rest(billed, path, headers={"if-none-match": f'"other", {tag}'})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    tag = rest(billed, "/1").headers["etag"]
    billed.data(REOPEN, number=1, reason="wrong tier")
    assert rest(billed, "/1", headers={"if-none-match": tag}).json()["status"] == "reopened"


@pytest.mark.parametrize("ask", [{"params": {"format": "csv"}}, {"headers": {"accept": "text/csv"}}])
def test_csv_has_a_row_per_line(billed: Api, ask: dict[str, Any]) -> None:
    response = rest(billed, **ask)
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert [(row["number"], row["tenant"], row["feature"], row["amount"], row["status"]) for row in rows] == [
        ("1", "acme", '=cmd,"é', "0.25", "closed"),
        ("1", "acme", "search", "0.5", "closed"),
        ("2", "globex", "search", "0.5", "closed"),
    ]
    assert rows[0]["line_period"] == str(LAST_MONTH)


def test_the_preview_shows_the_running_month_and_what_came_late(billed: Api) -> None:
    late = wire_event("late", start_time=f"{LAST_MONTH}-11T12:00:00Z", cost={"amount": "0.125"})
    correction = wire_event("a1", version=1, start_time=f"{LAST_MONTH}-10T12:00:00Z", cost={"amount": "0.625"})
    running = wire_event("now", start_time=datetime.now(UTC).isoformat(), cost={"amount": "3"})
    assert billed.post_events([late, correction, running]).json()["accepted"] == 3
    before = rest(billed, "/1").json()
    preview = rest(billed, "/preview?tenant=acme").json()["preview"]
    assert (preview["period"], preview["cost"], preview["adjustments"]) == (str(THIS_MONTH), "3.25", "0.25")
    assert rest(billed, "/1").json() == before
    scoped = rest(billed, "/preview", key=billed.make_key(Role.FINANCE, tenant="acme")).json()["preview"]
    assert scoped == preview
    asked = '{ statementPreview(tenant: "acme") { period cost adjustments lines { isAdjustment amount } } }'
    assert billed.data(asked)["statementPreview"]["cost"] == "3.25"
    assert code(rest(billed, "/preview")) == (400, "MISSING_TENANT")
    assert code(rest(billed, f"/preview?tenant=acme&period={LAST_MONTH}")) == (409, "PERIOD_CLOSED")


def test_graphql_closes_reads_and_reopens(billed: Api) -> None:
    again = billed.data(CLOSE, period=str(LAST_MONTH))["closeStatements"]
    assert again == {"closed": [], "closedBefore": 2, "remaining": 0, "errors": []}
    read = "{ statements(first: 1) { nodes { number cost lines { feature amount kind } } pageInfo { hasNextPage endCursor } } statement(number: 2) { tenant status } none: statement(number: 9) { number } }"
    answer = billed.data(read)
    assert answer["statements"]["nodes"][0]["cost"] == "0.75"
    assert answer["statements"]["pageInfo"]["hasNextPage"]
    assert (answer["statement"], answer["none"]) == ({"tenant": "globex", "status": "CLOSED"}, None)
    reopened = billed.data(REOPEN, number=1, reason="wrong tier")["reopenStatement"]
    assert reopened == {"statement": {"number": 1, "status": "REOPENED", "reopenedBecause": "wrong tier"}, "errors": []}
    (second,) = billed.data(CLOSE, period=str(LAST_MONTH), tenant="acme")["closeStatements"]["closed"]
    assert (second["number"], second["revision"], second["cost"]) == (3, 2, "0.75")
    old = rest(billed, "/1").json()
    assert (old["status"], old["superseded_by"], old["reopened_because"]) == ("superseded", 3, "wrong tier")


def test_what_cannot_be_done_is_said_as_data_and_over_rest_with_a_status(billed: Api) -> None:
    for period, expected in ((str(THIS_MONTH), "PERIOD_NOT_OVER"), ("soon", "INVALID_PERIOD")):
        errors = billed.data(CLOSE, period=period)["closeStatements"]["errors"]
        assert errors == [{"code": expected, "field": "period"}]
        assert code(rest(billed, "/close", method="POST", json={"period": period})) == (400, expected)
    billed.data(REOPEN, number=1, reason="x")
    for number, reason, expected in (
        (1, "x", "ALREADY_REOPENED"),
        (2, "", "MISSING_REASON"),
        (9, "x", "NO_SUCH_STATEMENT"),
    ):
        answer = billed.data(REOPEN, number=number, reason=reason)["reopenStatement"]
        assert (answer["statement"], answer["errors"][0]["code"]) == (None, expected)
    for number in ("9", "0x1", "１", "99999999999999999999"):
        assert code(rest(billed, f"/{number}")) == (404, "NO_SUCH_STATEMENT")
    assert code(rest(billed, "/close", method="POST", content=b" " * 10_001)) == (413, "PAYLOAD_TOO_LARGE")
    for body in (b"", b"[]", b'{"period": "2026-01", "tennant": "a"}'):
        assert code(rest(billed, "/close", method="POST", content=body)) == (400, "UNREADABLE_BODY")


def test_a_webhook_tells_of_a_new_statement_once(billed: Api) -> None:
    create = """mutation($input: CreateChannelInput!) { createChannel(input: $input) { errors { code } } }"""
    with http_receiver() as hook:
        channel = {"name": "billing", "kind": "WEBHOOK", "address": hook.url, "topics": ["STATEMENT_CLOSED"]}
        assert billed.data(create, input=channel)["createChannel"]["errors"] == []
        billed.services.money.tenants.save(TenantChange("initech", external_id="cus_9"), by="test")
        for _ in range(2):
            rest(billed, "/close", method="POST", json={"period": str(LAST_MONTH), "tenant": "initech"})
        wait_until(lambda: len(hook.requests) == 1)
    told = json.loads(hook.requests[0].body)
    statement = rest(billed, told["data"]["path"].removeprefix("/v1/statements")).json()
    assert (told["type"], statement["tenant_external_id"]) == ("statement.closed", "cus_9")
    assert billed.data("{ statement(number: 3) { tenantExternalId } }")["statement"] == {"tenantExternalId": "cus_9"}
    assert told["data"] == {
        **{name: statement["statement"][name] for name in ("number", "revision", "supersedes", "tenant", "period")},
        **{name: statement["statement"][name] for name in ("currency", "charges", "adjustments")},
        "tenantExternalId": "cus_9",
        "total": statement["statement"]["cost"],
        "checksum": statement["checksum"],
        "path": "/v1/statements/3",
    }


ROUTES = [("", "GET"), ("/1", "GET"), ("/preview?tenant=acme", "GET"), ("/close", "POST")]
FIELDS = [
    "{ statements { nodes { number } } }",
    "{ statement(number: 1) { number } }",
    '{ statementPreview(tenant: "acme") { cost } }',
    'mutation { closeStatements(period: "2020-01") { errors { code } } }',
    'mutation { reopenStatement(number: 1, reason: "x") { errors { code } } }',
]


def test_every_route_and_field_needs_finance(billed: Api) -> None:
    for role in (Role.INGEST, Role.VIEWER, Role.EDITOR):
        key = billed.make_key(role)
        for path, method in ROUTES:
            assert code(rest(billed, path, key=key, method=method)) == (403, "FORBIDDEN"), (role, path)
        for query in FIELDS:
            assert billed.graphql(query, key=key)["errors"][0]["extensions"]["code"] == "FORBIDDEN", (role, query)
    for path, method in ROUTES:
        assert billed.client.request(method, f"/v1/statements{path}").status_code == 401


def test_a_key_of_one_tenant_reaches_that_tenants_statements(billed: Api) -> None:
    key = billed.make_key(Role.FINANCE, tenant="globex")
    assert [each["statement"]["tenant"] for each in rest(billed, key=key).json()["statements"]] == ["globex"]
    assert rest(billed, "?tenant=acme", key=key).json()["statements"] == []
    assert code(rest(billed, "/1", key=key)) == (404, "NO_SUCH_STATEMENT")
    assert rest(billed, "/2", key=key).json()["statement"]["cost"] == "0.5"
    assert code(rest(billed, "/preview?tenant=acme", key=key)) == (403, "FORBIDDEN")
    closing = {"period": str(LAST_MONTH), "tenant": "acme"}
    assert code(rest(billed, "/close", key=key, method="POST", json=closing)) == (403, "FORBIDDEN")
    own = rest(billed, "/close", key=key, method="POST", json={"period": str(LAST_MONTH)}).json()
    assert (own["closed"], own["closed_before"]) == ([], 1)
    assert [n["number"] for n in billed.data(FIELDS[0], key=key)["statements"]["nodes"]] == [2]
    assert billed.data(FIELDS[1], key=key)["statement"] is None
    assert (
        billed.data(REOPEN, key=key, number=1, reason="x")["reopenStatement"]["errors"][0]["code"]
        == "NO_SUCH_STATEMENT"
    )
    assert (
        billed.graphql(CLOSE, key=key, period=str(LAST_MONTH), tenant="acme")["errors"][0]["extensions"]["code"]
        == "FORBIDDEN"
    )
    assert billed.graphql(FIELDS[2], key=key)["errors"][0]["extensions"]["code"] == "FORBIDDEN"


@pytest.mark.parametrize("scope", [{"team": "a"}, {"environment": "b"}, {"tenant": "acme", "team": "a"}])
def test_a_key_that_sees_part_of_a_tenant_sees_no_statement(billed: Api, scope: dict[str, str]) -> None:
    key = billed.make_key(Role.ADMIN, **scope)
    assert rest(billed, key=key).json()["statements"] == []
    assert code(rest(billed, "/1", key=key)) == (404, "NO_SUCH_STATEMENT")
    assert code(rest(billed, "/preview?tenant=acme", key=key)) == (403, "FORBIDDEN")
    assert code(rest(billed, "/close", key=key, method="POST", json={"period": str(LAST_MONTH)})) == (403, "FORBIDDEN")
    assert billed.data(FIELDS[0], key=key)["statements"]["nodes"] == []
    assert billed.data(FIELDS[1], key=key)["statement"] is None
    assert billed.data(FIELDS[2], key=key)["statementPreview"] is None
