"""One call, one cost, whatever the exports its reports come in: through the real door, on both engines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from attribution.event import TOMBSTONE_VERSION
from attribution.statement import Statement
from tests.app import Api, running_api
from tests.ingest.otlp_spans import chat, export, span

ALWAYS = {"max_event_age_days": 36_500, "max_event_ahead_seconds": 10**9}
"""Built spans carry fixed times; the suite must pass in other years too."""

QUERY = """{ costs(timeRange: {between: {start: "2026-11-01T00:00:00Z", end: "2026-12-01T00:00:00Z"}},
  groupBy: [{dimension: TENANT}, {dimension: TEAM}, {dimension: USER}, {dimension: STATUS}, {tag: "app.plan"}]) {
  nodes { tenant team user status tags { value } operations inputTokens cacheReadInputTokens unpricedOperations }
  totals { operations inputTokens } } }"""


@pytest.fixture
def api(clickhouse_url: str, tmp_path: Path) -> Iterator[Api]:
    with running_api(clickhouse_url, tmp_path, **ALWAYS) as running:
        yield running


def post(api: Api, *spans: Span) -> None:
    answer = api.post_traces(export(*spans))
    assert (answer.status_code, answer.content) == (200, b"")


def calls(api: Api) -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = api.data(QUERY)["costs"]["nodes"]
    return nodes


def response(tail: str) -> dict[str, object]:
    return {"gen_ai.response.id": f"chatcmpl-{tail:0>20}"}


def silent(values: dict[str, object] | None = None, **fields: Any) -> Span:
    return span({"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", **(values or {})}, **fields)


def failed(**fields: Any) -> Span:
    return silent({"error.type": "RateLimitError"}, error="Error code: 429", **fields)


def test_reports_in_two_exports_are_united(api: Api) -> None:
    for number, (first, second) in enumerate(permutations(range(2))):
        reports: Sequence[Span] = [
            silent({"tenant.id": "acme", "user.id": "ann", "app.plan": "pro"} | response(f"a{number}"), ms=90),
            chat(
                {"tenant.id": "acme", "gen_ai.usage.cache_read.input_tokens": 60} | response(f"a{number}"), start_ms=9
            ),
        ]
        post(api, reports[first])
        post(api, reports[second])
        post(api, reports[first], reports[second])
    (node,) = calls(api)
    assert (node["operations"], node["inputTokens"], node["cacheReadInputTokens"]) == (2, 200, 120)
    assert (node["user"], node["tags"], node["unpricedOperations"]) == ("ann", [{"value": "pro"}], 0)


def test_only_the_first_report_of_a_call_is_news(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    news: list[int] = []
    monkeypatch.setattr(api.services.pipeline, "_on_durable", lambda rows, _: news.append(len(rows)))
    for tenant in ({}, {"tenant.id": "acme"}):
        post(api, silent(tenant | response("a"), ms=90))
    assert news == [1, 0]


def test_a_call_moves_to_its_tenant_once_a_report_names_it(api: Api) -> None:
    post(api, chat(response("a")))
    assert calls(api)[0]["tenant"] == "unattributed"
    post(api, chat({"tenant.id": "acme"} | response("a")))
    post(api, chat(response("a")))
    (node,) = calls(api)
    assert (node["tenant"], node["operations"], node["inputTokens"]) == ("acme", 1, 100)


def test_two_tenants_never_share_a_call(api: Api) -> None:
    post(api, chat({"tenant.id": "acme"} | response("a")))
    post(api, chat({"tenant.id": "initech"} | response("a")))
    assert [node["operations"] for node in calls(api)] == [1, 1]


@pytest.mark.parametrize("outer_first", [True, False])
def test_a_failure_told_by_two_layers_counts_once(api: Api, *, outer_first: bool) -> None:
    outer = failed()
    inner = failed(parent=outer, start_ms=1, ms=98)
    for report in (outer, inner) if outer_first else (inner, outer):
        post(api, report)
    post(api, inner, outer)
    (node,) = calls(api)
    assert (node["operations"], node["status"]) == (1, "rate_limited")


def test_failures_side_by_side_are_calls_of_their_own(api: Api) -> None:
    around = span({})
    for _ in range(3):
        post(api, failed(parent=around))
    assert sum(node["operations"] for node in calls(api)) == 3


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_beyond_the_window_the_better_informed_report_wins(clickhouse_url: str, tmp_path: Path, order: Any) -> None:
    reports = [
        silent({"tenant.id": "acme"} | response("a"), start_ms=5),
        chat({"tenant.id": "acme"} | response("a"), start_ms=3),
        chat({"tenant.id": "acme", "gen_ai.usage.cache_read.input_tokens": 60} | response("a")),
    ]
    with running_api(clickhouse_url, tmp_path, merge_window=0, **ALWAYS) as api:
        for index in order:
            post(api, reports[index])
        (node,) = calls(api)
    assert (node["operations"], node["inputTokens"], node["cacheReadInputTokens"]) == (1, 100, 60)


def test_a_replay_is_a_duplicate_and_stores_nothing(api: Api) -> None:
    reports = [chat(response(f"{i}")) for i in range(5)]
    post(api, *reports)
    post(api, *reports)
    counters = api.services.pipeline.counters
    assert (counters.total("accepted"), counters.total("duplicate")) == (5, 5)
    (rows,), (newest,) = api.services.store.columns(Statement("SELECT count(), max(version) FROM events", {}))
    assert rows == 5
    assert newest < TOMBSTONE_VERSION
