"""Terms as plain data: one form for the database, for `budgets.yaml`, and for what is shown. Read back, they are equal.

The structs are the form: unknown fields are refused by name, defaults are left out. Amounts are written as texts, so
that no parser makes floats of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from sys import intern
from typing import Any, Final, TypeVar

import msgspec

from attribution.dimensions import Dimension
from attribution.filters import filter_document, read_filter
from attribution.measures import Measure
from attribution.query import Attribute, Tag
from budgets.definition import (
    DEFAULT_THRESHOLDS,
    AmountFrom,
    Basis,
    BudgetTerms,
    GuardrailTerms,
    InvalidTarget,
    Mode,
    Override,
    Severity,
    Side,
    Terms,
    Threshold,
)
from budgets.periods import CalendarPeriod, FixedPeriod, Period, RollingPeriod, Weekday
from core.errors import InvalidInput
from core.money import plain
from core.time import Granularity, Window, parse_timezone

VERSION: Final = 1
D = TypeVar("D", bound=msgspec.Struct)

_MEASURES: Final = {measure.spec.name: measure for measure in Measure}
_DIMENSIONS: Final = {dimension.spec.name: dimension for dimension in Dimension}


class UnreadableTerms(InvalidInput):
    """The data is no budget or guardrail."""

    code = "UNREADABLE_TERMS"


class PeriodDocument(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """`every` with `timezone` and `week_starts`; or `from` and `until`; or `hours`."""

    every: str = ""
    hours: int = 0
    start: datetime | None = msgspec.field(default=None, name="from")
    until: datetime | None = None
    timezone: str = "UTC"
    week_starts: str = "monday"


class AmountDocument(msgspec.Struct, forbid_unknown_fields=True):
    """An amount for the periods that start on `from` or later."""

    since: date = msgspec.field(name="from")
    amount: Decimal


class ThresholdDocument(msgspec.Struct, forbid_unknown_fields=True):
    """A percentage of the forecast; those of what is spent are written as numbers alone."""

    forecast: Decimal


class TagDocument(msgspec.Struct, forbid_unknown_fields=True):
    """A tag to tell members apart by."""

    tag: str


class _CommonDocument(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    name: str
    team: str = ""
    where: dict[str, Any] = {}
    each: str | TagDocument = ""
    channels: list[str] = []
    playbook: str = ""


class BudgetDocument(_CommonDocument, kw_only=True):
    """A budget."""

    period: PeriodDocument
    amount: Decimal
    amounts: list[AmountDocument] = []
    measure: str = Measure.EFFECTIVE_COST.spec.name
    thresholds: list[Decimal | ThresholdDocument] | None = None
    overrides: dict[str, Decimal | None] = {}
    parent: str = ""
    mode: Mode = Mode.NOTIFY
    rollover: bool = False
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    contributors: str = ""


class GuardrailDocument(_CommonDocument, kw_only=True):
    """A guardrail: `above` or `below` its bound."""

    measure: str
    above: Decimal | None = None
    below: Decimal | None = None
    recovery: Decimal | None = None
    interval_minutes: int = 5
    in_a_row: int = 1
    minimum_operations: int = 1
    settle_seconds: int = 30
    severity: Severity = Severity.WARNING


def terms_document(terms: Terms) -> dict[str, Any]:
    """The terms as data made of texts, numbers, lists and mappings; what has its default value is left out."""
    document = _budget_document(terms) if isinstance(terms, BudgetTerms) else _guardrail_document(terms)
    made: dict[str, Any] = msgspec.to_builtins(document)
    return made


def terms_text(terms: Terms) -> str:
    """The terms as they are kept: JSON with the version of its form, the same text for equal terms."""
    kind = "budget" if isinstance(terms, BudgetTerms) else "guardrail"
    return json.dumps({"version": VERSION, kind: terms_document(terms)}, ensure_ascii=False)


def read_terms(text: str) -> Terms:
    """The terms that were kept."""
    kept = json.loads(text)
    return read_budget(kept["budget"]) if "budget" in kept else read_guardrail(kept["guardrail"])


def read_budget(data: object) -> BudgetTerms:
    """The budget that the data means. Raises UnreadableTerms, InvalidTarget, or what its period and filter raise."""
    read = _converted(data, BudgetDocument)
    return BudgetTerms(
        **_common(read),
        period=_period(read.period),
        amounts=(AmountFrom(read.amount), *(AmountFrom(each.amount, each.since) for each in read.amounts)),
        measure=_named(_MEASURES, "measure", read.measure),
        thresholds=DEFAULT_THRESHOLDS if read.thresholds is None else tuple(map(_threshold, read.thresholds)),
        overrides=tuple(Override(member, amount) for member, amount in read.overrides.items()),
        parent=read.parent,
        mode=read.mode,
        rollover=read.rollover,
        starts_at=read.starts_at,
        ends_at=read.ends_at,
        contributors=_named(_DIMENSIONS, "contributors", read.contributors) if read.contributors else None,
    )


def read_guardrail(data: object) -> GuardrailTerms:
    """The guardrail that the data means. Raises UnreadableTerms, InvalidTarget, or what its filter raises."""
    read = _converted(data, GuardrailDocument)
    side, bound = (Side.ABOVE, read.above) if read.below is None else (Side.BELOW, read.below)
    if bound is None or (read.above is not None and read.below is not None):
        raise InvalidTarget("bound", "give either `above` or `below`")
    return GuardrailTerms(
        **_common(read),
        measure=_named(_MEASURES, "measure", read.measure),
        side=side,
        bound=bound,
        recovery=read.recovery,
        interval_minutes=read.interval_minutes,
        in_a_row=read.in_a_row,
        minimum_operations=read.minimum_operations,
        settle_seconds=read.settle_seconds,
        severity=read.severity,
    )


def attribute_document(attribute: Attribute) -> str | TagDocument:
    """How an attribute is written: a dimension's name, or `{tag: key}`."""
    return TagDocument(attribute.key) if isinstance(attribute, Tag) else attribute.spec.name


def _converted(data: object, type_: type[D]) -> D:
    try:
        return msgspec.convert(data, type_)
    except msgspec.ValidationError as error:
        raise UnreadableTerms(str(error)) from None


def _common(read: _CommonDocument) -> dict[str, Any]:
    each = read.each
    return {
        "name": read.name,
        "team": read.team,
        "where": read_filter(read.where),
        "each": Tag(each.tag) if isinstance(each, TagDocument) else _named(_DIMENSIONS, "each", each) if each else None,
        "channels": tuple(read.channels),
        "playbook": read.playbook,
    }


def _common_document(terms: Terms) -> dict[str, Any]:
    return {
        "name": terms.name,
        "team": terms.team,
        "where": filter_document(terms.where),
        "each": attribute_document(terms.each) if terms.each else "",
        "channels": list(terms.channels),
        "playbook": terms.playbook,
    }


def _budget_document(terms: BudgetTerms) -> BudgetDocument:
    first, *later = terms.amounts
    return BudgetDocument(
        **_common_document(terms),
        period=_period_document(terms.period),
        amount=_exact(first.amount),
        amounts=[AmountDocument(each.since, _exact(each.amount)) for each in later if each.since],
        measure=terms.measure.spec.name,
        thresholds=None if terms.thresholds == DEFAULT_THRESHOLDS else list(map(_threshold_document, terms.thresholds)),
        overrides={each.member: None if each.amount is None else _exact(each.amount) for each in terms.overrides},
        parent=terms.parent,
        mode=terms.mode,
        rollover=terms.rollover,
        starts_at=terms.starts_at,
        ends_at=terms.ends_at,
        contributors=terms.contributors.spec.name if terms.contributors else "",
    )


def _guardrail_document(terms: GuardrailTerms) -> GuardrailDocument:
    return GuardrailDocument(
        **_common_document(terms),
        measure=terms.measure.spec.name,
        above=_exact(terms.bound) if terms.side is Side.ABOVE else None,
        below=_exact(terms.bound) if terms.side is Side.BELOW else None,
        recovery=None if terms.recovery is None else _exact(terms.recovery),
        interval_minutes=terms.interval_minutes,
        in_a_row=terms.in_a_row,
        minimum_operations=terms.minimum_operations,
        settle_seconds=terms.settle_seconds,
        severity=terms.severity,
    )


def _exact(amount: Decimal) -> Decimal:
    """The same amount, which prints as people write it."""
    return Decimal(plain(amount))


def _threshold(read: Decimal | ThresholdDocument) -> Threshold:
    return Threshold(read.forecast, Basis.FORECAST) if isinstance(read, ThresholdDocument) else Threshold(read)


def _threshold_document(threshold: Threshold) -> Decimal | ThresholdDocument:
    percent = _exact(threshold.percent)
    return ThresholdDocument(percent) if threshold.basis is Basis.FORECAST else percent


def _period(read: PeriodDocument) -> Period:
    given = [bool(read.every), bool(read.hours), read.start is not None or read.until is not None]
    zone = parse_timezone(read.timezone)
    if sum(given) != 1:
        raise InvalidTarget("period", "give `every`, or `hours`, or `from` and `until`")
    if read.hours:
        return RollingPeriod(read.hours, zone)
    if read.every:
        return CalendarPeriod(
            _named(_GRANULARITIES, "period", read.every), zone, _named(_WEEKDAYS, "period", read.week_starts)
        )
    if read.start is None or read.until is None:
        raise InvalidTarget("period", "a fixed period has both `from` and `until`")
    return FixedPeriod(Window(read.start, read.until), zone)


def _period_document(period: Period) -> PeriodDocument:
    zone = intern(period.zone.key)  # a default is left out when it is the very same text
    match period:
        case CalendarPeriod():
            day = intern(period.week_start.name.lower())
            return PeriodDocument(every=period.every.value, timezone=zone, week_starts=day)
        case RollingPeriod():
            return PeriodDocument(hours=period.hours, timezone=zone)
        case FixedPeriod():
            return PeriodDocument(start=period.window.start, until=period.window.end, timezone=zone)


_GRANULARITIES: Final = {granularity.value: granularity for granularity in Granularity}
_WEEKDAYS: Final = {day.name.lower(): day for day in Weekday}


def _named(names: Mapping[str, Any], field: str, name: str) -> Any:
    if name not in names:
        raise InvalidTarget(field, f"{name!r} is none of {', '.join(names)}")
    return names[name]
