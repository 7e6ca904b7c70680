"""Decisions: what is left, who is asked about, what is held for whom and for how long."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attribution.dimensions import Dimension
from attribution.measures import Measure
from attribution.query import Tag
from budgets.board import Board
from budgets.decisions import SETTLED, Asked, Decider, Decision, NoSuchReservation, Reason, WhenStale
from budgets.definition import Mode, Override
from budgets.live import Live
from budgets.matching import Facts, matcher
from budgets.periods import RollingPeriod
from budgets.reservations import TooManyReservations
from budgets.status import BudgetState, Snapshot
from budgets.usage import Usage
from tenants.scope import Scope
from tests.attribution.factories import CENT, event
from tests.attribution.strategies import filters
from tests.budgets.boards import NOW, is_, snapshot, state, terms

SECOND = timedelta(seconds=1)
ACME = is_(Dimension.TENANT, "acme")


def decider(*states: BudgetState, when_stale: WhenStale = WhenStale.ALLOW, stale_seconds: float = 1e6) -> Decider:
    live = Live()
    made = Decider(live, stale_seconds=stale_seconds, when_stale=when_stale)
    if states:
        live.publish(snapshot(*states))
    made.live = live  # type: ignore[attr-defined]
    return made


def asked(cost: str = "1", *, event_id: str = "", request_id: str = "", **said: Any) -> Asked:
    columns = {"tenant_id": "acme"} | said
    return Asked(Facts(columns, {}, NOW), Usage(Decimal(cost), 100, 10), event_id, request_id)


def granted(made: Decider, cost: str = "1", at: Any = NOW, **said: Any) -> Decision:
    decision = made.decide(asked(cost, **said), at)
    assert decision.allowed, decision
    return decision


def denied(made: Decider, cost: str = "1", at: Any = NOW, **said: Any) -> Decision:
    decision = made.decide(asked(cost, **said), at)
    assert not decision.allowed, decision
    assert decision.reservation is None
    return decision


def test_without_a_budget_anything_goes():
    made = decider(state(1, terms(where=is_(Dimension.TENANT, "globex"), mode=Mode.ENFORCE)))
    decision = granted(made)
    assert (decision.reason, decision.standing, decision.reservation) == (Reason.NO_BUDGET, None, None)


def test_what_is_granted_is_not_granted_twice():
    made = decider(state(1, terms(10, where=ACME), all_="7.5"))
    granted(made, "1")
    granted(made, "1.5")
    decision = denied(made, "0.000000000001")
    assert decision.reason is Reason.OVER_BUDGET
    assert (decision.standing.remaining, decision.standing.held) == (0, Decimal("2.5"))
    assert decision.standing.until == NOW.replace(hour=0) + timedelta(days=1)


def test_only_enforced_budgets_deny():
    made = decider(state(1, terms(0, mode=Mode.NOTIFY), all_="5"))
    assert granted(made).reason is Reason.NO_BUDGET


def test_nothing_may_be_spent_of_nothing():
    assert denied(decider(state(1, terms(0))), "0").standing.limit == 0


def test_all_that_match_must_allow_and_the_one_that_denies_longest_is_named():
    day, hours = (
        state(1, terms(10, name="day"), all_="10"),
        terms(5, name="h", period=RollingPeriod(5, ZoneInfo("UTC"))),
    )
    made = decider(day, state(2, terms(100, name="big")), state(3, hours, all_="5"))
    assert denied(made).standing.state.terms.name == "h"
    assert made.reservations.held((2, None)) == 0


def test_the_tightest_is_named_when_all_allow():
    made = decider(state(1, terms(100)), state(2, terms(10, name="tight")))
    assert granted(made).standing.state.terms.name == "tight"


def test_each_member_has_a_limit_of_its_own():
    per_user = terms(
        5,
        each=Dimension.USER,
        overrides=(Override("power", Decimal(50)), Override("free", None), Override("no", Decimal(0))),
    )
    made = decider(state(1, per_user, ada="4.5"))
    denied(made, user_id="ada")
    granted(made, "0.5", user_id="ada")
    granted(made, "5", user_id="new")
    denied(made, "0.1", user_id="new")
    granted(made, "50", user_id="power")
    denied(made, "0", user_id="no")
    for nobody in ("free", ""):
        assert granted(made, "1000", user_id=nobody).reason is Reason.NO_BUDGET


@pytest.mark.parametrize(
    ("measure", "limit", "times"),
    [
        (Measure.OPERATIONS, 2, 2),
        (Measure.INPUT_TOKENS, 250, 2),
        (Measure.OUTPUT_TOKENS, 30, 3),
        (Measure.TOTAL_TOKENS, 110, 1),
    ],
)
def test_a_budget_holds_what_it_measures(measure, limit, times):
    made = decider(state(1, terms(limit, measure=measure)))
    for _ in range(times):
        granted(made)
    denied(made)


def test_a_reservation_ends_by_itself():
    made = decider(state(1, terms(1)))
    granted(made)
    denied(made, at=NOW + 59 * SECOND)
    granted(made, at=NOW + 60 * SECOND)


def test_an_event_takes_the_place_of_its_reservation_until_it_is_evaluated():
    budget = terms(10)
    made = decider(state(1, budget))
    granted(made, "9", event_id="e1")
    made.stored([event(event_id="e1", effective_cost=200 * CENT)], NOW + SECOND)
    assert (made.reservations.held((1, None)), len(made.reservations)) == (2, 0)
    denied(made, "8.1", at=NOW + 2 * SECOND)
    granted(made, "8", at=NOW + 2 * SECOND)
    made.live.publish(snapshot(state(1, budget, all_="2"), at=NOW + 5 * SECOND))
    denied(made, "0.1", at=NOW + 5 * SECOND)
    assert made.reservations.held((1, None)) == 8


def test_an_evaluation_that_read_the_store_before_the_event_does_not_count_for_it():
    budget = terms(10)
    made = decider(state(1, budget))
    granted(made, "9", event_id="e1")
    made.stored([event(event_id="e1", effective_cost=900 * CENT)], NOW + 5 * SECOND)
    made.live.publish(snapshot(state(1, budget), at=NOW + 6 * SECOND))
    denied(made, "2", at=NOW + 6 * SECOND)


def test_events_of_a_request_settle_its_reservations_in_turn():
    made = decider(state(1, terms(10)))
    granted(made, "3", request_id="r1")
    granted(made, "4", request_id="r1")
    for id_ in ("x", "y", "z"):
        made.stored([event(event_id=id_, request_id="r1", effective_cost=100 * CENT)], NOW)
    assert made.reservations.held((1, None)) == 2
    assert len(made.reservations) == 0


def test_events_of_others_settle_nothing():
    made = decider(state(1, terms(10)))
    granted(made, "3", event_id="e1")
    made.stored([event(tenant_id="globex", event_id="e1"), event(event_id="e2")], NOW)
    assert made.reservations.held((1, None)) == 3


def test_asked_again_for_one_event_it_is_held_once():
    made = decider(state(1, terms(10)))
    first, second = (granted(made, cost, event_id="e1") for cost in ("9", "8"))
    assert first.reservation.id != second.reservation.id
    assert made.reservations.held((1, None)) == 8


def test_a_caller_may_say_what_it_took_or_that_it_did_not_happen():
    made = decider(state(1, terms(10)))
    id_ = granted(made, "9", event_id="e1").reservation.id
    settled = made.settle(id_, Scope("acme"), Usage(Decimal("0.5")), NOW + SECOND)
    assert settled.expires_at == NOW + SECOND + SETTLED
    assert made.reservations.held((1, None)) == Decimal("0.5")
    made.decide(asked("0"), NOW + 90 * SECOND)
    with pytest.raises(NoSuchReservation):
        made.release(id_, Scope("globex"))
    made.release(id_, Scope())
    assert made.reservations.held((1, None)) == 0
    with pytest.raises(NoSuchReservation):
        made.release(id_, Scope("acme"))


def test_another_scope_neither_settles_nor_releases_nor_replaces():
    made = decider(state(1, terms(10)))
    id_ = granted(made, "9", event_id="e1", team="search").reservation.id
    for scope in (Scope(team="chat"), Scope("acme", environment="test"), Scope("globex")):
        with pytest.raises(NoSuchReservation):
            made.settle(id_, scope, Usage(), NOW)
        with pytest.raises(NoSuchReservation):
            made.release(id_, scope)
    denied(made, "2", event_id="e1", team="chat")
    made.stored([event(event_id="e1", team="chat", effective_cost=0)], NOW)
    assert made.reservations.held((1, None)) == 9
    made.release(id_, Scope("acme", "search"))


def test_ids_cannot_be_counted_on():
    made = decider(state(1, terms(10)))
    ids = {granted(made).reservation.id for _ in range(5)}
    assert len({id_[:10] for id_ in ids}) == 5


def test_a_correction_settles_no_other_operation_of_its_request():
    made = decider(state(1, terms(10)))
    granted(made, "3", request_id="r1")
    granted(made, "4", request_id="r1")
    for _ in range(3):
        made.stored([event(event_id="x", request_id="r1", effective_cost=100 * CENT)], NOW)
    assert made.reservations.held((1, None)) == 5


def test_what_waits_in_the_spool_is_held_until_that_is_empty_and_evaluated():
    made = decider(state(1, terms(10)))
    made._is_spooling = lambda: True
    granted(made, "9", event_id="e1")
    made.spooled([event(event_id="e1", effective_cost=950 * CENT)])
    later = NOW + timedelta(hours=1)
    made.live.publish(snapshot(state(1, terms(10)), at=later))
    denied(made, "1", at=later)
    made._is_spooling = lambda: False
    denied(made, "1", at=later)
    made.live.publish(snapshot(state(1, terms(10)), at=later + 5 * SECOND))
    granted(made, "1", at=later + 5 * SECOND)


def test_a_limit_of_nothing_denies_whatever_was_credited():
    assert denied(decider(state(1, terms(0), all_="-5")), "0").standing.remaining == 5


def test_nothing_is_kept_in_mind_for_nothing():
    made = decider(state(1, terms(10)))
    assert made.decide(replace(asked("0"), usage=Usage()), NOW).reservation is None


def test_no_more_is_kept_in_mind_than_may_be(monkeypatch):
    monkeypatch.setattr("budgets.reservations.MOST", 2)
    made = decider(state(1, terms(10)))
    granted(made)
    granted(made)
    with pytest.raises(TooManyReservations):
        made.decide(asked(), NOW)
    granted(made, at=NOW + 60 * SECOND)


def test_asking_for_one_event_over_and_over_takes_no_memory():
    made = decider(state(1, terms(10)))
    for _ in range(5_000):
        granted(made, event_id="e1")
    assert len(made.reservations._expiries) < 2_000


def test_a_period_that_has_begun_since_the_evaluation_starts_from_nothing():
    made = decider(state(1, terms(10), all_="10"))
    denied(made, at=NOW + timedelta(hours=11, minutes=59))
    made.live.publish(snapshot(state(1, terms(10), all_="10"), at=NOW + timedelta(hours=12)))
    decision = granted(made, "10", at=NOW + timedelta(hours=12))
    assert decision.standing.until == NOW.replace(hour=0) + timedelta(days=2)
    ending = terms(10, ends_at=NOW + timedelta(hours=12))
    made = decider(replace(state(1, ending, all_="10")))
    assert granted(made, "99", at=NOW + timedelta(hours=12)).reason is Reason.NO_BUDGET


@pytest.mark.parametrize("when_stale", WhenStale)
def test_what_is_stale_is_decided_as_the_setting_says(when_stale):
    made = decider(state(1, terms(10, where=ACME), all_="10"), when_stale=when_stale, stale_seconds=30)
    decision = made.decide(asked(), NOW + 31 * SECOND)
    assert (decision.stale, decision.reason) == (True, Reason.STALE)
    assert decision.allowed == (when_stale is WhenStale.ALLOW)
    other = made.decide(asked(tenant_id="globex"), NOW + 31 * SECOND)
    assert (other.allowed, other.stale, other.reason) == (True, True, Reason.NO_BUDGET)


@pytest.mark.parametrize("when_stale", WhenStale)
def test_before_the_first_evaluation_nothing_is_known(when_stale):
    made = decider(when_stale=when_stale, stale_seconds=30)
    assert made.decide(asked(), NOW).allowed == (when_stale is WhenStale.ALLOW)
    made.live.publish(Snapshot(NOW))
    assert made.decide(asked(), NOW).reason is Reason.NO_BUDGET


def test_an_index_is_made_anew_only_when_budgets_change():
    one = Board.of(snapshot(state(1, terms(10, where=ACME))), Board())
    same = Board.of(snapshot(state(1, terms(10, where=ACME), all_="5")), one)
    assert same.index is one.index
    assert same.snapshot is not one.snapshot
    changed = Board.of(snapshot(replace(state(1, terms(10, where=is_(Dimension.TEAM, "x"))), version=2)), one)
    assert list(changed.index.candidates(Facts({"team": "x"}, {}, NOW))) == [1]


def test_few_of_many_budgets_are_looked_at():
    many = [state(n, terms(10, name=str(n), where=is_(Dimension.TENANT, f"t{n}"))) for n in range(2_000)]
    board = Board.of(snapshot(*many), Board())
    assert list(board.index.candidates(asked(tenant_id="t7").facts)) == [7]


@settings(max_examples=60, deadline=None)
@given(st.lists(filters, max_size=8), st.randoms(use_true_random=False))
def test_no_budget_that_matches_is_missed(wheres, random: Random):
    board = Board.of(snapshot(*(state(n, terms(1, where=where)) for n, where in enumerate(wheres))), Board())
    texts = ["", "acme", "search", "gold", "ok", "production"]
    facts = Facts(
        {"tenant_id": random.choice(texts), "team": random.choice(texts), "environment": random.choice(texts)},
        {"plan": random.choice(texts)} if random.random() < 0.7 else {},
        NOW,
    )
    found = {each.budget_id for each, _ in board.matching(facts)}
    assert found == {n for n, where in enumerate(wheres) if matcher(where, ZoneInfo("UTC"))(facts)}


@settings(max_examples=60, deadline=None)
@given(st.randoms(use_true_random=False))
def test_whatever_happens_no_more_is_granted_than_is_left(random: Random):
    """The law: evaluated spend, and all that was granted and not yet evaluated, stay within the limit."""
    budget, made = terms(10), decider(state(1, terms(10)))
    now, stored, open_ = NOW, [], {}
    for step in range(80):
        now += timedelta(milliseconds=random.randrange(400))
        match random.choice(["ask", "ask", "store", "evaluate"]):
            case "ask":
                cost = Decimal(random.randrange(1, 300)) / 100
                if made.decide(asked(str(cost), event_id=f"e{step}"), now).allowed:
                    open_[f"e{step}"] = cost
            case "store" if open_:
                name, cost = random.choice(list(open_.items()))
                del open_[name]
                stored.append(cost)
                made.stored([event(event_id=name, effective_cost=int(cost * 10**12))], now)
            case "evaluate":
                made.live.publish(Snapshot(now, {1: state(1, budget, all_=str(sum(stored)))}))
        assert sum(stored) + sum(open_.values()) <= 10


def test_a_tag_can_be_what_budgets_are_found_by():
    made = decider(state(1, terms(0, where=replace(ACME, attribute=Tag("plan"), values=("free",)))))
    facts = Facts({"tenant_id": "acme"}, {"plan": "free"}, NOW)
    assert not made.decide(replace(asked(), facts=facts), NOW).allowed
