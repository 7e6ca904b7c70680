"""What callers say in a query: times, groupings, filters and orders, turned into the heart's own values.

The enums and the filter's fields come out of the registries; nothing here names a dimension or a measure.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Optional
from zoneinfo import ZoneInfo

import strawberry

from api.graphql.naming import described_enum
from attribution.dimensions import Dimension, ValueType
from attribution.measures import Measure
from attribution.query import All, Attribute, Bucket, Condition, Filter, MeasureBound, Not, Operator, Order, Tag, Value
from attribution.query import Any as AnyOf
from core.time import Granularity, Preset, Window


def _spec(member: Any) -> str:
    description: str = member.spec.description
    return description


_GRANULARITIES = {
    Granularity.MINUTE: "One minute.",
    Granularity.HOUR: "One hour of local time.",
    Granularity.DAY: "One local day, which has 23 or 25 hours where clocks change.",
    Granularity.WEEK: "Seven local days from Monday (ISO 8601).",
    Granularity.MONTH: "A calendar month.",
    Granularity.QUARTER: "A calendar quarter.",
    Granularity.YEAR: "A calendar year.",
}
_PRESETS = {
    Preset.TODAY: "The local day that holds now.",
    Preset.YESTERDAY: "The local day before today.",
    Preset.LAST_24_HOURS: "The 24 hours that end now.",
    Preset.LAST_7_DAYS: "Today and the 6 days before it.",
    Preset.LAST_30_DAYS: "Today and the 29 days before it.",
    Preset.LAST_90_DAYS: "Today and the 89 days before it.",
    Preset.THIS_WEEK: "The week that holds now, from Monday.",
    Preset.LAST_WEEK: "The week before this one.",
    Preset.THIS_MONTH: "The calendar month that holds now.",
    Preset.LAST_MONTH: "The calendar month before this one.",
    Preset.THIS_QUARTER: "The calendar quarter that holds now.",
    Preset.LAST_QUARTER: "The calendar quarter before this one.",
    Preset.THIS_YEAR: "The calendar year that holds now.",
}

described_enum(Granularity, "Granularity", "Width of a time bucket.", _GRANULARITIES.__getitem__)
described_enum(
    Preset,
    "Preset",
    "A window by name, resolved against now in the asked time zone, from local midnight to local midnight.",
    _PRESETS.__getitem__,
)
described_enum(Dimension, "Dimension", "What costs can be grouped and filtered by, besides tags.", _spec)
described_enum(Measure, "Measure", "What can be measured about a slice of operations.", _spec)


@strawberry.enum(description="Which way to order. Unknown values come last either way.")
class Direction(Enum):
    """Ascending or descending."""

    ASC = strawberry.enum_value("asc", description="Smallest, first or earliest first.")
    DESC = strawberry.enum_value("desc", description="Largest, last or latest first.")


@strawberry.input(description="A half-open window: start in, end out.")
class Between:
    """Two instants."""

    start: datetime = strawberry.field(description="First instant, included.")
    end: datetime = strawberry.field(description="First instant after the window.")


@strawberry.input(one_of=True, description="When: a preset, or explicit times.")
class TimeRange:
    """A window to ask about."""

    preset: strawberry.Maybe[Preset] = strawberry.field(description="A window by name.")
    between: strawberry.Maybe[Between] = strawberry.field(description="Explicit times.")

    def window(self, now: datetime, zone: ZoneInfo) -> Window:
        """The instants meant. Raises EmptyWindow."""
        if self.preset is not None:
            return self.preset.value.window(now, zone)
        assert self.between is not None
        return Window(self.between.value.start, self.between.value.end)


@strawberry.input(one_of=True, description="One thing to group by: a dimension, or the value of a tag.")
class GroupBy:
    """A grouping."""

    dimension: strawberry.Maybe[Dimension] = strawberry.field(description="A dimension.")
    tag: strawberry.Maybe[str] = strawberry.field(description="A tag's key.")

    def attribute(self) -> Attribute:
        """The dimension or tag meant."""
        if self.dimension is not None:
            return self.dimension.value
        assert self.tag is not None
        return Tag(self.tag.value)


@strawberry.input(one_of=True, description="One thing to order groups by.")
class OrderBy:
    """A key to order by."""

    measure: strawberry.Maybe[Measure] = strawberry.field(description="A measure, selected or not.")
    dimension: strawberry.Maybe[Dimension] = strawberry.field(description="A dimension of groupBy.")
    tag: strawberry.Maybe[str] = strawberry.field(description="A tag of groupBy.")
    bucket: strawberry.Maybe[bool] = strawberry.field(description="`true`: the start of the time bucket.")

    def key(self) -> Measure | Attribute | Bucket:
        """What is meant."""
        if self.measure is not None:
            return self.measure.value
        if self.dimension is not None:
            return self.dimension.value
        return Bucket.START if self.tag is None else Tag(self.tag.value)


@strawberry.input(description="One key of the order; later keys decide between equals.")
class CostOrder:
    """An order key with its direction."""

    by: OrderBy = strawberry.field(description="What to order by.")
    direction: Direction = strawberry.field(default=Direction.DESC, description="Which way.")

    def order(self) -> Order:
        """The order meant."""
        return Order(self.by.key(), descending=self.direction is Direction.DESC)


@strawberry.input(
    description="Keep groups whose measure lies within these bounds, both inclusive; unknown is not kept."
)
class MeasureFilter:
    """Bounds on a measure."""

    measure: Measure = strawberry.field(description="The measure, selected or not.")
    at_least: Decimal | None = strawberry.field(default=None, description="Lower bound.")
    at_most: Decimal | None = strawberry.field(default=None, description="Upper bound.")

    def bound(self) -> MeasureBound:
        """The bounds meant."""
        return MeasureBound(self.measure, self.at_least, self.at_most)


_SINGLE = {
    "prefix": Operator.PREFIX,
    "contains": Operator.CONTAINS,
    "exists": Operator.EXISTS,
    "at_least": Operator.AT_LEAST,
    "at_most": Operator.AT_MOST,
}
_LISTS = {"any_of": Operator.ANY_OF, "none_of": Operator.NONE_OF}


class _Comparison:
    """What the filters of all value types share; all that is given must hold."""

    def conditions(self, attribute: Attribute) -> Iterator[Condition]:
        """One condition per given comparison."""
        equal: Value | None = getattr(self, "eq", None)
        if equal is not None:
            yield Condition(attribute, Operator.ANY_OF, (equal,))
        for name, operator in _LISTS.items():
            values: list[Value] | None = getattr(self, name, None)
            if values is not None:
                yield Condition(attribute, operator, tuple(values))
        for name, operator in _SINGLE.items():
            value: Value | None = getattr(self, name, None)
            if value is not None:
                yield Condition(attribute, operator, (value,))


@strawberry.input(description="Comparisons with a text; all that are given must hold.")
class StringFilter(_Comparison):
    """Text comparisons."""

    eq: str | None = strawberry.field(default=None, description="Equal.")
    any_of: list[str] | None = strawberry.field(default=None, description="Equal to one of these.")
    none_of: list[str] | None = strawberry.field(default=None, description="Equal to none of these; missing counts.")
    prefix: str | None = strawberry.field(default=None, description="Begins with, letter case and all.")
    contains: str | None = strawberry.field(default=None, description="Contains, in any letter case.")
    exists: bool | None = strawberry.field(default=None, description="Whether the operation has any value here.")


@strawberry.input(description="Comparisons with a whole number; all that are given must hold.")
class IntFilter(_Comparison):
    """Number comparisons."""

    eq: int | None = strawberry.field(default=None, description="Equal.")
    any_of: list[int] | None = strawberry.field(default=None, description="Equal to one of these.")
    none_of: list[int] | None = strawberry.field(default=None, description="Equal to none of these.")
    at_least: int | None = strawberry.field(default=None, description="This or more.")
    at_most: int | None = strawberry.field(default=None, description="This or less.")


@strawberry.input(description="Comparison with true or false.")
class BooleanFilter(_Comparison):
    """Flag comparison."""

    eq: bool | None = strawberry.field(default=None, description="Equal.")


@strawberry.input(description="A comparison with the value of one tag.")
class TagFilter:
    """A tag comparison."""

    key: str = strawberry.field(description="The tag's key.")
    is_: StringFilter = strawberry.field(name="is", description="What its value must be.")


_FILTERS = {ValueType.TEXT: StringFilter, ValueType.INTEGER: IntFilter, ValueType.FLAG: BooleanFilter}


class _CostFilter:
    """The methods of CostFilter, whose fields come out of the registry."""

    def filter(self) -> Filter:
        """The filter meant: all of its parts must hold."""
        parts = tuple(self._parts())
        return parts[0] if len(parts) == 1 else All(parts)

    def _parts(self) -> Iterator[Filter]:
        own: Any = self
        for dimension in Dimension:
            comparison: _Comparison | None = getattr(own, dimension.spec.name)
            if comparison is not None:
                yield from comparison.conditions(dimension)
        for tag in own.tag or ():
            yield from tag.is_.conditions(Tag(tag.key))
        for part in own.and_ or ():
            yield part.filter()
        if own.or_ is not None:
            yield AnyOf(tuple(part.filter() for part in own.or_))
        if own.not_ is not None:
            yield Not(own.not_.filter())


def _cost_filter() -> type:
    """CostFilter with one field per dimension."""
    namespace: dict[str, Any] = {"__module__": __name__, "__doc__": "Which operations to count.", "__annotations__": {}}

    def add(name: str, type_: Any, description: str, alias: str | None = None) -> None:
        namespace["__annotations__"][name] = type_
        namespace[name] = strawberry.field(default=None, description=description, name=alias)

    own = Annotated["CostFilter", strawberry.lazy("api.graphql.inputs")]
    add("and_", Optional[list[own]], "All of these.", "and")  # noqa: UP045
    add("or_", Optional[list[own]], "At least one of these.", "or")  # noqa: UP045
    add("not_", Optional[own], "Not this.", "not")  # noqa: UP045
    for dimension in Dimension:
        add(dimension.spec.name, Optional[_FILTERS[dimension.spec.type]], dimension.spec.description)  # noqa: UP045
    add("tag", Optional[list[TagFilter]], "Comparisons with tags; all must hold.")  # noqa: UP045
    description = "Which operations to count: all that is given must hold. Nests up to 8 levels."
    return strawberry.input(type("CostFilter", (_CostFilter,), namespace), description=description)


CostFilter: Any = _cost_filter()
