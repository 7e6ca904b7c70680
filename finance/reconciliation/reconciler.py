"""Both sides of a reconciliation, asked of the stores: the bills in force, and what events say of the same provider."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

from attribution.bill_lines import (
    BilledSlice,
    BillFilter,
    BillLine,
    BillLineQuery,
    compile_lines,
    compile_slices,
    decode_lines,
    decode_slices,
)
from attribution.dimensions import Dimension
from attribution.event import Pico
from attribution.measures import Measure
from attribution.query import UTC, All, Condition, CostQuery, Operator, Page
from attribution.report import CostReport
from attribution.store import Store
from core.database import Database
from core.errors import InvalidInput
from core.money import to_pico
from core.time import Granularity, Window
from finance.allocation.allocator import SOURCE as ALLOCATION
from finance.allocation.shares import largest_remainder
from finance.bills.providers import provider_of
from finance.bills.stored import Bill, current_bills
from finance.bills.words import TokenType
from finance.reconciliation.comparison import USAGE, Attributed, Comparison, Tolerance, compare, complete_days
from finance.reconciliation.model_names import model_key
from pricing.book import PriceBook
from tenants.scope import Scope

TRUE_UP: Final = "bill"
"""The `source` of rows that a true-up wrote."""

MAX_SLICES: Final = 200_000

_TOKENS: Final = {
    Measure.UNCACHED_INPUT_TOKENS: TokenType.INPUT,
    Measure.CACHE_READ_INPUT_TOKENS: TokenType.CACHED_INPUT,
    Measure.CACHE_CREATION_INPUT_TOKENS: TokenType.CACHE_WRITE,
    Measure.AUDIO_INPUT_TOKENS: TokenType.AUDIO_INPUT,
    Measure.TEXT_OUTPUT_TOKENS: TokenType.OUTPUT,
    Measure.REASONING_OUTPUT_TOKENS: TokenType.OUTPUT,
    Measure.AUDIO_OUTPUT_TOKENS: TokenType.AUDIO_OUTPUT,
}
_RATES: Final = dict(zip(_TOKENS, (0, 1, 2, 4, 5, 6, 7), strict=True))
"""Where a rate card holds the rate of those tokens: cache writes at the rate for five minutes."""
_MEASURES: Final = (Measure.EFFECTIVE_COST, Measure.OPERATIONS, Measure.UNPRICED_OPERATIONS, *_TOKENS)
_GROUPS: Final = (
    Dimension.KIND,
    Dimension.SOURCE,
    Dimension.CHARGE_CATEGORY,
    Dimension.MODEL,
    Dimension.PROVIDER_ACCOUNT,
)


class TooManySlices(InvalidInput):
    """More combinations of day, model and account than are compared at once."""

    code = "TOO_MANY_SLICES"

    def __init__(self) -> None:
        super().__init__(f"more than {MAX_SLICES} combinations of day, model and account; narrow the time range")


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """A provider's bills in force, compared with what is attributed to it in `window`."""

    provider: str
    window: Window
    bills: Sequence[Bill]
    comparison: Comparison

    @property
    def covered(self) -> frozenset[date]:
        """The UTC days that bills cover."""
        return frozenset(day for bill in self.bills for day in bill.covered)


class Reconciler:
    """Compares the bills of one deployment with its events."""

    def __init__(self, store: Store, database: Database, book: PriceBook, *, lateness_days: int) -> None:
        self._store = store
        self._database = database
        self._book = book
        self._lateness_days = lateness_days

    def bills(self, provider: str | None = None) -> Sequence[Bill]:
        """The bills in force, newest month first."""
        with self._database.session() as session:
            return current_bills(session, provider=None if provider is None else provider_of(provider))

    def reconcile(
        self, provider: str, window: Window, *, tolerance_percent: Decimal, zone: ZoneInfo = UTC
    ) -> Reconciliation | None:
        """Billed against attributed in that window, by days of the zone; None when no bill is known of the provider.

        Raises TooManySlices or Unavailable.
        """
        name = provider_of(provider)
        bills = self.bills(name)
        if not bills:
            return None
        complete = complete_days(((b.covered, b.imported_at.date()) for b in bills), self._lateness_days)
        comparison = compare(
            self._billed(bills, window, zone),
            self.attributed(name, window, zone),
            Tolerance(tolerance_percent, complete),
        )
        return Reconciliation(name, window, bills, comparison)

    def lines(
        self,
        provider: str,
        window: Window,
        where: BillFilter,
        *,
        first: int,
        after: tuple[int, int, int, int] | None = None,
        zone: ZoneInfo = UTC,
    ) -> Sequence[BillLine]:
        """The lines of a provider's bills in force, at most one more than `first`, after that place."""
        imports = tuple(bill.number for bill in self.bills(provider))
        query = BillLineQuery(imports, window, where, zone, first, after)
        return decode_lines(self._store.columns(compile_lines(query)))

    def _billed(self, bills: Sequence[Bill], window: Window, zone: ZoneInfo) -> Sequence[BilledSlice]:
        statement = compile_slices([bill.number for bill in bills], window, zone)
        return decode_slices(self._store.columns(statement))

    def attributed(self, provider: str, window: Window, zone: ZoneInfo) -> Sequence[Attributed]:
        """What events say, but for shares of charges: they sum to zero."""
        names = self._spellings(provider, window)
        if not names:
            return []
        where = All(
            (
                Condition(Dimension.PROVIDER, Operator.ANY_OF, names),
                Condition(Dimension.SOURCE, Operator.NONE_OF, (ALLOCATION,)),
            )
        )
        report = self._store.report(
            CostQuery(
                Scope(),
                window,
                _MEASURES,
                timezone=zone,
                group_by=_GROUPS,
                granularity=Granularity.DAY,
                where=where,
                page=Page(first=MAX_SLICES),
            )
        )
        if report.group_count > MAX_SLICES:
            raise TooManySlices
        return [self._slice(provider, report, place, zone) for place in range(report.size)]

    def _spellings(self, provider: str, window: Window) -> tuple[str, ...]:
        """Every name under which events know the provider. Raises TooManySlices."""
        query = CostQuery(
            Scope(), window, (Measure.OPERATIONS,), group_by=(Dimension.PROVIDER,), page=Page(first=MAX_SLICES)
        )
        report = self._store.report(query)
        if report.group_count > MAX_SLICES:
            raise TooManySlices
        return tuple(name for name in report.keys[0] if name is not None and provider_of(name) == provider)

    def _slice(self, provider: str, report: CostReport, place: int, zone: ZoneInfo) -> Attributed:
        kind, source, category, model, account = (keys[place] or "" for keys in report.keys)
        day = report.buckets[place].start.astimezone(zone).date()
        values = {measure: report.measures[measure][place] for measure in _MEASURES}
        cost = to_pico(values[Measure.EFFECTIVE_COST] or Decimal(0))
        counted = {measure: int(values[measure]) for measure in _TOKENS if values[measure]}
        return Attributed(
            day=day,
            model=model_key(provider, model),
            name=model,
            account=account,
            category=USAGE if kind == "usage" else category,
            cost=cost,
            tokens=_by_type(counted),
            parts=self._parts(provider, model, day, cost, counted),
            operations=values[Measure.OPERATIONS],
            unpriced=values[Measure.UNPRICED_OPERATIONS],
            booked=source == TRUE_UP,
        )

    def _parts(
        self, provider: str, model: str, day: date, cost: Pico, counted: Mapping[Measure, int]
    ) -> Mapping[str, Pico]:
        """The cost by kind of token, in proportion to what they cost at that day's base rates; none without a price.

        Derived: the parts sum to the cost; where it was reported, or long contexts cost more, they are estimates.
        """
        noon = datetime.combine(day, time(12), UTC)
        card = self._book.quote(provider=provider, request_model=model, response_model="", at=noon, tenant_id="").card
        if card is None or not counted:
            return {}
        weights = [tokens * card.rates[_RATES[measure]] for measure, tokens in counted.items()]
        if not sum(weights):
            return {}
        return _by_type(dict(zip(counted, largest_remainder(cost, weights), strict=True)))


def _by_type(amounts: Mapping[Measure, int]) -> Mapping[str, int]:
    found: dict[str, int] = {}
    for measure, amount in amounts.items():
        kind = _TOKENS[measure].value
        found[kind] = found.get(kind, 0) + amount
    return found


def day_start(day: date) -> datetime:
    """The first instant of that UTC day."""
    return datetime.combine(day, time(), UTC)


def days_of(window: Window) -> Window:
    """The window of the whole UTC days that it touches."""
    end = window.end.astimezone(UTC)
    last = end.date() + timedelta(days=0 if end.time() == time() else 1)
    return Window(day_start(window.start.astimezone(UTC).date()), day_start(last))
