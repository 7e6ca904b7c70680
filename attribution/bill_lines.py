"""Lines of provider bills: how they are stored, summed and listed. Which imports are in force, the caller knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import pyarrow as pa

from attribution.compiler import instant_sql
from attribution.query import UTC as UTC_ZONE
from attribution.statement import Binder, Statement
from core.time import Window

TABLE: Final = "bill_lines"
_LINES: Final = f"{TABLE} AS e FINAL"

_TEXT = pa.string()
_INSTANT = pa.timestamp("us", "UTC")
_MONEY = pa.decimal128(38, 12)


class BillLine(NamedTuple):
    """One line of a bill, or a part of one: `part` tells a line from the credits that came with it.

    `bill_period` is the first day of the month whose bill it is on. `cost` is what is billed, in `currency`, at the
    pico grain; `quantity` is in whole `unit`s, None where unsaid. `model` is as the provider writes it, `model_key` as
    events and bills agree on it.
    """

    line: int
    provider_name: str
    start_time: datetime
    end_time: datetime
    cost: Decimal
    currency: str
    bill_period: date = date(1970, 1, 1)
    part: int = 0
    import_id: int = 0
    charge_category: str = "usage"
    charge_class: str = ""
    account: str = ""
    service: str = ""
    model: str = ""
    model_key: str = ""
    token_type: str = ""
    service_tier: str = ""
    sku: str = ""
    description: str = ""
    region: str = ""
    resource_id: str = ""
    invoice_id: str = ""
    quantity: Decimal | None = None
    unit: str = ""
    list_cost: Decimal | None = None
    tags: dict[str, str] = {}


_ARROW: Final[dict[str, pa.DataType]] = {
    "line": pa.uint32(),
    "part": pa.uint16(),
    "import_id": pa.uint64(),
    "bill_period": pa.date32(),
    "start_time": _INSTANT,
    "end_time": _INSTANT,
    "cost": _MONEY,
    "list_cost": _MONEY,
    "quantity": pa.decimal128(38, 9),
    "tags": pa.map_(_TEXT, _TEXT),
}


def to_arrow(lines: Sequence[BillLine]) -> pa.Table:
    """The lines as Arrow columns."""
    columns = dict(zip(BillLine._fields, zip(*lines, strict=True), strict=True))
    columns["tags"] = tuple(list(tags.items()) for tags in columns["tags"])
    return pa.table({name: pa.array(values, _ARROW.get(name, _TEXT)) for name, values in columns.items()})


@dataclass(frozen=True, slots=True)
class BillFilter:
    """Which lines to list: those that began on a day of the zone, and have these values; None is any."""

    day: date | None = None
    model_key: str | None = None
    token_type: str | None = None
    account: str | None = None
    charge_category: str | None = None


@dataclass(frozen=True, slots=True)
class BillLineQuery:
    """Lines of these imports that began in `window`, in the order of import, time and line."""

    imports: tuple[int, ...]
    window: Window
    where: BillFilter = BillFilter()
    timezone: ZoneInfo = UTC_ZONE
    first: int = 100
    after: tuple[int, int, int, int] | None = None
    """The place of a line: import, start in microseconds since 1970, line, part."""


class BilledSlice(NamedTuple):
    """What one slice of a bill comes to. `quantity` is None where no line says one."""

    day: date
    model_key: str
    token_type: str
    account: str
    charge_category: str
    charge_class: str
    unit: str
    cost: Decimal
    quantity: Decimal | None
    lines: int


_PLACE: Final = ("e.import_id", "toInt64(toUnixTimestamp64Micro(e.start_time))", "e.line", "e.part")
_INSTANTS: Final = frozenset({"start_time", "end_time"})


def compile_slices(imports: Sequence[int], window: Window, zone: ZoneInfo) -> Statement:
    """One statement with a row per slice of the lines of these imports that began in `window`."""
    binder = Binder(window, zone)
    keys = ("e.model_key", "e.token_type", "e.account", "e.charge_category", "e.charge_class", "e.unit")
    selected = ", ".join(f"{key} AS k{i}" for i, key in enumerate(keys))
    grouped = ", ".join(f"k{i}" for i in range(len(keys)))
    sql = (
        f"SELECT toDate({binder.local}) AS day, {selected}, sum(e.cost) AS cost, sum(e.quantity) AS quantity, "
        f"count() AS lines\nFROM {_LINES}\nWHERE {_within(imports, window, binder)}\n"
        f"GROUP BY day, {grouped} ORDER BY day, {grouped}"
    )
    return Statement(sql, binder.parameters)


def decode_slices(columns: Sequence[Sequence[Any]]) -> list[BilledSlice]:
    """The slices held by the columns of `compile_slices`' statement."""
    return list(map(BilledSlice._make, zip(*columns, strict=True)))


def compile_lines(query: BillLineQuery) -> Statement:
    """One statement with a row per line, one more than asked for; its columns are those of BillLine."""
    binder = Binder(query.window, query.timezone)
    conditions = [_within(query.imports, query.window, binder)]
    for field in fields(BillFilter):
        value = getattr(query.where, field.name)
        if field.name == "day" and value is not None:
            conditions.append(f"toDate({binder.local}) = {binder.bind(value.isoformat(), 'Date')}")
        elif value is not None:
            conditions.append(f"e.{field.name} = {binder.bind(value, 'String')}")
    if query.after is not None:
        place = ", ".join(binder.bind(part, "Int64") for part in query.after)
        conditions.append(f"({', '.join(_PLACE)}) > ({place})")
    columns = ", ".join(f"e.{name} AS c{i}" for i, name in enumerate(BillLine._fields))
    sql = (
        f"SELECT {columns}\nFROM {_LINES}\nWHERE {' AND '.join(conditions)}\n"
        f"ORDER BY {', '.join(_PLACE)} LIMIT {binder.bind(query.first + 1, 'UInt64')}"
    )
    return Statement(sql, binder.parameters)


def decode_lines(columns: Sequence[Sequence[Any]]) -> list[BillLine]:
    """The lines held by the columns of `compile_lines`' statement."""
    lines = map(BillLine._make, zip(*columns, strict=True))
    return [line._replace(start_time=_aware(line.start_time), end_time=_aware(line.end_time)) for line in lines]


def compile_carry_over(old: int, new: int, covered: Sequence[date]) -> Statement:
    """A statement that copies one import's lines of other days than those `covered` to another import."""
    columns = [name for name in BillLine._fields if name != "import_id"]
    sql = (
        f"INSERT INTO {TABLE} (import_id, {', '.join(columns)})\n"
        f"SELECT {{new:UInt64}}, {', '.join(f'e.{name}' for name in columns)}\nFROM {_LINES}\n"
        "WHERE e.import_id = {old:UInt64} AND toDate(e.start_time) NOT IN {covered:Array(Date)}"
    )
    return Statement(sql, {"old": old, "new": new, "covered": [day.isoformat() for day in covered]})


def compile_import_sums(import_id: int) -> Statement:
    """One statement: the number of an import's lines, their cost, and that of credits and of taxes."""
    sums = ", ".join(f"sumIf(e.cost, e.charge_category = '{category}')" for category in ("credit", "tax"))
    sql = f"SELECT count(), sum(e.cost), {sums}\nFROM {_LINES}\nWHERE e.import_id = {{id:UInt64}}"
    return Statement(sql, {"id": import_id})


def compile_removal(imports: Sequence[int]) -> Statement:
    """A statement that removes the lines of these imports from disk."""
    return Statement(
        f"ALTER TABLE {TABLE} DELETE WHERE import_id IN {{imports:Array(UInt64)}}", {"imports": list(imports)}
    )


def _within(imports: Sequence[int], window: Window, binder: Binder) -> str:
    return (
        f"e.import_id IN {binder.bind(list(imports), 'Array(UInt64)')} "
        f"AND e.start_time >= {instant_sql(window.start, binder)} AND e.start_time < {instant_sql(window.end, binder)}"
    )


def _aware(instant: datetime) -> datetime:
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant
