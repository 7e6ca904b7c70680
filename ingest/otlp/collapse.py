"""Copies of a call become one event. Instrumentations overlap; money must not.

Copies share an event id: a response id, or a span that was sent twice. Where the ids do not tell, a call inside another
call of the same trace is the same call, seen by a lower layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from ingest.otlp.call import Call
from ingest.otlp.encoding import Span

_OTHER_KINDS: Final = frozenset({"embeddings", "rerank"})


@dataclass(eq=False, slots=True)
class Merge:
    """The copies of one call; once collapsed, outermost first: what is around a call starts before it."""

    copies: list[Call] = field(default_factory=list)
    has_response: bool = False
    """Whether any copy knows the provider's id of the response."""
    has_usage: bool = False
    """Whether any copy counted tokens."""

    @property
    def kind(self) -> str:
        """An embedding inside a chat is a call of its own."""
        operation = self.copies[0].event.operation_name
        return operation if operation in _OTHER_KINDS else ""

    def add(self, call: Call) -> None:
        """Takes one more copy."""
        self.copies.append(call)
        self.has_response |= call.identity == "response"
        self.has_usage |= call.has_usage


def collapse(calls: Sequence[Call], outer: Mapping[Span, Span]) -> list[Merge]:
    """One merge per paid call, whatever the order of the calls.

    `outer` leads from a span to the nearest call around it, and names the outer spans before those inside them.
    """
    merges = _by_event_id(sorted(calls, key=_start))
    merge_of = {call.span: merge for merge in merges for call in merge.copies}
    inside = _inside(outer, merge_of)
    for span in sorted(inside, key=_places(outer), reverse=True):
        distinct = _collapse_into(merge_of[span], inside[span], merge_of)
        # What a dropped call was around is now inside the call around that one.
        inside.get(outer.get(span, span), []).extend(distinct)
    for merge in merges:
        merge.copies.sort(key=_start)
    return [merge for merge in merges if merge.copies]


def _start(call: Call) -> tuple[int, str]:
    return call.span.start, call.span.ref


def _by_event_id(calls: Sequence[Call]) -> list[Merge]:
    """Copies of one tenant. A copy that was told no tenant belongs to the one that another was told."""
    merges: dict[tuple[str | None, str], Merge] = {}
    told: dict[str | None, str] = {}
    for call in calls:
        if not call.implies("tenant_id"):
            told.setdefault(call.event.event_id, call.event.tenant_id)
    for call in calls:
        event = call.event
        tenant = told.get(event.event_id, event.tenant_id) if call.implies("tenant_id") else event.tenant_id
        merges.setdefault((event.event_id, tenant), Merge()).add(call)
    return list(merges.values())


def _inside(outer: Mapping[Span, Span], known: Mapping[Span, Merge]) -> dict[Span, list[Span]]:
    inside: dict[Span, list[Span]] = {}
    for span, around in outer.items():
        if span in known and around in known:
            inside.setdefault(around, []).append(span)
    return inside


def _places(outer: Mapping[Span, Span]) -> Callable[[Span], int]:
    places = {span: place for place, span in enumerate(outer)}
    return lambda span: places.get(span, -1)


def _collapse_into(merge: Merge, inner: Iterable[Span], merge_of: dict[Span, Merge]) -> list[Span]:
    """Takes in the calls that repeat this one.

    A call without an id around several distinct ones only adds them up: it is dropped, and two of those are returned.
    """
    others = [other for other in _distinct(inner, merge_of) if other is not merge and other.kind == merge.kind]
    apart = [other for other in others if other.has_response or (other.has_usage and not merge.has_usage)]
    if not merge.has_response and len(apart) > 1:
        merge.copies.clear()
        return [other.copies[0].span for other in apart[:2]]
    for other in others:
        if not (merge.has_response and other.has_response):
            merge = _united(merge, other, merge_of)
    return []


def _distinct(spans: Iterable[Span], merge_of: Mapping[Span, Merge]) -> Iterable[Merge]:
    merges = {id(merge): merge for merge in map(merge_of.__getitem__, spans)}
    return [merge for merge in merges.values() if merge.copies]


def _united(one: Merge, other: Merge, merge_of: dict[Span, Merge]) -> Merge:
    """The larger takes the copies of the smaller, so that a long chain of calls is not moved again at every link."""
    kept, emptied = (one, other) if len(one.copies) >= len(other.copies) else (other, one)
    for call in emptied.copies:
        kept.add(call)
        merge_of[call.span] = kept
    emptied.copies = []
    return kept
