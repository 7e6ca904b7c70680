"""The ways in, and what comes through them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ingest.copies import Copy
from ingest.payloads import EventPayload, Rejection


@dataclass(frozen=True, slots=True)
class Door:
    """How events come in: the name stored as their `source`, whether each must say what it used, and whether those
    refused are kept."""

    source: str
    require_measure: bool = True
    keeps_refused: bool = True


EVENTS: Final = Door("events")
OTLP: Final = Door("otlp", require_measure=False)
LITELLM: Final = Door("litellm", require_measure=False)
DOORS: Final = {door.source: door for door in (EVENTS, OTLP, LITELLM)}

Item = bytes | EventPayload | Copy | Rejection
"""An event as its JSON text or already read; a report of a call, which others may tell too; or what a door refused."""
