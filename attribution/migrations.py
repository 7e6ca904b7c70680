"""The numbered SQL files of `tables/`, as values."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_TABLES = Path(__file__).parent / "tables"
_ENGINE = "ReplacingMergeTree(version, is_deleted)"


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
