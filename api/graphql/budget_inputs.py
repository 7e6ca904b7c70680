"""What callers say of a budget, turned into its terms."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

import strawberry

import api.graphql.targets  # noqa: F401 - makes GraphQL enums of what the fields are
from api.graphql.inputs import Between, CostFilter, GroupBy
from attribution.dimensions import Dimension
from attribution.measures import Measure
from attribution.query import EVERYTHING
from budgets.definition import (
    DEFAULT_THRESHOLDS,
    AmountFrom,
    Basis,
    BudgetTerms,
    InvalidTarget,
    Mode,
    Override,
    Threshold,
)
from budgets.periods import CalendarPeriod, FixedPeriod, Period, RollingPeriod, Weekday
from core.time import Granularity, Window, parse_timezone


@strawberry.input(description="When the money is for: `every`, or `between`, or `hours`; exactly one of them.")
class BudgetPeriodInput:
    """A period."""

    every: Granularity | None = strawberry.field(
        default=None, description="Every calendar DAY, WEEK, MONTH, QUARTER or YEAR."
    )
    between: Between | None = strawberry.field(default=None, description="One window, and never again.")
    hours: int | None = strawberry.field(default=None, description="The last so many hours, at any time.")
    timezone: str = strawberry.field(default="UTC", description="IANA zone of days and periods.")
    week_start: Weekday = strawberry.field(default=Weekday.MONDAY, description="The day on which weeks begin.")

    def period(self) -> Period:
        """The period meant. Raises InvalidTarget or InvalidPeriod."""
        zone = parse_timezone(self.timezone)
        match self.every, self.between, self.hours:
            case Granularity() as every, None, None:
                return CalendarPeriod(every, zone, self.week_start)
            case None, Between() as between, None:
                return FixedPeriod(Window(between.start, between.end), zone)
            case None, None, int() as hours:
                return RollingPeriod(hours, zone)
        raise InvalidTarget("period", "give exactly one of `every`, `between` and `hours`")


@strawberry.input(description="Another amount, for the periods that start on a day or later.")
class BudgetAmountInput:
    """A later amount."""

    since: date = strawberry.field(description="The first local day of the first period it is for, or a day before.")
    amount: Decimal = strawberry.field(description="The amount per period; 0 means that nothing may be spent.")


@strawberry.input(description="A part of the limit at which a breach opens.")
class ThresholdInput:
    """A threshold."""

    percent: Decimal = strawberry.field(description="In percent of the limit.")
    basis: Basis = strawberry.field(default=Basis.ACTUAL, description="What is compared with it.")


@strawberry.input(description="A member's own amount.")
class MemberAmountInput:
    """An override."""

    member: str = strawberry.field(description="The value of the dimension or tag.")
    amount: Decimal | None = strawberry.field(
        default=None, description="Its amount per period; null: this member is not watched."
    )


@strawberry.input(description="A budget. A change replaces all of it.")
class BudgetInput:
    """The terms of a budget."""

    name: str = strawberry.field(description="By which people and files know it; one budget each.")
    period: BudgetPeriodInput = strawberry.field(description="When the amount is for.")
    amount: Decimal = strawberry.field(description="The amount per period; 0 means that nothing may be spent.")
    amounts: list[BudgetAmountInput] = strawberry.field(
        default_factory=list, description="Amounts that replace it later, in order."
    )
    team: str = strawberry.field(default="", description="The team that owns it.")
    where: CostFilter | None = strawberry.field(default=None, description="Which operations count: as in `costs`.")
    measure: Measure = strawberry.field(
        default=Measure.EFFECTIVE_COST, description="What is counted: any measure that adds up."
    )
    thresholds: list[ThresholdInput] | None = strawberry.field(
        default=None, description="Default: 80 and 100 percent of what is spent, 100 percent of the forecast."
    )
    each: GroupBy | None = strawberry.field(default=None, description="One budget for every value of this.")
    overrides: list[MemberAmountInput] = strawberry.field(
        default_factory=list, description="Members with an amount of their own."
    )
    parent: str = strawberry.field(default="", description="The name of the budget that this one is a part of.")
    mode: Mode = strawberry.field(default=Mode.NOTIFY, description="What reaching the limit does.")
    channels: list[str] = strawberry.field(default_factory=list, description="Channels that are told, by name.")
    playbook: str = strawberry.field(default="", description="A link to what is to be done then.")
    rollover: bool = strawberry.field(default=False, description="Whether what a period leaves adds to the next one.")
    starts_at: datetime | None = strawberry.field(default=None, description="From when on events count.")
    ends_at: datetime | None = strawberry.field(default=None, description="From when on none counts any more.")
    contributors: Dimension | None = strawberry.field(
        default=None, description="By what a breach says who drove it. Default: one that the filter leaves open."
    )

    def terms(self) -> BudgetTerms:
        """The terms meant. Raises InvalidTarget, and what periods and filters raise."""
        given = self.thresholds
        return BudgetTerms(
            name=self.name,
            period=self.period.period(),
            amounts=(AmountFrom(self.amount), *(AmountFrom(each.amount, each.since) for each in self.amounts)),
            team=self.team,
            where=self.where.filter() if self.where else EVERYTHING,
            measure=self.measure,
            thresholds=DEFAULT_THRESHOLDS if given is None else tuple(Threshold(t.percent, t.basis) for t in given),
            each=self.each.attribute() if self.each else None,
            overrides=tuple(Override(each.member, each.amount) for each in self.overrides),
            parent=self.parent,
            mode=self.mode,
            channels=tuple(self.channels),
            playbook=self.playbook,
            rollover=self.rollover,
            starts_at=self.starts_at,
            ends_at=self.ends_at,
            contributors=self.contributors,
        )
