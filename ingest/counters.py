"""What went through each door since the process started: received = accepted + duplicate + rejected + spooled.

Nothing is counted that was not answered: what was turned away is sent again, and only then received.
"""

from __future__ import annotations

import logging
from collections import Counter

from ingest.payloads import Receipt

OUTCOMES = ("accepted", "duplicate", "rejected", "spooled")

_logger = logging.getLogger("apportion.ingest")


class Counters:
    """Events by door and outcome. Written by the event loop alone."""

    def __init__(self) -> None:
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.received: Counter[str] = Counter()
        self.unpriced: Counter[str] = Counter()
        self.dropped_tags: Counter[str] = Counter()
        self.turned_away: Counter[str] = Counter()
        """Items that were not taken now, by the code of the error that said so."""
        self.ignored: Counter[str] = Counter()
        """Records of signals that are accepted and never billed, by signal."""
        self.mismatches = 0
        """Receipts whose items do not add up. Anything but 0 is a bug."""

    def add(self, source: str, receipt: Receipt) -> None:
        """Count one receipt, and check that it says of every item what became of it."""
        counts = {outcome: getattr(receipt, outcome) for outcome in OUTCOMES}
        if receipt.received != sum(counts.values()):
            self.mismatches += 1
            _logger.critical("%d items came through door %s, but %s", receipt.received, source, counts)
        self.received[source] += receipt.received
        self.unpriced[source] += receipt.unpriced
        self.dropped_tags[source] += receipt.dropped_tags
        for outcome, count in counts.items():
            self.outcomes[source, outcome] += count

    @property
    def unaccounted(self) -> int:
        """Items received beyond all outcomes, over all doors. Anything but 0 is a bug."""
        return self.received.total() - self.outcomes.total()

    def total(self, outcome: str) -> int:
        """Events of one outcome over all doors; `received` for all of them."""
        if outcome == "received":
            return self.received.total()
        return sum(count for (_, name), count in self.outcomes.items() if name == outcome)
