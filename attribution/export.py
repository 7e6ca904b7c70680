"""Whole groupings as Arrow tables, a bounded piece at a time: what exports are made of.

A piece is some whole time buckets, or, where one bucket holds too many groups, a share of its groups by hash. Every
group is in exactly one piece, so the pieces add up to the whole. Between two pieces nothing is held: no connection, no
result, no snapshot either. A window that still changes may show a change in one piece and not in another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import Enum, unique
from math import ceil
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from attribution.compiler import EVENTS, attribute_sql, bucket_sql, where_sql
from attribution.dimensions import ValueType
from attribution.measures import Measure, MeasureType
from attribution.query import EVERYTHING, Attribute, Filter, Tag, validate_filter, value_type
from attribution.statement import Binder, Statement
from core.errors import InvalidInput
from core.money import SCALE
from core.time import Granularity, Window, midnight
from tenants.scope import Scope

PIECE_CELLS: Final = 500_000
"""Values in one piece, about: what is in memory at a time is a small multiple of it."""


@unique
class Sum(Enum):
    """Sums that only exports ask for. Each is an aggregate over `e`, the rows of one group."""

    QUANTITY = "toDecimal128(sum(e.quantity), 9)"
    """Of the group's `unit`."""
    LISTED_COST = "toDecimal128(sum(ifNull(e.list_cost, e.effective_cost)), 12)"
    """At public prices; at the effective cost where nothing public is known."""
    CHARGES = "countIf(e.kind = 'charge')"


Column: TypeAlias = Measure | Sum

_SUM_DECIMALS: Final = {Sum.QUANTITY: 9, Sum.LISTED_COST: SCALE, Sum.CHARGES: 0}
_KEY_TYPES: Final = {ValueType.TEXT: pa.string(), ValueType.INTEGER: pa.int64(), ValueType.FLAG: pa.bool_()}
_MOMENT: Final = pa.timestamp("s", "UTC")
_TEXT: Final = "%Y-%m-%dT%H:%M:%SZ"


class NotAdditive(InvalidInput):
    """Whoever reads an export will sum it."""

    code = "NOT_ADDITIVE"

    def __init__(self, measure: Measure) -> None:
        super().__init__(f"{measure.spec.name} of groups does not sum to the total's; ask for it with `costs`")


@dataclass(frozen=True, slots=True)
class ExportQuery:
    """Additive columns of the events in `window` that `scope` may see and `where` selects, by every group and bucket.

    `as_text`: amounts as decimal texts instead of decimals.
    """

    scope: Scope
    window: Window
    columns: tuple[Column, ...]
    timezone: ZoneInfo
    group_by: tuple[Attribute, ...] = ()
    granularity: Granularity | None = None
    where: Filter = EVERYTHING
    as_text: bool = False

    def __post_init__(self) -> None:
        validate_filter(self.where)
        for column in self.columns:
            if isinstance(column, Measure) and not column.spec.additive:
                raise NotAdditive(column)


@dataclass(frozen=True, slots=True)
class Piece:
    """The groups of a part of the window; of them the ones whose hash leaves `share` when divided by `shares`."""

    window: Window
    share: int = 0
    shares: int = 1


def compile_sizes(query: ExportQuery) -> Statement:
    """One statement with a row per bucket in order: its key, and about how many groups it has, or more."""
    binder = Binder(query.window, query.timezone)
    keys = ", ".join(attribute_sql(attribute, binder) for attribute in query.group_by) or "1"
    bucket = _bucket(query, binder) or "0"
    sql = (
        f"SELECT {bucket} AS b, uniq({keys})\nFROM events AS e\n"
        f"WHERE {where_sql(query.scope, query.window, query.where, binder)}\nGROUP BY b ORDER BY b"
    )
    return Statement(sql, binder.parameters)


def piece_rows(query: ExportQuery) -> int:
    """How many rows a piece should have: fewer, the wider they are."""
    return PIECE_CELLS // (3 + len(query.group_by) + len(query.columns))


def pieces(query: ExportQuery, sizes: Sequence[tuple[date | int, int]], rows: int) -> Iterator[Piece]:
    """The pieces of the export in order, each of about so many rows: neighbouring small buckets go together."""
    parts = [(_part(query, bucket), groups) for bucket, groups in sizes]
    together: list[Window] = []
    held = 0
    for window, groups in parts:
        if together and held + groups > rows:
            yield Piece(Window(together[0].start, together[-1].end))
            together, held = [], 0
        if groups > rows:
            shares = ceil(groups / rows)
            yield from (Piece(window, share, shares) for share in range(shares))
        else:
            together.append(window)
            held += groups
    if together:
        yield Piece(Window(together[0].start, together[-1].end))


def compile_piece(query: ExportQuery, piece: Piece) -> Statement:
    """One statement with a row per group of the piece, in order: the bucket, if any, as text, then keys and sums."""
    binder = Binder(piece.window, query.timezone)
    keys = {f"k{i}": attribute_sql(attribute, binder) for i, attribute in enumerate(query.group_by)}
    condition = where_sql(query.scope, piece.window, query.where, binder)
    if piece.shares > 1:
        shares, share = (binder.bind(number, "UInt64") for number in (piece.shares, piece.share))
        condition += f" AND cityHash64({', '.join(keys.values())}) % {shares} = {share}"
    axes = ({"b": bucket} if (bucket := _bucket(query, binder)) else {}) | keys
    sums = {f"m{i}": _sum_sql(column) for i, column in enumerate(query.columns)}
    grouped = ", ".join(f"{sql} AS {name}" for name, sql in (axes | sums).items())
    groups, order = (f"\n{what} BY {', '.join(axes)}" if axes else "" for what in ("GROUP", "ORDER"))
    inner = f"SELECT {grouped}\nFROM {EVENTS}\nWHERE {condition}{groups}"
    return Statement(f"SELECT {', '.join(_shown(query, axes))}\nFROM ({inner}){order}", binder.parameters)


def _shown(query: ExportQuery, axes: Iterable[str]) -> Iterator[str]:
    for axis in axes:
        yield "toString(b)" if axis == "b" else axis
    for i, column in enumerate(query.columns):
        yield f"toString(m{i})" if query.as_text and _decimals(column) else f"m{i}"


def _sum_sql(column: Column) -> str:
    return column.value if isinstance(column, Sum) else column.spec.sql


def _decimals(column: Column) -> int:
    """How many places behind the point its values have; 0 for counts."""
    if isinstance(column, Sum):
        return _SUM_DECIMALS[column]
    return SCALE if column.spec.type is MeasureType.MONEY else 0


def schema_of(query: ExportQuery) -> pa.Schema:
    """The columns of every piece: `bucket_start` and `bucket_end` with a granularity, groupings, then the sums."""
    moment = pa.string() if query.as_text else _MOMENT
    fields = [(name, moment) for name in ("bucket_start", "bucket_end") if query.granularity]
    fields += [(key_name(attribute), _KEY_TYPES[value_type(attribute)]) for attribute in query.group_by]
    fields += [(column_name(column), _column_type(query, column)) for column in query.columns]
    return pa.schema(fields)


def _column_type(query: ExportQuery, column: Column) -> pa.DataType:
    decimals = _decimals(column)
    if not decimals:
        return pa.int64()
    return pa.string() if query.as_text else pa.decimal128(38, decimals)


def decode_piece(query: ExportQuery, found: pa.Table) -> pa.Table:
    """The piece in `schema_of`'s columns; null where a text is empty: the events do not say."""
    columns = found.columns
    if query.granularity:
        columns = [*_bucket_bounds(query, query.granularity, columns[0]), *columns[1:]]
    schema = schema_of(query)
    shown = [_said(column) if pa.types.is_string(column.type) else column for column in columns]
    return pa.table([column.cast(field.type) for column, field in zip(shown, schema, strict=True)], schema=schema)


def _said(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)


def _bucket_bounds(query: ExportQuery, granularity: Granularity, keys: pa.ChunkedArray) -> Iterator[pa.Array]:
    """First instant of each row's bucket, and first instant after it; texts of seconds where texts are asked for."""
    encoded = keys.combine_chunks().dictionary_encode()
    windows = [bucket_window(granularity, _bucket_key(text), query.timezone) for text in encoded.dictionary.to_pylist()]
    for bounds in ([window.start for window in windows], [window.end for window in windows]):
        known = pa.array([f"{bound:{_TEXT}}" for bound in bounds]) if query.as_text else pa.array(bounds, _MOMENT)
        yield known.take(encoded.indices)


def _bucket_key(text: str) -> date | int:
    return int(text) if text.isdecimal() else date.fromisoformat(text)


def _bucket(query: ExportQuery, binder: Binder) -> str | None:
    return bucket_sql(query.granularity, binder) if query.granularity else None


def _part(query: ExportQuery, bucket: date | int) -> Window:
    """The bucket's part of the window; all of it without a granularity."""
    if query.granularity is None:
        return query.window
    whole = bucket_window(query.granularity, bucket, query.timezone)
    return Window(max(whole.start, query.window.start), min(whole.end, query.window.end))


def bucket_window(granularity: Granularity, bucket: date | int, zone: ZoneInfo) -> Window:
    """The bucket that begins on that local date, or at that unix second."""
    instant = datetime.fromtimestamp(bucket, UTC) if isinstance(bucket, int) else midnight(bucket, zone)
    return granularity.bucket(instant, zone)


def key_name(attribute: Attribute) -> str:
    """The column name of a grouping: `feature`, or `tag.plan`."""
    return f"tag.{attribute.key}" if isinstance(attribute, Tag) else attribute.spec.name


def column_name(column: Column) -> str:
    """The column name of a measure or sum."""
    return column.name.lower() if isinstance(column, Sum) else column.spec.name
