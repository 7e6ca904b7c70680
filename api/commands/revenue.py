"""`apportion revenue`: what the billing system says was paid, from a table."""

# ruff: noqa: PLC0415 - commands import what they work with when they run: help and typos answer at once

from __future__ import annotations

from collections import Counter
from typing import Final

import typer

from api.commands.stores import DataDir, database_of, settings_with
from api.commands.tables import CsvFile, DryRun, complain_of, progress, read_table
from api.commands.terminal import say

revenue = typer.Typer(no_args_is_help=True, help="Actual revenue, which wins over what tiers model.")

_REQUIRED: Final = ("id", "tenant_id", "amount")
_COLUMNS: Final = frozenset({*_REQUIRED, "source", "period", "start", "end", "currency", "timezone", "note"})
_BATCH: Final = 500
_OUTCOMES: Final = ("accepted", "unchanged", "corrected", "rejected")


@revenue.command("import")
def import_revenue(file: CsvFile, dry_run: DryRun = False, data_dir: DataDir = None) -> None:  # noqa: FBT002
    """Enter the items of a CSV file. Safe to repeat: the same id of the same source again changes nothing.

    Columns: id, tenant_id, amount, and period (2026-10) or start and end (the first day after it); any of source,
    currency, timezone, note. Lines that cannot be used are told and left out; the exit code is 1 then.
    """
    from finance.revenue.actual import Actuals
    from finance.revenue.payloads import examine, receive
    from tenants.audit import COMMAND_LINE
    from tenants.scope import Scope

    rows = read_table(file, required=_REQUIRED, known=_COLUMNS.__contains__)
    settings, totals = settings_with(data_dir=data_dir), Counter[str]()
    with database_of(settings) as database, progress("revenue", len(rows)) as advance:
        actuals = Actuals(database, settings.currency)
        for at in range(0, len(rows), _BATCH):
            lines, cells = zip(*rows[at : at + _BATCH], strict=True)
            if dry_run:
                receipt = examine(actuals, cells, currency=settings.currency)
            else:
                receipt = receive(actuals, cells, currency=settings.currency, scope=Scope(), by=COMMAND_LINE)
            for refusal in receipt.errors:
                complain_of(lines[refusal.index], refusal.message)
            totals.update({name: getattr(receipt, name) for name in _OUTCOMES})
            advance(len(lines))
    counts = ", ".join(f"{totals[name]} {name}" for name in _OUTCOMES)
    say(f"{len(rows) - totals['rejected']} of {len(rows)} items are usable" if dry_run else counts)
    if totals["rejected"]:
        raise typer.Exit(1)
