"""A stored row holds all that its price depends on: rated again at the same prices, it has the same money."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.database import Database
from core.settings import Settings
from ingest.payloads import EventPayload
from ingest.rating import Measured, Rater, token_usage
from ingest.rules import quantity
from pricing.book import PriceBook
from tests.engines import fresh_sqlite_url

NOW = datetime(2026, 3, 2, tzinfo=UTC)
COUNTS = st.none() | st.integers(0, 3) | st.integers(0, 10**9)
MODELS = st.sampled_from(["", "gpt-4o", "claude-sonnet-4-5", "gemini-2.5-pro", "acme-llm", "whisper-large-v3"])

EVENTS = st.builds(
    EventPayload,
    start_time=st.integers(-600, 300).map(lambda days: NOW + timedelta(days=days, microseconds=days)),
    tenant_id=st.sampled_from(["acme", "globex"]),
    provider_name=st.sampled_from(["openai", "anthropic", "google", "groq", "pool", ""]),
    request_model=MODELS,
    response_model=MODELS,
    workload=st.sampled_from(["interactive", "batch"]),
    service_tier=st.sampled_from(["", "priority", "flex"]),
    cache_read_input_tokens=COUNTS,
    cache_creation_input_tokens=COUNTS,
    audio_input_tokens=COUNTS,
    reasoning_output_tokens=COUNTS,
    input_tokens=st.none() | st.just(0),
    output_tokens=st.none() | st.just(0),
)
UNITS = st.sampled_from([None, ("gpu_seconds", "0.000000001"), ("gpu_seconds", 0), ("audio_seconds", 61.5), ("x", 3)])


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PriceBook]:
    database = Database(fresh_sqlite_url(tmp_path_factory.mktemp("prices")))
    database.migrate()
    book = PriceBook(database.session)
    for provider, model, unit, price in (
        ("openai", "gpt-4o", "input_tokens", "3.3"),
        ("openai", "", "requests", "0.01"),
        ("pool", "", "gpu_seconds", "0.123456789012"),
        ("pool", "", "x", "999999"),
    ):
        book.add(
            provider=provider,
            model=model,
            unit=unit,
            price=Decimal(price),
            effective_from=datetime(2025, 6, 1, tzinfo=UTC),
        )
    book.warm()
    yield book
    database.close()


@settings(deadline=None)
@given(event=EVENTS, unit=UNITS, cost=st.none() | st.integers(0, 10**17), prefer=st.booleans())
def test_the_same_prices_give_the_same_money(
    book: PriceBook, event: EventPayload, unit: tuple[str, str | int | float] | None, cost: int | None, prefer: bool
) -> None:
    event.unit, event.quantity = unit or ("", None)
    if event.input_tokens is not None:  # the whole, when it is told, includes its parts
        parts = (event.cache_read_input_tokens, event.cache_creation_input_tokens, event.audio_input_tokens)
        event.input_tokens = sum(part or 0 for part in parts)
    if event.output_tokens is not None:
        event.output_tokens = event.reasoning_output_tokens or 0
    rater = Rater(book, Settings(prefer_reported_cost=prefer, _env_file=None))
    measured = Measured(event, token_usage(event), quantity(event), cost)
    row = rater.row(measured, event_id="e", source="test", received_at=NOW, version=1)
    assert rater.rerated(row) == row
