"""The schema: one root field per question. What a field does is in the module of its noun."""

from __future__ import annotations

from collections.abc import Callable
from inspect import getdoc
from typing import Any, Final

import strawberry

from api.graphql import (
    allocations,
    audit,
    bills,
    breaches,
    budgets,
    channels,
    costs,
    dry_run,
    erasure,
    guardrails,
    notifications,
    operations,
    prices,
    profitability,
    reconciliation,
    rejected,
    repricing,
    revenue,
    simulation,
    statements,
    status,
    subscriptions,
    tenants,
    tier_charges,
    tiers,
    true_ups,
)
from api.graphql.engine import GuardedSchema, build_schema
from api.graphql.limits import Limits
from api.services import Services

LIMITS: Final = Limits(max_cost=200_000)
"""A page of 10,000 groups with their tags, and room beside it."""


def _field(resolver: Callable[..., Any]) -> Any:
    """The resolver as a field that is described by its docstring."""
    return strawberry.field(resolver, description=getdoc(resolver))


def _subscription(resolver: Callable[..., Any]) -> Any:
    """The resolver as a subscription that is described by its docstring."""
    return strawberry.subscription(resolver, description=getdoc(resolver))


@strawberry.type(description="Every question that can be asked.")
class Query:
    """Root of reads."""

    costs = _field(costs.costs)
    events = _field(operations.events)
    request = _field(operations.request)
    dimension_values = _field(status.dimension_values)
    ingest_status = _field(status.ingest_status)
    prices = _field(prices.prices)
    rejected_events = _field(rejected.rejected_events)
    reprice_preview = _field(repricing.reprice_preview)
    statement = _field(statements.statement)
    statement_preview = _field(statements.statement_preview)
    statements = _field(statements.statements)
    audit_log = _field(audit.audit_log)
    budgets = _field(budgets.budgets)
    guardrails = _field(guardrails.guardrails)
    budget_dry_run = _field(dry_run.budget_dry_run)
    breaches = _field(breaches.breaches)
    channels = _field(channels.channels)
    notifications = _field(notifications.notifications)
    tenants = _field(tenants.tenants)
    tiers = _field(tiers.tiers)
    actual_revenue = _field(revenue.actual_revenue)
    profitability = _field(profitability.profitability_of)
    tier_charges = _field(tier_charges.tier_charges)
    tier_simulation = _field(simulation.tier_simulation)
    tier_suggestion = _field(simulation.tier_suggestion)
    allocation_rules = _field(allocations.allocation_rules)
    bill_lines = _field(bills.bill_lines)
    bills = _field(bills.bills)
    reconciliation = _field(reconciliation.reconciliation)


@strawberry.type(description="Everything that can be changed.")
class Mutation:
    """Root of writes."""

    add_price = _field(prices.add_price)
    reprice_events = _field(repricing.reprice_events)
    erase_user = _field(erasure.erase_user)
    redrive_events = _field(rejected.redrive_events)
    close_statements = _field(statements.close_statements)
    reopen_statement = _field(statements.reopen_statement)
    create_budget = _field(budgets.create_budget)
    update_budget = _field(budgets.update_budget)
    delete_budget = _field(budgets.delete_budget)
    mute_budget = _field(budgets.mute_budget)
    create_guardrail = _field(guardrails.create_guardrail)
    update_guardrail = _field(guardrails.update_guardrail)
    delete_guardrail = _field(guardrails.delete_guardrail)
    mute_guardrail = _field(guardrails.mute_guardrail)
    acknowledge_breach = _field(breaches.acknowledge_breach)
    create_channel = _field(channels.create_channel)
    rotate_channel_secret = _field(channels.rotate_channel_secret)
    delete_channel = _field(channels.delete_channel)
    test_channel = _field(channels.test_channel)
    retry_notifications = _field(notifications.retry_notifications)
    save_tenant = _field(tenants.save_tenant)
    assign_tier = _field(tenants.assign_tier)
    create_tier = _field(tiers.create_tier)
    update_tier = _field(tiers.update_tier)
    set_tier_terms = _field(tiers.set_tier_terms)
    set_allocation_rule = _field(allocations.set_allocation_rule)
    retire_allocation_rule = _field(allocations.retire_allocation_rule)
    run_allocation = _field(allocations.run_allocation)
    withdraw_revenue = _field(revenue.withdraw_revenue)
    remove_bill = _field(bills.remove_bill)
    true_up = _field(true_ups.true_up)


@strawberry.type(description="Everything that is told as it happens.")
class Subscription:
    """Root of subscriptions."""

    breach_opened = _subscription(subscriptions.breach_opened)
    budget_status = _subscription(subscriptions.budget_status)


def make_schema(*, introspection: bool = True) -> GuardedSchema:
    """The whole API."""
    return build_schema(Query, Mutation, Subscription, limits=LIMITS, introspection=introspection)


__all__ = ["LIMITS", "Mutation", "Query", "Services", "Subscription", "make_schema"]
