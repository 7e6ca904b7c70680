"""Whole rows come back as they were sent, narrowed and in pages; a tombstone outlives everything but tells nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from itertools import chain, groupby

from attribution.dimensions import Dimension
from attribution.event import TOMBSTONE_VERSION, EventRow, repriced_version, row_version, tombstone
from attribution.query import Condition, Operator
from attribution.rows import ALL_TIME, RowQuery
from attribution.store import Store
from core.time import Window
from tenants.scope import Scope
from tests.attribution.factories import ARRIVAL, BLANK, NOON, event

EVERYTHING = RowQuery(Scope(), first=10_000)


def identity(row: EventRow) -> tuple[date, bytes, bytes]:
    return row.start_time.date(), row.tenant_id.encode(), row.event_id.encode()


def truth(history: list[EventRow]) -> list[EventRow]:
    newest = {identity(row): row for row in sorted(history, key=lambda row: row.version)}
    return sorted((row for row in newest.values() if not row.is_deleted), key=identity)


def test_every_true_row_comes_back_whole(populated: Store, history: list[EventRow]) -> None:
    found = populated.rows(EVERYTHING)
    assert len(found) > 100
    assert found == truth(history)


def test_the_pages_of_the_days_are_all_there_is(populated: Store, history: list[EventRow]) -> None:
    counts = dict(populated.row_counts(Scope(), ALL_TIME))
    by_day = {day: list(rows) for day, rows in groupby(truth(history), lambda row: row.start_time.date())}
    assert counts == {day: len(rows) for day, rows in by_day.items()}
    for day in sorted(counts, key=lambda day: -counts[day])[:4]:
        assert list(chain.from_iterable(pages_of(populated, day))) == by_day[day]


def pages_of(store: Store, day: date) -> Iterator[list[EventRow]]:
    page = store.rows(RowQuery(Scope(), day=day, first=10))
    while page:
        yield page
        page = store.rows(RowQuery(Scope(), day=day, after=(page[-1].tenant_id, page[-1].event_id), first=10))


def test_rows_are_narrowed_by_scope_window_filter_and_id(store: Store) -> None:
    rows = [
        event(event_id="a"),
        event(event_id="a", start_time=NOON + timedelta(days=1)),
        event(event_id="a", tenant_id="globex"),
        event(event_id="b", request_model="", response_model="o1", team="growth"),
    ]
    store.insert(rows)
    everywhere = Scope()
    model = Condition(Dimension.MODEL, Operator.ANY_OF, ("o1",))
    for query, expected in (
        (RowQuery(everywhere, event_id="a", tenant_id="acme"), [rows[0], rows[1]]),
        (RowQuery(everywhere, event_id="a", day=NOON.date()), [rows[0], rows[2]]),
        (RowQuery(Scope(tenant="globex")), [rows[2]]),
        (RowQuery(Scope(team="growth")), [rows[3]]),
        (RowQuery(everywhere, where=model), [rows[3]]),
        (RowQuery(everywhere, Window(NOON, NOON + timedelta(microseconds=1)), tenant_id="acme"), [rows[0], rows[3]]),
        (RowQuery(everywhere, event_id="' OR 1=1 --"), []),
    ):
        assert store.rows(query) == expected


def test_a_tombstone_outlives_replays_and_corrections_and_tells_only_the_identity(store: Store) -> None:
    row = event(event_id="gone", user_id="ada", tags={"a": "b"})
    store.insert([row, event(event_id="stays")])
    store.insert([tombstone(row)])
    store.insert([row, row._replace(version=row_version(16_382, ARRIVAL, informed=7, merges=7))])
    assert [found.event_id for found in store.rows(EVERYTHING)] == ["stays"]
    assert tombstone(row).version == TOMBSTONE_VERSION
    held = {name for name, value in tombstone(row)._asdict().items() if value != BLANK[name]}
    assert held == {"tenant_id", "event_id", "version", "start_time", "ingested_at", "kind", "source", "is_deleted"}


def test_a_repriced_row_wins_over_its_replay_and_loses_to_a_correction(store: Store) -> None:
    row = event(event_id="e", effective_cost=1)
    repriced = row._replace(version=repriced_version(row.version), effective_cost=2)
    corrected = row._replace(version=row_version(2, ARRIVAL + timedelta(days=1)), effective_cost=3)
    store.insert([repriced])
    store.insert([row])
    assert store.rows(EVERYTHING) == [repriced]
    store.insert([corrected])
    assert store.rows(EVERYTHING) == [corrected]
