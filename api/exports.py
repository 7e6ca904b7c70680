"""`GET /v1/exports/costs`: costs as a file, streamed a piece at a time, for keys with the finance role."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final
from zoneinfo import ZoneInfo

import pyarrow as pa
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from api.auth import guarded
from api.query_strings import InvalidParameter, chosen_format, parameters
from api.services import Services
from attribution.dimensions import Dimension
from attribution.export import ExportQuery, schema_of
from attribution.measures import Measure
from attribution.query import (
    EVERYTHING,
    MAX_GROUP_BY,
    Attribute,
    Condition,
    CostQuery,
    DuplicateGrouping,
    Filter,
    Operator,
    Tag,
    TooManyGroupings,
)
from core.time import Granularity, Window, midnight, parse_timezone
from finance.exports.encoding import Encoder, encode_csv, encode_ndjson, encode_parquet
from finance.exports.focus import Focus
from finance.exports.focus_columns import Dataset
from tenants.principal import Permission, Principal
from tenants.scope import Scope

_GROUPINGS: Final = "tenant,feature,provider,model"
_MEASURES: Final = "operations,unpriced_operations,input_tokens,output_tokens,effective_cost,list_cost"
_NO_BUCKETS: Final = "none"
_SHAPE: Final = ("group_by", "granularity", "measures")
_DIMENSIONS: Final = {dimension.spec.name: dimension for dimension in Dimension}
_COLUMNS: Final = {measure.spec.name: measure for measure in Measure if measure.spec.additive}


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of file. `as_text`: amounts and instants are texts in it."""

    media_type: str
    extension: str
    encode: Encoder
    as_text: bool
    is_focus: bool = False


_CSV: Final = "text/csv; charset=utf-8"
_PARQUET: Final = "application/vnd.apache.parquet"
FORMATS: Final = {
    "ndjson": Format("application/x-ndjson", "ndjson", encode_ndjson, as_text=True),
    "csv": Format(_CSV, "csv", encode_csv, as_text=True),
    "parquet": Format(_PARQUET, "parquet", encode_parquet, as_text=False),
    "focus": Format(_CSV, "focus.csv", encode_csv, as_text=True, is_focus=True),
    "focus-parquet": Format(_PARQUET, "focus.parquet", encode_parquet, as_text=False, is_focus=True),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What to ask the store for, and what becomes of each piece of it."""

    query: ExportQuery
    schema: pa.Schema
    shape: Callable[[pa.Table], pa.Table]


class Exports:
    """The route of exports. At most half of the store's connections work for exports at a time."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._slots = asyncio.Semaphore(max(1, services.settings.query_concurrency // 2))

    def routes(self) -> list[Route]:
        """The route. It needs the finance role; a scoped key gets its scope."""
        return [Route("/v1/exports/costs", guarded(self.costs, self._services, Permission.FINANCE), methods=["GET"])]

    async def costs(self, request: Request) -> Response:
        """`GET /v1/exports/costs?from=&to=&format=ndjson|csv|parquet|focus|focus-parquet&...`.

        `from` and `to` are local dates of `timezone` or instants. `group_by` lists dimensions and `tag:KEY`,
        `granularity` is `none` or a bucket, `measures` are additive ones, `tenant` narrows; FOCUS takes `tags` instead
        of the first three. Once the first part is there the answer is 200; if a later one fails, the connection breaks.
        """
        given = parameters(request, "from", "to", "timezone", "tenant", "format", "tags", *_SHAPE)
        name = chosen_format(request, given, {name: form.media_type for name, form in FORMATS.items()})
        form, scope = FORMATS[name], _caller(request).scope
        names = await self._names(scope) if form.is_focus else {}
        plan = _plan(given, form, scope, Dataset(self._services.settings.currency, _zone(given), _tags(given), names))
        parts = form.encode(plan.schema, map(plan.shape, self._services.store.export(plan.query)))
        headers = {"content-disposition": f'attachment; filename="{_file_name(plan.query, form)}"'}
        if form.is_focus:
            headers["x-apportion-unpriced-operations"] = str(await self._unpriced(plan.query, given))
        first = await self._next(parts)
        return StreamingResponse(self._rest(first, parts), media_type=form.media_type, headers=headers)

    async def _rest(self, first: bytes | None, parts: Iterator[bytes]) -> AsyncIterator[bytes]:
        part = first
        while part is not None:
            yield part
            part = await self._next(parts)

    async def _next(self, parts: Iterator[bytes]) -> bytes | None:
        """The next part once the client has taken the one before; None at the end."""
        async with self._slots:
            return await self._services.read(next, parts, None)

    async def _names(self, scope: Scope) -> dict[str, str]:
        tenants = await self._services.read(self._services.money.tenants.all, scope.tenant)
        return {tenant.tenant_id: tenant.name for tenant in tenants if tenant.name}

    async def _unpriced(self, query: ExportQuery, given: Mapping[str, str]) -> int:
        """How many operations have no cost, and so no row in FOCUS."""
        measure = Measure.UNPRICED_OPERATIONS
        asked = CostQuery(query.scope, query.window, (measure,), where=_where(given))
        report = await self._services.read(self._services.store.report, asked)
        return int(report.totals[measure])


def _plan(given: Mapping[str, str], form: Format, scope: Scope, dataset: Dataset) -> Plan:
    zone = dataset.timezone
    window = Window(_instant(given, "from", zone), _instant(given, "to", zone))
    if form.is_focus:
        _refuse(given, _SHAPE, "left out: FOCUS says what its rows are")
        focus = Focus(dataset, form.as_text)
        return Plan(focus.query(scope, window, _where(given)), focus.schema, focus.table)
    _refuse(given, ("tags",), "left out, or be written as group_by=tag:KEY: only FOCUS has a column of tags")
    query = ExportQuery(
        scope=scope,
        window=window,
        columns=_measures(given),
        timezone=zone,
        group_by=_groupings(given),
        granularity=_granularity(given),
        where=_where(given),
        as_text=form.as_text,
    )
    return Plan(query, schema_of(query), lambda piece: piece)


def _zone(given: Mapping[str, str]) -> ZoneInfo:
    return parse_timezone(given.get("timezone", "UTC"))


def _refuse(given: Mapping[str, str], names: tuple[str, ...], rule: str) -> None:
    for name in names:
        if name in given:
            raise InvalidParameter(name, rule)


def _instant(given: Mapping[str, str], name: str, zone: ZoneInfo) -> datetime:
    """A local date's first instant, or an instant."""
    text = given.get(name, "")
    try:
        instant = midnight(date.fromisoformat(text), zone) if len(text) == len("2026-10-01") else _moment(text)
    except (ValueError, OverflowError):
        instant = None
    if instant is None:
        raise InvalidParameter(name, "a date such as 2026-10-01, or a time with a zone such as 2026-10-01T00:00:00Z")
    return instant


def _moment(text: str) -> datetime | None:
    instant = datetime.fromisoformat(text)
    return instant if instant.tzinfo is not None else None


def _where(given: Mapping[str, str]) -> Filter:
    tenant = given.get("tenant")
    return EVERYTHING if tenant is None else Condition(Dimension.TENANT, Operator.ANY_OF, (tenant,))


def _groupings(given: Mapping[str, str]) -> tuple[Attribute, ...]:
    groupings = tuple(_grouping(name) for name in given.get("group_by", _GROUPINGS).split(","))
    if len(groupings) > MAX_GROUP_BY:
        raise TooManyGroupings(len(groupings))
    for grouping in groupings:
        if groupings.count(grouping) > 1:
            raise DuplicateGrouping(grouping)
    return groupings


def _grouping(name: str) -> Attribute:
    if name.startswith("tag:") and name != "tag:":
        return Tag(name.removeprefix("tag:"))
    if name not in _DIMENSIONS:
        raise InvalidParameter("group_by", f"a list of tag:KEY and {', '.join(_DIMENSIONS)}")
    return _DIMENSIONS[name]


def _tags(given: Mapping[str, str]) -> tuple[Tag, ...]:
    names = dict.fromkeys(given.get("tags", "").split(","))
    return tuple(Tag(name) for name in names if name)


def _granularity(given: Mapping[str, str]) -> Granularity | None:
    text = given.get("granularity", Granularity.DAY.value)
    if text == _NO_BUCKETS:
        return None
    known = {granularity.value: granularity for granularity in Granularity}
    if text not in known:
        raise InvalidParameter("granularity", f"one of {', '.join([_NO_BUCKETS, *known])}")
    return known[text]


def _measures(given: Mapping[str, str]) -> tuple[Measure, ...]:
    names = tuple(dict.fromkeys(given.get("measures", _MEASURES).split(",")))
    if not _COLUMNS.keys() >= set(names):
        raise InvalidParameter("measures", f"a list of {', '.join(_COLUMNS)}, which all add up")
    return tuple(_COLUMNS[name] for name in names)


def _file_name(query: ExportQuery, form: Format) -> str:
    first, end = (instant.astimezone(query.timezone) for instant in (query.window.start, query.window.end))
    return f"costs-{first:%Y%m%d}-{end:%Y%m%d}.{form.extension}"


def _caller(request: Request) -> Principal:
    principal: Principal = request.state.principal
    return principal
