"""What a tier asks for, in GraphQL's shape: read from terms, and written as input."""

from __future__ import annotations

from decimal import Decimal

import strawberry

from api.graphql.naming import described_enum
from api.graphql.scalars import BigInt
from attribution.measures import Measure
from tenants.terms import NO_OVERRIDES, BandMode, BillingPeriod, SeatSource, TierOverrides, TierTerms
from tenants.terms import Band as BandTerms
from tenants.terms import Meter as MeterTerms
from tenants.terms import Seats as SeatTerms

_PERIODS = {
    BillingPeriod.MONTH: "A calendar month in the tier's zone.",
    BillingPeriod.QUARTER: "A calendar quarter in the tier's zone.",
    BillingPeriod.YEAR: "A calendar year in the tier's zone.",
}
_MODES = {
    BandMode.GRADUATED: "Each unit costs what the band it falls into says.",
    BandMode.VOLUME: "All units cost what the band says that the last of them falls into.",
}
_SEATS = {
    SeatSource.ACTIVE_USERS: "As many as distinct users were active in the time that is charged.",
    SeatSource.FIXED: "As many as `count` says.",
}
described_enum(BillingPeriod, "BillingPeriod", "How often a tier's fee is due.", _PERIODS.__getitem__)
described_enum(BandMode, "BandMode", "How bands of overage apply.", _MODES.__getitem__)
described_enum(SeatSource, "SeatSource", "How many seats a tenant has.", _SEATS.__getitem__)


@strawberry.type(description="A band of overage: `per` units cost `price`.")
class OverageBand:
    """A band."""

    up_to: Decimal | None = strawberry.field(description="Its last unit beyond the included ones; null: no end.")
    price: Decimal = strawberry.field(description="What `per` units cost.")
    per: BigInt = strawberry.field(description="How many units the price is for.")


@strawberry.type(description="How much of a measure the fee includes, and what the rest costs.")
class Meter:
    """A meter."""

    measure: Measure = strawberry.field(description="An additive measure.")
    included: Decimal = strawberry.field(description="Included in a whole period.")
    mode: BandMode = strawberry.field(description="How the bands apply.")
    bands: list[OverageBand] = strawberry.field(description="In order; none: what is beyond costs nothing.")


@strawberry.type(description="What seats cost.")
class Seats:
    """Seats."""

    price: Decimal = strawberry.field(description="What one seat costs a period.")
    source: SeatSource = strawberry.field(description="How many there are.")
    included: BigInt = strawberry.field(description="How many the fee includes.")
    count: BigInt = strawberry.field(description="How many there are, where the source is FIXED.")


@strawberry.type(name="TierTerms", description="What a tenant of a tier pays for one period.")
class TierTermsView:
    """Terms."""

    period: BillingPeriod = strawberry.field(description="How often the fee is due.")
    currency: str = strawberry.field(description="ISO 4217.")
    period_fee: Decimal = strawberry.field(description="The fee for a whole period.")
    meters: list[Meter] = strawberry.field(description="Included usage and overage, by measure.")
    markup_percent: Decimal | None = strawberry.field(
        description="The usage's cost is passed on with that much added; null: it is not passed on."
    )
    seats: Seats | None = strawberry.field(description="What seats cost; null: nothing.")
    discount_percent: Decimal = strawberry.field(description="Off the sum of fee, overage, markup and seats.")
    minimum_fee: Decimal = strawberry.field(description="The least that is due for a whole period.")


@strawberry.type(
    name="TierOverrides", description="What one tenant's contract says instead of its tier; null: as in the tier."
)
class OverridesView:
    """Overrides."""

    period_fee: Decimal | None = strawberry.field(description="Another fee.")
    meters: list[Meter] = strawberry.field(description="Meters in the place of the tier's, by measure.")
    markup_percent: Decimal | None = strawberry.field(description="Another markup.")
    seats: Seats | None = strawberry.field(description="Other seats.")
    discount_percent: Decimal | None = strawberry.field(description="Another discount.")
    minimum_fee: Decimal | None = strawberry.field(description="Another minimum.")


@strawberry.input(description="A band of overage: `per` units cost `price`.")
class OverageBandInput:
    """A band."""

    price: Decimal = strawberry.field(description="What `per` units cost.")
    per: BigInt = strawberry.field(default=BigInt(1), description="How many units the price is for, such as 1000000.")
    up_to: Decimal | None = strawberry.field(
        default=None, description="Its last unit beyond the included ones; the last band has none."
    )


@strawberry.input(description="How much of a measure the fee includes, and what the rest costs.")
class MeterInput:
    """A meter."""

    measure: Measure = strawberry.field(description="An additive measure, such as OPERATIONS or TOTAL_TOKENS.")
    included: Decimal = strawberry.field(default=Decimal(0), description="Included in a whole period.")
    mode: BandMode = strawberry.field(default=BandMode.GRADUATED, description="How the bands apply.")
    bands: list[OverageBandInput] = strawberry.field(
        default_factory=list, description="In order; none: what is beyond costs nothing."
    )

    def terms(self) -> MeterTerms:
        """The meter meant. Raises InvalidTerms."""
        bands = tuple(BandTerms(band.up_to, band.price, int(band.per)) for band in self.bands)
        return MeterTerms(self.measure.spec.name, self.included, bands, self.mode)


@strawberry.input(description="What seats cost.")
class SeatsInput:
    """Seats."""

    price: Decimal = strawberry.field(description="What one seat costs a period.")
    source: SeatSource = strawberry.field(default=SeatSource.ACTIVE_USERS, description="How many there are.")
    included: int = strawberry.field(default=0, description="How many the fee includes.")
    count: int = strawberry.field(default=0, description="How many there are, where the source is FIXED.")

    def terms(self) -> SeatTerms:
        """The seats meant."""
        return SeatTerms(self.price, self.source, self.included, self.count)


@strawberry.input(description="What a tenant of a tier pays for one period.")
class TierTermsInput:
    """Terms."""

    period: BillingPeriod = strawberry.field(default=BillingPeriod.MONTH, description="How often the fee is due.")
    currency: str | None = strawberry.field(default=None, description="Default: the deployment's currency.")
    period_fee: Decimal = strawberry.field(default=Decimal(0), description="The fee for a whole period.")
    meters: list[MeterInput] = strawberry.field(
        default_factory=list, description="Included usage and overage, by measure."
    )
    markup_percent: Decimal | None = strawberry.field(
        default=None, description="Pass the usage's cost on with that much added, 0 at cost; null: do not."
    )
    seats: SeatsInput | None = strawberry.field(default=None, description="What seats cost.")
    discount_percent: Decimal = strawberry.field(
        default=Decimal(0), description="Off the sum of fee, overage, markup and seats."
    )
    minimum_fee: Decimal = strawberry.field(default=Decimal(0), description="The least that is due for a whole period.")

    def terms(self, currency: str) -> TierTerms:
        """The terms meant, in that currency unless they name one. Raises InvalidTerms."""
        return TierTerms(
            self.period,
            self.currency or currency,
            self.period_fee,
            tuple(meter.terms() for meter in self.meters),
            self.markup_percent,
            self.seats.terms() if self.seats else None,
            self.discount_percent,
            self.minimum_fee,
        )


@strawberry.input(
    name="TierOverridesInput", description="What one tenant's contract says instead of its tier; null: as in the tier."
)
class OverridesInput:
    """Overrides."""

    period_fee: Decimal | None = strawberry.field(default=None, description="Another fee.")
    meters: list[MeterInput] = strawberry.field(
        default_factory=list, description="Meters in the place of the tier's, by measure."
    )
    markup_percent: Decimal | None = strawberry.field(default=None, description="Another markup.")
    seats: SeatsInput | None = strawberry.field(default=None, description="Other seats.")
    discount_percent: Decimal | None = strawberry.field(default=None, description="Another discount.")
    minimum_fee: Decimal | None = strawberry.field(default=None, description="Another minimum.")

    def terms(self) -> TierOverrides:
        """The overrides meant. Raises InvalidTerms."""
        return TierOverrides(
            self.period_fee,
            tuple(meter.terms() for meter in self.meters),
            self.markup_percent,
            self.seats.terms() if self.seats else None,
            self.discount_percent,
            self.minimum_fee,
        )


_BY_NAME = {measure.spec.name: measure for measure in Measure}


def _meters(meters: tuple[MeterTerms, ...]) -> list[Meter]:
    return [
        Meter(
            measure=_BY_NAME[meter.measure],
            included=meter.included,
            mode=meter.mode,
            bands=[OverageBand(up_to=band.up_to, price=band.price, per=BigInt(band.per)) for band in meter.bands],
        )
        for meter in meters
    ]


def _seats(seats: SeatTerms | None) -> Seats | None:
    if seats is None:
        return None
    return Seats(price=seats.price, source=seats.source, included=BigInt(seats.included), count=BigInt(seats.count))


def terms_view(terms: TierTerms) -> TierTermsView:
    """The terms as clients see them."""
    return TierTermsView(
        period=terms.period,
        currency=terms.currency,
        period_fee=terms.period_fee,
        meters=_meters(terms.meters),
        markup_percent=terms.markup_percent,
        seats=_seats(terms.seats),
        discount_percent=terms.discount_percent,
        minimum_fee=terms.minimum_fee,
    )


def overrides_view(overrides: TierOverrides) -> OverridesView | None:
    """The overrides as clients see them; null for none."""
    if overrides == NO_OVERRIDES:
        return None
    return OverridesView(
        period_fee=overrides.period_fee,
        meters=_meters(overrides.meters),
        markup_percent=overrides.markup_percent,
        seats=_seats(overrides.seats),
        discount_percent=overrides.discount_percent,
        minimum_fee=overrides.minimum_fee,
    )
