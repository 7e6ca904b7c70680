"""Pinecone's usage export as CSV. Its columns are documented nowhere; these are the ones of the console's download."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from attribution.bill_lines import BillLine
from finance.bills.reading import amount, day_after, instant, number
from finance.bills.table import Row, Table, lower
from finance.bills.words import in_whole_units

PROVIDER: Final = "pinecone"

_EMBEDDING: Final = "embedding_tokens "


def _lines(row: Row, line: int) -> Iterator[BillLine]:
    start = instant(row["date"], row.column("date"))
    sku = row["sku"]
    counted = in_whole_units(number(row["quantity"], "quantity"), row["unit"])
    row.sheet.days.add(start.date())
    row.sheet.payer = row["payer"]
    embeds = sku.startswith(_EMBEDDING)
    yield BillLine(
        line=line,
        provider_name=PROVIDER,
        start_time=start,
        end_time=day_after(start),
        cost=amount(row["cost"], row.column("cost")),
        currency=row.sheet.check_currency(row["currency"] or "USD"),
        charge_category="credit" if row["service"].lower() == "credit" else "usage",
        account=row["account"],
        service=row["service"],
        model=sku.removeprefix(_EMBEDDING) if embeds else "",
        token_type="input" if embeds else "",
        sku=sku,
        description=" ".join(filter(None, (sku, row["resource"]))),
        region=row["region"],
        resource_id=row["resource"],
        quantity=counted.quantity,
        unit=counted.unit,
        tags=row.json("project_tags") | row.json("resource_tags"),
    )


TABLE: Final = Table(
    name="pinecone",
    columns={
        "date": ("date", "usage_date", "day"),
        "payer": ("organization", "organization_id"),
        "account": ("project_id",),
        "service": ("service",),
        "sku": ("sku", "usage_type"),
        "region": ("region",),
        "resource": ("resource_name", "index_name"),
        "resource_tags": ("resource_tags",),
        "project_tags": ("project_tags",),
        "quantity": ("quantity",),
        "unit": ("unit",),
        "cost": ("cost", "total_cost", "amount"),
        "currency": ("currency",),
    },
    required=("date", "sku", "cost"),
    lines=_lines,
    known=frozenset({"organization_name", "project_name", "cloud", "unit_price"}),
    normalize=lower,
)
