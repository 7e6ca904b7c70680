"""Arrow tables as the bytes of a file, a piece at a time: what is in memory is one piece and its encoding."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeAlias

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

ROW_GROUP_ROWS: Final = 100_000
"""Fewer rows in a row group make Parquet larger and slower to read; more make the writer hold more."""

Encoder: TypeAlias = Callable[[pa.Schema, Iterable[pa.Table]], Iterator[bytes]]
"""The file of those tables, which have that schema, part by part. Without any table it is an empty, valid file."""


def encode_csv(schema: pa.Schema, tables: Iterable[pa.Table]) -> Iterator[bytes]:
    """RFC 4180 with a header; null is an empty field."""
    yield _csv([schema.names])
    for table in tables:
        yield _csv(zip(*map(_cells, table.columns), strict=True))


def _csv(rows: Iterable[Iterable[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()


def _cells(column: pa.ChunkedArray) -> list[object]:
    """The values; a flag as `true` or `false`."""
    return (column.cast(pa.string()) if pa.types.is_boolean(column.type) else column).to_pylist()  # type: ignore[no-any-return]


def encode_ndjson(schema: pa.Schema, tables: Iterable[pa.Table]) -> Iterator[bytes]:
    """One JSON object a line."""
    names = schema.names
    for table in tables:
        rows = zip(*(column.to_pylist() for column in table.columns), strict=True)
        yield b"".join(orjson.dumps(dict(zip(names, row, strict=True))) + b"\n" for row in rows)


def encode_parquet(schema: pa.Schema, tables: Iterable[pa.Table]) -> Iterator[bytes]:
    """Parquet, zstd-compressed, in row groups of about ROW_GROUP_ROWS."""
    sink = _Drain()
    with pq.ParquetWriter(pa.PythonFile(sink, mode="w"), schema, compression="zstd") as writer:
        for table in _gathered(tables):
            writer.write_table(table, row_group_size=len(table))
            yield sink.drain()
    yield sink.drain()


def _gathered(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Neighbouring tables together, as many as make a row group."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(map(len, waiting)) >= ROW_GROUP_ROWS:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


class _Drain(io.RawIOBase):
    """A file that forgets what was drained."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._at = 0

    def writable(self) -> bool:
        """Yes."""
        return True

    def write(self, data: object) -> int:
        """Keep the bytes until they are drained."""
        part = bytes(data)  # type: ignore[call-overload]
        self._parts.append(part)
        self._at += len(part)
        return len(part)

    def tell(self) -> int:
        """How many bytes were written, drained ones too: Parquet's footer points at them."""
        return self._at

    def drain(self) -> bytes:
        """What was written since the last time."""
        parts, self._parts = self._parts, []
        return b"".join(parts)
