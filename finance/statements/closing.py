"""Closing, previewing and reopening: the only ways a statement comes about or stops to hold."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlmodel import Session

from core.database import Database
from core.errors import Conflict, Forbidden, InvalidInput
from finance.statements import books
from finance.statements.books import NoSuchStatement, Statement
from finance.statements.charges import Announce
from finance.statements.document import Draft
from finance.statements.drafting import Drafting
from finance.statements.period import BillingPeriod
from tenants.scope import Scope


class PeriodNotOver(InvalidInput):
    """A month can be closed once it has ended."""

    code = "PERIOD_NOT_OVER"

    def __init__(self, period: BillingPeriod, end: datetime) -> None:
        super().__init__(f"{period} ends at {end.isoformat()}; a month can be closed after its end")
        self.field = "period"


class PeriodDropped(InvalidInput):
    """Retention has begun to drop the month's events."""

    code = "PERIOD_DROPPED"

    def __init__(self, period: BillingPeriod) -> None:
        super().__init__(f"{period} began before what APPORTION_RETENTION_DAYS keeps, so its costs are not complete")
        self.field = "period"


class PeriodClosed(Conflict):
    """The month is closed for that tenant; nothing is left to preview."""

    code = "PERIOD_CLOSED"

    def __init__(self, statement: Statement) -> None:
        row = statement.record
        super().__init__(
            f"{row.period} of tenant {row.tenant_id!r} is closed by statement {row.number}; "
            "what has changed since is in the preview of the next month"
        )
        self.field = "period"


class TimezoneChanged(Conflict):
    """Months of two zones overlap or leave a gap."""

    code = "BILLING_TIMEZONE_CHANGED"

    def __init__(self, kept: str, asked: str) -> None:
        super().__init__(f"statements are kept in months of {kept}; set APPORTION_BILLING_TIMEZONE back from {asked}")


class OutsideStatements(Forbidden):
    """Statements cover whole tenants, and the key covers less or another one."""

    def __init__(self) -> None:
        super().__init__("a key closes and reopens statements of the tenants in its scope, and of whole tenants only")


@dataclass(frozen=True, slots=True)
class Asked:
    """What to close: a month of one tenant, or of all in scope."""

    period: BillingPeriod
    scope: Scope
    tenant_id: str | None = None

    def __post_init__(self) -> None:
        if not covers_tenants(self.scope) or self.tenant_id not in {None, self.scope.tenant or self.tenant_id}:
            raise OutsideStatements

    @property
    def only(self) -> str | None:
        """The one tenant that is meant; None means everyone."""
        return self.tenant_id or self.scope.tenant


def covers_tenants(scope: Scope) -> bool:
    """False for scopes that see parts of tenants."""
    return scope.team is None and scope.environment is None


@dataclass
class Outcome:
    """What a call of `close` came to.

    For `closed_before` tenants the month was closed already; `remaining` ones were not reached: call again.
    """

    closed: list[Statement] = field(default_factory=list)
    closed_before: int = 0
    remaining: int = 0


class Closer:
    """Closes months. Safe to share between threads and processes: each tenant's month is closed under the lock."""

    def __init__(
        self,
        database: Database,
        drafting: Drafting,
        announce: Announce | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._drafting = drafting
        self._announce = announce
        self._monotonic = monotonic

    @property
    def timezone(self) -> ZoneInfo:
        """The zone whose months are closed."""
        return self._drafting.timezone

    def close(
        self,
        asked: Asked,
        *,
        by: str,
        now: datetime,
        seconds: float = float("inf"),
        told: Callable[[int, int], None] = lambda _done, _of: None,
    ) -> Outcome:
        """A statement for each tenant meant, in the order of their ids; those that exist and hold stay.

        Of everyone, tenants without a single line get none. It stops after `seconds`. Raises PeriodNotOver,
        PeriodDropped or TimezoneChanged; Unavailable part-way leaves what was closed closed.
        """
        self._check(asked.period, now)
        tenants, outcome = self._open(asked, now)
        until = self._monotonic() + seconds
        for done, tenant_id in enumerate(tenants):
            told(done, len(tenants))
            if done and self._monotonic() > until:
                outcome.remaining = len(tenants) - done
                return outcome
            self._close(tenant_id, asked, by, now, outcome)
        told(len(tenants), len(tenants))
        return outcome

    def drafts(self, asked: Asked, *, now: datetime) -> Iterator[Draft]:
        """What `close` would close now, one tenant after another. Raises what `close` does."""
        self._check(asked.period, now)
        for tenant_id in self._open(asked, now)[0]:
            with self._database.session() as session:
                account = books.account(session, tenant_id)
            draft = self._drafting.draft(tenant_id, asked.period, account, now)
            if draft.lines or asked.only:
                yield draft

    def preview(self, tenant_id: str, period: BillingPeriod, *, now: datetime) -> Draft:
        """What the tenant's statement would say if the month ended now. Raises PeriodClosed."""
        with self._database.session() as session:
            self._check_zone(session)
            account = books.account(session, tenant_id)
        if period in account.holding:
            raise PeriodClosed(account.holding[period])
        return self._drafting.draft(tenant_id, period, account, now)

    def reopen(self, number: int, reason: str, *, scope: Scope, by: str, now: datetime) -> Statement:
        """The statement, which holds no more. Raises NoSuchStatement, AlreadyReopened or MissingReason."""
        with self._locked() as session:
            found = books.statement(session, number)
            if not sees(scope, found):
                raise NoSuchStatement(number)
            reopened = books.reopen(session, found, reason, by=by, now=now)
            session.commit()
            return reopened

    def _close(self, tenant_id: str, asked: Asked, by: str, now: datetime, outcome: Outcome) -> None:
        with self._locked() as session:
            account = books.account(session, tenant_id)
            if asked.period in account.holding:
                outcome.closed_before += 1  # somebody else was faster
                return
            draft = self._drafting.draft(tenant_id, asked.period, account, now)
            if draft.lines or asked.only:
                statement = books.enter(session, draft, of_everyone=asked.only is None, by=by, now=now)
                self._tell(session, statement)
                session.commit()
                outcome.closed.append(statement)

    def _tell(self, session: Session, statement: Statement) -> None:
        if self._announce is not None:
            self._announce(session, announcement(statement))

    @contextmanager
    def _locked(self) -> Iterator[Session]:
        with self._database.lock(), self._database.session() as session:
            yield session

    def _open(self, asked: Asked, now: datetime) -> tuple[list[str], Outcome]:
        """The tenants meant whose month is not closed, and an outcome that counts the others."""
        tenants = self._tenants(asked, now)
        with self._database.session() as session:
            held = books.holders(session, asked.period)
        rest = [tenant_id for tenant_id in tenants if tenant_id not in held]
        return rest, Outcome(closed_before=len(tenants) - len(rest))

    def _tenants(self, asked: Asked, now: datetime) -> list[str]:
        if asked.only is not None:
            return [asked.only]
        with self._database.session() as session:
            known, months = books.tenants(session), books.periods_of_everyone(session)
        looked_at = {m for m in months if m < asked.period and self._drafting.is_kept(m, now)}
        return sorted(known | self._drafting.tenants({asked.period, *looked_at}))

    def _check(self, period: BillingPeriod, now: datetime) -> None:
        end = period.window(self._drafting.timezone).end
        if end > now:
            raise PeriodNotOver(period, end)
        if not self._drafting.is_kept(period, now):
            raise PeriodDropped(period)
        with self._database.session() as session:
            self._check_zone(session)

    def _check_zone(self, session: Session) -> None:
        zone = self._drafting.timezone.key
        kept = books.other_timezone(session, zone)
        if kept is not None:
            raise TimezoneChanged(kept, zone)


def sees(scope: Scope, statement: Statement) -> bool:
    """Whether the scope covers the statement's tenant."""
    return covers_tenants(scope) and scope.tenant in {None, statement.record.tenant_id}


def announcement(statement: Statement) -> dict[str, object]:
    """What the message says: enough to fetch the statement and to check it. `total` is its cost."""
    content, row = statement.content, statement.record
    return {
        **{name: content[name] for name in ("number", "revision", "supersedes", "tenant", "period", "currency")},
        "tenantExternalId": statement.external_id,
        "total": content["cost"],
        "charges": content["charges"],
        "adjustments": content["adjustments"],
        "checksum": row.checksum,
        "path": f"/v1/statements/{row.number}",
    }
