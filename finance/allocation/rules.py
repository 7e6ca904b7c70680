"""Allocation rules as values: which charges, to whom, by what; and the shares that follow. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import Enum, unique
from typing import Final

from attribution.dimensions import Dimension
from attribution.event import UNATTRIBUTED, Pico
from attribution.measures import Measure
from attribution.query import EVERYTHING, Attribute, Filter, validate_filter
from core.errors import InvalidInput
from core.money import SCALE, quantize
from finance.allocation.shares import largest_remainder

MAX_MEMBERS: Final = 10_000
_NAME_LENGTH: Final = 100


@unique
class Method(Enum):
    """How a charge is shared out among members."""

    EQUAL = "equal"
    PROPORTIONAL = "proportional"
    FIXED = "fixed"


MEMBERS: Final[Mapping[Dimension, str]] = {
    Dimension.TENANT: "tenant_id",
    Dimension.TEAM: "team",
    Dimension.FEATURE: "feature",
    Dimension.SERVICE: "service_name",
    Dimension.ENVIRONMENT: "environment",
    Dimension.REGION: "region",
    Dimension.ENDPOINT: "endpoint",
    Dimension.PROVIDER_ACCOUNT: "provider_account",
}
"""What can receive a share, with the column that says so. No persons: an erased one would take its share away."""


class InvalidRule(InvalidInput):
    """A field of an allocation rule breaks a rule."""

    code = "INVALID_ALLOCATION_RULE"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field} is not usable: {message}")
        self.field = field


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One version of a rule, in force for charges from `effective_from` until the next version's.

    Of the rules whose `where` selects a charge, that of the lowest `priority` takes it; among equals, by name. `only`
    names the members, None means all that have usage in the period. `measure` is what PROPORTIONAL shares by, `basis`
    narrows the usage it is measured on; `shares` are FIXED's parts, of which what is missing to 1 stays unallocated.
    """

    name: str
    members: Attribute
    method: Method
    effective_from: datetime
    where: Filter = EVERYTHING
    measure: Measure | None = None
    only: tuple[str, ...] | None = None
    basis: Filter = EVERYTHING
    shares: Mapping[str, Decimal] = field(default_factory=dict)
    priority: int = 100
    version: int = 1
    retired: bool = False

    def __post_init__(self) -> None:
        if not self.name.strip() or len(self.name) > _NAME_LENGTH or "@" in self.name:
            raise InvalidRule("name", f"write 1 to {_NAME_LENGTH} characters without @")
        if isinstance(self.members, Dimension) and self.members not in MEMBERS:
            raise InvalidRule("members", f"use a tag, or one of {', '.join(d.name for d in MEMBERS)}")
        for part in (self.where, self.basis):
            validate_filter(part)
        _check_method(self)

    @property
    def method_id(self) -> str:
        """What allocated rows name."""
        return f"{self.name}@{self.version}"


def _check_method(rule: Rule) -> None:
    if (rule.method is Method.PROPORTIONAL) != (rule.measure is not None):
        raise InvalidRule("measure", "PROPORTIONAL needs one, and no other method takes one")
    if rule.measure is not None and not rule.measure.spec.additive:
        raise InvalidRule("measure", f"{rule.measure.name} is not additive: members' values do not sum to the whole")
    if (rule.method is Method.FIXED) != bool(rule.shares):
        raise InvalidRule("shares", "FIXED needs them, and no other method takes them")
    if rule.only is not None and (rule.method is Method.FIXED or not rule.only):
        raise InvalidRule("only", "name at least one member; FIXED names them in its shares")
    if max(len(rule.only or ()), len(rule.shares)) > MAX_MEMBERS:
        raise InvalidRule("members", f"name at most {MAX_MEMBERS}")
    if not all(part > 0 and quantize(part) == part for part in rule.shares.values()):
        raise InvalidRule("shares", f"each is above 0 and has at most {SCALE} decimals")
    if sum(rule.shares.values(), Decimal(0)) > 1:
        raise InvalidRule("shares", "together they are at most 1")
    for member in (*(rule.only or ()), *rule.shares):
        if not member or (rule.members is Dimension.TENANT and member == UNATTRIBUTED):
            raise InvalidRule("members", f"{member!r} is nobody")


@dataclass(frozen=True, slots=True)
class Weight:
    """A member's part in what shares are taken by: `basis` as people read it, `units` as whole numbers."""

    member: str
    units: int
    basis: Decimal


@dataclass(frozen=True, slots=True)
class Share:
    """What one member bears of one amount. `fraction` is its exact part, rounded to 12 decimals for people."""

    member: str
    amount: Pico
    fraction: Decimal
    basis: Decimal


@dataclass(frozen=True, slots=True)
class Sharing:
    """An amount shared out: the shares and `rest`, which nobody bears, sum to it exactly. `reason` explains a rest."""

    shares: Sequence[Share]
    rest: Pico
    reason: str = ""


def weights(rule: Rule, seen: Mapping[str, Decimal]) -> list[Weight]:
    """The members of a rule with their weights, by name; `seen` has a value for each member with usage in the period.

    Usage of nobody in particular, and values below zero, weigh nothing.
    """
    if rule.method is Method.FIXED:
        return _sorted(Weight(member, _units(part), part) for member, part in rule.shares.items())
    members = seen.keys() if rule.only is None else rule.only
    nobody = {"", UNATTRIBUTED} if rule.members is Dimension.TENANT else {""}
    if rule.method is Method.EQUAL:
        return _sorted(Weight(member, 1, Decimal(1)) for member in set(members) - nobody)
    found = ((member, max(Decimal(0), seen.get(member, Decimal(0)))) for member in set(members) - nobody)
    return _sorted(Weight(member, _units(value), value) for member, value in found if value)


def share_out(amount: Pico, rule: Rule, parts: Sequence[Weight]) -> Sharing:
    """The amount among those weights. Whatever FIXED leaves open, and all where nobody weighs anything, is the rest."""
    whole = _units(Decimal(1)) if rule.method is Method.FIXED else sum(part.units for part in parts)
    if not parts or not whole:
        return Sharing((), amount, "no member has any part in the measure")
    open_ = whole - sum(part.units for part in parts)
    amounts = largest_remainder(amount, [*(part.units for part in parts), open_])
    shares = [
        Share(part.member, share, quantize(Decimal(part.units) / whole), part.basis)
        for part, share in zip(parts, amounts, strict=False)
        if share
    ]
    return Sharing(shares, amounts[-1], "the rule's shares leave it open" if amounts[-1] else "")


def in_force(versions: Iterable[Rule], at: datetime) -> Rule | None:
    """The version that holds at `at`: the one effective last by then, of equals the later one; None when retired."""
    begun = [rule for rule in versions if rule.effective_from <= at]
    rule = max(begun, key=lambda r: (r.effective_from, r.version), default=None)
    return None if rule is None or rule.retired else rule


def _units(value: Decimal) -> int:
    return int(value.scaleb(SCALE))


def _sorted(parts: Iterable[Weight]) -> list[Weight]:
    return sorted(parts, key=lambda part: part.member)
