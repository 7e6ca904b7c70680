"""Bills for tests: OpenAI's costs report, made of amounts, and the example files."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parents[1] / "fixtures" / "bills"


def openai_costs(*items: tuple[date, str, str] | tuple[date, str, str, float], project: str | None = None) -> bytes:
    """A page of OpenAI's costs report with a result for each day, line item, amount and, where given, tokens."""
    buckets: dict[date, list[dict[str, Any]]] = {}
    for day, item, amount, *quantity in items:
        result = {
            "object": "organization.costs.result",
            "amount": {"value": amount, "currency": "usd"},
            "line_item": item,
            "project_id": project,
            "quantity": quantity[0] if quantity else None,
            "quantity_unit": "tokens" if quantity else None,
        }
        buckets.setdefault(day, []).append(result)
    data = [
        {"object": "bucket", "start_time": unix(day), "end_time": unix(day) + 86_400, "results": results}
        for day, results in buckets.items()
    ]
    return json.dumps({"object": "page", "data": data, "has_more": False, "next_page": None}).encode()


def unix(day: date) -> int:
    """The unix second of the day's start in UTC."""
    return int(datetime.combine(day, time(), UTC).timestamp())


def post_bill(api: Any, body: bytes, *, key: str | None = None, **parameters: str) -> Any:
    """The response to `POST /v1/bills`."""
    headers = {"authorization": f"Bearer {key or api.key}"}
    return api.client.post("/v1/bills", content=body, params=parameters, headers=headers)


def cost_of(api: Any, where: str = "{}", period: tuple[str, str] | None = None) -> Decimal:
    """The effective cost of a slice."""
    between = f'between: {{start: "{period[0]}", end: "{period[1]}"}}' if period else "preset: LAST_90_DAYS"
    query = f"{{ costs(timeRange: {{{between}}}, where: {where}) {{ totals {{ effectiveCost }} }} }}"
    return Decimal(api.data(query)["costs"]["totals"]["effectiveCost"])
