"""Drill-down from sums to the single operations behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum, unique
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from attribution.compiler import EVENTS, where_sql
from attribution.event import COLUMNS
from attribution.query import EVERYTHING, Filter, validate_filter
from attribution.query import UTC as UTC_ZONE
from attribution.statement import Binder, Statement
from core.time import Window
from tenants.scope import Scope

HIDDEN: Final = frozenset({"version", "is_deleted"})
"""Columns that are the store's own business."""

SELECTED: Final = tuple(name for name in COLUMNS if name not in HIDDEN)


_STARTED = "toInt64(toUnixTimestamp64Micro(e.start_time))"
_COST = "toInt64(toDecimal128(e.effective_cost, 12) * 1000000000000)"
_BEYOND = 10**18  # pico units: more than any cost, and still an Int64


@unique
class OperationOrder(Enum):
    """What to list operations by. The two expressions read it, unknown last: when descending, and when ascending."""

    START_TIME = (_STARTED, _STARTED)
    EFFECTIVE_COST = (f"ifNull({_COST}, -{_BEYOND})", f"ifNull({_COST}, {_BEYOND})")
    DURATION_MS = ("ifNull(toInt64(e.duration_ms), -1)", "ifNull(toInt64(e.duration_ms), 9999999999)")

    def sql(self, *, descending: bool) -> str:
        """The integer to sort by."""
        return self.value[0] if descending else self.value[1]


class Position(NamedTuple):
    """Where one operation stands in an order; pages continue after it, however many arrive meanwhile."""

    sort: int
    started: int
    """Microseconds since 1970: one id may have come on several days."""
    tenant_id: str
    event_id: str


@dataclass(frozen=True, slots=True)
class OperationQuery:
    """The operations in `window` that `scope` may see and `where` selects, at most `first`, after a position."""

    scope: Scope
    window: Window
    where: Filter = EVERYTHING
    timezone: ZoneInfo = UTC_ZONE
    order_by: OperationOrder = OperationOrder.START_TIME
    descending: bool = True
    first: int = 100
    after: Position | None = None

    def __post_init__(self) -> None:
        validate_filter(self.where)


@dataclass(frozen=True, slots=True)
class Operation:
    """One stored event: `values` by column name; money is Decimal, None is unknown."""

    values: dict[str, Any]
    position: Position


@dataclass(frozen=True, slots=True)
class OperationPage:
    """Operations in order, and whether there are more."""

    operations: list[Operation]
    has_next: bool


def compile_operations(query: OperationQuery) -> Statement:
    """One statement with a row per operation, one more than asked for; columns `SELECTED`, then its place."""
    binder = Binder(query.window, query.timezone)
    condition = where_sql(query.scope, query.window, query.where, binder)
    sort = query.order_by.sql(descending=query.descending)
    direction, compare = ("DESC", "<") if query.descending else ("ASC", ">")
    if query.after:
        after = ", ".join(
            (
                binder.bind(query.after.sort, "Int64"),
                binder.bind(query.after.started, "Int64"),
                binder.bind(query.after.tenant_id, "String"),
                binder.bind(query.after.event_id, "String"),
            )
        )
        condition += f" AND ({sort}, {_STARTED}, e.tenant_id, e.event_id) {compare} ({after})"
    columns = ", ".join(f"e.{name} AS c{i}" for i, name in enumerate(SELECTED))
    limit = binder.bind(query.first + 1, "UInt64")
    order = ", ".join(f"{key} {direction}" for key in ("sort", "started", "e.tenant_id", "e.event_id"))
    sql = (
        f"SELECT {columns}, {sort} AS sort, {_STARTED} AS started\nFROM {EVENTS}\nWHERE {condition}\n"
        f"ORDER BY {order} LIMIT {limit}"
    )
    return Statement(sql, binder.parameters)


def decode_operations(query: OperationQuery, columns: Sequence[Sequence[Any]]) -> OperationPage:
    """The page held by the columns of `compile_operations`' statement."""
    rows = [_decode(row) for row in zip(*columns, strict=True)]
    return OperationPage(rows[: query.first], len(rows) > query.first)


def _decode(row: tuple[Any, ...]) -> Operation:
    *stored, sort, started = row
    values = {name: _aware(value) for name, value in zip(SELECTED, stored, strict=True)}
    return Operation(values, Position(sort, started, values["tenant_id"], values["event_id"]))


def _aware(value: Any) -> Any:
    if isinstance(value, datetime) and value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    return value


def total_cost(operations: Sequence[Operation]) -> Decimal | None:
    """The sum of the known costs; None when there are operations and none has a known cost."""
    known = [o.values["effective_cost"] for o in operations if o.values["effective_cost"] is not None]
    return sum(known, Decimal(0)) if known or not operations else None
