"""What teams agree on: budgets and guardrails, as frozen values that cannot exist in an unusable state."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum, unique
from itertools import pairwise
from typing import Final, TypeAlias

from attribution.dimensions import Dimension, ValueType
from attribution.measures import Measure, MeasureType
from attribution.query import EVERYTHING, Attribute, Filter, attribute_name, validate_filter, value_type
from budgets.periods import CalendarPeriod, Period
from core.errors import InvalidInput
from core.money import EXACT, plain, quantize
from core.time import NaiveDatetime
from notifications.channels import MAX_NAME as MAX_CHANNEL_NAME

MAX_NAME: Final = 200
MAX_PLAYBOOK: Final = 1_000
MAX_THRESHOLDS: Final = 20
MAX_OVERRIDES: Final = 10_000
MAX_CHANNELS: Final = 20
_WITHOUT_END: Final = frozenset({Dimension.REQUEST, Dimension.SESSION})
"""Their values never come back: nobody can have a budget."""
_MAX_AMOUNT: Final = Decimal(10) ** 18


class InvalidTarget(InvalidInput):
    """A field of a budget or guardrail breaks a rule."""

    code = "INVALID_TARGET"

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field} is not usable: {rule}")
        self.field = field
        self.rule = rule


@unique
class Mode(Enum):
    """What reaching the limit does."""

    NOTIFY = "notify"
    ENFORCE = "enforce"


@unique
class Basis(Enum):
    """What a threshold is compared with."""

    ACTUAL = "actual"
    FORECAST = "forecast"


@unique
class Side(Enum):
    """On which side of its bound a guardrail is broken."""

    ABOVE = "above"
    BELOW = "below"


@unique
class Severity(Enum):
    """How bad it is."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Threshold:
    """A part of the limit, in percent, at which a breach opens: of what is spent, or of what will have been."""

    percent: Decimal
    basis: Basis = Basis.ACTUAL

    def __post_init__(self) -> None:
        if not (self.percent.is_finite() and 0 < self.percent <= 10_000):
            raise InvalidTarget("thresholds", "a percentage lies above 0 and is at most 10000")

    @property
    def key(self) -> str:
        """Its stable name: `actual:80`."""
        return f"{self.basis.value}:{plain(self.percent)}"

    def amount(self, limit: Decimal) -> Decimal:
        """The amount at which it is reached."""
        return EXACT.divide(EXACT.multiply(limit, self.percent), Decimal(100))


DEFAULT_THRESHOLDS: Final = (Threshold(Decimal(80)), Threshold(Decimal(100)), Threshold(Decimal(100), Basis.FORECAST))


@dataclass(frozen=True, slots=True)
class AmountFrom:
    """The amount of the periods that start on `since` (a local date) or later; None is from the beginning."""

    amount: Decimal
    since: date | None = None


@dataclass(frozen=True, slots=True)
class Override:
    """One member's own amount per period; None means the member is not watched. 0 means nothing may be spent."""

    member: str
    amount: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """What budgets and guardrails share.

    `team` owns it. `each` makes one rule of it for every value of that dimension or tag. `channels` are told when a
    breach opens or resolves; `playbook` says what to do then. Raises InvalidTarget, or what an unusable filter raises.
    """

    name: str
    team: str = ""
    where: Filter = EVERYTHING
    each: Attribute | None = None
    channels: tuple[str, ...] = ()
    playbook: str = ""

    def __post_init__(self) -> None:
        _check_text("name", self.name, MAX_NAME, least=1)
        _check_text("team", self.team, MAX_NAME)
        _check_text("playbook", self.playbook, MAX_PLAYBOOK)
        if len(self.channels) > MAX_CHANNELS:
            raise InvalidTarget("channels", f"at most {MAX_CHANNELS} of them")
        for channel in self.channels:
            _check_text("channels", channel, MAX_CHANNEL_NAME, least=1)
        if self.each is not None and (value_type(self.each) is not ValueType.TEXT or self.each in _WITHOUT_END):
            raise InvalidTarget("each", f"{attribute_name(self.each)} has no names to tell members apart by")
        validate_filter(self.where)


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetTerms(Common):
    """An amount of an additive measure that a slice of events may use up in each period.

    `amounts` are in order of their dates, the first from the beginning. `rollover` adds what the period before left
    of its own amount. What happens before `starts_at` or from `ends_at` on does not count. `contributors` is the
    dimension by which a breach says who drove it; None chooses one that the filter leaves open.
    """

    period: Period
    amounts: tuple[AmountFrom, ...]
    measure: Measure = Measure.EFFECTIVE_COST
    thresholds: tuple[Threshold, ...] = DEFAULT_THRESHOLDS
    overrides: tuple[Override, ...] = ()
    parent: str = ""
    mode: Mode = Mode.NOTIFY
    rollover: bool = False
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    contributors: Dimension | None = None

    def __post_init__(self) -> None:
        Common.__post_init__(self)  # not super(): a class with slots is made anew, and super() would mean the old one
        if not self.measure.spec.additive:
            raise InvalidTarget(
                "measure", f"{self.measure.spec.name} does not add up over time; use a guardrail for it"
            )
        _check_amounts(self.amounts)
        _check_thresholds(self.thresholds)
        _check_overrides(self.overrides, self.each)
        _check_span(self.starts_at, self.ends_at)
        if self.rollover and not isinstance(self.period, CalendarPeriod):
            raise InvalidTarget("rollover", "only what is left of a calendar period can roll over")
        if self.parent == self.name:
            raise InvalidTarget("parent", "a budget is not its own parent")

    def amount(self, first: date, member: str | None = None) -> Decimal | None:
        """The amount of the period whose first local date is `first`; None when the member is not watched."""
        for override in self.overrides:
            if override.member == member:
                return override.amount
        return next(each.amount for each in reversed(self.amounts) if each.since is None or each.since <= first)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardrailTerms(Common):
    """A bound on a rate, an average or a quantile, judged over intervals once they are `settle_seconds` old.

    It is broken when the measure lies beyond `bound` in each of `in_a_row` intervals that have `minimum_operations`,
    and has recovered after one interval within `recovery`, which is `bound` unless it is stricter.
    """

    measure: Measure
    side: Side
    bound: Decimal
    recovery: Decimal | None = None
    interval_minutes: int = 5
    in_a_row: int = 1
    minimum_operations: int = 1
    settle_seconds: int = 30
    severity: Severity = Severity.WARNING

    def __post_init__(self) -> None:
        Common.__post_init__(self)
        if self.measure.spec.additive or self.measure.spec.share_of_total or self.measure.spec.type not in _GUARDED:
            raise InvalidTarget("measure", f"{self.measure.spec.name} is no rate, average or quantile; use a budget")
        for field, limit in (("bound", self.bound), ("recovery", self.recovery)):
            if limit is not None and not _is_amount(limit):
                raise InvalidTarget(field, "it is a number with at most 12 decimals")
        if self.is_beyond(self.recovers_at, allowed=self.bound):
            raise InvalidTarget("recovery", "it must not be beyond the bound")
        _check_range("interval_minutes", self.interval_minutes, 1, 1_440)
        _check_range("in_a_row", self.in_a_row, 1, 100)
        _check_range("minimum_operations", self.minimum_operations, 1, 10**9)
        _check_range("settle_seconds", self.settle_seconds, 0, 3_600)

    @property
    def recovers_at(self) -> Decimal:
        """Up to where the measure must come back."""
        return self.bound if self.recovery is None else self.recovery

    def is_beyond(self, value: Decimal, *, allowed: Decimal) -> bool:
        """Whether the value lies on the wrong side."""
        return value > allowed if self.side is Side.ABOVE else value < allowed


Terms: TypeAlias = BudgetTerms | GuardrailTerms

_GUARDED: Final = frozenset({MeasureType.RATIO, MeasureType.MILLISECONDS, MeasureType.MONEY, MeasureType.COUNT})


def _check_text(field: str, text: str, most: int, *, least: int = 0) -> None:
    if not least <= len(text) <= most or not text.isprintable() or text != text.strip():
        raise InvalidTarget(field, f"{least} to {most} printable characters without blanks around them")


def _check_range(field: str, number: int, least: int, most: int) -> None:
    if not least <= number <= most:
        raise InvalidTarget(field, f"it lies between {least:,} and {most:,}")


def _is_amount(amount: Decimal) -> bool:
    return amount.is_finite() and abs(amount) < _MAX_AMOUNT and quantize(amount) == amount


def _check_amounts(amounts: tuple[AmountFrom, ...]) -> None:
    if not amounts or amounts[0].since is not None:
        raise InvalidTarget("amount", "give one amount from the beginning, then those that replace it")
    later = [each.since for each in amounts[1:]]
    if None in later or not all(a < b for a, b in pairwise(day for day in later if day)):
        raise InvalidTarget("amounts", "later amounts each have a date, in order")
    for each in amounts:
        _check_limit("amount", each.amount)


def _check_limit(field: str, amount: Decimal) -> None:
    if not _is_amount(amount) or amount < 0:
        raise InvalidTarget(field, "0 or more, with at most 12 decimals; 0 means that nothing may be spent")


def _check_thresholds(thresholds: tuple[Threshold, ...]) -> None:
    if not 1 <= len(thresholds) <= MAX_THRESHOLDS or len({each.key for each in thresholds}) < len(thresholds):
        raise InvalidTarget("thresholds", f"1 to {MAX_THRESHOLDS} different ones")


def _check_overrides(overrides: tuple[Override, ...], each: Attribute | None) -> None:
    if overrides and each is None:
        raise InvalidTarget("overrides", "members have amounts of their own only with `each`")
    if len(overrides) > MAX_OVERRIDES or len({o.member for o in overrides}) < len(overrides):
        raise InvalidTarget("overrides", f"at most {MAX_OVERRIDES:,}, one for each member")
    for override in overrides:
        if override.amount is not None:
            _check_limit("overrides", override.amount)


def _check_span(starts_at: datetime | None, ends_at: datetime | None) -> None:
    for field, instant in (("starts_at", starts_at), ("ends_at", ends_at)):
        if instant is not None and instant.tzinfo is None:
            raise NaiveDatetime(field, instant)
    if starts_at and ends_at and starts_at >= ends_at:
        raise InvalidTarget("ends_at", "it must come after starts_at")
