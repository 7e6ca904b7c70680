"""Work that gives way is the same work, and others get their turn in the midst of it."""

from __future__ import annotations

import threading
import time

from budgets.pacing import STRETCH_SECONDS, Paced


def test_the_same_things_come_in_the_same_order():
    paced = Paced(list(range(1_000)))
    assert list(paced) == list(range(1_000))
    assert len(paced) == 1_000
    assert 7 in paced
    assert -1 not in paced


def test_another_thread_gets_its_turn():
    turns = []
    done = threading.Event()

    def wait() -> None:
        while not done.is_set():
            turns.append(time.perf_counter())
            time.sleep(0.0005)

    other = threading.Thread(target=wait)
    other.start()
    for _ in Paced(range(20)):
        busy_until = time.perf_counter() + STRETCH_SECONDS
        while time.perf_counter() < busy_until:
            pass
    done.set()
    other.join()
    assert len(turns) >= 10
