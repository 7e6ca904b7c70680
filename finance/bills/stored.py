"""Bills as the relational database knows them: which import of a provider's month is in force."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import Enum, unique

from sqlalchemy import Column, Index, Text, and_, or_
from sqlmodel import Field, Session, SQLModel, col, select

from core.database import ExactDecimal, UtcDateTime


@unique
class BillState(Enum):
    """How far an import has come."""

    LOADING = "loading"
    CURRENT = "current"
    REPLACED = "replaced"
    REMOVED = "removed"


class Bill(SQLModel, table=True):
    """One import of one provider's bill of one month; its lines carry its id. Readers see current ones alone.

    `payer` tells several bills of a provider apart, '' for the only one. `days` are those that the bill covers, as a
    JSON list; `accounts` the provider's names of who pays.
    """

    __tablename__ = "bills"
    __table_args__ = (Index("ix_bills_current", "provider", "payer", "period", "state"),)

    id: int | None = Field(default=None, primary_key=True)
    provider: str = Field(max_length=200)
    payer: str = Field(default="", max_length=200)
    period: date
    state: str = Field(default=BillState.LOADING.value, max_length=20)
    format: str = Field(max_length=40)
    file_name: str = Field(default="", max_length=500)
    currency: str = Field(max_length=3)
    lines: int = 0
    cost: Decimal = Field(default=Decimal(0), sa_type=ExactDecimal)
    credits: Decimal = Field(default=Decimal(0), sa_type=ExactDecimal)
    taxes: Decimal = Field(default=Decimal(0), sa_type=ExactDecimal)
    days: str = Field(default="[]", sa_column=Column(Text, nullable=False))
    accounts: str = Field(default="[]", sa_column=Column(Text, nullable=False))
    imported_at: datetime = Field(sa_type=UtcDateTime)
    imported_by: str = Field(max_length=200)

    @property
    def number(self) -> int:
        """Its id, once it is stored."""
        assert self.id is not None
        return self.id

    @property
    def covered(self) -> list[date]:
        """The UTC days it covers, in order."""
        return [date.fromisoformat(day) for day in json.loads(self.days)]

    @property
    def paying_accounts(self) -> set[str]:
        """Who pays, by the provider's names."""
        return set(json.loads(self.accounts))


def current_bills(
    session: Session, *, provider: str | None = None, payer: str | None = None, period: date | None = None
) -> Sequence[Bill]:
    """The bills in force with those values, None is any; newest month first."""
    statement = select(Bill).where(col(Bill.state) == BillState.CURRENT.value)
    for column, value in ((Bill.provider, provider), (Bill.payer, payer), (Bill.period, period)):
        if value is not None:
            statement = statement.where(col(column) == value)
    return session.exec(statement.order_by(col(Bill.period).desc(), col(Bill.provider), col(Bill.payer))).all()


def stale_imports(
    session: Session, *, provider: str, payer: str, period: date, abandoned_before: datetime
) -> Sequence[Bill]:
    """Imports of that bill whose lines are no more than a waste of disk: replaced, or begun before then and not ended.

    Younger ones that are loading may be another process's.
    """
    state, begun = col(Bill.state), col(Bill.imported_at)
    abandoned = and_(state == BillState.LOADING.value, begun < abandoned_before)
    same = (Bill.provider == provider, Bill.payer == payer, Bill.period == period)
    return session.exec(select(Bill).where(*same, or_(state == BillState.REPLACED.value, abandoned))).all()


def still_loading(session: Session, bills: Iterable[Bill]) -> Sequence[Bill]:
    """Those of the bills that the database knows as loading, whatever became of them here."""
    numbers = [bill.number for bill in bills]
    return session.exec(select(Bill).where(col(Bill.id).in_(numbers), col(Bill.state) == BillState.LOADING.value)).all()
