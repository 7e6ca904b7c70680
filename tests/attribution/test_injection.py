"""Whatever a caller writes is a value: hostile texts find exactly the rows that hold them, through every entry point."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from attribution.dimensions import Dimension, ValueType
from attribution.event import EventRow
from attribution.measures import Measure
from attribution.operations import OperationQuery
from attribution.query import (
    MAX_FILTER_BYTES,
    All,
    Attribute,
    Condition,
    CostQuery,
    FilterTooLong,
    Operator,
    Order,
    Page,
    Tag,
)
from attribution.store import Store
from core.time import Granularity, UnknownTimezone, parse_timezone
from tenants.scope import Scope
from tests.attribution import oracle
from tests.attribution.conftest import open_store
from tests.attribution.factories import ALL_TIME, HOSTILE_TEXTS, NOON, event
from tests.attribution.reports import content
from tests.engines import ClickHouse, fresh_clickhouse_url

LONG = ("x'\\" * MAX_FILTER_BYTES)[: MAX_FILTER_BYTES // 2]
TEXTS = (*HOSTILE_TEXTS, LONG)
NASTIEST = (HOSTILE_TEXTS[0], HOSTILE_TEXTS[3], HOSTILE_TEXTS[6], HOSTILE_TEXTS[9])
TEXT_DIMENSIONS = [dimension for dimension in Dimension if dimension.spec.type is ValueType.TEXT]
TEXT_COLUMNS = {dimension.spec.sql.removeprefix("e.") for dimension in TEXT_DIMENSIONS} & set(EventRow._fields)
OPERATORS = [operator for operator in Operator if operator is not Operator.EXISTS]


def _holding(text: str) -> EventRow:
    """A row that holds the text wherever a caller could have put it."""
    columns: dict[str, Any] = dict.fromkeys(TEXT_COLUMNS, text)
    return event(**columns, tags={"plan": text, text: "here"})


ROWS = [event(tags={"plan": "gold"}), event(team="", user_id=""), *map(_holding, TEXTS)]


@pytest.fixture(scope="module", params=["embedded_clickhouse", "clickhouse_server"])
def hostile(request: pytest.FixtureRequest) -> Iterator[Store]:
    """A store in which every hostile text is also stored."""
    engine: ClickHouse = request.getfixturevalue(request.param)
    with fresh_clickhouse_url(engine) as url, open_store(url) as store:
        store.insert(ROWS)
        yield store


def _check(store: Store, **fields: Any) -> None:
    """The report is what plain Python finds: no error, no foreign row, none missing."""
    given = {"scope": Scope(), "window": ALL_TIME, "measures": (Measure.OPERATIONS,), "page": Page(1_000)}
    query = CostQuery(**{**given, **fields})
    assert content(store.report(query)) == oracle.answer(query, ROWS)


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("attribute", [*TEXT_DIMENSIONS, Tag("plan")], ids=str)
def test_every_operator_on_every_text_attribute(hostile: Store, attribute: Attribute, operator: Operator) -> None:
    values = NASTIEST if operator in {Operator.ANY_OF, Operator.NONE_OF} else NASTIEST[:1]
    _check(hostile, where=Condition(attribute, operator, values), group_by=(attribute,))


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("text", TEXTS, ids=lambda text: ascii(text[:20]))
def test_every_operator_with_every_text(hostile: Store, text: str, operator: Operator) -> None:
    attributes = (Dimension.TEAM, Dimension.USER, Dimension.MODEL, Tag("plan"))
    conditions = tuple(Condition(attribute, operator, (text,)) for attribute in attributes[: 1 if text is LONG else 4])
    _check(hostile, where=All(conditions), group_by=(Dimension.TEAM,))


def test_all_texts_in_one_list(hostile: Store) -> None:
    for operator in (Operator.ANY_OF, Operator.NONE_OF):
        for attribute in (Dimension.FEATURE, Tag("plan")):
            _check(hostile, where=Condition(attribute, operator, TEXTS), group_by=(attribute,))


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: ascii(text[:20]))
def test_tag_keys(hostile: Store, text: str) -> None:
    tag = Tag(text)
    _check(hostile, group_by=(tag,), order_by=(Order(tag),))
    _check(hostile, where=Condition(tag, Operator.EXISTS, (True,)), group_by=(Dimension.TEAM,))
    _check(hostile, where=Condition(tag, Operator.ANY_OF, ("here",)), granularity=Granularity.DAY)
    window = Granularity.DAY.bucket(NOON, parse_timezone("UTC"))
    _check(hostile, window=window, group_by=(tag,), granularity=Granularity.HOUR, fill_buckets=True)


@pytest.mark.parametrize("text", [*TEXTS, ""], ids=lambda text: ascii(text[:20]))
def test_scope_values(hostile: Store, text: str) -> None:
    for scope in (Scope(tenant=text), Scope(team=text), Scope(environment=text)):
        _check(hostile, scope=scope)


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: ascii(text[:20]))
def test_positions_of_operations(hostile: Store, text: str) -> None:
    """A cursor's texts come back from callers."""
    first = hostile.operations(OperationQuery(Scope(), ALL_TIME, first=1)).operations[0].position
    place = first._replace(tenant_id=text, event_id=text)
    query = OperationQuery(Scope(), ALL_TIME, after=place, descending=False, first=1_000)
    found = [operation.position for operation in hostile.operations(query).operations]
    after = [row for row in ROWS if (row.tenant_id.encode(), row.event_id.encode()) > (text.encode(), text.encode())]
    assert {(p.tenant_id, p.event_id) for p in found} == {(row.tenant_id, row.event_id) for row in after}


@pytest.mark.parametrize("name", [*TEXTS, "../../../etc/passwd", "/etc/localtime", "", "europe/berlin\n"])
def test_time_zones_come_from_the_list(name: str) -> None:
    with pytest.raises(UnknownTimezone):
        parse_timezone(name)


def test_texts_that_no_engine_takes_are_refused_before_they_are_sent() -> None:
    too_long = "é" * (MAX_FILTER_BYTES // 2 + 1)
    condition = Condition(Dimension.TEAM, Operator.ANY_OF, (too_long,))
    with pytest.raises(FilterTooLong, match="60002"):
        CostQuery(Scope(), ALL_TIME, (), where=condition)
    with pytest.raises(FilterTooLong):
        CostQuery(Scope(), ALL_TIME, (), where=Condition(Tag(too_long), Operator.EXISTS, (True,)))
    with pytest.raises(FilterTooLong):
        CostQuery(Scope(), ALL_TIME, (), group_by=(Tag(too_long),))
    with pytest.raises(FilterTooLong):
        OperationQuery(Scope(), ALL_TIME, where=condition)


def test_the_longest_text_that_is_taken_works(hostile: Store) -> None:
    worst = "'" * MAX_FILTER_BYTES
    _check(hostile, where=Condition(Dimension.TEAM, Operator.ANY_OF, (worst,)))
    many = tuple(f"{i:-<59}'" for i in range(1_000))
    _check(hostile, where=Condition(Dimension.TEAM, Operator.NONE_OF, many))
