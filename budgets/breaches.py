"""Breaches on record: written by whoever holds the lease, once each; listed, and acknowledged by people."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from sqlalchemy import update
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlmodel import Session, and_, col, or_, select

from budgets.contributors import Contributor
from budgets.evaluation import GRACE
from budgets.judging import Changes, Finding, Key, Known
from budgets.models import Breach, Resolution, State
from budgets.notices import Notice, Tell, opened, resolved
from budgets.status import BudgetStatus
from budgets.targets import Definition
from core.database import Database
from core.errors import Conflict, NotFound
from core.money import plain, quantize
from tenants.audit import Action, record

MAX_NOTE: Final = 2_000

_logger = logging.getLogger("apportion.budgets")


class NoSuchBreach(NotFound):
    """There is none, or not for this caller."""

    def __init__(self, id_: int | str) -> None:
        super().__init__(f"there is no breach {id_}")


class AlreadyResolved(Conflict):
    """What is over needs nobody to take it on."""

    code = "ALREADY_RESOLVED"

    def __init__(self, id_: int) -> None:
        super().__init__(f"breach {id_} is resolved already")


Drivers = Callable[[Finding], Sequence[Contributor]]


@dataclass(frozen=True, slots=True)
class Telling:
    """How changes are told: to whom, in which currency, and what is not told because it is muted."""

    tell: Tell | None
    currency: str
    now: datetime

    def __call__(self, session: Session, definition: Definition, notice: Notice) -> None:
        """Take the notice into the transaction, unless the target is muted."""
        if self.tell is not None and not definition.is_muted(self.now):
            self.tell(session, notice)


def known(session: Session, now: datetime) -> list[Known]:
    """The breaches that may still change: unresolved ones, and those of periods that are not long over."""
    columns = select(
        Breach.id, Breach.target_id, Breach.member, Breach.period_start, Breach.threshold, Breach.period_end,
        Breach.resolved_at,
        Breach.target_version,
    )  # type: ignore[call-overload]  # fmt: skip
    recent = or_(col(Breach.resolved_at).is_(None), col(Breach.period_end) > now - 2 * GRACE)
    return [
        Known(id_, Key(target, member, start, threshold), end, at is not None, version)
        for id_, target, member, start, threshold, end, at, version in session.exec(columns.where(recent))
    ]


def write(
    session: Session, changes: Changes, definitions: Mapping[int, Definition], drivers: Drivers, telling: Telling
) -> None:
    """Put the changes and what there is to tell of them into the session's transaction: those that can be, each."""
    for each, resolution in changes.resolved:
        with _apart(session, each.key):
            _resolve(session, each, resolution, definitions, telling)
    for finding in changes.opened:
        with _apart(session, finding.key):
            driven = drivers(finding)
            _add(session, _opened(finding, driven, telling.now), finding, driven, telling)
    for each, finding in changes.reopened:
        with _apart(session, each.key):
            row, driven = session.get_one(Breach, each.id), drivers(finding)
            _reopen(row, finding, driven, telling.now)
            _add(session, row, finding, driven, telling)
    for each, finding in changes.unmuted:
        with _apart(session, each.key):
            _tell(session, session.get_one(Breach, each.id), finding, telling)


@contextmanager
def _apart(session: Session, key: Key) -> Iterator[None]:
    """One change, undone when it cannot be written, so that the others can; the next evaluation tries it again."""
    try:
        with session.begin_nested():
            yield
    except (OperationalError, InterfaceError):
        raise  # the database is away
    except Exception:
        _logger.exception("a change of breach %s cannot be written", tuple(key))


def _resolve(
    session: Session, each: Known, resolution: Resolution, definitions: Mapping[int, Definition], telling: Telling
) -> None:
    row = session.get_one(Breach, each.id)
    row.state, row.resolved_at, row.resolution = State.RESOLVED.value, telling.now, resolution.value
    session.add(row)
    definition = definitions.get(each.key.target_id)
    if definition is not None:
        notice = resolved(definition, each, resolution, row.openings, telling.currency)
        telling(session, definition, notice)


def _add(session: Session, row: Breach, finding: Finding, drivers: Sequence[Contributor], telling: Telling) -> None:
    session.add(row)
    session.flush()
    assert row.id is not None
    notice = opened(finding, row.id, row.openings, drivers, telling.currency)
    telling(session, finding.definition, notice)


def _tell(session: Session, row: Breach, finding: Finding, telling: Telling) -> None:
    """Say that it is open, who drove it when it opened, and how it stands now; to whom it was said, it is not again."""
    drivers = [Contributor(each["name"], Decimal(each["value"])) for each in json.loads(row.contributors)]
    assert row.id is not None
    telling(session, finding.definition, opened(finding, row.id, row.openings, drivers, telling.currency))


def _opened(finding: Finding, drivers: Sequence[Contributor], now: datetime) -> Breach:
    """A new row; of a period that is over it is resolved from the start."""
    key, over = finding.key, finding.ended
    row = Breach(
        target_id=key.target_id,
        target_version=finding.definition.version,
        member=key.member,
        period_start=key.period_start,
        period_end=finding.period.end,
        threshold=key.threshold,
        state=(State.RESOLVED if over else State.OPEN).value,
        observed=finding.observed,
        bound=finding.bound,
        contributors="",
        opened_at=now,
        resolved_at=now if over else None,
        resolution=Resolution.PERIOD_OVER.value if over else None,
    )
    _describe(row, finding, drivers)
    return row


def _reopen(row: Breach, finding: Finding, drivers: Sequence[Contributor], now: datetime) -> None:
    row.state, row.opened_at, row.openings = State.OPEN.value, now, row.openings + 1
    row.resolved_at = row.resolution = row.acknowledged_at = row.acknowledged_by = row.note = None
    row.target_version = finding.definition.version
    _describe(row, finding, drivers)


def _describe(row: Breach, finding: Finding, drivers: Sequence[Contributor]) -> None:
    status = finding.status
    row.observed, row.bound = quantize(finding.observed), quantize(finding.bound)
    row.contributors = json.dumps([{"name": each.name, "value": plain(each.value)} for each in drivers])
    if isinstance(status, BudgetStatus):
        row.limit_amount = status.limit
        row.forecast = status.forecast.amount if status.forecast else None
    else:
        row.operations = status.operations


@dataclass(frozen=True, slots=True)
class Asked:
    """Which breaches: of these versions of targets, in these states, opened then or later; at most `first`.

    No versions of a target stand for all of them.
    """

    targets: Mapping[int, Collection[int]]
    states: Sequence[State] = ()
    since: datetime | None = None
    first: int = 100
    before: int | None = None


class Breaches:
    """The breaches of a deployment, for people."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, asked: Asked) -> list[Breach]:
        """The breaches asked for, newest first."""
        whole = [id_ for id_, versions in asked.targets.items() if not versions]
        parts = [
            and_(col(Breach.target_id) == id_, col(Breach.target_version).in_(versions))
            for id_, versions in asked.targets.items()
            if versions
        ]
        statement = select(Breach).where(or_(col(Breach.target_id).in_(whole), *parts))
        if asked.states:
            statement = statement.where(col(Breach.state).in_([state.value for state in asked.states]))
        if asked.since:
            statement = statement.where(col(Breach.opened_at) >= asked.since)
        if asked.before:
            statement = statement.where(col(Breach.id) < asked.before)
        with self._database.session() as session:
            return list(session.exec(statement.order_by(col(Breach.id).desc()).limit(asked.first)))

    def get(self, id_: int) -> Breach:
        """The breach. Raises NoSuchBreach."""
        with self._database.session() as session:
            row = session.get(Breach, id_)
        if row is None:
            raise NoSuchBreach(id_)
        return row

    def acknowledge(self, id_: int, note: str, *, by: str) -> Breach:
        """Somebody has taken it on; a later note replaces an earlier one. Raises NoSuchBreach or AlreadyResolved."""
        taken = {
            "state": State.ACKNOWLEDGED.value,
            "acknowledged_at": datetime.now(UTC),
            "acknowledged_by": by,
            "note": note,
        }
        with self._database.session() as session:
            unresolved = (col(Breach.id) == id_, col(Breach.resolved_at).is_(None))
            if session.exec(update(Breach).where(*unresolved).values(**taken)).rowcount != 1:
                raise AlreadyResolved(id_)
            record(session, by, Action.ACKNOWLEDGE_BREACH, str(id_), note=note)
            session.commit()
        return self.get(id_)
