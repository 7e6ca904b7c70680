"""Erasing a user, as privacy laws ask: the link to the person goes, for good, and the sums stay unless asked otherwise.

Three things happen, in this order: the user is put on the list of erased users, so that whatever is still under way or
sent again later is stored without him; every process learns of it; then all that is stored is rewritten on disk.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from attribution.erasure import (
    Person,
    Traces,
    compile_anonymisation,
    compile_removal,
    compile_traces,
    decode_traces,
)
from attribution.event import EventRow, anonymised
from attribution.store import Store
from core.errors import InvalidInput, Unavailable
from ingest.rejected import RejectedEvents
from tenants.erasures import REFRESH_SECONDS, ErasedUsers

MARGIN_SECONDS: Final = 0.5
"""What an insert may take that began before the list was read."""

_ROUNDS: Final = 3


class NoUserNamed(InvalidInput):
    """Events without a user are nobody's."""

    code = "NO_USER_NAMED"

    def __init__(self) -> None:
        super().__init__("name the tenant and the user to erase; both are needed")


class StillArriving(Unavailable):
    """New rows of the user appeared while the old ones were rewritten."""

    code = "STILL_ARRIVING"

    def __init__(self) -> None:
        super().__init__("events of this user were stored meanwhile; erase once more")


class Eraser:
    """Erases users of one deployment."""

    def __init__(
        self,
        store: Store,
        erased: ErasedUsers,
        rejected: RejectedEvents,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store = store
        self._erased = erased
        self._rejected = rejected
        self._sleep = sleep

    def traces(self, person: Person) -> Traces:
        """What is stored about the person. Raises NoUserNamed or Unavailable."""
        if not person.tenant_id or not person.user_id:
            raise NoUserNamed
        return decode_traces(self._store.columns(compile_traces(person)))

    def erase(self, person: Person, *, keep_costs: bool, by: str) -> Traces:
        """What was stored about the person, once nothing is: his events are anonymous, or without `keep_costs` gone.

        Safe to repeat. Recorded without naming him. Raises NoUserNamed, StillArriving or Unavailable.
        """
        found = self.traces(person)
        self._erased.add(person.tenant_id, person.user_id, by=by, kept_costs=keep_costs, events=found.events)
        self._rejected.forget(person.tenant_id, person.user_id)
        # An embedded store has no other process, and this one knows already.
        self._sleep(MARGIN_SECONDS + (0 if self._store.is_embedded else REFRESH_SECONDS))
        for _ in range(_ROUNDS):
            for statement in (compile_anonymisation if keep_costs else compile_removal)(person):
                self._store.rewrite(statement)
            if not self.traces(person).rows:
                return found
        raise StillArriving


def redaction(erased: ErasedUsers) -> Callable[[Sequence[EventRow]], Sequence[EventRow]]:
    """How rows pass on their way to disk: those of erased users lose the link to the person."""

    def redact(rows: Sequence[EventRow]) -> Sequence[EventRow]:
        known = erased.known()
        if not known:
            return rows
        return [anonymised(row) if row.user_id and known.covers(row.tenant_id, row.user_id) else row for row in rows]

    return redact
