"""Money is exact. Stored at a pico grain (12 decimals); computed as Decimal or as whole pico units, never as float."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from typing import Final

from core.errors import InvalidInput

SCALE: Final = 12
"""Decimal places of every stored amount: one pico of the currency's unit."""

GRAIN: Final = Decimal(1).scaleb(-SCALE)
MAX_AMOUNT: Final = Decimal(10) ** (18 - SCALE)
"""Exclusive bound of one event's amount, from the column type Decimal(18, 12)."""

EXACT: Final = Context(prec=76, rounding=ROUND_HALF_EVEN)
"""Wide enough for any sum or product of stored amounts; sums of 10^12 events need 38 digits."""


class InvalidAmount(InvalidInput):
    """The text is no amount of money that can be stored without losing a digit."""

    def __init__(self, text: str, rule: str) -> None:
        super().__init__(f"{text!r} is not a usable amount: {rule}")
        self.rule = rule


def parse_amount(text: str) -> Decimal:
    """The exact amount written in `text`, which has at most 12 decimals and lies within +-1,000,000 (exclusive).

    Raises InvalidAmount for anything else, including NaN, infinities and digits beyond the grain: they would be
    truncated silently by the column.
    """
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise InvalidAmount(text, "write a decimal number such as '0.0123'") from None
    if not amount.is_finite():
        raise InvalidAmount(text, "it must be finite")
    if not -MAX_AMOUNT < amount < MAX_AMOUNT:
        raise InvalidAmount(text, f"it must lie between -{MAX_AMOUNT} and {MAX_AMOUNT}, exclusive")
    rounded = quantize(amount)
    if rounded != amount:
        raise InvalidAmount(text, f"it has more than {SCALE} decimals")
    return rounded


def quantize(amount: Decimal) -> Decimal:
    """`amount` rounded half-even to the pico grain."""
    return amount.quantize(GRAIN, context=EXACT)


def to_pico(amount: Decimal) -> int:
    """Whole pico units of an amount that lies on the grain."""
    return int(amount.scaleb(SCALE, context=EXACT))


def from_pico(pico: int) -> Decimal:
    """The amount of so many pico units."""
    return Decimal(pico).scaleb(-SCALE, context=EXACT)


def plain(amount: Decimal) -> str:
    """The amount without exponent and without trailing zeros: `0.0000001`, never `1E-7`; zero is `0`."""
    text = format(amount.normalize(EXACT), "f")
    return "0" if text in {"-0", "0"} else text
