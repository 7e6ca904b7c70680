"""Rows of `events` for tests: one at a time with sensible defaults, and many at once, seeded and as odd as life."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from typing import Any, Final
from zoneinfo import ZoneInfo

from attribution.event import COLUMNS, ColumnType, EventRow, row_version
from attribution.store import Store
from attribution.tier_history import TierHistory, TierSpan
from core.time import Window

NOON: Final = datetime(2026, 3, 2, 12, tzinfo=UTC)
ARRIVAL: Final = NOON + timedelta(seconds=90)
ALL_TIME: Final = Window(datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
CENT: Final = 10_000_000_000
"""In pico units."""

BLANK: Final[dict[str, Any]] = {
    name: {ColumnType.TEXT: "", ColumnType.ATTEMPT: 1, ColumnType.TAGS: {}}.get(type_, type_.absent)
    for name, type_ in COLUMNS.items()
}
_USUAL: Final[dict[str, Any]] = {
    "tenant_id": "acme",
    "version": row_version(1, ARRIVAL),
    "start_time": NOON,
    "ingested_at": ARRIVAL,
    "kind": "usage",
    "source": "events",
    "team": "search",
    "feature": "answers",
    "user_id": "ada",
    "request_id": "r1",
    "environment": "production",
    "provider_name": "openai",
    "request_model": "gpt-4o",
    "response_model": "gpt-4o-2024-08-06",
    "operation_name": "chat",
    "cost_category": "llm",
    "status": "ok",
    "workload": "interactive",
    "duration_ms": 800,
    "time_to_first_token_ms": 200,
    "uncached_input_tokens": 1000,
    "text_output_tokens": 100,
    "effective_cost": CENT,
    "billing_currency": "USD",
    "cost_source": "rated",
}
_serials = count(1)


def event(**fields: Any) -> EventRow:
    """A plausible row; whatever is given replaces the usual. Without an `event_id` each is another event."""
    return EventRow(**{**BLANK, **_USUAL, "event_id": f"e{next(_serials)}", **fields})


HOSTILE_TEXTS: Final = (
    "'; DROP TABLE events; --",
    "' OR '1'='1",
    "\\' OR 1=1 --",
    "\\",
    "\\N",
    "trailing\\",
    "{p0:String}",
    "{p1:Array(String)}",
    "%s %(p0)s %%",
    "a\x00b",
    "tab\tnew\nline\rreturn",
    "`backtick` \"double\" 'single'",
    "/* comment */ -- # ;",
    "naïve 漢字 👩\u200d👩\u200d👧 \u202eabc",
    "\ufeff",
    "[1, 'x']",
    "NULL",
    " ",
)

ZONES: Final = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "Africa/Cairo",
    "Pacific/Apia",
    "Pacific/Chatham",
    "America/Vancouver",
    "Africa/Casablanca",
)
TURNS: Final = tuple(
    datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    for zone, local in (
        ("Pacific/Apia", "2011-12-29T23:59"),
        ("Pacific/Apia", "2011-12-31T00:00"),
        ("America/Sao_Paulo", "2018-11-04T00:00"),
        ("America/Sao_Paulo", "2018-02-17T23:00"),
        ("Africa/Cairo", "2024-04-26T00:00"),
        ("Australia/Lord_Howe", "2025-04-06T01:45"),
        ("Australia/Lord_Howe", "2025-10-05T02:15"),
        ("Europe/Berlin", "2025-10-26T02:30"),
        ("Europe/Berlin", "2026-03-29T02:30"),
        ("America/New_York", "2026-03-08T02:00"),
        ("America/Vancouver", "2026-11-01T01:30"),
        ("Africa/Casablanca", "2026-02-15T02:30"),
        ("Pacific/Chatham", "2026-04-05T03:15"),
        ("Asia/Kolkata", "2026-01-01T00:00"),
        ("Asia/Kathmandu", "2026-03-02T00:00"),
        ("UTC", "2025-12-31T23:59:59.999999"),
    )
)
"""Instants about which calendars disagree: clocks turned, midnights that vanish, days that never were, years that end."""

_TURNS = sorted(turn.replace(microsecond=0) for turn in TURNS)
TIERS: Final = TierHistory(
    (
        TierSpan("acme", _TURNS[0], _TURNS[4], "free", "1"),
        TierSpan("acme", _TURNS[4], _TURNS[9], "pro", "2"),
        TierSpan("acme", _TURNS[12], None, "pro", "3"),
        TierSpan("Acme", _TURNS[1], NOON + timedelta(days=9), "free", "4"),
        TierSpan("globex", datetime(2000, 1, 1, tzinfo=UTC), _TURNS[7], HOSTILE_TEXTS[0], "5"),
        TierSpan("globex", _TURNS[7], _TURNS[8], "Pro", "6"),
        TierSpan(HOSTILE_TEXTS[0], _TURNS[3], None, HOSTILE_TEXTS[3], "7"),
    )
)
"""What every store of these tests knows of tiers: gaps, changes at the very instants of events, no end, odd names."""

_STEPS = tuple(
    timedelta(microseconds=micros) for micros in (0, -1, 1, -1_000_000, 1_800_000_000, 3_599_999_999, 3_600_000_000)
)
_MODELS = ("", "gpt-4o", "GPT-4o-mini", "claude-sonnet", "modèle-é")
_CHOICES: Final[dict[str, Sequence[Any]]] = {
    "tenant_id": ("acme", "Acme", "globex", "初音", HOSTILE_TEXTS[0]),
    "kind": ("usage", "usage", "usage", "charge"),
    "team": ("", "search", "growth", "Búsqueda"),
    "feature": ("", "answers", "Answers", "résumé", "a\tb", HOSTILE_TEXTS[3]),
    "user_id": ("", "ada", "bob", "eve\x00", "用户", "ada "),
    "session_id": ("", "s1", "s2"),
    "request_id": ("", "r1", "r2", "r3", "r4", "r5", "r6"),
    "environment": ("production", "production", "staging", ""),
    "region": ("", "eu-central-1"),
    "service_name": ("", "api", "worker"),
    "endpoint": ("", "/v1/answers", "/v1/{id}"),
    "prompt_name": ("", "greet"),
    "prompt_version": ("", "1", "10", "2"),
    "workload": ("interactive", "batch"),
    "stage": ("", "retrieve", "rerank", "generate"),
    "provider_name": ("", "openai", "anthropic"),
    "provider_account": ("", "proj_1"),
    "charge_category": ("", "purchase", "tax"),
    "allocated_method_id": ("", "rule-1"),
    "request_model": _MODELS,
    "response_model": _MODELS,
    "operation_name": ("chat", "embeddings"),
    "service_tier": ("", "flex"),
    "cost_category": ("llm", "vector_db"),
    "status": ("ok", "ok", "ok", "ok", "error", "timeout", "rate_limited", "cancelled", "filtered"),
    "error_type": ("", "", "RateLimit"),
    "attempt": (1, 1, 1, 2, 3, 65_535),
    "cache_hit": (False, False, True),
    "fallback": (False, False, True),
    "unit": ("", "page"),
    "quantity": (0, 1, 1_500_000_000),
    "source": ("events", "otlp"),
    "unpriced_reason": ("", "no price"),
    "price_id": ("", "p1"),
}
_DURATIONS = (None, 0, 1, 5, 5, 5, 100, 101, 4_294_967_295)
_TOKENS = (0, 0, 1, 2, 1_000, 4_294_967_295)
_COSTS = (None, None, 0, 1, CENT, CENT, 3 * CENT, -CENT, 333_333_333_333, 999_999_999_999_999_999)
_TAG_VALUES = ("", "gold", "Gold", "silver", "é", HOSTILE_TEXTS[1])


def random_row(random: Random, event_id: str) -> EventRow:
    """A row of few possible values, so that groups meet and ties happen, near an instant that calendars fall out over."""
    start = random.choice(TURNS) + random.choice(_STEPS) * random.choice((1, 1, 2, 24, 24 * 7))
    arrival = start + timedelta(milliseconds=random.randrange(10_000))
    tokens = {name: random.choice(_TOKENS) for name, type_ in COLUMNS.items() if type_ is ColumnType.COUNT}
    costs = {name: _random_cost(random) for name, type_ in COLUMNS.items() if type_ is ColumnType.COST}
    return event(
        event_id=event_id,
        version=row_version(1, arrival),
        start_time=start,
        ingested_at=arrival,
        duration_ms=random.choice(_DURATIONS),
        time_to_first_token_ms=random.choice(_DURATIONS),
        cache_savings=random.choice((0, 0, 1, -CENT, 7 * CENT)),
        tags={key: random.choice(_TAG_VALUES) for key in ("plan", "b'\\", "é") if random.random() < 0.5},
        **{name: random.choice(choices) for name, choices in _CHOICES.items()},
        **tokens,
        **costs,
    )


def _random_cost(random: Random) -> int | None:
    return random.choice((*_COSTS, random.randrange(10**12)))


def random_rows(seed: int, size: int) -> list[EventRow]:
    """Different events; the same ones for the same seed."""
    random = Random(seed)
    return [random_row(random, f"e{i}") for i in range(size)]


def corrected(row: EventRow, random: Random, client_version: int) -> EventRow:
    """A later version of the event, on the same UTC date: another time and cost, or a tombstone."""
    return row._replace(
        version=row_version(client_version, row.ingested_at + timedelta(days=1)),
        start_time=row.start_time.replace(minute=random.randrange(60)),
        effective_cost=_random_cost(random),
        status="ok",
        is_deleted=random.random() < 0.3,
    )


def random_history(seed: int, size: int) -> list[EventRow]:
    """Events, of which every fifth was later corrected or deleted, in no order."""
    random = Random(seed)
    rows = random_rows(seed, size)
    rows += [corrected(row, random, 2) for row in rows[::5]] + [corrected(row, random, 3) for row in rows[::20]]
    random.shuffle(rows)
    return rows


def batches(rows: Sequence[EventRow], random: Random, largest: int) -> Iterator[Sequence[EventRow]]:
    """The rows in order, cut at random places."""
    at = 0
    while at < len(rows):
        size = random.randint(1, largest)
        yield rows[at : at + size]
        at += size


def insert_in_batches(store: Store, rows: Sequence[EventRow], *, seed: int = 0, largest: int = 1_000) -> None:
    """Everything stored, in several inserts."""
    for batch in batches(rows, Random(seed), largest):
        store.insert(batch)
