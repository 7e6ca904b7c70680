"""How the REST doors say what went wrong: one JSON shape, no internals."""

from __future__ import annotations

from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api.failures import log_reason, log_unexpected, status_of
from core.errors import ApportionError

RETRY_AFTER_SECONDS: Final = 1


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
    log_reason(error)
    return problem(status_of(error), error.code, str(error))


async def refuse(_request: Request, error: Exception) -> Response:
    """The answer to a path or method that is not served."""
    assert isinstance(error, HTTPException)
    codes = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}
    response = problem(error.status_code, codes.get(error.status_code, "BAD_REQUEST"), error.detail)
    response.headers.update(error.headers or {})
    return response


async def conceal(request: Request, error: Exception) -> Response:
    """The answer to an error that nobody expected: an id, and 503, which tells exporters to keep and resend.

    OpenTelemetry exporters drop their data on 500 and retry on 503, so internal trouble must never be a 500.
    """
    error_id = log_unexpected(error, f"{request.method} {request.url.path}")
    return problem(503, "INTERNAL_SERVER_ERROR", "internal server error", errorId=error_id)
