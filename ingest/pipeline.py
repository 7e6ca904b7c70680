"""The one way in: every door hands its items here and gets a receipt for what became durable."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec

from attribution.event import EventRow, row_version, tombstone
from core.errors import Unavailable
from core.settings import Settings
from ingest.calls import CallIndex, Key, RecentCalls, StoredCall, joined
from ingest.charges import check_charge
from ingest.copies import Copy, informedness
from ingest.counters import Counters
from ingest.fit import fit_tags
from ingest.payloads import ENCODER, DerivedId, EventPayload, Receipt, Rejection
from ingest.rating import Measured, Rater, token_usage
from ingest.recent import Content, Identity, RecentEvents, Seen, content, identity
from ingest.rejected import Refused, RejectedEvents
from ingest.rules import EventRules, NameCardinality, RuleBroken, decoding_error, quantity
from ingest.spool import SpoolStatus
from ingest.writer import Durable, Writer
from pricing.usage import OverlappingTokens
from tenants.scope import Scope


@dataclass(frozen=True, slots=True)
class Door:
    """How events come in: the name stored as their `source`, whether each must say what it used, and whether those
    refused are kept."""

    source: str
    require_measure: bool = True
    keeps_refused: bool = True


EVENTS = Door("events")
OTLP = Door("otlp", require_measure=False)
LITELLM = Door("litellm", require_measure=False)
DOORS = {door.source: door for door in (EVENTS, OTLP, LITELLM)}

_DECODER = msgspec.json.Decoder(EventPayload)

Item = bytes | EventPayload | Copy | Rejection
"""An event as its JSON text or already read; a report of a call, which others may tell too; or what a door refused."""


@dataclass(slots=True)
class _Prepared:
    """A body half way: what is to be stored, and the receipt as it will be once that is durable."""

    receipt: Receipt
    rows: list[EventRow] = field(default_factory=list)
    identities: dict[Identity, Content] = field(default_factory=dict)
    calls: CallIndex = field(default_factory=CallIndex)
    replaced: list[Key] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)


class Pipeline:
    """Decodes, checks, rates and stores events. One per process."""

    def __init__(
        self,
        settings: Settings,
        rater: Rater,
        writer: Writer,
        rejected: RejectedEvents,
        *,
        on_stored: Callable[[Sequence[EventRow]], None] = lambda _: None,
    ) -> None:
        self.counters = Counters()
        self._rules = EventRules(settings)
        self._max_tags = settings.max_tags
        self._names = NameCardinality(settings.max_distinct_names)
        self._recent = RecentEvents(settings.duplicate_window)
        self._calls = RecentCalls(settings.merge_window)
        self._rater = rater
        self._writer = writer
        self._rejected = rejected
        self._on_stored = on_stored
        # One thread: decoding holds the interpreter anyway, and the order of bodies stays the order of arrival.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="prepare")

    @property
    def queue_depth(self) -> int:
        """Events that wait to be durable."""
        return self._writer.depth

    async def ingest(self, items: Sequence[Item], *, door: Door, scope: Scope, sender: str = "") -> Receipt:
        """The receipt for these items, once those accepted are durable. Raises QueueFull or another Unavailable, and
        then the same items can be sent again: what was stored meanwhile is recognised.

        `sender` is the name of the caller's key, for people who look at what was refused.
        """
        try:
            self._writer.check_room(len(items))
            loop = asyncio.get_running_loop()
            prepared = await loop.run_in_executor(self._thread, self._prepare, items, door, scope)
            durable = await self._writer.write(prepared.rows)
        except Unavailable as error:
            self.counters.turned_away[error.code] += len(items)
            raise
        if durable is Durable.SPOOLED:
            prepared.receipt.move_to_spooled()
        elif prepared.rows:
            self._on_stored(prepared.rows)
        self._recent.remember(prepared.identities)
        self._calls.remember(prepared.calls, prepared.replaced)
        self.counters.add(door.source, prepared.receipt)
        if door.keeps_refused:
            await self._rejected.keep(prepared.refused, source=door.source, key_name=sender, scope=scope)
        return prepared.receipt

    @property
    def spool(self) -> SpoolStatus:
        """What waits on disk for the events store."""
        return self._writer.spool.status

    @property
    def can_spool(self) -> bool:
        """Whether events would be durable even if the events store were away."""
        return self._writer.spool.has_room

    def own_spool(self) -> None:
        """Make sure of the spool before anything is promised. Raises SpoolInUse or SpoolUnwritable."""
        self._writer.spool.open()

    async def start(self) -> None:
        """Begin to store what an earlier process had to spool. Raises SpoolInUse or SpoolUnwritable."""
        await self._writer.start()

    async def close(self) -> None:
        """Store everything that waits, then stop."""
        await self._writer.close()
        self._thread.shutdown()

    def _prepare(self, items: Sequence[Item], door: Door, scope: Scope) -> _Prepared:
        prepared = _Prepared(Receipt(received=len(items), derived_event_ids=[], errors=[]))
        now = datetime.now(UTC)
        for index, item in enumerate(items):
            if isinstance(item, Rejection):
                _reject(prepared, Refused(item))
                continue
            event: EventPayload | None = None
            try:
                event = _scoped(_decode(item), scope)
                if isinstance(item, Copy):
                    self._accept_report(item, door, now, prepared)
                else:
                    check_charge(event, scope)
                    self._accept_event(index, event, door, now, prepared)
            except RuleBroken as broken:
                name = event.event_id if event else None
                rejection = Rejection(index, broken.field, broken.rule, str(broken), name)
                _reject(prepared, Refused(rejection, event or (item.event if isinstance(item, Copy) else item)))
        return prepared

    def _accept_event(self, index: int, event: EventPayload, door: Door, now: datetime, prepared: _Prepared) -> None:
        measured = self._measure(event, door, now)
        self._names.check(event, now)
        encoded = ENCODER.encode(event)
        digest = content(encoded)
        event_id = event.event_id or f"derived:{content(encoded + b'#id').hex()}{digest.hex()}"
        key = identity(event.tenant_id, event_id, event.start_time.date(), event.version)
        if self._is_known(key, digest, event, prepared):
            prepared.receipt.duplicate += 1
        else:
            version = row_version(event.version, now)
            row = self._rater.row(measured, event_id=event_id, source=door.source, received_at=now, version=version)
            prepared.identities[key] = digest
            _store(row, prepared)
        if event.event_id is None:
            prepared.receipt.derived_event_ids.append(DerivedId(index, event_id))

    def _accept_report(self, report: Copy, door: Door, now: datetime, prepared: _Prepared) -> None:
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

    def _fit(self, event: EventPayload, now: datetime, prepared: _Prepared) -> None:
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

    def _is_known(self, key: Identity, digest: Content, event: EventPayload, prepared: _Prepared) -> bool:
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
    try:
        event.start_time = event.start_time.astimezone(UTC)
    except (OverflowError, ValueError):
        raise RuleBroken("start_time", "range", "start_time is no representable instant") from None
    return event


def _scoped(event: EventPayload, scope: Scope) -> EventPayload:
    """The event with what the key's scope leaves no choice about. Raises RuleBroken where it says otherwise."""
    for field_, allowed in (("tenant_id", scope.tenant), ("team", scope.team), ("environment", scope.environment)):
        if allowed is None:
            continue
        value = getattr(event, field_)
        if not value:
            setattr(event, field_, allowed)
        elif value != allowed:
            raise RuleBroken(field_, "scope", f"this key may only send events of {field_} {allowed!r}")
    return event


def _store(row: EventRow, prepared: _Prepared) -> None:
    prepared.rows.append(row)
    prepared.receipt.accepted += 1
    prepared.receipt.unpriced += row.effective_cost is None


def _replace(known: StoredCall, row: EventRow, prepared: _Prepared) -> None:
    """Store the better informed row of a known call; where its identity changed, delete the old one."""
    prepared.rows.append(row)
    prepared.receipt.duplicate += 1
    if known.key != (row.tenant_id, row.event_id):
        prepared.rows.append(tombstone(known.row))
        prepared.replaced.append(known.key)
        prepared.calls.forget(known.key)


def _reject(prepared: _Prepared, refused: Refused) -> None:
    prepared.receipt.rejected += 1
    prepared.receipt.errors.append(refused.rejection)
    prepared.refused.append(refused)
