"""Many results over one connection: server-sent events, multipart and graphql-transport-ws."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from typing import Any, Final, Protocol, cast

import orjson
from graphql import GraphQLError
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocketDisconnect
from strawberry.asgi import ASGIWebSocketAdapter
from strawberry.http.exceptions import WebSocketDisconnected
from strawberry.http.streaming import HTTPStreamTransport, MultipartSubscriptionTransport, SSETransport
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler, Operation
from strawberry.types import ExecutionResult

from api.failures import log_unexpected
from api.graphql.errors import MASK
from api.graphql.negotiation import Answer
from core.errors import ApportionError, TimedOut

OPTIONS: Final = orjson.OPT_UTC_Z

BAD_MESSAGE: Final = 4400
FORBIDDEN: Final = 4403
INTERNAL_ERROR: Final = 4500

MAX_REASON: Final = 123
"""Bytes a close frame has room for."""


class OperationTimeout(TimedOut):
    """The operation was stopped because it ran longer than it may."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"The operation took longer than {seconds:g} seconds and was stopped.")


class EventStream(SSETransport):
    """Events end in LF: some clients split on it alone and never see the end of a CRLF event."""

    def encode_event(self, event: str, data: str | None = None) -> str:
        """One event; its data is a single line of JSON."""
        return f"event: {event}\ndata: {data or ''}\n\n"

    def encode_comment(self, comment: str) -> str:
        """A line clients ignore, which keeps the connection alive."""
        return f": {comment}\n\n"


STREAMS: Final[dict[Answer, HTTPStreamTransport]] = {
    Answer.EVENT_STREAM: EventStream(),
    Answer.MULTIPART: MultipartSubscriptionTransport(),
}


def encode(value: object) -> bytes:
    """The value as JSON, times with their zone (UTC as Z)."""
    return orjson.dumps(value, option=OPTIONS)


def encode_text(value: object) -> str:
    """What `encode` gives, as text."""
    return encode(value).decode()


async def first_within(seconds: float, results: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
    """The results, or one error when the first takes longer than `seconds`; the operation is then cancelled."""
    async with aclosing(results):
        try:
            async with asyncio.timeout(seconds):
                first = await anext(results, None)
        except TimeoutError:
            timeout = OperationTimeout(seconds)
            first = ExecutionResult(data=None, errors=[GraphQLError(str(timeout), extensions={"code": timeout.code})])
        if first is not None:
            yield first
        async for result in results:
            yield result


class SocketView(Protocol):
    """What a socket needs of the application it belongs to."""

    def context_of(self, connection: HTTPConnection) -> Awaitable[object]:
        """The context of every operation on the connection; raises ApportionError to refuse it."""

    def bounded(
        self, query: str, operation_name: str | None, results: AsyncGenerator[Any, None]
    ) -> AsyncGenerator[Any, None]:
        """The results with the timeout that the operation has."""


class TextFrames(ASGIWebSocketAdapter):
    """Messages are text frames, which is all that graphql-transport-ws clients read."""

    async def send_json(self, message: object) -> None:
        """Send one message; WebSocketDisconnected when the client is gone."""
        try:
            await self.ws.send_text(encode_text(message))
        except WebSocketDisconnect as gone:
            raise WebSocketDisconnected from gone


class Socket(BaseGraphQLTransportWSHandler[Any, None]):
    """One graphql-transport-ws connection. Every operation on it gets a context of its own, as over HTTP."""

    connection: HTTPConnection

    async def handle_message(self, message: Any) -> None:
        """Answer one message; a malformed one closes the connection with 4400."""
        if (problem := problem_of(message)) is not None:
            await self.handle_invalid_message(problem)
        else:
            await super().handle_message(message)

    async def handle_connection_init(self, message: Any) -> None:
        """Acknowledge the connection of a caller who may have a context; close it with 4403 otherwise."""
        if not self.connection_init_received:
            self.connection = self._introduced(message.get("payload"))
        if self.connection_init_received or await self._renew_context():
            await super().handle_connection_init(message)

    async def handle_subscribe(self, message: Any) -> None:
        """Start one operation, unless the caller's key was withdrawn in the meantime."""
        if not self.connection_acknowledged or await self._renew_context():
            await super().handle_subscribe(message)

    async def _renew_context(self) -> bool:
        view = cast("SocketView", self.view)
        try:
            self.context = await view.context_of(self.connection)
        except ApportionError as refused:
            await self.websocket.close(FORBIDDEN, _reason(str(refused)))
            return False
        except Exception as error:  # noqa: BLE001 - the client learns that it failed, the log learns why
            error_id = log_unexpected(error, "the context of a WebSocket")
            await self.websocket.close(INTERNAL_ERROR, f"{MASK} {error_id}")
            return False
        return True

    async def _send_result_stream(self, operation: Operation[Any, None], result_source: Any) -> None:
        view = cast("SocketView", self.view)
        results = view.bounded(operation.query, operation.operation_name, result_source)
        await super()._send_result_stream(operation, results)

    def _introduced(self, payload: object) -> HTTPConnection:
        # Browsers cannot set headers on a WebSocket, so clients name them in the payload: get_context sees one form.
        socket = cast("TextFrames", self.websocket).ws
        return HTTPConnection({**socket.scope, "headers": [*_headers_in(payload), *socket.scope["headers"]]})


def problem_of(message: Any) -> str | None:
    """What is wrong with the shape of a client's message, or None."""
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        return "A message must be a JSON object with a type"
    if message["type"] in {"subscribe", "complete"} and not isinstance(message.get("id"), str):
        return "The message needs an id"
    return _problem_of_payload(message.get("payload")) if message["type"] == "subscribe" else None


def _problem_of_payload(payload: Any) -> str | None:
    if not isinstance(payload, dict) or not isinstance(payload.get("query"), str):
        return "The payload needs a query"
    if not isinstance(payload.get("variables"), dict | None):
        return "The variables must be an object or null"
    return (
        None if isinstance(payload.get("operationName"), str | None) else "The operationName must be a string or null"
    )


def _headers_in(payload: object) -> list[tuple[bytes, bytes]]:
    given = payload if isinstance(payload, dict) else {}
    texts = {str(name).lower(): value for name, value in given.items() if isinstance(value, str)}
    authorization = texts.get("authorization")
    return [(b"authorization", authorization.encode("latin-1", "replace"))] if authorization else []


def _reason(sentence: str) -> str:
    return sentence.encode()[:MAX_REASON].decode(errors="ignore")
