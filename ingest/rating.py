"""From a checked event to its stored row: buckets made disjoint, both costs worked out, the effective one chosen."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum, unique
from operator import attrgetter
from typing import Final, NamedTuple, Protocol

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
_NOT_RATED = Rating(None, None, 0, "", "")
"""A charge costs what it says, whatever the price book knows about its unit."""


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


class Priceable(Protocol):
    """What decides the price of an event beside its usage: said by a client, or stored."""

    @property
    def tenant_id(self) -> str: ...  # noqa: D102
    @property
    def provider_name(self) -> str: ...  # noqa: D102
    @property
    def request_model(self) -> str: ...  # noqa: D102
    @property
    def response_model(self) -> str: ...  # noqa: D102
    @property
    def start_time(self) -> datetime: ...  # noqa: D102
    @property
    def workload(self) -> str: ...  # noqa: D102
    @property
    def service_tier(self) -> str: ...  # noqa: D102
    @property
    def unit(self) -> str: ...  # noqa: D102


class Rater:
    """Rates events with one price book and the deployment's rule for the effective cost: `prefer_reported`."""

    def __init__(self, book: PriceBook, settings: Settings) -> None:
        self._book = book
        self._currency = settings.currency
        self.prefer_reported = settings.prefer_reported_cost

    def row(self, measured: Measured, *, event_id: str, source: str, received_at: datetime, version: int) -> EventRow:
        """The row to store for an event that was received at that instant."""
        is_charge = measured.event.kind == "charge"
        rating = _NOT_RATED if is_charge else self._rate(measured.event, measured.usage, measured.quantity)
        effective, cost_source = self._effective(measured.reported, rating.cost)
        row = _row(
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
        return _charged(row, measured.event) if is_charge else row

    def rerated(self, row: EventRow) -> EventRow:
        """The stored row with the money that today's prices and rules give it; its version, as all else, stays.

        Rows in another currency, and those that are no usage, come back as they are.
        """
        if row.kind != "usage" or row.billing_currency != self._currency:
            return row
        rating = self._rate(row, _stored_usage(row), _stored_quantity(row))
        effective, cost_source = self._effective(row.reported_cost, rating.cost)
        return row._replace(
            effective_cost=effective,
            rated_cost=rating.cost,
            list_cost=rating.list_cost,
            cache_savings=rating.cache_savings,
            cost_source=cost_source.value,
            unpriced_reason=rating.reason if effective is None else "",
            price_id=rating.price_id,
        )

    def _effective(self, reported: Pico | None, rated: Pico | None) -> tuple[Pico | None, CostSource]:
        if reported is not None and (self.prefer_reported or rated is None):
            return reported, CostSource.REPORTED
        return (None, CostSource.UNPRICED) if rated is None else (rated, CostSource.RATED)

    def _rate(self, event: Priceable, usage: TokenUsage | None, quantity: Decimal | None) -> Rating:
        """The sum of what its tokens and its quantity cost; unknown when either is. No tokens beside a quantity are
        no tokens to price: the row does not tell them from unknown ones.
        """
        parts = []
        if usage is not None and (quantity is None or any(usage)):
            parts.append(self._rate_tokens(event, usage))
        if quantity is not None:
            parts.append(self._rate_quantity(event, quantity))
        if not parts:
            return _NO_USAGE
        return parts[0] if len(parts) == 1 else _add(*parts)

    def _rate_tokens(self, event: Priceable, usage: TokenUsage) -> Rating:
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

    def _rate_quantity(self, event: Priceable, quantity: Decimal) -> Rating:
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


def _stored_usage(row: EventRow) -> TokenUsage | None:
    """The tokens behind a row. Of none at all it is known whether they were counted or unknown by how they were rated:
    a row that was neither priced nor refused a price counted none.
    """
    usage = TokenUsage(*_tokens_of(row))
    was_counted = row.rated_cost is not None or row.unpriced_reason not in {"", _NO_USAGE.reason}
    return usage if any(usage) or (was_counted and not row.unit) else None


def _stored_quantity(row: EventRow) -> Decimal | None:
    return Decimal(row.quantity).scaleb(-9) if row.unit else None


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
        (*identity, *_told_of(event), *timing, *tokens, *quantity, *costs, *provenance, event.tags, *_NO_CHARGE)
    )


def _charged(row: EventRow, event: EventPayload) -> EventRow:
    return row._replace(charge_category=event.charge_category, charge_description=event.charge_description)


_TOLD: Final = EventRow._fields[EventRow._fields.index("team") : EventRow._fields.index("duration_ms")]
_told_of: Final = attrgetter(*_TOLD)
"""What a row repeats of the event word for word, in the row's order."""

_NO_CHARGE: Final = tuple(EventRow._field_defaults.values())
"""The end of a row that is neither deleted nor a charge."""

_TOKENS: Final = EventRow._fields[
    EventRow._fields.index("uncached_input_tokens") : EventRow._fields.index("audio_output_tokens") + 1
]
_tokens_of: Final = attrgetter(*_TOKENS)
"""A row's tokens, in the order of TokenUsage."""
