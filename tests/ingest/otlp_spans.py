"""Trace exports for tests: built span by span, re-encoded as OTLP/JSON, or read from captured files."""

from __future__ import annotations

import base64
import gzip
import itertools
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from ingest.otlp import Attribution, TraceReading, read_traces

PROTOBUF, JSON = "application/x-protobuf", "application/json"
FIXTURES = Path(__file__).parents[1] / "fixtures" / "otlp"
CAPTURES: list[dict[str, Any]] = json.loads((FIXTURES / "index.json").read_text())["files"]
START = 1_795_332_000_000_000_000
_ids = itertools.count(1)


def capture(name: str) -> bytes:
    """The body of a captured export, decompressed."""
    body = (FIXTURES / name).read_bytes()
    return gzip.decompress(body) if name.endswith(".gz") else body


def content_type(name: str) -> str:
    return JSON if name.endswith(".json") else PROTOBUF


def read_capture(name: str) -> TraceReading:
    return read_traces(capture(name), content_type(name), defaults=Attribution())


def any_value(value: object) -> AnyValue:
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case list():
            return AnyValue(array_value=ArrayValue(values=map(any_value, value)))
        case _:
            return AnyValue(string_value=str(value))


def attributes(values: Mapping[str, object]) -> list[KeyValue]:
    return [KeyValue(key=key, value=any_value(value)) for key, value in values.items()]


def span(
    values: Mapping[str, object] | None = None,
    *,
    parent: Span | None = None,
    error: str | None = None,
    start_ms: float = 0,
    ms: float = 100,
    **fields: Any,
) -> Span:
    """A span of its own trace, or of its parent's. `error` is the message of a failed status."""
    number = next(_ids)
    start = START + int(start_ms * 1e6)
    return Span(
        **{
            "trace_id": parent.trace_id if parent else number.to_bytes(16, "big"),
            "span_id": number.to_bytes(8, "big"),
            "parent_span_id": parent.span_id if parent else b"",
            "start_time_unix_nano": start,
            "end_time_unix_nano": start + int(ms * 1e6),
            "attributes": attributes(values or {}),
            "status": Status(code=Status.STATUS_CODE_ERROR, message=error) if error is not None else None,
            **fields,
        }
    )


def chat(values: Mapping[str, object] | None = None, **fields: Any) -> Span:
    """A chat with OpenAI, of 100 tokens in and 20 out unless the values say otherwise."""
    usual = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-5.4-mini",
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 20,
    }
    return span({**usual, **(values or {})}, **fields)


def export(*spans: Span, scope: str = "test", resource: Mapping[str, object] | None = None) -> bytes:
    request = ExportTraceServiceRequest()
    of_resource = request.resource_spans.add()
    of_resource.resource.attributes.extend(attributes(resource or {}))
    of_scope = of_resource.scope_spans.add()
    of_scope.scope.name = scope
    of_scope.spans.extend(spans)
    return request.SerializeToString()


def read(*spans: Span, defaults: Attribution | None = None, **options: Any) -> TraceReading:
    """The reading of one export of these spans."""
    return read_traces(export(*spans, **options), PROTOBUF, defaults=defaults or Attribution())


def as_json(body: bytes, *, enums_as_numbers: bool = True) -> bytes:
    """The same export as OTLP/JSON, which is protobuf's JSON except that ids are hex."""
    message = ExportTraceServiceRequest.FromString(body)
    exported = MessageToDict(message, use_integers_for_enums=enums_as_numbers)
    for one in _spans(exported):
        for key in ("traceId", "spanId", "parentSpanId"):
            if key in one:
                one[key] = base64.b64decode(one[key]).hex()
    return json.dumps(exported).encode()


def _spans(exported: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    for of_resource in exported.get("resourceSpans", ()):
        for of_scope in of_resource.get("scopeSpans", ()):
            yield from of_scope.get("spans", ())
