"""Who makes money: revenue, all-in cost and margin of tenants, tiers, features or user segments.

Three statements at most, and one for each way in which tiers cut time: never one per tenant.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from attribution.event import UNATTRIBUTED
from core.time import Window
from finance.profit.costs import Cell, Cells, Member, read_cells, read_tenants, read_users
from finance.profit.economics import Economics
from finance.profit.question import By, Question
from finance.revenue.amounts import Revenue
from finance.revenue.books import Books
from finance.revenue.earnings import Earned, charge, earnings
from finance.revenue.metering import Report


@dataclass(frozen=True, slots=True)
class Below:
    """Of how many tenants with a known margin, how many keep less than the floor; of `unknown` it is not known."""

    below: int
    known: int
    unknown: int


@dataclass(frozen=True, slots=True)
class Row:
    """One member in one bucket."""

    member: Member
    bucket: Window
    economics: Economics
    below: Below | None = None


@dataclass(frozen=True, slots=True)
class Profitability:
    """Every row, in no particular order, and what they come to. `unallocated` is revenue of tiers without usage."""

    asked: Question
    rows: Sequence[Row]
    totals: Economics
    unallocated: Revenue | None
    below: Below | None


def profitability(
    report: Report, books: Books, asked: Question, *, floor_percent: Decimal | None = None
) -> Profitability:
    """The answer. With a floor, also how many tenants keep less of their revenue."""
    earned = read_earnings(report, books, asked)
    cells = read_cells(report, asked)
    revenue, unallocated = _allocated(earned, cells) if asked.by.is_allocated else (_own(earned, asked.by), None)
    users, all_users = _users(report, asked, cells)
    tenants = read_tenants(report, asked) if floor_percent is not None else {}
    tiers = _below(tenants, earned, floor_percent) if floor_percent is not None and asked.by is By.TIER else {}
    rows = [
        Row(key[0], key[1], _economics(cells.get(key), revenue.get(key), users.get(key, 0)), tiers.get(key[0]))
        for key in dict.fromkeys((*cells, *revenue))
    ]
    in_all = _below_in_all(tenants, earned, floor_percent) if floor_percent is not None else None
    return Profitability(asked, rows, _totals(rows, earned, all_users), unallocated, in_all)


def read_earnings(report: Report, books: Books, asked: Question) -> list[Earned]:
    """What was earned, as far as the question covers it."""
    buckets = [inside for _, inside in asked.buckets()]
    contracts = [each for each in books.contracts if asked.covers(each.tenant_id, each.tier)]
    charged = charge(report, asked.scope, contracts, books.definitions, buckets)
    found = earnings(charged, books.actuals, books.contracts, buckets)
    return [each for each in found if asked.covers(each.tenant_id, each.tier)]


_Revenues = dict[tuple[Member, Window], Revenue]


def _own(earned: Iterable[Earned], by: By) -> _Revenues:
    """What each tenant, or each tier, earned."""
    sums: _Revenues = {}
    for each in earned:
        key = (each.tenant_id if by is By.TENANT else each.tier) or None, each.bucket
        sums[key] = sums[key] + each.revenue if key in sums else each.revenue
    return sums


def _allocated(earned: Iterable[Earned], cells: Cells) -> tuple[_Revenues, Revenue | None]:
    """Each tier's revenue in each bucket, allocated to members in proportion to their weights in it; and the rest."""
    sums: _Revenues = {}
    rest: Revenue | None = None
    inside: defaultdict[Window, Cells] = defaultdict(dict)
    for key, cell in cells.items():
        inside[key[1]][key] = cell
    for (tier, bucket), revenue in _own(earned, By.TIER).items():
        slices = list(_slices(tier or "", inside[bucket]))
        if not slices:
            rest = rest + revenue if rest else revenue
        for key, begin, end in slices:
            part = revenue.slice(begin, end)
            sums[key] = sums[key] + part if key in sums else part
    return sums, rest


def _slices(tier: str, cells: Cells) -> Iterator[tuple[tuple[Member, Window], Fraction, Fraction]]:
    """From where to where each of one bucket's slices of the tier's revenue goes. They meet, so nothing is lost."""
    weights = {key: Fraction(cell.weights[tier]) for key, cell in cells.items()}
    total = sum((weight for weight in weights.values() if weight > 0), Fraction(0))
    reached = Fraction(0)
    for key in sorted((key for key in weights if weights[key] > 0), key=lambda key: (key[0] is None, key[0] or "")):
        yield key, reached / total, (reached + weights[key]) / total
        reached += weights[key]


def _users(report: Report, asked: Question, cells: Cells) -> tuple[Mapping[tuple[Member, Window], int], int]:
    if asked.by is not By.USER_SEGMENT:
        return read_users(report, asked)
    everyone = {user for cell in cells.values() for user in cell.users}
    return {key: len(cell.users) for key, cell in cells.items()}, len(everyone)


def _economics(cell: Cell | None, revenue: Revenue | None, users: int) -> Economics:
    if cell is None:
        return Economics(revenue, Decimal(0))
    return Economics(revenue, cell.cost, cell.costs, users, cell.unpriced)


def _totals(rows: Iterable[Row], earned: Iterable[Earned], users: int) -> Economics:
    costs: defaultdict[str, Decimal] = defaultdict(Decimal)
    unpriced = 0
    for row in rows:
        unpriced += row.economics.unpriced
        for category, cost in row.economics.costs.items():
            costs[category] += cost
    known = sum(costs.values(), Decimal(0)) if costs or not unpriced else None
    return Economics(sum_of(each.revenue for each in earned), known, dict(costs), users, unpriced)


def sum_of(revenues: Iterable[Revenue]) -> Revenue | None:
    """All of it together; None for none."""
    total: Revenue | None = None
    for revenue in revenues:
        total = revenue if total is None else total + revenue
    return total


def _below(
    costs: Mapping[tuple[str, str], Cell], earned: Iterable[Earned], floor_percent: Decimal
) -> dict[Member, Below]:
    """By tier, how many of its tenants keep less than the floor."""
    verdicts: defaultdict[Member, list[bool | None]] = defaultdict(list)
    for (tier, _), economics in _by_tenant(costs, earned).items():
        verdicts[tier or None].append(economics.is_below(floor_percent))
    return {tier: _counted(found) for tier, found in verdicts.items()}


def _below_in_all(costs: Mapping[tuple[str, str], Cell], earned: Iterable[Earned], floor_percent: Decimal) -> Below:
    """How many tenants keep less than the floor, of whatever tiers they were."""
    whole = [replace(each, tier="") for each in earned]
    merged: defaultdict[tuple[str, str], Cell] = defaultdict(Cell)
    for (_, tenant), cell in costs.items():
        merged["", tenant].add(cell)
    return _counted([each.is_below(floor_percent) for each in _by_tenant(merged, whole).values()])


def _by_tenant(costs: Mapping[tuple[str, str], Cell], earned: Iterable[Earned]) -> dict[tuple[str, str], Economics]:
    """Revenue against cost by tier and tenant, in the whole window; without what is nobody's."""
    revenue: dict[tuple[str, str], Revenue] = {}
    for each in earned:
        key = each.tier, each.tenant_id
        revenue[key] = revenue[key] + each.revenue if key in revenue else each.revenue
    keys = (key for key in dict.fromkeys((*costs, *revenue)) if key[1] != UNATTRIBUTED)
    return {key: _economics(costs.get(key), revenue.get(key), 0) for key in keys}


def _counted(verdicts: Sequence[bool | None]) -> Below:
    below, kept = verdicts.count(True), verdicts.count(False)
    return Below(below, below + kept, verdicts.count(None))
