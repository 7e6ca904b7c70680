"""OTLP traces against what real clients sent: captured exports, each with what the provider really billed."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from ingest.otlp import DEFAULT, Attribution, TraceReading, UnreadableTraces, read_traces
from ingest.payloads import ENCODER, EventPayload
from tests.ingest.otlp_spans import CAPTURES, JSON, PROTOBUF, as_json, capture, content_type, read_capture

TOKENS = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cache_read": "cache_read_input_tokens",
    "cache_write": "cache_creation_input_tokens",
    "cache_write_1h": "cache_creation_1h_input_tokens",
    "reasoning": "reasoning_output_tokens",
}
OUTCOMES = {
    "ok": {"ok"},
    "429": {"rate_limited"},
    "RateLimitError": {"rate_limited"},
    "timeout": {"timeout"},
    "aborted by client": {"ok", "cancelled"},
}
"""What the provider saw -> the statuses that tell it; every other failure is an `error`."""

NAMES = [entry["file"] for entry in CAPTURES]
PROTOBUF_NAMES = [name for name in NAMES if content_type(name) == PROTOBUF]
by_capture = pytest.mark.parametrize("entry", CAPTURES, ids=NAMES)


def truths(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """The billed calls, largest first; long lists end in a remark and repeat their first call."""
    listed = [truth for truth in entry["truth"] if isinstance(truth, dict)]
    padding = (
        [listed[0]] * (entry["expected_calls_after_dedup"] - len(listed)) if len(listed) < len(entry["truth"]) else []
    )
    return sorted(listed + padding, key=lambda truth: -(truth.get("input") or 0))


def lost(entry: dict[str, Any]) -> set[str]:
    """What the instrumentation itself lost, so that nobody can read it."""
    return {deviation.partition(":")[0] for deviation in entry.get("deviation_from_truth", ())}


def largest_first(events: list[EventPayload]) -> list[EventPayload]:
    return sorted(events, key=lambda event: -(event.input_tokens or 0))


@by_capture
def test_every_paid_call_is_read_once(entry: dict[str, Any]) -> None:
    reading = read_capture(entry["file"])
    assert len(reading.events) == entry["expected_calls_after_dedup"]
    assert reading.rejected == []
    assert reading.spans == entry["spans"] == len(reading.events) + reading.collapsed + reading.skipped
    assert len(reading.calls) == len(reading.events)


@by_capture
def test_tokens_are_what_the_provider_billed(entry: dict[str, Any]) -> None:
    if "calls" in lost(entry):
        assert all(event.input_tokens is None for event in read_capture(entry["file"]).events)
        return
    for truth, event in zip(truths(entry), largest_first(read_capture(entry["file"]).events), strict=True):
        for name in TOKENS.keys() - lost(entry):
            if truth.get(name) is not None:
                assert (getattr(event, TOKENS[name]) or 0) == truth[name], name


@pytest.mark.parametrize("entry", [entry for entry in CAPTURES if lost(entry)], ids=lambda entry: entry["file"])
def test_what_an_instrumentation_lost_is_what_is_documented(entry: dict[str, Any]) -> None:
    events = read_capture(entry["file"]).events
    for deviation in entry["deviation_from_truth"]:
        name, _, numbers = deviation.partition(": truth ")
        extracted = int(numbers.partition(" extracted ")[2])
        if name in TOKENS:
            assert [getattr(event, TOKENS[name]) for event in events] == [extracted or None]
        elif name == "calls":
            assert len(events) == extracted


@by_capture
def test_status_and_model_are_those_of_the_call(entry: dict[str, Any]) -> None:
    events = read_capture(entry["file"]).events
    if {"calls", "errors"} & lost(entry):
        assert {event.status for event in events} <= {"ok", "timeout", "cancelled"}
        return
    for truth, event in zip(truths(entry), largest_first(events), strict=True):
        outcome = truth.get("error", truth["status"])
        assert event.status in OUTCOMES.get(outcome, {"error"})
        assert bool(event.error_type) == (event.status not in {"ok", "cancelled"})
        assert event.request_model.startswith(truth["model"])
        assert event.response_model.startswith(truth["model"]) or event.response_model == ""


@by_capture
def test_every_call_has_a_provider_an_operation_and_a_time(entry: dict[str, Any]) -> None:
    for event in read_capture(entry["file"]).events:
        assert event.provider_name in {"openai", "anthropic"}
        assert event.operation_name in {"chat", "embeddings"}
        assert event.start_time.year == 2026
        assert event.duration_ms is not None
        assert event.service_name in {"checkout-api", "web-bff"}
        assert event.environment == "production"


def test_attribution_reaches_the_call_from_its_ancestors() -> None:
    (event,) = read_capture("otel-attrs.parent-span.otlp.pb").events
    assert (event.tenant_id, event.feature, event.user_id, event.session_id) == ("acme", "summarize", "u-42", "s-1")
    assert event.team == "search"
    assert event.tags == {"feature": "summarize", "cost_center": "CC-42"}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("vercel-ai.generateText.otlp.json", ("acme", "", "summarize", "u-42", "s-1")),
        ("vercel-ai7.generateText.otlp.json", ("unattributed", "", "summarize", "", "")),
        ("litellm-otel.err429.otlp.pb", ("team-7", "team-7", "", "end-user-42", "")),
        ("openinference-langchain.chain.otlp.pb", ("acme", "", "", "u-42", "")),
        ("anthropic-sdk-attrs.conversation.otlp.pb", ("unattributed", "", "", "", "conv-123")),
    ],
)
def test_attribution_is_found_where_each_library_puts_it(name: str, said: tuple[str, ...]) -> None:
    (event,) = read_capture(name).events
    assert (event.tenant_id, event.team, event.feature, event.user_id, event.session_id) == said


# --- Encodings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("enums_as_numbers", [True, False])
@pytest.mark.parametrize("name", PROTOBUF_NAMES)
def test_json_and_protobuf_read_identically(name: str, enums_as_numbers: bool) -> None:
    translated = as_json(capture(name), enums_as_numbers=enums_as_numbers)
    assert read_traces(translated, "application/json; charset=utf-8", defaults=Attribution()) == read_capture(name)


@pytest.mark.parametrize("name", PROTOBUF_NAMES)
def test_an_export_sent_in_two_bodies_has_the_same_event_ids(name: str) -> None:
    whole = read_capture(name)
    parts = [read_traces(part, PROTOBUF, defaults=Attribution()) for part in _halves(capture(name))]
    ids = {event.event_id for event in whole.events}
    split_ids = {event.event_id for part in parts for event in part.events}
    # A failed call seen by two layers is known by its outer span alone, once that one has arrived.
    inner_only = {"dup-genai.messages.err429.otlp.pb": 1}.get(name, 0)
    assert ids <= split_ids
    assert len(split_ids - ids) == inner_only


def _halves(body: bytes) -> list[bytes]:
    halves = [ExportTraceServiceRequest.FromString(body) for _ in range(2)]
    for half, request in enumerate(halves):
        places = iter(range(1_000_000))
        for of_resource in request.resource_spans:
            for of_scope in of_resource.scope_spans:
                kept = [span for span in of_scope.spans if next(places) % 2 == half]
                del of_scope.spans[:]
                of_scope.spans.extend(kept)
    return [request.SerializeToString() for request in halves]


def test_a_replayed_export_reads_the_same() -> None:
    body = capture("otel-attrs.batch512.otlp.pb")
    once, twice = (read_traces(sent, PROTOBUF, defaults=Attribution()) for sent in (body, body + body))
    assert twice.events == once.events
    assert twice.collapsed == once.collapsed + once.spans


# --- Content and secrets ----------------------------------------------------------------------------------------------

CONTENT = (
    *(
        "Say hello",
        "Say {x}",
        "Hello from",
        "Weather?",
        "sunny in",
        "Be brief",
        "Berlin",
        "sentence to embed",
    ),
    *("Traceback", "Rate limit reached", "x-fake-scenario", "BaseHTTP", "ai/6.0.326", "support_agent run"),
)


@pytest.mark.parametrize("tags", [(), ("*",)], ids=["default tags", "all tags"])
@pytest.mark.parametrize("name", NAMES)
def test_no_content_reaches_an_event(name: str, tags: tuple[str, ...]) -> None:
    mapping = DEFAULT.tagging(*tags)
    reading = read_traces(capture(name), content_type(name), defaults=Attribution(), mapping=mapping)
    written = ENCODER.encode(reading.events).decode()
    assert [content for content in CONTENT if content in written] == []


def test_the_captures_do_carry_the_content_looked_for() -> None:
    captured = b"".join(map(capture, NAMES))
    assert [content for content in CONTENT if content.encode() not in captured] == []


# --- Anything at all --------------------------------------------------------------------------------------------------


def _read_or_refuse(body: bytes, kind: str) -> TraceReading | None:
    try:
        reading = read_traces(body, kind, defaults=Attribution())
    except UnreadableTraces:
        return None
    assert reading.spans == len(reading.events) + reading.collapsed + reading.skipped + len(reading.rejected)
    for event in reading.events:
        assert msgspec.convert(msgspec.to_builtins(event), EventPayload) == event
    assert max(Counter((event.tenant_id, event.event_id) for event in reading.events).values(), default=1) == 1
    return reading


SMALL = [name for name in PROTOBUF_NAMES if "batch" not in name]


@given(st.binary(max_size=400), st.sampled_from([PROTOBUF, JSON]))
def test_random_bytes_are_read_or_refused(body: bytes, kind: str) -> None:
    _read_or_refuse(body, kind)


@given(st.sampled_from(SMALL), st.data())
def test_a_truncated_or_damaged_export_is_read_or_refused(name: str, data: st.DataObject) -> None:
    body = bytearray(capture(name))
    for place in data.draw(st.lists(st.integers(0, len(body) - 1), max_size=5)):
        body[place] = data.draw(st.integers(0, 255))
    end = data.draw(st.none() | st.integers(0, len(body)))
    _read_or_refuse(bytes(body[:end]), PROTOBUF)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
trees = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner))
integers = st.integers(-2, 2**63 - 1) | st.sampled_from([0, 1, 7, "1", "7", "-1", "1795332000000000000"])
names = st.sampled_from(
    sorted({name for fields in (DEFAULT.tokens, DEFAULT.texts) for group in fields.names.values() for name in group})
) | st.sampled_from(
    [
        *("openinference.span.kind", "ai.operationId", "output.value", "metadata", "gen_ai.usage.raw", "tenant.id"),
        *("error.type", "http.response.status_code", "gen_ai.usage.cost", "http.request.resend_count"),
        "gen_ai.response.id",
    ]
)
texts = st.sampled_from(["LLM", "ai.doEmbed", "{", '{"usage":{"a":1}}', "{'a': 1}"]) | st.text(max_size=9)
values = st.fixed_dictionaries(
    {},
    optional={
        "stringValue": texts,
        "intValue": integers,
        "doubleValue": st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(["NaN", "Infinity", "-0"]),
        "arrayValue": st.fixed_dictionaries(
            {"values": st.lists(st.just({"stringValue": "x"}) | st.none(), max_size=2)}
        ),
        "boolValue": st.booleans(),
    },
)
chats = st.just({"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}})
ids = st.sampled_from(["", "00", "0a", "0b", "0C"])
times = st.sampled_from([0, 1, "1795332000000000000", 1795332000000000000, 2**64 - 1])
spans = st.fixed_dictionaries(
    {"traceId": ids, "spanId": ids, "startTimeUnixNano": times},
    optional={
        "parentSpanId": ids,
        "kind": st.sampled_from([0, 2, 99, "SPAN_KIND_SERVER", "NEW"]),
        "endTimeUnixNano": times,
        "status": st.fixed_dictionaries({"code": st.sampled_from([0, 2, "STATUS_CODE_ERROR"])}) | st.none(),
        "attributes": st.lists(chats | st.fixed_dictionaries({"key": names, "value": values}), max_size=8) | st.none(),
        "events": st.lists(st.fixed_dictionaries({"name": st.just("exception"), "timeUnixNano": times}), max_size=2),
    },
)


@given(trees | st.fixed_dictionaries({"resourceSpans": trees}))
def test_random_json_is_read_or_refused(tree: object) -> None:
    _read_or_refuse(_dumped(tree), JSON)


@given(st.lists(spans, max_size=6))
def test_random_spans_are_read_or_refused(exported: list[dict[str, object]]) -> None:
    _read_or_refuse(_dumped({"resourceSpans": [{"scopeSpans": [{"spans": exported}]}]}), JSON)


def _dumped(tree: object) -> bytes:
    return json.dumps(tree).encode()


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"null", JSON),
        (b"[]", JSON),
        (b'{"resourceSpans":' + b"[" * 100_000, JSON),
        (b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"startTimeUnixNano":"soon"}]}]}]}', JSON),
        (b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"startTimeUnixNano":-1}]}]}]}', JSON),
        (b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"startTimeUnixNano":18446744073709551616}]}]}]}', JSON),
        (b'{"resourceSpans":[{"resource":{"attributes":[{"key":"k","value":{"intValue":"x"}}]}}]}', JSON),
        (b'{"resourceSpans":[{"resource":{"attributes":[{"key":"k","value":{"stringValue":"\\ud800"}}]}}]}', JSON),
        (b"\xff\xff", PROTOBUF),
        (b"{}", "text/plain"),
        (b"{}", ""),
    ],
)
def test_a_body_that_is_no_export_is_refused_with_a_sentence(body: bytes, kind: str) -> None:
    with pytest.raises(UnreadableTraces, match=r"^The body is no OTLP trace export: .*\.$") as refusal:
        read_traces(body, kind, defaults=Attribution())
    assert refusal.value.code == "UNREADABLE_TRACES"


@pytest.mark.parametrize(("body", "kind"), [(b"", PROTOBUF), (b"{}", JSON), (b'{"resourceSpans":null}', JSON)])
def test_an_empty_export_is_an_export(body: bytes, kind: str) -> None:
    assert read_traces(body, kind, defaults=Attribution()).spans == 0
