"""Giving way: work on many things in a thread in short stretches, so that requests in the same process get a turn."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

T = TypeVar("T")

STRETCH_SECONDS: Final = 0.002
PAUSE_SECONDS: Final = 0.001
"""How long the interpreter is left to others. To pass it back and forth for every read of a socket takes far longer."""


@dataclass(frozen=True, slots=True)
class Paced(Collection[T], Generic[T]):
    """The same things in the same order; whoever goes through them pauses after each stretch. For threads only."""

    items: Collection[T]

    def __iter__(self) -> Iterator[T]:
        since = time.perf_counter()
        for item in self.items:
            yield item
            if time.perf_counter() - since > STRETCH_SECONDS:
                time.sleep(PAUSE_SECONDS)
                since = time.perf_counter()

    def __len__(self) -> int:
        return len(self.items)

    def __contains__(self, item: object) -> bool:
        return item in self.items
