"""The courier: one loop per process that tells what is due, several channels at a time, until each has it."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, ParamSpec, TypeVar

from core.errors import NotFound
from notifications.channels import Channels
from notifications.outbox import Notification, Outbox, letter_of
from notifications.sending import NotDelivered, Sender

POLL_SECONDS: Final = 0.5
"""How long news waits at most until a process looks for it."""

MAX_AT_ONCE: Final = 64
MAX_PER_CHANNEL: Final = 4
"""So that channels that hang leave room for the others, unless it is sixteen of them."""

LONGEST_PAUSE: Final = timedelta(hours=1)
_CLOSE_SECONDS: Final = 5.0
_TIDY_SECONDS: Final = 600.0
_COUNT_SECONDS: Final = 10.0

P = ParamSpec("P")
R = TypeVar("R")

_logger = logging.getLogger("apportion.notifications")


def pause_before(attempt: int, first_seconds: float) -> timedelta:
    """How long to wait after that many failures: it trebles up to an hour, less up to half by chance.

    Chance keeps what failed together from coming back together.
    """
    longest = min(first_seconds * 3.0 ** min(attempt - 1, 20), LONGEST_PAUSE.total_seconds())
    return timedelta(seconds=random.uniform(longest / 2, longest))  # noqa: S311 - no secret


class Courier:
    """Delivers at least once: a process that dies between telling and writing it down leads to a second telling.

    After `max_attempts` failures, or when the receiver says it is gone, a notification is a dead letter.
    """

    def __init__(
        self,
        outbox: Outbox,
        channels: Channels,
        sender: Sender,
        *,
        max_attempts: int,
        first_pause_seconds: float,
        kept_days: int,
    ) -> None:
        self.outcomes: Counter[tuple[str, str]] = Counter()
        """Attempts of this process by topic and outcome: delivered, failed or dead."""
        self.depth: Mapping[str, int] = {}
        """Notifications by state, as of some seconds ago."""
        self._outbox = outbox
        self._channels = channels
        self._sender = sender
        self._max_attempts = max_attempts
        self._first_pause = first_pause_seconds
        self._kept = timedelta(days=kept_days)
        self._under_way: dict[asyncio.Task[None], Notification] = {}
        self._news = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._tidied_at = self._counted_at = float("-inf")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="outbox")

    async def start(self) -> None:
        """Begin to deliver."""
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._run())

    def wake(self) -> None:
        """Look for news now: some may have just been committed. From any thread."""
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has just closed
                self._loop.call_soon_threadsafe(self._news.set)

    async def close(self) -> None:
        """Stop: what is under way gets a few seconds, and the rest is left to others at once."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        if self._under_way:
            _, late = await asyncio.wait(self._under_way, timeout=_CLOSE_SECONDS)
            for task in late:
                task.cancel()
        if self._task is not None:
            with suppress(Exception):  # the lease says the same, a little later
                await self._database(self._outbox.let_go, datetime.now(UTC))
        self._thread.shutdown()

    async def _run(self) -> None:
        while True:
            try:
                found = await self._deliver_due()
                await self._keep_house()
            except Exception as error:  # noqa: BLE001 - whatever it is, what is due stays in the outbox
                _logger.warning("the outbox cannot be read: %s", error)
                found = 0
            if not found:
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await self._news.wait()
            self._news.clear()

    async def _deliver_due(self) -> int:
        """How many deliveries were begun."""
        now = datetime.now(UTC)
        if self._under_way:
            await self._database(self._outbox.renew, [row.id for row in self._under_way.values()], now)
        room = MAX_AT_ONCE - len(self._under_way)
        if room <= 0:
            return 0
        busy = {row.channel for row in self._under_way.values()}
        rows = await self._database(self._outbox.claim, now, limit=min(room, MAX_PER_CHANNEL), besides=busy)
        for row in rows:
            task = asyncio.create_task(self._deliver(row))
            self._under_way[task] = row
            task.add_done_callback(self._done)
        return len(rows)

    def _done(self, task: asyncio.Task[None]) -> None:
        del self._under_way[task]
        self._news.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            _logger.error("a delivery ended in an unexpected way; it is repeated", exc_info=error)

    async def _deliver(self, row: Notification) -> None:
        """Tell it and write down how that went."""
        try:
            channel = await self._database(self._channels.get, row.channel)
            await self._sender.send(channel, letter_of(row))
        except (NotDelivered, NotFound) as error:
            await self._failed(row, error)
        except Exception as error:
            _logger.exception("a notification cannot be told")
            await self._failed(row, NotDelivered(f"unexpected: {type(error).__name__}"))
        else:
            self.outcomes[row.topic, "delivered"] += 1
            await self._database(self._outbox.delivered, row, datetime.now(UTC))

    async def _failed(self, row: Notification, error: NotDelivered | NotFound) -> None:
        tried = row.attempts + 1
        is_final = isinstance(error, NotFound) or error.is_final or tried >= self._max_attempts
        pause = pause_before(tried, self._first_pause)
        if isinstance(error, NotDelivered) and error.wait is not None:
            pause = min(max(pause, error.wait), LONGEST_PAUSE)
        self.outcomes[row.topic, "dead" if is_final else "failed"] += 1
        log = _logger.error if is_final else _logger.warning
        log("%s was not told to %s (attempt %d): %s", row.topic, row.channel, tried, error)
        again_at = None if is_final else datetime.now(UTC) + pause
        await self._database(self._outbox.failed, row, str(error), again_at=again_at)

    async def _keep_house(self) -> None:
        """Now and then, count what waits and forget what is long over."""
        now = asyncio.get_running_loop().time()
        if now - self._counted_at >= _COUNT_SECONDS:
            self._counted_at = now
            self.depth = await self._database(self._outbox.depth)
        if now - self._tidied_at >= _TIDY_SECONDS:
            self._tidied_at = now
            await self._database(self._outbox.forget, datetime.now(UTC) - self._kept)

    async def _database(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """The function's result, worked out in the one thread that speaks to the database."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, partial(function, *args, **kwargs))
