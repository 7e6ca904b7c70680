"""Copies of a call in OTLP traces: what is one call, what is not, and what the one event then says."""

from __future__ import annotations

from itertools import permutations
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from ingest.otlp import Attribution, read_traces
from tests.ingest.otlp_spans import PROTOBUF, chat, export, read, span


def response(tail: str) -> dict[str, object]:
    return {"gen_ai.response.id": f"chatcmpl-{tail:0>20}"}


def silent(values: dict[str, object] | None = None, **fields: Any) -> Span:
    """A chat whose span counts no tokens."""
    return span({"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", **(values or {})}, **fields)


def ids(*spans: Span) -> list[str]:
    return sorted(event.event_id or "" for event in read(*spans).events)


def test_copies_of_a_response_in_different_traces_are_one_call() -> None:
    told = chat({"tenant.id": "acme", "app.plan": "pro"} | response("a"), start_ms=0, ms=90)
    counted = chat(
        {"gen_ai.provider.name": "OpenAI", "gen_ai.usage.cache_read.input_tokens": 60, "app.tier": "gold"} | response("a"),
        start_ms=10, ms=100,
    )  # fmt: skip
    for order in permutations([told, counted]):
        reading = read(*order)
        (event,), (call,) = reading.events, reading.calls
        assert (event.tenant_id, event.input_tokens, event.cache_read_input_tokens) == ("acme", 100, 60)
        assert event.tags == {"app.plan": "pro", "app.tier": "gold"}
        assert (event.duration_ms, event.start_time.microsecond) == (100, 0)
        assert (call.identity, "tenant_id" in call.implied, len(call.spans)) == ("response", False, 2)
        assert (reading.spans, reading.collapsed) == (2, 1)


def test_what_was_said_of_a_call_beats_what_was_implied_of_its_copy() -> None:
    told = silent({"team": "search"} | response("a"))
    counted = chat(response("a"))
    (event,) = read(told, counted, resource={"team": "platform"}).events
    assert (event.team, event.input_tokens) == ("search", 100)


def test_tenants_never_share_a_call() -> None:
    copies = [chat({"tenant.id": tenant} | response("a")) for tenant in ("acme", "initech")]
    assert {event.tenant_id for event in read(*copies).events} == {"acme", "initech"}


@pytest.mark.parametrize("one", ["anthropic", "Anthropic", "aws.bedrock", ""])
def test_copies_may_name_the_provider_differently(one: str) -> None:
    copies = [
        chat({"gen_ai.provider.name": name, "gen_ai.response.id": "msg_0123456789"}) for name in (one, "anthropic")
    ]
    assert ids(*copies) == ["resp:anthropic:msg_0123456789"]


def test_provider_families_share_ids_of_unknown_shape() -> None:
    copies = [
        chat({"gen_ai.provider.name": name, "gen_ai.response.id": "aZ-9"}) for name in ("gemini", "gcp.vertex_ai")
    ]
    assert ids(*copies) == ["resp:google:aZ-9"]


def test_an_id_that_is_not_one_of_a_kind_is_no_identity() -> None:
    assert len(ids(*(chat({"gen_ai.response.id": "chatcmpl-417"}) for _ in range(2)))) == 2


def test_a_span_sent_twice_is_one_call() -> None:
    call = chat()
    assert ids(call, call) == [f"span:{call.trace_id.hex()}:{call.span_id.hex()}"]


def test_a_lower_layer_is_the_same_call() -> None:
    outer = silent(error="Error code: 429", start_ms=0)
    inner = silent(
        {"http.response.status_code": 429, "error.type": "rate_limit_error"}, parent=outer, start_ms=1, error=""
    )
    for order in permutations([inner, outer]):
        (event,) = read(*order).events
        assert event.event_id == f"span:{outer.trace_id.hex()}:{outer.span_id.hex()}"
        assert event.status == "rate_limited"


def test_a_lower_layer_may_be_deeper_and_may_alone_know_the_response() -> None:
    outer = silent({"feature": "draft"})
    between = span(parent=outer)
    inner = chat(response("a"), parent=between)
    reading = read(inner, between, outer)
    (event,) = reading.events
    assert (event.event_id, event.input_tokens) == ("resp:openai:chatcmpl-0000000000000000000a", 100)
    assert (reading.collapsed, reading.skipped) == (1, 1)


def test_a_failed_attempt_inside_a_call_that_went_well_is_no_failure() -> None:
    outer = chat(response("a"))
    attempts = [silent(parent=outer, error="Error code: 500"), chat(response("a"), parent=outer)]
    (event,) = read(*attempts, outer).events
    assert (event.status, event.input_tokens) == ("ok", 100)


def test_a_copy_that_saw_the_response_break_says_so() -> None:
    unaware = silent(response("a"))
    aware = silent({"error.type": "APIError"} | response("a"))
    (event,) = read(unaware, aware).events
    assert (event.status, event.error_type) == ("error", "APIError")


@pytest.mark.parametrize("total", [{}, {"gen_ai.usage.input_tokens": 200}], ids=["silent", "summing"])
def test_a_call_around_several_responses_only_adds_them_up(total: dict[str, object]) -> None:
    outermost = silent(total)
    outer = silent(total, parent=outermost)
    inner = [chat(response(tail), parent=outer) for tail in "ab"]
    reading = read(*inner, outer, outermost)
    assert [event.input_tokens for event in reading.events] == [100, 100]
    assert (reading.spans, reading.collapsed) == (4, 2)


def test_a_silent_call_around_several_counted_ones_is_none_of_them() -> None:
    outer = silent()
    assert len(ids(outer, chat(parent=outer), chat(parent=outer))) == 2


def test_a_counted_call_around_uncounted_ones_is_one_call() -> None:
    outer = chat()
    assert len(ids(outer, silent(parent=outer), silent(parent=outer))) == 1


def test_different_responses_inside_each_other_are_different_calls() -> None:
    outer = chat(response("a"))
    assert len(ids(outer, chat(response("b"), parent=outer))) == 2


def test_an_embedding_inside_a_chat_is_a_call_of_its_own() -> None:
    outer = chat(response("a"))
    assert len(ids(outer, chat({"gen_ai.operation.name": "embeddings"}, parent=outer))) == 2


def test_calls_beside_each_other_are_not_copies() -> None:
    root = span()
    assert len(ids(root, chat(parent=root), chat(parent=root))) == 2


def test_a_very_long_chain_of_layers_is_one_call() -> None:
    chain = [chat()]
    for _ in range(3000):
        chain.append(silent(parent=chain[-1]))
    assert len(ids(*reversed(chain))) == 1


def test_spans_that_are_each_others_parents_are_still_read() -> None:
    one = chat(response("a"))
    other = chat(response("b"), parent=one)
    one.parent_span_id = other.span_id
    assert len(ids(one, other)) == 2
    one.parent_span_id = one.span_id
    assert len(ids(one)) == 1


def test_copies_in_different_resources_are_found() -> None:
    body = export(chat(response("a"))) + export(
        chat(response("a")), scope="other", resource={"service.name": "gateway"}
    )
    assert len(read_traces(body, PROTOBUF, defaults=Attribution()).events) == 1


# --- Any nesting ------------------------------------------------------------------------------------------------------

Shape = tuple[str | None, bool, str, int]
shapes: st.SearchStrategy[Shape] = st.tuples(
    st.sampled_from([None, "a", "b", "c"]),  # whose response it is
    st.booleans(),  # whether it counts tokens
    st.sampled_from(["chat", "chat", "embeddings", "execute_tool"]),
    st.integers(0, 9),  # the place of its parent
)


@given(st.lists(shapes, min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_any_nesting_is_accounted_for_whatever_the_order(drawn: list[Shape], random: Random) -> None:
    spans = _nested(drawn)
    reading = read(*spans)
    paid = {
        f"resp:openai:chatcmpl-{tail:0>20}" for tail, _, operation, _ in drawn if tail and operation != "execute_tool"
    }
    found = [event.event_id or "" for event in reading.events]
    assert reading.spans == len(found) + reading.collapsed + reading.skipped
    assert len(set(found)) == len(found)
    assert {event_id for event_id in found if event_id.startswith("resp:")} == paid
    assert all(event.input_tokens in {None, 100} for event in reading.events)
    if _is_a_forest(drawn):
        assert ids(*random.sample(spans, len(spans))) == sorted(found)


def _nested(drawn: list[Shape]) -> list[Span]:
    spans = [
        (chat if counted else silent)(
            {"gen_ai.operation.name": operation} | (response(tail) if tail else {}), start_ms=at
        )
        for at, (tail, counted, operation, _) in enumerate(drawn)
    ]
    for one, (*_, place) in zip(spans, drawn, strict=True):
        one.trace_id = spans[0].trace_id
        one.parent_span_id = spans[place].span_id if place < len(spans) else b""
    return spans


def _is_a_forest(drawn: list[Shape]) -> bool:
    return all(place < at or place >= len(drawn) for at, (*_, place) in enumerate(drawn))
