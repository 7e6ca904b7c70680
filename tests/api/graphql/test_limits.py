"""Documents are measured in linear time, and refused when they ask for too much."""

from __future__ import annotations

import time

import pytest
from graphql import get_introspection_query, parse

from api.graphql.limits import Limits, document_errors, nesting, operation_cost, operations_of
from tests.api.graphql.conftest import client_of, codes, run
from tests.api.graphql.guinea_pig import make_schema

GENEROUS = Limits()


def bomb(levels: int, field: str = "name") -> str:
    """Fragments that each spread the next one twice: 2^levels fields in a few hundred bytes."""
    fragments = [f"fragment F{n} on Tree {{ ...F{n + 1} ...F{n + 1} }}" for n in range(levels)]
    return "{ tree { ...F0 } } " + " ".join(fragments) + f" fragment F{levels} on Tree {{ {field} }}"


def chain(levels: int) -> str:
    fragments = [f"fragment F{n} on Tree {{ child {{ ...F{n + 1} }} }}" for n in range(levels)]
    return "{ tree { ...F0 } } " + " ".join(fragments) + f" fragment F{levels} on Tree {{ name }}"


EXCESSIVE = {
    "depth": "{ tree " + "{ child " * 12 + "{ name }" + "}" * 12 + " }",
    "depth through fragments": chain(20),
    "aliases": "{ "
    + " ".join(f"a{n}: ping" for n in range(9))
    + " tree {"
    + " ".join(f"b{n}: name" for n in range(25))
    + "} }",
    "fields": "{ tree { " + "name " * 600 + "} }",
    "introspection fields": "{ __schema { types { " + "name " * 600 + "} } }",
    "root fields": "{ " + "ping " * 11 + "}",
    "root fields through fragments": "{ ...F ...F ...F } fragment F on Query { ping ping ping ping }",
    "directives": "{ ping " + "@skip(if: false) " * 51 + "}",
    "operations": " ".join(f"query Q{n} {{ ping }}" for n in range(6)),
    "fields through fragments": bomb(24),
}


@pytest.mark.parametrize("document", EXCESSIVE.values(), ids=EXCESSIVE)
def test_each_limit_holds(document):
    errors = document_errors(parse(document), GENEROUS)
    assert errors
    assert all("the limit is" in error.message for error in errors)


@pytest.mark.anyio
@pytest.mark.parametrize("document", EXCESSIVE.values(), ids=EXCESSIVE)
async def test_the_excess_is_told_with_its_code(client, document):
    response = await client.post(
        "/graphql", json={"query": document, "operationName": "Q1" if "Q1" in document else None}
    )
    assert set(codes(response.json())) == {"QUERY_TOO_COMPLEX"}


@pytest.mark.anyio
@pytest.mark.parametrize("levels", [10, 20, 100, 200])
async def test_a_fragment_bomb_costs_its_length(levels):
    async with client_of() as client:
        started = time.perf_counter()
        body = await run(client, bomb(levels))
        assert time.perf_counter() - started < 1.0
    assert set(codes(body)) <= {"QUERY_TOO_COMPLEX", "GRAPHQL_PARSE_FAILED"}


@pytest.mark.anyio
@pytest.mark.parametrize(
    "document",
    [
        "{ ...F } fragment F on Query { ...F }",
        "{ ...A } fragment A on Query { ...B } fragment B on Query { ping ...A }",
        "{ ...Unknown }",
    ],
)
async def test_cycles_and_unknown_fragments_are_validation_errors(client, document):
    assert set(codes(await run(client, document))) == {"GRAPHQL_VALIDATION_FAILED"}


@pytest.mark.anyio
async def test_too_many_tokens_are_not_parsed(client):
    assert codes(await run(client, "{ ping }" + " ," * 10 + "query { ping } " * 700)) == ["GRAPHQL_PARSE_FAILED"]


@pytest.mark.anyio
@pytest.mark.parametrize("nested", ["[" * 150 + "]" * 150, "[" * 500 + "]" * 500])
async def test_deep_literals_are_answered(client, nested):
    body = await run(client, f"{{ anything(value: {nested}) }}")
    assert "errors" not in body or set(codes(body)) <= {"GRAPHQL_PARSE_FAILED", "GRAPHQL_VALIDATION_FAILED"}


@pytest.mark.anyio
async def test_deep_variables_are_refused(client):
    where: dict[str, object] = {"feature": "x"}
    for _ in range(300):
        where = {"anyOf": [where]}
    body = await run(client, "query($w: Where!) { match(where: $w) }", variables={"w": where})
    assert codes(body) == ["QUERY_TOO_COMPLEX"]


@pytest.mark.anyio
async def test_ordinary_introspection_is_allowed(client):
    query = get_introspection_query(specified_by_url=True, directive_is_repeatable=True, input_value_deprecation=True)
    body = await run(client, query)
    assert "errors" not in body
    assert body["data"]["__schema"]["queryType"] == {"name": "Query", "kind": "OBJECT"}


@pytest.mark.parametrize(
    ("value", "depth"), [(1, 0), ({}, 0), ({"a": 1}, 0), ({"a": []}, 1), ([[[1]], {"b": {"c": {}}}], 3)]
)
def test_nesting_counts_the_inner_ones(value, depth):
    assert nesting(value, 10) == depth
    assert nesting(value, 1) == min(depth, 2)


COSTS = [
    ("{ ping }", {}, 0),
    ("{ tree { name } }", {}, 1),
    ("{ tree { child { child { name } } } }", {}, 3),
    ("{ tree { expensive { name } } }", {}, 51),
    ("{ rows { feature } }", {}, 10),
    ("{ rows(first: 7) { feature } }", {}, 7),
    ("{ rows(first: 7) { feature keys { value } } }", {}, 7 + 7 * 10),
    ("query($n: Int) { rows(first: $n) { feature } }", {"n": 5}, 5),
    ("query($n: Int = 6) { rows(first: $n) { feature } }", {}, 6),
    ("query($n: Int = 6) { rows(first: $n) { feature } }", {"n": 8}, 8),
    ("query($n: Int) { rows(first: $n) { feature } }", {"n": None}, 10),
    ("query($n: Int) { rows(first: $n) { feature } }", {"n": "many"}, 10),
    ("{ rows(first: -1) { feature } }", {}, 1),
    ("{ page(first: 20) { totalCount } }", {}, 1),
    ("{ page(first: 20) { nodes { feature } } }", {}, 1 + 20),
    (
        "{ page(first: 20) { ...P } } fragment P on RowPage { nodes { ...R } } fragment R on Row { keys { value } }",
        {},
        1 + 20 * 11,
    ),
    ("{ page(first: 20) { ... on RowPage { nodes { feature } } ... { nodes { feature } } } }", {}, 1 + 40),
    ("{ a: rows(first: 2) { feature } b: rows(first: 3) { feature } }", {}, 5),
    ("{ __schema { types { name } } }", {}, 0),
    ("{ ...F } fragment F on Query { ...F ping }", {}, 0),
]


@pytest.mark.parametrize(("query", "variables", "cost"), COSTS)
def test_the_cost_is_the_number_of_objects(query, variables, cost):
    document = parse(query)
    schema = make_schema()._schema
    assert operation_cost(schema, document, operations_of(document)[0], variables, 10) == cost


@pytest.mark.anyio
async def test_an_answer_says_what_it_cost(client):
    body = await run(client, "{ rows(first: 3) { feature } }")
    assert body["extensions"] == {"cost": {"requested": 3, "maximum": 20_000}}


@pytest.mark.anyio
async def test_an_expensive_query_is_not_started():
    async with client_of(make_schema(limits=Limits(max_cost=100))) as client:
        query = "query($n: Int!) { rows(first: $n) { feature } }"
        assert "errors" not in await run(client, query, variables={"n": 100})
        refused = await run(client, query, variables={"n": 101})
        assert codes(refused) == ["QUERY_TOO_COMPLEX"]
        assert refused["errors"][0]["message"] == "cost of the query is 101; the limit is 100"
        assert codes(await run(client, query, variables={"n": 10**15})) == ["QUERY_TOO_COMPLEX"]
