"""The law of lines: what was billed plus the difference is what is true now, whatever happened in between."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from finance.statements.lines import (
    NOTHING,
    Line,
    LineKey,
    LineKind,
    TierChargeLine,
    Value,
    amount_of,
    difference,
    total,
)

AMOUNTS = st.none() | st.integers(-(10**30), 10**30).map(lambda pico: Decimal(pico).scaleb(-12))
VALUES = st.builds(Value, AMOUNTS, st.integers(0, 9).map(Decimal), st.integers(0, 3))
KEYS = st.builds(LineKey, st.sampled_from(["2026-09", "2026-10"]), st.just("cost"), st.sampled_from(["", "a", "b"]))
BOOKS = st.dictionaries(KEYS, VALUES, max_size=5)


def known(amount: Decimal | None) -> Decimal:
    return amount or Decimal(0)


@settings(max_examples=200)
@given(BOOKS, BOOKS)
def test_billed_and_difference_come_to_what_is_true(billed: dict[LineKey, Value], now: dict[LineKey, Value]) -> None:
    lines = difference(now, billed)
    after = total([*(Line(key, value) for key, value in billed.items()), *lines])
    for key in {*billed, *now}:
        said, true = after.get(key, NOTHING), now.get(key, NOTHING)
        assert known(said.amount) == known(true.amount)
        assert (said.quantity, said.unpriced_operations) == (true.quantity, true.unpriced_operations)
    assert difference(now, now) == ()
    assert [line.key for line in lines] == sorted(line.key for line in lines)


def test_an_unknown_amount_stays_unknown_until_it_is_known() -> None:
    key = LineKey("2026-10", "cost")
    (unknown,) = difference({key: Value(None, Decimal(2), 2)}, {})
    assert unknown.value.amount is None
    (priced,) = difference({key: Value(Decimal(5), Decimal(2))}, {key: unknown.value})
    assert priced.value == Value(Decimal(5), Decimal(0), -2)


def test_amounts_add_beyond_the_usual_precision_and_by_kind() -> None:
    wide = Decimal("12345678901234567890123456.123456789012")
    lines = [Line(LineKey("2026-10", "cost", feature), Value(wide, Decimal(1))) for feature in ("a", "b")]
    fee = TierChargeLine("pro", "period_fee", "months", Decimal(1), Decimal(99)).line("2026-10")
    assert amount_of([*lines, fee], LineKind.COST) == Decimal("24691357802469135780246912.246913578024")
    assert amount_of([*lines, fee], LineKind.TIER_CHARGE) == 99
    assert fee.key == LineKey("2026-10", "tier_charge", tier="pro", charge="period_fee", unit="months")
