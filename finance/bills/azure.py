"""Azure cost details as CSV, of a Microsoft Customer Agreement or an Enterprise Agreement.

Dates are MM/DD/YYYY; quantities come in `1K`; a line has up to three currencies: what is billed, what is priced, and US
dollars. The amount read is the one in the deployment's currency, in that order.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from attribution.bill_lines import BillLine
from finance.bills.reading import LineBroken, american_date, amount, day_after, month_of, number
from finance.bills.table import Row, Table, lower
from finance.bills.words import in_whole_units, model_before, names, tier_in, token_type

PROVIDER: Final = "azure"

_CATEGORIES: Final = {
    "usage": "usage",
    "purchase": "purchase",
    "tax": "tax",
    "refund": "adjustment",
    "roundingadjustment": "adjustment",
    "credit": "credit",
}


def _lines(row: Row, line: int) -> Iterator[BillLine]:
    start = american_date(row["date"], row.column("date"))
    meter = row["meter"]
    counted = in_whole_units(
        number(row["quantity"], "quantity"), row["unit"], default="tokens" if "oken" in meter else ""
    )
    cost, currency = _billed(row)
    row.sheet.payer = row["payer"]
    yield BillLine(
        line=line,
        bill_period=month_of(row["period"], row.column("period")) or start.date().replace(day=1),
        provider_name=PROVIDER,
        start_time=start,
        end_time=day_after(start),
        cost=cost,
        currency=currency,
        charge_category=_CATEGORIES.get(row["type"].lower(), "usage"),
        charge_class="correction" if row["type"].lower() == "refund" else "",
        account=row["account"],
        service=row["service"],
        model=model_before(meter) if "oken" in meter else "",
        token_type=token_type(meter) if "oken" in meter else "",
        service_tier=tier_in(meter),
        sku=row["meter_id"],
        description=row["product"] or meter,
        region=row["region"],
        resource_id=row["resource"],
        invoice_id=row["invoice"],
        quantity=counted.quantity,
        unit=counted.unit,
        tags=row.json("tags"),
    )


def _billed(row: Row) -> tuple[Decimal, str]:
    """The amount in the deployment's currency. Raises LineBroken where the line states none."""
    wanted = row.sheet.currency
    stated = (
        (row["billing_currency"], "cost"),
        (row["pricing_currency"], "cost_in_pricing_currency"),
        ("USD", "cost_in_usd"),
    )
    for place, (currency, name) in enumerate(stated):
        if currency.upper() == wanted and row[name]:
            if place:
                row.sheet.note(f"billed in {row['billing_currency']}; read is {row.column(name)}, in {wanted}")
            return amount(row[name], row.column(name)), wanted
    message = f"the line is billed in {row['billing_currency']} and states no amount in {wanted}"
    raise LineBroken(row.column("billing_currency"), "currency", message)


TABLE: Final = Table(
    name="azure",
    columns={
        "date": ("date", "usagedatetime"),
        "meter": ("metername",),
        "meter_id": ("meterid",),
        "quantity": ("quantity",),
        "unit": ("unitofmeasure",),
        "type": ("chargetype",),
        "cost": ("costinbillingcurrency", "cost", "pretaxcost"),
        "billing_currency": ("billingcurrency", "billingcurrencycode", "currency"),
        "cost_in_pricing_currency": ("costinpricingcurrency",),
        "pricing_currency": ("pricingcurrency",),
        "cost_in_usd": ("costinusd", "costusd"),
        "account": ("subscriptionid", "subscriptionguid"),
        "payer": ("billingaccountid",),
        "service": ("metersubcategory", "metercategory"),
        "product": ("productname", "product"),
        "region": ("resourcelocation", "meterregion"),
        "resource": ("resourceid", "instanceid"),
        "invoice": ("invoiceid",),
        "period": ("billingperiodstartdate",),
        "tags": ("tags",),
    },
    required=("date", "meter", "quantity", "cost", "billing_currency"),
    lines=_lines,
    known=names(
        "previousinvoiceid billingaccountname billingprofileid billingprofilename invoicesectionid invoicesectionname "
        "resellername resellermpnid costcenter billingperiodenddate serviceperiodenddate serviceperiodstartdate "
        "servicefamily productorderid productordername consumedservice metercategory meterregion productid "
        "subscriptionname publishertype publisherid publishername resourcegroupname resourcegroup resourcename "
        "location effectiveprice paygcostinbillingcurrency paygcostinusd exchangeratepricingtobilling "
        "exchangeratedate isazurecrediteligible serviceinfo1 serviceinfo2 additionalinfo paygprice frequency term "
        "reservationid reservationname pricingmodel unitprice costallocationrulename benefitid benefitname provider "
        "accountname accountownerid availabilityzone offerid partnumber planname accountid"
    ),
    normalize=lower,
)
