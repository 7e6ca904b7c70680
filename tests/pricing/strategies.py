"""What Hypothesis draws for pricing."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import strategies as st

from pricing.cards import CARD_UNITS, Rate
from pricing.usage import TokenUsage

counts = st.integers(min_value=0, max_value=400_000) | st.sampled_from([0, 1, 199_999, 200_000, 200_001])
usages = st.builds(TokenUsage, *[st.just(0) | counts for _ in TokenUsage._fields])

prices = st.fractions(min_value=0, max_value=10**8, max_denominator=10**6)


@st.composite
def flat_rates(draw: st.DrawFn) -> dict[str, Rate]:
    """Some price for every unit."""
    return {unit: Rate("drawn", draw(prices)) for unit in sorted(CARD_UNITS)}


def rate_of(price: int | str, *tiers: tuple[int, int | str], origin: str = "given") -> Rate:
    """A rate in pico per unit."""
    return Rate(origin, Fraction(price), tuple((start, Fraction(tier)) for start, tier in tiers))
