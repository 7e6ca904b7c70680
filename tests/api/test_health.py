"""What the process tells those who run it, without a key: that it lives, that it can work, and its figures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text
from starlette.testclient import TestClient

from ingest.exports import HEADERS
from tests.app import Api, running_api
from tests.engines import connect, fresh_clickhouse_url
from tests.ingest.events import wire_event
from tests.servers.clickhouse import ClickHouseServer

READY = {"ready": True, "checks": {"database": "ok", "events": "ok"}}
MISSING = "migrations are missing; run `apportion migrate`"
DASHBOARD = "https://dashboard.example"


@pytest.fixture
def own_server(tmp_path) -> Iterator[ClickHouseServer]:
    (tmp_path / "clickhouse").mkdir()
    with ClickHouseServer(tmp_path / "clickhouse") as server:
        yield server


def readiness(api: Api) -> tuple[int, dict[str, str]]:
    """The status and what it says of each store."""
    response = api.client.get("/readyz")
    body = response.json()
    assert body["ready"] is (response.status_code == 200)
    return response.status_code, body["checks"]


def figures(client: TestClient) -> dict[tuple[str, ...], float]:
    """Every sample of `/metrics`, by its name and the values of its labels in alphabetical order."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {(s.name, *sorted(s.labels.values())): s.value for family in families for s in family.samples}


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer nonsense"}], ids=["no key", "a wrong key"])
@pytest.mark.parametrize(
    ("path", "content_type", "begins"),
    [
        ("/healthz", "text/plain; charset=utf-8", "ok"),
        ("/readyz", "application/json", '{"ready":true'),
        ("/metrics", "text/plain; version=1.0.0; charset=utf-8", "# HELP apportion_"),
    ],
)
def test_whoever_runs_the_process_needs_no_key(embedded_api, path, content_type, begins, headers):
    response = embedded_api.client.get(path, headers=headers)
    assert response.status_code == 200
    assert response.headers["content-type"] == content_type
    assert response.text.startswith(begins)
    assert embedded_api.client.head(path).status_code == 200
    assert embedded_api.client.post(path).status_code == 405


def test_it_is_ready_when_both_stores_are_current(api):
    assert api.client.get("/readyz").json() == READY


def test_it_is_not_ready_while_the_database_lacks_migrations(embedded_api):
    with embedded_api.services.database.session() as session:
        session.connection().execute(text("UPDATE alembic_version SET version_num = '0000'"))
        session.commit()
    assert readiness(embedded_api) == (503, {"database": MISSING, "events": "ok"})


def test_it_is_not_ready_while_the_events_store_lacks_migrations(clickhouse_url, tmp_path):
    with running_api(clickhouse_url, tmp_path) as api:
        client = connect(clickhouse_url)
        client.command("TRUNCATE TABLE schema_migrations")
        client.close()
        assert readiness(api) == (503, {"database": "ok", "events": MISSING})


@pytest.fixture
def postgres_api(embedded_clickhouse, postgres_server, tmp_path) -> Iterator[tuple[Api, ExitStack]]:
    """The application on a PostgreSQL database, and what drops the database when it is closed."""
    with fresh_clickhouse_url(embedded_clickhouse) as events, ExitStack() as drop:
        url = drop.enter_context(postgres_server.database())
        with running_api(events, tmp_path, database_url=url) as api:
            yield api, drop


def test_it_is_not_ready_without_the_database_and_lives_on(postgres_api):
    api, drop = postgres_api
    assert readiness(api) == (200, READY["checks"])
    drop.close()
    assert readiness(api) == (503, {"database": "DATABASE_UNAVAILABLE", "events": "ok"})
    assert api.client.get("/healthz").text == "ok"
    assert "DATABASE_UNAVAILABLE" in api.client.post("/v1/events", headers={"x-api-key": f"apn_0_{'0' * 64}"}).text


def test_a_store_that_fails_in_an_unforeseen_way_is_logged_and_not_explained(postgres_api, caplog):
    api, _ = postgres_api
    with api.services.database.session() as session:
        session.connection().execute(text("ALTER TABLE alembic_version RENAME COLUMN version_num TO gone"))
        session.commit()
    assert readiness(api) == (503, {"database": "INTERNAL_SERVER_ERROR", "events": "ok"})
    assert "version_num" in caplog.text


@pytest.mark.slow
def test_without_the_events_store_it_is_ready_for_as_long_as_the_spool_takes_events(own_server, tmp_path, caplog):
    with running_api(own_server.url("apportion"), tmp_path) as api:
        own_server.kill()
        assert readiness(api) == (200, {"database": "ok", "events": "spooling"})
        answer = api.graphql("{ costs(timeRange: {preset: LAST_7_DAYS}) { totalCount } }")
        assert answer["errors"][0]["extensions"]["code"] == "STORE_UNAVAILABLE"
        assert "127.0.0.1" not in str(answer)
        assert "try again shortly (" in caplog.text
        assert api.client.get("/healthz").text == "ok"
        own_server.start()
        assert readiness(api) == (200, READY["checks"])


@pytest.mark.slow
def test_it_is_not_ready_without_the_events_store_and_a_spool(own_server, tmp_path):
    with running_api(own_server.url("apportion"), tmp_path, spool_max_bytes=0) as api:
        own_server.kill()
        assert readiness(api) == (503, {"database": "ok", "events": "STORE_UNAVAILABLE"})
        assert api.client.get("/metrics").status_code == 200
        own_server.start()
        assert readiness(api) == (200, READY["checks"])


def test_the_figures_add_up_and_name_nobody(embedded_api):
    good, bad = wire_event("good", tenant_id="secretive"), wire_event("bad", status="no such status")
    unpriced = wire_event("unpriced", request_model="unheard-of")
    assert embedded_api.post_events([good, good, bad, unpriced]).status_code == 207
    seen = figures(embedded_api.client)
    assert seen["apportion_ingest_received_total", "events"] == 4
    assert seen["apportion_ingest_outcomes_total", "accepted", "events"] == 2
    assert seen["apportion_ingest_outcomes_total", "duplicate", "events"] == 1
    assert seen["apportion_ingest_outcomes_total", "events", "rejected"] == 1
    assert seen["apportion_ingest_unpriced_total", "events"] == 1
    assert seen["apportion_ingest_queued",] == 0
    assert "secretive" not in embedded_api.client.get("/metrics").text


@pytest.fixture
def dashboard_api(embedded_clickhouse, tmp_path) -> Iterator[Api]:
    with fresh_clickhouse_url(embedded_clickhouse) as url, running_api(url, tmp_path, cors_origins=[DASHBOARD]) as api:
        yield api


@pytest.mark.parametrize("path", ["/graphql", "/v1/events", "/healthz"])
def test_a_browser_of_a_known_origin_may_call(dashboard_api, path):
    asked = {"origin": DASHBOARD, "access-control-request-method": "POST"}
    asked["access-control-request-headers"] = "authorization, content-type, x-api-key"
    preflight = dashboard_api.client.options(path, headers=asked)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == DASHBOARD
    assert "POST" in preflight.headers["access-control-allow-methods"]
    allowed = preflight.headers["access-control-allow-headers"].lower().split(", ")
    assert {"authorization", "content-type", "x-api-key"} <= set(allowed)
    answer = dashboard_api.client.get("/healthz", headers={"origin": DASHBOARD})
    assert answer.headers["access-control-allow-origin"] == DASHBOARD
    assert "Origin" in answer.headers["vary"]
    assert "access-control-allow-credentials" not in answer.headers


def test_a_browser_may_also_delete_and_attribute(dashboard_api):
    asked = {"origin": DASHBOARD, "access-control-request-method": "DELETE"}
    asked["access-control-request-headers"] = ", ".join(["content-encoding", *HEADERS.values()])
    preflight = dashboard_api.client.options("/v1/events/one", headers=asked)
    assert preflight.status_code == 200
    assert "DELETE" in preflight.headers["access-control-allow-methods"]


def test_a_refusal_can_be_read_by_a_browser_of_a_known_origin(dashboard_api):
    refusal = dashboard_api.client.post("/v1/events", json={}, headers={"origin": DASHBOARD})
    assert refusal.status_code == 401
    assert refusal.headers["access-control-allow-origin"] == DASHBOARD


def test_a_browser_of_any_other_origin_may_not(dashboard_api):
    asked = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    preflight = dashboard_api.client.options("/graphql", headers=asked)
    assert preflight.status_code == 400
    assert "access-control-allow-origin" not in preflight.headers
    answer = dashboard_api.client.get("/healthz", headers=asked)
    assert "access-control-allow-origin" not in answer.headers


def test_without_known_origins_no_browser_may(embedded_api):
    answer = embedded_api.client.get("/healthz", headers={"origin": DASHBOARD})
    assert "access-control-allow-origin" not in answer.headers
