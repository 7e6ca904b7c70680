"""The true-up: what a bill says beyond what is attributed, booked as charges of nobody in particular.

One charge for each day, model, account and category that differ, so that attributed and unallocated costs together are
the bill, to the pico. Allocation rules may share the charges out (`source` is `bill`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from attribution.dimensions import Dimension
from attribution.event import UNATTRIBUTED, EventRow, Pico
from attribution.query import UTC, Condition, Operator
from attribution.store import Store
from core.database import Database
from core.errors import NotFound
from core.money import from_pico, plain
from finance.bills.providers import provider_of
from finance.bookings import BLANK, Book, Changes, changes, digest, enter, in_storable_parts
from finance.month import Month
from finance.reconciliation.comparison import Cause, Cell, Place
from finance.reconciliation.reconciler import TRUE_UP, Reconciler, Reconciliation, day_start
from tenants.audit import Action

METHOD_ID: Final = "true-up@1"


class NoBill(NotFound):
    """There is no bill to true up to."""

    code = "NO_BILL"

    def __init__(self, provider: str, month: Month) -> None:
        super().__init__(f"no bill of {provider!r} covers any day of {month}; import it first")


@dataclass(frozen=True, slots=True)
class Booked:
    """One difference that is booked."""

    place: Place
    cell: Cell


@dataclass(frozen=True, slots=True)
class TrueUp:
    """A provider's month trued up: both sides of what bills cover in full, what is booked, the rows this changes."""

    provider: str
    month: Month
    billed: Pico
    attributed: Pico
    booked: Sequence[Booked]
    changes: Changes

    @property
    def amount(self) -> Pico:
        """What is booked altogether: billed less attributed."""
        return sum(one.cell.gap for one in self.booked)


class TrueUps:
    """Trues up the bills of one deployment."""

    def __init__(
        self, store: Store, database: Database, reconciler: Reconciler, *, currency: str, tolerance_percent: Decimal
    ) -> None:
        self._store = store
        self._database = database
        self._reconciler = reconciler
        self._currency = currency
        self._tolerance_percent = tolerance_percent

    def preview(self, provider: str, month: Month) -> TrueUp:
        """What `run` would do now. Days are UTC's. Raises NoBill or Unavailable."""
        name = provider_of(provider)
        found = self._reconciler.reconcile(name, month.window(UTC), tolerance_percent=self._tolerance_percent)
        booked = [] if found is None else _settled(found)
        rows = [row for one in booked for row in self._rows(name, one)]
        needed = changes(self._store, _book(name, month), rows)
        if not needed.any and not _covers(found, month):  # without a bill there may be rows of one that was removed
            raise NoBill(name, month)
        cells = [one.cell for one in booked]
        return TrueUp(
            name,
            month,
            sum(cell.billed for cell in cells),
            sum(cell.attributed for cell in cells),
            [one for one in booked if one.cell.gap],
            needed,
        )

    def run(self, provider: str, month: Month, *, by: str) -> TrueUp:
        """What was done: afterwards the days that bills cover sum to the bills. Recorded.

        Where more is attributed than a day's bill holds so far, that day is left alone until it is billed in full.
        Repeating it changes nothing; after a rewritten bill or late usage it replaces what it had booked. Raises NoBill
        or Unavailable.
        """
        with self._database.lock():
            done = self.preview(provider, month)
            details: dict[str, object] = {"billed": from_pico(done.billed), "amount": from_pico(done.amount)}
            enter(
                self._store,
                self._database,
                _book(done.provider, month),
                done.changes,
                subject=f"{done.provider} {month}",
                by=by,
                details=details,
            )
        return done

    def _rows(self, provider: str, one: Booked) -> Iterator[EventRow]:
        place, cell = one.place, one.cell
        if not cell.gap or place.day is None:
            return
        told = {
            "method": "true-up",
            "period": place.day.isoformat(),
            "billed": plain(from_pico(cell.billed)),
            "attributed": plain(from_pico(cell.attributed)),
            "cause": cell.cause.value,
        }
        for part, cost in enumerate(in_storable_parts(cell.gap)):
            yield EventRow(
                **BLANK
                | {
                    "tenant_id": UNATTRIBUTED,
                    "event_id": f"true-up:{digest(provider, *place, part)}",
                    "version": 0,
                    "start_time": day_start(place.day),
                    "ingested_at": day_start(place.day),
                    "kind": "charge",
                    "source": TRUE_UP,
                    "workload": "interactive",
                    "provider_name": provider,
                    "provider_account": place.account or "",
                    "request_model": "" if place.model is None else cell.name or place.model,
                    "status": "ok",
                    "effective_cost": cost,
                    "billing_currency": self._currency,
                    "cost_source": "allocated",
                    "charge_category": place.category,
                    "charge_description": f"{provider} bills otherwise than attributed: {cell.cause.value}",
                    "allocated_method_id": METHOD_ID,
                    "allocated_method_details": json.dumps(told),
                    "allocated_resource_id": f"bill:{provider}:{place.day:%Y-%m}",
                }
            )


def _settled(found: Reconciliation) -> Sequence[Booked]:
    """What is compared on days that a bill covers, but for what the bill may still come to hold."""
    covered = found.covered
    return [
        Booked(place, cell)
        for place, cell in found.comparison.cells.items()
        if place.day in covered and Cause.LATE not in cell.causes
    ]


def _covers(found: Reconciliation | None, month: Month) -> bool:
    """Whether a bill covers any day of the month."""
    return found is not None and any(day.replace(day=1) == month.first for day in found.covered)


def _book(provider: str, month: Month) -> Book:
    ours = Condition(Dimension.PROVIDER, Operator.ANY_OF, (provider,))
    return Book(TRUE_UP, Action.TRUE_UP, month.window(UTC), ours)
