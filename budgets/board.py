"""The budgets that are enforced, found by what an operation says about itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from attribution.query import UTC, Attribute, Tag, Value
from budgets.definition import BudgetTerms, Mode
from budgets.matching import CLOCKS, Facts, Matcher, matcher, reader_of
from budgets.shape import shape_of
from budgets.status import BudgetState, Snapshot


@dataclass(frozen=True, slots=True)
class Rule:
    """What stays the same of a budget between evaluations: which operations it selects, and whose they are."""

    selects: Matcher
    member: Callable[[Facts], Value] | None

    @classmethod
    def of(cls, terms: BudgetTerms) -> Rule:
        """The rule that the terms say."""
        zone = terms.period.zone
        return cls(matcher(terms.where, zone), None if terms.each is None else reader_of(terms.each, zone))


@dataclass(frozen=True, slots=True)
class Index:
    """Budgets by the one equality of theirs that fits the fewest operations; the few without any are `others`."""

    rules: Mapping[int, Rule] = field(default_factory=dict)
    by_value: Sequence[tuple[Callable[[Facts], Value], Mapping[Value, Sequence[int]]]] = ()
    others: Sequence[int] = ()

    @classmethod
    def of(cls, enforced: Mapping[int, BudgetTerms]) -> Index:
        """The index of these budgets."""
        found: defaultdict[Attribute, defaultdict[Value, list[int]]] = defaultdict(lambda: defaultdict(list))
        others = []
        for id_, terms in enforced.items():
            if (key := _key(terms)) is None:
                others.append(id_)
            else:
                for value in key[1]:
                    found[key[0]][value].append(id_)
        by_value = [(reader_of(attribute, UTC), dict(values)) for attribute, values in found.items()]
        return cls({id_: Rule.of(terms) for id_, terms in enforced.items()}, by_value, others)

    def candidates(self, facts: Facts) -> Iterator[int]:
        """Every budget that can match, and few others: a look-up for each attribute that budgets ask about."""
        for read, ids in self.by_value:
            yield from ids.get(read(facts), ())
        yield from self.others


@dataclass(frozen=True, slots=True)
class Board:
    """One snapshot and the index of its enforced budgets."""

    snapshot: Snapshot = field(default_factory=Snapshot)
    versions: Mapping[int, int] = field(default_factory=dict)
    index: Index = field(default_factory=Index)

    @classmethod
    def of(cls, snapshot: Snapshot, last: Board) -> Board:
        """The board of a snapshot. Most of the time its index is the last one's: budgets seldom change."""
        enforced = {id_: state for id_, state in snapshot.budgets.items() if state.terms.mode is Mode.ENFORCE}
        versions = {id_: state.version for id_, state in enforced.items()}
        if versions == last.versions:
            return replace(last, snapshot=snapshot)
        return cls(snapshot, versions, Index.of({id_: state.terms for id_, state in enforced.items()}))

    def matching(self, facts: Facts) -> Iterator[tuple[BudgetState, str | None]]:
        """Every enforced budget that selects the operation, and the member that it is of."""
        for id_ in self.index.candidates(facts):
            rule = self.index.rules[id_]
            if rule.selects(facts):
                state = self.snapshot.budgets[id_]
                if rule.member is None:
                    yield state, None
                elif (member := str(rule.member(facts))) and member not in state.unwatched:
                    yield state, member


def _key(terms: BudgetTerms) -> tuple[Attribute, frozenset[Value]] | None:
    """The equality that every match satisfies and that asks for the fewest values; None where there is none."""
    equal = shape_of(terms.where).equal
    usable = [(a, values) for a, values in equal.items() if isinstance(a, Tag) or a not in CLOCKS]
    return min(usable, key=lambda each: len(each[1]), default=None)
