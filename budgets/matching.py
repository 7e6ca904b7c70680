"""Whether a filter selects an operation that is yet to happen. Pure, and equal to what the store makes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from attribution.dimensions import Dimension, ValueType
from attribution.query import All, Any, Attribute, Condition, Filter, Not, Operator, Tag, Value

_USUAL: Final[Mapping[str, Value]] = {"kind": "usage", "status": "ok", "workload": "interactive", "attempt": 1}
_EMPTY: Final[Mapping[ValueType, Value]] = {ValueType.TEXT: "", ValueType.INTEGER: 0, ValueType.FLAG: False}


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the operation: columns of `events` by name, its tags, and when it happens.

    A column that is not named is as in an event that leaves it out.
    """

    columns: Mapping[str, Value]
    tags: Mapping[str, str]
    at: datetime


Reader = Callable[[Facts, ZoneInfo], Value]


def column_of(dimension: Dimension) -> str | None:
    """The column that the dimension is, or None for one that is computed."""
    alias, _, column = dimension.spec.sql.partition(".")
    return column if alias == "e" and column.isidentifier() else None


def wire_name(dimension: Dimension) -> str:
    """What a caller says the dimension's value under: as in an event, or, for what is computed, its own name."""
    return column_of(dimension) or dimension.spec.name


def _plain(dimension: Dimension) -> Reader:
    name = wire_name(dimension)
    default = _USUAL.get(name, _EMPTY[dimension.spec.type])
    return lambda facts, _: facts.columns.get(name, default)


def _model(facts: Facts, _: ZoneInfo) -> Value:
    return facts.columns.get("response_model") or facts.columns.get("request_model", "")


COMPUTED: Final[Mapping[Dimension, Reader]] = {
    Dimension.MODEL: _model,
    Dimension.HOUR_OF_DAY: lambda facts, zone: facts.at.astimezone(zone).hour,
    Dimension.DAY_OF_WEEK: lambda facts, zone: facts.at.astimezone(zone).isoweekday(),
    Dimension.HOUR_OF_WEEK: lambda facts, zone: _hour_of_week(facts.at.astimezone(zone)),
}
"""Dimensions that are worked out from others. Callers do not say them."""


def _hour_of_week(local: datetime) -> int:
    return local.weekday() * 24 + local.hour


_READERS: Final[Mapping[Dimension, Reader]] = {d: COMPUTED.get(d) or _plain(d) for d in Dimension}


def value_of(attribute: Attribute, facts: Facts, zone: ZoneInfo) -> Value:
    """The attribute's value; missing text is empty."""
    return facts.tags.get(attribute.key, "") if isinstance(attribute, Tag) else _READERS[attribute](facts, zone)


def matches(where: Filter, facts: Facts, zone: ZoneInfo) -> bool:
    """Whether the filter selects the operation; clocks are read in `zone`."""
    match where:
        case Condition():
            return _holds(where, facts, zone)
        case All(parts):
            return all(matches(part, facts, zone) for part in parts)
        case Any(parts):
            return any(matches(part, facts, zone) for part in parts)
        case Not(part):
            return not matches(part, facts, zone)


def _holds(condition: Condition, facts: Facts, zone: ZoneInfo) -> bool:
    if condition.operator is Operator.EXISTS:
        return _exists(condition.attribute, facts, zone) == condition.values[0]
    return _COMPARE[condition.operator](value_of(condition.attribute, facts, zone), condition.values)


def _exists(attribute: Attribute, facts: Facts, zone: ZoneInfo) -> bool:
    return attribute.key in facts.tags if isinstance(attribute, Tag) else value_of(attribute, facts, zone) != ""


_COMPARE: Final[Mapping[Operator, Callable[[Value, tuple[Value, ...]], bool]]] = {
    Operator.ANY_OF: lambda found, values: found in values,
    Operator.NONE_OF: lambda found, values: found not in values,
    Operator.PREFIX: lambda found, values: str(found).startswith(str(values[0])),
    Operator.CONTAINS: lambda found, values: str(values[0]).lower() in str(found).lower(),
    Operator.AT_LEAST: lambda found, values: _in_order(values[0], found),
    Operator.AT_MOST: lambda found, values: _in_order(found, values[0]),
}


def _in_order(first: Value, second: Value) -> bool:
    """Whether the first is not after the second; texts go by their UTF-8 bytes."""
    if isinstance(first, str) and isinstance(second, str):
        return first.encode() <= second.encode()
    return int(first) <= int(second)
