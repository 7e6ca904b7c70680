"""Tiers, their versions and who has them: checked, audited, never overwritten in ignorance."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from core.database import Database
from tenants.audit import records
from tenants.changes import VersionConflict, edition
from tenants.directory import ExternalIdTaken, InvalidTenant, Placement, TenantChange, Tenants
from tenants.models import TenantStatus
from tenants.terms import (
    Band,
    BandMode,
    BillingPeriod,
    InvalidTerms,
    Meter,
    Seats,
    TierOverrides,
    TierTerms,
    decode_overrides,
    decode_terms,
    encode_terms,
)
from tenants.tiers import InvalidTier, NoSuchTier, TierExists, Tiers

JANUARY, FEBRUARY, MARCH, APRIL = (datetime(2026, month, 1, tzinfo=UTC) for month in (1, 2, 3, 4))
PRO = TierTerms(
    period=BillingPeriod.QUARTER,
    period_fee=Decimal("99.5"),
    meters=(
        Meter("input_tokens", Decimal(1000), (Band(Decimal(5), Decimal("0.2")), Band(None, Decimal("0.1"), 1000))),
    ),
    markup_percent=Decimal(20),
    seats=Seats(Decimal(5)),
)


@pytest.fixture
def tiers(database: Database) -> Tiers:
    tiers = Tiers(database, "USD", {"input_tokens", "operations"})
    for key in ("free", "pro"):
        tiers.create(key, key.title(), by="test")
    return tiers


@pytest.fixture
def tenants(database: Database, tiers: Tiers) -> Tenants:
    return Tenants(database)


def spans(tenants: Tenants, tenant: str = "acme") -> list[tuple[str, datetime, datetime | None]]:
    return [(each.tier, each.start, each.end) for each in tenants.assignments(tenant)]


def test_terms_are_stored_to_the_last_digit(tiers: Tiers):
    tier = tiers.set_terms("pro", JANUARY, PRO, expected_version=1, by="test")
    assert tier.version == 2
    assert [decode_terms(version.terms) for version in tiers.versions()] == [PRO]


def test_terms_of_an_instant_are_replaced_and_the_audit_log_keeps_the_old_ones(database: Database, tiers: Tiers):
    tiers.set_terms("pro", JANUARY, TierTerms(), by="test")
    tiers.set_terms("pro", JANUARY, PRO, by="test")
    assert len(tiers.versions()) == 1
    assert "replaced" in records(database, first=1)[0].details


def test_a_tier_is_not_changed_by_whoever_knows_an_old_version(tiers: Tiers):
    tiers.update("pro", name="Professional", expected_version=1, by="test")
    with pytest.raises(VersionConflict, match="at version 2, not at version 1"):
        tiers.set_terms("pro", JANUARY, PRO, expected_version=1, by="test")
    assert tiers.versions() == []


def test_keys_names_and_terms_are_checked(tiers: Tiers):
    with pytest.raises(TierExists):
        tiers.create("pro", "Another", by="test")
    with pytest.raises(InvalidTier, match="key"):
        tiers.create("Pro!", "Pro", by="test")
    with pytest.raises(NoSuchTier):
        tiers.set_terms("gold", JANUARY, PRO, by="test")
    with pytest.raises(InvalidTerms, match="accounts in USD"):
        tiers.set_terms("pro", JANUARY, TierTerms(currency="EUR"), by="test")
    with pytest.raises(InvalidTerms, match="no additive measure"):
        tiers.set_terms("pro", JANUARY, TierTerms(meters=(Meter("error_rate"),)), by="test")
    with pytest.raises(InvalidTier, match="whole second"):
        tiers.set_terms("pro", JANUARY.replace(microsecond=1), PRO, by="test")


@pytest.mark.parametrize(
    "bands",
    [
        (Band(Decimal(5), Decimal(1)),),
        (Band(None, Decimal(1)), Band(None, Decimal(2))),
        (Band(Decimal(5), Decimal(1)), Band(Decimal(5), Decimal(2)), Band(None, Decimal(3))),
        (Band(None, Decimal(-1)),),
        (Band(None, Decimal("NaN")),),
        (Band(None, Decimal(1), 0),),
    ],
)
def test_bands_rise_and_only_the_last_has_no_end(bands: tuple[Band, ...]):
    with pytest.raises(InvalidTerms):
        Meter("operations", bands=bands) and TierTerms(meters=(Meter("operations", bands=bands),))


def test_percentages_and_amounts_have_bounds():
    for wrong in (
        {"discount_percent": Decimal(101)},
        {"period_fee": Decimal(-1)},
        {"minimum_fee": Decimal("Infinity")},
    ):
        with pytest.raises(InvalidTerms):
            TierTerms(**wrong)
        with pytest.raises(InvalidTerms):
            TierOverrides(**wrong)


def test_overrides_replace_what_they_name_and_nothing_else():
    cheaper = Meter("input_tokens", Decimal(9), (Band(None, Decimal(1)),), BandMode.VOLUME)
    overrides = TierOverrides(period_fee=Decimal(0), meters=(cheaper, Meter("operations", Decimal(7))))
    assert decode_overrides(encode_terms(overrides)) == overrides
    terms = PRO.with_overrides(overrides)
    assert terms.period_fee == 0
    assert terms.meters == (cheaper, Meter("operations", Decimal(7)))
    assert (terms.markup_percent, terms.seats, terms.period) == (PRO.markup_percent, PRO.seats, PRO.period)
    assert PRO.with_overrides(TierOverrides()) == PRO


def test_a_tenant_is_entered_with_its_first_tier_and_its_history_never_overlaps(tenants: Tenants):
    assert tenants.place(Placement("acme", "free", JANUARY), expected_version=0, by="test").version == 1
    tenants.place(Placement("acme", "pro", FEBRUARY, MARCH), expected_version=1, by="test")
    assert spans(tenants) == [("free", JANUARY, FEBRUARY), ("pro", FEBRUARY, MARCH), ("free", MARCH, None)]
    tenants.place(Placement("acme", "pro", MARCH), by="test")
    assert spans(tenants) == [("free", JANUARY, FEBRUARY), ("pro", FEBRUARY, MARCH), ("pro", MARCH, None)]
    tenants.place(Placement("acme", None, JANUARY, APRIL), by="test")
    assert spans(tenants) == [("pro", APRIL, None)]


def test_a_split_assignment_keeps_its_overrides(tenants: Tenants):
    overrides = TierOverrides(minimum_fee=Decimal(3))
    tenants.place(Placement("acme", "pro", JANUARY, overrides=overrides), by="test")
    tenants.place(Placement("acme", "free", FEBRUARY, MARCH), by="test")
    kept = [decode_overrides(each.overrides) for each in tenants.assignments("acme") if each.tier == "pro"]
    assert kept == [overrides, overrides]


def test_a_placement_that_cannot_be_leaves_nothing(tenants: Tenants):
    with pytest.raises(NoSuchTier):
        tenants.place(Placement("acme", "gold", JANUARY), by="test")
    with pytest.raises(InvalidTenant, match="after the start"):
        Placement("acme", "pro", FEBRUARY, JANUARY)
    assert tenants.all() == []


def test_a_tenant_is_changed_in_part_and_only_by_whoever_has_looked(tenants: Tenants):
    tenants.save(TenantChange("acme", external_id="cus_1", name="Acme"), expected_version=0, by="test")
    tenants.save(TenantChange("acme", status=TenantStatus.TRIAL, details={"segment": "smb"}), by="test")
    (acme,) = tenants.all("acme")
    assert (acme.external_id, acme.name, acme.status, acme.version) == ("cus_1", "Acme", "trial", 2)
    with pytest.raises(VersionConflict):
        tenants.save(TenantChange("acme", name="Other"), expected_version=1, by="test")
    with pytest.raises(ExternalIdTaken):
        tenants.save(TenantChange("other", external_id="cus_1"), by="test")
    tenants.save(TenantChange("acme", external_id=""), by="test")
    tenants.save(TenantChange("other", external_id="cus_1"), by="test")


def test_every_change_is_recorded_and_raises_the_edition(database: Database, tenants: Tenants):
    before = edition(database)
    tenants.place(Placement("acme", "pro", JANUARY), by="kim")
    tenants.save(TenantChange("acme", name="Acme"), by="kim")
    assert edition(database) == before + 2
    assert [(each.actor, each.action) for each in records(database, first=2)] == [
        ("kim", "tenant.save"),
        ("kim", "tenant.assign_tier"),
    ]
