"""`apportion budgets`: budgets and guardrails kept in a file, planned and applied. Works beside a running server."""

# ruff: noqa: PLC0415 - commands import what they work with when they run: help and typos answer at once

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.commands.stores import DataDir, database_of, settings_with
from api.commands.terminal import note, say, show

if TYPE_CHECKING:
    from budgets.file import Step
    from budgets.targets import Targets

budgets = typer.Typer(no_args_is_help=True, help="Budgets and guardrails in a file: plan, apply, export.")

File = Annotated[Path, typer.Argument(help="The file, such as budgets.yaml.", exists=True, dir_okay=False)]
Team = Annotated[str | None, typer.Option(help="Only what this team owns.")]
Prune = Annotated[bool, typer.Option("--prune", help="Delete what the file does not name.")]


@contextmanager
def _targets(data_dir: Path | None) -> Iterator[Targets]:
    from budgets.targets import Targets

    with database_of(settings_with(data_dir=data_dir)) as database:
        yield Targets(database)


@budgets.command("plan")
def plan_file(file: File, prune: Prune = False, team: Team = None, data_dir: DataDir = None) -> None:  # noqa: FBT002
    """Show what applying the file would change. Changes nothing."""
    with _targets(data_dir) as targets:
        _show(_plan(file, targets, prune=prune, team=team))


@budgets.command("apply")
def apply_file(
    file: File,
    prune: Prune = False,  # noqa: FBT002
    team: Team = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,  # noqa: FBT002
    data_dir: DataDir = None,
) -> None:
    """Make budgets and guardrails what the file says. What it does not name stays, unless --prune is given.

    Applied twice, it changes nothing the second time. A running server notices within seconds.
    """
    with _targets(data_dir) as targets:
        steps = _plan(file, targets, prune=prune, team=team)
        if _show(steps) and (yes or typer.confirm("Apply?", err=True)):
            for step in steps:
                _do(step, targets)
            say("applied")


@budgets.command("export")
def export_file(team: Team = None, data_dir: DataDir = None) -> None:
    """Print all budgets and guardrails as such a file: applied, it changes nothing."""
    from budgets.file import write_file

    with _targets(data_dir) as targets:
        sys.stdout.write(write_file(each.terms for each in targets.all() if team in {None, each.terms.team}))


@budgets.command("list")
def list_targets(team: Team = None, data_dir: DataDir = None) -> None:
    """List budgets and guardrails. How they stand is told by the server: GraphQL's `budgets` and `guardrails`."""
    rows = []
    with _targets(data_dir) as targets:
        for each in targets.all():
            if team in {None, each.terms.team}:
                measure = each.terms.measure.spec.name
                rows.append([str(each.id), each.kind.value, each.terms.name, each.terms.team, measure, each.created_by])
    show(["id", "kind", "name", "team", "measure", "created by"], rows)


def _plan(file: Path, targets: Targets, *, prune: bool, team: str | None) -> Sequence[Step]:
    from budgets.file import plan, read_file

    return plan(read_file(file.read_text()), targets.all(), prune=prune, team=team)


def _show(steps: Sequence[Step]) -> bool:
    """Print what there is to do; whether there is anything."""
    from budgets.file import Change

    for step in steps:
        if step.change is not Change.KEEP:
            for line in step.lines():
                say(line)
    counts = Counter(step.change for step in steps)
    note(", ".join(f"{counts[change]} to {change.name.lower()}" for change in Change))
    return any(counts[change] for change in Change if change is not Change.KEEP)


def _do(step: Step, targets: Targets) -> None:
    from tenants.audit import COMMAND_LINE

    match step.before, step.after:
        case None, after if after is not None:
            targets.create(after, by=COMMAND_LINE)
        case before, None if before is not None:
            targets.delete(before, by=COMMAND_LINE)
        case before, after if before is not None and after is not None and before.terms != after:
            targets.update(before, after, by=COMMAND_LINE)
