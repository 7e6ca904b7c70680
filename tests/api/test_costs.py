"""The `costs` field over GraphQL: shapes, time zones, paging, errors, and one statement a field."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.app import Api
from tests.ingest.events import ago, wire_event

PAGE = """query($first: Int!, $after: String, $order: [CostOrder!]) {
  costs(timeRange: {preset: LAST_30_DAYS}, groupBy: [{dimension: FEATURE}, {tag: "plan"}], orderBy: $order,
        first: $first, after: $after) {
    totalCount nodes { feature tags { key value } effectiveCost operations costShare }
    edges { cursor node { feature } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    totals { effectiveCost operations } } }"""


@pytest.fixture
def filled(embedded_api: Api) -> Api:
    events = [
        wire_event(
            f"e{i}",
            feature=f"feature-{i % 7}",
            start_time=ago(hours=i),
            cost={"amount": f"{i}.25"},
            tags={"plan": "pro"} if i % 2 else {},
            user_id=f"u{i % 5}",
            request_id=f"r{i // 3}",
        )
        for i in range(60)
    ]
    assert embedded_api.post_events(events).json()["accepted"] == 60
    return embedded_api


def test_pages_tile_the_whole_in_order(filled: Api) -> None:
    whole = filled.data(PAGE, first=100)["costs"]
    assert (whole["totalCount"], len(whole["nodes"]), whole["pageInfo"]["hasNextPage"]) == (14, 14, False)
    assert [Decimal(n["effectiveCost"]) for n in whole["nodes"]] == sorted(
        (Decimal(n["effectiveCost"]) for n in whole["nodes"]), reverse=True
    )
    assert sum(Decimal(n["effectiveCost"]) for n in whole["nodes"]) == Decimal(whole["totals"]["effectiveCost"])
    assert sum(n["costShare"] for n in whole["nodes"]) == pytest.approx(1)
    nodes: list[Any] = []
    after = None
    while True:
        page = filled.data(PAGE, first=4, after=after)["costs"]
        assert (page["totalCount"], page["totals"]) == (whole["totalCount"], whole["totals"])
        assert page["pageInfo"]["hasPreviousPage"] == (after is not None)
        assert [edge["node"]["feature"] for edge in page["edges"]] == [node["feature"] for node in page["nodes"]]
        nodes += page["nodes"]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert nodes == whole["nodes"]


def test_a_page_beyond_the_end_still_has_totals(filled: Api) -> None:
    last = filled.data(PAGE, first=14)["costs"]["pageInfo"]["endCursor"]
    beyond = filled.data(PAGE, first=4, after=last)["costs"]
    assert (beyond["nodes"], beyond["totalCount"], beyond["totals"]["operations"]) == ([], 14, 60)


def test_a_cursor_belongs_to_its_question(filled: Api) -> None:
    cursor = filled.data(PAGE, first=4)["costs"]["pageInfo"]["endCursor"]
    other = filled.graphql(PAGE, first=4, after=cursor, order=[{"by": {"measure": "OPERATIONS"}}])
    assert other["errors"][0]["extensions"]["code"] == "BAD_CURSOR"
    for nonsense in ("", "x", "ä", "W10", cursor + "A", "bnVsbA"):
        assert filled.graphql(PAGE, first=4, after=nonsense)["errors"][0]["extensions"]["code"] == "BAD_CURSOR"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("timeRange: {preset: TODAY}, first: 0", "BAD_PAGE_SIZE"),
        ("timeRange: {preset: TODAY}, first: 10001", "BAD_PAGE_SIZE"),
        ('timeRange: {preset: TODAY}, timezone: "Mars/Base"', "UNKNOWN_TIMEZONE"),
        ('timeRange: {preset: TODAY}, timezone: "../etc/passwd"', "UNKNOWN_TIMEZONE"),
        ('timeRange: {between: {start: "2026-03-01T00:00:00Z", end: "2026-03-01T00:00:00Z"}}', "EMPTY_WINDOW"),
        (
            'timeRange: {between: {start: "2026-03-01T00:00:00", end: "2026-03-02T00:00:00Z"}}',
            "BAD_USER_INPUT",
        ),
        ("timeRange: {preset: TODAY, between: null}", "GRAPHQL_VALIDATION_FAILED"),
        ("timeRange: {}", "GRAPHQL_VALIDATION_FAILED"),
        ("timeRange: {preset: TODAY}, fillBuckets: true", "FILL_WITHOUT_GRANULARITY"),
        ("timeRange: {preset: THIS_YEAR}, granularity: MINUTE, fillBuckets: true", "TOO_MANY_BUCKETS"),
        ("timeRange: {preset: TODAY}, groupBy: [{dimension: TEAM}, {dimension: TEAM}]", "DUPLICATE_GROUPING"),
        ("timeRange: {preset: TODAY}, orderBy: [{by: {dimension: TEAM}}]", "UNGROUPED_ORDER"),
        ("timeRange: {preset: TODAY}, orderBy: [{by: {bucket: true}}]", "UNGROUPED_ORDER"),
        (
            "timeRange: {preset: TODAY}, groupBy: [" + ", ".join(f'{{tag: "t{i}"}}' for i in range(9)) + "]",
            "TOO_MANY_GROUPINGS",
        ),
        ("timeRange: {preset: TODAY}, where: " + "{not: " * 20 + "{}" + "}" * 20, "FILTER_TOO_DEEP"),
    ],
)
def test_impossible_questions_get_typed_errors(embedded_api: Api, arguments: str, code: str) -> None:
    answer = embedded_api.graphql("{ costs(" + arguments + ") { totals { operations } } }")
    assert answer["errors"][0]["extensions"]["code"] == code, answer
    assert "Internal" not in answer["errors"][0]["message"]


def test_too_many_filter_values(embedded_api: Api) -> None:
    query = "query($any: [String!]) { costs(timeRange: {preset: TODAY}, where: {team: {anyOf: $any}}) { totals { operations } } }"
    answer = embedded_api.graphql(query, any=[str(i) for i in range(1001)])
    assert answer["errors"][0]["extensions"]["code"] == "TOO_MANY_FILTER_VALUES"


def test_days_follow_the_asked_zone(embedded_api: Api) -> None:
    api = embedded_api
    base = (datetime.now(UTC) - timedelta(days=3)).replace(hour=0, minute=0, second=0, microsecond=0)
    at = {"late": base + timedelta(hours=23, minutes=30), "early": base + timedelta(minutes=30)}
    api.post_events([wire_event(name, start_time=moment.isoformat()) for name, moment in at.items()])
    query = """query($zone: String!) { costs(timeRange: {preset: LAST_7_DAYS}, timezone: $zone, granularity: DAY) {
      nodes { bucketStart bucketEnd operations } } }"""

    def days(zone: str) -> list[int]:
        return [node["operations"] for node in api.data(query, zone=zone)["costs"]["nodes"]]

    assert days("UTC") == [2]
    assert days("Asia/Tokyo") == [1, 1]
    assert days("America/New_York") == [1, 1]


def test_missing_buckets_are_filled_on_request(filled: Api) -> None:
    query = """query($fill: Boolean!) { costs(timeRange: {preset: LAST_7_DAYS}, granularity: DAY, fillBuckets: $fill,
      groupBy: [{dimension: FEATURE}], first: 1000) { totalCount nodes { bucketStart feature operations effectiveCost
      costPerOperation latencyP95Ms } totals { operations } } }"""
    filled_in = filled.data(query, fill=True)["costs"]
    sparse = filled.data(query, fill=False)["costs"]
    assert filled_in["totals"] == sparse["totals"]
    assert filled_in["totalCount"] == 7 * 7
    assert [n for n in filled_in["nodes"] if n["operations"]] == sparse["nodes"]
    empty = [n for n in filled_in["nodes"] if not n["operations"]]
    assert {(n["effectiveCost"], n["costPerOperation"]) for n in empty} == {("0", None)}


def recorded(api: Api, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The SQL of every statement from now on; the real store still runs each."""
    statements: list[str] = []
    columns = api.services.store.columns

    def record(statement: Any) -> Any:
        statements.append(statement.sql)
        return columns(statement)

    monkeypatch.setattr(api.services.store, "columns", record)
    return statements


def test_one_field_is_one_statement(filled: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    statements = recorded(filled, monkeypatch)
    filled.data(PAGE, first=3)
    assert len(statements) == 1
    filled.data(
        '{ a: events(timeRange: {preset: TODAY}) { nodes { eventId } } b: request(id: "r1") { effectiveCost } }'
    )
    assert len(statements) == 3


def test_only_selected_measures_are_computed(filled: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    statements = recorded(filled, monkeypatch)
    filled.data("""{ costs(timeRange: {preset: TODAY}, groupBy: [{dimension: TEAM}]) {
      ...page edges { node { ... on CostRow { inputTokens } } } } }
      fragment page on CostConnection { totals { operations } }""")
    assert "quantile" not in statements[0]
    assert "uniqExact" not in statements[0]
    assert "countIf(e.kind = 'usage')" in statements[0]
    assert "uncached_input_tokens" in statements[0]


def test_rows_take_the_fast_path(filled: Api) -> None:
    from api.graphql.executor import plans_of

    app = next(route.endpoint for route in filled.client.app.routes if getattr(route, "path", "") == "/graphql")
    before = plans_of(app.schema._schema).fast
    filled.data(PAGE, first=100)
    assert plans_of(app.schema._schema).fast > before


def test_a_request_is_a_timeline_with_its_sum(embedded_api: Api) -> None:
    api = embedded_api
    api.post_events(
        [
            wire_event("b", request_id="r", start_time=ago(seconds=50), cost={"amount": "0.2"}, duration_ms=1500),
            wire_event("a", request_id="r", start_time=ago(seconds=60), cost={"amount": "0.1"}, duration_ms=100),
            wire_event("c", request_id="r", start_time=ago(seconds=40), request_model="acme-llm"),
            wire_event("x", request_id="other"),
        ]
    )
    query = "query($id: ID!, $tenant: String) { request(id: $id, tenant: $tenant) { tenant durationMs effectiveCost unpricedOperations operations { eventId } } }"
    assert api.data(query, id="r")["request"] == {
        "tenant": "acme",
        "durationMs": 20_000,
        "effectiveCost": "0.3",
        "unpricedOperations": 1,
        "operations": [{"eventId": "a"}, {"eventId": "b"}, {"eventId": "c"}],
    }
    assert api.data(query, id="nobody")["request"] is None
    assert api.data(query, id="")["request"] is None
    api.post_events(wire_event("y", request_id="r", tenant_id="umbrella"))
    assert api.graphql(query, id="r")["errors"][0]["extensions"]["code"] == "AMBIGUOUS_REQUEST"
    assert len(api.data(query, id="r", tenant="umbrella")["request"]["operations"]) == 1


def test_events_page_while_new_ones_arrive(embedded_api: Api) -> None:
    api = embedded_api
    api.post_events([wire_event(f"e{i}", start_time=ago(minutes=i + 1)) for i in range(10)])
    query = """query($after: String) { events(timeRange: {preset: LAST_24_HOURS}, first: 4, after: $after) {
      nodes { eventId } pageInfo { hasNextPage endCursor } } }"""
    seen, after = [], None
    for _ in range(3):
        page = api.data(query, after=after)["events"]
        seen += [node["eventId"] for node in page["nodes"]]
        after = page["pageInfo"]["endCursor"]
        api.post_events(wire_event(f"new-{len(seen)}", start_time=ago(seconds=1)))
    assert seen == [f"e{i}" for i in range(10)]


def test_dimension_values_make_menus(filled: Api) -> None:
    query = "query($d: Dimension!, $s: String) { dimensionValues(dimension: $d, search: $s, first: 3) { value operations } }"
    assert len(filled.data(query, d="FEATURE")["dimensionValues"]) == 3
    assert [v["value"] for v in filled.data(query, d="FEATURE", s="URE-4")["dimensionValues"]] == ["feature-4"]
    assert filled.data(query, d="CACHE_HIT")["dimensionValues"] == [{"value": "false", "operations": 60}]
    assert filled.data(query, d="HOUR_OF_DAY", s="9")["dimensionValues"]
