"""Filters and attributes as JSON, for what is kept in the relational database and applied later."""

from __future__ import annotations

from typing import Any as Json

from attribution.dimensions import Dimension
from attribution.query import All, Any, Attribute, Condition, Filter, Not, Operator, Tag, validate_filter
from core.errors import InvalidInput


class UnreadableFilter(InvalidInput):
    """The stored text is no filter of this version."""

    code = "UNREADABLE_FILTER"

    def __init__(self, what: object) -> None:
        super().__init__(f"{what!r} is no part of a filter")


def attribute_text(attribute: Attribute) -> str:
    """The attribute as one text: `feature`, or `tag:plan`."""
    return f"tag:{attribute.key}" if isinstance(attribute, Tag) else attribute.spec.name


def attribute_of(text: str) -> Attribute:
    """The attribute of that text. Raises UnreadableFilter."""
    if text.startswith("tag:"):
        return Tag(text.removeprefix("tag:"))
    if text not in _DIMENSIONS:
        raise UnreadableFilter(text)
    return _DIMENSIONS[text]


_DIMENSIONS = {dimension.spec.name: dimension for dimension in Dimension}


def filter_json(where: Filter) -> dict[str, Json]:
    """The filter as JSON: `{"all": [...]}`, `{"any": [...]}`, `{"not": ...}` or one comparison."""
    match where:
        case All(parts):
            return {"all": [filter_json(part) for part in parts]}
        case Any(parts):
            return {"any": [filter_json(part) for part in parts]}
        case Not(part):
            return {"not": filter_json(part)}
        case Condition(attribute, operator, values):
            return {attribute_text(attribute): {operator.value: list(values)}}


def filter_of(value: dict[str, Json]) -> Filter:
    """The filter that `filter_json` wrote. Raises UnreadableFilter, or what `validate_filter` raises."""
    where = _read(value)
    validate_filter(where)
    return where


def _read(value: Json) -> Filter:
    if not isinstance(value, dict) or len(value) != 1:
        raise UnreadableFilter(value)
    ((name, inner),) = value.items()
    match name:
        case "all":
            return All(tuple(map(_read, inner)))
        case "any":
            return Any(tuple(map(_read, inner)))
        case "not":
            return Not(_read(inner))
        case _:
            return _condition(name, inner)


def _condition(name: str, comparison: Json) -> Condition:
    try:
        ((operator, values),) = comparison.items()
        return Condition(attribute_of(name), Operator(operator), tuple(values))
    except (AttributeError, ValueError, TypeError):
        raise UnreadableFilter(comparison) from None
