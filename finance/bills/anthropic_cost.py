"""Anthropic's cost reports: pages of daily buckets. Amounts are decimal texts in cents.

Priority Tier is billed otherwise and never in this report. The report of the Analytics API has the same shape.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, BinaryIO, Final

from attribution.bill_lines import BillLine
from finance.bills.document import text_of
from finance.bills.reading import LineBroken, LineError, Sheet, amount, finished
from finance.bills.spans import results
from finance.bills.words import TokenType, names

PROVIDER: Final = "anthropic"
ANALYTICS: Final = "analytics"
"""The ledger of seats and their products, billed apart from the API."""

_CENTS: Final = 2
_TOKENS: Final = {
    "uncached_input_tokens": TokenType.INPUT,
    "cache_read_input_tokens": TokenType.CACHED_INPUT,
    "cache_creation.ephemeral_5m_input_tokens": TokenType.CACHE_WRITE,
    "cache_creation.ephemeral_1h_input_tokens": TokenType.CACHE_WRITE,
    "output_tokens": TokenType.OUTPUT,
}
_KNOWN: Final = names(
    "amount currency workspace_id description cost_type context_window model service_tier token_type "
    "inference_geo list_amount product speed rbac_group_id requests slack_channel_id claude_tag_user_id "
    "claude_tag_category api_key_id account_id service_account_id"
)


def read(file: BinaryIO, sheet: Sheet) -> Iterator[BillLine | LineError]:
    """The lines, numbered by their place among all results. Raises UnreadableBill."""
    for place, (result, start, end) in enumerate(results(file, sheet, "starting_at", "ending_at"), 1):
        sheet.notice(name for name in result if name not in _KNOWN)
        try:
            yield finished(_line(result, place, start, end, sheet))
        except LineBroken as broken:
            yield broken.at(place)


def _line(result: Mapping[str, Any], place: int, start: datetime, end: datetime, sheet: Sheet) -> BillLine:
    kind = text_of(result, "token_type")
    if kind and kind not in _TOKENS:
        sheet.note(f"token type {kind!r} is unknown; its lines are compared without a kind of token")
    if text_of(result, "product"):
        sheet.ledger = ANALYTICS
    tokens = _TOKENS.get(kind)
    return BillLine(
        line=place,
        provider_name=PROVIDER,
        start_time=start,
        end_time=end,
        cost=amount(result.get("amount"), "amount", scale=_CENTS),
        currency=sheet.check_currency(text_of(result, "currency")),
        account=text_of(result, "workspace_id"),
        service=text_of(result, "product") or text_of(result, "cost_type"),
        model=text_of(result, "model"),
        token_type=tokens.value if tokens else "",
        service_tier=text_of(result, "service_tier"),
        sku=kind or text_of(result, "cost_type"),
        description=text_of(result, "description"),
        region=text_of(result, "inference_geo"),
        list_cost=_listed(result),
    )


def _listed(result: Mapping[str, Any]) -> Decimal | None:
    return None if result.get("list_amount") is None else amount(result["list_amount"], "list_amount", scale=_CENTS)
