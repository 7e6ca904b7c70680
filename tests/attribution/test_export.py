"""Exports are `costs` in pieces: every group once, whatever the pieces, on both engines."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from attribution import export
from attribution.dimensions import Dimension
from attribution.export import ExportQuery, NotAdditive, Piece, Sum, compile_piece, pieces, schema_of
from attribution.measures import Measure
from attribution.query import CostQuery, Page, Tag
from attribution.store import Store
from core.time import Granularity, Window
from tenants.scope import Scope
from tests.attribution.factories import ALL_TIME, HOSTILE_TEXTS

BERLIN = ZoneInfo("Europe/Berlin")
KEYS = (Dimension.TENANT, Dimension.FEATURE, Dimension.ATTEMPT, Dimension.CACHE_HIT, Tag("plan"))
SUMS = (Measure.EFFECTIVE_COST, Measure.OPERATIONS, Measure.INPUT_TOKENS, Measure.CACHE_SAVINGS)


def query(**given: Any) -> ExportQuery:
    usual: dict[str, Any] = {"group_by": KEYS, "columns": SUMS, "timezone": BERLIN, "granularity": Granularity.DAY}
    return ExportQuery(Scope(), ALL_TIME, **usual | given)


def rows(store: Store, asked: ExportQuery) -> list[tuple[Any, ...]]:
    tables = list(store.export(asked))
    assert all(table.schema == schema_of(asked) for table in tables)
    return [tuple(map(_plain, row.values())) for table in tables for row in table.to_pylist()]


def _plain(value: Any) -> Any:
    return value.astimezone(UTC) if isinstance(value, datetime) else value


def reported(store: Store, asked: ExportQuery) -> list[tuple[Any, ...]]:
    """The same from `report`."""
    report = store.report(
        CostQuery(
            asked.scope,
            asked.window,
            SUMS,
            timezone=asked.timezone,
            group_by=asked.group_by,
            granularity=asked.granularity,
            page=Page(100_000),
        )
    )
    bounds = [[b.start for b in report.buckets], [b.end for b in report.buckets]] if report.buckets else []
    return list(zip(*bounds, *report.keys, *report.measures.values(), strict=True))


@pytest.mark.parametrize("granularity", [None, Granularity.HOUR, Granularity.DAY, Granularity.MONTH])
@pytest.mark.parametrize("size", [200, 500_000])
def test_pieces_of_any_size_are_what_costs_says(
    populated: Store, granularity: Granularity | None, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = query(granularity=granularity)
    monkeypatch.setattr(export, "PIECE_CELLS", size)
    found = rows(populated, asked)
    assert sorted(map(repr, found)) == sorted(map(repr, reported(populated, asked)))
    starts = [row[0] for row in found] if granularity else []
    assert starts == sorted(starts)


def test_a_scope_and_a_window_narrow_it(populated: Store) -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    asked = replace(query(), scope=Scope(tenant="acme"), window=Window(start, start + timedelta(days=90)))
    found = rows(populated, asked)
    assert found
    assert sorted(map(repr, found)) == sorted(map(repr, reported(populated, asked)))


def test_amounts_as_text_are_plain_and_exact(populated: Store) -> None:
    exact, texts = rows(populated, query()), rows(populated, query(as_text=True))
    amounts = [row[-4] for row in texts]
    assert [None if a is None else Decimal(a) for a in amounts] == [row[-4] for row in exact]
    assert not any("E" in a or (("." in a) and a.endswith("0")) for a in amounts if a)
    assert texts[0][0].endswith("Z")


def test_nothing_is_no_piece_and_no_grouping_is_one_row(populated: Store) -> None:
    long_ago = Window(datetime(1990, 1, 1, tzinfo=UTC), datetime(1990, 2, 1, tzinfo=UTC))
    assert rows(populated, replace(query(), window=long_ago)) == []
    (total,) = rows(populated, query(group_by=(), granularity=None))
    assert (total,) == tuple(reported(populated, query(group_by=(), granularity=None)))


def test_tags_and_filters_are_values(populated: Store) -> None:
    for text in HOSTILE_TEXTS:
        assert rows(populated, query(group_by=(Tag(text),)))


def test_what_does_not_add_up_is_not_exported() -> None:
    with pytest.raises(NotAdditive):
        query(columns=(Measure.ACTIVE_USERS,))


def test_small_buckets_go_together_and_large_ones_are_shared_out() -> None:
    sizes = [(date(2026, 3, day), groups) for day, groups in ((1, 2), (2, 2), (5, 9), (6, 1))]
    found = list(pieces(query(timezone=ZoneInfo("UTC")), sizes, rows=4))

    def day(number: int) -> datetime:
        return datetime(2026, 3, number, tzinfo=UTC)

    fifth = Window(day(5), day(6))
    assert found == [
        Piece(Window(day(1), day(3))),
        *(Piece(fifth, share, 3) for share in range(3)),
        Piece(Window(day(6), day(7))),
    ]


def test_the_statement_binds_whatever_was_sent() -> None:
    asked = query(group_by=(Tag("a' b"),), columns=(Sum.QUANTITY,), as_text=True)
    statement = compile_piece(asked, Piece(ALL_TIME, 1, 2))
    assert "a' b" not in statement.sql
    assert {"a' b", 2, 1} <= set(filter(lambda v: not isinstance(v, list), statement.parameters.values()))
    assert pa.types.is_string(schema_of(asked).field("quantity").type)
