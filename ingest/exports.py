"""What every OTLP door does with an export, whatever carried it: read it, hand it on, and say what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from google.protobuf.message import Message
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from ingest.door import OTLP, Item
from ingest.otlp import AttributeMapping, Attribution, read_traces
from ingest.otlp.ignored import Signal
from ingest.payloads import Receipt, Rejection
from ingest.pipeline import Pipeline
from tenants.scope import Scope

HEADERS: Final[Mapping[str, str]] = {
    field: f"x-apportion-{field.removesuffix('_id')}" for field in ("tenant_id", "team", "feature", "environment")
}
"""Field to the header that attributes a whole request."""

_ERRORS_TOLD: Final = 10


class Exports:
    """OTLP exports on their way into one pipeline."""

    def __init__(self, pipeline: Pipeline, mapping: AttributeMapping) -> None:
        self._pipeline = pipeline
        self._mapping = mapping

    async def traces(
        self, body: bytes, content_type: str, *, headers: Mapping[str, str], scope: Scope, sender: str = ""
    ) -> ExportTraceServiceResponse:
        """The answer to an export of traces, once its calls are durable; refused spans are in `partial_success`.

        Raises UnreadableTraces, and Unavailable when the same export should be sent again.
        """
        defaults = attribution(headers, scope)
        reading = await self._pipeline.read(read_traces, body, content_type, defaults=defaults, mapping=self._mapping)
        rejections = [
            Rejection(index, span.field, span.rule, span.message, span.span)
            for index, span in enumerate(reading.rejected, len(reading.calls))
        ]
        items: list[Item] = [*reading.calls, *rejections]
        return _answer(await self._pipeline.ingest(items, door=OTLP, scope=scope, sender=sender))

    async def ignored(self, signal: Signal, body: bytes, content_type: str) -> Message:
        """The answer to an export that is accepted and not billed. Raises UnreadableExport."""
        self._pipeline.counters.ignored[signal.name] += await self._pipeline.read(signal.count, body, content_type)
        return signal.response()


def attribution(headers: Mapping[str, str], scope: Scope) -> Attribution:
    """What the key leaves no choice about, else what the headers `X-Apportion-...` say."""
    told = {field: headers.get(header, "") for field, header in HEADERS.items()}
    fixed = {"tenant_id": scope.tenant, "team": scope.team, "environment": scope.environment}
    return Attribution(**told | {field: value for field, value in fixed.items() if value})


def _answer(receipt: Receipt) -> ExportTraceServiceResponse:
    answer = ExportTraceServiceResponse()
    if receipt.rejected:
        answer.partial_success.rejected_spans = receipt.rejected
        answer.partial_success.error_message = "; ".join(
            f"{error.event_id}: {error.field}: {error.message}" for error in receipt.errors[:_ERRORS_TOLD]
        )
    return answer
