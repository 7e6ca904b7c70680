"""OTLP over gRPC: the same exports, keys and answers as over HTTP, on a port of its own.

Needs the optional extra `grpc`; import this module only when the door is asked for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Self

import grpc
import grpc.aio
from google.protobuf.message import Message

from api.auth import identify
from api.failures import log_reason, log_unexpected
from api.services import Services
from core.errors import ApportionError, Unavailable
from ingest.admission import Admission
from ingest.exports import Exports
from ingest.otlp.encoding import PROTOBUF
from ingest.otlp.ignored import LOGS, METRICS, Signal
from ingest.otlp.status import RpcCode, rpc_code, status
from tenants.principal import Permission, Principal

GRACE_SECONDS: Final = 30
_GRPC_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}

Context = grpc.aio.ServicerContext[bytes, Message]
Export = Callable[[Mapping[str, str], Principal], Awaitable[Message]]


class GrpcPortInUse(Unavailable):
    """Somebody else listens there."""

    code = "PORT_IN_USE"

    def __init__(self, address: str) -> None:
        super().__init__(f"cannot listen on {address} for OTLP over gRPC; choose another APPORTION_GRPC_PORT, or 0")


class OtlpGrpc:
    """A gRPC server on the pipeline of `exports`; it serves while its context is entered."""

    def __init__(self, services: Services, exports: Exports, admission: Admission) -> None:
        self._services = services
        self._exports = exports
        self._admission = admission
        self._server: grpc.aio.Server | None = None

    async def __aenter__(self) -> Self:
        settings = self._services.settings
        self._server = grpc.aio.server(
            handlers=[
                _service("trace.v1.TraceService", self._traces),
                _service("logs.v1.LogsService", self._ignoring(LOGS)),
                _service("metrics.v1.MetricsService", self._ignoring(METRICS)),
            ],
            options=[("grpc.max_receive_message_length", settings.max_body_bytes), ("grpc.so_reuseport", 0)],
        )
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        address = f"{host}:{settings.grpc_port}"
        try:
            self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise GrpcPortInUse(address) from error
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Finish the exports that have arrived, then stop."""
        assert self._server is not None
        await self._server.stop(GRACE_SECONDS)

    async def _traces(self, body: bytes, context: Context) -> Message:
        async def export(headers: Mapping[str, str], caller: Principal) -> Message:
            return await self._exports.traces(body, PROTOBUF, headers=headers, scope=caller.scope, sender=caller.name)

        return await self._answer(body, export, context)

    def _ignoring(self, signal: Signal) -> Callable[[bytes, Context], Awaitable[Message]]:
        async def ignore(body: bytes, context: Context) -> Message:
            return await self._answer(body, lambda *_: self._exports.ignored(signal, body, PROTOBUF), context)

        return ignore

    async def _answer(self, body: bytes, export: Export, context: Context) -> Message:
        headers = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        try:
            caller = await identify(headers, self._services)
            caller.require(Permission.SEND)
            async with self._admission.hold() as hold:
                await hold.wait_for(len(body))
                return await export(headers, caller)
        except ApportionError as error:
            log_reason(error)
            code, message = rpc_code(error), str(error)
        except Exception as error:  # noqa: BLE001 - UNAVAILABLE makes exporters try again; anything else loses the data
            code, message = rpc_code(error), f"internal server error {log_unexpected(error, 'OTLP over gRPC')}"
        return await _abort(context, code, message)


def _service(name: str, export: Callable[[bytes, Context], Awaitable[Message]]) -> grpc.GenericRpcHandler:
    """The service with its one method. Requests stay bytes: the reader decodes them, and refuses what it cannot."""
    method: grpc.RpcMethodHandler[bytes, Message] = grpc.unary_unary_rpc_method_handler(
        export, response_serializer=lambda answer: answer.SerializeToString()
    )
    return grpc.method_handlers_generic_handler(f"opentelemetry.proto.collector.{name}", {"Export": method})


async def _abort(context: Context, code: RpcCode, message: str) -> Message:
    details = ("grpc-status-details-bin", status(code, message))
    await context.abort(_GRPC_CODES[code], message, trailing_metadata=(details,))
    raise AssertionError("abort always raises")
