"""A question about costs, as a value. It cannot exist without the caller's scope and a time window."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum, unique
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

from attribution.dimensions import Dimension, ValueType
from attribution.measures import Measure
from core.errors import InvalidInput
from core.money import SCALE, quantize
from core.time import Cuts, Granularity, Window
from tenants.scope import Scope

MAX_FILTER_DEPTH: Final = 16
"""Eight levels of nesting as callers write them: each may hold its own `and` around an `or` or a `not`."""
MAX_FILTER_VALUES: Final = 1_000
MAX_FILTER_BYTES: Final = 60_000
"""Escaped, all texts of a query together still fit one form field of ClickHouse's HTTP interface (128 KiB)."""
MAX_GROUP_BY: Final = 8
MAX_FILLED_BUCKETS: Final = 5_000

_BOUND_LIMIT: Final = Decimal(10) ** (38 - SCALE)

UTC: Final = ZoneInfo("UTC")


@dataclass(frozen=True, slots=True)
class Tag:
    """A dimension of the customer's own: the value of that tag."""

    key: str


Attribute: TypeAlias = Dimension | Tag
"""Anything that can be grouped and filtered by."""


@unique
class Operator(Enum):
    """How an attribute is compared."""

    ANY_OF = "any_of"
    NONE_OF = "none_of"
    PREFIX = "prefix"
    CONTAINS = "contains"
    EXISTS = "exists"
    AT_LEAST = "at_least"
    AT_MOST = "at_most"


Value: TypeAlias = str | int | bool


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison. EXISTS takes one bool; PREFIX, CONTAINS, AT_LEAST and AT_MOST take one value."""

    attribute: Attribute
    operator: Operator
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class All:
    """True where every part is; true over no parts."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Any:
    """True where some part is; false over no parts."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """True where the part is not."""

    part: Filter


Filter: TypeAlias = Condition | All | Any | Not
EVERYTHING: Final = All(())


@dataclass(frozen=True, slots=True)
class MeasureBound:
    """Keep groups whose measure lies within these bounds, both inclusive. Unknown values are not kept."""

    measure: Measure
    at_least: Decimal | None = None
    at_most: Decimal | None = None

    def __post_init__(self) -> None:
        for limit in (self.at_least, self.at_most):
            if limit is not None and not _is_comparable(limit):
                raise InvalidBound(limit)


def _is_comparable(limit: Decimal) -> bool:
    """Whether the number travels unchanged as a Decimal(38, 12)."""
    return limit.is_finite() and -_BOUND_LIMIT < limit < _BOUND_LIMIT and quantize(limit) == limit


class Bucket(Enum):
    """The time bucket, as something to order by."""

    START = "bucket_start"


@dataclass(frozen=True, slots=True)
class Order:
    """One key to order groups by. Unknown values come last either way."""

    by: Measure | Attribute | Bucket
    descending: bool = True


@dataclass(frozen=True, slots=True)
class Page:
    """Which groups to return: at most `first`, after skipping `offset`."""

    first: int = 100
    offset: int = 0


class InvalidBound(InvalidInput):
    """The bound is no number that measures can be compared with."""

    code = "INVALID_BOUND"

    def __init__(self, limit: Decimal) -> None:
        super().__init__(f"bound {limit} must be a number of at most 26 digits before the point and {SCALE} after it")


class FilterTooDeep(InvalidInput):
    """The filter nests too deep to be a filter somebody wrote."""

    code = "FILTER_TOO_DEEP"

    def __init__(self) -> None:
        super().__init__(f"a filter nests at most {MAX_FILTER_DEPTH} levels of and, or and not")


class TooManyFilterValues(InvalidInput):
    """The filter lists too many values."""

    code = "TOO_MANY_FILTER_VALUES"

    def __init__(self, count: int) -> None:
        super().__init__(f"a filter holds at most {MAX_FILTER_VALUES} values, this one has {count}")


class FilterTooLong(InvalidInput):
    """The texts of the filter are too long."""

    code = "FILTER_TOO_LONG"

    def __init__(self, size: int) -> None:
        super().__init__(f"the texts of a filter hold at most {MAX_FILTER_BYTES} bytes together, these have {size}")


class TooManyGroupings(InvalidInput):
    """Too many dimensions to group by at once."""

    code = "TOO_MANY_GROUPINGS"

    def __init__(self, count: int) -> None:
        super().__init__(f"group by at most {MAX_GROUP_BY} dimensions and tags, not {count}")


class DuplicateGrouping(InvalidInput):
    """The same dimension or tag twice in one grouping."""

    code = "DUPLICATE_GROUPING"

    def __init__(self, attribute: Attribute) -> None:
        super().__init__(f"groupBy names {attribute_name(attribute)} twice")


class UngroupedOrder(InvalidInput):
    """Groups can be ordered only by what they are grouped by."""

    code = "UNGROUPED_ORDER"

    def __init__(self, what: str) -> None:
        super().__init__(f"orderBy {what} needs {what} in groupBy, or a granularity for the bucket")


class FillWithoutGranularity(InvalidInput):
    """There are no buckets to fill."""

    code = "FILL_WITHOUT_GRANULARITY"

    def __init__(self) -> None:
        super().__init__("fillBuckets needs a granularity")


class TooManyBuckets(InvalidInput):
    """The window holds more buckets than can be filled."""

    code = "TOO_MANY_BUCKETS"

    def __init__(self) -> None:
        super().__init__(f"the window has more than {MAX_FILLED_BUCKETS} buckets; ask for a coarser granularity")


def attribute_name(attribute: Attribute) -> str:
    """How people name it: `feature`, or `tag plan`."""
    return f"tag {attribute.key}" if isinstance(attribute, Tag) else attribute.spec.name


def conditions(where: Filter, depth: int = 0) -> Iterator[Condition]:
    """Every comparison in the filter. Raises FilterTooDeep."""
    if depth > MAX_FILTER_DEPTH:
        raise FilterTooDeep
    match where:
        case Condition():
            yield where
        case Not(part):
            yield from conditions(part, depth + 1)
        case All(parts) | Any(parts):
            for part in parts:
                yield from conditions(part, depth + 1)


def validate_filter(where: Filter) -> None:
    """Return when the filter is within bounds; raise FilterTooDeep, TooManyFilterValues or FilterTooLong."""
    compared = list(conditions(where))
    count = sum(len(condition.values) for condition in compared)
    if count > MAX_FILTER_VALUES:
        raise TooManyFilterValues(count)
    texts = [*_tag_keys(c.attribute for c in compared), *(v for c in compared for v in c.values if isinstance(v, str))]
    _validate_length(texts)


def _tag_keys(attributes: Iterable[Attribute]) -> list[str]:
    return [attribute.key for attribute in attributes if isinstance(attribute, Tag)]


def _validate_length(texts: Iterable[str]) -> None:
    size = sum(len(text.encode()) for text in texts)
    if size > MAX_FILTER_BYTES:
        raise FilterTooLong(size)


@dataclass(frozen=True, slots=True)
class CostQuery:
    """Measures of the events in `window` that `scope` may see and `where` selects, by group and time bucket."""

    scope: Scope
    window: Window
    measures: tuple[Measure, ...]
    timezone: ZoneInfo = UTC
    group_by: tuple[Attribute, ...] = ()
    granularity: Granularity | Cuts | None = None
    where: Filter = EVERYTHING
    having: tuple[MeasureBound, ...] = ()
    order_by: tuple[Order, ...] = ()
    fill_buckets: bool = False
    page: Page = field(default_factory=Page)

    def __post_init__(self) -> None:
        validate_filter(self.where)
        self._validate_grouping()
        self._validate_order()
        if self.fill_buckets:
            self._validate_fill()

    def _validate_grouping(self) -> None:
        if len(self.group_by) > MAX_GROUP_BY:
            raise TooManyGroupings(len(self.group_by))
        _validate_length(_tag_keys(self.group_by))
        for attribute in self.group_by:
            if self.group_by.count(attribute) > 1:
                raise DuplicateGrouping(attribute)

    def _validate_order(self) -> None:
        for order in self.order_by:
            if isinstance(order.by, Bucket):
                if self.granularity is None:
                    raise UngroupedOrder("bucket")
            elif not isinstance(order.by, Measure) and order.by not in self.group_by:
                raise UngroupedOrder(attribute_name(order.by))

    def _validate_fill(self) -> None:
        if self.granularity is None:
            raise FillWithoutGranularity
        for count, _ in enumerate(self.granularity.buckets(self.window, self.timezone), 1):
            if count > MAX_FILLED_BUCKETS:
                raise TooManyBuckets


def value_type(attribute: Attribute) -> ValueType:
    """What the attribute's values are; tags are text."""
    return ValueType.TEXT if isinstance(attribute, Tag) else attribute.spec.type
