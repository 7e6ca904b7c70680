"""From guardrails and what their intervals measured to statuses. Pure, like the evaluation of budgets.

Intervals are counted from 1970 on, so that all processes and all times agree on where they begin.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from budgets.definition import GuardrailTerms
from budgets.spending import Slice, Spending
from budgets.status import GuardrailStatus
from budgets.targets import Definition
from core.time import Window


@dataclass(frozen=True, slots=True)
class Watch:
    """A guardrail and its last intervals that have settled, as many as it wants in a row."""

    definition: Definition
    terms: GuardrailTerms
    window: Window

    @property
    def width(self) -> timedelta:
        """How long an interval is."""
        return timedelta(minutes=self.terms.interval_minutes)

    @property
    def slice(self) -> Slice:
        """What to ask: the measure in each interval."""
        terms = self.terms
        return Slice(self.window, terms.where, terms.measure, terms.each, bucket=self.width)

    @property
    def starts(self) -> list[datetime]:
        """The beginnings of the intervals, the newest first."""
        return [self.window.end - self.width * (i + 1) for i in range(self.terms.in_a_row)]


def watches(definitions: Iterable[Definition], now: datetime) -> list[Watch]:
    """Every guardrail with the intervals to judge at `now`."""
    return [Watch(d, d.terms, _settled(d.terms, now)) for d in definitions if isinstance(d.terms, GuardrailTerms)]


def _settled(terms: GuardrailTerms, now: datetime) -> Window:
    width = terms.interval_minutes * 60
    end = int(now.timestamp() - terms.settle_seconds) // width * width
    start = end - width * terms.in_a_row
    return Window(datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end, UTC))


Measured = tuple[Decimal | None, int]
"""A value and how many operations it is of."""


Statuses = Mapping[tuple[int, str | None], GuardrailStatus]
"""By guardrail and member."""


class Judged:
    """What has been judged, and how: nothing is judged twice, so that what arrives late moves nothing to and fro."""

    def __init__(self) -> None:
        self._found: dict[int, tuple[int, Window, Statuses]] = {}

    def holds(self, watch: Watch) -> bool:
        """Whether these intervals were judged, by these terms."""
        found = self._found.get(watch.definition.id)
        return found is not None and found[:2] == (watch.definition.version, watch.window)

    def add(self, watch: Watch, statuses: Statuses) -> None:
        """Keep how it stands until its next interval."""
        self._found[watch.definition.id] = watch.definition.version, watch.window, statuses

    def of(self, watch: Watch) -> Statuses:
        """How it stands."""
        return self._found[watch.definition.id][2]


def guard(watch: Watch, spending: Spending, now: datetime) -> Statuses:
    """How the guardrail and each of its members stands in the newest settled interval."""
    return {
        (watch.definition.id, member): _status(watch, member, intervals, now)
        for member, intervals in _by_member(watch, spending).items()
    }


def _by_member(watch: Watch, spending: Spending) -> Mapping[str | None, Mapping[datetime, Measured]]:
    members: defaultdict[str | None, dict[datetime, Measured]] = defaultdict(dict)
    if watch.terms.each is None:
        members[None] = {}
    for member, bucket, value, operations in spending.values(watch.slice):
        if isinstance(bucket, datetime):
            members[member][bucket] = (_decimal(value), operations)
    return members


def _status(watch: Watch, member: str | None, intervals: Mapping[datetime, Measured], now: datetime) -> GuardrailStatus:
    starts = watch.starts
    value, operations = intervals.get(starts[0], (None, 0))
    return GuardrailStatus(
        guardrail_id=watch.definition.id,
        terms=watch.terms,
        member=member,
        interval=Window(starts[0], watch.window.end),
        value=value,
        operations=operations,
        beyond_in_a_row=_in_a_row(watch.terms, [intervals.get(start, (None, 0)) for start in starts]),
        quiet=not any(_is_enough(watch.terms, intervals.get(start, (None, 0))) for start in starts),
        evaluated_at=now,
    )


def _in_a_row(terms: GuardrailTerms, newest_first: Sequence[Measured]) -> int:
    for count, (value, operations) in enumerate(newest_first):
        if value is None or operations < terms.minimum_operations or not terms.is_beyond(value, allowed=terms.bound):
            return count
    return len(newest_first)


def _is_enough(terms: GuardrailTerms, measured: Measured) -> bool:
    return measured[0] is not None and measured[1] >= terms.minimum_operations


def _decimal(value: Any) -> Decimal | None:
    return None if value is None else Decimal(str(value))
