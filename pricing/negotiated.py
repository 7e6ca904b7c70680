"""Negotiated prices in memory: who pays what for a unit at an instant, the most specific agreement first."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pricing.cards import Rate, pico_per_unit
from pricing.models import NegotiatedPrice


@dataclass(slots=True)
class Track:
    """The successive rates of one key, in the order of their effective dates."""

    starts: list[datetime] = field(default_factory=list)
    rates: list[Rate] = field(default_factory=list)

    def at(self, instant: datetime) -> Rate | None:
        """The rate with the latest effective date not after `instant`."""
        position = bisect_right(self.starts, instant)
        return self.rates[position - 1] if position else None


Layer = Mapping[str, Track]
"""The tracks, by unit, agreed for one (tenant, provider, model)."""


@dataclass(frozen=True, slots=True)
class Negotiated:
    """All negotiated prices as of one reading of the table; never changed after it is built."""

    layers: Mapping[tuple[str, str, str], Layer]
    tenants: frozenset[str]
    """Tenants with a price of their own; all others are quoted alike."""

    @classmethod
    def of(cls, rows: Iterable[NegotiatedPrice]) -> Negotiated:
        """The index of those rows, in any order."""
        layers: defaultdict[tuple[str, str, str], defaultdict[str, Track]] = defaultdict(lambda: defaultdict(Track))
        for row in sorted(rows, key=lambda row: row.effective_from):
            track = layers[row.tenant_id, row.provider, row.model][row.unit]
            track.starts.append(row.effective_from)
            track.rates.append(Rate(f"negotiated:{row.id}", pico_per_unit(row.price, row.per)))
        return cls(layers, frozenset(tenant for tenant, _, _ in layers if tenant))

    def applying(self, tenant_id: str, provider: str, models: Sequence[str]) -> list[Layer]:
        """The layers that apply, the most specific first: tenant and model, tenant, model, provider.

        `models` are the names a model goes by, the best first; names are canonical.
        """
        keys = [
            (tenant, provider, model)
            for tenant in dict.fromkeys((tenant_id, ""))
            for model in dict.fromkeys((*models, ""))
        ]
        return [self.layers[key] for key in keys if key in self.layers]


def rates_in_force(layers: Iterable[Layer], at: datetime) -> dict[str, Rate]:
    """By unit, the rate of the first layer that has one in force at `at`."""
    chosen: dict[str, Rate] = {}
    for layer in layers:
        for unit, track in layer.items():
            if unit not in chosen and (rate := track.at(at)):
                chosen[unit] = rate
    return chosen


def changes_within_day(layers: Iterable[Layer], midnight: datetime) -> set[datetime]:
    """The effective dates inside the UTC day that begins at `midnight`, which itself is not one."""
    day = midnight.date()
    starts = (start for layer in layers for track in layer.values() for start in track.starts)
    return {start for start in starts if start > midnight and start.date() == day}
