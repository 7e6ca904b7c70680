"""What a new evaluation means for the breaches on record: which open, open again, or are over. Pure.

Nothing flaps. In a calendar period what is spent against a fixed amount only comes back below it by a correction. What
can come and go by itself, a forecast, a rolling sum or a guardrail, is over only when it is clearly over: below
RECOVERY of its threshold, or within the guardrail's own recovery bound.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Final, NamedTuple

from budgets.definition import Basis, BudgetTerms, GuardrailTerms, Threshold
from budgets.models import Resolution
from budgets.periods import RollingPeriod
from budgets.status import BudgetState, BudgetStatus, GuardrailStatus, Snapshot
from budgets.targets import Definition
from core.money import EXACT, plain
from core.time import Window

RECOVERY: Final = Decimal("0.95")


class Key(NamedTuple):
    """What there is one breach of."""

    target_id: int
    member: str
    period_start: datetime
    threshold: str

    @property
    def rule(self) -> tuple[int, str, str]:
        """Of this, at most one is unresolved at a time."""
        return self.target_id, self.member, self.threshold


class Known(NamedTuple):
    """A breach on record."""

    id: int
    key: Key
    period_end: datetime
    is_resolved: bool
    version: int = 1


@dataclass(frozen=True, slots=True)
class Finding:
    """A threshold that is reached. `ended`: in a period that is over already, which nothing can change any more."""

    definition: Definition
    key: Key
    period: Window
    observed: Decimal
    bound: Decimal
    status: BudgetStatus | GuardrailStatus
    ended: bool = False


@dataclass(slots=True)
class Changes:
    """What to write."""

    opened: list[Finding] = field(default_factory=list)
    reopened: list[tuple[Known, Finding]] = field(default_factory=list)
    resolved: list[tuple[Known, Resolution]] = field(default_factory=list)
    unmuted: list[tuple[Known, Finding]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.opened or self.reopened or self.resolved or self.unmuted)


def kept(member: str | None) -> str:
    """The member as databases keep it: PostgreSQL takes no NUL. All together are ''."""
    return (member or "").replace("\0", "\N{REPLACEMENT CHARACTER}")


def guardrail_threshold(terms: GuardrailTerms) -> str:
    """The name under which a guardrail's breaches are kept."""
    return f"{terms.side.value}:{plain(terms.bound)}"


def findings(
    definitions: Mapping[int, Definition], snapshot: Snapshot, ended: Iterable[BudgetState] = ()
) -> list[Finding]:
    """Every threshold that is reached, in the current periods and in those just ended."""
    found = [f for state in snapshot.budgets.values() for f in _reached(definitions[state.budget_id], state)]
    found += [f for state in ended for f in _reached(definitions[state.budget_id], state, ended=True)]
    found += [_broken(definitions[id_], status) for (id_, _), status in snapshot.guardrails.items() if status.is_broken]
    return found


def _reached(definition: Definition, state: BudgetState, *, ended: bool = False) -> Iterator[Finding]:
    if state.version != definition.version:  # it has just ended, under what the budget said then
        definition = replace(definition, version=state.version, terms=state.terms)
    period = Window(state.period.start, state.counted.end)
    lowest = min(threshold.percent for threshold in state.terms.thresholds) / 100
    for status in state.statuses.values():
        if not _comes_near(status, lowest):
            continue
        for threshold in state.terms.thresholds:
            if status.reaches(threshold) and not (ended and _foresees(threshold)):
                key = Key(definition.id, kept(status.member), period.start, threshold.key)
                observed = status.observed(threshold)
                assert observed is not None
                yield Finding(definition, key, period, observed, threshold.amount(status.limit), status, ended)


def _comes_near(status: BudgetStatus, lowest: Decimal) -> bool:
    """Whether any threshold may be reached: most members are far from all of them."""
    most = max(status.spent, status.forecast.amount) if status.forecast else status.spent
    return most >= EXACT.multiply(status.limit, lowest)


def _foresees(threshold: Threshold) -> bool:
    return threshold.basis is Basis.FORECAST


def _broken(definition: Definition, status: GuardrailStatus) -> Finding:
    terms, value = status.terms, status.value
    assert value is not None
    row = status.interval.end - (status.interval.end - status.interval.start) * terms.in_a_row
    key = Key(definition.id, kept(status.member), row, guardrail_threshold(terms))
    return Finding(definition, key, Window(row, status.interval.end), value, terms.bound, status)


def judge(
    found: Sequence[Finding],
    known: Iterable[Known],
    definitions: Mapping[int, Definition],
    snapshot: Snapshot,
    now: datetime,
    unjudged: Collection[int] = (),
    unmuted: Collection[int] = (),
) -> Changes:
    """What changes among the breaches, now that these thresholds are reached and no others.

    Of the `unjudged` targets nothing is known, and nothing changes. Those that are `unmuted` were muted until now.
    """
    changes, by_key = Changes(), {each.key: each for each in known if each.key.target_id not in unjudged}
    reached = {finding.key.rule: finding for finding in found if not finding.ended}
    standing = set()
    for each in by_key.values():
        if not each.is_resolved:
            resolution = _resolution(each, reached.get(each.key.rule), definitions, snapshot, now)
            if resolution:
                changes.resolved.append((each, resolution))
            else:
                standing.add(each.key.rule)
                if each.key.target_id in unmuted and (finding := reached.get(each.key.rule)):
                    changes.unmuted.append((each, finding))
    for finding in found:
        earlier = by_key.get(finding.key)
        if earlier is None and (finding.ended or finding.key.rule not in standing):
            changes.opened.append(finding)
        elif earlier and earlier.is_resolved and not finding.ended and finding.key.rule not in standing:
            changes.reopened.append((earlier, finding))
    return changes


def _resolution(
    known: Known,
    finding: Finding | None,
    definitions: Mapping[int, Definition],
    snapshot: Snapshot,
    now: datetime,
) -> Resolution | None:
    """Why the breach is over; None while it is not."""
    definition = definitions.get(known.key.target_id)
    if definition is None or known.version < definition.slice_version:
        return Resolution.WITHDRAWN
    if isinstance(definition.terms, GuardrailTerms):
        return _guardrail_resolution(known, finding, definition.terms, snapshot)
    return _budget_resolution(known, finding, definition.terms, snapshot, now)


def _guardrail_resolution(
    known: Known, finding: Finding | None, terms: GuardrailTerms, snapshot: Snapshot
) -> Resolution | None:
    if known.key.threshold != guardrail_threshold(terms):
        return Resolution.WITHDRAWN
    statuses = [each for (id_, member), each in snapshot.guardrails.items() if (id_, kept(member)) == known.key[:2]]
    is_over = finding is None and all(status.has_recovered for status in statuses)
    return Resolution.RECOVERED if is_over else None


def _budget_resolution(
    known: Known, finding: Finding | None, terms: BudgetTerms, snapshot: Snapshot, now: datetime
) -> Resolution | None:
    threshold = next((t for t in terms.thresholds if t.key == known.key.threshold), None)
    state, rolls = snapshot.budgets.get(known.key.target_id), isinstance(terms.period, RollingPeriod)
    if threshold is None or (state and known.key.member in map(kept, state.unwatched)):
        return Resolution.WITHDRAWN
    if not rolls and known.period_end <= now:
        return Resolution.PERIOD_OVER
    if state is None or (not rolls and state.period.start != known.key.period_start):
        return Resolution.WITHDRAWN
    if finding is not None or not _is_clear(known, threshold, state, rolls=rolls):
        return None
    return Resolution.RECOVERED if rolls or _foresees(threshold) else Resolution.CORRECTED


def _is_clear(known: Known, threshold: Threshold, state: BudgetState, *, rolls: bool) -> bool:
    """Whether what is compared with the threshold is far enough below it, which it does not reach."""
    status = next((each for each in state.statuses.values() if kept(each.member) == known.key.member), None)
    observed = status.observed(threshold) if status else Decimal(0)
    if status is None or not (rolls or _foresees(threshold)):
        return True
    if observed is None:
        return state.foresees
    return not observed or observed < EXACT.multiply(threshold.amount(status.limit), RECOVERY)
