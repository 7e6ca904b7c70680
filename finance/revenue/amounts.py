"""Revenue as an amount with its parts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from decimal import Decimal
from enum import Enum, unique
from fractions import Fraction

from core.money import EXACT
from finance.revenue.lines import Line, LineKind
from finance.revenue.proration import rounded

_ALL = Fraction(1)


@unique
class RevenueSource(Enum):
    """How revenue is known."""

    MODELLED = "modelled"
    """From tiers and usage."""
    ACTUAL = "actual"
    """As the billing system says."""
    MIXED = "mixed"
    """Some days one way, some the other."""


@dataclass(frozen=True, slots=True)
class Revenue:
    """The parts of revenue; they add up to the total. A discount is negative."""

    period_fee: Decimal = Decimal(0)
    overage: Decimal = Decimal(0)
    markup: Decimal = Decimal(0)
    seats: Decimal = Decimal(0)
    discount: Decimal = Decimal(0)
    minimum: Decimal = Decimal(0)
    actual: Decimal = Decimal(0)
    is_modelled: bool = False
    is_actual: bool = False

    @classmethod
    def of_lines(cls, lines: Iterable[Line], part: Fraction = _ALL) -> Revenue:
        """That part of what the lines charge."""
        parts: dict[str, Decimal] = {}
        for line in lines:
            if line.kind is not LineKind.INCLUDED:
                amount = line.amount if part == 1 else rounded(Fraction(line.amount) * part)
                parts[line.kind.value] = parts.get(line.kind.value, Decimal(0)) + amount
        return cls(**parts, is_modelled=True, is_actual=False)

    @property
    def total(self) -> Decimal:
        """All parts together."""
        return sum((getattr(self, name) for name in PARTS), Decimal(0))

    @property
    def source(self) -> RevenueSource:
        """How it is known."""
        if self.is_modelled and self.is_actual:
            return RevenueSource.MIXED
        return RevenueSource.ACTUAL if self.is_actual else RevenueSource.MODELLED

    def __add__(self, other: Revenue) -> Revenue:
        sums = {name: EXACT.add(getattr(self, name), getattr(other, name)) for name in PARTS}
        return Revenue(
            **sums, is_modelled=self.is_modelled or other.is_modelled, is_actual=self.is_actual or other.is_actual
        )

    def slice(self, begin: Fraction, end: Fraction) -> Revenue:
        """What lies between two fractions of it. Slices that meet add up to the whole, to the pico."""
        parts = {name: _slice(getattr(self, name), begin, end) for name in PARTS}
        return Revenue(**parts, is_modelled=self.is_modelled, is_actual=self.is_actual)


PARTS = tuple(field.name for field in fields(Revenue) if field.type == "Decimal")


def _slice(amount: Decimal, begin: Fraction, end: Fraction) -> Decimal:
    return EXACT.subtract(rounded(Fraction(amount) * end), rounded(Fraction(amount) * begin))
