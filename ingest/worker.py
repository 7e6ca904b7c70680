"""One thread for blocking work, awaited from the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Worker:
    """Runs one piece of work at a time, in the order asked for. Used by the event loop alone."""

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._callers = 0

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits for any work."""
        return not self._callers

    async def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """The function's result. Cancelled, work that has begun goes on unheard, and other work is dropped."""
        self._callers += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: function(*args, **kwargs))
        finally:
            self._callers -= 1

    def close(self) -> None:
        """Take no more work. What has begun ends by itself."""
        self._thread.shutdown(wait=False, cancel_futures=True)
