"""The loop that evaluates: on a schedule, and soon after events arrive, in one process of the deployment at a time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Final

from budgets.lease import TTL_SECONDS, Lease
from budgets.live import Live
from budgets.relay import Relay
from budgets.round import Round
from budgets.status import Snapshot
from budgets.targets import Definition, Targets
from core.errors import ApportionError

LEASE_NAME: Final = "budgets"
GAP_SECONDS: Final = 0.5
"""Between one evaluation and the next lie so much, or twice what the last one took: most of the time is for others."""
BEAT_SECONDS: Final = 1.0
"""How often the lease is renewed, and how often those who do not hold it look for news."""
PATIENCE: Final = 2
"""So many failed evaluations in a row are those of a process that had better let others try."""

_logger = logging.getLogger("apportion.budgets")


class Evaluator:
    """Evaluates while this process holds the lease; else it follows who does, by the relay, where there may be others.

    A holder whose evaluations fail lets the others try. Once it has been seen to that nothing is watched, there is
    nothing to do until something is.
    """

    def __init__(
        self, targets: Targets, round_: Round, lease: Lease, live: Live, relay: Relay | None, *, interval_seconds: float
    ) -> None:
        self._targets = targets
        self._round = round_
        self._lease = lease
        self._live = live
        self._relay = relay
        self._interval = interval_seconds
        self._is_holder = False
        self._is_at_rest = False
        self._failures = 0
        self._steps_back_until = time.monotonic()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._due = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._thread = ThreadPoolExecutor(2, thread_name_prefix="budgets")

    def wake(self) -> None:
        """Evaluate soon: events were stored, or a target changed. From any thread, and as often as one likes."""
        if self._loop is not None and not self._due.is_set():
            with contextlib.suppress(RuntimeError):  # the loop has just closed
                self._loop.call_soon_threadsafe(self._due.set)

    async def start(self) -> None:
        """Begin."""
        self._loop = asyncio.get_running_loop()
        self._tasks = [asyncio.create_task(self._evaluate()), asyncio.create_task(self._beat())]

    async def close(self) -> None:
        """Stop, and let another process take over at once."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._thread.shutdown()
        self._loop = None
        if self._is_holder:
            with contextlib.suppress(ApportionError):
                self._lease.release()

    async def _evaluate(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            started, turn = clock(), partial(self._turn, called=self._due.is_set())
            self._due.clear()
            await self._guarded(turn)
            took = clock() - started
            await asyncio.sleep(max(GAP_SECONDS, 2 * took))
            due = started + (self._interval if self._is_holder else BEAT_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._due.wait()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            if self._is_holder:
                await self._guarded(self._renew)

    async def _guarded(self, work: Callable[[], None]) -> None:
        """The work, done in a thread; what goes wrong is logged, and tried again in its time."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except ApportionError as error:
            _logger.warning("budgets are not evaluated now: %s", error)
        except Exception:
            _logger.exception("budgets cannot be evaluated")

    def _turn(self, *, called: bool) -> None:
        targets = self._targets.all()
        if not targets:
            self._live.publish(Snapshot(datetime.now(UTC)))  # nothing to watch is known, too
        self._is_at_rest = self._is_at_rest and not targets
        if self._is_at_rest:
            return
        self._is_holder = time.monotonic() >= self._steps_back_until and self._lease.hold()
        if self._is_holder:
            self._hold_round()
            self._is_at_rest = not targets
        else:
            self._failures = 0
            self._follow(targets, called=called)

    def _hold_round(self) -> None:
        """One evaluation. Who fails at it twice, where others may not, lets go of the lease for as long as it lives."""
        try:
            self._evaluate_once()
        except Exception:
            self._failures += 1
            if self._relay and self._failures >= PATIENCE:
                self._failures, self._is_holder = 0, False
                self._steps_back_until = time.monotonic() + TTL_SECONDS
                self._lease.release()
            raise
        self._failures = 0

    def _evaluate_once(self) -> None:
        """How everything stands is made known whether or not it could be put on record."""
        seen = self._round.look(datetime.now(UTC))
        try:
            self._round.record(seen)
        finally:
            self._live.publish(seen.snapshot)
            if self._relay:
                self._relay.write(seen.snapshot, self._lease)

    def _follow(self, targets: Sequence[Definition], *, called: bool) -> None:
        if self._relay is None:
            return
        if called:
            self._relay.call()
        if targets and (news := self._relay.read(self._live.snapshot, targets)):
            self._live.publish(news)

    def _renew(self) -> None:
        self._is_holder = self._lease.renew()
        if self._is_holder and self._relay and self._relay.was_called():
            self.wake()
