"""Subscriptions as dashboards hold them: over a WebSocket in process, and as server-sent events of a real server."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Self

import httpx
import pytest

from api.services import Services
from attribution.dimensions import Dimension
from budgets.breaches import Asked
from budgets.models import Kind
from budgets.openings import Opening
from tenants.principal import Role
from tests.api.command_line import CommandLine, RunningServer
from tests.app import Api
from tests.budgets.boards import is_, terms
from tests.notifications.receivers import wait_until

OPENED = "subscription { breachOpened { name threshold member observed openings } }"
STATUS = "subscription($ids: [ID!]) { budgetStatus(ids: $ids) { id name status { spent standing } } }"


class Socket:
    """A graphql-transport-ws client."""

    def __init__(self, api: Api, key: str | None = None) -> None:
        self._session = api.client.websocket_connect("/graphql", subprotocols=["graphql-transport-ws"])
        self._key = key or api.key

    def __enter__(self) -> Self:
        self._socket = self._session.__enter__()
        self._socket.send_json({"type": "connection_init", "payload": {"authorization": f"Bearer {self._key}"}})
        assert self._socket.receive_json()["type"] == "connection_ack"
        return self

    def __exit__(self, *error: object) -> None:
        self._session.__exit__(*error)

    def subscribe(self, query: str, **variables: Any) -> None:
        self._socket.send_json({"id": "1", "type": "subscribe", "payload": {"query": query, "variables": variables}})

    def next(self) -> Any:
        """The next message: its data, or its errors."""
        message = self._socket.receive_json()
        return message["payload"].get("data") or message["payload"] if message["type"] == "next" else message


@contextmanager
def subscribed(api: Api, query: str, key: str | None = None, **variables: Any) -> Iterator[Socket]:
    """A socket whose subscription has begun to listen."""
    before = listeners(api.services)
    with Socket(api, key) as socket:
        socket.subscribe(query, **variables)
        wait_until(lambda: listeners(api.services) > before)
        yield socket


def listeners(services: Services) -> int:
    return len(services.watch.openings._listeners) + len(services.watch.snapshots._listeners)


def watch(api: Api, *budgets: Any) -> list[int]:
    made = [api.services.watch.targets.create(each, by="test").id for each in budgets]
    api.services.watch.evaluator.wake()
    wait_until(lambda: set(made) <= set(api.services.watch.live.snapshot.budgets))
    return made


def spend(api: Api, event_id: str, amount: str, tenant: str = "acme") -> None:
    event = {"tenant_id": tenant, "event_id": event_id, "start_time": datetime.now(UTC).isoformat()}
    assert api.post_events(event | {"cost": {"amount": amount}}).json()["accepted"] == 1


def test_a_breach_is_told_when_it_opens(embedded_api: Api) -> None:
    api = embedded_api
    watch(api, terms(1, name="acme", where=is_(Dimension.TENANT, "acme")))
    with subscribed(api, OPENED) as socket, subscribed(api, OPENED) as other:
        spend(api, "e1", "0.85")
        told = socket.next()["breachOpened"]
        assert (told["name"], told["observed"], told["openings"]) == ("acme", "0.85", 1)
        assert "80 %" in told["threshold"]
        spend(api, "e2", "0.2")
        assert "100 %" in socket.next()["breachOpened"]["threshold"]
        assert ["80 %" in other.next()["breachOpened"]["threshold"] for _ in range(2)] == [True, False]


def test_what_had_opened_before_is_no_news(embedded_api: Api) -> None:
    api = embedded_api
    watch(
        api,
        terms(1, name="acme", where=is_(Dimension.TENANT, "acme")),
        terms(1, name="globex", where=is_(Dimension.TENANT, "globex")),
    )
    spend(api, "e1", "5")
    wait_until(lambda: len(api.data("{ breaches { nodes { id } } }")["breaches"]["nodes"]) >= 2)
    with subscribed(api, OPENED) as socket:
        spend(api, "e2", "0.9", "globex")
        assert socket.next()["breachOpened"]["name"] == "globex"


def test_a_scoped_key_hears_of_its_own_alone(embedded_api: Api) -> None:
    api = embedded_api
    ids = watch(
        api,
        terms(1, name="everybody"),
        terms(1, name="acme", where=is_(Dimension.TENANT, "acme")),
    )
    key = api.make_key(Role.VIEWER, tenant="acme")
    with (
        subscribed(api, OPENED, key) as breaches,
        subscribed(api, STATUS, key, ids=[str(id_) for id_ in ids]) as status,
    ):
        assert status.next()["budgetStatus"]["name"] == "acme"
        spend(api, "e1", "0.9")
        assert breaches.next()["breachOpened"]["name"] == "acme"
        assert status.next()["budgetStatus"]["name"] == "acme"


def test_a_breach_of_what_a_budget_counted_once_is_told_to_nobody_of_its_new_scope(embedded_api: Api) -> None:
    api = embedded_api
    targets, openings = api.services.watch.targets, api.services.watch.openings
    mine = terms(1, name="b", where=is_(Dimension.TENANT, "acme"))
    (id_,) = watch(api, terms(1, name="b"))
    spend(api, "e1", "0.9", "globex")
    wait_until(lambda: api.data("{ breaches { nodes { id } } }")["breaches"]["nodes"])
    (breach,) = api.services.watch.breaches.find(Asked({id_: ()}, first=9))
    changed = targets.update(targets.find(Kind.BUDGET, id_), mine, by="test")
    with subscribed(api, OPENED, api.make_key(Role.VIEWER, tenant="acme")) as scoped, subscribed(api, OPENED) as all_:
        for version in (1, 2):
            row = breach.model_copy(update={"target_version": version, "openings": version})
            for queue in openings._listeners:
                openings._loop.call_soon_threadsafe(queue.put_nowait, Opening(row, changed))
        assert [all_.next()["breachOpened"]["openings"] for _ in range(2)] == [1, 2]
        assert scoped.next()["breachOpened"]["openings"] == 2


@pytest.mark.parametrize("query", [OPENED, STATUS])
def test_only_readers_may_subscribe(embedded_api: Api, query: str) -> None:
    with Socket(embedded_api, embedded_api.make_key(Role.INGEST)) as socket:
        socket.subscribe(query)
        assert "FORBIDDEN" in json.dumps(socket.next())


def test_a_budgets_status_is_told_at_first_and_when_it_changes(embedded_api: Api) -> None:
    api = embedded_api
    (id_,) = watch(api, terms(10, name="acme"))
    with subscribed(api, STATUS, ids=[str(id_)]) as socket:
        first = socket.next()["budgetStatus"]
        assert (first["name"], first["status"]) == ("acme", {"spent": "0", "standing": "FINE"})
        spend(api, "e1", "8.5")
        assert socket.next()["budgetStatus"]["status"] == {"spent": "8.5", "standing": "NEAR"}


def test_a_withdrawn_key_hears_nothing_more(embedded_api: Api) -> None:
    api = embedded_api
    key = api.make_key(Role.VIEWER)
    watch(api, terms(1, name="acme"))
    with subscribed(api, OPENED, key) as socket:
        api.services.keys.revoke(key.split("_")[1])
        spend(api, "e1", "0.9")
        assert "UNAUTHENTICATED" in json.dumps(socket.next())


def test_nobody_looks_while_nobody_listens(embedded_api: Api) -> None:
    api = embedded_api
    assert api.services.watch.openings._task is None
    with subscribed(api, OPENED):
        assert api.services.watch.openings._task is not None
    wait_until(lambda: api.services.watch.openings._task is None)


CREATE = """mutation { createBudget(input: {name: "acme", period: {every: DAY}, amount: "1"}) { budget { id } errors { message } } }"""


@pytest.mark.slow
def test_events_of_a_server_that_stops_without_delay(tmp_path_factory: pytest.TempPathFactory) -> None:
    run = CommandLine(tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("compiled"))
    key, opened, heard = run.key("admin"), threading.Event(), []

    def listen(port: int) -> None:
        headers = {"authorization": f"Bearer {key}", "accept": "text/event-stream"}
        url = f"http://127.0.0.1:{port}/graphql"
        with httpx.stream("POST", url, json={"query": OPENED}, headers=headers, timeout=60) as response:
            opened.set()
            heard.extend(response.iter_lines())

    with RunningServer(run) as server:
        assert server.ask(key, CREATE).json()["data"]["createBudget"]["errors"] == []
        thread = threading.Thread(target=listen, args=(server.port,))
        thread.start()
        assert opened.wait(timeout=30)
        time.sleep(0.5)  # from the head of the answer to the first look
        now = datetime.now(UTC).isoformat()
        event = {"tenant_id": "a", "event_id": "e", "start_time": now, "cost": {"amount": "0.9"}}
        assert server.send(key, event).json()["received"] == 1
        wait_until(lambda: '"name":"acme"' in "".join(heard), seconds=30)
        began = time.monotonic()
        assert server.stop(15) == 0
        thread.join(timeout=10)
    assert time.monotonic() - began < 10
    assert "event: complete" in heard
