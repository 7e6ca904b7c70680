"""Every example bill: read, imported twice, and equal to what its file states, read independently."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.app import Api
from tests.finance.bills_of import EXAMPLES, post_bill


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _column(name: str) -> Callable[[Path], Decimal]:
    return lambda path: sum((Decimal(row[name]) for row in _rows(path)), Decimal(0))


def _results(path: Path) -> list[dict[str, Any]]:
    page = json.loads(path.read_text(), parse_float=Decimal)
    return [result for bucket in page["data"] for result in bucket["results"]]


def _dollars(path: Path) -> Decimal:
    return sum((Decimal(result["amount"]["value"]) for result in _results(path)), Decimal(0))


def _cents(path: Path) -> Decimal:
    return sum((Decimal(result["amount"]) for result in _results(path)), Decimal(0)) / 100


def _net(path: Path) -> Decimal:
    rows = [json.loads(line, parse_float=Decimal) for line in path.read_text().splitlines()]
    given = (credit["amount"] for row in rows for credit in row["credits"])
    return sum((row["cost"] for row in rows), Decimal(0)) + sum(given, Decimal(0))


STATED: dict[str, tuple[str, Callable[[Path], Decimal], str]] = {
    "anthropic.analytics.cost_report.json": ("anthropic-cost", _cents, "12.345"),
    "anthropic.cost_report.json": ("anthropic-cost", _cents, "3.95"),
    "aws.cur2.csv": ("aws-cur", _column("line_item_unblended_cost"), "9.3336936"),
    "azure.cost-details.mca.csv": ("azure", _column("costInPricingCurrency"), "2.22444"),
    "focus.1.2.csv": ("focus", _column("BilledCost"), "0.72204"),
    "gcp.billing_export_v1.jsonl": ("gcp", _net, "1.8"),
    "openai.costs.json": ("openai-costs", _dollars, "2.57737"),
    "openai.costs.string-amounts.json": ("openai-costs", _dollars, "0.84204"),
    "openai.costs.ungrouped.json": ("openai-costs", _dollars, "2.57737"),
    "pinecone.usage.assumed-columns.csv": ("pinecone", _column("cost"), "20.7386"),
}
NO_BILLS = {
    "anthropic.usage_report.messages.json": "USAGE_REPORT",
    "openai.usage.completions.json": "USAGE_REPORT",
    "openai.usage.embeddings.json": "USAGE_REPORT",
    "pinecone.cost-usage-export.job.json": "USAGE_REPORT",
    "README.json": "UNKNOWN_BILL_FORMAT",
}


def test_every_example_is_here() -> None:
    assert {path.name for path in EXAMPLES.iterdir()} == STATED.keys() | NO_BILLS.keys()


@pytest.mark.slow
def test_every_bill_comes_to_what_its_file_states_once_however_often_it_is_imported(embedded_api: Api) -> None:
    for name, (format_, stated, cost) in STATED.items():
        assert stated(EXAMPLES / name) == Decimal(cost)
        for turn in range(2):
            receipt = post_bill(embedded_api, (EXAMPLES / name).read_bytes(), file=name).json()
            assert (receipt["imported"], receipt["format"], receipt["cost"]) == (True, format_, cost), name
            (bill,) = receipt["bills"]
            assert (bill["cost"], bill["lines"]) == (cost, receipt["lines"])
            if turn:
                assert bill["replaced"]["cost"] == cost
    found = embedded_api.data("{ bills { provider payer cost credits } }")["bills"]
    assert {(bill["provider"], bill["payer"]): bill["cost"] for bill in found} == {
        ("anthropic", None): "3.95",
        ("anthropic", "analytics"): "12.345",
        ("aws", None): "9.3336936",
        ("azure", None): "2.22444",
        ("google", None): "1.8",
        ("openai", None): "2.57737",
        ("pinecone", None): "20.7386",
    }


@pytest.mark.parametrize("name", NO_BILLS)
def test_what_is_no_bill_is_refused(embedded_api: Api, name: str) -> None:
    answer = post_bill(embedded_api, (EXAMPLES / name).read_bytes())
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, NO_BILLS[name])
    assert embedded_api.data("{ bills { id } }")["bills"] == []
