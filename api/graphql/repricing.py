"""`repricePreview` and `repriceEvents`: stored events at today's prices. For admins."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Final

import strawberry

from api.graphql.context import Context, Information
from api.graphql.scalars import BigInt
from core.money import from_pico
from ingest.repricing import Wanted
from ingest.tally import Change, Model, Tally
from tenants.principal import Permission

SECONDS_PER_CALL: Final = 15.0
"""How long one mutation goes on; the next one continues."""


@strawberry.input(description="Which events to rate again.")
class RepriceInput:
    """A time, and what narrows it."""

    since: datetime = strawberry.field(description="First instant of the events.")
    until: datetime | None = strawberry.field(default=None, description="First instant after them; default: until now.")
    model: str | None = strawberry.field(default=None, description="Only events of this model.")
    tenant: str | None = strawberry.field(default=None, description="Only this tenant's events.")


@strawberry.type(description="What changes in money. Sums are of known costs.")
class RepricedModel:
    """Before and after, for one model."""

    provider: str | None = strawberry.field(description="The provider, as sent.")
    model: str | None = strawberry.field(description="The model that answered, or the requested one.")
    events: BigInt = strawberry.field(description="Its events.")
    changed: BigInt = strawberry.field(description="Those whose money changes.")
    old_rated_cost: Decimal = strawberry.field(description="What the price book said they cost.")
    new_rated_cost: Decimal = strawberry.field(description="What it says today.")
    old_effective_cost: Decimal = strawberry.field(description="What they cost.")
    new_effective_cost: Decimal = strawberry.field(description="What they cost afterwards.")
    difference: Decimal = strawberry.field(description="By how much the effective cost changes.")
    old_unpriced: BigInt = strawberry.field(description="Events without a cost.")
    new_unpriced: BigInt = strawberry.field(description="Events without a cost afterwards.")


@strawberry.type(description="What a repricing comes to.")
class RepriceReport:
    """Models, and all of them together."""

    events: BigInt = strawberry.field(description="Events looked at.")
    changed: BigInt = strawberry.field(description="Those whose money changes.")
    difference: Decimal = strawberry.field(description="By how much the effective cost changes.")
    models: list[RepricedModel] = strawberry.field(description="By model, the largest difference first.")


@strawberry.type(description="How far a repricing came.")
class RepricePayload:
    """The outcome of repriceEvents."""

    finished: bool = strawberry.field(description="False: call again with the same input, and it goes on.")
    remaining_events: BigInt = strawberry.field(description="Events still to be looked at.")
    report: RepriceReport = strawberry.field(description="What was changed so far.")


def _report(tally: Tally) -> RepriceReport:
    total = tally.total
    return RepriceReport(
        events=BigInt(total.events),
        changed=BigInt(total.changed),
        difference=from_pico(total.difference),
        models=_models(tally.by_difference),
    )


def _models(changes: Sequence[tuple[Model, Change]]) -> list[RepricedModel]:
    return [
        RepricedModel(
            provider=model.provider_name or None,
            model=model.model or None,
            events=BigInt(change.events),
            changed=BigInt(change.changed),
            old_rated_cost=from_pico(change.old_rated),
            new_rated_cost=from_pico(change.new_rated),
            old_effective_cost=from_pico(change.old_effective),
            new_effective_cost=from_pico(change.new_effective),
            difference=from_pico(change.difference),
            old_unpriced=BigInt(change.old_unpriced),
            new_unpriced=BigInt(change.new_unpriced),
        )
        for model, change in changes
    ]


def _wanted(context: Context, asked: RepriceInput) -> Wanted:
    scope = context.scope(Permission.ADMIN)
    return Wanted(asked.since, asked.until, scope, model=asked.model, tenant_id=asked.tenant)


async def reprice_preview(
    info: Information,
    input: Annotated[RepriceInput, strawberry.argument(description="Which events.")],  # noqa: A002
) -> RepriceReport | None:
    """What would change if the stored events were rated again with today's prices. Changes nothing."""
    services, wanted = info.context.services, _wanted(info.context, input)
    seconds = services.settings.query_timeout_seconds
    return _report(await asyncio.to_thread(services.repricer.preview, wanted, seconds=seconds))


async def reprice_events(
    info: Information,
    input: Annotated[RepriceInput, strawberry.argument(description="Which events.")],  # noqa: A002
) -> RepricePayload | None:
    """Rate stored events again with today's prices, at the rates of their own time. Reported costs stay.

    A call works for some seconds: repeat it, with the same input, until it is finished. Look at repricePreview first.
    """
    context = info.context
    wanted = _wanted(context, input)
    outcome = await asyncio.to_thread(
        context.services.repricer.run, wanted, by=context.principal.name, seconds=SECONDS_PER_CALL
    )
    remaining = 0 if outcome.finished else max(0, outcome.events - outcome.tally.total.events)
    return RepricePayload(finished=outcome.finished, remaining_events=BigInt(remaining), report=_report(outcome.tally))
