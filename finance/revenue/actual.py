"""Actual revenue, as the billing system says it. It wins over the modelled one for the days it is for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum, unique
from typing import Any, Final, TypeAlias
from zoneinfo import ZoneInfo

from sqlalchemy import UniqueConstraint
from sqlmodel import Field, Session, SQLModel, col, select

from core.database import Database, ExactDecimal, UtcDateTime
from core.errors import Forbidden, InvalidInput, NotFound
from core.money import quantize
from core.time import Window, midnight, parse_timezone
from tenants.audit import Action, record
from tenants.changes import changing
from tenants.scope import Scope

MAX_REVENUE: Final = Decimal(10) ** 15
YEARS: Final = range(2000, 2201)
"""Days are in these years: every zone can say when they begin."""

_LENGTH: Final = 200
_CHUNK: Final = 500
_CONTENT: Final = ("tenant_id", "start", "end", "timezone", "amount", "currency", "note")


class InvalidRevenue(InvalidInput):
    """A field of an item of revenue breaks a rule."""

    code = "INVALID_REVENUE"

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field} is not usable: {rule}")
        self.field = field


class OtherTenant(Forbidden):
    """The sender's scope covers another tenant."""

    def __init__(self, tenant_id: str) -> None:
        super().__init__(f"this key is scoped to tenant {tenant_id!r} and cannot enter another's revenue")
        self.field = "tenant_id"


class NoSuchRevenue(NotFound):
    """Nothing was entered under that id of that source, or it lies outside the caller's scope."""

    code = "NO_SUCH_REVENUE"

    def __init__(self, source: str, client_id: str) -> None:
        super().__init__(f"there is no revenue {client_id!r} of source {source!r}")
        self.field = "id"


class ActualRevenue(SQLModel, table=True):
    """`tenant_id` paid `amount` for the local days from `start` (in) to `end` (out).

    Identity is (source, client_id): the same one again changes nothing, another content corrects it.
    """

    __tablename__ = "actual_revenue"
    __table_args__ = (UniqueConstraint("source", "client_id"),)

    id: int | None = Field(default=None, primary_key=True)
    source: str = Field(max_length=_LENGTH)
    client_id: str = Field(max_length=_LENGTH)
    tenant_id: str = Field(max_length=_LENGTH, index=True)
    start: date
    end: date
    timezone: str = Field(max_length=64)
    amount: Decimal = Field(sa_type=ExactDecimal)
    currency: str = Field(max_length=3)
    note: str = Field(default="", max_length=1000)
    created_at: datetime = Field(sa_type=UtcDateTime)
    created_by: str = Field(default="", max_length=_LENGTH)

    @property
    def zone(self) -> ZoneInfo:
        """Whose days they are."""
        return ZoneInfo(self.timezone)

    @property
    def window(self) -> Window:
        """The instants of its days."""
        return Window(midnight(self.start, self.zone), midnight(self.end, self.zone))


@unique
class Entry(Enum):
    """What became of an item."""

    ACCEPTED = "accepted"
    UNCHANGED = "unchanged"
    CORRECTED = "corrected"


@dataclass(frozen=True, slots=True, kw_only=True)
class RevenueItem:
    """An item as it is sent, checked. Raises InvalidRevenue or UnknownTimezone."""

    source: str
    client_id: str
    tenant_id: str
    start: date
    end: date
    amount: Decimal
    currency: str
    timezone: str = "UTC"
    note: str = ""

    def __post_init__(self) -> None:
        for field, text in (("source", self.source), ("id", self.client_id), ("tenant_id", self.tenant_id)):
            if not 1 <= len(text) <= _LENGTH or not text.isprintable():
                raise InvalidRevenue(field, f"it has 1 to {_LENGTH} characters, none of them control ones")
        for field, day in (("start", self.start), ("end", self.end)):
            check_year(field, day)
        if self.end <= self.start:
            raise InvalidRevenue("end", "it is the first day after the period, so it comes after the start")
        if not self.amount.is_finite() or abs(self.amount) >= MAX_REVENUE or quantize(self.amount) != self.amount:
            raise InvalidRevenue("amount", "write a number of at most 15 digits before the point and 12 after it")
        if len(self.note) > 1000 or "\0" in self.note:
            raise InvalidRevenue("note", "it must have at most 1,000 characters, and no NUL")
        parse_timezone(self.timezone)


def check_year(field: str, day: date) -> None:
    """Return when the day can be accounted for. Raises InvalidRevenue."""
    if day.year not in YEARS:
        raise InvalidRevenue(field, f"it lies in the years {YEARS[0]} to {YEARS[-1]}")


_Stored: TypeAlias = dict[tuple[str, str], ActualRevenue]
"""By source and id."""


class Actuals:
    """The actual revenue of a deployment. Safe to share between threads."""

    def __init__(self, database: Database, currency: str) -> None:
        self._database = database
        self._currency = currency

    def enter(self, items: Sequence[RevenueItem], *, scope: Scope, by: str) -> list[Entry | OtherTenant]:
        """What became of each item, all in one transaction. Raises InvalidRevenue for another currency.

        An item whose id is another tenant's already is refused to whoever may not see that tenant.
        """
        for item in items:
            self.check(item)
        with changing(self._database) as session:
            stored = _stored(session, items)
            return [_enter(session, stored, item, scope, by) for item in items]

    def withdraw(self, source: str, client_id: str, *, scope: Scope, by: str) -> None:
        """Forget the item, as if it had never been entered; the audit log keeps it. Raises NoSuchRevenue."""
        with changing(self._database) as session:
            is_possible = source.isprintable() and client_id.isprintable()  # PostgreSQL compares with no NUL
            row = _named(session, source, [client_id]).get((source, client_id)) if is_possible else None
            if row is None or scope.tenant not in {None, row.tenant_id}:
                raise NoSuchRevenue(source, client_id)
            record(session, by, Action.WITHDRAW_REVENUE, _target(source, client_id), **_content(row))
            session.delete(row)

    def check(self, item: RevenueItem) -> None:
        """Return when the item can be entered here; raise InvalidRevenue."""
        if item.currency != self._currency:
            raise InvalidRevenue("currency", f"this deployment accounts in {self._currency}")

    def between(self, window: Window, tenant_id: str | None = None) -> list[ActualRevenue]:
        """What was paid for days in the window, by tenant and then start."""
        # Zones are at most a day apart from UTC; the exact days are counted by whoever uses them.
        last, first = window.end.astimezone(UTC).date(), window.start.astimezone(UTC).date()
        statement = (
            select(ActualRevenue)
            .where(col(ActualRevenue.start) <= last, col(ActualRevenue.end) >= first)
            .order_by(col(ActualRevenue.tenant_id), col(ActualRevenue.start), col(ActualRevenue.id))
        )
        if tenant_id is not None:
            statement = statement.where(ActualRevenue.tenant_id == tenant_id)
        with self._database.session() as session:
            rows = session.exec(statement).all()
        return [row for row in rows if row.window.start < window.end and window.start < row.window.end]


def _enter(session: Session, stored: _Stored, item: RevenueItem, scope: Scope, by: str) -> Entry | OtherTenant:
    key, content = (item.source, item.client_id), _content(item)
    found = stored.get(key)
    if scope.tenant is not None and {item.tenant_id, found.tenant_id if found else item.tenant_id} != {scope.tenant}:
        return OtherTenant(scope.tenant)
    replaced = _content(found) if found else None
    if replaced == content:
        return Entry.UNCHANGED
    record(session, by, Action.IMPORT_REVENUE, _target(*key), **content, replaced=replaced)
    row = found or ActualRevenue(
        source=item.source, client_id=item.client_id, created_at=datetime.now(UTC), created_by=by, **content
    )
    row.sqlmodel_update(content)
    session.add(row)
    stored[key] = row
    return Entry.CORRECTED if found else Entry.ACCEPTED


def _content(item: RevenueItem | ActualRevenue) -> dict[str, Any]:
    return {name: getattr(item, name) for name in _CONTENT}


def _target(source: str, client_id: str) -> str:
    return f"revenue {source} {client_id}"


def _stored(session: Session, items: Iterable[RevenueItem]) -> _Stored:
    """What is stored under the items' ids already."""
    ids: defaultdict[str, list[str]] = defaultdict(list)
    for item in items:
        ids[item.source].append(item.client_id)
    return {key: row for source, own in ids.items() for key, row in _named(session, source, own).items()}


def _named(session: Session, source: str, client_ids: Sequence[str]) -> _Stored:
    chunks = (client_ids[at : at + _CHUNK] for at in range(0, len(client_ids), _CHUNK))
    rows = (row for chunk in chunks for row in _chunk(session, source, chunk))
    return {(row.source, row.client_id): row for row in rows}


def _chunk(session: Session, source: str, client_ids: Sequence[str]) -> Iterator[ActualRevenue]:
    own = ActualRevenue.source == source, col(ActualRevenue.client_id).in_(client_ids)
    yield from session.exec(select(ActualRevenue).where(*own))
