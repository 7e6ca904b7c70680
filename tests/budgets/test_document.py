"""Terms and filters survive being written and read, exactly; what cannot be read says where."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attribution.dimensions import Dimension, ValueType
from attribution.filters import UnreadableFilter, filter_document, read_filter
from attribution.measures import Measure
from attribution.query import All, Condition, Filter, FilterTooDeep, Operator, Tag, value_type
from attribution.query import Any as AnyOf
from budgets.definition import (
    AmountFrom,
    Basis,
    BudgetTerms,
    GuardrailTerms,
    Mode,
    Override,
    Severity,
    Side,
    Threshold,
)
from budgets.document import read_budget, read_terms, terms_text
from budgets.file import Change, UnreadableFile, plan, read_file, write_file
from budgets.periods import CalendarPeriod, FixedPeriod, RollingPeriod, Weekday
from budgets.targets import Definition
from core.errors import ApportionError
from core.time import Granularity, Window
from tests.attribution.strategies import attributes, filters, windows, zones

drawn = settings(max_examples=60, deadline=None)
NAMES = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_categories=["C", "Z"]), min_size=1, max_size=9
)
MONEY = st.decimals(0, 10**9, places=12)
UNENDING = (Dimension.REQUEST, Dimension.SESSION)
TEXTS = attributes.filter(lambda each: value_type(each) is ValueType.TEXT and each not in UNENDING)
PERIODS = (
    st.builds(
        CalendarPeriod, st.sampled_from([g for g in Granularity if g.is_calendar]), zones, st.sampled_from(Weekday)
    )
    | st.builds(RollingPeriod, st.integers(1, 720), zones)
    | st.builds(FixedPeriod, windows(), zones)
)
THRESHOLDS = st.lists(
    st.builds(Threshold, st.decimals(1, 200, places=2), st.sampled_from(Basis)),
    min_size=1,
    max_size=4,
    unique_by=lambda threshold: threshold.key,
).map(tuple)


@st.composite
def budgets(draw: st.DrawFn) -> BudgetTerms:
    each = draw(st.none() | TEXTS)
    overrides = draw(st.dictionaries(NAMES, st.none() | MONEY, max_size=3)) if each else {}
    period = draw(PERIODS)
    later = draw(st.lists(st.dates(date(2025, 1, 1), date(2027, 1, 1)), max_size=3, unique=True))
    return BudgetTerms(
        name=draw(NAMES),
        team=draw(st.just("") | NAMES),
        where=draw(filters),
        each=each,
        channels=tuple(draw(st.lists(NAMES, max_size=2))),
        playbook=draw(st.sampled_from(["", "https://wiki.example/budgets"])),
        period=period,
        amounts=(AmountFrom(draw(MONEY)), *(AmountFrom(draw(MONEY), day) for day in sorted(later))),
        measure=draw(st.sampled_from([m for m in Measure if m.spec.additive])),
        thresholds=draw(THRESHOLDS),
        overrides=tuple(Override(member, amount) for member, amount in overrides.items()),
        mode=draw(st.sampled_from(Mode)),
        rollover=isinstance(period, CalendarPeriod) and draw(st.booleans()),
        starts_at=draw(st.none() | st.just(datetime(2026, 1, 1, tzinfo=UTC))),
        contributors=draw(st.none() | st.sampled_from(Dimension)),
    )


GUARDRAILS = st.builds(
    GuardrailTerms,
    name=NAMES,
    where=filters,
    measure=st.sampled_from([Measure.ERROR_RATE, Measure.LATENCY_P95_MS, Measure.COST_PER_REQUEST]),
    side=st.sampled_from(Side),
    bound=MONEY,
    interval_minutes=st.integers(1, 60),
    in_a_row=st.integers(1, 9),
    severity=st.sampled_from(Severity),
)


@drawn
@given(where=filters)
def test_filters_survive(where: Filter) -> None:
    assert read_filter(filter_document(where)) == where


@drawn
@given(terms=budgets() | GUARDRAILS)
def test_terms_survive_the_database(terms: BudgetTerms | GuardrailTerms) -> None:
    assert read_terms(terms_text(terms)) == terms
    assert terms_text(read_terms(terms_text(terms))) == terms_text(terms)


@drawn
@given(terms=st.lists(budgets() | GUARDRAILS, max_size=3, unique_by=lambda t: (type(t), t.name)))
def test_an_exported_file_plans_no_change(terms: list[BudgetTerms | GuardrailTerms]) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    live = [Definition(i, 1, each, now, now, "ada") for i, each in enumerate(terms)]
    steps = plan(read_file(write_file(terms)), live, prune=True, team=None)
    assert {step.change for step in steps} <= {Change.KEEP}


def test_what_people_write_is_understood() -> None:
    where = read_filter(
        {
            "team": "search",
            "feature": {"none_of": ["a", "b"], "prefix": "x"},
            "tag": {"plan": "pro"},
            "or": [{"attempt": 2}, {}],
        }
    )
    assert where == All(
        (
            Condition(Dimension.TEAM, Operator.ANY_OF, ("search",)),
            Condition(Dimension.FEATURE, Operator.NONE_OF, ("a", "b")),
            Condition(Dimension.FEATURE, Operator.PREFIX, ("x",)),
            Condition(Tag("plan"), Operator.ANY_OF, ("pro",)),
            AnyOf((Condition(Dimension.ATTEMPT, Operator.ANY_OF, (2,)), All(()))),
        )
    )


@pytest.mark.parametrize(
    "document",
    [
        "search",
        {"teem": "search"},
        {"team": 1},
        {"attempt": True},
        {"attempt": "1"},
        {"team": {"equals": "x"}},
        {"team": {"any_of": "x"}},
        {"attempt": {"at_least": "x"}},
        {"team": {"prefix": 1}},
        {"team": {"exists": "yes"}},
        {"tag": "plan"},
        {"and": {"team": "x"}},
    ],
)
def test_what_is_no_filter_is_refused(document: Any) -> None:
    with pytest.raises(UnreadableFilter):
        read_filter(document)


def test_filters_do_not_nest_without_end() -> None:
    document: Any = {}
    for _ in range(40):
        document = {"not": document}
    with pytest.raises(FilterTooDeep):
        read_filter(document)


MONTHLY = {"name": "a", "period": {"every": "month"}, "amount": "1"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"amount": "x"}, "amount"),
        ({"amont": "1"}, "amont"),
        ({"period": {}}, "every"),
        ({"period": {"every": "month", "hours": 3}}, "every"),
        ({"period": {"every": "fortnight"}}, "fortnight"),
        ({"period": {"every": "month", "timezone": "Mars"}}, "Mars"),
        ({"period": {"from": "2026-01-01T00:00:00Z"}}, "until"),
        ({"measure": "happiness"}, "happiness"),
        ({"each": "moon"}, "moon"),
        ({"thresholds": [{"forcast": 3}]}, "forcast"),
    ],
)
def test_what_is_no_budget_says_why(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ApportionError, match=said):
        read_budget(MONTHLY | change)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no file"),
        ("version: 2", "version 2"),
        ("version: 1\nbudget: []", "budget"),
        ("version: 1\nbudgets: [{name: a}]", r"budgets\[0\] a: .*period"),
        ("version: 1\nguardrails: [{name: g, measure: error_rate}]", "above"),
        (
            "version: 1\nbudgets: [{name: a, amount: 1, period: {hours: 1}}, {name: a, amount: 2, period: {hours: 1}}]",
            "twice",
        ),
        ("version: 1\nbudgets: [", "no file"),
    ],
)
def test_what_is_no_file_says_where(text: str, said: str) -> None:
    with pytest.raises(UnreadableFile, match=said):
        read_file(text)


def test_amounts_and_dates_of_yaml_stay_exact() -> None:
    (terms,) = read_file(
        "version: 1\nbudgets:\n  - {name: a, amount: 1234567.123456789012, period: {every: week, week_starts: sunday},"
        " amounts: [{from: 2026-12-01, amount: 0}]}"
    )
    assert isinstance(terms, BudgetTerms)
    assert terms.amounts == (AmountFrom(Decimal("1234567.123456789012")), AmountFrom(Decimal(0), date(2026, 12, 1)))
    assert terms.period == CalendarPeriod(Granularity.WEEK, ZoneInfo("UTC"), Weekday.SUNDAY)


def test_a_plan_says_what_changes() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    before = [
        read_budget(MONTHLY),
        read_budget(MONTHLY | {"name": "b"}),
        read_budget(MONTHLY | {"name": "c", "team": "t"}),
    ]
    live = [Definition(i, 1, each, now, now, "ada") for i, each in enumerate(before)]
    wanted = [
        read_budget(MONTHLY),
        read_budget(MONTHLY | {"name": "b", "amount": "2"}),
        read_budget(MONTHLY | {"name": "d"}),
    ]
    lines = [line for step in plan(wanted, live, prune=True, team=None) for line in step.lines()]
    assert lines == ["= budget a", "~ budget b", "    amount: '1' -> '2'", "+ budget d", "- budget c"]
    kept = plan(wanted, live, prune=True, team="other")
    assert [step.change for step in kept] == [Change.KEEP, Change.UPDATE, Change.CREATE]


def test_a_window_of_a_fixed_period_survives() -> None:
    window = Window(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC))
    terms = BudgetTerms(name="a", period=FixedPeriod(window, ZoneInfo("UTC")), amounts=(AmountFrom(Decimal(1)),))
    assert read_terms(terms_text(terms)) == terms
