"""The fast executor gives what the stock executor gives, whatever the rows hold, and is really taken."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
import strawberry
from hypothesis import given, settings
from hypothesis import strategies as st

from api.graphql.executor import MAX_PLANS, FastExecutor, plans_of
from tests.api.graphql.guinea_pig import make_schema


@strawberry.enum
class Level(enum.Enum):
    LOW = 1
    HIGH = 2


@strawberry.type
class Leaf:
    name: str | None
    level: Level


@strawberry.type
class Node:
    name: str
    nick: str | None
    count: int
    ratio: float | None
    ok: bool | None
    identity: strawberry.ID | None
    level: Level | None
    cost: Decimal | None
    leaf: Leaf
    maybe_leaf: Leaf | None
    leaves: list[Leaf]
    maybe_leaves: list[Leaf | None] | None
    grid: list[list[int | None]]

    @strawberry.field
    def resolved(self) -> str:
        return f"resolved {self.count}"


@strawberry.interface
class Named:
    name: str


@strawberry.type
class Implementing(Named):
    size: int


@strawberry.type
class Rows:
    nodes: list[Node]
    maybe: list[Node | None]
    implementing: list[Implementing]
    named: list[Named]
    words: list[str]
    numbers: list[int | None] | None
    levels: list[Level]


@strawberry.type
class Query:
    @strawberry.field
    def rows(self, info: strawberry.Info) -> Rows | None:
        return info.context  # type: ignore[no-any-return]


FAST = strawberry.Schema(Query, execution_context_class=FastExecutor)
STOCK = strawberry.Schema(Query)


@dataclass
class Impostor:
    """Has the attributes of a leaf and is none."""

    name: str
    level: Level


class Subleaf(Leaf):
    """A subclass may override anything."""


def mostly(good: st.SearchStrategy[Any], bad: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Good values, with a bad one in every fiftieth place."""
    return st.integers(0, 49).flatmap(lambda number: bad if number == 0 else good)


ODD = st.sampled_from(
    [None, 1, 2**31, -1.5, math.nan, math.inf, True, "x", "", b"x", [], {}, Level.LOW, object, Decimal("1.10")]
)
LEVEL = st.sampled_from(Level)
LEAF = st.builds(Leaf, name=mostly(st.text() | st.none(), ODD), level=mostly(LEVEL, ODD))
ANY_LEAF = mostly(
    LEAF,
    st.one_of(ODD, st.builds(Impostor, name=st.text(), level=LEVEL), st.builds(Subleaf, name=st.text(), level=LEVEL)),
)
NODE = st.builds(
    Node,
    name=mostly(st.text(), ODD),
    nick=st.none() | mostly(st.text(), ODD),
    count=mostly(st.integers(-(2**31), 2**31 - 1), ODD),
    ratio=st.none() | mostly(st.floats(allow_nan=False, allow_infinity=False), ODD),
    ok=st.none() | mostly(st.booleans(), ODD),
    identity=st.none() | mostly(st.text(), ODD),
    level=st.none() | mostly(LEVEL, ODD),
    cost=st.none() | mostly(st.decimals(allow_nan=False, places=3), ODD),
    leaf=ANY_LEAF,
    maybe_leaf=st.none() | ANY_LEAF,
    leaves=mostly(st.lists(ANY_LEAF, max_size=2) | st.lists(LEAF).map(tuple), ODD),
    maybe_leaves=st.none() | st.lists(st.none() | LEAF, max_size=2),
    grid=mostly(st.lists(st.lists(st.none() | st.integers(0, 9), max_size=2), max_size=2), ODD),
)


@st.composite
def row_sets(draw: Callable[..., Any]) -> Rows:
    nodes = draw(st.lists(NODE, min_size=1, max_size=3))
    nodes = [nodes[number % len(nodes)] for number in range(draw(st.sampled_from([3, 8, 9, 12])))]
    words = [draw(mostly(st.text(), ODD))] * 9
    return Rows(
        nodes=nodes,
        maybe=draw(st.sampled_from([nodes, [*nodes, None], tuple(nodes)])),
        implementing=[Implementing(name="n", size=1)] * 9,
        named=[Implementing(name="n", size=1)] * 9,
        words=words,
        numbers=draw(st.none() | st.just([1, None, 3, 4, 5, 6, 7, 8, 9])),
        levels=[draw(mostly(LEVEL, ODD))] * 9,
    )


SELECTIONS = [
    "name nick count",
    "a: name b: name __typename",
    "ratio ok identity level cost",
    "leaf { name level } maybeLeaf { name __typename }",
    "leaves { name level } maybeLeaves { level }",
    "grid name",
    "resolved name",
    "...F",
    "name ...F leaf { ...L } leaf { level }",
    "... on Node { name } ... { count }",
    "name @include(if: $yes) nick @skip(if: $yes) count",
    "... @include(if: $yes) { cost } leaf @skip(if: $yes) { name } name",
    "...F @include(if: $yes) count",
]
FRAGMENTS = "fragment F on Node { nick leaf { ...L } } fragment L on Leaf { name }"
LISTS = ["nodes { %s }", "maybe { %s }", "nodes { %s } x: nodes { count }"]
OTHERS = [
    "words",
    "numbers levels",
    "implementing { name size }",
    "named { __typename name ... on Implementing { size } }",
]


@st.composite
def queries(draw: Callable[..., Any]) -> str:
    selection = draw(st.sampled_from(LISTS)) % draw(st.sampled_from(SELECTIONS))
    other = draw(st.sampled_from(OTHERS))
    used = FRAGMENTS if "...F" in selection else "fragment L on Leaf { name }" if "...L" in selection else ""
    declared = "($yes: Boolean! = true)" if "$yes" in selection else ""
    return f"query{declared} {{ rows {{ {selection} {other} }} }} {used}"


def answer(schema: strawberry.Schema, query: str, rows: Rows, variables: dict[str, object]) -> tuple[object, object]:
    result = schema.execute_sync(query, context_value=rows, variable_values=variables)
    errors = [(error.message, error.path, error.locations) for error in result.errors or ()]
    return repr(result.data), errors


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(queries(), row_sets(), st.sampled_from([{}, {"yes": True}, {"yes": False}]))
def test_the_answer_is_that_of_the_stock_executor(query, rows, variables):
    assert answer(FAST, query, rows, variables) == answer(STOCK, query, rows, variables)


def test_both_paths_were_compared():
    plans = plans_of(FAST._schema)
    good = [make_good_node(number) for number in range(9)]
    rows = Rows(
        nodes=good, maybe=good, implementing=[], named=[], words=["a"] * 9, numbers=None, levels=[Level.LOW] * 9
    )
    fast, bailed, slow = plans.fast, plans.bailed, plans.slow
    answer(FAST, "{ rows { nodes { name leaf { level } leaves { name } grid } words levels } }", rows, {})
    assert (plans.fast, plans.bailed, plans.slow) == (fast + 3, bailed, slow)
    rows.nodes[4].leaf = None  # type: ignore[assignment]
    answer(FAST, "{ rows { nodes { leaf { level } } } }", rows, {})
    assert plans.bailed == bailed + 1
    answer(FAST, "{ rows { nodes { resolved } } }", rows, {})
    assert plans.bailed == bailed + 1
    assert plans.fast == fast + 3


def make_good_node(number: int) -> Node:
    leaf = Leaf(name="leaf", level=Level.LOW)
    return Node(
        name=f"node {number}",
        nick=None,
        count=number,
        ratio=0.5,
        ok=True,
        identity=strawberry.ID("x"),
        level=Level.HIGH,
        cost=Decimal("1.5"),
        leaf=leaf,
        maybe_leaf=None,
        leaves=[leaf],
        maybe_leaves=[None],
        grid=[[1, None]],
    )


QUERY = "query($n: Int!) { page(first: $n) { nodes { feature stage tokens effectiveCost bucket share keys { dimension value } scores } } }"


@pytest.mark.anyio
async def test_the_products_schema_takes_the_fast_path_and_plans_once():
    schema = make_schema()
    plans = plans_of(schema._schema)
    for number in (8, 50, 500):
        result = await schema.execute(QUERY, variable_values={"n": number})
        assert result.errors is None
        assert len(result.data["page"]["nodes"]) == number
    assert (plans.fast, plans.bailed, len(plans.compiled)) == (3, 0, 1)


@pytest.mark.anyio
async def test_few_rows_take_the_stock_path():
    schema = make_schema()
    await schema.execute("{ rows(first: 7) { feature } }")
    assert plans_of(schema._schema).fast == 0


@pytest.mark.anyio
async def test_plans_take_bounded_room():
    schema = make_schema()
    for number in range(MAX_PLANS + 20):
        await schema.execute(f"{{ rows(first: 8) {{ x{number}: feature }} }}")
    plans = plans_of(schema._schema)
    assert (plans.fast, len(plans.compiled)) == (MAX_PLANS + 20, MAX_PLANS)


@pytest.mark.anyio
async def test_a_document_is_checked_once_and_few_are_kept():
    schema = make_schema()
    for _ in range(3):
        await schema.execute("{ ping }")
    assert list(schema.documents.checked.values) == ["{ ping }"]
    first = schema.documents.checked.get("{ ping }")
    for number in range(300):
        await schema.execute(f"{{ p{number}: ping }}")
    assert len(schema.documents.checked.values) == 256
    await schema.execute("{ ping }")
    assert schema.documents.checked.get("{ ping }") is not first


@pytest.mark.anyio
async def test_two_schemas_share_no_documents():
    one, other = make_schema(), make_schema(introspection=False)
    assert (await one.execute("{ __schema { __typename } }")).errors is None
    assert (await other.execute("{ __schema { __typename } }")).errors is not None
