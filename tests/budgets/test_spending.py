"""A budget's spend equals the `costs` query with the same filter and window, to the last digit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attribution.dimensions import Dimension, ValueType
from attribution.failures import StoreUnavailable
from attribution.measures import Measure
from attribution.query import All, Attribute, Condition, CostQuery, Filter, Not, Operator, Page, Tag, value_type
from attribution.slices import SliceQuery
from attribution.store import Store
from budgets.periods import CalendarPeriod
from budgets.spending import Plan, Slice, Sum
from core.time import Granularity, Window
from tenants.scope import Scope
from tests.attribution.factories import ALL_TIME, ZONES
from tests.attribution.strategies import attributes, conditions, filters, windows, zones

drawn = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
ADDITIVE = [measure for measure in Measure if measure.spec.additive]
texts = attributes.filter(lambda attribute: value_type(attribute) is ValueType.TEXT)
equalities = attributes.flatmap(conditions).filter(lambda c: c.operator is Operator.ANY_OF)
shaped = st.lists(equalities | filters, max_size=3).map(tuple).map(All)
slices = st.builds(
    Slice,
    window=st.just(ALL_TIME) | windows(Granularity.MONTH),
    where=shaped,
    measure=st.sampled_from(ADDITIVE),
    each=st.none() | texts,
    zone=zones,
)


def asked_directly(store: Store, asked: Slice) -> dict[str | None, Decimal]:
    """What `costs` answers; where it says unknown, nothing known was spent."""
    groups = (asked.each,) if asked.each else ()
    query = CostQuery(
        Scope(), asked.window, (asked.measure,), asked.zone, groups, where=asked.where, page=Page(100_000)
    )
    report = store.report(query)
    if not asked.each:
        return {None: Decimal(report.totals[asked.measure] or 0)}
    pairs = zip(report.keys[0], report.measures[asked.measure], strict=True)
    return {member: Decimal(value or 0) for member, value in pairs if member}


def amounts(sums: dict[str | None, Sum]) -> dict[str | None, Decimal]:
    return {member: total.amount for member, total in sums.items()}


@pytest.mark.slow
@drawn
@given(wanted=st.lists(slices, min_size=1, max_size=8))
def test_many_slices_in_few_statements_equal_costs(populated: Store, wanted: list[Slice]) -> None:
    plan = Plan(wanted)
    spending = plan.answer(populated.slices)
    for asked in wanted:
        assert amounts(spending.of(asked)) == asked_directly(populated, asked), asked
    assert len(plan.queries) <= len(wanted)


@pytest.mark.slow
@drawn
@given(asked=slices, zone=zones)
def test_days_sum_to_the_whole(populated: Store, asked: Slice, zone: ZoneInfo) -> None:
    daily = Slice(asked.window, asked.where, asked.measure, asked.each, zone, Granularity.DAY)
    whole = Slice(asked.window, asked.where, asked.measure, asked.each, zone)
    spending = Plan([daily, whole]).answer(populated.slices)
    sums: dict[str | None, Decimal] = {} if asked.each else {None: Decimal(0)}
    for (member, _), total in spending.by_bucket(daily).items():
        sums[member] = sums.get(member, Decimal(0)) + total.amount
    assert sums == amounts(spending.of(whole))


def equals(attribute: Attribute, *values: Any) -> Condition:
    return Condition(attribute, Operator.ANY_OF, values)


def costs(where: Filter, each: Attribute | None = None, window: Window = ALL_TIME) -> Slice:
    return Slice(window, where, Measure.EFFECTIVE_COST, each)


def test_statements_do_not_grow_with_budgets() -> None:
    team, feature = Dimension.TEAM, Dimension.FEATURE
    not_staging = Not(equals(Dimension.ENVIRONMENT, "staging"))
    few = [costs(equals(team, "a")), costs(All((equals(feature, "x"), not_staging)), Dimension.USER)]
    many = [costs(equals(team, f"t{i}")) for i in range(500)]
    many += [costs(All((equals(Tag("plan"), f"p{i}"), equals(team, "a", "b")))) for i in range(500)]
    many += [costs(All((equals(feature, f"f{i}"), not_staging)), Dimension.USER) for i in range(500)]
    assert len(Plan(few).queries) == len(Plan(many).queries) == 2


def test_only_groups_that_somebody_wants_come_back(populated: Store) -> None:
    plan = Plan([costs(equals(Dimension.TEAM, "search")), costs(equals(Dimension.FEATURE, "answers"), Dimension.USER)])
    ((_, query),) = plan.queries
    found = populated.slices(query)
    assert {group.key[0] for group in found[(Dimension.TEAM,)]} == {"search"}
    assert {group.key[0] for group in found[(Dimension.FEATURE, Dimension.USER)]} == {"answers"}


def test_a_filter_that_nothing_can_satisfy_spends_nothing(populated: Store) -> None:
    nothing = costs(All((equals(Dimension.TEAM, "search"), equals(Dimension.TEAM, "growth"))))
    assert amounts(Plan([nothing]).answer(populated.slices).of(nothing)) == {None: Decimal(0)}


def test_one_month_in_all_zones_is_one_statement(populated: Store) -> None:
    at = datetime(2026, 3, 8, 18, tzinfo=UTC)
    kinds = [every for every in Granularity if every.is_calendar]
    periods = [CalendarPeriod(every, ZoneInfo(zone)).at(at) for every in kinds for zone in ZONES]
    wanted = [costs(All(()), each, window) for window in periods for each in (None, Dimension.TENANT)]
    wanted.append(costs(All(()), window=Window(at, at + timedelta(microseconds=1))))
    plan = Plan(wanted)
    spending = plan.answer(populated.slices)
    assert len({asked.window for asked in wanted}) > 40
    assert len(plan.queries) <= len(kinds) + 2
    for asked in wanted:
        assert amounts(spending.of(asked)) == asked_directly(populated, asked), asked


def test_budgets_on_many_attributes_share_statements_of_a_bounded_size(populated: Store) -> None:
    wanted = [costs(equals(Tag(f"key{i}"), "a"), Dimension.TEAM) for i in range(150)]
    plan = Plan(wanted)
    assert max(len(query.attributes) for _, query in plan.queries) <= 16
    assert len(plan.queries) == 10
    spending = plan.answer_what_can_be(populated.slices)
    assert all(map(spending.knows, wanted))


def test_whatever_goes_wrong_with_a_statement_concerns_it_alone() -> None:
    good, bad = costs(equals(Dimension.TEAM, "a")), costs(Not(equals(Dimension.TEAM, "a")))

    def ask(query: SliceQuery) -> dict[Any, Any]:
        if query.groupings == ((),):
            raise RuntimeError("Max query size exceeded")
        return {grouping: [] for grouping in query.groupings}

    spending = Plan([good, bad]).answer_what_can_be(ask)
    assert [spending.knows(good), spending.knows(bad)] == [True, False]
    with pytest.raises(StoreUnavailable):
        Plan([good]).answer_what_can_be(_unavailable)


def _unavailable(_: SliceQuery) -> dict[Any, Any]:
    raise StoreUnavailable("away")
