"""What a tier asks for, as a value: fee, included usage, overage, markup, seats, discount and minimum."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from enum import Enum, unique
from typing import Final

import msgspec

from core.errors import InvalidInput
from core.money import quantize
from core.time import Granularity

MAX_TERM: Final = Decimal(10) ** 15
"""Exclusive bound of every amount and quantity in a tier's terms."""
MAX_BANDS: Final = 50
MAX_METERS: Final = 20
HUNDRED: Final = Decimal(100)


class InvalidTerms(InvalidInput):
    """A part of a tier's terms breaks a rule."""

    code = "INVALID_TERMS"

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field} is not usable: {rule}")
        self.field = field


@unique
class BillingPeriod(Enum):
    """How often a tier's fee is due: calendar periods in the tier's own zone."""

    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"

    @property
    def granularity(self) -> Granularity:
        """The calendar bucket of the same length."""
        return Granularity(self.value)


@unique
class BandMode(Enum):
    """How bands of overage apply."""

    GRADUATED = "graduated"
    """Each unit costs what the band it falls into says."""
    VOLUME = "volume"
    """All units cost what the band says that the last of them falls into."""


@unique
class SeatSource(Enum):
    """How many seats a tenant has."""

    ACTIVE_USERS = "active_users"
    """As many as distinct users were active in the time that is charged."""
    FIXED = "fixed"
    """As many as the terms say."""


@dataclass(frozen=True, slots=True)
class Band:
    """`per` units cost `price`, up to `up_to` units beyond the included ones; None has no end."""

    up_to: Decimal | None
    price: Decimal
    per: int = 1


@dataclass(frozen=True, slots=True)
class Meter:
    """One additive measure: how much of it a period's fee includes, and what the rest costs.

    Bands count what is beyond `included`, and the last one has no end. Without bands the rest costs nothing.
    """

    measure: str
    included: Decimal = Decimal(0)
    bands: tuple[Band, ...] = ()
    mode: BandMode = BandMode.GRADUATED


@dataclass(frozen=True, slots=True)
class Seats:
    """Each seat beyond `included` costs `price` a period. `count` is how many there are when the source is FIXED."""

    price: Decimal
    source: SeatSource = SeatSource.ACTIVE_USERS
    included: int = 0
    count: int = 0


@dataclass(frozen=True, slots=True)
class TierOverrides:
    """What one tenant's contract says instead of its tier. None, or a measure that is not named: as in the tier."""

    period_fee: Decimal | None = None
    meters: tuple[Meter, ...] = ()
    markup_percent: Decimal | None = None
    seats: Seats | None = None
    discount_percent: Decimal | None = None
    minimum_fee: Decimal | None = None

    def __post_init__(self) -> None:
        _check_amounts(self.period_fee, self.markup_percent, self.discount_percent, self.minimum_fee)
        _check_meters(self.meters)
        _check_seats(self.seats)


@dataclass(frozen=True, slots=True)
class TierTerms:
    """What a tenant of a tier pays for one `period`. Amounts are in the deployment's currency.

    `markup_percent` passes the usage's effective cost on, with that much added; None does not pass it on. The discount
    applies to the sum of fee, overage, markup and seats; `minimum_fee` is the least that is due after it.
    """

    period: BillingPeriod = BillingPeriod.MONTH
    currency: str = "USD"
    period_fee: Decimal = Decimal(0)
    meters: tuple[Meter, ...] = ()
    markup_percent: Decimal | None = None
    seats: Seats | None = None
    discount_percent: Decimal = Decimal(0)
    minimum_fee: Decimal = Decimal(0)

    def __post_init__(self) -> None:
        _check_amounts(self.period_fee, self.markup_percent, self.discount_percent, self.minimum_fee)
        _check_meters(self.meters)
        _check_seats(self.seats)

    def with_overrides(self, overrides: TierOverrides) -> TierTerms:
        """These terms as one tenant's contract changes them."""
        if overrides == NO_OVERRIDES:
            return self
        given = {field.name: getattr(overrides, field.name) for field in fields(overrides)}
        changed = {name: value for name, value in given.items() if value not in (None, ())}
        if overrides.meters:
            own = {meter.measure: meter for meter in overrides.meters}
            kept = tuple(meter for meter in self.meters if meter.measure not in own)
            changed["meters"] = kept + overrides.meters
        return replace(self, **changed)


def _check_amounts(
    period_fee: Decimal | None, markup: Decimal | None, discount: Decimal | None, minimum: Decimal | None
) -> None:
    _check_amount("period_fee", period_fee)
    _check_amount("markup_percent", markup)
    _check_amount("minimum_fee", minimum)
    _check_amount("discount_percent", discount, below=HUNDRED + 1)
    if discount is not None and discount > HUNDRED:
        raise InvalidTerms("discount_percent", "it must lie between 0 and 100")


def _check_amount(field: str, amount: Decimal | None, below: Decimal = MAX_TERM) -> None:
    if amount is None:
        return
    if not amount.is_finite() or not 0 <= amount < below:
        raise InvalidTerms(field, f"it must be a number from 0 to {below}, exclusive")
    if quantize(amount) != amount:
        raise InvalidTerms(field, "it has more than 12 decimals")


def _check_meters(meters: tuple[Meter, ...]) -> None:
    if len(meters) > MAX_METERS:
        raise InvalidTerms("meters", f"there are at most {MAX_METERS}")
    names = [meter.measure for meter in meters]
    for meter in meters:
        if names.count(meter.measure) > 1:
            raise InvalidTerms("meters", f"{meter.measure!r} is there twice")
        _check_amount("included", meter.included)
        _check_bands(meter.bands)


def _check_bands(bands: tuple[Band, ...]) -> None:
    if len(bands) > MAX_BANDS:
        raise InvalidTerms("bands", f"there are at most {MAX_BANDS}")
    for band in bands:
        _check_amount("price", band.price)
        _check_amount("up_to", band.up_to)
        if not 1 <= band.per < MAX_TERM:
            raise InvalidTerms("per", "it must be a whole number of units, at least 1")
    if bands and bands[-1].up_to is not None:
        raise InvalidTerms("bands", "the last one has no end, so that no usage is without a price")
    if not _is_rising(band.up_to for band in bands[:-1]):
        raise InvalidTerms("bands", "each ends after the one before, and only the last has no end")


def _is_rising(ends: Iterable[Decimal | None]) -> bool:
    last = Decimal(0)
    for end in ends:
        if end is None or end <= last:
            return False
        last = end
    return True


def _check_seats(seats: Seats | None) -> None:
    if seats is None:
        return
    _check_amount("seat price", seats.price)
    if not (0 <= seats.included < MAX_TERM and 0 <= seats.count < MAX_TERM):
        raise InvalidTerms("seats", "there are none or some, and not without end")


def encode_terms(terms: TierTerms | TierOverrides) -> str:
    """The terms as JSON, decimals as text."""
    return msgspec.json.encode(terms).decode()


def decode_terms(text: str) -> TierTerms:
    """The terms of that JSON."""
    return msgspec.json.decode(text, type=TierTerms)


def decode_overrides(text: str) -> TierOverrides:
    """The overrides of that JSON."""
    return msgspec.json.decode(text, type=TierOverrides)


NO_OVERRIDES: Final = TierOverrides()
"""A contract like any other of its tier."""
