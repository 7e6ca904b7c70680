"""Who drove a breach: the three largest values of a dimension that the target leaves open. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final, NamedTuple

from attribution.dimensions import Dimension
from attribution.measures import Measure
from attribution.query import UTC, All, Condition, Operator
from budgets.definition import BudgetTerms, GuardrailTerms, Terms
from budgets.judging import Finding
from budgets.shape import shape_of
from budgets.spending import Slice, Spending
from budgets.status import BudgetStatus

HOW_MANY: Final = 3
_CANDIDATES: Final = (Dimension.FEATURE, Dimension.USER, Dimension.MODEL, Dimension.TENANT, Dimension.TEAM)


class Contributor(NamedTuple):
    """A value of the dimension, and its part of what the budget measures; for guardrails, its operations."""

    name: str
    value: Decimal


def contribution(finding: Finding) -> Slice:
    """What to ask: the finding's own slice, by the dimension."""
    terms, status = finding.definition.terms, finding.status
    window = status.counted if isinstance(status, BudgetStatus) else finding.period
    where = terms.where
    if terms.each is not None and status.member is not None:
        where = All((where, Condition(terms.each, Operator.ANY_OF, (status.member,))))
    measure = terms.measure if isinstance(terms, BudgetTerms) else Measure.OPERATIONS
    zone = terms.period.zone if isinstance(terms, BudgetTerms) else UTC
    return Slice(window, where, measure, dimension_of(terms), zone)


def dimension_of(terms: Terms) -> Dimension:
    """The dimension by which the target says who drove it."""
    if not isinstance(terms, GuardrailTerms) and terms.contributors:
        return terms.contributors
    fixed = {attribute for attribute, values in shape_of(terms.where).equal.items() if len(values) == 1}
    return next((d for d in _CANDIDATES if d not in fixed and d is not terms.each), Dimension.OPERATION)


def top(finding: Finding, spending: Spending) -> Sequence[Contributor]:
    """The largest, in order; fewer where there are fewer, none where the store did not answer."""
    asked = contribution(finding)
    sums = spending.of(asked) if spending.knows(asked) else {}
    ranked = sorted(sums.items(), key=lambda each: (-each[1].amount, each[0] or ""))
    return [Contributor(name or "", total.amount) for name, total in ranked[:HOW_MANY] if total.amount > 0]
