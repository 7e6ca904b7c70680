"""`breachOpened` and `budgetStatus`: told as it happens, over graphql-transport-ws, server-sent events or multipart."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from datetime import datetime
from typing import Annotated, Final

import strawberry

from api.graphql.breaches import Breach, breach, visible_versions
from api.graphql.budget_types import MEMBERS, BudgetStatusNode, ranked, status
from api.graphql.context import Context, Information
from api.graphql.targets import number
from attribution.measures import Measure
from budgets.access import is_visible
from budgets.models import Breach as Row
from budgets.models import Kind
from budgets.status import BudgetState
from budgets.stream import Moment
from budgets.targets import Definition
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
            is_wanted = kind in {None, definition.kind} and team in {None, definition.terms.team}
            if is_wanted and await _shows(context, row, definition, scope):
                yield breach(row, definition)


async def _shows(context: Context, row: Row, definition: Definition, scope: Scope) -> bool:
    """Whether the target counts nothing outside of the scope, and did not when it was breached."""
    if not is_visible(definition.terms.where, scope):
        return False
    if scope.unrestricted or row.target_version == definition.version:
        return True
    versions = await context.services.read(visible_versions, context, [row.target_id], scope)
    return row.target_version in versions[row.target_id]


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
    wanted, told = None if ids is None else {number(id_) for id_ in ids}, dict[int, int]()
    async with aclosing(context.services.watch.snapshots.listen()) as moments:
        async for moment in moments:
            scope = await context.scope_now()
            for state in await context.services.read(_changed, moment, told, scope, wanted, team):
                told[state.budget_id] = moment.marks[state.budget_id]
                yield await context.services.read(_update, state, moment.snapshot.evaluated_at)


def _changed(
    moment: Moment, told: dict[int, int], scope: Scope, wanted: Collection[int] | None, team: str | None
) -> list[BudgetState]:
    """The budgets that are watched and stand otherwise than was told."""
    return [
        state
        for id_, state in moment.snapshot.budgets.items()
        if moment.marks[id_] != told.get(id_)
        and (wanted is None or id_ in wanted)
        and team in {None, state.terms.team}
        and is_visible(state.terms.where, scope)
    ]


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
