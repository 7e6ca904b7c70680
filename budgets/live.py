"""The last evaluation, in memory: read by whoever needs it without a statement, replaced as a whole."""

from __future__ import annotations

from collections.abc import Callable

from budgets.status import Snapshot

Listener = Callable[[Snapshot], None]


class Live:
    """Holds the newest snapshot. Reading takes no lock: a reference is replaced, its content never changes."""

    def __init__(self) -> None:
        self._snapshot = Snapshot()
        self._listeners: list[Listener] = []

    @property
    def snapshot(self) -> Snapshot:
        """The newest evaluation; before the first one, an empty one of long ago."""
        return self._snapshot

    def publish(self, snapshot: Snapshot) -> None:
        """Replace the snapshot and tell the listeners, in the evaluating thread."""
        self._snapshot = snapshot
        for listener in self._listeners:
            listener(snapshot)

    def listen(self, listener: Listener) -> None:
        """Call `listener` with every snapshot from now on. It must return at once."""
        self._listeners.append(listener)
