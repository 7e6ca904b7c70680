"""The budgets that are enforced, found by what an operation says about itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from attribution.query import UTC, Attribute, Tag, Value
from budgets.definition import Mode
from budgets.matching import COMPUTED, Facts, value_of
from budgets.shape import shape_of
from budgets.status import BudgetState, Snapshot


@dataclass(frozen=True, slots=True)
class Board:
    """An index of one snapshot: finding what may match takes a look-up for each attribute that budgets ask about."""

    snapshot: Snapshot = field(default_factory=Snapshot)
    versions: Mapping[int, int] = field(default_factory=dict)
    by_value: Mapping[Attribute, Mapping[Value, Sequence[int]]] = field(default_factory=dict)
    others: Sequence[int] = ()

    @classmethod
    def of(cls, snapshot: Snapshot, last: Board) -> Board:
        """The board of a snapshot: most of the time the last one's index, since budgets seldom change."""
        enforced = {id_: state for id_, state in snapshot.budgets.items() if state.terms.mode is Mode.ENFORCE}
        versions = {id_: state.version for id_, state in enforced.items()}
        if versions == last.versions:
            return replace(last, snapshot=snapshot)
        by_value: defaultdict[Attribute, defaultdict[Value, list[int]]] = defaultdict(lambda: defaultdict(list))
        others = []
        for id_, state in enforced.items():
            if (key := _key(state)) is None:
                others.append(id_)
            else:
                for value in key[1]:
                    by_value[key[0]][value].append(id_)
        return cls(snapshot, versions, by_value, others)

    def candidates(self, facts: Facts) -> Iterator[BudgetState]:
        """Every enforced budget that can match, and few others."""
        for attribute, index in self.by_value.items():
            for id_ in index.get(value_of(attribute, facts, UTC), ()):
                yield self.snapshot.budgets[id_]
        for id_ in self.others:
            yield self.snapshot.budgets[id_]


def _key(state: BudgetState) -> tuple[Attribute, frozenset[Value]] | None:
    """The equality that every match satisfies and that asks for the fewest values; None where there is none."""
    equal = shape_of(state.terms.where).equal
    usable = [(a, values) for a, values in equal.items() if isinstance(a, Tag) or a not in COMPUTED]
    return min(usable, key=lambda each: len(each[1]), default=None)
