"""Budgets as an evaluation leaves them, without one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from attribution.dimensions import Dimension
from attribution.query import Condition, Operator
from budgets.definition import AmountFrom, BudgetTerms, Mode
from budgets.periods import CalendarPeriod
from budgets.status import BudgetState, BudgetStatus, Snapshot
from core.time import Granularity

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
DAY = CalendarPeriod(Granularity.DAY, ZoneInfo("UTC"))


def is_(dimension: Dimension, *values: str) -> Condition:
    return Condition(dimension, Operator.ANY_OF, values)


def terms(amount: Any = 10, **fields: Any) -> BudgetTerms:
    """An enforced daily budget."""
    usual: dict[str, Any] = {"name": "b", "period": DAY, "mode": Mode.ENFORCE}
    return BudgetTerms(**usual | {"amounts": (AmountFrom(Decimal(amount)),)} | fields)


def state(id_: int, of: BudgetTerms, at: datetime = NOW, **spent: str) -> BudgetState:
    """How the budget stands; `spent` is by member, `all_` where there are none."""
    period = of.period.at(at)
    assert period is not None
    default = of.amounts[0].amount
    amounts: dict[str | None, str] = {None if name == "all_" else name: text for name, text in spent.items()}
    if of.each is None:
        amounts.setdefault(None, "0")
    unwatched = frozenset(o.member for o in of.overrides if o.amount is None)
    for override in of.overrides:
        if override.amount is not None:
            amounts.setdefault(override.member, "0")
    statuses = {
        member: BudgetStatus(
            budget_id=id_,
            terms=of,
            member=member,
            period=period,
            counted=period,
            spent=Decimal(text),
            limit=next((o.amount for o in of.overrides if o.member == member and o.amount is not None), default),
            evaluated_at=at,
        )
        for member, text in amounts.items()
    }
    return BudgetState(id_, 1, of, period, period, default, statuses, unwatched)


def snapshot(*states: BudgetState, at: datetime = NOW) -> Snapshot:
    return Snapshot(at - timedelta(seconds=1), {each.budget_id: each for each in states})
