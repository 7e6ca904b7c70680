"""A team's week in few lines: what it spent, what drove that, and how its budgets stand. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from attribution.dimensions import Dimension
from attribution.measures import Measure
from attribution.query import Condition, CostQuery, Operator, Page
from attribution.report import CostReport
from budgets.status import BudgetStatus
from core.money import EXACT, plain
from core.time import Granularity, Window, midnight
from tenants.scope import Scope

HOUR: Final = 8
"""When on Monday it is told, by the local clock."""

_DAYS: Final = 2
"""For how many days it is caught up on: later it is no news."""

_ROWS: Final = 100_000
_NOTHING: Final = Decimal(0)


def week_to_tell(now: datetime, zone: ZoneInfo) -> Window | None:
    """The week from Monday to Sunday that is to be told about now, if any."""
    today = now.astimezone(zone).date()
    monday = today - timedelta(days=today.weekday())
    told_from = midnight(monday, zone) + timedelta(hours=HOUR)
    if not told_from <= now < told_from + timedelta(days=_DAYS):
        return None
    return Window(midnight(monday - timedelta(days=7), zone), midnight(monday, zone))


def weeks_query(week: Window, zone: ZoneInfo) -> CostQuery:
    """What all teams' digests take from the store: the cost of each feature in the week and the one before."""
    before = Granularity.WEEK.bucket(week.start - timedelta(microseconds=1), zone)
    return CostQuery(
        scope=Scope(),
        window=Window(before.start, week.end),
        measures=(Measure.EFFECTIVE_COST,),
        timezone=zone,
        group_by=(Dimension.TEAM, Dimension.FEATURE),
        granularity=Granularity.WEEK,
        where=Condition(Dimension.TEAM, Operator.EXISTS, (True,)),
        page=Page(_ROWS),
    )


@dataclass(slots=True)
class Week:
    """What a team spent in a week, by feature, and in the week before."""

    features: defaultdict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    previous: Decimal = _NOTHING

    @property
    def spent(self) -> Decimal:
        """All of it."""
        return sum(self.features.values(), _NOTHING)


def weeks_of(report: CostReport, week: Window) -> Mapping[str, Week]:
    """Every team's week."""
    weeks: defaultdict[str, Week] = defaultdict(Week)
    teams, features = report.keys
    for team, feature, bucket, cost in zip(
        teams, features, report.buckets, report.measures[Measure.EFFECTIVE_COST], strict=True
    ):
        found, amount = weeks[team or ""], cost or _NOTHING
        if bucket.start == week.start:
            found.features[feature or ""] += amount
        else:
            found.previous = EXACT.add(found.previous, amount)
    return weeks


def digest(
    team: str, period: Window, week: Week, budgets: Iterable[BudgetStatus], breaches: int, currency: str
) -> dict[str, Any]:
    """What to tell the team."""
    ranked = sorted(week.features.items(), key=lambda each: (-each[1], each[0]))
    return {
        "team": team,
        "periodStart": period.start,
        "periodEnd": period.end,
        "spent": week.spent,
        "previous": week.previous,
        "change": _change(week.spent, week.previous),
        "currency": currency,
        "breaches": breaches,
        "budgets": [_standing(each) for each in budgets],
        "contributors": [{"name": name or "no feature", "value": plain(cost)} for name, cost in ranked[:3] if cost > 0],
    }


def _change(spent: Decimal, previous: Decimal) -> str | None:
    """In percent; None where there is nothing to compare with."""
    return None if not previous else f"{(spent - previous) * 100 / previous:+.1f} %"


def _standing(status: BudgetStatus) -> dict[str, Any]:
    return {
        "name": f"{status.terms.name}, {status.member}" if status.member else status.terms.name,
        "spent": status.spent,
        "limit": status.limit,
        "percent": None if status.percent is None else f"{status.percent:.0f}",
    }


def first_day(week: Window, zone: ZoneInfo) -> date:
    """The Monday that names the week."""
    return week.start.astimezone(zone).date()
