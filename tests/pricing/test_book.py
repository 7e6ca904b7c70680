"""The price book on a real database: layers, dates, memory, and several writers."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from threading import Event
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, text
from sqlmodel import SQLModel

from core.database import Database, DatabaseUnavailable
from core.errors import ApportionError, Conflict
from core.money import InvalidAmount
from core.time import NaiveDatetime
from pricing.book import OtherCurrency, PriceBook, PriceExists, UnknownCurrency
from pricing.cards import rate, rate_quantity
from pricing.models import InvalidPrice, NegotiatedPrice
from pricing.quotes import Quote
from pricing.usage import TokenUsage

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
ONE_MILLION = TokenUsage(uncached_input=1_000_000)


def add(book: PriceBook, price: str, **fields: Any) -> NegotiatedPrice:
    given = {
        "provider": "openai",
        "model": "gpt-4o",
        "unit": "input_tokens",
        "per": 1_000_000,
        "effective_from": datetime(2026, 1, 1, tzinfo=UTC),
    }
    return book.add(price=Decimal(price), **{**given, **fields})


def quote(book: PriceBook, at: datetime = NOON, **fields: Any) -> Quote:
    call = {"provider": "openai", "request_model": "gpt-4o", "response_model": "", "tenant_id": "acme"}
    return book.quote(at=at, **{**call, **fields})


def dollars(book: PriceBook, at: datetime = NOON, **fields: Any) -> Decimal:
    """What a million uncached input tokens cost."""
    card = quote(book, at, **fields).card
    assert card is not None
    cost = rate(card, ONE_MILLION).cost_pico
    assert cost is not None
    return Decimal(cost) / 10**12


@contextmanager
def statements(database: Database) -> Iterator[list[str]]:
    """The SQL sent meanwhile."""
    seen: list[str] = []

    def record(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    event.listen(database.engine, "before_cursor_execute", record)
    yield seen
    event.remove(database.engine, "before_cursor_execute", record)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_without_agreements_the_public_price_is_paid(book: PriceBook) -> None:
    public = quote(book)
    assert public.card is public.list_card
    assert public.card is not None
    assert (public.card.price_id, public.card.currency) == ("public:openai/gpt-4o@2026-11-22", "USD")
    assert dollars(book) == Decimal("2.5")


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ({"provider": "acme-llm"}, "unknown_provider"),
        ({"provider": "", "request_model": "llama-3"}, "unknown_provider"),
        ({"request_model": "gpt-4o-of-my-own"}, "unknown_model"),
        ({"request_model": ""}, "unknown_model"),
        ({"provider": "google", "request_model": "gemma-3"}, "no_rate_for:tokens"),
    ],
)
def test_what_has_no_price_says_why(book: PriceBook, call: dict[str, Any], reason: str) -> None:
    assert quote(book, **call) == Quote(None, None, reason)


def test_the_response_model_is_looked_up_before_the_request_model(book: PriceBook) -> None:
    answered = quote(book, request_model="gpt-4o", response_model="gpt-4o-mini-2024-07-18").card
    asked = quote(book, request_model="gpt-4o", response_model="something-new").card
    assert answered is not None
    assert asked is not None
    assert answered.price_id == "public:openai/gpt-4o-mini@2026-11-22"
    assert asked.price_id == "public:openai/gpt-4o@2026-11-22"


LAYERS: list[tuple[str, dict[str, str]]] = [
    ("6", {"tenant_id": "acme", "model": "gpt-4o"}),
    ("5", {"tenant_id": "acme", "model": ""}),
    ("4", {"model": "gpt-4o"}),
    ("3", {"model": ""}),
]


@given(present=st.sets(st.sampled_from(range(len(LAYERS)))))
@settings(max_examples=16, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_most_specific_agreement_wins(database: Database, present: set[int]) -> None:
    SQLModel.metadata.drop_all(database.engine)
    SQLModel.metadata.create_all(database.engine)
    book = PriceBook(database.session)
    for position in sorted(present, reverse=True):
        price, fields = LAYERS[position]
        add(book, price, **fields)
    expected = Decimal(LAYERS[min(present)][0]) if present else Decimal("2.5")
    assert dollars(book) == expected
    others = {position for position in present if position >= 2}
    assert dollars(book, tenant_id="other") == (Decimal(LAYERS[min(others)][0]) if others else Decimal("2.5"))


def test_layers_are_per_unit_and_the_list_card_stays_public(book: PriceBook) -> None:
    first = add(book, "2")
    second = add(book, "9", unit="output_tokens", tenant_id="acme")
    layered = quote(book)
    assert layered.card is not None
    assert layered.list_card is not None
    assert layered.card.price_id == f"negotiated:{first.id}+public:openai/gpt-4o@2026-11-22+negotiated:{second.id}"
    assert layered.list_card.price_id == "public:openai/gpt-4o@2026-11-22"
    usage = TokenUsage(uncached_input=1, cache_read=1, output=1, reasoning=1)
    assert rate(layered.card, usage).cost_pico == 2_000_000 + 1_250_000 + 9_000_000 + 9_000_000
    assert rate(layered.list_card, usage).cost_pico == 2_500_000 + 1_250_000 + 10_000_000 + 10_000_000


def test_a_bucket_without_any_price_of_its_own_follows_the_negotiated_one(book: PriceBook) -> None:
    add(book, "2")
    card = quote(book).card
    assert card is not None
    assert rate(card, TokenUsage(cache_creation_1h=1_000_000)).cost_pico == 2 * 10**12


def test_an_agreement_is_enough_for_a_model_nobody_lists(book: PriceBook) -> None:
    row = add(book, "0.3", provider="Acme_LLM", model="House-1")
    own = quote(book, provider="acme-llm", request_model="house-1")
    assert own.list_card is None
    assert own.card is not None
    assert own.card.price_id == f"negotiated:{row.id}"
    assert rate(own.card, TokenUsage(uncached_input=10, output=1)).reason == "no_rate_for:output"
    assert rate(own.card, TokenUsage(uncached_input=10)).cost_pico == 3_000_000


def test_an_agreement_on_the_listed_name_covers_its_dated_versions(book: PriceBook) -> None:
    add(book, "2")
    assert dollars(book, request_model="", response_model="gpt-4o-2024-08-06") == 2
    assert dollars(book, provider="openai.chat", request_model="openai/gpt-4o") == 2
    assert dollars(book, provider="", request_model="gpt-4o") == 2


def test_an_agreement_on_the_request_does_not_cover_another_model_that_answered(book: PriceBook) -> None:
    add(book, "2")
    assert dollars(book, request_model="gpt-4o", response_model="gpt-4o-mini") == Decimal("0.15")


def test_an_agreement_on_a_deployment_name_counts(book: PriceBook) -> None:
    add(book, "2", provider="azure.ai.openai", model="my-deployment")
    assert dollars(book, provider="azure", request_model="my-deployment", response_model="gpt-4o-2024-08-06") == 2


def test_a_fee_per_request_is_charged_once_a_call(book: PriceBook) -> None:
    add(book, "0.001", unit="requests", per=1)
    card = quote(book).card
    assert card is not None
    assert rate(card, TokenUsage(uncached_input=2)).cost_pico == 10**9 + 2 * 2_500_000


def test_a_change_within_the_day_holds_from_its_very_microsecond(book: PriceBook) -> None:
    change = NOON.replace(hour=14, minute=7, second=3, microsecond=141_592)
    add(book, "3", effective_from=change + timedelta(hours=1))
    add(book, "2", effective_from=change - timedelta(days=30))
    add(book, "1", effective_from=change)
    assert dollars(book, change - timedelta(days=30) - MICROSECOND) == Decimal("2.5")
    assert [dollars(book, change + step) for step in (-MICROSECOND, timedelta(0), MICROSECOND)] == [2, 1, 1]
    assert [dollars(book, change + timedelta(hours=1) + step) for step in (-MICROSECOND, timedelta(0))] == [1, 3]
    elsewhere = datetime.fromisoformat("2026-11-22T16:07:03.141591+02:00")
    assert dollars(book, elsewhere) == 2


def test_a_change_at_midnight_belongs_to_the_new_day(book: PriceBook) -> None:
    midnight = datetime(2026, 11, 23, tzinfo=UTC)
    add(book, "1", effective_from=midnight)
    assert [dollars(book, midnight - MICROSECOND), dollars(book, midnight)] == [Decimal("2.5"), 1]


def test_deepseek_is_cheaper_by_night_and_says_so(book: PriceBook) -> None:
    def price_id(at: datetime) -> str:
        card = quote(book, at, provider="deepseek", request_model="deepseek-chat").card
        assert card is not None
        return card.price_id

    edge = datetime(2025, 6, 1, 0, 30, tzinfo=UTC)
    assert price_id(edge - MICROSECOND) == "public:deepseek/deepseek-chat@2025-06-01T00:00"
    assert price_id(edge) == "public:deepseek/deepseek-chat@2025-06-01T00:30"


def test_batch_has_its_own_price(book: PriceBook) -> None:
    assert dollars(book, workload="batch") == Decimal("1.25")
    assert dollars(book, service_tier="priority") == Decimal("4.25")


def test_the_extremes_of_time_can_be_quoted(book: PriceBook) -> None:
    assert dollars(book, datetime.max.replace(tzinfo=UTC)) == Decimal("2.5")
    assert dollars(book, datetime.min.replace(tzinfo=UTC)) > 0


def test_other_units_have_negotiated_or_public_prices(book: PriceBook) -> None:
    row = add(book, "0.0000166667", provider="runpod", model="", unit="gpu_seconds", per=1)
    gpu = book.quote_unit(provider="runpod", unit="gpu_seconds", at=NOON, tenant_id="acme", model="h100")
    assert gpu.card is not None
    assert (gpu.card.price_id, gpu.list_card) == (f"negotiated:{row.id}", None)
    assert rate_quantity(gpu.card, Decimal("0.123456789")).cost_pico == 2_057_617
    search = book.quote_unit(provider="openai", unit="web_searches", at=NOON, tenant_id="acme", model="gpt-4o")
    assert search.card is not None
    assert rate_quantity(search.card, Decimal(3)).cost_pico == 30_000_000_000


@pytest.mark.parametrize(("provider", "model"), [("pinecone", ""), ("openai", "gpt-4o")])
def test_a_unit_without_price_says_what_to_price(book: PriceBook, provider: str, model: str) -> None:
    unpriced = book.quote_unit(provider=provider, unit="vector_reads", at=NOON, tenant_id="", model=model)
    assert (unpriced.card, unpriced.list_card, unpriced.reason) == (None, None, "no_rate_for:vector_reads")


def test_a_price_of_another_unit_makes_no_card(book: PriceBook) -> None:
    add(book, "1", provider="pinecone", model="", unit="vector_reads")
    assert quote(book, provider="pinecone", request_model="x") == Quote(None, None, "unknown_provider")


def test_nothing_is_ever_overwritten(book: PriceBook) -> None:
    add(book, "2")
    with pytest.raises(PriceExists, match="already has a price") as caught:
        add(book, "1", provider=" OpenAI", model="openai/GPT-4o")
    assert isinstance(caught.value, Conflict)
    assert caught.value.code == "PRICE_EXISTS"
    assert [row.price for row in book.prices()] == [2]
    assert dollars(book) == 2


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"price": "-0.01"}, InvalidPrice),
        ({"price": "NaN"}, InvalidAmount),
        ({"price": "Infinity"}, InvalidAmount),
        ({"price": "1000000"}, InvalidAmount),
        ({"price": "1e-13"}, InvalidAmount),
        ({"price": "1e999999"}, InvalidAmount),
        ({"provider": " "}, InvalidPrice),
        ({"provider": "p" * 201}, InvalidPrice),
        ({"model": "m" * 201}, InvalidPrice),
        ({"note": "n" * 1001}, InvalidPrice),
        ({"unit": "GPU seconds"}, InvalidPrice),
        ({"unit": ""}, InvalidPrice),
        ({"unit": "x'; DROP TABLE negotiated_prices; --"}, InvalidPrice),
        ({"per": 0}, InvalidPrice),
        ({"per": 10**9 + 1}, InvalidPrice),
        ({"currency": "EUR"}, OtherCurrency),
        ({"currency": "gold"}, OtherCurrency),
        ({"effective_from": datetime(2026, 1, 1)}, NaiveDatetime),  # noqa: DTZ001
    ],
)
def test_an_unusable_price_is_refused_and_nothing_is_stored(
    book: PriceBook, fields: dict[str, Any], error: type[ApportionError]
) -> None:
    with pytest.raises(error) as caught:
        add(book, **{"price": "1", **fields})
    assert caught.value.code != ApportionError.code
    assert book.prices() == []


def test_names_are_values_and_never_sql(book: PriceBook) -> None:
    hostile = "x'); DROP TABLE negotiated_prices; --"
    add(book, "7", model=hostile, tenant_id=hostile, note=hostile, created_by=hostile)
    assert dollars(book, request_model=hostile, tenant_id=hostile) == 7
    assert [row.note for row in book.prices(model=hostile, tenant_id=hostile)] == [hostile]


def test_a_naive_time_names_no_price(book: PriceBook) -> None:
    with pytest.raises(NaiveDatetime):
        quote(book, datetime(2026, 11, 22))  # noqa: DTZ001
    with pytest.raises(NaiveDatetime):
        book.quote_unit(provider="x", unit="gb", at=datetime(2026, 11, 22), tenant_id="")  # noqa: DTZ001


def test_a_book_in_another_currency_has_no_public_prices(database: Database) -> None:
    book = PriceBook(database.session, currency="EUR")
    assert quote(book).reason == "no_public_price_in:EUR"
    assert add(book, "2").currency == "EUR"
    card = quote(book).card
    assert card is not None
    assert card.currency == "EUR"
    with pytest.raises(UnknownCurrency):
        PriceBook(database.session, currency="euro")


def test_prices_are_listed_by_key_and_date(book: PriceBook) -> None:
    later = add(book, "1", effective_from=NOON)
    earlier = add(book, "2")
    other = add(book, "3", provider="aws", model="")
    assert [row.id for row in book.prices()] == [other.id, earlier.id, later.id]
    assert [row.id for row in book.prices(provider="OpenAI", model="openai/gpt-4o")] == [earlier.id, later.id]
    assert [row.id for row in book.prices(model="")] == [other.id]
    assert book.prices(unit="output_tokens") == book.prices(tenant_id="acme") == []


def test_a_stored_price_is_exact_on_every_database(database_url: str) -> None:
    database = Database(database_url)
    SQLModel.metadata.create_all(database.engine)
    try:
        book = PriceBook(database.session)
        change = datetime.fromisoformat("2026-03-29T03:59:59.999999+05:45")
        added = add(book, "123456.123456789012", effective_from=change, note="ümlaut")
        [stored] = PriceBook(database.session).prices()
        assert stored.model_dump() == added.model_dump()
        assert stored.price == Decimal("123456.123456789012")
        assert (stored.effective_from, stored.effective_from.tzinfo) == (change, UTC)
        assert stored.created_at <= datetime.now(UTC)
        with pytest.raises(PriceExists):
            add(book, "1", effective_from=change)
    finally:
        database.close()


def test_quotes_ask_the_database_once_in_a_while(database: Database) -> None:
    clock = Clock()
    book = PriceBook(database.session, max_age_seconds=5, clock=clock)
    book.warm()
    with statements(database) as sent:
        for minute in range(60):
            quote(book, NOON.replace(minute=minute), tenant_id=f"tenant-{minute}")
        assert sent == []
        clock.now = 5.0
        quote(book)
        quote(book)
        assert len(sent) == 1


def test_a_price_of_another_process_is_seen_within_seconds(database: Database) -> None:
    clock = Clock()
    here, elsewhere = PriceBook(database.session, max_age_seconds=5, clock=clock), PriceBook(database.session)
    assert dollars(here) == Decimal("2.5")
    add(elsewhere, "2")
    clock.now = 4.9
    assert dollars(here) == Decimal("2.5")
    clock.now = 5.0
    assert dollars(here) == 2
    add(elsewhere, "1", effective_from=NOON)
    here.refresh()
    assert dollars(here) == 1


def test_the_last_prices_stay_in_force_while_the_database_is_gone(database: Database) -> None:
    clock = Clock()
    book = PriceBook(database.session, clock=clock)
    add(book, "2")
    with database.session() as session:
        session.connection().execute(text("ALTER TABLE negotiated_prices RENAME TO gone"))
        session.commit()
    clock.now = 60.0
    assert dollars(book) == 2
    with pytest.raises(DatabaseUnavailable):
        book.refresh()
    with pytest.raises(DatabaseUnavailable):
        quote(PriceBook(database.session))
    with database.session() as session:
        session.connection().execute(text("ALTER TABLE gone RENAME TO negotiated_prices"))
        session.commit()
    add(book, "1", effective_from=NOON)
    assert dollars(book) == 1


def test_a_full_memory_of_quotes_changes_no_answer(database: Database) -> None:
    book = PriceBook(database.session, max_quotes=3)
    days = [NOON - timedelta(days=back) for back in range(10)]
    assert {dollars(book, day) for day in days + days} == {Decimal("2.5")}


def test_adding_while_others_quote_gives_everyone_the_right_price(database: Database) -> None:
    book = PriceBook(database.session)
    book.warm()
    added: list[datetime] = []
    done = Event()

    def read() -> int:
        checked = 0
        while not done.is_set() or checked == 0:
            for position, change in enumerate(added):
                assert dollars(book, change) == position + 3
                assert dollars(book, change - MICROSECOND) == (position + 2 if position else Decimal("2.5"))
                checked += 1
        return checked

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read) for _ in range(3)]
        try:
            for position in range(12):
                change = NOON + timedelta(minutes=position)
                add(book, str(position + 3), effective_from=change)
                added.append(change)
        finally:
            done.set()
        assert all(reader.result() for reader in readers)


def test_of_two_who_add_the_same_price_at_once_one_wins(database: Database) -> None:
    books = [PriceBook(database.session) for _ in range(4)]

    def attempt(book: PriceBook) -> str:
        try:
            return add(book, "2").unit
        except PriceExists as error:
            return error.code

    with ThreadPoolExecutor(4) as pool:
        outcomes = sorted(pool.map(attempt, books))
    assert outcomes == ["PRICE_EXISTS", "PRICE_EXISTS", "PRICE_EXISTS", "input_tokens"]
