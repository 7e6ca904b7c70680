"""What a provider billed against what is attributed, cell by cell, and why the two differ. Pure.

A cell is a UTC day, a model, an account at the provider and a category of charge. Models and accounts are compared only
where both sides name them, for at least half of their money. Money is stored per operation and not per kind of token:
by kind of token, quantities are compared as they are, and the attributed money is derived from prices.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum, unique
from typing import Final, NamedTuple

from attribution.bill_lines import BilledSlice
from attribution.event import Pico
from core.money import to_pico

USAGE: Final = "usage"


@unique
class By(Enum):
    """What rows of a reconciliation can be told apart by; the value is the field of a place."""

    DAY = "day"
    MODEL = "model"
    ACCOUNT = "account"
    TOKEN_TYPE = "token_type"  # noqa: S105
    CATEGORY = "category"


@unique
class Cause(Enum):
    """Why what is billed and what is attributed differ."""

    WITHIN_TOLERANCE = "within_tolerance"
    LATE = "late"
    UNPRICED = "unpriced"
    MISSING_TRAFFIC = "missing_traffic"
    NOT_BILLED = "not_billed"
    PRICE_DIFFERENCE = "price_difference"
    UNDETERMINED = "undetermined"
    CREDIT = "credit"
    TAX = "tax"
    FEE = "fee"
    CORRECTION = "correction"


_CAUSE_OF_CATEGORY: Final = {
    "credit": Cause.CREDIT,
    "tax": Cause.TAX,
    "purchase": Cause.FEE,
    "adjustment": Cause.CORRECTION,
}


class Place(NamedTuple):
    """Where money stands. None is everything, or what is not compared."""

    day: date | None = None
    model: str | None = None
    account: str | None = None
    category: str | None = None
    token_type: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributed:
    """What events say of a place: usage by kind of token, a charge that was sent, or (`booked`) an earlier true-up.

    `cost` is in pico units; `tokens` and `parts` are tokens and derived cost by kind, '' for what has none.
    """

    day: date
    model: str
    name: str
    account: str
    category: str = USAGE
    cost: Pico = 0
    tokens: Mapping[str, int] = field(default_factory=dict)
    parts: Mapping[str, Pico] = field(default_factory=dict)
    operations: int = 0
    unpriced: int = 0
    booked: bool = False


@dataclass(frozen=True, slots=True)
class Tolerance:
    """When two amounts agree: within `percent` of the larger. `complete` are the days that are billed in full."""

    percent: Decimal
    complete: frozenset[date]

    def covers(self, one: Decimal | Pico, other: Decimal | Pico) -> bool:
        """Whether the two agree."""
        larger = max(abs(Decimal(one)), abs(Decimal(other)))
        return abs(Decimal(one) - Decimal(other)) * 100 <= self.percent * larger


@dataclass(slots=True)
class Cell:
    """What both sides say of one place. `name` is the model as events name it."""

    billed: Pico = 0
    attributed: Pico = 0
    booked: Pico = 0
    billed_tokens: Decimal | None = None
    attributed_tokens: int = 0
    operations: int = 0
    unpriced: int = 0
    lines: int = 0
    name: str = ""
    causes: dict[Cause, Pico] = field(default_factory=dict)

    @property
    def gap(self) -> Pico:
        """Billed beyond what is attributed, before any true-up."""
        return self.billed - self.attributed

    @property
    def difference(self) -> Pico:
        """Billed beyond all that is booked, true-ups included."""
        return self.gap - self.booked

    @property
    def cause(self) -> Cause:
        """What explains most of the gap."""
        return max(self.causes, key=lambda cause: abs(self.causes[cause]), default=Cause.WITHIN_TOLERANCE)

    def add(self, other: Cell) -> None:
        """Count the other cell in."""
        for name in ("billed", "attributed", "booked", "attributed_tokens", "operations", "unpriced", "lines"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.name = max(self.name, other.name)
        if other.billed_tokens is not None:
            self.billed_tokens = (self.billed_tokens or Decimal(0)) + other.billed_tokens
        for cause, amount in other.causes.items():
            self.causes[cause] = self.causes.get(cause, 0) + amount


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both sides at the finest grain they share: cells, and cells by kind of token, for usage and all else alike."""

    compared: frozenset[By]
    cells: Mapping[Place, Cell]
    by_token: Mapping[Place, Cell]

    def rows(self, by: Iterable[By]) -> Mapping[Place, Cell]:
        """The cells summed over what is not asked for."""
        asked = set(by)
        kept = {member.value for member in asked}
        rows: defaultdict[Place, Cell] = defaultdict(Cell)
        for place, cell in (self.by_token if By.TOKEN_TYPE in asked else self.cells).items():
            rows[Place(*(value if name in kept else None for name, value in place._asdict().items()))].add(cell)
        return rows

    @property
    def total(self) -> Cell:
        """Everything."""
        return self.rows(()).get(Place()) or Cell()


def compare(billed: Sequence[BilledSlice], attributed: Sequence[Attributed], tolerance: Tolerance) -> Comparison:
    """Both sides cell by cell, each difference with its cause."""
    sides = (
        [(s.model_key, s.account, abs(s.cost)) for s in billed if s.charge_category == USAGE],
        [(a.model, a.account, abs(Decimal(a.cost))) for a in attributed if a.category == USAGE and not a.booked],
    )
    models, accounts = (_both_name(sides, place) for place in (0, 1))
    grain = _Grain(models=models, accounts=accounts)
    cells = _cells(billed, attributed, lambda place: place._replace(token_type=None), grain)
    by_token = _cells(billed, attributed, lambda place: place, grain)
    for found in (cells, by_token):
        for place, cell in found.items():
            if cell.gap:
                unpriced = cells[place._replace(token_type=None)].unpriced
                cell.causes[_cause(place, cell, tolerance, unpriced=unpriced)] = cell.gap
    compared = {By.DAY, By.CATEGORY, By.TOKEN_TYPE} | ({By.MODEL} if models else set())
    return Comparison(frozenset(compared | ({By.ACCOUNT} if accounts else set())), cells, by_token)


@dataclass(frozen=True, slots=True)
class _Grain:
    """Which names are compared."""

    models: bool
    accounts: bool

    def place(self, day: date, model: str, account: str, category: str, token_type: str) -> Place:
        return Place(day, model if self.models else None, account if self.accounts else None, category, token_type)


def _both_name(sides: Sequence[Sequence[tuple[str, str, Decimal]]], index: int) -> bool:
    """Whether each side that has any money names that for at least half of it."""
    for side in sides:
        named = [slice_[2] for slice_ in side if slice_[index]]
        if side and (not named or sum(named) * 2 < sum(slice_[2] for slice_ in side)):
            return False
    return True


def _cells(
    billed: Sequence[BilledSlice],
    attributed: Sequence[Attributed],
    placed: Callable[[Place], Place],
    grain: _Grain,
) -> Mapping[Place, Cell]:
    cells: defaultdict[Place, Cell] = defaultdict(Cell)
    for one in billed:
        category = "adjustment" if one.charge_class == "correction" else one.charge_category
        place = grain.place(one.day, one.model_key, one.account, category, one.token_type)
        tokens = one.quantity if one.token_type else None
        cells[placed(place)].add(Cell(billed=to_pico(one.cost), billed_tokens=tokens, lines=one.lines))
    for event in attributed:
        for token_type, cell in _by_token(event):
            place = grain.place(event.day, event.model, event.account, event.category, token_type)
            cells[placed(place)].add(cell)
    return cells


def _by_token(event: Attributed) -> Iterable[tuple[str, Cell]]:
    """What the event slice says, by kind of token; what is no kind's is under ''."""
    if event.booked:
        return [("", Cell(booked=event.cost))]
    rest = event.cost - sum(event.parts.values())
    kinds = [
        (kind, Cell(attributed=event.parts.get(kind, 0), attributed_tokens=event.tokens.get(kind, 0), name=event.name))
        for kind in {*event.parts, *event.tokens}
    ]
    counted = Cell(attributed=rest, operations=event.operations, unpriced=event.unpriced, name=event.name)
    return [*kinds, ("", counted)]


def _cause(place: Place, cell: Cell, tolerance: Tolerance, *, unpriced: int) -> Cause:
    """Why this cell's two sides differ; `unpriced` of its operations have no cost, whatever the kind of token."""
    if place.category in _CAUSE_OF_CATEGORY:
        return _CAUSE_OF_CATEGORY[place.category]
    if tolerance.covers(cell.billed, cell.attributed):
        return Cause.WITHIN_TOLERANCE
    return _too_little(cell, tolerance, unpriced=unpriced) if cell.gap > 0 else _too_much(place, cell, tolerance)


def _too_little(cell: Cell, tolerance: Tolerance, *, unpriced: int) -> Cause:
    """Why less is attributed than billed."""
    tokens = cell.billed_tokens
    if tokens is None:
        if unpriced:
            return Cause.UNPRICED
        return Cause.UNDETERMINED if cell.attributed or cell.attributed_tokens else Cause.MISSING_TRAFFIC
    if tokens > cell.attributed_tokens and not tolerance.covers(tokens, cell.attributed_tokens):
        return Cause.MISSING_TRAFFIC
    return Cause.UNPRICED if unpriced else Cause.PRICE_DIFFERENCE


def _too_much(place: Place, cell: Cell, tolerance: Tolerance) -> Cause:
    """Why more is attributed than billed."""
    if place.day not in tolerance.complete:
        return Cause.LATE
    tokens = cell.billed_tokens
    if tokens is None:
        return Cause.UNDETERMINED if cell.billed else Cause.NOT_BILLED
    if tokens < cell.attributed_tokens and not tolerance.covers(tokens, cell.attributed_tokens):
        return Cause.NOT_BILLED
    return Cause.PRICE_DIFFERENCE


def complete_days(covered: Iterable[tuple[Iterable[date], date]], lateness_days: int) -> frozenset[date]:
    """Days that bills cover and that were over for more than `lateness_days` when they were imported.

    Given are each bill's days, and the date of its import.
    """
    late = timedelta(days=lateness_days)
    return frozenset(day for days, imported in covered for day in days if day + late < imported)
