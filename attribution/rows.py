"""Stored rows read back whole, money to the last pico, so that they can be written again with a higher version."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from attribution.compiler import EVENTS, where_sql
from attribution.event import COLUMNS, ColumnType, EventRow
from attribution.query import EVERYTHING, Filter, validate_filter
from attribution.query import UTC as UTC_ZONE
from attribution.statement import Binder, Statement
from core.time import Window
from tenants.scope import Scope

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
ALL_TIME: Final = Window(_EPOCH, datetime(2200, 1, 1, tzinfo=UTC))

_PICO = "toInt64(toDecimal128({}, 12) * 1000000000000)"
_READ: Final = {
    ColumnType.INSTANT: "toUnixTimestamp64Micro({})",
    ColumnType.QUANTITY: "toInt64(toDecimal128({}, 9) * 1000000000)",
    ColumnType.COST: _PICO,
    ColumnType.SAVINGS: _PICO,
}
"""How a column is read where the driver's own type is not the row's."""


def _instants(micros: Sequence[int]) -> list[datetime]:
    return [_EPOCH + timedelta(microseconds=value) for value in micros]


_DECODE: Final[dict[ColumnType, Callable[[Sequence[Any]], Sequence[Any]]]] = {ColumnType.INSTANT: _instants}


@dataclass(frozen=True, slots=True)
class RowQuery:
    """The true rows in `window` that `scope` may see and `where` selects, in the order of their identity.

    Narrowed to a UTC day, a tenant or an event id where given; at most `first`, of those after a tenant's event id.
    """

    scope: Scope
    window: Window = ALL_TIME
    where: Filter = EVERYTHING
    day: date | None = None
    tenant_id: str | None = None
    event_id: str | None = None
    after: tuple[str, str] | None = None
    first: int = 1_000

    def __post_init__(self) -> None:
        validate_filter(self.where)


def compile_rows(query: RowQuery) -> Statement:
    """One statement with a row per event; its columns are those of EventRow."""
    binder = Binder(query.window, UTC_ZONE)
    conditions = [where_sql(query.scope, query.window, query.where, binder)]
    for comparison, value, type_ in (
        ("toDate(e.start_time) =", query.day and query.day.isoformat(), "Date"),
        ("e.tenant_id =", query.tenant_id, "String"),
        ("e.event_id =", query.event_id, "String"),
    ):
        if value is not None:
            conditions.append(f"{comparison} {binder.bind(value, type_)}")
    if query.after:
        tenant, event = (binder.bind(value, "String") for value in query.after)
        conditions.append(f"(e.tenant_id > {tenant} OR e.tenant_id = {tenant} AND e.event_id > {event})")
    columns = (_READ.get(type_, "{}").format(f"e.{name}") for name, type_ in COLUMNS.items())
    selected = ", ".join(f"{sql} AS c{i}" for i, sql in enumerate(columns))
    sql = (
        f"SELECT {selected}\nFROM {EVENTS}\nWHERE {' AND '.join(conditions)}\n"
        f"ORDER BY toDate(e.start_time), e.tenant_id, e.event_id LIMIT {binder.bind(query.first, 'UInt64')}"
    )
    return Statement(sql, binder.parameters)


def compile_row_counts(scope: Scope, window: Window, where: Filter = EVERYTHING) -> Statement:
    """One statement with a row per UTC day that has true rows: the day, and how many."""
    binder = Binder(window, UTC_ZONE)
    sql = (
        f"SELECT toDate(e.start_time) AS day, count()\nFROM {EVENTS}\n"
        f"WHERE {where_sql(scope, window, where, binder)}\nGROUP BY day ORDER BY day"
    )
    return Statement(sql, binder.parameters)


def decode_rows(columns: Sequence[Sequence[Any]]) -> list[EventRow]:
    """The rows held by the columns of `compile_rows`' statement; the driver gives no columns for no rows."""
    if not columns:
        return []
    decoded = [
        _DECODE[type_](values) if type_ in _DECODE else values
        for type_, values in zip(COLUMNS.values(), columns, strict=True)
    ]
    return list(map(EventRow._make, zip(*decoded, strict=True)))
