"""A filter taken apart, so that one statement can answer for every budget whose filter has the same shape. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from attribution.query import All, Attribute, Condition, Filter, Operator, Value, attribute_name


@dataclass(frozen=True, slots=True)
class Shape:
    """The attributes that must equal one of some values, and the `rest`, which only the store can judge.

    Together they mean what the filter means: a group of events that share the values of `equal`'s attributes is inside
    when each value is listed, provided that its events satisfy `rest`.
    """

    equal: Mapping[Attribute, frozenset[Value]]
    rest: Filter


def shape_of(where: Filter, *, adds_up: bool = True) -> Shape:
    """The shape of the filter: equalities of its outermost `and`, and everything else.

    Unless the measure adds up, one group must hold the whole answer: then only equalities with one value count.
    """
    equal: dict[Attribute, frozenset[Value]] = {}
    rest: list[Filter] = []
    for part in _conjuncts(where):
        if isinstance(part, Condition) and part.operator is Operator.ANY_OF and (adds_up or len(part.values) == 1):
            values = frozenset(part.values)
            equal[part.attribute] = equal.get(part.attribute, values) & values
        else:
            rest.append(part)
    return Shape(equal, All(tuple(rest)))


def _conjuncts(where: Filter) -> Iterator[Filter]:
    if isinstance(where, All):
        for part in where.parts:
            yield from _conjuncts(part)
    else:
        yield where


def order_of(attribute: Attribute) -> tuple[str, str]:
    """A key to sort attributes by, so that equal sets of them make equal groupings."""
    return type(attribute).__name__, attribute_name(attribute)
