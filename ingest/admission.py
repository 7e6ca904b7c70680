"""A bound on the bytes of bodies that one process holds at the same time, whatever the number of connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from core.errors import Unavailable

PATIENCE_SECONDS: Final = 5
"""How long a body waits unread for others to be done, before its sender is told to come back."""


class Overloaded(Unavailable):
    """As many bytes are being worked on as may be."""

    code = "OVERLOADED"

    def __init__(self) -> None:
        super().__init__("too many bytes of events are being worked on; send them again shortly")


class Hold:
    """The bytes that one request holds."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self.bytes = 0

    async def wait_for(self, count: int) -> None:
        """Hold that many bytes once there is room for them. Raises Overloaded when that takes too long."""
        admission = self._admission
        if not admission.has_room(count):
            await self._wait(count)
        admission.held += count
        self.bytes += count

    async def _wait(self, count: int) -> None:
        """Return in the very moment in which there is room."""
        admission = self._admission
        admission.waiting += 1
        try:
            async with admission.room, asyncio.timeout(PATIENCE_SECONDS):
                await admission.room.wait_for(lambda: admission.has_room(count))
        except TimeoutError:
            raise Overloaded from None
        finally:
            admission.waiting -= 1

    async def resize(self, count: int) -> None:
        """Hold as many bytes as the body turned out to have. Raises Overloaded at once when more do not fit."""
        more = count - self.bytes
        if more > 0 and not self._admission.has_room(more, held_already=self.bytes):
            raise Overloaded
        self._admission.held += more
        self.bytes = count
        if more < 0 and self._admission.waiting:
            async with self._admission.room:
                self._admission.room.notify_all()


class Admission:
    """At most `limit` bytes held, or one body beyond it. Used by the event loop alone."""

    def __init__(self, limit: int) -> None:
        self.held = 0
        self.waiting = 0
        """How many bodies wait for room."""
        self.room = asyncio.Condition()
        self._limit = limit

    def has_room(self, count: int, *, held_already: int = 0) -> bool:
        """Whether one that holds so many bytes already may hold that many more now: if they fit, or it is alone."""
        return self.held == held_already or self.held + count <= self._limit

    def holding(self, endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        """The endpoint, with a hold in `request.state.hold` until it has answered."""

        async def held(request: Request) -> Response:
            async with self.hold() as request.state.hold:
                return await endpoint(request)

        return held

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[Hold]:
        """A hold on nothing yet, given back at the end."""
        hold = Hold(self)
        try:
            yield hold
        finally:
            await hold.resize(0)
