"""Lines of a statement, and the one law behind them: a line is what is true now less what was billed before.

The same difference gives the lines of a period (nothing was billed yet), the adjustments of an earlier one (late
events, corrections, deletions and repricings, whatever their cause) and those of a new revision.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, unique
from functools import reduce
from typing import Final, NamedTuple

from core.money import EXACT

OPERATIONS: Final = "operations"
"""The unit of cost lines: how many operations cost that much."""


@unique
class LineKind(Enum):
    """What a line is about."""

    COST = "cost"
    """What the tenant's usage and charges cost."""
    TIER_CHARGE = "tier_charge"
    """What the tenant's pricing tier asks of the tenant."""


class LineKey(NamedTuple):
    """What a line stands for; a statement has one line per key, in their order. Empty: not said, or not of this kind.

    `period` is the month the money belongs to: another one than the statement's makes the line an adjustment.
    """

    period: str
    kind: str
    feature: str = ""
    model: str = ""
    cost_category: str = ""
    tier: str = ""
    charge: str = ""
    unit: str = OPERATIONS


@dataclass(frozen=True, slots=True)
class Value:
    """How much a line says. `amount` None: operations without any known cost."""

    amount: Decimal | None
    quantity: Decimal
    unpriced_operations: int = 0

    @property
    def is_nothing(self) -> bool:
        """True when the line need not be written."""
        return not self.amount and not self.quantity and not self.unpriced_operations


NOTHING: Final = Value(None, Decimal(0))


@dataclass(frozen=True, slots=True)
class Line:
    """One line."""

    key: LineKey
    value: Value


@dataclass(frozen=True, slots=True)
class TierChargeLine:
    """What a tier asks for one thing in a period: its fee, seats, an overage, a discount (negative), ...

    Together they are the tenant's revenue of the period. `charge` is a stable code such as `period_fee`.
    """

    tier: str
    charge: str
    unit: str
    quantity: Decimal
    amount: Decimal

    def line(self, period: str) -> Line:
        """It as a line of that period."""
        key = LineKey(period, LineKind.TIER_CHARGE.value, tier=self.tier, charge=self.charge, unit=self.unit)
        return Line(key, Value(self.amount, self.quantity))


def add(one: Value, other: Value) -> Value:
    """Both together; an unknown amount adds nothing."""
    return Value(
        _sum(one.amount, other.amount),
        EXACT.add(one.quantity, other.quantity),
        one.unpriced_operations + other.unpriced_operations,
    )


def negative(value: Value) -> Value:
    """The value that takes it back."""
    amount = None if value.amount is None else EXACT.minus(value.amount)
    return Value(amount, EXACT.minus(value.quantity), -value.unpriced_operations)


def _sum(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    if one is None or other is None:
        return other if one is None else one
    return EXACT.add(one, other)


def total(lines: Iterable[Line]) -> dict[LineKey, Value]:
    """What the lines say together, by key."""
    sums: dict[LineKey, Value] = defaultdict(lambda: NOTHING)
    for line in lines:
        sums[line.key] = add(sums[line.key], line.value)
    return dict(sums)


def difference(now: Mapping[LineKey, Value], billed: Mapping[LineKey, Value]) -> tuple[Line, ...]:
    """The lines that lead from what was billed to what is true now, in the order of their keys."""
    keys = sorted({*now, *billed})
    lines = (Line(key, add(now.get(key, NOTHING), negative(billed.get(key, NOTHING)))) for key in keys)
    return tuple(line for line in lines if not line.value.is_nothing)


def amount_of(lines: Iterable[Line], kind: LineKind) -> Decimal:
    """The sum of the known amounts of that kind."""
    values = (line.value.amount for line in lines if line.key.kind == kind.value)
    return reduce(EXACT.add, (amount for amount in values if amount is not None), Decimal(0))
