"""Everything that nobody should send, to every door of a running server: it answers, says why, and keeps count."""

from __future__ import annotations

import json
import os
import socket
from collections import Counter
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from random import Random
from typing import Any, Final

import grpc
import pytest

from tests.faults.conftest import report
from tests.faults.hostile import PROTOBUF, Attacker, Hostile
from tests.faults.product import Product
from tests.ingest.events import wire_event
from tests.servers.tether import reserved_port

REQUESTS: Final = int(os.environ.get("HOSTILE_REQUESTS", "300"))
ANSWERS: Final = {200, 207, 400, 413, 415}
RPC_ANSWERS: Final = {"OK", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "INTERNAL"}
"""INTERNAL is gRPC's own word for a message that it cannot decompress."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120 + REQUESTS // 10)]


class _Client:
    """Posts to the product and keeps the score; a connection that the server closed is opened again."""

    def __init__(self, product: Product) -> None:
        self._product = product
        self._connection = HTTPConnection("127.0.0.1", product.port, timeout=60)
        self.statuses: Counter[int] = Counter()
        self.told: Counter[str] = Counter()

    def post(self, request: Hostile) -> tuple[int, bytes]:
        key = {"authorization": f"Bearer {self._product.key}"}
        try:
            self._connection.request("POST", request.path, request.body, {**key, **request.headers})
            response = self._connection.getresponse()
            answer = response.read()
        except (OSError, HTTPException):  # refused before it was read to its end
            self._connection.close()
            self.statuses[0] += 1
            return 0, b""
        self.statuses[response.status] += 1
        self._count(request.path, response.status, answer)
        return response.status, answer

    def close(self) -> None:
        self._connection.close()

    def _count(self, path: str, status: int, answer: bytes) -> None:
        if path in {"/v1/events", "/v1/litellm"} and status in {200, 207}:
            receipt: dict[str, Any] = json.loads(answer)
            outcomes = {name: receipt[name] for name in ("accepted", "duplicate", "rejected", "spooled")}
            assert receipt["received"] == sum(outcomes.values()), receipt
            self.told.update(outcomes)


def test_hostile_bodies_at_every_door(tmp_path: Path) -> None:
    attacker = Attacker(REQUESTS)
    settings = {"max_event_age_days": 36_500, "max_event_ahead_seconds": 10**9}
    with Product(tmp_path / "product", **settings) as product, closing(_Client(product)) as client:
        for number in range(REQUESTS):
            request = attacker.request()
            status, answer = client.post(request)
            assert status in ANSWERS | {0}, (number, request.path, request.headers, request.body[:200], answer)
            assert b"nternal" not in answer, (number, request.path, answer)
            assert b"Traceback" not in answer
        _raw_noise(product)
        assert client.post(Hostile("/v1/events", json.dumps(wire_event("last")).encode()))[0] == 200
        assert client.statuses[0] < REQUESTS // 20
        report(f"{REQUESTS} hostile requests: {dict(client.statuses)}, receipts {dict(client.told)}")
        _assert_sound(product)
        sources = {name: _outcome(product, name) for name in ("accepted", "duplicate", "rejected")}
        otlp = {name: _outcome(product, name, source="otlp") for name in sources}
        assert {name: sources[name] - otlp[name] for name in sources} == {name: client.told[name] for name in sources}
        assert product.peak_megabytes < 1_500


def test_hostile_exports_over_grpc(tmp_path: Path) -> None:
    with reserved_port() as reservation:
        port = reservation.getsockname()[1]
    attacker, codes = Attacker(REQUESTS + 1), Counter[str]()
    with Product(tmp_path / "product", grpc_port=port, max_event_age_days=36_500) as product:
        assert product.get("/readyz")[0] == 200  # by then it listens for gRPC too
        metadata = (("x-api-key", product.key),)
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            for number in range(REQUESTS // 2):
                path, service = [("traces", "trace"), ("logs", "logs"), ("metrics", "metrics")][number % 3]
                method = f"/opentelemetry.proto.collector.{service}.v1.{service.capitalize()}Service/Export"
                body = attacker.body(f"/v1/{path}", PROTOBUF)
                compression = [grpc.Compression.NoCompression, grpc.Compression.Gzip][number % 2]
                code, details = _code_of(channel.unary_unary(method), body, metadata, compression)
                codes[code] += 1
                assert "nternal server error" not in details
        report(f"{REQUESTS // 2} hostile exports over gRPC: {dict(codes)}")
        assert set(codes) <= RPC_ANSWERS
        _assert_sound(product)


def _code_of(
    call: Any, body: bytes, metadata: tuple[tuple[str, str], ...], compression: grpc.Compression
) -> tuple[str, str]:
    try:
        call(body, metadata=metadata, compression=compression, timeout=60)
    except grpc.RpcError as error:
        return error.code().name, str(error.details())  # type: ignore[attr-defined]
    return "OK", ""


def _raw_noise(product: Product) -> None:
    """What is not even HTTP, or lies about its length."""
    random = Random(REQUESTS)
    head = b"POST /v1/events HTTP/1.1\r\nhost: x\r\nx-api-key: " + product.key.encode() + b"\r\n"
    for noise in (
        random.randbytes(2_000),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        head + b"content-length: -1\r\n\r\n",
        head + b"content-length: 99999999999999999999\r\n\r\n{}",
        head + b"content-length: 1e3\r\n\r\n{}",
        head + b"content-length: 10\r\n\r\n{}",
        head + b"transfer-encoding: chunked\r\n\r\nZZ\r\n{}\r\n",
        head + b"transfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n{}",
        b"GET " + b"/" * 100_000 + b" HTTP/1.1\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", product.port), timeout=5) as connection:
            connection.sendall(noise)
            connection.shutdown(socket.SHUT_WR)
            assert b" 500 " not in connection.recv(1_000)


def _outcome(product: Product, outcome: str, *, source: str = "") -> float:
    labels = rf'.*outcome="{outcome}"' + (rf',source="{source}"' if source else "")
    return product.metric(rf"apportion_ingest_outcomes_total\{{(?={labels})[^}}]*\}}")


def _assert_sound(product: Product) -> None:
    """It lives, every item is accounted for, what it says is stored is stored, and nothing surprised it."""
    assert product.get("/readyz")[0] == 200
    for name in ("ingest_unaccounted", "ingest_mismatches_total", "spool_unaccounted", "spool_events"):
        assert product.metric(f"apportion_{name}") == 0
    status = product.graphql("{ ingestStatus { counters { received accepted duplicate rejected spooled } } }")
    counters = status["ingestStatus"]["counters"]
    assert counters["received"] == sum(counters[name] for name in ("accepted", "duplicate", "rejected", "spooled"))
    everything = '{between: {start: "1900-01-01T00:00:00Z", end: "2200-01-01T00:00:00Z"}}'
    costs = product.graphql(f"{{ costs(timeRange: {everything}) {{ totals {{ operations }} }} }}")
    assert costs["costs"]["totals"]["operations"] == counters["accepted"]
    log = product.log.read_text()
    assert "unexpected error" not in log, log[-3_000:]
    assert "Traceback" not in log, log[-3_000:]
