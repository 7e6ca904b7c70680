"""Parents and children among budgets, and what is worth a warning about them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal

from budgets.definition import BudgetTerms
from core.money import EXACT, plain


def children_of(name: str, budgets: Iterable[BudgetTerms]) -> list[BudgetTerms]:
    """The budgets that name this one as their parent."""
    return [terms for terms in budgets if terms.parent == name]


def warnings(terms: BudgetTerms, budgets: Sequence[BudgetTerms], now: datetime) -> list[str]:
    """What may not be meant: a parent that does not exist, or children that may spend more than it together.

    Amounts can be compared where period and measure are the same; `each` budgets have no amount of their own.
    """
    others = [other for other in budgets if other.name != terms.name]
    found = []
    if terms.parent and terms.parent not in {other.name for other in others}:
        found.append(f"there is no budget named {terms.parent!r} to be its parent")
    for parent in [terms, *(other for other in others if other.name == terms.parent)]:
        children = children_of(parent.name, [*others, terms])
        if warning := _excess(parent, children, now):
            found.append(warning)
    return found


def _excess(parent: BudgetTerms, children: Sequence[BudgetTerms], now: datetime) -> str | None:
    comparable = [c for c in children if (c.period, c.measure, c.each) == (parent.period, parent.measure, None)]
    if parent.each is not None or not comparable:
        return None
    total = Decimal(0)
    for child in comparable:
        total = EXACT.add(total, _amount(child, now))
    limit = _amount(parent, now)
    if total <= limit:
        return None
    return f"the children of {parent.name!r} may spend {plain(total)} together, and it may spend {plain(limit)}"


def _amount(terms: BudgetTerms, now: datetime) -> Decimal:
    period = terms.period.at(now)
    start = period.start if period else now
    return terms.amount(start.astimezone(terms.period.zone).date()) or Decimal(0)
