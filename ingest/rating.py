"""From a checked event to its stored row: buckets made disjoint, both costs worked out, the effective one chosen."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum, unique
from operator import attrgetter
from typing import Final, NamedTuple

from attribution.event import EventRow, Nano, Pico
from core.settings import Settings
from ingest.payloads import EventPayload
from pricing.book import PriceBook
from pricing.cards import RateCard, rate, rate_quantity
from pricing.usage import TokenUsage, decompose

_NO_TOKENS = TokenUsage()


@unique
class CostSource(Enum):
    """Where an event's effective cost came from."""

    REPORTED = "reported"
    RATED = "rated"
    UNPRICED = "unpriced"


class Rating(NamedTuple):
    """What the price book says about one event, in whole pico units; None is unknown, and `reason` says why."""

    cost: Pico | None
    list_cost: Pico | None
    cache_savings: Pico
    price_id: str
    reason: str


_NO_USAGE = Rating(None, None, 0, "", "no_usage")


@dataclass(frozen=True, slots=True)
class Measured:
    """An event with its numbers read: disjoint tokens, quantity, and reported cost in pico units; None is unknown."""

    event: EventPayload
    usage: TokenUsage | None
    quantity: Decimal | None
    reported: Pico | None


def token_usage(event: EventPayload) -> TokenUsage | None:
    """The event's tokens in disjoint buckets. Raises OverlappingTokens."""
    return decompose(
        input_tokens=event.input_tokens,
        cache_read_input_tokens=event.cache_read_input_tokens,
        cache_creation_input_tokens=event.cache_creation_input_tokens,
        cache_creation_1h_input_tokens=event.cache_creation_1h_input_tokens,
        audio_input_tokens=event.audio_input_tokens,
        output_tokens=event.output_tokens,
        reasoning_output_tokens=event.reasoning_output_tokens,
        audio_output_tokens=event.audio_output_tokens,
    )


class Rater:
    """Rates events with one price book and the deployment's rule for the effective cost."""

    def __init__(self, book: PriceBook, settings: Settings) -> None:
        self._book = book
        self._currency = settings.currency
        self._prefer_reported = settings.prefer_reported_cost

    def row(self, measured: Measured, *, event_id: str, source: str, received_at: datetime, version: int) -> EventRow:
        """The row to store for an event that was received at that instant."""
        rating = self._rate(measured)
        effective, cost_source = self._effective(measured.reported, rating.cost)
        return _row(
            measured,
            rating,
            event_id=event_id,
            source=source,
            received_at=received_at,
            version=version,
            effective=effective,
            cost_source=cost_source,
            currency=self._currency,
        )

    def _effective(self, reported: Pico | None, rated: Pico | None) -> tuple[Pico | None, CostSource]:
        choices = [(reported, CostSource.REPORTED), (rated, CostSource.RATED)]
        if not self._prefer_reported:
            choices.reverse()
        known = (choice for choice in choices if choice[0] is not None)
        return next(known, (None, CostSource.UNPRICED))

    def _rate(self, measured: Measured) -> Rating:
        """The sum of what its tokens and its quantity cost; unknown when either is."""
        parts = []
        if measured.usage is not None:
            parts.append(self._rate_tokens(measured.event, measured.usage))
        if measured.quantity is not None:
            parts.append(self._rate_quantity(measured.event, measured.quantity))
        if not parts:
            return _NO_USAGE
        return parts[0] if len(parts) == 1 else _add(*parts)

    def _rate_tokens(self, event: EventPayload, usage: TokenUsage) -> Rating:
        quote = self._book.quote(
            provider=event.provider_name,
            request_model=event.request_model,
            response_model=event.response_model,
            at=event.start_time,
            tenant_id=event.tenant_id,
            workload=event.workload,
            service_tier=event.service_tier,
        )
        if quote.card is None:
            return Rating(None, _list_cost(quote.list_card, usage), 0, "", quote.reason)
        cost, savings, reason = rate(quote.card, usage)
        listed = cost if quote.list_card is quote.card else _list_cost(quote.list_card, usage)
        return Rating(cost, listed, savings or 0, quote.card.price_id if cost is not None else "", reason)

    def _rate_quantity(self, event: EventPayload, quantity: Decimal) -> Rating:
        quote = self._book.quote_unit(
            provider=event.provider_name,
            unit=event.unit,
            at=event.start_time,
            tenant_id=event.tenant_id,
            model=event.response_model or event.request_model,
        )
        listed = rate_quantity(quote.list_card, quantity).cost_pico if quote.list_card else None
        if quote.card is None:
            return Rating(None, listed, 0, "", quote.reason)
        cost, _, reason = rate_quantity(quote.card, quantity)
        return Rating(cost, listed, 0, quote.card.price_id if cost is not None else "", reason)


def _list_cost(card: RateCard | None, usage: TokenUsage) -> Pico | None:
    return rate(card, usage).cost_pico if card else None


def _add(one: Rating, other: Rating) -> Rating:
    return Rating(
        None if one.cost is None or other.cost is None else one.cost + other.cost,
        None if one.list_cost is None or other.list_cost is None else one.list_cost + other.list_cost,
        one.cache_savings + other.cache_savings,
        "+".join(part for part in (one.price_id, other.price_id) if part),
        one.reason or other.reason,
    )


def _nano(quantity: Decimal | None) -> Nano:
    return 0 if quantity is None else int(quantity.scaleb(9))


def _milliseconds(value: float | None) -> int | None:
    return None if value is None else round(value)


def _row(
    measured: Measured,
    rating: Rating,
    *,
    event_id: str,
    source: str,
    received_at: datetime,
    version: int,
    effective: Pico | None,
    cost_source: CostSource,
    currency: str,
) -> EventRow:
    event = measured.event
    identity = (event.tenant_id, event_id, version, event.start_time, received_at, event.kind, source)
    timing = (_milliseconds(event.duration_ms), _milliseconds(event.time_to_first_token_ms))
    quantity = (_nano(measured.quantity), event.unit)
    costs = (effective, measured.reported, rating.cost, rating.list_cost, rating.cache_savings)
    provenance = (currency, cost_source.value, rating.reason if effective is None else "", rating.price_id)
    tokens = measured.usage or _NO_TOKENS
    return EventRow._make(
        (*identity, *_told_of(event), *timing, *tokens, *quantity, *costs, *provenance, event.tags, False)
    )


_TOLD: Final = EventRow._fields[EventRow._fields.index("team") : EventRow._fields.index("duration_ms")]
_told_of: Final = attrgetter(*_TOLD)
"""What a row repeats of the event word for word, in the row's order."""
