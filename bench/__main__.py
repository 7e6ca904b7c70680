"""`python -m bench`: the hot paths measured and printed beside their physical limits. It reports; it does not judge."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from enum import Enum, unique
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from bench import decisions, ingest, query
from bench.chunks import CHUNK_EVENTS, Chunk
from bench.figures import Figure, show, write
from bench.load import prepare

_PIPE_COLUMNS = 150
_terminal = Console()
console = _terminal if _terminal.is_terminal else Console(width=_PIPE_COLUMNS)


@unique
class Part(Enum):
    """What can be measured by itself."""

    INGEST = "ingest"
    QUERY = "query"
    MEMORY = "memory"
    DECISIONS = "decisions"


def main(
    events: Annotated[int, typer.Option(help="How many events to query, and to hold in memory.", min=1)] = 1_000_000,
    only: Annotated[Part | None, typer.Option(help="Measure this alone.")] = None,
    runs: Annotated[int, typer.Option(help="How often each query is asked.", min=2)] = 25,
    json: Annotated[Path | None, typer.Option(help="Also write the figures to this file.")] = None,
) -> None:
    """Measure ingest, queries and memory against their physical limits, and print one table."""
    parts = set(Part) if only is None else {only}
    with tempfile.TemporaryDirectory(prefix="apportion-bench-") as directory:
        figures = list(_figures(Path(directory), events, parts, runs))
    show(figures, console)
    if json is not None:
        write(figures, events, json)


def _figures(directory: Path, events: int, parts: set[Part], runs: int) -> Iterator[Figure]:
    chunks = _chunks(directory, events, parts) if parts != {Part.DECISIONS} else []
    if parts & {Part.INGEST, Part.MEMORY}:
        console.print("measuring ingest ...")
        yield from ingest.measure(chunks, directory, rate=Part.INGEST in parts, memory=Part.MEMORY in parts)
    if Part.QUERY in parts:
        console.print("measuring queries ...")
        yield from query.measure(chunks, directory / "queried", runs)
    if Part.DECISIONS in parts:
        console.print("measuring decisions ...")
        yield from decisions.measure(directory / "decided", budgets=min(decisions.BUDGETS, events))


def _chunks(directory: Path, events: int, parts: set[Part]) -> list[Chunk]:
    needed = min(events, ingest.RATE_EVENTS) if parts == {Part.INGEST} else events
    making = track(prepare(directory, needed), "making events", -(-needed // CHUNK_EVENTS), console=console)
    return list(making)


if __name__ == "__main__":
    typer.run(main)
