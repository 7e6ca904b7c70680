"""What processes pass on to each other through the database.

The one that evaluates passes the last evaluation on to all others; they call it when there is something new.
"""

from __future__ import annotations

import secrets
import zlib
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import msgspec
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, select

from budgets.definition import BudgetTerms, GuardrailTerms
from budgets.lease import Lease
from budgets.models import LeaseRow, SnapshotRow
from budgets.status import BudgetState, BudgetStatus, Forecast, GuardrailStatus, Snapshot
from budgets.targets import Definition
from core.database import Database
from core.time import Window

_INSERT: Final[dict[str, Any]] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}
_OFTEN_ENOUGH: Final = timedelta(seconds=2)
"""How much older things may seem elsewhere than they are here."""
_CALL: Final = "budgets:call"
"""The row beside the leases that everybody may take: who took it last has called."""


class _Status(msgspec.Struct, array_like=True):
    member: str | None
    spent: Decimal
    limit: Decimal
    rolled_over: Decimal
    unpriced: int
    forecast: tuple[Decimal, Decimal, Decimal, Decimal, datetime | None] | None


class _Budget(msgspec.Struct, array_like=True):
    id: int
    version: int
    period: tuple[datetime, datetime]
    counted: tuple[datetime, datetime]
    default_limit: Decimal
    unwatched: list[str]
    statuses: list[_Status]
    foresees: bool


class _Guardrail(msgspec.Struct, array_like=True):
    id: int
    member: str | None
    interval: tuple[datetime, datetime]
    value: Decimal | None
    operations: int
    beyond: int
    quiet: bool


class _Content(msgspec.Struct, array_like=True):
    budgets: list[_Budget]
    guardrails: list[_Guardrail]


_DECODER = msgspec.msgpack.Decoder(_Content)


class Relay:
    """Writes and reads the one snapshot of a deployment, and calls whoever makes it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._written_at: datetime | None = None
        self._heard: str | None = None

    def write(self, snapshot: Snapshot, lease: Lease) -> None:
        """Pass the snapshot on, unless another one was a moment ago; that nothing is watched is always passed on.

        Raises LeaseLost.
        """
        recent = self._written_at is not None and snapshot.evaluated_at - self._written_at < _OFTEN_ENOUGH
        if recent and snapshot.is_of_targets:
            return
        with self._database.session() as session:
            lease.confirm(session)
            _replace(session, snapshot.evaluated_at, encode(snapshot))
            session.commit()
        self._written_at = snapshot.evaluated_at

    def read(self, last: Snapshot, definitions: Iterable[Definition]) -> Snapshot | None:
        """The snapshot on record when it is newer than `last`. Budgets that changed since then stand as in `last`."""
        with self._database.session() as session:
            if session.exec(select(SnapshotRow.evaluated_at)).first() in {None, last.evaluated_at}:
                return None
            row = session.get_one(SnapshotRow, 1)
        return decode(row.content, row.evaluated_at, {each.id: each for each in definitions}, last)

    def call(self) -> None:
        """Let the process that evaluates know that there is something new."""
        values = {"holder": secrets.token_hex(16), "expires_at": 0.0}
        with self._database.session() as session:
            insert = _INSERT[session.get_bind().dialect.name](LeaseRow).values(name=_CALL, **values)
            session.exec(insert.on_conflict_do_update(index_elements=["name"], set_=values))
            session.commit()

    def was_called(self) -> bool:
        """Whether any process has called since this was last asked."""
        with self._database.session() as session:
            called = session.exec(select(LeaseRow.holder).where(LeaseRow.name == _CALL)).first()
        before, self._heard = self._heard, called
        return called != before


def _replace(session: Session, evaluated_at: datetime, content: bytes) -> None:
    values = {"evaluated_at": evaluated_at, "content": content}
    insert = _INSERT[session.get_bind().dialect.name](SnapshotRow).values(id=1, **values)
    session.exec(insert.on_conflict_do_update(index_elements=["id"], set_=values))


def encode(snapshot: Snapshot) -> bytes:
    """The snapshot without its terms, which everybody can read, compressed."""
    content = _Content(
        [_budget(state) for state in snapshot.budgets.values()],
        [_guardrail(status) for status in snapshot.guardrails.values()],
    )
    return zlib.compress(msgspec.msgpack.encode(content), 1)


def decode(content: bytes, evaluated_at: datetime, definitions: dict[int, Definition], last: Snapshot) -> Snapshot:
    """The snapshot, with the terms it was made under; where those are not known any more, how it stood in `last`."""
    read = _DECODER.decode(zlib.decompress(content))
    budgets, guardrails = {}, {}
    for each in read.budgets:
        found = definitions.get(each.id)
        if found and found.version == each.version and isinstance(found.terms, BudgetTerms):
            budgets[each.id] = _state(each, found.terms, evaluated_at)
        elif found and each.id in last.budgets:
            budgets[each.id] = last.budgets[each.id]
    for rail in read.guardrails:
        found = definitions.get(rail.id)
        if found and isinstance(found.terms, GuardrailTerms):
            guardrails[rail.id, rail.member] = _guarded(rail, found.terms, evaluated_at)
    return Snapshot(evaluated_at, budgets, guardrails)


def _span(window: Window) -> tuple[datetime, datetime]:
    return window.start, window.end


def _budget(state: BudgetState) -> _Budget:
    return _Budget(
        state.budget_id,
        state.version,
        _span(state.period),
        _span(state.counted),
        state.default_limit,
        sorted(state.unwatched),
        [_status(status) for status in state.statuses.values()],
        state.foresees,
    )


def _status(status: BudgetStatus) -> _Status:
    f = status.forecast
    forecast = (f.amount, f.low, f.high, f.pace, f.reaches_limit_at) if f else None
    return _Status(status.member, status.spent, status.limit, status.rolled_over, status.unpriced_operations, forecast)


def _guardrail(status: GuardrailStatus) -> _Guardrail:
    return _Guardrail(
        status.guardrail_id,
        status.member,
        _span(status.interval),
        status.value,
        status.operations,
        status.beyond_in_a_row,
        status.quiet,
    )


def _state(read: _Budget, terms: BudgetTerms, evaluated_at: datetime) -> BudgetState:
    period, counted = Window(*read.period), Window(*read.counted)
    statuses: dict[str | None, BudgetStatus] = {
        each.member: BudgetStatus(
            budget_id=read.id,
            terms=terms,
            member=each.member,
            period=period,
            counted=counted,
            spent=each.spent,
            limit=each.limit,
            evaluated_at=evaluated_at,
            rolled_over=each.rolled_over,
            unpriced_operations=each.unpriced,
            forecast=Forecast(*each.forecast) if each.forecast else None,
        )
        for each in read.statuses
    }
    return BudgetState(
        budget_id=read.id,
        version=read.version,
        terms=terms,
        period=period,
        counted=counted,
        default_limit=read.default_limit,
        statuses=statuses,
        unwatched=frozenset(read.unwatched),
        foresees=read.foresees,
    )


def _guarded(read: _Guardrail, terms: GuardrailTerms, evaluated_at: datetime) -> GuardrailStatus:
    return GuardrailStatus(
        guardrail_id=read.id,
        terms=terms,
        member=read.member,
        interval=Window(*read.interval),
        value=read.value,
        operations=read.operations,
        beyond_in_a_row=read.beyond,
        quiet=read.quiet,
        evaluated_at=evaluated_at,
    )
