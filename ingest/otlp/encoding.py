"""OTLP trace exports as spans, whichever way they were encoded. Content is dropped here, before anything is built.

OTLP/JSON is the protobuf message with camelCase names, ids in hex, and integers as numbers or strings. Both encodings
are walked by the same code; a `_Codec` holds what differs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple

import msgspec
from google.protobuf.message import DecodeError
from msgspec import Struct
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from core.errors import InvalidInput
from ingest.otlp.content import READ_ONCE, is_content
from ingest.otlp.table import FIRST_TOKEN_EVENTS

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"

Scalar = str | int | float | bool
_SCALARS: Final = frozenset({str, int, float, bool})
Value = Scalar | list[Scalar]
Attributes = dict[str, Value]

SERVER: Final = 2
_KINDS: Final = {"SPAN_KIND_SERVER": SERVER}
_FAILED: Final = 2
_STATUS_CODES: Final = {"STATUS_CODE_ERROR": _FAILED}
_EVENTS: Final = FIRST_TOKEN_EVENTS | {"exception"}
_MAX_NANOSECONDS: Final = 2**64


class UnreadableTraces(InvalidInput):
    """The body is no OTLP trace export: nothing of it can be read, and sending it again will not help."""

    code = "UNREADABLE_TRACES"

    def __init__(self, reason: str) -> None:
        super().__init__(f"The body is no OTLP trace export: {reason}.")


class Event(NamedTuple):
    """Something that happened during a span, at nanoseconds since the epoch."""

    name: str
    time: int
    attributes: Attributes


class Span(Struct, kw_only=True, eq=False):
    """One span without its content. Ids are lowercase hex, empty when missing or zero; times are epoch nanoseconds."""

    trace_id: str
    span_id: str
    parent_span_id: str
    is_server: bool
    start: int
    end: int
    failed: bool
    message: str
    events: list[Event]
    attributes: Attributes
    scope: str
    resource: Attributes

    @property
    def ref(self) -> str:
        """The span's address: its trace and its own id."""
        return f"{self.trace_id}:{self.span_id}"


def decode(body: bytes, content_type: str) -> list[Span]:
    """The spans of an export, in its order. Raises UnreadableTraces for anything that is not one."""
    media_type = content_type.partition(";")[0].strip().lower()
    try:
        if media_type == PROTOBUF:
            return list(_spans(ExportTraceServiceRequest.FromString(body), _PROTOBUF))
        if media_type == JSON:
            return list(_spans(_JSON_DECODER.decode(body), _JSON))
    except DecodeError:
        raise UnreadableTraces("it is not a protobuf ExportTraceServiceRequest") from None
    except msgspec.MsgspecError as error:
        raise UnreadableTraces(f"as JSON it is refused with '{error}'") from None
    except (ValueError, OverflowError):
        raise UnreadableTraces("it holds a number that is none, or out of range") from None
    except RecursionError:
        raise UnreadableTraces("it is nested too deeply") from None
    raise UnreadableTraces("the content type must be application/x-protobuf or application/json")


class _Codec(NamedTuple):
    """What differs between the encodings: how an id and an attribute's value are written."""

    identifier: Callable[[Any], str]
    value: Callable[[Any], Any]

    def attributes(self, pairs: Iterable[Any] | None) -> Attributes:
        """The attributes that are not content, nested maps under dotted names."""
        found: Attributes = {}
        for pair in pairs or ():
            name = pair.key
            if not is_content(name) or name in READ_ONCE:
                value = self.value(pair.value)
                if type(value) in _SCALARS:
                    found[name] = value
                else:
                    _put(found, name, value)
        return found


def _put(attributes: Attributes, name: str, value: Any) -> None:
    if isinstance(value, dict):
        for key, member in value.items():
            _put(attributes, f"{name}.{key}", member)
    elif isinstance(value, list):
        attributes[name] = [item for item in value if isinstance(item, str | int | float)]
    elif value is not None:
        attributes[name] = value


def _spans(export: Any, codec: _Codec) -> Iterator[Span]:
    for of_resource in export.resource_spans or ():
        resource = codec.attributes(of_resource.resource.attributes) if of_resource.resource else {}
        for of_scope in of_resource.scope_spans or ():
            scope = (of_scope.scope.name or "") if of_scope.scope else ""
            for span in of_scope.spans or ():
                yield _span(span, codec, scope, resource)


def _span(span: Any, codec: _Codec, scope: str, resource: Attributes) -> Span:
    status = span.status
    return Span(
        trace_id=codec.identifier(span.trace_id),
        span_id=codec.identifier(span.span_id),
        parent_span_id=codec.identifier(span.parent_span_id),
        is_server=_enum(span.kind, _KINDS) == SERVER,
        start=_nanoseconds(span.start_time_unix_nano),
        end=_nanoseconds(span.end_time_unix_nano),
        failed=status is not None and _enum(status.code, _STATUS_CODES) == _FAILED,
        message=(status.message or "") if status is not None else "",
        events=[_event(event, codec) for event in span.events or () if event.name in _EVENTS],
        attributes=codec.attributes(span.attributes),
        scope=scope,
        resource=resource,
    )


def _event(event: Any, codec: _Codec) -> Event:
    return Event(event.name, _nanoseconds(event.time_unix_nano), codec.attributes(event.attributes))


def _enum(value: int | str | None, names: dict[str, int]) -> int:
    return names.get(value, 0) if isinstance(value, str) else value or 0


def _nanoseconds(value: int | str | None) -> int:
    time = int(value or 0)
    if not 0 <= time < _MAX_NANOSECONDS:
        raise OverflowError
    return time


# --- Protobuf ---------------------------------------------------------------------------------------------------------


def _protobuf_value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_protobuf_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: _protobuf_value(pair.value) for pair in value.kvlist_value.values}
    return getattr(value, kind) if kind is not None and kind != "bytes_value" else None


def _hex_of_bytes(value: bytes) -> str:
    return value.hex() if any(value) else ""


_PROTOBUF: Final = _Codec(_hex_of_bytes, _protobuf_value)

# --- JSON -------------------------------------------------------------------------------------------------------------


class _Json(Struct, rename="camel"):
    """A message of OTLP/JSON: names in camelCase, unknown ones ignored, null as good as absent."""


class _AnyValue(_Json):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: int | str | None = None
    double_value: float | str | None = None
    array_value: _ArrayValue | None = None
    kvlist_value: _KeyValueList | None = None


class _ArrayValue(_Json):
    values: list[_AnyValue | None] | None = None


class _KeyValue(_Json):
    key: str = ""
    value: _AnyValue | None = None


class _KeyValueList(_Json):
    values: list[_KeyValue] | None = None


class _JsonEvent(_Json):
    name: str | None = None
    time_unix_nano: int | str | None = None
    attributes: list[_KeyValue] | None = None


class _JsonStatus(_Json):
    code: int | str | None = None
    message: str | None = None


class _JsonSpan(_Json):
    trace_id: str | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    kind: int | str | None = None
    start_time_unix_nano: int | str | None = None
    end_time_unix_nano: int | str | None = None
    attributes: list[_KeyValue] | None = None
    events: list[_JsonEvent] | None = None
    status: _JsonStatus | None = None


class _JsonScope(_Json):
    name: str | None = None


class _JsonScopeSpans(_Json):
    scope: _JsonScope | None = None
    spans: list[_JsonSpan] | None = None


class _JsonResource(_Json):
    attributes: list[_KeyValue] | None = None


class _JsonResourceSpans(_Json):
    resource: _JsonResource | None = None
    scope_spans: list[_JsonScopeSpans] | None = None


class _JsonExport(_Json):
    resource_spans: list[_JsonResourceSpans] | None = None


def _json_value(value: _AnyValue | None) -> Any:  # noqa: PLR0911 - one return per kind of value
    if value is None:
        return None
    if value.string_value is not None:
        return value.string_value
    if value.int_value is not None:
        return int(value.int_value)
    if value.double_value is not None:
        return float(value.double_value)
    if value.array_value is not None:
        return [_json_value(item) for item in value.array_value.values or ()]
    if value.kvlist_value is not None:
        return {pair.key: _json_value(pair.value) for pair in value.kvlist_value.values or ()}
    return value.bool_value


def _hex_of_text(value: str | None) -> str:
    return value.lower() if value and value.strip("0") else ""


_JSON: Final = _Codec(_hex_of_text, _json_value)
_JSON_DECODER: Final = msgspec.json.Decoder(_JsonExport)
