"""Whether the process lives, whether it can work, and its figures for Prometheus."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from api.services import Services
from attribution.failures import StoreUnavailable
from core.errors import ApportionError
from ingest.spool import SpoolStatus

_PROBE_SECONDS: Final = 2
_SILENT: Final = "no answer"

_logger = logging.getLogger("apportion.health")


class Health:
    """The endpoints for whatever runs the process. They need no key and tell nothing about any tenant."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._registry = CollectorRegistry()
        self._registry.register(_PipelineCollector(services))
        self._registry.register(_CourierCollector(services))

    async def alive(self, _request: Request) -> Response:
        """`GET /healthz`: 200 while the event loop turns."""
        return PlainTextResponse("ok")

    async def ready(self, _request: Request) -> Response:
        """`GET /readyz`: 200 when events can be taken in, else 503 saying which store is in the way.

        Both stores answer and their migrations are current; or the events store is away and the spool has room:
        `"events": "spooling"`. That is ready too. All replicas lose the store at once, so a balancer that took them
        out of service would turn events away that each of them could keep; queries meanwhile say so one by one.
        """
        services = self._services
        # Not among the readers: queries that keep all of them busy are no reason to be taken out of service.
        database, events = await asyncio.gather(_state(services.database.is_current), _state(services.store.is_current))
        if events in {StoreUnavailable.code, _SILENT} and services.pipeline.can_spool:
            events = "spooling"
        is_ready = database == "ok" and events in {"ok", "spooling"}
        checks = {"database": database, "events": events}
        return JSONResponse({"ready": is_ready, "checks": checks}, 200 if is_ready else 503)

    async def metrics(self, _request: Request) -> Response:
        """`GET /metrics`: counters and gauges in Prometheus' text format."""
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)


async def _state(is_current: Callable[[], bool]) -> str:
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            ok = await asyncio.to_thread(is_current)
    except TimeoutError:
        return _SILENT
    except ApportionError as error:
        return error.code
    except Exception:
        _logger.exception("a store fails in an unexpected way")
        return "INTERNAL_SERVER_ERROR"
    return "ok" if ok else "migrations are missing; run `apportion migrate`"


class _PipelineCollector(Collector):
    """Reads the pipeline's own counters, so that there is only one place that counts."""

    def __init__(self, services: Services) -> None:
        self._pipeline = services.pipeline

    def collect(self) -> Iterator[Metric]:
        """The metrics of the write path."""
        counters = self._pipeline.counters
        by_door = ("source",)
        yield _counter("ingest_received", "Items sent.", by_door, counters.received)
        yield _counter("ingest_outcomes", "Items by what became of them.", ("source", "outcome"), counters.outcomes)
        yield _counter("ingest_unpriced", "Accepted without a cost.", by_door, counters.unpriced)
        yield _counter("ingest_dropped_tags", "Tags beyond the limit.", by_door, counters.dropped_tags)
        yield _counter("ingest_ignored", "OTLP records accepted and never billed.", ("signal",), counters.ignored)
        yield _counter("ingest_turned_away", "Items not taken now, by why.", ("code",), counters.turned_away)
        yield _counter("ingest_mismatches", "Receipts that do not add up: bugs.", (), {(): counters.mismatches})
        yield _gauge("ingest_unaccounted", "Items received less all outcomes: not 0 is a bug.", counters.unaccounted)
        yield _gauge("ingest_queued", "Events waiting to be stored.", self._pipeline.queue_depth)
        yield from _spool_metrics(self._pipeline.spool)


class _CourierCollector(Collector):
    """Reads the courier's own counts."""

    def __init__(self, services: Services) -> None:
        self._courier = services.telling.courier

    def collect(self) -> Iterator[Metric]:
        """The metrics of notifications."""
        courier = self._courier
        meaning = "Attempts to tell, by what became of them."
        yield _counter("notification_attempts", meaning, ("topic", "outcome"), courier.outcomes)
        depth = GaugeMetricFamily("apportion_notifications", "Notifications in the outbox.", labels=["state"])
        for state, count in courier.depth.items():
            depth.add_metric([state], count)
        yield depth


def _spool_metrics(spool: SpoolStatus) -> Iterator[Metric]:
    age = (datetime.now(UTC) - spool.oldest).total_seconds() if spool.oldest else 0.0
    yield _gauge("spool_events", "Events on disk that wait for the events store.", spool.events)
    yield _gauge("spool_bytes", "Bytes of the spool.", spool.bytes)
    yield _gauge("spool_oldest_seconds", "How long the first of them has waited.", age)
    yield _gauge("spool_unaccounted", "Rows the spool lost or made up: not 0 is a bug or damage.", spool.unaccounted)
    moved = {name: getattr(spool, name) for name in ("found", "spooled", "drained", "quarantined", "retried")}
    yield _counter("spool_rows", "Rows by what became of them in the spool.", ("outcome",), moved)
    yield _counter("spool_damaged", "Spooled records that could not be read back.", (), {(): spool.damaged})


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(f"apportion_{name}", meaning, value=value)


def _counter(name: str, meaning: str, labels: Sequence[str], counts: Mapping[Any, int]) -> Metric:
    """A counter; its keys are a label's value, or a tuple of them."""
    family = CounterMetricFamily(f"apportion_{name}", meaning, labels=labels)
    for key, count in counts.items():
        family.add_metric([key] if isinstance(key, str) else key, count)
    return family
