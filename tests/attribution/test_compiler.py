"""The statements as text, so that a change of the compiler shows; and what holds for every statement."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings

from attribution.compiler import compile_query
from attribution.dimensions import Dimension
from attribution.measures import Measure
from attribution.operations import OperationOrder, OperationQuery, Position, compile_operations
from attribution.query import All, Bucket, Condition, CostQuery, MeasureBound, Not, Operator, Order, Page, Tag
from attribution.query import Any as AnyOf
from attribution.statement import Statement
from core.time import Granularity, Window
from tenants.scope import Scope
from tests.attribution.strategies import queries

GOLDEN = Path(__file__).parent / "golden"
MARCH = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC))
BERLIN = ZoneInfo("Europe/Berlin")
COST = (Measure.EFFECTIVE_COST,)

EXAMPLES: dict[str, CostQuery | OperationQuery] = {
    "total": CostQuery(Scope(), MARCH, (Measure.EFFECTIVE_COST, Measure.COST_PER_REQUEST)),
    "by_feature_and_tag": CostQuery(
        Scope(tenant="acme", team="search", environment="production"),
        MARCH,
        (Measure.EFFECTIVE_COST, Measure.COST_SHARE),
        group_by=(Dimension.FEATURE, Tag("plan")),
        having=(MeasureBound(Measure.OPERATIONS, Decimal(10), Decimal(99)),),
        order_by=(Order(Measure.ERROR_RATE), Order(Tag("plan"), descending=False)),
        page=Page(20, 40),
    ),
    "filtered": CostQuery(
        Scope(),
        MARCH,
        COST,
        where=All(
            (
                Condition(Dimension.MODEL, Operator.ANY_OF, ("gpt-4o", "claude")),
                AnyOf(
                    (
                        Condition(Dimension.ATTEMPT, Operator.AT_LEAST, (2,)),
                        Condition(Tag("plan"), Operator.EXISTS, (False,)),
                        Condition(Dimension.FEATURE, Operator.CONTAINS, ("search",)),
                    )
                ),
                Not(Condition(Dimension.CACHE_HIT, Operator.ANY_OF, (True,))),
            )
        ),
    ),
    "hours_across_a_change_of_clocks": CostQuery(
        Scope(),
        MARCH,
        COST,
        BERLIN,
        (Dimension.HOUR_OF_WEEK,),
        Granularity.HOUR,
        order_by=(Order(Bucket.START),),
    ),
    "filled_days": CostQuery(
        Scope(),
        Window(datetime(2026, 3, 28, tzinfo=BERLIN), datetime(2026, 3, 31, tzinfo=BERLIN)),
        (Measure.EFFECTIVE_COST, Measure.ERROR_RATE),
        BERLIN,
        (Dimension.TEAM,),
        Granularity.DAY,
        fill_buckets=True,
    ),
    "operations": OperationQuery(
        Scope(tenant="acme"),
        MARCH,
        order_by=OperationOrder.EFFECTIVE_COST,
        descending=False,
        first=10,
        after=Position(1, 2, "acme", "e1"),
    ),
}


def _compile(query: CostQuery | OperationQuery) -> Statement:
    return compile_query(query) if isinstance(query, CostQuery) else compile_operations(query)


def _text(statement: Statement) -> str:
    values = "\n".join(f"{name} = {value!r}" for name, value in statement.parameters.items())
    return f"{statement.sql}\n\n{values}\n"


@pytest.mark.parametrize("name", EXAMPLES)
def test_statement_reads_as_recorded(name: str) -> None:
    assert _text(_compile(EXAMPLES[name])) == (GOLDEN / f"{name}.sql").read_text(encoding="utf-8")


def test_nothing_recorded_is_forgotten() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(EXAMPLES)


@settings(max_examples=50, deadline=None)
@given(query=queries())
def test_the_same_query_is_the_same_statement(query: CostQuery) -> None:
    assert compile_query(query) == compile_query(replace(query))


@settings(max_examples=50, deadline=None)
@given(query=queries())
def test_every_value_is_bound_under_the_name_it_is_used_by(query: CostQuery) -> None:
    statement = compile_query(query)
    assert set(re.findall(r"\{(\w+):", statement.sql)) == set(statement.parameters)


@settings(max_examples=50, deadline=None)
@given(query=queries())
def test_no_text_of_a_caller_is_in_the_statement(query: CostQuery) -> None:
    """Other texts of the same shape make the same SQL: none of it came from them."""
    assert compile_query(_reworded(query, "{p0:String} '")).sql == compile_query(_reworded(query, "b")).sql


def _reworded(query: CostQuery, word: str) -> CostQuery:
    """The query with the word in front of every text of the caller's."""

    def tag(attribute: Any) -> Any:
        return Tag(word + attribute.key) if isinstance(attribute, Tag) else attribute

    def texts(where: Any) -> Any:
        match where:
            case Condition(attribute, operator, values):
                return Condition(tag(attribute), operator, tuple(word + v if isinstance(v, str) else v for v in values))
            case Not(part):
                return Not(texts(part))
            case _:
                return type(where)(tuple(map(texts, where.parts)))

    scope = query.scope
    return replace(
        query,
        scope=Scope(*(side and word + side for side in (scope.tenant, scope.team, scope.environment))),
        group_by=tuple(map(tag, query.group_by)),
        order_by=tuple(replace(order, by=tag(order.by)) for order in query.order_by),
        where=texts(query.where),
    )
