"""Many slices from one statement: the same measures for several groupings at once, as whoever watches slices needs.

What `CostQuery` answers for one grouping with its page and total, this answers for many groupings without either. The
WHERE, the keys, the buckets and the measures are the compiler's own, so the numbers are those of `costs`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

from attribution.compiler import EVENTS, attribute_sql, bucket_sql, where_sql
from attribution.measures import Measure
from attribution.query import EVERYTHING, Attribute, Filter, validate_filter, value_type
from attribution.report import decode_measure
from attribution.statement import Binder, Statement
from core.time import Granularity, Window
from tenants.scope import Scope

Grouping: TypeAlias = tuple[Attribute, ...]
Bucket: TypeAlias = date | datetime | None
Splitting: TypeAlias = Granularity | timedelta | tuple[datetime, ...] | None
Wanted: TypeAlias = Mapping[Attribute, frozenset[Any]]
"""The values of an attribute that somebody asks about."""


@dataclass(frozen=True, slots=True)
class SliceQuery:
    """Measures of the events in `window` that `scope` may see and `where` selects, by each of the groupings.

    `bucket` also splits by local day in `timezone`, by that many minutes counted from the window's start, or at these
    instants, of which the first is the window's start. Of a
    grouping in `wanted`, only groups with those values are returned: the rest is nobody's business.
    """

    scope: Scope
    window: Window
    groupings: tuple[Grouping, ...]
    measures: tuple[Measure, ...]
    timezone: ZoneInfo
    where: Filter = EVERYTHING
    bucket: Splitting = None
    wanted: Mapping[Grouping, Wanted] | None = None

    def __post_init__(self) -> None:
        validate_filter(self.where)

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        """Everything that some grouping groups by, each once."""
        return tuple(dict.fromkeys(attribute for grouping in self.groupings for attribute in grouping))


@dataclass(frozen=True, slots=True)
class Group:
    """One group of one grouping. `key` is as the store has it: absent text is ''. Values are in `measures`' order."""

    key: tuple[Any, ...]
    bucket: Bucket
    values: tuple[Any, ...]


def compile_slices(query: SliceQuery) -> Statement:
    """One statement: columns set (which grouping), k0.. per attribute, b with a bucket, m0.. per measure."""
    binder = Binder(query.window, query.timezone)
    condition = where_sql(query.scope, query.window, query.where, binder)
    keys = {attribute: f"k{i}" for i, attribute in enumerate(query.attributes)}
    axes = {name: attribute_sql(attribute, binder) for attribute, name in keys.items()}
    bucket = _bucket(query, binder)
    tail = ["b"] if bucket else []
    columns = [f"{sql} AS {name}" for name, sql in axes.items()] + ([f"{bucket} AS b"] if bucket else [])
    columns += [f"{measure.spec.sql} AS m{i}" for i, measure in enumerate(query.measures)]
    sets = [[*(keys[attribute] for attribute in grouping), *tail] for grouping in query.groupings]
    columns.insert(0, f"{_set_sql(sets, list(keys.values()))} AS s")
    sql = f"SELECT {', '.join(columns)}\nFROM {EVENTS}\nWHERE {condition}\n{_group_by(sets)}"
    return Statement(sql + _having(query, keys, binder), binder.parameters)


def _bucket(query: SliceQuery, binder: Binder) -> str:
    if query.bucket is None:
        return ""
    if isinstance(query.bucket, Granularity):
        return bucket_sql(query.bucket, binder)
    if isinstance(query.bucket, tuple):
        cuts = binder.bind([_micros(cut) for cut in query.bucket], "Array(Int64)")
        return f"roundDown(toUnixTimestamp64Micro(e.start_time), {cuts})"
    start = binder.bind(int(query.window.start.timestamp()), "UInt32")
    seconds = binder.bind(int(query.bucket.total_seconds()), "UInt32")
    return f"toUInt32(toUnixTimestamp(e.start_time) - (toUnixTimestamp(e.start_time) - {start}) % {seconds})"


def _group_by(sets: Sequence[Sequence[str]]) -> str:
    if len(sets) == 1:
        return f"GROUP BY {', '.join(sets[0])}" if sets[0] else ""
    return f"GROUP BY GROUPING SETS ({', '.join('(' + ', '.join(each) + ')' for each in sets)})"


def _set_sql(sets: Sequence[Sequence[str]], names: Sequence[str]) -> str:
    """The index of the grouping that a row belongs to: `grouping` is 1 for what the row is not grouped by."""
    if len(sets) == 1:
        return "0"
    absent = ", ".join(f"toUInt8(grouping({name}))" for name in names)
    patterns = ", ".join("[" + ", ".join(str(int(name not in each)) for name in names) + "]" for each in sets)
    return f"indexOf([{patterns}], [{absent}]) - 1"


def _having(query: SliceQuery, keys: Mapping[Attribute, str], binder: Binder) -> str:
    if not query.wanted:
        return ""
    parts = [_wanted_sql(i, query.wanted.get(grouping, {}), keys, binder) for i, grouping in enumerate(query.groupings)]
    return "\nHAVING " + " OR ".join(parts)


def _wanted_sql(number: int, wanted: Wanted, keys: Mapping[Attribute, str], binder: Binder) -> str:
    parts = [f"s = {number}"]
    for attribute, values in wanted.items():
        listed = binder.bind(sorted(values), f"Array({value_type(attribute).value})")
        parts.append(f"{keys[attribute]} IN {listed}")
    return f"({' AND '.join(parts)})"


def decode_slices(query: SliceQuery, columns: Sequence[Sequence[Any]]) -> dict[Grouping, list[Group]]:
    """The groups of each grouping, held by the columns of `compile_slices`' statement."""
    found: dict[Grouping, list[Group]] = {grouping: [] for grouping in query.groupings}
    if not columns:
        return found
    names = query.attributes
    keys = dict(zip(names, columns[1 : 1 + len(names)], strict=True))
    rest = list(columns[1 + len(names) :])
    buckets = _decode_buckets(query, rest.pop(0)) if query.bucket is not None else [None] * len(columns[0])
    values = [decode_measure(m, column) for m, column in zip(query.measures, rest, strict=True)]
    rows = list(zip(columns[0], buckets, zip(*values, strict=True), strict=True))
    for number, grouping in enumerate(query.groupings):
        found[grouping].extend(_groups(number, [keys[attribute] for attribute in grouping], rows))
    return found


def _groups(
    number: int, keys: Sequence[Sequence[Any]], rows: Sequence[tuple[int, Bucket, tuple[Any, ...]]]
) -> Iterator[Group]:
    for index, (set_, bucket, values) in enumerate(rows):
        if set_ == number:
            yield Group(tuple(column[index] for column in keys), bucket, values)


def _decode_buckets(query: SliceQuery, starts: Sequence[Any]) -> list[Bucket]:
    if isinstance(query.bucket, Granularity) and query.bucket.is_calendar:
        return list(starts)
    if isinstance(query.bucket, tuple):
        return [_EPOCH + timedelta(microseconds=start) for start in starts]
    return [datetime.fromtimestamp(start, UTC) for start in starts]


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _micros(instant: datetime) -> int:
    return (instant - _EPOCH) // timedelta(microseconds=1)
