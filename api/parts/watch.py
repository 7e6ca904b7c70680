"""What is watched: budgets and guardrails, their evaluation, who hears of it, and the decisions that rest on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from attribution.event import EventRow
from attribution.store import Store
from budgets.breaches import Breaches
from budgets.decisions import Decider, WhenStale
from budgets.digests import Digests
from budgets.evaluator import LEASE_NAME, Evaluator
from budgets.lease import Lease
from budgets.live import Live
from budgets.notices import Tell
from budgets.openings import Openings
from budgets.relay import Relay
from budgets.round import Round
from budgets.stream import SnapshotStream
from budgets.targets import Targets
from core.database import Database
from core.settings import Settings
from core.time import parse_timezone
from ingest.writer import Durable


class Watch:
    """A deployment's watch on its stores. `tell` takes what is to be told; `told` hears that there may be some.

    `is_spooling` says whether events wait that the store does not have yet.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        store: Store,
        *,
        tell: Tell,
        told: Callable[[], None],
        is_spooling: Callable[[], bool],
    ) -> None:
        currency, lease = settings.currency, Lease(database, LEASE_NAME)
        self.targets, self.breaches, self.live = Targets(database), Breaches(database), Live()
        self.evaluator = Evaluator(
            self.targets,
            Round(store.slices, database, self.targets, lease, tell=tell, currency=currency),
            lease,
            self.live,
            None if store.is_embedded else Relay(database),  # an embedded store has one process
            interval_seconds=settings.budget_interval_seconds,
        )
        self.live.listen(lambda _: told())
        self.openings = Openings(database, self.targets, self.live)
        self.snapshots = SnapshotStream(self.live)
        self.decider = Decider(
            self.live,
            stale_seconds=settings.decisions_stale_seconds,
            when_stale=WhenStale(settings.decisions_when_stale),
            is_spooling=is_spooling,
        )
        zone = parse_timezone(settings.billing_timezone)
        self.digests = Digests(database, self.targets, self.live, store.report, zone=zone, currency=currency)

    def took(self, rows: Sequence[EventRow], durable: Durable) -> None:
        """Reservations have these new events; those that were stored may have touched budgets."""
        if durable is Durable.SPOOLED:
            self.decider.spooled(rows)
        else:
            self.decider.stored(rows, datetime.now(UTC))
            self.evaluator.wake()

    async def start(self) -> None:
        """Begin to evaluate, and to write digests when a week is over."""
        await self.evaluator.start()
        await self.digests.start()

    def end_subscriptions(self) -> None:
        """Tell no subscriber anything any more."""
        self.openings.close()
        self.snapshots.close()

    async def close(self) -> None:
        """Stop after the evaluation at hand."""
        self.end_subscriptions()
        await self.digests.close()
        await self.evaluator.close()
