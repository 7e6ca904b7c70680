"""OpenAI's organization costs API: pages of daily buckets. Amounts are dollars, as numbers or as long texts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, BinaryIO, Final

from attribution.bill_lines import BillLine
from finance.bills.document import text_of
from finance.bills.reading import LineBroken, LineError, Sheet, amount, finished, number
from finance.bills.spans import results
from finance.bills.words import in_whole_units, names, token_type

PROVIDER: Final = "openai"

_ITEM: Final = re.compile(r"^(?P<model>[^,]+?)(?: (?P<tier>batch|priority|flex|scale))?, (?P<kind>[^,]+)$")
_KNOWN: Final = names(
    "object amount line_item project_id project_name organization_id organization_name api_key_id user_id "
    "user_email api_source quantity quantity_unit"
)


def read(file: BinaryIO, sheet: Sheet) -> Iterator[BillLine | LineError]:
    """The lines, numbered by their place among all results. Raises UnreadableBill."""
    for place, (result, start, end) in enumerate(results(file, sheet, "start_time", "end_time"), 1):
        sheet.notice(name for name in result if name not in _KNOWN)
        try:
            yield finished(_line(result, place, start, end, sheet))
        except LineBroken as broken:
            yield broken.at(place)


def _line(result: Mapping[str, Any], place: int, start: datetime, end: datetime, sheet: Sheet) -> BillLine:
    money = result.get("amount")
    if not isinstance(money, dict):
        raise LineBroken("amount", "required", "the result has no amount")
    item = text_of(result, "line_item")
    found = _ITEM.match(item)
    counted = in_whole_units(number(result.get("quantity"), "quantity"), text_of(result, "quantity_unit"))
    sheet.payer = text_of(result, "organization_id")
    return BillLine(
        line=place,
        provider_name=PROVIDER,
        start_time=start,
        end_time=end,
        cost=amount(money.get("value"), "amount.value"),
        currency=sheet.check_currency(text_of(money, "currency"), "amount.currency"),
        account=text_of(result, "project_id"),
        model=found["model"] if found else "",
        service_tier=(found["tier"] or "") if found else "",
        token_type=token_type(found["kind"]) if found else "",
        sku=item,
        description=item,
        quantity=counted.quantity,
        unit=counted.unit,
    )
