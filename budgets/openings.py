"""Breaches as they open, whichever process opened them, for everybody in this process who listens."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from sqlmodel import col, select

from budgets.live import Live
from budgets.models import Breach
from budgets.status import Snapshot
from budgets.stream import check_room
from budgets.targets import Definition, Targets
from core.database import Database
from core.errors import Unavailable

POLL_SECONDS: Final = 1.0
"""How late a breach is heard of at most that another process opened; one of our own is heard of at once."""

MAX_WAITING: Final = 1_000
"""Breaches that wait for a listener; one who lets more gather is too slow."""

_BREATH_SECONDS: Final = 0.002
"""How long to wait after each of many while a listener is behind: an evaluation can open thousands at once."""

_OVERLAP: Final = timedelta(seconds=60)
"""A breach says that it opened when its evaluation began, and is on record when that has ended."""

_logger = logging.getLogger("apportion.budgets")


class TooSlow(Unavailable):
    """The listener did not take breaches as fast as they opened."""

    code = "SUBSCRIBER_TOO_SLOW"

    def __init__(self) -> None:
        super().__init__(f"more than {MAX_WAITING:,} breaches waited for you; ask `breaches` what you missed")


class Opening(NamedTuple):
    """A breach that has just opened, and of what."""

    breach: Breach
    definition: Definition


class Openings:
    """One look at the database for all listeners, and none while there are none. Used in the event loop's thread."""

    def __init__(self, database: Database, targets: Targets, live: Live) -> None:
        self._database = database
        self._targets = targets
        self._listeners: set[asyncio.Queue[Opening | None]] = set()
        self._seen: dict[tuple[int | None, int], datetime] = {}
        self._news = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        live.listen(self._evaluated)

    async def listen(self) -> AsyncGenerator[Opening, None]:
        """Every breach that opens from now on, until `close`. Raises TooSlow, and TooManyListeners at once.

        Who is slow holds up others by moments at most.
        """
        check_room(len(self._listeners))
        queue: asyncio.Queue[Opening | None] = asyncio.Queue(MAX_WAITING + 1)
        self._listeners.add(queue)
        self._begin()
        try:
            while (opening := await queue.get()) is not None:
                if queue.qsize() >= MAX_WAITING:
                    raise TooSlow
                yield opening
        finally:
            self._listeners.discard(queue)
            if not self._listeners:
                self._end()

    def close(self) -> None:
        """End every listener's stream."""
        for queue in self._listeners:
            _offer(queue, None)
        self._end()

    def _begin(self) -> None:
        self._loop = asyncio.get_running_loop()
        if self._task is None:
            self._task = asyncio.create_task(self._poll(datetime.now(UTC)))

    def _end(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _evaluated(self, _: Snapshot) -> None:
        """Called in the evaluating thread, once its breaches are on record."""
        if self._task is not None and self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has just closed
                self._loop.call_soon_threadsafe(self._news.set)

    async def _poll(self, began: datetime) -> None:
        """Whatever opened before `began` and is on record by then is no news."""
        self._seen, is_first = {}, True
        while True:
            try:
                rows = await asyncio.to_thread(self._opened, (began if is_first else datetime.now(UTC)) - _OVERLAP)
                fresh = [row for row in rows if _key(row) not in self._seen]
                await self._tell([row for row in fresh if not (is_first and row.opened_at < began)])
                self._remember(fresh)
                is_first = False
            except Exception as error:  # noqa: BLE001 - whatever it is, it is looked at again soon
                _logger.warning("breaches cannot be read now: %s", error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._news.wait()
            self._news.clear()

    def _remember(self, fresh: Iterable[Breach]) -> None:
        horizon = datetime.now(UTC) - 2 * _OVERLAP
        self._seen = {key: at for key, at in self._seen.items() if at >= horizon}
        self._seen |= {_key(row): row.opened_at for row in fresh}

    async def _tell(self, rows: Sequence[Breach]) -> None:
        known = {each.id: each for each in await asyncio.to_thread(self._targets.ever)} if rows else {}
        for row in rows:
            for queue in self._listeners:
                _offer(queue, Opening(row, known[row.target_id]))
            await asyncio.sleep(_BREATH_SECONDS if any(map(_is_filling, self._listeners)) else 0)

    def _opened(self, since: datetime) -> list[Breach]:
        statement = select(Breach).where(col(Breach.opened_at) >= since).order_by(col(Breach.id))
        with self._database.session() as session:
            return list(session.exec(statement))


def _key(row: Breach) -> tuple[int | None, int]:
    """Another one each time that a breach opens."""
    return row.id, row.openings


def _is_filling(queue: asyncio.Queue[Opening | None]) -> bool:
    return queue.qsize() > MAX_WAITING // 2


def _offer(queue: asyncio.Queue[Opening | None], item: Opening | None) -> None:
    """What finds no room is left out: its listener learns so before anything else."""
    with contextlib.suppress(asyncio.QueueFull):
        queue.put_nowait(item)
