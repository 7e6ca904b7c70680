"""`apportion statements`: closing a month."""

# ruff: noqa: PLC0415 - commands import what they work with when they run: help and typos answer at once

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from api.commands.stores import DataDir, settings_with
from api.commands.terminal import note, progress, say, show

if TYPE_CHECKING:
    from finance.statements.books import Statement
    from finance.statements.closing import Asked, Closer
    from finance.statements.document import Draft

statements = typer.Typer(no_args_is_help=True, help="Closed months: numbered, checksummed and never changed.")


@statements.callback()
def _group() -> None:
    """Keep `close` a command of its own while it is the only one."""


@statements.command("close")
def close(
    period: Annotated[str, typer.Option(help="A month that is over: 2026-10.")],
    tenant: Annotated[str | None, typer.Option(help="Only this tenant; without it, everyone.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be closed.")] = False,  # noqa: FBT002
    data_dir: DataDir = None,
) -> None:
    """Close a month into statements and list them. Safe to repeat: what is closed stays as it is.

    With an embedded store that a server has open, use the GraphQL mutation closeStatements or POST
    /v1/statements/close instead.
    """
    from api.serving import open_services
    from finance.statements.closing import Asked
    from finance.statements.period import BillingPeriod
    from tenants.scope import Scope

    asked = Asked(BillingPeriod.parse(period), Scope(), tenant)
    services = open_services(settings_with(data_dir=data_dir))
    try:
        (_preview if dry_run else _close)(services.money.statements, asked)
    finally:
        services.release()


def _preview(closer: Closer, asked: Asked) -> None:
    from datetime import UTC, datetime

    rows = [_cells(draft) for draft in closer.drafts(asked, now=datetime.now(UTC))]
    if rows:
        show(["tenant", "lines", "cost", "of it adjustments", "charges"], rows)
    say(f"{len(rows)} statements of {asked.period} would be closed")


def _close(closer: Closer, asked: Asked) -> None:
    from datetime import UTC, datetime

    from tenants.audit import COMMAND_LINE

    with progress(f"closing {asked.period}") as told:
        outcome = closer.close(asked, by=COMMAND_LINE, now=datetime.now(UTC), told=told)
    if outcome.closed:
        header = ["number", "revision", "tenant", "lines", "cost", "of it adjustments", "charges", "checksum"]
        show(header, [_row(statement) for statement in outcome.closed])
    if outcome.closed_before:
        note(f"{outcome.closed_before} were closed before and stay as they are")
    say(f"{len(outcome.closed)} statements of {asked.period} closed")


def _cells(draft: Draft) -> list[str]:
    from core.money import plain

    return [draft.tenant_id, str(len(draft.lines)), plain(draft.cost), plain(draft.adjustments), plain(draft.charges)]


def _row(statement: Statement) -> list[str]:
    said, row = statement.content, statement.record
    counts = [str(row.number), str(row.revision), row.tenant_id, str(len(said["lines"]))]
    return [*counts, said["cost"], said["adjustments"], said["charges"], row.checksum]
