"""`breachOpened` and `budgetStatus`: told as it happens, over graphql-transport-ws, server-sent events or multipart."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Iterator
from contextlib import aclosing
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Final

import strawberry

from api.graphql.breaches import Breach, breach
from api.graphql.budget_types import MEMBERS, BudgetStatusNode, Standing, ranked, standing, status
from api.graphql.context import Information
from api.graphql.targets import number
from attribution.measures import Measure
from budgets.access import is_visible
from budgets.models import Kind
from budgets.status import BudgetState, Snapshot
from core.errors import InvalidInput
from tenants.scope import Scope

MAX_IDS: Final = 1_000


class TooManyBudgets(InvalidInput):
    """More budgets than one subscription watches by id."""

    code = "TOO_MANY_BUDGETS"

    def __init__(self) -> None:
        super().__init__(f"name at most {MAX_IDS:,} budgets, or none for all of them")


@strawberry.type(description="How a budget stands now that this has changed.")
class BudgetStatusUpdate:
    """An update."""

    id: strawberry.ID = strawberry.field(description="The budget.")
    name: str = strawberry.field(description="Its name.")
    team: str | None = strawberry.field(description="The team that owns it.")
    measure: Measure = strawberry.field(description="What is counted.")
    status: BudgetStatusNode | None = strawberry.field(
        description="How it stands; with `each`, its worst member. Null for `each` while there are no members."
    )
    members: list[BudgetStatusNode] = strawberry.field(
        description="With `each`: how members stand, the worst first, at most 100."
    )
    evaluated_at: datetime = strawberry.field(description="As of when.")


async def breach_opened(
    info: Information,
    kind: Annotated[Kind | None, strawberry.argument(description="Only those of budgets, or of guardrails.")] = None,
    team: Annotated[str | None, strawberry.argument(description="Only those of what this team owns.")] = None,
) -> AsyncGenerator[Breach, None]:
    """Every breach that opens from now on, or opens again, wherever it was found, within a second or two."""
    context = info.context
    context.scope()
    async with aclosing(context.services.watch.openings.listen()) as openings:
        async for row, definition in openings:
            scope = await context.scope_now()
            if (
                is_visible(definition.terms.where, scope)
                and kind in {None, definition.kind}
                and team in {None, definition.terms.team}
            ):
                yield breach(row, definition)


async def budget_status(
    info: Information,
    ids: Annotated[list[strawberry.ID] | None, strawberry.argument(description="Only these budgets.")] = None,
    team: Annotated[str | None, strawberry.argument(description="Only those this team owns.")] = None,
) -> AsyncGenerator[BudgetStatusUpdate, None]:
    """How budgets stand: each once at first, and then whenever what is spent of it, or its limit, has changed."""
    context = info.context
    context.scope()
    if ids is not None and len(ids) > MAX_IDS:
        raise TooManyBudgets
    wanted, told = None if ids is None else {number(id_) for id_ in ids}, dict[int, object]()
    async with aclosing(context.services.watch.snapshots.listen()) as snapshots:
        async for snapshot in snapshots:
            for state in _watched(snapshot, await context.scope_now(), wanted, team):
                if (essence := _essence(state)) != told.get(state.budget_id):
                    told[state.budget_id] = essence
                    yield _update(state, snapshot.evaluated_at)


def _watched(
    snapshot: Snapshot, scope: Scope, wanted: Collection[int] | None, team: str | None
) -> Iterator[BudgetState]:
    for id_, state in snapshot.budgets.items():
        is_wanted = (wanted is None or id_ in wanted) and team in {None, state.terms.team}
        if is_wanted and is_visible(state.terms.where, scope):
            yield state


def _essence(state: BudgetState) -> tuple[int, dict[str | None, tuple[Decimal, Decimal, datetime, Standing]]]:
    """What an update is worth telling for: forecasts move with every second."""
    return state.version, {
        member: (each.spent, each.limit, each.period.start, standing(each)) for member, each in state.statuses.items()
    }


def _update(state: BudgetState, evaluated_at: datetime) -> BudgetStatusUpdate:
    statuses = ranked(state)
    return BudgetStatusUpdate(
        id=strawberry.ID(str(state.budget_id)),
        name=state.terms.name,
        team=state.terms.team or None,
        measure=state.terms.measure,
        status=status(statuses[0]) if statuses else None,
        members=[status(each) for each in statuses[:MEMBERS]] if state.terms.each else [],
        evaluated_at=evaluated_at,
    )
