"""Actual revenue as it is sent, in JSON or as a row of CSV, read into items; what is wrong is told item by item."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from operator import attrgetter
from typing import Any

import msgspec

from core.errors import ApportionError
from core.time import Granularity
from finance.revenue.actual import Actuals, Entry, InvalidRevenue, OtherTenant, RevenueItem, check_year
from tenants.scope import Scope


class RevenuePayload(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One item. `period` is a month, "2026-10", in the place of `start` (in) and `end` (out), both dates."""

    id: str
    tenant_id: str
    amount: str | int
    source: str = "api"
    period: str | None = None
    start: date | None = None
    end: date | None = None
    currency: str | None = None
    timezone: str = "UTC"
    note: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the item at that place, counted from 0, was not entered."""

    index: int
    code: str
    message: str
    field: str | None


@dataclass(slots=True)
class RevenueReceipt:
    """How many items were accepted, are known already, correct earlier ones, and were refused, with reasons."""

    accepted: int = 0
    unchanged: int = 0
    corrected: int = 0
    rejected: int = 0
    errors: list[Refusal] = field(default_factory=list)


def receive(
    actuals: Actuals, bodies: Sequence[bytes] | Sequence[Mapping[str, Any]], *, currency: str, scope: Scope, by: str
) -> RevenueReceipt:
    """The receipt of these JSON texts, or of these rows of CSV; the usable ones are entered."""
    return _entered(actuals, _read(actuals, bodies, currency=currency, scope=scope), scope, by)


def examine(actuals: Actuals, rows: Sequence[Mapping[str, Any]], *, currency: str) -> RevenueReceipt:
    """What is wrong with these rows of CSV; nothing is entered."""
    refused = [each for each in _read(actuals, rows, currency=currency, scope=Scope()) if isinstance(each, Refusal)]
    return RevenueReceipt(rejected=len(refused), errors=refused)


def _read(
    actuals: Actuals, bodies: Iterable[bytes | Mapping[str, Any]], *, currency: str, scope: Scope
) -> list[RevenueItem | Refusal]:
    return [_item(actuals, index, body, currency, scope) for index, body in enumerate(bodies)]


def _entered(actuals: Actuals, found: Sequence[RevenueItem | Refusal], scope: Scope, by: str) -> RevenueReceipt:
    usable = [(index, each) for index, each in enumerate(found) if isinstance(each, RevenueItem)]
    entries = actuals.enter([item for _, item in usable], scope=scope, by=by)
    refused = [each for each in found if isinstance(each, Refusal)]
    for (index, _), entry in zip(usable, entries, strict=True):
        if isinstance(entry, OtherTenant):
            refused.append(_refusal(index, entry))
    return RevenueReceipt(
        accepted=entries.count(Entry.ACCEPTED),
        unchanged=entries.count(Entry.UNCHANGED),
        corrected=entries.count(Entry.CORRECTED),
        rejected=len(refused),
        errors=sorted(refused, key=attrgetter("index")),
    )


def _item(
    actuals: Actuals, index: int, body: bytes | Mapping[str, Any], currency: str, scope: Scope
) -> RevenueItem | Refusal:
    try:
        payload = _decoded(body)
        if scope.tenant not in {None, payload.tenant_id}:
            raise OtherTenant(str(scope.tenant))
        item = _checked(payload, currency)
        actuals.check(item)
    except msgspec.DecodeError as error:
        return Refusal(index, "INVALID_REVENUE", str(error), None)
    except ApportionError as error:
        return _refusal(index, error)
    return item


def _refusal(index: int, error: ApportionError) -> Refusal:
    return Refusal(index, error.code, str(error), getattr(error, "field", None))


def _decoded(body: bytes | Mapping[str, Any]) -> RevenuePayload:
    if isinstance(body, bytes):
        return msgspec.json.decode(body, type=RevenuePayload)
    return msgspec.convert({key: value for key, value in body.items() if value}, RevenuePayload, strict=False)


def _checked(payload: RevenuePayload, currency: str) -> RevenueItem:
    start, end = _period(payload)
    return RevenueItem(
        source=payload.source,
        client_id=payload.id,
        tenant_id=payload.tenant_id,
        start=start,
        end=end,
        amount=_amount(payload.amount),
        currency=payload.currency or currency,
        timezone=payload.timezone,
        note=payload.note,
    )


def _amount(text: str | int) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise InvalidRevenue("amount", "write a decimal number as text, such as '1200.50'") from None


def _period(payload: RevenuePayload) -> tuple[date, date]:
    if payload.period is None:
        if payload.start is None or payload.end is None:
            raise InvalidRevenue("period", "name a month, or a start and an end")
        return payload.start, payload.end
    if payload.start is not None or payload.end is not None:
        raise InvalidRevenue("period", "name a month, or a start and an end, not both")
    try:
        first = date.fromisoformat(f"{payload.period}-01")
    except ValueError:
        raise InvalidRevenue("period", "write a month as in '2026-10'") from None
    check_year("period", first)
    return first, Granularity.MONTH.next_day(first)
