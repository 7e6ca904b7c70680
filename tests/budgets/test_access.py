"""Who sees what of a filter: keys, and the notices that are told of it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attribution.dimensions import Dimension
from attribution.query import All, Any, Filter
from budgets.access import is_visible, scope_of
from tenants.scope import Scope
from tests.attribution.strategies import filters
from tests.budgets.boards import is_

ACME, SEARCH = is_(Dimension.TENANT, "acme"), is_(Dimension.TEAM, "search")


@pytest.mark.parametrize(
    ("where", "scope"),
    [
        (All(()), Scope()),
        (ACME, Scope("acme")),
        (All((ACME, All((SEARCH, is_(Dimension.ENVIRONMENT, "test"))))), Scope("acme", "search", "test")),
        (is_(Dimension.TEAM, "search", "chat"), Scope()),
        (Any((SEARCH, ACME)), Scope()),
        (is_(Dimension.TEAM, "x" * 201), Scope()),
        (is_(Dimension.TEAM, "a\0b"), Scope()),
    ],
)
def test_a_filter_is_of_the_scope_that_it_names(where: Filter, scope: Scope) -> None:
    assert scope_of(where) == scope


sides = st.sampled_from([None, "acme", "search", "production"])


@settings(max_examples=100, deadline=None)
@given(filters, st.builds(Scope, sides, sides, sides))
def test_a_key_sees_the_notices_of_what_it_sees(where: Filter, scope: Scope) -> None:
    assert scope.covers(scope_of(where)) == is_visible(where, scope)
