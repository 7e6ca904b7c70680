"""`budgetDryRun`: what a budget would have done over the last weeks, before anybody sets it."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated

import strawberry

from api.graphql.budget_inputs import BudgetInput
from api.graphql.budget_types import BudgetThreshold
from api.graphql.context import Information
from api.graphql.user_errors import UserError, user_error
from budgets.access import confined
from budgets.definition import BudgetTerms
from budgets.replay import Replay, replay, replay_slice
from budgets.spending import Plan
from core.errors import Conflict, InvalidInput, NotFound

MAX_SHOWN = 1_000


@strawberry.type(description="A breach that would have opened.")
class DryRunBreach:
    """A breach that never was."""

    member: str | None = strawberry.field(description="The member; null where all count together.")
    threshold: BudgetThreshold = strawberry.field(description="The threshold.")
    at: datetime = strawberry.field(description="When, to the day; to the hour for rolling periods.")
    period_start: datetime = strawberry.field(description="First instant of the period.")
    period_end: datetime = strawberry.field(description="First instant after it.")
    observed: Decimal = strawberry.field(description="What was spent, or foreseen, by then.")
    limit: Decimal = strawberry.field(description="What may have been spent.")


@strawberry.type(description="What a period would have come to.")
class DryRunPeriod:
    """A period; of a rolling budget, the one in which most was spent."""

    member: str | None = strawberry.field(description="The member; null where all count together.")
    start: datetime = strawberry.field(description="First instant of the period.")
    end: datetime = strawberry.field(description="First instant after it.")
    spent: Decimal = strawberry.field(description="What was spent in it, so far where it still runs.")
    limit: Decimal = strawberry.field(description="What may have been spent.")
    percent: float | None = strawberry.field(description="Spent in percent of the limit; null where the limit is 0.")


@strawberry.type(description="What the budget would have done, or why it cannot be said.")
class DryRun:
    """The outcome of budgetDryRun."""

    breach_count: int = strawberry.field(description="How many breaches would have opened.")
    breaches: list[DryRunBreach] = strawberry.field(description="The first 1,000 of them, in order of time.")
    periods: list[DryRunPeriod] = strawberry.field(description="The first 1,000 periods.")
    member_count: int = strawberry.field(description="Members that spent anything; the 200 largest are replayed.")
    errors: list[UserError] = strawberry.field(description="Empty when the budget is usable.")


def _answer(found: Replay, terms: BudgetTerms) -> DryRun:
    return DryRun(
        breach_count=len(found.crossings),
        breaches=[
            DryRunBreach(
                member=each.member,
                threshold=BudgetThreshold(percent=each.threshold.percent, basis=each.threshold.basis),
                at=each.at,
                period_start=each.period.start,
                period_end=each.period.end,
                observed=each.observed,
                limit=each.limit,
            )
            for each in found.crossings[:MAX_SHOWN]
        ],
        periods=[
            DryRunPeriod(
                member=member,
                start=period.start,
                end=period.end,
                spent=spent,
                limit=limit,
                percent=float(spent * 100 / limit) if limit else None,
            )
            for member, period, spent, limit in found.periods[:MAX_SHOWN]
        ],
        member_count=found.members if terms.each else 0,
        errors=[],
    )


async def budget_dry_run(
    info: Information,
    input: Annotated[BudgetInput, strawberry.argument(description="The budget, as for createBudget.")],  # noqa: A002
    days: Annotated[int, strawberry.argument(description="How far back, at most 400 days.")] = 90,
) -> DryRun | None:
    """What would this budget have done over the last 90 days? Nothing is stored."""
    context = info.context
    scope = context.scope()
    try:
        terms = confined(input.terms(), scope)
        plan = Plan([replay_slice(terms, days, context.now)])
    except (InvalidInput, Conflict, NotFound) as error:
        return DryRun(breach_count=0, breaches=[], periods=[], member_count=0, errors=[user_error(error)])
    spending = await context.services.read(plan.answer, context.services.store.slices)
    return _answer(await context.services.read(replay, terms, days, context.now, spending), terms)
