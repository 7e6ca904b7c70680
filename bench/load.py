"""Making the events to measure with: the demo company's, rated by the product's own rater."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import count, islice
from pathlib import Path

from api.demo.events import generate
from attribution.event import EventRow, row_version, to_arrow
from bench.chunks import Chunk
from bench.workloads import SPANS, Workload
from core.database import Database
from core.settings import Settings
from ingest.door import EVENTS
from ingest.payloads import EventPayload
from ingest.rating import Measured, Rater, token_usage
from ingest.rules import EventRules, quantity
from pricing.book import PriceBook


def prepare(directory: Path, events: int, workload: Workload, *, seed: int) -> Iterator[Chunk]:
    """`events` events of the last 90 days of the demo company, in order of time, chunk by chunk.

    Another seed makes other events. Spans tell of model calls only.
    """
    settings = Settings(data_dir=directory)
    database = Database(settings.effective_database_url)
    database.migrate()
    rows = _Rows(PriceBook(database.session), settings)
    stream = _events(events, workload, seed)
    for number in count():
        batch = list(islice(stream, workload.chunk_events))
        if not batch:
            break
        chunk = Chunk(directory / f"{seed}-{number:06}", len(batch), workload.events)
        chunk.write(_bodies(batch, workload), to_arrow([rows.of(event) for event in batch]))
        yield chunk
    database.close()


def _events(events: int, workload: Workload, seed: int) -> Iterator[EventPayload]:
    now = datetime.now(UTC)
    if workload is not SPANS:
        return generate(events, seed=seed, end=now)
    calls = (event for event in generate(events * 3, seed=seed, end=now) if event.output_tokens is not None)
    return islice(calls, events)


def _bodies(events: Sequence[EventPayload], workload: Workload) -> list[bytes]:
    starts = range(0, len(events), workload.events)
    return [workload.encode(events[start : start + workload.events]) for start in starts]


class _Rows:
    """The rows the product would store now, at public prices."""

    def __init__(self, book: PriceBook, settings: Settings) -> None:
        self._rules = EventRules(settings)
        self._rater = Rater(book, settings)
        self._now = datetime.now(UTC)

    def of(self, event: EventPayload) -> EventRow:
        """The event's row."""
        assert event.event_id is not None
        measured = Measured(event, token_usage(event), quantity(event), self._rules.cost(event))
        version = row_version(event.version, self._now)
        return self._rater.row(
            measured, event_id=event.event_id, source=EVENTS.source, received_at=self._now, version=version
        )
