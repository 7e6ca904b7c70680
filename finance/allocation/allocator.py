"""Allocating the shared charges of a month: who bears what, as rows that say from what and why.

For each charge that a rule takes there are rows that bear its parts, and one on the charge's own slice that takes off
what was shared out. They sum to zero, so that no total changes; what is not shared out stays where the charge is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from attribution.dimensions import Dimension
from attribution.event import UNATTRIBUTED, EventRow, Nano, Pico
from attribution.measures import Measure
from attribution.query import EVERYTHING, All, Condition, CostQuery, Filter, Operator, Page, Tag
from attribution.rows import RowQuery
from attribution.store import Store
from core.database import Database
from core.errors import InvalidInput
from core.money import from_pico, plain
from core.time import Window
from finance.allocation.rulebook import AllocationRules
from finance.allocation.rules import MEMBERS, Rule, Sharing, Weight, in_force, share_out, weights
from finance.allocation.shares import largest_remainder
from finance.bookings import MAX_ROWS, Book, Changes, TooManyRows, changes, digest, enter, in_storable_parts
from finance.month import Month
from tenants.audit import Action
from tenants.scope import Scope

SOURCE: Final = "allocation"
"""The `source` of rows that an allocation wrote."""

MAX_CHARGES: Final = 20_000
MAX_NAMED: Final = 200
"""Members that a query names: a filter is bounded, and the rule's own `basis` has to fit too."""
NO_RULE: Final = "no rule takes it"


class TooManyCharges(InvalidInput):
    """The month has more charges than are allocated at once."""

    code = "TOO_MANY_CHARGES"

    def __init__(self) -> None:
        super().__init__(f"a rule takes at most {MAX_CHARGES} charges of a month; narrow its filter")


@dataclass(frozen=True, slots=True)
class Borne:
    """What a member bears by a rule, over all charges."""

    rule: str
    member: str
    amount: Pico
    fraction: Decimal
    basis: Decimal


@dataclass(frozen=True, slots=True)
class Unallocated:
    """What is left of a charge that all share, and why."""

    event_id: str
    description: str
    amount: Pico
    reason: str


@dataclass(frozen=True, slots=True)
class Allocation:
    """A month's allocation: what charges came to, what members bear, what nobody does, and the rows this changes."""

    charged: Pico
    borne: Sequence[Borne]
    unallocated: Sequence[Unallocated]
    changes: Changes

    @property
    def allocated(self) -> Pico:
        """What members bear together."""
        return sum(part.amount for part in self.borne)


@dataclass(slots=True)
class _Plan:
    """A month's allocation while it is worked out."""

    period: str
    timezone: str
    rows: list[EventRow] = field(default_factory=list)
    borne: dict[tuple[str, str], Borne] = field(default_factory=dict)
    unallocated: list[Unallocated] = field(default_factory=list)
    charged: Pico = 0


class Allocator:
    """Runs the allocation rules of one deployment."""

    def __init__(self, store: Store, database: Database) -> None:
        self._store = store
        self._database = database
        self._rules = AllocationRules(database)

    def preview(self, month: Month, zone: ZoneInfo) -> Allocation:
        """What `run` would do now. Raises TooManyCharges, TooManyRows or Unavailable."""
        plan = self._plan(month, zone)
        found = changes(self._store, _book(month.window(zone)), plan.rows)
        return Allocation(plan.charged, list(plan.borne.values()), plan.unallocated, found)

    def run(self, month: Month, zone: ZoneInfo, *, by: str) -> Allocation:
        """What was done: afterwards the month is allocated as its charges, usage and rules say now.

        Repeating it changes nothing; after a change of any of them, rows are replaced and none is added twice. It is
        recorded. Raises TooManyCharges, TooManyRows or Unavailable.
        """
        with self._database.lock():
            done = self.preview(month, zone)
            book, details = _book(month.window(zone)), {"timezone": zone.key, "allocated": from_pico(done.allocated)}
            enter(self._store, self._database, book, done.changes, subject=str(month), by=by, details=details)
        return done

    def _plan(self, month: Month, zone: ZoneInfo) -> _Plan:
        plan, taken, window = _Plan(f"{month}", zone.key), set[tuple[str, str, date]](), month.window(zone)
        by_name = self._rules.by_name()
        for rule in sorted((v for versions in by_name.values() for v in versions), key=_rank):
            charges = [
                charge
                for charge in self._charges(window, rule.where)
                if _key(charge) not in taken and in_force(by_name[rule.name], charge.start_time) is rule
            ]
            if charges:
                parts = weights(rule, self._seen(window, rule))
                taken |= {_key(charge) for charge in charges}
                for charge in charges:
                    _allocate(plan, charge, rule, parts)
        for charge in self._charges(window, _SHARED):
            if _key(charge) not in taken:
                plan.charged += charge.effective_cost or 0
                plan.unallocated.append(_left(charge, charge.effective_cost or 0, NO_RULE))
        return plan

    def _charges(self, window: Window, where: Filter) -> Sequence[EventRow]:
        """The month's charges of that filter, but for those that are shares themselves."""
        query = RowQuery(Scope(), window, All((_CHARGES, where)), first=MAX_CHARGES + 1)
        rows = self._store.rows(query)
        if len(rows) > MAX_CHARGES:
            raise TooManyCharges
        return rows

    def _seen(self, window: Window, rule: Rule) -> Mapping[str, Decimal]:
        """What each member's usage comes to by the rule's measure; without one, who has any. Raises TooManyRows."""
        measure = rule.measure or Measure.OPERATIONS
        query = CostQuery(
            Scope(),
            window,
            (measure,),
            group_by=(rule.members,),
            where=All((_USAGE, rule.basis, _members(rule))),
            page=Page(first=MAX_ROWS),
        )
        report = self._store.report(query)
        if report.group_count > MAX_ROWS:
            raise TooManyRows
        found = zip(report.keys[0], report.measures[measure], strict=True)
        return {member: Decimal(value or 0) for member, value in found if member is not None}


def _members(rule: Rule) -> Filter:
    """The usage of those whom the rule names; of all where it names none, or more than fit a query."""
    if rule.only is None or len(rule.only) > MAX_NAMED:
        return EVERYTHING
    return Condition(rule.members, Operator.ANY_OF, rule.only)


def _kind(kind: str) -> Condition:
    return Condition(Dimension.KIND, Operator.ANY_OF, (kind,))


_USAGE: Final = _kind("usage")
"""What shares are taken by: never by shares, or running twice would share by the first run's."""
_CHARGES: Final = All((_kind("charge"), Condition(Dimension.SOURCE, Operator.NONE_OF, (SOURCE,))))
_SHARED: Final = Condition(Dimension.TENANT, Operator.ANY_OF, (UNATTRIBUTED,))


def _book(window: Window) -> Book:
    return Book(SOURCE, Action.RUN_ALLOCATION, window)


def _rank(rule: Rule) -> tuple[int, str, int]:
    return rule.priority, rule.name, rule.version


def _key(row: EventRow) -> tuple[str, str, date]:
    return row.tenant_id, row.event_id, row.start_time.date()


def _allocate(plan: _Plan, charge: EventRow, rule: Rule, parts: Sequence[Weight]) -> None:
    """Add to the plan what the rule makes of one charge. Raises TooManyRows."""
    cost = charge.effective_cost or 0
    sharing = share_out(cost, rule, parts)
    plan.charged += cost
    if sharing.rest:
        plan.unallocated.append(_left(charge, sharing.rest, sharing.reason))
    for share in sharing.shares:
        _bear(plan, rule, Borne(rule.method_id, share.member, share.amount, share.fraction, share.basis))
    plan.rows += _rows(plan, charge, rule, sharing)
    if len(plan.rows) > MAX_ROWS:
        raise TooManyRows


def _bear(plan: _Plan, rule: Rule, part: Borne) -> None:
    known = plan.borne.get((rule.method_id, part.member))
    amount = part.amount + (known.amount if known else 0)
    plan.borne[rule.method_id, part.member] = Borne(part.rule, part.member, amount, part.fraction, part.basis)


def _left(charge: EventRow, amount: Pico, reason: str) -> Unallocated:
    return Unallocated(charge.event_id, charge.charge_description, amount, reason)


def _rows(plan: _Plan, charge: EventRow, rule: Rule, sharing: Sharing) -> Iterator[EventRow]:
    """The shares, each on the charge's slice but for its member, and what is taken off the charge's own slice."""
    told = {"method": rule.method.value, "period": plan.period, "timezone": plan.timezone}
    if rule.measure is not None:
        told["measure"] = rule.measure.name
    quantities = _quantities(charge.quantity, sharing)
    for share, quantity in zip(sharing.shares, quantities, strict=True):
        said = told | {"part": "share", "share": plain(share.fraction), "basis": plain(share.basis)}
        yield from _derived(charge, rule, share.amount, quantity, said, member=share.member)
    shared = sum(share.amount for share in sharing.shares)
    if shared:
        yield from _derived(charge, rule, -shared, -sum(quantities), told | {"part": "offset"})


def _quantities(quantity: Nano, sharing: Sharing) -> Sequence[Nano]:
    """What each share bears of the charge's quantity: as much as of its amount."""
    weights = [abs(part) for part in (*(share.amount for share in sharing.shares), sharing.rest)]
    return largest_remainder(quantity, weights)[:-1] if any(weights) else []


def _derived(
    charge: EventRow, rule: Rule, amount: Pico, quantity: Nano, told: Mapping[str, str], member: str | None = None
) -> Iterator[EventRow]:
    """Rows of that amount, of which the first has the quantity."""
    for part, cost in enumerate(in_storable_parts(amount)):
        name = digest(_key(charge), rule.name, member, part)
        row = charge if member is None else _placed(charge, rule, member)
        yield row._replace(
            event_id=f"{SOURCE}:{name}",
            version=0,
            source=SOURCE,
            user_id="",
            quantity=0 if part else quantity,
            effective_cost=cost,
            reported_cost=None,
            cost_source="allocated",
            allocated_method_id=rule.method_id,
            allocated_method_details=json.dumps(told),
            allocated_resource_id=charge.event_id,
        )


def _placed(charge: EventRow, rule: Rule, member: str) -> EventRow:
    """The charge, as if it were the member's own."""
    if isinstance(rule.members, Tag):
        return charge._replace(tags=charge.tags | {rule.members.key: member})
    column: Any = {MEMBERS[rule.members]: member}
    return charge._replace(**column)
