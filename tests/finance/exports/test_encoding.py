"""Files part by part: read back by other readers, empty ones too, and never more than a piece in memory."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from finance.exports import encoding
from finance.exports.encoding import Encoder, encode_csv, encode_ndjson, encode_parquet

SCHEMA = pa.schema([("name", pa.string()), ("cost", pa.decimal128(38, 12)), ("n", pa.int64())])
TEXTS = pa.schema([("name", pa.string()), ("cost", pa.string()), ("n", pa.int64())])
ROWS = [('a,"b"\r\n=é', "0.1", 1), (None, None, 2), ("", "-1000000000000.000000000001", 3)]


def tables(schema: pa.Schema) -> Iterator[pa.Table]:
    for name, cost, n in ROWS:
        amount = Decimal(cost) if cost and schema is SCHEMA else cost
        yield pa.table([[name], [amount], [n]], schema=schema)


def whole(encode: Encoder, schema: pa.Schema) -> bytes:
    return b"".join(encode(schema, tables(schema)))


def test_csv_quotes_what_needs_it_and_leaves_unknown_empty() -> None:
    text = whole(encode_csv, TEXTS).decode()
    assert list(csv.reader(io.StringIO(text, newline=""))) == [
        ["name", "cost", "n"],
        ['a,"b"\r\n=é', "0.1", "1"],
        ["", "", "2"],
        ["", "-1000000000000.000000000001", "3"],
    ]
    assert text.startswith("name,cost,n\r\n")


def test_flags_are_words() -> None:
    schema = pa.schema([("cache_hit", pa.bool_())])
    assert (
        b"".join(encode_csv(schema, [pa.table([[True, False, None]], schema=schema)]))
        == b'cache_hit\r\ntrue\r\nfalse\r\n""\r\n'
    )


def test_ndjson_is_an_object_a_line() -> None:
    lines = whole(encode_ndjson, TEXTS).splitlines()
    assert [tuple(json.loads(line).values()) for line in lines] == ROWS
    assert list(json.loads(lines[0])) == ["name", "cost", "n"]


def test_parquet_keeps_types_and_gathers_row_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "ROW_GROUP_ROWS", 2)
    file = pq.ParquetFile(io.BytesIO(whole(encode_parquet, SCHEMA)))
    assert file.schema_arrow.equals(SCHEMA)
    assert file.num_row_groups == 2
    assert file.read().column("cost").to_pylist() == [Decimal("0.100000000000"), None, Decimal(ROWS[2][1])]


@pytest.mark.parametrize("encode", [encode_csv, encode_ndjson, encode_parquet])
def test_no_rows_are_a_valid_file(encode: Encoder) -> None:
    empty = b"".join(encode(SCHEMA, iter(())))
    if encode is encode_parquet:
        assert pq.ParquetFile(io.BytesIO(empty)).read().num_rows == 0
    else:
        assert empty == (b"name,cost,n\r\n" if encode is encode_csv else b"")


@pytest.mark.parametrize("encode", [encode_csv, encode_ndjson, encode_parquet])
def test_a_table_is_taken_when_it_is_wanted(encode: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "ROW_GROUP_ROWS", 1)
    taken = []

    def watched() -> Iterator[pa.Table]:
        for table in tables(SCHEMA):
            taken.append(1)
            yield table.cast(TEXTS) if encode is not encode_parquet else table

    parts = encode(TEXTS if encode is not encode_parquet else SCHEMA, watched())
    assert taken == []
    for _ in range(2):
        next(parts)
    assert len(taken) <= 2
