"""OTLP traces -> wire events: decode, choose the spans to bill, attribute them, read them, merge their copies. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from ingest.copies import Copy, still_implied, united
from ingest.otlp.attribution import Attribution, Implied, said, with_agent_as_feature
from ingest.otlp.billing import is_billable
from ingest.otlp.call import Call, read_call
from ingest.otlp.collapse import Merge, collapse
from ingest.otlp.encoding import Span, decode
from ingest.otlp.mapping import DEFAULT, AttributeMapping
from ingest.otlp.values import spread, text
from ingest.payloads import EventPayload

_NOTHING: Final[dict[str, Any]] = {"tags": {}}


@dataclass(frozen=True)
class RejectedSpan:
    """A poison span: its address, the payload field at fault, the rule it breaks, and a sentence."""

    span: str
    field: str
    rule: str
    message: str


@dataclass(frozen=True, kw_only=True)
class TraceReading:
    """The paid calls of one export; every span is a call, collapsed, skipped or rejected."""

    calls: list[Copy]
    spans: int
    collapsed: int
    skipped: int
    rejected: list[RejectedSpan]

    @property
    def events(self) -> list[EventPayload]:
        """The calls as events."""
        return [call.event for call in self.calls]


def read_traces(
    body: bytes, content_type: str, *, defaults: Attribution, mapping: AttributeMapping = DEFAULT
) -> TraceReading:
    """The paid calls in a decompressed export, each once. Raises UnreadableTraces when the body is no such export.

    Attribution is looked for on the span, its ancestors in this export, the resource, then in `defaults`.
    """
    spans = decode(body, content_type)
    for span in spans:
        spread(span.attributes)
    billable = [span for span in spans if is_billable(span, mapping)]
    surroundings = _Surroundings(spans, billable, mapping)
    calls, rejected = _read(billable, surroundings, Implied(defaults, mapping), mapping)
    merges = collapse(calls, surroundings.outer)
    return TraceReading(
        calls=[_copy(merge) for merge in merges],
        spans=len(spans),
        collapsed=len(calls) - len(merges),
        skipped=len(spans) - len(billable),
        rejected=rejected,
    )


def _read(
    billable: Sequence[Span], surroundings: _Surroundings, implied: Implied, mapping: AttributeMapping
) -> tuple[list[Call], list[RejectedSpan]]:
    calls: list[Call] = []
    rejected: list[RejectedSpan] = []
    for span in billable:
        try:
            calls.append(read_call(span, surroundings.of(span), implied.of(span), mapping))
        except msgspec.ValidationError as error:
            rejected.append(_rejection(span, error))
    return calls, rejected


def _rejection(span: Span, error: msgspec.ValidationError) -> RejectedSpan:
    rule, _, path = str(error).partition(" - at `$.")
    field = path.rstrip("`")
    return RejectedSpan(span.ref, field, rule, f"Span {span.ref} has an unusable {field or 'value'}: {rule}.")


def _copy(merge: Merge) -> Copy:
    span = merge.copies[0].span
    return Copy(
        event=united(merge.copies),
        identity="response" if merge.has_response else "span",
        implied=still_implied(merge.copies),
        spans=tuple(call.span.ref for call in merge.copies),
        parent=f"{span.trace_id}:{span.parent_span_id}" if span.parent_span_id else "",
    )


class _Surroundings:
    """What spans and their ancestors say about attribution, each span asked once."""

    def __init__(self, spans: Sequence[Span], billable: Sequence[Span], mapping: AttributeMapping) -> None:
        self._mapping = mapping
        self._spans = {(span.trace_id, span.span_id): span for span in spans if span.span_id}
        self._billable = frozenset(billable)
        self._said: dict[Span, dict[str, Any]] = {}
        self.outer: dict[Span, Span] = {}
        """From a span to the nearest call around it."""

    def of(self, span: Span) -> dict[str, Any]:
        """The payload fields and tags said of the span; what is nearer to it wins."""
        return with_agent_as_feature(self._gather(span))

    def _gather(self, span: Span) -> dict[str, Any]:
        path: dict[Span, None] = {}
        around: Span | None = span
        while around is not None and around not in self._said and around not in path:
            path[around] = None
            around = self._spans.get((around.trace_id, around.parent_span_id))
        # Spans that are each other's parents end up here too: the circle is cut where it closes.
        around = around if around in self._said else None
        fields = self._said[around] if around is not None else _NOTHING
        for inner in reversed(path):
            if around is not None:
                self._nest(inner, around)
            fields = self._said[inner] = _joined(fields, _own(inner, self._mapping))
            around = inner
        return fields

    def _nest(self, inner: Span, around: Span) -> None:
        outer = around if around in self._billable else self.outer.get(around)
        if outer is not None:
            self.outer[inner] = outer


def _own(span: Span, mapping: AttributeMapping) -> dict[str, Any]:
    fields = said(span.attributes, mapping)
    if span.is_server and (route := text(span.attributes.get("http.route"))):
        fields.setdefault("endpoint", route)
    return fields


def _joined(above: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    return {**above, **own, "tags": {**above["tags"], **own["tags"]}}
