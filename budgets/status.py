"""How budgets and guardrails stand, as of one evaluation: values that GraphQL and the decision endpoint read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

from attribution.query import Attribute, Filter
from budgets.definition import Basis, BudgetTerms, GuardrailTerms, Mode, Threshold
from core.money import EXACT
from core.time import Window


@dataclass(frozen=True, slots=True)
class Forecast:
    """What will have been spent by the period's end: the expected amount, and where four times out of five it lies.

    `pace` is the amount that an average day now takes; `reaches_limit_at` is None when the limit holds to the end.
    """

    amount: Decimal
    low: Decimal
    high: Decimal
    pace: Decimal
    reaches_limit_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class BudgetStatus:
    """One budget in its current period, or one member of it where the budget is for each.

    `period` is the whole period, `counted` the part of it in which events count. `limit` is what may be spent in it,
    rollover included; 0 means nothing. `spent` leaves out `unpriced_operations`, whose cost nobody knows.
    """

    budget_id: int
    terms: BudgetTerms
    member: str | None
    period: Window
    counted: Window
    spent: Decimal
    limit: Decimal
    evaluated_at: datetime
    rolled_over: Decimal = Decimal(0)
    unpriced_operations: int = 0
    forecast: Forecast | None = None

    @property
    def mode(self) -> Mode:
        """Whether calls beyond the limit are denied."""
        return self.terms.mode

    @property
    def where(self) -> Filter:
        """Which events count; with `each`, of them those of the member."""
        return self.terms.where

    @property
    def each(self) -> Attribute | None:
        """What `member` is a value of."""
        return self.terms.each

    def observed(self, threshold: Threshold) -> Decimal | None:
        """What the threshold is compared with; None where there is no forecast."""
        if threshold.basis is Basis.ACTUAL:
            return self.spent
        return self.forecast.amount if self.forecast else None

    def reaches(self, threshold: Threshold) -> bool:
        """Whether the threshold is reached. Where nothing was spent, none is, not even of a limit of 0."""
        observed = self.observed(threshold)
        return observed is not None and observed > 0 and observed >= threshold.amount(self.limit)

    @property
    def remaining(self) -> Decimal:
        """What is left; below zero when more was spent."""
        return EXACT.subtract(self.limit, self.spent)

    @property
    def percent(self) -> Decimal | None:
        """What is spent, in percent of the limit; None where the limit is 0."""
        return self.spent * 100 / self.limit if self.limit else None

    @property
    def burn_rate(self) -> Decimal | None:
        """The share of the limit that is spent over the share of the period that has passed: above 1 is too fast.

        None where the limit is 0, and before a hundredth of the period has passed.
        """
        whole = self.counted.end - self.counted.start
        passed = Decimal((min(self.evaluated_at, self.counted.end) - self.counted.start) / whole)
        return self.spent / self.limit / passed if self.limit and passed >= Decimal("0.01") else None


@dataclass(frozen=True, slots=True)
class BudgetState:
    """A budget in its current period: what a member that has not spent yet may spend, and the status of all others.

    A plain budget has one status, under None, and `default_limit` is its limit. With `each`, members are listed once
    they have spent something, be it in the period before where that rolls over, or have an amount of their own;
    `unwatched` members have none. `foresees` is true when
    forecasts are made: a member without one will then come nowhere near its limit.
    """

    budget_id: int
    version: int
    terms: BudgetTerms
    period: Window
    counted: Window
    default_limit: Decimal
    statuses: Mapping[str | None, BudgetStatus]
    unwatched: frozenset[str] = frozenset()
    foresees: bool = False


@dataclass(frozen=True, slots=True)
class GuardrailStatus:
    """One guardrail, or one member of it, in its newest judged interval. `value` is None where nothing happened.

    `quiet` is true when none of its last intervals held enough operations to judge by.
    """

    guardrail_id: int
    terms: GuardrailTerms
    member: str | None
    interval: Window
    value: Decimal | None
    operations: int
    beyond_in_a_row: int
    quiet: bool
    evaluated_at: datetime

    @property
    def is_broken(self) -> bool:
        """Whether it was beyond its bound for as many intervals in a row as it takes."""
        return self.beyond_in_a_row >= self.terms.in_a_row

    @property
    def has_recovered(self) -> bool:
        """Whether a breach of it would be over."""
        if self.quiet:
            return True
        enough = self.value is not None and self.operations >= self.terms.minimum_operations
        return (
            enough and self.value is not None and not self.terms.is_beyond(self.value, allowed=self.terms.recovers_at)
        )


NEVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything as of one evaluation. `evaluated_at` is when its reading of the store began."""

    evaluated_at: datetime = NEVER
    budgets: Mapping[int, BudgetState] = field(default_factory=dict)
    guardrails: Mapping[tuple[int, str | None], GuardrailStatus] = field(default_factory=dict)

    @property
    def is_of_targets(self) -> bool:
        """Whether there was anything to evaluate."""
        return bool(self.budgets or self.guardrails)

    def statuses(self) -> Iterator[BudgetStatus]:
        """Every status of every budget."""
        for state in self.budgets.values():
            yield from state.statuses.values()
