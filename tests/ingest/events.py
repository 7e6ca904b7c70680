"""Wire events for tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

NOW = datetime.now(UTC).replace(microsecond=0)


def ago(**delta: float) -> str:
    """RFC 3339 text of an instant that long ago."""
    return (NOW - timedelta(**delta)).isoformat().replace("+00:00", "Z")


def wire_event(event_id: str | None = "e1", **fields: Any) -> dict[str, Any]:
    """A valid event; fields set to None are left out."""
    event = {
        "event_id": event_id,
        "start_time": ago(hours=1),
        "tenant_id": "acme",
        "feature": "search",
        "provider_name": "openai",
        "request_model": "gpt-4o",
        "input_tokens": 1_000,
        "output_tokens": 100,
    }
    return {name: value for name, value in (event | fields).items() if value is not None}
