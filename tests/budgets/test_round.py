"""Whole evaluations on a real store and both kinds of database: each at an instant that the test chooses."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlmodel import Session

import budgets.round
from attribution.dimensions import Dimension
from attribution.failures import QueryTooSlow
from attribution.measures import Measure
from attribution.query import EVERYTHING
from attribution.slices import SliceQuery
from budgets.definition import AmountFrom, GuardrailTerms, Override, Side
from budgets.evaluation import Term, current_terms
from budgets.history import past, past_slice
from budgets.lease import Lease, LeaseLost
from budgets.models import LeaseRow
from budgets.notices import Notice
from budgets.periods import CalendarPeriod, RollingPeriod
from budgets.relay import decode, encode
from budgets.round import Round
from budgets.spending import Plan
from budgets.status import BudgetState, Snapshot
from budgets.targets import ChangedMeanwhile, NameTaken
from core.time import Granularity
from tests.budgets.worlds import FEBRUARY, MARCH, MONTHLY, ZONE, World, changed_in, evaluated, made_before, spend


def test_what_a_period_leaves_is_there_in_the_next(world: World) -> None:
    made_before(world, replace(MONTHLY, rollover=True))
    world.store.insert([spend(FEBRUARY, "4"), spend(MARCH, "15")])
    status = world.status(MARCH)
    assert (status.spent, status.limit, status.rolled_over) == (15, 16, 6)
    assert world.status(datetime(2026, 4, 2, tzinfo=UTC)).limit == 10, "what was overspent is no debt"
    assert world.status(datetime(2026, 5, 2, tzinfo=UTC)).limit == 20, "a whole amount, and no more than that"


def test_a_new_budget_inherits_nothing(world: World) -> None:
    world.targets.create(replace(MONTHLY, rollover=True), by="ada")
    assert world.status(MARCH).limit == 10


def test_only_what_happens_in_its_life_counts(world: World) -> None:
    world.targets.create(replace(MONTHLY, starts_at=MARCH, ends_at=MARCH + timedelta(days=5)), by="ada")
    world.store.insert([spend(MARCH - timedelta(seconds=1), "100"), spend(MARCH, "9")])
    assert not world.run(MARCH - timedelta(hours=1)).budgets
    assert world.status(MARCH + timedelta(hours=1)).spent == 9
    assert not world.run(MARCH + timedelta(days=5)).budgets


def test_one_breach_for_each_member_and_period_which_ends_with_it(world: World) -> None:
    terms = replace(MONTHLY, each=Dimension.TENANT, overrides=(Override("rich", Decimal(100)), Override("free", None)))
    world.targets.create(terms, by="ada")
    world.store.insert([spend(MARCH, "20", tenant_id=name) for name in ("a", "eve\x00", "rich", "free")])
    for _ in range(3):
        world.run(MARCH + timedelta(hours=1))
    assert [(b.member, b.state) for b in world.breaches()] == [("a", "open"), ("eve\N{REPLACEMENT CHARACTER}", "open")]
    assert [notice.topic for notice in world.told] == ["breach.opened"] * 2
    world.run(datetime(2026, 4, 1, 0, 1, tzinfo=UTC))
    assert {(b.state, b.resolution) for b in world.breaches()} == {("resolved", "period_over")}
    world.store.insert([spend(datetime(2026, 4, 2, tzinfo=UTC), "20", tenant_id="a")])
    world.run(datetime(2026, 4, 3, tzinfo=UTC))
    assert [b.period_start.month for b in world.breaches() if b.member == "a"] == [3, 4]
    keys = [notice.dedupe_key for notice in world.told]
    assert len(keys) == len(set(keys)) == 5


def test_what_comes_late_breaches_the_period_it_belongs_to(world: World) -> None:
    made_before(world, MONTHLY)
    end = datetime(2026, 4, 1, tzinfo=UTC)
    world.run(end - timedelta(seconds=1))
    world.store.insert([spend(end - timedelta(seconds=2), "20")])
    for _ in range(2):
        world.run(end + timedelta(minutes=1))
    (breach,) = world.breaches()
    assert (breach.period_start.month, breach.state, breach.observed) == (3, "resolved", 20)
    assert [notice.topic for notice in world.told] == ["breach.opened"]


def test_a_rolling_budget_breaches_once_and_recovers(world: World) -> None:
    world.targets.create(replace(MONTHLY, period=RollingPeriod(24, ZONE)), by="ada")
    world.store.insert([spend(MARCH, "11")])
    for hours in (1, 2, 23):
        world.run(MARCH + timedelta(hours=hours))
    assert [b.state for b in world.breaches()] == ["open"]
    world.run(MARCH + timedelta(hours=25))
    assert [b.resolution for b in world.breaches()] == ["recovered"]
    world.store.insert([spend(MARCH + timedelta(hours=30), "12")])
    world.run(MARCH + timedelta(hours=31))
    assert [b.state for b in world.breaches()] == ["resolved", "open"]


def test_a_muted_budget_is_judged_and_nobody_is_told(world: World) -> None:
    definition = world.targets.create(MONTHLY, by="ada")
    world.targets.mute(definition, MARCH + timedelta(days=1), by="ada")
    world.store.insert([spend(MARCH, "20")])
    world.run(MARCH + timedelta(hours=1))
    assert (len(world.breaches()), world.told) == (1, [])


@pytest.mark.parametrize("meanwhile", [False, True])
def test_what_outlasts_the_mute_is_told_when_it_ends(world: World, *, meanwhile: bool) -> None:
    definition = world.targets.create(MONTHLY, by="ada")
    world.targets.mute(definition, MARCH + timedelta(hours=2), by="ada")
    world.store.insert([spend(MARCH, "20")])
    world.run(MARCH + timedelta(hours=1))
    if meanwhile:  # another process takes over
        world.round = world.another(world.lease)
    for minutes in (1, 2):
        world.run(MARCH + timedelta(hours=2, minutes=minutes))
    assert [notice.topic for notice in world.told] == ["breach.opened"]
    assert world.told[0].payload["contributors"]
    world.run(datetime(2026, 4, 1, 0, 1, tzinfo=UTC))
    assert [notice.topic for notice in world.told] == ["breach.opened", "breach.resolved"]


def test_a_statement_that_is_refused_stops_no_other(world: World) -> None:
    world.targets.create(MONTHLY, by="ada")
    world.targets.create(replace(MONTHLY, name="slow", period=CalendarPeriod(Granularity.YEAR, ZONE)), by="ada")
    world.store.insert([spend(MARCH, "20")])
    world.run(MARCH + timedelta(hours=1))
    assert [b.state for b in world.breaches()] == ["open", "open"]

    def ask(query: SliceQuery) -> Any:
        if query.window.end - query.window.start > timedelta(days=300):
            raise QueryTooSlow(30)
        return world.store.slices(query)

    snapshot = evaluated(world.another(world.lease, ask), MARCH + timedelta(hours=2))
    assert [state.terms.name for state in snapshot.budgets.values()] == ["search"]
    assert [b.state for b in world.breaches()] == ["open", "open"], "what is not known is not over"


def test_who_lost_the_lease_writes_nothing(world: World) -> None:
    world.targets.create(MONTHLY, by="ada")
    world.store.insert([spend(MARCH, "20")])
    with pytest.raises(LeaseLost):
        evaluated(world.another(Lease(world.database, "budgets")), MARCH)
    assert (world.breaches(), world.told) == ([], [])


def test_other_processes_see_the_same(world: World) -> None:
    world.targets.create(replace(MONTHLY, each=Dimension.USER), by="ada")
    days = [spend(MARCH - timedelta(days=d), "1.3", user_id=f"u{d % 3}") for d in range(20)]
    world.store.insert(days)
    snapshot = world.run(MARCH)
    assert any(status.forecast for status in snapshot.statuses())
    definitions = {each.id: each for each in world.targets.all()}
    assert decode(encode(snapshot), snapshot.evaluated_at, definitions, Snapshot()) == snapshot
    edited = {id_: replace(each, version=2) for id_, each in definitions.items()}
    assert decode(encode(snapshot), MARCH, edited, snapshot).budgets == snapshot.budgets, "it stands as it did"


def test_changes_do_not_overwrite_each_other(world: World) -> None:
    first = world.targets.create(MONTHLY, by="ada")
    second = world.targets.update(first, replace(MONTHLY, amounts=(AmountFrom(Decimal(20)),)), by="bob")
    assert second.version == 2
    for change in (
        lambda: world.targets.update(first, MONTHLY, by="eve"),
        lambda: world.targets.delete(first, by="eve"),
    ):
        with pytest.raises(ChangedMeanwhile):
            change()
    other = world.targets.create(replace(MONTHLY, name="other"), by="ada")
    with pytest.raises(NameTaken):
        world.targets.update(other, MONTHLY, by="ada")
    with pytest.raises(NameTaken):
        world.targets.create(MONTHLY, by="ada")
    world.targets.delete(second, by="ada")
    assert [each.terms.name for each in world.targets.all()] == ["other"]
    assert [each.is_deleted for each in world.targets.ever()] == [True, False]
    assert [terms for _, terms in world.targets.versions([first.id])[first.id]] == [MONTHLY, second.terms]


def test_a_target_that_cannot_be_evaluated_stops_no_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = world.targets.create(replace(MONTHLY, name="odd"), by="ada")
    world.targets.create(MONTHLY, by="ada")
    world.store.insert([spend(MARCH, "20")])
    world.run(MARCH + timedelta(hours=1))
    whole = budgets.round.evaluate

    def evaluate(term: Term, *rest: Any) -> BudgetState:
        if term.definition.id == odd.id:
            raise ValueError("math domain error")
        return whole(term, *rest)

    monkeypatch.setattr(budgets.round, "evaluate", evaluate)
    snapshot = world.run(MARCH + timedelta(hours=2))
    assert [state.terms.name for state in snapshot.budgets.values()] == ["search"]
    assert [b.state for b in world.breaches()] == ["open", "open"], "what is not known is not over"


def test_a_change_that_cannot_be_written_stops_no_other(world: World) -> None:
    world.targets.create(MONTHLY, by="ada")
    world.targets.create(replace(MONTHLY, name="odd", channels=("x" * 100,)), by="ada")
    world.store.insert([spend(MARCH, "20")])
    assert world.lease.hold()

    def tell(session: Session, notice: Notice) -> None:
        if notice.channels != ("ops",):
            session.add(LeaseRow(name="budgets", holder="eve", expires_at=0.0))
            session.flush()

    odd = Round(world.store.slices, world.database, world.targets, world.lease, tell=tell, currency="USD")
    evaluated(odd, MARCH + timedelta(hours=1))
    (breach,) = world.breaches()
    assert breach.target_id == 1
    world.run(MARCH + timedelta(hours=2))
    assert len(world.breaches()) == 2, "it is tried again"


def test_who_spent_all_of_it_last_time_has_nothing_left_over(world: World) -> None:
    made_before(world, replace(MONTHLY, where=EVERYTHING, each=Dimension.TENANT, rollover=True))
    world.store.insert([spend(FEBRUARY, "10", tenant_id="acme"), spend(FEBRUARY, "4", tenant_id="half")])
    (state,) = world.run(MARCH).budgets.values()
    assert {member: status.limit for member, status in state.statuses.items()} == {"acme": 10, "half": 16}
    assert state.default_limit == 20


def test_a_raised_amount_leaves_nothing_more_in_the_period_before(world: World) -> None:
    raised = replace(MONTHLY, rollover=True, amounts=(AmountFrom(Decimal(1000)),))
    changed_in(world, FEBRUARY - timedelta(days=30), replace(MONTHLY, rollover=True), MARCH, raised)
    world.store.insert([spend(FEBRUARY, "10")])
    assert world.status(MARCH + timedelta(hours=1)).limit == 1000
    world.store.insert([spend(FEBRUARY, "-3")])
    now = MARCH + timedelta(hours=2)
    assert world.status(now).limit == 1003
    (term,) = current_terms(world.targets.all(), now, world.targets.as_of)
    spending = Plan([past_slice(term, 2)]).answer(world.store.slices)
    (versions,) = world.targets.versions([term.definition.id]).values()
    assert [(p.limit, p.spent) for p in past(term, 2, spending, versions, now)] == [(20, 7), (1003, 0)]


def test_what_is_left_of_something_else_does_not_roll_over(world: World) -> None:
    tokens = replace(MONTHLY, rollover=True, measure=Measure.OPERATIONS)
    changed_in(world, FEBRUARY - timedelta(days=30), replace(MONTHLY, rollover=True), MARCH, tokens)
    assert world.status(MARCH + timedelta(hours=1)).limit == 10


def test_a_period_is_judged_by_what_was_said_at_its_end(world: World) -> None:
    end = datetime(2026, 4, 1, tzinfo=UTC)
    lowered = replace(MONTHLY, amounts=(AmountFrom(Decimal(1)),))
    changed_in(world, FEBRUARY, MONTHLY, end + timedelta(minutes=1), lowered)
    world.store.insert([spend(end - timedelta(hours=2), "5")])
    world.run(end + timedelta(minutes=2))
    assert not world.breaches()
    world.store.insert([spend(end - timedelta(hours=1), "6")])
    world.run(end + timedelta(minutes=3))
    assert [(b.target_version, b.bound, b.resolution) for b in world.breaches()] == [(1, 10, "period_over")]


def test_an_interval_is_judged_once_whatever_arrives_later(world: World) -> None:
    terms = GuardrailTerms(name="errors", measure=Measure.ERROR_RATE, side=Side.ABOVE, bound=Decimal("0.5"))
    world.targets.create(terms, by="ada")
    world.store.insert([spend(MARCH, "1")])
    world.run(MARCH + timedelta(minutes=6))
    world.store.insert([spend(MARCH, "1", status="error") for _ in range(9)])
    world.run(MARCH + timedelta(minutes=7))
    assert not world.breaches()
    world.store.insert([spend(MARCH + timedelta(minutes=5), "1", status="error")])
    world.run(MARCH + timedelta(minutes=11))
    world.store.insert([spend(MARCH + timedelta(minutes=5), "1") for _ in range(9)])
    world.run(MARCH + timedelta(minutes=12))
    assert [b.state for b in world.breaches()] == ["open"]
    world.run(MARCH + timedelta(minutes=16))
    assert [b.resolution for b in world.breaches()] == ["recovered"]
