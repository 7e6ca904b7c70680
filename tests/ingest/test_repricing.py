"""Repricing: exact, announced, recorded, resumable, and a second time it changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from api.cli import app
from attribution.event import EventRow
from attribution.failures import StoreUnavailable
from attribution.rows import RowQuery
from attribution.store import Store
from core.database import Database
from core.settings import Settings
from ingest.rating import Rater
from ingest.repricing import Outcome, PreviewTooSlow, PricesChanged, Repricer, Wanted
from ingest.repricings import LEASE, Ledger, RepricingRuns, RepricingTakenOver
from ingest.tally import Tally
from pricing.book import PriceBook
from tenants.audit import records
from tenants.principal import Role
from tenants.scope import Scope
from tests.app import Api, running_api
from tests.attribution.factories import event
from tests.engines import EmbeddedClickHouse, fresh_clickhouse_url, fresh_sqlite_url
from tests.ingest.events import ago, wire_event

ADD = """mutation($input: AddPriceInput!) { addPrice(input: $input) { errors { message } } }"""
REPORT = """{ events changed difference models { provider model events changed oldRatedCost newRatedCost
  oldEffectiveCost newEffectiveCost difference oldUnpriced newUnpriced } }"""
PREVIEW = "query($input: RepriceInput!) { repricePreview(input: $input) " + REPORT + " }"
REPRICE = (
    "mutation($input: RepriceInput!) { repriceEvents(input: $input) { finished remainingEvents report "
    + REPORT
    + " } }"
)
SUMS = """query($where: CostFilter) { costs(timeRange: {preset: LAST_90_DAYS}, where: $where) { totals {
  operations effectiveCost ratedCost reportedCost listCost unpricedOperations } } }"""
NO_TOKENS = {"input_tokens": None, "output_tokens": None}
SINCE = {"since": ago(days=80)}


def sums(api: Api, **where: Any) -> dict[str, Any]:
    return api.data(SUMS, where=where)["costs"]["totals"]


def add_price(api: Api, **fields: Any) -> None:
    price = {"provider": "openai", "unit": "input_tokens", "per": 1_000_000, "effectiveFrom": ago(days=90)} | fields
    assert api.data(ADD, input=price)["addPrice"]["errors"] == []


def preview(api: Api, key: str | None = None, **narrowed: Any) -> Any:
    return api.data(PREVIEW, key=key, input=SINCE | narrowed)["repricePreview"]


def reprice(api: Api, key: str | None = None, **narrowed: Any) -> Any:
    done = api.data(REPRICE, key=key, input=SINCE | narrowed)["repriceEvents"]
    assert (done["finished"], done["remainingEvents"]) == (True, 0)
    return done["report"]


def test_todays_prices_apply_to_stored_events_once_they_were_announced(api: Api) -> None:
    sent = [
        wire_event("rated"),
        wire_event("reported", cost={"amount": "0.5"}),
        wire_event("earlier", start_time=ago(days=40)),
        wire_event("unpriced", request_model="acme-llm"),
        wire_event("gpu", provider_name="pool", quantity=3, unit="gpu_seconds", request_model=None, **NO_TOKENS),
        wire_event("failed", status="error", input_tokens=0, output_tokens=0),
    ]
    assert api.post_events(sent).json()["accepted"] == 6
    before = sums(api)
    assert preview(api)["changed"] == 0
    add_price(api, model="gpt-4o", price="5", effectiveFrom=ago(days=30))
    add_price(api, model="acme-llm", price="1")
    add_price(api, model="acme-llm", unit="output_tokens", price="2")
    add_price(api, provider="pool", unit="gpu_seconds", price="0.25", per=1)
    shown = preview(api)
    assert (shown["events"], shown["changed"], shown["difference"]) == (6, 4, "0.7537")
    assert sums(api) == before
    assert shown["models"][0] == {
        "provider": "pool",
        "model": None,
        "events": 1,
        "changed": 1,
        "oldRatedCost": "0",
        "newRatedCost": "0.75",
        "oldEffectiveCost": "0",
        "newEffectiveCost": "0.75",
        "difference": "0.75",
        "oldUnpriced": 1,
        "newUnpriced": 0,
    }
    assert reprice(api) == shown
    # gpt-4o: 1,000 input at 5 or, before the agreement, 2.50; 100 output at 10, all per million.
    expected = Decimal("0.006") + Decimal("0.5") + Decimal("0.0035") + Decimal("0.0012") + Decimal("0.75")
    after = sums(api)
    assert Decimal(after["effectiveCost"]) == expected
    assert (after["reportedCost"], after["unpricedOperations"], after["operations"]) == ("0.5", 0, 6)
    assert Decimal(after["ratedCost"]) == expected - Decimal("0.5") + Decimal("0.006")
    assert Decimal(after["listCost"]) == Decimal(before["listCost"])
    assert reprice(api)["changed"] == 0
    assert sums(api) == after


def test_neither_a_replay_undoes_it_nor_does_it_undo_a_correction(api: Api) -> None:
    event_ = wire_event("e")
    api.post_events(event_)
    add_price(api, model="gpt-4o", price="5")
    reprice(api)
    assert sums(api)["effectiveCost"] == "0.006"
    api.services.pipeline._preparation._recent._content.clear()  # as after a restart
    api.post_events(event_)
    assert sums(api)["effectiveCost"] == "0.006"
    api.post_events(wire_event("e", version=1, input_tokens=0, output_tokens=200))
    assert sums(api) == sums(api) | {"effectiveCost": "0.002", "operations": 1}


def test_it_is_narrowed_by_time_model_tenant_and_scope(embedded_api: Api) -> None:
    api = embedded_api
    other = {"tenant_id": "other"}
    api.post_events([wire_event("a"), wire_event("b", **other), wire_event("c", request_model="gpt-4o-mini")])
    api.post_events(wire_event("d", start_time=ago(days=10)))
    add_price(api, price="5")
    assert preview(api)["changed"] == 4
    assert preview(api, until=ago(days=10))["events"] == 0
    assert preview(api, model="gpt-4o-mini")["events"] == preview(api, tenant="other")["events"] == 1
    acme = api.make_key(Role.ADMIN, tenant="acme")
    assert preview(api, key=acme, tenant="other")["events"] == 0
    assert reprice(api, key=acme, since=ago(days=9), model="gpt-4o")["changed"] == 1
    assert preview(api)["changed"] == 3
    for role in (Role.VIEWER, Role.EDITOR, Role.FINANCE, Role.INGEST):
        for query in (PREVIEW, REPRICE):
            answer = api.graphql(query, key=api.make_key(role), input=SINCE)
            assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert (
        api.graphql(PREVIEW, input=SINCE | {"until": ago(days=81)})["errors"][0]["extensions"]["code"] == "EMPTY_WINDOW"
    )


def test_the_setting_decides_which_cost_is_effective(embedded_clickhouse: EmbeddedClickHouse, tmp_path: Path) -> None:
    with fresh_clickhouse_url(embedded_clickhouse) as url:
        with running_api(url, tmp_path) as api:
            api.post_events(wire_event("e", cost={"amount": "0.5"}))
        with running_api(url, tmp_path, prefer_reported_cost=False) as api:
            assert reprice(api)["changed"] == 1
            assert sums(api) == sums(api) | {"effectiveCost": "0.0035", "reportedCost": "0.5"}


def test_beginning_and_end_are_recorded(embedded_api: Api) -> None:
    api = embedded_api
    api.post_events(wire_event("e"))
    add_price(api, model="gpt-4o", price="5")
    reprice(api, model="gpt-4o")
    log = api.data("{ auditLog(first: 2) { nodes { actor action target details } } }")["auditLog"]["nodes"]
    assert [(entry["action"], entry["target"]) for entry in log] == [
        ("REPRICE_EVENTS", "ended"),
        ("REPRICE_EVENTS", "began"),
    ]
    told = json.loads(log[0]["details"])
    assert told == told | {"model": "gpt-4o", "tenant": None, "events": 1, "changed": 1, "difference": "0.0025"}


@dataclass
class Shop:
    """Events of three days and two tenants, rated when gpt-4o's input cost 2.50, and a price book in which it costs 5."""

    store: Store
    database: Database
    book: PriceBook
    rater: Rater
    fail: bool = False

    def repricer(self) -> Repricer:
        return Repricer(self.store, self.rater, self.book, Ledger(self.database), batch_rows=3)

    def costs(self) -> list[int | None]:
        return [row.effective_cost for row in self.store.rows(RowQuery(Scope(), first=100))]

    def add_price(self, price: str, days: int) -> None:
        self.book.add(
            provider="openai",
            model="gpt-4o",
            unit="input_tokens",
            price=Decimal(price),
            per=1_000_000,
            effective_from=START - timedelta(days=days),
        )


START = datetime(2026, 3, 1, tzinfo=UTC)
EVENTS, OLD, NEW = 20, 3_500_000_000, 6_000_000_000
ALL = Wanted(START)


@contextmanager
def open_shop(clickhouse_url: str, database_url: str) -> Iterator[Shop]:
    database = Database(database_url)
    database.migrate()
    book = PriceBook(database.session, max_age_seconds=0)
    rater = Rater(book, Settings(_env_file=None))

    def redact(rows: Sequence[EventRow]) -> Sequence[EventRow]:
        if shop.fail:
            raise StoreUnavailable("away")
        return rows

    with closing(Store(clickhouse_url, redact=redact)) as store:
        shop = Shop(store, database, book, rater)
        store.migrate()
        usual = {"effective_cost": OLD, "rated_cost": OLD, "list_cost": OLD, "response_model": "gpt-4o"}
        store.insert(
            [
                event(event_id=f"e{i:02}", tenant_id=f"t{i % 2}", start_time=START + timedelta(hours=3 * i), **usual)
                for i in range(EVENTS)
            ]
        )
        shop.add_price("5", days=0)
        yield shop
    database.close()


@pytest.fixture
def shop(embedded_clickhouse: EmbeddedClickHouse, tmp_path: Path) -> Iterator[Shop]:
    with fresh_clickhouse_url(embedded_clickhouse) as url, open_shop(url, fresh_sqlite_url(tmp_path)) as opened:
        yield opened


def run(shop: Shop, **options: Any) -> Outcome:
    return shop.repricer().run(ALL, by="test", **options)


def test_what_is_shown_is_what_is_done_on_every_engine_and_database(clickhouse_url: str, database_url: str) -> None:
    with open_shop(clickhouse_url, database_url) as shop:
        heard: list[tuple[int, int]] = []
        shown = shop.repricer().preview(ALL, told=lambda *progress: heard.append(progress))
        assert shop.costs() == [OLD] * EVENTS
        outcome = run(shop)
        assert outcome == Outcome(finished=True, events=EVENTS, tally=shown)
        assert shop.costs() == [NEW] * EVENTS
        assert heard[-1] == (EVENTS, EVENTS)
        assert [done for done, _ in heard] == sorted({done for done, _ in heard})


@pytest.mark.parametrize("batches", range(1, 8))
def test_interrupted_it_resumes_and_counts_nothing_twice(shop: Shop, batches: int) -> None:
    heard = []

    def interrupt(*progress: int) -> None:
        heard.append(progress)
        if len(heard) == batches:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(shop, told=interrupt)
    assert shop.repricer().is_unfinished(ALL)
    assert 0 < shop.costs().count(NEW) < EVENTS
    assert run(shop).tally.total == expected()
    assert shop.costs() == [NEW] * EVENTS
    assert not shop.repricer().is_unfinished(ALL)
    assert [row.target for row in records(shop.database, first=9)][:2] == ["ended", "began"]


def expected() -> Any:
    tally = Tally()
    for _ in range(EVENTS):
        row = event(provider_name="openai", effective_cost=OLD, rated_cost=OLD)
        tally.add(row, row._replace(effective_cost=NEW, rated_cost=NEW))
    return tally.total


def test_killed_between_the_intention_and_the_deed_it_resumes_and_counts_nothing_twice(shop: Shop) -> None:
    def kill(done: int, _events: int) -> None:
        shop.fail = done >= 9

    with pytest.raises(StoreUnavailable):
        run(shop, told=kill)
    shop.fail = False
    assert run(shop).tally.total == expected()
    assert shop.costs() == [NEW] * EVENTS


def test_it_works_for_a_while_and_goes_on_when_asked_again(shop: Shop) -> None:
    outcomes = [run(shop, seconds=0)]
    while not outcomes[-1].finished and len(outcomes) < EVENTS:
        outcomes.append(run(shop, seconds=0))
    assert [outcome.tally.total.events for outcome in outcomes] == [3, 6, 8, 11, 14, 16, 19, 20, 20]
    assert outcomes[-1].tally.total == expected()
    assert shop.costs() == [NEW] * EVENTS
    with pytest.raises(PreviewTooSlow):
        shop.repricer().preview(ALL, seconds=0)


def test_one_runs_at_a_time_and_a_silent_one_is_taken_over(shop: Shop) -> None:
    ledger = Ledger(shop.database)
    killed = ledger.begin("another", until=START, actor="somebody", details={})
    with pytest.raises(RepricingRuns, match="somebody began"):
        run(shop)
    assert shop.costs() == [OLD] * EVENTS
    with shop.database.engine.begin() as connection:
        long_ago = datetime.now(UTC) - 2 * LEASE
        connection.execute(text("UPDATE repricings SET active_at = :at"), {"at": long_ago.isoformat(" ")})
    resumed = ledger.begin("another", until=datetime.now(UTC), actor="somebody else", details={})
    assert (resumed.id, resumed.until) == (killed.id, START)
    for late in (
        lambda: ledger.advance(killed, "{}"),
        lambda: ledger.pause(killed),
        lambda: ledger.finish(killed, actor="", details={}),
    ):
        with pytest.raises(RepricingTakenOver):
            late()
    ledger.finish(resumed, actor="somebody else", details={})
    assert run(shop).finished


def test_when_prices_change_meanwhile_it_stops_and_begins_anew(shop: Shop) -> None:
    def change(done: int, _events: int) -> None:
        if done == 3:
            shop.add_price("7.50", days=-1)

    with pytest.raises(PricesChanged):
        run(shop, told=change)
    run(shop)
    assert shop.costs().count(NEW) == 8
    assert shop.costs().count(8_500_000_000) == EVENTS - 8
    assert run(shop).tally.total.changed == 0


def test_an_event_that_was_repriced_too_often_keeps_its_money(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    row = shop.store.rows(RowQuery(Scope(), first=1))[0]
    shop.store.insert([row._replace(version=row.version | (63 << 38))])
    assert run(shop).tally.total.changed == EVENTS - 1
    assert "keeps its money" in caplog.text
    assert shop.costs().count(OLD) == 1


def test_other_currencies_and_other_kinds_are_left_alone(shop: Shop) -> None:
    shop.store.insert(
        [
            event(event_id="euro", start_time=START, billing_currency="EUR", effective_cost=1),
            event(event_id="bill", start_time=START, kind="charge", effective_cost=1),
        ]
    )
    assert run(shop).tally.total.changed == EVENTS


@pytest.mark.slow
def test_the_command_shows_asks_and_says_what_it_did(embedded_clickhouse: EmbeddedClickHouse, tmp_path: Path) -> None:
    words = ["prices", "reprice", "--since", SINCE["since"], "--data-dir", str(tmp_path)]
    with fresh_clickhouse_url(embedded_clickhouse) as url:
        with running_api(url, tmp_path) as api:
            api.post_events([wire_event("a"), wire_event("b", request_model="nobody-knows")])
            add_price(api, model="gpt-4o", price="5")

        def said(*options: str, **given: Any) -> tuple[int, str]:
            done = CliRunner().invoke(app, [*words, *options], env={"APPORTION_CLICKHOUSE_URL": url}, **given)
            return done.exit_code, done.stdout

        code, shown = said("--dry-run")
        assert (code, "1 of 2 events change, effective cost +0.0025" in shown) == (0, True)
        assert "gpt-4o" in shown
        assert "1 events are without a cost, 1 afterwards" in shown
        code, refused = said(input="n\n")
        assert (code, "repriced" in refused) == (1, False)
        code, done = said("--yes")
        assert (code, "1 of 2 events repriced, effective cost +0.0025" in done) == (0, True)
        code, again = said("--yes", "--model", "gpt-4o")
        assert (code, again.strip()) == (0, "0 of 1 events change, effective cost 0")
        assert said("--until", "soon")[0] == 2
