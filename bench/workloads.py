"""What clients do: what they post where, over how many connections, and how much of it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from bench.spans import export
from ingest.payloads import ENCODER, EventPayload, Receipt

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Workload:
    """One way to send events: bodies of `events`, over `connections` side by side, made and kept in chunks.

    `decode` is the least that anybody must do with a body, and `insert_rows` how many rows an insert can have at best:
    together they are the limit. `accepted` says of an answer how many events of how many sent were new and are durable.
    """

    name: str
    unit: str
    path: str
    content_type: str
    events: int
    connections: int
    chunk_events: int
    chunks_a_round: int
    insert_rows: int
    aim_per_second: int
    encode: Callable[[Sequence[EventPayload]], bytes]
    decode: Callable[[bytes], object]
    accepted: Callable[[bytes, int], int]


def _array(body: bytes) -> Any:
    return msgspec.json.decode(body)


def _span_events(events: Sequence[EventPayload]) -> bytes:
    return export(events)


def _accepted(answer: bytes, _sent: int) -> int:
    return msgspec.json.decode(answer, type=Receipt).accepted


def _accepted_spans(answer: bytes, sent: int) -> int:
    return sent - ExportTraceServiceResponse.FromString(answer).partial_success.rejected_spans


JSON_ARRAYS: Final = Workload(
    name="ingest, JSON",
    unit="events/s",
    path="/v1/events",
    content_type=JSON,
    events=500,
    connections=16,
    chunk_events=10_000,
    chunks_a_round=4,
    insert_rows=10_000,
    aim_per_second=20_000,
    encode=ENCODER.encode,
    decode=_array,
    accepted=_accepted,
)
SPANS: Final = Workload(
    name="ingest, OTLP",
    unit="spans/s",
    path="/v1/traces",
    content_type=PROTOBUF,
    events=512,
    connections=16,
    chunk_events=10_240,
    chunks_a_round=2,
    insert_rows=10_240,
    aim_per_second=8_000,
    encode=_span_events,
    decode=ExportTraceServiceRequest.FromString,
    accepted=_accepted_spans,
)
SINGLES: Final = Workload(
    name="ingest, single events",
    unit="events/s",
    path="/v1/events",
    content_type=JSON,
    events=1,
    connections=16,
    chunk_events=3_200,
    chunks_a_round=1,
    insert_rows=16,
    aim_per_second=1_500,
    encode=ENCODER.encode,
    decode=_array,
    accepted=_accepted,
)
WORKLOADS: Final = (JSON_ARRAYS, SPANS, SINGLES)
