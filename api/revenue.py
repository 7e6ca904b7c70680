"""`POST /v1/revenue`: actual revenue in, from the billing system."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.services import Services
from finance.profit.question import RevenueIsTheTenants
from finance.revenue.payloads import receive
from ingest.body import decompress, read_bounded, split_items
from tenants.principal import Principal


class RevenueDoor:
    """The door of one process. Its callers are authenticated and have the finance role."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def post(self, request: Request) -> Response:
        """A JSON object, a JSON array or NDJSON. 200 with a receipt, or 207 when some items were refused.

        The same id of the same source again changes nothing; with another content it corrects the item.
        """
        principal: Principal = request.state.principal
        if principal.scope.team is not None or principal.scope.environment is not None:
            raise RevenueIsTheTenants
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
