"""The all-in cost of members by time bucket and cost category, and who was active: one statement each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from attribution.dimensions import Dimension
from attribution.measures import Measure
from attribution.query import CostQuery, Page
from attribution.report import CostReport
from core.time import Window
from finance.profit.question import By, Question
from finance.revenue.metering import MAX_ROWS, Report, whole_page

Member = str | None
"""A tenant, a tier, a feature or a user segment; None where operations do not say."""

POWER, REGULAR = "power", "regular"

_MEASURES = (Measure.EFFECTIVE_COST, Measure.UNPRICED_OPERATIONS, Measure.OPERATIONS, Measure.TOTAL_TOKENS)


@dataclass(slots=True)
class Cell:
    """The cost of one member in one bucket. `weights` are what each tier's revenue is allocated by."""

    costs: dict[str, Decimal] = field(default_factory=dict)
    unpriced: int = 0
    weights: defaultdict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    users: set[tuple[str, str]] = field(default_factory=set)

    @property
    def cost(self) -> Decimal | None:
        """What is known of it; nothing is spent where nothing happened, and unknown where nothing has a price."""
        return sum(self.costs.values(), Decimal(0)) if self.costs or not self.unpriced else None

    def add(self, other: Cell) -> None:
        """Take in the other one's costs."""
        self.unpriced += other.unpriced
        for category, cost in other.costs.items():
            self.costs[category] = self.costs.get(category, Decimal(0)) + cost


Cells = dict[tuple[Member, Window], Cell]


@dataclass(frozen=True, slots=True)
class _Line:
    """A group of the statement, its keys as text: empty where operations do not say."""

    keys: tuple[str, ...]
    bucket: Window
    category: str
    cost: Decimal | None
    unpriced: int
    weight: Decimal
    is_active: bool


def read_cells(report: Report, asked: Question) -> Cells:
    """The costs of every member in every bucket that has any."""
    lines = list(_lines(asked, report(_cost_query(asked))))
    members = _segments(lines, asked.power_percent) if asked.by is By.USER_SEGMENT else None
    cells: Cells = defaultdict(Cell)
    for line in lines:
        member = members[line.keys[1:]] if members is not None else line.keys[-1] or None
        _add(cells[member, line.bucket], line)
    return dict(cells)


def read_users(report: Report, asked: Question) -> tuple[dict[tuple[Member, Window], int], int]:
    """How many distinct users were active, by member and bucket, and in all."""
    query = CostQuery(
        asked.scope,
        asked.window,
        (Measure.ACTIVE_USERS,),
        asked.zone,
        asked.by.dimensions[-1:],
        asked.granularity,
        asked.where,
        page=Page(MAX_ROWS),
    )
    found = whole_page(report(query))
    buckets = _buckets(asked, found)
    counts = found.measures[Measure.ACTIVE_USERS]
    users = {(key, bucket): int(n) for key, bucket, n in zip(found.keys[0], buckets, counts, strict=True)}
    return users, int(found.totals[Measure.ACTIVE_USERS])


def read_tenants(report: Report, asked: Question) -> dict[tuple[str, str], Cell]:
    """The costs in the whole window by tier and tenant."""
    query = replace(_cost_query(asked), group_by=(Dimension.TIER, Dimension.TENANT, Dimension.COST_CATEGORY))
    whole = replace(asked, granularity=None)
    cells: dict[tuple[str, str], Cell] = defaultdict(Cell)
    for line in _lines(whole, report(replace(query, granularity=None, order_by=()))):
        _add(cells[line.keys[0], line.keys[1]], line)
    return dict(cells)


def _cost_query(asked: Question) -> CostQuery:
    return CostQuery(
        asked.scope,
        asked.window,
        _MEASURES,
        asked.zone,
        (*asked.by.dimensions, Dimension.COST_CATEGORY),
        asked.granularity,
        asked.where,
        page=Page(MAX_ROWS),
    )


def _buckets(asked: Question, found: CostReport) -> Iterable[Window]:
    """The bucket of each group, as far as it lies in the window."""
    inside = dict(asked.buckets())
    return [inside[whole] for whole in found.buckets] if asked.granularity else [asked.window] * found.size


def _lines(asked: Question, found: CostReport) -> Iterator[_Line]:
    *keys, categories = whole_page(found).keys
    measures = (found.measures[m] for m in (*_MEASURES, asked.allocate_by.value))
    texts = ([key or "" for key in column] for column in (*keys, categories))
    for row in zip(*texts, _buckets(asked, found), *measures, strict=True):
        *texts_of, category, bucket, cost, unpriced, operations, _, weight = row
        yield _Line(tuple(texts_of), bucket, category, cost, unpriced, Decimal(weight or 0), operations > 0)


def _add(cell: Cell, line: _Line) -> None:
    cell.unpriced += line.unpriced
    cell.weights[line.keys[0]] += line.weight
    if line.cost is not None:
        cell.costs[line.category] = cell.costs.get(line.category, Decimal(0)) + line.cost
    if len(line.keys) == len(By.USER_SEGMENT.dimensions) and line.keys[-1] and line.is_active:
        cell.users.add((line.keys[-2], line.keys[-1]))


def _segments(lines: Sequence[_Line], power_percent: Decimal) -> dict[tuple[str, ...], Member]:
    """The segment of every (tenant, user): the fewest users that make that part of the cost of all are power users."""
    costs: defaultdict[tuple[str, ...], Decimal] = defaultdict(Decimal)
    for line in lines:
        costs[line.keys[1:]] += line.cost or 0
    segments: dict[tuple[str, ...], Member] = {key: None for key in costs if not key[-1]}
    people = sorted((key for key in costs if key[-1]), key=lambda key: (-costs[key], key))
    wanted = sum((costs[key] for key in people), Decimal(0)) * power_percent / 100
    reached = Decimal(0)
    for key in people:
        segments[key] = POWER if reached < wanted else REGULAR
        reached += costs[key]
    return segments
