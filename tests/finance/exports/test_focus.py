"""FOCUS rows: every column valid for every kind of charge, and the amounts untouched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from attribution.export import schema_of
from attribution.query import EVERYTHING, Tag
from attribution.store import Store
from core.time import Window
from finance.exports.focus import Focus
from finance.exports.focus_columns import COLUMNS, Dataset
from tenants.scope import Scope
from tests.attribution.factories import CENT, event
from tests.engines import EmbeddedClickHouse, fresh_clickhouse_url

MARCH = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC))
MANDATORY = {
    *("BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd"),
    *("BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargePeriodEnd"),
    *("ChargePeriodStart", "ContractedCost", "EffectiveCost", "InvoiceIssuerName", "ListCost", "PricingQuantity"),
    *("PricingUnit", "ProviderName", "PublisherName", "ServiceCategory", "ServiceName"),
}
"""By the requirements of 1.2."""
NULLABLE = {"BillingAccountName", "ChargeClass", "PricingQuantity", "PricingUnit"}
TAX = {"kind": "charge", "charge_category": "tax", "uncached_input_tokens": 0, "text_output_tokens": 0}


@pytest.fixture
def store(embedded_clickhouse: EmbeddedClickHouse) -> Iterator[Store]:
    with fresh_clickhouse_url(embedded_clickhouse) as url, closing(Store(url)) as opened:
        opened.migrate()
        yield opened


def rows(store: Store, *, as_text: bool = False, zone: str = "UTC", **dataset: Any) -> list[dict[str, Any]]:
    focus = Focus(Dataset("USD", ZoneInfo(zone), **dataset), as_text)
    query = focus.query(Scope(), MARCH, EVERYTHING)
    tables = [focus.table(piece) for piece in store.export(query)]
    assert all(table.schema == focus.schema for table in tables)
    return [row for table in tables for row in table.to_pylist()]


def test_columns_are_focus_s_and_custom_ones_say_so() -> None:
    names = list(COLUMNS)
    ours = [name for name in names if name.startswith("x_")]
    assert set(names) >= MANDATORY
    assert {"AllocatedMethodId", "AllocatedMethodDetails", "AllocatedResourceId"} <= set(names)
    assert names == [*sorted(set(names) - set(ours)), *ours]
    assert {"x_Feature", "x_Team"} <= set(ours)


def test_usage_is_a_row_a_day_and_sku(store: Store) -> None:
    store.insert([event(list_cost=2 * CENT), event(list_cost=None), event(feature="other", price_id="p@1")])
    first, second = rows(store, zone="Europe/Berlin", names={"acme": "Acme Inc."})
    assert (first["x_Feature"], first["x_Operations"]) == ("answers", 2)
    assert (first["BilledCost"], first["ListCost"]) == (Decimal("0.02"), Decimal("0.03"))
    assert (first["ConsumedQuantity"], first["ConsumedUnit"]) == (2_200, "Tokens")
    assert (first["PricingQuantity"], first["PricingUnit"]) == (2_200, "Tokens")
    assert (first["SubAccountId"], first["SubAccountName"]) == ("acme", "Acme Inc.")
    assert first["SkuId"] == first["SkuPriceId"] == "openai/gpt-4o-2024-08-06/llm/Tokens"
    assert second["SkuPriceId"] == "p@1"
    assert first["ChargePeriodStart"] == datetime(2026, 3, 1, 23, tzinfo=UTC)
    assert first["BillingPeriodStart"] == datetime(2026, 2, 28, 23, tzinfo=UTC)
    assert first["BillingPeriodEnd"] == datetime(2026, 3, 31, 22, tzinfo=UTC)
    assert {name for name in MANDATORY if first[name] is None} <= NULLABLE


def test_whatever_little_is_known_what_must_be_said_is_said(store: Store) -> None:
    bare = dict.fromkeys(("team", "feature", "provider_name", "request_model", "response_model", "cost_category"), "")
    store.insert([event(**bare), event(**bare | TAX), event(**bare | TAX | {"charge_category": "purchase"})])
    found = rows(store)
    assert sorted(row["ChargeCategory"] for row in found) == ["Purchase", "Tax", "Usage"]
    for row in found:
        assert {name for name in MANDATORY if row[name] is None} <= NULLABLE
        assert (row["PricingQuantity"] is None) == (row["ChargeCategory"] == "Tax")
        assert (row["ConsumedQuantity"] is None) == (row["ChargeCategory"] != "Usage")
        assert (row["SkuId"] is None) == (row["ChargeCategory"] == "Tax")
        assert (row["ChargeFrequency"] == "Usage-Based") == (row["ChargeCategory"] == "Usage")
        assert row["x_Feature"] is None


@pytest.mark.parametrize(
    ("given", "consumed"),
    [
        ({"unit": "gpu_seconds", "quantity": 1_500_000_000}, (Decimal("1.5"), "Gpu Seconds")),
        ({"unit": "pages", "quantity": 0}, (1_100, "Tokens")),
        ({"uncached_input_tokens": 0, "text_output_tokens": 0}, (1, "Operations")),
    ],
)
def test_what_was_consumed_is_never_nothing(store: Store, given: dict[str, Any], consumed: tuple[Any, str]) -> None:
    store.insert([event(**given)])
    for as_text in (False, True):
        (row,) = rows(store, as_text=as_text)
        assert (Decimal(row["ConsumedQuantity"]), row["ConsumedUnit"]) == consumed


def test_an_unknown_cost_has_no_row_and_a_known_nothing_has(store: Store) -> None:
    store.insert(
        [event(effective_cost=None, cost_source="unpriced"), event(effective_cost=None), event(effective_cost=0)]
    )
    found = rows(store)
    assert [(row["BilledCost"], row["ListCost"]) for row in found] == [(0, 0)]


def test_allocated_costs_say_from_what_and_why(store: Store) -> None:
    store.insert(
        [
            event(
                **TAX | {"allocated_method_id": "r1", "allocated_method_details": "{}", "allocated_resource_id": "bill"}
            )
        ]
    )
    (row,) = rows(store)
    assert (row["AllocatedMethodId"], row["AllocatedMethodDetails"], row["AllocatedResourceId"]) == ("r1", "{}", "bill")


def test_asked_tags_are_one_column_of_json(store: Store) -> None:
    store.insert([event(tags={"plan": 'go"ld', "other": "x"}), event(feature="bare")])
    assert [row["Tags"] for row in rows(store, tags=(Tag("plan"), Tag("none")))] == ['{"plan":"go\\"ld"}', None]


def test_texts_are_plain_decimals_and_instants_in_utc(store: Store) -> None:
    store.insert([event(effective_cost=1, list_cost=None)])
    (row,) = rows(store, as_text=True)
    assert (row["BilledCost"], row["ChargePeriodEnd"], row["BillingPeriodEnd"]) == (
        "0.000000000001",
        "2026-03-03T00:00:00Z",
        "2026-04-01T00:00:00Z",
    )
    assert (
        schema_of(Focus(Dataset("USD", ZoneInfo("UTC")), as_text=True).query(Scope(), MARCH, EVERYTHING))
        .field("effective_cost")
        .type
        == pa.string()
    )
