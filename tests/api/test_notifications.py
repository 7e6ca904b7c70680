"""Channels and notifications as operators and editors meet them, over GraphQL and on the command line."""

from __future__ import annotations

import json
from typing import Any

import pytest

from notifications.outbox import enqueue
from notifications.topics import Topic
from tenants.principal import Role
from tenants.scope import Scope
from tests.api.command_line import CommandLine
from tests.app import Api
from tests.notifications.receivers import HttpReceiver, http_receiver, wait_until

CREATE = """mutation($input: CreateChannelInput!) { createChannel(input: $input) {
    channel { name kind address topics team createdBy } secret errors { code field } } }"""
LIST = "{ channels { name } }"
DEAD = "{ notifications(state: DEAD) { nodes { id channel topic attempts dueAt lastError } } }"


@pytest.fixture
def hook():
    with http_receiver() as receiver:
        yield receiver


def create(api: Api, name: str, hook: HttpReceiver, **fields: Any) -> Any:
    given = {"name": name, "kind": "WEBHOOK", "address": hook.url} | fields
    return api.data(CREATE, input=given)["createChannel"]


def test_a_channel_is_made_tried_and_deleted(embedded_api: Api, hook: HttpReceiver) -> None:
    api = embedded_api
    made = create(api, "ops", hook, topics=["STATEMENT_CLOSED"], team="search")
    assert made["errors"] == []
    assert made["secret"].startswith("whsec_")
    assert made["channel"]["address"].endswith("/…")
    assert made["channel"]["topics"] == ["STATEMENT_CLOSED"]
    test = 'mutation { testChannel(name: "ops") { delivered errors { code message } } }'
    assert api.data(test)["testChannel"] == {"delivered": True, "errors": []}
    assert json.loads(hook.requests[0].body)["type"] == "test"
    hook.answers = [(500, {})]
    (error,) = api.data(test)["testChannel"]["errors"]
    assert error["code"] == "NOT_DELIVERED"
    assert "T0P-SECRET" not in error["message"]
    rotated = api.data('mutation { rotateChannelSecret(name: "ops") { secret errors { code } } }')[
        "rotateChannelSecret"
    ]
    assert rotated["secret"] != made["secret"]
    delete = 'mutation { deleteChannel(name: "ops") { deleted errors { code } } }'
    assert api.data(delete)["deleteChannel"] == {"deleted": True, "errors": []}
    assert api.data(delete)["deleteChannel"]["errors"] == [{"code": "NO_SUCH_CHANNEL"}]
    assert api.data(test)["testChannel"]["errors"][0]["code"] == "NO_SUCH_CHANNEL"


def test_what_cannot_be_a_channel_comes_back_as_an_error(embedded_api: Api, hook: HttpReceiver) -> None:
    api = embedded_api
    assert create(api, "ops", hook, address="file:///etc/passwd")["errors"] == [
        {"code": "UNUSABLE_CHANNEL", "field": "address"}
    ]
    assert create(api, "ops", hook, secret="x")["errors"] == [{"code": "UNUSABLE_SECRET", "field": "secret"}]
    create(api, "ops", hook)
    assert create(api, "ops", hook)["errors"] == [{"code": "CHANNEL_EXISTS", "field": "name"}]
    rotate = 'mutation { rotateChannelSecret(name: "ops", overlapSeconds: -1) { errors { code field } } }'
    assert api.data(rotate)["rotateChannelSecret"]["errors"] == [{"code": "UNUSABLE_CHANNEL", "field": "overlap"}]


def test_operators_make_channels_and_editors_see_their_own(embedded_api: Api, hook: HttpReceiver) -> None:
    api = embedded_api
    create(api, "ops", hook)
    create(api, "search", hook, team="search")
    given = {"name": "x", "kind": "WEBHOOK", "address": hook.url}
    for key in (api.make_key(Role.EDITOR), api.make_key(Role.ADMIN, team="search")):
        assert api.graphql(CREATE, key=key, input=given)["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert api.graphql(LIST, key=api.make_key(Role.VIEWER))["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert api.data(LIST, key=api.make_key(Role.EDITOR))["channels"] == [{"name": "ops"}, {"name": "search"}]
    assert api.data(LIST, key=api.make_key(Role.EDITOR, team="search"))["channels"] == [{"name": "search"}]
    assert api.data(LIST, key=api.make_key(Role.EDITOR, tenant="acme"))["channels"] == []


def test_news_are_delivered_and_dead_letters_sent_again(embedded_api: Api, hook: HttpReceiver) -> None:
    api = embedded_api
    with api.services.database.session() as session:
        enqueue(session, Topic.BREACH_OPENED, {"budget": "b"}, channels=["ops"], scope=Scope(team="search"))
        session.commit()
    api.services.telling.courier.wake()
    wait_until(lambda: api.data(DEAD)["notifications"]["nodes"])
    (dead,) = api.data(DEAD)["notifications"]["nodes"]
    assert (dead["channel"], dead["topic"], dead["attempts"], dead["dueAt"]) == ("ops", "BREACH_OPENED", 1, None)
    create(api, "ops", hook)
    retry = "mutation($ids: [ID!]!) { retryNotifications(ids: $ids) { notifications { id state } } }"
    others = api.make_key(Role.EDITOR, team="chat")
    assert api.data(DEAD, key=others)["notifications"]["nodes"] == []
    assert api.data(retry, key=others, ids=[dead["id"]])["retryNotifications"]["notifications"] == []
    again = api.data(retry, key=api.make_key(Role.EDITOR, team="search"), ids=[dead["id"]])["retryNotifications"]
    assert again["notifications"] == [{"id": dead["id"], "state": "PENDING"}]
    wait_until(lambda: hook.requests)
    wait_until(lambda: api.data("{ notifications(state: DELIVERED) { nodes { id } } }")["notifications"]["nodes"])
    metrics = api.client.get("/metrics").text
    assert 'apportion_notification_attempts_total{outcome="delivered",topic="breach.opened"} 1.0' in metrics
    assert api.graphql(retry, ids=["x"])["errors"][0]["extensions"]["code"] == "BAD_ID"


def test_statements_are_shown_to_who_may_see_revenue(embedded_api: Api) -> None:
    api = embedded_api
    with api.services.database.session() as session:
        enqueue(session, Topic.STATEMENT_CLOSED, {"charges": "99"}, channels=["gone"], scope=Scope(tenant="acme"))
        session.commit()
    api.services.telling.courier.wake()
    wait_until(lambda: api.data(DEAD)["notifications"]["nodes"])
    (dead,) = api.data(DEAD)["notifications"]["nodes"]
    retry = "mutation($ids: [ID!]!) { retryNotifications(ids: $ids) { notifications { payload } } }"
    for key in (api.make_key(Role.EDITOR), api.make_key(Role.EDITOR, tenant="acme")):
        assert api.data(DEAD, key=key)["notifications"]["nodes"] == []
        assert api.data(retry, key=key, ids=[dead["id"]])["retryNotifications"]["notifications"] == []
    assert api.data(retry, ids=[dead["id"]])["retryNotifications"]["notifications"]


@pytest.mark.slow
def test_channels_on_the_command_line(tmp_path_factory: pytest.TempPathFactory, hook: HttpReceiver) -> None:
    run = CommandLine(tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("compiled"))
    made = run(
        "channels", "create", "--name", "ops", "--kind", "webhook", "--address", hook.url, "--topic", "digest.weekly"
    )
    secret = made.stdout.strip()
    assert secret.startswith("whsec_"), made.stderr
    listed = run("channels", "list").stdout
    assert "digest.weekly" in listed
    assert "T0P-SECRET" not in listed
    assert run("channels", "test", "ops").returncode == 0
    assert len(hook.requests) == 1
    hook.answers = [(500, {})]
    failed = run("channels", "test", "ops")
    assert (failed.returncode, "answered 500" in failed.stderr) == (1, True)
    assert run("channels", "rotate-secret", "ops").stdout.strip() not in {"", secret}
    for bad in (["--kind", "pigeon"], ["--kind", "webhook", "--topic", "weather"]):
        assert run("channels", "create", "--name", "x", "--address", hook.url, *bad).returncode != 0
    assert run("channels", "delete", "ops").returncode == 0
    assert run("channels", "delete", "ops").returncode == 1
