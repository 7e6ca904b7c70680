"""What must always be true of the numbers, however rows arrive and whoever asks."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import permutations
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attribution.dimensions import Dimension
from attribution.event import EventRow, row_version, tombstone
from attribution.measures import Measure, MeasureType
from attribution.query import All, Attribute, Condition, CostQuery, Filter, Operator, Page, Tag
from attribution.report import CostReport
from attribution.store import Store
from core.time import Granularity
from tenants.scope import Scope
from tests.attribution import oracle
from tests.attribution.factories import (
    ALL_TIME,
    ARRIVAL,
    CENT,
    HOSTILE_TEXTS,
    NOON,
    event,
    insert_in_batches,
    random_history,
)
from tests.attribution.reports import content, costs_by
from tests.attribution.strategies import attributes, filters, queries, zones
from tests.engines import connect

drawn = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
ADDITIVE = tuple(measure for measure in Measure if measure.spec.additive)


# 1. The groups of any grouping sum to the total


@pytest.mark.slow
@drawn
@given(
    group_by=st.lists(attributes, max_size=4, unique=True).map(tuple),
    granularity=st.sampled_from([None, *Granularity]),
    zone=zones,
    where=filters,
)
def test_groups_sum_to_the_total_to_the_last_digit(
    populated: Store,
    group_by: tuple[Attribute, ...],
    granularity: Granularity | None,
    zone: ZoneInfo,
    where: Filter,
) -> None:
    total = populated.report(CostQuery(Scope(), ALL_TIME, ADDITIVE, zone, where=where)).totals
    query = CostQuery(Scope(), ALL_TIME, ADDITIVE, zone, group_by, granularity, where, page=Page(100_000))
    report = populated.report(query)
    assert report.totals == total
    for measure in ADDITIVE:
        assert _sum(report, measure) == total[measure], measure


def _sum(report: CostReport, measure: Measure) -> Decimal | int | None:
    """The sum of what is known; unknown when there are operations and nothing is."""
    known = [value for value in report.measures[measure] if value is not None]
    if measure.spec.type is MeasureType.COUNT:
        return sum(known)
    return sum(known, Decimal(0)) if known or not report.size else None


# 2. Replaying, re-batching and re-ordering change no number


_ALL = CostQuery(Scope(), ALL_TIME, tuple(Measure), ZoneInfo("Australia/Lord_Howe"), page=Page(100_000))
QUESTIONS = (
    _ALL,
    replace(_ALL, group_by=(Dimension.TENANT, Dimension.FEATURE)),
    replace(_ALL, group_by=(Tag("plan"),), granularity=Granularity.DAY),
)


@pytest.fixture(scope="module")
def ten_thousand() -> list[EventRow]:
    rows = random_history(seed=7, size=8_000)
    assert len(rows) == 10_000
    return rows


@pytest.fixture(scope="module")
def expected(ten_thousand: list[EventRow]) -> list[oracle.Answer]:
    rows = oracle.truth(ten_thousand)
    return [oracle.answer(query, rows) for query in QUESTIONS]


def _answers(store: Store) -> list[oracle.Answer]:
    return [content(store.report(query)) for query in QUESTIONS]


@pytest.mark.slow
def test_ten_thousand_rows_sent_once_and_in_order(
    store: Store, ten_thousand: list[EventRow], expected: list[oracle.Answer]
) -> None:
    store.insert(sorted(ten_thousand, key=lambda row: row.ingested_at))
    assert _answers(store) == expected


@pytest.mark.slow
def test_ten_thousand_rows_shuffled_rebatched_and_repeated(
    store: Store, ten_thousand: list[EventRow], expected: list[oracle.Answer]
) -> None:
    random = Random(8)
    rows = [*ten_thousand, *random.sample(ten_thousand, 4_000), *ten_thousand[:1_000]]
    random.shuffle(rows)
    insert_in_batches(store, rows, largest=1_500)
    assert _answers(store) == expected


VERSIONS = [event(event_id="e", version=row_version(n, ARRIVAL), effective_cost=n * CENT) for n in (1, 2, 3)]


def _cost(store: Store) -> Any:
    return store.report(costs_by()).totals[Measure.EFFECTIVE_COST]


@pytest.mark.parametrize("order", [*permutations(range(3))], ids=str)
@pytest.mark.parametrize("together", [True, False])
def test_the_latest_version_counts_whatever_the_order_of_arrival(
    store: Store, clickhouse_url: str, order: tuple[int, ...], together: bool
) -> None:
    rows = [VERSIONS[i] for i in order]
    for batch in [rows] if together else [[row] for row in rows]:
        store.insert(batch)
    assert _cost(store) == Decimal("0.03")
    _merge(clickhouse_url)
    assert _cost(store) == Decimal("0.03")


def _merge(url: str) -> None:
    with closing(connect(url, create=False)) as client:
        client.command("OPTIMIZE TABLE events FINAL")


@pytest.mark.parametrize("first_sent_first", [True, False])
def test_of_equal_versions_the_first_to_arrive_stays(store: Store, first_sent_first: bool) -> None:
    """A replay that is priced anew must not change what was told before."""
    early, late = (
        event(event_id="e", version=row_version(1, arrival), ingested_at=arrival, effective_cost=cost)
        for arrival, cost in ((ARRIVAL, CENT), (ARRIVAL + timedelta(seconds=1), 2 * CENT))
    )
    for row in (early, late) if first_sent_first else (late, early):
        store.insert([row])
    assert _cost(store) == Decimal("0.01")


@pytest.mark.parametrize("order", [*permutations(range(3))], ids=str)
def test_a_tombstone_stays_down(store: Store, clickhouse_url: str, order: tuple[int, ...]) -> None:
    """Neither a replay nor a correction revives the event, before and after a merge."""
    rows = [VERSIONS[0], VERSIONS[2], tombstone(VERSIONS[1])]
    for i in order:
        store.insert([rows[i]])
    _merge(clickhouse_url)
    store.insert([VERSIONS[0]])
    report = store.report(replace(costs_by(), measures=(Measure.OPERATIONS, Measure.EFFECTIVE_COST)))
    assert [*report.totals.values()] == [0, 0]


def test_another_tenant_or_another_utc_date_is_another_event(store: Store) -> None:
    late = NOON.replace(hour=23, minute=59, second=59, microsecond=999_999)
    same = {"event_id": "e", "effective_cost": CENT}
    store.insert([event(start_time=late, **same), event(start_time=late + timedelta(microseconds=1), **same)])
    store.insert([event(start_time=late, tenant_id="globex", **same), event(start_time=NOON, **same)])
    assert store.report(costs_by(Dimension.TENANT)).measures[Measure.EFFECTIVE_COST] == [
        Decimal("0.02"),
        Decimal("0.01"),
    ]


# 3. A scope shows what a filter for it would show


@pytest.mark.slow
@drawn
@given(
    query=queries(),
    scope=st.builds(
        Scope,
        tenant=st.sampled_from([None, "acme", "Acme", HOSTILE_TEXTS[0], ""]),
        team=st.sampled_from([None, "search", ""]),
        environment=st.sampled_from([None, "production", ""]),
    ),
)
def test_a_scoped_answer_is_the_open_answer_filtered(populated: Store, query: CostQuery, scope: Scope) -> None:
    sides = {Dimension.TENANT: scope.tenant, Dimension.TEAM: scope.team, Dimension.ENVIRONMENT: scope.environment}
    conditions = [Condition(d, Operator.ANY_OF, (value,)) for d, value in sides.items() if value is not None]
    scoped = replace(query, scope=scope)
    filtered = replace(query, scope=Scope(), where=All((query.where, *conditions)))
    assert content(populated.report(scoped)) == content(populated.report(filtered))


def test_no_scoped_answer_holds_a_foreign_row(populated: Store, history: list[EventRow]) -> None:
    for tenant in {row.tenant_id for row in history}:
        query = replace(costs_by(Dimension.TENANT), scope=Scope(tenant=tenant))
        assert populated.report(query).keys == ([tenant],)


# Versions


@given(
    versions=st.lists(st.integers(0, 16_000), min_size=2, max_size=2, unique=True),
    arrivals=st.lists(st.timedeltas(timedelta(), timedelta(days=9_000)).map(NOON.__add__), min_size=2, max_size=2),
)
def test_a_higher_version_wins_whenever_it_arrives(versions: list[int], arrivals: list[datetime]) -> None:
    low, high = sorted(versions)
    assert row_version(low, arrivals[0]) < row_version(high, arrivals[1]) < 1 << 64
