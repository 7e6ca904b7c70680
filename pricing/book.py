"""The price book: what a call costs at an instant, negotiated prices first, remembered per day."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from threading import Lock
from typing import Final, TypeVar

from sqlalchemy import func
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlmodel import Session, col, select

from core.errors import Conflict, InvalidInput, Unavailable
from core.time import NaiveDatetime
from pricing import public
from pricing.models import NegotiatedPrice, draft_price
from pricing.names import canonical_model, canonical_provider
from pricing.negotiated import Negotiated
from pricing.quotes import Call, Day, Quote, Terms, UnitQuote, quote_card, unit_quoter
from tenants.audit import Action, record

_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_LOGGER: Final = logging.getLogger(__name__)

Q = TypeVar("Q", Quote, UnitQuote)
Key = tuple[int, Call]


class OtherCurrency(InvalidInput):
    """The book is kept in one currency, and the price is in another."""

    code = "OTHER_CURRENCY"

    def __init__(self, currency: str, expected: str) -> None:
        super().__init__(f"the price book is kept in {expected}: a price in {currency!r} cannot be entered")


class UnknownCurrency(InvalidInput):
    """The text is no currency code."""

    code = "UNKNOWN_CURRENCY"

    def __init__(self, currency: str) -> None:
        super().__init__(f"{currency!r} is not an ISO 4217 code such as 'USD'")


class PriceExists(Conflict):
    """A price of that key already begins at that instant; prices are never overwritten."""

    code = "PRICE_EXISTS"

    def __init__(self, row: NegotiatedPrice) -> None:
        whom = f" for tenant {row.tenant_id!r}" if row.tenant_id else ""
        super().__init__(
            f"{row.provider} {row.model or 'every model'} already has a price of {row.unit}{whom} from "
            f"{row.effective_from.isoformat()}; add one with another effective date"
        )


@dataclass(frozen=True, slots=True)
class _Shelf:
    """One reading of the table with the quotes made from it. A new reading is a new shelf, so none outlives it."""

    version: tuple[int, int | None]
    negotiated: Negotiated
    quotes: dict[Key, Day[Quote]] = field(default_factory=dict)
    unit_quotes: dict[Key, Day[UnitQuote]] = field(default_factory=dict)


class PriceBook:
    """Prices by provider, model, unit, tenant and time. Safe to share between threads.

    Negotiated prices are read again from the database at most every `max_age_seconds`; while it does not answer,
    those last read stay in force. At most `max_quotes` days of quotes of each kind are remembered.
    """

    def __init__(
        self,
        session_factory: Callable[[], AbstractContextManager[Session]],
        currency: str = "USD",
        *,
        max_age_seconds: float = 5.0,
        max_quotes: int = 50_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not _CURRENCY.fullmatch(currency):
            raise UnknownCurrency(currency)
        self.currency = currency
        self._session = session_factory
        self._max_age = max_age_seconds
        self._max_quotes = max_quotes
        self._clock = clock
        self._lock = Lock()
        self._read_at = float("-inf")
        self._shelf: _Shelf | None = None

    def warm(self) -> None:
        """Read all prices, public and negotiated, ahead of the first quote."""
        public.warm()
        self.refresh()

    @property
    def edition(self) -> str:
        """Text that tells any two states of all prices apart, public and negotiated."""
        rows, newest = self._current().version
        return f"{public.edition()} {rows} {newest or 0}"

    def refresh(self) -> None:
        """Read the negotiated prices again, now. Raises Unavailable when the database does not answer."""
        with self._lock:
            self._read()

    def quote(
        self,
        *,
        provider: str,
        request_model: str,
        response_model: str,
        at: datetime,
        tenant_id: str,
        workload: str = "interactive",
        service_tier: str = "",
    ) -> Quote:
        """The rates in force at `at` (aware, to the microsecond) for a call of that tenant. Raises NaiveDatetime.

        The response's model is looked up first, then the request's. `workload` "batch" asks for batch prices.
        """
        instant = at if at.tzinfo is UTC else _in_utc(at)
        shelf = self._current()
        tenant = tenant_id if tenant_id in shelf.negotiated.tenants else ""
        key = (instant.toordinal(), Call(provider, request_model, response_model, tenant, workload, service_tier))
        day = shelf.quotes.get(key) or self._remember(shelf, shelf.quotes, key, quote_card)
        return day.at(instant)

    def quote_unit(self, *, provider: str, unit: str, at: datetime, tenant_id: str, model: str = "") -> UnitQuote:
        """The rate of a unit other than tokens in force at `at` (aware). Raises NaiveDatetime.

        Public prices exist for units such as `web_searches` or `audio_seconds`, and need the model.
        """
        instant = at if at.tzinfo is UTC else _in_utc(at)
        shelf = self._current()
        tenant = tenant_id if tenant_id in shelf.negotiated.tenants else ""
        key = (instant.toordinal(), Call(provider, model, "", tenant, unit=unit))
        day = shelf.unit_quotes.get(key) or self._remember(shelf, shelf.unit_quotes, key, unit_quoter(unit))
        return day.at(instant)

    def add(
        self,
        *,
        provider: str,
        unit: str,
        price: Decimal,
        effective_from: datetime,
        per: int = 1,
        currency: str = "",
        model: str = "",
        tenant_id: str = "",
        note: str = "",
        created_by: str = "",
    ) -> NegotiatedPrice:
        """The stored price: `per` units cost `price` from `effective_from` on. This book quotes it from now on.

        Nothing already rated changes, and no price is overwritten. Raises PriceExists, OtherCurrency, InvalidPrice,
        InvalidAmount or NaiveDatetime.
        """
        if (currency or self.currency) != self.currency:
            raise OtherCurrency(currency, self.currency)
        row = draft_price(
            provider=provider,
            model=model,
            unit=unit,
            tenant_id=tenant_id,
            price=price,
            per=per,
            currency=self.currency,
            effective_from=effective_from,
            note=note,
            created_by=created_by,
        )
        self._insert(row)
        self.refresh()
        return row

    def prices(
        self,
        *,
        provider: str | None = None,
        model: str | None = None,
        unit: str | None = None,
        tenant_id: str | None = None,
    ) -> list[NegotiatedPrice]:
        """Every negotiated price with those values, past and future, by key and then effective date; None is any."""
        seller = None if provider is None else canonical_provider(provider)
        statement = select(NegotiatedPrice)
        for column, value in (
            (NegotiatedPrice.provider, seller),
            (NegotiatedPrice.model, None if model is None else canonical_model(seller or "", model)),
            (NegotiatedPrice.unit, unit),
            (NegotiatedPrice.tenant_id, tenant_id),
        ):
            if value is not None:
                statement = statement.where(col(column) == value)
        with self._session() as session:
            rows = session.exec(statement).all()
        return sorted(rows, key=lambda row: (row.provider, row.model, row.unit, row.tenant_id, row.effective_from))

    def _insert(self, row: NegotiatedPrice) -> None:
        with self._session() as session:
            session.add(row)
            try:
                session.flush()
            except IntegrityError:
                raise PriceExists(row) from None
            record(session, row.created_by, Action.ADD_PRICE, f"price {row.id}", **row.model_dump())
            session.commit()
            session.refresh(row)

    def _current(self) -> _Shelf:
        """The newest shelf, at most `max_age_seconds` old. One thread reads; the others go on with the last one."""
        shelf = self._shelf
        if shelf is None:
            with self._lock:
                return self._shelf or self._read()
        if self._clock() - self._read_at < self._max_age or not self._lock.acquire(blocking=False):
            return shelf
        try:
            return self._read()
        except (Unavailable, OperationalError):
            _LOGGER.warning("negotiated prices could not be read again; those last read stay in force")
            return shelf
        finally:
            self._lock.release()

    def _read(self) -> _Shelf:
        """The shelf of the table as it is now; the lock is held. Rows are only ever added, so two numbers tell."""
        self._read_at = self._clock()
        with self._session() as session:
            version = session.exec(select(func.count(), func.max(col(NegotiatedPrice.id)))).one()
            if self._shelf is None or self._shelf.version != version:
                self._shelf = _Shelf(version, Negotiated.of(session.exec(select(NegotiatedPrice)).all()))
        return self._shelf

    def _remember(
        self, shelf: _Shelf, memo: dict[Key, Day[Q]], key: Key, quote: Callable[[Terms, datetime], Q]
    ) -> Day[Q]:
        ordinal, call = key
        day = Terms.of(call, shelf.negotiated, self.currency).day(date.fromordinal(ordinal), quote)
        if len(memo) >= self._max_quotes:
            memo.clear()  # one atomic step, so readers need no lock; what is still asked for comes back at once
        memo[key] = day
        return day


def _in_utc(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise NaiveDatetime("at", at)
    return at.astimezone(UTC)
