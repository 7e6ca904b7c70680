"""`guardrails` with how they stand, and the mutations that make, change, mute and delete them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Annotated

import strawberry

from api.graphql.context import Context, Information
from api.graphql.inputs import CostFilter, GroupBy
from api.graphql.paging import PageInfo, check_page_size, decode_cursor, encode_cursor, fingerprint, page_info
from api.graphql.scalars import BigInt
from api.graphql.targets import Grouping, at_version, editable, filter_text, grouping, settable, visible
from api.graphql.user_errors import UserError, user_error
from attribution.measures import Measure
from attribution.query import EVERYTHING
from budgets.definition import GuardrailTerms, Severity, Side
from budgets.models import Kind
from budgets.status import GuardrailStatus
from budgets.targets import Definition
from core.errors import Conflict, InvalidInput, NotFound

MAX_PAGE = 1_000
MEMBERS = 100


@strawberry.input(description="A guardrail. A change replaces all of it.")
class GuardrailInput:
    """The terms of a guardrail."""

    name: str = strawberry.field(description="By which people and files know it; one guardrail each.")
    measure: Measure = strawberry.field(description="A rate, an average or a quantile.")
    bound: Decimal = strawberry.field(description="What the measure must not go beyond.")
    side: Side = strawberry.field(default=Side.ABOVE, description="On which side of the bound it is broken.")
    recovery: Decimal | None = strawberry.field(
        default=None, description="Up to where it must come back to be over. Default: the bound."
    )
    interval_minutes: int = strawberry.field(default=5, description="Over how many minutes it is measured.")
    in_a_row: int = strawberry.field(default=1, description="How many intervals in a row must be beyond the bound.")
    minimum_operations: int = strawberry.field(default=1, description="Intervals with fewer operations do not count.")
    settle_seconds: int = strawberry.field(
        default=30, description="How long after its end an interval is judged: what arrives later comes too late."
    )
    team: str = strawberry.field(default="", description="The team that owns it.")
    where: CostFilter | None = strawberry.field(default=None, description="Which operations count: as in `costs`.")
    each: GroupBy | None = strawberry.field(default=None, description="One guardrail for every value of this.")
    severity: Severity = strawberry.field(default=Severity.WARNING, description="How bad it is.")
    channels: list[str] = strawberry.field(default_factory=list, description="Channels that are told, by name.")
    playbook: str = strawberry.field(default="", description="A link to what is to be done then.")

    def terms(self) -> GuardrailTerms:
        """The terms meant. Raises InvalidTarget, and what filters raise."""
        return GuardrailTerms(
            name=self.name,
            measure=self.measure,
            side=self.side,
            bound=self.bound,
            recovery=self.recovery,
            interval_minutes=self.interval_minutes,
            in_a_row=self.in_a_row,
            minimum_operations=self.minimum_operations,
            settle_seconds=self.settle_seconds,
            team=self.team,
            where=self.where.filter() if self.where else EVERYTHING,
            each=self.each.attribute() if self.each else None,
            severity=self.severity,
            channels=tuple(self.channels),
            playbook=self.playbook,
        )


@strawberry.type(description="How a guardrail, or one member of it, stands in its newest interval that has settled.")
class GuardrailStatusNode:
    """A status."""

    member: str | None = strawberry.field(description="The member; null for a guardrail that is not for each.")
    broken: bool = strawberry.field(description="Whether it was beyond the bound for enough intervals in a row.")
    value: Decimal | None = strawberry.field(description="The measure; null where nothing happened.")
    operations: BigInt = strawberry.field(description="How many operations it is of.")
    beyond_in_a_row: int = strawberry.field(description="For how many intervals, up to this one, it was beyond.")
    interval_start: datetime = strawberry.field(description="First instant of the interval.")
    interval_end: datetime = strawberry.field(description="First instant after it.")
    evaluated_at: datetime = strawberry.field(description="As of when.")


@strawberry.type(description="A guardrail: a bound on a rate, an average or a quantile of a slice.")
class Guardrail:
    """A guardrail with its status."""

    id: strawberry.ID = strawberry.field(description="Its number.")
    version: int = strawberry.field(description="Counts its changes; a change names the version it is based on.")
    name: str = strawberry.field(description="By which people and files know it.")
    team: str | None = strawberry.field(description="The team that owns it.")
    where: str = strawberry.field(description="Which operations count, as JSON in the spelling of budgets.yaml.")
    measure: Measure = strawberry.field(description="What is measured.")
    side: Side = strawberry.field(description="On which side of the bound it is broken.")
    bound: Decimal = strawberry.field(description="What the measure must not go beyond.")
    recovery: Decimal = strawberry.field(description="Up to where it must come back to be over.")
    interval_minutes: int = strawberry.field(description="Over how many minutes it is measured.")
    in_a_row: int = strawberry.field(description="How many intervals in a row must be beyond the bound.")
    minimum_operations: int = strawberry.field(description="Intervals with fewer operations do not count.")
    settle_seconds: int = strawberry.field(description="How long after its end an interval is judged.")
    each: Grouping | None = strawberry.field(description="It is one guardrail for every value of this.")
    severity: Severity = strawberry.field(description="How bad it is.")
    channels: list[str] = strawberry.field(description="Channels that are told.")
    playbook: str | None = strawberry.field(description="What is to be done then.")
    muted_until: datetime | None = strawberry.field(description="Until when nobody is told.")
    created_at: datetime = strawberry.field(description="When it was created.")
    created_by: str = strawberry.field(description="The key that created it.")
    updated_at: datetime = strawberry.field(description="Since when these terms hold.")
    members: list[GuardrailStatusNode] = strawberry.field(
        description="How it stands, broken members first, at most 100; one without a member where it is not for each."
    )


@strawberry.type(description="Guardrails, oldest first.")
class GuardrailConnection:
    """A page of guardrails."""

    nodes: list[Guardrail] = strawberry.field(description="The guardrails of this page.")
    page_info: PageInfo = strawberry.field(description="Where this page stands.")


@strawberry.type(description="The guardrail as it is now, or why it is not.")
class GuardrailPayload:
    """The outcome of a mutation of a guardrail."""

    guardrail: Guardrail | None = strawberry.field(description="Null when nothing was done, or it is deleted.")
    errors: list[UserError] = strawberry.field(description="Empty when it was done.")


def _guardrail(definition: Definition, statuses: list[GuardrailStatus]) -> Guardrail:
    terms = definition.terms
    assert isinstance(terms, GuardrailTerms)
    ranked = sorted(statuses, key=lambda each: (not each.is_broken, each.member or ""))
    return Guardrail(
        id=strawberry.ID(str(definition.id)),
        version=definition.version,
        name=terms.name,
        team=terms.team or None,
        where=filter_text(terms.where),
        measure=terms.measure,
        side=terms.side,
        bound=terms.bound,
        recovery=terms.recovers_at,
        interval_minutes=terms.interval_minutes,
        in_a_row=terms.in_a_row,
        minimum_operations=terms.minimum_operations,
        settle_seconds=terms.settle_seconds,
        each=grouping(terms.each),
        severity=terms.severity,
        channels=list(terms.channels),
        playbook=terms.playbook or None,
        muted_until=definition.muted_until,
        created_at=definition.created_at,
        created_by=definition.created_by,
        updated_at=definition.effective_from,
        members=[_status(each) for each in ranked[:MEMBERS]],
    )


def _status(found: GuardrailStatus) -> GuardrailStatusNode:
    return GuardrailStatusNode(
        member=found.member,
        broken=found.is_broken,
        value=found.value,
        operations=BigInt(found.operations),
        beyond_in_a_row=found.beyond_in_a_row,
        interval_start=found.interval.start,
        interval_end=found.interval.end,
        evaluated_at=found.evaluated_at,
    )


async def guardrails(
    info: Information,
    team: Annotated[str | None, strawberry.argument(description="Only those this team owns.")] = None,
    name: Annotated[str | None, strawberry.argument(description="Only the one of this name.")] = None,
    first: Annotated[int, strawberry.argument(description="Guardrails per page.")] = 100,
    after: Annotated[str | None, strawberry.argument(description="endCursor of the previous page.")] = None,
) -> GuardrailConnection | None:
    """Guardrails and how they stand, as of the last evaluation."""
    context, question = info.context, fingerprint("guardrails", team, name)
    scope, size = context.scope(), check_page_size(first, MAX_PAGE)
    last = decode_cursor(after, question, int)[0] if after is not None else 0
    seen = await context.services.read(visible, context, Kind.GUARDRAIL, scope)
    wanted = [g for g in seen if team in {None, g.terms.team} and name in {None, g.terms.name} and g.id > last]
    cursors = [encode_cursor(question, each.id) for each in wanted[:size]]
    return GuardrailConnection(
        nodes=[_node(context, each) for each in wanted[:size]],
        page_info=page_info(cursors, has_next=len(wanted) > size, has_previous=after is not None),
    )


def _node(context: Context, definition: Definition) -> Guardrail:
    found = context.services.watch.live.snapshot.guardrails
    return _guardrail(definition, [status for (id_, _), status in found.items() if id_ == definition.id])


async def create_guardrail(
    info: Information,
    input: Annotated[GuardrailInput, strawberry.argument(description="The guardrail.")],  # noqa: A002
) -> GuardrailPayload | None:
    """Set a guardrail. It is judged from its next interval on."""

    def create(context: Context) -> Definition:
        terms = settable(context, input.terms())
        return context.services.watch.targets.create(terms, by=context.principal.name)

    return await _changed(info.context, create)


async def update_guardrail(
    info: Information,
    id: Annotated[strawberry.ID, strawberry.argument(description="The guardrail.")],  # noqa: A002
    version: Annotated[int, strawberry.argument(description="The version that the change is based on.")],
    input: Annotated[GuardrailInput, strawberry.argument(description="All of its new terms.")],  # noqa: A002
) -> GuardrailPayload | None:
    """Change a guardrail from now on, unless somebody else did since that version."""

    def update(context: Context) -> Definition:
        before = at_version(editable(context, Kind.GUARDRAIL, id), version)
        terms = settable(context, input.terms())
        return context.services.watch.targets.update(before, terms, by=context.principal.name)

    return await _changed(info.context, update)


async def delete_guardrail(
    info: Information,
    id: Annotated[strawberry.ID, strawberry.argument(description="The guardrail.")],  # noqa: A002
    version: Annotated[int, strawberry.argument(description="The version that was meant.")],
) -> GuardrailPayload | None:
    """Delete a guardrail, unless somebody changed it since that version. Its open breaches are withdrawn and kept."""

    def delete(context: Context) -> None:
        before = at_version(editable(context, Kind.GUARDRAIL, id), version)
        context.services.watch.targets.delete(before, by=context.principal.name)

    return await _changed(info.context, delete)


async def mute_guardrail(
    info: Information,
    id: Annotated[strawberry.ID, strawberry.argument(description="The guardrail.")],  # noqa: A002
    until: Annotated[datetime | None, strawberry.argument(description="Until when; null: not any more.")],
) -> GuardrailPayload | None:
    """Tell nobody of the guardrail's breaches for a while. They are recorded all the same."""

    def mute(context: Context) -> Definition:
        before = editable(context, Kind.GUARDRAIL, id)
        return context.services.watch.targets.mute(before, until, by=context.principal.name)

    return await _changed(info.context, mute)


async def _changed(context: Context, change: Callable[[Context], Definition | None]) -> GuardrailPayload:
    try:
        changed = await context.services.read(change, context)
    except (InvalidInput, Conflict, NotFound) as error:
        return GuardrailPayload(guardrail=None, errors=[user_error(error)])
    context.services.watch.evaluator.wake()
    return GuardrailPayload(guardrail=None if changed is None else _node(context, changed), errors=[])
