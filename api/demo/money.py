"""The demo company's other money: a fee all tenants share, a rule that shares it out, and three bills to reconcile.

Each bill says about three percent more than what was sent, for a reason that reconciliation can find: a nightly job
that nobody instrumented (OpenAI), a model that nobody sends (Anthropic), and a price that is not the agreed one
(Google, which also gives a credit).
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final

import msgspec

from api.services import Services
from attribution.dimensions import Dimension
from attribution.measures import Measure
from attribution.query import UTC as UTC_ZONE
from attribution.query import Condition, Operator
from core.money import from_pico, plain
from core.time import Granularity
from finance.allocation.rulebook import RuleChanged
from finance.allocation.rules import Method, Rule
from finance.bills.outcome import Wanted
from finance.month import Month
from finance.reconciliation.comparison import Attributed
from ingest.door import EVENTS
from tenants.scope import Scope

BY: Final = "demo"
SURPLUS: Final = Decimal("0.03")
FEE: Final = "240.00"
_UNSEEN_MODEL: Final = "claude-opus-4-1-20250805"
_ANTHROPIC: Final = {
    "input": "uncached_input_tokens",
    "cached_input": "cache_read_input_tokens",
    "cache_write": "cache_creation.ephemeral_5m_input_tokens",
    "output": "output_tokens",
}
_GOOGLE: Final = {"input": "Text Input", "cached_input": "Cached Text Input", "output": "Text Output"}
_OPENAI: Final = {
    "input": "input",
    "cached_input": "cached input",
    "audio_input": "audio input",
    "output": "output",
    "audio_output": "audio output",
}


async def bring_money(services: Services, end: datetime) -> None:
    """Send the fees, agree the rule, allocate last month, and import last month's bills. Safe to repeat."""
    last = Month(_last_month(end.date()))
    fees = [last.first, end.date().replace(day=1)]
    await services.pipeline.ingest([_fee(first) for first in fees], door=EVENTS, scope=Scope())
    with suppress(RuleChanged):  # a load that was interrupted had set it
        services.money.allocation_rules.set(_rule(last), expected_version=0, by=BY)
    services.money.allocator.run(last, UTC_ZONE, by=BY)
    for provider, write in (("openai", _openai), ("anthropic", _anthropic), ("google", _google)):
        sent = services.money.reconciler.attributed(provider, last.window(UTC_ZONE), UTC_ZONE)
        if sent:
            wanted = Wanted(file_name=f"{provider}-{last}")
            services.money.bills.run(io.BytesIO("\n".join(write(last, sent)).encode()), wanted, by=BY)


def _last_month(today: date) -> date:
    return Granularity.MONTH.first_day(today.replace(day=1) - timedelta(days=1))


def _fee(first: date) -> bytes:
    return msgspec.json.encode(
        {
            "kind": "charge",
            "event_id": f"platform-fee-{first:%Y-%m}",
            "tenant_id": "unattributed",
            "start_time": _midnight(first),
            "cost_category": "platform",
            "provider_name": "internal",
            "cost": {"amount": FEE},
            "charge_category": "purchase",
            "charge_description": "Observability and gateway, monthly",
        }
    )


def _rule(month: Month) -> Rule:
    return Rule(
        name="platform-fee",
        effective_from=month.window(UTC_ZONE).start,
        where=Condition(Dimension.COST_CATEGORY, Operator.ANY_OF, ("platform",)),
        members=Dimension.TENANT,
        method=Method.PROPORTIONAL,
        measure=Measure.EFFECTIVE_COST,
    )


@dataclass(frozen=True, slots=True)
class _Line:
    """One line to be."""

    day: date
    model: str
    kind: str
    tokens: Decimal
    dollars: Decimal

    def times(self, tokens: Decimal, dollars: Decimal) -> _Line:
        """The line with more of both."""
        more = (self.tokens * tokens).quantize(Decimal(1))
        return _Line(self.day, self.model, self.kind, more, self.dollars * dollars)


def _lines(sent: Iterable[Attributed]) -> Iterator[_Line]:
    for one in sent:
        for kind, pico in one.parts.items():
            if pico:
                yield _Line(one.day, one.name, kind, Decimal(one.tokens.get(kind, 0)), from_pico(pico))


def _more(lines: Sequence[_Line], chosen: Sequence[_Line]) -> Decimal:
    """By what the chosen lines have to be multiplied for all lines to say three percent more."""
    part = sum((line.dollars for line in chosen), Decimal(0))
    whole = sum((line.dollars for line in lines), Decimal(0))
    return 1 + SURPLUS * whole / part if part else Decimal(1)


def _openai(month: Month, sent: Sequence[Attributed]) -> Iterator[str]:
    lines = list(_lines(sent))
    uninstrumented = [line for line in lines if line.model.startswith("gpt-4o-mini") and line.day.day > 20]
    factor = _more(lines, uninstrumented)
    told = [line.times(factor, factor) if line in uninstrumented else line for line in lines]
    buckets = [
        {
            "object": "bucket",
            "start_time": int(datetime.combine(day, time(), UTC).timestamp()),
            "end_time": int(datetime.combine(day + timedelta(days=1), time(), UTC).timestamp()),
            "results": [_openai_result(line) for line in told if line.day == day],
        }
        for day in _days(month)
    ]
    yield json.dumps({"object": "page", "data": buckets, "has_more": False, "next_page": None})


def _openai_result(line: _Line) -> dict[str, Any]:
    return {
        "object": "organization.costs.result",
        "amount": {"value": plain(line.dollars), "currency": "usd"},
        "line_item": f"{line.model}, {_OPENAI.get(line.kind, line.kind)}",
        "project_id": None,
        "quantity": int(line.tokens),
        "quantity_unit": "tokens",
    }


def _anthropic(month: Month, sent: Sequence[Attributed]) -> Iterator[str]:
    lines = list(_lines(sent))
    unseen = SURPLUS * sum((line.dollars for line in lines), Decimal(0)) / 5
    days = list(_days(month))
    lines += [_Line(day, _UNSEEN_MODEL, "output", Decimal(0), unseen) for day in days[10:15]]
    buckets = [
        {
            "starting_at": _midnight(day),
            "ending_at": _midnight(day + timedelta(days=1)),
            "results": [_anthropic_result(line) for line in lines if line.day == day],
        }
        for day in days
    ]
    yield json.dumps({"data": buckets, "has_more": False, "next_page": None})


def _anthropic_result(line: _Line) -> dict[str, Any]:
    return {
        "currency": "USD",
        "amount": plain(line.dollars * 100),
        "workspace_id": None,
        "description": f"{line.model} usage",
        "cost_type": "tokens",
        "model": line.model,
        "service_tier": "standard",
        "token_type": _ANTHROPIC.get(line.kind, line.kind),
    }


def _google(month: Month, sent: Sequence[Attributed]) -> Iterator[str]:
    lines = list(_lines(sent))
    dearer = [line for line in lines if line.model.startswith("gemini-2.5-pro")]
    factor = _more(lines, dearer)
    for line in lines:
        yield json.dumps(_google_row(month, line.times(Decimal(1), factor) if line in dearer else line))


def _google_row(month: Month, line: _Line) -> dict[str, Any]:
    credit = {"name": "Committed use", "type": "COMMITTED_USAGE_DISCOUNT", "amount": plain(-line.dollars / 100)}
    return {
        "billing_account_id": "000000-DEMO00-000000",
        "service": {"description": "Vertex AI"},
        "sku": {"id": line.kind, "description": f"{line.model} {_GOOGLE.get(line.kind, line.kind)} - Predictions"},
        "usage_start_time": _midnight(line.day),
        "usage_end_time": _midnight(line.day + timedelta(days=1)),
        "cost": plain(line.dollars),
        "currency": "USD",
        "usage": {"amount": int(line.tokens), "unit": "count"},
        "credits": [credit] if line.kind == "output" else [],
        "invoice": {"month": f"{month.first:%Y%m}"},
        "cost_type": "regular",
    }


def _days(month: Month) -> Iterator[date]:
    day = month.first
    while day < Granularity.MONTH.next_day(month.first):
        yield day
        day += timedelta(days=1)


def _midnight(day: date) -> str:
    return f"{day.isoformat()}T00:00:00Z"
