"""Dead letters: what is refused is kept with its reason and without content, listed in scope, bounded, and redriven."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.database import Database
from ingest.payloads import Rejection
from ingest.rejected import MAX_PAYLOAD_BYTES, Refused, RejectedEvents
from ingest.remains import remains
from tenants.erasures import ErasedUsers
from tenants.principal import Role
from tenants.scope import Scope
from tests.app import Api, running_api
from tests.engines import EmbeddedClickHouse, fresh_clickhouse_url
from tests.ingest.events import ago, wire_event

LIST = (
    "query($first: Int = 100, $after: String, $source: String, $rule: String) { rejectedEvents(first: $first, "
    "after: $after, source: $source, rule: $rule) { nodes { id source keyName tenant itemIndex eventId field rule "
    "message payload redrivenAt } pageInfo { hasNextPage endCursor } } }"
)
REDRIVE = "mutation($ids: [ID!]!) { redriveEvents(ids: $ids) { results { id outcome message } } }"
TOTALS = "{ costs(timeRange: {preset: LAST_90_DAYS}) { totals { operations inputTokens } } }"


def letters(api: Api, key: str | None = None, **asked: Any) -> list[dict[str, Any]]:
    return api.data(LIST, key=key, **asked)["rejectedEvents"]["nodes"]


def redriven(api: Api, *ids: str, key: str | None = None) -> list[tuple[str, str | None]]:
    results = api.data(REDRIVE, key=key, ids=ids)["redriveEvents"]["results"]
    assert [each["id"] for each in results] == list(ids)
    return [(each["outcome"], each["message"]) for each in results]


def totals(api: Api) -> dict[str, int]:
    return api.data(TOTALS)["costs"]["totals"]


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    opened.migrate()
    yield opened
    opened.close()


def test_a_refused_item_is_kept_with_its_reason(embedded_api: Api) -> None:
    api = embedded_api
    bad = wire_event("bad", input_tokens=-1, tags={"plan": "pro"})
    key = api.make_key(Role.INGEST)
    assert api.post_events([wire_event("good"), bad], key=key).json()["rejected"] == 1
    (letter,) = letters(api)
    assert json.loads(letter.pop("payload")) == bad
    assert letter == {
        "id": "1",
        "source": "events",
        "keyName": "test ingest",
        "tenant": "acme",
        "itemIndex": 1,
        "eventId": "bad",
        "field": "input_tokens",
        "rule": "range",
        "message": "Expected `int` >= 0 - at `$.input_tokens`",
        "redrivenAt": None,
    }


def test_what_a_door_itself_refuses_is_kept_without_payload(embedded_api: Api) -> None:
    receipt = embedded_api.post_events(b'{"event_id": "x"\n{"event_id": \n[]').json()
    assert receipt["rejected"] == 3
    assert [(each["rule"], each["payload"]) for each in letters(embedded_api)] == [
        ("type", None),
        ("json", None),
        ("json", None),
    ]


def test_an_item_that_is_not_utf8_is_refused_beside_good_ones(embedded_api: Api) -> None:
    lines = [json.dumps(wire_event("good")).encode(), json.dumps(wire_event("odd")).encode().replace(b"odd", b"\xff")]
    for body in (b"\n".join(lines), b"[" + b",".join(lines[::-1]) + b"]"):
        receipt = embedded_api.post_events(body).json()
        assert (receipt["received"], receipt["rejected"]) == (2, 1)
    assert [(each["rule"], each["payload"]) for each in letters(embedded_api)] == [("json", None)] * 2


SECRET = "the patient says"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ({"prompt": SECRET, "event_id": "e"}, {"prompt": None, "event_id": "e"}),
        ({"feature": {"messages": [SECRET]}}, {"feature": {}}),
        ({"feature": [SECRET]}, {"feature": []}),
        ({"cost": {"amount": "1", "note": SECRET}}, {"cost": {"amount": "1", "note": None}}),
        ({"cost": SECRET}, {"cost": SECRET}),
        ({"tags": {"plan": "pro", "deep": {"a": SECRET}}}, {"tags": {"plan": "pro", "deep": {}}}),
        ({"user_id": "x" * 9_000}, {"user_id": "x" * 501}),
        ({"quantity": 10**40, "cache_hit": True, "unit": None}, {"quantity": 10**40, "cache_hit": True, "unit": None}),
    ],
)
def test_content_does_not_remain(sent: dict[str, Any], kept: dict[str, Any]) -> None:
    left = remains(json.dumps(sent).encode())
    assert left is not None
    assert json.loads(left.payload) == kept


@pytest.mark.parametrize("item", [None, b"7", b"[1]", b'{"a": ', b'{"event_id": "\xff"}', b"[" * 5_000])
def test_of_what_is_no_object_nothing_remains(item: bytes | None) -> None:
    assert remains(item) is None


def test_numbers_remain_digit_for_digit() -> None:
    left = remains(b'{"quantity": 0.10000000000000000000001, "event_id": "e"}')
    assert left is not None
    assert b"0.10000000000000000000001" in left.payload
    assert left.texts == {"event_id": "e"}


async def keep(store: RejectedEvents, *items: bytes) -> None:
    refused = [Refused(Rejection(i, "f", "r", "m"), item) for i, item in enumerate(items)]
    await store.keep(refused, source="events", key_name="k", scope=Scope())


@pytest.mark.anyio
async def test_the_oldest_go_first(database: Database) -> None:
    store = RejectedEvents(database, 3, ErasedUsers(database))
    await keep(store, b'{"event_id": "a"}', b'{"event_id": "b"}')
    await keep(store, b'{"event_id": "c"}', b'{"event_id": "d"}')
    assert [row.event_id for row in store.find(Scope(), first=9)] == ["d", "c", "b"]
    await keep(store, *(b'{"event_id": "%d"}' % i for i in range(9)))
    assert [row.event_id for row in store.find(Scope(), first=9)] == ["8", "7", "6"]
    await keep(RejectedEvents(database, 0, ErasedUsers(database)), b"{}")
    assert len(store.find(Scope(), first=9)) == 3
    store.close()


@pytest.mark.anyio
async def test_both_databases_hold_what_clients_send(database: Database) -> None:
    store = RejectedEvents(database, 10, ErasedUsers(database))
    odd = json.dumps({"event_id": "a\0b", "tenant_id": "\U0001f600" * 300, "feature": "\x7f\0"}).encode()
    long = json.dumps({"event_id": "long", "tags": {str(i): "x" * 100 for i in range(MAX_PAYLOAD_BYTES // 100)}})
    await keep(store, odd, long.encode())
    kept_long, kept_odd = store.find(Scope(), first=9)
    assert (kept_long.event_id, kept_long.payload) == ("long", None)
    assert (kept_odd.event_id, kept_odd.tenant_id) == ("a\N{REPLACEMENT CHARACTER}b", "\U0001f600" * 200)
    assert json.loads(kept_odd.payload or "")["event_id"] == "a\0b"
    store.close()


@pytest.mark.anyio
async def test_trouble_with_keeping_is_logged_without_content(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    database = Database(f"sqlite:///{tmp_path}/never-migrated.db")
    store = RejectedEvents(database, 10, ErasedUsers(database))
    with caplog.at_level(logging.ERROR, "apportion.rejected"):
        await keep(store, b'{"event_id": "secret"}')
    assert "1 refused items of events are not kept" in caplog.text
    assert "secret" not in caplog.text
    store.close()
    database.close()


def test_a_scoped_key_sees_its_own(embedded_api: Api) -> None:
    api = embedded_api
    acme = api.make_key(Role.INGEST, tenant="acme")
    api.post_events([wire_event("a", input_tokens=-1), wire_event("b", tenant_id="other")], key=acme)
    api.post_events([wire_event("c", tenant_id="other", input_tokens=-1), wire_event("d", tenant_id=None)])

    def seen(**scope: str) -> list[str]:
        return [letter["eventId"] for letter in letters(api, api.make_key(Role.EDITOR, **scope))]

    assert seen() == ["d", "c", "b", "a"]
    assert seen(tenant="acme") == ["b", "a"]
    assert seen(tenant="other") == ["c"]
    assert seen(team="acme") == []
    for role in (Role.INGEST, Role.VIEWER, Role.FINANCE):
        answers = [api.graphql(LIST, key=api.make_key(role)), api.graphql(REDRIVE, key=api.make_key(role), ids=["1"])]
        assert [answer["errors"][0]["extensions"]["code"] for answer in answers] == ["FORBIDDEN"] * 2


def test_the_list_is_paged_and_filtered(embedded_api: Api) -> None:
    api = embedded_api
    api.post_events([wire_event(f"e{i}", **({"input_tokens": -1} if i % 2 else {"status": "odd"})) for i in range(5)])
    first = api.data(LIST, first=2)["rejectedEvents"]
    assert [node["eventId"] for node in first["nodes"]] == ["e4", "e3"]
    after = first["pageInfo"]["endCursor"]
    assert [node["eventId"] for node in letters(api, first=9, after=after)] == ["e2", "e1", "e0"]
    assert [node["eventId"] for node in letters(api, rule="range")] == ["e3", "e1"]
    assert letters(api, source="otlp") == []
    assert api.graphql(LIST, after=after, rule="range")["errors"][0]["extensions"]["code"] == "BAD_CURSOR"


@pytest.fixture
def patient_url(embedded_clickhouse: EmbeddedClickHouse) -> Iterator[str]:
    with fresh_clickhouse_url(embedded_clickhouse) as url:
        yield url


def test_what_was_in_the_way_is_mended_and_the_events_redriven(patient_url: str, tmp_path: Path) -> None:
    old = [wire_event(f"e{i}", start_time=ago(days=4 + i)) for i in range(3)]
    with running_api(patient_url, tmp_path, max_event_age_days=2) as api:
        assert api.post_events(old).json()["rejected"] == 3
        assert redriven(api, "1")[0][0] == "REFUSED"
        assert len(letters(api)) == 3
    with running_api(patient_url, tmp_path, max_event_age_days=6) as api:
        outcomes = redriven(api, "1", "2", "3", "77")
        assert [outcome for outcome, _ in outcomes] == ["REDRIVEN", "REDRIVEN", "REFUSED", "UNKNOWN"]
        assert outcomes[2][1] == "start_time is more than 6 days ago"
        assert totals(api) == {"operations": 2, "inputTokens": 2_000}
        assert redriven(api, "1", "3") == [("DONE_BEFORE", None), ("REFUSED", outcomes[2][1])]
        listed = letters(api)
        assert [letter["redrivenAt"] is None for letter in listed] == [True, False, False]
        assert listed[0]["message"] == outcomes[2][1]
        assert api.services.pipeline.counters.total("rejected") == 2
        log = api.data("{ auditLog(first: 2) { nodes { action actor target details } } }")["auditLog"]["nodes"]
        assert [entry["action"] for entry in log] == ["REDRIVE_EVENTS", "REDRIVE_EVENTS"]
        assert json.loads(log[1]["details"]) == {"ids": [1, 2, 3]}


def test_redriving_never_makes_less_of_an_event_than_was_sent(embedded_api: Api) -> None:
    api = embedded_api
    wrong = [
        wire_event("unknown", cacheRead=5),
        wire_event("nested", output_tokens={"text": 5}),
        wire_event("long", tags={"plan": "x" * 600}),
    ]
    assert api.post_events([*wrong, "no object"]).json()["rejected"] == 4
    assert [outcome for outcome, _ in redriven(api, "1", "2", "3", "4")] == ["REFUSED"] * 3 + ["NOT_KEPT"]
    assert totals(api)["operations"] == 0


def test_redriving_keeps_the_place_its_sender_was_bound_to(embedded_api: Api) -> None:
    api = embedded_api
    api.post_events([wire_event("b", tenant_id="other")], key=api.make_key(Role.INGEST, tenant="acme"))
    assert redriven(api, "1") == [("REFUSED", "this key may only send events of tenant_id 'acme'")]
    assert redriven(api, "1", key=api.make_key(Role.EDITOR, tenant="other")) == [("UNKNOWN", None)]


def test_redriving_is_bounded(embedded_api: Api) -> None:
    codes = [
        embedded_api.graphql(REDRIVE, ids=ids)["errors"][0]["extensions"]["code"]
        for ids in (["1"] * 1_001, ["x"], ["-1"], ["99999999999999999999"])
    ]
    assert codes == ["TOO_MANY_TO_REDRIVE", "BAD_ID", "BAD_ID", "BAD_ID"]
    assert redriven(embedded_api) == []
