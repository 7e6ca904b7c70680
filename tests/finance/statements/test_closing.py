"""A closed month never changes, and what comes late is in the next one, to the last digit."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from threading import Barrier, Thread

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from attribution.event import tombstone
from attribution.store import Store
from core.database import Database
from finance.statements.books import AlreadyReopened, MissingReason, NoSuchStatement, Status
from finance.statements.closing import (
    Asked,
    OutsideStatements,
    PeriodClosed,
    PeriodDropped,
    PeriodNotOver,
    TimezoneChanged,
)
from finance.statements.document import checksum
from finance.statements.lines import TierChargeLine
from tenants.audit import records
from tenants.scope import Scope
from tests.attribution.factories import event
from tests.engines import EmbeddedClickHouse, fresh_clickhouse_url, fresh_sqlite_url
from tests.finance.statements.company import (
    DECEMBER,
    MONTHS,
    NOVEMBER,
    NOW,
    OCTOBER,
    SEPTEMBER,
    Company,
    by_key,
)

FEE = TierChargeLine("pro", "period_fee", "months", Decimal(1), Decimal("99.00"))


def test_a_statement_says_what_the_month_cost_by_feature_model_and_category(company: Company) -> None:
    company.send(10, 100, feature="answers")
    company.send(10, 50, feature="answers")
    company.send(10, None, feature="answers", cost_category="gpu")
    company.send(10, 7, tenant_id="globex")
    company.tiers.owed["acme", OCTOBER] = [FEE]
    content = company.close_one(OCTOBER).content
    assert (content["number"], content["revision"], content["supersedes"]) == (1, 1, None)
    assert (content["start"], content["end"]) == ("2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z")
    assert (content["cost"], content["charges"], content["adjustments"]) == ("1.5", "99", "0")
    assert content["unpriced_operations"] == 1
    said = [
        (line["kind"], line["cost_category"], line["charge"], line["amount"], line["quantity"])
        for line in content["lines"]
    ]
    assert said == [
        ("cost", "gpu", None, None, "1"),
        ("cost", "llm", None, "1.5", "2"),
        ("tier_charge", None, "period_fee", "99", "1"),
    ]


def test_what_comes_late_is_an_adjustment_of_the_next_and_changes_nothing_before(company: Company) -> None:
    corrected = company.send(10, 100)
    deleted = company.send(10, 30, feature="summaries")
    october = company.close_one(OCTOBER)
    company.send(10, 7, feature="late")
    company.send(10, 125, version=2, event_id=corrected.event_id)
    company.store.insert([tombstone(deleted)])
    company.send(11, 1_000)
    november = company.close_one(NOVEMBER)
    adjusted = {line["feature"]: line["amount"] for line in november.content["lines"] if line["is_adjustment"]}
    assert adjusted == {"answers": "0.25", "late": "0.07", "summaries": "-0.3"}
    assert (november.content["cost"], november.content["adjustments"]) == ("10.02", "0.02")
    (again, _) = company.statements()
    assert (again.record.checksum, again.record.content) == (october.record.checksum, october.record.content)
    assert checksum(again.record.content) == again.record.checksum
    assert by_key(company.told_lines()) == company.costs()


def test_tier_charges_that_change_later_are_adjusted_too(company: Company) -> None:
    company.tiers.owed["acme", OCTOBER] = [FEE]
    company.close_one(OCTOBER)
    company.tiers.owed["acme", OCTOBER] = [TierChargeLine("pro", "period_fee", "months", Decimal(1), Decimal(80))]
    content = company.preview(NOVEMBER).content()
    assert [(line["period"], line["charge"], line["amount"]) for line in content["lines"]] == [
        ("2026-10", "period_fee", "-19")
    ]
    assert (content["cost"], content["charges"]) == ("0", "-19")


def test_everyone_who_had_anything_gets_one_and_only_once(company: Company) -> None:
    company.send(10, 100)
    company.send(10, 200, tenant_id="globex")
    company.tiers.owed["idle", OCTOBER] = [FEE]
    first = company.close(OCTOBER)
    assert [s.content["tenant"] for s in first.closed] == ["acme", "globex", "idle"]
    assert [s.record.number for s in first.closed] == [1, 2, 3]
    again = company.close(OCTOBER)
    assert (again.closed, again.closed_before) == ([], 3)
    assert [payload["number"] for payload in company.told] == [1, 2, 3]
    assert company.told[0] | {"checksum": ""} == {
        "number": 1,
        "revision": 1,
        "supersedes": None,
        "tenantExternalId": None,
        "tenant": "acme",
        "period": "2026-10",
        "currency": "USD",
        "total": "1",
        "charges": "0",
        "adjustments": "0",
        "checksum": "",
        "path": "/v1/statements/1",
    }


def test_a_month_closed_for_everyone_is_adjusted_for_those_who_were_not_there(company: Company) -> None:
    company.send(10, 100)
    company.close(OCTOBER)
    company.send(10, 40, tenant_id="late")
    (late,) = company.close(NOVEMBER).closed
    assert late.content["tenant"] == "late"
    assert [(line["period"], line["amount"]) for line in late.content["lines"]] == [("2026-10", "0.4")]
    assert by_key(company.told_lines("late")) == company.costs("late")


def test_a_month_closed_for_one_tenant_is_open_for_the_others(company: Company) -> None:
    company.send(10, 100)
    company.send(10, 40, tenant_id="globex")
    company.close_one(OCTOBER)
    assert company.preview(NOVEMBER, "globex").lines == ()
    assert company.preview(OCTOBER, "globex").cost == Decimal("0.4")


def test_an_empty_month_is_closed_for_whom_it_was_asked(company: Company) -> None:
    assert company.close(OCTOBER).closed == []
    assert company.close_one(OCTOBER).content["lines"] == []
    company.send(10, 5)
    assert company.close_one(NOVEMBER).content["adjustments"] == "0.05"


def test_a_long_closing_stops_and_goes_on(company: Company) -> None:
    for tenant in ("a", "b", "c"):
        company.send(10, 1, tenant_id=tenant)
    asked, told = Asked(OCTOBER, Scope()), []
    outcome = company.closer.close(asked, by="fin", now=NOW, seconds=-1, told=lambda *at: told.append(at))
    assert ([s.content["tenant"] for s in outcome.closed], outcome.remaining, told) == (["a"], 2, [(0, 3), (1, 3)])
    more = company.closer.close(asked, by="fin", now=NOW, seconds=-1, told=lambda *at: told.append(at))
    assert ([s.content["tenant"] for s in more.closed], more.closed_before, more.remaining) == (["b"], 1, 1)
    assert told[2:] == [(0, 2), (1, 2)]
    rest = company.closer.close(asked, by="fin", now=NOW)
    assert ([s.record.number for s in rest.closed], rest.closed_before, rest.remaining) == ([3], 2, 0)


def test_drafts_are_what_closing_would_write(company: Company) -> None:
    company.send(10, 1)
    company.send(10, 2, tenant_id="globex")
    company.close_one(OCTOBER, "globex")
    drafts = list(company.closer.drafts(Asked(OCTOBER, Scope()), now=NOW))
    assert [(d.tenant_id, d.cost) for d in drafts] == [("acme", Decimal("0.01"))]
    assert len(company.statements()) == 1


# Reopening


def test_reopening_makes_a_new_revision_and_keeps_the_old_one(company: Company) -> None:
    company.send(10, 100)
    first = company.close_one(OCTOBER)
    company.send(10, 11)
    company.close_one(NOVEMBER)
    assert company.reopen(first).status is Status.REOPENED
    assert company.preview(OCTOBER).cost == Decimal(1)  # the 0.11 is in November's statement, which holds
    company.send(10, 5)
    second = company.close_one(OCTOBER)
    assert (second.content["revision"], second.content["supersedes"], second.content["cost"]) == (2, 1, "1.05")
    old, _, new = company.statements()
    assert (old.status, old.superseded_by, new.status) == (Status.SUPERSEDED, new.record.number, Status.CLOSED)
    assert old.record.content == first.record.content
    assert by_key(company.told_lines()) == company.costs()
    actions = [(row.action, row.target, row.actor) for row in records(company.database, first=2)]
    assert actions == [("statement.close", "statement 3", "fin"), ("statement.reopen", "statement 1", "fin")]
    assert json.loads(records(company.database, first=2)[1].details)["reason"] == "a mistake"


def test_a_reopened_month_is_nobody_elses_adjustment(company: Company) -> None:
    company.send(10, 100)
    company.reopen(company.close(OCTOBER).closed[0])
    assert company.preview(NOVEMBER).lines == ()
    assert company.preview(OCTOBER).cost == 1


def test_reopening_needs_a_reason_a_statement_and_happens_once(company: Company) -> None:
    statement = company.close_one(OCTOBER)
    for reason in ("", " \n", "x" * 1_001):
        with pytest.raises(MissingReason):
            company.reopen(statement, reason)
    company.reopen(statement)
    with pytest.raises(AlreadyReopened):
        company.reopen(statement)
    for number, scope in ((99, Scope()), (1, Scope(tenant="globex")), (1, Scope(team="search"))):
        with pytest.raises(NoSuchStatement):
            company.closer.reopen(number, "why", scope=scope, by="fin", now=NOW)


# What is refused


def test_a_month_that_is_not_over_or_closed_or_half_dropped_is_refused(store: Store, books_of: Database) -> None:
    company = Company(store, books_of, retention_days=60)
    with pytest.raises(PeriodNotOver):
        company.close(DECEMBER)
    with pytest.raises(PeriodDropped):
        company.close(SEPTEMBER)
    company.close_one(NOVEMBER)
    with pytest.raises(PeriodClosed):
        company.preview(NOVEMBER)


def test_retention_is_no_adjustment(store: Store, books_of: Database) -> None:
    company = Company(store, books_of)
    row = company.send(10, 100)
    company.close_one(OCTOBER)
    company.store.insert([tombstone(row)])
    assert company.preview(DECEMBER).cost == -1
    assert Company(store, books_of, retention_days=60).preview(DECEMBER).lines == ()


def test_another_zone_after_the_first_statement_is_refused(store: Store, books_of: Database) -> None:
    Company(store, books_of).close_one(OCTOBER)
    moved = Company(store, books_of, "Europe/Berlin")
    with pytest.raises(TimezoneChanged):
        moved.close_one(NOVEMBER)
    with pytest.raises(TimezoneChanged):
        moved.preview(NOVEMBER)


def test_months_follow_the_billing_zone(store: Store, books_of: Database) -> None:
    company = Company(store, books_of, "Europe/Berlin")
    company.store.insert([event(start_time=datetime(2026, 10, 31, 23, 30, tzinfo=UTC))])
    october = company.close_one(OCTOBER).content
    assert (october["end"], october["cost"]) == ("2026-10-31T23:00:00Z", "0")
    assert company.preview(NOVEMBER).cost == Decimal("0.01")


@pytest.mark.parametrize(
    ("scope", "tenant"),
    [(Scope(team="a"), None), (Scope(tenant="a", environment="b"), "a"), (Scope(tenant="a"), "b")],
)
def test_a_scope_that_sees_part_of_a_tenant_or_another_closes_nothing(scope: Scope, tenant: str | None) -> None:
    with pytest.raises(OutsideStatements):
        Asked(OCTOBER, scope, tenant)
    assert Asked(OCTOBER, Scope(tenant="a")).only == "a"


# Immutable, and one of each


@pytest.fixture
def either(embedded_clickhouse: EmbeddedClickHouse, database_url: str):
    """A company on either kind of relational database."""
    with (
        fresh_clickhouse_url(embedded_clickhouse) as url,
        closing(Store(url)) as store,
        closing(Database(database_url)) as database,
    ):
        store.migrate()
        database.migrate()
        yield Company(store, database)


def test_the_database_itself_refuses_to_change_or_delete_a_statement(either: Company) -> None:
    either.send(10, 100)
    either.reopen(either.close_one(OCTOBER))
    for table in ("statements", "statement_reopenings"):
        for change in (f"UPDATE {table} SET number = 7", f"DELETE FROM {table}"):
            with either.database.engine.connect() as connection, pytest.raises(DatabaseError, match="never changed"):
                connection.execute(text(change))
    assert len(either.statements()) == 1


def test_two_closers_at_once_make_one_statement_each_and_no_gap(either: Company) -> None:
    tenants = ["a", "b", "c\0\\0"]
    for tenant in tenants:
        either.send(10, 100, tenant_id=tenant)
    gate, outcomes = Barrier(2), []

    def close() -> None:
        gate.wait(timeout=10)
        outcomes.append(either.close(OCTOBER))

    threads = [Thread(target=close) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert [s.record.number for s in either.statements()] == [1, 2, 3]
    assert [s.record.tenant_id for s in either.statements()] == tenants
    assert sorted(s.record.number for outcome in outcomes for s in outcome.closed) == [1, 2, 3]


# The law


STEPS = st.lists(
    st.tuples(st.sampled_from(["send", "send", "correct", "delete", "close", "reopen"]), st.integers(0, 999)),
    max_size=14,
)


@pytest.mark.slow
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=STEPS)
def test_statements_and_the_open_months_are_what_costs_says_whatever_happens(
    embedded_clickhouse: EmbeddedClickHouse, tmp_path: Path, steps: list[tuple[str, int]]
) -> None:
    with (
        fresh_clickhouse_url(embedded_clickhouse) as url,
        closing(Store(url)) as store,
        closing(Database(fresh_sqlite_url(tmp_path))) as database,
    ):
        store.migrate()
        database.migrate()
        company = Company(store, database)
        live(company, steps)
        assert by_key(company.told_lines()) == company.costs()
        assert [s.record.number for s in company.statements()] == list(range(1, len(company.statements()) + 1))
        assert all(checksum(s.record.content) == s.record.checksum for s in company.statements())


def live(company: Company, steps: list[tuple[str, int]]) -> None:
    """Those steps, one after another; the number chooses month, event and amount."""
    rows = []
    for i, (what, n) in enumerate(steps):
        if what == "send":
            rows.append(company.send(9 + n % 4, n - 300, feature=f"f{n % 3}"))
        elif what == "correct" and rows:
            row = rows[n % len(rows)]
            month = row.start_time.month
            company.send(month, n, version=i + 2, event_id=row.event_id, feature=f"f{n % 2}")
        elif what == "delete" and rows:
            company.store.insert([tombstone(rows.pop(n % len(rows)))])
        elif what == "close":
            company.close(MONTHS[n % 3], None if n % 2 else "acme")
        elif what == "reopen":
            holding = [s for s in company.statements() if s.status is Status.CLOSED]
            if holding:
                company.reopen(holding[n % len(holding)])
