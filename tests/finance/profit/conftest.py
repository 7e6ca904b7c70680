"""A small company whose October can be worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from tests.app import Api

OCTOBER = '{between: {start: "2026-10-01T00:00:00Z", end: "2026-11-01T00:00:00Z"}}'


def usage(tenant: str, at: str, cost: str, **fields: Any) -> dict[str, Any]:
    """One operation of 1,000 tokens at that time of October 2026, with a reported cost."""
    usual = {"feature": "chat", "user_id": "ada", "cost_category": "llm"}
    return {
        "event_id": f"{tenant} {at} {fields}",
        "tenant_id": tenant,
        "start_time": f"2026-10-{at}:00Z",
        "provider_name": "openai",
        "request_model": "gpt-4o",
        "input_tokens": 900,
        "output_tokens": 100,
        "cost": {"amount": cost, "currency": "USD"},
        **usual,
        **fields,
    }


EVENTS = [
    usage("acme", "02T10:00", "30"),
    usage("acme", "12T10:00", "20", user_id="bob", feature="search"),
    usage("acme", "22T10:00", "10", user_id="bob", cost_category="gpu"),
    usage("globex", "05T10:00", "4"),
    usage("globex", "25T10:00", "6", feature="search"),
    usage("stray", "08T10:00", "7"),
]

TIERS = """mutation ($meters: [MeterInput!]!) {
  free: createTier(input: {key: "free", name: "Free"}) { errors { code message } }
  pro: createTier(input: {key: "pro", name: "Pro"}) { errors { code message } }
  a: setTierTerms(input: {tier: "free", effectiveFrom: "2026-01-01T00:00:00Z", terms: {periodFee: "0"}}) {
    errors { code message } }
  b: setTierTerms(input: {tier: "pro", effectiveFrom: "2026-01-01T00:00:00Z",
    terms: {periodFee: "31", meters: $meters, discountPercent: "10"}}) { errors { code message } }
  c: assignTier(input: {tenant: "acme", tier: "pro", start: "2026-01-01T00:00:00Z"}) { errors { code message } }
  d: assignTier(input: {tenant: "globex", tier: "free", start: "2026-01-01T00:00:00Z"}) { errors { code message } }
  e: assignTier(input: {tenant: "globex", tier: "pro", start: "2026-10-21T00:00:00Z"}) { errors { code message } }
}"""
METERS = [{"measure": "TOTAL_TOKENS", "included": "1550", "bands": [{"price": "10", "per": 1000}]}]


@pytest.fixture
def company(embedded_api: Api) -> Api:
    """Acme is pro, Globex became pro on 21 October, Stray has no tier."""
    receipt = embedded_api.post_events(EVENTS).json()
    assert receipt["accepted"] == len(EVENTS), receipt
    done = embedded_api.data(TIERS, meters=METERS)
    assert all(payload["errors"] == [] for payload in done.values()), done
    return embedded_api
