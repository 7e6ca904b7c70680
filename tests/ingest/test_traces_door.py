"""`POST /v1/traces` as an exporter meets it: everything captured, exact to the token, and an answer to every fault."""

from __future__ import annotations

import gzip
import json
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceResponse,
)

from tenants.principal import Role
from tests.app import Api, running_api
from tests.engines import EmbeddedClickHouse, fresh_clickhouse_url
from tests.ingest.otlp_spans import CAPTURES, JSON, PROTOBUF, as_json, capture, chat, content_type, export, span
from tests.ingest.statuses import read_status
from tests.servers.clickhouse import ClickHouseServer

ALWAYS = {"max_event_age_days": 36_500, "max_event_ahead_seconds": 10**9}
"""Captured spans carry their own times; the suite must pass in other years too."""

NOVEMBER = '{between: {start: "2026-11-01T00:00:00Z", end: "2026-12-01T00:00:00Z"}}'
TOKENS = {
    "input": "inputTokens",
    "output": "outputTokens",
    "cache_read": "cacheReadInputTokens",
    "cache_write": "cacheCreationInputTokens",
    "reasoning": "reasoningOutputTokens",
}


@pytest.fixture
def api(clickhouse_url: str, tmp_path: Path) -> Iterator[Api]:
    with running_api(clickhouse_url, tmp_path, **ALWAYS) as running:
        yield running


@pytest.fixture
def embedded_api(embedded_clickhouse: EmbeddedClickHouse, tmp_path: Path) -> Iterator[Api]:
    with fresh_clickhouse_url(embedded_clickhouse) as url, running_api(url, tmp_path, **ALWAYS) as running:
        yield running


def totals(api: Api, **where: Any) -> dict[str, int]:
    measures = f"operations {' '.join(TOKENS.values())}"
    query = f"query($where: CostFilter) {{ costs(timeRange: {NOVEMBER}, where: $where) {{ totals {{ {measures} }} }} }}"
    found: dict[str, int] = api.data(query, where=where)["costs"]["totals"]
    return found


def groups(api: Api, dimension: str) -> dict[str | None, int]:
    """Operations by the values of a dimension, None for those without one."""
    query = f"{{ costs(timeRange: {NOVEMBER}, groupBy: [{{dimension: {dimension}}}]) {{ nodes {{ {dimension.lower()} operations }} }} }}"
    return {node[dimension.lower()]: node["operations"] for node in api.data(query)["costs"]["nodes"]}


# --- Everything captured ----------------------------------------------------------------------------------------------


def as_sent(name: str) -> tuple[Any, dict[str, str]]:
    """The body of a captured export and its headers, as its own exporter or another one would send it."""
    body, kind = capture(name), content_type(name)
    match sum(name.encode()) % 3:
        case 0:
            return gzip.compress(body), {"content-type": kind, "content-encoding": "gzip"}
        case 1:
            # Without Content-Length, as JavaScript's exporters send it.
            return iter([body[:100], body[100:]]), {"content-type": kind}
        case _ if kind == PROTOBUF:
            return as_json(body), {"content-type": "application/json; charset=utf-8"}
        case _:
            return body, {"content-type": kind}


def post_capture(api: Api, name: str) -> None:
    body, headers = as_sent(name)
    answer = api.post_traces(body, **headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, headers["content-type"].partition(";")[0])
    assert answer.content == (b"{}" if JSON in headers["content-type"] else b"")


def post_captures(api: Api, entries: list[dict[str, Any]]) -> None:
    """Posts them all, several at a time, as exporters do."""
    with ThreadPoolExecutor(8) as exporters:
        list(exporters.map(lambda entry: post_capture(api, entry["file"]), entries))


def billed(entries: list[dict[str, Any]]) -> dict[str, int]:
    """What the provider billed for these exports; a long list of calls ends in a remark and repeats its first."""
    sums = dict.fromkeys(("operations", *TOKENS.values()), 0)
    for entry in entries:
        calls = [truth for truth in entry["truth"] if isinstance(truth, dict)]
        calls += [calls[0]] * (entry["expected_calls_after_dedup"] - len(calls))
        sums["operations"] += len(calls)
        for name, measure in TOKENS.items():
            sums[measure] += sum(truth.get(name) or 0 for truth in calls)
    return sums


def is_exact(entry: dict[str, Any]) -> bool:
    """Whether the export tells all that was billed: not so where it lost something, or a stream broke uncounted."""
    uncounted = (truth.get("input", 0) is None for truth in entry["truth"] if isinstance(truth, dict))
    return not entry.get("deviation_from_truth") and not any(uncounted)


def by_source(entries: list[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    def source(entry: dict[str, Any]) -> str:
        return str(entry["source"])

    return [(name, list(group)) for name, group in groupby(sorted(entries, key=source), source)]


@pytest.mark.slow
def test_all_captures_sum_up_to_what_was_billed_by_source(api: Api) -> None:
    whole = [entry for entry in CAPTURES if is_exact(entry)]
    assert len({entry["source"] for entry in whole}) > 15
    before = totals(api)
    for source, entries in by_source(whole):
        post_captures(api, entries)
        after = totals(api)
        found = {name: after[name] - before[name] for name in after}
        assert (source, found) == (source, billed(entries))
        before = after
    post_captures(api, whole)
    assert totals(api) == before


@pytest.mark.slow
def test_calls_whose_tokens_were_lost_are_counted_all_the_same(api: Api) -> None:
    lossy = [entry for entry in CAPTURES if not is_exact(entry)]
    post_captures(api, lossy)
    assert totals(api)["operations"] == sum(entry["expected_calls_after_dedup"] for entry in lossy)


# --- Attribution and scope --------------------------------------------------------------------------------------------


def test_headers_attribute_what_spans_do_not(embedded_api: Api) -> None:
    api = embedded_api
    headers = {"x-apportion-tenant": "acme", "X-Apportion-Team": "core", "x-apportion-feature": "chat"}
    api.post_traces(export(chat(), chat({"tenant.id": "other", "feature": "search"})), **headers)
    api.post_traces(export(chat()))
    assert groups(api, "TENANT") == {"acme": 1, "other": 1, "unattributed": 1}
    assert groups(api, "TEAM") == {"core": 2, None: 1}
    assert totals(api, feature={"eq": "chat"})["operations"] == 1


def test_a_scoped_key_sends_for_its_tenant_alone(embedded_api: Api) -> None:
    api = embedded_api
    key = api.make_key(Role.INGEST, tenant="acme", environment="production")
    body = export(chat(), chat({"tenant.id": "other"}), chat({"tenant.id": "acme"}))
    answer = api.post_traces(body, key=key, **{"x-apportion-tenant": "other"})
    refused = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert (answer.status_code, refused.rejected_spans) == (200, 1)
    assert "tenant_id: this key may only send events of tenant_id 'acme'" in refused.error_message
    assert groups(api, "TENANT") == {"acme": 2}
    assert groups(api, "ENVIRONMENT") == {"production": 2}


def test_poison_spans_are_told_and_their_neighbours_kept(embedded_api: Api) -> None:
    body = export(chat(), chat({"gen_ai.usage.input_tokens": -1}), chat(start_time_unix_nano=0), chat())
    answer = embedded_api.post_traces(as_json(body), **{"content-type": JSON})
    refused = answer.json()["partialSuccess"]
    assert (answer.status_code, refused["rejectedSpans"]) == (200, "2")
    assert "input_tokens" in refused["errorMessage"]
    assert "start_time" in refused["errorMessage"]
    assert totals(embedded_api)["operations"] == 2


def test_nobody_sends_without_a_key_that_may(embedded_api: Api) -> None:
    api = embedded_api
    body = export(chat())
    for key, status, code in (("apn_00000000_nonsense", 401, 16), (api.make_key(Role.VIEWER), 403, 7)):
        answer = api.post_traces(body, key=key)
        assert (answer.status_code, read_status(answer.content).code) == (status, code)
    assert api.client.post("/v1/traces", content=body).headers["www-authenticate"] == "Bearer"
    assert totals(api)["operations"] == 0


# --- What cannot be read ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"\xff\xff", {}, 400, 3),
        (b"\xff\xff", {"content-type": ""}, 400, 3),
        (b"[]", {"content-type": JSON}, 400, 3),
        (b'{"resourceSpans":' + b"[" * 50_000, {"content-type": JSON}, 400, 3),
        (b"\x1f\x8b broken", {"content-encoding": "gzip"}, 400, 3),
        (b"", {"content-type": "text/plain"}, 415, 3),
        (b"{}", {"content-type": "application/vnd.json"}, 415, 3),
        (b"", {"content-encoding": "br"}, 415, 3),
        (b"x" * 10_000_001, {}, 413, 8),
        (gzip.compress(b"x" * 10_000_001), {"content-encoding": "gzip"}, 413, 8),
    ],
)
def test_what_cannot_be_read_is_refused_in_otlps_own_words(
    embedded_api: Api, body: bytes, headers: dict[str, str], status: int, code: int
) -> None:
    answer = embedded_api.post_traces(body, **headers)
    assert answer.status_code == status
    if "json" in headers.get("content-type", ""):
        assert answer.headers["content-type"] == JSON
        told = answer.json()
        assert (told["code"], bool(told["message"])) == (code, True)
    else:
        assert answer.headers["content-type"] == PROTOBUF
        found = read_status(answer.content)
        assert (found.code, bool(found.message), list(found.details)) == (code, True, [])
    assert "retry-after" not in answer.headers
    assert embedded_api.services.pipeline.counters.total("received") == 0


def test_an_empty_export_and_one_without_calls_are_fine(embedded_api: Api) -> None:
    for body in (b"", export(span({"http.route": "/"}))):
        answer = embedded_api.post_traces(body)
        assert (answer.status_code, answer.content) == (200, b"")


# --- What has to be sent again ----------------------------------------------------------------------------------------


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[ClickHouseServer]:
    with ClickHouseServer(tmp_path / "clickhouse") as server:
        yield server


def assert_worth_a_retry(answer: Any) -> None:
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    found = read_status(answer.content)
    assert found.code == 14
    (detail,) = map(AnyMessage.FromString, found.details)
    assert (detail.type_url, detail.value) == ("type.googleapis.com/google.rpc.RetryInfo", b"\x0a\x02\x08\x01")


@pytest.mark.slow
def test_a_store_that_is_away_is_worth_a_retry(own_server: ClickHouseServer, tmp_path: Path) -> None:
    with running_api(own_server.url("apportion"), tmp_path, spool_max_bytes=0, **ALWAYS) as api:
        body = export(chat())
        own_server.kill()
        assert_worth_a_retry(api.post_traces(body))
        own_server.start()
        assert api.post_traces(body).status_code == 200
        assert totals(api)["operations"] == 1


@pytest.mark.slow
def test_a_full_queue_is_worth_a_retry(own_server: ClickHouseServer, tmp_path: Path) -> None:
    with (
        running_api(own_server.url("apportion"), tmp_path, ingest_queue_events=1, **ALWAYS) as api,
        ThreadPoolExecutor(1) as other,
    ):
        os.kill(own_server.pid, signal.SIGSTOP)
        first = other.submit(api.post_traces, export(chat()))
        while not api.services.pipeline.queue_depth:
            time.sleep(0.01)
        assert_worth_a_retry(api.post_traces(export(chat())))
        os.kill(own_server.pid, signal.SIGCONT)
        assert first.result().status_code == 200
        assert totals(api)["operations"] == 1


# --- What a paid call is not refused for ------------------------------------------------------------------------------


def test_long_names_and_too_many_tags_cost_no_call(embedded_clickhouse: EmbeddedClickHouse, tmp_path: Path) -> None:
    with (
        fresh_clickhouse_url(embedded_clickhouse) as url,
        running_api(url, tmp_path, max_tags=2, max_distinct_names=3, **ALWAYS) as api,
    ):
        tags = {f"app.t{number}": "x" * 600 for number in range(5)}
        spans = [chat(tags | {"feature": f"f{number}", "user.id": "u" * 300}) for number in range(5)]
        spans.append(chat({"gen_ai.request.model": "m" * 300}))
        answer = api.post_traces(export(*spans))
        assert (answer.status_code, answer.content) == (200, b"")
        assert totals(api)["operations"] == 6
        assert groups(api, "FEATURE") == {"f0": 1, "f1": 1, "f2": 1, "(other)": 2, None: 1}
        (user,) = groups(api, "USER").keys() - {None}
        assert len(str(user)) == 256
        # feature is a tag too: of six tags each of five calls keeps two.
        dropped = 'apportion_ingest_dropped_tags_total{source="otlp"} 20.0'
        assert dropped in api.client.get("/metrics").text


def test_a_deployments_own_attributes_are_read(embedded_clickhouse: EmbeddedClickHouse, tmp_path: Path) -> None:
    own = {"otlp_attributes": {"tenant_id": ["shop.customer"], "stage": ["shop.step"]}, "otlp_tags": ["shop.plan*"]}
    with fresh_clickhouse_url(embedded_clickhouse) as url, running_api(url, tmp_path, **own, **ALWAYS) as api:
        body = export(chat({"shop.step": "draft", "shop.planName": "pro"}), resource={"shop.customer": "acme"})
        assert api.post_traces(body).status_code == 200
        assert groups(api, "TENANT") == {"acme": 1}
        assert totals(api, stage={"eq": "draft"}, tag={"key": "shop.planName", "is": {"eq": "pro"}})["operations"] == 1


def test_a_compressed_json_export_without_a_length(embedded_api: Api) -> None:
    body = gzip.compress(as_json(export(*(chat() for _ in range(512)))))
    answer = embedded_api.post_traces(
        iter([body[:999], body[999:]]), **{"content-type": JSON, "content-encoding": "gzip"}
    )
    assert (answer.status_code, json.loads(answer.content)) == (200, {})
    assert totals(embedded_api)["operations"] == 512
