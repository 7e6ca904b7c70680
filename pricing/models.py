"""Negotiated prices as stored: one row per price and effective date. Rows are added, never changed."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from sqlalchemy import UniqueConstraint
from sqlmodel import Field, SQLModel

from core.database import ExactDecimal, UtcDateTime
from core.errors import InvalidInput
from core.money import parse_amount
from core.time import NaiveDatetime
from pricing.names import canonical_model, canonical_provider

MAX_PER: Final = 1_000_000_000
_UNIT: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_NAME_LENGTH: Final = 200


class InvalidPrice(InvalidInput):
    """A field of a price breaks a rule."""

    code = "INVALID_PRICE"

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field} is not usable: {rule}")
        self.field = field
        self.rule = rule


class NegotiatedPrice(SQLModel, table=True):
    """`per` units cost `price` from `effective_from` until the next price of the same key begins.

    An empty `model` means every model of the provider, an empty `tenant_id` every tenant. Provider and model are
    stored in their canonical spelling. Token units carry their OpenTelemetry names, a call is one
    of `requests`, and any other name such as `gpu_seconds` is a unit of its own.
    """

    __tablename__ = "negotiated_prices"
    __table_args__ = (UniqueConstraint("provider", "model", "unit", "tenant_id", "effective_from"),)

    id: int | None = Field(default=None, primary_key=True)
    provider: str = Field(max_length=_NAME_LENGTH)
    model: str = Field(default="", max_length=_NAME_LENGTH)
    unit: str = Field(max_length=64)
    tenant_id: str = Field(default="", max_length=_NAME_LENGTH)
    price: Decimal = Field(sa_type=ExactDecimal)
    per: int = 1
    currency: str = Field(max_length=3)
    effective_from: datetime = Field(sa_type=UtcDateTime)
    note: str = Field(default="", max_length=1000)
    created_at: datetime = Field(sa_type=UtcDateTime)
    created_by: str = Field(default="", max_length=_NAME_LENGTH)


def draft_price(
    *,
    provider: str,
    unit: str,
    price: Decimal,
    per: int,
    currency: str,
    effective_from: datetime,
    model: str = "",
    tenant_id: str = "",
    note: str = "",
    created_by: str = "",
) -> NegotiatedPrice:
    """A checked price that is not stored yet.

    Raises InvalidPrice or NaiveDatetime; InvalidAmount for a price that is not finite, has more than 12 decimals or
    reaches a million.
    """
    seller = canonical_provider(provider)
    row = NegotiatedPrice(
        provider=seller,
        model=canonical_model(seller, model),
        unit=unit,
        tenant_id=tenant_id,
        price=parse_amount(str(price)),
        per=per,
        currency=currency,
        effective_from=_instant(effective_from),
        note=note,
        created_at=datetime.now(UTC),
        created_by=created_by,
    )
    _check(row)
    return row


def _instant(effective_from: datetime) -> datetime:
    if effective_from.tzinfo is None:
        raise NaiveDatetime("effective_from", effective_from)
    return effective_from.astimezone(UTC)


def _check(row: NegotiatedPrice) -> None:
    if not row.provider:
        raise InvalidPrice("provider", "name the provider that sells the unit")
    if not _UNIT.fullmatch(row.unit):
        raise InvalidPrice("unit", "use a name such as 'gpu_seconds': lower-case letters, digits and underscores")
    if row.price < 0:
        raise InvalidPrice("price", "it must not be negative")
    if not 1 <= row.per <= MAX_PER:
        raise InvalidPrice("per", f"it must lie between 1 and {MAX_PER:,} units")
    for field in ("provider", "model", "tenant_id", "created_by"):
        if len(getattr(row, field)) > _NAME_LENGTH:
            raise InvalidPrice(field, f"it must have at most {_NAME_LENGTH} characters")
    if len(row.note) > 1000:
        raise InvalidPrice("note", "it must have at most 1,000 characters")
