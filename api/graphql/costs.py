"""The `costs` field: any measures of any slice, by any grouping, from one statement."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Optional

import strawberry
from strawberry.types.nodes import FragmentSpread, InlineFragment, SelectedField, Selection

from api.graphql.context import Context, Information
from api.graphql.inputs import CostFilter, CostOrder, GroupBy, MeasureFilter, TimeRange
from api.graphql.naming import camel
from api.graphql.paging import PageInfo, check_page_size, decode_cursor, encode_cursor, fingerprint
from api.graphql.scalars import BigInt
from attribution.dimensions import Dimension, ValueType
from attribution.measures import Measure, MeasureType
from attribution.query import EVERYTHING, CostQuery, Page, Tag
from attribution.report import CostReport
from core.time import Granularity, parse_timezone

_DIMENSION_TYPES: dict[ValueType, Any] = {ValueType.TEXT: str, ValueType.INTEGER: int, ValueType.FLAG: bool}
_MEASURE_TYPES: dict[MeasureType, Any] = {
    MeasureType.MONEY: Decimal,
    MeasureType.COUNT: BigInt,
    MeasureType.RATIO: float,
    MeasureType.MILLISECONDS: BigInt,
    MeasureType.INSTANT: datetime,
}


@strawberry.type(description="The value of one tag.")
class TagValue:
    """A tag and its value."""

    key: str = strawberry.field(description="The tag's key.")
    value: str | None = strawberry.field(description="Its value; null where operations lack the tag.")


def _add(namespace: dict[str, Any], name: str, type_: Any, description: str) -> None:
    namespace["__annotations__"][name] = type_
    namespace[name] = strawberry.field(default=None, description=description)


def _add_measures(namespace: dict[str, Any]) -> None:
    for measure in Measure:
        type_ = _MEASURE_TYPES[measure.spec.type]
        is_certain = measure.spec.type is MeasureType.COUNT
        _add(namespace, measure.spec.name, type_ if is_certain else Optional[type_], measure.spec.description)  # noqa: UP045


def _row() -> type:
    """CostRow: the bucket, one field per dimension, one per measure. Plain attributes only: rows must be cheap."""
    namespace: dict[str, Any] = {"__module__": __name__, "__doc__": "One group.", "__annotations__": {}}
    _add(namespace, "bucket_start", Optional[datetime], "First instant of the time bucket; null without granularity.")  # noqa: UP045
    _add(namespace, "bucket_end", Optional[datetime], "First instant after the time bucket.")  # noqa: UP045
    for dimension in Dimension:
        description = f"{dimension.spec.description} Null unless grouped by, or where operations do not say."
        _add(namespace, dimension.spec.name, Optional[_DIMENSION_TYPES[dimension.spec.type]], description)  # noqa: UP045
    namespace["__annotations__"]["tags"] = list[TagValue]
    namespace["tags"] = strawberry.field(default_factory=list, description="The tags of groupBy, in its order.")
    _add_measures(namespace)
    description = "One group. Only what is selected is computed."
    return strawberry.type(type("CostRow", (), namespace), description=description)


def _totals() -> type:
    namespace: dict[str, Any] = {"__module__": __name__, "__doc__": "The grand total.", "__annotations__": {}}
    _add_measures(namespace)
    description = "The measures over everything in the window and filter, whatever `having` and the page leave out."
    return strawberry.type(type("CostTotals", (), namespace), description=description)


CostRow: Any = _row()
CostTotals: Any = _totals()
_MEASURES_BY_FIELD = {camel(measure.spec.name): measure for measure in Measure}


@strawberry.type(description="A group with its cursor.")
class CostEdge:
    """A group in the list."""

    cursor: str = strawberry.field(description="Where this group stands; pages continue after it.")
    node: CostRow = strawberry.field(description="The group.")


@strawberry.type(description="Groups, their grand total and their number, all from one statement.")
class CostConnection:
    """The answer to a cost query."""

    nodes: list[CostRow] = strawberry.field(description="The groups of this page.")
    edges: list[CostEdge] = strawberry.field(description="The same groups, each with its cursor.")
    page_info: PageInfo = strawberry.field(description="Where this page stands.")
    total_count: BigInt = strawberry.field(description="Groups over all pages, after `having`.")
    totals: CostTotals = strawberry.field(description="The measures over all groups.")
    start: datetime = strawberry.field(description="First instant of the window.")
    end: datetime = strawberry.field(description="First instant after the window.")
    fresh_as_of: datetime | None = strawberry.field(description="When the newest of these operations arrived.")


def selected_measures(selections: list[Selection]) -> tuple[Measure, ...]:
    """The measures that the caller selected on rows or totals."""
    names = dict.fromkeys(selected_names(selections))
    return tuple(_MEASURES_BY_FIELD[name] for name in names if name in _MEASURES_BY_FIELD)


def selected_names(selections: list[Selection]) -> Iterator[str]:
    """Every name that the caller selected, at any depth."""
    for selection in selections:
        if isinstance(selection, SelectedField):
            yield selection.name
        if isinstance(selection, SelectedField | FragmentSpread | InlineFragment):
            yield from selected_names(selection.selections)


def connection(report: CostReport, question: str, *, with_edges: bool) -> CostConnection:
    """The report in GraphQL's shape; five thousand cursors only for those who ask."""
    offset = report.query.page.offset
    rows = _rows(report)
    places = range(1, len(rows) + 1) if with_edges else {1, len(rows)} - {0}
    cursors = [encode_cursor(question, offset + place) for place in sorted(places) if rows]
    totals = CostTotals(**{measure.spec.name: value for measure, value in report.totals.items()})
    return CostConnection(
        nodes=rows,
        edges=[CostEdge(cursor=c, node=r) for c, r in zip(cursors, rows, strict=True)] if with_edges else [],
        page_info=PageInfo(
            has_next_page=offset + len(rows) < report.group_count,
            has_previous_page=offset > 0,
            start_cursor=cursors[0] if cursors else None,
            end_cursor=cursors[-1] if cursors else None,
        ),
        total_count=BigInt(report.group_count),
        totals=totals,
        start=report.query.window.start,
        end=report.query.window.end,
        fresh_as_of=report.totals.get(Measure.FRESH_AS_OF),
    )


def _rows(report: CostReport) -> list[Any]:
    """CostRow objects without their constructor: it would set eighty attributes a row where a handful are asked for."""
    columns: dict[str, list[Any]] = {measure.spec.name: values for measure, values in report.measures.items()}
    if report.buckets:
        columns["bucket_start"] = [bucket.start for bucket in report.buckets]
        columns["bucket_end"] = [bucket.end for bucket in report.buckets]
    tags: list[tuple[str, list[Any]]] = []
    for attribute, values in zip(report.query.group_by, report.keys, strict=True):
        if isinstance(attribute, Tag):
            tags.append((attribute.key, values))
        else:
            columns[attribute.spec.name] = values
    columns["tags"] = [[TagValue(key=k, value=v[i]) for k, v in tags] for i in range(report.size)]
    names, new = tuple(columns), CostRow.__new__
    rows = []
    for cells in zip(*columns.values(), strict=True):
        row = new(CostRow)
        row.__dict__.update(zip(names, cells, strict=True))
        rows.append(row)
    return rows


def _page(context: Context, first: int, after: str | None, question: str) -> Page:
    size = check_page_size(first, context.services.settings.max_page_rows)
    return Page(size, decode_cursor(after, question, int)[0] if after is not None else 0)


async def costs(
    info: Information,
    time_range: Annotated[TimeRange, strawberry.argument(description="Which operations, by when they started.")],
    timezone: Annotated[
        str, strawberry.argument(description="IANA zone of presets, buckets and hours, such as Europe/Berlin.")
    ] = "UTC",
    group_by: Annotated[
        list[GroupBy] | None, strawberry.argument(description="Dimensions and tags, up to 8. None: one group.")
    ] = None,
    granularity: Annotated[
        Granularity | None, strawberry.argument(description="Also group by time bucket of this width.")
    ] = None,
    where: Annotated[CostFilter | None, strawberry.argument(description="Which operations to count.")] = None,
    having: Annotated[
        list[MeasureFilter] | None, strawberry.argument(description="Which groups to keep; all bounds must hold.")
    ] = None,
    order_by: Annotated[
        list[CostOrder] | None,
        strawberry.argument(description="Default: the bucket forward in time, then the first measure, largest first."),
    ] = None,
    fill_buckets: Annotated[  # noqa: FBT002
        bool, strawberry.argument(description="Return buckets without operations too, with zeros.")
    ] = False,
    first: Annotated[int, strawberry.argument(description="Groups per page.")] = 100,
    after: Annotated[str | None, strawberry.argument(description="endCursor of the previous page.")] = None,
) -> CostConnection | None:
    """What operations cost and did, for any slice: group by anything, filter by anything, over any window."""
    context, zone = info.context, parse_timezone(timezone)
    groups = tuple(group.attribute() for group in group_by or ())
    orders = tuple(order.order() for order in order_by or ())
    bounds = tuple(bound.bound() for bound in having or ())
    condition = where.filter() if where else EVERYTHING
    measures = selected_measures(info.selected_fields)
    ranking = orders or measures[:1]  # without an order, the first measure decides
    question = fingerprint(time_range, groups, granularity, condition, bounds, ranking, zone.key, fill_buckets)
    query = CostQuery(
        scope=context.scope(),
        window=time_range.window(context.now, zone),
        measures=measures,
        timezone=zone,
        group_by=groups,
        granularity=granularity,
        where=condition,
        having=bounds,
        order_by=orders,
        fill_buckets=fill_buckets,
        page=_page(context, first, after, question),
    )
    report = await context.services.read(context.services.store.report, query)
    return connection(report, question, with_edges="edges" in set(selected_names(info.selected_fields)))
