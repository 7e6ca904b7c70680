"""The doors through which usage comes in: their paths, what they ask of a caller, and the one that is optional."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, nullcontext

from starlette.routing import Route

from api.auth import Endpoint, guarded
from api.export_problems import speaking_otlp
from api.services import Services
from core.errors import NotFound
from ingest.admission import Admission
from ingest.deletion import Deletion
from ingest.exports import Exports
from ingest.otlp.mapping import configured
from ingest.routes import IngestRoutes
from tenants.principal import Permission


class MissingExtra(NotFound):
    """A setting asks for what only an optional extra can do, and that is not installed."""

    code = "MISSING_EXTRA"

    def __init__(self, setting: str, extra: str) -> None:
        super().__init__(f"{setting} needs the extra {extra!r}: pip install 'apportion[{extra}]'")


class Doors:
    """The doors of one process. Raises UnusableMapping or MissingExtra where the settings ask for the impossible."""

    def __init__(self, services: Services) -> None:
        settings = services.settings
        mapping = configured(settings.otlp_attributes, settings.otlp_tags)
        exports = Exports(services.pipeline, mapping)
        self._services = services
        self.admission = Admission(settings.ingest_body_bytes)
        self._http = IngestRoutes(services.pipeline, settings, mapping, exports)
        self._deletion = Deletion(services.store, services.database)
        self.grpc = _grpc(services, exports, self.admission)
        """OTLP over gRPC while it is entered; nothing when the setting is off."""

    def routes(self) -> list[Route]:
        """The HTTP doors. Each needs a key that may send; to delete, one that may administer."""
        ours = {"/v1/events": self._http.events, "/v1/litellm": self._http.litellm}
        otlp = {"/v1/traces": self._http.traces, "/v1/logs": self._http.logs, "/v1/metrics": self._http.metrics}
        endpoints = {path: self._guarded(endpoint) for path, endpoint in ours.items()}
        endpoints |= {path: speaking_otlp(self._guarded(endpoint)) for path, endpoint in otlp.items()}
        delete = guarded(self._deletion.delete, self._services, Permission.ADMIN)
        return [
            *(Route(path, endpoint, methods=["POST"]) for path, endpoint in endpoints.items()),
            Route("/v1/events/{event_id:path}", delete, methods=["DELETE"]),
        ]

    def _guarded(self, endpoint: Endpoint) -> Endpoint:
        return guarded(self.admission.holding(endpoint), self._services, Permission.SEND)


def _grpc(services: Services, exports: Exports, admission: Admission) -> AbstractAsyncContextManager[object]:
    if not services.settings.grpc_port:
        return nullcontext()
    try:
        from api.otlp_grpc import OtlpGrpc  # noqa: PLC0415 - grpcio is optional
    except ModuleNotFoundError as error:
        raise MissingExtra("APPORTION_GRPC_PORT", "grpc") from error
    return OtlpGrpc(services, exports, admission)
