"""`/v1/revenue`: actual revenue in, from the billing system, and out again."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.auth import guarded
from api.services import Services
from finance.profit.question import RevenueIsTheTenants
from finance.revenue.payloads import receive
from ingest.body import decompress, read_bounded, split_items
from tenants.principal import Permission, Principal


class RevenueDoor:
    """The door of one process. Its callers are authenticated and have the finance role."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        """Both need the finance role and whole tenants."""
        post, delete = (guarded(each, self._services, Permission.FINANCE) for each in (self.post, self.delete))
        return [
            Route("/v1/revenue", post, methods=["POST"]),
            Route("/v1/revenue/{source}/{id:path}", delete, methods=["DELETE"]),
        ]

    async def post(self, request: Request) -> Response:
        """A JSON object, a JSON array or NDJSON. 200 with a receipt, or 207 when some items were refused.

        The same id of the same source again changes nothing; with another content it corrects the item.
        """
        principal = _whole_tenants(request)
        settings, services = self._services.settings, self._services
        raw = await read_bounded(request.stream(), settings.max_body_bytes)
        body = decompress(raw, request.headers.get("content-encoding", ""), settings.max_body_bytes)
        receipt = await services.read(
            receive,
            services.money.actuals,
            split_items(body, settings.max_body_events),
            currency=settings.currency,
            scope=principal.scope,
            by=principal.name,
        )
        status = 207 if receipt.rejected else 200
        return Response(msgspec.json.encode(receipt), status, media_type="application/json")

    async def delete(self, request: Request) -> Response:
        """204 when the item of that source and id counts no more; 404 when there is none in the key's scope."""
        principal, path = _whole_tenants(request), request.path_params
        await self._services.read(
            self._services.money.actuals.withdraw,
            path["source"],
            path["id"],
            scope=principal.scope,
            by=principal.name,
        )
        return Response(status_code=204)


def _whole_tenants(request: Request) -> Principal:
    principal: Principal = request.state.principal
    if principal.scope.team is not None or principal.scope.environment is not None:
        raise RevenueIsTheTenants
    return principal
