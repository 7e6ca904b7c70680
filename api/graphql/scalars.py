"""Scalars that lose nothing on the wire: time with its zone, decimals as text, integers JSON can carry exactly."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, NewType

import strawberry
from strawberry.types.scalar import ScalarDefinition

from core.errors import InvalidInput
from core.money import plain

BigInt = NewType("BigInt", int)
"""An integer beyond GraphQL's 32-bit Int, such as a count of tokens."""

MAX_BIG_INT: Final = 2**53 - 1
"""The largest integer every JSON reader, JavaScript included, reads back unchanged (RFC 8259, section 6)."""

MAX_DECIMAL_DIGITS: Final = 38
"""Digits before and after the point together; what the widest stored sums have."""

DATE_TIME: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)",
    re.ASCII,
)
DECIMAL: Final = re.compile(r"-?\d{1,100}(\.\d{1,100})?([eE][+-]?\d{1,3})?", re.ASCII)


class InvalidDateTime(InvalidInput):
    """The value is no point in time."""

    def __init__(self, value: object) -> None:
        super().__init__(f"{value!r} is not a time with a zone, such as '2026-03-01T00:00:00Z'.")


class InvalidDecimal(InvalidInput):
    """The value is no exact decimal of a usable size."""

    def __init__(self, value: object) -> None:
        super().__init__(
            f"{value!r} is not a decimal of at most {MAX_DECIMAL_DIGITS} digits; write it as a string such as '0.0125'."
        )


class InvalidBigInt(InvalidInput):
    """The value is no integer that JSON carries exactly."""

    def __init__(self, value: object) -> None:
        super().__init__(f"{value!r} is not an integer between -{MAX_BIG_INT} and {MAX_BIG_INT}.")


def parse_date_time(value: object) -> datetime:
    """The aware time written in RFC 3339; digits below a microsecond are dropped.

    Raises InvalidDateTime for anything else: a date alone or a time without a zone means different instants to
    different readers.
    """
    if not isinstance(value, str) or not DATE_TIME.fullmatch(value):
        raise InvalidDateTime(value)
    try:
        moment = datetime.fromisoformat(value.upper())
        moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidDateTime(value) from None
    return moment


def date_time_value(value: datetime) -> datetime:
    """The time itself; the transport's JSON encoder writes it, in a fifth of the time `isoformat` takes."""
    if type(value) is not datetime or value.tzinfo is None:
        raise TypeError(f"a DateTime field resolved to {value!r}, which is no aware time")
    return value


def parse_decimal(value: object) -> Decimal:
    """The exact decimal in a string or an integer.

    Raises InvalidDecimal for NaN, infinities, more digits than can be stored, and JSON fractions, which are binary.
    """
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not DECIMAL.fullmatch(text):
        raise InvalidDecimal(_shortened(value))
    amount = Decimal(text)
    _, digits, exponent = amount.as_tuple()
    if isinstance(exponent, str) or max(len(digits), len(digits) + exponent, -exponent) > MAX_DECIMAL_DIGITS:
        raise InvalidDecimal(_shortened(value))
    return amount


def parse_big_int(value: object) -> int:
    """The integer, when JSON carries it exactly; raises InvalidBigInt otherwise."""
    if type(value) is not int or abs(value) > MAX_BIG_INT:
        raise InvalidBigInt(_shortened(value))
    return value


def big_int_value(value: int) -> int:
    """The integer itself; TypeError when a client would read another number."""
    if type(value) is not int or not -MAX_BIG_INT <= value <= MAX_BIG_INT:
        raise TypeError(f"a BigInt field resolved to {value!r}, which JSON cannot carry exactly")
    return value


def _shortened(value: object) -> object:
    text = str(value) if isinstance(value, str) else repr(value)
    return value if len(text) <= 100 else text[:97] + "..."


SCALARS: Final[dict[Any, ScalarDefinition]] = {
    datetime: strawberry.scalar(
        name="DateTime",
        description="A point in time in RFC 3339 with its zone, such as `2026-03-01T00:00:00Z`.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc3339#section-5.6",
        serialize=date_time_value,
        parse_value=parse_date_time,
    ),
    Decimal: strawberry.scalar(
        name="Decimal",
        description='An exact decimal number as a string without exponent, such as `"0.0125"`.',
        specified_by_url="https://www.w3.org/TR/xmlschema-2/#decimal",
        serialize=plain,
        parse_value=parse_decimal,
    ),
    BigInt: strawberry.scalar(
        name="BigInt",
        description="An integer of up to 53 bits, as a JSON number: exact in every client.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc8259#section-6",
        serialize=big_int_value,
        parse_value=parse_big_int,
    ),
}
"""What `StrawberryConfig(scalar_map=...)` takes: the Python types of this API's scalars."""
