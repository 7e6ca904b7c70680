"""`POST /v1/logs` and `/v1/metrics`: accepted, counted and never billed, as captured and as broken as can be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToJson
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse

from ingest.otlp.encoding import JSON, PROTOBUF
from ingest.otlp.ignored import LOGS, METRICS, Signal, UnreadableExport
from tests.app import Api
from tests.ingest.statuses import read_status

FIXTURES = Path(__file__).parents[1] / "fixtures" / "signals"
CAPTURES: list[dict[str, Any]] = json.loads((FIXTURES / "index.json").read_text())["files"]
SIGNALS = {signal.name: signal for signal in (LOGS, METRICS)}
by_signal = pytest.mark.parametrize("name", SIGNALS)
FORMS = ["application/x-protobuf", "application/json"]


def as_json(signal: Signal, body: bytes) -> bytes:
    return MessageToJson(signal.request.FromString(body)).encode()


def post(api: Api, name: str, body: bytes, **headers: str) -> Any:
    sent = {"x-api-key": api.key, "content-type": PROTOBUF} | headers
    return api.client.post(f"/v1/{name}", content=body, headers=sent)


def ignored(api: Api, name: str) -> float:
    """How many records of the signal the metrics tell of."""
    lines = api.client.get("/metrics").text.splitlines()
    return sum(
        float(line.split()[-1])
        for line in lines
        if line.startswith(f'apportion_ingest_ignored_total{{signal="{name}"}}')
    )


def test_all_captures_are_accepted_counted_and_not_billed(embedded_api: Api) -> None:
    api = embedded_api
    assert {entry["signal"] for entry in CAPTURES} == set(SIGNALS)
    for entry in CAPTURES:
        signal, body = SIGNALS[entry["signal"]], (FIXTURES / entry["file"]).read_bytes()
        before = ignored(api, signal.name)
        answer = post(api, signal.name, body)
        assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, PROTOBUF, b"")
        once = ignored(api, signal.name) - before
        assert once > 0
        answer = post(api, signal.name, as_json(signal, body), **{"content-type": "application/json; charset=utf-8"})
        assert (answer.status_code, answer.headers["content-type"], answer.json()) == (200, JSON, {})
        assert ignored(api, signal.name) - before == 2 * once
    assert api.services.pipeline.counters.total("received") == 0


def test_the_answers_are_those_of_the_signal() -> None:
    assert (LOGS.response, METRICS.response) == (ExportLogsServiceResponse, ExportMetricsServiceResponse)


@pytest.mark.parametrize(
    ("name", "body", "count"),
    [
        ("logs", b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{},{"body":{"stringValue":"x"}}]},{}]}]}', 2),
        ("metrics", b'{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"a"}]}]},{"scopeMetrics":null}]}', 1),
        ("logs", b"{}", 0),
        ("metrics", b'{"resourceMetrics":null,"later":1}', 0),
    ],
)
def test_records_are_counted_in_json(name: str, body: bytes, count: int) -> None:
    assert SIGNALS[name].count(body, JSON) == count


@by_signal
@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"\xff\xff", {}, 400),
        (b"[]", {"content-type": JSON}, 400),
        (b'{"resourceLogs":7,"resourceMetrics":7}', {"content-type": JSON}, 400),
        (b'{"resourceLogs":' + b"[" * 50_000, {"content-type": JSON}, 400),
        (b"{}", {"content-type": "text/plain"}, 415),
        (b"x" * 10_000_001, {}, 413),
        (b"", {"x-api-key": "apn_00000000_nonsense"}, 401),
    ],
)
def test_the_malformed_is_refused_with_a_status(
    embedded_api: Api, name: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    answer = post(embedded_api, name, body, **headers)
    assert answer.status_code == status
    if headers.get("content-type") == JSON:
        assert set(answer.json()) == {"code", "message"}
    else:
        assert read_status(answer.content).message
    assert ignored(embedded_api, name) == 0


def _count_or_refuse(name: str, body: bytes, form: str) -> None:
    try:
        count = SIGNALS[name].count(body, form)
    except UnreadableExport:
        return
    assert count >= 0


@given(st.sampled_from(list(SIGNALS)), st.binary(max_size=200), st.sampled_from(FORMS))
def test_random_bytes_are_counted_or_refused(name: str, body: bytes, form: str) -> None:
    _count_or_refuse(name, body, form)


trees = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["resourceLogs", "scopeLogs", "logRecords", "metrics"]), inner, max_size=3)
    ),
)


@given(st.sampled_from(list(SIGNALS)), trees)
def test_random_json_is_counted_or_refused(name: str, tree: object) -> None:
    _count_or_refuse(name, json.dumps(tree).encode(), JSON)
