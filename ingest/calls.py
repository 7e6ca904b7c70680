"""A bounded memory of recently stored calls, so that reports of one call in different exports become one event.

Beyond the window the store still keeps one event per tenant, response id and day: the better informed report wins, but
what only the other one knew (a tag, a user) is lost, and reports on two sides of a UTC midnight are two events.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock

import msgspec

from attribution.event import MAX_MERGES, EventRow
from ingest.copies import Copy, still_implied, united

Key = tuple[str, str]
"""Tenant and event id."""


@dataclass(frozen=True, slots=True)
class StoredCall:
    """A call as it is stored: its reports united, and how many there were beyond the first."""

    copy: Copy
    row: EventRow
    merges: int = 0

    @property
    def key(self) -> Key:
        """Its identity in the store, next to its day."""
        return self.copy.event.tenant_id, self.row.event_id


def joined(known: StoredCall, report: Copy) -> Copy | None:
    """The call with the report worked in; None when the report tells nothing new.

    It keeps the start time that is stored: an event with another date would be another event.
    """
    if known.merges >= MAX_MERGES:
        return None
    reports = [report, known.copy] if _is_around(report, known.copy) else [known.copy, report]
    event = msgspec.structs.replace(united(reports), start_time=known.copy.event.start_time)
    if event == known.copy.event:
        return None
    return Copy(
        event=event,
        identity="response" if "response" in (known.copy.identity, report.identity) else "span",
        implied=still_implied(reports),
        spans=(*known.copy.spans, *report.spans)[:8],
        parent=known.copy.parent,
    )


def _is_around(outer: Copy, inner: Copy) -> bool:
    return inner.parent in outer.spans


class CallIndex:
    """Calls by everything that another report of the same call may share with them."""

    def __init__(self) -> None:
        self._calls: OrderedDict[Key, StoredCall] = OrderedDict()
        self._by_id: dict[str, Key] = {}
        self._failed_by_span: dict[str, Key] = {}
        self._failed_by_parent: dict[str, Key] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def find(self, report: Copy) -> StoredCall | None:
        """The call that the report is about, when it is known."""
        return next((call for call in self._candidates(report) if call is not None), None)

    def _candidates(self, report: Copy) -> Iterator[StoredCall | None]:
        event_id = report.event.event_id or ""
        yield self._calls.get((report.event.tenant_id, event_id))
        elsewhere = self._get(self._by_id.get(event_id))
        if elsewhere and "tenant_id" in elsewhere.copy.implied | report.implied:
            yield elsewhere
        if _is_failed_span(report):
            yield self._get(self._failed_by_span.get(report.parent))
            for span in report.spans:
                yield self._get(self._failed_by_parent.get(span))

    def _get(self, key: Key | None) -> StoredCall | None:
        return self._calls.get(key) if key else None

    def add(self, call: StoredCall) -> None:
        """Know this call, instead of what was known of it."""
        self._calls.pop(call.key, None)
        self._calls[call.key] = call
        self._by_id[call.row.event_id] = call.key
        if _is_failed_span(call.copy):
            self._failed_by_span.update(dict.fromkeys(call.copy.spans, call.key))
            if call.copy.parent:
                self._failed_by_parent[call.copy.parent] = call.key

    def forget(self, key: Key) -> None:
        """Know this call no longer."""
        call = self._calls.pop(key, None)
        if call is None:
            return
        for index, names in (
            (self._by_id, (call.row.event_id,)),
            (self._failed_by_span, call.copy.spans),
            (self._failed_by_parent, (call.copy.parent,)),
        ):
            for name in names:
                if index.get(name) == key:
                    del index[name]

    def forget_oldest(self) -> None:
        """Make room for one."""
        self.forget(next(iter(self._calls)))

    def calls(self) -> list[StoredCall]:
        """Every known call, oldest first."""
        return list(self._calls.values())


def _is_failed_span(report: Copy) -> bool:
    """A failure has no response id: the layers that report it share nothing but the trace."""
    return report.identity == "span" and report.event.status != "ok"


class RecentCalls:
    """The last `size` calls that are durable. Written by one thread, read by another."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._index = CallIndex()
        self._lock = Lock()

    def find(self, report: Copy) -> StoredCall | None:
        """The stored call that the report is about, when it is remembered."""
        with self._lock:
            return self._index.find(report)

    def remember(self, calls: CallIndex, replaced: list[Key]) -> None:
        """Call only once the calls are durable: what is remembered is not stored again."""
        with self._lock:
            for key in replaced:
                self._index.forget(key)
            for call in calls.calls():
                self._index.add(call)
            while len(self._index) > self._size:
                self._index.forget_oldest()
