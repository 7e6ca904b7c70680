"""What a budget would have done, and how little work it takes to say so."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

import budgets.replay
from attribution.dimensions import Dimension
from budgets.definition import DEFAULT_THRESHOLDS, AmountFrom, BudgetTerms, Threshold
from budgets.periods import CalendarPeriod
from budgets.replay import Replay, replay
from budgets.spending import Plan, Spending, Sum
from core.time import Granularity

NOW = datetime(2026, 3, 31, 23, tzinfo=UTC)
TERMS = BudgetTerms(
    name="b", period=CalendarPeriod(Granularity.MONTH, ZoneInfo("UTC")), amounts=(AmountFrom(Decimal(100)),)
)


class Steady(Spending):
    """Members that have spent 5 every day."""

    def __init__(self, members: int) -> None:
        super().__init__(Plan([]), {})
        names = [f"u{i}" for i in range(members)] or [None]
        days = [date(2026, 1, 1) + timedelta(days=i) for i in range(90)]
        self._sums = {(name, day): Sum(Decimal(5), 0) for name in names for day in days}

    def by_bucket(self, _: Any) -> Any:
        return self._sums


def replayed(terms: BudgetTerms, days: int = 20, members: int = 0) -> Replay:
    return replay(terms, days, NOW, Steady(members))


def test_each_threshold_is_crossed_once_a_period() -> None:
    found = replayed(TERMS)
    assert [(c.threshold.key, c.at.day) for c in found.crossings] == [
        ("forecast:100", 1),
        ("actual:80", 17),
        ("actual:100", 21),
    ]


@pytest.mark.parametrize(("thresholds", "times"), [(DEFAULT_THRESHOLDS, 1), ((Threshold(Decimal(80)),), 0)])
def test_only_what_may_cross_is_foreseen(
    thresholds: tuple[Threshold, ...], times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    whole = budgets.replay.habit

    def habit(*args: Any) -> Any:
        asked.append(args)
        return whole(*args)

    monkeypatch.setattr("budgets.replay.habit", habit)
    replayed(replace(TERMS, thresholds=thresholds))
    assert len(asked) == times


def test_of_long_stretches_fewer_members_are_replayed() -> None:
    terms = replace(TERMS, each=Dimension.USER, thresholds=(Threshold(Decimal(80)),))
    many = replayed(terms, days=400, members=100)
    assert (many.members, len({member for member, *_ in many.periods})) == (100, 45)
