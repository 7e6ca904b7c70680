"""Statements that take a user out of what is stored: all versions of all rows, on disk, not only out of sight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from attribution.compiler import EVENTS
from attribution.event import PERSONAL_TAGS, TOMBSTONE_VERSION
from attribution.statement import Statement

_PERSON = "tenant_id = {tenant:String} AND user_id = {user:String}"


@dataclass(frozen=True, slots=True)
class Person:
    """A user of a tenant."""

    tenant_id: str
    user_id: str

    @property
    def parameters(self) -> dict[str, Any]:
        """The values of this person's statements."""
        return {"tenant": self.tenant_id, "user": self.user_id}


@dataclass(frozen=True, slots=True)
class Traces:
    """What is stored about a person: true events and their cost, and rows of any version. A NULL cost is unknown."""

    events: int
    effective_cost: Decimal | None
    rows: int


def compile_traces(person: Person) -> Statement:
    """One statement that counts what is stored about the person."""
    sql = (
        f"SELECT count(), sum(effective_cost), (SELECT count() FROM events WHERE {_PERSON})\n"
        f"FROM {EVENTS}\nWHERE {_PERSON}"
    )
    return Statement(sql, person.parameters)


def decode_traces(columns: Sequence[Sequence[Any]]) -> Traces:
    """The answer in the columns of `compile_traces`' statement."""
    (events,), (cost,), (rows,) = columns
    return Traces(events, cost, rows)


def compile_anonymisation(person: Person) -> Sequence[Statement]:
    """Statements that empty the person's user and session ids and drop tags about him. Costs stay."""
    sql = (
        "ALTER TABLE events UPDATE user_id = '', session_id = '', "
        f"tags = mapFilter((key, value) -> NOT startsWith(key, '{PERSONAL_TAGS}'), tags) WHERE {_PERSON}"
    )
    return [Statement(sql, person.parameters)]


def compile_removal(person: Person) -> Sequence[Statement]:
    """Statements that delete the person's events. The tombstones come first: they keep an older version, which may have
    named somebody else, from coming to light, and replays from coming back.
    """
    tombstones = (
        "INSERT INTO events (tenant_id, event_id, version, is_deleted, start_time, ingested_at)\n"
        "SELECT tenant_id, event_id, {tombstone:UInt64}, true, start_time, now64(6)\n"
        f"FROM {EVENTS}\nWHERE {_PERSON}"
    )
    return [
        Statement(tombstones, person.parameters | {"tombstone": TOMBSTONE_VERSION}),
        Statement(f"ALTER TABLE events DELETE WHERE {_PERSON}", person.parameters),
    ]
