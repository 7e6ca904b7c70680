"""Server-sent events, multipart and WebSocket, behind a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.api.graphql.guinea_pig import SECRET, WITHDRAWN

PROTOCOL = "graphql-transport-ws"
MULTIPART = "multipart/mixed;boundary=graphql;subscriptionSpec=1.0,application/json"


def stream(server: str, query: str, accept: str = "text/event-stream", **options: Any) -> httpx.Response:
    headers = {"accept": accept, **options.pop("headers", {})}
    return httpx.post(f"http://{server}/graphql", json={"query": query, **options}, headers=headers)


def events(text: str) -> list[tuple[str, Any]]:
    """What a client that splits on LF LF makes of the stream."""
    found = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
        if "event" in lines:
            found.append((lines["event"], json.loads(lines["data"]) if lines["data"] else None))
    return found


def test_a_subscription_is_a_stream_of_events(server):
    response = stream(server, "subscription { count(to: 2) }")
    assert response.headers["content-type"].startswith("text/event-stream")
    assert "no-cache" in response.headers["cache-control"]
    assert "\r" not in response.text
    names, bodies = zip(*events(response.text), strict=True)
    assert names == ("next", "next", "complete")
    assert [body["data"] for body in bodies[:2]] == [{"count": 0}, {"count": 1}]


def test_a_query_over_events_is_one_event(server):
    assert [name for name, _ in events(stream(server, "{ ping }").text)] == ["next", "complete"]
    accept = "application/graphql-response+json, application/json, text/event-stream, multipart/mixed"
    assert stream(server, "{ ping }", accept).json()["data"] == {"ping": "pong"}


@pytest.mark.parametrize(
    ("query", "code"),
    [("{ nothing }", "GRAPHQL_VALIDATION_FAILED"), ("{ slow }", "TIMEOUT"), ("{", "GRAPHQL_PARSE_FAILED")],
)
def test_a_stream_tells_its_errors(server, query, code):
    ((_, body), *_) = events(stream(server, query).text)
    assert [error["extensions"]["code"] for error in body["errors"]] == [code]


def test_an_unexpected_end_of_a_stream_is_masked(server):
    bodies = [body for name, body in events(stream(server, "subscription { breaks }").text) if name == "next"]
    assert bodies[0]["data"] == {"breaks": 1}
    assert bodies[1]["errors"][0]["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
    assert SECRET not in str(bodies)


def test_a_subscription_outlives_the_timeout(server):
    response = stream(server, "subscription { count(to: 3, pause: 0.3) }")
    assert len([name for name, _ in events(response.text) if name == "next"]) == 3


def test_a_stream_needs_its_caller_too(server):
    response = stream(server, "subscription { count }", headers={"authorization": "Bearer unknown"})
    assert response.status_code == 401


def test_multipart_carries_subscriptions(server):
    response = stream(server, "subscription { count(to: 2) }", MULTIPART)
    assert response.headers["content-type"].startswith("multipart/mixed;boundary=graphql")
    parts = [part.split("\r\n\r\n", 1)[1] for part in response.text.split("--graphql") if "\r\n\r\n" in part]
    payloads = [json.loads(part)["payload"]["data"] for part in parts if "payload" in part]
    assert payloads == [{"count": 0}, {"count": 1}]
    assert response.text.rstrip().endswith("--graphql--")


@pytest.fixture
def socket(server: str) -> Iterator[ClientConnection]:
    with connect(f"ws://{server}/graphql", subprotocols=[PROTOCOL]) as opened:
        yield opened


def say(socket: ClientConnection, **message: object) -> None:
    socket.send(json.dumps(message))


def hear(socket: ClientConnection) -> dict[str, Any]:
    text = socket.recv(timeout=5)
    assert isinstance(text, str), "graphql-transport-ws clients read text frames only"
    message: dict[str, Any] = json.loads(text)
    return message


def introduce(socket: ClientConnection, **payload: object) -> None:
    say(socket, type="connection_init", payload=payload)
    assert hear(socket)["type"] == "connection_ack"


def subscribe(socket: ClientConnection, query: str, **payload: object) -> list[dict[str, Any]]:
    """Every message of one operation."""
    say(socket, type="subscribe", id="1", payload={"query": query, **payload})
    heard = [hear(socket)]
    while heard[-1]["type"] == "next":
        heard.append(hear(socket))
    return heard


def closing(socket: ClientConnection) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as closed:
        socket.recv(timeout=5)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code, closed.value.rcvd.reason


def test_a_subscription_over_a_socket(socket):
    introduce(socket)
    messages = subscribe(socket, "subscription { count(to: 2) }")
    assert [message["type"] for message in messages] == ["next", "next", "complete"]
    assert messages[1]["payload"]["data"] == {"count": 1}


def test_a_query_over_a_socket(socket):
    introduce(socket)
    query = "query($n: Int!) { rows(first: $n) { bucket effectiveCost } }"
    (answer, _) = subscribe(socket, query, variables={"n": 2}, operationName=None)
    assert answer["payload"]["data"]["rows"][1] == {"bucket": "2026-03-01T01:00:00Z", "effectiveCost": "0.000000001"}


@pytest.mark.parametrize("name", ["Authorization", "authorization"])
def test_the_introduction_names_the_caller(socket, name):
    introduce(socket, **{name: "Bearer ada"})
    assert subscribe(socket, "subscription { caller }")[0]["payload"]["data"] == {"caller": "ada"}


def test_a_withdrawn_key_ends_an_open_socket(socket):
    introduce(socket, Authorization="Bearer bob")
    assert subscribe(socket, "{ caller }")[0]["payload"]["data"] == {"caller": "bob"}
    WITHDRAWN.add("bob")
    say(socket, type="subscribe", id="2", payload={"query": "{ caller }"})
    assert closing(socket) == (4403, "This API key was withdrawn.")


def test_the_handshake_names_the_caller(server):
    headers = {"authorization": "Bearer ada"}
    with connect(f"ws://{server}/graphql", subprotocols=[PROTOCOL], additional_headers=headers) as socket:
        introduce(socket)
        assert subscribe(socket, "{ caller }")[0]["payload"]["data"] == {"caller": "ada"}


@pytest.mark.parametrize(
    ("name", "code", "reason"),
    [("unknown", 4403, "This API key is not known."), ("buggy", 4500, "Internal server error")],
)
def test_a_refused_caller_is_closed(socket, name, code, reason):
    say(socket, type="connection_init", payload={"Authorization": f"Bearer {name}"})
    closed, why = closing(socket)
    assert closed == code
    assert why.startswith(reason)


@pytest.mark.parametrize(
    ("query", "code"),
    [("{ nothing }", "GRAPHQL_VALIDATION_FAILED"), ("{ tree { " + "name " * 501 + "} }", "QUERY_TOO_COMPLEX")],
)
def test_a_socket_has_the_same_guards(socket, query, code):
    introduce(socket)
    (error,) = subscribe(socket, query)
    assert error["type"] == "error"
    assert error["payload"][0]["extensions"]["code"] == code


def test_a_slow_query_over_a_socket_is_stopped(socket):
    introduce(socket)
    (answer, complete) = subscribe(socket, "{ slow }")
    assert answer["payload"]["errors"][0]["extensions"]["code"] == "TIMEOUT"
    assert complete["type"] == "complete"


@pytest.mark.parametrize("query", ["{ boom }", "subscription { breaks }"])
def test_a_fault_over_a_socket_is_masked(socket, query):
    introduce(socket)
    messages = subscribe(socket, query)
    assert "INTERNAL_SERVER_ERROR" in str(messages)
    assert SECRET not in str(messages)


@pytest.mark.parametrize(
    "text",
    [
        "1",
        "[]",
        "null",
        '"x"',
        "{",
        "{}",
        '{"type": 1}',
        '{"type": "nonsense"}',
        '{"type": "subscribe"}',
        '{"type": "subscribe", "id": [], "payload": {"query": "{ ping }"}}',
        '{"type": "subscribe", "id": "1", "payload": "x"}',
        '{"type": "subscribe", "id": "1", "payload": {"query": 1}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": "{ ping }", "variables": []}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": "{ ping }", "operationName": 1}}',
        '{"type": "complete", "id": {}}',
        '{"type": "ping", "pad": "' + "x" * 20_000 + '"}',
    ],
)
def test_a_malformed_message_closes_the_socket(socket, text):
    introduce(socket)
    socket.send(text)
    assert closing(socket)[0] == 4400


def test_a_socket_must_be_introduced_once(server):
    with connect(f"ws://{server}/graphql", subprotocols=[PROTOCOL]) as socket:
        say(socket, type="subscribe", id="1", payload={"query": "{ ping }"})
        assert closing(socket)[0] == 4401
    with connect(f"ws://{server}/graphql", subprotocols=[PROTOCOL]) as socket:
        introduce(socket)
        say(socket, type="connection_init")
        assert closing(socket)[0] == 4429


def test_an_id_is_used_once_at_a_time(socket):
    introduce(socket)
    for _ in range(2):
        say(socket, type="subscribe", id="1", payload={"query": "subscription { count(to: 9, pause: 1.0) }"})
    assert closing(socket)[0] == 4409


def test_only_the_current_protocol_is_spoken(server):
    with connect(f"ws://{server}/graphql", subprotocols=["graphql-ws"]) as socket:
        assert closing(socket)[0] == 4406


@pytest.mark.parametrize(("origin", "status"), [("https://evil.example", 403), ("https://dashboard.example", None)])
def test_only_known_origins_may_open_a_socket(server, origin, status):
    if status is None:
        with connect(f"ws://{server}/graphql", subprotocols=[PROTOCOL], origin=origin) as socket:
            introduce(socket)
        return
    with pytest.raises(InvalidStatus) as refused:
        connect(f"ws://{server}/graphql", subprotocols=[PROTOCOL], origin=origin)
    assert refused.value.response.status_code == status
