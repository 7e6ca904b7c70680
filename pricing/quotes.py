"""Quotes: which rates apply to a call, negotiated ones laid over the public list; pure, from values to values."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Generic, NamedTuple, TypeVar

from pricing import public
from pricing.cards import CARD_UNITS, Rate, RateCard, UnitRate, compile_card, compile_unit_rate
from pricing.names import canonical_model, canonical_provider
from pricing.negotiated import Layer, Negotiated, changes_within_day, rates_in_force

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Quote:
    """The rates of a call. `card` is what is paid and `list_card` the public price alone; None is unpriced.

    `reason` says why `card` is None: `unknown_provider`, `unknown_model`, `no_price_at_that_time`,
    `no_rate_for:tokens`, or `no_public_price_in:<currency>`.
    """

    card: RateCard | None
    list_card: RateCard | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class UnitQuote:
    """The rate of a unit that is no token, as Quote has cards. The only reason is `no_rate_for:<unit>`."""

    card: UnitRate | None
    list_card: UnitRate | None
    reason: str = ""


class Call(NamedTuple):
    """What decides a price besides time, as the client said it. For a unit quote, `unit` names the unit."""

    provider: str
    request_model: str
    response_model: str
    tenant_id: str
    workload: str = "interactive"
    service_tier: str = ""
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Day(Generic[T]):
    """What holds at each instant of one UTC day: `values[i]` from `starts[i]` until the next start."""

    starts: Sequence[datetime]
    values: Sequence[T]

    def at(self, instant: datetime) -> T:
        """The value that holds at an instant of this day."""
        return self.values[bisect_right(self.starts, instant) - 1]


@dataclass(frozen=True, slots=True)
class Terms:
    """Everything known about a call's price, whatever the time of day."""

    listed: public.Listed | None
    reason: str
    context: public.Context | None
    layers: Sequence[Layer]
    currency: str

    @classmethod
    def of(cls, call: Call, negotiated: Negotiated, currency: str) -> Terms:
        """The terms of that call: its listed model (the response's, else the request's) and the agreements on it."""
        answered = public.find(call.provider, call.response_model)
        asked = public.find(call.provider, call.request_model)
        listed = answered or asked
        provider = canonical_provider(call.provider) or (listed.provider_name if listed else "")
        layers = negotiated.applying(call.tenant_id, provider, _names(provider, call, answered, asked))
        reason = "" if listed else _why_unlisted(call)
        if currency != public.CURRENCY:
            listed, reason = None, f"no_public_price_in:{currency}"
        return cls(listed, reason, public.context_of(call.workload, call.service_tier), layers, currency)

    def list_rates(self, at: datetime) -> tuple[Mapping[str, Rate], str]:
        """The public rates by unit at that instant; without any, the reason."""
        if self.listed is None:
            return {}, self.reason
        rates = self.listed.rates(at, self.context)
        return ({}, "no_price_at_that_time") if rates is None else (rates, "")

    def day(self, day: date, quote: Callable[[Terms, datetime], T]) -> Day[T]:
        """The quotes of that UTC day, one for each stretch between two changes of any price."""
        midnight = datetime.combine(day, time(), UTC)
        changes = changes_within_day(self.layers, midnight)
        if self.listed:
            changes.update(self.listed.breaks(day))
        starts = sorted({midnight, *changes})
        return Day(starts, [quote(self, start) for start in starts])


def quote_card(terms: Terms, at: datetime) -> Quote:
    """The cards for a call at `at`: per unit the most specific negotiated rate, else the public one."""
    list_rates, reason = terms.list_rates(at)
    list_card = _card(list_rates, terms.currency)
    agreed = rates_in_force(terms.layers, at)
    card = _card({**list_rates, **agreed}, terms.currency) if CARD_UNITS & agreed.keys() else list_card
    return Quote(card, list_card, "" if card else reason or "no_rate_for:tokens")


def unit_quoter(unit: str) -> Callable[[Terms, datetime], UnitQuote]:
    """How to quote that unit: the most specific negotiated rate, else the public one."""

    def quote_unit(terms: Terms, at: datetime) -> UnitQuote:
        list_rates, _ = terms.list_rates(at)
        listed = list_rates.get(unit)
        list_rate = compile_unit_rate(listed, terms.currency) if listed and not listed.tiers else None
        agreed = rates_in_force(terms.layers, at).get(unit)
        rate = compile_unit_rate(agreed, terms.currency) if agreed else list_rate
        return UnitQuote(rate, list_rate, "" if rate else f"no_rate_for:{unit}")

    return quote_unit


def _card(rates: Mapping[str, Rate], currency: str) -> RateCard | None:
    return compile_card(rates, currency) if CARD_UNITS & rates.keys() else None


def _names(provider: str, call: Call, answered: public.Listed | None, asked: public.Listed | None) -> Sequence[str]:
    """The canonical names under which a price may have been agreed, the best first.

    The requested name counts unless the public list knows it as another model than the one that answered.
    """
    listed = answered or asked
    same = answered is None or asked is None or asked.model is answered.model
    names = (call.response_model, call.request_model if same else "", listed.model.id if listed else "")
    return [canonical_model(provider, name) for name in names if name]


def _why_unlisted(call: Call) -> str:
    if not (call.response_model.strip() or call.request_model.strip()):
        return "unknown_model"
    return "unknown_model" if public.is_known_provider(call.provider) else "unknown_provider"
