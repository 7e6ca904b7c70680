"""OTLP/HTTP traces -> wire events: `table` declares what clients send, the engine around it reads that and no more."""

from attribution.event import UNATTRIBUTED
from ingest.otlp.attribution import Attribution
from ingest.otlp.encoding import UnreadableTraces
from ingest.otlp.mapping import DEFAULT, AttributeMapping
from ingest.otlp.reader import (
    RejectedSpan,
    TraceReading,
    read_traces,
)

__all__ = [
    "DEFAULT",
    "UNATTRIBUTED",
    "AttributeMapping",
    "Attribution",
    "RejectedSpan",
    "TraceReading",
    "UnreadableTraces",
    "read_traces",
]
