"""Whether a filter selects an operation that is yet to happen. Pure, and equal to what the store makes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

from attribution.dimensions import Dimension, ValueType
from attribution.query import All, Any, Attribute, Condition, Filter, Not, Operator, Tag, Value

_USUAL: Final[Mapping[str, Value]] = {"kind": "usage", "status": "ok", "workload": "interactive", "attempt": 1}
_EMPTY: Final[Mapping[ValueType, Value]] = {ValueType.TEXT: "", ValueType.INTEGER: 0, ValueType.FLAG: False}


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the operation: columns of `events` by name, tags, when it happens, and its tenant's tier then.

    A column that is not named is as in an event that leaves it out.
    """

    columns: Mapping[str, Value]
    tags: Mapping[str, str]
    at: datetime
    tier: str = ""
    assignment: str = ""


Matcher: TypeAlias = Callable[[Facts], bool]


def column_of(dimension: Dimension) -> str | None:
    """The column that the dimension is, or None for one that is computed."""
    alias, _, column = dimension.spec.sql.partition(".")
    return column if alias == "e" and column.isidentifier() else None


def wire_name(dimension: Dimension) -> str:
    """What a caller says the dimension's value under: as in an event, or, for what is computed, its own name."""
    return column_of(dimension) or dimension.spec.name


def _model(facts: Facts, _: ZoneInfo) -> Value:
    return facts.columns.get("response_model") or facts.columns.get("request_model", "")


COMPUTED: Final[Mapping[Dimension, Callable[[Facts, ZoneInfo], Value]]] = {
    Dimension.MODEL: _model,
    Dimension.TIER: lambda facts, _: facts.tier,
    Dimension.ASSIGNMENT: lambda facts, _: facts.assignment,
    Dimension.HOUR_OF_DAY: lambda facts, zone: facts.at.astimezone(zone).hour,
    Dimension.DAY_OF_WEEK: lambda facts, zone: facts.at.astimezone(zone).isoweekday(),
    Dimension.HOUR_OF_WEEK: lambda facts, zone: _hour_of_week(facts.at.astimezone(zone)),
}
"""Dimensions that are worked out. Callers do not say them."""

CLOCKS: Final = frozenset({Dimension.HOUR_OF_DAY, Dimension.DAY_OF_WEEK, Dimension.HOUR_OF_WEEK})
"""Those of them that differ between zones."""


def _hour_of_week(local: datetime) -> int:
    return local.weekday() * 24 + local.hour


def reader_of(attribute: Attribute, zone: ZoneInfo) -> Callable[[Facts], Value]:
    """Reads the attribute's value; missing text is empty. Clocks are read in `zone`."""
    if isinstance(attribute, Tag):
        key = attribute.key
        return lambda facts: facts.tags.get(key, "")
    computed = COMPUTED.get(attribute)
    if computed is not None:
        return lambda facts: computed(facts, zone)
    name = wire_name(attribute)
    default = _USUAL.get(name, _EMPTY[attribute.spec.type])
    return lambda facts: facts.columns.get(name, default)


def matcher(where: Filter, zone: ZoneInfo) -> Matcher:
    """Tells whether the filter selects an operation. Worked out once and asked often: nothing looks at the filter."""
    match where:
        case Condition():
            return _condition(where, zone)
        case All(parts):
            return _all([matcher(part, zone) for part in parts])
        case Any(parts):
            some = [matcher(part, zone) for part in parts]
            return lambda facts: any(part(facts) for part in some)
        case Not(part):
            negated = matcher(part, zone)
            return lambda facts: not negated(facts)


def _all(parts: list[Matcher]) -> Matcher:
    if len(parts) == 1:
        return parts[0]
    return lambda facts: all(part(facts) for part in parts)


def _condition(condition: Condition, zone: ZoneInfo) -> Matcher:
    read, values = reader_of(condition.attribute, zone), condition.values
    if condition.operator is Operator.EXISTS:
        return _exists(condition.attribute, read, wanted=bool(values[0]))
    if condition.operator is Operator.ANY_OF:
        listed = frozenset(values)
        return lambda facts: read(facts) in listed
    if condition.operator is Operator.NONE_OF:
        listed = frozenset(values)
        return lambda facts: read(facts) not in listed
    compare, value = _COMPARE[condition.operator], values[0]
    return lambda facts: compare(read(facts), value)


def _exists(attribute: Attribute, read: Callable[[Facts], Value], *, wanted: bool) -> Matcher:
    if isinstance(attribute, Tag):
        key = attribute.key
        return lambda facts: (key in facts.tags) == wanted
    return lambda facts: (read(facts) != "") == wanted


def _in_order(first: Value, second: Value) -> bool:
    """Whether the first is not after the second; texts go by their UTF-8 bytes."""
    if isinstance(first, str) and isinstance(second, str):
        return first.encode() <= second.encode()
    return int(first) <= int(second)


_COMPARE: Final[Mapping[Operator, Callable[[Value, Value], bool]]] = {
    Operator.PREFIX: lambda found, value: str(found).startswith(str(value)),
    Operator.CONTAINS: lambda found, value: str(value).lower() in str(found).lower(),
    Operator.AT_LEAST: lambda found, value: _in_order(value, found),
    Operator.AT_MOST: _in_order,
}
