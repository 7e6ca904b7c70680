"""Every report equals what plain Python makes of the same rows, to the last digit, on both engines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings

from attribution.dimensions import Dimension
from attribution.event import EventRow
from attribution.measures import Measure
from attribution.query import Attribute, Bucket, Condition, CostQuery, MeasureBound, Operator, Order, Page, Tag
from attribution.store import Store
from core.time import Cuts, Granularity, Window
from tenants.scope import Scope
from tests.attribution import oracle
from tests.attribution.factories import ALL_TIME, CENT, NOON, TURNS, ZONES, event
from tests.attribution.reports import content, costs_by
from tests.attribution.strategies import queries

DAY = timedelta(days=1)
EVERYONE = Scope()
drawn = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
few = settings(drawn, max_examples=15)


@pytest.mark.slow
@drawn
@given(query=queries())
def test_a_report_is_what_plain_python_makes_of_the_rows(
    populated: Store, history: list[EventRow], query: CostQuery
) -> None:
    assert content(populated.report(query)) == oracle.answer(query, history)


@pytest.mark.parametrize("attribute", [*Dimension, Tag("plan"), Tag("absent")], ids=str)
def test_every_measure_by_every_attribute(populated: Store, history: list[EventRow], attribute: Attribute) -> None:
    query = CostQuery(EVERYONE, ALL_TIME, tuple(Measure), ZoneInfo("Asia/Kathmandu"), (attribute,))
    assert content(populated.report(query)) == oracle.answer(query, history)


def _comparisons(attribute: Attribute, values: set[Any]) -> Iterator[Condition]:
    """Every operator that suits the attribute, with values of which some occur."""
    middle = sorted(values, key=oracle.sortable)[len(values) // 2]
    yield Condition(attribute, Operator.ANY_OF, (middle,))
    yield Condition(attribute, Operator.NONE_OF, (middle,))
    yield Condition(attribute, Operator.EXISTS, (True,))
    yield Condition(attribute, Operator.EXISTS, (False,))
    if not isinstance(middle, bool):
        yield Condition(attribute, Operator.AT_LEAST, (middle,))
        yield Condition(attribute, Operator.AT_MOST, (middle,))
    if isinstance(middle, str):
        yield Condition(attribute, Operator.PREFIX, (middle[:2],))
        yield Condition(attribute, Operator.CONTAINS, (middle[1:3].swapcase(),))


@pytest.mark.parametrize("attribute", [*Dimension, Tag("plan"), Tag("absent")], ids=str)
def test_every_operator_on_every_attribute(populated: Store, history: list[EventRow], attribute: Attribute) -> None:
    zone = ZoneInfo("Asia/Kathmandu")
    for condition in _comparisons(attribute, {oracle.read(attribute, row, zone) for row in history}):
        query = CostQuery(EVERYONE, ALL_TIME, (Measure.OPERATIONS,), zone, where=condition)
        assert content(populated.report(query)) == oracle.answer(query, history), condition


@pytest.mark.parametrize("granularity", Granularity)
@pytest.mark.parametrize("zone", ZONES)
def test_rows_fall_into_the_bucket_that_local_clocks_say(
    populated: Store, history: list[EventRow], zone: str, granularity: Granularity
) -> None:
    query = CostQuery(
        EVERYONE, ALL_TIME, (Measure.EFFECTIVE_COST,), ZoneInfo(zone), granularity=granularity, page=Page(10_000)
    )
    report = populated.report(query)
    assert content(report) == oracle.answer(query, history)
    assert all(earlier.end <= later.start for earlier, later in pairwise(report.buckets))


@pytest.mark.parametrize("fill_buckets", [False, True])
def test_rows_fall_between_cuts_of_the_callers_own(
    populated: Store, history: list[EventRow], fill_buckets: bool
) -> None:
    turns = sorted({turn.replace(microsecond=0) for turn in TURNS})
    window = Window(turns[1], turns[-1])
    query = CostQuery(
        EVERYONE,
        window,
        (Measure.EFFECTIVE_COST, Measure.ACTIVE_USERS),
        group_by=(Dimension.TENANT,),
        granularity=Cuts(tuple(turns[1:])),
        fill_buckets=fill_buckets,
        page=Page(10_000),
    )
    assert content(populated.report(query)) == oracle.answer(query, history)


@pytest.mark.slow
@few
@given(query=queries())
def test_pages_laid_end_to_end_are_the_whole_list(populated: Store, query: CostQuery) -> None:
    whole = content(populated.report(replace(query, page=Page(10_000))))
    size = max(1, whole.group_count // 4)
    pages = [content(populated.report(replace(query, page=Page(size, at)))) for at in range(0, whole.group_count, size)]
    assert [group for page in pages for group in page.groups] == whole.groups
    assert {page.group_count for page in pages} <= {whole.group_count}
    assert all(page.totals == whole.totals for page in pages)


@pytest.mark.parametrize("granularity", [Granularity.HOUR, Granularity.DAY, Granularity.MONTH])
@pytest.mark.parametrize("group_by", [(), (Dimension.TEAM,), (Dimension.TEAM, Tag("plan"))], ids=len)
def test_filled_reports_have_every_bucket_of_every_group(
    populated: Store, history: list[EventRow], group_by: tuple[Attribute, ...], granularity: Granularity
) -> None:
    window = Window(TURNS[2] - DAY, TURNS[2] + 2 * DAY)
    query = CostQuery(
        EVERYONE,
        window,
        tuple(Measure),
        ZoneInfo("America/Sao_Paulo"),
        group_by,
        granularity,
        fill_buckets=True,
        page=Page(10_000),
    )
    report = populated.report(query)
    assert content(report) == oracle.answer(query, history)
    assert report.size % len(list(granularity.buckets(window, query.timezone))) == 0


EMPTY = Window(NOON, NOON + DAY)


def test_nothing_at_all_still_has_a_total(store: Store) -> None:
    query = CostQuery(EVERYONE, EMPTY, tuple(Measure))
    assert content(store.report(query)) == oracle.answer(query, [])


@pytest.mark.parametrize(
    ("group_by", "granularity", "fill", "groups"),
    [
        ((), None, False, 1),
        ((), Granularity.HOUR, False, 0),
        ((), Granularity.HOUR, True, 24),
        ((Dimension.TEAM,), None, False, 0),
        ((Dimension.TEAM,), Granularity.HOUR, True, 0),
        ((Dimension.TEAM, Dimension.ATTEMPT), Granularity.HOUR, True, 0),
    ],
)
def test_groups_of_nothing(
    store: Store, group_by: tuple[Attribute, ...], granularity: Granularity | None, fill: bool, groups: int
) -> None:
    measures = (Measure.EFFECTIVE_COST, Measure.REQUESTS, Measure.LATENCY_P50_MS, Measure.COST_SHARE)
    query = CostQuery(
        EVERYONE, EMPTY, measures, group_by=group_by, granularity=granularity, fill_buckets=fill, page=Page(1_000)
    )
    report = store.report(query)
    assert (report.size, report.group_count) == (groups, groups)
    assert [*report.totals.values()] == [0, 0, None, None]
    assert [set(values) for values in report.measures.values()] == (
        [{0}, {0}, {None}, {None}] if groups else [set()] * 4
    )


def test_no_measure_is_needed(store: Store) -> None:
    store.insert([event(team="a"), event(team="b")])
    report = store.report(CostQuery(EVERYONE, ALL_TIME, (), group_by=(Dimension.TEAM,)))
    assert (report.keys, report.measures, report.group_count) == ((["a", "b"],), {}, 2)


@pytest.mark.parametrize("descending", [True, False])
def test_unknown_comes_last_either_way(store: Store, descending: bool) -> None:
    store.insert([event(team=team, effective_cost=cost) for team, cost in (("", 1), ("a", 2), ("b", None), ("c", 3))])
    for by in (Measure.EFFECTIVE_COST, Dimension.TEAM):
        order = (Order(by, descending),)
        report = store.report(CostQuery(EVERYONE, ALL_TIME, (), group_by=(Dimension.TEAM,), order_by=order))
        known = {Measure.EFFECTIVE_COST: [None, "a", "c"], Dimension.TEAM: ["a", "b", "c"]}[by]
        last = {Measure.EFFECTIVE_COST: "b", Dimension.TEAM: None}[by]
        assert report.keys[0] == [*(known[::-1] if descending else known), last]


def test_unknown_is_not_zero(store: Store) -> None:
    store.insert([event(team="a", effective_cost=None), event(team="a", effective_cost=None), event(team="b")])
    report = store.report(costs_by(Dimension.TEAM))
    assert report.keys == (["b", "a"],)
    assert report.measures[Measure.EFFECTIVE_COST] == [Decimal("0.01"), None]
    assert report.totals[Measure.EFFECTIVE_COST] == Decimal("0.01")


def test_unit_costs_are_rounded_once_and_half_even(store: Store) -> None:
    """A cost of 1 or 3 pico over two operations lies halfway between two picos; two thirds is nearer to one."""
    costs = {"one": [1, 0], "three": [3, 0], "two thirds": [2, 0, 0]}
    store.insert([event(team=team, effective_cost=cost) for team, picos in costs.items() for cost in picos])
    query = CostQuery(EVERYONE, ALL_TIME, (Measure.COST_PER_OPERATION,), group_by=(Dimension.TEAM,))
    report = store.report(query)
    found = dict(zip(report.keys[0], report.measures[Measure.COST_PER_OPERATION], strict=True))
    assert found == {"one": Decimal(0), "three": Decimal("2E-12"), "two thirds": Decimal("1E-12")}


def test_a_quotient_just_above_half_a_pico_is_rounded_up(store: Store) -> None:
    """Cut at 18 decimals, 666,666.5000000001 picos would look like exactly half, and be rounded down to even."""
    store.insert([event(effective_cost=2_666_666_002, uncached_input_tokens=4_000_000_003, text_output_tokens=0)])
    report = store.report(CostQuery(EVERYONE, ALL_TIME, (Measure.COST_PER_MILLION_TOKENS,)))
    assert report.totals[Measure.COST_PER_MILLION_TOKENS] == Decimal(666_667).scaleb(-12)


def test_a_week_belongs_to_its_monday_and_a_half_hour_zone_to_its_own_midnight(store: Store) -> None:
    zone = ZoneInfo("Asia/Kolkata")
    sunday_night = datetime(2026, 3, 1, 23, 59, 59, 999_999, tzinfo=zone)
    store.insert(
        [event(start_time=sunday_night.astimezone(UTC)), event(start_time=sunday_night + timedelta(seconds=1))]
    )
    query = CostQuery(EVERYONE, ALL_TIME, (Measure.OPERATIONS,), zone, granularity=Granularity.WEEK)
    report = store.report(query)
    assert [bucket.start.astimezone(zone).isoformat() for bucket in report.buckets] == [
        "2026-02-23T00:00:00+05:30",
        "2026-03-02T00:00:00+05:30",
    ]
    assert report.measures[Measure.OPERATIONS] == [1, 1]


def test_the_default_order_runs_forward_in_time_then_by_the_first_measure(store: Store) -> None:
    rows = [(0, "a", 1), (0, "b", 2), (1, "a", 3), (1, "b", None)]
    store.insert([event(start_time=NOON + day * DAY, team=team, effective_cost=cost) for day, team, cost in rows])
    report = store.report(replace(costs_by(Dimension.TEAM), granularity=Granularity.DAY))
    assert report.keys == (["b", "a", "a", "b"],)
    newest_first = replace(report.query, order_by=(Order(Bucket.START), Order(Dimension.TEAM, descending=False)))
    assert store.report(newest_first).keys == (["a", "b", "a", "b"],)


def test_having_leaves_totals_alone(store: Store) -> None:
    store.insert([event(team=team, effective_cost=cost) for team, cost in (("a", CENT), ("b", 3 * CENT), ("c", None))])
    query = replace(costs_by(Dimension.TEAM), having=(MeasureBound(Measure.EFFECTIVE_COST, Decimal("0.03")),))
    report = store.report(query)
    assert (report.keys, report.group_count, report.totals) == (
        (["b"],),
        1,
        {Measure.EFFECTIVE_COST: Decimal("0.04")},
    )


def test_a_filter_on_the_hour_reads_the_asked_zone(store: Store) -> None:
    store.insert([event(start_time=datetime(2026, 3, 28, 23, tzinfo=UTC))])
    midnight = Condition(Dimension.HOUR_OF_WEEK, Operator.ANY_OF, (6 * 24,))
    for zone, expected in (("Europe/Berlin", 1), ("UTC", 0)):
        query = CostQuery(EVERYONE, ALL_TIME, (Measure.OPERATIONS,), ZoneInfo(zone), where=midnight)
        assert store.report(query).totals[Measure.OPERATIONS] == expected
