"""Actual revenue, as the billing system says it. It wins over the modelled one for the days it is for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum, unique
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import UniqueConstraint
from sqlmodel import Field, Session, SQLModel, col, select

from core.database import Database, ExactDecimal, UtcDateTime
from core.errors import InvalidInput
from core.money import quantize
from core.time import Window, midnight, parse_timezone
from tenants.audit import Action, record
from tenants.changes import changing

MAX_REVENUE: Final = Decimal(10) ** 15
_LENGTH: Final = 200
_CONTENT: Final = ("tenant_id", "start", "end", "timezone", "amount", "currency", "note")


class InvalidRevenue(InvalidInput):
    """A field of an item of revenue breaks a rule."""

    code = "INVALID_REVENUE"

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field} is not usable: {rule}")
        self.field = field


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
        if self.end <= self.start:
            raise InvalidRevenue("end", "it is the first day after the period, so it comes after the start")
        if not self.amount.is_finite() or abs(self.amount) >= MAX_REVENUE or quantize(self.amount) != self.amount:
            raise InvalidRevenue("amount", "write a number of at most 15 digits before the point and 12 after it")
        if len(self.note) > 1000:
            raise InvalidRevenue("note", "it must have at most 1,000 characters")
        parse_timezone(self.timezone)


class Actuals:
    """The actual revenue of a deployment. Safe to share between threads."""

    def __init__(self, database: Database, currency: str) -> None:
        self._database = database
        self._currency = currency

    def enter(self, items: Sequence[RevenueItem], *, by: str) -> list[Entry]:
        """What became of each item, all in one transaction. Raises InvalidRevenue for another currency."""
        for item in items:
            self.check(item)
        with changing(self._database) as session:
            return [_enter(session, item, by) for item in items]

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


def _enter(session: Session, item: RevenueItem, by: str) -> Entry:
    found = session.exec(
        select(ActualRevenue).where(ActualRevenue.source == item.source, ActualRevenue.client_id == item.client_id)
    ).one_or_none()
    content = {name: getattr(item, name) for name in _CONTENT}
    if found is not None and all(getattr(found, name) == value for name, value in content.items()):
        return Entry.UNCHANGED
    target = f"revenue {item.source} {item.client_id}"
    replaced = found.model_dump(include=set(_CONTENT)) if found else None
    record(session, by, Action.IMPORT_REVENUE, target, **content, replaced=replaced)
    row = found or ActualRevenue(
        source=item.source, client_id=item.client_id, created_at=datetime.now(UTC), created_by=by, **content
    )
    row.sqlmodel_update(content)
    session.add(row)
    session.flush()
    return Entry.CORRECTED if found else Entry.ACCEPTED
