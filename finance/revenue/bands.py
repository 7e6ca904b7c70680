"""What a quantity costs in graduated or volume bands, exactly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

from tenants.terms import Band, BandMode

WHOLE = Fraction(1)


def price_of(quantity: Fraction, bands: Sequence[Band], mode: BandMode, scale: Fraction = WHOLE) -> Fraction:
    """What `quantity` units cost. `scale` is the part of a period that is charged: band ends shrink with it."""
    if quantity <= 0 or not bands:
        return Fraction(0)
    if mode is BandMode.VOLUME:
        band = next(band for band in bands if _reaches(band, quantity, scale))
        return quantity * _unit_price(band)
    return sum((units * _unit_price(band) for units, band in _split(quantity, bands, scale)), Fraction(0))


def _reaches(band: Band, quantity: Fraction, scale: Fraction) -> bool:
    return band.up_to is None or quantity <= Fraction(band.up_to) * scale


def _split(quantity: Fraction, bands: Sequence[Band], scale: Fraction) -> Iterator[tuple[Fraction, Band]]:
    """How many of the units fall into each band."""
    start = Fraction(0)
    for band in bands:
        end = quantity if band.up_to is None else min(quantity, Fraction(band.up_to) * scale)
        yield max(Fraction(0), end - start), band
        start = max(start, end)


def _unit_price(band: Band) -> Fraction:
    return Fraction(band.price) / band.per
