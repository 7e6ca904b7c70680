"""`apportion tenants`: customers and their tiers, from a table."""

# ruff: noqa: PLC0415 - commands import what they work with when they run: help and typos answer at once

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from api.commands.stores import DataDir, database_of, settings_with
from api.commands.tables import CsvFile, DryRun, complain_of, progress, read_table
from api.commands.terminal import moment, note, say, show
from core.errors import ApportionError, InvalidInput
from core.time import midnight

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from core.database import Database
    from tenants.directory import Placement, TenantChange, Tenants
    from tenants.models import TenantStatus

tenants = typer.Typer(no_args_is_help=True, help="Customers, their names in the billing system, and their tiers.")

_COLUMNS: Final = frozenset({"tenant_id", "external_id", "name", "status", "tier", "tier_from", "tier_until"})
_METADATA: Final = "metadata."


class UnusableCell(InvalidInput):
    """A cell says nothing that can be used."""

    code = "UNUSABLE_CELL"

    def __init__(self, column: str, text: str, rule: str) -> None:
        super().__init__(f"{column} {text!r} is not usable: {rule}")


@tenants.command("import")
def import_tenants(file: CsvFile, dry_run: DryRun = False, data_dir: DataDir = None) -> None:  # noqa: FBT002
    """Enter or change the tenants of a CSV file. Safe to repeat: what is the case already is left alone.

    Columns: tenant_id, and any of external_id, name, status (active, trial, suspended, closed), tier with tier_from
    and tier_until (a time with a zone, or a date: its first instant in the tier's zone), and metadata.<key>. An empty
    cell changes nothing.
    Lines that cannot be used are told and left out; the exit code is 1 then.
    """
    rows = read_table(file, required=["tenant_id"], known=lambda name: name in _COLUMNS or name.startswith(_METADATA))
    failed = changed = 0
    with _directory(data_dir) as (database, directory), progress("tenants", len(rows)) as advance:
        known = _Known(database, directory)
        for line, cells in rows:
            try:
                changed += known.apply(cells, dry_run=dry_run)
            except ApportionError as error:
                failed += 1
                complain_of(line, str(error))
            advance(1)
    verb = "would be changed" if dry_run else "changed"
    say(f"{changed} of {len(rows)} tenants {verb}, {failed} lines cannot be used")
    if changed and not dry_run:
        note("running servers see new tiers within five seconds")
    if failed:
        raise typer.Exit(1)


@tenants.command("list")
def list_tenants(data_dir: DataDir = None) -> None:
    """List the tenants that were entered, with the tier each has now. Those only seen in events are in GraphQL."""
    now, rows = datetime.now(UTC), []
    with _directory(data_dir) as (_, directory):
        current = {a.tenant_id: a for a in directory.assignments() if a.start <= now and (a.end is None or now < a.end)}
        for row in directory.all():
            has = current.get(row.tenant_id)
            tier = [has.tier, moment(has.start)] if has else ["", ""]
            rows.append([row.tenant_id, row.external_id or "", row.name, row.status, *tier])
    show(["tenant", "external id", "name", "status", "tier", "since"], rows)


@contextmanager
def _directory(data_dir: Path | None) -> Iterator[tuple[Database, Tenants]]:
    from tenants.directory import Tenants

    with database_of(settings_with(data_dir=data_dir)) as database:
        yield database, Tenants(database)


class _Known:
    """What is stored, to tell what a line would change."""

    def __init__(self, database: Database, directory: Tenants) -> None:
        from tenants.tiers import zones

        self._directory = directory
        with database.session() as session:
            self._zones = zones(session)
        self._owners = {row.external_id: row.tenant_id for row in directory.all() if row.external_id}

    def apply(self, cells: Mapping[str, str], *, dry_run: bool) -> bool:
        """Whether the line changes anything; unless it is a dry run, it is changed. Raises ApportionError."""
        from tenants.audit import COMMAND_LINE

        change, placement = _change(cells), self._placement(cells)
        self._check(change)
        is_news, is_moved = self._is_news(change), placement is not None and self._is_moved(placement)
        if not dry_run:
            if is_news:
                self._directory.save(change, by=COMMAND_LINE)
            if placement is not None and is_moved:
                self._directory.place(placement, by=COMMAND_LINE)
        return is_news or is_moved

    def _placement(self, cells: Mapping[str, str]) -> Placement | None:
        from tenants.tiers import NoSuchTier

        tier = cells.get("tier", "")
        if not tier:
            return None
        if tier not in self._zones:
            raise NoSuchTier(tier)
        return _placement(cells, self._zones[tier])

    def _check(self, change: TenantChange) -> None:
        """What a dry run would not run into, told by both."""
        from tenants.directory import ExternalIdTaken

        if change.external_id is not None:
            owner = self._owners.setdefault(change.external_id, change.tenant_id)
            if owner != change.tenant_id:
                raise ExternalIdTaken(change.external_id, owner)

    def _is_news(self, change: TenantChange) -> bool:
        import json

        stored = self._directory.all(change.tenant_id)
        if not stored:
            return True
        row = stored[0]
        status = change.status.value if change.status else None
        details = None if change.details is None else dict(change.details)
        pairs = (
            (change.external_id, row.external_id),
            (change.name, row.name),
            (status, row.status),
            (details, json.loads(row.details)),
        )
        return any(wanted is not None and wanted != found for wanted, found in pairs)

    def _is_moved(self, placement: Placement) -> bool:
        held = [
            each
            for each in self._directory.assignments(placement.tenant_id)
            if each.tier == placement.tier and each.start <= placement.start
        ]
        return not any(each.end is None or (placement.end is not None and placement.end <= each.end) for each in held)


def _change(cells: Mapping[str, str]) -> TenantChange:
    from tenants.directory import TenantChange

    details = {
        name.removeprefix(_METADATA): text for name, text in cells.items() if name.startswith(_METADATA) and text
    }
    return TenantChange(
        cells["tenant_id"],
        cells.get("external_id") or None,
        cells.get("name") or None,
        _status(cells.get("status", "")),
        details or None,
    )


def _status(text: str) -> TenantStatus | None:
    from tenants.models import TenantStatus

    try:
        return TenantStatus(text) if text else None
    except ValueError:
        rule = f"it is one of {', '.join(status.value for status in TenantStatus)}"
        raise UnusableCell("status", text, rule) from None


def _placement(cells: Mapping[str, str], zone: ZoneInfo) -> Placement:
    from tenants.directory import Placement

    start, end = (cells.get(name, "") for name in ("tier_from", "tier_until"))
    if not start:
        raise UnusableCell("tier_from", start, "say since when the tenant has the tier")
    return Placement(
        cells["tenant_id"],
        cells["tier"],
        instant("tier_from", start, zone),
        instant("tier_until", end, zone) if end else None,
    )


def instant(column: str, text: str, zone: ZoneInfo) -> datetime:
    """The time that the cell says; of a bare date, its first instant in the zone. Raises UnusableCell."""
    try:
        found = datetime.fromisoformat(text)
        is_date = found.tzinfo is None and found.time() == time()
        return midnight(found.date(), zone) if is_date else found
    except (ValueError, OverflowError):
        raise UnusableCell(column, text, "write a date as in 2026-03-01 or a time as in 2026-03-01T00:00:00Z") from None
