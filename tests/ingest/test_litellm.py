"""`POST /v1/litellm` against what LiteLLM really sent: captured payloads, each with what the provider really billed."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.body import split_items
from ingest.copies import Copy
from ingest.litellm import read_payloads
from ingest.otlp import DEFAULT, Attribution, read_traces
from ingest.payloads import ENCODER, EventPayload, Rejection
from tenants.principal import Role
from tests.app import Api, running_api
from tests.engines import EmbeddedClickHouse, fresh_clickhouse_url
from tests.ingest.otlp_spans import PROTOBUF, chat, export

FIXTURES = Path(__file__).parents[1] / "fixtures" / "litellm"
CAPTURES: list[dict[str, Any]] = json.loads((FIXTURES / "index.json").read_text())["files"]
by_capture = pytest.mark.parametrize("entry", CAPTURES, ids=[entry["file"] for entry in CAPTURES])
ALWAYS = {"max_event_age_days": 36_500, "max_event_ahead_seconds": 10**9}
"""Captured payloads carry their own times; the suite must pass in other years too."""

COUNTS = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cache_read": "cache_read_input_tokens",
    "cache_write": "cache_creation_input_tokens",
    "cache_write_1h": "cache_creation_1h_input_tokens",
    "reasoning": "reasoning_output_tokens",
}
MEASURES = "operations effectiveCost reportedCost ratedCost unpricedOperations inputTokens outputTokens"
NOVEMBER = '{between: {start: "2026-11-01T00:00:00Z", end: "2026-12-01T00:00:00Z"}}'


def body(name: str) -> bytes:
    return (FIXTURES / name).read_bytes()


def payloads(name: str) -> list[dict[str, Any]]:
    return [json.loads(item) for item in split_items(body(name), 100)]


BASE = payloads("litellm.chat-stream.webhook.json")[0]
"""A streamed chat of 120 tokens in and 45 out that cost 0.0002925 dollars."""


def payload(**fields: Any) -> dict[str, Any]:
    """The streamed chat with some fields changed; a dotted name leads into it, with two underscores for the dot."""
    changed: dict[str, Any] = json.loads(json.dumps(BASE))
    for name, value in fields.items():
        *path, last = name.split("__")
        target = changed
        for key in path:
            target = target[key]
        target[last] = value
    return changed


def read(*items: Any, **options: Any) -> list[Copy | Rejection]:
    return read_payloads([json.dumps(item).encode() for item in items], **{"defaults": Attribution()} | options)


def event(**fields: Any) -> EventPayload:
    """What becomes of the streamed chat with some fields changed."""
    (call,) = read(payload(**fields))
    assert isinstance(call, Copy), call
    return call.event


def totals(api: Api, **where: Any) -> Any:
    query = f"query($where: CostFilter) {{ costs(timeRange: {NOVEMBER}, where: $where) {{ totals {{ {MEASURES} }} }} }}"
    return api.data(query, where=where)["costs"]["totals"]


def post(api: Api, sent: Any, *, key: str | None = None, **headers: str) -> Any:
    content = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
    authorization = {"authorization": f"Bearer {key or api.key}", "content-type": "application/json"}
    return api.client.post("/v1/litellm", content=content, headers=authorization | headers)


# --- What LiteLLM sends -----------------------------------------------------------------------------------------------


@by_capture
def test_every_call_is_read_with_the_tokens_the_provider_billed(entry: dict[str, Any]) -> None:
    calls = read_payloads(split_items(body(entry["file"]), 100), defaults=Attribution())
    for truth, call, sent in zip(entry["truth"], calls, payloads(entry["file"]), strict=True):
        assert isinstance(call, Copy)
        for name, field in COUNTS.items():
            assert (getattr(call.event, field) or 0) == truth.get(name, 0), name
        assert call.event.status == truth["status"]
        assert call.event.request_model == truth["model"]
        assert call.event.start_time.timestamp() == pytest.approx(sent["startTime"], abs=1e-6)
        assert call.event.duration_ms == pytest.approx((sent["endTime"] - sent["startTime"]) * 1000, abs=0.01)


@by_capture
def test_the_cost_is_the_total_and_zero_is_unknown(entry: dict[str, Any]) -> None:
    calls = read_payloads(split_items(body(entry["file"]), 100), defaults=Attribution())
    for call, sent in zip(calls, payloads(entry["file"]), strict=True):
        assert isinstance(call, Copy)
        cost = call.event.cost and float(call.event.cost.amount)
        assert cost == (sent["response_cost"] or None)


@by_capture
def test_every_call_is_attributed(entry: dict[str, Any]) -> None:
    for call in read_payloads(split_items(body(entry["file"]), 100), defaults=Attribution()):
        assert isinstance(call, Copy)
        told = call.event
        assert (told.tenant_id, told.team, told.feature, told.user_id) == (
            "org-1",
            "search",
            "summarize",
            "end-user-42",
        )
        assert (told.request_id, told.tags["litellm.key_alias"]) == ("s-1", "prod-key")
        assert told.provider_name in {"openai", "anthropic"}
        assert told.operation_name in {"chat", "embeddings"}


@pytest.mark.slow
def test_all_captures_post_with_exact_sums(clickhouse_url: str, tmp_path: Path) -> None:
    with running_api(clickhouse_url, tmp_path, **ALWAYS) as api:
        for entry in CAPTURES:
            assert post(api, body(entry["file"])).status_code == 200
        # Two calls were captured twice, by the webhook and by a callback.
        seen: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
        for entry in CAPTURES:
            for truth, sent in zip(entry["truth"], payloads(entry["file"]), strict=True):
                seen[sent["id"]] = truth, sent
        assert len(seen) < sum(len(entry["truth"]) for entry in CAPTURES)
        found = totals(api)
        assert found["operations"] == len(seen)
        assert found["inputTokens"] == sum(truth.get("input", 0) for truth, _ in seen.values())
        assert found["outputTokens"] == sum(truth.get("output", 0) for truth, _ in seen.values())
        costs = [Decimal(str(sent["response_cost"])) for _, sent in seen.values()]
        assert Decimal(found["reportedCost"]) == Decimal(found["effectiveCost"]) == sum(costs)
        assert found["unpricedOperations"] == costs.count(Decimal(0))
        answer = post(api, body(CAPTURES[0]["file"])).json()
        assert (answer["received"], answer["duplicate"]) == (1, 1)
        assert totals(api) == found


# --- Rules ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ("0.0002925", "summarize", "end-user-42")),
        ({"response_cost": None}, ("0.0002925", "summarize", "end-user-42")),
        ({"response_cost": 0.0, "cost_breakdown": None}, (None, "summarize", "end-user-42")),
        ({"response_cost": -1, "cost_breakdown": "x"}, (None, "summarize", "end-user-42")),
        ({"metadata__user_api_key_end_user_id": None}, ("0.0002925", "summarize", "end-user-42")),
        ({"metadata__user_api_key_end_user_id": None, "end_user": None}, ("0.0002925", "summarize", "u-42")),
        ({"metadata__requester_metadata": {"user_id": "ann", "feature": "chat"}}, ("0.0002925", "summarize", "ann")),
        ({"request_tags": [], "metadata__requester_metadata": {"feature": "x"}}, ("0.0002925", "x", "end-user-42")),
    ],
)
def test_cost_feature_and_user_by_precedence(fields: dict[str, Any], expected: tuple[str | None, str, str]) -> None:
    told = event(**fields)
    assert (told.cost and told.cost.amount, told.feature, told.user_id) == expected


@pytest.mark.parametrize(
    ("fields", "tenant", "team"),
    [
        ({"user_api_key_org_alias": "Acme"}, "Acme", "Search"),
        ({}, "org-1", "Search"),
        ({"user_api_key_org_id": None}, "Search", "Search"),
        ({"user_api_key_org_id": None, "user_api_key_team_alias": ""}, "team-7", "team-7"),
        (dict.fromkeys(("user_api_key_org_id", "user_api_key_team_alias", "user_api_key_team_id")), "unattributed", ""),
        ({"requester_metadata": {"tenant_id": "shop"}}, "shop", "Search"),
    ],
)
def test_tenant_and_team_are_those_a_span_of_the_call_names(fields: dict[str, Any], tenant: str, team: str) -> None:
    metadata = BASE["metadata"] | fields
    told = event(metadata=metadata, request_tags=[])
    assert (told.tenant_id, told.team) == (tenant, team)
    flat = {
        f"metadata.{key}": json.dumps(value) if isinstance(value, dict) else value or ""
        for key, value in metadata.items()
    }
    (span_event,) = read_traces(export(chat(flat)), PROTOBUF, defaults=Attribution()).events
    assert (span_event.tenant_id, span_event.team, span_event.user_id) == (tenant, team, told.user_id)


def test_headers_and_key_stand_in_where_the_payload_is_silent() -> None:
    silent = payload(metadata={}, request_tags=None, end_user=None)
    (call,) = read(silent, defaults=Attribution(tenant_id="acme", team="core", feature="f", environment="e"))
    assert isinstance(call, Copy)
    told = call.event
    assert (told.tenant_id, told.team, told.feature, told.environment) == ("acme", "core", "f", "e")
    assert "tenant_id" in call.implied


def test_a_deployments_own_mapping_counts_here_too() -> None:
    mapping = DEFAULT.reading(tenant_id=("shop.customer",), stage=("metadata.step",)).tagging("metadata.plan")
    sent = payload(request_tags=["shop.customer:acme"], metadata__requester_metadata={"step": "draft", "plan": "pro"})
    (call,) = read(sent, mapping=mapping)
    assert isinstance(call, Copy)
    assert (call.event.tenant_id, call.event.stage, call.event.tags["plan"]) == ("acme", "draft", "pro")


def test_request_tags_become_tags() -> None:
    told = event(request_tags=["prod", "plan: pro", "plan:free", "a:b:c", "", ":x", 7, None, "api_key:sk-1", "k" * 101])
    tags = {key: value for key, value in told.tags.items() if not key.startswith(("litellm.", "kkk"))}
    assert tags == {"prod": "true", "plan": "pro", "a": "b:c"}
    assert [len(key) for key in told.tags if key.startswith("kkk")] == [100]


def test_group_project_and_prompt_are_kept() -> None:
    told = event(
        model_group="fast",
        metadata__user_api_key_project_id="p1",
        metadata__prompt_management_metadata={"prompt_id": "greet", "prompt_variables": {"name": "Ann"}},
        session_id="chat-9",
        cost_breakdown__vertex_location="europe-west4",
    )
    assert (told.tags["litellm.model_group"], told.tags["litellm.project"]) == ("fast", "p1")
    assert (told.prompt_name, told.session_id, told.region) == ("greet", "chat-9", "europe-west4")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"stream": True}, 720.933),
        ({"stream": None}, None),
        ({"completionStartTime": BASE["endTime"]}, None),
        ({"completionStartTime": BASE["startTime"] - 1}, None),
        ({"completionStartTime": None}, None),
    ],
)
def test_the_first_token_is_told_of_streams_that_had_one(fields: dict[str, Any], expected: float | None) -> None:
    assert event(**fields).time_to_first_token_ms == expected


@pytest.mark.parametrize(
    ("code", "name", "status", "error_type"),
    [
        ("429", "RateLimitError", "rate_limited", "RateLimitError"),
        ("408", "Timeout", "timeout", "Timeout"),
        ("400", "ContentPolicyViolationError", "filtered", "ContentPolicyViolationError"),
        ("", "", "error", ""),
        ("500", "", "error", "500"),
        ("500", "it broke on swordfish", "error", "500"),
    ],
)
def test_failures_are_told_by_class_and_http_status(code: str, name: str, status: str, error_type: str) -> None:
    told = event(status="failure", error_information={"error_code": code, "error_class": name}, error_str="secret")
    assert (told.status, told.error_type) == (status, error_type)


def test_a_failure_used_an_unknown_number_of_tokens_not_none() -> None:
    told = event(status="failure", prompt_tokens=0, completion_tokens=0, response_cost=0.0, cost_breakdown=None)
    assert (told.input_tokens, told.output_tokens, told.cost) == (None, None, None)


def test_an_answer_from_litellms_cache_is_free_and_an_event_of_its_own() -> None:
    cached = event(cache_hit=True, response_cost=0.0, cost_breakdown=None, id=BASE["id"] + "_cache_hit1795332605.7")
    assert cached.cache_hit
    assert cached.cost is not None
    assert (cached.cost.amount, cached.input_tokens, cached.output_tokens) == ("0", None, None)
    assert cached.event_id != event().event_id


def test_a_call_without_a_response_is_known_by_its_own_id() -> None:
    call_id = BASE["litellm_call_id"]
    assert event(id=None).event_id == f"litellm:{call_id}"
    assert event(id="chatcmpl-123").event_id == f"litellm:{call_id}"
    (refused,) = read(payload(id="", litellm_call_id=None))
    assert isinstance(refused, Rejection)
    assert refused.field == "event_id"


def test_long_names_and_ids_are_cut_and_stay_distinct() -> None:
    one, other = (
        event(model="m" * 300 + end, end_user=None, metadata__user_api_key_end_user_id="u" * 400 + end) for end in "ab"
    )
    assert len(one.request_model) == 200
    assert len(one.user_id) == 256
    assert one.request_model[:180] == other.request_model[:180]
    assert (one.request_model, one.user_id) != (other.request_model, other.user_id)
    assert one == event(model="m" * 300 + "a", end_user=None, metadata__user_api_key_end_user_id="u" * 400 + "a")


# --- One call, two doors ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("failed", [False, True])
def test_a_call_told_by_a_span_too_is_one_event(
    embedded_clickhouse: EmbeddedClickHouse, tmp_path: Path, failed: bool
) -> None:
    sent = payloads("litellm.chat-err500.webhook.json")[0] if failed else BASE
    names = {"gen_ai.response.id": sent["id"], "gen_ai.system": "openai", "tenant.id": "org-1"}
    span = chat(names | {"gen_ai.usage.input_tokens": 120, "gen_ai.usage.output_tokens": 45}, start_ms=605_000)
    with fresh_clickhouse_url(embedded_clickhouse) as url, running_api(url, tmp_path, **ALWAYS) as api:
        api.post_traces(export(span))
        assert post(api, sent).json()["duplicate"] == 1
        found = totals(api)
        assert (found["operations"], found["inputTokens"], found["outputTokens"]) == (1, 120, 45)


# --- Content, poison, and anything at all -----------------------------------------------------------------------------

SECRET = "swordfish"


def test_no_content_reaches_an_event() -> None:
    sent = payload(
        messages=[{"role": "user", "content": SECRET}],
        response={"choices": [{"message": {"content": SECRET}}]},
        error_str=SECRET,
        error_information={"error_message": SECRET, "traceback": SECRET},
        metadata__requester_custom_headers={"authorization": SECRET},
        metadata__prompt_management_metadata={"prompt_variables": {"x": SECRET}},
        metadata__mcp_tool_call_metadata={"arguments": {"x": SECRET}},
        metadata__user_api_key_auth_metadata={"token": SECRET},
        metadata__requester_metadata={"api_key": SECRET},
        request_tags=[f"password:{SECRET}"],
        hidden_params={"additional_headers": {"x": SECRET}},
        model_parameters={"prompt": SECRET},
        status="failure",
    )
    (call,) = read(sent, mapping=DEFAULT.tagging("*"))
    assert isinstance(call, Copy)
    assert SECRET not in ENCODER.encode(call.event).decode()


@by_capture
def test_nothing_of_a_captured_conversation_is_kept(entry: dict[str, Any]) -> None:
    calls = read_payloads(split_items(body(entry["file"]), 100), defaults=Attribution(), mapping=DEFAULT.tagging("*"))
    written = b"".join(ENCODER.encode(call.event) for call in calls if isinstance(call, Copy)).decode()
    assert written
    for content in (
        "Say hello",
        "Hello from",
        "Weather",
        "get_weather",
        "Traceback",
        "site-packages",
        "The server had",
    ):
        assert content not in written


POISON = {
    "no_json": (b'{"id": ', "", "json"),
    "number": (b"7", "", "type"),
    "list": (b"[]", "", "type"),
    "no_start": (json.dumps(payload(startTime=None)).encode(), "start_time", "type"),
    "far_start": (json.dumps(payload(startTime=1e300)).encode(), "start_time", "type"),
    "negative": (json.dumps(payload(prompt_tokens=-1)).encode(), "input_tokens", "range"),
    "huge": (json.dumps(payload(prompt_tokens=10**30)).encode(), "input_tokens", "range"),
    "words": (json.dumps(payload(completion_tokens="many")).encode(), "output_tokens", "type"),
    "deep": (b'{"metadata":' + b"[" * 5_000 + b"]" * 5_000 + b"}", "", "json"),
}


def test_poison_is_named_in_its_place_and_the_rest_is_kept(
    embedded_clickhouse: EmbeddedClickHouse, tmp_path: Path
) -> None:
    lines = [json.dumps(BASE).encode(), *(poison for poison, _, _ in POISON.values())]
    lines.append(json.dumps(payload(id="chatcmpl-last-one-here")).encode())
    with fresh_clickhouse_url(embedded_clickhouse) as url, running_api(url, tmp_path, **ALWAYS) as api:
        answer = post(api, b"\n".join(lines))
        assert answer.status_code == 200
        receipt = answer.json()
        assert (receipt["received"], receipt["accepted"], receipt["rejected"]) == (len(POISON) + 2, 2, len(POISON))
        found = [(error["index"], error["field"], error["rule"]) for error in receipt["errors"]]
        assert found == [(index, field, rule) for index, (_, field, rule) in enumerate(POISON.values(), 1)]
        assert totals(api)["operations"] == 2
        metrics = api.client.get("/metrics").text
        assert 'apportion_ingest_outcomes_total{outcome="rejected",source="litellm"} 9.0' in metrics


@pytest.mark.parametrize(("sent", "status"), [(b"", 400), (b"[1,", 400), (b"[]", 200), (b"x" * 10_000_001, 413)])
def test_bodies_without_a_payload(embedded_api: Api, sent: bytes, status: int) -> None:
    assert post(embedded_api, sent).status_code == status


def test_a_key_sends_only_for_its_own_tenant(embedded_clickhouse: EmbeddedClickHouse, tmp_path: Path) -> None:
    with fresh_clickhouse_url(embedded_clickhouse) as url, running_api(url, tmp_path, **ALWAYS) as api:
        silent = payload(id="chatcmpl-silent-one", metadata={}, request_tags=[])
        receipt = post(api, [BASE, silent], key=api.make_key(Role.INGEST, tenant="acme")).json()
        assert [(error["index"], error["field"], error["rule"]) for error in receipt["errors"]] == [
            (0, "tenant_id", "scope")
        ]
        assert totals(api, tenant={"eq": "acme"})["operations"] == 1
        assert api.client.post("/v1/litellm", json=BASE).status_code == 401
        assert post(api, BASE, key=api.make_key(Role.VIEWER)).status_code == 403


def test_a_call_with_too_many_tags_keeps_the_first(embedded_clickhouse: EmbeddedClickHouse, tmp_path: Path) -> None:
    with (
        fresh_clickhouse_url(embedded_clickhouse) as url,
        running_api(url, tmp_path, max_tags=3, **ALWAYS) as api,
    ):
        sent = payload(request_tags=[f"t{n}:v" for n in (5, 3, 9, 1, 2)], metadata={})
        for _ in range(2):
            receipt = post(api, sent).json()
            assert (receipt["rejected"], receipt["dropped_tags"]) == (0, 2)
        assert totals(api)["operations"] == 1
        query = f'{{ costs(timeRange: {NOVEMBER}, where: {{tag: {{key: "t3", is: {{eq: "v"}}}}}}) {{ totals {{ operations }} }} }}'
        assert api.data(query)["costs"]["totals"]["operations"] == 1
        assert 'apportion_ingest_dropped_tags_total{source="litellm"} 4.0' in api.client.get("/metrics").text


def _read_or_refuse(items: list[bytes]) -> None:
    calls = read_payloads(items, defaults=Attribution())
    assert len(calls) == len(items)
    for index, call in enumerate(calls):
        if isinstance(call, Rejection):
            assert call.index == index
            assert call.message
        else:
            assert msgspec.convert(msgspec.to_builtins(call.event), EventPayload) == call.event


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6)
trees = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner))
names = st.sampled_from([*BASE, "metadata__usage_object", "cost_breakdown__total_cost", "metadata__requester_metadata"])
usage = st.dictionaries(
    st.sampled_from([*BASE["metadata"]["usage_object"], "cache_read_input_tokens", "cache_creation"]), trees, max_size=4
)


@given(st.dictionaries(names, trees, max_size=5), usage)
def test_random_payloads_are_read_or_refused(fields: dict[str, Any], counted: dict[str, Any]) -> None:
    ordered = dict(sorted(({"metadata__usage_object": counted} | fields).items(), key=lambda item: "__" not in item[0]))
    _read_or_refuse([json.dumps(payload(**ordered)).encode()])


@given(st.lists(st.binary(max_size=60) | trees.map(lambda tree: json.dumps(tree).encode()), max_size=4))
def test_random_bytes_are_read_or_refused(items: list[bytes]) -> None:
    _read_or_refuse(items)


def test_receipts_balance(embedded_clickhouse: EmbeddedClickHouse, tmp_path: Path) -> None:
    with fresh_clickhouse_url(embedded_clickhouse) as url, running_api(url, tmp_path, **ALWAYS) as api:
        outcomes: Counter[str] = Counter()
        for entry in CAPTURES:
            receipt = post(api, body(entry["file"])).json()
            outcomes.update({name: receipt[name] for name in ("received", "accepted", "duplicate", "rejected")})
        assert outcomes["received"] == outcomes["accepted"] + outcomes["duplicate"] + outcomes["rejected"]
        assert api.services.pipeline.counters.total("received") == outcomes["received"]


def test_a_model_is_the_same_with_and_without_its_provider() -> None:
    assert event(model="openai/gpt-4o", custom_llm_provider="openai").request_model == "gpt-4o"
    assert event(model="meta/llama", custom_llm_provider="groq").request_model == "meta/llama"


def test_an_item_that_is_not_utf8_is_refused_by_itself() -> None:
    calls = read_payloads(
        [b'{"id": "\xa7"}', b'{"metadata": {"\xff": 1}}', json.dumps(BASE).encode()], defaults=Attribution()
    )
    assert [call.rule if isinstance(call, Rejection) else "" for call in calls] == ["json", "json", ""]
