"""One billable span as one wire event, with what a merge needs to know about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from ingest.copies import Identity
from ingest.fit import fit_texts
from ingest.otlp.billing import operation_name
from ingest.otlp.encoding import Span, Value
from ingest.otlp.identity import provider_name, response_event_id, span_event_id, telling_response_id
from ingest.otlp.mapping import AttributeMapping
from ingest.otlp.outcome import outcome
from ingest.otlp.table import FIRST_TOKEN, FIRST_TOKEN_EVENTS
from ingest.otlp.values import amount, count, filled, number, take_output, text
from ingest.payloads import EventPayload

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
UNCACHED_INPUT_SCOPES: Final = frozenset({"openlit.instrumentation.anthropic"})
"""Scopes whose input count leaves out the cached tokens."""


@dataclass(eq=False, slots=True)
class Call:
    """A billable span as an event. `implied` are the fields nobody said about this call: process-wide or defaults."""

    event: EventPayload
    identity: Identity
    implied: frozenset[str]
    span: Span

    def implies(self, field: str) -> bool:
        """Whether the field holds only what was implied."""
        return field in self.implied

    @property
    def has_usage(self) -> bool:
        """Whether the span counted any tokens."""
        return self.event.input_tokens is not None or self.event.output_tokens is not None


def read_call(
    span: Span,
    said: Mapping[str, Any],
    implied: Mapping[str, Any],
    mapping: AttributeMapping,
    *,
    own_id: str | None = None,
) -> Call:
    """The span as a call. `said` holds what it and its ancestors say of attribution, `implied` what stands in for it.

    `own_id` names a call without a response, instead of its span. Names and ids that are too long are cut to size.
    Raises msgspec.ValidationError when a value breaks the payload's rules.
    """
    written_id = take_output(span.attributes)
    told = filled(span.attributes, mapping.call)
    response_id = telling_response_id(text(told.get("response_id")) or written_id)
    fields = {**implied, **said, **_own(span, told, mapping)}
    fields["tags"] = {**implied["tags"], **said["tags"]}
    if response_id:
        fields["event_id"] = response_event_id(fields["provider_name"], response_id)
    else:
        fields["event_id"] = span_event_id(span) if own_id is None else own_id
    fit_texts(fields)
    return Call(
        event=msgspec.convert(fields, EventPayload),
        identity="response" if response_id else "span",
        implied=frozenset(implied.keys() - said.keys()),
        span=span,
    )


def _own(span: Span, told: Mapping[str, Value], mapping: AttributeMapping) -> dict[str, Any]:
    status, error_type = outcome(span, told)
    texts = {field: text(told[field]) for field in mapping.texts.names if field in told}
    cost = amount(told.get("cost"))
    duration_ms = _duration_ms(span)
    return {
        **texts,
        **_tokens(span, {field: count(told[field]) for field in mapping.tokens.names if field in told}),
        "start_time": _EPOCH + timedelta(microseconds=span.start // 1000) if span.start else None,
        "parent_event_id": span.parent_span_id,
        "provider_name": provider_name(text(told.get("provider"))),
        "operation_name": operation_name(span),
        "status": status,
        "error_type": error_type,
        "workload": _workload(told.get("batch"), texts.get("service_tier", "")),
        "attempt": _attempt(told.get("resends")),
        "duration_ms": duration_ms,
        "time_to_first_token_ms": _first_token_ms(span, told, duration_ms),
        "cost": {"amount": cost} if cost else None,
    }


def _tokens(span: Span, counts: dict[str, object]) -> dict[str, object]:
    """Counts as OpenTelemetry counts them: input with all cached tokens, output with all reasoning.

    A part that exceeds its whole cannot be inside it, so it is added.
    """
    cached = [counts.get(field) for field in ("cache_read_input_tokens", "cache_creation_input_tokens")]
    if any(cached):
        _include(counts, "input_tokens", cached, outside=span.scope in UNCACHED_INPUT_SCOPES)
    if counts.get("reasoning_output_tokens"):
        _include(counts, "output_tokens", [counts["reasoning_output_tokens"]])
    return counts


def _include(counts: dict[str, object], whole: str, parts: list[object], *, outside: bool = False) -> None:
    inside = sum(part for part in parts if isinstance(part, int) and part > 0)
    total = counts.get(whole)
    if isinstance(total, int) and total >= 0 and (outside or inside > total):
        counts[whole] = total + inside


def _workload(value: Value | None, service_tier: str) -> str:
    said = {text(value).lower(), service_tier}
    return "interactive" if said.isdisjoint({"batch", "true"}) else "batch"


def _attempt(resends: Value | None) -> object:
    sent_again = 0 if resends is None else count(resends)
    return sent_again + 1 if isinstance(sent_again, int) else sent_again


def _duration_ms(span: Span) -> float | None:
    if span.attributes.get("logfire.span_type") == "log":
        seconds = number(span.attributes.get("duration"))
        return None if seconds is None else seconds * 1000
    return (span.end - span.start) / 1e6 if span.end >= span.start else None


def _first_token_ms(span: Span, told: Mapping[str, Value], duration_ms: float | None) -> float | None:
    """None also when it would come after the end: then two clocks disagree, and neither is to be believed."""
    first_token_ms = _told_first_token_ms(span, told)
    if first_token_ms is None:
        times = [event.time for event in span.events if event.name in FIRST_TOKEN_EVENTS and event.time >= span.start]
        first_token_ms = (min(times) - span.start) / 1e6 if times else None
    is_late = first_token_ms is not None and duration_ms is not None and first_token_ms > duration_ms
    return None if is_late else first_token_ms


def _told_first_token_ms(span: Span, told: Mapping[str, Value]) -> float | None:
    streamed = text(told.get("streamed")).lower() == "true"
    for timing in FIRST_TOKEN:
        value = number(span.attributes.get(timing.name))
        if value is not None and (streamed or not timing.streamed_only):
            return value * timing.ms
    return None
