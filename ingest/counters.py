"""What went through each door since the process started: received = accepted + duplicate + rejected."""

from __future__ import annotations

from collections import Counter

from ingest.payloads import Receipt

OUTCOMES = ("accepted", "duplicate", "rejected")


class Counters:
    """Events by door and outcome. Written by the event loop alone."""

    def __init__(self) -> None:
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.received: Counter[str] = Counter()
        self.unpriced: Counter[str] = Counter()

    def add(self, source: str, receipt: Receipt) -> None:
        """Count one receipt."""
        self.received[source] += receipt.received
        self.unpriced[source] += receipt.unpriced
        for outcome in OUTCOMES:
            self.outcomes[source, outcome] += getattr(receipt, outcome)

    def total(self, outcome: str) -> int:
        """Events of one outcome over all doors; `received` for all of them."""
        if outcome == "received":
            return self.received.total()
        return sum(count for (_, name), count in self.outcomes.items() if name == outcome)
