"""The public list against the package's own calculation."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, localcontext
from itertools import pairwise

import pytest
from genai_prices.data import providers
from genai_prices.types import (
    ClauseEquals,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    PriceVariant,
    Provider,
    StartDateConstraint,
    TimeOfDateConstraint,
    Usage,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from core.money import quantize, to_pico
from pricing.cards import compile_card, compile_unit_rate, rate, rate_quantity
from pricing.public import Context, Listed, context_of, find
from pricing.usage import TokenUsage
from tests.pricing.strategies import usages

CATALOGUE = [Listed(provider, model) for provider in providers for model in provider.models]
WITH_VARIANTS = [listed for listed in CATALOGUE if listed.model.price_variants]
BY_THE_HOUR = [listed for listed in CATALOGUE if listed.breaks(date(2026, 11, 22))]
CONTEXTS = [
    None,
    Context("processing", "batch"),
    *(Context("service_tier", tier) for tier in ("default", "flex", "priority", "fast", "standard")),
]

instants = st.datetimes(datetime(2024, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def library_usage(usage: TokenUsage) -> Usage:
    written = usage.cache_creation + usage.cache_creation_1h
    return Usage(
        input_tokens=usage.input_total,
        cache_read_tokens=usage.cache_read,
        cache_write_tokens=written,
        cache_write_5m_tokens=usage.cache_creation,
        cache_write_1h_tokens=usage.cache_creation_1h,
        input_audio_tokens=usage.audio_input,
        cache_audio_read_tokens=0,
        cache_audio_write_tokens=0,
        output_tokens=usage.output + usage.reasoning + usage.audio_output,
        output_reasoning_tokens=usage.reasoning,
        output_audio_tokens=usage.audio_output,
        output_audio_reasoning_tokens=0,
    )


def library_pico(listed: Listed, usage: Usage, at: datetime, context: Context | None) -> int:
    asked = {context.key: context.value} if context else None
    with localcontext(prec=60):
        price = listed.model.calc_price(usage, listed.provider, genai_request_timestamp=at, price_context=asked)
    return to_pico(quantize(price.total_price))


def assert_agrees(listed: Listed, usage: TokenUsage, at: datetime, context: Context | None) -> None:
    """Equal to the last pico, or unpriced exactly where the package lacks the price and charges nothing instead."""
    rates = listed.rates(at, context)
    assert rates is not None
    rated = rate(compile_card(rates, "USD"), usage)
    if rated.cost_pico is not None:
        assert rated.cost_pico == library_pico(listed, library_usage(usage), at, context)
    else:
        lacks_input = "input_tokens" not in rates and sum(usage[:5]) > 0
        lacks_output = "output_tokens" not in rates and sum(usage[5:]) > 0
        assert lacks_input or lacks_output
        assert rated.reason.startswith("no_rate_for:")


def test_every_model_costs_what_the_package_says() -> None:
    draw = random.Random(20261122)
    at = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)
    for listed in CATALOGUE:
        usage = TokenUsage(*(draw.randrange(150_000) for _ in TokenUsage._fields))
        assert_agrees(listed, usage, at, None)


@settings(max_examples=1500, deadline=None)
@given(
    st.sampled_from(CATALOGUE) | st.sampled_from(WITH_VARIANTS) | st.sampled_from(BY_THE_HOUR),
    usages,
    instants,
    st.sampled_from(CONTEXTS),
)
def test_any_usage_at_any_time_costs_what_the_package_says(
    listed: Listed, usage: TokenUsage, at: datetime, context: Context | None
) -> None:
    assert_agrees(listed, usage, at, context)


@given(st.sampled_from(BY_THE_HOUR), st.dates(date(2025, 1, 1), date(2026, 12, 31)))
@settings(max_examples=50, deadline=None)
def test_prices_by_the_hour_change_at_the_breaks_and_nowhere_else(listed: Listed, day: date) -> None:
    midnight = datetime.combine(day, time(), UTC)
    edges = [midnight, *listed.breaks(day), midnight + timedelta(days=1)]
    usage = TokenUsage(uncached_input=1_000_003, cache_read=17, output=1_000_001)
    for start, end in pairwise(edges):
        rates = listed.rates(start, None)
        assert rates is not None
        cost = rate(compile_card(rates, "USD"), usage).cost_pico
        for instant in (start, start + (end - start) / 2, end - timedelta(microseconds=1)):
            assert cost == library_pico(listed, library_usage(usage), instant, None)


def test_deepseek_has_prices_by_the_hour() -> None:
    listed = find("deepseek", "deepseek-chat")
    assert listed is not None
    assert listed.breaks(date(2025, 6, 1)) == [
        datetime(2025, 6, 1, 0, 30, tzinfo=UTC),
        datetime(2025, 6, 1, 16, 30, tzinfo=UTC),
    ]
    origins = [listed.rates(datetime(2025, 6, 1, hour, tzinfo=UTC), None) or {} for hour in (0, 12, 20)]
    assert [rates["input_tokens"].origin for rates in origins] == [
        "public:deepseek/deepseek-chat@2025-06-01T00:00",
        "public:deepseek/deepseek-chat@2025-06-01T00:30",
        "public:deepseek/deepseek-chat@2025-06-01T16:30",
    ]


def test_the_day_of_a_price_is_the_utc_day() -> None:
    listed = find("openai", "gpt-4o")
    assert listed is not None
    rates = listed.rates(datetime.fromisoformat("2026-11-22T23:30:00-02:00"), None)
    assert rates is not None
    assert rates["input_tokens"].origin == "public:openai/gpt-4o@2026-11-23"


def synthetic(*prices: ConditionalPrice, variants: list[PriceVariant] | None = None) -> Listed:
    model = ModelInfo("m", ClauseEquals("m"), prices=list(prices), price_variants=variants)
    provider = Provider("p", "P", "x", models=[model])
    return Listed(provider, model)


def test_a_model_whose_prices_have_not_begun_has_none() -> None:
    starting = ConditionalPrice(StartDateConstraint(date(2026, 3, 1)), prices=ModelPrice(input_mtok=Decimal(1)))
    listed = synthetic(starting)
    assert listed.rates(datetime(2026, 2, 28, 23, 59, 59, 999_999, tzinfo=UTC), None) is None
    assert listed.rates(datetime(2026, 3, 1, tzinfo=UTC), None) is not None


def test_the_first_variant_with_a_price_wins_unit_by_unit() -> None:
    batch = {"processing": "batch"}
    variants = [
        PriceVariant(batch, ModelPrice(input_mtok=Decimal(9)), StartDateConstraint(date(2027, 1, 1))),
        PriceVariant(batch, ModelPrice(input_mtok=Decimal(1))),
        PriceVariant({**batch, "route": "eu"}, ModelPrice(input_mtok=Decimal(8))),
        PriceVariant(batch, ModelPrice(input_mtok=Decimal(7), output_mtok=Decimal(3))),
    ]
    standard = ModelPrice(input_mtok=Decimal(2), cache_read_mtok=Decimal(1), output_mtok=Decimal(4))
    listed = synthetic(ConditionalPrice(prices=standard), variants=variants)
    at = datetime(2026, 11, 22, tzinfo=UTC)
    rates = listed.rates(at, Context("processing", "batch"))
    assert rates is not None
    assert {unit: rate.base for unit, rate in rates.items()} == {
        "input_tokens": 10**6,
        "cache_read_input_tokens": 10**6,
        "output_tokens": 3 * 10**6,
    }
    assert_agrees(listed, TokenUsage(10, 10, 0, 0, 0, 10), at, Context("processing", "batch"))


def test_a_window_over_midnight_in_another_zone_breaks_the_utc_day_where_it_should() -> None:
    east = datetime.fromisoformat("2026-01-01T00:00:00+08:00").timetz()
    night = ConditionalPrice(TimeOfDateConstraint(east, east.replace(hour=9)), prices=ModelPrice(input_mtok=Decimal(1)))
    listed = synthetic(ConditionalPrice(prices=ModelPrice(input_mtok=Decimal(2))), night)
    day = date(2026, 5, 5)
    assert [edge.hour for edge in listed.breaks(day)] == [1, 16]
    prices = []
    for hour in (0, 1, 15, 16):
        rates = listed.rates(datetime(2026, 5, 5, hour, tzinfo=UTC), None)
        assert rates is not None
        prices.append(rates["input_tokens"].base)
    assert prices == [10**6, 2 * 10**6, 2 * 10**6, 10**6]


@pytest.mark.parametrize(
    ("workload", "tier", "context"),
    [
        ("interactive", "", None),
        ("batch", "", Context("processing", "batch")),
        ("batch", "flex", Context("processing", "batch")),
        ("interactive", "batch", Context("processing", "batch")),
        ("interactive", "Priority", Context("service_tier", "priority")),
    ],
)
def test_batch_outranks_the_service_tier(workload: str, tier: str, context: Context | None) -> None:
    assert context_of(workload, tier) == context


@pytest.mark.parametrize(
    ("provider", "model", "context", "suffix"),
    [
        ("openai", "gpt-4o", Context("processing", "batch"), ";processing=batch"),
        ("openai", "gpt-4o", Context("service_tier", "priority"), ";service_tier=priority"),
        ("openai", "gpt-4o", Context("service_tier", "default"), ""),
        ("anthropic", "claude-sonnet-4-5", Context("service_tier", "standard"), ""),
        ("azure", "gpt-4o", Context("processing", "batch"), ";processing=batch:standard"),
        ("openai", "gpt-4o", Context("service_tier", "scale"), ";service_tier=scale:standard"),
    ],
)
def test_the_price_id_says_whether_the_context_has_a_price(
    provider: str, model: str, context: Context, suffix: str
) -> None:
    listed = find(provider, model)
    assert listed is not None
    rates = listed.rates(datetime(2026, 11, 22, tzinfo=UTC), context)
    assert rates is not None
    assert rates["input_tokens"].origin == f"public:{provider}/{model}@2026-11-22{suffix}"


@pytest.mark.parametrize(
    ("provider", "model", "found"),
    [
        ("azure.ai.openai", "gpt-4o-2024-08-06", ("azure", "gpt-4o")),
        ("az.ai.inference", "gpt-4o", ("azure", "gpt-4o")),
        ("x_ai", "grok-3", ("x-ai", "grok-3")),
        ("gcp.gen_ai", "models/gemini-2.5-flash", ("google", "gemini-2.5-flash")),
        ("gcp.vertex_ai", "claude-sonnet-4@20250514", ("google", "claude-4-sonnet")),
        ("aws.bedrock", "us.amazon.nova-lite-v1:0", ("aws", "amazon.nova-lite-v1:0")),
        (
            "aws.bedrock",
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-sonnet-4-20250514-v1:0",
            ("aws", "regional.anthropic.claude-sonnet-4-20250514-v1:0"),
        ),
        (
            "aws.bedrock",
            "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
            ("aws", "global.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ),
        ("aws.bedrock", "arn:aws:bedrock:us-east-1:1:custom-model/claude-sonnet-4-20250514/abc123", None),
        ("mistral_ai", "mistral-large-latest", ("mistral", "mistral-large")),
        ("openai", "openai/gpt-4o", ("openai", "gpt-4o")),
        ("openai.chat", "gpt-4o", ("openai", "gpt-4o")),
        ("openrouter", "openai/gpt-4o", ("openrouter", "openai/gpt-4o")),
        ("litellm", "azure/gpt-4o", ("azure", "gpt-4o")),
        ("", "openai/gpt-4o", ("openai", "gpt-4o")),
        ("", "gpt-4o", ("openai", "gpt-4o")),
        ("", "GPT-4o", ("openai", "gpt-4o")),
        ("", "models/gemini-2.5-flash", ("google", "gemini-2.5-flash")),
        ("", "gpt-4o-audio-preview-of-grok", None),
        ("", "llama-3", None),
        ("", "", None),
        ("openai", "", None),
        ("openai", "claude-sonnet-4-5", None),
        ("openai", "gpt-4o-of-my-own", None),
        ("my-openai-proxy", "gpt-4o", None),
    ],
)
def test_names_find_their_model_and_are_never_guessed(provider: str, model: str, found: tuple[str, str] | None) -> None:
    listed = find(provider, model)
    assert (listed and (listed.provider.id, listed.model.id)) == found


def test_every_listed_id_finds_a_model_of_its_provider() -> None:
    for listed in CATALOGUE:
        if listed.provider.find_model(listed.model.id):
            again = find(listed.provider.id, listed.model.id)
            assert again is not None
            assert again.provider is listed.provider


UNIT_PRICED = [
    (listed, unit)
    for listed in CATALOGUE
    for unit in ("web_searches", "audio_seconds", "input_document_pages", "input_characters")
    if unit in (listed.rates(datetime(2026, 11, 22, tzinfo=UTC), None) or {})
]


@given(st.sampled_from(UNIT_PRICED), st.integers(0, 10_000))
@settings(deadline=None)
def test_other_units_cost_what_the_package_says(priced: tuple[Listed, str], quantity: int) -> None:
    listed, unit = priced
    at = datetime(2026, 11, 22, tzinfo=UTC)
    rates = listed.rates(at, None)
    assert rates is not None
    fee = rates["requests"].base if "requests" in rates else 0
    counts = {"input_audio_seconds": 0, "audio_seconds": 0, unit: quantity}
    expected = library_pico(listed, Usage(**counts), at, None) - fee
    assert rate_quantity(compile_unit_rate(rates[unit], "USD"), Decimal(quantity)).cost_pico == expected


def test_whisper_on_groq_bills_ten_seconds_at_least() -> None:
    listed = find("groq", "whisper-large-v3")
    assert listed is not None
    rates = listed.rates(datetime(2026, 11, 22, tzinfo=UTC), None)
    assert rates is not None
    price = compile_unit_rate(rates["audio_seconds"], "USD")
    assert rate_quantity(price, Decimal(1)) == rate_quantity(price, Decimal(10))
