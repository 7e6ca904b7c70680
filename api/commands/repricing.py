"""`apportion prices reprice`: stored events at today's prices."""

# ruff: noqa: PLC0415 - commands import what they work with when they run: help and typos answer at once

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from api.commands.arguments import instant
from api.commands.stores import DataDir, settings_with
from api.commands.terminal import note, progress, say, show

if TYPE_CHECKING:
    from attribution.event import Pico
    from ingest.repricing import Repricer, Wanted
    from ingest.tally import Change, Tally


def reprice(
    since: Annotated[str, typer.Option(help="First instant of the events: 2026-03-01T00:00:00Z.")],
    until: Annotated[str | None, typer.Option(help="First instant after them; without it, until now.")] = None,
    model: Annotated[str | None, typer.Option(help="Only events of this model.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's events.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,  # noqa: FBT002
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,  # noqa: FBT002
    data_dir: DataDir = None,
) -> None:
    """Rate stored events again with today's price book, at the rates of their own time; say first what changes.

    Reported costs stay. Interrupted, the same command goes on where it was. With an embedded store that a server has
    open, use the GraphQL mutation repriceEvents instead.
    """
    from api.serving import open_services
    from ingest.repricing import Wanted

    end = None if until is None else instant(until, "--until")
    wanted = Wanted(instant(since, "--since"), end, model=model, tenant_id=tenant)
    services = open_services(settings_with(data_dir=data_dir))
    try:
        if _is_wanted(services.repricer, wanted, dry_run=dry_run, yes=yes):
            _reprice(services.repricer, wanted)
    finally:
        services.release()


def _is_wanted(repricer: Repricer, wanted: Wanted, *, dry_run: bool, yes: bool) -> bool:
    """Whether to go on, once it was shown what changes."""
    with progress("reading events") as told:
        tally = repricer.preview(wanted, told=told)
    _show(tally)
    if dry_run:
        return False
    if repricer.is_unfinished(wanted):
        note("an interrupted repricing goes on where it was")
    elif not tally.total.changed:
        return False
    return yes or typer.confirm("Reprice?", abort=True, err=True)


def _reprice(repricer: Repricer, wanted: Wanted) -> None:
    from tenants.audit import COMMAND_LINE

    with progress("repricing") as told:
        outcome = repricer.run(wanted, by=COMMAND_LINE, told=told)
    total = outcome.tally.total
    say(f"{total.changed} of {total.events} events repriced, effective cost {_signed(total.difference)}")


def _show(tally: Tally) -> None:
    header = ["provider", "model", "events", "changing", "rated", "rated anew", "effective", "effective anew"]
    rows = [[*model, *_cells(change)] for model, change in tally.by_difference if change.changed]
    if rows:
        show([*header, "difference"], [*rows, ["all", "", *_cells(tally.total)]])
    total = tally.total
    say(f"{total.changed} of {total.events} events change, effective cost {_signed(total.difference)}")
    if total.old_unpriced or total.new_unpriced:
        say(f"{total.old_unpriced} events are without a cost, {total.new_unpriced} afterwards")


def _cells(change: Change) -> list[str]:
    amounts = (change.old_rated, change.new_rated, change.old_effective, change.new_effective)
    return [str(change.events), str(change.changed), *map(_amount, amounts), _signed(change.difference)]


def _amount(pico: Pico) -> str:
    from core.money import from_pico, plain

    return plain(from_pico(pico))


def _signed(pico: Pico) -> str:
    return ("+" if pico > 0 else "") + _amount(pico)
