"""Everything one process is made of, built from its settings and taken apart again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from api.parts.money import Money
from api.parts.telling import Telling, announce, tell
from api.parts.watch import Watch
from attribution.failures import StoreUnavailable
from attribution.store import Store
from core.database import Database, Turn
from core.settings import Settings
from ingest.erasure import Eraser, redaction
from ingest.pipeline import Pipeline
from ingest.rating import Rater
from ingest.redrive import Redrive
from ingest.rejected import RejectedEvents
from ingest.repricing import Repricer
from ingest.repricings import Ledger
from ingest.spool import Spool
from ingest.writer import Writer
from pricing.book import PriceBook
from tenants.erasures import ErasedUsers
from tenants.keys import KeyRing

P = ParamSpec("P")
R = TypeVar("R")


class Services:
    """The stores and the machinery on them. `migrate` before first use; `close` at the end."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.database = Database(settings.effective_database_url)
        self.keys = KeyRing(self.database)
        self.book = PriceBook(self.database.session, settings.currency)
        self.erased = ErasedUsers(self.database)
        self.store = Store(
            settings.effective_clickhouse_url,
            concurrency=settings.query_concurrency,
            timeout_seconds=settings.query_timeout_seconds,
            query_memory_bytes=settings.query_memory_bytes,
            engine_memory_bytes=settings.clickhouse_memory_bytes,
            retention_days=settings.retention_days,
            redact=redaction(self.erased),
        )
        self.telling = Telling(settings, self.database)
        self.money = Money(settings, self.database, self.store, self.book, announce)
        writer = _writer(self.store, settings)
        self.watch = Watch(
            settings,
            self.database,
            self.store,
            tell=tell,
            told=self.telling.courier.wake,
            is_spooling=lambda: writer.spool.status.bytes > 0,
        )
        self.rejected = RejectedEvents(self.database, settings.rejected_events_kept, self.erased)
        self.eraser = Eraser(self.store, self.erased, self.rejected)
        rater = Rater(self.book, settings)
        self.repricer = Repricer(self.store, rater, self.book, Ledger(self.database))
        self.pipeline = Pipeline(settings, rater, writer, self.rejected, on_durable=self.watch.took)
        self.redrive = Redrive(self.pipeline, self.rejected, self.database)
        self.is_behind = True
        """Whether the stores may not have the newest schema yet."""
        self._readers = ThreadPoolExecutor(settings.query_concurrency, thread_name_prefix="read")

    def migrate(self) -> None:
        """Bring both stores to the newest schema. Processes that do so at the same time take turns."""
        with self.database.lock(Turn.MIGRATION):
            self.database.migrate()
            self.store.migrate()
        self.is_behind = False

    def migrate_now_or_later(self) -> None:
        """As `migrate`; but an events store on a server that does not answer stays behind, and no error is raised.

        Events can wait in the spool until then.
        """
        try:
            self.migrate()
        except StoreUnavailable:
            if self.store.is_embedded:
                raise

    async def read(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """The function's result, worked out in a reader thread while the event loop goes on."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, lambda: function(*args, **kwargs))

    async def start(self) -> None:
        """Begin what goes on by itself: storing what was spooled, copying tiers, telling what is due, evaluating."""
        await self.pipeline.start()
        await self.read(self.money.tier_mirror.follow)
        self.money.start()
        await self.telling.courier.start()
        await self.watch.start()

    async def close(self) -> None:
        """Store what still waits, then let go of everything."""
        self.watch.end_subscriptions()
        self.money.close()
        await self.pipeline.close()
        await self.watch.close()
        await self.telling.close()
        self.release()

    def release(self) -> None:
        """Let go of both stores; for processes that accepted nothing that still waits."""
        self._readers.shutdown()
        self.rejected.close()
        self.erased.close()
        self.store.close()
        self.database.close()


def _writer(store: Store, settings: Settings) -> Writer:
    return Writer(
        store,
        Spool(settings.data_dir / "spool", settings.spool_max_bytes),
        insert_rows=settings.insert_rows,
        queue_rows=settings.ingest_queue_events,
        patience_seconds=settings.insert_patience_seconds,
    )
