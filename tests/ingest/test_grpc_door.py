"""OTLP over gRPC, as the stock exporter meets it, and as one that does everything wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult

from api.doors import Doors, MissingExtra
from api.otlp_grpc import GrpcPortInUse
from api.services import Services
from ingest import admission
from tenants.principal import Role
from tests.app import Api, running_api
from tests.engines import EmbeddedClickHouse, fresh_clickhouse_url
from tests.ingest.otlp_spans import chat, export
from tests.ingest.statuses import read_status
from tests.servers.clickhouse import ClickHouseServer
from tests.servers.tether import reserved_port

ALWAYS = {"max_event_age_days": 36_500, "max_event_ahead_seconds": 10**9}
EVER = '{between: {start: "2020-01-01T00:00:00Z", end: "2100-01-01T00:00:00Z"}}'
TRACES = "trace.v1.TraceService"
Metadata = tuple[tuple[str, str], ...]


def free_port() -> int:
    """A port that nobody listens on; gRPC cannot share it with a reservation."""
    with reserved_port() as reservation:
        port: int = reservation.getsockname()[1]
    return port


@contextmanager
def running_grpc(url: str, directory: Path, **settings: Any) -> Iterator[tuple[Api, int]]:
    port = free_port()
    with running_api(url, directory, grpc_port=port, **ALWAYS, **settings) as api:
        yield api, port


@pytest.fixture
def door(embedded_clickhouse: EmbeddedClickHouse, tmp_path: Path) -> Iterator[tuple[Api, int]]:
    """The application with the door open, and the port."""
    with (
        fresh_clickhouse_url(embedded_clickhouse) as url,
        running_grpc(url, tmp_path, max_body_bytes=100_000) as running,
    ):
        yield running


def totals(api: Api, **where: Any) -> dict[str, int]:
    measures = "operations inputTokens outputTokens"
    query = f"query($where: CostFilter) {{ costs(timeRange: {EVER}, where: $where) {{ totals {{ {measures} }} }} }}"
    found: dict[str, int] = api.data(query, where=where)["costs"]["totals"]
    return found


def export_chats(exporter: OTLPSpanExporter, count: int) -> SpanExportResult:
    """Makes that many finished spans with the real SDK, and exports them."""
    tracer = TracerProvider(resource=Resource({"service.name": "shop"})).get_tracer("test")
    spans = []
    for number in range(count):
        with tracer.start_as_current_span("chat gpt-4o") as span:
            span.set_attributes({"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai"})
            span.set_attributes({"gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": 100 + number})
            span.set_attribute("gen_ai.usage.output_tokens", 20)
        spans.append(span)
    return exporter.export(spans)


@pytest.mark.parametrize("header", ["authorization", "x-api-key"])
@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_the_stock_exporter_is_understood(door: tuple[Api, int], header: str, compression: grpc.Compression) -> None:
    api, port = door
    key = api.make_key(Role.INGEST)
    headers = ((header, f"Bearer {key}" if header == "authorization" else key), ("x-apportion-feature", "search"))
    exporter = OTLPSpanExporter(f"http://127.0.0.1:{port}", insecure=True, headers=headers, compression=compression)
    assert export_chats(exporter, 10) is SpanExportResult.SUCCESS
    exporter.shutdown()
    assert totals(api, feature={"eq": "search"}) == {"operations": 10, "inputTokens": 1045, "outputTokens": 200}


Call = Callable[..., bytes]


@contextmanager
def calling(port: int, service: str = TRACES) -> Iterator[Call]:
    """The method of a service, without any of an exporter's courtesy."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel.unary_unary(f"/opentelemetry.proto.collector.{service}/Export")


def refusal(call: Call, body: bytes, metadata: Metadata, **options: Any) -> tuple[grpc.StatusCode, bytes]:
    """The code of a call that must fail, and its serialized google.rpc.Status, if any."""
    with pytest.raises(grpc.RpcError) as failed:
        call(body, metadata=metadata, **options)
    error: Any = failed.value
    details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
    assert not details or read_status(details).message == error.details()
    assert not details or read_status(details).code == error.code().value[0]
    return error.code(), details


def test_refusals_say_what_an_exporter_needs_to_know(door: tuple[Api, int]) -> None:
    api, port = door
    mine, viewer = (("x-api-key", api.key),), (("x-api-key", api.make_key(Role.VIEWER)),)
    good, large = export(chat()), export(chat({"app.x": "y" * 100_000}))
    with calling(port) as call:
        assert refusal(call, good, ())[0] is grpc.StatusCode.UNAUTHENTICATED
        assert refusal(call, good, (("x-api-key", "apn_00000000_nonsense"),))[0] is grpc.StatusCode.UNAUTHENTICATED
        assert refusal(call, good, viewer)[0] is grpc.StatusCode.PERMISSION_DENIED
        assert refusal(call, b"\xff\xff", mine)[0] is grpc.StatusCode.INVALID_ARGUMENT
        # Without a RetryInfo, exporters do not send these again.
        assert refusal(call, large, mine) == (grpc.StatusCode.RESOURCE_EXHAUSTED, b"")
        assert refusal(call, large, mine, compression=grpc.Compression.Gzip)[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert totals(api)["operations"] == 0
        assert call(good, metadata=mine) == b""
    assert totals(api)["operations"] == 1


def test_poison_and_foreign_spans_are_told_and_their_neighbours_kept(door: tuple[Api, int]) -> None:
    api, port = door
    key = api.make_key(Role.INGEST, tenant="acme")
    body = export(chat(), chat({"gen_ai.usage.input_tokens": -1}), chat({"tenant.id": "other"}))
    with calling(port) as call:
        answer = ExportTraceServiceResponse.FromString(call(body, metadata=(("x-api-key", key),)))
    assert answer.partial_success.rejected_spans == 2
    assert "input_tokens" in answer.partial_success.error_message
    assert totals(api, tenant={"eq": "acme"})["operations"] == 1
    assert api.services.pipeline.counters.total("received") == 3


@pytest.mark.parametrize("signal", ["logs", "metrics"])
def test_other_signals_are_accepted_and_not_billed(door: tuple[Api, int], signal: str) -> None:
    api, port = door
    fixtures = Path(__file__).parents[1] / "fixtures" / "signals"
    entries = json.loads((fixtures / "index.json").read_text())["files"]
    name = next(entry["file"] for entry in entries if entry["signal"] == signal)
    service = {"logs": "logs.v1.LogsService", "metrics": "metrics.v1.MetricsService"}[signal]
    with calling(port, service) as call:
        assert call((fixtures / name).read_bytes(), metadata=(("x-api-key", api.key),)) == b""
        assert refusal(call, b"\xff\xff", (("x-api-key", api.key),))[0] is grpc.StatusCode.INVALID_ARGUMENT
    assert api.services.pipeline.counters.ignored[signal] > 0
    assert api.services.pipeline.counters.total("received") == 0


def test_exports_wait_for_room_like_those_over_http(
    embedded_clickhouse: EmbeddedClickHouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "PATIENCE_SECONDS", 0.01)
    bodies = [export(*(chat({"app.number": f"{export_}.{n}"}) for n in range(200))) for export_ in range(8)]
    with (
        fresh_clickhouse_url(embedded_clickhouse) as url,
        running_grpc(url, tmp_path, ingest_body_bytes=len(bodies[0])) as (api, port),
        calling(port) as call,
        ThreadPoolExecutor(8) as threads,
    ):
        mine = (("x-api-key", api.key),)
        attempts = [threads.submit(call, body, metadata=mine) for body in bodies]
        errors = [error for attempt in attempts if (error := attempt.exception()) is not None]
        assert errors
        for error in errors:
            assert isinstance(error, grpc.RpcError)
            assert error.code() is grpc.StatusCode.UNAVAILABLE  # type: ignore[attr-defined]
            assert "too many bytes" in error.details()  # type: ignore[attr-defined]
        assert totals(api)["operations"] == 200 * (8 - len(errors))


def test_an_unknown_service_is_not_implemented(door: tuple[Api, int]) -> None:
    api, port = door
    with calling(port, "profiles.v1.ProfilesService") as call:
        assert refusal(call, b"", (("x-api-key", api.key),))[0] is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.slow
def test_a_store_that_is_away_is_worth_a_retry_and_the_exporter_retries(tmp_path: Path) -> None:
    with (
        ClickHouseServer(tmp_path / "clickhouse") as server,
        running_grpc(server.url("apportion"), tmp_path, spool_max_bytes=0) as (api, port),
    ):
        mine = (("x-api-key", api.key),)
        server.kill()
        with calling(port) as call:
            code, details = refusal(call, export(chat()), mine)
        assert code is grpc.StatusCode.UNAVAILABLE
        (detail,) = map(AnyMessage.FromString, read_status(details).details)
        assert (detail.type_url, detail.value) == ("type.googleapis.com/google.rpc.RetryInfo", b"\x0a\x02\x08\x01")
        exporter = OTLPSpanExporter(f"http://127.0.0.1:{port}", insecure=True, headers=mine, timeout=20)
        server.start()
        assert export_chats(exporter, 3) is SpanExportResult.SUCCESS
        exporter.shutdown()
        assert totals(api)["operations"] == 3


def test_a_port_in_use_stops_the_start_with_a_sentence(
    door: tuple[Api, int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    api, port = door
    url = api.services.settings.clickhouse_url
    with (
        pytest.raises(GrpcPortInUse, match=rf"cannot listen on 127.0.0.1:{port} for OTLP over gRPC"),
        running_api(url, tmp_path_factory.mktemp("second"), grpc_port=port),
    ):
        pass


def test_without_the_extra_the_setting_is_refused_with_a_sentence(
    embedded_api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "api.otlp_grpc")
    monkeypatch.setitem(sys.modules, "grpc", None)  # what Python takes for a package that is not there
    settings = embedded_api.services.settings.model_copy(update={"grpc_port": 4317, "data_dir": tmp_path / "other"})
    services = Services(settings)
    with pytest.raises(
        MissingExtra, match=r"^APPORTION_GRPC_PORT needs the extra 'grpc': pip install 'apportion\[grpc]'$"
    ):
        Doors(services)
    services.release()
