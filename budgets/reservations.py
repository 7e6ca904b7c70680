"""What was granted and is not yet part of what was evaluated. For one thread: the one that decides."""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, TypeAlias

from attribution.measures import Measure
from budgets.usage import Usage
from core.errors import Unavailable
from core.money import EXACT
from tenants.scope import Scope

MOST: Final = 100_000
"""Reservations open at once: of about a kilobyte each."""

CLOCKS: Final = timedelta(seconds=1)
"""How far the clock of the process that evaluates may be ahead of ours."""

Holder: TypeAlias = tuple[int, str | None]
"""A budget, and the member where it is for each."""

Holds: TypeAlias = Mapping[Holder, Decimal]

_ZERO: Final = Decimal(0)
_FEW: Final = 1_000
_TOGETHER: Final = timedelta(milliseconds=500)
"""Operations stored within so long are let go together: while nothing is evaluated, memory grows by time alone."""


class TooManyReservations(Unavailable):
    """More was granted, and is neither stored, settled nor released, than a process keeps in mind."""

    code = "TOO_MANY_RESERVATIONS"

    def __init__(self) -> None:
        super().__init__(f"{MOST:,} reservations are open; settle or release them, or ask with a shorter ttl_seconds")


@dataclass(frozen=True, slots=True)
class Reservation:
    """Amounts held against budgets until `expires_at`, or until the operation they were granted for is stored.

    `whose` is what the operation says of its tenant, team and environment.
    """

    id: str
    whose: Scope
    event_id: str
    request_id: str
    measures: Mapping[Holder, Measure]
    usage: Usage
    expires_at: datetime

    @property
    def event(self) -> tuple[str, str]:
        """The identity that its event will have."""
        return self.whose.tenant or "", self.event_id

    @property
    def request(self) -> tuple[str, str]:
        """The request that it is part of."""
        return self.whose.tenant or "", self.request_id

    def holds(self, usage: Usage | None = None) -> Holds:
        """What the operation takes from each, as estimated, or as it turned out."""
        taken = usage or self.usage
        return {holder: taken.of(measure) for holder, measure in self.measures.items()}


class Reservations:
    """The reservations of this process.

    One that is settled holds what the operation really took until an evaluation has read the store after that: at every
    instant an operation is counted by its reservation or by the evaluation, for a moment by both, never by neither.
    While events wait in the spool no evaluation sees them, so what they took is held until the spool is empty.
    """

    def __init__(self) -> None:
        self._held: defaultdict[Holder, Decimal] = defaultdict(Decimal)
        self._open: dict[str, Reservation] = {}
        self._of_event: dict[tuple[str, str], str] = {}
        self._of_request: defaultdict[tuple[str, str], deque[str]] = defaultdict(deque)
        self._expiries: list[tuple[datetime, str]] = []
        self._stored: deque[tuple[datetime, dict[Holder, Decimal]]] = deque()
        self._spooled: dict[Holder, Decimal] = {}

    def __len__(self) -> int:
        return len(self._open)

    def held(self, holder: Holder) -> Decimal:
        """What is held against a budget or member."""
        return self._held.get(holder, _ZERO)

    def get(self, id_: str) -> Reservation | None:
        """The open reservation of that id."""
        return self._open.get(id_)

    def add(self, reservation: Reservation) -> None:
        """Hold its amounts. Raises TooManyReservations."""
        if len(self._open) >= MOST:
            raise TooManyReservations
        self._open[reservation.id] = reservation
        if reservation.event_id:
            self._of_event[reservation.event] = reservation.id
        elif reservation.request_id:
            self._of_request[reservation.request].append(reservation.id)
        self._remember_expiry(reservation)
        self._hold(reservation.holds())

    def for_operation(self, tenant_id: str, event_id: str, request_id: str = "") -> Reservation | None:
        """The one that was granted for this event; else the oldest that only names its request."""
        found = self._of_event.get((tenant_id, event_id)) if event_id else None
        if found is None and request_id:
            waiting = self._of_request.get((tenant_id, request_id))
            found = waiting[0] if waiting else None
        return self._open[found] if found is not None else None

    def release(self, reservation: Reservation) -> None:
        """Hold nothing for it any more."""
        del self._open[reservation.id]
        if reservation.event_id:
            if self._of_event.get(reservation.event) == reservation.id:
                del self._of_event[reservation.event]
        elif reservation.request_id:
            waiting = self._of_request[reservation.request]
            waiting.remove(reservation.id)
            if not waiting:
                del self._of_request[reservation.request]
        self._let_go(reservation.holds())

    def stored(self, reservation: Reservation, taken: Usage, at: datetime) -> None:
        """The operation was stored by `at` and took so much: hold that until it was evaluated."""
        self._settle(reservation, taken, self._stored_by(at))

    def spooled(self, reservation: Reservation, taken: Usage) -> None:
        """The operation took so much, and waits to be stored: hold that until `drained`."""
        self._settle(reservation, taken, self._spooled)

    def drained(self, at: datetime) -> None:
        """Whatever waited was stored by `at`."""
        if self._spooled:
            _gather(self._stored_by(at), self._spooled)
            self._spooled = {}

    def forget(self, now: datetime, evaluated_at: datetime) -> None:
        """Let go of what has expired, and of what is part of the evaluation by now."""
        while self._expiries and self._expiries[0][0] <= now:
            _, id_ = heapq.heappop(self._expiries)
            if (expired := self._open.get(id_)) is not None and expired.expires_at <= now:
                self.release(expired)
        while self._stored and self._stored[0][0] + _TOGETHER + CLOCKS < evaluated_at:
            self._let_go(self._stored.popleft()[1])

    def _settle(self, reservation: Reservation, taken: Usage, together: dict[Holder, Decimal]) -> None:
        self.release(reservation)
        holds = reservation.holds(taken)
        self._hold(holds)
        _gather(together, holds)

    def _stored_by(self, at: datetime) -> dict[Holder, Decimal]:
        if not self._stored or at - self._stored[-1][0] > _TOGETHER:
            self._stored.append((at, {}))
        return self._stored[-1][1]

    def _remember_expiry(self, reservation: Reservation) -> None:
        """Those of reservations that have ended early are left out, once they are most."""
        if len(self._expiries) > 2 * len(self._open) + _FEW:
            self._expiries = [(each.expires_at, each.id) for each in self._open.values()]
            heapq.heapify(self._expiries)
        else:
            heapq.heappush(self._expiries, (reservation.expires_at, reservation.id))

    def _hold(self, holds: Holds) -> None:
        for holder, amount in holds.items():
            self._held[holder] = EXACT.add(self._held[holder], amount)

    def _let_go(self, holds: Holds) -> None:
        for holder, amount in holds.items():
            left = EXACT.subtract(self._held[holder], amount)
            if left:
                self._held[holder] = left
            else:
                del self._held[holder]


def _gather(together: dict[Holder, Decimal], holds: Holds) -> None:
    for holder, amount in holds.items():
        together[holder] = EXACT.add(together.get(holder, _ZERO), amount)
