"""However time is cut, by tiers, versions, invoices or the question, nothing is counted twice and nothing is lost."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from core.time import Granularity, Window
from finance.revenue.actual import ActualRevenue
from finance.revenue.amounts import Revenue
from finance.revenue.contracts import Contract, Definition, leads, stretches
from finance.revenue.earnings import Charged, charge_in_turn, earnings, uncovered
from finance.revenue.lines import Usage, charges_of, total_of
from finance.revenue.metering import Metering
from tenants.terms import NO_OVERRIDES, Band, BandMode, BillingPeriod, Meter, TierTerms

laws = settings(max_examples=40, deadline=None)
START, END = datetime(2026, 2, 20, tzinfo=UTC), datetime(2026, 11, 12, tzinfo=UTC)
instants = st.integers(0, int((END - START).total_seconds())).map(lambda s: START + timedelta(seconds=s))
zones = st.sampled_from([ZoneInfo(name) for name in ("UTC", "Europe/Berlin", "America/Santiago", "Asia/Kathmandu")])
amounts = st.decimals(0, 10_000, places=5)


@st.composite
def definitions(draw: st.DrawFn, key: str) -> Definition:
    starts = sorted({START - timedelta(days=400), *draw(st.lists(instants, max_size=2))})
    terms = [TierTerms(period=draw(st.sampled_from(BillingPeriod)), period_fee=draw(amounts)) for _ in starts]
    return Definition(key, draw(zones), tuple(zip(starts, terms, strict=True)))


@st.composite
def contracts(draw: st.DrawFn) -> list[Contract]:
    edges = sorted(draw(st.lists(instants, min_size=2, max_size=5, unique=True)))
    spans = [(a, b) for a, b in pairwise(edges) if draw(st.booleans())]
    if draw(st.booleans()):
        spans.append((edges[-1], None))
    return [
        Contract(str(n), "acme", draw(st.sampled_from(["free", "pro"])), a, b, NO_OVERRIDES)
        for n, (a, b) in enumerate(spans)
    ]


@st.composite
def invoices(draw: st.DrawFn) -> list[ActualRevenue]:
    items = []
    for _ in range(draw(st.integers(0, 3))):
        first = date(2026, 3, 1) + timedelta(days=draw(st.integers(0, 200)))
        items.append(
            ActualRevenue(
                source="s",
                client_id="c",
                tenant_id="acme",
                start=first,
                end=first + timedelta(days=draw(st.integers(1, 45))),
                timezone=draw(zones).key,
                amount=draw(st.decimals(-100, 1000, places=12)),
                currency="USD",
                created_at=START,
            )
        )
    return items


@st.composite
def cut(draw: st.DrawFn) -> list[Window]:
    edges = sorted({START, END, *draw(st.lists(instants, max_size=4))})
    return [Window(a, b) for a, b in pairwise(edges)]


TIERS = st.tuples(definitions("free"), definitions("pro")).map(lambda pair: {each.key: each for each in pair})


@laws
@given(held=contracts(), tiers=TIERS, buckets=cut())
def test_stretches_cover_exactly_the_time_that_is_held(
    held: list[Contract], tiers: dict[str, Definition], buckets: list[Window]
):
    parts = sorted(stretches(held, tiers, buckets), key=lambda each: each.window.start)
    assert all(a.window.end <= b.window.start for a, b in pairwise(parts))
    covered = sum((each.window.end - each.window.start for each in parts), timedelta())
    assert covered == sum(((c.end or END) - c.start for c in held), timedelta())
    for each in parts:
        assert each.segment.period.start <= each.window.start < each.window.end <= each.segment.period.end
        assert each.segment.period == each.terms.period.granularity.bucket(each.window.start, each.zone)


@laws
@given(held=contracts(), tiers=TIERS, buckets=cut())
def test_fees_are_the_same_however_the_question_cuts_time(
    held: list[Contract], tiers: dict[str, Definition], buckets: list[Window]
):
    def fees(windows: list[Window]) -> Decimal:
        lines = (line for s in stretches(held, tiers, windows) for line in charges_of(s.terms, Usage(), s.share))
        return sum((line.amount for line in lines), Decimal(0))

    assert fees(buckets) == fees([Window(START, END)])


BANDS = (Band(Decimal(500), Decimal("0.03")), Band(None, Decimal("0.01")))


@st.composite
def metered(draw: st.DrawFn) -> dict[str, Definition]:
    meters = (Meter("operations", draw(st.integers(0, 4000).map(Decimal)), BANDS, draw(st.sampled_from(BandMode))),)
    terms = TierTerms(
        period=draw(st.sampled_from(BillingPeriod)), period_fee=draw(amounts), meters=meters, minimum_fee=draw(amounts)
    )
    versions = ((START - timedelta(days=400), terms), (draw(instants), terms))
    return {key: Definition(key, draw(zones), versions) for key in ("free", "pro")}


@laws
@given(
    held=contracts(),
    tiers=metered(),
    used=st.lists(st.tuples(instants, st.integers(1, 3000)), max_size=12),
    buckets=cut(),
)
def test_overage_and_minimum_are_the_same_however_and_in_however_many_questions_time_is_cut(
    held: list[Contract], tiers: dict[str, Definition], used: list[tuple[datetime, int]], buckets: list[Window]
):
    def due(windows: list[Window]) -> Decimal:
        before = leads(held, tiers, windows[0].start)
        parts = [*before, *stretches(held, tiers, windows)]
        counted = {
            (part.contract.id, part.segment.window): Usage(
                {"operations": Decimal(sum(n for at, n in used if part.window.start <= at < part.window.end))}
            )
            for part in parts
        }
        charged = list(charge_in_turn(parts, Metering(counted)))[len(before) :]
        return sum((total_of(each.lines) for each in charged), Decimal(0))

    whole = due([Window(START, END)])
    assert due(buckets) == whole
    assert sum((due([bucket]) for bucket in buckets), Decimal(0)) == whole


@laws
@given(held=contracts(), paid=invoices(), buckets=cut())
def test_actual_revenue_is_split_over_tiers_and_buckets_without_loss(
    held: list[Contract], paid: list[ActualRevenue], buckets: list[Window]
):
    earned = earnings((), paid, held, buckets)
    assert sum((each.revenue.actual for each in earned), Decimal(0)) == sum((item.amount for item in paid), Decimal(0))


@laws
@given(held=contracts(), tiers=TIERS, paid=invoices(), buckets=cut())
def test_modelled_revenue_counts_for_the_days_that_no_invoice_covers(
    held: list[Contract], tiers: dict[str, Definition], paid: list[ActualRevenue], buckets: list[Window]
):
    for stretch in stretches(held, tiers, buckets):
        day, free = stretch.window.start, 0
        while day < stretch.window.end:
            bucket = Granularity.DAY.bucket(day, stretch.zone)
            begins = stretch.window.start <= bucket.start
            free += begins and not any(i.window.start <= bucket.start < i.window.end for i in paid)
            day = bucket.end
        if stretch.share.days:
            assert uncovered(stretch, paid) * stretch.share.days == free
        charged = Charged(stretch, tuple(charges_of(stretch.terms, Usage(), stretch.share)))
        found = sum((each.revenue for each in earnings([charged], [], held, buckets)), Revenue())
        assert found.total == sum((line.amount for line in charged.lines), Decimal(0))
