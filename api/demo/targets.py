"""The demo company's budgets and guardrails: some are fine, some near, some breached, and one will be.

Amounts come from what the company has spent, so that they tell the same story for any number of events and on any day.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Final
from zoneinfo import ZoneInfo

from api.services import Services
from attribution.dimensions import Dimension
from attribution.measures import Measure
from attribution.query import EVERYTHING, Attribute, Condition, Filter, Operator, Tag
from budgets.definition import (
    AmountFrom,
    BudgetTerms,
    GuardrailTerms,
    InvalidTarget,
    Mode,
    Override,
    Severity,
    Side,
    Terms,
)
from budgets.periods import CalendarPeriod, FixedPeriod, Period, RollingPeriod
from budgets.spending import Plan, Slice
from budgets.targets import NameTaken
from core.time import Granularity, Window

_ZONE: Final = ZoneInfo("Europe/Dublin")
_MONTH: Final = CalendarPeriod(Granularity.MONTH, _ZONE)
_WIKI: Final = "https://wiki.example/ai-spend/"
_LEAST: Final = Decimal(1)
_CENT: Final = Decimal("0.01")


def set_targets(services: Services, now: datetime) -> None:
    """Set those that there are not yet."""
    for terms in (*_Budgets(services, now).all(), *_guardrails()):
        try:
            services.watch.targets.create(terms, by="demo")
        except NameTaken:
            continue


class _Budgets:
    """Budgets in proportion to what their slices have spent by now."""

    def __init__(self, services: Services, now: datetime) -> None:
        self._services = services
        self._now = now

    def all(self) -> Iterator[BudgetTerms]:
        """Every budget of the company, its parent first."""
        lately = FixedPeriod(Window(self._now - timedelta(days=30), self._now + timedelta(days=30)), _ZONE)
        usual = partial(self._budget, basis=lately)
        yield usual("company", EVERYTHING, "3", team="platform")
        yield usual("docs", _is(Dimension.TEAM, "docs"), "1.5", team="docs", parent="company")
        yield usual("growth", _is(Dimension.TEAM, "growth"), "1.4", team="growth", parent="company", rollover=True)
        yield self._budget("sales", _is(Dimension.TEAM, "sales"), "1.1", team="sales", parent="company")
        yield self._budget("support", _is(Dimension.TEAM, "support"), "0.8", team="support", parent="company")
        research = _is(Dimension.FEATURE, "agent-research")
        yield self._budget("agent-research launch", research, "1.4", lately, team="search")
        week = CalendarPeriod(Granularity.WEEK, _ZONE)
        yield usual("wasted on failures", EVERYTHING, "0.5", week, measure=Measure.WASTED_COST, team="platform")
        yield self._each("free tenants", _is(Tag("plan"), "free"), Dimension.TENANT, mode=Mode.ENFORCE)
        yield self._each("power users", EVERYTHING, Dimension.USER, period=RollingPeriod(24, _ZONE), mode=Mode.ENFORCE)

    def _budget(
        self,
        name: str,
        where: Filter,
        share: str,
        period: Period = _MONTH,
        *,
        basis: Period | None = None,
        measure: Measure = Measure.EFFECTIVE_COST,
        team: str,
        parent: str = "",
        rollover: bool = False,
    ) -> BudgetTerms:
        """A budget of so many times what was spent by now, in this period or in that of the basis."""
        spent = max(self._spent(basis or period, where, measure).values())
        return BudgetTerms(
            name=name,
            team=team,
            where=where,
            period=period,
            amounts=(AmountFrom(max(_LEAST, (spent * Decimal(share)).quantize(_CENT))),),
            measure=measure,
            parent=parent,
            rollover=rollover,
            playbook=f"{_WIKI}{name.replace(' ', '-')}",
        )

    def _each(self, name: str, where: Filter, each: Attribute, *, mode: Mode, period: Period = _MONTH) -> BudgetTerms:
        """A budget for each member that the third of them has just reached, while the first has one of its own."""
        spent = self._spent(period, where, Measure.EFFECTIVE_COST, each)
        ranked = sorted(((amount, member or "") for member, amount in spent.items()), reverse=True)
        amount, first = (ranked[2][0], ranked[0]) if len(ranked) > 2 else (_LEAST, (_LEAST, "nobody"))
        return BudgetTerms(
            name=name,
            where=where,
            period=period,
            amounts=(AmountFrom(max(_CENT, amount.quantize(_CENT))),),
            each=each,
            overrides=(Override(first[1], (first[0] * 2).quantize(_CENT)),),
            mode=mode,
            playbook=f"{_WIKI}{name.replace(' ', '-')}",
        )

    def _spent(
        self, period: Period, where: Filter, measure: Measure, each: Attribute | None = None
    ) -> dict[str | None, Decimal]:
        window = period.at(self._now)
        if window is None:
            raise InvalidTarget("period", "the demo's periods hold its end")
        asked = Slice(window, where, measure, each, _ZONE)
        sums = Plan([asked]).answer(self._services.store.slices).of(asked)
        return {member: total.amount for member, total in sums.items()}


def _guardrails() -> Iterator[Terms]:
    yield GuardrailTerms(
        name="failing features",
        measure=Measure.ERROR_RATE,
        side=Side.ABOVE,
        bound=Decimal("0.15"),
        recovery=Decimal("0.1"),
        each=Dimension.FEATURE,
        interval_minutes=60,
        in_a_row=2,
        minimum_operations=20,
        severity=Severity.CRITICAL,
        team="platform",
        playbook=f"{_WIKI}failing-features",
    )
    yield GuardrailTerms(
        name="slow chat",
        measure=Measure.TTFT_P95_MS,
        side=Side.ABOVE,
        bound=Decimal(4_000),
        where=_is(Dimension.FEATURE, "chat-assistant"),
        interval_minutes=15,
        in_a_row=2,
        minimum_operations=20,
        team="growth",
        playbook=f"{_WIKI}slow-chat",
    )


def _is(attribute: Attribute, value: str) -> Condition:
    return Condition(attribute, Operator.ANY_OF, (value,))
