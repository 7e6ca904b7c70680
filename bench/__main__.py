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

from bench import decisions, evaluation, ingest, query
from bench.chunks import Chunk
from bench.figures import Figure, show, write
from bench.limit import Limit
from bench.load import prepare
from bench.server import Server
from bench.workloads import JSON_ARRAYS, WORKLOADS, Workload

_PIPE_COLUMNS = 170
_SEED = 7
_terminal = Console()
console = _terminal if _terminal.is_terminal else Console(width=_PIPE_COLUMNS)


@unique
class Part(Enum):
    """What can be measured by itself."""

    INGEST = "ingest"
    QUERY = "query"
    MEMORY = "memory"
    EVALUATION = "evaluation"
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
    chunks: list[Chunk] = []
    if parts & {Part.INGEST, Part.MEMORY}:
        with Server(directory / "served") as server, Limit(directory / "limit") as limit:
            for seed, workload in enumerate(WORKLOADS if Part.INGEST in parts else ()):
                given = _chunks(directory, min(events, ingest.rate_events(workload)), workload, seed)
                console.print(f"measuring {workload.name} ...")
                yield ingest.rates(given, workload, server, limit)
            if Part.MEMORY in parts:
                chunks = _chunks(directory, events, JSON_ARRAYS, _SEED)
                console.print("measuring memory ...")
                yield ingest.memory(chunks, events, server, limit)
    if Part.QUERY in parts:
        chunks = chunks or _chunks(directory, events, JSON_ARRAYS, _SEED)
        console.print("measuring queries ...")
        yield from query.measure(chunks, directory / "queried", runs)
    if Part.EVALUATION in parts:
        chunks = chunks or _chunks(directory, events, JSON_ARRAYS, _SEED)
        console.print("measuring the evaluation of budgets ...")
        yield evaluation.measure(chunks, directory / "evaluated", runs, budgets=min(evaluation.BUDGETS, events))
    if Part.DECISIONS in parts:
        console.print("measuring decisions ...")
        yield from decisions.measure(directory / "decided", budgets=min(decisions.BUDGETS, events))


def _chunks(directory: Path, events: int, workload: Workload, seed: int) -> list[Chunk]:
    made = prepare(directory, events, workload, seed=seed)
    return list(track(made, "making events", -(-events // workload.chunk_events), console=console))


if __name__ == "__main__":
    typer.run(main)
