"""A bounded memory of recently stored events, to tell a replay from news. Sums are right without it."""

from __future__ import annotations

from enum import Enum, unique
from hashlib import blake2b
from threading import Lock


@unique
class Seen(Enum):
    """What is remembered of an event's identity."""

    NEVER = "never"
    SAME = "same"
    DIFFERENT = "different"


Identity = bytes
Content = bytes


def identity(tenant_id: str, event_id: str, day: int, version: int) -> Identity:
    """16 bytes that stand for one version of one event; the day is counted from the year 1."""
    # A length before each text keeps ("a", "bc") apart from ("ab", "c").
    text = f"{len(tenant_id)}:{tenant_id}{len(event_id)}:{event_id}{day}:{version}"
    return blake2b(text.encode(), digest_size=16).digest()


def content(encoded: bytes) -> Content:
    """8 bytes that stand for an event's content."""
    return blake2b(encoded, digest_size=8).digest()


class RecentEvents:
    """The last `size` events that were stored, oldest forgotten first. Safe to share between threads."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._content: dict[Identity, Content] = {}
        self._lock = Lock()

    def look_up(self, identity: Identity, content: Content) -> Seen:
        """Whether that version of the event was stored lately, and with that content."""
        known = self._content.get(identity)
        if known is None:
            return Seen.NEVER
        return Seen.SAME if known == content else Seen.DIFFERENT

    def remember(self, stored: dict[Identity, Content]) -> None:
        """Call only once the events are durable: what is remembered is never stored again."""
        with self._lock:
            self._content.update(stored)
            excess = len(self._content) - self._size
            if excess > 0:
                for key in list(self._content)[:excess]:
                    del self._content[key]
