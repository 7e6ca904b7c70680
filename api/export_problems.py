"""How the OTLP doors say what went wrong: a google.rpc.Status in the encoding of the request."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from api.auth import Endpoint
from api.failures import log_reason, log_unexpected, status_of
from core.errors import ApportionError
from ingest.otlp.encoding import JSON, PROTOBUF
from ingest.otlp.status import RETRY_AFTER_SECONDS, rpc_code, status, status_json
from ingest.routes import UnsupportedMediaType, export_type

UNAVAILABLE: Final = 503


def speaking_otlp(endpoint: Endpoint) -> Endpoint:
    """The endpoint with its errors as OTLP/HTTP asks. What nobody expected is 503, upon which exporters try again."""

    async def answered(request: Request) -> Response:
        try:
            return await endpoint(request)
        except ApportionError as error:
            log_reason(error)
            return _problem(request, error, status_of(error), str(error))
        except Exception as error:  # noqa: BLE001 - on a 500 exporters drop their data
            error_id = log_unexpected(error, f"{request.method} {request.url.path}")
            return _problem(request, error, UNAVAILABLE, f"internal server error {error_id}")

    return answered


def _problem(request: Request, error: Exception, http_status: int, message: str) -> Response:
    code, kind = rpc_code(error), _answer_type(request)
    body = status_json(code, message) if kind == JSON else status(code, message)
    headers = {"retry-after": str(RETRY_AFTER_SECONDS)} if http_status == UNAVAILABLE else {}
    if http_status == 401:
        headers["www-authenticate"] = "Bearer"
    return Response(body, http_status, headers, media_type=kind)


def _answer_type(request: Request) -> str:
    try:
        return export_type(request)
    except UnsupportedMediaType:
        return JSON if "json" in request.headers.get("content-type", "") else PROTOBUF
