"""Work on many targets, of which one that is odd must not stop the others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

_logger = logging.getLogger("apportion.budgets")


class Apart:
    """Does work on one target after the other. Those on which it failed are `failed`, and in the log."""

    def __init__(self) -> None:
        self.failed: set[int] = set()

    def each(self, items: Iterable[T], id_of: Callable[[T], int], work: Callable[[T], R]) -> Iterator[R]:
        """What the work makes of each item on which it does not fail; `id_of` says whose the item is."""
        for item in items:
            try:
                made = work(item)
            except Exception:
                _logger.exception("target %d cannot be evaluated now", id_of(item))
                self.failed.add(id_of(item))
            else:
                yield made
