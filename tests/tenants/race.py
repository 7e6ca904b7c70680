"""Two processes that begin the same work at the same instant."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

_gate: Any = None


def race(work: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What `work` returns in each of two fresh interpreters. Raises what it raises."""
    context = get_context("spawn")
    gate = context.Barrier(2)
    with ProcessPoolExecutor(2, mp_context=context, initializer=_enter, initargs=(gate,)) as pool:
        runs = [pool.submit(_run, work, arguments) for _ in range(2)]
        return [run.result(timeout=60) for run in runs]


def _enter(gate: Any) -> None:
    global _gate  # noqa: PLW0603 - a barrier reaches another process by inheritance only
    _gate = gate


def _run(work: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    _gate.wait(timeout=60)
    return work(*arguments)
