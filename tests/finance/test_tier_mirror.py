"""The events store knows the tiers that the database has, whoever changed them and whatever was restored."""

from __future__ import annotations

from datetime import UTC, datetime

from attribution.tier_history import TierHistory
from finance.tier_mirror import COMPARE_SECONDS, TierMirror
from tenants.directory import Placement
from tests.app import Api

JANUARY = datetime(2026, 1, 1, tzinfo=UTC)


def _place(api: Api, tier: str = "pro") -> None:
    api.services.money.tenants.place(Placement("acme", tier, JANUARY), by="test")


def test_a_change_reaches_the_store_and_nothing_is_written_without_one(embedded_api: Api):
    services = embedded_api.services
    services.money.tiers.create("pro", "Pro", by="test")
    _place(embedded_api)
    services.money.tier_mirror.refresh()
    version, digest = services.store.newest_tier_history()
    assert version > 0
    services.money.tiers.create("free", "Free", by="test")  # changes no assignment
    services.money.tier_mirror.refresh()
    assert services.store.newest_tier_history() == (version, digest)
    _place(embedded_api, "free")
    services.money.tier_mirror.refresh()
    assert services.store.newest_tier_history() > (version, digest)


def test_a_store_that_disagrees_is_mended_even_when_its_version_is_higher(embedded_api: Api):
    services = embedded_api.services
    services.money.tiers.create("pro", "Pro", by="test")
    _place(embedded_api)
    now = 0.0
    mirror = TierMirror(services.database, services.money.tenants, services.store, clock=lambda: now)
    mirror.refresh()
    _, digest = services.store.newest_tier_history()
    services.store.put_tier_history(TierHistory(()), 1_000)
    mirror.refresh()
    assert services.store.newest_tier_history() == (1_000, TierHistory(()).digest)
    now = COMPARE_SECONDS
    mirror.refresh()
    assert services.store.newest_tier_history() == (1_001, digest)
