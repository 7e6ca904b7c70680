"""Filters of budgets select an operation to come exactly as they select the event it becomes."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from attribution.dimensions import Dimension
from attribution.event import COLUMNS, EventRow
from attribution.query import UTC, Condition, Operator, Tag
from budgets.matching import COMPUTED, Facts, column_of, matcher, reader_of
from tests.attribution import oracle
from tests.attribution.factories import NOON, event, random_rows
from tests.attribution.strategies import conditions, filters, zones

ROWS = random_rows(11, 300)


def facts_of(row: EventRow) -> Facts:
    """All that an event says, as its operation would have said it."""
    columns = {name: value for name, value in row._asdict().items() if name != "tags"}
    tier, assignment = (oracle.read(d, row, UTC) for d in (Dimension.TIER, Dimension.ASSIGNMENT))
    return Facts(columns, row.tags, row.start_time, tier, assignment)


@settings(max_examples=200, deadline=None)
@given(filters | conditions(), zones, st.sampled_from(ROWS))
def test_a_filter_selects_what_the_oracle_selects(where, zone, row):
    assert matcher(where, zone)(facts_of(row)) == oracle.matches(where, row, zone)


def test_every_dimension_can_be_read():
    row = event(tags={"plan": "gold"})
    facts = facts_of(row)
    for dimension in Dimension:
        column = column_of(dimension)
        assert dimension in COMPUTED or column in COLUMNS, f"say in budgets.matching how {dimension} comes about"
        assert reader_of(dimension, UTC)(facts) == oracle.read(dimension, row, UTC)
    assert reader_of(Tag("plan"), UTC)(facts) == "gold"


def test_what_is_left_out_is_as_in_an_event_that_leaves_it_out():
    """Text is empty, a first try is the first, a call that has not failed is ok."""
    facts, bare = (
        Facts({}, {}, NOON),
        event(**dict.fromkeys(("tenant_id", "team", "request_model", "response_model"), "")),
    )
    for dimension in (Dimension.TENANT, Dimension.MODEL, Dimension.STATUS, Dimension.ATTEMPT, Dimension.CACHE_HIT):
        assert reader_of(dimension, UTC)(facts) == oracle.read(dimension, bare, UTC)
    assert not matcher(Condition(Dimension.TENANT, Operator.EXISTS, (True,)), UTC)(facts)
    assert matcher(Condition(Tag("plan"), Operator.EXISTS, (False,)), UTC)(facts)
