"""A filter as plain data, for files that people write and for keeping: read back, it is the same filter.

team: search                          one equality
feature: {none_of: [chat, voice]}     an operator with its values
tag: {plan: {prefix: pro}}            tags, each under its key
and: [...]  or: [...]  not: {...}     combinations; entries of one mapping must all hold
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any as AnyValue
from typing import Final

from attribution.dimensions import Dimension, ValueType
from attribution.query import (
    MAX_FILTER_DEPTH,
    All,
    Any,
    Attribute,
    Condition,
    Filter,
    FilterTooDeep,
    Not,
    Operator,
    Tag,
    value_type,
)
from core.errors import InvalidInput

Document = dict[str, AnyValue]

_LISTS: Final = frozenset({Operator.ANY_OF, Operator.NONE_OF})
_DIMENSIONS: Final = {dimension.spec.name: dimension for dimension in Dimension}
_PYTHON: Final = {ValueType.TEXT: str, ValueType.INTEGER: int, ValueType.FLAG: bool}


class UnreadableFilter(InvalidInput):
    """The data is no filter."""

    code = "UNREADABLE_FILTER"
    field = "where"

    def __init__(self, place: str, rule: str) -> None:
        super().__init__(f"{place or 'where'}: {rule}")


def filter_document(where: Filter) -> Document:
    """The filter as plain data; `read_filter` makes the same filter of it."""
    match where:
        case Condition(Tag(key)):
            return {"tag": {key: _comparison(where)}}
        case Condition(Dimension() as dimension):
            return {dimension.spec.name: _comparison(where)}
        case All(parts):
            return {"and": [filter_document(part) for part in parts]} if parts else {}
        case Any(parts):
            return {"or": [filter_document(part) for part in parts]}
        case Not(part):
            return {"not": filter_document(part)}
    raise AssertionError(where)


def _comparison(condition: Condition) -> AnyValue:
    if condition.operator is Operator.ANY_OF and len(condition.values) == 1:
        return condition.values[0]
    values = list(condition.values) if condition.operator in _LISTS else condition.values[0]
    return {condition.operator.value: values}


def read_filter(document: AnyValue, place: str = "where", depth: int = 0) -> Filter:
    """The filter that the data means. Raises UnreadableFilter or FilterTooDeep."""
    if depth > MAX_FILTER_DEPTH:
        raise FilterTooDeep
    if not isinstance(document, Mapping):
        raise UnreadableFilter(place, "a mapping such as `team: search` is expected")
    parts = tuple(part for name, value in document.items() for part in _parts(str(name), value, place, depth))
    return parts[0] if len(parts) == 1 else All(parts)


def _parts(name: str, value: AnyValue, place: str, depth: int) -> Iterator[Filter]:
    here = f"{place}.{name}"
    if name in {"and", "or"}:
        inner = tuple(read_filter(part, here, depth + 1) for part in _list(value, here))
        yield All(inner) if name == "and" else Any(inner)
    elif name == "not":
        yield Not(read_filter(value, here, depth + 1))
    elif name == "tag":
        for key, compared in _mapping(value, here).items():
            yield from _conditions(Tag(str(key)), compared, f"{here}.{key}")
    elif name in _DIMENSIONS:
        yield from _conditions(_DIMENSIONS[name], value, here)
    else:
        raise UnreadableFilter(here, "there is no such dimension")


def _conditions(attribute: Attribute, value: AnyValue, place: str) -> Iterator[Condition]:
    if not isinstance(value, Mapping):
        yield Condition(attribute, Operator.ANY_OF, (_typed(value, attribute, place),))
        return
    for name, operand in value.items():
        yield _condition(attribute, str(name), operand, f"{place}.{name}")


def _condition(attribute: Attribute, name: str, operand: AnyValue, place: str) -> Condition:
    try:
        operator = Operator(name)
    except ValueError:
        raise UnreadableFilter(place, f"use one of {', '.join(o.value for o in Operator)}") from None
    if operator is Operator.EXISTS:
        if not isinstance(operand, bool):
            raise UnreadableFilter(place, "true or false is expected")
        return Condition(attribute, operator, (operand,))
    if operator in _LISTS:
        return Condition(attribute, operator, tuple(_typed(v, attribute, place) for v in _list(operand, place)))
    if operator in {Operator.PREFIX, Operator.CONTAINS}:
        if not isinstance(operand, str):
            raise UnreadableFilter(place, "a text is expected")
        return Condition(attribute, operator, (operand,))
    return Condition(attribute, operator, (_typed(operand, attribute, place),))


def _typed(value: AnyValue, attribute: Attribute, place: str) -> AnyValue:
    """The value when it is of the attribute's type; true is no whole number here."""
    if type(value) is not _PYTHON[value_type(attribute)]:
        raise UnreadableFilter(place, f"{value!r} is no {_PYTHON[value_type(attribute)].__name__}; quote texts")
    return value


def _list(value: AnyValue, place: str) -> list[AnyValue]:
    if not isinstance(value, list):
        raise UnreadableFilter(place, "a list is expected")
    return value


def _mapping(value: AnyValue, place: str) -> Mapping[AnyValue, AnyValue]:
    if not isinstance(value, Mapping):
        raise UnreadableFilter(place, "a mapping is expected")
    return value
