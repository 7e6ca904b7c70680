"""Tiers by the event's time: what was changed for the past changes the answers about it, at once and as a whole."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta

from attribution.dimensions import Dimension
from attribution.measures import Measure
from attribution.query import Condition, CostQuery, Operator, Order
from attribution.store import Store
from attribution.tier_history import TierHistory, TierSpan
from core.time import Window
from tenants.scope import Scope
from tests.attribution.factories import ALL_TIME, NOON, event

HOUR = timedelta(hours=1)


def _operations_by_tier(store: Store) -> dict[str | None, int]:
    query = CostQuery(Scope(), ALL_TIME, (Measure.OPERATIONS,), group_by=(Dimension.TIER,))
    report = store.report(query)
    return dict(zip(report.keys[0], report.measures[Measure.OPERATIONS], strict=True))


def _history(*spans: TierSpan) -> TierHistory:
    return TierHistory(spans)


def test_a_tier_holds_from_its_start_until_before_its_end(store: Store):
    store.put_tier_history(_history(TierSpan("acme", NOON, NOON + HOUR, "pro", "1")), 2)
    micro = timedelta(microseconds=1)
    store.insert([event(start_time=NOON + at) for at in (-micro, timedelta(), HOUR - micro, HOUR)])
    assert _operations_by_tier(store) == {"pro": 2, None: 2}


def test_changing_the_past_changes_the_answers_about_it(store: Store):
    store.insert([event(start_time=NOON), event(start_time=NOON + HOUR), event(tenant_id="other")])
    store.put_tier_history(_history(TierSpan("acme", NOON, None, "free", "1")), 2)
    assert _operations_by_tier(store) == {"free": 2, None: 1}
    spans = (TierSpan("acme", NOON, NOON + HOUR, "free", "1"), TierSpan("acme", NOON + HOUR, None, "pro", "2"))
    store.put_tier_history(_history(*spans), 3)
    assert _operations_by_tier(store) == {"free": 1, "pro": 1, None: 1}
    assert store.newest_tier_history() == (3, _history(*reversed(spans)).digest)


def test_an_older_history_that_arrives_late_is_not_seen(store: Store):
    store.insert([event()])
    store.put_tier_history(_history(TierSpan("acme", NOON, None, "pro", "1")), 9)
    store.put_tier_history(_history(), 8)
    assert _operations_by_tier(store) == {"pro": 1}


def test_a_migrated_store_knows_no_tiers(clickhouse_url: str):
    with closing(Store(clickhouse_url)) as store:
        store.migrate()
        store.insert([event()])
        assert _operations_by_tier(store) == {None: 1}
        assert store.newest_tier_history() == (0, "")


def test_thousands_of_tenants_are_told_apart(store: Store):
    start = datetime(2026, 1, 1, tzinfo=UTC)
    spans = [TierSpan(f"t{n}", start, None, f"tier{n % 7}", str(n)) for n in range(20_000)]
    store.put_tier_history(_history(*spans), 2)
    store.insert([event(tenant_id=f"t{n}") for n in range(0, 20_000, 10)])
    assert _operations_by_tier(store) == Counter(f"tier{n % 7}" for n in range(0, 20_000, 10))
    query = CostQuery(
        Scope(),
        Window(start, datetime(2027, 1, 1, tzinfo=UTC)),
        (Measure.OPERATIONS,),
        group_by=(Dimension.TENANT, Dimension.TIER, Dimension.ASSIGNMENT),
        where=Condition(Dimension.TIER, Operator.ANY_OF, ("tier3",)),
        order_by=(Order(Dimension.TIER), Order(Dimension.TENANT)),
    )
    report = store.report(query)
    assert set(report.keys[1]) == {"tier3"}
    assert all(int(tenant[1:]) % 7 == 3 for tenant in report.keys[0])
    assert [f"t{number}" for number in report.keys[2]] == report.keys[0]
