"""Scalars refuse what would lose or change a value, in literals and in variables alike."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.graphql.scalars import (
    MAX_BIG_INT,
    big_int_value,
    date_time_value,
    parse_big_int,
    parse_date_time,
    parse_decimal,
)
from api.graphql.streams import encode
from core.errors import InvalidInput
from core.money import plain
from tests.api.graphql.conftest import codes, run
from tests.api.graphql.guinea_pig import make_schema

FIELDS = {"moment": "DateTime", "amount": "Decimal", "big": "BigInt"}

REFUSED = [
    ("moment", "2026-03-01"),
    ("moment", "2026-W01"),
    ("moment", "2026-03-01T00:00:00"),
    ("moment", "2026-03-01 00:00:00Z"),
    ("moment", "2026-02-30T00:00:00Z"),
    ("moment", "2026-03-01T25:00:00Z"),
    ("moment", "2026-03-01T00:00:00+25:00"),
    ("moment", "0001-01-01T00:00:00+14:00"),
    ("moment", "9999-12-31T23:59:59-14:00"),
    ("moment", "٢٠٢٦-03-01T00:00:00Z"),
    ("moment", 1772323200),
    ("moment", ""),
    ("amount", "NaN"),
    ("amount", "sNaN"),
    ("amount", "Infinity"),
    ("amount", "-inf"),
    ("amount", "1e400"),
    ("amount", "1e-400"),
    ("amount", "1E39"),
    ("amount", "1_000"),
    ("amount", " 1"),
    ("amount", "1,5"),
    ("amount", "0x10"),
    ("amount", "٣"),
    ("amount", "9" * 39),
    ("amount", "9" * 5000),
    ("amount", 0.1),
    ("amount", True),
    ("amount", ""),
    ("big", 2**53),
    ("big", -(2**53)),
    ("big", 1.5),
    ("big", "7"),
    ("big", True),
]


@pytest.mark.anyio
@pytest.mark.parametrize(("name", "value"), REFUSED)
async def test_a_value_that_is_not_exact_is_refused(client, name, value):
    literal = await run(client, f"{{ {name}(value: {json.dumps(value, ensure_ascii=False)}) }}")
    variable = await run(client, f"query($v: {FIELDS[name]}!) {{ {name}(value: $v) }}", variables={"v": value})
    assert set(codes(literal)) <= {"BAD_USER_INPUT", "GRAPHQL_VALIDATION_FAILED"}
    assert codes(variable) == ["BAD_USER_INPUT"]
    assert len(variable["errors"][0]["message"]) < 6000


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("name", "value", "answer"),
    [
        ("moment", "2026-03-01T00:00:00Z", "2026-03-01T00:00:00Z"),
        ("moment", "2026-03-01t00:00:00.5z", "2026-03-01T00:00:00.500000Z"),
        ("moment", "2026-03-01T00:00:00.123456789Z", "2026-03-01T00:00:00.123456Z"),
        ("moment", "2026-03-01T02:00:00+02:00", "2026-03-01T02:00:00+02:00"),
        ("amount", "0.0000001", "0.0000001"),
        ("amount", "1E-7", "0.0000001"),
        ("amount", "1.50", "1.5"),
        ("amount", "-0", "0"),
        ("amount", "1E3", "1000"),
        ("amount", 12, "12"),
        ("amount", "99999999999999999999999999.123456789012", "99999999999999999999999999.123456789012"),
        ("big", 2**31, 2**31),
        ("big", MAX_BIG_INT, MAX_BIG_INT),
        ("big", -MAX_BIG_INT, -MAX_BIG_INT),
    ],
)
async def test_an_exact_value_comes_back_unchanged(client, name, value, answer):
    literal = await run(client, f"{{ {name}(value: {json.dumps(value)}) }}")
    variable = await run(client, f"query($v: {FIELDS[name]}!) {{ {name}(value: $v) }}", variables={"v": value})
    assert literal["data"] == variable["data"] == {name: answer}


@pytest.mark.anyio
async def test_a_sum_beyond_53_bits_is_an_error_and_never_another_number(client):
    assert codes(await run(client, f"{{ doubled(value: {MAX_BIG_INT}) }}")) == ["INTERNAL_SERVER_ERROR"]


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**26), max_value=10**26, places=12))
def test_every_stored_amount_survives_the_round_trip(amount):
    assert parse_decimal(plain(amount)) == amount


@given(st.text() | st.floats() | st.integers() | st.booleans() | st.none() | st.lists(st.integers()))
def test_parsers_answer_or_refuse(value):
    for parse, kind in ((parse_decimal, Decimal), (parse_big_int, int), (parse_date_time, datetime)):
        with contextlib.suppress(InvalidInput):
            assert type(parse(value)) is kind


ZONES = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30)), timezone(-timedelta(hours=8))])


@given(st.datetimes(timezones=ZONES).filter(lambda moment: 1 < moment.year < 9999))
def test_every_time_survives_the_round_trip(moment):
    text = json.loads(encode(date_time_value(moment)))
    assert parse_date_time(text) == moment
    assert parse_date_time(text).utcoffset() == moment.utcoffset()


@pytest.mark.parametrize(
    ("serialize", "value"),
    [
        (date_time_value, datetime(2026, 1, 1)),  # noqa: DTZ001 - the mistake under test
        (date_time_value, "2026"),
        (big_int_value, 2**53),
        (big_int_value, 1.0),
        (big_int_value, True),
    ],
)
def test_a_wrong_resolved_value_is_an_error(serialize, value):
    with pytest.raises(TypeError, match="resolved to"):
        serialize(value)


def test_the_schema_describes_its_scalars():
    types = make_schema()._schema.type_map
    for name in FIELDS.values():
        assert types[name].description
        assert types[name].specified_by_url.startswith("https://")
    assert '@specifiedBy(url: "https://www.rfc-editor.org/rfc/rfc3339#section-5.6")' in make_schema().as_str()
