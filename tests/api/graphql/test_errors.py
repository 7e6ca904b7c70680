"""Clients read our own sentences and codes; what is unexpected they know by its id alone."""

from __future__ import annotations

import pytest

from tests.api.graphql.conftest import client_of, codes, run
from tests.api.graphql.guinea_pig import SECRET, make_schema

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("query", "code", "message"),
    [
        ("{", "GRAPHQL_PARSE_FAILED", "Syntax Error"),
        ("{ nothing }", "GRAPHQL_VALIDATION_FAILED", "Cannot query field 'nothing'"),
        ("{ rows(first: 2147483648) { feature } }", "GRAPHQL_VALIDATION_FAILED", "32-bit"),
        ("{ missing }", "NOT_FOUND", "There is no budget 'x'."),
        ("{ coded }", "THROTTLED", "Slow down."),
        ('{ moment(value: "2026-03-01") }', "BAD_USER_INPUT", "is not a time with a zone"),
        ("query($v: Decimal!) { amount(value: $v) }", "BAD_USER_INPUT", "$v"),
        ("query($v: String) { echo(text: $v) }", "GRAPHQL_VALIDATION_FAILED", "$v"),
    ],
)
async def test_an_expected_error_has_its_code_and_sentence(client, query, code, message):
    body = await run(client, query)
    assert codes(body) == [code]
    assert message in body["errors"][0]["message"]


@pytest.mark.parametrize(
    "query", ["{ boom }", "{ strictBoom }", "{ uncoded }", "{ naive }", "{ small(value: 2147483648) }"]
)
async def test_an_unexpected_error_is_an_id_that_the_log_knows(client, caplog, query):
    body = await run(client, query)
    (error,) = body["errors"]
    assert error["message"] == "Internal server error"
    assert error["path"] == [query[2:-2].split("(")[0]]
    assert error["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
    assert set(error["extensions"]) == {"code", "errorId"}
    assert error["extensions"]["errorId"] in caplog.text
    assert SECRET not in str(body)


async def test_the_log_has_the_traceback_of_the_unexpected_and_nothing_of_the_expected(client, caplog):
    await run(client, "{ missing }")
    await run(client, "{ nothing }")
    assert caplog.records == []
    await run(client, "{ boom }")
    (record,) = caplog.records
    assert record.exc_info[1].args == (SECRET,)


async def test_one_cause_has_one_id_and_one_line_in_the_log(client, caplog):
    body = await run(client, "{ a: boom b: boom c: uncoded }")
    ids = [error["extensions"]["errorId"] for error in body["errors"]]
    assert len(ids) == 3
    assert len(set(ids)) == len(caplog.records) == 2


async def test_an_argument_left_out_by_its_variable_is_the_clients_fault(client):
    body = await run(
        client, "query($v: BigInt! = 5, $w: Stage!) { big(value: $v) staged(stage: $w) }", variables={"v": 2**53}
    )
    assert set(codes(body)) == {"BAD_USER_INPUT"}


SUGGESTIVE = [
    ("{ pin }", {}),
    ('{ ech(text: "x") }', {}),
    ('{ echo(texts: "x") }', {}),
    ("{ staged(stage: PLAM) }", {}),
    ("query($s: Stage!) { staged(stage: $s) }", {"s": "PLAM"}),
    ("query($w: Wher!) { match(where: $w) }", {}),
    ("{ match(where: {featur: 1}) }", {}),
    ("query($w: Where!) { match(where: $w) }", {"w": {"featur": "x"}}),
    ("{ rows { ... on Ro { feature } } }", {}),
]


@pytest.mark.parametrize(("query", "variables"), SUGGESTIVE)
async def test_errors_suggest_names_only_where_introspection_gives_them_anyway(query, variables):
    async with client_of(make_schema(introspection=True)) as open_client:
        assert "Did you mean" in str(await run(open_client, query, variables=variables))
    async with client_of(make_schema(introspection=False)) as closed_client:
        body = await run(closed_client, query, variables=variables)
    assert body["errors"]
    assert "Did you mean" not in str(body)


async def test_introspection_can_be_off():
    async with client_of(make_schema(introspection=False)) as client:
        assert set(codes(await run(client, "{ __schema { types { name } } }"))) == {"GRAPHQL_VALIDATION_FAILED"}
        assert (await run(client, "{ __typename ping }"))["data"] == {"__typename": "Query", "ping": "pong"}


def test_errors_are_masked_without_an_event_loop_too():
    result = make_schema().execute_sync("{ boom }")
    assert [error.message for error in result.errors] == ["Internal server error"]
