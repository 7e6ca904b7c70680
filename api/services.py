"""Everything one process is made of, built from its settings and taken apart again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, ParamSpec, TypeVar

from sqlmodel import Session

from attribution.event import EventRow
from attribution.failures import StoreUnavailable
from attribution.measures import Measure
from attribution.store import Store
from budgets.breaches import Breaches
from budgets.decisions import Decider, WhenStale
from budgets.digests import Digests
from budgets.evaluator import LEASE_NAME, Evaluator
from budgets.lease import Lease
from budgets.live import Live
from budgets.notices import Notice
from budgets.openings import Openings
from budgets.relay import Relay
from budgets.round import Round
from budgets.stream import SnapshotStream
from budgets.targets import Targets
from core.database import Database
from core.settings import Settings
from core.time import parse_timezone
from finance.allocation.allocator import Allocator
from finance.allocation.rulebook import AllocationRules
from finance.bills.importing import BillImporter
from finance.reconciliation.reconciler import Reconciler
from finance.reconciliation.true_ups import TrueUps
from finance.revenue.actual import Actuals
from finance.revenue.books import Bookkeeping
from finance.statements.closing import Closer
from finance.statements.drafting import Drafting
from finance.statements.tier_charges import RevenueCharges
from finance.tier_mirror import TierMirror
from ingest.erasure import Eraser, redaction
from ingest.pipeline import Pipeline
from ingest.rating import Rater
from ingest.redrive import Redrive
from ingest.rejected import RejectedEvents
from ingest.repricing import Repricer
from ingest.repricings import Ledger
from ingest.spool import Spool
from ingest.writer import Writer
from notifications.channels import Channels
from notifications.courier import Courier
from notifications.outbox import Outbox, enqueue
from notifications.senders import Senders
from notifications.topics import BY_NAME, Topic
from pricing.book import PriceBook
from tenants.directory import Tenants
from tenants.erasures import ErasedUsers
from tenants.keys import KeyRing
from tenants.scope import Scope
from tenants.tiers import Tiers

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
        self.tenants = Tenants(self.database)
        additive = {measure.spec.name for measure in Measure if measure.spec.additive}
        self.tiers = Tiers(self.database, settings.currency, additive)
        self.actuals = Actuals(self.database, settings.currency)
        self.bookkeeping = Bookkeeping(self.tenants, self.tiers, self.actuals)
        self.tier_mirror = TierMirror(self.database, self.tenants, self.store)
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
        self.allocation_rules = AllocationRules(self.database)
        self.allocator = Allocator(self.store, self.database)
        self.bills = BillImporter(self.store, self.database, settings.currency)
        self.targets, self.breaches, self.live = Targets(self.database), Breaches(self.database), Live()
        lease = Lease(self.database, LEASE_NAME)
        self.evaluator = Evaluator(
            self.targets,
            Round(self.store.slices, self.database, self.targets, lease, tell=_tell, currency=settings.currency),
            lease,
            self.live,
            None if self.store.is_embedded else Relay(self.database),  # an embedded store has one process
            interval_seconds=settings.budget_interval_seconds,
        )
        self.reconciler = Reconciler(self.store, self.database, self.book, lateness_days=settings.bill_lateness_days)
        self.true_ups = TrueUps(
            self.store,
            self.database,
            self.reconciler,
            currency=settings.currency,
            tolerance_percent=settings.reconciliation_tolerance,
        )
        self.openings = Openings(self.database, self.targets, self.live)
        self.snapshots = SnapshotStream(self.live)
        self.decider = Decider(
            self.live,
            stale_seconds=settings.decisions_stale_seconds,
            when_stale=WhenStale(settings.decisions_when_stale),
        )
        self.pipeline = Pipeline(settings, rater, writer, self.rejected, on_stored=self._stored)
        self.redrive = Redrive(self.pipeline, self.rejected, self.database)
        self._keeping: asyncio.Task[None] | None = None
        self.is_behind = True
        """Whether the stores may not have the newest schema yet."""
        zone = parse_timezone(settings.billing_timezone)
        charges = RevenueCharges(self.store.report, self.bookkeeping)
        drafting = Drafting(self.store, charges, zone, settings.currency, settings.retention_days)
        self.statements = Closer(self.database, drafting, _announce)
        self.channels = Channels(self.database)
        self.outbox = Outbox(self.database)
        self.senders = Senders(smtp_url=settings.smtp_url, mail_sender=settings.mail_sender)
        self.courier = Courier(
            self.outbox,
            self.channels,
            self.senders,
            max_attempts=settings.notification_attempts,
            first_pause_seconds=settings.notification_pause_seconds,
            kept_days=settings.notifications_kept_days,
        )
        self.live.listen(lambda _: self.courier.wake())  # an evaluation may have something to tell
        self.digests = Digests(
            self.database, self.targets, self.live, self.store.report, zone=zone, currency=settings.currency
        )
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

    async def start(self) -> None:
        """Begin what goes on by itself: storing what was spooled, copying tiers, telling what is due, evaluating."""
        await self.pipeline.start()
        await self.read(self.tier_mirror.follow)
        self._keeping = asyncio.create_task(self.tier_mirror.keep())
        await self.courier.start()
        await self.evaluator.start()
        await self.digests.start()

    def end_subscriptions(self) -> None:
        """Tell nobody anything any more."""
        self.openings.close()
        self.snapshots.close()

    async def close(self) -> None:
        """Store what still waits, then let go of everything."""
        self.end_subscriptions()
        if self._keeping is not None:
            self._keeping.cancel()
        await self.pipeline.close()
        await self.digests.close()
        await self.evaluator.close()
        await self.courier.close()
        await self.senders.close()
        self.release()

    def release(self) -> None:
        """Let go of both stores; for processes that accepted nothing that still waits."""
        self._readers.shutdown()
        self.rejected.close()
        self.erased.close()
        self.store.close()
        self.database.close()

    def _stored(self, rows: Sequence[EventRow]) -> None:
        """Budgets may have been touched, and reservations have their events."""
        self.decider.stored(rows, datetime.now(UTC))
        self.evaluator.wake()


def _tell(session: Session, notice: Notice) -> None:
    enqueue(
        session,
        BY_NAME[notice.topic],
        notice.payload,
        channels=notice.channels,
        dedupe_key=notice.dedupe_key,
        scope=Scope(team=notice.team or None),
    )


def _announce(session: Session, statement: Mapping[str, Any]) -> None:
    whose = Scope(tenant=str(statement["tenant"]).replace("\0", "\N{REPLACEMENT CHARACTER}"))
    key = f"statement:{statement['number']}"
    enqueue(session, Topic.STATEMENT_CLOSED, statement, dedupe_key=key, scope=whose)
