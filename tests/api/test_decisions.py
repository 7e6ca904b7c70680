"""The decision endpoint as a gateway meets it: over HTTP, with budgets that are really evaluated."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from attribution.dimensions import Dimension
from attribution.failures import StoreUnavailable
from attribution.store import Store
from budgets.matching import COMPUTED, wire_name
from tenants.directory import Placement
from tenants.principal import Role
from tests.app import Api
from tests.budgets.boards import is_, terms
from tests.notifications.receivers import wait_until


def watch(api: Api, *budgets: Any) -> None:
    """Set the budgets, and wait until they are evaluated."""
    made = [api.services.watch.targets.create(each, by="test") for each in budgets]
    api.services.watch.evaluator.wake()
    wait_until(lambda: {each.id for each in made} <= set(api.services.watch.live.snapshot.budgets))


def ask(api: Api, *, key: str | None = None, **said: Any) -> Any:
    headers = {"authorization": f"Bearer {key or api.key}"}
    return api.client.post("/v1/decisions", json={"tenant_id": "acme"} | said, headers=headers)


def spend(api: Api, event_id: str, amount: str, **fields: Any) -> None:
    event = {"tenant_id": "acme", "event_id": event_id, "start_time": datetime.now(UTC).isoformat()}
    receipt = api.post_events(event | {"cost": {"amount": amount}} | fields).json()
    assert receipt["accepted"] + receipt["spooled"] == 1


def test_a_gateway_asks_spends_and_is_denied(embedded_api: Api) -> None:
    api = embedded_api
    watch(api, terms(1, name="acme", where=is_(Dimension.TENANT, "acme")))
    first = ask(api, estimated_cost="0.75", event_id="e1").json()
    assert first["allowed"]
    assert first["reservation"].startswith("res_")
    assert (first["budget"]["name"], first["budget"]["limit"], first["budget"]["remaining"]) == ("acme", "1", "0.25")
    second = ask(api, estimated_cost="0.5").json()
    assert (second["allowed"], second["reason"], second["reservation"]) == (False, "over_budget", None)
    assert (second["budget"]["reserved"], second["budget"]["spent"]) == ("0.75", "0")
    assert second["budget"]["until"] > datetime.now(UTC).isoformat()
    spend(api, "e1", "0.4")
    assert ask(api, estimated_cost="0.5").json()["allowed"]
    wait_until(lambda: ask(api, estimated_cost="9").json()["budget"]["spent"] == "0.4")
    assert ask(api, tenant_id="globex", estimated_cost="9").json()["reason"] == "no_budget"


def test_a_reservation_is_settled_or_released(embedded_api: Api) -> None:
    api = embedded_api
    watch(api, terms(1, name="acme"))
    one, two = (ask(api, estimated_cost="0.5").json()["reservation"] for _ in range(2))
    headers = {"authorization": f"Bearer {api.key}"}
    url = f"/v1/decisions/{one}"
    assert not ask(api, estimated_cost="0.1").json()["allowed"]
    assert api.client.post(f"{url}/settle", json={"cost": "0.2"}, headers=headers).status_code == 204
    assert ask(api, estimated_cost="0.3").json()["allowed"]
    assert api.client.delete(f"/v1/decisions/{two}", headers=headers).status_code == 204
    assert api.client.delete(f"/v1/decisions/{two}", headers=headers).json()["error"]["code"] == "NO_SUCH_RESERVATION"
    other = {"authorization": f"Bearer {api.make_key(Role.INGEST, tenant='globex')}"}
    assert api.client.delete(url, headers=other).status_code == 404


def test_a_scoped_key_asks_for_itself_and_learns_of_its_own_alone(embedded_api: Api) -> None:
    api = embedded_api
    watch(api, terms(5, name="everybody"), terms(9, name="each", each=Dimension.TENANT))
    key = api.make_key(Role.INGEST, tenant="acme")
    assert ask(api, key=key, tenant_id="globex").json()["error"]["code"] == "FORBIDDEN"
    hidden = ask(api, key=key, tenant_id="", estimated_cost="6").json()
    assert (hidden["allowed"], hidden["reason"], hidden["budget"]) == (False, "over_budget", None)
    shown = ask(api, key=key, estimated_cost="10").json()
    assert (shown["budget"] or {}).get("name") in {None, "each"}
    assert ask(api, estimated_cost="6").json()["budget"]["name"] == "everybody"


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"estimated_cost": "-1"}, "UNREADABLE_DECISION"),
        ({"estimated_cost": 0.5}, "UNREADABLE_DECISION"),
        ({"estimated_cost": "1e9"}, "BAD_USER_INPUT"),
        ({"tenant": "acme"}, "UNREADABLE_DECISION"),
        ({"ttl_seconds": 0}, "UNREADABLE_DECISION"),
        ({"tags": {"a": 1}}, "UNREADABLE_DECISION"),
        ({"tags": {str(n): "x" * 400 for n in range(100)}}, "PAYLOAD_TOO_LARGE"),
    ],
)
def test_what_is_no_question_is_refused(embedded_api: Api, said: Any, code: str) -> None:
    assert ask(embedded_api, **said).json()["error"]["code"] == code


def test_every_dimension_can_be_said(embedded_api: Api) -> None:
    values = {"String": "x", "Int64": 2, "Bool": True}
    said = {wire_name(d): values[d.spec.type.value] for d in Dimension if d not in COMPUTED}
    assert ask(embedded_api, **said).status_code == 200


def test_a_tenants_tier_is_known_without_being_said(embedded_api: Api) -> None:
    api, services = embedded_api, embedded_api.services
    services.money.tiers.create("free", "Free", by="test")
    services.money.tenants.place(Placement("acme", "free", datetime(2026, 1, 1, tzinfo=UTC)), by="test")
    services.money.tier_mirror.refresh()
    watch(api, terms(0, name="free tier", where=is_(Dimension.TIER, "free")))
    assert ask(api).json()["budget"]["name"] == "free tier"
    assert ask(api, tenant_id="globex").json()["reason"] == "no_budget"


def test_only_senders_may_ask(embedded_api: Api) -> None:
    assert ask(embedded_api, key=embedded_api.make_key(Role.VIEWER)).status_code == 403
    assert embedded_api.client.post("/v1/decisions", json={}).status_code == 401


def test_sixty_four_callers_of_a_nearly_empty_budget_do_not_overspend(embedded_api: Api) -> None:
    """One process grants what is left and nothing more, whoever asks at the same time."""
    api = embedded_api
    watch(api, terms(1, name="acme"))
    spend(api, "before", "0.9")
    wait_until(lambda: ask(api, estimated_cost="9").json()["budget"]["spent"] == "0.9")

    def call(number: int) -> Decimal:
        granted = ask(api, estimated_cost="0.01", event_id=f"c{number}").json()["allowed"]
        if granted:
            spend(api, f"c{number}", "0.01")
        return Decimal("0.01") if granted else Decimal(0)

    with ThreadPoolExecutor(64) as callers:
        spent = sum(callers.map(call, range(256)))
    assert spent == Decimal("0.1")


def test_what_the_store_does_not_take_is_held_all_the_same(embedded_api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    api = embedded_api
    watch(api, terms(1, name="acme"))
    assert ask(api, estimated_cost="0.9", event_id="e1", ttl_seconds=1).json()["allowed"]
    with monkeypatch.context() as broken:
        broken.setattr(Store, "insert", _away)
        spend(api, "e1", "0.8")
        time.sleep(1.1)
        assert ask(api, estimated_cost="0.3").json()["budget"]["reserved"] == "0.8"
    wait_until(lambda: ask(api, estimated_cost="9").json()["budget"]["spent"] == "0.8")
    assert ask(api, estimated_cost="0.3").json()["reason"] == "over_budget"


def _away(*_: object) -> None:
    raise StoreUnavailable


def test_a_key_of_another_team_releases_nothing(embedded_api: Api) -> None:
    api = embedded_api
    watch(api, terms(1, name="acme"))
    made = ask(api, estimated_cost="0.9", team="search").json()["reservation"]
    for scope in ({"team": "chat"}, {"tenant": "acme", "environment": "test"}):
        other = {"authorization": f"Bearer {api.make_key(Role.INGEST, **scope)}"}
        assert api.client.delete(f"/v1/decisions/{made}", headers=other).status_code == 404
        assert api.client.post(f"/v1/decisions/{made}/settle", json={}, headers=other).status_code == 404
    own = {"authorization": f"Bearer {api.make_key(Role.INGEST, team='search')}"}
    assert api.client.delete(f"/v1/decisions/{made}", headers=own).status_code == 204
