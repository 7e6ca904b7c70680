"""What a paid call must not be refused for is cut to size: long names and ids, and tags beyond the limit.

This is for doors whose clients cannot mend what they send, OTLP and LiteLLM; `POST /v1/events` refuses instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final

from msgspec.inspect import NoneType, StrType, StructType, Type, UnionType, type_info

from ingest.payloads import EventPayload

_DIGEST_LENGTH: Final = 16


def _longest(kind: Type) -> int | None:
    """The most characters of a text, or of one that may be missing; None for anything else."""
    choices = kind.types if isinstance(kind, UnionType) else (kind,)
    match [choice for choice in choices if not isinstance(choice, NoneType)]:
        case [StrType(max_length=limit)]:
            return limit
        case _:
            return None


def _limits() -> Mapping[str, int]:
    payload = type_info(EventPayload)
    assert isinstance(payload, StructType)
    return {field.name: limit for field in payload.fields if (limit := _longest(field.type))}


LIMITS: Final = _limits()
"""The most characters of every text of an event, as its type has them."""


_SHORTEST_LIMIT: Final = min(LIMITS.values())


def shortened(value: str, limit: int) -> str:
    """The text; a longer one is cut and ends in `~` and 16 hex digits of its hash, so that distinct ones stay distinct.

    The same text is always cut the same way: an id still recognises its replay.
    """
    if len(value) <= limit:
        return value
    digest = blake2b(value.encode("utf-8", "replace"), digest_size=_DIGEST_LENGTH // 2).hexdigest()
    return f"{value[: limit - _DIGEST_LENGTH - 1]}~{digest}"


def fit_texts(fields: dict[str, Any]) -> None:
    """Shortens every name and id among the fields of an event to its limit."""
    for name, value in fields.items():
        if isinstance(value, str) and len(value) > _SHORTEST_LIMIT and len(value) > LIMITS.get(name, len(value)):
            fields[name] = shortened(value, LIMITS[name])


def fit_tags(event: EventPayload, limit: int) -> int:
    """How many tags were dropped, for the event to keep `limit` at most: the first by name, the same ones each time."""
    excess = len(event.tags) - limit
    if excess <= 0:
        return 0
    event.tags = {key: event.tags[key] for key in sorted(event.tags)[:limit]}
    return excess
