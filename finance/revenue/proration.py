"""A part of a period counts as many of its days as it holds the first instants of.

Days are local days of one zone. One of 23 or 25 hours counts as any other, and every day belongs to exactly one of the
parts a period is cut into, so that what is charged for the parts adds up to what is charged for the whole.

Thousands of tenants share few fees and instants: what was worked out lately is remembered.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from functools import lru_cache
from zoneinfo import ZoneInfo

from core.money import EXACT, from_pico
from core.time import Window, midnight


@lru_cache(maxsize=10_000)
def first_day(instant: datetime, zone: ZoneInfo) -> date:
    """The first local day that begins at that instant or later."""
    day = instant.astimezone(zone).date()
    return day if midnight(day, zone) >= instant else day + timedelta(days=1)


def days_between(start: datetime, end: datetime, zone: ZoneInfo) -> int:
    """How many local days begin from `start` (in) to `end` (out)."""
    return (first_day(end, zone) - first_day(start, zone)).days


@dataclass(frozen=True, slots=True)
class Share:
    """The days from the `begin`-th (in) to the `end`-th (out) of a period of `total` days."""

    begin: int
    end: int
    total: int

    @classmethod
    def of(cls, part: Window, whole: Window, zone: ZoneInfo) -> Share:
        """The days of `whole` that begin in `part`, which lies within it."""
        begin = days_between(whole.start, part.start, zone)
        return cls(begin, begin + days_between(part.start, part.end, zone), days_between(whole.start, whole.end, zone))

    @property
    def days(self) -> int:
        """How many there are."""
        return self.end - self.begin

    @property
    def fraction(self) -> Fraction:
        """The part of the period; none of one without days."""
        return Fraction(self.days, self.total) if self.total else Fraction(0)


WHOLE = Share(0, 1, 1)


@lru_cache(maxsize=10_000)
def prorated(amount: Decimal, share: Share) -> Decimal:
    """What the share's days bear of the amount, to the pico.

    The shares a period is cut into add up to the amount exactly: each is the difference of two rounded running sums.
    """
    if not share.total:
        return Decimal(0)
    return from_pico(_running(amount, share.end, share.total) - _running(amount, share.begin, share.total))


def _running(amount: Decimal, days: int, total: int) -> int:
    return to_whole_pico(Fraction(amount) * Fraction(days, total))


def to_whole_pico(amount: Fraction) -> int:
    """The amount in whole pico units, rounded half to even once."""
    return round(amount * 10**12)


def rounded(amount: Fraction) -> Decimal:
    """The amount at the pico grain, rounded half to even once."""
    return from_pico(to_whole_pico(amount))


def to_cents(amounts: list[Decimal], places: int = 2) -> list[Decimal]:
    """The amounts at the cent, adding up to their exact sum's cents: those that lose most by rounding down gain first.

    For printing on an invoice; sums are kept at the pico grain.
    """
    grain = Decimal(1).scaleb(-places)
    total = sum(amounts, Decimal(0)).quantize(grain, rounding=ROUND_HALF_EVEN, context=EXACT)
    floors = [amount.quantize(grain, rounding="ROUND_FLOOR", context=EXACT) for amount in amounts]
    missing = int((total - sum(floors, Decimal(0))) / grain)
    losers = sorted(range(len(amounts)), key=lambda i: (floors[i] - amounts[i], i))
    for index in losers[:missing]:
        floors[index] += grain
    return floors
