"""A budget and how it stands, in GraphQL's shape."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from enum import Enum, unique

import strawberry

from api.graphql.naming import described_enum
from api.graphql.scalars import BigInt
from api.graphql.targets import Grouping, filter_text, grouping
from attribution.dimensions import Dimension
from attribution.measures import Measure
from budgets.definition import Basis, BudgetTerms, Mode
from budgets.history import Past, Point
from budgets.periods import CalendarPeriod, FixedPeriod, RollingPeriod, Weekday
from budgets.status import BudgetState, BudgetStatus
from budgets.targets import Definition
from core.time import Granularity

MEMBERS = 100


@unique
class Standing(Enum):
    """How a budget stands, the worst first."""

    BREACHED = "breached"
    NEAR = "near"
    FORECAST = "forecast"
    FINE = "fine"


described_enum(
    Standing,
    "BudgetStanding",
    "How a budget stands; of several that apply, the first.",
    {
        Standing.BREACHED: "The limit is reached: all of it is spent.",
        Standing.NEAR: "A threshold of what is spent is reached, the limit is not.",
        Standing.FORECAST: "It will be beyond a threshold by the period's end, at this pace.",
        Standing.FINE: "No threshold is reached.",
    }.__getitem__,
)


@strawberry.type(description="When a budget's amount is for: `every`, `start` and `end`, or `hours`.")
class BudgetPeriod:
    """A period."""

    every: Granularity | None = strawberry.field(description="Every calendar period of this kind.")
    start: datetime | None = strawberry.field(description="First instant of the one window.")
    end: datetime | None = strawberry.field(description="First instant after the one window.")
    hours: int | None = strawberry.field(description="The last so many hours.")
    timezone: str = strawberry.field(description="IANA zone of days and periods.")
    week_start: Weekday | None = strawberry.field(description="The day on which weeks begin.")


@strawberry.type(description="An amount, from a local day on.")
class BudgetAmount:
    """An amount of a year."""

    since: date | None = strawberry.field(description="Null: from the beginning.")
    amount: Decimal = strawberry.field(description="The amount per period.")


@strawberry.type(description="A part of the limit at which a breach opens.")
class BudgetThreshold:
    """A threshold."""

    percent: Decimal = strawberry.field(description="In percent of the limit.")
    basis: Basis = strawberry.field(description="What is compared with it.")


@strawberry.type(description="A member's own amount.")
class MemberAmount:
    """An override."""

    member: str = strawberry.field(description="The value of the dimension or tag.")
    amount: Decimal | None = strawberry.field(description="Its amount per period; null: not watched.")


@strawberry.type(description="What will have been spent by the period's end, if it goes on like this.")
class BudgetForecast:
    """A forecast with its interval."""

    amount: Decimal = strawberry.field(description="What is to be expected.")
    low: Decimal = strawberry.field(description="Four times out of five it is more than this ...")
    high: Decimal = strawberry.field(description="... and less than this.")


@strawberry.type(description="How a budget, or one member of it, stands in its current period.")
class BudgetStatusNode:
    """A status."""

    member: str | None = strawberry.field(description="The member; null for a budget that is not for each.")
    standing: Standing = strawberry.field(description="How it stands.")
    period_start: datetime = strawberry.field(description="First instant of the period.")
    period_end: datetime = strawberry.field(description="First instant after the period.")
    spent: Decimal = strawberry.field(description="What is spent: what `costs` answers for this filter and window.")
    limit: Decimal = strawberry.field(description="What may be spent, rollover included.")
    remaining: Decimal = strawberry.field(description="What is left; below zero when more was spent.")
    percent: float | None = strawberry.field(description="Spent in percent of the limit; null where the limit is 0.")
    rolled_over: Decimal = strawberry.field(description="What the period before has left of its amount.")
    unpriced_operations: BigInt = strawberry.field(description="Operations that `spent` leaves out: no price is known.")
    burn_rate: float | None = strawberry.field(
        description="Share of the limit spent over share of the period passed: above 1 it will not last."
    )
    pace: Decimal | None = strawberry.field(description="What an average day takes now. Null without a forecast.")
    forecast: BudgetForecast | None = strawberry.field(
        description="Null for rolling periods, until the slice has spent for seven complete days, and for members that "
        "will not spend half of their limit."
    )
    projected_breach_date: datetime | None = strawberry.field(
        description="When the limit is reached at this pace; null when it lasts, or is reached already."
    )
    evaluated_at: datetime = strawberry.field(description="As of when.")


@strawberry.type(description="What a budget spent in one period, all members together.")
class BudgetPast:
    """A period of the history."""

    start: datetime = strawberry.field(description="First instant of the period that counts.")
    end: datetime = strawberry.field(description="First instant after it.")
    spent: Decimal = strawberry.field(description="What was spent.")
    limit: Decimal | None = strawberry.field(description="The amount then; null for a budget that is for each.")


@strawberry.type(description="What was spent in one day or hour of the current period.")
class BudgetPoint:
    """A point of the sparkline."""

    start: datetime = strawberry.field(description="Its first instant.")
    spent: Decimal = strawberry.field(description="What was spent in it.")


@strawberry.type(description="A budget: what a slice of operations may use up in each period.")
class Budget:
    """A budget with its status."""

    id: strawberry.ID = strawberry.field(description="Its number.")
    version: int = strawberry.field(description="Counts its changes; a change names the version it is based on.")
    name: str = strawberry.field(description="By which people and files know it.")
    team: str | None = strawberry.field(description="The team that owns it.")
    where: str = strawberry.field(description="Which operations count, as JSON in the spelling of budgets.yaml.")
    measure: Measure = strawberry.field(description="What is counted.")
    period: BudgetPeriod = strawberry.field(description="When the amount is for.")
    amounts: list[BudgetAmount] = strawberry.field(description="The amounts per period, the first from the beginning.")
    thresholds: list[BudgetThreshold] = strawberry.field(description="When breaches open.")
    each: Grouping | None = strawberry.field(description="It is one budget for every value of this.")
    overrides: list[MemberAmount] = strawberry.field(description="Members with an amount of their own.")
    parent: str | None = strawberry.field(description="The name of the budget it is a part of.")
    warnings: list[str] = strawberry.field(description="What may not be meant, such as children beyond their parent.")
    mode: Mode = strawberry.field(description="What reaching the limit does.")
    channels: list[str] = strawberry.field(description="Channels that are told.")
    playbook: str | None = strawberry.field(description="What is to be done then.")
    rollover: bool = strawberry.field(description="Whether what a period leaves adds to the next one.")
    starts_at: datetime | None = strawberry.field(description="From when on events count.")
    ends_at: datetime | None = strawberry.field(description="From when on none counts any more.")
    contributors: Dimension | None = strawberry.field(description="By what a breach says who drove it.")
    muted_until: datetime | None = strawberry.field(description="Until when nobody is told.")
    created_at: datetime = strawberry.field(description="When it was created.")
    created_by: str = strawberry.field(description="The key that created it.")
    updated_at: datetime = strawberry.field(description="Since when these terms hold.")
    status: BudgetStatusNode | None = strawberry.field(
        description="How it stands; with `each`, its worst member. Null before it runs, and until it was evaluated."
    )
    members: list[BudgetStatusNode] = strawberry.field(
        description="With `each`: how members stand, the worst first, at most 100."
    )
    member_count: int = strawberry.field(description="How many members there are.")
    history: list[BudgetPast] = strawberry.field(description="This period and the eleven before it, oldest first.")
    series: list[BudgetPoint] = strawberry.field(
        description="The current period up to now by local day, or by hour where it is two days or less."
    )


def budget(definition: Definition, state: BudgetState | None, warnings: list[str], course: Course) -> Budget:
    """The budget in GraphQL's shape."""
    terms = definition.terms
    assert isinstance(terms, BudgetTerms)
    statuses = ranked(state) if state else []
    past, points = course
    return Budget(
        id=strawberry.ID(str(definition.id)),
        version=definition.version,
        name=terms.name,
        team=terms.team or None,
        where=filter_text(terms.where),
        measure=terms.measure,
        period=period(terms),
        amounts=[BudgetAmount(since=each.since, amount=each.amount) for each in terms.amounts],
        thresholds=[BudgetThreshold(percent=each.percent, basis=each.basis) for each in terms.thresholds],
        each=grouping(terms.each),
        overrides=[MemberAmount(member=each.member, amount=each.amount) for each in terms.overrides],
        parent=terms.parent or None,
        warnings=warnings,
        mode=terms.mode,
        channels=list(terms.channels),
        playbook=terms.playbook or None,
        rollover=terms.rollover,
        starts_at=terms.starts_at,
        ends_at=terms.ends_at,
        contributors=terms.contributors,
        muted_until=definition.muted_until,
        created_at=definition.created_at,
        created_by=definition.created_by,
        updated_at=definition.effective_from,
        status=status(statuses[0]) if statuses else None,
        members=[status(each) for each in statuses[:MEMBERS]] if terms.each else [],
        member_count=len(statuses) if terms.each else 0,
        history=[BudgetPast(start=p.period.start, end=p.period.end, spent=p.spent, limit=p.limit) for p in past],
        series=[BudgetPoint(start=p.start, spent=p.spent) for p in points],
    )


Course = tuple[list[Past], list[Point]]
"""The history and the series, empty where nobody asked."""


def period(terms: BudgetTerms) -> BudgetPeriod:
    """The period in GraphQL's shape."""
    when, fixed, rolls, calendar = terms.period, FixedPeriod, RollingPeriod, CalendarPeriod
    return BudgetPeriod(
        every=when.every if isinstance(when, calendar) else None,
        start=when.window.start if isinstance(when, fixed) else None,
        end=when.window.end if isinstance(when, fixed) else None,
        hours=when.hours if isinstance(when, rolls) else None,
        timezone=when.zone.key,
        week_start=when.week_start if isinstance(when, calendar) else None,
    )


def status(found: BudgetStatus) -> BudgetStatusNode:
    """The status in GraphQL's shape."""
    forecast = found.forecast
    return BudgetStatusNode(
        member=found.member,
        standing=standing(found),
        period_start=found.period.start,
        period_end=found.period.end,
        spent=found.spent,
        limit=found.limit,
        remaining=found.remaining,
        percent=None if found.percent is None else float(found.percent),
        rolled_over=found.rolled_over,
        unpriced_operations=BigInt(found.unpriced_operations),
        burn_rate=None if found.burn_rate is None else float(found.burn_rate),
        pace=forecast.pace if forecast else None,
        forecast=BudgetForecast(amount=forecast.amount, low=forecast.low, high=forecast.high) if forecast else None,
        projected_breach_date=forecast.reaches_limit_at if forecast else None,
        evaluated_at=found.evaluated_at,
    )


def standing(found: BudgetStatus) -> Standing:
    """How it stands, by its own thresholds."""
    if found.spent >= found.limit and found.spent:
        return Standing.BREACHED
    reached = {threshold.basis for threshold in found.terms.thresholds if found.reaches(threshold)}
    if Basis.ACTUAL in reached:
        return Standing.NEAR
    return Standing.FORECAST if reached else Standing.FINE


def ranked(state: BudgetState) -> list[BudgetStatus]:
    """The statuses, the worst first."""
    return sorted(state.statuses.values(), key=_badness)


def _badness(found: BudgetStatus) -> tuple[int, Decimal, str]:
    share = found.percent if found.percent is not None else (found.spent and Decimal("Infinity"))
    return list(Standing).index(standing(found)), -share, found.member or ""
