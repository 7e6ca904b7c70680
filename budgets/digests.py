"""The weekly digests: written on Monday morning by whichever process comes first, once for each team and channel."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import func
from sqlmodel import Session, col, select

from attribution.query import CostQuery
from attribution.report import CostReport
from budgets.access import is_visible
from budgets.digest import Week, digest, first_day, week_to_tell, weeks_of, weeks_query
from budgets.live import Live
from budgets.models import Breach, Target
from budgets.status import BudgetStatus
from budgets.targets import Targets
from core.database import Database
from core.time import Window
from notifications.outbox import enqueue
from notifications.topics import Topic
from tenants.scope import Scope

LOOK_SECONDS: Final = 300.0
FIRST_LOOK_SECONDS: Final = 15.0
"""While budgets have not been evaluated yet."""
MOST_BUDGETS: Final = 20
"""Of a team's budgets and members, the fullest are told."""

_logger = logging.getLogger("apportion.budgets")


class Digests:
    """The digests of one deployment. Teams are those that own a budget or guardrail."""

    def __init__(
        self,
        database: Database,
        targets: Targets,
        live: Live,
        report: Callable[[CostQuery], CostReport],
        *,
        zone: ZoneInfo,
        currency: str,
    ) -> None:
        self._database = database
        self._targets = targets
        self._live = live
        self._report = report
        self._zone = zone
        self._currency = currency
        self._told: Window | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to look for what is due."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            try:
                await asyncio.to_thread(self.tell, datetime.now(UTC))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again soon
                _logger.warning("the weekly digests cannot be written now: %s", error)
            await asyncio.sleep(LOOK_SECONDS if self._live.snapshot.is_of_targets else FIRST_LOOK_SECONDS)

    def tell(self, now: datetime) -> int:
        """How many notifications were added: those of last week, on Monday and Tuesday, unless they were before.

        None before there is an evaluation that says how budgets stand.
        """
        week = week_to_tell(now, self._zone)
        if week is None or week == self._told:
            return 0
        teams = sorted({each.terms.team for each in self._targets.all()} - {""})
        if teams and not self._live.snapshot.is_of_targets:
            return 0
        added = self._write(teams, week) if teams else 0
        self._told = week
        return added

    def _write(self, teams: list[str], week: Window) -> int:
        weeks = weeks_of(self._report(weeks_query(week, self._zone)), week)
        day, added = first_day(week, self._zone), 0
        with self._database.session() as session:
            opened = _opened(session, week)
            for team in teams:
                payload = digest(
                    team, week, weeks.get(team, Week()), self._budgets(team), opened.get(team, 0), self._currency
                )
                key = f"digest:{day}:{team}"
                added += enqueue(
                    session, Topic.DIGEST_WEEKLY, payload, dedupe_key=key, team=team, scope=Scope(team=team)
                )
            session.commit()
        return added

    def _budgets(self, team: str) -> list[BudgetStatus]:
        """Of those that the team owns, those that count it alone: how others stand, its editors may not see."""
        scope, statuses = Scope(team=team), self._live.snapshot.statuses()
        own = [each for each in statuses if each.terms.team == team and is_visible(each.terms.where, scope)]
        return sorted(own, key=lambda each: -(each.percent or 0))[:MOST_BUDGETS]


def _opened(session: Session, week: Window) -> Mapping[str, int]:
    """How many breaches opened in the week, by the team that owns what was breached."""
    within = (col(Breach.opened_at) >= week.start, col(Breach.opened_at) < week.end)
    counted = select(Target.team, func.count()).join(Breach, col(Breach.target_id) == Target.id)
    return dict(session.exec(counted.where(*within).group_by(col(Target.team))).all())
