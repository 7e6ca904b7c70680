"""Rows on disk for as long as ClickHouse cannot take them: appended and fsynced, then read back in order.

The spool is a directory of segments, named by the instant they were begun. Each process begins segments of its own and
never appends to an older one, so a write that a crash cut short is always the end of a file: it was never
acknowledged, and is cut off at the next open. A damaged record is copied to `damaged/`, counted and logged; rows that
ClickHouse refuses go to `quarantine/` as a segment, which is moved back now and then, and at the next open.

Reading on after a crash may repeat rows that were stored already: rows carry versions, and a copy changes nothing. For
the same reason the order between spooled and fresh rows does not matter.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import RLock
from typing import Final, NamedTuple

from attribution.event import EventRow
from core.errors import Unavailable
from ingest.frames import Frame, Gap
from ingest.segments import (
    SUFFIX,
    Segment,
    UnreadableRows,
    begin,
    brought_back,
    discard_empty,
    existing,
    keep,
    made,
    own,
    record,
    remember,
    unpack,
    write_durably,
)

SEGMENT_BYTES: Final = 16_000_000

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_logger = logging.getLogger("apportion.spool")


class SpoolInUse(Unavailable):
    """A spool belongs to one process at a time."""

    code = "SPOOL_IN_USE"

    def __init__(self, directory: Path) -> None:
        super().__init__(
            f"{directory} is in use by another process, and a spool belongs to one; "
            "give each process an APPORTION_DATA_DIR of its own"
        )


class SpoolFull(Unavailable):
    """As many bytes wait in the spool as may."""

    code = "SPOOL_FULL"

    def __init__(self, max_bytes: int) -> None:
        super().__init__(
            f"the events store takes no events, and the spool has no room beyond its {max_bytes} bytes; "
            "send them again later"
        )


class SpoolUnwritable(Unavailable):
    """The disk does not take what the spool writes. Why is for operators, in a note: it names paths."""

    code = "SPOOL_UNWRITABLE"

    def __init__(self, error: OSError) -> None:
        super().__init__("neither the events store nor the spool's disk takes events; send them again later")
        self.add_note(str(error))


class SpoolStatus(NamedTuple):
    """What waits in the spool at one instant, and what became of rows since the process opened it."""

    events: int = 0
    bytes: int = 0
    oldest: datetime | None = None
    """When the first of them was spooled; None also when its record is damaged."""
    found: int = 0
    """Rows that an earlier process left."""
    spooled: int = 0
    drained: int = 0
    quarantined: int = 0
    retried: int = 0
    """Rows put back from the quarantine."""
    damaged: int = 0
    """Records that could not be read back."""
    unaccounted: int = 0
    """Rows by which a spool, once empty, had given out more or less than it took in: a bug, or damage while open."""


class Batch(NamedTuple):
    """Rows to store next; the segment and byte up to which they empty the spool; and what on the way was damaged."""

    rows: list[EventRow]
    segment: Segment | None = None
    end: int = 0
    damaged: int = 0
    lost: int = 0


class Spool:
    """One directory of rows that wait. Opened by first use. Safe to share between threads, which take turns.

    `status` is one consistent value and never waits for a turn.
    """

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self.status = SpoolStatus()
        self._directory = directory
        self._quarantine = directory / "quarantine"
        self._max_bytes = max_bytes
        self._segments: list[Segment] = []
        self._owner: int | None = None
        self._file: int | None = None
        """Where rows are appended: the last segment."""
        self._turn = RLock()

    @property
    def has_room(self) -> bool:
        """Whether a little more would fit."""
        return self.status.bytes < self._max_bytes

    def open(self) -> None:
        """Own the directory and count what an earlier process left in it. Raises SpoolInUse or SpoolUnwritable."""
        with self._turn:
            if self._owner is not None:
                return
            try:
                self._owner = own(self._directory)
                brought_back(self._quarantine, self._directory)
                self._segments = existing(self._directory)
                rows = sum(found.rows for _, found in self._found())
                self._tell(events=rows, found=self.status.found + rows)
            except BlockingIOError as error:
                raise SpoolInUse(self._directory) from error
            except OSError as error:
                self.close()
                raise SpoolUnwritable(error) from error
            if rows:
                _logger.warning("%d events that an earlier process accepted wait in the spool", rows)

    def append(self, rows: Sequence[EventRow]) -> None:
        """Durable when this returns. Raises SpoolFull, SpoolUnwritable or SpoolInUse, and then nothing was kept."""
        with self._turn:
            self.open()
            data = record(rows)
            if self.status.bytes + len(data) > self._max_bytes:
                raise SpoolFull(self._max_bytes)
            try:
                self._write(data)
                self._tell(events=self.status.events + len(rows), spooled=self.status.spooled + len(rows))
            except OSError as error:
                self._seal()
                raise SpoolUnwritable(error) from error

    def read(self, limit: int) -> Batch:
        """The next rows, about `limit` of them or all there are. Reading does not take them out.

        What is damaged on the way is copied aside first. Raises OSError.
        """
        with self._turn:
            batch = Batch([])
            for segment, found in self._found():
                if len(batch.rows) >= limit:
                    break
                batch = self._with(batch, segment, found)
            return batch

    def take_out(self, batch: Batch, refused: Sequence[EventRow] = ()) -> None:
        """Let the batch go, all of it stored but the rows refused; those go to quarantine. Raises OSError."""
        with self._turn:
            if refused:
                keep(made(self._quarantine) / _name(), record(refused))
            self._pass(batch)
            status, rows = self.status, len(batch.rows)
            self._tell(
                events=status.events - rows - batch.lost,
                drained=status.drained + rows - len(refused),
                quarantined=status.quarantined + len(refused),
                damaged=status.damaged + batch.damaged,
            )
            self._balance()

    def try_refused_again(self) -> None:
        """Put back what is in quarantine, behind all that waits. Raises OSError."""
        with self._turn:
            self._seal()
            segments = brought_back(self._quarantine, self._directory)
            rows = sum(found.rows for segment in segments for found in segment.frames())
            self._segments += segments
            self._tell(events=self.status.events + rows, retried=self.status.retried + rows)

    def close(self) -> None:
        """Let go of the directory; what waits in it, waits for the next process."""
        with self._turn:
            self._seal()
            if self._owner is not None:
                os.close(self._owner)
                self._owner = None

    def _found(self) -> Iterator[tuple[Segment, Frame | Gap]]:
        return ((segment, found) for segment in self._segments for found in segment.frames())

    def _tell(self, **changes: int) -> None:
        """Publish a new status: these changes, and what the segments say."""
        oldest = self._segments[0].oldest() if self._segments else None
        self.status = self.status._replace(
            bytes=sum(segment.size for segment in self._segments),
            oldest=None if oldest is None else _EPOCH + timedelta(milliseconds=oldest),
            **changes,
        )

    def _balance(self) -> None:
        """An empty spool has given out exactly the rows it took in."""
        events = self.status.events
        if events and not self._segments:
            _logger.critical("the spool is empty, but %d events are not accounted for", events)
            self._tell(events=0, unaccounted=self.status.unaccounted + abs(events))

    def _write(self, data: bytes) -> None:
        if self._file is not None and self._segments[-1].size >= SEGMENT_BYTES:
            self._seal()
        if self._file is None:
            path = self._directory / _name()
            self._file = begin(path)
            self._segments.append(Segment(path, 0))
        write_durably(self._file, data)
        self._segments[-1].size += len(data)

    def _seal(self) -> None:
        """Append no more to the last segment. What a failed write left at its end is cut off."""
        if self._file is None:
            return
        with suppress(OSError):  # what cannot be cut off lies beyond its size, and the next process cuts it off
            os.ftruncate(self._file, self._segments[-1].size)
        os.close(self._file)
        self._file = None
        if discard_empty(self._segments[-1]):
            del self._segments[-1]

    def _with(self, batch: Batch, segment: Segment, found: Frame | Gap) -> Batch:
        """The batch and what comes next."""
        batch = batch._replace(segment=segment, end=found.end)
        if isinstance(found, Frame):
            try:
                batch.rows.extend(unpack(found.payload))
            except UnreadableRows as error:
                _logger.critical("a spooled record cannot be read: %s", error)
            else:
                return batch
        self._set_aside(segment, found)
        return batch._replace(damaged=batch.damaged + 1, lost=batch.lost + found.rows)

    def _set_aside(self, segment: Segment, found: Frame | Gap) -> None:
        path = made(self._directory / "damaged") / f"{segment.path.stem}-{found.start}.bytes"
        path.unlink(missing_ok=True)  # from an earlier reading of the same place
        keep(path, segment.bytes(found))
        _logger.critical("a spooled record of %s events is damaged and set aside as %s", found.rows or "some", path)

    def _pass(self, batch: Batch) -> None:
        """Delete the segments up to the batch's end, and remember how far the last one has been taken."""
        while batch.segment is not None and self._segments[0] is not batch.segment:
            self._segments.pop(0).path.unlink()
        if batch.segment is None:
            return
        batch.segment.start = batch.end
        if batch.end < batch.segment.size:
            remember(batch.segment)
        elif len(self._segments) == 1 and self._file is not None:
            self._seal()
        else:
            self._segments.pop(0).path.unlink()


def _name() -> str:
    """A file name that sorts by now."""
    return f"{time.time_ns():020}{SUFFIX}"
