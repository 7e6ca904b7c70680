"""The books of statements: what was billed, under which number, and whether it still holds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, unique
from functools import cached_property
from typing import Any

from sqlalchemy import func
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from core.errors import Conflict, InvalidInput, NotFound
from finance.statements.document import Draft, Seal, canonical, checksum, lines_of
from finance.statements.lines import LineKey, Value, total
from finance.statements.models import StatementRecord, StatementReopening
from finance.statements.period import BillingPeriod
from tenants.audit import Action, record
from tenants.models import Tenant

_MAX_REASON = 1_000


@unique
class Status(Enum):
    """Whether a statement holds."""

    CLOSED = "closed"
    REOPENED = "reopened"
    SUPERSEDED = "superseded"


class NoSuchStatement(NotFound):
    """No statement has that number, or it lies outside the caller's scope."""

    code = "NO_SUCH_STATEMENT"

    def __init__(self, number: int | str) -> None:
        super().__init__(f"there is no statement {number}")
        self.field = "number"


class AlreadyReopened(Conflict):
    """The statement does not hold any more."""

    code = "ALREADY_REOPENED"

    def __init__(self, number: int) -> None:
        super().__init__(f"statement {number} was reopened before; what holds is a later revision, or none yet")
        self.field = "number"


class MissingReason(InvalidInput):
    """Reopening needs a reason that people can read."""

    code = "MISSING_REASON"

    def __init__(self) -> None:
        super().__init__(f"say in 1 to {_MAX_REASON} characters why the statement is reopened")
        self.field = "reason"


@dataclass(frozen=True)
class Statement:
    """A stored statement as it stands. `superseded_by` is the number of the next revision.

    `external_id` is what the billing system calls the tenant today; the statement itself holds our id.
    """

    record: StatementRecord
    external_id: str | None = None
    reopening: StatementReopening | None = None
    superseded_by: int | None = None

    @property
    def status(self) -> Status:
        """Whether it holds."""
        if self.reopening is None:
            return Status.CLOSED
        return Status.REOPENED if self.superseded_by is None else Status.SUPERSEDED

    @cached_property
    def content(self) -> dict[str, Any]:
        """What it says, in JSON's types."""
        content: dict[str, Any] = json.loads(self.record.content)
        return content


@dataclass(frozen=True, slots=True)
class Account:
    """One tenant's side of the books: what all statements that hold have billed, and which months are closed."""

    billed: Mapping[LineKey, Value]
    holding: Mapping[BillingPeriod, Statement]
    closed: frozenset[BillingPeriod]


def account(session: Session, tenant_id: str) -> Account:
    """The tenant's account. A month closed for everyone is closed for a tenant without a statement too."""
    statements = statements_of(session, _by_number().where(col(StatementRecord.tenant_id) == tenant_id))
    holding = {_period(s): s for s in statements if s.status is Status.CLOSED}
    open_again = {_period(s) for s in statements if s.status is Status.REOPENED}
    months = select(StatementRecord.period).where(col(StatementRecord.of_everyone)).distinct()
    everyone = {BillingPeriod.parse(text) for text in session.exec(months)}
    billed = total(line for statement in holding.values() for line in lines_of(statement.content))
    return Account(billed, holding, frozenset((everyone | set(holding)) - open_again))


def _period(statement: Statement) -> BillingPeriod:
    return BillingPeriod.parse(statement.record.period)


def _by_number() -> SelectOfScalar[StatementRecord]:
    return select(StatementRecord).order_by(col(StatementRecord.number))


def statements_of(session: Session, selected: SelectOfScalar[StatementRecord]) -> list[Statement]:
    """The selected statements as they stand, in their order."""
    records = list(session.exec(selected))
    numbers = [row.number for row in records]
    reopened = select(StatementReopening).where(col(StatementReopening.number).in_(numbers))
    reopenings = {row.number: row for row in session.exec(reopened)}
    ids = _external_ids(session, {row.tenant_id for row in records})
    return [
        Statement(row, ids.get(row.tenant_id), reopenings.get(row.number), _successor(session, row, reopenings))
        for row in records
    ]


def _external_ids(session: Session, tenant_ids: set[str]) -> dict[str, str]:
    # PostgreSQL does not even compare with a text that holds NUL, and no tenant of the directory has one.
    comparable = {tenant_id for tenant_id in tenant_ids if "\0" not in tenant_id}
    named = select(Tenant.tenant_id, Tenant.external_id).where(col(Tenant.tenant_id).in_(comparable))
    return {tenant_id: external_id for tenant_id, external_id in session.exec(named) if external_id}


def _successor(session: Session, row: StatementRecord, reopenings: Mapping[int, StatementReopening]) -> int | None:
    if row.number not in reopenings:
        return None
    same = (
        col(StatementRecord.tenant_id) == row.tenant_id,
        col(StatementRecord.period) == row.period,
        col(StatementRecord.revision) == row.revision + 1,
    )
    return session.exec(select(StatementRecord.number).where(*same)).one_or_none()


def statement(session: Session, number: int) -> Statement:
    """The statement of that number. Raises NoSuchStatement."""
    found = statements_of(session, _by_number().where(col(StatementRecord.number) == number))
    if not found:
        raise NoSuchStatement(number)
    return found[0]


def page(
    session: Session, *, tenant_id: str | None, period: BillingPeriod | None, after: int, first: int
) -> Sequence[Statement]:
    """Statements in the order of their numbers, at most `first`, after that number; all that are given must match."""
    selected = _by_number().where(col(StatementRecord.number) > after).limit(first)
    if tenant_id is not None:
        selected = selected.where(col(StatementRecord.tenant_id) == tenant_id)
    if period is not None:
        selected = selected.where(col(StatementRecord.period) == str(period))
    return statements_of(session, selected)


def tenants(session: Session) -> set[str]:
    """Every tenant that ever got a statement."""
    return set(session.exec(select(StatementRecord.tenant_id).distinct()))


def holders(session: Session, period: BillingPeriod) -> set[str]:
    """Every tenant with a statement of that month that holds."""
    reopened = select(StatementReopening.number)
    of_month = col(StatementRecord.period) == str(period), col(StatementRecord.number).not_in(reopened)
    return set(session.exec(select(StatementRecord.tenant_id).where(*of_month)))


def periods_of_everyone(session: Session) -> set[BillingPeriod]:
    """Every month that has any statement."""
    return {BillingPeriod.parse(text) for text in session.exec(select(StatementRecord.period).distinct())}


def other_timezone(session: Session, name: str) -> str | None:
    """A zone that statements were closed in and that is not this one."""
    return session.exec(
        select(StatementRecord.timezone).where(col(StatementRecord.timezone) != name).limit(1)
    ).one_or_none()


def enter(session: Session, draft: Draft, *, of_everyone: bool, by: str, now: datetime) -> Statement:
    """The draft as the next statement, in the caller's transaction, with its record in the audit log.

    Numbers are gapless and unique in the deployment: the caller holds the database's lock until it has committed.
    """
    before = _latest(session, draft)
    seal = Seal(
        number=(session.exec(select(func.max(StatementRecord.number))).one() or 0) + 1,
        revision=before.revision + 1 if before else 1,
        supersedes=before.number if before else None,
        closed_at=now,
        closed_by=by,
    )
    row = _record(draft, seal, of_everyone=of_everyone)
    session.add(row)
    about = {"tenant": draft.tenant_id, "period": draft.period, "revision": seal.revision, "checksum": row.checksum}
    record(session, by, Action.CLOSE_STATEMENT, f"statement {seal.number}", **about, cost=draft.cost)
    return statements_of(session, _by_number().where(col(StatementRecord.number) == seal.number))[0]


def _record(draft: Draft, seal: Seal, *, of_everyone: bool) -> StatementRecord:
    text = canonical(draft, seal)
    return StatementRecord(
        number=seal.number,
        tenant_id=draft.tenant_id,
        period=str(draft.period),
        revision=seal.revision,
        timezone=draft.timezone.key,
        of_everyone=of_everyone,
        closed_at=seal.closed_at,
        closed_by=seal.closed_by,
        checksum=checksum(text),
        content=text,
    )


def _latest(session: Session, draft: Draft) -> StatementRecord | None:
    same = (
        col(StatementRecord.tenant_id) == draft.tenant_id,
        col(StatementRecord.period) == str(draft.period),
    )
    newest = select(StatementRecord).where(*same).order_by(col(StatementRecord.revision).desc()).limit(1)
    return session.exec(newest).one_or_none()


def reopen(session: Session, found: Statement, reason: str, *, by: str, now: datetime) -> Statement:
    """The statement as it stands once it no longer holds; in the caller's transaction, with its record.

    Closing the month again makes its next revision. Raises AlreadyReopened or MissingReason.
    """
    reason = reason.replace("\0", "\N{REPLACEMENT CHARACTER}").strip()
    if not 1 <= len(reason) <= _MAX_REASON:
        raise MissingReason
    number = found.record.number
    if found.reopening is not None:
        raise AlreadyReopened(number)
    reopening = StatementReopening(number=number, at=now, actor=by, reason=reason)
    session.add(reopening)
    about = {"tenant": found.record.tenant_id, "period": found.record.period}
    record(session, by, Action.REOPEN_STATEMENT, f"statement {number}", **about, reason=reason)
    return Statement(found.record, found.external_id, reopening)
