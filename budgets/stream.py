"""Evaluations as they come, for listeners in the event loop: each gets the newest, whatever it has missed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from budgets.live import Live
from budgets.status import Snapshot


class SnapshotStream:
    """The snapshots of one process. Nothing is queued, so that no listener costs memory or holds up another."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._listeners: set[asyncio.Event] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        live.listen(self._published)

    async def listen(self) -> AsyncGenerator[Snapshot, None]:
        """The present snapshot, then newer ones, until `close`."""
        self._loop, news = asyncio.get_running_loop(), asyncio.Event()
        self._listeners.add(news)
        try:
            while not self._closed:
                news.clear()
                yield self._live.snapshot
                await news.wait()
        finally:
            self._listeners.discard(news)

    def close(self) -> None:
        """End every listener's stream."""
        self._closed = True
        self._wake()

    def _published(self, _: Snapshot) -> None:
        if self._listeners and self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has just closed
                self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        for news in self._listeners:
            news.set()
