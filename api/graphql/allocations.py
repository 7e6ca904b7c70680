"""Allocation rules and their runs: who bears the costs of all tenants. For finance keys without a scope."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated

import strawberry

from api.graphql.context import Context, Information
from api.graphql.inputs import CostFilter, GroupBy
from api.graphql.naming import described_enum
from api.graphql.scalars import BigInt
from api.graphql.user_errors import UserError, user_error
from attribution.filters import filter_document
from attribution.measures import Measure
from attribution.query import EVERYTHING
from core.errors import Conflict, InvalidInput, NotFound
from core.money import from_pico
from core.time import parse_timezone
from finance.allocation.allocator import Allocation
from finance.allocation.rulebook import AllocationRule, members_text
from finance.allocation.rules import Method, Rule
from finance.month import Month
from tenants.principal import Permission

_METHODS = {
    Method.EQUAL: "Every member the same.",
    Method.PROPORTIONAL: "By a measure of each member's usage in the period.",
    Method.FIXED: "By shares that the rule states; what they leave open stays unallocated.",
}
described_enum(Method, "AllocationMethod", "How a charge is shared out.", _METHODS.__getitem__)


@strawberry.type(description="A member's stated share.")
class FixedShare:
    """A part of FIXED."""

    member: str = strawberry.field(description="The member.")
    share: Decimal = strawberry.field(description="Its part: 0.25 is a quarter.")


@strawberry.input(description="A member's stated share.")
class FixedShareInput:
    """A part of FIXED."""

    member: str = strawberry.field(description="The member.")
    share: Decimal = strawberry.field(description="Its part: 0.25 is a quarter. All together are at most 1.")


@strawberry.type(name="AllocationRule", description="One version of a rule: which charges, to whom, by what.")
class AllocationRuleType:
    """A version of a rule."""

    name: str = strawberry.field(description="Its name; allocated rows name `name@version`.")
    version: int = strawberry.field(description="1 for the first.")
    effective_from: datetime = strawberry.field(description="First instant of the charges it holds for.")
    retired: bool = strawberry.field(description="True: from then on the rule takes no charge.")
    priority: int = strawberry.field(description="Of the rules that select a charge, the lowest takes it.")
    where: str = strawberry.field(description="Which charges, as JSON.")
    members: str = strawberry.field(description="Who bears: a dimension, or `tag:<key>`.")
    method: Method = strawberry.field(description="How it is shared out.")
    measure: Measure | None = strawberry.field(description="What PROPORTIONAL shares by.")
    only: list[str] | None = strawberry.field(description="The members; null: all with usage in the period.")
    basis: str = strawberry.field(description="Which usage counts for shares, as JSON.")
    shares: list[FixedShare] = strawberry.field(description="What FIXED says.")
    created_at: datetime = strawberry.field(description="When this version was added.")
    created_by: str = strawberry.field(description="The key that added it.")


@strawberry.input(description="A version of a rule to add.")
class SetAllocationRuleInput:
    """What the version says."""

    name: str = strawberry.field(description="The rule's name.")
    effective_from: datetime = strawberry.field(description="First instant of the charges it holds for.")
    members: GroupBy = strawberry.field(description="Who bears: a dimension of place, or a tag.")
    method: Method = strawberry.field(description="How it is shared out.")
    expected_version: int = strawberry.field(default=0, description="The newest version you know; 0: a new rule.")
    where: CostFilter | None = strawberry.field(default=None, description="Which charges; default: all of the period.")
    measure: Measure | None = strawberry.field(default=None, description="For PROPORTIONAL: an additive measure.")
    only: list[str] | None = strawberry.field(default=None, description="The members; default: all with usage.")
    basis: CostFilter | None = strawberry.field(default=None, description="Which usage counts; default: all.")
    shares: list[FixedShareInput] | None = strawberry.field(default=None, description="For FIXED.")
    priority: int = strawberry.field(default=100, description="The lowest of the rules that select a charge takes it.")


@strawberry.input(description="From when on a rule takes no charge.")
class RetireAllocationRuleInput:
    """The end of a rule."""

    name: str = strawberry.field(description="The rule's name.")
    effective_from: datetime = strawberry.field(description="First instant of the charges it no longer takes.")
    expected_version: int = strawberry.field(description="The newest version you know.")


@strawberry.type(description="The version that was added, or why none was.")
class AllocationRulePayload:
    """The outcome of a change."""

    rule: AllocationRuleType | None = strawberry.field(description="The new version.")
    errors: list[UserError] = strawberry.field(description="Empty when it was added.")


@strawberry.type(description="What one member bears by one rule.")
class AllocatedShare:
    """A member's shares of all charges."""

    rule: str = strawberry.field(description="The rule and its version: `name@version`.")
    member: str = strawberry.field(description="The member.")
    amount: Decimal = strawberry.field(description="What it bears.")
    share: Decimal = strawberry.field(description="Its part of each charge, to 12 decimals.")
    basis: Decimal = strawberry.field(description="Its value of the measure that shares are taken by.")


@strawberry.type(description="What nobody bears of a shared charge, and why.")
class UnallocatedCharge:
    """The rest of a charge."""

    event_id: str = strawberry.field(description="The charge.")
    description: str | None = strawberry.field(description="What it is for.")
    amount: Decimal = strawberry.field(description="What is left of it.")
    reason: str = strawberry.field(description="Why.")


@strawberry.type(description="A month's shared charges and who bears them. `charged` is `allocated` and `unallocated`.")
class AllocationReport:
    """An allocation, done or previewed."""

    period: str = strawberry.field(description="The month.")
    charged: Decimal = strawberry.field(description="What the charges come to that rules take or all tenants share.")
    allocated: Decimal = strawberry.field(description="What members bear.")
    unallocated: Decimal = strawberry.field(description="What nobody bears.")
    shares: list[AllocatedShare] = strawberry.field(description="By rule and member.")
    unallocated_charges: list[UnallocatedCharge] = strawberry.field(description="What is left, and why.")
    rows_written: BigInt = strawberry.field(description="Rows that are new or other than before.")
    rows_removed: BigInt = strawberry.field(description="Rows of an earlier run that are taken back.")
    rows_unchanged: BigInt = strawberry.field(description="Rows of an earlier run that stay.")


@strawberry.type(description="The allocation, or why there is none.")
class RunAllocationPayload:
    """The outcome of runAllocation."""

    report: AllocationReport | None = strawberry.field(description="What was done, or would be.")
    errors: list[UserError] = strawberry.field(description="Empty when it was done.")


def _rule_type(row: AllocationRule) -> AllocationRuleType:
    rule = row.rule
    return AllocationRuleType(
        name=rule.name,
        version=rule.version,
        effective_from=rule.effective_from,
        retired=rule.retired,
        priority=rule.priority,
        where=json.dumps(filter_document(rule.where)),
        members=members_text(rule.members),
        method=rule.method,
        measure=rule.measure,
        only=None if rule.only is None else list(rule.only),
        basis=json.dumps(filter_document(rule.basis)),
        shares=[FixedShare(member=member, share=part) for member, part in rule.shares.items()],
        created_at=row.created_at,
        created_by=row.created_by,
    )


def _rule(said: SetAllocationRuleInput) -> Rule:
    return Rule(
        name=said.name,
        effective_from=said.effective_from,
        members=said.members.attribute(),
        method=said.method,
        where=said.where.filter() if said.where else EVERYTHING,
        measure=said.measure,
        only=None if said.only is None else tuple(said.only),
        basis=said.basis.filter() if said.basis else EVERYTHING,
        shares={part.member: part.share for part in said.shares or ()},
        priority=said.priority,
    )


def _report(done: Allocation, month: Month) -> AllocationReport:
    found = done.changes
    return AllocationReport(
        period=str(month),
        charged=from_pico(done.charged),
        allocated=from_pico(done.allocated),
        unallocated=from_pico(done.charged - done.allocated),
        shares=[
            AllocatedShare(rule=b.rule, member=b.member, amount=from_pico(b.amount), share=b.fraction, basis=b.basis)
            for b in done.borne
        ],
        unallocated_charges=[
            UnallocatedCharge(
                event_id=left.event_id,
                description=left.description or None,
                amount=from_pico(left.amount),
                reason=left.reason,
            )
            for left in done.unallocated
        ],
        rows_written=BigInt(len(found.written)),
        rows_removed=BigInt(len(found.removed)),
        rows_unchanged=BigInt(found.unchanged),
    )


def _require(context: Context) -> None:
    context.scope(Permission.FINANCE).require_unrestricted("allocation rules")


async def allocation_rules(info: Information) -> list[AllocationRuleType] | None:
    """Every version of every allocation rule, by name, newest first. Empty for keys with a scope."""
    context = info.context
    if not context.scope(Permission.FINANCE).unrestricted:
        return []
    rows: Sequence[AllocationRule] = await context.services.read(context.services.money.allocation_rules.versions)
    return [_rule_type(row) for row in rows]


async def set_allocation_rule(
    info: Information,
    input: Annotated[SetAllocationRuleInput, strawberry.argument(description="The version.")],  # noqa: A002
) -> AllocationRulePayload | None:
    """Add a rule, or a version of one. What was allocated stays until the period is run again."""
    context = info.context
    _require(context)
    try:
        rules = context.services.money.allocation_rules
        row = await context.services.read(
            rules.set, _rule(input), expected_version=input.expected_version, by=context.principal.name
        )
    except (InvalidInput, Conflict) as error:
        return AllocationRulePayload(rule=None, errors=[user_error(error)])
    return AllocationRulePayload(rule=_rule_type(row), errors=[])


async def retire_allocation_rule(
    info: Information,
    input: Annotated[RetireAllocationRuleInput, strawberry.argument(description="Which, and from when.")],  # noqa: A002
) -> AllocationRulePayload | None:
    """End a rule for charges from an instant on. It is a version like others: one that takes no charge."""
    context = info.context
    _require(context)
    try:
        row = await context.services.read(
            context.services.money.allocation_rules.retire,
            input.name,
            effective_from=input.effective_from,
            expected_version=input.expected_version,
            by=context.principal.name,
        )
    except (InvalidInput, Conflict, NotFound) as error:
        return AllocationRulePayload(rule=None, errors=[user_error(error)])
    return AllocationRulePayload(rule=_rule_type(row), errors=[])


async def run_allocation(
    info: Information,
    period: Annotated[str, strawberry.argument(description="The month, such as 2026-10.")],
    timezone: Annotated[str, strawberry.argument(description="IANA zone whose month it is.")] = "UTC",
    dry_run: Annotated[bool, strawberry.argument(description="Only say who would bear what.")] = False,  # noqa: FBT002
) -> RunAllocationPayload | None:
    """Share out the month's charges as the rules say. Run again, it replaces: nothing is allocated twice."""
    context = info.context
    _require(context)
    allocator = context.services.money.allocator
    try:
        month, zone = Month.parse(period), parse_timezone(timezone)
        if dry_run:
            done = await context.services.read(allocator.preview, month, zone)
        else:
            done = await asyncio.to_thread(allocator.run, month, zone, by=context.principal.name)
    except (InvalidInput, Conflict) as error:
        return RunAllocationPayload(report=None, errors=[user_error(error)])
    return RunAllocationPayload(report=_report(done, month), errors=[])
