"""The schema: one root field per question. What a field does is in the module of its noun."""

from __future__ import annotations

from typing import Final

import strawberry

from api.graphql import audit, costs, erasure, operations, prices, rejected, repricing, status
from api.graphql.engine import GuardedSchema, build_schema
from api.graphql.limits import Limits
from api.services import Services

LIMITS: Final = Limits(max_cost=200_000)
"""A page of 10,000 groups with their tags, and room beside it."""


@strawberry.type(description="Every question that can be asked.")
class Query:
    """Root of reads."""

    costs = strawberry.field(costs.costs, description=costs.costs.__doc__)
    events = strawberry.field(operations.events, description=operations.events.__doc__)
    request = strawberry.field(operations.request, description=operations.request.__doc__)
    dimension_values = strawberry.field(status.dimension_values, description=status.dimension_values.__doc__)
    ingest_status = strawberry.field(status.ingest_status, description=status.ingest_status.__doc__)
    prices = strawberry.field(prices.prices, description=prices.prices.__doc__)
    rejected_events = strawberry.field(rejected.rejected_events, description=rejected.rejected_events.__doc__)
    reprice_preview = strawberry.field(repricing.reprice_preview, description=repricing.reprice_preview.__doc__)
    audit_log = strawberry.field(audit.audit_log, description=audit.audit_log.__doc__)


@strawberry.type(description="Everything that can be changed.")
class Mutation:
    """Root of writes."""

    add_price = strawberry.field(prices.add_price, description=prices.add_price.__doc__)
    reprice_events = strawberry.field(repricing.reprice_events, description=repricing.reprice_events.__doc__)
    erase_user = strawberry.field(erasure.erase_user, description=erasure.erase_user.__doc__)
    redrive_events = strawberry.field(rejected.redrive_events, description=rejected.redrive_events.__doc__)


def make_schema(*, introspection: bool = True) -> GuardedSchema:
    """The whole API."""
    return build_schema(Query, Mutation, limits=LIMITS, introspection=introspection)


__all__ = ["LIMITS", "Mutation", "Query", "Services", "make_schema"]
