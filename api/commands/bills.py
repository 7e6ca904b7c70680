"""`apportion bills`: what providers charged."""

# ruff: noqa: PLC0415 - commands import what they work with when they run: help and typos answer at once

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.commands.stores import DataDir, database_of, settings_with
from api.commands.terminal import moment, note, say, show

if TYPE_CHECKING:
    from finance.bills.outcome import Outcome
    from finance.bills.stored import Bill
    from finance.reconciliation.true_ups import TrueUp

bills = typer.Typer(no_args_is_help=True, help="Providers' bills: import, list, and book what they say beyond usage.")

_HEADER = ["id", "provider", "payer", "month", "lines", "cost", "credits", "taxes", "currency", "days"]


@bills.command("import")
def import_bill(
    file: Annotated[Path, typer.Argument(help="The bill, also packed with gzip or zip.", exists=True, dir_okay=False)],
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            help="auto, openai-costs, anthropic-cost, aws-cur, focus, azure, gcp, pinecone or generic-csv.",
        ),
    ] = "auto",
    payer: Annotated[str | None, typer.Option(help="Which of several accounts at the provider is billed.")] = None,
    skip_errors: Annotated[bool, typer.Option("--skip-errors", help="Import the other lines all the same.")] = False,  # noqa: FBT002
    replace: Annotated[  # noqa: FBT002
        bool, typer.Option("--replace", help="Replace a bill of other accounts or of more days, too.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Import a bill. What it holds replaces what was known of that provider and month (or day); repeating is safe.

    With an embedded store that a server has open, use POST /v1/bills instead.
    """
    from api.serving import open_services
    from finance.bills.formats import format_named
    from finance.bills.outcome import Wanted
    from tenants.audit import COMMAND_LINE

    wanted = Wanted(None if format_ == "auto" else format_named(format_), payer, file.name, skip_errors, replace)
    services = open_services(settings_with(data_dir=data_dir))
    try:
        with file.open("rb") as opened:
            outcome = services.money.bills.run(opened, wanted, by=COMMAND_LINE)
    finally:
        services.release()
    _tell(outcome)
    if not outcome.done:
        raise typer.Exit(1)


def _tell(outcome: Outcome) -> None:
    for text in outcome.notes:
        note(f"note: {text}")
    if outcome.unknown_columns:
        note(f"not understood, and left out: {', '.join(outcome.unknown_columns)}")
    for error in outcome.errors[:20]:
        note(f"line {error.line}: {error.field} ({error.rule}): {error.message}")
    if outcome.error_count:
        note(f"{outcome.error_count} lines are at fault")
    if not outcome.done:
        note("nothing was imported; mend the file, or leave those lines out with --skip-errors")
        return
    show(_HEADER, [_cells(imported.bill) for imported in outcome.bills])
    for imported in outcome.bills:
        if imported.replaced is not None:
            say(f"replaced the import {imported.replaced.id} of {moment(imported.replaced.imported_at)}")


@bills.command("remove")
def remove_bill(
    number: Annotated[int, typer.Argument(help="The bill's id, as `list` shows it.")],
    data_dir: DataDir = None,
) -> None:
    """Remove a bill that should not have been imported. What was booked from it goes with the next true-up.

    With an embedded store that a server has open, use the GraphQL mutation removeBill instead.
    """
    from api.serving import open_services
    from tenants.audit import COMMAND_LINE

    services = open_services(settings_with(data_dir=data_dir))
    try:
        bill = services.money.bills.remove(number, by=COMMAND_LINE)
    finally:
        services.release()
    say(f"removed the bill of {bill.provider} for {bill.period:%Y-%m}")


@bills.command("list")
def list_bills(data_dir: DataDir = None) -> None:
    """List the bills in force."""
    from finance.bills.stored import current_bills

    with database_of(settings_with(data_dir=data_dir)) as database, database.session() as session:
        rows = [_cells(bill) for bill in current_bills(session)]
    show(_HEADER, rows)


def _cells(bill: Bill) -> list[str]:
    from core.money import plain

    amounts = [plain(amount) for amount in (bill.cost, bill.credits, bill.taxes)]
    days = bill.covered
    covered = f"{days[0]} to {days[-1]} ({len(days)})" if days else ""
    whose = [str(bill.id), bill.provider, bill.payer, f"{bill.period:%Y-%m}", str(bill.lines)]
    return [*whose, *amounts, bill.currency, covered]


@bills.command("true-up")
def true_up(
    provider: Annotated[str, typer.Option(help="Whose bill, such as openai.")],
    period: Annotated[str, typer.Option(help="The month, such as 2026-10, in UTC as bills are.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be booked.")] = False,  # noqa: FBT002
    data_dir: DataDir = None,
) -> None:
    """Book what the bill says beyond what is attributed, as charges of nobody; repeating replaces.

    With an embedded store that a server has open, use the GraphQL mutation trueUp instead.
    """
    from api.serving import open_services
    from finance.month import Month
    from tenants.audit import COMMAND_LINE

    month = Month.parse(period)
    services = open_services(settings_with(data_dir=data_dir))
    try:
        ups = services.money.true_ups
        done = ups.preview(provider, month) if dry_run else ups.run(provider, month, by=COMMAND_LINE)
    finally:
        services.release()
    _tell_true_up(done, dry_run=dry_run)


def _tell_true_up(done: TrueUp, *, dry_run: bool) -> None:
    from core.money import from_pico, plain

    by_cause: dict[str, int] = {}
    for one in done.booked:
        by_cause[one.cell.cause.value] = by_cause.get(one.cell.cause.value, 0) + one.cell.gap
    if by_cause:
        show(["cause", "amount"], [[cause, plain(from_pico(amount))] for cause, amount in sorted(by_cause.items())])
    billed, attributed, amount = (plain(from_pico(p)) for p in (done.billed, done.attributed, done.amount))
    say(f"billed {billed}, attributed {attributed}, {'would book' if dry_run else 'booked'} {amount}")
    would = "would be " if dry_run else ""
    found = done.changes
    say(f"{len(found.written)} rows {would}written, {len(found.removed)} {would}taken back, {found.unchanged} stay")
