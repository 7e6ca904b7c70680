"""`apportion allocations`: shared costs, shared out."""

# ruff: noqa: PLC0415 - commands import what they work with when they run: help and typos answer at once

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from api.commands.stores import DataDir, settings_with
from api.commands.terminal import say, show

if TYPE_CHECKING:
    from attribution.event import Pico
    from finance.allocation.allocator import Allocation

allocations = typer.Typer(no_args_is_help=True, help="Shared charges, allocated by the rules in force.")


@allocations.command("run")
def run_allocation(
    period: Annotated[str, typer.Option(help="The month, such as 2026-10.")],
    timezone: Annotated[str, typer.Option(help="The zone whose month it is, such as Europe/Berlin.")] = "UTC",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show who would bear what.")] = False,  # noqa: FBT002
    data_dir: DataDir = None,
) -> None:
    """Share out the month's charges as the rules say. Run it again after late usage: rows are replaced, never doubled.

    With an embedded store that a server has open, use the GraphQL mutation runAllocation instead.
    """
    from api.serving import open_services
    from core.time import parse_timezone
    from finance.month import Month
    from tenants.audit import COMMAND_LINE

    month, zone = Month.parse(period), parse_timezone(timezone)
    services = open_services(settings_with(data_dir=data_dir))
    try:
        allocator = services.money.allocator
        done = allocator.preview(month, zone) if dry_run else allocator.run(month, zone, by=COMMAND_LINE)
    finally:
        services.release()
    _tell(done, dry_run=dry_run)


def _tell(done: Allocation, *, dry_run: bool) -> None:
    if done.borne:
        show(
            ["rule", "member", "amount", "share", "basis"],
            [[b.rule, b.member, _amount(b.amount), str(b.fraction), str(b.basis)] for b in done.borne],
        )
    for left in done.unallocated:
        say(f"unallocated: {_amount(left.amount)} of {left.description or left.event_id}: {left.reason}")
    say(f"{_amount(done.allocated)} of {_amount(done.charged)} allocated")
    would = "would be " if dry_run else ""
    found = done.changes
    say(f"{len(found.written)} rows {would}written, {len(found.removed)} {would}taken back, {found.unchanged} stay")


def _amount(pico: Pico) -> str:
    from core.money import from_pico, plain

    return plain(from_pico(pico))
