"""The arithmetic of tiers: bands, days, percentages, and that parts add up to the whole."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.time import Granularity, Window
from finance.revenue.bands import price_of
from finance.revenue.lines import Line, LineKind, SoFar, Usage, charges_of, total_of
from finance.revenue.proration import Share, days_between, prorated, to_cents
from tenants.terms import Band, BandMode, BillingPeriod, Meter, Seats, SeatSource, TierTerms

laws = settings(max_examples=60, deadline=None)
BERLIN = ZoneInfo("Europe/Berlin")
amounts = st.decimals(min_value=0, max_value=10_000, places=4)
BANDS = (Band(Decimal(100), Decimal("0.10")), Band(Decimal(1000), Decimal("0.05")), Band(None, Decimal(20), 1000))


@st.composite
def band_lists(draw: st.DrawFn) -> tuple[Band, ...]:
    ends = sorted(draw(st.lists(st.integers(1, 5000), max_size=4, unique=True)))
    prices = draw(st.lists(amounts, min_size=len(ends) + 1, max_size=len(ends) + 1))
    return tuple(Band(end, price) for end, price in zip([*map(Decimal, ends), None], prices, strict=True))


# Bands


@pytest.mark.parametrize(
    ("quantity", "graduated", "volume"),
    [(0, "0", "0"), (100, "10", "10"), (101, "10.05", "5.05"), (1000, "55", "50"), (3000, "95", "60")],
)
def test_bands_by_hand(quantity: int, graduated: str, volume: str):
    assert price_of(Fraction(quantity), BANDS, BandMode.GRADUATED) == Fraction(graduated)
    assert price_of(Fraction(quantity), BANDS, BandMode.VOLUME) == Fraction(volume)


@laws
@given(bands=band_lists(), quantity=st.integers(0, 8000))
def test_graduated_bands_cost_what_their_units_cost_one_by_one(bands: tuple[Band, ...], quantity: int):
    ends = [Fraction(band.up_to) if band.up_to is not None else Fraction(10**9) for band in bands]
    expected, start = Fraction(0), Fraction(0)
    for band, end in zip(bands, ends, strict=True):
        expected += max(Fraction(0), min(Fraction(quantity), end) - start) * Fraction(band.price)
        start = end
    assert price_of(Fraction(quantity), bands, BandMode.GRADUATED) == expected


@laws
@given(bands=band_lists(), quantities=st.tuples(st.integers(0, 8000), st.integers(0, 8000)))
def test_graduated_bands_never_fall_and_are_continuous(bands: tuple[Band, ...], quantities: tuple[int, int]):
    low, high = sorted(quantities)
    dearest = max(Fraction(band.price) for band in bands)
    rise = price_of(Fraction(high), bands, BandMode.GRADUATED) - price_of(Fraction(low), bands, BandMode.GRADUATED)
    assert 0 <= rise <= dearest * (high - low)


@laws
@given(bands=band_lists(), quantity=st.integers(1, 8000))
def test_volume_bands_charge_every_unit_alike(bands: tuple[Band, ...], quantity: int):
    band = next(band for band in bands if band.up_to is None or quantity <= band.up_to)
    assert price_of(Fraction(quantity), bands, BandMode.VOLUME) == quantity * Fraction(band.price)


@laws
@given(bands=band_lists(), quantity=st.integers(0, 8000), mode=st.sampled_from(BandMode), parts=st.integers(1, 31))
def test_a_part_of_a_period_pays_its_part_for_its_part_of_the_usage(
    bands: tuple[Band, ...], quantity: int, mode: BandMode, parts: int
):
    whole = price_of(Fraction(quantity), bands, mode)
    assert price_of(Fraction(quantity, parts), bands, mode, Fraction(1, parts)) * parts == whole


# Days


def test_a_month_with_a_change_of_clocks_has_as_many_days_as_any():
    for month, days in ((3, 31), (10, 31), (2, 28)):
        whole = Granularity.MONTH.bucket(datetime(2026, month, 9, tzinfo=BERLIN), BERLIN)
        assert days_between(whole.start, whole.end, BERLIN) == days
    leap = Granularity.MONTH.bucket(datetime(2028, 2, 9, tzinfo=UTC), ZoneInfo("UTC"))
    assert days_between(leap.start, leap.end, ZoneInfo("UTC")) == 29


def test_the_short_day_and_the_long_day_cost_as_much_as_any():
    for month, day in ((3, 29), (10, 25)):
        whole = Granularity.MONTH.bucket(datetime(2026, month, 9, tzinfo=BERLIN), BERLIN)
        odd = Granularity.DAY.bucket(datetime(2026, month, day, 12, tzinfo=BERLIN), BERLIN)
        assert odd.end - odd.start in {timedelta(hours=23), timedelta(hours=25)}
        assert prorated(Decimal(31), Share.of(odd, whole, BERLIN)) == 1


def test_a_day_belongs_to_the_part_that_holds_its_first_instant():
    zone = ZoneInfo("UTC")
    whole = Window(datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC))
    noon = datetime(2026, 2, 10, 12, tzinfo=UTC)
    before, after = Share.of(Window(whole.start, noon), whole, zone), Share.of(Window(noon, whole.end), whole, zone)
    assert (before, after) == (Share(0, 10, 28), Share(10, 28, 28))


ZONES = [ZoneInfo(n) for n in ("UTC", "Europe/Berlin", "America/Santiago", "Pacific/Apia", "Asia/Kolkata")]


@laws
@given(
    fee=st.decimals(min_value=0, max_value=100_000, places=12),
    zone=st.sampled_from(ZONES),
    period=st.sampled_from([Granularity.MONTH, Granularity.QUARTER, Granularity.YEAR]),
    at=st.integers(1_293_840_000, 1_956_528_000).map(lambda at: datetime.fromtimestamp(at, UTC)),
    cuts=st.lists(st.integers(1, 999), max_size=6, unique=True),
)
def test_the_parts_of_a_period_pay_its_fee_exactly(
    fee: Decimal, zone: ZoneInfo, period: Granularity, at: datetime, cuts: list[int]
):
    whole = period.bucket(at, zone)
    edges = [whole.start, *(whole.start + (whole.end - whole.start) * cut / 1000 for cut in sorted(cuts)), whole.end]
    shares = [Share.of(Window(a, b), whole, zone) for a, b in pairwise(edges)]
    assert sum((prorated(fee, share) for share in shares), Decimal(0)) == fee
    assert sum(share.days for share in shares) == shares[0].total


# Lines


TERMS = TierTerms(
    period_fee=Decimal(310),
    meters=(Meter("operations", Decimal(3100), BANDS),),
    markup_percent=Decimal(25),
    seats=Seats(Decimal(31), included=2),
    discount_percent=Decimal(10),
)
USED = Usage({"operations": Decimal(4100)}, cost=Decimal("80.000000000004"), active_users=5)


def test_a_whole_month_by_hand():
    assert charges_of(TERMS, USED) == [
        Line(LineKind.PERIOD_FEE, Decimal(310)),
        Line(LineKind.INCLUDED, Decimal(0), "operations", Decimal(3100)),
        Line(LineKind.OVERAGE, Decimal(55), "operations", Decimal(1000)),
        Line(LineKind.MARKUP, Decimal("100.000000000005"), "effective_cost", USED.cost),
        Line(LineKind.SEATS, Decimal(93), "active_users", Decimal(3)),
        Line(LineKind.DISCOUNT, Decimal("-55.8")),
    ]


def test_ten_of_thirty_one_days_by_hand():
    kinds = {line.kind: line for line in charges_of(TERMS, USED, Share(0, 10, 31))}
    assert kinds[LineKind.PERIOD_FEE].amount == 100
    assert kinds[LineKind.INCLUDED].quantity == 1000
    # 3,100 beyond: bands end at 1000/31 and 10000/31 units
    beyond = Fraction(1000, 31) / 10 + Fraction(9000, 31) / 20 + (3100 - Fraction(10000, 31)) / 50
    assert abs(Fraction(kinds[LineKind.OVERAGE].amount) - beyond) < Fraction(1, 10**12)
    assert kinds[LineKind.SEATS].amount == 30


def test_a_contract_in_which_no_day_begins_owes_nothing_but_markup():
    lines = charges_of(TERMS, USED, Share(10, 10, 31))
    assert {line.kind: line.amount for line in lines if line.amount} == {
        LineKind.MARKUP: Decimal("100.000000000005"),
        LineKind.DISCOUNT: Decimal(-10),
    }


def test_the_minimum_is_made_up_after_the_discount():
    terms = TierTerms(period_fee=Decimal(50), discount_percent=Decimal(20), minimum_fee=Decimal(45))
    assert [(line.kind, line.amount) for line in charges_of(terms, Usage())] == [
        (LineKind.PERIOD_FEE, 50),
        (LineKind.DISCOUNT, -10),
        (LineKind.MINIMUM, 5),
    ]
    assert total_of(charges_of(terms, Usage(), Share(0, 10, 30))) == 15


def test_a_year_includes_what_it_says_whatever_month_uses_it():
    terms = TierTerms(
        period=BillingPeriod.YEAR,
        period_fee=Decimal(365),
        meters=(Meter("operations", Decimal(1200), (Band(None, Decimal(2)),)),),
        minimum_fee=Decimal(730),
    )
    year, january = Share(0, 365, 365), Usage({"operations": Decimal(1000)})
    first = charges_of(terms, january, Share(0, 31, 365), year)
    assert [(line.kind, line.amount, line.quantity) for line in first] == [
        (LineKind.PERIOD_FEE, 31, None),
        (LineKind.INCLUDED, 0, 1000),
        (LineKind.MINIMUM, 31, None),
    ]
    second = charges_of(
        terms, Usage({"operations": Decimal(223)}), Share(31, 59, 365), year, SoFar().after(january, first)
    )
    assert [(line.kind, line.amount, line.quantity) for line in second] == [
        (LineKind.PERIOD_FEE, 28, None),
        (LineKind.INCLUDED, 0, 200),
        (LineKind.OVERAGE, 46, 23),
        (LineKind.MINIMUM, -18, None),
    ]


def test_hours_in_which_no_day_begins_are_charged_like_any_others_of_their_period():
    lines = {line.kind: line for line in charges_of(TERMS, USED, Share(31, 31, 31), Share(0, 31, 31))}
    assert (lines[LineKind.OVERAGE].quantity, lines[LineKind.OVERAGE].amount) == (1000, 55)
    assert LineKind.PERIOD_FEE not in lines


def test_fixed_seats_are_charged_whoever_comes():
    terms = TierTerms(seats=Seats(Decimal(3), SeatSource.FIXED, included=1, count=5))
    assert total_of(charges_of(terms, Usage(active_users=90))) == 12


@laws
@given(parts=st.lists(st.decimals(min_value=-1000, max_value=1000, places=12), min_size=1, max_size=12))
def test_cents_add_up_to_the_cents_of_the_sum(parts: list[Decimal]):
    cents = to_cents(parts)
    assert sum(cents) == sum(parts).quantize(Decimal("0.01"))
    assert all(abs(cent - part) < Decimal("0.01") for cent, part in zip(cents, parts, strict=True))
