"""What the same tenants would have paid, and earned the seller, had their tier been defined otherwise."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from finance.profit.costs import Cell, read_tenants
from finance.profit.economics import Economics
from finance.profit.profitability import sum_of
from finance.profit.question import Question
from finance.revenue.amounts import Revenue
from finance.revenue.books import Books
from finance.revenue.contracts import Definition
from finance.revenue.earnings import Charged, charge
from finance.revenue.metering import Report
from tenants.terms import TierTerms
from tenants.tiers import NoSuchTier


@dataclass(frozen=True, slots=True)
class Simulated:
    """One tenant of the tier: what it was charged and cost, and what it would have been charged."""

    tenant_id: str
    before: Economics
    after: Economics

    @property
    def change(self) -> Decimal:
        """By how much the tenant would have paid more."""
        return _paid(self.after) - _paid(self.before)


@dataclass(frozen=True, slots=True)
class Simulation:
    """Tenant by tenant, those that would have paid most more first; and all of them together."""

    tenants: Sequence[Simulated]
    before: Economics
    after: Economics


def simulate(report: Report, books: Books, asked: Question, tier: str, terms: TierTerms) -> Simulation:
    """The tenants of the tier under its own terms, and under these from the beginning. Overrides stay in force.

    Both sides are modelled, also where actual revenue is known: like is compared with like. A definition with
    another billing period is prorated. Raises NoSuchTier.
    """
    definition = definition_of(books, tier)
    costs = read_tenants(report, asked)
    sides = (definition, definition.with_terms(terms))
    before, after = (_by_tenant(charge_tier(report, books, asked, side)) for side in sides)
    tenants = [
        Simulated(
            tenant,
            _economics(costs, tier, tenant, before.get(tenant)),
            _economics(costs, tier, tenant, after.get(tenant)),
        )
        for tenant in sorted({*before, *after, *(t for key, t in costs if key == tier)})
    ]
    tenants.sort(key=lambda each: -each.change)
    return Simulation(tenants, _sum([each.before for each in tenants]), _sum([each.after for each in tenants]))


def definition_of(books: Books, tier: str) -> Definition:
    """The tier's definition. Raises NoSuchTier."""
    if tier not in books.definitions:
        raise NoSuchTier(tier)
    return books.definitions[tier]


def charge_tier(report: Report, books: Books, asked: Question, definition: Definition) -> list[Charged]:
    """What the tenants that had the tier are charged by that definition of it."""
    contracts = [c for c in books.contracts if c.tier == definition.key and asked.covers(c.tenant_id, c.tier)]
    return charge(report, asked.scope, contracts, {definition.key: definition}, [asked.window])


def _by_tenant(charged: Sequence[Charged]) -> dict[str, Revenue]:
    sums: defaultdict[str, list[Revenue]] = defaultdict(list)
    for each in charged:
        sums[each.stretch.contract.tenant_id].append(Revenue.of_lines(each.lines))
    return {tenant: total for tenant, parts in sums.items() if (total := sum_of(parts))}


def _economics(costs: Mapping[tuple[str, str], Cell], tier: str, tenant: str, revenue: Revenue | None) -> Economics:
    cell = costs.get((tier, tenant))
    if cell is None:
        return Economics(revenue, Decimal(0))
    return Economics(revenue, cell.cost, cell.costs, unpriced=cell.unpriced)


def _sum(parts: Sequence[Economics]) -> Economics:
    costs: defaultdict[str, Decimal] = defaultdict(Decimal)
    for part in parts:
        for category, cost in part.costs.items():
            costs[category] += cost
    unpriced = sum(part.unpriced for part in parts)
    known = sum(costs.values(), Decimal(0)) if costs or not unpriced else None
    return Economics(sum_of(p.revenue for p in parts if p.revenue), known, dict(costs), unpriced=unpriced)


def _paid(economics: Economics) -> Decimal:
    return economics.revenue.total if economics.revenue else Decimal(0)
