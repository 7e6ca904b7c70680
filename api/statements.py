"""The billing system's door: statements over REST, for keys with the finance role."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.auth import guarded
from api.graphql.paging import check_page_size, decode_cursor, encode_cursor, fingerprint
from api.query_strings import chosen_format, parameters, whole_number
from api.services import Services
from core.errors import InvalidInput
from finance.statements.books import NoSuchStatement, Statement
from finance.statements.closing import Asked, Outcome
from finance.statements.period import BillingPeriod
from finance.statements.reading import StatementPage, StatementQuery, find, get, tenant_meant
from ingest.body import read_bounded
from tenants.principal import Permission, Principal

PAGE: Final = 50
MAX_PAGE: Final = 200
"""A statement may have hundreds of lines."""
SECONDS_PER_CALL: Final = 15.0
"""How long one call of `close` goes on; the next one continues."""

_MAX_BODY: Final = 10_000
_TYPES: Final = {"json": "application/json", "csv": "text/csv; charset=utf-8"}
_HEADER: Final = ("number", "revision", "status", "checksum", "tenant", "tenant_external_id", "currency", "closed_at")
_LINE: Final = (
    *("period", "kind", "feature", "model", "cost_category", "tier", "charge", "unit"),
    *("is_adjustment", "amount", "quantity", "unpriced_operations"),
)


class CloseRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /v1/statements/close`."""

    period: str
    tenant: str | None = None


class UnreadableBody(InvalidInput):
    """The body is not what is read here."""

    code = "UNREADABLE_BODY"

    def __init__(self, error: msgspec.DecodeError) -> None:
        super().__init__(f'send a JSON object such as {{"period": "2026-10", "tenant": "acme"}}: {error}')


class Statements:
    """The routes of statements."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        """Every route here needs the finance role; a key scoped to a tenant reaches that tenant's statements."""
        endpoints = (
            ("/v1/statements", "GET", self.page),
            ("/v1/statements/preview", "GET", self.preview),
            ("/v1/statements/close", "POST", self.close),
            ("/v1/statements/{number}", "GET", self.one),
        )
        return [
            Route(path, guarded(endpoint, self._services, Permission.FINANCE), methods=[method])
            for path, method, endpoint in endpoints
        ]

    async def page(self, request: Request) -> Response:
        """`GET /v1/statements?period=&tenant=&cursor=&first=`: in the order of their numbers, JSON or CSV.

        The cursor stays good: asked again later, it continues with what was closed meanwhile. It is repeated in a
        `Link` header with `rel="next"` while there is more.
        """
        given = parameters(request, "period", "tenant", "cursor", "first", "format")
        kind = chosen_format(request, given, _TYPES)
        period, tenant, cursor = (given.get(name) for name in ("period", "tenant", "cursor"))
        question = fingerprint("statements", period, tenant)
        first = check_page_size(whole_number(given, "first", PAGE), MAX_PAGE)
        after = decode_cursor(cursor, question, int)[0] if cursor else 0
        query = StatementQuery.of(_caller(request).scope, period, tenant, after=after, first=first)
        page = await self._services.read(find, self._services.database, query)
        last = page.statements[-1].record.number if page.statements else after
        cursor = encode_cursor(question, last) if last else None
        response = _tagged(request, _body(page, cursor, kind), kind)
        if page.has_next:
            response.headers["link"] = f'<{request.url.path}?{urlencode(given | {"cursor": cursor})}>; rel="next"'
        return response

    async def one(self, request: Request) -> Response:
        """`GET /v1/statements/{number}`: JSON or CSV; 304 while it stands as it did."""
        kind = chosen_format(request, parameters(request, "format"), _TYPES)
        number = _number(request.path_params["number"])
        found = await self._services.read(get, self._services.database, _caller(request).scope, number)
        body = _csv([found]) if kind == "csv" else orjson.dumps(document(found))
        return _tagged(request, body, kind)

    async def preview(self, request: Request) -> Response:
        """`GET /v1/statements/preview?period=&tenant=`: what closing would write; by default the month that runs."""
        given = parameters(request, "period", "tenant")
        services, now = self._services, datetime.now(UTC)
        period = given.get("period") or str(BillingPeriod.of(now, services.money.statements.timezone))
        tenant = tenant_meant(_caller(request).scope, given.get("tenant"))
        month = BillingPeriod.parse(period)
        draft = await services.read(services.money.statements.preview, tenant, month, now=now)
        body = orjson.dumps({"preview": draft.content(), "as_of": now.isoformat()})
        return Response(body, media_type=_TYPES["json"], headers={"cache-control": "no-store"})

    async def close(self, request: Request) -> Response:
        """`POST /v1/statements/close` with `{"period", "tenant"?}`: closes and lists what it closed. Safe to repeat.

        `remaining` is not 0 when time ran out: call again, and it goes on.
        """
        wanted = await _close_request(request)
        asked = Asked(BillingPeriod.parse(wanted.period), _caller(request).scope, wanted.tenant)
        outcome = await close_in_time(self._services, asked, by=_caller(request).name, now=datetime.now(UTC))
        body = {
            "closed": [_summary(statement) for statement in outcome.closed],
            "closed_before": outcome.closed_before,
            "remaining": outcome.remaining,
        }
        return Response(orjson.dumps(body), media_type=_TYPES["json"])


async def close_in_time(services: Services, asked: Asked, *, by: str, now: datetime) -> Outcome:
    """The outcome of closing for as long as one request may take, worked out beside the readers."""
    return await asyncio.to_thread(services.money.statements.close, asked, by=by, now=now, seconds=SECONDS_PER_CALL)


def document(statement: Statement) -> dict[str, Any]:
    """A statement on the wire: what was closed, byte for byte as its checksum has it, beside how it stands now."""
    return {"statement": orjson.Fragment(statement.record.content), **_standing(statement)}


def _standing(statement: Statement) -> dict[str, Any]:
    reopening = statement.reopening
    return {
        "tenant_external_id": statement.external_id,
        "checksum": statement.record.checksum,
        "status": statement.status.value,
        "superseded_by": statement.superseded_by,
        "reopened_at": reopening and reopening.at.isoformat().replace("+00:00", "Z"),
        "reopened_because": reopening and reopening.reason,
    }


def _summary(statement: Statement) -> dict[str, Any]:
    content = {name: value for name, value in statement.content.items() if name != "lines"}
    return {"statement": content, **_standing(statement)}


def _body(page: StatementPage, cursor: str | None, kind: str) -> bytes:
    if kind == "csv":
        return _csv(page.statements)
    documents = [document(statement) for statement in page.statements]
    return orjson.dumps({"statements": documents, "cursor": cursor, "has_more": page.has_next})


def _csv(statements: Iterable[Statement]) -> bytes:
    """One row per line, each with what identifies its statement; empty where nothing is said or known."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([*_HEADER, *("line_period" if name == "period" else name for name in _LINE)])
    writer.writerows(row for statement in statements for row in _rows(statement))
    return text.getvalue().encode()


def _rows(statement: Statement) -> Iterator[list[Any]]:
    content = statement.content | _standing(statement)
    head = [content[name] for name in _HEADER]
    for line in content["lines"]:
        yield [*head, *(_cell(line[name]) for name in _LINE)]


def _cell(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def _tagged(request: Request, body: bytes, kind: str) -> Response:
    """The body with its ETag; 304 without it for those who have it already."""
    tag = f'W/"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'
    headers = {"etag": tag, "cache-control": "private, no-cache", "vary": "accept"}
    if _has(request.headers, tag):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=_TYPES[kind], headers=headers)


def _has(headers: Mapping[str, str], tag: str) -> bool:
    known = [each.strip() for each in headers.get("if-none-match", "").split(",")]
    return "*" in known or tag in known or tag.removeprefix("W/") in known


async def _close_request(request: Request) -> CloseRequest:
    try:
        return msgspec.json.decode(await read_bounded(request.stream(), _MAX_BODY), type=CloseRequest)
    except msgspec.DecodeError as error:
        raise UnreadableBody(error) from None


def _caller(request: Request) -> Principal:
    principal: Principal = request.state.principal
    return principal


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise NoSuchStatement(text)
    return int(text)
