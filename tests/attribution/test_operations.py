"""Drill-down: the single operations, in every order, page by page, while more of them arrive."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attribution.event import EventRow
from attribution.operations import OperationOrder, OperationPage, OperationQuery, total_cost
from attribution.query import Filter
from attribution.store import Store
from tenants.scope import Scope
from tests.attribution import oracle
from tests.attribution.factories import ALL_TIME, CENT, NOON, event, insert_in_batches, random_rows
from tests.attribution.strategies import filters, scopes, windows, zones

_COLUMNS = {
    OperationOrder.START_TIME: "start_time",
    OperationOrder.EFFECTIVE_COST: "effective_cost",
    OperationOrder.DURATION_MS: "duration_ms",
}
EVERY_ORDER = [(order, descending) for order in OperationOrder for descending in (True, False)]


def ordered(rows: Iterable[EventRow], order: OperationOrder, *, descending: bool) -> list[EventRow]:
    """The rows by that column, then by start and identity; unknown last either way."""
    by_identity = sorted(
        rows, key=lambda row: (row.start_time, row.tenant_id.encode(), row.event_id.encode()), reverse=descending
    )
    unknown = [row for row in by_identity if getattr(row, _COLUMNS[order]) is None]
    known = [row for row in by_identity if getattr(row, _COLUMNS[order]) is not None]
    return sorted(known, key=lambda row: getattr(row, _COLUMNS[order]), reverse=descending) + unknown


def identities(rows: Iterable[EventRow]) -> list[tuple[str, str]]:
    return [(row.tenant_id, row.event_id) for row in rows]


def listed(page: OperationPage) -> list[tuple[str, str]]:
    return [(operation.values["tenant_id"], operation.values["event_id"]) for operation in page.operations]


def pages(store: Store, query: OperationQuery) -> Iterable[OperationPage]:
    """Every page, each asked for after the last operation of the one before."""
    while True:
        page = store.operations(query)
        yield page
        if not page.has_next:
            return
        query = replace(query, after=page.operations[-1].position)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    scope=scopes,
    window=windows() | st.just(ALL_TIME),
    where=filters,
    zone=zones,
    order=st.sampled_from(EVERY_ORDER),
)
def test_operations_are_what_plain_python_selects(
    populated: Store,
    history: list[EventRow],
    scope: Scope,
    window: Any,
    where: Filter,
    zone: Any,
    order: tuple[OperationOrder, bool],
) -> None:
    query = OperationQuery(scope, window, where, zone, *order, first=10_000)
    expected = ordered(oracle.selected(query, history), order[0], descending=order[1])
    assert listed(populated.operations(query)) == identities(expected)


@pytest.mark.parametrize(("order", "descending"), EVERY_ORDER)
def test_pages_laid_end_to_end_are_the_whole_list(
    populated: Store, history: list[EventRow], order: OperationOrder, descending: bool
) -> None:
    query = OperationQuery(Scope(), ALL_TIME, order_by=order, descending=descending, first=97)
    found = [identity for page in pages(populated, query) for identity in listed(page)]
    assert found == identities(ordered(oracle.truth(history), order, descending=descending))


@pytest.mark.parametrize(("order", "descending"), EVERY_ORDER)
def test_what_arrives_meanwhile_moves_nothing(store: Store, order: OperationOrder, descending: bool) -> None:
    """Each page is followed by an insert of rows anywhere in the order; those there from the start come once, in order."""
    first, *later = _shares(random_rows(seed=21, size=240), 4)
    insert_in_batches(store, first)
    found: list[tuple[str, str]] = []
    query = OperationQuery(Scope(), ALL_TIME, order_by=order, descending=descending, first=25)
    for page in pages(store, query):
        found += listed(page)
        if later:
            store.insert(later.pop())
    assert len(set(found)) == len(found)
    present = set(identities(first))
    assert [identity for identity in found if identity in present] == identities(
        ordered(first, order, descending=descending)
    )


def _shares(rows: Sequence[EventRow], count: int) -> list[list[EventRow]]:
    return [list(rows[i::count]) for i in range(count)]


@pytest.mark.parametrize("descending", [True, False])
def test_an_unknown_cost_comes_after_the_most_extreme_known_one(store: Store, descending: bool) -> None:
    most = 999_999_999_999_999_999
    costs = {"low": -most, "high": most, "unknown": None, "zero": 0}
    store.insert([event(event_id=name, effective_cost=cost) for name, cost in costs.items()])
    query = OperationQuery(Scope(), ALL_TIME, order_by=OperationOrder.EFFECTIVE_COST, descending=descending)
    known = ["high", "zero", "low"] if descending else ["low", "zero", "high"]
    assert [event_id for _, event_id in listed(store.operations(query))] == [*known, "unknown"]


def test_a_page_says_whether_there_are_more(store: Store) -> None:
    store.insert([event(), event()])
    for first, more in ((1, True), (2, False), (3, False)):
        page = store.operations(OperationQuery(Scope(), ALL_TIME, first=first))
        assert (len(page.operations), page.has_next) == (min(first, 2), more)


def test_an_operation_holds_aware_times_and_exact_money(store: Store) -> None:
    start = NOON + timedelta(microseconds=123_457)
    store.insert([event(start_time=start, effective_cost=CENT + 1, tags={"plan": "gold"}, quantity=1_500_000_000)])
    (operation,) = store.operations(OperationQuery(Scope(), ALL_TIME)).operations
    values = operation.values
    assert (values["start_time"], values["start_time"].utcoffset()) == (start, UTC.utcoffset(None))
    assert (values["effective_cost"], values["quantity"]) == (Decimal("0.010000000001"), Decimal("1.5"))
    assert (values["tags"], values["list_cost"], values["cache_hit"]) == ({"plan": "gold"}, None, False)
    assert not {"version", "is_deleted"} & set(values)


def test_the_sum_of_operations_is_the_sum_of_what_is_known(store: Store) -> None:
    assert total_cost([]) == 0
    store.insert([event(effective_cost=None)])
    query = OperationQuery(Scope(), ALL_TIME)
    assert total_cost(store.operations(query).operations) is None
    store.insert([event(effective_cost=CENT), event(effective_cost=2 * CENT)])
    assert total_cost(store.operations(query).operations) == Decimal("0.03")


@pytest.mark.parametrize(("order", "descending"), EVERY_ORDER)
def test_one_id_on_several_days_is_not_skipped(store: Store, order: OperationOrder, descending: bool) -> None:
    store.insert([event(event_id="e", start_time=NOON + timedelta(days=day), duration_ms=5) for day in range(5)])
    query = OperationQuery(Scope(), ALL_TIME, order_by=order, descending=descending, first=1)
    starts = [operation.values["start_time"] for page in pages(store, query) for operation in page.operations]
    assert starts == sorted((NOON + timedelta(days=day) for day in range(5)), reverse=descending)
