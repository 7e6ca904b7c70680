"""What a provider billed against what is attributed: causes, drill-down, and the true-up that closes the gap."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tenants.principal import Role
from tests.app import Api
from tests.finance.bills_of import cost_of, openai_costs, post_bill
from tests.ingest.events import wire_event

_AGO = (datetime.now(UTC) - timedelta(days=30)).date()
NEXT = max(_AGO, _AGO.replace(day=2))
DAY = NEXT - timedelta(days=1)
"""Two days of one month."""
MONTH = f"{DAY:%Y-%m}"
WINDOW = f'timeRange: {{between: {{start: "{DAY}T00:00:00Z", end: "{DAY + timedelta(days=2)}T00:00:00Z"}}}}'

ROW = "day model account tokenType category billed attributed truedUp gap gapPercent difference cause billLines operations"


def usage(event_id: str, amount: str | None, *, day: date = DAY, **fields: Any) -> dict[str, Any]:
    """An operation of a model on a day, with a cost that was reported, or none."""
    usual = {
        "start_time": f"{day}T10:00:00Z",
        "request_model": "gpt-4o",
        "response_model": "gpt-4o-2024-08-06",
        "cost": None if amount is None else {"amount": amount},
    }
    return wire_event(event_id, **(usual | fields))


def reconcile(api: Api, arguments: str = "by: [DAY, MODEL]", fields: str = ROW, **options: Any) -> Any:
    query = (
        f'{{ reconciliation(provider: "openai", {WINDOW}, {arguments}) '
        f"{{ comparedBy rowCount total {{ {fields} causes {{ cause amount }} }} rows {{ {fields} }} }} }}"
    )
    return api.data(query, **options)["reconciliation"]


def true_up(api: Api, period: str = MONTH, *, dry_run: bool = False, key: str | None = None) -> Any:
    query = (
        f'mutation {{ trueUp(provider: "openai", period: "{period}", dryRun: {str(dry_run).lower()}) {{ errors {{ code }} '
        "report { billed attributed amount rowsWritten rowsRemoved rowsUnchanged charges { day model category amount cause } } } }"
    )
    return api.data(query, key=key)["trueUp"]


def test_each_difference_has_its_cause(embedded_api: Api) -> None:
    api = embedded_api
    sent = [
        usage("same", "1.00"),
        usage("dear", "1.00", request_model="gpt-4.1", response_model=""),
        usage("few", "1.00", request_model="o4-mini", response_model=""),
        usage("free", None, request_model="no-such-model", response_model=""),
        usage("extra", "2.00", request_model="gpt-4.1-mini", response_model=""),
    ]
    assert api.post_events(sent).json()["accepted"] == 5
    bill = openai_costs(
        (DAY, "gpt-4o-2024-08-06, input", "1.005", 1_100),
        (DAY, "gpt-4.1-2025-04-14, input", "1.03", 1_100),
        (DAY, "o4-mini-2025-04-16, input", "2.00", 2_200),
        (DAY, "no-such-model, input", "0.50", 1_100),
        (DAY, "gpt-4.1-mini, input", "0.20", 110),
        (DAY, "gpt-realtime, input", "3.00", 900),
    )
    assert post_bill(api, bill).status_code == 200
    found = reconcile(api)
    causes = {row["model"]: (row["gap"], row["cause"]) for row in found["rows"]}
    assert causes == {
        "gpt-4o": ("0.005", "WITHIN_TOLERANCE"),
        "gpt-4-1": ("0.03", "PRICE_DIFFERENCE"),
        "o4-mini": ("1", "MISSING_TRAFFIC"),
        "no-such-model": ("0.5", "UNPRICED"),
        "gpt-4-1-mini": ("-1.8", "NOT_BILLED"),
        "gpt-realtime": ("3", "MISSING_TRAFFIC"),
    }
    total = found["total"]
    assert Decimal(total["gap"]) == sum(Decimal(part["amount"]) for part in total["causes"]) == Decimal("2.735")
    assert total["gapPercent"] == "35.3588"
    assert found["rows"][0]["model"] == "gpt-realtime"


def test_credits_taxes_and_fees_are_no_traffic(embedded_api: Api) -> None:
    api = embedded_api
    api.post_events([usage("a", "1.00")])
    table = (
        "provider,date,cost,currency,charge_category,model\n"
        f"OpenAI,{DAY},1.00,USD,usage,gpt-4o\n"
        f"OpenAI,{DAY},-0.25,USD,credit,\n"
        f"OpenAI,{DAY},0.19,USD,tax,\n"
        f"OpenAI,{DAY},5,USD,purchase,\n"
        f"OpenAI,{DAY},-0.02,USD,adjustment,\n"
    )
    assert post_bill(api, table.encode(), format="generic-csv").status_code == 200
    rows = reconcile(api, "by: [CATEGORY]")["rows"]
    assert {(row["category"], row["gap"], row["cause"]) for row in rows} == {
        ("usage", "0", "WITHIN_TOLERANCE"),
        ("credit", "-0.25", "CREDIT"),
        ("tax", "0.19", "TAX"),
        ("purchase", "5", "FEE"),
        ("adjustment", "-0.02", "CORRECTION"),
    }


def test_a_day_that_is_not_billed_yet_is_late(embedded_api: Api) -> None:
    api = embedded_api
    api.post_events([usage("a", "1.00"), usage("b", "1.00", day=NEXT)])
    post_bill(api, openai_costs((DAY, "gpt-4o, input", "1.00", 1_100)))
    rows = {row["day"]: row["cause"] for row in reconcile(api)["rows"]}
    assert rows == {DAY.isoformat(): "WITHIN_TOLERANCE", NEXT.isoformat(): "LATE"}


def test_without_quantities_traffic_and_price_are_not_told_apart(embedded_api: Api) -> None:
    api = embedded_api
    api.post_events([usage("a", "1.00")])
    post_bill(api, openai_costs((DAY, "gpt-4o, input", "1.03")))
    assert reconcile(api)["rows"][0]["cause"] == "UNDETERMINED"


def test_accounts_are_compared_only_where_both_sides_name_them(embedded_api: Api) -> None:
    api = embedded_api
    bill = openai_costs((DAY, "gpt-4o, input", "1.00", 1_100), project="proj_1")
    post_bill(api, bill)
    api.post_events([usage("a", "1.00")])
    assert "ACCOUNT" not in reconcile(api)["comparedBy"]
    api.post_events([usage("b", "3.00", provider_account="proj_1")])
    found = reconcile(api, "by: [ACCOUNT]")
    assert "ACCOUNT" in found["comparedBy"]
    assert {(row["account"], row["gap"]) for row in found["rows"]} == {("proj_1", "-2"), (None, "-1")}


def test_tokens_are_compared_by_kind_and_their_money_is_derived(embedded_api: Api) -> None:
    api = embedded_api
    api.post_events([usage("a", None, input_tokens=1_000_000, output_tokens=100_000, cache_read_input_tokens=400_000)])
    bill = openai_costs(
        (DAY, "gpt-4o-2024-08-06, input", "1.5", 600_000),
        (DAY, "gpt-4o-2024-08-06, cached input", "0.5", 400_000),
        (DAY, "gpt-4o-2024-08-06, output", "1.03", 103_000),
    )
    post_bill(api, bill)
    found = reconcile(api, "by: [TOKEN_TYPE]", f"{ROW} billedTokens attributedTokens")
    rows = {row["tokenType"]: row for row in found["rows"]}
    assert {kind: (row["attributed"], row["attributedTokens"], row["gap"]) for kind, row in rows.items() if kind} == {
        "input": ("1.5", 600_000, "0"),
        "cached_input": ("0.5", 400_000, "0"),
        "output": ("1", 100_000, "0.03"),
    }
    assert rows["output"]["cause"] == "MISSING_TRAFFIC"
    assert rows["output"]["billedTokens"] == "103000"


def test_after_the_true_up_costs_are_the_bill_to_the_pico(api: Api) -> None:
    api.post_events([usage("a", "1.000000000001"), usage("b", "0.7", day=NEXT)])
    bill = openai_costs(
        (DAY, "gpt-4o, input", "1.030000000000400000000000000000000000009", 1_100),
        (NEXT, "gpt-4o, input", "0.68", 1_100),
        (NEXT, "web search tool calls", "0.5"),
    )
    assert post_bill(api, bill).json()["cost"] == "2.21"
    before = true_up(api, dry_run=True)["report"]
    assert cost_of(api) == Decimal("1.700000000001")
    done = true_up(api)["report"]
    assert done == before
    assert (done["billed"], done["amount"], done["rowsWritten"]) == ("2.21", "0.509999999999", 3)
    assert cost_of(api, '{provider: {eq: "openai"}}') == Decimal("2.21")
    assert cost_of(api, '{tenant: {eq: "unattributed"}}') == Decimal("0.509999999999")
    total = reconcile(api)["total"]
    assert (total["gap"], total["truedUp"], total["difference"]) == ("0.509999999999", "0.509999999999", "0")
    again = true_up(api)["report"]
    assert (again["rowsWritten"], again["rowsRemoved"], again["rowsUnchanged"]) == (0, 0, 3)


def test_a_true_up_follows_a_rewritten_bill_and_late_usage(embedded_api: Api) -> None:
    api = embedded_api
    api.post_events([usage("a", "1.00")])
    post_bill(api, openai_costs((DAY, "gpt-4o, input", "1.5", 1_100), (DAY, "gpt-realtime, input", "2", 5)))
    true_up(api)
    assert cost_of(api) == Decimal("3.5")
    post_bill(api, openai_costs((DAY, "gpt-4o, input", "1.25", 1_100)))
    api.post_events([usage("late", "0.10")])
    assert reconcile(api)["total"]["difference"] == "-2.35"
    assert true_up(api)["report"]["rowsRemoved"] == 1
    assert cost_of(api) == Decimal("1.25")
    assert reconcile(api)["total"]["difference"] == "0"


def test_a_bill_without_models_is_trued_up_day_by_day(embedded_api: Api) -> None:
    api = embedded_api
    api.post_events([usage("a", "1.00"), usage("b", "1.00", request_model="o4-mini", response_model="")])
    post_bill(api, openai_costs((DAY, "", "2.5")))
    assert "MODEL" not in reconcile(api)["comparedBy"]
    assert true_up(api)["report"]["charges"] == [
        {"day": DAY.isoformat(), "model": None, "category": "usage", "amount": "0.5", "cause": "UNDETERMINED"}
    ]
    query = f'{{ events({WINDOW}, where: {{source: {{eq: "bill"}}}}) {{ nodes {{ requestModel effectiveCost }} }} }}'
    assert api.data(query)["events"]["nodes"] == [{"requestModel": None, "effectiveCost": "0.5"}]


def test_a_true_up_leaves_days_alone_that_no_bill_covers(embedded_api: Api) -> None:
    api = embedded_api
    api.post_events([usage("a", "1.00"), usage("b", "7", day=NEXT)])
    post_bill(api, openai_costs((DAY, "gpt-4o, input", "1.5", 1_100)))
    true_up(api)
    assert cost_of(api) == Decimal("8.5")


def test_a_late_line_on_the_next_months_bill_covers_no_day_of_its_own_month(embedded_api: Api) -> None:
    api, last = embedded_api, DAY.replace(day=1) - timedelta(days=1)
    api.post_events([usage("a", "100", day=last, provider_name="gcp.gemini", request_model="gemini-2.5-flash")])
    row = {"currency": "USD", "usage_start_time": f"{last} 23:00:00 UTC", "cost": 0.5, "billing_account_id": "A"}
    assert post_bill(api, json.dumps(row | {"invoice": {"month": f"{DAY:%Y%m}"}}).encode()).json()["imported"] is True
    assert api.data("{ bills { period days } }")["bills"] == [{"period": MONTH, "days": []}]
    late = f'mutation {{ trueUp(provider: "google", period: "{last:%Y-%m}") {{ errors {{ code }} }} }}'
    assert api.data(late)["trueUp"]["errors"] == [{"code": "NO_BILL"}]
    assert cost_of(api) == 100


def test_a_true_up_waits_for_a_day_that_is_not_billed_in_full(embedded_api: Api) -> None:
    api, today = embedded_api, datetime.now(UTC).date()
    sent = [usage("a", "100"), usage("b", "1", request_model="o4-mini", response_model="")]
    api.post_events([event | {"start_time": f"{today}T00:00:00Z"} for event in sent])
    post_bill(api, openai_costs((today, "gpt-4o, input", "10", 110), (today, "o4-mini, input", "3", 3_300)))
    done = true_up(api, f"{today:%Y-%m}")["report"]
    assert (done["billed"], done["attributed"], done["amount"]) == ("3", "1", "2")
    assert cost_of(api) == 103


def test_more_providers_than_are_compared_at_once_are_refused(
    embedded_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = embedded_api
    api.post_events([usage("a", "1"), usage("b", "1", provider_name="anthropic")])
    post_bill(api, openai_costs((DAY, "gpt-4o, input", "1.5", 1_100)))
    monkeypatch.setattr("finance.reconciliation.reconciler.MAX_SLICES", 1)
    assert true_up(api)["errors"] == [{"code": "TOO_MANY_SLICES"}]


def test_what_a_removed_bill_had_booked_goes_with_the_next_true_up(embedded_api: Api) -> None:
    api = embedded_api
    api.post_events([usage("a", "1.00")])
    number = post_bill(api, openai_costs((DAY, "gpt-4o, input", "1.5", 1_100))).json()["bills"][0]["id"]
    true_up(api)
    remove = f'mutation {{ removeBill(id: "{number}") {{ bill {{ cost }} errors {{ code }} }} }}'
    assert api.data(remove)["removeBill"] == {"bill": {"cost": "1.5"}, "errors": []}
    assert api.data(remove)["removeBill"]["errors"] == [{"code": "NO_SUCH_BILL"}]
    assert reconcile(api) is None
    assert true_up(api)["report"]["rowsRemoved"] == 1
    assert cost_of(api) == 1
    assert true_up(api)["errors"] == [{"code": "NO_BILL"}]


def test_a_true_up_needs_a_bill(embedded_api: Api) -> None:
    assert true_up(embedded_api)["errors"] == [{"code": "NO_BILL"}]
    assert true_up(embedded_api, "2026-13")["errors"] == [{"code": "INVALID_PERIOD"}]


def test_trued_up_rows_say_why_and_cannot_be_deleted(embedded_api: Api) -> None:
    api = embedded_api
    api.post_events([usage("a", "1.00")])
    post_bill(api, openai_costs((DAY, "gpt-4o, input", "1.5", 1_100)))
    true_up(api)
    query = (
        f'{{ events({WINDOW}, where: {{source: {{eq: "bill"}}}}) {{ nodes {{ eventId tenantId costSource requestModel '
        "chargeCategory allocatedMethodId allocatedMethodDetails allocatedResourceId } } }"
    )
    (row,) = api.data(query)["events"]["nodes"]
    details = json.loads(row.pop("allocatedMethodDetails"))
    assert (details["billed"], details["attributed"], details["cause"]) == ("1.5", "1", "price_difference")
    event_id = row.pop("eventId")
    assert row == {
        "tenantId": "unattributed",
        "costSource": "allocated",
        "requestModel": "gpt-4o-2024-08-06",
        "chargeCategory": "usage",
        "allocatedMethodId": "true-up@1",
        "allocatedResourceId": f"bill:openai:{MONTH}",
    }
    headers = {"authorization": f"Bearer {api.key}"}
    answer = api.client.delete(f"/v1/events/{event_id}?tenant_id=unattributed", headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "ALLOCATED_EVENT")


def test_the_lines_behind_a_row_are_paged(embedded_api: Api) -> None:
    api = embedded_api
    items = [(DAY, f"gpt-4o, {kind}", f"0.{i}", 10) for i, kind in enumerate(("input", "cached input", "output"), 1)]
    post_bill(api, openai_costs(*items, (DAY, "o4-mini, input", "9", 1)))
    query = (
        f'query($after: String) {{ billLines(provider: "OpenAI", {WINDOW}, day: "{DAY}", model: "gpt-4o", first: 2, '
        "after: $after) { nodes { line modelKey tokenType cost quantity } pageInfo { hasNextPage endCursor } } }"
    )
    page = api.data(query)["billLines"]
    rest = api.data(query, after=page["pageInfo"]["endCursor"])["billLines"]
    found = [(line["line"], line["tokenType"], line["cost"]) for line in page["nodes"] + rest["nodes"]]
    assert found == [(1, "input", "0.1"), (2, "cached_input", "0.2"), (3, "output", "0.3")]
    assert page["pageInfo"]["hasNextPage"] is True
    assert rest["pageInfo"]["hasNextPage"] is False


@pytest.mark.parametrize("role", [Role.VIEWER, Role.EDITOR, Role.INGEST])
def test_bills_need_finance(embedded_api: Api, role: Role) -> None:
    key = embedded_api.make_key(role)
    queries = (
        "{ bills { id } }",
        f'{{ billLines(provider: "openai", {WINDOW}) {{ nodes {{ line }} }} }}',
        f'{{ reconciliation(provider: "openai", {WINDOW}) {{ provider }} }}',
        f'mutation {{ trueUp(provider: "openai", period: "{MONTH}") {{ errors {{ code }} }} }}',
        'mutation { removeBill(id: "1") { errors { code } } }',
    )
    for query in queries:
        assert embedded_api.graphql(query, key=key)["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert post_bill(embedded_api, b"{}", key=key).status_code == 403


def test_a_scoped_finance_key_sees_and_changes_no_bill(embedded_api: Api) -> None:
    api = embedded_api
    post_bill(api, openai_costs((DAY, "gpt-4o, input", "1.5", 1_100)))
    key = api.make_key(Role.FINANCE, tenant="acme")
    assert api.data("{ bills { id } }", key=key)["bills"] == []
    assert (
        api.data(f'{{ billLines(provider: "openai", {WINDOW}) {{ nodes {{ line }} }} }}', key=key)["billLines"]["nodes"]
        == []
    )
    assert reconcile(api, key=key) is None
    answer = api.graphql(
        f'mutation {{ trueUp(provider: "openai", period: "{MONTH}") {{ errors {{ code }} }} }}', key=key
    )
    assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert post_bill(api, openai_costs((DAY, "gpt-4o, input", "1", 1)), key=key).status_code == 403
