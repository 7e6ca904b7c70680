"""LiteLLM's StandardLoggingPayload -> calls, each read as the span that LiteLLM's own tracing sends for it.

`ATTRIBUTES` names what a payload's fields are called in a trace; attribution, tokens, outcome and identity are then the
trace reader's, so that a call told through both doors is one event of one tenant. Messages, the response and tracebacks
are skipped while decoding.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from ingest.copies import Copy
from ingest.fit import shortened
from ingest.otlp.attribution import Attribution, Implied, said, with_agent_as_feature
from ingest.otlp.call import read_call
from ingest.otlp.content import SECRETS
from ingest.otlp.encoding import Attributes, Span, Value
from ingest.otlp.mapping import DEFAULT, AttributeMapping
from ingest.otlp.table import RAW
from ingest.otlp.values import label, number, spread_members, text
from ingest.payloads import Cost, EventPayload, Rejection
from ingest.rules import decoding_error

ATTRIBUTES: Final = (
    ("id", "gen_ai.response.id"),
    ("call_type", "gen_ai.operation.name"),
    ("custom_llm_provider", "gen_ai.provider.name"),
    ("model", "gen_ai.request.model"),
    ("prompt_tokens", "gen_ai.usage.input_tokens"),
    ("completion_tokens", "gen_ai.usage.output_tokens"),
    # What is in `input_cost` is in here too, and zero means that LiteLLM knew no price.
    ("response_cost", "gen_ai.usage.cost"),
    ("cost_breakdown.total_cost", "litellm.cost.total"),
    ("cost_breakdown.service_tier", "gen_ai.openai.response.service_tier"),
    ("error_information.error_code", "http.response.status_code"),
    ("error_information.error_class", "error.type"),
    ("session_id", "session.id"),
    ("end_user", "metadata.user_api_key_end_user_id"),
    ("cost_breakdown.vertex_location", "cloud.region"),
    ("cost_breakdown.data_residency", "cloud.region"),
    ("metadata.usage_object.inference_geo", "cloud.region"),
    ("metadata.prompt_management_metadata.prompt_id", "gen_ai.prompt.name"),
)
"""Path in a payload -> the attribute of a span that says the same; the first that is filled wins."""

BAGS: Final = (
    ("metadata", "metadata", 1),
    ("metadata.requester_metadata", "metadata", 2),
    ("metadata.spend_logs_metadata", "metadata", 2),
    ("metadata.usage_object", RAW, 3),
)
"""Path of an object -> the prefix under which its members are read, down to that many levels."""

TAGS: Final = (
    ("model_group", "litellm.model_group"),
    ("metadata.user_api_key_alias", "litellm.key_alias"),
    ("metadata.user_api_key_project_alias", "litellm.project"),
    ("metadata.user_api_key_project_id", "litellm.project"),
)
"""Path in a payload -> the tag that keeps it, beside `request_tags`."""

_READ_DIRECTLY: Final = (
    *("litellm_call_id", "trace_id", "status", "startTime", "endTime", "completionStartTime"),
    *("stream", "cache_hit", "request_tags"),
)
_PATHS: Final = (*(row[0] for row in (*ATTRIBUTES, *BAGS, *TAGS)), *_READ_DIRECTLY)
_HEADS: Final = dict.fromkeys(path.partition(".")[0] for path in _PATHS)
_DECODER: Final = msgspec.json.Decoder(msgspec.defstruct("Payload", [(head, Any, None) for head in _HEADS]))
"""Whatever no path leads to is skipped unread: it may be content."""

_LAST_SECOND: Final = 2**63 / 1e9


def read_payloads(
    items: Iterable[bytes], *, defaults: Attribution, mapping: AttributeMapping = DEFAULT
) -> list[Copy | Rejection]:
    """One call or one refusal per payload, in their order."""
    implied = Implied(defaults, mapping)
    return [_read(index, item, implied, mapping) for index, item in enumerate(items)]


def _read(index: int, item: bytes, implied: Implied, mapping: AttributeMapping) -> Copy | Rejection:
    try:
        return _call(_DECODER.decode(item), implied, mapping)
    except msgspec.DecodeError as error:
        broken = decoding_error(error)
    except UnicodeDecodeError:
        broken = decoding_error(msgspec.DecodeError("it is not UTF-8"))
    except RecursionError:
        broken = decoding_error(msgspec.DecodeError("it is nested too deeply"))
    return Rejection(index, broken.field, broken.rule, str(broken))


def _call(payload: Any, implied: Implied, mapping: AttributeMapping) -> Copy:
    span, tags = _span(payload), _request_tags(payload.request_tags)
    fields = said({**tags, **span.attributes}, mapping)
    fields["tags"] |= {**tags, **{name: label(value) for name, value in _first_filled(payload, TAGS).items()}}
    call_id = text(_scalar(payload.litellm_call_id))
    call = read_call(
        span,
        with_agent_as_feature(fields),
        implied.of(span),
        mapping,
        own_id=f"litellm:{call_id}" if call_id else "",
    )
    event = _from_cache(call.event) if payload.cache_hit is True else call.event
    return Copy(event, call.identity, call.implied)


def _span(payload: Any) -> Span:
    start, end = _nanoseconds(payload.startTime), _nanoseconds(payload.endTime)
    return Span(
        trace_id=text(_scalar(payload.trace_id)),
        span_id="",
        parent_span_id="",
        is_server=False,
        start=start,
        end=end,
        failed=payload.status == "failure",
        message="",
        events=[],
        attributes={**_attributes(payload), **_first_token(payload, start, end)},
        scope="litellm",
        resource={},
    )


def _attributes(payload: Any) -> Attributes:
    attributes: Attributes = _first_filled(payload, ATTRIBUTES)
    for path, prefix, depth in BAGS:
        spread_members(attributes, prefix, _at(payload, path), depth)
    if not (payload.prompt_tokens or payload.completion_tokens):
        # No call uses no tokens at all: nobody counted them.
        attributes.pop("gen_ai.usage.input_tokens", None)
        attributes.pop("gen_ai.usage.output_tokens", None)
    model, provider = attributes.get("gen_ai.request.model"), attributes.get("gen_ai.provider.name")
    if isinstance(model, str):
        # The proxy writes `openai/gpt-4o`, which would be another model than the one that spans name.
        attributes["gen_ai.request.model"] = model.removeprefix(f"{provider}/")
    return attributes


def _first_token(payload: Any, start: int, end: int) -> Attributes:
    """LiteLLM repeats the end where it has not seen the first token."""
    first = _nanoseconds(payload.completionStartTime)
    if payload.stream is not True or not start < first < end:
        return {}
    return {"gen_ai.response.time_to_first_chunk": (first - start) / 1e9}


def _from_cache(event: EventPayload) -> EventPayload:
    """LiteLLM repeats the answer's tokens when it had the answer already; the provider billed none of them."""
    unused = {name: None for name in event.__struct_fields__ if name.endswith("_tokens")}
    return msgspec.structs.replace(event, **unused, cache_hit=True, cost=Cost("0"))


def _request_tags(given: object) -> dict[str, str]:
    """`team:search` is the tag `team` of value `search`; a tag without a value is `true`."""
    tags: dict[str, str] = {}
    for tag in given if isinstance(given, list) else ():
        name, _, value = (part.strip() for part in tag.partition(":")) if isinstance(tag, str) else ("", "", "")
        if name and not SECRETS.search(name):
            tags.setdefault(shortened(name, 100), label(value) or "true")
    return tags


def _first_filled(payload: Any, rows: Sequence[tuple[str, str]]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for path, name in rows:
        value = _scalar(_at(payload, path))
        if value is not None and value != "":
            found.setdefault(name, value)
    return found


def _at(payload: Any, path: str) -> object:
    head, *rest = path.split(".")
    value = getattr(payload, head)
    for key in rest:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _scalar(value: object) -> Value | None:
    return value if isinstance(value, str | int | float) else None


def _nanoseconds(value: object) -> int:
    """A time in epoch seconds as nanoseconds, to the microsecond; 0 for anything else, and so refused as a start."""
    seconds = number(_scalar(value)) or 0
    return round(seconds * 1e6) * 1000 if seconds < _LAST_SECOND else 0
