"""The demo's budgets tell their story, and every one of them has spent what `costs` says."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from api.demo.load import prepare
from api.graphql.budget_types import Standing, standing
from api.services import Services
from api.serving import open_services
from attribution.query import CostQuery, Page
from budgets.lease import Lease
from budgets.round import Round
from budgets.status import BudgetState, Snapshot
from core.settings import Settings
from tenants.scope import Scope
from tests.engines import EmbeddedClickHouse, fresh_clickhouse_url


@pytest.mark.slow
def test_some_are_fine_and_others_are_not(embedded_clickhouse: EmbeddedClickHouse, tmp_path: Path) -> None:
    with fresh_clickhouse_url(embedded_clickhouse) as url:
        services = open_services(Settings(clickhouse_url=url, data_dir=tmp_path, _env_file=None))
        prepare(services, events=6_000, seed=7)
        snapshot = evaluated(services)
        story = {state.terms.name: worst(state) for state in snapshot.budgets.values()}
        assert (story["company"], story["docs"]) == (Standing.FINE, Standing.FINE)
        assert (story["agent-research launch"], story["power users"]) == (Standing.FORECAST, Standing.BREACHED)
        for state in snapshot.budgets.values():
            spent = {member: status.spent for member, status in state.statuses.items() if status.spent}
            assert spent == costs(services, state), state.terms.name
        assert len(snapshot.guardrails) >= 2
        services.release()


def evaluated(services: Services) -> Snapshot:
    lease = Lease(services.database, "test")
    lease.hold()
    tools = (services.store.slices, services.database, services.watch.targets, lease)
    return Round(*tools, tell=None, currency="USD").look(datetime.now(UTC)).snapshot


def worst(state: BudgetState) -> Standing:
    order = list(Standing)
    return min((standing(status) for status in state.statuses.values()), key=order.index)


def costs(services: Services, state: BudgetState) -> dict[str | None, Decimal]:
    terms = state.terms
    groups = (terms.each,) if terms.each else ()
    report = services.store.report(
        CostQuery(
            Scope(), state.counted, (terms.measure,), terms.period.zone, groups, where=terms.where, page=Page(10_000)
        )
    )
    if not groups:
        return {None: report.totals[terms.measure]}
    return {k: v for k, v in zip(report.keys[0], report.measures[terms.measure], strict=True) if k and v}
