"""May this operation go ahead? Answered from memory: the last evaluation, and what was granted since then."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum, unique
from hashlib import blake2b
from itertools import count
from typing import Final

from attribution.event import EventRow
from budgets.board import Board
from budgets.live import Live
from budgets.matching import Facts
from budgets.periods import RollingPeriod, clipped
from budgets.reservations import Holder, Reservation, Reservations
from budgets.status import BudgetState, Snapshot
from budgets.usage import Usage, usage_of
from core.errors import NotFound
from core.money import EXACT
from tenants.scope import Scope

SETTLED: Final = timedelta(minutes=2)
"""How long after an operation its event may come: exporters batch."""


_REMEMBERED: Final = 100_000
"""Events of requests whose next report, a correction, settles nothing any more."""


@unique
class WhenStale(Enum):
    """What to answer when budgets have not been evaluated for too long: the choice between two wrongs."""

    ALLOW = "allow"
    DENY = "deny"


@unique
class Reason(Enum):
    """Why a decision is what it is."""

    NO_BUDGET = "no_budget"
    WITHIN_BUDGET = "within_budget"
    OVER_BUDGET = "over_budget"
    STALE = "stale"


class NoSuchReservation(NotFound):
    """It was never made here, has expired, or its operation has been stored."""

    code = "NO_SUCH_RESERVATION"

    def __init__(self) -> None:
        super().__init__("no reservation of that id is open in this process; it may have expired or been settled")


@dataclass(frozen=True, slots=True)
class Asked:
    """An operation that wants to go ahead. `event_id`, or else `request_id`, is what its event will carry."""

    facts: Facts
    usage: Usage
    event_id: str = ""
    request_id: str = ""
    patience: timedelta = timedelta(seconds=60)

    @property
    def whose(self) -> Scope:
        """What it says of its tenant, team and environment."""
        said = self.facts.columns
        tenant, team, environment = (str(said.get(name) or "") for name in ("tenant_id", "team", "environment"))
        return Scope(tenant or None, team or None, environment or None)


@dataclass(frozen=True, slots=True)
class Standing:
    """A budget, or one member of it, as an operation meets it. `until` is its period's end; what rolls has none."""

    state: BudgetState
    member: str | None
    limit: Decimal
    spent: Decimal
    held: Decimal
    remaining: Decimal
    """What neither was spent nor is held; below zero when more is gone."""
    wanted: Decimal
    until: datetime | None

    @property
    def allows(self) -> bool:
        """Whether something is left, and enough. Nothing is of a limit of 0, whatever was credited."""
        return self.limit > 0 and self.remaining > 0 and self.wanted <= self.remaining

    @property
    def holder(self) -> Holder:
        """Whose amounts they are."""
        return self.state.budget_id, self.member


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer. `standing` is the budget that denies for longest, or of which least would be left."""

    allowed: bool
    reason: Reason
    evaluated_at: datetime
    stale: bool
    standing: Standing | None = None
    reservation: Reservation | None = None


class Decider:
    """Decides in the event loop's thread, without waiting for anything: to check and to reserve is one step."""

    def __init__(
        self,
        live: Live,
        *,
        stale_seconds: float,
        when_stale: WhenStale,
        is_spooling: Callable[[], bool] = lambda: False,
    ) -> None:
        self.reservations = Reservations()
        self._is_spooling = is_spooling
        self._told: dict[int, None] = {}
        self._stale_after = timedelta(seconds=stale_seconds)
        self._when_stale = when_stale
        self._board = Board()
        # Numbers under a secret instead of chance for each: asking the system lets go of the interpreter, and to get it
        # back takes as long as a decision.
        self._secret, self._numbers = secrets.token_bytes(32), count(1)
        live.listen(self._take)

    def _take(self, snapshot: Snapshot) -> None:
        """Called in the evaluating thread. The board is replaced as a whole."""
        self._board = Board.of(snapshot, self._board)

    def decide(self, asked: Asked, now: datetime) -> Decision:
        """Whether it may go ahead, and if so the reservation for it, where a budget is to hold some of it.

        Asked again for the same event, it is decided anew and reserved once. Raises TooManyReservations.
        """
        board = self._board
        evaluated_at = board.snapshot.evaluated_at
        if not self._is_spooling():
            self.reservations.drained(now)
        self.reservations.forget(now, evaluated_at)
        whose = asked.whose
        repeated = self.reservations.for_operation(whose.tenant or "", asked.event_id)
        if repeated is not None and repeated.whose == whose:
            self.reservations.release(repeated)
        met = (self._meet(state, member, asked, now) for state, member in board.matching(asked.facts))
        standings = [standing for standing in met if standing is not None]
        stale = now - evaluated_at > self._stale_after
        reason = self._reason(standings, stale=stale, unknown=not board.snapshot.budgets)
        allowed = reason is not Reason.OVER_BUDGET and (reason is not Reason.STALE or self._allows_stale)
        decisive = _decisive(standings)
        is_held = allowed and any(each.wanted for each in standings)
        reservation = self._reserve(asked, standings, now) if is_held else None
        return Decision(allowed, reason, evaluated_at, stale, decisive, reservation)

    def settle(self, id_: str, scope: Scope, usage: Usage, now: datetime) -> Reservation:
        """Hold what it really took until its event is stored, at most for SETTLED. Raises NoSuchReservation."""
        found = self._find(id_, scope)
        self.reservations.release(found)
        settled = replace(found, usage=usage, expires_at=now + SETTLED)
        self.reservations.add(settled)
        return settled

    def release(self, id_: str, scope: Scope) -> None:
        """The operation did not happen. Raises NoSuchReservation."""
        self.reservations.release(self._find(id_, scope))

    def stored(self, rows: Sequence[EventRow], now: datetime) -> None:
        """Events were stored that had not been before: what they had reserved is settled."""
        for found, row in self._reserved(rows):
            self.reservations.stored(found, usage_of(row), now)

    def spooled(self, rows: Sequence[EventRow]) -> None:
        """As `stored`, but they wait in the spool, where no evaluation sees them."""
        for found, row in self._reserved(rows):
            self.reservations.spooled(found, usage_of(row))

    def _reserved(self, rows: Sequence[EventRow]) -> Iterator[tuple[Reservation, EventRow]]:
        """The events for which something is reserved. A correction is of the same operation: no other's is settled."""
        for row in rows:
            request = "" if not row.request_id or self._was_told(row) else row.request_id
            found = self.reservations.for_operation(row.tenant_id, row.event_id, request)
            if found is not None and found.whose.covers(Scope(row.tenant_id, row.team, row.environment)):
                yield found, row

    def _was_told(self, row: EventRow) -> bool:
        """Whether the event had come before, which is remembered from now on."""
        key, size = hash((row.tenant_id, row.event_id)), len(self._told)
        self._told[key] = None
        if len(self._told) > _REMEMBERED:
            del self._told[next(iter(self._told))]
            return False
        return len(self._told) == size

    @property
    def _allows_stale(self) -> bool:
        return self._when_stale is WhenStale.ALLOW

    def _find(self, id_: str, scope: Scope) -> Reservation:
        found = self.reservations.get(id_)
        if found is None or not scope.covers(found.whose):
            raise NoSuchReservation
        return found

    def _meet(self, state: BudgetState, member: str | None, asked: Asked, now: datetime) -> Standing | None:
        """How the budget stands for this operation; None when its time is over."""
        amounts = _amounts(state, member, now)
        if amounts is None:
            return None
        limit, spent, until = amounts
        held = self.reservations.held((state.budget_id, member))
        remaining = EXACT.subtract(EXACT.subtract(limit, spent), held)
        return Standing(state, member, limit, spent, held, remaining, asked.usage.of(state.terms.measure), until)

    def _reason(self, standings: Sequence[Standing], *, stale: bool, unknown: bool) -> Reason:
        if stale and (standings or unknown):
            return Reason.STALE
        if not standings:
            return Reason.NO_BUDGET
        return Reason.WITHIN_BUDGET if all(each.allows for each in standings) else Reason.OVER_BUDGET

    def _reserve(self, asked: Asked, standings: Sequence[Standing], now: datetime) -> Reservation:
        reservation = Reservation(
            id=self._next_id(),
            whose=asked.whose,
            event_id=asked.event_id,
            request_id=asked.request_id,
            measures={each.holder: each.state.terms.measure for each in standings},
            usage=asked.usage,
            expires_at=now + asked.patience,
        )
        self.reservations.add(reservation)
        return reservation

    def _next_id(self) -> str:
        number = next(self._numbers).to_bytes(8)
        return "res_" + blake2b(number, key=self._secret, digest_size=12).hexdigest()


def _amounts(state: BudgetState, member: str | None, now: datetime) -> tuple[Decimal, Decimal, datetime | None] | None:
    """Limit, spent and the period's end. A period that has begun since the evaluation has nothing spent in it yet."""
    period = state.terms.period
    if isinstance(period, RollingPeriod) or now < state.counted.end:
        until = None if isinstance(period, RollingPeriod) else state.counted.end
        status = state.statuses.get(member)
        return (status.limit, status.spent, until) if status else (state.default_limit, _NOTHING, until)
    begun = period.at(now)
    counted = clipped(begun, state.terms.starts_at, state.terms.ends_at) if begun else None
    if begun is None or counted is None or now >= counted.end:
        return None
    limit = state.terms.amount(begun.start.astimezone(period.zone).date(), member)
    return None if limit is None else (limit, _NOTHING, counted.end)


_NOTHING: Final = Decimal(0)


def _decisive(standings: Sequence[Standing]) -> Standing | None:
    denying = [each for each in standings if not each.allows]
    if denying:
        return max(denying, key=lambda each: (each.until is None, each.until and each.until.timestamp()))
    return min(standings, key=lambda each: float(each.remaining - each.wanted) / float(each.limit), default=None)
