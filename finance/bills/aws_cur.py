"""AWS Cost and Usage Report 2.0 as CSV; the older report's `lineItem/UsageAmount` spelling is read too.

AWS writes a month anew several times a day until it is final, so an import replaces the months it holds. The cost is
the unblended one: with discounts and taxes, which have lines of their own, it sums to the invoice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from attribution.bill_lines import BillLine
from finance.bills.reading import amount, instant, month_of, number
from finance.bills.table import Row, Table, snake
from finance.bills.words import in_whole_units, model_before, names, tier_in, token_type

PROVIDER: Final = "aws"

_CATEGORIES: Final = {
    "Tax": "tax",
    "Credit": "credit",
    "Refund": "adjustment",
    "Fee": "purchase",
    "RIFee": "purchase",
    "SavingsPlanUpfrontFee": "purchase",
    "SavingsPlanRecurringFee": "purchase",
    "EdpDiscount": "adjustment",
    "BundledDiscount": "adjustment",
    "PrivateRateDiscount": "adjustment",
}
"""Types of line that are no usage."""

_FOR_MODEL: Final = re.compile(r"tokens? for (?P<model>.+?) in ", re.IGNORECASE)
_TOKENS_IN_TYPE: Final = re.compile(r"(Input|Output|CacheRead|CacheWrite)[A-Za-z]*Token", re.IGNORECASE)


def _lines(row: Row, line: int) -> Iterator[BillLine]:
    kind, described = row["type"], row["description"]
    counted = in_whole_units(number(row["quantity"], row.column("quantity")), row["unit"])
    start = instant(row["start"], row.column("start"))
    row.sheet.payer = row["payer"]
    listed = number(row["list_cost"], row.column("list_cost"))
    yield BillLine(
        line=line,
        bill_period=month_of(row["period"], row.column("period")) or start.date().replace(day=1),
        provider_name=PROVIDER,
        start_time=start,
        end_time=instant(row["end"], row.column("end")) if row["end"] else start,
        cost=amount(row["cost"], row.column("cost")),
        currency=row.sheet.check_currency(row["currency"], row.column("currency")),
        charge_category=_CATEGORIES.get(kind, "usage"),
        charge_class="correction" if kind == "Refund" else "",
        account=row["account"],
        service=row["product"],
        model=_model(row),
        token_type=token_type(described) or _token_type_of(row["usage_type"]),
        service_tier=tier_in(described),
        sku=row["usage_type"],
        description=described,
        region=row["region"],
        resource_id=row["resource"] or row["principal"],
        invoice_id=row["invoice"],
        quantity=counted.quantity,
        unit=counted.unit,
        list_cost=listed,
        tags=row.json("tags") or row.json("resource_tags") or row.under("resource_tags_"),
    )


def _model(row: Row) -> str:
    """From the description; what the product says can be a price instead: `$0.00006 per 1K input tokens for ...`."""
    described = row["description"]
    found = _FOR_MODEL.search(described)
    if found:
        return found["model"]
    if described.startswith("$"):
        return ""
    named = row.json("product_json").get("model", "")
    return named if named and not named.startswith("$") else model_before(described)


def _token_type_of(usage_type: str) -> str:
    found = _TOKENS_IN_TYPE.search(usage_type)
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|[-_]", " ", usage_type)
    return token_type(words) if found or "token" in usage_type.lower() else ""


TABLE: Final = Table(
    name="aws-cur",
    columns={
        "type": ("line_item_line_item_type",),
        "start": ("line_item_usage_start_date",),
        "end": ("line_item_usage_end_date",),
        "cost": ("line_item_unblended_cost",),
        "currency": ("line_item_currency_code",),
        "quantity": ("line_item_usage_amount",),
        "unit": ("pricing_unit",),
        "description": ("line_item_line_item_description",),
        "usage_type": ("line_item_usage_type",),
        "product": ("line_item_product_code",),
        "product_json": ("product",),
        "account": ("line_item_usage_account_id",),
        "payer": ("bill_payer_account_id",),
        "region": ("product_region_code", "product_region"),
        "resource": ("line_item_resource_id",),
        "principal": ("line_item_iam_principal",),
        "invoice": ("bill_invoice_id",),
        "list_cost": ("pricing_public_on_demand_cost",),
        "period": ("bill_billing_period_start_date",),
        "tags": ("tags",),
        "resource_tags": ("resource_tags",),
    },
    required=("type", "start", "cost", "currency"),
    lines=_lines,
    known=frozenset(
        {"cost_category", "discount", "tags"}
        | {f"{p}_*" for p in names("bill line_item identity pricing product reservation savings_plan split_line_item")}
        | {f"{p}_*" for p in names("discount cost_category resource_tags tags capacity_reservation")}
    ),
    normalize=snake,
)
