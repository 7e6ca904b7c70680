"""FOCUS 1.0 to 1.4 as CSV, of any provider: one SKU a direction of tokens, tags as JSON. Billed is BilledCost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from attribution.bill_lines import BillLine
from finance.bills.providers import provider_of
from finance.bills.reading import LineBroken, amount, instant, month_of, number
from finance.bills.table import Row, Table
from finance.bills.words import in_whole_units, model_before, names, tier_in, token_type

_CATEGORIES: Final = frozenset({"usage", "purchase", "tax", "credit", "adjustment"})


def _lines(row: Row, line: int) -> Iterator[BillLine]:
    category = row["category"].lower()
    if category not in _CATEGORIES:
        message = f"ChargeCategory {row['category']!r} is none of Usage, Purchase, Tax, Credit, Adjustment"
        raise LineBroken("ChargeCategory", "one_of", message)
    provider = provider_of(row["provider"])
    if not provider:
        raise LineBroken(row.column("provider"), "required", "the line names no provider")
    counted = in_whole_units(number(row["quantity"], "ConsumedQuantity"), row["unit"])
    start = instant(row["start"], "ChargePeriodStart")
    row.sheet.payer = row["payer"]
    yield BillLine(
        line=line,
        bill_period=month_of(row["period"], "BillingPeriodStart") or start.date().replace(day=1),
        provider_name=provider,
        start_time=start,
        end_time=instant(row["end"], "ChargePeriodEnd") if row["end"] else start,
        cost=amount(row["cost"], "BilledCost"),
        currency=row.sheet.check_currency(row["currency"], "BillingCurrency"),
        charge_category=category,
        charge_class=row["class"].lower(),
        account=row["account"],
        service=row["service"],
        model=_model(row),
        token_type=token_type(row["meter"]) or token_type(row["description"]) if _counts_tokens(row) else "",
        service_tier=tier_in(row["description"]),
        sku=row["sku"],
        description=row["description"],
        region=row["region"],
        resource_id=row["resource"],
        invoice_id=row["invoice"],
        quantity=counted.quantity,
        unit=counted.unit,
        list_cost=number(row["list_cost"], "ListCost"),
        tags=row.json("tags"),
    )


def _counts_tokens(row: Row) -> bool:
    return "token" in f"{row['unit']} {row['meter']}".lower()


def _model(row: Row) -> str:
    """In front of the words about tokens, in the description or else the SKU."""
    if not _counts_tokens(row):
        return ""
    return model_before(row["description"]) or model_before(row["sku"])


TABLE: Final = Table(
    name="focus",
    columns={
        "cost": ("BilledCost",),
        "currency": ("BillingCurrency",),
        "category": ("ChargeCategory",),
        "class": ("ChargeClass",),
        "description": ("ChargeDescription",),
        "start": ("ChargePeriodStart",),
        "end": ("ChargePeriodEnd",),
        "period": ("BillingPeriodStart",),
        "provider": ("ServiceProviderName", "ProviderName", "PublisherName"),
        "payer": ("BillingAccountId",),
        "account": ("SubAccountId",),
        "service": ("ServiceName",),
        "sku": ("SkuId",),
        "meter": ("SkuMeter",),
        "region": ("RegionId",),
        "resource": ("ResourceId",),
        "invoice": ("InvoiceId",),
        "quantity": ("ConsumedQuantity",),
        "unit": ("ConsumedUnit",),
        "list_cost": ("ListCost",),
        "tags": ("Tags",),
    },
    required=("cost", "currency", "category", "start", "provider"),
    lines=_lines,
    known=names(
        "AvailabilityZone BillingAccountName BillingAccountType BillingPeriodEnd CapacityReservationId "
        "CapacityReservationStatus ChargeFrequency ContractedCost ContractedUnitPrice EffectiveCost InvoiceIssuerName "
        "ListUnitPrice PricingCategory PricingCurrency PricingCurrencyContractedUnitPrice "
        "PricingCurrencyEffectiveCost PricingCurrencyListUnitPrice PricingQuantity PricingUnit RegionName "
        "ResourceName ResourceType ServiceCategory ServiceSubcategory SkuPriceDetails SkuPriceId SubAccountName "
        "SubAccountType CommitmentDiscount* Allocated* ContractApplied HostProviderName InvoiceDetailId"
    ),
)
