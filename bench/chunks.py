"""Events on disk in the two forms that are measured: the bodies clients post, and the rows the engine gets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import pyarrow as pa

_BODIES: Final = msgspec.msgpack.Decoder(list[bytes])


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some events: bodies of `body_events`, and one Arrow table."""

    stem: Path
    events: int
    body_events: int

    def bodies(self) -> list[bytes]:
        """What clients post, in order."""
        return _BODIES.decode(self.stem.with_suffix(".bodies").read_bytes())

    def table(self) -> pa.Table:
        """What the product inserts for them, as columns of `events`."""
        with pa.OSFile(str(self.stem.with_suffix(".arrow"))) as file:
            return pa.ipc.open_file(file).read_all()

    def write(self, bodies: list[bytes], table: pa.Table) -> None:
        """Keep both forms."""
        self.stem.with_suffix(".bodies").write_bytes(msgspec.msgpack.encode(bodies))
        with pa.ipc.new_file(str(self.stem.with_suffix(".arrow")), table.schema) as file:
            file.write_table(table)
