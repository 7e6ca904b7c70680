"""How long one evaluation of 2,000 budgets takes, members and forecasts included, beside its bare statements."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter
from typing import Any, Final
from zoneinfo import ZoneInfo

import clickhouse_connect

from api.demo import company
from api.services import Services
from api.serving import open_services
from attribution.dimensions import Dimension
from attribution.query import All, Condition, Filter, Not, Operator, Tag
from attribution.slices import SliceQuery, compile_slices
from bench.chunks import Chunk
from bench.figures import Figure
from bench.query import fill
from budgets.definition import AmountFrom, BudgetTerms
from budgets.evaluator import LEASE_NAME
from budgets.lease import Lease
from budgets.periods import CalendarPeriod, RollingPeriod
from budgets.round import Round
from core.settings import Settings
from core.time import Granularity

BUDGETS: Final = 2_000
AIM_SECONDS: Final = 2.0
_ZONES: Final = tuple(map(ZoneInfo, ("Europe/Dublin", "America/New_York", "Asia/Kolkata")))
_VALUES: Final = {
    Dimension.TENANT: [tenant.tenant_id for tenant in company.TENANTS],
    Dimension.FEATURE: [feature.name for feature in company.FEATURES],
    Dimension.TEAM: sorted({feature.team for feature in company.FEATURES}),
    Tag("plan"): ["free", "pro", "enterprise"],
}


def measure(chunks: Sequence[Chunk], directory: Path, runs: int, *, budgets: int = BUDGETS) -> Figure:
    """The figure, measured in a process of its own: an embedded engine has one directory."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(_measure, chunks, directory, runs, budgets).result()


def _measure(chunks: Sequence[Chunk], directory: Path, runs: int, budgets: int) -> Figure:
    services = open_services(Settings(data_dir=directory, log_level="warning"))
    with closing(clickhouse_connect.get_client(interface="chdb", path=str(directory / "events"))) as client:
        fill(client, chunks)
    for terms in islice(_budgets(), budgets):
        services.watch.targets.create(terms, by="bench")
    figure = _figure(services, min(runs, 10))
    services.release()
    return figure


def _figure(services: Services, runs: int) -> Figure:
    bare: list[float] = []

    def ask(query: SliceQuery) -> Any:
        start = perf_counter()
        services.store.columns(compile_slices(query))
        bare.append(perf_counter() - start)
        return services.store.slices(query)

    lease = Lease(services.database, LEASE_NAME)
    lease.hold()
    evaluation = Round(ask, services.database, services.watch.targets, lease, tell=None, currency="USD")
    _evaluate(evaluation)
    took, alone, members = [], [], 0
    for _ in range(runs):
        bare.clear()
        start = perf_counter()
        members = _evaluate(evaluation)
        took.append(perf_counter() - start - sum(bare))
        alone.append(sum(bare))
    return Figure(
        name="evaluation of budgets",
        unit="s",
        measured=median(took),
        limit=median(alone),
        limit_is="its statements alone",
        ratio=median(took) / median(alone),
        aim=f"under {AIM_SECONDS:g} s",
        met=median(took) < AIM_SECONDS,
        note=f"{len(services.watch.targets.all()):,} budgets, {members:,} members, {len(bare)} statements",
    )


def _evaluate(evaluation: Round) -> int:
    """How many members stand anywhere, once the breaches on record agree with it."""
    seen = evaluation.look(datetime.now(UTC))
    evaluation.record(seen)
    return sum(1 for _ in seen.snapshot.statuses())


def _budgets() -> Iterator[BudgetTerms]:
    """Budgets as companies have them: most by month, of one or two dimensions, some for each user or tenant."""
    draw, number = Random(7), 0
    while True:
        number += 1
        zone = draw.choice(_ZONES)
        calendar = draw.choices(
            [Granularity.MONTH, Granularity.DAY, Granularity.WEEK, Granularity.QUARTER], [6, 2, 1, 1]
        )[0]
        where, each = _slice(draw)
        yield BudgetTerms(
            name=f"budget {number}",
            where=where,
            each=each,
            period=RollingPeriod(24, zone) if draw.random() < 0.1 else CalendarPeriod(calendar, zone),
            amounts=(AmountFrom(Decimal(100_000)),),
        )


def _slice(draw: Random) -> tuple[Filter, Dimension | None]:
    """Plain ones for the most part; of a hundred, ten leave something out, two are for each user, five each tenant."""
    chosen = draw.sample(list(_VALUES), draw.choice((1, 1, 2)))
    parts: list[Filter] = [Condition(each, Operator.ANY_OF, (draw.choice(_VALUES[each]),)) for each in chosen]
    kind = draw.random()
    if kind < 0.1:
        parts.append(Not(Condition(Dimension.ENVIRONMENT, Operator.ANY_OF, ("staging",))))
    each = Dimension.USER if 0.1 <= kind < 0.12 else Dimension.TENANT if 0.12 <= kind < 0.17 else None
    return All(tuple(parts)), each
