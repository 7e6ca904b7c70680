"""Redriving: refused items go through their door again, once what stood in their way is mended."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, unique
from typing import Final

from core.database import Database
from core.errors import InvalidInput
from ingest.door import DOORS, EVENTS
from ingest.payloads import Rejection
from ingest.pipeline import Pipeline
from ingest.rejected import RejectedEvent, RejectedEvents
from tenants.audit import Action, record_now
from tenants.principal import Principal
from tenants.scope import Scope

MAX_REDRIVEN: Final = 1_000


@unique
class Outcome(Enum):
    """What became of a refused item that was asked to be redriven."""

    REDRIVEN = "redriven"
    REFUSED = "refused"
    DONE_BEFORE = "done_before"
    NOT_KEPT = "not_kept"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Redriven:
    """An item and its outcome; `message` says why it was refused again."""

    id: int
    outcome: Outcome
    message: str = ""


class TooManyToRedrive(InvalidInput):
    """More items than are redriven at once."""

    code = "TOO_MANY_TO_REDRIVE"

    def __init__(self, count: int) -> None:
        super().__init__(f"redrive at most {MAX_REDRIVEN} items at once, not {count}")


class Redrive:
    """Sends refused items through the pipeline again."""

    def __init__(self, pipeline: Pipeline, rejected: RejectedEvents, database: Database) -> None:
        self._pipeline = pipeline
        self._rejected = rejected
        self._database = database

    async def redrive(self, ids: Sequence[int], principal: Principal) -> list[Redriven]:
        """The outcome for each id, in order. Items outside the caller's scope are unknown to him.

        An item keeps its door's rules and the place that its sender's key left it no choice about, and its receipt is
        the time of redriving. Raises TooManyToRedrive, and Unavailable when nothing can be stored now.
        """
        if len(ids) > MAX_REDRIVEN:
            raise TooManyToRedrive(len(ids))
        known = await asyncio.to_thread(self._rejected.get, principal.scope, ids)
        ready = [row for row in known.values() if row.payload is not None and row.redriven_at is None]
        refused: dict[int, Rejection] = {}
        if ready:
            await asyncio.to_thread(self._record, ready, principal)
        for (source, scope), rows in _bodies(ready):
            refused |= await self._send(rows, source, scope, principal)
        return [_outcome(id_, known.get(id_), refused) for id_ in dict.fromkeys(ids)]

    async def _send(
        self, rows: Sequence[RejectedEvent], source: str, scope: Scope, principal: Principal
    ) -> Mapping[int, Rejection]:
        """Those that were refused again."""
        items = [(row.payload or "").encode() for row in rows]
        door = replace(DOORS.get(source, EVENTS), keeps_refused=False)
        receipt = await self._pipeline.ingest(items, door=door, scope=scope, sender=principal.name)
        refused = {_id(rows[error.index]): error for error in receipt.errors}
        stored = [_id(row) for row in rows if _id(row) not in refused]
        await asyncio.to_thread(self._rejected.settle, stored, refused)
        return refused

    def _record(self, rows: Sequence[RejectedEvent], principal: Principal) -> None:
        ids = [_id(row) for row in rows]
        record_now(self._database, principal.name, Action.REDRIVE_EVENTS, f"{len(ids)} rejected events", ids=ids)


def _bodies(rows: Sequence[RejectedEvent]) -> Iterator[tuple[tuple[str, Scope], list[RejectedEvent]]]:
    """The items by door and by whose they are, each list in the order in which it came."""
    bodies: defaultdict[tuple[str, Scope], list[RejectedEvent]] = defaultdict(list)
    for row in sorted(rows, key=_id):
        bodies[row.source, Scope(row.tenant_id, row.team, row.environment)].append(row)
    yield from bodies.items()


def _outcome(id_: int, row: RejectedEvent | None, refused: Mapping[int, Rejection]) -> Redriven:
    if row is None:
        return Redriven(id_, Outcome.UNKNOWN)
    if row.redriven_at is not None:
        return Redriven(id_, Outcome.DONE_BEFORE)
    if row.payload is None:
        return Redriven(id_, Outcome.NOT_KEPT)
    if id_ in refused:
        return Redriven(id_, Outcome.REFUSED, refused[id_].message)
    return Redriven(id_, Outcome.REDRIVEN)


def _id(row: RejectedEvent) -> int:
    assert row.id is not None
    return row.id
