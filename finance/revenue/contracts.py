"""Who paid by which terms when: a window cut into stretches in which one tenant had one tier's terms in one period."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from zoneinfo import ZoneInfo

from core.time import Granularity, Window
from finance.revenue.proration import Share
from tenants.models import Tier, TierAssignment, TierVersion
from tenants.terms import Band, Meter, TierOverrides, TierTerms, decode_overrides, decode_terms

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of one billing period in which a tier had these terms. The same for every tenant that has the tier."""

    window: Window
    period: Window
    terms: TierTerms
    span: Window
    """All of the period in which these terms hold."""


@dataclass(frozen=True, slots=True)
class Definition:
    """A tier's terms over time: `versions` in order, each from its instant on."""

    key: str
    zone: ZoneInfo
    versions: tuple[tuple[datetime, TierTerms], ...]

    @classmethod
    def of(cls, tier: Tier, versions: Iterable[TierVersion]) -> Definition:
        """The tier as stored."""
        own = sorted((v.effective_from, v.terms) for v in versions if v.tier == tier.key)
        return cls(tier.key, ZoneInfo(tier.timezone), tuple((start, decode_terms(terms)) for start, terms in own))

    def with_terms(self, terms: TierTerms) -> Definition:
        """The tier as if it had always had these terms."""
        return replace(self, versions=((_BEGINNING, terms),))

    def metering(self, measure: str) -> Definition:
        """The tier with lines for what of the measure is beyond what it includes, if only at no price."""
        return replace(self, versions=tuple((start, _metering(terms, measure)) for start, terms in self.versions))

    def segments(self, buckets: Sequence[Window]) -> list[Segment]:
        """The buckets, cut where the terms change and where a billing period begins; without the time before terms."""
        return list(self._segments(buckets))

    def lead(self, instant: datetime) -> list[Segment]:
        """What of the billing period comes before the instant on the same terms, month by month as statements are."""
        place = bisect_right([start for start, _ in self.versions], instant)
        if not place:
            return []
        start, terms = self.versions[place - 1]
        start = max(start, terms.period.granularity.bucket(instant, self.zone).start)
        if start >= instant:
            return []
        months = Granularity.MONTH.buckets(Window(start, instant), self.zone)
        return self.segments([Window(max(start, month.start), min(instant, month.end)) for month in months])

    def _segments(self, buckets: Sequence[Window]) -> Iterator[Segment]:
        for bucket in buckets:
            starts = [start for start, _ in self.versions]
            edges = [bucket.start, *(start for start in starts if bucket.start < start < bucket.end), bucket.end]
            for start, end in pairwise(edges):
                place = bisect_right(starts, start)
                if place:
                    yield from self._periods(Window(start, end), place - 1)

    def _periods(self, part: Window, place: int) -> Iterator[Segment]:
        start, terms = self.versions[place]
        end = self.versions[place + 1][0] if place + 1 < len(self.versions) else None
        for period in terms.period.granularity.buckets(part, self.zone):
            span = Window(max(start, period.start), period.end if end is None else min(end, period.end))
            yield Segment(Window(max(part.start, period.start), min(part.end, period.end)), period, terms, span)


def _metering(terms: TierTerms, measure: str) -> TierTerms:
    own = next((meter for meter in terms.meters if meter.measure == measure), Meter(measure))
    free = own if own.bands else replace(own, bands=(Band(None, Decimal(0)),))
    return terms.with_overrides(TierOverrides(meters=(free,)))


@dataclass(frozen=True, slots=True)
class Contract:
    """One assignment: its tier's terms as overridden for this tenant."""

    id: str
    tenant_id: str
    tier: str
    start: datetime
    end: datetime | None
    overrides: TierOverrides

    @classmethod
    def of(cls, row: TierAssignment) -> Contract:
        """The assignment as stored."""
        return cls(str(row.id), row.tenant_id, row.tier, row.start, row.end, decode_overrides(row.overrides))


@dataclass(frozen=True, slots=True)
class Stretch:
    """What of a segment a contract covers."""

    contract: Contract
    segment: Segment
    window: Window
    zone: ZoneInfo

    @property
    def terms(self) -> TierTerms:
        """What this tenant's contract says."""
        return self.segment.terms.with_overrides(self.contract.overrides)

    @property
    def share(self) -> Share:
        """Its days of the billing period."""
        return Share.of(self.window, self.segment.period, self.zone)

    @property
    def held(self) -> Share:
        """The days of the billing period in which the contract holds on the same terms, whatever was asked for."""
        held = overlap(self.segment.span, self.contract.start, self.contract.end)
        return Share.of(held or self.window, self.segment.period, self.zone)


def overlap(window: Window, start: datetime, end: datetime | None) -> Window | None:
    """What of the window lies from `start` until `end`."""
    first, last = max(window.start, start), window.end if end is None else min(window.end, end)
    return Window(first, last) if first < last else None


def stretches(
    contracts: Iterable[Contract], definitions: Mapping[str, Definition], buckets: Sequence[Window]
) -> list[Stretch]:
    """The stretches of these contracts in the buckets, by contract and then time."""
    segments = {key: definition.segments(buckets) for key, definition in definitions.items()}
    return list(_held(contracts, definitions, segments))


def leads(contracts: Iterable[Contract], definitions: Mapping[str, Definition], instant: datetime) -> list[Stretch]:
    """The stretches of the same billing periods, contracts and terms before the instant."""
    segments = {key: definition.lead(instant) for key, definition in definitions.items()}
    return list(_held(contracts, definitions, segments))


def _held(
    contracts: Iterable[Contract], definitions: Mapping[str, Definition], segments: Mapping[str, Sequence[Segment]]
) -> Iterator[Stretch]:
    return (
        Stretch(contract, segment, window, definitions[contract.tier].zone)
        for contract in contracts
        for segment in segments.get(contract.tier, ())
        if (window := overlap(segment.window, contract.start, contract.end)) is not None
    )
