"""`budgets` with how they stand, and the mutations that make, change, mute and delete them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from typing import Annotated

import strawberry

from api.graphql.budget_inputs import BudgetInput
from api.graphql.budget_types import Budget, Course, Standing, budget, standing
from api.graphql.context import Context, Information
from api.graphql.costs import selected_names
from api.graphql.paging import PageInfo, check_page_size, decode_cursor, encode_cursor, fingerprint, page_info
from api.graphql.targets import at_version, editable, settable, visible
from api.graphql.user_errors import UserError, user_error
from budgets.definition import BudgetTerms
from budgets.evaluation import current_terms
from budgets.family import warnings
from budgets.history import past, past_slice, series, series_slice
from budgets.models import Kind
from budgets.spending import Plan
from budgets.status import BudgetState
from budgets.targets import Definition
from core.errors import Conflict, InvalidInput, NotFound

MAX_PAGE = 1_000
HISTORY_PERIODS = 12
_STANDING = frozenset({"status", "members", "memberCount"})
"""What needs members to be ranked, of which there may be many."""


@strawberry.type(description="Budgets, oldest first.")
class BudgetConnection:
    """A page of budgets."""

    nodes: list[Budget] = strawberry.field(description="The budgets of this page.")
    page_info: PageInfo = strawberry.field(description="Where this page stands.")
    total_count: int = strawberry.field(description="Budgets over all pages.")
    evaluated_at: datetime | None = strawberry.field(description="As of when they stand like this; null before that.")


@strawberry.type(description="The budget as it is now, or why it is not.")
class BudgetPayload:
    """The outcome of a mutation of a budget."""

    budget: Budget | None = strawberry.field(description="The budget; null when nothing was done, or it is deleted.")
    errors: list[UserError] = strawberry.field(description="Empty when it was done.")


async def budgets(
    info: Information,
    team: Annotated[str | None, strawberry.argument(description="Only those this team owns.")] = None,
    name: Annotated[str | None, strawberry.argument(description="Only the one of this name.")] = None,
    standing: Annotated[list[Standing] | None, strawberry.argument(description="Only those that stand so.")] = None,
    first: Annotated[int, strawberry.argument(description="Budgets per page.")] = 100,
    after: Annotated[str | None, strawberry.argument(description="endCursor of the previous page.")] = None,
) -> BudgetConnection | None:
    """Budgets and how they stand, as of the last evaluation, a few seconds ago at most."""
    context, question = info.context, fingerprint("budgets", team, name, standing)
    scope, size = context.scope(), check_page_size(first, MAX_PAGE)
    last = decode_cursor(after, question, int)[0] if after is not None else 0
    seen = await context.services.read(visible, context, Kind.BUDGET, scope)
    wanted = await context.services.read(_wanted, context, seen, team, name, standing)
    rest = [each for each in wanted if each.id > last]
    shown = rest[:size]
    nodes = await context.services.read(_nodes, context, shown, seen, set(selected_names(info.selected_fields)))
    cursors = [encode_cursor(question, each.id) for each in shown]
    snapshot = context.services.watch.live.snapshot
    return BudgetConnection(
        nodes=nodes,
        page_info=page_info(cursors, has_next=len(rest) > size, has_previous=after is not None),
        total_count=len(wanted),
        evaluated_at=snapshot.evaluated_at if snapshot.is_of_targets else None,
    )


def _wanted(
    context: Context,
    seen: Sequence[Definition],
    team: str | None,
    name: str | None,
    standings: Collection[Standing] | None,
) -> list[Definition]:
    return [each for each in seen if _is_wanted(context, each, team, name, standings)]


def _is_wanted(
    context: Context, each: Definition, team: str | None, name: str | None, standings: Collection[Standing] | None
) -> bool:
    if (team is not None and each.terms.team != team) or (name is not None and each.terms.name != name):
        return False
    if standings is None:
        return True
    state = state_of(context, each)
    return state is not None and any(standing(status) in standings for status in state.statuses.values())


def state_of(context: Context, definition: Definition) -> BudgetState | None:
    """How the budget stood under its present terms; None when that was not evaluated yet."""
    state = context.services.watch.live.snapshot.budgets.get(definition.id)
    return state if state and state.version == definition.version else None


def _nodes(
    context: Context, shown: Sequence[Definition], seen: Sequence[Definition], selected: Collection[str]
) -> list[Budget]:
    family = list(_terms(seen))
    courses = _courses(context, shown, selected) if {"history", "series"} & {*selected} else {}
    return [
        budget(
            each,
            state_of(context, each) if _STANDING & {*selected} else None,
            warnings(terms, family, context.now),
            courses.get(each.id, ([], [])),
        )
        for each, terms in zip(shown, _terms(shown), strict=True)
    ]


def _terms(definitions: Sequence[Definition]) -> Iterator[BudgetTerms]:
    for each in definitions:
        assert isinstance(each.terms, BudgetTerms)
        yield each.terms


def _courses(context: Context, shown: Sequence[Definition], selected: Collection[str]) -> dict[int, Course]:
    """The history and series of all budgets of a page: few statements, however many budgets."""
    services, now = context.services, context.now
    terms = current_terms(shown, now, services.watch.targets.as_of)
    pasts = [past_slice(term, HISTORY_PERIODS) for term in terms] if "history" in selected else []
    spending = Plan([*pasts, *map(series_slice, terms)]).answer(services.store.slices)
    versions = services.watch.targets.versions([each.id for each in shown]) if pasts else {}
    return {
        (id_ := term.definition.id): (
            past(term, HISTORY_PERIODS, spending, versions[id_], now) if pasts else [],
            series(term, spending, now),
        )
        for term in terms
    }


async def create_budget(
    info: Information,
    input: Annotated[BudgetInput, strawberry.argument(description="The budget.")],  # noqa: A002
) -> BudgetPayload | None:
    """Set a budget. It is evaluated at once, and then as long as it exists."""

    def create(context: Context) -> Definition:
        terms = settable(context, input.terms())
        return context.services.watch.targets.create(terms, by=context.principal.name)

    return await _changed(info.context, create)


async def update_budget(
    info: Information,
    id: Annotated[strawberry.ID, strawberry.argument(description="The budget.")],  # noqa: A002
    version: Annotated[int, strawberry.argument(description="The version that the change is based on.")],
    input: Annotated[BudgetInput, strawberry.argument(description="All of its new terms.")],  # noqa: A002
) -> BudgetPayload | None:
    """Change a budget from now on, unless somebody else did since that version."""

    def update(context: Context) -> Definition:
        before = at_version(editable(context, Kind.BUDGET, id), version)
        terms = settable(context, input.terms())
        return context.services.watch.targets.update(before, terms, by=context.principal.name)

    return await _changed(info.context, update)


async def delete_budget(
    info: Information,
    id: Annotated[strawberry.ID, strawberry.argument(description="The budget.")],  # noqa: A002
    version: Annotated[int, strawberry.argument(description="The version that was meant.")],
) -> BudgetPayload | None:
    """Delete a budget, unless somebody changed it since that version. Its open breaches are withdrawn and kept."""

    def delete(context: Context) -> None:
        before = at_version(editable(context, Kind.BUDGET, id), version)
        context.services.watch.targets.delete(before, by=context.principal.name)

    return await _changed(info.context, delete)


async def mute_budget(
    info: Information,
    id: Annotated[strawberry.ID, strawberry.argument(description="The budget.")],  # noqa: A002
    until: Annotated[datetime | None, strawberry.argument(description="Until when; null: not any more.")],
) -> BudgetPayload | None:
    """Tell nobody of the budget's breaches for a while. They are recorded all the same."""

    def mute(context: Context) -> Definition:
        before = editable(context, Kind.BUDGET, id)
        return context.services.watch.targets.mute(before, until, by=context.principal.name)

    return await _changed(info.context, mute)


async def _changed(context: Context, change: Callable[[Context], Definition | None]) -> BudgetPayload:
    """The outcome of a change, done in a reader thread; the evaluator then looks at it soon."""
    try:
        changed = await context.services.read(change, context)
    except (InvalidInput, Conflict, NotFound) as error:
        return BudgetPayload(budget=None, errors=[user_error(error)])
    context.services.watch.evaluator.wake()
    if changed is None:
        return BudgetPayload(budget=None, errors=[])
    seen = await context.services.read(visible, context, Kind.BUDGET, context.scope())
    return BudgetPayload(budget=_nodes(context, [changed], seen, _STANDING)[0], errors=[])
