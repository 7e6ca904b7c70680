"""Charges that follow from others are booked here: written so that booking again replaces, and never adds.

A booking states what all rows of its source within a window should be. Rows that are there already stay, others are
written with the number of the booking as their version, and what is no longer wanted gets a tombstone. Unlike a
deletion's, that tombstone yields to a later booking.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlmodel import Field, SQLModel

from attribution.dimensions import Dimension
from attribution.event import COLUMNS, ColumnType, EventRow, Pico, tombstone
from attribution.query import EVERYTHING, All, Condition, Filter, Operator
from attribution.rows import RowQuery
from attribution.store import Store
from core.database import Database, UtcDateTime
from core.errors import InvalidInput
from core.money import MAX_AMOUNT, to_pico
from core.time import Window
from tenants.audit import Action, record
from tenants.scope import Scope

MAX_ROWS: Final = 200_000
_MAX_PICO: Final = to_pico(MAX_AMOUNT) - 1

BLANK: Final[dict[str, Any]] = {
    name: "" if type_ is ColumnType.TEXT else {} if type_ is ColumnType.TAGS else type_.absent
    for name, type_ in COLUMNS.items()
}
"""An event of which nothing is said."""


class TooManyRows(InvalidInput):
    """The booking would write or replace more rows than one booking may."""

    code = "TOO_MANY_ROWS"

    def __init__(self) -> None:
        super().__init__(f"this takes more than {MAX_ROWS} rows at once; narrow the rules' charges or members")


class Booking(SQLModel, table=True):
    """One booking that changed something; its number is the version of the rows it wrote."""

    __tablename__ = "bookings"

    id: int | None = Field(default=None, primary_key=True)
    source: str = Field(max_length=40)
    subject: str = Field(max_length=200)
    at: datetime = Field(sa_type=UtcDateTime)
    actor: str = Field(max_length=200)
    written: int
    removed: int


@dataclass(frozen=True, slots=True)
class Book:
    """All rows of one kind of booking: their `source`, and the window and filter that find those there are."""

    source: str
    action: Action
    window: Window
    where: Filter = EVERYTHING

    @property
    def query(self) -> RowQuery:
        """The rows there are."""
        ours = Condition(Dimension.SOURCE, Operator.ANY_OF, (self.source,))
        return RowQuery(Scope(), self.window, All((ours, self.where)), first=MAX_ROWS + 1)


@dataclass(frozen=True, slots=True)
class Changes:
    """What a booking comes to: rows to write and rows to take back; the others are as they should be."""

    written: Sequence[EventRow]
    removed: Sequence[EventRow]
    unchanged: int

    @property
    def any(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.written or self.removed)


def changes(store: Store, book: Book, wanted: Sequence[EventRow]) -> Changes:
    """What has to change for the book to hold the wanted rows and nothing else. Raises TooManyRows or Unavailable."""
    existing = store.rows(book.query)
    if max(len(existing), len(wanted)) > MAX_ROWS:
        raise TooManyRows
    there = {_identity(row): row for row in existing}
    written = [row for row in wanted if _content(there.get(_identity(row))) != _content(row)]
    asked = {_identity(row) for row in wanted}
    removed = [row for key, row in there.items() if key not in asked]
    return Changes(written, removed, len(wanted) - len(written))


def enter(
    store: Store, database: Database, book: Book, found: Changes, *, subject: str, by: str, details: dict[str, object]
) -> None:
    """Make the changes and record them. The caller holds the database's lock. Raises Unavailable.

    Recorded before it happens: interrupted, the same booking goes on.
    """
    if not found.any:
        return
    now = datetime.now(UTC)
    booking = Booking(
        source=book.source,
        subject=subject,
        at=now,
        actor=by,
        written=len(found.written),
        removed=len(found.removed),
    )
    with database.session() as session:
        session.add(booking)
        record(session, by, book.action, subject, **details, written=booking.written, removed=booking.removed)
        session.commit()
    assert booking.id is not None
    version = booking.id
    rows = [row._replace(version=version, ingested_at=now) for row in found.written]
    store.insert([*rows, *(tombstone(row)._replace(version=version) for row in found.removed)])


def digest(*parts: object) -> str:
    """Short text that stands for these parts, the same in every run."""
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()


def in_storable_parts(amount: Pico) -> Iterator[Pico]:
    """The amount as a sum of amounts that one event can hold: one, unless it reaches a million."""
    sign = -1 if amount < 0 else 1
    rest = abs(amount)
    while rest > _MAX_PICO:
        yield sign * _MAX_PICO
        rest -= _MAX_PICO
    yield sign * rest


def _identity(row: EventRow) -> tuple[object, ...]:
    return row.tenant_id, row.event_id, row.start_time.date()


def _content(row: EventRow | None) -> EventRow | None:
    return None if row is None else row._replace(version=0, ingested_at=row.start_time)
