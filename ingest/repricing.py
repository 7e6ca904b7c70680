"""Repricing: stored events are rated again with today's price book, at the rates of their own time.

What a client reported is never touched. Only events whose money changes are written, as a new version between what is
stored and any correction. It is safe to interrupt and to repeat: a second time nothing changes.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec

from attribution.dimensions import Dimension
from attribution.event import EventRow, repriced_version
from attribution.query import All, Condition, Operator
from attribution.rows import RowQuery
from attribution.store import Store
from core.errors import ApportionError, Conflict, TimedOut
from core.money import from_pico
from core.time import Window
from ingest.rating import Rater
from ingest.repricings import Ledger, Run
from ingest.tally import Tally, is_changed
from pricing.book import PriceBook
from tenants.scope import Scope

BATCH_ROWS: Final = 10_000

_EVERYBODY: Final = Scope()
_logger = logging.getLogger("apportion.repricing")


class PricesChanged(Conflict):
    """The price book changed while events were rated again."""

    code = "PRICES_CHANGED"

    def __init__(self) -> None:
        super().__init__("prices changed while events were repriced; reprice once more with the new ones")


class PreviewTooSlow(TimedOut):
    """A preview reads every event it is about, and these are too many for one request."""

    code = "PREVIEW_TOO_SLOW"

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"the preview took longer than {seconds:g} s; narrow the time, the model or the tenant, "
            "or use `apportion prices reprice --dry-run`, which has no limit"
        )


class Position(NamedTuple):
    """An event's place in the order of rows."""

    day: date
    tenant_id: str
    event_id: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events to rate again: those that began from `since` on, before `until`; None is until now."""

    since: datetime
    until: datetime | None = None
    scope: Scope = _EVERYBODY
    model: str | None = None
    tenant_id: str | None = None

    @property
    def where(self) -> All:
        """The filter beyond scope and time."""
        asked = ((Dimension.MODEL, self.model), (Dimension.TENANT, self.tenant_id))
        return All(tuple(Condition(by, Operator.ANY_OF, (value,)) for by, value in asked if value is not None))

    def window(self, until: datetime | None = None) -> Window:
        """The time that is meant. Raises EmptyWindow or NaiveDatetime."""
        return Window(self.since, self.until or until or datetime.now(UTC) + timedelta(days=1))


@dataclass(frozen=True, slots=True)
class Outcome:
    """How far a repricing came: all its events, those looked at, and what changed."""

    finished: bool
    events: int
    tally: Tally


@dataclass(frozen=True, slots=True)
class _Batch:
    """Neighbouring rows, each with what becomes of it: itself when nothing does."""

    rows: Sequence[tuple[EventRow, EventRow]]

    @property
    def end(self) -> Position:
        return _position(self.rows[-1][0])

    @property
    def changed(self) -> list[EventRow]:
        return [new for old, new in self.rows if new is not old]


class _Progress(msgspec.Struct):
    """Written before a batch is: all before `start` is done, and `tally` counts the batch too, up to `end`."""

    start: Position | None = None
    end: Position | None = None
    tally: list[Any] = []

    @property
    def text(self) -> str:
        return msgspec.json.encode(self).decode()

    @classmethod
    def of(cls, run: Run) -> _Progress:
        return msgspec.json.decode(run.progress, type=cls) if run.progress else cls()


Days = Sequence[tuple[date, int]]
"""UTC days with how many events they have, in order."""

Told = Callable[[int, int], None]
"""Hears of progress: events looked at, of how many."""


class Repricer:
    """Rates stored events again. `preview` changes nothing; `run` goes on where an interrupted run ended."""

    def __init__(
        self, store: Store, rater: Rater, book: PriceBook, ledger: Ledger, *, batch_rows: int = BATCH_ROWS
    ) -> None:
        self._store = store
        self._rater = rater
        self._book = book
        self._ledger = ledger
        self._batch_rows = batch_rows

    def preview(self, wanted: Wanted, *, told: Told = lambda *_: None, seconds: float = float("inf")) -> Tally:
        """What would change. Raises PreviewTooSlow after that many seconds, PricesChanged, EmptyWindow, Unavailable."""
        tally, deadline, window = Tally(), time.monotonic() + seconds, wanted.window()
        days = self._store.row_counts(wanted.scope, window, wanted.where)
        for batch in self._batches(wanted, window, days, None):
            for old, new in batch.rows:
                tally.add(old, new)
            told(tally.total.events, _events(days))
            if time.monotonic() > deadline:
                raise PreviewTooSlow(seconds)
        return tally

    def is_unfinished(self, wanted: Wanted) -> bool:
        """True when the same was begun, at the same prices, and not ended."""
        return self._ledger.is_unfinished(self._asked(wanted))

    def run(self, wanted: Wanted, *, by: str, told: Told = lambda *_: None, seconds: float = float("inf")) -> Outcome:
        """What was done, and whether all is; after that many seconds it stops, and the same call goes on.

        Its beginning and its end are recorded. Raises RepricingRuns, RepricingTakenOver, PricesChanged, EmptyWindow or
        Unavailable.
        """
        details = _told_of(wanted)
        run = self._ledger.begin(self._asked(wanted), until=wanted.window().end, actor=by, details=details)
        try:
            outcome = self._go_on(run, wanted, told, time.monotonic() + seconds)
        except BaseException:
            with suppress(ApportionError):
                self._ledger.pause(run)
            raise
        if outcome.finished:
            self._ledger.finish(run, actor=by, details=details | _summary(outcome.tally))
        else:
            self._ledger.pause(run)
        return outcome

    def _go_on(self, run: Run, wanted: Wanted, told: Told, deadline: float) -> Outcome:
        progress = _Progress.of(run)
        tally, start, counted = Tally.from_json(progress.tally), progress.start, progress.end
        window = wanted.window(run.until)
        days = self._store.row_counts(wanted.scope, window, wanted.where)
        for batch in self._batches(wanted, window, days, start):
            for old, new in batch.rows:
                if counted is None or _position(old) > counted:
                    tally.add(old, new)
            counted = max(batch.end, counted or batch.end)
            self._ledger.advance(run, _Progress(start, counted, tally.to_json()).text)
            self._store.insert(batch.changed)
            start = batch.end
            told(tally.total.events, _events(days))
            if time.monotonic() > deadline:
                self._ledger.advance(run, _Progress(start, counted, tally.to_json()).text)
                return Outcome(finished=False, events=_events(days), tally=tally)
        return Outcome(finished=True, events=_events(days), tally=tally)

    def _batches(self, wanted: Wanted, window: Window, days: Days, start: Position | None) -> Iterator[_Batch]:
        """The rows after `start`, with what becomes of them."""
        edition = self._book.edition
        for day, _ in days:
            if start is not None and day < start.day:
                continue
            after = start[1:] if start is not None and day == start.day else None
            query = RowQuery(wanted.scope, window, wanted.where, day=day, after=after, first=self._batch_rows)
            for rows in self._pages(query):
                batch = _Batch([(row, self._repriced(row)) for row in rows])
                if self._book.edition != edition:
                    raise PricesChanged
                yield batch

    def _pages(self, query: RowQuery) -> Iterator[list[EventRow]]:
        rows = self._store.rows(query)
        while rows:
            yield rows
            last = rows[-1]
            query = replace(query, after=(last.tenant_id, last.event_id))
            rows = self._store.rows(query) if len(rows) == query.first else []

    def _repriced(self, row: EventRow) -> EventRow:
        new = self._rater.rerated(row)
        if not is_changed(row, new):
            return row
        try:
            return new._replace(version=repriced_version(row.version))
        except OverflowError as error:
            _logger.error("event %s of tenant %s keeps its money: %s", row.event_id, row.tenant_id, error)  # noqa: TRY400
            return row

    def _asked(self, wanted: Wanted) -> str:
        """Differs whenever what was done so far would not do: other events, other prices, another rule."""
        text = repr((_told_of(wanted), self._book.edition, self._rater.prefer_reported))
        return hashlib.sha256(text.encode()).hexdigest()


def _events(days: Days) -> int:
    return sum(count for *_, count in days)


def _position(row: EventRow) -> Position:
    return Position(row.start_time.date(), row.tenant_id, row.event_id)


def _told_of(wanted: Wanted) -> dict[str, object]:
    scope = {name: value for name in ("tenant", "team", "environment") if (value := getattr(wanted.scope, name))}
    return {
        "since": wanted.since.astimezone(UTC).isoformat(),
        "until": wanted.until.astimezone(UTC).isoformat() if wanted.until else None,
        "model": wanted.model,
        "tenant": wanted.tenant_id,
        "scope": scope,
    }


def _summary(tally: Tally) -> dict[str, object]:
    total = tally.total
    return {"events": total.events, "changed": total.changed, "difference": from_pico(total.difference)}
