"""Public list prices, from the `genai-prices` package: which model a name means, and its rates at an instant.

Differences from that package, all on the side of not guessing: a model whose dated prices have not begun is unpriced
(the package takes the first price), and providers are matched by exact name or a known alias (the package takes any
name that contains another). Where the list has no price of its own for the asked context (batch, or a service tier),
the standard price applies and the price id ends in `:standard`. The price data, 0.3 s to load, is read at first use.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from fractions import Fraction
from functools import cache, lru_cache
from importlib.metadata import version
from typing import Final

from genai_prices.data_units import unit_data
from genai_prices.types import (
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    PriceVariant,
    Provider,
    TieredPrices,
    TimeOfDateConstraint,
)

from pricing.cards import Rate, pico_per_unit
from pricing.names import canonical_provider, model_spellings, split_provider

CURRENCY: Final = "USD"
"""The currency of every public price."""

_OTEL_UNITS: Final = {
    "cache_read_tokens": "cache_read_input_tokens",
    "cache_write_tokens": "cache_creation_input_tokens",
    "cache_write_5m_tokens": "cache_creation_5m_input_tokens",
    "cache_write_1h_tokens": "cache_creation_1h_input_tokens",
    "input_audio_tokens": "audio_input_tokens",
    "output_audio_tokens": "audio_output_tokens",
    "output_reasoning_tokens": "reasoning_output_tokens",
}
"""The package's unit to ours, where the names differ."""

_UNITS: Final = {
    str(unit.get("price_key", name)): (_OTEL_UNITS.get(name, name), int(unit["per"]))
    for name, unit in unit_data.items()
}
"""Price key to (unit, units per price)."""

_STANDARD_TIERS: Final = frozenset({"auto", "default", "on_demand", "standard", "standard_only"})
_WHISPER_MINIMUM: Final = {"audio_seconds": 10, "input_audio_seconds": 10}
_MINIMA: Final[Mapping[tuple[str, str], Mapping[str, int]]] = {
    ("groq", "whisper-large-v3"): _WHISPER_MINIMUM,
    ("groq", "whisper-large-v3-turbo"): _WHISPER_MINIMUM,
}
"""Least quantity billed per request, by listed model and unit; the package has these in code."""


@dataclass(frozen=True, slots=True)
class Context:
    """What about a call, besides model and time, can change its list price: one key and value of the package."""

    key: str
    value: str

    @property
    def is_standard(self) -> bool:
        """True when the provider itself calls it the normal case."""
        return self.key == "service_tier" and self.value in _STANDARD_TIERS


def context_of(workload: str, service_tier: str) -> Context | None:
    """Batch processing, whether the workload or the tier says so; else the service tier; None when neither is said."""
    tier = service_tier.strip().lower()
    if "batch" in {workload, tier}:
        return Context("processing", "batch")
    return Context("service_tier", tier) if tier else None


@dataclass(frozen=True, slots=True, eq=False)
class Listed:
    """A model of the public list as one provider sells it."""

    provider: Provider
    model: ModelInfo

    @property
    def provider_name(self) -> str:
        """The provider's canonical name."""
        return canonical_provider(self.provider.id)

    def breaks(self, day: date) -> list[datetime]:
        """The instants inside that UTC day at which the price may change; most models have none."""
        constraints = (
            price.constraint for price in (*_standard_prices(self.model), *(self.model.price_variants or ()))
        )
        times = {
            _utc_instant(day, edge)
            for constraint in constraints
            if isinstance(constraint, TimeOfDateConstraint)
            for edge in (constraint.start_time, constraint.end_time)
        }
        return sorted(times)

    def rates(self, at: datetime, context: Context | None) -> dict[str, Rate] | None:
        """The model's own rate of every listed unit at that instant (aware); None when no price is in force then."""
        standard = next(
            (price.prices for price in reversed(_standard_prices(self.model)) if _is_active(price, at)), None
        )
        if standard is None:
            return None
        variants = list(self._variants(at, context))
        prices = dict(_prices(standard))
        for variant in reversed(variants):
            prices.update(_prices(variant.prices))
        origin = self._origin(at) + _suffix(context, has_variant=bool(variants))
        minima = _MINIMA.get((self.provider.id, self.model.id), {})
        return {unit: _rate(origin, price, per, minima.get(unit, 0)) for (unit, per), price in prices.items()}

    def _variants(self, at: datetime, context: Context | None) -> Iterator[PriceVariant]:
        """A provider that resells another's model has none of its own: the package ignores the context there, too."""
        if context is None or not any(self.model is model for model in self.provider.models):
            return
        for variant in self.model.price_variants or ():
            if variant.when == {context.key: context.value} and _is_active(variant, at):
                yield variant

    def _origin(self, at: datetime) -> str:
        day = at.astimezone(UTC).date()
        begun = [edge for edge in self.breaks(day) if edge <= at]
        hour = "" if not self.breaks(day) else (begun[-1].strftime("T%H:%M") if begun else "T00:00")
        return f"public:{self.provider.id}/{self.model.id}@{day.isoformat()}{hour}"


@cache
def edition() -> str:
    """The release of the public list."""
    return version("genai-prices")


def warm() -> None:
    """Read the price data now, instead of at the first question."""
    _catalogue()


@cache
def _catalogue() -> Mapping[str, Provider]:
    """Providers by canonical name."""
    from genai_prices.data import providers  # noqa: PLC0415 - 60 MB of literals, needed only once a price is asked for

    return {canonical_provider(provider.id): provider for provider in providers}


def is_known_provider(provider: str) -> bool:
    """True when the public list has that provider, under any known alias."""
    return canonical_provider(provider) in _catalogue()


@lru_cache(maxsize=8192)
def find(provider: str, model: str) -> Listed | None:
    """The listed model that the names mean, or None.

    Without a provider, the one named before the model's slash counts, else the only one whose models are called so.
    """
    if not model.strip():
        return None
    name = canonical_provider(provider)
    if not name:
        prefix, rest = split_provider(model)
        name, model = (prefix, rest) if prefix in _catalogue() else (_only_provider_of(model), model)
    seller = _catalogue().get(name)
    return _find_model(seller, name, model) if seller else None


def _find_model(seller: Provider, name: str, model: str) -> Listed | None:
    everyone = list(_catalogue().values())
    for spelling in model_spellings(name, model):
        if found := seller.find_model(spelling, all_providers=everyone):
            return Listed(seller, found)
    return None


def _only_provider_of(model: str) -> str:
    """The name of the one provider whose pattern the model fits; '' for none or several."""
    name = model_spellings("", model)[-1]
    fitting = [key for key, each in _catalogue().items() if each.model_match and each.model_match.is_match(name)]
    return fitting[0] if len(fitting) == 1 else ""


def _standard_prices(model: ModelInfo) -> list[ConditionalPrice]:
    return [ConditionalPrice(prices=model.prices)] if isinstance(model.prices, ModelPrice) else model.prices


def _is_active(price: ConditionalPrice | PriceVariant, at: datetime) -> bool:
    return price.constraint is None or price.constraint.active(at)


def _utc_instant(day: date, edge: time) -> datetime:
    of_day = datetime.combine(day, edge, edge.tzinfo or UTC).astimezone(UTC).time()
    return datetime.combine(day, of_day, UTC)


def _prices(prices: ModelPrice) -> Iterator[tuple[tuple[str, int], Decimal | TieredPrices]]:
    for key, price in vars(prices).items():
        if price is not None and key in _UNITS:
            yield _UNITS[key], price


def _rate(origin: str, price: Decimal | TieredPrices, per: int, minimum: int) -> Rate:
    if isinstance(price, Decimal):
        return Rate(origin, pico_per_unit(price, per), minimum=minimum)
    tiers: tuple[tuple[int, Fraction], ...] = tuple(
        (tier.start, pico_per_unit(tier.price, per)) for tier in price.tiers
    )
    return Rate(origin, pico_per_unit(price.base, per), tiers, minimum)


def _suffix(context: Context | None, *, has_variant: bool) -> str:
    if context is None or context.is_standard:
        return ""
    return f";{context.key}={context.value}" + ("" if has_variant else ":standard")
