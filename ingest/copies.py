"""Reports of one call, told by several layers or in several exports, become one event. Nothing is ever added up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

import msgspec

from ingest.payloads import EventPayload

Identity = Literal["response", "span"]
"""What an event id names: a provider's response, which all copies share, or a span, which they do not."""

_TOKENS: Final = tuple(name for name in EventPayload.__struct_fields__ if name.endswith("_tokens"))
_DECIDED: Final = frozenset(
    {"event_id", "parent_event_id", "version", "kind", "start_time", "duration_ms", "workload", "status"}
    | {"error_type", "attempt", "cache_hit", "fallback", "tags"}
)
_PICKED: Final = tuple(name for name in EventPayload.__struct_fields__ if name not in _DECIDED)
_SAYS_MORE: Final = {"ok": 0, "error": 1}


class Report(Protocol):
    """One telling of a call."""

    @property
    def event(self) -> EventPayload:
        """What was told."""
        ...

    @property
    def identity(self) -> Identity:
        """What the event's id names."""
        ...

    @property
    def implied(self) -> frozenset[str]:
        """The fields that nobody said about this very call: process-wide, or defaults."""
        ...


@dataclass(frozen=True, slots=True)
class Copy:
    """A report, with the addresses (`trace:span`) of the spans that told it and of the span around them."""

    event: EventPayload
    identity: Identity
    implied: frozenset[str] = frozenset()
    spans: tuple[str, ...] = ()
    parent: str = ""


def united(reports: Sequence[Report]) -> EventPayload:
    """The event of the best informed report, completed from the others; `reports` are in order, outermost first."""
    if len(reports) == 1:
        return reports[0].event
    named = [report for report in reports if report.identity == "response"] or reports
    informed = sorted(reports, key=_informedness, reverse=True)
    events = [report.event for report in reports]
    fields: dict[str, Any] = {name: _pick(informed, name) for name in _PICKED}
    fields |= {
        "event_id": named[0].event.event_id,
        "parent_event_id": events[0].parent_event_id,
        "start_time": min(event.start_time for event in events),
        "duration_ms": max((event.duration_ms for event in events if event.duration_ms is not None), default=None),
        "attempt": max(event.attempt for event in events),
        "workload": "batch" if any(event.workload == "batch" for event in events) else "interactive",
        "cache_hit": any(event.cache_hit for event in events),
        "fallback": any(event.fallback for event in events),
        "tags": {key: value for report in reversed(informed) for key, value in report.event.tags.items()},
    }
    fields |= _ending([report.event for report in named], answered=named[0].identity == "response")
    return msgspec.structs.replace(informed[0].event, **fields)


def still_implied(reports: Iterable[Report]) -> frozenset[str]:
    """The fields of the united event that nobody has said yet."""
    return frozenset.intersection(*(report.implied for report in reports))


def informedness(event: EventPayload) -> int:
    """How much an event knows of its call, 0 to 7: tokens weigh most, then how they split, then a reported cost."""
    known = event.input_tokens is not None or event.output_tokens is not None
    split = event.cache_read_input_tokens is not None or event.cache_creation_input_tokens is not None
    return 4 * known + 2 * split + (event.cost is not None)


def _informedness(report: Report) -> tuple[int, int]:
    counts = [getattr(report.event, name) for name in _TOKENS]
    return sum(1 for count in counts if count), sum(count is not None for count in counts)


def _pick(reports: Sequence[Report], name: str) -> Any:
    """The first value that was said of the call, else the first that was implied."""
    values = [
        (name in report.implied, value)
        for report in reports
        if (value := getattr(report.event, name)) not in (None, "")
    ]
    return min(values, key=lambda item: item[0])[1] if values else getattr(reports[0].event, name)


def _ending(events: Sequence[EventPayload], *, answered: bool) -> Mapping[str, str]:
    """The most telling status. Without a response, a failure inside a call that went well was only an attempt."""
    if not answered and events[0].status == "ok":
        events = events[:1]
    telling = max(events, key=lambda event: _SAYS_MORE.get(event.status, 2))
    return {"status": telling.status, "error_type": telling.error_type}
