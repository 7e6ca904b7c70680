"""GraphQL over HTTP, server-sent events, multipart and WebSocket, as one ASGI application.

    Route("/graphql", app, methods=ANY_METHOD), WebSocketRoute("/graphql", app)

Statuses follow the GraphQL over HTTP specification: a request that cannot be run (syntax, validation, variables) is 400
under application/graphql-response+json and 200 under application/json, whose readers predate the distinction; a result
with errors in it is 200 under both. Every error body is GraphQL JSON with `extensions.code`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from inspect import isawaitable
from json import JSONDecodeError
from typing import Any, Final, cast

import orjson
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.http import GraphQLHTTPResponse
from strawberry.http.streaming import HTTPStreamTransport, merge_stream_with_heartbeat
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType

from api.failures import BAD_REQUEST, log_unexpected, status_of
from api.graphql.calls import Call, Refusal, read_call, refuse_cross_site
from api.graphql.documents import PersistedQueryNotFound
from api.graphql.engine import GuardedSchema
from api.graphql.errors import INTERNAL_SERVER_ERROR, MASK, OPERATION_RESOLUTION_FAILURE
from api.graphql.graphiql import page
from api.graphql.negotiation import Answer, negotiate, wants_page
from api.graphql.streams import STREAMS, OperationTimeout, Socket, TextFrames, encode, encode_text, first_within
from core.errors import ApportionError, InvalidInput

ANY_METHOD: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
"""What to route here, so that a wrong method is refused in GraphQL JSON too."""

HEADERS: Final = {"cache-control": "private, no-store", "vary": "Accept", "x-content-type-options": "nosniff"}

GetContext = Callable[[HTTPConnection], object | Awaitable[object]]


class UnknownOperation(InvalidInput):
    """The document has no operation of the name asked for, or none at all."""

    code = OPERATION_RESOLUTION_FAILURE

    def __init__(self, name: str | None) -> None:
        super().__init__("The document has no operation." if name is None else f"There is no operation named {name!r}.")


class GraphQLApp(GraphQL[Any, None]):
    """Serves one schema. `get_context` makes every operation's context, or raises an ApportionError to refuse it.

    `timeout_seconds` bounds a query or mutation on every transport, over HTTP with the reading of its body; a
    subscription may last. `max_body_bytes` bounds a POST's body and a WebSocket message.
    """

    schema: GuardedSchema
    websocket_adapter_class = TextFrames
    graphql_transport_ws_handler_class = Socket

    def __init__(
        self,
        schema: GuardedSchema,
        *,
        get_context: GetContext,
        timeout_seconds: float = 30.0,
        max_body_bytes: int = 100_000,
        graphiql: bool = False,
        allowed_origins: Sequence[str] = (),
    ) -> None:
        super().__init__(
            schema,
            graphql_ide=None,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL,),
            connection_init_wait_timeout=timedelta(seconds=10),
            allowed_origins=allowed_origins,
        )
        self.make_context = get_context
        self.timeout_seconds = timeout_seconds
        self.max_body_bytes = max_body_bytes
        self.graphiql = graphiql

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request, or serve one WebSocket until it closes."""
        if scope["type"] == "http":
            response = await self.respond(Request(scope, receive))
            await response(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    async def respond(self, request: Request) -> Response:
        """The answer to one HTTP request, whatever goes wrong on the way."""
        answer = negotiate(request.headers.get("accept"))
        try:
            return await self._respond(request, answer)
        except ApportionError as refused:
            return _refusal(refused, answer)
        except Exception as error:  # noqa: BLE001 - the edge: the client gets an id, the log the traceback
            error_id = log_unexpected(error, f"{request.method} {request.url.path}")
            return _errors(500, MASK, answer, code=INTERNAL_SERVER_ERROR, errorId=error_id)

    async def _respond(self, request: Request, answer: Answer | None) -> Response:
        if request.method not in {"GET", "POST"}:
            raise Refusal(405, "GraphQL is served by GET and POST.", "METHOD_NOT_ALLOWED", allow="GET, POST")
        if self.graphiql and _asks_for_page(request):
            return page()
        if answer is None:
            raise Refusal(406, f"Accept {Answer.GRAPHQL} or {Answer.JSON}.", "NOT_ACCEPTABLE")
        if request.method == "GET":
            refuse_cross_site(request)
        try:
            async with asyncio.timeout(self.timeout_seconds):
                return await self._run(request, answer)
        except TimeoutError:
            raise OperationTimeout(self.timeout_seconds) from None

    async def _run(self, request: Request, answer: Answer) -> Response:
        context = await self.context_of(request)
        call = await read_call(request, self.max_body_bytes)
        query = self.schema.documents.text_of(call.query, call.extensions)
        if not query:
            raise Refusal(400, "The request has no query.")
        if answer.streams:
            return await self._stream(request.method, replace(call, query=query), context, STREAMS[answer])
        result = await self._execute(request.method, replace(call, query=query), context)
        return _json(_status(result, answer), _body(result), answer)

    async def _execute(self, method: str, call: Call, context: object) -> ExecutionResult:
        try:
            return await self.schema.execute(
                call.query,
                variable_values=dict(call.variables),
                context_value=context,
                operation_name=call.operation_name,
                operation_extensions=dict(call.extensions),
                allowed_operation_types=_operations(method) - {OperationType.SUBSCRIPTION},
            )
        except CannotGetOperationTypeError as unknown:
            raise UnknownOperation(unknown.operation_name) from None
        except InvalidOperationTypeError as refused:
            raise _wrong_operation(refused.operation_type) from None

    async def _stream(self, method: str, call: Call, context: object, transport: HTTPStreamTransport) -> Response:
        results = await self.schema.stream(
            call.query,
            variable_values=dict(call.variables),
            context_value=context,
            operation_name=call.operation_name,
            operation_extensions=dict(call.extensions),
            allowed_operation_types=transport.allowed_operation_types(_operations(method)),
        )
        bounded = self.bounded(call.query or "", call.operation_name, results)

        async def frames() -> AsyncGenerator[str, None]:
            async for result in bounded:
                yield transport.encode_next(_body(result), encode_text)
            yield transport.encode_complete()

        merged = merge_stream_with_heartbeat(
            frames,
            lambda: transport.heartbeat_message(encode_text),
            interval=transport.heartbeat_interval,
            send_initial_heartbeat=transport.send_initial_heartbeat,
        )
        return StreamingResponse(merged(), headers={**HEADERS, **_lower(transport.headers)})

    async def context_of(self, connection: HTTPConnection) -> object:
        """The context of every operation on the connection; raises ApportionError to refuse it."""
        context = self.make_context(connection)
        return await context if isawaitable(context) else context

    def bounded(
        self, query: str, operation_name: str | None, results: AsyncGenerator[Any, None]
    ) -> AsyncGenerator[Any, None]:
        """The results, the first one in time unless the operation is a subscription."""
        if self.schema.documents.is_subscription(query, operation_name):
            return results
        return first_within(self.timeout_seconds, results)

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Any:
        """None: `Socket` makes a context for each operation, once the client has introduced itself."""

    def decode_json(self, data: str | bytes) -> object:
        """A WebSocket message; JSONDecodeError, which closes the connection, when it is too long or no JSON."""
        if len(data) > self.max_body_bytes:
            raise JSONDecodeError("message too long", "", 0)
        return orjson.loads(data)


def _asks_for_page(request: Request) -> bool:
    return request.method == "GET" and "query" not in request.query_params and wants_page(request.headers.get("accept"))


def _operations(method: str) -> set[OperationType]:
    return OperationType.from_http(cast("Any", method))


def _wrong_operation(kind: OperationType) -> Refusal:
    if kind is OperationType.SUBSCRIPTION:
        return Refusal(400, "Subscriptions need a WebSocket, text/event-stream or multipart/mixed.")
    return Refusal(405, "Mutations need a POST request.", "METHOD_NOT_ALLOWED", allow="POST")


def _is_request_error(result: ExecutionResult) -> bool:
    return result.data is None and bool(result.errors) and all(error.path is None for error in result.errors or ())


def _status(result: ExecutionResult, answer: Answer) -> int:
    return BAD_REQUEST if answer is Answer.GRAPHQL and _is_request_error(result) else 200


def _body(result: ExecutionResult) -> GraphQLHTTPResponse:
    body: dict[str, Any] = {"errors": [error.formatted for error in result.errors]} if result.errors else {}
    if not _is_request_error(result):
        body["data"] = result.data
    if result.extensions:
        body["extensions"] = result.extensions
    return cast("GraphQLHTTPResponse", body)


def _refusal(refused: ApportionError, answer: Answer | None) -> Response:
    status = _status_of(refused, answer)
    response = _errors(status, str(refused), answer, code=refused.code)
    if isinstance(refused, Refusal):
        response.headers.update(refused.headers)
    if status == 401:
        response.headers["www-authenticate"] = "Bearer"
    return response


def _status_of(refused: ApportionError, answer: Answer | None) -> int:
    if isinstance(refused, Refusal):
        return refused.status
    if isinstance(refused, PersistedQueryNotFound | UnknownOperation) and answer is Answer.JSON:
        return 200
    return status_of(refused)


def _errors(status: int, message: str, answer: Answer | None, **extensions: str) -> Response:
    return _json(status, {"errors": [{"message": message, "extensions": extensions}]}, answer)


def _json(status: int, body: object, answer: Answer | None) -> Response:
    media_type = Answer.GRAPHQL if answer is Answer.GRAPHQL else Answer.JSON
    return Response(encode(body), status, HEADERS, f"{media_type}; charset=utf-8")


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
