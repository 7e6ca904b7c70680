"""The writer by itself: who shares an insert, and what it survives."""

from __future__ import annotations

import asyncio
from pathlib import Path

from attribution.store import Store
from ingest.spool import Spool
from ingest.writer import Durable, Writer
from tenants.scope import Scope
from tests.attribution.factories import ALL_TIME, event
from tests.engines import EmbeddedClickHouse, fresh_clickhouse_url


def test_a_writer_outlives_an_event_loop(embedded_clickhouse: EmbeddedClickHouse, tmp_path: Path) -> None:
    with fresh_clickhouse_url(embedded_clickhouse) as url:
        store = Store(url)
        store.migrate()
        writer = Writer(store, Spool(tmp_path, 0), insert_rows=100, queue_rows=100, patience_seconds=60)

        async def write(requests: int) -> list[Durable]:
            return await asyncio.gather(*(writer.write([event()]) for _ in range(requests)))

        async def now_together_now_alone() -> list[Durable]:
            return [*await write(3), *await write(1), *await write(3)]

        outcomes = [*asyncio.run(now_together_now_alone()), *asyncio.run(asyncio.wait_for(write(1), 30))]
        assert outcomes == [Durable.STORED] * 8
        assert sum(count for _, count in store.row_counts(Scope(), ALL_TIME)) == 8
        store.close()
