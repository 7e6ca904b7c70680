"""The rules for reading OTLP traces, each on spans made for it: sources and cases beyond the captured ones."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from ingest.otlp import DEFAULT, Attribution, read_traces
from ingest.payloads import ENCODER, EventPayload
from tests.ingest.otlp_spans import PROTOBUF, START, attributes, chat, export, read, span


def event_of(*spans: Span, scope: str = "test", **options: Any) -> EventPayload:
    (event,) = read(*spans, scope=scope, **options).events
    return event


def response(tail: str) -> dict[str, object]:
    return {"gen_ai.response.id": f"chatcmpl-{tail:0>20}"}


# --- Which spans to bill ----------------------------------------------------------------------------------------------

USAGE = {"gen_ai.provider.name": "openai", "gen_ai.usage.input_tokens": 5}


@pytest.mark.parametrize(
    ("values", "calls"),
    [
        ({"openinference.span.kind": "LLM"}, 1),
        ({"openinference.span.kind": "RERANKER"}, 1),
        ({"openinference.span.kind": "CHAIN", "gen_ai.operation.name": "chat"} | USAGE, 0),
        ({"ai.operationId": "ai.embedMany.doEmbed"}, 1),
        ({"ai.operationId": "ai.streamText", "gen_ai.operation.name": "chat"} | USAGE, 0),
        ({"ai.operationId": "ai.toolCall"}, 0),
        ({"gen_ai.operation.name": "chat"}, 1),
        ({"gen_ai.operation.name": "invoke_agent"} | USAGE, 0),
        ({"gen_ai.operation.name": "retrieval", "llm.request.type": "chat"}, 0),
        ({"gen_ai.operation.name": "something_new"}, 0),
        ({"gen_ai.operation.name": "something_new"} | USAGE, 1),
        ({"llm.request.type": "rerank"}, 1),
        ({"llm.request.type": "unknown"}, 0),
        (USAGE, 1),
        ({"gen_ai.usage.input_tokens": 5}, 0),
        ({"gen_ai.provider.name": "openai", "gen_ai.aggregated_usage.input_tokens": 5}, 0),
        ({}, 0),
    ],
)
def test_the_first_rule_that_decides_says_whether_a_span_is_billed(values: dict[str, object], calls: int) -> None:
    reading = read(span(values))
    assert (len(reading.events), reading.skipped) == (calls, 1 - calls)


def test_of_a_logfire_stream_the_log_twin_is_billed_with_its_own_duration() -> None:
    opening = span({"gen_ai.operation.name": "chat", "logfire.span_type": "span"})
    twin = chat({"logfire.span_type": "log", "duration": 1.25} | response("a"), ms=0)
    event = event_of(opening, twin, scope="logfire.openai")
    assert (event.input_tokens, event.duration_ms) == (100, 1250)


def test_a_failed_logfire_span_is_billed() -> None:
    failed = span({"gen_ai.operation.name": "chat", "logfire.span_type": "span"}, error="Error code: 500")
    assert event_of(failed, scope="logfire.openai").status == "error"


@pytest.mark.parametrize(
    ("values", "operation"),
    [
        ({"gen_ai.operation.name": "acompletion"}, "chat"),
        ({"gen_ai.operation.name": "atext_completion"}, "text_completion"),
        ({"gen_ai.operation.name": "embedding"}, "embeddings"),
        ({"gen_ai.operation.name": "generate_content"}, "generate_content"),
        ({"llm.request.type": "completion"}, "text_completion"),
        ({"openinference.span.kind": "RERANKER"}, "rerank"),
        ({"ai.operationId": "ai.streamText.doStream"}, "chat"),
        (USAGE, ""),
    ],
)
def test_operations_are_named_as_opentelemetry_names_them(values: dict[str, object], operation: str) -> None:
    assert event_of(span(values)).operation_name == operation


# --- Tokens -----------------------------------------------------------------------------------------------------------


def tokens(event: EventPayload) -> tuple[int | None, ...]:
    """Input, of it read from and written to the cache, of that for an hour."""
    return (
        event.input_tokens,
        event.cache_read_input_tokens,
        event.cache_creation_input_tokens,
        event.cache_creation_1h_input_tokens,
    )


CACHED = {"gen_ai.usage.cache_read.input_tokens": 1800, "gen_ai.usage.cache_creation.input_tokens": 300}


@pytest.mark.parametrize("scope", ["openlit.instrumentation.anthropic", "anything.else"])
def test_input_that_leaves_out_the_cache_is_completed(scope: str) -> None:
    event = event_of(chat({"gen_ai.usage.input_tokens": 20} | CACHED), scope=scope)
    assert tokens(event) == (2120, 1800, 300, None)


def test_openlit_leaves_out_even_a_cache_smaller_than_the_input() -> None:
    call = chat({"gen_ai.usage.input_tokens": 5000} | CACHED)
    assert event_of(call, scope="openlit.instrumentation.anthropic").input_tokens == 7100
    assert event_of(call).input_tokens == 5000


def test_reasoning_that_exceeds_the_output_was_not_inside_it() -> None:
    event = event_of(chat({"gen_ai.usage.output_tokens": 100, "gen_ai.usage.reasoning_tokens": 600}))
    assert (event.output_tokens, event.reasoning_output_tokens) == (700, 600)


@pytest.mark.parametrize(
    "usage",
    [
        """{"cache_read_input_tokens": 1800, "cache_creation_input_tokens": 300, "input_tokens": 20,
            "cache_creation": {"ephemeral_1h_input_tokens": 100}}""",
        """{"prompt_tokens_details": {"cached_tokens": 1800, "cache_write_tokens": 300,
            "cache_creation_token_details": {"ephemeral_1h_input_tokens": 100}}}""",
        """{'cache_read_input_tokens': 1800, 'cache_creation_input_tokens': 300,
            'cache_creation': {'ephemeral_1h_input_tokens': 100, 'other': None}}""",
    ],
    ids=["Anthropic", "LiteLLM", "a Python literal"],
)
@pytest.mark.parametrize("name", ["gen_ai.usage.raw", "metadata.usage_object"])
def test_raw_usage_completes_the_counts(name: str, usage: str) -> None:
    event = event_of(chat({"gen_ai.usage.input_tokens": 2120, name: usage}))
    assert tokens(event) == (2120, 1800, 300, 100)


def test_an_answer_gives_its_id_and_usage_and_nothing_else() -> None:
    answer = (
        '{"choices": [{"text": "say \\"id\\": \\"chatcmpl-fake\\""}], "id": "chatcmpl-0123456789abcdef",'
        ' "usage": {"prompt_tokens_details": {"cached_tokens": 64, "audio_tokens": 7}}}'
    )
    event = event_of(span({"openinference.span.kind": "LLM", "llm.token_count.prompt": 80, "output.value": answer}))
    assert event.event_id == "resp:openai:chatcmpl-0123456789abcdef"
    assert (event.input_tokens, event.cache_read_input_tokens, event.audio_input_tokens) == (80, 64, 7)
    assert b"say" not in ENCODER.encode(event)


def test_usage_nobody_sent_is_unknown_not_zero() -> None:
    event = event_of(span({"gen_ai.operation.name": "chat"}))
    assert (event.input_tokens, event.output_tokens, event.cost) == (None, None, None)


def test_an_empty_attribute_is_as_good_as_absent_and_zero_is_not() -> None:
    event = event_of(span({"gen_ai.operation.name": "chat", "gen_ai.request.model": "", "llm.model_name": "m",
                           "gen_ai.usage.input_tokens": 0, "gen_ai.usage.prompt_tokens": 9}))  # fmt: skip
    assert (event.request_model, event.input_tokens) == ("m", 0)


@pytest.mark.parametrize("value", [120, 120.0, "120"])
def test_whole_numbers_are_read_in_any_spelling(value: object) -> None:
    assert event_of(chat({"gen_ai.usage.input_tokens": value})).input_tokens == 120


# --- Poison -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("poison", "field"),
    [
        (chat({"gen_ai.usage.input_tokens": -1}), "input_tokens"),
        (chat({"gen_ai.usage.output_tokens": 10**10}), "output_tokens"),
        (chat({"gen_ai.usage.output_tokens": 1.5}), "output_tokens"),
        (chat({"gen_ai.usage.input_tokens": "many"}), "input_tokens"),
        (chat({"http.request.resend_count": -5}), "attempt"),
        (chat(start_time_unix_nano=0), "start_time"),
        (chat(span_id=b""), "event_id"),
        (chat(trace_id=bytes(16)), "event_id"),
    ],
)
def test_a_poison_span_is_refused_by_field_and_its_neighbours_are_kept(poison: Span, field: str) -> None:
    reading = read(chat(), poison, chat())
    (rejected,) = reading.rejected
    assert len(reading.events) == 2
    assert rejected.field == field
    assert rejected.span == f"{poison.trace_id.hex() if any(poison.trace_id) else ''}:{poison.span_id.hex()}"
    assert rejected.rule in rejected.message
    assert field in rejected.message


# --- Outcomes ---------------------------------------------------------------------------------------------------------


def exception(kind: str) -> list[Span.Event]:
    return [Span.Event(name="exception", attributes=attributes({"exception.type": kind, "exception.message": "x"}))]


@pytest.mark.parametrize(
    ("failed", "status", "error_type"),
    [
        (chat(), "ok", ""),
        (chat({"http.response.status_code": 200}), "ok", ""),
        (chat({"gen_ai.response.finish_reasons": ["content_filter"]}), "filtered", ""),
        (chat({"gen_ai.response.finish_reasons": '["content_filter"]'}), "filtered", ""),
        (chat({"gen_ai.response.finish_reasons": ["stop"]}), "ok", ""),
        (chat({"gen_ai.response.finish_reasons": "[broken"}), "ok", ""),
        (chat(error=""), "error", ""),
        (chat({"error.type": "openai.RateLimitError"}), "rate_limited", "RateLimitError"),
        (chat({"error.type": "rate_limit_error"}), "rate_limited", "rate_limit_error"),
        (chat({"error.type": "429"}), "rate_limited", "429"),
        (chat({"http.status_code": 429}), "rate_limited", "429"),
        (chat({"error.code": "429"}), "rate_limited", "429"),
        (chat({"http.response.status_code": 529}), "error", "529"),
        (chat(error="Error code: 429 - slow down"), "rate_limited", "429"),
        (chat(error="Rate limit reached"), "rate_limited", ""),
        (chat({"error.type": "System.TimeoutException"}), "timeout", "TimeoutException"),
        (chat(error="Request timed out."), "timeout", ""),
        (chat({"http.response.status_code": 504}), "timeout", "504"),
        (chat({"error.type": "asyncio.CancelledError"}), "cancelled", "CancelledError"),
        (chat({"error.type": "_OTHER"}, error="abandoned stream"), "cancelled", ""),
        (chat({"error.type": "ContentPolicyViolationError"}), "filtered", "ContentPolicyViolationError"),
        (chat(events=exception("openai.APITimeoutError")), "timeout", "APITimeoutError"),
        (chat({"error.type": "_OTHER"}, events=exception("a.b.BadRequest")), "error", "BadRequest"),
        (chat({"error.type": "the prompt was: hello"}), "error", ""),
    ],
)
def test_how_a_call_ended(failed: Span, status: str, error_type: str) -> None:
    event = event_of(failed)
    assert (event.status, event.error_type) == (status, error_type)


# --- The rest of the fields -------------------------------------------------------------------------------------------


def test_times_are_those_of_the_span_in_microseconds() -> None:
    event = event_of(chat(start_time_unix_nano=START + 1_999, end_time_unix_nano=START + 250_000_000))
    assert event.start_time == datetime.fromtimestamp(START // 10**9, tz=UTC).replace(microsecond=1)
    assert event.duration_ms == pytest.approx(249.998001)


def test_a_span_that_ends_before_it_starts_has_no_duration() -> None:
    assert event_of(chat(end_time_unix_nano=1)).duration_ms is None


def moment(name: str, ms: int) -> Span.Event:
    return Span.Event(name=name, time_unix_nano=START + ms * 1_000_000)


@pytest.mark.parametrize(
    ("streamed", "first_token_ms"),
    [
        (chat({"gen_ai.response.time_to_first_chunk": 0.25}), 250),
        (chat({"gen_ai.client.operation.time_to_first_chunk": 0.5}), 500),
        (chat({"ai.response.msToFirstChunk": 125}), 125),
        (chat({"gen_ai.server.time_to_first_token": 0.25, "gen_ai.request.stream": True}), 250),
        (chat({"gen_ai.server.time_to_first_token": 0.25, "gen_ai.request.stream": False}), None),
        (chat(events=[moment("gen_ai.content.completion.chunk", 90), moment("First Token Stream Event", 40)]), 40),
        (chat(events=[moment("something else", 40)]), None),
        (chat({"gen_ai.response.time_to_first_chunk": -1.0}), None),
        (chat({"gen_ai.response.time_to_first_chunk": 2.0}), None),
    ],
)
def test_the_time_to_the_first_token(streamed: Span, first_token_ms: float | None) -> None:
    streamed.end_time_unix_nano = START + 10**9
    assert event_of(streamed).time_to_first_token_ms == first_token_ms


@pytest.mark.parametrize(
    ("attribute", "given", "provider"),
    [
        ("gen_ai.provider.name", "Anthropic", "anthropic"),
        ("gen_ai.system", "openai.chat", "openai"),
        ("ai.model.provider", "anthropic.messages", "anthropic"),
        ("ai.model.provider", "google.vertex.chat", "google.vertex"),
        ("gen_ai.provider.name", "azure.ai.openai", "azure.ai.openai"),
        ("llm.system", "x_ai", "x_ai"),
    ],
)
def test_providers_are_kept_as_given_in_lower_case(attribute: str, given: str, provider: str) -> None:
    assert event_of(span({"gen_ai.operation.name": "chat", attribute: given})).provider_name == provider


@pytest.mark.parametrize(
    ("reported", "amount"),
    [(3.2e-07, "0.00000032"), (0.1 + 0.2, "0.3"), ("0.5", "0.5"), (0.0, None), (-1.0, None), (float("nan"), None),
     ("free", None), (1e9, None), (1, "1"), (1e-13, None)],
)  # fmt: skip
def test_a_reported_cost_is_a_plain_decimal_and_zero_is_unknown(reported: object, amount: str | None) -> None:
    cost = event_of(chat({"gen_ai.usage.cost": reported, "operation.cost": 99.0})).cost
    assert (cost and cost.amount) == amount


def test_a_resent_request_is_a_later_attempt() -> None:
    assert event_of(chat({"http.request.resend_count": 2})).attempt == 3


@pytest.mark.parametrize(
    "values", [{"workload": "batch"}, {"gen_ai.request.batch": True}, {"anthropic.response.service_tier": "batch"}]
)
def test_a_batch_says_so(values: dict[str, object]) -> None:
    assert event_of(chat(values)).workload == "batch"


def test_a_call_without_a_batch_attribute_is_interactive() -> None:
    assert event_of(chat({"openai.response.service_tier": "priority"})).workload == "interactive"


# --- Attribution ------------------------------------------------------------------------------------------------------


def test_what_is_nearer_to_the_call_wins() -> None:
    said = {"tenant.id": "far", "feature": "far", "app.plan": "pro", "user.id": "u", "http.route": "/draft"}
    root = span(said, kind=Span.SPAN_KIND_SERVER)
    middle = span({"feature": "near", "app.plan": "free"}, parent=root, kind=Span.SPAN_KIND_SERVER)
    event = event_of(
        chat(parent=middle), middle, root, resource={"tenant.id": "process", "team": "search"},
        defaults=Attribution(tenant_id="header", team="header", environment="staging"),
    )  # fmt: skip
    assert (event.tenant_id, event.team, event.feature, event.environment) == ("far", "search", "near", "staging")
    assert (event.user_id, event.endpoint, event.tags["app.plan"]) == ("u", "/draft", "free")
    assert (event.request_id, event.parent_event_id) == (root.trace_id.hex(), middle.span_id.hex())


def test_a_call_nobody_claims_goes_to_the_default_then_to_unattributed() -> None:
    assert event_of(chat(), defaults=Attribution(tenant_id="header")).tenant_id == "header"
    reading = read(chat())
    assert reading.events[0].tenant_id == "unattributed"
    assert "tenant_id" in reading.calls[0].implied


def test_an_agent_stands_in_for_a_feature_nobody_named() -> None:
    agent = span({"gen_ai.agent.name": "drafter"})
    assert event_of(chat(parent=agent), agent).feature == "drafter"
    assert event_of(chat({"feature": "letters"}, parent=agent), agent).feature == "letters"


@pytest.mark.parametrize(
    "values",
    [
        {"traceloop.association.properties.tenant_id": "acme"},
        {"ai.telemetry.metadata.tenantId": "acme"},
        {"metadata": '{"tenant": "acme"}'},
        {"metadata.user_api_key_org_id": "acme"},
    ],
)
def test_a_tenant_is_found_where_libraries_carry_it(values: dict[str, object]) -> None:
    assert event_of(chat(values)).tenant_id == "acme"


def test_a_tenants_own_mapping_is_read_first() -> None:
    mapping = DEFAULT.reading(tenant_id=("shop.customer",)).tagging("shop.*")
    body = export(
        chat({"tenant.id": "general", "shop.customer": "acme", "shop.plan": "pro", "shop.secret_key": "s3cr3t"})
    )
    (event,) = read_traces(body, PROTOBUF, defaults=Attribution(), mapping=mapping).events
    assert event.tenant_id == "acme"
    assert event.tags == {"shop.plan": "pro"}


@pytest.mark.parametrize(
    "name", ["user.id", "session.id", "tenant.id", "app.request.id", "ai.telemetry.metadata.userId",
             "ai.telemetry.metadata.sessionId", "traceloop.association.properties.user_id"]
)  # fmt: skip
def test_an_id_is_a_tag_only_when_its_very_name_is_asked_for(name: str) -> None:
    told = chat({name: "someone", "user.plan": "pro"})
    assert event_of(told).tags == {"user.plan": "pro"}
    (event,) = read_traces(export(told), PROTOBUF, defaults=Attribution(), mapping=DEFAULT.tagging(name)).events
    assert sorted(event.tags.values()) == ["pro", "someone"]


def test_a_mapping_for_an_unknown_field_is_refused() -> None:
    with pytest.raises(ValueError, match="tenent_id"):
        DEFAULT.reading(tenent_id=("shop.customer",))


def test_tags_are_those_on_the_allow_list_with_short_keys_and_values() -> None:
    event = event_of(
        chat({"app.beta": True, "tag.tags": ["a", "b"], "traceloop.association.properties.plan": "pro", "other": "x",
              "app.long": "y" * 600, "app.api_key": "sk-1", "app.Authorization": "Bearer", f"app.{'k' * 100}": "z"})
    )  # fmt: skip
    assert event.tags == {"app.beta": "true", "tag.tags": "a,b", "plan": "pro", "app.long": "y" * 500}


@given(
    st.sampled_from(
        ["gen_ai.input.messages", "llm.input_messages.0.message.content", "input.value", "output.value", "gen_ai.headers",
         "embedding.embeddings.3.embedding.text", "request_data", "llm.openai.messages", "exception.stacktrace",
         "gen_ai.prompt.0.content", "ai.prompt", "ai.response.text", "gen_ai.system_instructions", "error.message",
         "llm.invocation_parameters", "traceloop.entity.input", "pydantic_ai.all_messages", "logfire.msg"]
    ),
    st.sampled_from(["{}", '{{"system": "{}"}}', '[{{"content": "{}"}}]']),
    st.booleans(),
)  # fmt: skip
def test_content_is_dropped_wherever_it_is(name: str, form: str, on_resource: bool) -> None:
    told = {name: form.replace("{}", "swordfish").replace("{{", "{").replace("}}", "}")}
    here, there = ({}, told) if on_resource else (told, {})
    parent = span(here)
    body = export(parent, chat(here, parent=parent, error="swordfish"), resource=there)
    reading = read_traces(body, PROTOBUF, defaults=Attribution(), mapping=DEFAULT.tagging("*"))
    assert len(reading.events) == 1
    assert b"swordfish" not in ENCODER.encode(reading.events)


def test_what_logfire_scrubbed_is_no_value() -> None:
    (event,) = read(
        chat({"session.id": "[Scrubbed due to 'session']", "gen_ai.conversation.id": "c-1"}),
    ).events
    assert event.session_id == "c-1"
