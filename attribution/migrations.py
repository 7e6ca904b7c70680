"""The numbered SQL files of `tables/`, and the ledger of those that were applied."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clickhouse_connect.driver.client import Client

from core.errors import Unavailable

_TABLES = Path(__file__).parent / "tables"
_ENGINE = "ReplacingMergeTree(version, is_deleted)"


class ChangedMigration(Unavailable):
    """A migration file differs from what was applied under its number."""

    code = "CHANGED_MIGRATION"

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} was changed after it was applied; restore it and add a new one")


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its number, its checksum and its statements, each of which can run twice."""

    number: int
    name: str
    sha256: str
    statements: tuple[str, ...]


def migrations() -> Iterator[Migration]:
    """Every migration, in order."""
    for path in sorted(_TABLES.glob("[0-9]*.sql")):
        text = path.read_text(encoding="utf-8")
        digest = hashlib.sha256(text.encode()).hexdigest()
        yield Migration(int(path.name.split("_")[0]), path.name, digest, tuple(_statements(text)))


def _statements(text: str) -> Iterator[str]:
    """The statements between semicolons at line ends, comments removed: ClickHouse takes one at a time."""
    bare = re.sub(r"^\s*--.*$", "", text, flags=re.MULTILINE)
    for part in re.split(r";\s*(?:\n|$)", bare):
        if part.strip():
            yield part.strip().replace("${engine}", _ENGINE)


def migrate(client: Client) -> None:
    """Apply to the client's database what is missing, in order. Raises ChangedMigration."""
    _create_ledger(client)
    applied = _applied(client)
    for migration in migrations():
        if migration.number not in applied:
            _apply(client, migration)
        elif applied[migration.number] != migration.sha256:
            raise ChangedMigration(migration.name)


def is_current(client: Client) -> bool:
    """True when every migration has been applied."""
    applied = _applied(client)
    return all(migration.number in applied for migration in migrations())


def _create_ledger(client: Client) -> None:
    client.command(
        "CREATE TABLE IF NOT EXISTS schema_migrations (number UInt32, name String, sha256 String, "
        "applied_at DateTime64(3, 'UTC') DEFAULT now64(3)) ENGINE = MergeTree ORDER BY number"
    )


def _applied(client: Client) -> dict[int, str]:
    """Number to checksum. Two processes that migrate at once may both have recorded a file; the first one counts."""
    rows = client.query("SELECT number, argMin(sha256, applied_at) FROM schema_migrations GROUP BY number").result_rows
    return dict(rows)  # type: ignore[arg-type]


def _apply(client: Client, migration: Migration) -> None:
    """Run every statement, then record the file: one that is interrupted runs again from its start."""
    for statement in migration.statements:
        client.command(statement)
    # Through `insert`, the driver would import pandas, two seconds of every first start.
    client.command(
        "INSERT INTO schema_migrations (number, name, sha256) VALUES ({number:UInt32}, {name:String}, {sha256:String})",
        parameters={"number": migration.number, "name": migration.name, "sha256": migration.sha256},
    )
