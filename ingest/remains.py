"""What may be kept of a refused item: the fields of the wire format, and never content.

An unknown field may hold a prompt: its name stays, with null for its value. So does an object or a list where none
belongs, without what is in it, and a text is cut just beyond the longest that any field may have. What remains breaks
the rule that the item broke, so that redriving it as it is can never make an event of less than was sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from ingest.payloads import ENCODER, Cost, EventPayload

_LONGEST_TEXT: Final = 501
_FIELDS: Final = frozenset(EventPayload.__struct_fields__)
_COST_FIELDS: Final = frozenset(Cost.__struct_fields__)
_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True, slots=True)
class Remains:
    """An item as JSON, and those of its fields that are texts."""

    payload: bytes
    texts: Mapping[str, str]


def remains(item: bytes | EventPayload | None) -> Remains | None:
    """What may be kept of the item; None when it is no JSON object."""
    if item is None:
        return None
    try:
        sent = _OBJECT.decode(ENCODER.encode(item) if isinstance(item, EventPayload) else item)
        fields = {name[:_LONGEST_TEXT]: _kept(name, value) for name, value in sent.items()}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    texts = {name: value for name, value in fields.items() if isinstance(value, str)}
    return Remains(ENCODER.encode(fields), texts)


def _kept(name: str, value: msgspec.Raw) -> Any:
    if name in {"tags", "cost"} and bytes(value).startswith(b"{"):
        parts = _OBJECT.decode(value).items()
        return {
            key[:_LONGEST_TEXT]: _scalar(part) if name == "tags" or key in _COST_FIELDS else None for key, part in parts
        }
    return _scalar(value) if name in _FIELDS else None


def _scalar(value: msgspec.Raw) -> Any:
    """The value, digit for digit; a list or an object without its content."""
    match bytes(value)[:1]:
        case b"{":
            return {}
        case b"[":
            return []
        case b'"':
            return msgspec.json.decode(value, type=str)[:_LONGEST_TEXT]
        case _:
            return value
