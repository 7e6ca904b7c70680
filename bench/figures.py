"""What was measured, beside its physical limit and its aim; as a table for people and as JSON for machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Column, Table


@dataclass(frozen=True, slots=True)
class Figure:
    """One number, in `unit`. `limit` was measured in the same run, by doing only what `limit_is` says."""

    name: str
    unit: str
    measured: float
    limit: float
    limit_is: str
    ratio: float
    aim: str
    met: bool
    note: str = ""


def show(figures: Sequence[Figure], console: Console) -> None:
    """Print the table."""
    numeric = [Column(name, justify="right") for name in ("measured", "limit", "ratio")]
    table = Table("figure", *numeric, "the limit is", "aim", "", "note", show_lines=True)
    for figure in figures:
        met = "[green]met[/green]" if figure.met else "[red]missed[/red]"
        numbers = (f"{_number(figure.measured)} {figure.unit}", _number(figure.limit), f"{figure.ratio:.2f}")
        table.add_row(figure.name, *numbers, figure.limit_is, figure.aim, met, figure.note)
    console.print(table)


def write(figures: Sequence[Figure], events: int, path: Path) -> None:
    """Write `{"events": ..., "figures": [...]}`."""
    document = {"events": events, "figures": [asdict(figure) for figure in figures]}
    path.write_bytes(msgspec.json.format(msgspec.json.encode(document)))


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1_000 else f"{value:,.1f}"
