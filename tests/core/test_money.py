"""Amounts: exact in, exact out, and nothing taken that the store would have to cut."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.money import MAX_AMOUNT, SCALE, InvalidAmount, from_pico, parse_amount, plain, quantize, to_pico

LARGEST = 10**18 - 1
picos = st.integers(-LARGEST, LARGEST)
amounts = picos.map(lambda pico: Decimal(pico).scaleb(-SCALE))


@given(pico=picos)
def test_whole_picos_come_back(pico: int) -> None:
    assert to_pico(from_pico(pico)) == pico
    assert Fraction(from_pico(pico)) == Fraction(pico, 10**12)


@given(amount=amounts)
def test_what_is_written_is_what_is_read(amount: Decimal) -> None:
    for text in (str(amount), f"{amount:f}", plain(amount), f" {amount:f}000 ", f"{amount:e}"):
        assert parse_amount(text) == amount


@given(amount=amounts)
def test_a_plain_amount_has_no_exponent_and_no_trailing_zeros(amount: Decimal) -> None:
    text = plain(amount)
    assert Decimal(text) == amount
    assert "E" not in text.upper()
    assert text == "0" or not (text.startswith("-0") and amount == 0)
    assert "." not in text or not text.endswith(("0", "."))


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("1E-12", "0.000000000001"),
        ("100", "100"),
        ("1E+5", "100000"),
        ("-0.00", "0"),
        ("0.10", "0.1"),
        ("-2.50", "-2.5"),
    ],
)
def test_plain_amounts(amount: str, text: str) -> None:
    assert plain(Decimal(amount)) == text


@given(digits=st.integers(1, 10**30), decimals=st.integers(SCALE + 1, 60))
def test_digits_beyond_the_grain_are_refused_not_cut(digits: int, decimals: int) -> None:
    text = f"0.{str(digits * 10 + 1).zfill(decimals)}"
    with pytest.raises(InvalidAmount, match=r"more than 12 decimals|must lie between"):
        parse_amount(text)


@given(whole=st.integers(int(MAX_AMOUNT), 10**40), sign=st.sampled_from(["", "-"]))
def test_amounts_that_do_not_fit_the_column_are_refused(whole: int, sign: str) -> None:
    with pytest.raises(InvalidAmount, match="must lie between -1000000 and 1000000, exclusive"):
        parse_amount(f"{sign}{whole}")


@pytest.mark.parametrize(
    "text",
    ["", " ", "free", "1,5", "1.2.3", "0x10", "NaN", "sNaN", "-inf", "Infinity", "1e999999999", "-1e99999999999999"],
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(InvalidAmount) as refused:
        parse_amount(text)
    assert repr(text) in str(refused.value)


@pytest.mark.parametrize("text", ["1e-13", "1e-999999999", "-1e-99999999999999", "0." + "0" * 100 + "1"])
def test_what_is_too_fine_is_refused(text: str) -> None:
    with pytest.raises(InvalidAmount, match="more than 12 decimals"):
        parse_amount(text)


@pytest.mark.parametrize("text", ["999999.999999999999", "-999999.999999999999", "0.000000000001", "-0", "1E-12", "+5"])
def test_the_extremes_are_amounts(text: str) -> None:
    assert parse_amount(text) == Decimal(text)


@given(numerator=st.integers(-(10**30), 10**30), halvings=st.integers(0, 39))
def test_rounding_is_to_the_nearest_pico_and_half_even(numerator: int, halvings: int) -> None:
    """Halved again and again, a number stays a finite decimal, and often lies in the middle of two picos."""
    digits = tuple(map(int, str(abs(numerator) * 5**halvings)))
    halved = Decimal((int(numerator < 0), digits, -halvings))
    assert to_pico(quantize(halved)) == round(Fraction(numerator * 10**12, 2**halvings))
