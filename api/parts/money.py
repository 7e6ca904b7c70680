"""What is earned and what is owed: tenants and tiers, revenue, shared costs, bills and statements."""

from __future__ import annotations

import asyncio
from typing import Final

from attribution.measures import Measure
from attribution.store import Store
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
from finance.statements.charges import Announce
from finance.statements.closing import Closer
from finance.statements.drafting import Drafting
from finance.statements.tier_charges import RevenueCharges
from finance.tier_mirror import TierMirror
from pricing.book import PriceBook
from tenants.directory import Tenants
from tenants.tiers import Tiers

_ADDITIVE: Final = {measure.spec.name for measure in Measure if measure.spec.additive}


class Money:
    """The money of a deployment, on its stores. `announce` tells of closed statements."""

    def __init__(
        self, settings: Settings, database: Database, store: Store, book: PriceBook, announce: Announce
    ) -> None:
        currency = settings.currency
        self.tenants = Tenants(database)
        self.tiers = Tiers(database, currency, _ADDITIVE)
        self.actuals = Actuals(database, currency)
        self.bookkeeping = Bookkeeping(self.tenants, self.tiers, self.actuals)
        self.tier_mirror = TierMirror(database, self.tenants, store)
        self.allocation_rules = AllocationRules(database)
        self.allocator = Allocator(store, database)
        self.bills = BillImporter(store, database, currency)
        self.reconciler = Reconciler(store, database, book, lateness_days=settings.bill_lateness_days)
        self.true_ups = TrueUps(
            store,
            database,
            self.reconciler,
            currency=currency,
            tolerance_percent=settings.reconciliation_tolerance,
        )
        zone = parse_timezone(settings.billing_timezone)
        charges = RevenueCharges(store.report, self.bookkeeping, self.tier_mirror.refresh)
        self.statements = Closer(database, Drafting(store, charges, zone, currency, settings.retention_days), announce)
        self._keeping: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to keep the events store's copy of the tiers equal to the database's."""
        self._keeping = asyncio.create_task(self.tier_mirror.keep())

    def close(self) -> None:
        """Stop that."""
        if self._keeping is not None:
            self._keeping.cancel()
