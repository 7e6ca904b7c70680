"""`POST /v1/bills`: a provider's bill, as the provider wrote it. For finance keys without a scope."""

from __future__ import annotations

import io
from functools import partial
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api.auth import Endpoint, guarded
from api.failures import BAD_REQUEST
from api.services import Services
from core.money import plain
from finance.bills.formats import format_named
from finance.bills.outcome import Imported, Outcome, Wanted
from ingest.admission import Admission
from ingest.reception import receive
from tenants.principal import Permission, Principal


def bill_door(services: Services, admission: Admission) -> Endpoint:
    """The endpoint: `?format=` (default: told by the file), `?payer=`, `?file=` for its name, `?skip_errors=true`,
    `?replace=true`.

    200 with what was imported; 400 with the lines at fault when nothing was.
    """
    limit = services.settings.max_body_bytes

    async def post(request: Request) -> Response:
        principal: Principal = request.state.principal
        principal.scope.require_unrestricted("bills")
        wanted = _wanted(request)
        body = await receive(request, limit)
        importing = partial(services.money.bills.run, by=principal.name, limit=limit)
        outcome = await run_in_threadpool(importing, io.BytesIO(body), wanted)
        return JSONResponse(told(outcome), 200 if outcome.done else BAD_REQUEST)

    return guarded(admission.holding(post), services, Permission.FINANCE)


def _wanted(request: Request) -> Wanted:
    given = request.query_params
    name = given.get("format", "auto")
    return Wanted(
        format=None if name == "auto" else format_named(name),
        payer=given.get("payer"),
        file_name=given.get("file", ""),
        skip_errors=given.get("skip_errors", "").lower() == "true",
        replace=given.get("replace", "").lower() == "true",
    )


def told(outcome: Outcome) -> dict[str, Any]:
    """The outcome as JSON."""
    return {
        "imported": outcome.done,
        "format": outcome.format.spec.name,
        "lines": outcome.lines,
        "cost": plain(outcome.cost),
        "bills": [_bill(imported) for imported in outcome.bills],
        "unknown_columns": list(outcome.unknown_columns),
        "notes": list(outcome.notes),
        "rejected": outcome.error_count,
        "errors": [
            {"line": error.line, "field": error.field, "rule": error.rule, "message": error.message}
            for error in outcome.errors
        ],
    }


def _bill(imported: Imported) -> dict[str, Any]:
    bill, old = imported.bill, imported.replaced
    return {
        "id": bill.number,
        "provider": bill.provider,
        "payer": bill.payer,
        "period": f"{bill.period:%Y-%m}",
        "lines": bill.lines,
        "cost": plain(bill.cost),
        "credits": plain(bill.credits),
        "taxes": plain(bill.taxes),
        "currency": bill.currency,
        "replaced": None if old is None else {"id": old.number, "lines": old.lines, "cost": plain(old.cost)},
    }
