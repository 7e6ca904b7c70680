"""What a tier would have to ask for to keep a wished margin at its median tenant, or at nine in ten of them.

For each tenant the price that would have left exactly the wished part of its revenue is worked out; a suggestion is the
smallest of these prices that suffices for half of the tenants (p50), or for nine tenths (p90).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from fractions import Fraction
from math import ceil

from core.errors import InvalidInput
from core.money import EXACT, GRAIN
from finance.profit.costs import Cell, read_tenants
from finance.profit.question import Question
from finance.profit.simulation import charge_tier, definition_of
from finance.revenue.books import Books
from finance.revenue.earnings import Charged
from finance.revenue.lines import Line, LineKind
from finance.revenue.metering import Report

PERCENTILES = (50, 90)


class ImpossibleMargin(InvalidInput):
    """No price leaves that much of itself."""

    code = "IMPOSSIBLE_MARGIN"

    def __init__(self, margin: Decimal) -> None:
        super().__init__(f"a margin of {margin} percent cannot be reached: wish for one from 0 to below 100")
        self.field = "marginPercent"


@dataclass(frozen=True, slots=True)
class Rate:
    """A flat price for each unit of the measure beyond what is included."""

    measure: str
    price_per_unit: Decimal
    tenants: int
    """How many tenants used more than is included; no rate makes the others pay more."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Either change alone leaves the margin at `percentile` of 100 tenants: that period fee, or one of the rates."""

    percentile: int
    period_fee: Decimal | None
    rates: Sequence[Rate]


@dataclass(frozen=True, slots=True)
class _Need:
    """A tenant as it was charged, and the sum of fee, overage, markup and seats that would leave the wished margin."""

    charged: Sequence[Charged]
    gross: Fraction

    def without(self, drop: Callable[[Line], bool]) -> Fraction:
        """What is missing when those lines were not charged."""
        kept = (line.amount for each in self.charged for line in each.lines if line.kind in _GROSS and not drop(line))
        return self.gross - Fraction(sum(kept, Decimal(0)))


_GROSS = {LineKind.PERIOD_FEE, LineKind.OVERAGE, LineKind.MARKUP, LineKind.SEATS}


def suggest(
    report: Report, books: Books, asked: Question, tier: str, margin_percent: Decimal, *, measure: str | None = None
) -> list[Suggestion]:
    """One suggestion per percentile, from the tenants of the tier whose cost is known.

    Rates are suggested for measures with overage, and for `measure`, whatever of it the tier meters so far. Raises
    NoSuchTier or ImpossibleMargin.
    """
    if not 0 <= margin_percent < 100:
        raise ImpossibleMargin(margin_percent)
    definition = definition_of(books, tier)
    if measure is not None:
        definition = definition.metering(measure)
    needs = _needs(charge_tier(report, books, asked, definition), read_tenants(report, asked), margin_percent)
    fees = sorted(fee for need in needs if (fee := _fee(need)) is not None)
    rates = {measure: sorted(_rates(needs, measure)) for measure in _measures(needs)}
    return [
        Suggestion(
            percentile,
            _at(fees, percentile),
            [Rate(m, price, len(own)) for m, own in rates.items() if (price := _at(own, percentile)) is not None],
        )
        for percentile in PERCENTILES
    ]


def _needs(charges: Sequence[Charged], costs: Mapping[tuple[str, str], Cell], margin_percent: Decimal) -> list[_Need]:
    charged: defaultdict[tuple[str, str], list[Charged]] = defaultdict(list)
    for each in charges:
        charged[each.stretch.contract.tier, each.stretch.contract.tenant_id].append(each)
    kept = 1 - Fraction(margin_percent) / 100
    needs = []
    for key, parts in charged.items():
        cell = costs.get(key)
        cost = cell.cost if cell else Decimal(0)
        paid = 1 - Fraction(parts[-1].stretch.terms.discount_percent) / 100
        if cost is not None and paid:
            needs.append(_Need(parts, Fraction(cost) / kept / paid))
    return needs


def _fee(need: _Need) -> Decimal | None:
    """The fee for a whole period that would have left the margin; None for a tenant without a day in the window."""
    periods = sum((each.stretch.share.fraction for each in need.charged), Fraction(0))
    return _up(need.without(lambda line: line.kind is LineKind.PERIOD_FEE) / periods) if periods else None


def _measures(needs: Sequence[_Need]) -> list[str]:
    lines = (line for need in needs for each in need.charged for line in each.lines)
    return sorted({line.measure for line in lines if line.kind is LineKind.OVERAGE})


def _rates(needs: Sequence[_Need], measure: str) -> list[Decimal]:
    """For each tenant with overage of the measure, the flat price of it that would have left the margin."""

    def is_its_overage(line: Line) -> bool:
        return line.kind is LineKind.OVERAGE and line.measure == measure

    rates = []
    for need in needs:
        lines = (line for each in need.charged for line in each.lines if is_its_overage(line))
        beyond = sum((Fraction(line.quantity or 0) for line in lines), Fraction(0))
        if beyond:
            rates.append(_up(need.without(is_its_overage) / beyond))
    return rates


def _at(ordered: Sequence[Decimal], percentile: int) -> Decimal | None:
    """The smallest of the values that `percentile` percent of them do not exceed."""
    return ordered[ceil(len(ordered) * percentile / 100) - 1] if ordered else None


def _up(amount: Fraction) -> Decimal:
    """Rounded up to the pico, so that the margin is reached; nothing where the margin is there already."""
    exact = EXACT.divide(Decimal(amount.numerator), Decimal(amount.denominator))
    return max(Decimal(0), exact.quantize(GRAIN, rounding=ROUND_CEILING, context=EXACT))
