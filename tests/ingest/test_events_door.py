"""`POST /v1/events` as its users meet it: receipts, rules, replays, corrections, encodings and scope."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from typing import Any

import pytest
import zstandard

from tenants.principal import Role
from tests.app import Api, running_api
from tests.engines import EmbeddedClickHouse, fresh_clickhouse_url
from tests.ingest.events import ago, wire_event

TOTALS = """query($where: CostFilter) { costs(timeRange: {preset: LAST_90_DAYS}, where: $where) {
  totals { operations effectiveCost listCost ratedCost reportedCost unpricedOperations inputTokens
           uncachedInputTokens cacheReadInputTokens cacheCreationInputTokens outputTokens reasoningOutputTokens } } }"""


def totals(api: Api, **where: Any) -> Any:
    return api.data(TOTALS, where=where)["costs"]["totals"]


def test_an_event_is_priced_and_queryable_at_once(api: Api) -> None:
    answer = api.post_events(wire_event(cache_read_input_tokens=400))
    assert answer.status_code == 200
    receipt = answer.json()
    assert {name: receipt[name] for name in ("received", "accepted", "duplicate", "rejected", "unpriced")} == {
        "received": 1,
        "accepted": 1,
        "duplicate": 0,
        "rejected": 0,
        "unpriced": 0,
    }
    found = totals(api)
    # gpt-4o: 2.50 input, 1.25 cached input, 10.00 output, all per million tokens.
    expected = (600 * Decimal("2.5") + 400 * Decimal("1.25") + 100 * 10) / 1_000_000
    assert Decimal(found["effectiveCost"]) == expected
    assert (found["inputTokens"], found["uncachedInputTokens"], found["cacheReadInputTokens"]) == (1000, 600, 400)


BAD = {
    "unknown_field": ({"inputTokens": 5}, "inputTokens", "unknown_field"),
    "missing_time": ({"start_time": None}, "start_time", "required"),
    "missing_tenant": ({"tenant_id": None}, "tenant_id", "required"),
    "empty_tenant": ({"tenant_id": ""}, "tenant_id", "length"),
    "naive_time": ({"start_time": "2026-11-20T10:00:00"}, "start_time", "rfc3339_with_zone"),
    "date_only": ({"start_time": "2026-11-20"}, "start_time", "rfc3339_with_zone"),
    "too_old": ({"start_time": ago(days=401)}, "start_time", "max_event_age_days"),
    "too_new": ({"start_time": ago(hours=-1)}, "start_time", "max_event_ahead_seconds"),
    "negative": ({"input_tokens": -1}, "input_tokens", "range"),
    "absurd": ({"input_tokens": 10**12}, "input_tokens", "range"),
    "beyond_64_bits": ({"input_tokens": 10**30}, "input_tokens", "range"),
    "text_for_number": ({"input_tokens": "5"}, "input_tokens", "type"),
    "fraction": ({"input_tokens": 1.5}, "input_tokens", "type"),
    "cache_exceeds_input": ({"cache_read_input_tokens": 2_000}, "input_tokens", "includes_its_parts"),
    "reasoning_exceeds_output": ({"reasoning_output_tokens": 2_000}, "output_tokens", "includes_its_parts"),
    "bad_status": ({"status": "fine"}, "status", "one_of"),
    "bad_workload": ({"workload": "nightly"}, "workload", "one_of"),
    "bad_kind": ({"kind": "payment"}, "kind", "one_of"),
    "float_money": ({"cost": {"amount": 0.1}}, "cost.amount", "type"),
    "money_text": ({"cost": {"amount": "a lot"}}, "cost.amount", "amount"),
    "nan_money": ({"cost": {"amount": "NaN"}}, "cost.amount", "amount"),
    "too_fine_money": ({"cost": {"amount": "0.0000000000001"}}, "cost.amount", "amount"),
    "a_million": ({"cost": {"amount": "1000000"}}, "cost.amount", "amount"),
    "other_currency": ({"cost": {"amount": "1", "currency": "EUR"}}, "cost.currency", "currency"),
    "no_currency": ({"cost": {"amount": "1", "currency": "euro"}}, "cost.currency", "pattern"),
    "quantity_alone": ({"quantity": 3}, "unit", "quantity_with_unit"),
    "unit_alone": ({"unit": "gb"}, "quantity", "quantity_with_unit"),
    "odd_unit": ({"quantity": 3, "unit": "Giga Bytes"}, "unit", "pattern"),
    "negative_quantity": ({"quantity": "-3", "unit": "gb"}, "quantity", "range"),
    "fine_quantity": ({"quantity": "0.0000000001", "unit": "gb"}, "quantity", "scale"),
    "word_quantity": ({"quantity": "many", "unit": "gb"}, "quantity", "number"),
    "nothing_used": ({"input_tokens": None, "output_tokens": None}, "", "measure"),
    "late_first_token": ({"duration_ms": 10, "time_to_first_token_ms": 20}, "time_to_first_token_ms", "order"),
    "zeroth_attempt": ({"attempt": 0}, "attempt", "range"),
    "long_id": ({"event_id": "x" * 257}, "event_id", "length"),
    "long_name": ({"feature": "x" * 201}, "feature", "length"),
    "tag_number": ({"tags": {"plan": 1}}, "tags", "type"),
    "long_tag": ({"tags": {"plan": "x" * 501}}, "tags", "length"),
    "many_tags": ({"tags": {f"k{i}": "v" for i in range(51)}}, "tags", "max_tags"),
}


def test_each_bad_event_is_named_and_the_good_ones_are_kept(api: Api) -> None:
    good = [wire_event(f"good-{i}") for i in range(3)]
    bad = [wire_event(**({"event_id": f"bad-{name}"} | fields)) for name, (fields, _, _) in BAD.items()]
    answer = api.post_events([good[0], *bad[:5], good[1], *bad[5:], good[2]])
    assert answer.status_code == 207
    receipt = answer.json()
    assert (receipt["received"], receipt["accepted"], receipt["rejected"]) == (len(BAD) + 3, 3, len(BAD))
    indexes = [*range(1, 6), *range(7, 7 + len(BAD) - 5)]
    found = [(error["index"], error["field"].split(".")[0] or "", error["rule"]) for error in receipt["errors"]]
    expected = [
        (index, field.split(".")[0], rule) for index, (_, field, rule) in zip(indexes, BAD.values(), strict=True)
    ]
    assert found == expected
    assert all(error["message"] for error in receipt["errors"])
    assert totals(api)["operations"] == 3


def test_ndjson_keeps_good_lines_beside_broken_ones(embedded_api: Api) -> None:
    lines = [json.dumps(wire_event("a")), '{"event_id": ', json.dumps(wire_event("b")), "[]", "7"]
    receipt = embedded_api.post_events("\n".join(lines).encode()).json()
    assert (receipt["accepted"], receipt["rejected"]) == (2, 3)
    assert [(e["index"], e["rule"]) for e in receipt["errors"]] == [(1, "json"), (3, "type"), (4, "type")]


@pytest.mark.parametrize(("encoding", "encode"), [("gzip", gzip.compress), ("zstd", zstandard.compress)])
def test_compressed_bodies(embedded_api: Api, encoding: str, encode: Any) -> None:
    body = encode(json.dumps([wire_event(f"e{i}") for i in range(50)]).encode())
    answer = embedded_api.post_events(body, **{"content-encoding": encoding})
    assert answer.json()["accepted"] == 50


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"", {}, 400, "UNREADABLE_BODY"),
        (b"[1,", {}, 400, "UNREADABLE_BODY"),
        (b"\x1f\x8b broken", {"content-encoding": "gzip"}, 400, "UNREADABLE_BODY"),
        (b"{}", {"content-encoding": "br"}, 415, "UNSUPPORTED_ENCODING"),
        (b"x" * 10_000_001, {}, 413, "PAYLOAD_TOO_LARGE"),
        (gzip.compress(b" " * 10_000_001), {"content-encoding": "gzip"}, 413, "PAYLOAD_TOO_LARGE"),
        (b"[" + b",".join([b"{}"] * 10_001) + b"]", {}, 413, "TOO_MANY_ITEMS"),
    ],
)
def test_unreadable_bodies(embedded_api: Api, body: bytes, headers: dict[str, str], status: int, code: str) -> None:
    answer = embedded_api.post_events(body, **headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert embedded_api.services.pipeline.counters.total("received") == 0


def test_a_replay_changes_nothing_and_is_told(api: Api) -> None:
    events = [wire_event(f"e{i}", input_tokens=i) for i in range(1, 20)]
    api.post_events(events)
    before = totals(api)
    assert api.post_events(events[::-1] + events[:3]).json()["duplicate"] == 22
    assert totals(api) == before


def test_a_replay_changes_nothing_even_when_prices_changed(api: Api) -> None:
    event = wire_event("e1", provider_name="gpu-pool", request_model=None, quantity=10, unit="gpu_seconds")
    event = {name: value for name, value in event.items() if not name.endswith("_tokens")}
    api.post_events(event)
    before = totals(api)
    add = 'mutation { addPrice(input: {provider: "gpu-pool", unit: "gpu_seconds", price: "2", effectiveFrom: "2020-01-01T00:00:00Z"}) { errors { message } } }'
    assert api.data(add)["addPrice"]["errors"] == []
    api.services.pipeline._preparation._recent._content.clear()  # as after a restart
    assert api.post_events(event).json()["accepted"] == 1
    assert totals(api) == before
    assert api.post_events(event | {"version": 1}).json()["accepted"] == 1
    assert Decimal(totals(api)["effectiveCost"]) == 20


def test_a_higher_version_replaces_whatever_the_order(api: Api) -> None:
    api.post_events(wire_event("e1", input_tokens=5, version=2))
    api.post_events(wire_event("e1", input_tokens=9, version=1))
    assert totals(api)["inputTokens"] == 5
    api.post_events([wire_event("e1", input_tokens=7, version=4), wire_event("e1", input_tokens=8, version=3)])
    assert (totals(api)["inputTokens"], totals(api)["operations"]) == (7, 1)


def test_other_content_under_the_same_id_is_a_conflict_not_silence(api: Api) -> None:
    api.post_events(wire_event("e1"))
    receipt = api.post_events([wire_event("e1", input_tokens=1), wire_event("e2")]).json()
    assert (receipt["accepted"], receipt["rejected"]) == (1, 1)
    assert (receipt["errors"][0]["field"], receipt["errors"][0]["rule"]) == ("event_id", "conflict")
    twice = api.post_events([wire_event("e3", input_tokens=1), wire_event("e3", input_tokens=2)]).json()
    assert (twice["accepted"], twice["rejected"]) == (1, 1)


def test_a_missing_id_is_derived_from_the_content_and_told(api: Api) -> None:
    event = wire_event(None, tags={"b": "2", "a": "1"})
    first = api.post_events(event).json()["derived_event_ids"]
    again = api.post_events([event | {"tags": {"a": "1", "b": "2"}}, wire_event(None, input_tokens=1)]).json()
    assert first[0]["index"] == 0
    assert again["derived_event_ids"][0]["event_id"] == first[0]["event_id"]
    assert again["derived_event_ids"][1]["event_id"] != first[0]["event_id"]
    assert (again["duplicate"], again["accepted"]) == (1, 1)
    assert totals(api)["operations"] == 2


def test_reported_and_rated_cost_are_both_kept(api: Api) -> None:
    api.post_events(wire_event("e1", cost={"amount": "0.5"}))
    found = totals(api)
    assert (found["effectiveCost"], found["reportedCost"], found["ratedCost"]) == ("0.5", "0.5", "0.0035")


def test_the_setting_can_prefer_the_rated_cost(embedded_clickhouse: EmbeddedClickHouse, tmp_path: Any) -> None:
    with (
        fresh_clickhouse_url(embedded_clickhouse) as url,
        running_api(url, tmp_path, prefer_reported_cost=False) as api,
    ):
        api.post_events(wire_event("e1", cost={"amount": "0.5"}))
        assert totals(api)["effectiveCost"] == "0.0035"


def test_unknown_is_not_zero(api: Api) -> None:
    receipt = api.post_events([wire_event("e1", request_model="acme-llm"), wire_event("e2")]).json()
    assert (receipt["accepted"], receipt["unpriced"]) == (2, 1)
    assert totals(api, model={"eq": "acme-llm"})["effectiveCost"] is None
    assert (totals(api)["effectiveCost"], totals(api)["unpricedOperations"]) == ("0.0035", 1)
    status = api.data("{ ingestStatus { unpricedModels { provider model reason operations } } }")["ingestStatus"]
    assert status["unpricedModels"] == [
        {"provider": "openai", "model": "acme-llm", "reason": "unknown_model", "operations": 1}
    ]


def test_an_id_in_a_name_is_stopped(embedded_clickhouse: EmbeddedClickHouse, tmp_path: Any) -> None:
    with (
        fresh_clickhouse_url(embedded_clickhouse) as url,
        running_api(url, tmp_path, max_distinct_names=5) as api,
    ):
        receipt = api.post_events([wire_event(f"e{i}", feature=f"f{i}") for i in range(7)]).json()
        assert (receipt["accepted"], receipt["rejected"]) == (5, 2)
        assert receipt["errors"][0]["rule"] == "max_distinct_names"
        assert api.post_events(wire_event("again", feature="f1")).json()["accepted"] == 1


def test_keys_may_send_only_within_their_scope(embedded_api: Api) -> None:
    api = embedded_api
    key = api.make_key(Role.INGEST, tenant="acme", environment="production")
    receipt = api.post_events(
        [wire_event("e1"), wire_event("e2", tenant_id="other"), wire_event("e3", environment="staging")], key=key
    ).json()
    assert (receipt["accepted"], [(e["field"], e["rule"]) for e in receipt["errors"]]) == (
        1,
        [("tenant_id", "scope"), ("environment", "scope")],
    )
    assert totals(api, environment={"eq": "production"})["operations"] == 1


def test_who_may_send(embedded_api: Api) -> None:
    api = embedded_api
    assert api.client.post("/v1/events", json=wire_event()).status_code == 401
    assert api.post_events(wire_event(), key="apn_00000000_nonsense").status_code == 401
    for role in (Role.VIEWER, Role.EDITOR, Role.FINANCE):
        assert api.post_events(wire_event(), key=api.make_key(role)).status_code == 403
    key = api.make_key(Role.INGEST)
    assert api.client.post("/v1/events", json=wire_event(), headers={"x-api-key": key}).status_code == 200
    assert api.graphql("{ ingestStatus { operations } }", key=key)["errors"][0]["extensions"]["code"] == "FORBIDDEN"


def test_counters_balance(embedded_api: Api) -> None:
    api = embedded_api
    api.post_events([wire_event("a"), wire_event("b"), wire_event("a"), wire_event("c", input_tokens=-1)])
    found = api.data("{ ingestStatus { counters { received accepted duplicate rejected queued } } }")
    assert found["ingestStatus"]["counters"] == {
        "received": 4,
        "accepted": 2,
        "duplicate": 1,
        "rejected": 1,
        "queued": 0,
    }
    metrics = api.client.get("/metrics").text
    assert 'apportion_ingest_outcomes_total{outcome="duplicate",source="events"} 1.0' in metrics
