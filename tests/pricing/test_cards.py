from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.cards import (
    BUCKET_UNITS,
    InvalidQuantity,
    Rate,
    Rated,
    UnitRate,
    compile_card,
    compile_unit_rate,
    pico_per_unit,
    rate,
    rate_quantity,
    round_half_even,
)
from pricing.usage import TokenUsage
from tests.pricing.strategies import flat_rates, rate_of, usages


def exact_cost(rates: dict[str, Rate], usage: TokenUsage) -> Fraction:
    """The cost before rounding, said another way: bucket by bucket, in fractions."""
    cost = rates["requests"].base if "requests" in rates else Fraction(0)
    for bucket, count in usage._asdict().items():
        nearest = next(rates[unit] for unit in BUCKET_UNITS[bucket] if unit in rates)
        cost += count * nearest.at(usage.input_total)
    return cost


@settings(deadline=None)
@given(st.integers(), st.integers(min_value=1))
def test_rounding_is_half_even(numerator: int, denominator: int) -> None:
    assert round_half_even(numerator, denominator) == round(Fraction(numerator, denominator))


@pytest.mark.parametrize(
    ("halves", "whole"), [(0, 0), (1, 0), (2, 1), (3, 2), (5, 2), (7, 4), (-1, 0), (-3, -2), (-5, -2)]
)
def test_a_tie_goes_to_the_even_neighbour(halves: int, whole: int) -> None:
    assert round_half_even(halves, 2) == whole
    assert round_half_even(halves * 3, 6) == whole


@settings(deadline=None)
@given(flat_rates(), usages)
def test_a_cost_is_the_exact_sum_rounded_once(rates: dict[str, Rate], usage: TokenUsage) -> None:
    assert rate(compile_card(rates, "USD"), usage).cost_pico == round(exact_cost(rates, usage))


@settings(deadline=None)
@given(flat_rates(), usages, usages)
def test_costs_without_fee_add_up_but_for_rounding(rates: dict[str, Rate], one: TokenUsage, two: TokenUsage) -> None:
    card = compile_card({**rates, "requests": rate_of(0)}, "USD")
    both = TokenUsage(*map(sum, zip(one, two, strict=True)))
    apart = [rate(card, usage).cost_pico for usage in (one, two)]
    together = rate(card, both).cost_pico
    assert together is not None
    assert abs(together - sum(cost for cost in apart if cost is not None)) <= 1


@settings(deadline=None)
@given(flat_rates(), usages, st.integers(0, 7), st.integers(0, 1000))
def test_more_tokens_never_cost_less(rates: dict[str, Rate], usage: TokenUsage, bucket: int, more: int) -> None:
    card = compile_card(rates, "USD")
    counts = list(usage)
    counts[bucket] += more
    assert (rate(card, TokenUsage(*counts)).cost_pico or 0) >= (rate(card, usage).cost_pico or 0)


@settings(deadline=None)
@given(flat_rates(), usages)
def test_savings_are_the_difference_to_the_same_usage_uncached(rates: dict[str, Rate], usage: TokenUsage) -> None:
    card = compile_card(rates, "USD")
    uncached = TokenUsage(sum(usage[:4]), 0, 0, 0, *usage[4:])
    cost, savings, _ = rate(card, usage)
    assert cost is not None
    assert savings is not None
    assert cost + savings == rate(card, uncached).cost_pico


def test_savings_are_net_of_the_write_premium() -> None:
    card = compile_card(
        {
            "input_tokens": rate_of(100),
            "cache_read_input_tokens": rate_of(10),
            "cache_creation_input_tokens": rate_of(125),
        },
        "USD",
    )
    assert rate(card, TokenUsage(cache_read=2)).cache_savings_pico == 180
    assert rate(card, TokenUsage(cache_creation=2)).cache_savings_pico == -50
    assert rate(card, TokenUsage(uncached_input=2)).cache_savings_pico == 0


def test_savings_are_unknown_without_a_price_of_uncached_input() -> None:
    card = compile_card({"cache_read_input_tokens": rate_of(10)}, "USD")
    assert rate(card, TokenUsage(cache_read=2)) == Rated(20, None)


@pytest.mark.parametrize(
    ("input_total", "cost"),
    [(0, 0), (99, 99), (100, 100), (101, 202), (200, 400), (201, 603)],
)
def test_a_tier_prices_all_tokens_once_its_start_is_exceeded(input_total: int, cost: int) -> None:
    card = compile_card({"input_tokens": rate_of(1, (100, 2), (200, 3))}, "USD")
    assert rate(card, TokenUsage(uncached_input=input_total)).cost_pico == cost


def test_the_tier_is_chosen_by_all_input_tokens_and_applies_to_output() -> None:
    card = compile_card({"input_tokens": rate_of(1), "output_tokens": rate_of(10, (100, 20))}, "USD")
    at_start = TokenUsage(uncached_input=20, cache_read=20, cache_creation=20, cache_creation_1h=20, audio_input=20)
    assert rate(card, at_start._replace(output=1)).cost_pico == 110
    assert rate(card, at_start._replace(output=1, audio_input=21)).cost_pico == 121


def test_tiers_of_different_units_need_not_start_together() -> None:
    card = compile_card({"input_tokens": rate_of(1, (10, 2)), "output_tokens": rate_of(1, (20, 5))}, "USD")
    costs = [rate(card, TokenUsage(uncached_input=tokens, output=1)).cost_pico for tokens in (10, 11, 20, 21)]
    assert costs == [11, 23, 41, 47]


@pytest.mark.parametrize("bucket", TokenUsage._fields)
def test_a_used_bucket_without_a_price_leaves_the_whole_unpriced(bucket: str) -> None:
    other = "output_tokens" if BUCKET_UNITS[bucket][-1] == "input_tokens" else "input_tokens"
    card = compile_card({other: rate_of(3), "requests": rate_of(1)}, "USD")
    known = "output" if other == "output_tokens" else "uncached_input"
    assert rate(card, TokenUsage(**{bucket: 1, known: 5})) == Rated(None, None, f"no_rate_for:{bucket}")
    assert rate(card, TokenUsage(**{known: 5})).cost_pico == 16


@pytest.mark.parametrize(("bucket", "units"), BUCKET_UNITS.items())
def test_a_bucket_takes_the_nearest_price_that_includes_it(bucket: str, units: tuple[str, ...]) -> None:
    for position, nearest in enumerate(units):
        rates = {unit: rate_of(7 if unit == nearest else 1) for unit in units[position:]}
        assert rate(compile_card(rates, "USD"), TokenUsage(**{bucket: 1})).cost_pico == 7


def test_a_card_names_every_origin_of_its_rates_once() -> None:
    card = compile_card(
        {
            "input_tokens": rate_of(1, origin="negotiated:17"),
            "cache_read_input_tokens": rate_of(1, origin="public:a/b@2026-11-22"),
            "output_tokens": rate_of(1, origin="negotiated:17"),
            "requests": rate_of(1, origin="negotiated:4"),
            "web_searches": rate_of(1, origin="negotiated:5"),
        },
        "USD",
    )
    assert card.price_id == "negotiated:17+public:a/b@2026-11-22+negotiated:4"


def test_a_cost_that_no_event_can_hold_is_unpriced() -> None:
    card = compile_card({"input_tokens": Rate("x", pico_per_unit(Decimal(999_999), 1))}, "USD")
    assert rate(card, TokenUsage(uncached_input=1)).cost_pico == 999_999 * 10**12
    assert rate(card, TokenUsage(uncached_input=2)) == Rated(None, None, "cost_out_of_range")
    assert rate_quantity(UnitRate("x", "USD", 10**12, 1), Decimal(10**6)) == Rated(None, None, "cost_out_of_range")


def test_savings_that_no_event_can_hold_are_unknown() -> None:
    card = compile_card({"input_tokens": rate_of(10**18), "cache_read_input_tokens": rate_of(1)}, "USD")
    assert rate(card, TokenUsage(cache_read=1)) == Rated(1, None)


quantities = st.decimals(0, 10**6, places=9, allow_nan=False)
unit_prices = st.decimals("0", "0.9", places=12, allow_nan=False)


@settings(deadline=None)
@given(unit_prices, st.integers(1, 10**9), quantities)
def test_a_quantity_costs_its_exact_product_rounded_once(price: Decimal, per: int, quantity: Decimal) -> None:
    card = compile_unit_rate(Rate("x", pico_per_unit(price, per)), "USD")
    assert rate_quantity(card, quantity).cost_pico == round(Fraction(price) * 10**12 / per * Fraction(quantity))


@pytest.mark.parametrize(("quantity", "cost"), [("0", 0), ("0.5", 20), ("10", 20), ("10.5", 21)])
def test_a_minimum_is_billed_once_anything_is_used(quantity: str, cost: int) -> None:
    assert rate_quantity(UnitRate("x", "USD", 2, 1, minimum=10), Decimal(quantity)).cost_pico == cost


@pytest.mark.parametrize("text", ["NaN", "sNaN", "Infinity", "-1", "0.1234567891", "1e-999999", "1e999999", "1e18"])
def test_a_quantity_that_cannot_be_rated_exactly_is_refused(text: str) -> None:
    with pytest.raises(InvalidQuantity, match="at most 9 decimals"):
        rate_quantity(UnitRate("x", "USD", 1, 1), Decimal(text))
