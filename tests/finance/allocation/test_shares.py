"""Shares sum to what is shared, to the last pico."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attribution.dimensions import Dimension
from attribution.measures import Measure
from attribution.query import Tag
from finance.allocation.rules import InvalidRule, Method, Rule, in_force, share_out, weights
from finance.allocation.shares import NothingToShareBy, largest_remainder
from finance.bookings import in_storable_parts

START = datetime(2026, 10, 1, tzinfo=UTC)

amounts = st.integers(-(10**19), 10**19)
parts = st.lists(st.integers(0, 10**20), min_size=1, max_size=30).filter(any)


@given(amounts, parts)
@settings(max_examples=200)
def test_shares_sum_exactly_and_none_is_off_by_a_whole_pico(amount: int, weights: list[int]) -> None:
    shares = largest_remainder(amount, weights)
    assert sum(shares) == amount
    for share, weight in zip(shares, weights, strict=True):
        assert abs(share - Fraction(amount * weight, sum(weights))) < 1
        assert share * amount >= 0
        assert weight or not share


@given(amounts, parts)
@settings(max_examples=50)
def test_a_credit_is_shared_like_its_opposite(amount: int, weights: list[int]) -> None:
    assert largest_remainder(-amount, weights) == [-share for share in largest_remainder(amount, weights)]


def test_the_units_left_go_to_the_largest_remainders() -> None:
    assert largest_remainder(10, [1, 1, 1]) == [4, 3, 3]
    assert largest_remainder(10, [1, 3, 3]) == [2, 4, 4]


def test_nothing_is_shared_by_nothing() -> None:
    with pytest.raises(NothingToShareBy):
        largest_remainder(1, [0, 0])


@given(st.integers(-(10**20), 10**20))
@settings(max_examples=50)
def test_an_amount_fits_into_events(amount: int) -> None:
    parts = list(in_storable_parts(amount))
    assert sum(parts) == amount
    assert all(abs(part) < 10**18 for part in parts)


def rule(**fields: Any) -> Rule:
    usual = {"name": "fee", "members": Dimension.TENANT, "method": Method.EQUAL, "effective_from": START}
    return Rule(**(usual | fields))


@given(amounts, st.lists(st.integers(1, 10**9), min_size=1, max_size=8))
@settings(max_examples=50)
def test_fixed_shares_and_what_they_leave_open_sum_to_the_charge(amount: int, parts: list[int]) -> None:
    whole = sum(parts) + 1
    stated = {f"m{i}": (Decimal(part) / whole).quantize(Decimal("1e-12")) for i, part in enumerate(parts)}
    fixed = rule(method=Method.FIXED, shares={m: s for m, s in stated.items() if s} or {"m": Decimal("0.5")})
    sharing = share_out(amount, fixed, weights(fixed, {}))
    assert sum(share.amount for share in sharing.shares) + sharing.rest == amount


def test_members_are_those_seen_or_those_named() -> None:
    seen = {"acme": Decimal(3), "beta": Decimal(1), "": Decimal(7), "unattributed": Decimal(9), "free": Decimal(0)}
    by_usage = rule(method=Method.PROPORTIONAL, measure=Measure.TOTAL_TOKENS)
    sharing = share_out(100, by_usage, weights(by_usage, seen))
    assert [(share.member, share.amount, share.fraction) for share in sharing.shares] == [
        ("acme", 75, Decimal("0.75")),
        ("beta", 25, Decimal("0.25")),
    ]
    assert [part.member for part in weights(rule(), seen)] == ["acme", "beta", "free"]
    assert [part.member for part in weights(rule(only=("new", "acme")), seen)] == ["acme", "new"]


def test_without_any_part_nothing_is_shared() -> None:
    by_usage = rule(method=Method.PROPORTIONAL, measure=Measure.EFFECTIVE_COST)
    sharing = share_out(100, by_usage, weights(by_usage, {"acme": Decimal(-1)}))
    assert (sharing.shares, sharing.rest, sharing.reason) == ((), 100, "no member has any part in the measure")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": "a@b"}, "name"),
        ({"members": Dimension.USER}, "members"),
        ({"method": Method.PROPORTIONAL}, "measure"),
        ({"measure": Measure.OPERATIONS}, "measure"),
        ({"method": Method.PROPORTIONAL, "measure": Measure.ACTIVE_USERS}, "measure"),
        ({"method": Method.FIXED}, "shares"),
        ({"shares": {"acme": Decimal(1)}}, "shares"),
        ({"method": Method.FIXED, "shares": {"a": Decimal("0.6"), "b": Decimal("0.5")}}, "shares"),
        ({"method": Method.FIXED, "shares": {"a": Decimal(-1)}}, "shares"),
        ({"method": Method.FIXED, "shares": {"a": Decimal("1e-13")}}, "shares"),
        ({"only": ()}, "only"),
        ({"only": ("unattributed",)}, "members"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRule) as refused:
        rule(**fields)
    assert refused.value.field == field


def test_the_version_effective_last_holds() -> None:
    december = datetime(2026, 12, 1, tzinfo=UTC)
    versions = [
        rule(version=1),
        rule(version=2, effective_from=december, members=Tag("plan")),
        rule(version=3, members=Dimension.TEAM),
    ]
    assert in_force(versions, START) is versions[2]
    assert in_force(versions, december) is versions[1]
    assert in_force(versions, datetime(2026, 9, 30, tzinfo=UTC)) is None
    assert in_force([*versions, rule(version=4, retired=True)], START) is None
