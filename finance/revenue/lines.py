"""What a tier's terms come to for some usage in a part of a billing period, line by line.

Everything a period states is taken in the part's share of its days: the fee, the included usage, the ends of bands,
included seats, the price of a seat and the minimum fee. Usage, its cost and active users are those of the part itself.
A part in which no day begins includes whatever is used in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum, unique
from fractions import Fraction

from finance.revenue.bands import price_of
from finance.revenue.proration import WHOLE, Share, prorated, rounded
from tenants.terms import HUNDRED, Meter, Seats, SeatSource, TierTerms


@unique
class LineKind(Enum):
    """What a line is for."""

    PERIOD_FEE = "period_fee"
    INCLUDED = "included"
    OVERAGE = "overage"
    MARKUP = "markup"
    SEATS = "seats"
    DISCOUNT = "discount"
    MINIMUM = "minimum"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of what is charged: `amount` at the pico grain, for `quantity` of `measure` where it counts something.

    A line of kind INCLUDED says what of the usage the fee covers; its amount is 0. A DISCOUNT is negative.
    """

    kind: LineKind
    amount: Decimal
    measure: str = ""
    quantity: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """What a tenant used in the part that is charged: measures by name, what the usage cost, distinct users."""

    measures: Mapping[str, Decimal] = field(default_factory=dict)
    cost: Decimal = Decimal(0)
    active_users: int = 0


NO_USAGE = Usage()


def charges_of(terms: TierTerms, usage: Usage, share: Share = WHOLE) -> list[Line]:
    """The lines for that share of a period, those of nothing left out. Their amounts add up to what is due."""
    lines = [line for line in _gross(terms, usage, share) if line.amount or line.quantity]
    subtotal = total_of(lines)
    discount = rounded(Fraction(subtotal) * Fraction(terms.discount_percent) / 100)
    if discount:
        lines.append(Line(LineKind.DISCOUNT, -discount))
    missing = prorated(terms.minimum_fee, share) - (subtotal - discount)
    if missing > 0:
        lines.append(Line(LineKind.MINIMUM, missing))
    return lines


def total_of(lines: Sequence[Line]) -> Decimal:
    """What the lines add up to."""
    return sum((line.amount for line in lines), Decimal(0))


def _gross(terms: TierTerms, usage: Usage, share: Share) -> Iterator[Line]:
    yield Line(LineKind.PERIOD_FEE, prorated(terms.period_fee, share))
    for meter in terms.meters:
        yield from _metered(meter, usage.measures.get(meter.measure, Decimal(0)), share.fraction)
    if terms.markup_percent is not None:
        factor = (Fraction(terms.markup_percent) + Fraction(HUNDRED)) / 100
        yield Line(LineKind.MARKUP, rounded(Fraction(usage.cost) * factor), "effective_cost", usage.cost)
    if terms.seats is not None:
        yield _seats(terms.seats, usage.active_users, share)


def _metered(meter: Meter, used: Decimal, scale: Fraction) -> Iterator[Line]:
    included = Fraction(meter.included) * scale if scale else Fraction(used)
    beyond = max(Fraction(0), Fraction(used) - included)
    yield Line(LineKind.INCLUDED, Decimal(0), meter.measure, rounded(min(Fraction(used), included)))
    if meter.bands and beyond:
        amount = rounded(price_of(beyond, meter.bands, meter.mode, scale))
        yield Line(LineKind.OVERAGE, amount, meter.measure, rounded(beyond))


def _seats(seats: Seats, active_users: int, share: Share) -> Line:
    taken = seats.count if seats.source is SeatSource.FIXED else active_users
    paid = max(0, taken - seats.included)
    return Line(LineKind.SEATS, prorated(seats.price * paid, share), "active_users", Decimal(paid))
