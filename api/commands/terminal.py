"""How commands speak: results on standard output, everything else on standard error, names exactly as they are."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from rich.console import Console
from rich.table import Table

_PIPE_WIDTH: Final = 1_000
"""Wide enough that no cell is wrapped or cut where there is no terminal to fit into."""


def _console(*, stderr: bool = False) -> Console:
    """A console that shows `[red]` and `:smile:` as they are: both may be part of a name."""
    width = None if (sys.stderr if stderr else sys.stdout).isatty() else _PIPE_WIDTH
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False, soft_wrap=True, width=width)


def say(text: str) -> None:
    """A result, for people."""
    _console().print(text)


def note(text: str) -> None:
    """Something beside the result, for people."""
    _console(stderr=True).print(text)


def complain(text: str) -> None:
    """Why it could not be done."""
    _console(stderr=True).print(f"apportion: {text}", style="red")


def show(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table."""
    table = Table(*header)
    for row in rows:
        table.add_row(*row)
    _console().print(table, soft_wrap=False)


def moment(instant: datetime | None) -> str:
    """The instant to the second; nothing for none."""
    return instant.isoformat(timespec="seconds") if instant else ""


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on standard error, and how to tell it: how many are done, of how many."""
    # Only the commands that take long pay for its import.
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, events: progress.update(task, completed=done, total=max(done, events))
