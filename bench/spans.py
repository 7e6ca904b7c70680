"""Model calls as the spans that OpenTelemetry's GenAI instrumentations make of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from ingest.payloads import EventPayload

Pairs = Iterable[tuple[str, str | int | float | list[str]]]


def export(events: Sequence[EventPayload]) -> bytes:
    """The export of a process whose spans are these model calls, one a span, each with a response id of its own."""
    resource = Resource(
        attributes=_attributes([("service.name", "shop"), ("deployment.environment.name", "production")])
    )
    scope = InstrumentationScope(name="opentelemetry.instrumentation.genai.openai", version="1.0")
    spans = ScopeSpans(scope=scope, spans=map(_span, events))
    return ExportTraceServiceRequest(
        resource_spans=[ResourceSpans(resource=resource, scope_spans=[spans])]
    ).SerializeToString()


def _span(event: EventPayload) -> Span:
    own = blake2b((event.event_id or "").encode(), digest_size=32).digest()
    start = int(event.start_time.timestamp() * 1e6) * 1_000
    return Span(
        trace_id=own[:16],
        span_id=own[16:24],
        parent_span_id=own[24:],
        name=f"chat {event.request_model}",
        kind=Span.SPAN_KIND_CLIENT,
        start_time_unix_nano=start,
        end_time_unix_nano=start + int((event.duration_ms or 0) * 1e6),
        attributes=_attributes(_said(event, own.hex())),
    )


def _said(event: EventPayload, response: str) -> Pairs:
    return [
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", event.provider_name),
        ("gen_ai.request.model", event.request_model),
        ("gen_ai.request.temperature", 0.7),
        ("gen_ai.request.max_tokens", 1_024),
        ("gen_ai.response.model", event.response_model or event.request_model),
        ("gen_ai.response.id", f"chatcmpl-{response[:29]}"),
        ("gen_ai.response.finish_reasons", ["stop"]),
        ("gen_ai.usage.input_tokens", event.input_tokens or 0),
        ("gen_ai.usage.cache_read.input_tokens", event.cache_read_input_tokens or 0),
        ("gen_ai.usage.output_tokens", event.output_tokens or 0),
        ("server.address", "api.openai.com"),
        ("server.port", 443),
        ("tenant.id", event.tenant_id),
        ("feature", event.feature),
        ("user.id", event.user_id),
        ("app.plan", event.tags.get("plan", "pro")),
    ]


def _attributes(pairs: Pairs) -> list[KeyValue]:
    return [KeyValue(key=key, value=_value(value)) for key, value in pairs]


def _value(value: str | float | list[str]) -> AnyValue:
    if isinstance(value, list):
        return AnyValue(array_value=ArrayValue(values=map(_value, value)))
    if isinstance(value, float):
        return AnyValue(double_value=value)
    return AnyValue(int_value=value) if isinstance(value, int) else AnyValue(string_value=value)
