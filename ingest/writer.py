"""Group commit: the rows of concurrent requests share inserts, and each request waits until its own are durable."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, unique
from math import inf
from time import monotonic
from typing import Final

from attribution.event import EventRow
from attribution.store import Store
from core.errors import Unavailable
from ingest.drainer import Drainer
from ingest.spool import Spool
from ingest.worker import Worker

CLOSE_SECONDS: Final = 10

GATHER_SHARE: Final = 0.5
"""How long an insert waits for company, as a share of what the last one took."""
GATHER_SECONDS: Final = 0.05
"""Never longer than that."""


class QueueFull(Unavailable):
    """More events wait to be stored than may wait."""

    code = "QUEUE_FULL"

    def __init__(self) -> None:
        super().__init__("too many events are waiting to be stored; send them again shortly")


@unique
class Durable(Enum):
    """Where rows are safe."""

    STORED = "stored"
    SPOOLED = "spooled"


@dataclass(frozen=True, slots=True)
class _Waiting:
    rows: Sequence[EventRow]
    durable: asyncio.Future[Durable]


class Writer:
    """Stores rows in the order they come, one insert at a time, each made of all that waited meanwhile.

    An insert costs about the same for one row as for hundreds, so each waits a moment for those who wrote together
    lately: clients that were answered together come back one after another. Who writes alone waits for nobody.

    Rows that the store does not take, for whatever reason, go to the spool instead. Whether an insert that took too
    long happened is not known, nor needed: repeated, it changes nothing.
    """

    def __init__(
        self, store: Store, spool: Spool, *, insert_rows: int, queue_rows: int, patience_seconds: float
    ) -> None:
        self.spool = spool
        self._store = store
        self._insert_rows = insert_rows
        self._queue_rows = queue_rows
        self._patience = patience_seconds
        self._waiting: deque[_Waiting] = deque()
        self._depth = 0
        self._company = 1
        """How many requests shared the last insert or came while it ran."""
        self._together = asyncio.Event()
        """Set once as many wait again."""
        self._insert_seconds = 0.0
        self._flusher: asyncio.Task[None] | None = None
        self._deadline = inf
        self._inserting = Worker("insert")
        self._spooling = Worker("spool")
        self._drainer = Drainer(spool, self._spooling, self._insert, rows=insert_rows)

    @property
    def depth(self) -> int:
        """Rows that wait or are being stored."""
        return self._depth

    async def start(self) -> None:
        """Own the spool, and begin to store what the last process left there. Raises SpoolInUse or SpoolUnwritable."""
        await self._spooling.run(self.spool.open)
        self._drainer.start()

    def check_room(self, count: int) -> None:
        """Raises QueueFull when so many more rows may not wait now."""
        if self._depth and self._depth + count > self._queue_rows:
            raise QueueFull

    async def write(self, rows: Sequence[EventRow]) -> Durable:
        """Return once the rows are durable. Raises QueueFull at once, or Unavailable when not even the spool has room.

        A caller that goes away cancels nothing: others share the insert.
        """
        if not rows:
            return Durable.STORED
        self.check_room(len(rows))
        self._depth += len(rows)
        waiting = _Waiting(rows, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if len(self._waiting) >= self._company:
            self._together.set()
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush())
        return await asyncio.shield(waiting.durable)

    async def close(self) -> None:
        """Make everything durable that waits, then stop. Takes a bounded time: late rows go to the spool."""
        self._deadline = asyncio.get_running_loop().time() + CLOSE_SECONDS
        if self._flusher is not None:
            await self._flusher
        await self._drainer.close()
        self.spool.close()
        self._inserting.close()
        self._spooling.close()

    async def _flush(self) -> None:
        while self._waiting:
            await self._gather()
            batch = self._take()
            rows = [row for waiting in batch for row in waiting.rows]
            started = monotonic()
            try:
                durable = await self._keep(rows)
            except Exception as error:  # noqa: BLE001 - every waiting request must get its answer
                _fail(batch, error)
            else:
                _settle(batch, durable)
            self._depth -= len(rows)
            self._company, self._insert_seconds = len(batch) + len(self._waiting), monotonic() - started

    async def _gather(self) -> None:
        """Return when as many requests wait as wrote together lately, or a moment later."""
        if len(self._waiting) >= self._company or self._depth >= self._insert_rows:
            return
        self._together = asyncio.Event()
        with suppress(TimeoutError):
            async with asyncio.timeout(min(self._insert_seconds * GATHER_SHARE, GATHER_SECONDS)):
                await self._together.wait()

    async def _keep(self, rows: Sequence[EventRow]) -> Durable:
        """Where the rows are durable now."""
        if not self._drainer.is_waiting:
            patience = asyncio.get_running_loop().time() + self._patience
            try:
                async with asyncio.timeout_at(min(patience, self._deadline)):
                    await self._insert(rows)
            except Exception as error:  # noqa: BLE001 - the drainer finds out which rows, if any, are at fault
                self._drainer.failed(error)
            else:
                self._drainer.took()
                return Durable.STORED
        await self._spooling.run(self.spool.append, rows)
        self._drainer.wake()
        return Durable.SPOOLED

    async def _insert(self, rows: Sequence[EventRow]) -> None:
        await self._inserting.run(self._store.insert, rows)

    def _take(self) -> list[_Waiting]:
        """The next requests, together at most `insert_rows` rows, but always one."""
        batch = [self._waiting.popleft()]
        count = len(batch[0].rows)
        while self._waiting and count + len(self._waiting[0].rows) <= self._insert_rows:
            count += len(self._waiting[0].rows)
            batch.append(self._waiting.popleft())
        return batch


def _settle(batch: Sequence[_Waiting], durable: Durable) -> None:
    for waiting in batch:
        if not waiting.durable.done():
            waiting.durable.set_result(durable)


def _fail(batch: Sequence[_Waiting], error: Exception) -> None:
    for waiting in batch:
        if not waiting.durable.done():
            waiting.durable.set_exception(error)
            waiting.durable.exception()  # marks it as seen: the request may be gone
