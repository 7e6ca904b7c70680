"""Who may see and change which targets: a key with a scope sees those that count nothing outside of it. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, TypeVar

from attribution.dimensions import Dimension
from attribution.query import All, Condition, Filter, Operator, Value
from budgets.definition import BudgetTerms, GuardrailTerms
from budgets.shape import shape_of
from core.errors import Forbidden
from tenants.keys import is_showable
from tenants.scope import Scope

T = TypeVar("T", BudgetTerms, GuardrailTerms)

_SIDES: Final = {"tenant": Dimension.TENANT, "team": Dimension.TEAM, "environment": Dimension.ENVIRONMENT}


class OutsideScope(Forbidden):
    """The key's scope does not cover that target."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"this key's scope does not cover it: {reason}")


def is_visible(where: Filter, scope: Scope) -> bool:
    """Whether everything that the filter selects lies within the scope, by what its outermost equalities say."""
    equal = shape_of(where).equal
    return all(equal.get(side) == frozenset[Value]({value}) for side, value in _limits(scope))


def scope_of(where: Filter) -> Scope:
    """The narrowest scope of a key that sees everything which the filter selects.

    A value that no key can be scoped to leaves its side open.
    """
    equal = shape_of(where).equal
    sides = {name: [str(value) for value in equal.get(side, ())] for name, side in _SIDES.items()}
    return Scope(**{name: values[0] for name, values in sides.items() if len(values) == 1 and is_showable(values[0])})


def is_own(team: str, scope: Scope) -> bool:
    """Whether a key with that scope may change what the team owns: editors of a team touch their own team's alone."""
    return scope.team is None or team == scope.team


def confined(terms: T, scope: Scope) -> T:
    """The terms as a key with that scope may set them: of its team, and counting nothing outside of the scope.

    Raises OutsideScope when they name another team or slice.
    """
    if scope.team is not None:
        if terms.team not in {"", scope.team}:
            raise OutsideScope(f"it may only set targets of team {scope.team!r}")
        terms = replace(terms, team=scope.team)
    if is_visible(terms.where, scope):
        return terms
    equal = shape_of(terms.where).equal
    missing: list[Condition] = []
    for side, value in _limits(scope):
        if side not in equal:
            missing.append(Condition(side, Operator.ANY_OF, (value,)))
        elif equal[side] != frozenset[Value]({value}):
            raise OutsideScope(f"it may only count {side.spec.name} {value!r}")
    return replace(terms, where=All((*missing, terms.where)) if terms.where != All(()) else _one(missing))


def _one(parts: list[Condition]) -> Filter:
    return parts[0] if len(parts) == 1 else All(tuple(parts))


def _limits(scope: Scope) -> list[tuple[Dimension, str]]:
    values = {name: getattr(scope, name) for name in _SIDES}
    return [(_SIDES[name], value) for name, value in values.items() if value is not None]
