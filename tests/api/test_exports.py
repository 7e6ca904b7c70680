"""`GET /v1/exports/costs`: the sums of `costs` in every format, in the caller's scope, however the client behaves."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from api.exports import FORMATS
from attribution import export
from attribution.failures import StoreUnavailable
from attribution.store import Store
from tenants.principal import Role
from tests.app import Api
from tests.ingest.events import ago, wire_event

RANGE = {"from": ago(days=5), "to": ago(days=-1)}
TOTALS = '{ costs(timeRange: {between: {start: "%s", end: "%s"}}, where: %s) { totals { effectiveCost operations unpricedOperations } } }'


@pytest.fixture
def spent(embedded_api: Api) -> Api:
    """Events of two tenants over three days: some priced, one not, one a charge."""
    api = embedded_api
    events = [
        wire_event(
            f"e{i}",
            tenant_id=("acme", "globex")[i % 2],
            team=("search", "growth")[i // 2 % 2],
            start_time=ago(hours=i * 7),
            cost={"amount": f"0.{i + 1:012}"},
            tags={"plan": 'gold,"x'},
        )
        for i in range(9)
    ]
    events.append(wire_event("unpriced", provider_name="nobody", request_model="no-model"))
    charge = {"event_id": "fee", "kind": "charge", "charge_category": "purchase", "charge_description": "Platform"}
    events.append(charge | {"tenant_id": "acme", "start_time": ago(hours=3), "cost": {"amount": "12.5"}})
    assert api.post_events(events).json()["accepted"] == 11
    return api


def fetch(api: Api, *, key: str | None = None, **given: str) -> Any:
    headers = {"authorization": f"Bearer {key or api.key}"}
    return api.client.get("/v1/exports/costs", params=RANGE | given, headers=headers)


class Files:
    """Exports of one application, read by readers that had no part in writing them."""

    def __init__(self, api: Api, directory: Path) -> None:
        self.api = api
        self._path = directory / "export.parquet"

    def rows(self, name: str, **given: str) -> list[dict[str, Any]]:
        """The rows of the file in that format."""
        response = fetch(self.api, format=name, **given)
        assert response.status_code == 200, response.text
        assert response.headers["content-type"] == FORMATS[name].media_type
        if FORMATS[name].extension.endswith("parquet"):
            return self._parquet(response.content)
        if name == "ndjson":
            return [json.loads(line) for line in response.text.splitlines()]
        return list(csv.DictReader(io.StringIO(response.text, newline="")))

    def _parquet(self, content: bytes) -> list[dict[str, Any]]:
        self._path.write_bytes(content)
        found = duckdb.connect().execute("SELECT * FROM read_parquet(?)", [str(self._path)])
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def totals(self, where: str = "null", key: str | None = None) -> dict[str, Any]:
        """What `costs` says of the same window."""
        return self.api.data(TOTALS % (RANGE["from"], RANGE["to"], where), key=key)["costs"]["totals"]


@pytest.fixture
def files(spent: Api, tmp_path: Path) -> Files:
    return Files(spent, tmp_path)


def total(rows: list[dict[str, Any]], name: str) -> Decimal:
    return sum((Decimal(str(row[name])) for row in rows if row[name] not in {None, ""}), Decimal(0))


@pytest.mark.parametrize("name", ["ndjson", "csv", "parquet"])
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"group_by": "team,tag:plan", "granularity": "none"},
        {"granularity": "month", "timezone": "Europe/Berlin", "group_by": "tenant,cache_hit,attempt"},
        {"tenant": "acme"},
    ],
)
def test_sums_are_those_of_costs_to_the_last_digit(files: Files, name: str, given: dict[str, str]) -> None:
    rows = files.rows(name, **given)
    said = files.totals('{tenant: {eq: "acme"}}' if "tenant" in given else "null")
    assert total(rows, "effective_cost") == Decimal(said["effectiveCost"])
    assert total(rows, "operations") == int(said["operations"])
    assert total(rows, "unpriced_operations") == int(said["unpricedOperations"])


def test_unknown_is_null_in_every_format(files: Files) -> None:
    for name, unknown in (("ndjson", None), ("csv", ""), ("parquet", None)):
        (row,) = [row for row in files.rows(name) if row["provider"] == "nobody"]
        assert (row["effective_cost"], int(row["unpriced_operations"])) == (unknown, 1)


def test_parquet_has_decimals_and_instants(files: Files) -> None:
    row = files.rows("parquet")[0]
    assert isinstance(row["effective_cost"], Decimal)
    assert row["bucket_end"] > row["bucket_start"]


@pytest.mark.parametrize("name", ["focus", "focus-parquet"])
def test_focus_has_a_row_for_all_that_has_a_cost(files: Files, name: str) -> None:
    rows = files.rows(name, tags="plan")
    for cost in ("BilledCost", "EffectiveCost", "ContractedCost"):
        assert total(rows, cost) == Decimal(files.totals()["effectiveCost"])
    assert total(rows, "x_Operations") == 9
    assert fetch(files.api, format=name).headers["x-apportion-unpriced-operations"] == "1"
    (fee,) = [row for row in rows if row["ChargeCategory"] == "Purchase"]
    assert (fee["ChargeDescription"], fee["ChargeFrequency"], fee["ConsumedUnit"] or None) == (
        "Platform",
        "One-Time",
        None,
    )
    assert (Decimal(fee["PricingQuantity"]), fee["PricingUnit"]) == (1, "Charges")
    usage = [row for row in rows if row["ChargeCategory"] == "Usage"]
    assert {(row["ConsumedUnit"], row["ServiceSubcategory"]) for row in usage} == {("Tokens", "Generative AI")}
    assert all(json.loads(row["Tags"]) == {"plan": 'gold,"x'} for row in usage)


def test_a_key_gets_its_scope(files: Files) -> None:
    api = files.api
    for scope in ({"tenant": "acme"}, {"team": "growth"}):
        key = api.make_key(Role.FINANCE, **scope)
        for name in ("ndjson", "focus"):
            text = fetch(api, key=key, format=name).text
            assert ("globex" in text, "acme" in text) == ("team" in scope, True)
        rows = [json.loads(line) for line in fetch(api, key=key).text.splitlines()]
        assert total(rows, "effective_cost") == Decimal(files.totals(key=key)["effectiveCost"])
    foreign = fetch(api, key=api.make_key(Role.FINANCE, tenant="acme"), tenant="globex")
    assert (foreign.status_code, foreign.text) == (200, "")


def test_it_needs_finance(spent: Api) -> None:
    for role in (Role.INGEST, Role.VIEWER, Role.EDITOR):
        assert fetch(spent, key=spent.make_key(role)).status_code == 403
    assert spent.client.get("/v1/exports/costs", params=RANGE).status_code == 401


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"from": "yesterday"}, "INVALID_PARAMETER"),
        ({"from": "0001-01-01", "timezone": "Asia/Tokyo"}, "INVALID_PARAMETER"),
        ({"to": "2026-10-01T00:00:00"}, "INVALID_PARAMETER"),
        ({"from": "2026-10-02", "to": "2026-10-02"}, "EMPTY_WINDOW"),
        ({"timezone": "Mars"}, "UNKNOWN_TIMEZONE"),
        ({"group_by": "tenant,nonsense"}, "INVALID_PARAMETER"),
        ({"group_by": "tenant,tenant"}, "DUPLICATE_GROUPING"),
        ({"group_by": ",".join(f"tag:{i}" for i in range(9))}, "TOO_MANY_GROUPINGS"),
        ({"granularity": "fortnight"}, "INVALID_PARAMETER"),
        ({"measures": "active_users"}, "INVALID_PARAMETER"),
        ({"format": "xlsx"}, "INVALID_PARAMETER"),
        ({"format": "focus", "group_by": "tenant"}, "INVALID_PARAMETER"),
        ({"tags": "plan"}, "INVALID_PARAMETER"),
        ({"gruop_by": "tenant"}, "UNKNOWN_PARAMETER"),
    ],
)
def test_what_cannot_be_read_is_refused(spent: Api, given: dict[str, str], code: str) -> None:
    response = fetch(spent, **given)
    assert (response.status_code, response.json()["error"]["code"]) == (400, code)


def test_the_format_may_be_accepted_instead_of_named(spent: Api) -> None:
    headers = {"authorization": f"Bearer {spent.key}", "accept": "application/vnd.apache.parquet"}
    response = spent.client.get("/v1/exports/costs", params=RANGE, headers=headers)
    assert response.content[:4] == b"PAR1"
    assert response.headers["content-disposition"].endswith('.parquet"')


def test_a_store_that_fails_first_is_an_error_and_later_breaks_the_answer(
    spent: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "PIECE_CELLS", 20)
    whole, read = Store._arrow, []

    def fails(store: Store, statement: Any) -> Any:
        read.append(statement)
        if len(read) >= failing:
            raise StoreUnavailable("gone")
        return whole(store, statement)

    monkeypatch.setattr(Store, "_arrow", fails)
    failing = 1
    assert fetch(spent, format="ndjson").status_code == 503
    failing = len(read) + 2
    with pytest.raises(Exception, match=r"gone|already started"):
        fetch(spent, format="ndjson")


def test_a_client_that_goes_away_holds_nothing(spent: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "PIECE_CELLS", 20)
    headers = {"authorization": f"Bearer {spent.key}"}
    for _ in range(20):
        with spent.client.stream("GET", "/v1/exports/costs", params=RANGE, headers=headers) as response:
            next(response.iter_raw())
    assert fetch(spent).status_code == 200
