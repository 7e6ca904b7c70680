"""`apportion statements close`, run in this process on an engine that is open already."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from api.cli import app
from tenants.audit import records
from tests.app import running_api
from tests.engines import EmbeddedClickHouse, fresh_clickhouse_url
from tests.ingest.events import wire_event

FIRST = datetime.now(UTC).replace(day=1)
LAST_MONTH = f"{FIRST - timedelta(days=1):%Y-%m}"


def test_a_month_is_shown_closed_and_left_alone(
    embedded_clickhouse: EmbeddedClickHouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def close(*options: str) -> Result:
        return CliRunner().invoke(app, ["statements", "close", "--period", LAST_MONTH, *options])

    with fresh_clickhouse_url(embedded_clickhouse) as url:
        with running_api(url, tmp_path) as api:
            start = f"{LAST_MONTH}-10T12:00:00Z"
            api.post_events([wire_event(t, tenant_id=t, start_time=start, cost={"amount": "0.5"}) for t in "ab"])
        monkeypatch.setenv("APPORTION_CLICKHOUSE_URL", url)
        monkeypatch.setenv("APPORTION_DATA_DIR", str(tmp_path))
        dry = close("--dry-run")
        assert (dry.exit_code, dry.stdout.splitlines()[-1]) == (0, f"2 statements of {LAST_MONTH} would be closed")
        one = close("--tenant", "b")
        assert one.stdout.splitlines()[-1] == f"1 statements of {LAST_MONTH} closed"
        rest = close()
        assert rest.stdout.splitlines()[-1] == f"1 statements of {LAST_MONTH} closed"
        assert "│ 2      │ 1        │ a" in rest.stdout
        assert "1 were closed before" in rest.stderr
        with running_api(url, tmp_path) as api:
            log = [
                (r.actor, r.target) for r in records(api.services.database, first=9) if r.action == "statement.close"
            ]
    assert log == [("command line", "statement 2"), ("command line", "statement 1")]
