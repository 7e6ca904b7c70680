"""The files of a spool: segments of framed rows, each appended to by one process, read whole and deleted whole."""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from attribution.event import COLUMNS, EventRow
from ingest.frames import HEADER_BYTES, Frame, Gap, frame, walk, written_at

SUFFIX: Final = ".rows"

_logger = logging.getLogger("apportion.spool")
_COLUMNS = msgspec.msgpack.Decoder(dict[str, list[Any]])


class UnreadableRows(ValueError):
    """A record is whole, but holds no rows that this version can read."""


def pack(rows: Sequence[EventRow]) -> bytes:
    """The rows column by column, by name, without the columns that hold nothing but their default.

    Names make a record readable after an upgrade that adds columns.
    """
    columns = zip(COLUMNS.items(), zip(*rows, strict=True), strict=True)
    sent = {name: values for (name, type_), values in columns if any(value != type_.absent for value in values)}
    return msgspec.msgpack.encode(sent)


def unpack(payload: bytes) -> list[EventRow]:
    """The rows as they were packed. Raises UnreadableRows."""
    try:
        columns = _COLUMNS.decode(payload)
        count = len(columns["event_id"])
        values = [columns.pop(name, []) or [type_.absent] * count for name, type_ in COLUMNS.items()]
        rows = [EventRow._make(row) for row in zip(*values, strict=True)]
    except (msgspec.DecodeError, KeyError, ValueError) as error:
        raise UnreadableRows(f"not rows: {error}") from error
    if columns:
        raise UnreadableRows(f"columns of another version: {', '.join(columns)}")
    return rows


def record(rows: Sequence[EventRow]) -> bytes:
    """The rows as one frame."""
    return frame(pack(rows), rows=len(rows), at=time.time_ns() // 1_000_000)


@dataclass(slots=True)
class Segment:
    """A file of frames: bytes `[start, size)` of it still wait."""

    path: Path
    size: int
    start: int = 0

    def frames(self) -> Iterator[Frame | Gap]:
        """What waits, in order."""
        return walk(self.path.read_bytes()[: self.size], self.start)

    def bytes(self, found: Frame | Gap) -> bytes:
        """The very bytes of a part of it."""
        return self.path.read_bytes()[found.start : found.end]

    def oldest(self) -> int | None:
        """When what waits first was written, in milliseconds after 1970; None when that is damaged."""
        with self.path.open("rb") as file:
            file.seek(self.start)
            return written_at(file.read(HEADER_BYTES))


def existing(directory: Path) -> list[Segment]:
    """The segments an earlier process left, oldest first, without the write that a crash cut short."""
    segments = [_mended(path) for path in sorted(directory.glob(f"*{SUFFIX}"))]
    _skip_drained(directory, segments)
    return [segment for segment in segments if not discard_empty(segment)]


def _mended(path: Path) -> Segment:
    data = path.read_bytes()
    size = max((found.end for found in walk(data)), default=0)
    if size < len(data):
        _logger.warning("%s ends in %d bytes of a write that was cut short; cut off", path, len(data) - size)
        os.truncate(path, size)
    return Segment(path, size)


def brought_back(quarantine: Path, directory: Path) -> list[Segment]:
    """The segments that were set aside, moved to where they are drained again."""
    paths = sorted(quarantine.glob(f"*{SUFFIX}"))
    return [_mended(path.rename(directory / path.name)) for path in paths]


def discard_empty(segment: Segment) -> bool:
    """Delete a segment in which nothing waits; True when that was the case."""
    if segment.start < segment.size:
        return False
    segment.path.unlink()
    return True


def remember(segment: Segment) -> None:
    """Write down how far the segment was taken. Lost or stale, it only makes rows be stored again."""
    position = segment.path.with_name("position")
    draft = position.with_suffix(".new")
    draft.write_text(f"{segment.path.name} {segment.start}")
    draft.replace(position)


def _skip_drained(directory: Path, segments: Sequence[Segment]) -> None:
    with suppress(OSError, ValueError):
        name, start = (directory / "position").read_text().split()
        for segment in segments:
            if segment.path.name == name:
                segment.start = min(int(start), segment.size)


def own(directory: Path) -> int:
    """The descriptor that makes the directory this process's, until closed. Raises BlockingIOError for another's."""
    made(directory)
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise
    return lock


def made(directory: Path) -> Path:
    """The directory, which exists."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return directory


def begin(path: Path) -> int:
    """The descriptor of a new file to append to, which a power cut will not make vanish."""
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        os.fsync(directory)
    finally:
        os.close(directory)
    return file


def write_durably(file: int, data: bytes) -> None:
    """All of the data is on the disk when this returns."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]
    os.fsync(file)


def keep(path: Path, data: bytes) -> None:
    """A new durable file of the data."""
    file = begin(path)
    try:
        write_durably(file, data)
    finally:
        os.close(file)
