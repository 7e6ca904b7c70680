"""What a tier's terms come to for some usage in a part of a billing period, line by line.

The fee, the price of seats and the minimum fee count by the part's days. Included usage and the ends of bands count by
the days of the period in which the contract holds on these terms, and are used up from its first day on: a part is
charged what it adds to what was due before it. So the parts add up to the whole, however a period is cut. Cost and
active users are those of the part itself. Where no day begins while a contract holds, any usage is included.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
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


@dataclass(frozen=True, slots=True)
class SoFar:
    """What a contract used and owed on the same terms earlier in the billing period; `due` is without the minimum."""

    measures: Mapping[str, Decimal] = field(default_factory=dict)
    due: Decimal = Decimal(0)

    def after(self, usage: Usage, lines: Sequence[Line]) -> SoFar:
        """As it stands once that is over too."""
        measures = {name: self.used(name) + used for name, used in usage.measures.items()}
        due = total_of([line for line in lines if line.kind is not LineKind.MINIMUM])
        return SoFar({**self.measures, **measures}, self.due + due)

    def used(self, measure: str) -> Decimal:
        """How much of the measure was used."""
        return self.measures.get(measure, Decimal(0))


NOTHING = SoFar()


def charges_of(
    terms: TierTerms, usage: Usage, share: Share = WHOLE, held: Share | None = None, before: SoFar = NOTHING
) -> list[Line]:
    """The lines for that share of a period, those of nothing left out. Their amounts add up to what is due.

    The contract holds for the share `held`, by default just this one; `before` is what came earlier in it. A line of
    OVERAGE or MINIMUM is negative where it gives back: a cheaper band was reached, or the minimum is earned by now.
    """
    held = held or share
    lines = [line for line in _gross(terms, usage, share, held, before) if line.amount or line.quantity]
    discount = rounded(Fraction(total_of(lines)) * Fraction(terms.discount_percent) / 100)
    if discount:
        lines.append(Line(LineKind.DISCOUNT, -discount))
    least_before, least = (prorated(terms.minimum_fee, replace(held, end=at)) for at in (share.begin, share.end))
    missing = max(Decimal(0), least - before.due - total_of(lines)) - max(Decimal(0), least_before - before.due)
    if missing:
        lines.append(Line(LineKind.MINIMUM, missing))
    return lines


def total_of(lines: Sequence[Line]) -> Decimal:
    """What the lines add up to."""
    return sum((line.amount for line in lines), Decimal(0))


def _gross(terms: TierTerms, usage: Usage, share: Share, held: Share, before: SoFar) -> Iterator[Line]:
    yield Line(LineKind.PERIOD_FEE, prorated(terms.period_fee, share))
    for meter in terms.meters:
        used = before.used(meter.measure)
        yield from _metered(meter, used, used + usage.measures.get(meter.measure, Decimal(0)), held.fraction)
    if terms.markup_percent is not None:
        factor = (Fraction(terms.markup_percent) + Fraction(HUNDRED)) / 100
        yield Line(LineKind.MARKUP, rounded(Fraction(usage.cost) * factor), "effective_cost", usage.cost)
    if terms.seats is not None:
        yield _seats(terms.seats, usage.active_users, share)


def _metered(meter: Meter, before: Decimal, used: Decimal, scale: Fraction) -> Iterator[Line]:
    """What usage that rose from `before` to `used` adds."""
    included = Fraction(meter.included) * scale if scale else Fraction(used)
    covered_before, covered = (rounded(min(Fraction(at), included)) for at in (before, used))
    yield Line(LineKind.INCLUDED, Decimal(0), meter.measure, covered - covered_before)
    if meter.bands:
        beyond_before, beyond = (max(Fraction(0), Fraction(at) - included) for at in (before, used))
        due_before, due = (rounded(price_of(at, meter.bands, meter.mode, scale)) for at in (beyond_before, beyond))
        yield Line(LineKind.OVERAGE, due - due_before, meter.measure, rounded(beyond) - rounded(beyond_before))


def _seats(seats: Seats, active_users: int, share: Share) -> Line:
    taken = seats.count if seats.source is SeatSource.FIXED else active_users
    paid = max(0, taken - seats.included)
    return Line(LineKind.SEATS, prorated(seats.price * paid, share), "active_users", Decimal(paid))
