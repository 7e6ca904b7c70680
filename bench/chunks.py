"""Events on disk in the two forms that are measured: the bodies clients post, and the rows the engine gets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

BODY_EVENTS: Final = 500
CHUNK_EVENTS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Chunk:
    """Up to `CHUNK_EVENTS` events: JSON arrays of `BODY_EVENTS`, one a line, and one Arrow table."""

    stem: Path
    events: int

    def bodies(self) -> list[bytes]:
        """What clients post, in order."""
        return self.stem.with_suffix(".jsonl").read_bytes().splitlines()

    def table(self) -> pa.Table:
        """What the product inserts for them, as columns of `events`."""
        with pa.OSFile(str(self.stem.with_suffix(".arrow"))) as file:
            return pa.ipc.open_file(file).read_all()

    def write(self, bodies: list[bytes], table: pa.Table) -> None:
        """Keep both forms."""
        self.stem.with_suffix(".jsonl").write_bytes(b"\n".join(bodies))
        with pa.ipc.new_file(str(self.stem.with_suffix(".arrow")), table.schema) as file:
            file.write_table(table)
