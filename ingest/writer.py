"""Group commit: the rows of concurrent requests share inserts, and each request waits until its own are durable."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from attribution.event import EventRow
from attribution.store import Store
from core.errors import Unavailable


class QueueFull(Unavailable):
    """More events wait to be stored than may wait."""

    code = "QUEUE_FULL"

    def __init__(self) -> None:
        super().__init__("too many events are waiting to be stored; send them again shortly")


@dataclass(frozen=True, slots=True)
class _Waiting:
    rows: Sequence[EventRow]
    stored: asyncio.Future[None]


class Writer:
    """Stores rows in the order they come, one insert at a time, each made of all that waited meanwhile."""

    def __init__(self, store: Store, *, insert_rows: int, queue_rows: int) -> None:
        self._store = store
        self._insert_rows = insert_rows
        self._queue_rows = queue_rows
        self._waiting: deque[_Waiting] = deque()
        self._depth = 0
        self._flusher: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="insert")

    @property
    def depth(self) -> int:
        """Rows that wait or are being stored."""
        return self._depth

    async def write(self, rows: Sequence[EventRow]) -> None:
        """Return once the rows are durable. Raises QueueFull at once, or StoreUnavailable when the insert fails."""
        if not rows:
            return
        if self._depth and self._depth + len(rows) > self._queue_rows:
            raise QueueFull
        self._depth += len(rows)
        waiting = _Waiting(rows, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush())
        try:
            # A client that goes away must not cancel an insert that others share.
            await asyncio.shield(waiting.stored)
        finally:
            self._depth -= len(rows)

    async def close(self) -> None:
        """Store everything that waits, then stop."""
        if self._flusher is not None:
            await self._flusher
        self._thread.shutdown()

    async def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch = self._take()
            rows = [row for waiting in batch for row in waiting.rows]
            try:
                await loop.run_in_executor(self._thread, self._store.insert, rows)
            except Exception as error:  # noqa: BLE001 - every waiting request must get its answer
                _settle(batch, error)
            else:
                _settle(batch, None)

    def _take(self) -> list[_Waiting]:
        """The next requests, together at most `insert_rows` rows, but always one."""
        batch = [self._waiting.popleft()]
        count = len(batch[0].rows)
        while self._waiting and count + len(self._waiting[0].rows) <= self._insert_rows:
            count += len(self._waiting[0].rows)
            batch.append(self._waiting.popleft())
        return batch


def _settle(batch: Sequence[_Waiting], error: Exception | None) -> None:
    for waiting in batch:
        if waiting.stored.done():
            continue
        if error is None:
            waiting.stored.set_result(None)
        else:
            waiting.stored.set_exception(error)
            waiting.stored.exception()  # marks it as seen: the request may be gone
