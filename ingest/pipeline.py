"""The one way in: every door hands its items here and gets a receipt for what became durable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, ParamSpec, TypeVar

from attribution.event import EventRow
from core.errors import Unavailable
from core.settings import Settings
from ingest.counters import Counters
from ingest.door import Door, Item
from ingest.payloads import Receipt
from ingest.preparation import Preparation, Prepared
from ingest.rating import Rater
from ingest.rejected import RejectedEvents
from ingest.spool import SpoolStatus
from ingest.worker import Worker
from ingest.writer import Durable, Writer
from tenants.scope import Scope

P = ParamSpec("P")
R = TypeVar("R")

FEW_ITEMS: Final = 20
"""So many are prepared in less time than it takes to hand them to a thread."""


class Pipeline:
    """Prepares and stores events. One per process.

    Whenever some became durable, `on_durable` is called with those of them that are new, and where they are now.
    """

    def __init__(
        self,
        settings: Settings,
        rater: Rater,
        writer: Writer,
        rejected: RejectedEvents,
        *,
        on_durable: Callable[[Sequence[EventRow], Durable], None] = lambda *_: None,
    ) -> None:
        self.counters = Counters()
        self._preparation = Preparation(settings, rater)
        self._writer = writer
        self._rejected = rejected
        self._on_durable = on_durable
        # One thread: preparing holds the interpreter anyway, and the order of bodies stays the order of arrival.
        self._preparing = Worker("prepare")

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
            prepared = await self._prepared(items, door, scope)
            durable = await self._writer.write(prepared.rows)
        except Unavailable as error:
            self.counters.turned_away[error.code] += len(items)
            raise
        if durable is Durable.SPOOLED:
            prepared.receipt.move_to_spooled()
        if prepared.rows:
            self._on_durable(prepared.fresh, durable)
        self._preparation.remember(prepared)
        self.counters.add(door.source, prepared.receipt)
        if door.keeps_refused and prepared.refused:
            await self._rejected.keep(prepared.refused, source=door.source, key_name=sender, scope=scope)
        return prepared.receipt

    async def read(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """What a door's reader makes of a body, where bodies are prepared: more threads would only contend."""
        return await self._preparing.run(function, *args, **kwargs)

    async def _prepared(self, items: Sequence[Item], door: Door, scope: Scope) -> Prepared:
        """The items prepared, in the order in which bodies came."""
        if len(items) <= FEW_ITEMS and self._preparing.is_idle:
            return self._preparation.prepare(items, door, scope)
        return await self._preparing.run(self._preparation.prepare, items, door, scope)

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
        self._preparing.close()
