"""What tenants used in each stretch that is charged, from one statement per way in which tiers cut their time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final, TypeAlias

from attribution.dimensions import Dimension
from attribution.measures import Measure
from attribution.query import All, Condition, CostQuery, Filter, Operator, Page
from attribution.report import CostReport
from core.errors import InvalidInput
from core.time import Cuts, Window
from finance.revenue.contracts import Stretch
from finance.revenue.lines import NO_USAGE, Usage
from tenants.scope import Scope
from tenants.terms import SeatSource, TierTerms

MAX_ROWS: Final = 500_000
"""Most groups of one statement that are worked on in memory."""
FEW_TENANTS: Final = 100
"""Up to so many are named in a statement; it reads less then."""

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
            own = [stretch for tier in tiers for stretch in by_tier[tier]]
            if measures := _measures(stretch.terms for stretch in own):
                usage |= _read(report, scope, windows, _held_by(own), measures)
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


def _held_by(stretches: Sequence[Stretch]) -> Filter:
    """The operations of these tiers; where few tenants are asked about, those tenants' only."""
    tiers = tuple(dict.fromkeys(stretch.contract.tier for stretch in stretches))
    tenants = tuple(dict.fromkeys(stretch.contract.tenant_id for stretch in stretches))
    of_tiers = Condition(Dimension.TIER, Operator.ANY_OF, tiers)
    if len(tenants) > FEW_TENANTS:
        return of_tiers
    return All((Condition(Dimension.TENANT, Operator.ANY_OF, tenants), of_tiers))


def _read(
    report: Report, scope: Scope, windows: Sequence[Window], where: Filter, measures: tuple[Measure, ...]
) -> dict[tuple[str, Window], Usage]:
    cuts = sorted({edge for window in windows for edge in (window.start, window.end)})
    query = CostQuery(
        scope,
        Window(cuts[0], cuts[-1]),
        measures,
        group_by=(Dimension.ASSIGNMENT,),
        granularity=Cuts(tuple(cuts)),
        where=All((where, USAGE_ONLY)),
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
