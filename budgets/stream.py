"""Evaluations as they come, for listeners in the event loop: each gets the newest, whatever it has missed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Final

from budgets.live import Live
from budgets.status import BudgetState, Snapshot
from core.errors import Unavailable

MAX_LISTENERS: Final = 1_000
"""To evaluations, and as many to breaches, in one process."""


class TooManyListeners(Unavailable):
    """The process tells as many as it can."""

    code = "TOO_MANY_SUBSCRIPTIONS"

    def __init__(self) -> None:
        super().__init__(f"{MAX_LISTENERS:,} subscriptions of that kind are open here; close some, or ask now and then")


def check_room(listeners: int) -> None:
    """Raises TooManyListeners when one more is too many."""
    if listeners >= MAX_LISTENERS:
        raise TooManyListeners


@dataclass(frozen=True, slots=True)
class Moment:
    """A snapshot, and a number for each budget that changes with what is worth telling of it."""

    snapshot: Snapshot
    marks: Mapping[int, int]

    @classmethod
    def of(cls, snapshot: Snapshot) -> Moment:
        """The moment of that snapshot."""
        return cls(snapshot, {id_: _mark(state) for id_, state in snapshot.budgets.items()})


def _mark(state: BudgetState) -> int:
    """Of what is spent, limits, and thresholds that are reached: forecasts themselves move with every second."""
    stands = frozenset(
        (member, each.spent, each.limit, each.period.start, tuple(map(each.reaches, each.terms.thresholds)))
        for member, each in state.statuses.items()
    )
    return hash((state.version, stands))


class SnapshotStream:
    """The snapshots of one process. Nothing is queued, so that no listener costs memory or holds up another."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._listeners: set[asyncio.Event] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._latest: tuple[Snapshot, asyncio.Future[Moment]] | None = None
        self._closed = False
        live.listen(self._published)

    async def listen(self) -> AsyncGenerator[Moment, None]:
        """The present snapshot, then newer ones, until `close`. Raises TooManyListeners at once."""
        check_room(len(self._listeners))
        self._loop, news = asyncio.get_running_loop(), asyncio.Event()
        self._listeners.add(news)
        try:
            while not self._closed:
                news.clear()
                yield await self._moment()
                await news.wait()
        finally:
            self._listeners.discard(news)

    def close(self) -> None:
        """End every listener's stream."""
        self._closed = True
        self._wake()

    async def _moment(self) -> Moment:
        """That of the newest snapshot, worked out in a thread, once for all listeners."""
        snapshot = self._live.snapshot
        if self._latest is None or self._latest[0] is not snapshot:
            self._latest = snapshot, asyncio.ensure_future(asyncio.to_thread(Moment.of, snapshot))
        return await asyncio.shield(self._latest[1])

    def _published(self, _: Snapshot) -> None:
        if self._listeners and self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has just closed
                self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        for news in self._listeners:
            news.set()
