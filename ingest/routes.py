"""The HTTP doors of the write path. Callers are authenticated before they get here: `request.state.principal`."""

from __future__ import annotations

import msgspec
from google.protobuf.json_format import MessageToJson
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from core.settings import Settings
from ingest.body import decompress, read_bounded, split_items
from ingest.otlp import Attribution, read_traces
from ingest.payloads import Receipt, Rejection
from ingest.pipeline import EVENTS, OTLP, Pipeline
from tenants.principal import Principal
from tenants.scope import Scope

PROTOBUF = "application/x-protobuf"
_JSON = "application/json"


class IngestRoutes:
    """The endpoints of one pipeline."""

    def __init__(self, pipeline: Pipeline, settings: Settings) -> None:
        self._pipeline = pipeline
        self._settings = settings

    async def events(self, request: Request) -> Response:
        """`POST /v1/events`: a JSON object, a JSON array or NDJSON. 200, or 207 when some were refused."""
        body = await self._body(request)
        items = split_items(body, self._settings.max_body_events)
        receipt = await self._pipeline.ingest(items, door=EVENTS, scope=_principal(request).scope)
        return _answer(receipt)

    async def traces(self, request: Request) -> Response:
        """`POST /v1/traces`: OTLP/HTTP, protobuf or JSON. 200 once read, refused spans in partial_success.

        The optional headers `X-Apportion-Tenant`, `-Team`, `-Feature` and `-Environment` attribute spans that do not
        say it themselves; `OTEL_EXPORTER_OTLP_HEADERS` can set them.
        """
        body = await self._body(request)
        content_type = request.headers.get("content-type", "").split(";")[0].strip().lower() or PROTOBUF
        scope = _principal(request).scope
        reading = await run_in_threadpool(read_traces, body, content_type, defaults=_defaults(request, scope))
        rejections = [
            Rejection(index, span.field, span.rule, span.message, span.span)
            for index, span in enumerate(reading.rejected)
        ]
        receipt = await self._pipeline.ingest(reading.calls, door=OTLP, scope=scope, rejections=rejections)
        return _export_answer(receipt, content_type)

    async def _body(self, request: Request) -> bytes:
        """The whole body, decompressed and bounded both before and after."""
        limit = self._settings.max_body_bytes
        raw = await read_bounded(request.stream(), limit)
        return decompress(raw, request.headers.get("content-encoding", ""), limit)


def _principal(request: Request) -> Principal:
    principal: Principal = request.state.principal
    return principal


def _defaults(request: Request, scope: Scope) -> Attribution:
    """What the key leaves no choice about, else what the headers say."""

    def given(name: str, allowed: str | None = None) -> str:
        header: str = request.headers.get(f"x-apportion-{name}", "")
        return allowed or header

    return Attribution(
        tenant_id=given("tenant", scope.tenant),
        team=given("team", scope.team),
        feature=given("feature"),
        environment=given("environment", scope.environment),
    )


def _export_answer(receipt: Receipt, content_type: str) -> Response:
    """An ExportTraceServiceResponse in the encoding of the request, as OTLP/HTTP asks."""
    answer = ExportTraceServiceResponse()
    if receipt.rejected:
        answer.partial_success.rejected_spans = receipt.rejected
        answer.partial_success.error_message = "; ".join(
            f"{error.event_id}: {error.field}: {error.message}" for error in receipt.errors[:10]
        )
    body = MessageToJson(answer).encode() if content_type == _JSON else answer.SerializeToString()
    return Response(body, media_type=content_type)


def _answer(receipt: Receipt) -> Response:
    status = 207 if receipt.rejected else 200
    return Response(msgspec.json.encode(receipt), status, media_type=_JSON)
