"""Everything one process is made of, built from its settings and taken apart again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from attribution.failures import StoreUnavailable
from attribution.store import Store
from budgets.breaches import Breaches
from budgets.evaluator import LEASE_NAME, Evaluator
from budgets.lease import Lease
from budgets.live import Live
from budgets.relay import Relay
from budgets.round import Round
from budgets.targets import Targets
from core.database import Database
from core.settings import Settings
from core.time import parse_timezone
from finance.statements.charges import NoTierCharges
from finance.statements.closing import Closer
from finance.statements.drafting import Drafting
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
        spool = Spool(settings.data_dir / "spool", settings.spool_max_bytes)
        writer = Writer(
            self.store,
            spool,
            insert_rows=settings.insert_rows,
            queue_rows=settings.ingest_queue_events,
            patience_seconds=settings.insert_patience_seconds,
        )
        self.rejected = RejectedEvents(self.database, settings.rejected_events_kept, self.erased)
        self.eraser = Eraser(self.store, self.erased, self.rejected)
        rater = Rater(self.book, settings)
        self.repricer = Repricer(self.store, rater, self.book, Ledger(self.database))
        self.targets, self.breaches, self.live = Targets(self.database), Breaches(self.database), Live()
        lease = Lease(self.database, LEASE_NAME)
        self.evaluator = Evaluator(
            self.targets,
            Round(self.store.slices, self.database, self.targets, lease, tell=None, currency=settings.currency),
            lease,
            self.live,
            Relay(self.database),
            interval_seconds=settings.budget_interval_seconds,
        )
        self.pipeline = Pipeline(settings, rater, writer, self.rejected, on_stored=self.evaluator.wake)
        self.redrive = Redrive(self.pipeline, self.rejected, self.database)
        self.is_behind = True
        """Whether the stores may not have the newest schema yet."""
        zone = parse_timezone(settings.billing_timezone)
        drafting = Drafting(self.store, NoTierCharges(), zone, settings.currency, settings.retention_days)
        self.statements = Closer(self.database, drafting)
        self._readers = ThreadPoolExecutor(settings.query_concurrency, thread_name_prefix="read")

    def migrate(self) -> None:
        """Bring both stores to the newest schema. Processes that do so at the same time take turns."""
        with self.database.lock():
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

    async def close(self) -> None:
        """Store what still waits, then let go of everything."""
        await self.pipeline.close()
        await self.evaluator.close()
        self.release()

    def release(self) -> None:
        """Let go of both stores; for processes that accepted nothing that still waits."""
        self._readers.shutdown()
        self.rejected.close()
        self.erased.close()
        self.store.close()
        self.database.close()
