"""From the items of one body to the rows to store and the receipt: decoded, scoped, checked, recognised and rated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock
from typing import Final

import msgspec

from attribution.event import EventRow, row_version, tombstone
from core.settings import Settings
from ingest.calls import CallIndex, Key, RecentCalls, StoredCall, joined
from ingest.charges import check_charge
from ingest.copies import Copy, informedness
from ingest.door import Door, Item
from ingest.fit import fit_tags
from ingest.payloads import ENCODER, DerivedId, EventPayload, Receipt, Rejection
from ingest.rating import Measured, Rater, token_usage
from ingest.recent import Content, Identity, RecentEvents, Seen, content, identity
from ingest.rejected import Refused
from ingest.rules import EventRules, NameCardinality, RuleBroken, decoding_error, quantity
from pricing.usage import OverlappingTokens
from tenants.scope import Scope

_DECODER: Final = msgspec.json.Decoder(EventPayload)


@dataclass(slots=True)
class Prepared:
    """A body half way: what is to be stored, and the receipt as it will be once that is durable.

    `fresh` are the rows that are no later report of a call that is stored already.
    """

    receipt: Receipt
    rows: list[EventRow] = field(default_factory=list)
    fresh: list[EventRow] = field(default_factory=list)
    identities: dict[Identity, Content] = field(default_factory=dict)
    calls: CallIndex = field(default_factory=CallIndex)
    replaced: list[Key] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)


class Preparation:
    """Prepares one body at a time, and remembers what became durable of it."""

    def __init__(self, settings: Settings, rater: Rater) -> None:
        self._rules = EventRules(settings)
        self._max_tags = settings.max_tags
        self._names = NameCardinality(settings.max_distinct_names)
        self._recent = RecentEvents(settings.duplicate_window)
        self._calls = RecentCalls(settings.merge_window)
        self._rater = rater
        self._turn = Lock()

    def prepare(self, items: Sequence[Item], door: Door, scope: Scope) -> Prepared:
        """The items as rows and as a receipt, which holds once the rows are durable."""
        prepared = Prepared(Receipt(received=len(items), derived_event_ids=[], errors=[]))
        now = datetime.now(UTC)
        with self._turn:
            for index, item in enumerate(items):
                self._accept(index, item, door, scope, now, prepared)
        return prepared

    def remember(self, prepared: Prepared) -> None:
        """Call only once the rows are durable: what is remembered is not stored again."""
        self._recent.remember(prepared.identities)
        self._calls.remember(prepared.calls, prepared.replaced)

    def _accept(self, index: int, item: Item, door: Door, scope: Scope, now: datetime, prepared: Prepared) -> None:
        if isinstance(item, Rejection):
            _reject(prepared, Refused(item))
            return
        event: EventPayload | None = None
        try:
            event = _decode(item)
            if not scope.unrestricted:
                _restrict(event, scope)
            if isinstance(item, Copy):
                self._accept_report(item, door, now, prepared)
            else:
                check_charge(event, scope)
                self._accept_event(index, event, door, now, prepared)
        except RuleBroken as broken:
            name = event.event_id if event else None
            rejection = Rejection(index, broken.field, broken.rule, str(broken), name)
            _reject(prepared, Refused(rejection, event or (item.event if isinstance(item, Copy) else item)))

    def _accept_event(self, index: int, event: EventPayload, door: Door, now: datetime, prepared: Prepared) -> None:
        measured = self._measure(event, door, now)
        self._names.check(event, now)
        encoded = ENCODER.encode(event)
        digest = content(encoded)
        event_id = event.event_id or f"derived:{content(encoded + b'#id').hex()}{digest.hex()}"
        key = identity(event.tenant_id, event_id, event.start_time.toordinal(), event.version)
        if self._is_known(key, digest, event, prepared):
            prepared.receipt.duplicate += 1
        else:
            version = row_version(event.version, now)
            row = self._rater.row(measured, event_id=event_id, source=door.source, received_at=now, version=version)
            prepared.identities[key] = digest
            _store(row, prepared)
        if event.event_id is None:
            prepared.receipt.derived_event_ids.append(DerivedId(index, event_id))

    def _accept_report(self, report: Copy, door: Door, now: datetime, prepared: Prepared) -> None:
        """Store a new call, or what the report adds to a call that is stored already."""
        self._fit(report.event, now, prepared)
        known = prepared.calls.find(report) or self._calls.find(report)
        copy = joined(known, report) if known else report
        if copy is None:
            prepared.receipt.duplicate += 1
            return
        if known is not None:
            self._fit(copy.event, now, prepared)
        event, merges = copy.event, known.merges + 1 if known else 0
        if event.event_id is None:
            raise RuleBroken("event_id", "required", "neither a response nor a span tells this call from others")
        row = self._rater.row(
            self._measure(event, door, now),
            event_id=event.event_id,
            source=door.source,
            received_at=now,
            version=row_version(event.version, now, informed=informedness(event), merges=merges),
        )
        if known is None:
            _store(row, prepared)
        else:
            _replace(known, row, prepared)
        prepared.calls.add(StoredCall(copy, row, merges))

    def _fit(self, event: EventPayload, now: datetime, prepared: Prepared) -> None:
        """Cut what a report must not be refused for: its client cannot mend it, and the money was spent."""
        prepared.receipt.dropped_tags += fit_tags(event, self._max_tags) + self._names.fit(event, now)

    def _measure(self, event: EventPayload, door: Door, now: datetime) -> Measured:
        """The event with its numbers read, once it keeps every rule. Raises RuleBroken."""
        self._rules.check(event, now, require_measure=door.require_measure)
        try:
            usage = token_usage(event)
        except OverlappingTokens as error:
            raise RuleBroken(error.field, "includes_its_parts", str(error)) from error
        return Measured(event, usage, quantity(event), self._rules.cost(event))

    def _is_known(self, key: Identity, digest: Content, event: EventPayload, prepared: Prepared) -> bool:
        """True for a replay. Raises RuleBroken for other content under the same id and version."""
        earlier = prepared.identities.get(key)
        if earlier is not None:
            seen = Seen.SAME if earlier == digest else Seen.DIFFERENT
        else:
            seen = self._recent.look_up(key, digest)
        if seen is Seen.DIFFERENT:
            message = (
                f"event {event.event_id!r} was already accepted with other content; "
                f"to correct it, send it with a version above {event.version}"
            )
            raise RuleBroken("event_id", "conflict", message)
        return seen is not Seen.NEVER


def _decode(item: bytes | EventPayload | Copy) -> EventPayload:
    event = item.event if isinstance(item, Copy) else item
    if isinstance(event, bytes):
        try:
            event = _DECODER.decode(event)
        except msgspec.DecodeError as error:
            raise decoding_error(error) from error
        except UnicodeDecodeError:
            raise RuleBroken("", "json", "this item is not valid JSON: it is not UTF-8") from None
    if event.start_time.tzinfo is not UTC:
        try:
            event.start_time = event.start_time.astimezone(UTC)
        except (OverflowError, ValueError):
            raise RuleBroken("start_time", "range", "start_time is no representable instant") from None
    return event


def _restrict(event: EventPayload, scope: Scope) -> None:
    """Fill in what the key's scope leaves no choice about. Raises RuleBroken where the event says otherwise."""
    for field_, allowed in (("tenant_id", scope.tenant), ("team", scope.team), ("environment", scope.environment)):
        if allowed is None:
            continue
        value = getattr(event, field_)
        if not value:
            setattr(event, field_, allowed)
        elif value != allowed:
            raise RuleBroken(field_, "scope", f"this key may only send events of {field_} {allowed!r}")


def _store(row: EventRow, prepared: Prepared) -> None:
    prepared.rows.append(row)
    prepared.fresh.append(row)
    prepared.receipt.accepted += 1
    prepared.receipt.unpriced += row.effective_cost is None


def _replace(known: StoredCall, row: EventRow, prepared: Prepared) -> None:
    """Store the better informed row of a known call; where its identity changed, delete the old one."""
    prepared.rows.append(row)
    prepared.receipt.duplicate += 1
    if known.key != (row.tenant_id, row.event_id):
        prepared.rows.append(tombstone(known.row))
        prepared.replaced.append(known.key)
        prepared.calls.forget(known.key)


def _reject(prepared: Prepared, refused: Refused) -> None:
    prepared.receipt.rejected += 1
    prepared.receipt.errors.append(refused.rejection)
    prepared.refused.append(refused)
