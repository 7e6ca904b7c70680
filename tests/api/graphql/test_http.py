"""GraphQL over HTTP: every status, and a GraphQL JSON body under each."""

from __future__ import annotations

import hashlib
import json
import time

import httpx
import pytest

from tests.api.graphql.conftest import client_of, codes, run
from tests.api.graphql.guinea_pig import CANCELLED, MUTATIONS, SECRET

pytestmark = pytest.mark.anyio

GRAPHQL = "application/graphql-response+json"
JSON = "application/json"
PING = {"query": "{ ping }"}


async def post(client: httpx.AsyncClient, content: bytes, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.post("/graphql", content=content, headers={"content-type": JSON, **named})


async def test_an_answer_says_who_may_keep_it(client):
    response = await client.post("/graphql", json=PING)
    assert response.status_code == 200
    assert response.json()["data"] == {"ping": "pong"}
    assert response.headers["cache-control"] == "private, no-store"
    assert response.headers["vary"] == "Accept"
    assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        (JSON, JSON),
        (GRAPHQL, GRAPHQL),
        (f"{GRAPHQL},{JSON};q=0.9", GRAPHQL),
        (f"{GRAPHQL};q=0.5, {JSON}", JSON),
        (f"{GRAPHQL}, application/graphql+json, {JSON}, text/event-stream, multipart/mixed", GRAPHQL),
    ],
)
async def test_the_media_type_is_the_one_liked_best(client, accept, media_type):
    headers = {} if accept is None else {"accept": accept}
    if accept is None:
        del client.headers["accept"]
    response = await client.post("/graphql", json=PING, headers=headers)
    assert response.headers["content-type"] == f"{media_type}; charset=utf-8"


@pytest.mark.parametrize("accept", ["text/html", "image/png", f"{JSON};q=0", f"{JSON};q=high"])
async def test_an_unknown_media_type_is_not_acceptable(client, accept):
    response = await client.post("/graphql", json=PING, headers={"accept": accept})
    assert (response.status_code, codes(response.json())) == (406, ["NOT_ACCEPTABLE"])


@pytest.mark.parametrize(
    "query",
    [
        "{",
        "{ nothing }",
        "{ echo }",
        "query($n: Int!) { rows(first: $n) { feature } }",
        "query A { ping } query B { ping }",
    ],
)
async def test_a_request_that_cannot_run_has_no_data(client, query):
    for media_type, status in ((GRAPHQL, 400), (JSON, 200)):
        response = await client.post("/graphql", json={"query": query}, headers={"accept": media_type})
        assert response.status_code == status
        assert "data" not in response.json()
        assert response.json()["errors"]


@pytest.mark.parametrize("accept", [GRAPHQL, JSON])
async def test_a_partial_result_is_a_result(client, accept):
    response = await client.post("/graphql", json={"query": "{ ping missing }"}, headers={"accept": accept})
    assert response.status_code == 200
    assert response.json()["data"] == {"ping": "pong", "missing": None}


@pytest.mark.parametrize("accept", [GRAPHQL, JSON])
async def test_a_null_at_the_root_is_still_a_result(client, accept):
    response = await client.post("/graphql", json={"query": "{ strictBoom }"}, headers={"accept": accept})
    assert response.status_code == 200
    assert response.json()["data"] is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"1",
        b"null",
        b'"x"',
        b"true",
        b"NaN",
        b"[]",
        b"{}",
        b'{"query": "\xff"}',
        b'{"query": "{ ping }", "operationName": "\\ud800"}',
        b'{"query": "{ ping }", "variables": {"x": NaN}}',
        b'{"query": "{ ping }", "variables": ' + b'{"a":' * 2000 + b"1" + b"}" * 2000 + b"}",
        b'{"query": 1}',
        b'{"query": ""}',
        b'{"query": "{ ping }", "operationName": 1}',
        b'{"query": "{ ping }", "variables": []}',
        b'{"query": "{ ping }", "extensions": "x"}',
    ],
)
async def test_a_malformed_body_is_the_clients_fault(client, body):
    response = await post(client, body)
    assert (response.status_code, codes(response.json())) == (400, ["BAD_REQUEST"])


async def test_batches_are_refused(client):
    response = await client.post("/graphql", json=[PING, PING])
    assert response.status_code == 400
    assert "Batching" in response.json()["errors"][0]["message"]


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "",
        "application/json; charset=utf-16",
    ],
)
async def test_only_json_is_read(client, content_type):
    response = await post(client, b'{"query": "{ ping }"}', content_type=content_type)
    assert (response.status_code, codes(response.json())) == (415, ["UNSUPPORTED_MEDIA_TYPE"])
    assert response.headers["accept"] == JSON


async def test_compressed_bodies_are_refused(client):
    response = await post(client, b"\x1f\x8b", content_encoding="gzip")
    assert (response.status_code, codes(response.json())) == (415, ["UNSUPPORTED_MEDIA_TYPE"])


async def test_a_long_body_is_refused_before_it_is_read(client):
    read = 0

    async def endless():
        nonlocal read
        while read < 1_000_000:
            read += 1000
            yield b" " * 1000

    response = await client.post("/graphql", content=endless(), headers={"content-type": JSON})
    assert (response.status_code, codes(response.json())) == (413, ["PAYLOAD_TOO_LARGE"])
    response = await post(client, b" " * 20_001)
    assert response.status_code == 413


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"])
async def test_other_methods_are_refused(client, method):
    response = await client.request(method, "/graphql")
    assert response.status_code == 405
    assert response.headers["allow"] == "GET, POST"


async def test_a_query_may_come_by_get(client):
    variables = json.dumps({"text": "hé"})
    parameters = {
        "query": "query Q($text: String!) { echo(text: $text) }",
        "variables": variables,
        "operationName": "Q",
    }
    response = await client.get("/graphql", params=parameters)
    assert response.json()["data"] == {"echo": "hé"}
    assert (await client.get("/graphql", params={"query": "{ ping }", "variables": ""})).status_code == 200


@pytest.mark.parametrize(
    "parameters", [{}, {"query": "{ ping }", "variables": "{"}, {"query": "{ ping }", "extensions": "[]"}]
)
async def test_a_malformed_get_is_the_clients_fault(client, parameters):
    assert (await client.get("/graphql", params=parameters)).status_code == 400


async def test_a_mutation_needs_a_post(client):
    response = await client.get("/graphql", params={"query": "mutation { add(number: 1) }"})
    assert (response.status_code, codes(response.json())) == (405, ["METHOD_NOT_ALLOWED"])
    assert response.headers["allow"] == "POST"
    assert MUTATIONS == []
    assert (await run(client, "mutation { add(number: 1) }"))["data"] == {"add": 1}


@pytest.mark.parametrize(
    ("site", "status"), [("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)]
)
async def test_a_get_another_site_makes_is_refused(client, site, status):
    response = await client.get("/graphql", params=PING, headers={"sec-fetch-site": site})
    assert response.status_code == status


async def test_a_subscription_needs_a_stream(client):
    response = await client.post("/graphql", json={"query": "subscription { count }"})
    assert response.status_code == 400
    assert "text/event-stream" in response.json()["errors"][0]["message"]


async def test_the_operation_must_be_named_when_there_are_several(client):
    both = 'query A { ping } query B { echo(text: "b") }'
    assert codes(await run(client, both)) == ["OPERATION_RESOLUTION_FAILURE"]
    assert (await run(client, both, operationName="B"))["data"] == {"echo": "b"}
    assert codes(await run(client, both, operationName="C")) == ["OPERATION_RESOLUTION_FAILURE"]
    assert codes(await run(client, "fragment F on Query { ping }")) == ["OPERATION_RESOLUTION_FAILURE"]


@pytest.mark.parametrize("parameter", ["seconds: 9", "seconds: 8"])
async def test_a_slow_operation_is_stopped(parameter):
    async with client_of(timeout_seconds=0.1) as client:
        response = await client.post("/graphql", json={"query": f"{{ slow({parameter}) }}"})
    assert (response.status_code, codes(response.json())) == (504, ["TIMEOUT"])
    assert CANCELLED == ["slow"]


async def test_a_slow_body_is_not_waited_for():
    async def trickle():
        import anyio

        while True:
            await anyio.sleep(0.02)
            yield b" "

    async with client_of(timeout_seconds=0.1) as client:
        response = await client.post("/graphql", content=trickle(), headers={"content-type": JSON})
    assert response.status_code == 504


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [("unknown", 401, "UNAUTHENTICATED"), ("ingester", 403, "FORBIDDEN"), ("unlucky", 503, "UNAVAILABLE")],
)
async def test_a_refused_caller_learns_why(client, name, status, code):
    response = await client.post("/graphql", json=PING, headers={"authorization": f"Bearer {name}"})
    assert (response.status_code, codes(response.json())) == (status, [code])
    assert response.headers.get("www-authenticate") == ("Bearer" if status == 401 else None)


async def test_the_context_reaches_the_resolvers(client):
    response = await client.post("/graphql", json={"query": "{ caller }"}, headers={"authorization": "Bearer ada"})
    assert response.json()["data"] == {"caller": "ada"}


async def test_a_context_may_be_made_without_waiting():
    async with client_of(get_context=lambda connection: connection.url.path) as client:
        assert (await run(client, "{ caller }"))["data"] == {"caller": "/graphql"}


async def test_a_fault_of_the_edge_is_masked_and_logged(client, caplog):
    response = await client.post("/graphql", json=PING, headers={"authorization": "Bearer buggy"})
    (error,) = response.json()["errors"]
    assert (response.status_code, error["message"]) == (500, "Internal server error")
    assert SECRET not in response.text
    assert error["extensions"]["errorId"] in caplog.text
    assert SECRET in caplog.text


async def test_what_json_cannot_hold_is_masked(client, caplog):
    response = await client.post("/graphql", json={"query": "{ anything(value: 99999999999999999999) }"})
    assert (response.status_code, codes(response.json())) == (500, ["INTERNAL_SERVER_ERROR"])
    assert response.json()["errors"][0]["extensions"]["errorId"] in caplog.text


async def test_persisted_queries_are_sent_once(client):
    digest = hashlib.sha256(b"{ ping }").hexdigest()
    extensions = {"persistedQuery": {"version": 1, "sha256Hash": digest}}
    miss = await client.post("/graphql", json={"extensions": extensions})
    assert (miss.status_code, codes(miss.json())) == (200, ["PERSISTED_QUERY_NOT_FOUND"])
    assert miss.json()["errors"][0]["message"] == "PersistedQueryNotFound"
    assert (await run(client, "{ ping }", extensions=extensions))["data"] == {"ping": "pong"}
    hit = await client.get("/graphql", params={"extensions": json.dumps(extensions)})
    assert hit.json()["data"] == {"ping": "pong"}


async def test_a_persisted_query_must_match_its_hash(client):
    extensions = {"persistedQuery": {"version": 1, "sha256Hash": "0" * 64}}
    assert codes(await run(client, "{ ping }", extensions=extensions)) == ["BAD_REQUEST"]
    assert codes(await run(client, "", extensions=extensions)) == ["PERSISTED_QUERY_NOT_FOUND"]


async def test_persisted_queries_take_bounded_room(client):
    from tests.api.graphql.guinea_pig import make_schema

    documents = make_schema().documents
    for number in range(2000):
        text = f'{{ echo(text: "{number}") }}'
        documents.text_of(text, {"persistedQuery": {"sha256Hash": hashlib.sha256(text.encode()).hexdigest()}})
    assert len(documents.persisted.values) == 1024


@pytest.mark.parametrize("text", ["x" * 15_000, "\\n" * 5_000])
async def test_a_long_document_is_refused_quickly(client, text):
    started = time.perf_counter()
    response = await post(client, b'{"query": "# ' + text.encode() + b'"}')
    assert response.status_code == 200
    assert codes(response.json()) == ["GRAPHQL_PARSE_FAILED"]
    assert time.perf_counter() - started < 1.0
