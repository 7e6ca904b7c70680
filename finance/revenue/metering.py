"""What tenants used in each stretch that is charged, from one statement per way in which tiers cut their time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TypeAlias

from attribution.dimensions import Dimension
from attribution.measures import Measure
from attribution.query import All, Condition, CostQuery, Operator, Page
from attribution.report import CostReport
from core.errors import InvalidInput
from core.time import Cuts, Window
from finance.revenue.contracts import Stretch
from finance.revenue.lines import NO_USAGE, Usage
from tenants.scope import Scope
from tenants.terms import SeatSource, TierTerms

MAX_ROWS = 500_000
"""Most groups of one statement that are worked on in memory."""

Report: TypeAlias = Callable[[CostQuery], CostReport]
"""Asks the events store."""

_BY_NAME = {measure.spec.name: measure for measure in Measure}
USAGE_ONLY = Condition(Dimension.KIND, Operator.ANY_OF, ("usage",))


class TooManyGroups(InvalidInput):
    """The question takes more groups than are worked on at once."""

    code = "TOO_MANY_GROUPS"

    def __init__(self, count: int) -> None:
        super().__init__(
            f"this takes {count:,} groups, and at most {MAX_ROWS:,} are worked on at once: narrow the time range or "
            "the filter, or ask for a coarser granularity"
        )


def whole_page(report: CostReport) -> CostReport:
    """The report when all its groups are on its page; raises TooManyGroups."""
    if report.size < report.group_count:
        raise TooManyGroups(report.group_count)
    return report


class Metering:
    """The usage of stretches, as read."""

    def __init__(self, usage: dict[tuple[str, Window], Usage]) -> None:
        self._usage = usage

    def of(self, stretch: Stretch) -> Usage:
        """What the tenant used in it."""
        return self._usage.get((stretch.contract.id, stretch.segment.window), NO_USAGE)

    @classmethod
    def read(cls, report: Report, scope: Scope, stretches: Sequence[Stretch]) -> Metering:
        """The usage of all of them. One statement per different list of cuts, none where nothing is metered."""
        by_tier: defaultdict[str, list[Stretch]] = defaultdict(list)
        for stretch in stretches:
            by_tier[stretch.contract.tier].append(stretch)
        alike: defaultdict[tuple[Window, ...], list[str]] = defaultdict(list)
        for tier, own in by_tier.items():
            alike[tuple(sorted({s.segment.window for s in own}, key=_start))].append(tier)
        usage: dict[tuple[str, Window], Usage] = {}
        for windows, tiers in alike.items():
            terms = [stretch.terms for tier in tiers for stretch in by_tier[tier]]
            if measures := _measures(terms):
                usage |= _read(report, scope, windows, tiers, measures)
        return cls(usage)


def _start(window: Window) -> datetime:
    return window.start


def _measures(terms: Iterable[TierTerms]) -> tuple[Measure, ...]:
    """Whatever some of these terms count."""
    wanted: set[Measure] = set()
    for each in dict.fromkeys(terms):
        wanted |= {_BY_NAME[meter.measure] for meter in each.meters}
        if each.markup_percent is not None:
            wanted.add(Measure.EFFECTIVE_COST)
        if each.seats is not None and each.seats.source is SeatSource.ACTIVE_USERS:
            wanted.add(Measure.ACTIVE_USERS)
    return tuple(measure for measure in Measure if measure in wanted)


def _read(
    report: Report, scope: Scope, windows: Sequence[Window], tiers: Sequence[str], measures: tuple[Measure, ...]
) -> dict[tuple[str, Window], Usage]:
    cuts = sorted({edge for window in windows for edge in (window.start, window.end)})
    query = CostQuery(
        scope,
        Window(cuts[0], cuts[-1]),
        measures,
        group_by=(Dimension.ASSIGNMENT,),
        granularity=Cuts(tuple(cuts)),
        where=All((Condition(Dimension.TIER, Operator.ANY_OF, tuple(tiers)), USAGE_ONLY)),
        page=Page(MAX_ROWS),
    )
    found = whole_page(report(query))
    places = zip(found.keys[0], found.buckets, strict=True)
    rows = zip(*(found.measures[measure] for measure in measures), strict=True)
    return {place: _usage(measures, row) for place, row in zip(places, rows, strict=True)}


def _usage(measures: Sequence[Measure], row: Sequence[Decimal | int | None]) -> Usage:
    """What is unknown is not charged: it counts as nothing here, and as unpriced in the cost."""
    values = {measure.spec.name: Decimal(value or 0) for measure, value in zip(measures, row, strict=True)}
    return Usage(
        values,
        cost=values.get(Measure.EFFECTIVE_COST.spec.name, Decimal(0)),
        active_users=int(values.get(Measure.ACTIVE_USERS.spec.name, 0)),
    )
