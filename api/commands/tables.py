"""Reading a CSV file for a command, and telling how far it came and what is wrong with which line."""

# ruff: noqa: PLC0415 - commands import what they work with when they run: help and typos answer at once

from __future__ import annotations

import csv
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from api.commands.terminal import complain
from core.errors import InvalidInput

CsvFile = Annotated[Path, typer.Argument(help="A CSV file in UTF-8 whose first line names the columns.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what is wrong and what would change.")]


class UnusableTable(InvalidInput):
    """The file is no table that can be read."""

    code = "UNUSABLE_TABLE"

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} cannot be read: {reason}")


def read_table(
    path: Path, *, required: Collection[str], known: Callable[[str], bool]
) -> list[tuple[int, dict[str, str]]]:
    """Each row's line number and its cells by column. Raises UnusableTable."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            header = reader.fieldnames or []
            _check_header(path, header, required, known)
            return [(reader.line_num, _cells(path, reader.line_num, row)) for row in reader]
    except OSError as error:
        raise UnusableTable(path, error.strerror or "it cannot be opened") from None
    except UnicodeDecodeError:
        raise UnusableTable(path, "it is not UTF-8") from None
    except csv.Error as error:
        raise UnusableTable(path, str(error)) from None


def _check_header(path: Path, header: Collection[str], required: Collection[str], known: Callable[[str], bool]) -> None:
    missing = [name for name in required if name not in header]
    unknown = [name for name in header if not known(name)]
    if missing:
        raise UnusableTable(path, f"it has no column {', '.join(missing)}")
    if unknown:
        raise UnusableTable(path, f"nothing is known of the column {', '.join(map(repr, unknown))}")


def _cells(path: Path, line: int, row: Mapping[str | None, str | None]) -> dict[str, str]:
    if None in row or None in row.values():
        raise UnusableTable(path, f"line {line} has not as many cells as the first one")
    return {str(name): str(cell).strip() for name, cell in row.items()}


def complain_of(line: int, reason: str) -> None:
    """What is wrong with a line."""
    complain(f"line {line}: {reason}")


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error, and how to tell it that so many more are done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.advance(task, done)
