"""Attribute values as the types a field needs. Empty is as good as absent; what cannot be read is left to the rules."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec

from core.money import MAX_AMOUNT, plain, quantize
from ingest.otlp.content import OUTPUT
from ingest.otlp.encoding import Attributes, Value
from ingest.otlp.mapping import Fields
from ingest.otlp.table import OUTPUT_RESPONSE_ID, OUTPUT_USAGE, RAW, SPREAD, Names

_DEPTH: Final = 3
"""Levels of a JSON attribute that are read; the deepest name in the table has three."""

_LITERAL_LIMIT: Final = 20_000
_JSON: Final = msgspec.json.Decoder()


def first(attributes: Attributes, names: Names) -> Value | None:
    """The value of the first of these names that is present and not empty; zero and False are values."""
    for name in names:
        value = attributes.get(name)
        if value is not None and _says_something(value):
            return value
    return None


def _says_something(value: Value) -> bool:
    """Whether the value is not empty, and Logfire has not taken it out because its name sounded like a secret, as
    `session.id` does.
    """
    if isinstance(value, str):
        return value != "" and not value.startswith("[Scrubbed due to")
    return value != []


def filled(attributes: Attributes, fields: Fields) -> Mapping[str, Value]:
    """Every field that some attribute fills, with the value of its first name. One look-up for each attribute."""
    places, found, ranks = fields.places, dict[str, Value](), dict[str, int]()
    for name in places.keys() & attributes.keys():
        value = attributes[name]
        if _says_something(value):
            for field, rank in places[name]:
                if rank < ranks.get(field, rank + 1):
                    found[field], ranks[field] = value, rank
    return found


def text(value: Value | None) -> str:
    """The value as a trimmed text, of a list its first member; empty for none."""
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value).strip()


def label(value: Value) -> str:
    """The value as a tag's text, lists joined with commas. Cut at 500 characters: a long tag must not cost a call."""
    joined = ",".join(text(item) for item in value) if isinstance(value, list) else text(value)
    return joined[:500]


def count(value: Value) -> object:
    """A whole number in any spelling (`120`, `120.0`, "120") as an int; anything else as it is, to be refused."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and len(value) < 20 and value.removeprefix("-").isdecimal():
        return int(value)
    return value


def number(value: Value | None) -> float | None:
    """A finite number that is not negative, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < 1e15 else None


def amount(value: Value | None) -> str | None:
    """A client's own cost as a plain decimal with at most 12 places; None for zero, by which clients mean unknown."""
    if isinstance(value, bool | list):
        return None
    try:
        cost = Decimal(str(value))
    except InvalidOperation:
        return None
    if not cost.is_finite() or not 0 < cost < MAX_AMOUNT:
        return None
    cost = quantize(cost)
    return plain(cost) if cost else None


def spread(attributes: Attributes) -> None:
    """Adds the members of JSON attributes under dotted names, behind any that are there already."""
    for name, prefix in SPREAD.items():
        value = attributes.get(name)
        if isinstance(value, str) and value.startswith("{"):
            _spread(attributes, prefix, _parsed(value), _DEPTH)


def take_output(attributes: Attributes) -> str:
    """The response id in the provider's answer, or empty. Its usage is spread; the answer itself is gone afterwards."""
    output = attributes.pop(OUTPUT, None)
    if not isinstance(output, str):
        return ""
    answer = _parsed_json(output) if output.startswith("{") else None
    for path in OUTPUT_USAGE:
        _spread(attributes, RAW, _member(answer, path), _DEPTH)
    found = OUTPUT_RESPONSE_ID.search(output)
    return found[1] if found else ""


def spread_members(attributes: Attributes, prefix: str, value: object, depth: int) -> None:
    """Adds the scalar members of an object under dotted names, down to that many levels; a scalar is no object."""
    if isinstance(value, dict):
        _spread(attributes, prefix, value, depth)


def _spread(attributes: Attributes, prefix: str, value: object, depth: int) -> None:
    if isinstance(value, dict):
        for key, member in value.items() if depth else ():
            _spread(attributes, f"{prefix}.{key}", member, depth - 1)
    elif isinstance(value, str | int | float) and depth < _DEPTH:
        attributes.setdefault(prefix, value)


def _member(value: object, path: tuple[str, ...]) -> object:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _parsed(value: str) -> object:
    """LiteLLM writes some dictionaries as JSON and some as Python does."""
    found = _parsed_json(value)
    if found is not None or not value.startswith("{'") or len(value) > _LITERAL_LIMIT:
        return found
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return None


def _parsed_json(value: str) -> Any:
    try:
        return _JSON.decode(value)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return None
