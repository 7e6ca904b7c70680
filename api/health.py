"""Whether the process lives, whether it can work, and its figures for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from api.services import Services
from core.errors import ApportionError


class Health:
    """The endpoints for whatever runs the process. They need no key and tell nothing about any tenant."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._registry = CollectorRegistry()
        self._registry.register(_PipelineCollector(services))

    async def alive(self, _request: Request) -> Response:
        """`GET /healthz`: 200 while the event loop turns."""
        return PlainTextResponse("ok")

    async def ready(self, _request: Request) -> Response:
        """`GET /readyz`: 200 when both stores answer and their migrations are current, else 503 saying which not."""
        services = self._services
        checks = {
            "database": await self._check(services.database.is_current),
            "events": await self._check(services.store.is_current),
        }
        is_ready = all(state == "ok" for state in checks.values())
        return JSONResponse({"ready": is_ready, "checks": checks}, 200 if is_ready else 503)

    async def _check(self, is_current: Callable[[], bool]) -> str:
        try:
            return "ok" if await self._services.read(is_current) else "migrations are missing; run `apportion migrate`"
        except ApportionError as error:
            return error.code

    async def metrics(self, _request: Request) -> Response:
        """`GET /metrics`: counters and gauges in Prometheus' text format."""
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)


class _PipelineCollector(Collector):
    """Reads the pipeline's own counters, so that there is only one place that counts."""

    def __init__(self, services: Services) -> None:
        self._pipeline = services.pipeline

    def collect(self) -> Iterator[Metric]:
        """The metrics of the write path."""
        counters = self._pipeline.counters
        received = CounterMetricFamily("apportion_ingest_received", "Items sent.", labels=["source"])
        for source, count in counters.received.items():
            received.add_metric([source], count)
        yield received
        outcomes = CounterMetricFamily(
            "apportion_ingest_outcomes", "Items by what became of them.", labels=["source", "outcome"]
        )
        for (source, outcome), count in counters.outcomes.items():
            outcomes.add_metric([source, outcome], count)
        yield outcomes
        unpriced = CounterMetricFamily("apportion_ingest_unpriced", "Accepted without a cost.", labels=["source"])
        for source, count in counters.unpriced.items():
            unpriced.add_metric([source], count)
        yield unpriced
        yield GaugeMetricFamily(
            "apportion_ingest_queued", "Events waiting to be stored.", value=self._pipeline.queue_depth
        )
