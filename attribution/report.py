"""The answer to a query, as columns: one value per group in each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from attribution.compiler import computed_measures
from attribution.dimensions import ValueType
from attribution.measures import Measure, MeasureType
from attribution.query import CostQuery, value_type
from core.money import quantize
from core.time import Window, midnight


@dataclass(frozen=True, slots=True)
class CostReport:
    """A page of groups, the grand total and the number of groups, all from one statement.

    `keys[i]` are the values of the i-th grouping (None: the event does not say), `buckets` the time buckets (empty
    without granularity) and `measures[m]` the values of measure m, each as long as the page. `totals` are the measures
    over everything in window and filter, whatever `having` and the page leave out.
    """

    query: CostQuery
    keys: tuple[list[Any], ...]
    buckets: list[Window]
    measures: dict[Measure, list[Any]]
    totals: dict[Measure, Any]
    group_count: int
    size: int


def decode_report(query: CostQuery, columns: Sequence[Sequence[Any]]) -> CostReport:
    """The report held by the columns of `compile_query`'s statement: row 0 is the grand total, the rest is the page."""
    _, group_count, *rest = columns
    keys = rest[: len(query.group_by)]
    rest = rest[len(query.group_by) :]
    starts, values = (rest[0], rest[1:]) if query.granularity else ([], rest)
    measures = dict(zip(computed_measures(query), values, strict=True))
    return CostReport(
        query=query,
        keys=tuple(_decode_keys(a, k[1:]) for a, k in zip(query.group_by, keys, strict=True)),
        buckets=_decode_buckets(query, starts[1:]),
        measures={m: decode_measure(m, measures[m][1:]) for m in query.measures},
        totals={m: decode_measure(m, measures[m][:1])[0] for m in query.measures},
        group_count=int(group_count[0]),
        size=len(group_count) - 1,
    )


def _decode_keys(attribute: Any, values: Sequence[Any]) -> list[Any]:
    if value_type(attribute) is ValueType.TEXT:
        return [value or None for value in values]
    return list(values)


def _decode_buckets(query: CostQuery, starts: Sequence[date | int]) -> list[Window]:
    granularity = query.granularity
    if granularity is None:
        return []

    def bucket(start: date | int) -> Window:
        instant = datetime.fromtimestamp(start, UTC) if isinstance(start, int) else midnight(start, query.timezone)
        return granularity.bucket(instant, query.timezone)

    known = {start: bucket(start) for start in set(starts)}
    return [known[start] for start in starts]


def decode_measure(measure: Measure, values: Sequence[Any]) -> list[Any]:
    """The measure's values as reports hold them."""
    decode = _DECODERS.get(measure.spec.type)
    return list(values) if decode is None else [None if value is None else decode(value) for value in values]


def _instant(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DECODERS: dict[MeasureType, Callable[[Any], Any]] = {MeasureType.MONEY: quantize, MeasureType.INSTANT: _instant}
