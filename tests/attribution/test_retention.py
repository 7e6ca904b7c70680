"""Retention: a setting becomes the table's TTL, once, and its change changes it."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from attribution.retention import retain
from attribution.rows import RowQuery
from attribution.store import Store
from tenants.scope import Scope
from tests.app import running_api
from tests.attribution.factories import event
from tests.engines import EmbeddedClickHouse, connect, fresh_clickhouse_url
from tests.ingest.events import ago, wire_event

NOW = datetime.now(UTC)
ENGINE = "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = 'events'"


def migrated(url: str, days: int) -> str:
    """The table's definition once the store is migrated with that retention."""
    with closing(Store(url, retention_days=days)) as store, closing(connect(url)) as client:
        store.migrate()
        return str(client.command(ENGINE))


def test_what_is_too_old_is_dropped_and_the_rest_stays(clickhouse_url: str) -> None:
    with closing(Store(clickhouse_url)) as store:
        store.migrate()
        store.insert([event(event_id=f"{age}", start_time=NOW - timedelta(days=age)) for age in (1, 29, 31, 200)])
    with closing(Store(clickhouse_url, retention_days=30)) as store, closing(connect(clickhouse_url)) as client:
        store.migrate()
        client.command("OPTIMIZE TABLE events FINAL")
        assert {row.event_id for row in store.rows(RowQuery(Scope()))} == {"1", "29"}
        assert client.command("SELECT count() FROM events") == 2


@pytest.mark.parametrize("days", [[30, 30, 800], [30, 0], [0, 0, 7]])
def test_the_setting_is_the_ttl_however_often_it_is_applied(
    embedded_clickhouse: EmbeddedClickHouse, days: list[int]
) -> None:
    with fresh_clickhouse_url(embedded_clickhouse) as url:
        for each in days:
            definition = migrated(url, each)
            assert (f"TTL toDateTime(start_time) + toIntervalDay({each})" in definition) == (each > 0)
            assert (" TTL " in definition) == (each > 0)


def test_only_a_change_rewrites_what_is_stored(embedded_clickhouse: EmbeddedClickHouse) -> None:
    count = "SELECT count() FROM system.mutations WHERE database = currentDatabase()"
    with fresh_clickhouse_url(embedded_clickhouse) as url, closing(Store(url, retention_days=30)) as store:
        store.migrate()
        store.insert([event(start_time=NOW)])
        with closing(connect(url)) as client:
            before = client.command(count)
            retain(client, 30)
            assert client.command(count) == before
            retain(client, 31)
            assert client.command(count) == before + 1


def test_what_would_be_dropped_at_once_is_refused(embedded_clickhouse: EmbeddedClickHouse, tmp_path: Path) -> None:
    with fresh_clickhouse_url(embedded_clickhouse) as url, running_api(url, tmp_path, retention_days=30) as api:
        sent = [wire_event("old", start_time=ago(days=31)), wire_event("new", start_time=ago(days=29))]
        (error,) = api.post_events(sent).json()["errors"]
        assert (error["event_id"], error["message"]) == ("old", "start_time is more than 30 days ago")
