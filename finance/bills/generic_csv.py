"""A table of your own for any other provider: one row a charge, columns by name, tags in columns `tag.<key>`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from attribution.bill_lines import BillLine
from finance.bills.providers import provider_of
from finance.bills.reading import LineBroken, amount, day_after, instant, number
from finance.bills.table import Row, Table, lower
from finance.bills.words import TokenType, names

_CATEGORIES: Final = ("usage", "purchase", "tax", "credit", "adjustment")
_TOKENS: Final = tuple(kind.value for kind in TokenType)


def _lines(row: Row, line: int) -> Iterator[BillLine]:
    start = instant(row["start"], row.column("start"))
    yield BillLine(
        line=line,
        provider_name=provider_of(row["provider"]) or _missing("provider"),
        start_time=start,
        end_time=instant(row["end"], "end") if row["end"] else day_after(start),
        cost=amount(row["cost"], "cost"),
        currency=row.sheet.check_currency(row["currency"]),
        charge_category=_one_of("charge_category", row["charge_category"].lower() or "usage", _CATEGORIES),
        account=row["account"],
        service=row["service"],
        model=row["model"],
        token_type=_one_of("token_type", row["token_type"].lower(), ("", *_TOKENS)),
        sku=row["sku"],
        description=row["description"],
        region=row["region"],
        resource_id=row["resource_id"],
        invoice_id=row["invoice_id"],
        quantity=number(row["quantity"], "quantity"),
        unit=row["unit"],
        list_cost=number(row["list_cost"], "list_cost"),
        tags=row.under("tag."),
    )


def _missing(field: str) -> str:
    raise LineBroken(field, "required", f"{field} is missing")


def _one_of(field: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise LineBroken(field, "one_of", f"{field} {value!r} is none of {', '.join(filter(None, allowed))}")
    return value


_PLAIN: Final = names(
    "provider cost currency end charge_category account service model token_type sku description region "
    "resource_id invoice_id quantity unit list_cost"
)

TABLE: Final = Table(
    name="generic-csv",
    columns={name: (name,) for name in _PLAIN} | {"start": ("start", "date")},
    required=("provider", "start", "cost", "currency"),
    lines=_lines,
    known=frozenset({"tag.*"}),
    normalize=lower,
)
