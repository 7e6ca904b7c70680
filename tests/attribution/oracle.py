"""What a query must answer, worked out in plain Python: no SQL, and nothing shared with the compiler.

Slow and obvious on purpose. Money is summed as whole pico units, times are instants in UTC, and local clocks are read
off `zoneinfo` instant by instant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cache
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from attribution.event import EventRow
from attribution.measures import Measure
from attribution.query import All, Attribute, Bucket, Condition, CostQuery, Filter, Not, Operator, Order, Tag
from attribution.query import Any as AnyOf
from attribution.tier_history import TierSpan
from core.time import Cuts, Granularity
from tests.attribution.factories import TIERS

SECOND = timedelta(seconds=1)
Rows = Sequence[EventRow]


@dataclass(frozen=True)
class Group:
    """One group: its keys as shown, its bucket, and every asked measure."""

    keys: tuple[Any, ...]
    bucket: tuple[datetime, datetime] | None
    measures: dict[Measure, Any]


@dataclass(frozen=True)
class Answer:
    """What a report must hold."""

    groups: list[Group]
    totals: dict[Measure, Any]
    group_count: int


def truth(rows: Iterable[EventRow]) -> list[EventRow]:
    """The rows that count: of each identity and UTC date the highest version, unless that one is a tombstone."""
    best: dict[tuple[Any, ...], EventRow] = {}
    for row in rows:
        identity = (row.tenant_id, row.event_id, row.start_time.astimezone(UTC).date())
        if identity not in best or best[identity].version < row.version:
            best[identity] = row
    return [row for row in best.values() if not row.is_deleted]


def selected(query: Any, rows: Iterable[EventRow]) -> list[EventRow]:
    """The true rows in the query's scope, window and filter."""
    return [row for row in truth(rows) if _visible(query, row) and matches(query.where, row, query.timezone)]


def _visible(query: Any, row: EventRow) -> bool:
    scope, window = query.scope, query.window
    return (
        scope.tenant in {None, row.tenant_id}
        and scope.team in {None, row.team}
        and scope.environment in {None, row.environment}
        and window.start.astimezone(UTC) <= row.start_time < window.end.astimezone(UTC)
    )


# Attributes

_COLUMNS = {
    "TENANT": "tenant_id",
    "USER": "user_id",
    "SESSION": "session_id",
    "REQUEST": "request_id",
    "SERVICE": "service_name",
    "PROVIDER": "provider_name",
    "OPERATION": "operation_name",
    "PROMPT": "prompt_name",
    "PRICE": "price_id",
    "ALLOCATION": "allocated_method_id",
    "ALLOCATION_DETAILS": "allocated_method_details",
    "ALLOCATED_RESOURCE": "allocated_resource_id",
    "CHARGE": "charge_description",
}
"""Where the column is not called like the dimension."""


def read(attribute: Attribute, row: EventRow, zone: ZoneInfo) -> Any:
    """The attribute's value as stored: missing text is empty."""
    if isinstance(attribute, Tag):
        return row.tags.get(attribute.key, "")
    local = row.start_time.astimezone(zone)
    match attribute.name:
        case "MODEL":
            return row.response_model or row.request_model
        case "TIER" | "ASSIGNMENT":
            return next((getattr(s, attribute.name.lower()) for s in TIERS.spans if _covers(s, row)), "")
        case "HOUR_OF_DAY" | "DAY_OF_WEEK" | "HOUR_OF_WEEK":
            hours = {"HOUR_OF_DAY": local.hour, "DAY_OF_WEEK": local.isoweekday()}
            return hours.get(attribute.name, 24 * local.weekday() + local.hour)
        case name:
            return getattr(row, _COLUMNS.get(name, name.lower()))


def _covers(span: TierSpan, row: EventRow) -> bool:
    is_before_end = span.end is None or row.start_time < span.end
    return span.tenant_id == row.tenant_id and span.start <= row.start_time and is_before_end


def matches(where: Filter, row: EventRow, zone: ZoneInfo) -> bool:
    """Whether the row satisfies the filter."""
    match where:
        case All(parts):
            return all(matches(part, row, zone) for part in parts)
        case AnyOf(parts):
            return any(matches(part, row, zone) for part in parts)
        case Not(part):
            return not matches(part, row, zone)
        case Condition():
            return _compare(where, row, zone)


def _compare(condition: Condition, row: EventRow, zone: ZoneInfo) -> bool:
    found = read(condition.attribute, row, zone)
    if condition.operator is Operator.EXISTS:
        return _exists(condition.attribute, found, row) == condition.values[0]
    comparisons: dict[Operator, Callable[[], bool]] = {
        Operator.ANY_OF: lambda: found in condition.values,
        Operator.NONE_OF: lambda: found not in condition.values,
        Operator.PREFIX: lambda: str(found).startswith(str(condition.values[0])),
        Operator.CONTAINS: lambda: str(condition.values[0]).lower() in str(found).lower(),
        Operator.AT_LEAST: lambda: sortable(found) >= sortable(condition.values[0]),
        Operator.AT_MOST: lambda: sortable(found) <= sortable(condition.values[0]),
    }
    return comparisons[condition.operator]()


def _exists(attribute: Attribute, found: Any, row: EventRow) -> bool:
    return attribute.key in row.tags if isinstance(attribute, Tag) else found != ""


def sortable(value: Any) -> Any:
    """Texts are ordered by their UTF-8 bytes."""
    return value.encode() if isinstance(value, str) else value


# Buckets


def bucket_of(instant: datetime, granularity: Granularity | Cuts, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The bucket that holds the instant: from the first to after the last instant that local clocks call alike."""
    if isinstance(granularity, Cuts):
        return next((a, b) for a, b in pairwise(granularity.instants) if a <= instant < b)
    if granularity is Granularity.MINUTE:
        start = instant.astimezone(UTC).replace(second=0, microsecond=0)
        return start, start + 60 * SECOND
    if granularity is Granularity.HOUR:
        return _local_hour(instant.astimezone(UTC).replace(second=0, microsecond=0), zone)
    first, after = _dates(instant.astimezone(zone).date(), granularity)
    return first_instant(first, zone), first_instant(after, zone)


@cache
def _local_hour(minute: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    def label(instant: datetime) -> tuple[Any, ...]:
        local = instant.astimezone(zone)
        return local.date(), local.hour, local.utcoffset()

    start = end = minute
    while label(start - 60 * SECOND) == label(minute):
        start -= 60 * SECOND
    while label(end) == label(minute):
        end += 60 * SECOND
    return start, end


@cache
def first_instant(day: date, zone: ZoneInfo) -> datetime:
    """The first second whose local date is that day or later, by halving the three days around it."""
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    before, after = noon - timedelta(days=2), noon + timedelta(days=1)
    while after - before > SECOND:
        middle = before + (after - before) // 2 // SECOND * SECOND
        if middle.astimezone(zone).date() >= day:
            after = middle
        else:
            before = middle
    return after


def _dates(day: date, granularity: Granularity) -> tuple[date, date]:
    """The first local date of the bucket, and of the next."""
    year, month = day.year, day.month
    match granularity:
        case Granularity.DAY:
            return day, date.fromordinal(day.toordinal() + 1)
        case Granularity.WEEK:
            monday = day.toordinal() - day.weekday()
            return date.fromordinal(monday), date.fromordinal(monday + 7)
        case Granularity.YEAR:
            return date(year, 1, 1), date(year + 1, 1, 1)
        case _:
            months = 3 if granularity is Granularity.QUARTER else 1
            first = (month - 1) // months * months + 1
            return date(year, first, 1), date(year + (first + months > 12), (first + months - 1) % 12 + 1, 1)


def all_buckets(query: CostQuery) -> list[tuple[datetime, datetime]]:
    """Every bucket of the window, found by walking from each to the next."""
    assert query.granularity is not None
    if isinstance(query.granularity, Cuts):
        return list(pairwise(query.granularity.instants))
    buckets = [bucket_of(query.window.start, query.granularity, query.timezone)]
    while buckets[-1][1] < query.window.end.astimezone(UTC):
        buckets.append(bucket_of(buckets[-1][1], query.granularity, query.timezone))
    return buckets


# Measures


def _total(rows: Rows, column: str) -> int | None:
    """The sum of what is known: zero over nothing, None when nothing is known."""
    known = [value for row in rows if (value := getattr(row, column)) is not None]
    return sum(known) if known or not rows else None


def _failed(row: EventRow) -> bool:
    return row.status != "ok"


def _wasted(row: EventRow) -> bool:
    return _failed(row) or row.attempt > 1


def _is_usage(row: EventRow) -> bool:
    return row.kind == "usage"


def _operations(rows: Rows) -> int:
    return sum(map(_is_usage, rows))


def _succeeded(row: EventRow) -> bool:
    return _is_usage(row) and row.status == "ok"


def _distinct(rows: Rows, column: str) -> int:
    return len({(row.tenant_id, getattr(row, column)) for row in rows if getattr(row, column) and _is_usage(row)})


_INPUT = (
    "uncached_input_tokens",
    "cache_read_input_tokens",
    "cache_creation_5m_input_tokens",
    "cache_creation_1h_input_tokens",
    "audio_input_tokens",
)
_OUTPUT = ("text_output_tokens", "reasoning_output_tokens", "audio_output_tokens")


def _sum(rows: Rows, *columns: str) -> int:
    return sum(getattr(row, column) for row in rows for column in columns)


def _money(column: str, counts: Callable[[EventRow], bool] = lambda _: True) -> Callable[[Rows], Fraction | None]:
    def measure(rows: Rows) -> Fraction | None:
        pico = _total([row for row in rows if counts(row)], column)
        return None if pico is None else Fraction(pico, 10**12)

    return measure


_cost = _money("effective_cost")
_wasted_cost = _money("effective_cost", _wasted)


def _per(count: Callable[[Rows], int], factor: int = 1) -> Callable[[Rows], Fraction | None]:
    def measure(rows: Rows) -> Fraction | None:
        cost, units = _cost(rows), count(rows)
        return None if cost is None or units == 0 else cost * factor / units

    return measure


def _floats(part: Fraction | None, whole: Fraction | None) -> float | None:
    """Ratios are the one thing computed in floating point, and then as the engine turns decimals into floats."""
    return None if part is None or not whole else _float(part) / _float(whole)


def _float(value: Fraction) -> float:
    return float(int(value * 10**12)) / 1e12


def _rate(part: Callable[[EventRow], bool], whole: Callable[[EventRow], bool] = _is_usage) -> Any:
    def measure(rows: Rows) -> float | None:
        counted = sum(map(whole, rows))
        return sum(map(part, rows)) / counted if counted else None

    return measure


def _percentile(column: str, percent: int) -> Callable[[Rows], int | None]:
    """The smallest value that at least `percent` of all are no larger than."""

    def measure(rows: Rows) -> int | None:
        values = sorted(value for row in rows if (value := getattr(row, column)) is not None)
        return values[-(-len(values) * percent // 100) - 1] if values else None

    return measure


def _latest(column: str) -> Callable[[Rows], datetime | None]:
    return lambda rows: max((getattr(row, column) for row in rows), default=None)


_COUNTS: dict[str, Callable[[Rows], int]] = {
    "OPERATIONS": _operations,
    "REQUESTS": lambda rows: _distinct(rows, "request_id"),
    "ACTIVE_USERS": lambda rows: _distinct(rows, "user_id"),
    "FAILED_OPERATIONS": lambda rows: sum(map(_failed, rows)),
    "RETRIED_OPERATIONS": lambda rows: sum(row.attempt > 1 for row in rows),
    "UNPRICED_OPERATIONS": lambda rows: sum(row.effective_cost is None and _is_usage(row) for row in rows),
    "UNLISTED_OPERATIONS": lambda rows: sum(row.list_cost is None and _is_usage(row) for row in rows),
    "INPUT_TOKENS": lambda rows: _sum(rows, *_INPUT),
    "OUTPUT_TOKENS": lambda rows: _sum(rows, *_OUTPUT),
    "TOTAL_TOKENS": lambda rows: _sum(rows, *_INPUT, *_OUTPUT),
    "UNCACHED_INPUT_TOKENS": lambda rows: _sum(rows, "uncached_input_tokens"),
    "CACHE_READ_INPUT_TOKENS": lambda rows: _sum(rows, "cache_read_input_tokens"),
    "CACHE_CREATION_INPUT_TOKENS": lambda rows: _sum(
        rows, "cache_creation_5m_input_tokens", "cache_creation_1h_input_tokens"
    ),
    "AUDIO_INPUT_TOKENS": lambda rows: _sum(rows, "audio_input_tokens"),
    "TEXT_OUTPUT_TOKENS": lambda rows: _sum(rows, "text_output_tokens"),
    "REASONING_OUTPUT_TOKENS": lambda rows: _sum(rows, "reasoning_output_tokens"),
    "AUDIO_OUTPUT_TOKENS": lambda rows: _sum(rows, "audio_output_tokens"),
}
_OTHERS: dict[str, Callable[[Rows], Any]] = {
    "EFFECTIVE_COST": _cost,
    "LIST_COST": _money("list_cost"),
    "RATED_COST": _money("rated_cost"),
    "REPORTED_COST": _money("reported_cost"),
    "FAILED_COST": _money("effective_cost", _failed),
    "RETRY_COST": _money("effective_cost", lambda row: row.attempt > 1),
    "WASTED_COST": _wasted_cost,
    "CACHE_SAVINGS": _money("cache_savings"),
    "WASTED_SHARE": lambda rows: _floats(_wasted_cost(rows), _cost(rows)),
    "COST_PER_OPERATION": _per(_operations),
    "COST_PER_REQUEST": _per(_COUNTS["REQUESTS"]),
    "COST_PER_USER": _per(_COUNTS["ACTIVE_USERS"]),
    "COST_PER_SUCCESSFUL_OPERATION": _per(lambda rows: sum(map(_succeeded, rows))),
    "COST_PER_MILLION_TOKENS": _per(_COUNTS["TOTAL_TOKENS"], 10**6),
    "ERROR_RATE": _rate(_failed),
    "AVAILABILITY": _rate(
        _succeeded, lambda row: _is_usage(row) and row.status in {"ok", "error", "timeout", "rate_limited"}
    ),
    "CACHE_HIT_RATE": _rate(lambda row: row.cache_hit),
    "LATENCY_P50_MS": _percentile("duration_ms", 50),
    "LATENCY_P95_MS": _percentile("duration_ms", 95),
    "LATENCY_P99_MS": _percentile("duration_ms", 99),
    "TTFT_P50_MS": _percentile("time_to_first_token_ms", 50),
    "TTFT_P95_MS": _percentile("time_to_first_token_ms", 95),
    "TTFT_P99_MS": _percentile("time_to_first_token_ms", 99),
    "LAST_SEEN": _latest("start_time"),
    "FRESH_AS_OF": _latest("ingested_at"),
}
_MEASURES = _COUNTS | _OTHERS


def measure(which: Measure, rows: Rows, everything: Rows) -> Any:
    """The measure over the rows of a group, of which `everything` is the total; money as an exact fraction."""
    if which is Measure.COST_SHARE:
        return _floats(_cost(rows), _cost(everything))
    return _MEASURES[which.name](rows)


def shown(value: Any) -> Any:
    """As a report holds it: money is rounded half-even to the pico."""
    if not isinstance(value, Fraction):
        return value
    return Decimal(round(value * 10**12)).scaleb(-12)


# The whole query


def answer(query: CostQuery, rows: Iterable[EventRow]) -> Answer:
    """The report's content."""
    everything = selected(query, rows)
    groups = _grouped(query, everything)
    kept = [key for key in groups if _kept(query, groups[key], everything)]
    for order in reversed(query.order_by or _usual_order(query)):
        kept = _sorted(query, order, kept, groups, everything)
    paged = kept[query.page.offset : query.page.offset + query.page.first]
    return Answer(
        groups=[Group(_shown_keys(key[0]), key[1], _measured(query, groups[key], everything)) for key in paged],
        totals=_measured(query, everything, everything),
        group_count=len(kept),
    )


_Key = tuple[tuple[Any, ...], tuple[datetime, datetime] | None]


def _grouped(query: CostQuery, rows: Rows) -> dict[_Key, list[EventRow]]:
    """Rows by keys and bucket, in the order of keys and then time, with the empty groups that are asked for."""
    groups: dict[_Key, list[EventRow]] = {}
    for row in rows:
        keys = tuple(read(attribute, row, query.timezone) for attribute in query.group_by)
        bucket = bucket_of(row.start_time, query.granularity, query.timezone) if query.granularity else None
        groups.setdefault((keys, bucket), []).append(row)
    if not query.group_by and not query.granularity:
        groups.setdefault(((), None), [])
    if query.fill_buckets:
        filled = {keys for keys, _ in groups} if query.group_by else {()}
        for keys in filled:
            for bucket in all_buckets(query):
                groups.setdefault((keys, bucket), [])
    return dict(sorted(groups.items(), key=lambda item: (tuple(map(sortable, item[0][0])), item[0][1] or ())))


def _kept(query: CostQuery, rows: Rows, everything: Rows) -> bool:
    for bound in query.having:
        value = measure(bound.measure, rows, everything)
        if value is None and (bound.at_least is not None or bound.at_most is not None):
            return False
        if isinstance(value, datetime):
            value = (value - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        if bound.at_least is not None and value < bound.at_least:
            return False
        if bound.at_most is not None and value > bound.at_most:
            return False
    return True


def _usual_order(query: CostQuery) -> tuple[Order, ...]:
    """Forward in time, then the first measure, largest first."""
    bucket = (Order(Bucket.START, descending=False),) if query.granularity else ()
    return bucket + tuple(Order(measure) for measure in query.measures[:1])


def _sorted(
    query: CostQuery, order: Order, keys: list[_Key], groups: dict[_Key, list[EventRow]], everything: Rows
) -> list[_Key]:
    """Stably sorted by one key, unknown last."""

    def value(key: _Key) -> Any:
        if isinstance(order.by, Bucket):
            return key[1]
        if isinstance(order.by, Measure):
            return measure(order.by, groups[key], everything)
        return sortable(key[0][query.group_by.index(order.by)])

    values = {key: value(key) for key in keys}
    known = [key for key in keys if values[key] not in {None, b""}]
    # `reverse` keeps the order of equals.
    known.sort(key=lambda key: values[key], reverse=order.descending)
    return known + [key for key in keys if values[key] in {None, b""}]


def _shown_keys(keys: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(None if key == "" else key for key in keys)


def _measured(query: CostQuery, rows: Rows, everything: Rows) -> dict[Measure, Any]:
    return {which: shown(measure(which, rows, everything)) for which in query.measures}
