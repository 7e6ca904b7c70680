"""`breaches` of budgets and guardrails, and taking one on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

import strawberry

from api.graphql.context import Context, Information
from api.graphql.naming import described_enum
from api.graphql.paging import PageInfo, check_page_size, decode_cursor, encode_cursor, fingerprint, page_info
from api.graphql.scalars import BigInt
from api.graphql.targets import number
from api.graphql.user_errors import UserError, user_error
from budgets.access import OutsideScope, is_own, is_visible
from budgets.breaches import MAX_NOTE, Asked, NoSuchBreach
from budgets.contributors import dimension_of
from budgets.definition import GuardrailTerms, InvalidTarget, Severity
from budgets.models import Breach as Row
from budgets.models import Kind, Resolution, State
from budgets.notices import threshold_text
from budgets.targets import Definition
from core.errors import Conflict, InvalidInput, NotFound
from tenants.principal import Permission
from tenants.scope import Scope

MAX_PAGE = 1_000

described_enum(
    State,
    "BreachState",
    "Where a breach stands.",
    {
        State.OPEN: "Nobody has taken it on yet.",
        State.ACKNOWLEDGED: "Somebody has taken it on.",
        State.RESOLVED: "It is over.",
    }.__getitem__,
)
described_enum(
    Resolution,
    "BreachResolution",
    "Why a breach is over.",
    {
        Resolution.PERIOD_OVER: "Its period ended.",
        Resolution.CORRECTED: "What was spent was corrected below the threshold, or more may be spent.",
        Resolution.RECOVERED: "What was measured has come back by itself.",
        Resolution.WITHDRAWN: "The budget or guardrail was deleted, or does not say so any more.",
    }.__getitem__,
)


@strawberry.type(description="Who drove a breach.")
class Contributor:
    """A value of the dimension."""

    name: str | None = strawberry.field(description="The value; null for operations that do not say.")
    value: Decimal = strawberry.field(description="Its part of what is counted; for guardrails, its operations.")


@strawberry.type(description="A threshold that was crossed: one for each budget or guardrail, member and period.")
class Breach:
    """A breach."""

    id: strawberry.ID = strawberry.field(description="Its number.")
    kind: Kind = strawberry.field(description="What was crossed.")
    target_id: strawberry.ID = strawberry.field(description="The id of the budget or guardrail.")
    name: str = strawberry.field(description="The name of the budget or guardrail.")
    team: str | None = strawberry.field(description="The team that owns it.")
    member: str | None = strawberry.field(description="The member; null where all count together.")
    threshold: str = strawberry.field(description="The threshold, for people.")
    severity: Severity | None = strawberry.field(description="How bad it is; null for budgets.")
    state: State = strawberry.field(description="Where it stands.")
    period_start: datetime = strawberry.field(description="First instant of the period, or of the intervals.")
    period_end: datetime = strawberry.field(description="First instant after it.")
    observed: Decimal = strawberry.field(description="What was spent, foreseen or measured when it opened.")
    bound: Decimal = strawberry.field(description="What it reached.")
    limit: Decimal | None = strawberry.field(description="The budget's whole limit then.")
    forecast: Decimal | None = strawberry.field(description="The forecast then.")
    operations: BigInt | None = strawberry.field(description="How many operations a guardrail's measure is of.")
    contributors_by: str = strawberry.field(description="The dimension that contributors are values of.")
    contributors: list[Contributor] = strawberry.field(description="Who drove it, at most three, the largest first.")
    opened_at: datetime = strawberry.field(description="When it opened, the last time.")
    openings: int = strawberry.field(description="How often it opened in this period.")
    acknowledged_at: datetime | None = strawberry.field(description="When it was taken on.")
    acknowledged_by: str | None = strawberry.field(description="By which key.")
    note: str | None = strawberry.field(description="What they said.")
    resolved_at: datetime | None = strawberry.field(description="When it was over.")
    resolution: Resolution | None = strawberry.field(description="Why it was over.")
    playbook: str | None = strawberry.field(description="What is to be done.")


@strawberry.type(description="Breaches, newest first.")
class BreachConnection:
    """A page of breaches."""

    nodes: list[Breach] = strawberry.field(description="The breaches of this page.")
    page_info: PageInfo = strawberry.field(description="Where this page stands.")


@strawberry.type(description="The breach as it is now, or why nothing was done.")
class BreachPayload:
    """The outcome of acknowledgeBreach."""

    breach: Breach | None = strawberry.field(description="The breach.")
    errors: list[UserError] = strawberry.field(description="Empty when it was done.")


def breach(row: Row, definition: Definition) -> Breach:
    """The breach in GraphQL's shape."""
    terms = definition.terms
    is_guardrail = isinstance(terms, GuardrailTerms)
    return Breach(
        id=strawberry.ID(str(row.id)),
        kind=definition.kind,
        target_id=strawberry.ID(str(row.target_id)),
        name=terms.name,
        team=terms.team or None,
        member=row.member or None,
        threshold=threshold_text(definition, row.threshold),
        severity=terms.severity if isinstance(terms, GuardrailTerms) else None,
        state=State(row.state),
        period_start=row.period_start,
        period_end=row.period_end,
        observed=row.observed,
        bound=row.bound,
        limit=row.limit_amount,
        forecast=row.forecast,
        operations=BigInt(row.operations) if is_guardrail else None,
        contributors_by=dimension_of(terms).spec.name,
        contributors=[_contributor(each) for each in json.loads(row.contributors)],
        opened_at=row.opened_at,
        openings=row.openings,
        acknowledged_at=row.acknowledged_at,
        acknowledged_by=row.acknowledged_by,
        note=row.note,
        resolved_at=row.resolved_at,
        resolution=Resolution(row.resolution) if row.resolution else None,
        playbook=terms.playbook or None,
    )


def _contributor(each: Mapping[str, Any]) -> Contributor:
    return Contributor(name=each["name"] or None, value=Decimal(each["value"]))


async def breaches(
    info: Information,
    state: Annotated[list[State] | None, strawberry.argument(description="Only those that stand so.")] = None,
    kind: Annotated[Kind | None, strawberry.argument(description="Only those of budgets, or of guardrails.")] = None,
    target: Annotated[strawberry.ID | None, strawberry.argument(description="Only those of this one.")] = None,
    team: Annotated[str | None, strawberry.argument(description="Only those of what this team owns.")] = None,
    since: Annotated[datetime | None, strawberry.argument(description="Only those opened then or later.")] = None,
    first: Annotated[int, strawberry.argument(description="Breaches per page.")] = 100,
    after: Annotated[str | None, strawberry.argument(description="endCursor of the previous page.")] = None,
) -> BreachConnection | None:
    """The thresholds that were crossed, newest first, those of deleted budgets and guardrails too."""
    context, question = info.context, fingerprint("breaches", state, kind, target, team, since)
    size, scope = check_page_size(first, MAX_PAGE), context.scope()
    known = {each.id: each for each in await context.services.read(context.services.watch.targets.ever)}
    wanted = [
        id_
        for id_, each in known.items()
        if is_visible(each.terms.where, scope)
        and (kind is None or each.kind is kind)
        and (target is None or id_ == number(target))
        and (team is None or each.terms.team == team)
    ]
    targets = await context.services.read(visible_versions, context, wanted, scope)
    before = decode_cursor(after, question, int)[0] if after is not None else None
    asked = Asked(targets, state or (), since, first=size + 1, before=before)
    rows = await context.services.read(context.services.watch.breaches.find, asked)
    cursors = [encode_cursor(question, int(row.id or 0)) for row in rows[:size]]
    return BreachConnection(
        nodes=[breach(row, known[row.target_id]) for row in rows[:size]],
        page_info=page_info(cursors, has_next=len(rows) > size, has_previous=after is not None),
    )


def visible_versions(context: Context, ids: Sequence[int], scope: Scope) -> Mapping[int, Sequence[int]]:
    """The versions of the targets that counted nothing outside of the scope: it may have been another filter once."""
    if scope.unrestricted:
        return dict.fromkeys(ids, ())
    said = context.services.watch.targets.versions(ids)
    return {
        id_: [version for version, (_, terms) in enumerate(versions, 1) if is_visible(terms.where, scope)]
        for id_, versions in said.items()
    }


async def acknowledge_breach(
    info: Information,
    id: Annotated[strawberry.ID, strawberry.argument(description="The breach.")],  # noqa: A002
    note: Annotated[str, strawberry.argument(description="What is being done, for the others.")] = "",
) -> BreachPayload | None:
    """Take a breach on. It stays on record, and is over when what caused it is."""
    try:
        found = await info.context.services.read(_acknowledge, info.context, id, note)
    except (InvalidInput, NotFound, Conflict) as error:
        return BreachPayload(breach=None, errors=[user_error(error)])
    return BreachPayload(breach=found, errors=[])


def _acknowledge(context: Context, id_: str, note: str) -> Breach:
    scope, services = context.scope(Permission.EDIT), context.services
    if len(note) > MAX_NOTE:
        raise InvalidTarget("note", f"it has at most {MAX_NOTE:,} characters")
    row = services.watch.breaches.get(number(id_))
    definition = next(each for each in services.watch.targets.ever() if each.id == row.target_id)
    versions = visible_versions(context, [row.target_id], scope)[row.target_id]
    if not is_visible(definition.terms.where, scope) or (versions and row.target_version not in versions):
        raise NoSuchBreach(id_)
    if not is_own(definition.terms.team, scope):
        raise OutsideScope(f"it belongs to team {definition.terms.team!r}")
    return breach(services.watch.breaches.acknowledge(number(id_), note, by=context.principal.name), definition)
