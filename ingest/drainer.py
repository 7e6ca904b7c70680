"""Emptying the spool into the store, whenever there is something in it, as soon as the store takes it."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

from attribution.event import EventRow
from attribution.failures import InsertRefused
from core.errors import Unavailable, in_full
from ingest.spool import Spool
from ingest.worker import Worker

FIRST_PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 10
CONFIRM_SECONDS: Final = 0.5
CLOSE_SECONDS: Final = 5
QUARANTINE_SECONDS: Final = 3_600
"""How long refused rows stay aside before they are tried again: what kept them out may have been mended."""
_SAMPLE: Final = 8

_logger = logging.getLogger("apportion.spool")


class StoreRefuses(InsertRefused):
    """The store answers, and takes nothing."""

    code = "STORE_REFUSES"

    def __init__(self, reason: Exception | None) -> None:
        super().__init__("it refuses whatever it is sent" + (f": {in_full(reason)}" if reason else ""))


def is_away(error: Exception) -> bool:
    """True when a failed insert says nothing about its rows."""
    return isinstance(error, Unavailable | TimeoutError) and not isinstance(error, InsertRefused)


class Drainer:
    """Moves rows from the spool to the store, in order, while there are any.

    Where the store does not answer it tries later, and fewer rows: one short of memory or time may take less at once.

    A batch that the store refuses although it answers is halved until single rows are left. These are set aside in
    the quarantine only when refused repeatedly while the store takes other rows: a store that refuses everything (it is
    read-only, full, or misses a migration) is waited for like one that does not answer.
    """

    def __init__(
        self, spool: Spool, spooling: Worker, insert: Callable[[Sequence[EventRow]], Awaitable[None]], *, rows: int
    ) -> None:
        self._spool = spool
        self._spooling = spooling
        self._insert = insert
        self._rows = rows
        self._task: asyncio.Task[None] | None = None
        self._retrying: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self._trouble: Exception | None = None
        self._refusal: Exception | None = None
        self._taken = 0

    @property
    def is_waiting(self) -> bool:
        """Whether the store did not answer lately, so that only the drainer tries it, now and then."""
        return self._trouble is not None and is_away(self._trouble) and self._is_running

    @property
    def _is_running(self) -> bool:
        return self._task is not None and not self._task.done()

    def start(self) -> None:
        """Begin with what is there, and from time to time with what was refused."""
        self._retrying = asyncio.create_task(self._retry_refused())
        self.wake()

    def wake(self) -> None:
        """Start to empty the spool, unless it is empty or being emptied."""
        if not self._is_running and self._spool.status.bytes and not self._closing.is_set():
            self._task = asyncio.create_task(self._drain())

    def took(self) -> None:
        """The store took rows."""
        self._trouble = None
        self._taken += 1

    def failed(self, error: Exception) -> None:
        """The store did not take rows: because it is away, or because it refused them."""
        if type(error) is not type(self._trouble):  # once, not for every insert of an outage
            _logger.warning("events wait in the spool: %s", in_full(error) or "the events store takes too long")
        self._trouble = error

    async def close(self) -> None:
        """Stop after the batch at hand, or in the midst of it when that takes long; it stays in the spool."""
        self._closing.set()
        if self._retrying is not None:
            await self._retrying
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=CLOSE_SECONDS)
            self._task.cancel()

    async def _drain(self) -> None:
        failures, limit = 0, self._rows
        while self._spool.status.bytes and not self._closing.is_set():
            try:
                await self._drain_batch(limit)
            except Exception as error:  # noqa: BLE001 - whatever it is, the rows are safe, and tried again
                self.failed(error)
                failures, limit = failures + 1, max(1, limit // 2) if is_away(error) else self._rows
            else:
                failures, limit = 0, self._rows
            await self._pause(failures)
        if not self._spool.status.bytes:
            _logger.warning("the spool is empty again")

    async def _retry_refused(self) -> None:
        while True:
            await self._sleep(QUARANTINE_SECONDS)
            if self._closing.is_set():
                return
            try:
                await self._spooling.run(self._spool.try_refused_again)
            except OSError:
                _logger.exception("rows in quarantine cannot be tried again")
            self.wake()

    async def _pause(self, failures: int) -> None:
        """Exponential with full jitter, so that replicas do not come back to a struggling store together."""
        if failures:
            longest = min(FIRST_PAUSE_SECONDS * 2**failures, LONGEST_PAUSE_SECONDS)
            await self._sleep(random.uniform(FIRST_PAUSE_SECONDS, longest))  # noqa: S311 - no secret

    async def _sleep(self, seconds: float) -> None:
        """Return after so long, or at once when it closes."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()

    async def _drain_batch(self, limit: int) -> None:
        """Store the next rows and let go of them. A crash in between stores them twice, which changes nothing."""
        batch = await self._spooling.run(self._spool.read, limit)
        refused = await self._refused(batch.rows)
        for row in refused:
            why = in_full(self._refusal) if self._refusal else "refused"
            _logger.error("event %r of tenant %r goes to quarantine: %s", row.event_id, row.tenant_id, why)
        await self._spooling.run(self._spool.take_out, batch, refused)

    async def _refused(self, rows: Sequence[EventRow]) -> Sequence[EventRow]:
        """The rows that are at fault; all others are stored. Raises Unavailable."""
        if not rows or await self._takes(rows):
            return ()
        await self._expect_others(rows)
        suspects = await self._sifted(rows)
        for _ in range(2):
            if suspects:
                await asyncio.sleep(CONFIRM_SECONDS)
                suspects = [row for row in suspects if not await self._takes([row])]
        if suspects:
            await self._expect_others(rows)
        return suspects

    async def _takes(self, rows: Sequence[EventRow]) -> bool:
        """Whether the store takes the rows; False when it answers and refuses. Raises Unavailable."""
        try:
            await self._insert(rows)
        except Exception as error:
            if is_away(error):
                raise
            self._refusal, self._trouble = error, None
            return False
        self.took()
        return True

    async def _sifted(self, rows: Sequence[EventRow]) -> list[EventRow]:
        """Those that the store refuses one by one; the rest is stored."""
        if await self._takes(rows):
            return []
        if len(rows) == 1:
            return [*rows]
        half = len(rows) // 2
        return [*await self._sifted(rows[:half]), *await self._sifted(rows[half:])]

    async def _expect_others(self, rows: Sequence[EventRow]) -> None:
        """Return when the store takes one of a few of these rows, or took a fresh one; else raise StoreRefuses."""
        taken = self._taken
        for row in random.sample(rows, min(len(rows), _SAMPLE)):
            if await self._takes([row]):
                return
        await asyncio.sleep(CONFIRM_SECONDS)
        if self._taken == taken:
            raise StoreRefuses(self._refusal)
