"""Budgets and guardrails cannot exist in an unusable state."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from attribution.dimensions import Dimension
from attribution.measures import Measure
from budgets.definition import (
    AmountFrom,
    Basis,
    BudgetTerms,
    GuardrailTerms,
    InvalidTarget,
    Override,
    Side,
    Threshold,
)
from budgets.periods import CalendarPeriod, InvalidPeriod, RollingPeriod
from core.time import Granularity

UTC_ZONE = ZoneInfo("UTC")
MONTH = CalendarPeriod(Granularity.MONTH, UTC_ZONE)
BUDGET = BudgetTerms(name="search", period=MONTH, amounts=(AmountFrom(Decimal(100)),))
GUARDRAIL = GuardrailTerms(name="slow", measure=Measure.LATENCY_P95_MS, side=Side.ABOVE, bound=Decimal(2000))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": " search"}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"team": "x" * 201}, "team"),
        ({"channels": ("",)}, "channels"),
        ({"channels": ("x" * 101,)}, "channels"),
        ({"measure": Measure.LATENCY_P95_MS}, "measure"),
        ({"measure": Measure.ACTIVE_USERS}, "measure"),
        ({"amounts": ()}, "amount"),
        ({"amounts": (AmountFrom(Decimal(1), date(2026, 1, 1)),)}, "amount"),
        ({"amounts": (AmountFrom(Decimal(-1)),)}, "amount"),
        ({"amounts": (AmountFrom(Decimal("NaN")),)}, "amount"),
        ({"amounts": (AmountFrom(Decimal("0.0000000000001")),)}, "amount"),
        ({"amounts": (AmountFrom(Decimal(1)), AmountFrom(Decimal(2)))}, "amounts"),
        ({"thresholds": ()}, "thresholds"),
        ({"thresholds": (Threshold(Decimal(80)), Threshold(Decimal("80.0")))}, "thresholds"),
        ({"overrides": (Override("acme", Decimal(1)),)}, "overrides"),
        ({"parent": "search"}, "parent"),
        ({"rollover": True, "period": RollingPeriod(24, UTC_ZONE)}, "rollover"),
        ({"starts_at": datetime(2026, 2, 1, tzinfo=UTC), "ends_at": datetime(2026, 2, 1, tzinfo=UTC)}, "ends_at"),
    ],
)
def test_unusable_budgets_name_the_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidTarget) as caught:
        replace(BUDGET, **change)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"measure": Measure.EFFECTIVE_COST}, "measure"),
        ({"measure": Measure.COST_SHARE}, "measure"),
        ({"measure": Measure.LAST_SEEN}, "measure"),
        ({"recovery": Decimal(2001)}, "recovery"),
        ({"side": Side.BELOW, "recovery": Decimal(1999)}, "recovery"),
        ({"in_a_row": 0}, "in_a_row"),
        ({"interval_minutes": 1441}, "interval_minutes"),
        ({"bound": Decimal("Infinity")}, "bound"),
    ],
)
def test_unusable_guardrails_name_the_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidTarget) as caught:
        replace(GUARDRAIL, **change)
    assert caught.value.field == field


@pytest.mark.parametrize("percent", ["0", "-1", "NaN", "10001"])
def test_thresholds_are_percentages(percent: str) -> None:
    with pytest.raises(InvalidTarget):
        Threshold(Decimal(percent))


def test_periods_below_a_day_are_rolling() -> None:
    with pytest.raises(InvalidPeriod):
        CalendarPeriod(Granularity.HOUR, UTC_ZONE)
    with pytest.raises(InvalidPeriod):
        RollingPeriod(0, UTC_ZONE)


def test_amounts_follow_the_year_and_members_have_their_own() -> None:
    terms = replace(
        BUDGET,
        amounts=(AmountFrom(Decimal(100)), AmountFrom(Decimal(0), date(2026, 3, 1))),
        each=Dimension.TENANT,
        overrides=(Override("acme", Decimal(7)), Override("quiet", None)),
    )
    assert [terms.amount(date(2026, month, 1)) for month in (2, 3, 4)] == [100, 0, 0]
    assert (terms.amount(date(2026, 4, 1), "acme"), terms.amount(date(2026, 4, 1), "quiet")) == (7, None)


def test_thresholds_have_stable_keys() -> None:
    assert Threshold(Decimal("80.50")).key == "actual:80.5"
    assert Threshold(Decimal(100), Basis.FORECAST).key == "forecast:100"
