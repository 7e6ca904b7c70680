"""From a query to one SQL statement. Pure: no clock, no client, no settings.

Text comes only from the registries and from here; whatever a caller sent travels as a bound parameter. The statement
is built in layers, each a SELECT over the one before:

    grouped   one row a group, plus one for the grand total, from the events in scope, window and filter
    filled    the missing (group, bucket) pairs, when asked for
    shared    measures that are a part of the grand total
    numbered  groups that satisfy `having`, in their order
    paged     the grand total and the asked page
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any as AnyValue

from attribution.dimensions import ValueType
from attribution.measures import Measure, MeasureSpec, MeasureType
from attribution.query import (
    All,
    Any,
    Attribute,
    Bucket,
    Condition,
    CostQuery,
    Filter,
    MeasureBound,
    Not,
    Operator,
    Order,
    Tag,
    value_type,
)
from attribution.statement import Binder, Statement
from core.time import Cuts, Granularity, Window
from tenants.scope import Scope

EVENTS = "events AS e FINAL"
"""Exact at every instant: of the rows of one identity only the truth is read."""


_DATES = {
    Granularity.DAY: "toDate({local})",
    Granularity.WEEK: "toMonday({local})",
    Granularity.MONTH: "toStartOfMonth({local})",
    Granularity.QUARTER: "toStartOfQuarter({local})",
    Granularity.YEAR: "toStartOfYear({local})",
}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ZEROS = {MeasureType.MONEY: "toDecimal128(0, 12)", MeasureType.COUNT: "toUInt64(0)"}


def _zero(spec: MeasureSpec) -> str:
    """The measure over no events."""
    return _ZEROS[spec.type] if spec.additive or spec.type is MeasureType.COUNT else "NULL"


def measure_alias(index: int) -> str:
    """The column of the index-th measure."""
    return f"m{index}"


def compile_query(query: CostQuery) -> Statement:
    """One statement whose rows are the grand total (`is_total`) and then the asked page of groups.

    Columns: is_total, group_count, k0.. per grouping, b per granularity (a local date, or unix seconds below a day),
    m0.. per measure in the order of `computed_measures`.
    """
    return _Compiler(query).statement()


def computed_measures(query: CostQuery) -> tuple[Measure, ...]:
    """The selected measures, then those that ordering, bounds and shares need, each once; at least one.

    Without an aggregate an empty window would have no grand total."""
    wanted: list[Measure] = [*query.measures]
    wanted += [order.by for order in query.order_by if isinstance(order.by, Measure)]
    wanted += [bound.measure for bound in query.having]
    wanted += [Measure[m.spec.share_of_total] for m in wanted if m.spec.share_of_total]
    return tuple(dict.fromkeys(wanted)) or (Measure.OPERATIONS,)


class _Compiler:
    """The layers of one statement."""

    def __init__(self, query: CostQuery) -> None:
        self.query = query
        self.binder = Binder(query.window, query.timezone)
        self.measures = computed_measures(query)
        self.keys = [f"k{i}" for i in range(len(query.group_by))]
        self.axes = [*self.keys, "b"] if query.granularity else [*self.keys]

    def statement(self) -> Statement:
        layer = self._grouped()
        if self.query.fill_buckets and self.query.granularity:
            layer = self._filled(layer, self.query.granularity)
        if any(measure.spec.share_of_total for measure in self.measures):
            layer = self._shared(layer)
        return Statement(self._paged(self._numbered(layer)), self.binder.parameters)

    def _alias(self, measure: Measure) -> str:
        return measure_alias(self.measures.index(measure))

    def _grouped(self) -> str:
        condition = where_sql(self.query.scope, self.query.window, self.query.where, self.binder)
        keys = [f"{attribute_sql(a, self.binder)} AS {k}" for a, k in zip(self.query.group_by, self.keys, strict=True)]
        if self.query.granularity:
            keys.append(f"{bucket_sql(self.query.granularity, self.binder)} AS b")
        measures = [f"{m.spec.sql} AS {self._alias(m)}" for m in self.measures if not m.spec.share_of_total]
        source = f"FROM {EVENTS}\nWHERE {condition}"
        if not keys:
            return (
                f"SELECT *, is_total FROM (SELECT {', '.join(measures)}\n{source}) ARRAY JOIN [true, false] AS is_total"
            )
        columns = ", ".join([*keys, *measures, f"grouping({self.axes[0]}) = 1 AS is_total"])
        return f"SELECT {columns}\n{source}\nGROUP BY GROUPING SETS (({', '.join(self.axes)}), ())"

    def _filled(self, layer: str, granularity: Granularity | Cuts) -> str:
        """Adds to each group the buckets it lacks: counts and sums are zero there, all others unknown."""
        names = [self._alias(m) for m in self.measures if not m.spec.share_of_total]
        zeros = [_zero(m.spec) for m in self.measures if not m.spec.share_of_total]
        starts = self.binder.bind(
            _bucket_keys(self.query, granularity), f"Array({'Date' if granularity.is_calendar else 'UInt32'})"
        )
        cells = f"groupArrayIf(({', '.join(['b', *names])}, true), is_total = of_total)"
        groups = ", ".join([*self.keys, "of_total"])
        gathered = (
            f"SELECT {groups}, {cells} AS present FROM ({layer}) ARRAY JOIN [true, false] AS of_total "
            f"GROUP BY {groups}" + (" HAVING notEmpty(present)" if self.keys else "")
        )
        missing = (
            f"arrayMap(x -> ({', '.join(['x', *zeros, 'false'])}), arrayFilter(x -> NOT has(present.1, x), {starts}))"
        )
        columns = [*self.keys, "of_total AS is_total", "cell.1 AS b"]
        columns += [f"cell.{i} AS {name}" for i, name in enumerate(names, 2)]
        return (
            f"SELECT {', '.join(columns)} FROM ({gathered}) "
            f"ARRAY JOIN if(of_total, present, arrayConcat(present, {missing})) AS cell"
        )

    def _shared(self, layer: str) -> str:
        shares = [self._share(measure) for measure in self.measures if measure.spec.share_of_total]
        return f"SELECT *, {', '.join(shares)}\nFROM ({layer})"

    def _share(self, measure: Measure) -> str:
        whole = self._alias(Measure[measure.spec.share_of_total])
        total = f"max(if(is_total, toFloat64({whole}), NULL)) OVER ()"
        return f"if({total} = 0, NULL, toFloat64({whole}) / {total}) AS {self._alias(measure)}"

    def _numbered(self, layer: str) -> str:
        kept = " AND ".join(self._bound(bound) for bound in self.query.having) or "true"
        order = ", ".join(["is_total DESC", *self._order(), *self.axes])
        return (
            f"SELECT *, countIf(NOT is_total) OVER () AS group_count, row_number() OVER (ORDER BY {order}) - 1 AS n\n"
            f"FROM ({layer})\nWHERE is_total OR ({kept})"
        )

    def _bound(self, bound: MeasureBound) -> str:
        alias, parts = self._alias(bound.measure), []
        for operator, limit in ((">=", bound.at_least), ("<=", bound.at_most)):
            if limit is not None:
                parts.append(f"{alias} {operator} {self.binder.bind(limit, 'Decimal(38, 12)')}")
        return f"ifNull({' AND '.join(parts) or 'true'}, false)"

    def _order(self) -> Iterable[str]:
        for order in self.query.order_by or default_order(self.query):
            yield f"{self._order_column(order)} {'DESC' if order.descending else 'ASC'} NULLS LAST"

    def _order_column(self, order: Order) -> str:
        if isinstance(order.by, Measure):
            return self._alias(order.by)
        if isinstance(order.by, Bucket):
            return "b"
        key = self.keys[self.query.group_by.index(order.by)]
        return f"nullIf({key}, '')" if value_type(order.by) is ValueType.TEXT else key

    def _paged(self, layer: str) -> str:
        page = self.query.page
        start = self.binder.bind(page.offset, "UInt64")
        end = self.binder.bind(page.offset + page.first, "UInt64")
        columns = ["is_total", "group_count", *self.axes, *(self._alias(m) for m in self.measures)]
        return (
            f"SELECT {', '.join(columns)}\nFROM ({layer})\nWHERE is_total OR (n > {start} AND n <= {end})\nORDER BY n"
        )


def default_order(query: CostQuery) -> tuple[Order, ...]:
    """Time series run forward in time; within a bucket, and without one, the first measure decides, largest first."""
    first = (Order(query.measures[0]),) if query.measures else ()
    return (Order(Bucket.START, descending=False), *first) if query.granularity else first


def attribute_sql(attribute: Attribute, binder: Binder) -> str:
    """The expression that reads the attribute from an event."""
    if isinstance(attribute, Tag):
        return f"e.tags[{binder.bind(attribute.key, 'String')}]"
    return _localized(attribute.spec.sql, binder)


def bucket_sql(granularity: Granularity | Cuts, binder: Binder) -> str:
    """The first local date of the bucket; its first unix second for buckets below a day."""
    if isinstance(granularity, Cuts):
        return binder.cut([int(instant.timestamp()) for instant in granularity.instants[:-1]])
    if granularity.is_calendar:
        return _localized(_DATES[granularity], binder)
    return binder.minute if granularity is Granularity.MINUTE else binder.hour


def _localized(sql: str, binder: Binder) -> str:
    return sql.replace("{local}", binder.local) if "{local}" in sql else sql


def where_sql(scope: Scope, window: Window, where: Filter, binder: Binder) -> str:
    """Scope first, then the window, then the filter."""
    parts = [
        f"{column} = {binder.bind(value, 'String')}"
        for column, value in (
            ("e.tenant_id", scope.tenant),
            ("e.team", scope.team),
            ("e.environment", scope.environment),
        )
        if value is not None
    ]
    parts.append(f"e.start_time >= {instant_sql(window.start, binder)}")
    parts.append(f"e.start_time < {instant_sql(window.end, binder)}")
    if where != All(()):
        parts.append(filter_sql(where, binder))
    return " AND ".join(parts)


def instant_sql(instant: datetime, binder: Binder) -> str:
    """The instant to the microsecond; the driver would drop a datetime's fraction."""
    micros = (instant - _EPOCH) // timedelta(microseconds=1)
    return f"fromUnixTimestamp64Micro({binder.bind(micros, 'Int64')}, 'UTC')"


def filter_sql(where: Filter, binder: Binder) -> str:
    """The filter as a boolean expression, every value bound."""
    match where:
        case All(parts):
            return f"({' AND '.join(filter_sql(part, binder) for part in parts) or 'true'})"
        case Any(parts):
            return f"({' OR '.join(filter_sql(part, binder) for part in parts) or 'false'})"
        case Not(part):
            return f"NOT ({filter_sql(part, binder)})"
        case Condition():
            return _condition_sql(where, binder)


_COMPARISONS = {
    Operator.ANY_OF: "{sql} IN {values}",
    Operator.NONE_OF: "{sql} NOT IN {values}",
    Operator.PREFIX: "startsWith({sql}, {value})",
    Operator.CONTAINS: "positionCaseInsensitiveUTF8({sql}, {value}) > 0",
    Operator.AT_LEAST: "{sql} >= {value}",
    Operator.AT_MOST: "{sql} <= {value}",
}


def _condition_sql(condition: Condition, binder: Binder) -> str:
    if condition.operator is Operator.EXISTS:
        present = _present_sql(condition.attribute, binder)
        return present if condition.values[0] else f"NOT ({present})"
    sql, type_ = attribute_sql(condition.attribute, binder), value_type(condition.attribute).value
    if condition.operator in {Operator.ANY_OF, Operator.NONE_OF}:
        bound = {"values": binder.bind(list(condition.values), f"Array({type_})")}
    elif condition.operator in {Operator.PREFIX, Operator.CONTAINS}:
        sql = sql if value_type(condition.attribute) is ValueType.TEXT else f"toString({sql})"
        bound = {"value": binder.bind(condition.values[0], "String")}
    else:
        bound = {"value": binder.bind(condition.values[0], type_)}
    return _COMPARISONS[condition.operator].format(sql=sql, **bound)


def _present_sql(attribute: Attribute, binder: Binder) -> str:
    if isinstance(attribute, Tag):
        return f"mapContains(e.tags, {binder.bind(attribute.key, 'String')})"
    return f"{attribute_sql(attribute, binder)} != ''" if value_type(attribute) is ValueType.TEXT else "true"


def _bucket_keys(query: CostQuery, granularity: Granularity | Cuts) -> list[AnyValue]:
    starts = [bucket.start for bucket in granularity.buckets(query.window, query.timezone)]
    if granularity.is_calendar:
        # Where midnight does not exist, the day starts at the jump, whose local date is still that day's.
        return [start.astimezone(query.timezone).date() for start in starts]
    return [int(start.timestamp()) for start in starts]
