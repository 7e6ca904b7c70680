"""How the REST doors say what went wrong: one status per kind of error, one JSON shape, no internals."""

from __future__ import annotations

import logging
from typing import Final
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from core.errors import ApportionError, Conflict, Forbidden, InvalidInput, NotFound, Unauthenticated, Unavailable
from ingest.body import BodyTooLarge, TooManyItems, UnsupportedEncoding

RETRY_AFTER_SECONDS: Final = 1

STATUS_OF: Final[tuple[tuple[type[ApportionError], int], ...]] = (
    (Unauthenticated, 401),
    (Forbidden, 403),
    (NotFound, 404),
    (Conflict, 409),
    (BodyTooLarge, 413),
    (TooManyItems, 413),
    (UnsupportedEncoding, 415),
    (Unavailable, 503),
    (InvalidInput, 400),
)

_logger = logging.getLogger("apportion.http")


def status_of(error: ApportionError) -> int:
    """The HTTP status that says this."""
    return next((status for kind, status in STATUS_OF if isinstance(error, kind)), 400)


def problem(status: int, code: str, message: str, **extra: str) -> JSONResponse:
    """The one shape of an error: `{"error": {"code", "message"}}`."""
    headers = {}
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    if status in {429, 503}:
        headers["retry-after"] = str(RETRY_AFTER_SECONDS)
    return JSONResponse({"error": {"code": code, "message": message, **extra}}, status, headers)


async def explain(_request: Request, error: Exception) -> Response:
    """The answer to an error that we raised on purpose."""
    assert isinstance(error, ApportionError)
    return problem(status_of(error), error.code, str(error))


async def conceal(request: Request, error: Exception) -> Response:
    """The answer to an error that nobody expected: an id, and 503, which tells exporters to keep and resend.

    OpenTelemetry exporters drop their data on 500 and retry on 503, so internal trouble must never be a 500.
    """
    error_id = uuid4().hex
    _logger.error("unexpected error %s at %s %s", error_id, request.method, request.url.path, exc_info=error)
    return problem(503, "INTERNAL_SERVER_ERROR", "internal server error", errorId=error_id)
