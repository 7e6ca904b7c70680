"""What the demo company buys: models, metered services, and the kinds of step its features are built from."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from api.demo.terms import AgreedPrice, Failure, Metered, Model, Step, Tokens

NEGOTIATED_PRICES: Final = (
    AgreedPrice("gpu-pool", "a100-80gb", "gpu_seconds", "2.52", 3600, "Committed use, price per A100 hour"),
    AgreedPrice("gpu-pool", "l4-24gb", "gpu_seconds", "0.72", 3600, "Committed use, price per L4 hour"),
)

GPT_4O: Final = Model(
    provider_name="openai",
    request_model="gpt-4o",
    response_model="gpt-4o-2024-08-06",
    latency_ms=430,
    ms_per_unit=11,
    failure_rate=0.058,
)
GPT_4O_MINI: Final = Model(
    provider_name="openai",
    request_model="gpt-4o-mini",
    response_model="gpt-4o-mini-2024-07-18",
    latency_ms=340,
    ms_per_unit=8,
    failure_rate=0.058,
)
GPT_41: Final = Model(
    provider_name="openai",
    request_model="gpt-4.1",
    response_model="gpt-4.1-2025-04-14",
    latency_ms=480,
    ms_per_unit=12,
    failure_rate=0.058,
)
SONNET: Final = Model(
    provider_name="anthropic",
    request_model="claude-sonnet-4-5",
    response_model="claude-sonnet-4-5-20250929",
    latency_ms=820,
    ms_per_unit=15,
    failure_rate=0.068,
    cache_writes=True,
)
HAIKU: Final = Model(
    provider_name="anthropic",
    request_model="claude-haiku-4-5",
    response_model="claude-haiku-4-5-20251001",
    latency_ms=390,
    ms_per_unit=6,
    failure_rate=0.058,
    cache_writes=True,
)
GEMINI_FLASH: Final = Model(
    provider_name="google",
    request_model="gemini-2.5-flash",
    response_model="gemini-2.5-flash",
    latency_ms=360,
    ms_per_unit=5,
    failure_rate=0.05,
    reasoning=0.3,
)
GEMINI_PRO: Final = Model(
    provider_name="google",
    request_model="gemini-2.5-pro",
    response_model="gemini-2.5-pro",
    latency_ms=1500,
    ms_per_unit=9,
    failure_rate=0.068,
    reasoning=0.55,
)
REALTIME: Final = Model(
    provider_name="openai",
    request_model="gpt-realtime",
    response_model="gpt-realtime",
    latency_ms=290,
    ms_per_unit=18,
    failure_rate=0.058,
    speaks=True,
)
PREVIEW: Final = Model(
    provider_name="acme",
    request_model="acme-llm-preview",
    response_model="acme-llm-preview",
    latency_ms=900,
    ms_per_unit=14,
    failure_rate=0.06,
)
"""In no price book: its cost is unknown, and a report has to say so."""
EMBEDDER: Final = Model(
    provider_name="openai",
    request_model="text-embedding-3-small",
    response_model="text-embedding-3-small",
    latency_ms=60,
)
PINECONE: Final = Model(provider_name="pinecone", request_model="", latency_ms=35)
RERANKER: Final = Model(
    provider_name="cohere", request_model="rerank-v3.5", response_model="rerank-v3.5", latency_ms=110
)
WEB_SEARCH: Final = Model(provider_name="tavily", request_model="", latency_ms=950, failure_rate=0.04)
SANDBOX: Final = Model(provider_name="e2b", request_model="", latency_ms=400, ms_per_unit=1000, failure_rate=0.03)
CRM: Final = Model(provider_name="internal", request_model="", latency_ms=70)
A100: Final = Model(provider_name="gpu-pool", request_model="a100-80gb", latency_ms=120, ms_per_unit=1000)
L4: Final = Model(provider_name="gpu-pool", request_model="l4-24gb", latency_ms=90, ms_per_unit=1000)
REVIEWERS: Final = Model(
    provider_name="internal", request_model="", latency_ms=2000, ms_per_unit=60_000, failure_rate=0
)

SERVICE_FAILURES: Final = (
    Failure("timeout", "timeout", 0.4, 1.0),
    Failure("error", "server_error", 0.35, 0.5),
    Failure("rate_limited", "rate_limit_exceeded", 0.25, 0.0),
)
MODEL_FAILURES: Final = (
    Failure("error", "invalid_output", 0.42, 1.0),
    Failure("timeout", "timeout", 0.3, 1.0),
    Failure("error", "server_error", 0.16, 0.6),
    Failure("rate_limited", "rate_limit_exceeded", 0.12, 0.0),
)
TIMEOUT_MS: Final = 30_000


def chat(
    *models: tuple[Model, float],
    fallback: Model,
    usage: Tokens,
    stage: str = "generate",
    chance: float = 1.0,
    cache_hits: float = 0.0,
) -> Step:
    """A streamed call to one of `models`; `fallback` takes over when they keep failing."""
    return Step(
        stage=stage,
        operation_name="chat",
        cost_category="llm",
        models=models,
        usage=usage,
        failures=MODEL_FAILURES,
        fallback=fallback,
        chance=chance,
        cache_hits=cache_hits,
        streams=True,
    )


def embed(tokens: float) -> Step:
    """An embedding of a text of `tokens` tokens."""
    return Step(
        stage="embed",
        operation_name="embeddings",
        cost_category="embedding",
        models=((EMBEDDER, 1.0),),
        usage=Tokens(input=tokens),
        failures=SERVICE_FAILURES,
    )


def retrieve(reads: float) -> Step:
    """A vector query of `reads` read units, at 16 US dollars a million."""
    usage = Metered(unit="vector_reads", quantity=reads, unit_cost=Decimal("0.000016"))
    return _metered("retrieve", "retrieval", "vector_db", PINECONE, usage)


def rerank() -> Step:
    """A rerank of one result list, at 2 US dollars a thousand."""
    usage = Metered(unit="searches", quantity=1, unit_cost=Decimal("0.002"), spread=0.1)
    return _metered("rerank", "rerank", "rerank", RERANKER, usage)


def tool(service: Model, unit: str, quantity: float, unit_cost: str, *, chance: float = 1.0) -> Step:
    """A tool call metered in `unit`, at `unit_cost` US dollars each."""
    usage = Metered(unit=unit, quantity=quantity, unit_cost=Decimal(unit_cost))
    return _metered("tool", "execute_tool", "tool", service, usage, chance=chance)


def gpu(pool: Model, seconds: float) -> Step:
    """Inference on the company's own GPUs: no cost is reported, the negotiated price applies."""
    usage = Metered(unit="gpu_seconds", quantity=seconds, places=2)
    return _metered("gpu", "generate_content", "gpu", pool, usage)


def review(minutes: float, *, chance: float) -> Step:
    """A person looks at the answer some twenty minutes later, at 39 US dollars an hour."""
    usage = Metered(unit="minutes", quantity=minutes, unit_cost=Decimal("0.65"), places=1)
    return _metered("human_review", "human_review", "human_review", REVIEWERS, usage, chance=chance, delay_ms=1.2e6)


def _metered(
    stage: str,
    operation_name: str,
    cost_category: str,
    service: Model,
    usage: Metered,
    *,
    chance: float = 1.0,
    delay_ms: float = 20.0,
) -> Step:
    return Step(
        stage=stage,
        operation_name=operation_name,
        cost_category=cost_category,
        models=((service, 1.0),),
        usage=usage,
        failures=SERVICE_FAILURES,
        chance=chance,
        delay_ms=delay_ms,
    )
