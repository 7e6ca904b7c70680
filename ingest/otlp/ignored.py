"""OTLP metrics and logs: read far enough to answer properly, counted, and never billed.

Metrics are cumulative and name no response; logs repeat what spans say. To bill either would count calls twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import msgspec
from google.protobuf.message import DecodeError, Message
from msgspec import Struct, defstruct
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

from core.errors import InvalidInput
from ingest.otlp.encoding import JSON


class UnreadableExport(InvalidInput):
    """The body is no OTLP export of that signal, and sending it again will not help."""

    code = "UNREADABLE_EXPORT"

    def __init__(self, signal: str) -> None:
        super().__init__(f"The body is no OTLP export of {signal}.")


class _Record(Struct):
    """A log record or a metric, of which nothing is read."""


@dataclass(frozen=True)
class Signal:
    """A kind of export: its messages, and the names that lead from an export to its records."""

    name: str
    request: type[Message]
    response: type[Message]
    path: tuple[str, str, str]

    @cached_property
    def _json(self) -> msgspec.json.Decoder[Struct]:
        return msgspec.json.Decoder(_export(self.path))

    def _decode(self, body: bytes, content_type: str) -> Message | Struct:
        return self._json.decode(body) if content_type == JSON else self.request.FromString(body)

    def count(self, body: bytes, content_type: str) -> int:
        """The records in a decompressed export. Raises UnreadableExport when it is none."""
        try:
            export: Any = self._decode(body, content_type)
        except (DecodeError, msgspec.DecodeError, RecursionError):
            raise UnreadableExport(self.name) from None
        return _count([export], self.path)


def _export(path: Iterable[str]) -> type[Struct]:
    """The JSON form: objects in lists in objects, under these names."""
    inner: type[Struct] = _Record
    for name in reversed(tuple(path)):
        inner = defstruct(name, [(name, list[inner] | None, None)], rename="camel")  # type: ignore[valid-type]
    return inner


def _count(messages: Iterable[Any], path: tuple[str, ...]) -> int:
    if not path:
        return sum(1 for _ in messages)
    return sum(_count(getattr(message, path[0]) or (), path[1:]) for message in messages)


LOGS: Final = Signal(
    "logs", ExportLogsServiceRequest, ExportLogsServiceResponse, ("resource_logs", "scope_logs", "log_records")
)
METRICS: Final = Signal(
    "metrics",
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
    ("resource_metrics", "scope_metrics", "metrics"),
)
