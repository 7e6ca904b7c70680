"""The HTTP doors of the write path.

Before a request gets here its caller is authenticated, `request.state.principal`, and it has a hold on memory for its
body, `request.state.hold`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypedDict, TypeVar

import msgspec
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import Response

from core.errors import Unsupported
from core.settings import Settings
from ingest.body import read_events, split_items
from ingest.door import EVENTS, LITELLM
from ingest.exports import Exports, attribution
from ingest.litellm import read_payloads
from ingest.otlp import AttributeMapping
from ingest.otlp.encoding import JSON, PROTOBUF
from ingest.otlp.ignored import LOGS, METRICS, Signal
from ingest.payloads import Receipt
from ingest.pipeline import Pipeline
from ingest.reception import receive
from tenants.principal import Principal
from tenants.scope import Scope

T = TypeVar("T")

_SHORT_BYTES: Final = 100_000
"""So many are read in less than a millisecond."""

OTLP_TYPES: Final = (PROTOBUF, JSON)


class UnsupportedMediaType(Unsupported):
    """The export is neither protobuf nor JSON."""

    def __init__(self, content_type: str) -> None:
        super().__init__(f"Content-Type {content_type!r} is not OTLP; send {PROTOBUF} or {JSON}")


class IngestRoutes:
    """The endpoints of one pipeline."""

    def __init__(self, pipeline: Pipeline, settings: Settings, mapping: AttributeMapping, exports: Exports) -> None:
        self._pipeline = pipeline
        self._settings = settings
        self._mapping = mapping
        self._exports = exports

    async def events(self, request: Request) -> Response:
        """`POST /v1/events`: a JSON object, a JSON array or NDJSON. 200, or 207 when some were refused."""
        items = await self._items(read_events, await self._body(request))
        receipt = await self._pipeline.ingest(items, door=EVENTS, **_sender(request))
        return _receipt(receipt, 207 if receipt.rejected else 200)

    async def litellm(self, request: Request) -> Response:
        """`POST /v1/litellm`: what LiteLLM's `generic_api` callback sends, as a JSON array, NDJSON or one object.

        200 with a receipt whatever was refused: LiteLLM drops what it is told to send again.
        """
        items, sender = await self._items(split_items, await self._body(request)), _sender(request)
        defaults = attribution(request.headers, sender["scope"])
        calls = await self._pipeline.read(read_payloads, items, defaults=defaults, mapping=self._mapping)
        return _receipt(await self._pipeline.ingest(calls, door=LITELLM, **sender))

    async def traces(self, request: Request) -> Response:
        """`POST /v1/traces`: OTLP/HTTP, protobuf or JSON. 200 once durable, refused spans in partial_success.

        The optional headers `X-Apportion-Tenant`, `-Team`, `-Feature` and `-Environment` attribute spans that do not
        say it themselves; `OTEL_EXPORTER_OTLP_HEADERS` can set them.
        """
        kind = export_type(request)
        body = await self._body(request)
        answer = await self._exports.traces(body, kind, headers=request.headers, **_sender(request))
        return _export_answer(answer, kind)

    async def logs(self, request: Request) -> Response:
        """`POST /v1/logs`: OTLP/HTTP, accepted and not billed: spans say the same."""
        return await self._ignored(request, LOGS)

    async def metrics(self, request: Request) -> Response:
        """`POST /v1/metrics`: OTLP/HTTP, accepted and not billed: sums name no call."""
        return await self._ignored(request, METRICS)

    async def _ignored(self, request: Request, signal: Signal) -> Response:
        kind = export_type(request)
        return _export_answer(await self._exports.ignored(signal, await self._body(request), kind), kind)

    async def _items(self, read: Callable[[bytes, int], Sequence[T]], body: bytes) -> Sequence[T]:
        """What the body holds. One that takes long to read is read where others are prepared."""
        if len(body) <= _SHORT_BYTES:
            return read(body, self._settings.max_body_events)
        return await self._pipeline.read(read, body, self._settings.max_body_events)

    async def _body(self, request: Request) -> bytes:
        return await receive(request, self._settings.max_body_bytes)


def export_type(request: Request) -> str:
    """The encoding of an export, protobuf when the request does not say. Raises UnsupportedMediaType."""
    given: str = request.headers.get("content-type", "")
    kind = given.partition(";")[0].strip().lower() or PROTOBUF
    if kind not in OTLP_TYPES:
        raise UnsupportedMediaType(given)
    return kind


class Sender(TypedDict):
    """Who sends, as far as a pipeline asks."""

    scope: Scope
    sender: str


def _sender(request: Request) -> Sender:
    principal: Principal = request.state.principal
    return Sender(scope=principal.scope, sender=principal.name)


def _export_answer(answer: Message, kind: str) -> Response:
    """In the encoding of the request, as OTLP/HTTP asks."""
    body = MessageToJson(answer).encode() if kind == JSON else answer.SerializeToString()
    return Response(body, media_type=kind)


def _receipt(receipt: Receipt, status: int = 200) -> Response:
    return Response(msgspec.json.encode(receipt), status, media_type=JSON)
