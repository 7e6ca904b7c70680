"""What happens soon, but not at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(ask: Callable[[], T], seconds: float = 30) -> T:
    """The first answer that is not empty."""
    until = time.monotonic() + seconds
    while not (found := ask()):
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)
    return found
