"""What an evaluation means for breaches on record: each opens once, is over when it is, and nothing flaps."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from attribution.dimensions import Dimension
from attribution.measures import Measure
from budgets.definition import AmountFrom, Basis, BudgetTerms, GuardrailTerms, Side, Terms, Threshold
from budgets.judging import Changes, Key, Known, findings, judge
from budgets.models import Resolution
from budgets.periods import CalendarPeriod, RollingPeriod
from budgets.status import BudgetState, BudgetStatus, Forecast, GuardrailStatus, Snapshot
from budgets.targets import Definition
from core.time import Granularity, Window

ZONE = ZoneInfo("UTC")
NOW = datetime(2026, 3, 16, 12, tzinfo=UTC)
MARCH = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC))
FEBRUARY = Window(datetime(2026, 2, 1, tzinfo=UTC), MARCH.start)
EIGHTY, HUNDRED, AHEAD = Threshold(Decimal(80)), Threshold(Decimal(100)), Threshold(Decimal(100), Basis.FORECAST)
MONTHLY = BudgetTerms(
    name="a",
    period=CalendarPeriod(Granularity.MONTH, ZONE),
    amounts=(AmountFrom(Decimal(100)),),
    thresholds=(EIGHTY, HUNDRED, AHEAD),
)
ROLLING = replace(MONTHLY, period=RollingPeriod(24, ZONE), thresholds=(HUNDRED,))
SLOW = GuardrailTerms(
    name="g",
    measure=Measure.LATENCY_P95_MS,
    side=Side.ABOVE,
    bound=Decimal(2000),
    recovery=Decimal(1800),
    in_a_row=2,
    minimum_operations=5,
)


def definition(terms: Terms) -> Definition:
    return Definition(7, 1, terms, FEBRUARY.start, FEBRUARY.start, "ada")


def standing(
    terms: BudgetTerms, spent: str, *, limit: str = "100", ahead: str | None = None, period: Window = MARCH
) -> BudgetState:
    foreseen = Decimal(ahead) if ahead else None
    forecast = Forecast(foreseen, foreseen, foreseen, foreseen) if foreseen else None
    status = BudgetStatus(7, terms, None, period, period, Decimal(spent), Decimal(limit), NOW, forecast=forecast)
    return BudgetState(7, 1, terms, period, period, Decimal(limit), {None: status})


def judged(
    terms: BudgetTerms, state: BudgetState | None, *known: Known, ended: BudgetState | None = None, now: datetime = NOW
) -> Changes:
    definitions = {7: definition(terms)}
    snapshot = Snapshot(now, {7: state} if state else {})
    found = findings(definitions, snapshot, [ended] if ended else [])
    return judge(found, known, definitions, snapshot, now)


def row(threshold: Threshold | str = HUNDRED, period: Window = MARCH, *, resolved: bool = False) -> Known:
    key = threshold if isinstance(threshold, str) else threshold.key
    return Known(1, Key(7, "", period.start, key), period.end, resolved)


def opened(changes: Changes) -> list[str]:
    return [finding.key.threshold for finding in changes.opened]


def resolved(changes: Changes) -> list[Resolution]:
    return [resolution for _, resolution in changes.resolved]


@pytest.mark.parametrize(
    ("spent", "limit", "expected"),
    [
        ("79.999999999999", "100", []),
        ("80", "100", ["actual:80"]),
        ("100", "100", ["actual:80", "actual:100"]),
        ("0", "0", []),
        ("0.000000000001", "0", ["actual:80", "actual:100"]),
        ("-5", "0", []),
    ],
)
def test_a_threshold_is_reached_at_its_amount_and_0_allows_nothing(spent: str, limit: str, expected: list[str]) -> None:
    assert opened(judged(MONTHLY, standing(MONTHLY, spent, limit=limit))) == expected


def test_what_is_on_record_is_not_opened_again() -> None:
    assert not judged(MONTHLY, standing(MONTHLY, "120"), row(EIGHTY), row(HUNDRED)._replace(id=2))


def test_a_correction_resolves_and_a_new_crossing_reopens_the_same_row() -> None:
    assert resolved(judged(MONTHLY, standing(MONTHLY, "99"), row(EIGHTY), row(HUNDRED)._replace(id=2))) == [
        Resolution.CORRECTED
    ]
    again = judged(MONTHLY, standing(MONTHLY, "101"), row(EIGHTY), row(HUNDRED, resolved=True)._replace(id=2))
    assert [known.id for known, _ in again.reopened] == [2]
    assert not again.opened


def test_a_forecast_that_wavers_does_not_flap() -> None:
    terms = replace(MONTHLY, thresholds=(AHEAD,))
    assert opened(judged(terms, standing(terms, "50", ahead="101"))) == ["forecast:100"]
    assert not judged(terms, standing(terms, "50", ahead="96"), row(AHEAD))
    assert not judged(terms, standing(terms, "50"), row(AHEAD)), "no forecast is no news"
    far = replace(standing(terms, "50"), foresees=True)
    assert resolved(judged(terms, far, row(AHEAD))) == [Resolution.RECOVERED], "far below is no forecast either"
    assert resolved(judged(terms, standing(terms, "50", ahead="94"), row(AHEAD))) == [Resolution.RECOVERED]


def test_a_period_that_is_over_resolves_and_the_next_has_its_own() -> None:
    changes = judged(MONTHLY, standing(MONTHLY, "100"), row(HUNDRED, FEBRUARY), row(EIGHTY)._replace(id=2))
    assert resolved(changes) == [Resolution.PERIOD_OVER]
    assert opened(changes) == ["actual:100"]


def test_what_arrives_late_is_still_judged_in_its_own_period() -> None:
    now = MARCH.start + timedelta(minutes=5)
    ended = standing(MONTHLY, "150", ahead="150", period=FEBRUARY)
    changes = judged(MONTHLY, standing(MONTHLY, "0"), row(EIGHTY, FEBRUARY), ended=ended, now=now)
    assert [(f.key.threshold, f.key.period_start, f.ended) for f in changes.opened] == [
        ("actual:100", FEBRUARY.start, True)
    ]
    assert resolved(changes) == [Resolution.PERIOD_OVER]
    assert not judged(MONTHLY, standing(MONTHLY, "0"), row(HUNDRED, FEBRUARY, resolved=True), row(EIGHTY, FEBRUARY, resolved=True), ended=ended, now=now)  # fmt: skip


def test_what_rolls_has_one_breach_at_a_time_and_recovers_clearly() -> None:
    earlier = Window(NOW - timedelta(hours=30), NOW - timedelta(hours=6))
    window = Window(NOW - timedelta(hours=24), NOW)
    assert not judged(ROLLING, standing(ROLLING, "120", period=window), row(HUNDRED, earlier))
    assert not judged(ROLLING, standing(ROLLING, "96", period=window), row(HUNDRED, earlier))
    assert resolved(judged(ROLLING, standing(ROLLING, "94", period=window), row(HUNDRED, earlier))) == [
        Resolution.RECOVERED
    ]


def test_what_was_agreed_otherwise_is_withdrawn() -> None:
    without = replace(MONTHLY, thresholds=(EIGHTY,))
    assert resolved(judged(without, standing(without, "120"), row(EIGHTY), row(HUNDRED)._replace(id=2))) == [
        Resolution.WITHDRAWN
    ]
    weekly = replace(MONTHLY, period=CalendarPeriod(Granularity.WEEK, ZONE))
    week = Window(NOW - timedelta(days=2), NOW + timedelta(days=5))
    assert resolved(judged(weekly, standing(weekly, "0", period=week), row())) == [Resolution.WITHDRAWN]
    changes = judge([], [row()], {}, Snapshot(NOW), NOW)
    assert resolved(changes) == [Resolution.WITHDRAWN], "a deleted budget"


def guarded(value: int | None, operations: int = 10, in_a_row: int = 0, *, quiet: bool = False) -> GuardrailStatus:
    measured = None if value is None else Decimal(value)
    interval = Window(NOW - timedelta(minutes=5), NOW)
    return GuardrailStatus(7, SLOW, None, interval, measured, operations, in_a_row, quiet, NOW)


def rail(status: GuardrailStatus | None, *known: Known) -> Changes:
    definitions = {7: definition(SLOW)}
    snapshot = Snapshot(NOW, {}, {(7, None): status} if status else {})
    return judge(findings(definitions, snapshot), known, definitions, snapshot, NOW)


def test_a_guardrail_is_broken_in_a_row_and_recovers_by_its_own_bound() -> None:
    before = row("above:2000", Window(NOW - timedelta(hours=1), NOW - timedelta(minutes=50)))
    assert not rail(guarded(2500, in_a_row=1))
    broken = rail(guarded(2500, in_a_row=2))
    assert [(f.key.period_start, f.observed) for f in broken.opened] == [(NOW - timedelta(minutes=10), 2500)]
    assert not rail(guarded(2500, in_a_row=2), before)
    assert not rail(guarded(1900), before), "within the bound, beyond recovery"
    assert not rail(guarded(100, operations=4), before), "too few to judge by"
    assert resolved(rail(guarded(1800), before)) == [Resolution.RECOVERED]
    assert resolved(rail(guarded(None, 0, quiet=True), before)) == [Resolution.RECOVERED]
    assert resolved(rail(None, before)) == [Resolution.RECOVERED]


def test_members_that_are_not_watched_any_more_are_withdrawn() -> None:
    terms = replace(MONTHLY, each=Dimension.TENANT)
    state = replace(standing(terms, "0"), statuses={}, unwatched=frozenset({"acme"}))
    known = Known(1, Key(7, "acme", MARCH.start, HUNDRED.key), MARCH.end, False)
    assert resolved(judged(terms, state, known)) == [Resolution.WITHDRAWN]
