"""Rate cards: prices compiled to whole-number fractions, so that rating is integer arithmetic and rounds once.

A price is held per single unit in pico (1e-12 of the currency) as a fraction. A card brings its fractions to one
denominator; a cost is a sum of whole products, divided and rounded half-even at the very end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import lcm
from operator import mul
from typing import Final, NamedTuple

from core.errors import InvalidInput
from core.money import MAX_AMOUNT, SCALE, to_pico
from pricing.usage import TokenUsage

PICO: Final = 10**SCALE
MAX_PICO: Final = to_pico(MAX_AMOUNT)
QUANTITY_DECIMALS: Final = 9
REQUESTS: Final = "requests"
_LEAST_QUANTITY: Final = Decimal(1).scaleb(-QUANTITY_DECIMALS)
_QUANTITY_BOUND: Final = Decimal(10) ** 18

BUCKET_UNITS: Final[Mapping[str, tuple[str, ...]]] = {
    "uncached_input": ("input_tokens",),
    "cache_read": ("cache_read_input_tokens", "input_tokens"),
    "cache_creation": ("cache_creation_5m_input_tokens", "cache_creation_input_tokens", "input_tokens"),
    "cache_creation_1h": ("cache_creation_1h_input_tokens", "cache_creation_input_tokens", "input_tokens"),
    "audio_input": ("audio_input_tokens", "input_tokens"),
    "output": ("output_tokens",),
    "reasoning": ("reasoning_output_tokens", "output_tokens"),
    "audio_output": ("audio_output_tokens", "output_tokens"),
}
"""The units whose price applies to a bucket, nearest first, in the order of TokenUsage's fields."""

CARD_UNITS: Final = frozenset(unit for units in BUCKET_UNITS.values() for unit in units) | {REQUESTS}
"""Every unit that a RateCard can price; all others are priced by quantity."""


class InvalidQuantity(InvalidInput):
    """The quantity cannot be rated exactly."""

    code = "INVALID_QUANTITY"

    def __init__(self, quantity: Decimal) -> None:
        super().__init__(
            f"{quantity} is no usable quantity: it must lie between 0 and 10^18 and have at most "
            f"{QUANTITY_DECIMALS} decimals"
        )


@dataclass(frozen=True, slots=True)
class Rate:
    """The price of one unit in pico, exact, and where it comes from.

    `tiers` are (start, price) in ascending order: the last tier whose start lies strictly below the total input
    tokens prices all tokens of the operation. `minimum` is the least quantity billed per operation.
    """

    origin: str
    base: Fraction
    tiers: tuple[tuple[int, Fraction], ...] = ()
    minimum: int = 0

    def at(self, input_total: int) -> Fraction:
        """The price of one unit in an operation with so many input tokens."""
        return next((price for start, price in reversed(self.tiers) if input_total > start), self.base)

    @property
    def fractions(self) -> Iterable[Fraction]:
        """Every price that can apply."""
        return (self.base, *(price for _, price in self.tiers))


def pico_per_unit(price: Decimal, per: int) -> Fraction:
    """Exact pico for one unit, when `per` units cost `price`."""
    return Fraction(price) * PICO / per


class Rated(NamedTuple):
    """What rating came to, in whole pico of the card's currency; None is unknown, and `reason` says why.

    `cache_savings_pico` is what the usage would have cost with its cached tokens as uncached input, minus what it
    cost; it is negative while cache writes have not paid off, and None when that cost is unknown or out of range.
    """

    cost_pico: int | None
    cache_savings_pico: int | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RateCard:
    """All rates for one model at one time, as numerators over one denominator; made by `compile_card`.

    `tiers` are (start, rates) with the highest start first. `unpriced` holds the positions of buckets without a price.
    """

    price_id: str
    currency: str
    denominator: int
    fee: int
    rates: tuple[int, ...]
    tiers: tuple[tuple[int, tuple[int, ...]], ...] = ()
    unpriced: tuple[int, ...] = ()


def compile_card(rates: Mapping[str, Rate], currency: str) -> RateCard:
    """The card of these rates by unit: a bucket without a price of its own takes the nearest unit's that includes it.

    Units that are neither tokens nor requests play no part.
    """
    chosen = [next((rates[unit] for unit in units if unit in rates), None) for units in BUCKET_UNITS.values()]
    known = [rate for rate in chosen if rate is not None]
    fee = rates.get(REQUESTS, Rate("", Fraction(0)))
    denominator = lcm(fee.base.denominator, *(price.denominator for rate in known for price in rate.fractions))
    starts = sorted({start for rate in known for start, _ in rate.tiers}, reverse=True)

    def numerators(input_total: int) -> tuple[int, ...]:
        return tuple(int(rate.at(input_total) * denominator) if rate else 0 for rate in chosen)

    return RateCard(
        price_id=_price_id([*known, fee]),
        currency=currency,
        denominator=denominator,
        fee=int(fee.base * denominator),
        rates=numerators(0),
        tiers=tuple((start, numerators(start + 1)) for start in starts),
        unpriced=tuple(position for position, rate in enumerate(chosen) if rate is None),
    )


def _price_id(rates: Iterable[Rate]) -> str:
    return "+".join(dict.fromkeys(rate.origin for rate in rates if rate.origin))


def rate(card: RateCard, usage: TokenUsage) -> Rated:
    """The exact cost of `usage`, rounded half-even once; no cost at all when any used bucket has no price.

    Reasons: `no_rate_for:<bucket>`, and `cost_out_of_range` for a million and more, which no event can hold.
    """
    for position in card.unpriced:
        if usage[position]:
            return Rated(None, None, f"no_rate_for:{TokenUsage._fields[position]}")
    rates = _rates_for(card, usage.input_total) if card.tiers else card.rates
    numerator = card.fee + sum(map(mul, rates, usage))
    cost = round_half_even(numerator, card.denominator)
    if cost >= MAX_PICO:
        return Rated(None, None, "cost_out_of_range")
    if not any(usage[1:4]):
        return Rated(cost, 0)
    if 0 in card.unpriced:
        return Rated(cost, None)
    uncached = round_half_even(numerator + _cache_discount(rates, usage), card.denominator)
    return Rated(cost, uncached - cost if uncached < MAX_PICO else None)


def _cache_discount(rates: tuple[int, ...], usage: TokenUsage) -> int:
    """What the cached tokens would cost more as uncached input, over the card's denominator."""
    cached = usage[1:4]
    charged: int = sum(map(mul, rates[1:4], cached))
    return rates[0] * sum(cached) - charged


def _rates_for(card: RateCard, input_total: int) -> tuple[int, ...]:
    return next((rates for start, rates in card.tiers if input_total > start), card.rates)


def round_half_even(numerator: int, denominator: int) -> int:
    """The whole number nearest to the fraction; the even one of two equally near."""
    if denominator == 1:
        return numerator
    quotient, remainder = divmod(numerator, denominator)
    excess = 2 * remainder - denominator
    return quotient + (excess > 0 or (excess == 0 and quotient % 2))


@dataclass(frozen=True, slots=True)
class UnitRate:
    """The price of one unit that is no token: `numerator / denominator` pico, for at least `minimum` units."""

    price_id: str
    currency: str
    numerator: int
    denominator: int
    minimum: int = 0


def compile_unit_rate(rate: Rate, currency: str) -> UnitRate:
    """The flat rate of a unit; a rate with tiers depends on tokens and belongs on a card."""
    return UnitRate(rate.origin, currency, rate.base.numerator, rate.base.denominator, rate.minimum)


def rate_quantity(card: UnitRate, quantity: Decimal) -> Rated:
    """The exact cost of so many units, rounded half-even once; more than nothing is billed as the minimum at least.

    Raises InvalidQuantity unless the quantity is finite, not negative, below 10^18 and has at most nine decimals.
    """
    if not _is_usable(quantity):
        raise InvalidQuantity(quantity)
    billed = max(quantity, Decimal(card.minimum)) if quantity else quantity
    whole, scale = billed.as_integer_ratio()
    cost = round_half_even(whole * card.numerator, scale * card.denominator)
    return Rated(cost, 0) if cost < MAX_PICO else Rated(None, None, "cost_out_of_range")


def _is_usable(quantity: Decimal) -> bool:
    """The bounds come first: without them an exponent could ask for a number with a billion digits."""
    if not quantity.is_finite() or not (quantity == 0 or _LEAST_QUANTITY <= quantity < _QUANTITY_BOUND):
        return False
    _, scale = quantity.as_integer_ratio()
    return 10**QUANTITY_DECIMALS % scale == 0
