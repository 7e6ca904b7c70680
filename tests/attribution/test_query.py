"""A query that cannot be answered cannot be made, and says why."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from attribution.dimensions import Dimension
from attribution.measures import Measure
from attribution.operations import OperationQuery
from attribution.query import (
    MAX_FILLED_BUCKETS,
    MAX_FILTER_DEPTH,
    MAX_FILTER_VALUES,
    MAX_GROUP_BY,
    All,
    Bucket,
    Condition,
    CostQuery,
    DuplicateGrouping,
    FillWithoutGranularity,
    Filter,
    FilterTooDeep,
    InvalidBound,
    MeasureBound,
    Not,
    Operator,
    Order,
    Tag,
    TooManyBuckets,
    TooManyFilterValues,
    TooManyGroupings,
    UngroupedOrder,
)
from core.errors import InvalidInput
from core.time import Granularity, Window
from tenants.scope import Scope
from tests.attribution.factories import ALL_TIME, NOON


def _query(**fields: Any) -> CostQuery:
    return CostQuery(**{"scope": Scope(), "window": ALL_TIME, "measures": (), **fields})


def _nested(depth: int) -> Filter:
    where: Filter = Condition(Dimension.TEAM, Operator.EXISTS, (True,))
    for _ in range(depth):
        where = Not(where)
    return where


def _values(count: int) -> Filter:
    values = tuple(str(i) for i in range(count))
    return All(
        (Condition(Dimension.TEAM, Operator.ANY_OF, values[1:]), Condition(Tag("t"), Operator.PREFIX, values[:1]))
    )


@pytest.mark.parametrize("make", [_query, lambda **f: OperationQuery(Scope(), ALL_TIME, **f)])
def test_filters_are_bounded(make: Any) -> None:
    make(where=_nested(MAX_FILTER_DEPTH))
    with pytest.raises(FilterTooDeep, match="nests at most 16 levels"):
        make(where=_nested(MAX_FILTER_DEPTH + 1))
    make(where=_values(MAX_FILTER_VALUES))
    with pytest.raises(TooManyFilterValues, match="at most 1000 values, this one has 1001"):
        make(where=_values(MAX_FILTER_VALUES + 1))


def test_groupings_are_few_and_different() -> None:
    tags = tuple(Tag(str(i)) for i in range(MAX_GROUP_BY + 1))
    _query(group_by=tags[1:])
    with pytest.raises(TooManyGroupings, match="at most 8 dimensions and tags, not 9"):
        _query(group_by=tags)
    with pytest.raises(DuplicateGrouping, match="groupBy names feature twice"):
        _query(group_by=(Dimension.FEATURE, Tag("feature"), Dimension.FEATURE))
    with pytest.raises(DuplicateGrouping, match="groupBy names tag plan twice"):
        _query(group_by=(Tag("plan"), Tag("plan")))


def test_only_what_is_grouped_by_orders_groups() -> None:
    _query(order_by=(Order(Measure.OPERATIONS), Order(Bucket.START)), granularity=Granularity.DAY)
    for by, name in ((Dimension.TEAM, "team"), (Tag("plan"), "tag plan"), (Bucket.START, "bucket")):
        with pytest.raises(UngroupedOrder, match=f"orderBy {name} needs {name} in groupBy"):
            _query(order_by=(Order(by),), group_by=(Dimension.FEATURE, Tag("team")))


def test_filled_buckets_are_bounded() -> None:
    with pytest.raises(FillWithoutGranularity):
        _query(fill_buckets=True)
    minutes = timedelta(minutes=MAX_FILLED_BUCKETS)
    _query(fill_buckets=True, granularity=Granularity.MINUTE, window=Window(NOON, NOON + minutes))
    for window in (Window(NOON, NOON + minutes + timedelta(microseconds=1)), ALL_TIME):
        with pytest.raises(TooManyBuckets, match="more than 5000 buckets"):
            _query(fill_buckets=True, granularity=Granularity.MINUTE, window=window)


@pytest.mark.parametrize("limit", ["NaN", "-Infinity", "1e26", "-1e26", "1e999999999", "1e-13", "0.1234567890123"])
def test_bounds_are_numbers_that_can_be_compared_with(limit: str) -> None:
    for bounds in ({"at_least": Decimal(limit)}, {"at_most": Decimal(limit)}):
        with pytest.raises(InvalidBound):
            MeasureBound(Measure.EFFECTIVE_COST, **bounds)


def test_every_refusal_is_an_input_error_with_a_code_of_its_own() -> None:
    kinds = [
        DuplicateGrouping,
        FillWithoutGranularity,
        FilterTooDeep,
        InvalidBound,
        TooManyBuckets,
        TooManyFilterValues,
        TooManyGroupings,
        UngroupedOrder,
    ]
    assert all(issubclass(kind, InvalidInput) for kind in kinds)
    assert len({kind.code for kind in kinds} - {InvalidInput.code}) == len(kinds)


def test_a_window_until_the_end_of_the_calendar_can_be_asked_about() -> None:
    forever = Window(datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, tzinfo=UTC))
    assert _query(window=forever, granularity=Granularity.HOUR).window == forever
