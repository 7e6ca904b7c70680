"""What slices have spent: few statements for any number of budgets, and each budget's sum out of their groups.

Budgets that look at the same window and whose filters differ only in the values of equalities share one statement; it
groups by the attributes of those equalities, and by `each`. Pure: a plan is made, the store is asked elsewhere.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from itertools import product
from math import prod
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from attribution.measures import Measure
from attribution.query import MAX_FILTER_BYTES, UTC, Attribute, Filter, Tag, conditions
from attribution.slices import Bucket, Group, Grouping, SliceQuery, Splitting
from budgets.shape import Shape, order_of, shape_of
from budgets.spans import Span, spans
from core.errors import Unavailable
from core.money import EXACT
from core.time import Granularity, Window
from tenants.scope import Scope

_logger = logging.getLogger("apportion.budgets")

_ALWAYS: Final = (Measure.UNPRICED_OPERATIONS, Measure.OPERATIONS)
_MAX_WANTED: Final = 5_000
_MAX_ATTRIBUTES: Final = 16
_MAX_GROUPINGS: Final = 64
"""Of one statement: what it takes to tell groupings apart grows with both, and with their product."""

Answer = Mapping[Grouping, list[Group]]
Ask = Callable[[SliceQuery], Answer]
"""The store's answer to a query."""


@dataclass(frozen=True, slots=True)
class Slice:
    """What one target asks: the sum of a measure over a window, a filter, and each member or all together."""

    window: Window
    where: Filter
    measure: Measure
    each: Attribute | None = None
    zone: ZoneInfo = UTC
    bucket: Granularity | timedelta | None = None

    def holds(self, bucket: Bucket) -> bool:
        """Whether a stretch of a span that starts then is a part of the window."""
        return self.bucket is not None or bucket is None or self.window.start <= bucket < self.window.end


class Sum(NamedTuple):
    """An amount, and how many operations it leaves out because nobody knows their cost."""

    amount: Decimal
    unpriced: int


NOTHING: Final = Sum(Decimal(0), 0)

Key = tuple[Window, ZoneInfo, Filter, Splitting]
"""What slices must share to be answered by the same statements: one, or a few where they group by many attributes."""


@dataclass(slots=True)
class _Asked:
    """The statements of one key in the making."""

    wanted: dict[Grouping, dict[Attribute, set[Any]]] = field(default_factory=dict)
    open: defaultdict[Grouping, set[Attribute]] = field(default_factory=lambda: defaultdict(set))
    measures: dict[Measure, None] = field(default_factory=dict)


class Plan:
    """The statements that answer for all of the slices, and where each slice finds its answer."""

    def __init__(self, slices: Iterable[Slice]) -> None:
        slices = list(slices)
        self._spans = spans(each.window for each in slices if each.bucket is None)
        self._shapes: dict[tuple[Filter, bool], Shape] = {}
        self._asked: defaultdict[Key, _Asked] = defaultdict(_Asked)
        for each in slices:
            self._add(each)
        self.queries = [
            (key, _query(key, asked, part)) for key, asked in self._asked.items() for part in _parts(asked.wanted)
        ]

    def _add(self, asked: Slice) -> None:
        shape, statement = self.shape(asked), self._asked[self.key(asked)]
        grouping = _grouping(shape, asked.each)
        wanted = statement.wanted.setdefault(grouping, {attribute: set() for attribute in grouping})
        for attribute in grouping:
            if attribute in shape.equal:
                wanted[attribute] |= shape.equal[attribute]
            else:
                statement.open[grouping].add(attribute)
        statement.measures |= {asked.measure: None}

    def shape(self, asked: Slice) -> Shape:
        """The shape of the slice's filter, worked out once."""
        name = (asked.where, asked.measure.spec.additive)
        if name not in self._shapes:
            self._shapes[name] = shape_of(asked.where, adds_up=asked.measure.spec.additive)
        return self._shapes[name]

    def key(self, asked: Slice) -> Key:
        """The statement that answers the slice. The zone matters only to what reads the clock."""
        reads_clock = asked.bucket is not None or any(_is_local(c.attribute) for c in conditions(asked.where))
        zone, rest = asked.zone if reads_clock else UTC, self.shape(asked).rest
        if asked.bucket is not None:
            return asked.window, zone, rest, asked.bucket
        span = self._spans.get(asked.window, Span(asked.window))
        return span.window, zone, rest, span.cuts or None

    def place(self, asked: Slice) -> tuple[Key, Grouping]:
        """Where the slice finds its groups."""
        return self.key(asked), _grouping(self.shape(asked), asked.each)

    def measures(self, key: Key) -> tuple[Measure, ...]:
        """What all statements of the key measure."""
        return _measures(self._asked[key])

    def answer(self, ask: Ask) -> Spending:
        """What the store says to every statement of the plan, one after the other."""
        return Spending(self, _places((key, ask(query)) for key, query in self.queries))

    def answer_what_can_be(self, ask: Ask) -> Spending:
        """The same without the statements that go wrong: one must not stop all others. Raises Unavailable."""
        return Spending(self, _places(self._possible(ask)))

    def _possible(self, ask: Ask) -> Iterator[tuple[Key, Answer]]:
        for key, query in self.queries:
            try:
                answer = ask(query)
            except Unavailable:
                raise
            except Exception as error:  # noqa: BLE001 - a driver's or the server's: it concerns this statement alone
                _logger.warning("budgets over %s to %s are not evaluated now: %s", key[0].start, key[0].end, error)
            else:
                yield key, answer


Places = Mapping[tuple[Key, Grouping], list[Group]]
"""The groups of every grouping of every key."""


def _places(answers: Iterable[tuple[Key, Answer]]) -> Places:
    return {(key, grouping): groups for key, answer in answers for grouping, groups in answer.items()}


class Spending:
    """The groups of all statements, and the sums of slices over them."""

    def __init__(self, plan: Plan, groups: Places) -> None:
        self._plan = plan
        self._groups = groups
        self._indexes: dict[tuple[Key, Grouping, Attribute | None], dict[Any, list[tuple[str | None, Group]]]] = {}

    def knows(self, asked: Slice) -> bool:
        """Whether the store has answered."""
        return self._plan.place(asked) in self._groups

    def of(self, asked: Slice) -> dict[str | None, Sum]:
        """The slice's sum under None; with `each`, the sum of each member that has events."""
        sums: dict[str | None, Sum] = {} if asked.each else {None: NOTHING}
        for member, _, values in self._members(asked):
            sums[member] = _add(sums.get(member, NOTHING), values)
        return sums

    def by_bucket(self, asked: Slice) -> dict[tuple[str | None, Bucket], Sum]:
        """The same for each bucket that has events."""
        sums: dict[tuple[str | None, Bucket], Sum] = {}
        for member, group, values in self._members(asked):
            sums[member, group.bucket] = _add(sums.get((member, group.bucket), NOTHING), values)
        return sums

    def _members(self, asked: Slice) -> Iterator[tuple[str | None, Group, tuple[Any, int]]]:
        measures = self._plan.measures(self._plan.key(asked))
        value, unpriced = measures.index(asked.measure), measures.index(Measure.UNPRICED_OPERATIONS)
        for member, group in self.groups(asked):
            yield member, group, (group.values[value], group.values[unpriced])

    def values(self, asked: Slice) -> Iterator[tuple[str | None, Bucket, Any, int]]:
        """By member and bucket, a measure that does not add up, and how many operations it is of."""
        measures = self._plan.measures(self._plan.key(asked))
        value, operations = measures.index(asked.measure), measures.index(Measure.OPERATIONS)
        for member, group in self.groups(asked):
            yield member, group.bucket, group.values[value], group.values[operations]

    def groups(self, asked: Slice) -> Iterator[tuple[str | None, Group]]:
        """Every group inside the slice, with its member. Events that do not say whose they are are no member's."""
        shape = self._plan.shape(asked)
        index = self._index(asked, shape)
        allowed = shape.equal.get(asked.each) if asked.each else None
        others = [shape.equal[a] for a in _grouping(shape, asked.each) if a != asked.each]
        for key in _matching(others, index):
            for member, group in index.get(key, ()):
                if (member is None or member) and (allowed is None or member in allowed) and asked.holds(group.bucket):
                    yield member, group

    def _index(self, asked: Slice, shape: Shape) -> dict[Any, list[tuple[str | None, Group]]]:
        """The groups of the slice's grouping by all of their key but the member."""
        key, grouping = self._plan.key(asked), _grouping(shape, asked.each)
        name = (key, grouping, asked.each)
        if name not in self._indexes:
            self._indexes[name] = _indexed(self._groups[key, grouping], grouping, asked.each)
        return self._indexes[name]


def _indexed(
    groups: Sequence[Group], grouping: Grouping, each: Attribute | None
) -> dict[Any, list[tuple[str | None, Group]]]:
    index: defaultdict[Any, list[tuple[str | None, Group]]] = defaultdict(list)
    place = grouping.index(each) if each else None
    for group in groups:
        if place is None:
            index[group.key].append((None, group))
        else:
            index[group.key[:place] + group.key[place + 1 :]].append((group.key[place], group))
    return index


def _matching(listed: Sequence[frozenset[Any]], index: Mapping[Any, object]) -> Iterable[tuple[Any, ...]]:
    """The keys made of listed values; whichever is shorter is gone through, the combinations or the index."""
    if prod(len(values) for values in listed) <= len(index):
        return product(*listed)
    return [key for key in index if all(part in values for part, values in zip(key, listed, strict=True))]


def _grouping(shape: Shape, each: Attribute | None) -> Grouping:
    return tuple(sorted({*shape.equal, *((each,) if each else ())}, key=order_of))


def _is_local(attribute: Attribute) -> bool:
    return not isinstance(attribute, Tag) and "{local}" in attribute.spec.sql


def _parts(groupings: Iterable[Grouping]) -> list[list[Grouping]]:
    """The groupings, so many to a statement as its limits allow."""
    parts: list[list[Grouping]] = []
    together: set[Attribute] = set()
    for grouping in groupings:
        if not parts or len(together.union(grouping)) > _MAX_ATTRIBUTES or len(parts[-1]) == _MAX_GROUPINGS:
            parts.append([])
            together = set()
        parts[-1].append(grouping)
        together.update(grouping)
    return parts


def _query(key: Key, asked: _Asked, part: Sequence[Grouping]) -> SliceQuery:
    window, zone, rest, bucket = key
    closed = {g: {a: frozenset(v) for a, v in asked.wanted[g].items() if a not in asked.open[g]} for g in part}
    return SliceQuery(
        scope=Scope(),
        window=window,
        groupings=tuple(part),
        measures=_measures(asked),
        timezone=zone,
        where=rest,
        bucket=bucket,
        wanted=closed if _is_short(closed) else None,
    )


def _measures(asked: _Asked) -> tuple[Measure, ...]:
    return tuple(dict.fromkeys((*asked.measures, *_ALWAYS)))


def _is_short(wanted: Mapping[Grouping, Mapping[Attribute, frozenset[Any]]]) -> bool:
    """Whether the values can travel with the statement; if not, all groups come back and are sifted here."""
    values = [value for each in wanted.values() for listed in each.values() for value in listed]
    return len(values) <= _MAX_WANTED and sum(len(str(value).encode()) + 3 for value in values) <= MAX_FILTER_BYTES


def _add(total: Sum, values: tuple[Any, int]) -> Sum:
    amount, unpriced = values
    return Sum(EXACT.add(total.amount, Decimal(amount or 0)), total.unpriced + unpriced)
