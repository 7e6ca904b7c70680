"""What an import replaces, what it refuses, and that readers see the whole of a bill or nothing of it."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from attribution.bill_lines import compile_import_sums
from attribution.dimensions import Dimension
from attribution.query import UTC as UTC_ZONE
from attribution.statement import Statement
from attribution.store import StoreUnavailable
from core.database import DatabaseUnavailable, Turn
from finance.allocation.rules import Method, Rule
from finance.bills.outcome import Wanted
from finance.month import Month
from tests.app import Api, running_api
from tests.engines import EmbeddedClickHouse, fresh_clickhouse_url
from tests.finance.bills_of import openai_costs, post_bill

FIRST = date(2026, 10, 1)
SECOND = FIRST + timedelta(days=1)


def table(*rows: str) -> bytes:
    return "\n".join(("provider,date,cost,currency", *rows)).encode()


def costs(api: Api) -> dict[tuple[str, str], str]:
    found = api.data("{ bills { provider period cost } }")["bills"]
    return {(bill["provider"], bill["period"]): bill["cost"] for bill in found}


def lines_on_disk(api: Api) -> int:
    return int(api.services.store.columns(Statement("SELECT count() FROM bill_lines FINAL", {}))[0][0])


def test_a_rewritten_month_replaces_and_nothing_of_the_old_one_stays(embedded_api: Api) -> None:
    api = embedded_api
    post_bill(api, table("Acme,2026-10-01,5,USD", "Acme,2026-10-02,7,USD", "Acme,2026-09-30,1,USD"))
    receipt = post_bill(api, table("Acme,2026-10-02,6,USD")).json()
    assert receipt["bills"][0]["replaced"]["cost"] == "12"
    assert costs(api) == {("acme", "2026-10"): "6", ("acme", "2026-09"): "1"}
    assert lines_on_disk(api) == 2


def test_a_part_of_a_month_replaces_the_whole_only_where_that_is_said(embedded_api: Api) -> None:
    api = embedded_api
    post_bill(api, table("Acme,2026-10-01,5,USD", "Acme,2026-10-02,7,USD"))
    refused = post_bill(api, table("Acme,2026-10-01,6,USD"))
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "FEWER_DAYS")
    assert (costs(api), lines_on_disk(api)) == ({("acme", "2026-10"): "12"}, 2)
    assert post_bill(api, table("Acme,2026-10-01,6,USD"), replace="true").json()["imported"] is True
    assert (costs(api), lines_on_disk(api)) == ({("acme", "2026-10"): "6"}, 1)


def test_a_report_of_days_replaces_the_days_it_covers(embedded_api: Api) -> None:
    api = embedded_api
    post_bill(api, openai_costs((FIRST, "gpt-4o, input", "1"), (SECOND, "gpt-4o, input", "2")))
    post_bill(api, openai_costs((SECOND, "gpt-4o, input", "5")))
    assert costs(api) == {("openai", "2026-10"): "6"}
    empty = openai_costs((SECOND, "gpt-4o, input", "5"), (FIRST, "x, input", "1")).replace(
        b'"value": "1"', b'"value": "0"'
    )
    post_bill(api, empty)
    assert costs(api) == {("openai", "2026-10"): "5"}
    assert api.data("{ bills { days lines } }")["bills"] == [{"days": ["2026-10-01", "2026-10-02"], "lines": 2}]


def aws(*items: tuple[int, int]) -> bytes:
    head = "line_item_line_item_type,line_item_usage_start_date,line_item_unblended_cost,line_item_currency_code,bill_payer_account_id"
    return "\n".join((head, *(f"Usage,2026-10-01T00:00:00Z,{cost},USD,{payer}" for cost, payer in items))).encode()


def test_a_bill_that_leaves_an_account_out_does_not_replace(embedded_api: Api) -> None:
    api = embedded_api
    post_bill(api, aws((1, 111), (2, 222)))
    refused = post_bill(api, aws((5, 111), (6, 333)))
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "OTHER_PAYER")
    assert post_bill(api, aws((1, 111), (2, 222), (4, 333))).json()["imported"] is True
    assert costs(api) == {("aws", "2026-10"): "7"}


def test_several_payers_are_told_apart(embedded_api: Api) -> None:
    api = embedded_api
    bills = [aws((1, 111)), aws((2, 222))]
    post_bill(api, bills[0])
    refused = post_bill(api, bills[1])
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "OTHER_PAYER")
    assert costs(api) == {("aws", "2026-10"): "1"}
    assert post_bill(api, bills[1], payer="labs").json()["imported"] is True
    assert sorted(bill["cost"] for bill in api.data("{ bills { cost } }")["bills"]) == ["1", "2"]
    assert lines_on_disk(api) == 2


def test_a_line_at_fault_stops_the_whole_file(embedded_api: Api) -> None:
    api = embedded_api
    post_bill(api, table("Acme,2026-10-01,5,USD"))
    answer = post_bill(api, table("Acme,2026-10-01,6,USD", "Acme,2026-10-02,6,EUR"))
    assert answer.status_code == 400
    receipt = answer.json()
    assert (receipt["imported"], receipt["rejected"]) == (False, 1)
    assert (receipt["errors"][0]["line"], receipt["errors"][0]["rule"]) == (3, "currency")
    assert (costs(api), lines_on_disk(api)) == ({("acme", "2026-10"): "5"}, 1)
    answer = post_bill(api, table("Acme,2026-10-01,6,USD", "Acme,2026-10-02,6,EUR"), skip_errors="true")
    assert (answer.status_code, answer.json()["rejected"]) == (200, 1)
    assert costs(api) == {("acme", "2026-10"): "6"}


def test_an_import_that_fails_half_way_leaves_what_was(embedded_api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    api = embedded_api
    post_bill(api, table("Acme,2026-10-01,5,USD"))
    importer, store = api.services.money.bills, api.services.store
    appended = store.append

    def break_down(name: str, rows: Any) -> None:
        appended(name, rows)
        raise StoreUnavailable("gone")

    with monkeypatch.context() as patch:
        patch.setattr(store, "append", break_down)
        with pytest.raises(StoreUnavailable):
            importer.run(io.BytesIO(table("Acme,2026-10-01,6,USD")), Wanted(), by="test")
    assert (costs(api), lines_on_disk(api)) == ({("acme", "2026-10"): "5"}, 1)


def test_what_a_killed_import_left_is_never_seen_and_goes_with_the_next(embedded_api: Api) -> None:
    api = embedded_api
    importer = api.services.money.bills
    post_bill(api, table("Acme,2026-10-01,5,USD"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(importer), "_put_in_force", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        patch.setattr(type(importer), "_give_up", lambda *_: None)
        with pytest.raises(KeyboardInterrupt):
            importer.run(io.BytesIO(table("Acme,2026-10-01,6,USD")), Wanted(), by="test")
    assert (costs(api), lines_on_disk(api)) == ({("acme", "2026-10"): "5"}, 2)
    post_bill(api, table("Acme,2026-10-01,7,USD"))
    assert (costs(api), lines_on_disk(api)) == ({("acme", "2026-10"): "7"}, 2)  # it may be loading yet
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("finance.bills.importing.ABANDONED_AFTER", timedelta())
        post_bill(api, table("Acme,2026-10-01,8,USD"))
    assert (costs(api), lines_on_disk(api)) == ({("acme", "2026-10"): "8"}, 1)


def test_a_bill_is_in_force_though_the_old_one_cannot_be_swept(
    embedded_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = embedded_api
    post_bill(api, table("Acme,2026-10-01,5,USD"))

    def away(*_: object) -> None:
        raise StoreUnavailable("gone")

    with monkeypatch.context() as patch:
        patch.setattr(api.services.store, "rewrite", away)
        assert post_bill(api, table("Acme,2026-10-01,6,USD")).json()["imported"] is True
    assert (costs(api), lines_on_disk(api)) == ({("acme", "2026-10"): "6"}, 2)
    post_bill(api, table("Acme,2026-10-01,7,USD"))
    assert (costs(api), lines_on_disk(api)) == ({("acme", "2026-10"): "7"}, 1)


def test_a_bill_in_force_stays_though_nobody_heard_that_it_is(
    embedded_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    api, importer = embedded_api, embedded_api.services.money.bills
    put_in_force = type(importer)._put_in_force

    def unheard(*given: Any) -> None:
        put_in_force(*given)
        raise DatabaseUnavailable("the connection broke")

    with monkeypatch.context() as patch:
        patch.setattr(type(importer), "_put_in_force", unheard)
        assert post_bill(api, table("Acme,2026-10-01,5,USD")).status_code == 503
    assert (costs(api), lines_on_disk(api)) == ({("acme", "2026-10"): "5"}, 1)


def test_an_import_waits_for_no_other_matter(embedded_api: Api) -> None:
    with embedded_api.services.database.lock(), embedded_api.services.database.lock(Turn.MIGRATION):
        assert post_bill(embedded_api, table("Acme,2026-10-01,5,USD")).json()["imported"] is True


def test_an_import_is_recorded(embedded_api: Api) -> None:
    post_bill(embedded_api, table("Acme,2026-10-01,5,USD"), file="october.csv")
    (entry,) = [
        entry
        for entry in embedded_api.data("{ auditLog { nodes { action target details } } }")["auditLog"]["nodes"]
        if entry["action"] == "IMPORT_BILL"
    ]
    assert entry["target"] == "acme 2026-10"
    assert '"cost": "5"' in entry["details"]


def test_a_bill_in_batches_is_the_same_bill_on_both_engines(api: Api) -> None:
    importer = api.services.money.bills
    importer._batch_lines = 7
    days = [FIRST + timedelta(days=i % 3) for i in range(20)]
    bill = openai_costs(*((day, f"model-{i}, input", f"0.{i + 1:02}", 10) for i, day in enumerate(days)))
    outcome = importer.run(io.BytesIO(bill), Wanted(), by="test")
    (imported,) = outcome.bills
    (lines,), (cost,), _, _ = api.services.store.columns(compile_import_sums(imported.bill.number))
    assert (lines, cost) == (20, outcome.cost) == (20, Decimal("2.10"))
    assert imported.bill.imported_at <= datetime.now(UTC)
    again = importer.run(io.BytesIO(bill), Wanted(), by="test")
    assert again.bills[0].bill.cost == Decimal("2.1")
    assert lines_on_disk(api) == 20


def test_an_unknown_format_or_an_empty_file_is_refused(embedded_api: Api) -> None:
    assert post_bill(embedded_api, b"{}", format="excel").json()["error"]["code"] == "UNKNOWN_BILL_FORMAT"
    answer = post_bill(embedded_api, table(), format="generic-csv")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "UNREADABLE_BILL")


def test_bills_and_rules_are_kept_in_either_database(
    embedded_clickhouse: EmbeddedClickHouse, database_url: str, tmp_path: Path
) -> None:
    with (
        fresh_clickhouse_url(embedded_clickhouse) as url,
        running_api(url, tmp_path, database_url=database_url) as api,
    ):
        for cost in ("5", "6"):
            assert post_bill(api, table(f"Acme,2026-10-01,{cost},USD")).json()["imported"] is True
        assert costs(api) == {("acme", "2026-10"): "6"}
        booked = api.services.money.true_ups.run("acme", Month(FIRST), by="test")
        assert len(booked.changes.written) == 1
        rule = Rule(
            name="rest",
            members=Dimension.TENANT,
            method=Method.FIXED,
            shares={"t": Decimal("0.25")},
            effective_from=datetime(2026, 1, 1, tzinfo=UTC),
        )
        assert api.services.money.allocation_rules.set(rule, expected_version=0, by="test").rule == rule
        done = api.services.money.allocator.run(Month(FIRST), UTC_ZONE, by="test")
        assert [part.amount for part in done.borne] == [1_500_000_000_000]
        assert api.services.money.allocator.run(Month(FIRST), UTC_ZONE, by="test").changes.any is False
