"""Google Cloud's billing export from BigQuery as JSON, one row a line or an array; standard and detailed alike.

Credits come inside a row, negative and apart from its cost: each becomes a part of the line. A row belongs to the month
of its invoice, also when it was used late in the month before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any, BinaryIO, Final

from attribution.bill_lines import BillLine
from finance.bills.document import documents, objects_of, text_of
from finance.bills.reading import LineBroken, LineError, Sheet, amount, finished, instant, number
from finance.bills.words import model_before, names, tier_in, token_type

PROVIDER: Final = "google"

_CATEGORIES: Final = {"regular": "usage", "tax": "tax", "adjustment": "adjustment", "rounding_error": "adjustment"}
_KNOWN: Final = names(
    "billing_account_id service sku usage_start_time usage_end_time project labels system_labels location tags "
    "transaction_type seller_name export_time cost currency currency_conversion_rate usage credits invoice "
    "cost_type adjustment_info cost_at_list price resource subscription consumption_model "
    "cost_at_effective_price_default cost_at_list_consumption_model price_consumption_model"
)


def read(file: BinaryIO, sheet: Sheet) -> Iterator[BillLine | LineError]:
    """The lines, numbered by row, credits as further parts. Raises UnreadableBill."""
    for place, row in enumerate(documents(file), 1):
        sheet.notice(name for name in row if name not in _KNOWN)
        try:
            yield from map(finished, _lines(row, place, sheet))
        except LineBroken as broken:
            yield broken.at(place)


def _lines(row: Mapping[str, Any], place: int, sheet: Sheet) -> list[BillLine]:
    """The row's own line, then its credits; all or none."""
    line = _line(row, place, sheet)
    return [line, *_credits(row, line)]


def _line(row: Mapping[str, Any], place: int, sheet: Sheet) -> BillLine:
    sku = _inner(row, "sku")
    described, used = text_of(sku, "description"), _inner(row, "usage")
    kind = token_type(described)
    start = instant(row.get("usage_start_time"), "usage_start_time")
    unit = text_of(used, "unit")
    sheet.payer = text_of(row, "billing_account_id")
    return BillLine(
        line=place,
        bill_period=_invoice_month(row) or start.date().replace(day=1),
        provider_name=PROVIDER,
        start_time=start,
        end_time=instant(row["usage_end_time"], "usage_end_time") if row.get("usage_end_time") else start,
        cost=amount(row.get("cost"), "cost"),
        currency=sheet.check_currency(text_of(row, "currency")),
        charge_category=_CATEGORIES.get(text_of(row, "cost_type"), "usage"),
        charge_class="correction" if _inner(row, "adjustment_info").get("id") else "",
        account=text_of(_inner(row, "project"), "id"),
        service=text_of(_inner(row, "service"), "description"),
        model=model_before(described) if kind else "",
        token_type=kind,
        service_tier=tier_in(described),
        sku=text_of(sku, "id"),
        description=described,
        region=text_of(_inner(row, "location"), "region"),
        resource_id=text_of(_inner(row, "resource"), "global_name"),
        invoice_id=text_of(_inner(row, "invoice"), "month"),
        quantity=number(used.get("amount"), "usage.amount"),
        unit="tokens" if kind and unit == "count" else unit,
        list_cost=number(row.get("cost_at_list"), "cost_at_list"),
        tags=_labels(row),
    )


def _credits(row: Mapping[str, Any], line: BillLine) -> Iterator[BillLine]:
    for part, credit in enumerate(objects_of(row, "credits"), 1):
        yield line._replace(
            part=part,
            cost=amount(credit.get("amount"), "credits.amount"),
            charge_category="credit",
            token_type="",
            description=text_of(credit, "full_name") or text_of(credit, "name") or text_of(credit, "type"),
            quantity=None,
            unit="",
            list_cost=None,
        )


def _invoice_month(row: Mapping[str, Any]) -> date | None:
    month = text_of(_inner(row, "invoice"), "month")
    if not month:
        return None
    try:
        return date(int(month[:4]), int(month[4:]), 1)
    except ValueError:
        raise LineBroken("invoice.month", "time", f"invoice.month {month:.20} is not a month such as 202611") from None


def _inner(row: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = row.get(name)
    if found is not None and not isinstance(found, dict):
        raise LineBroken(name, "type", f"{name} is no object")
    return found or {}


def _labels(row: Mapping[str, Any]) -> dict[str, str]:
    labels = [*objects_of(_inner(row, "project"), "labels"), *objects_of(row, "labels")]
    return {text_of(label, "key"): text_of(label, "value") for label in labels}
