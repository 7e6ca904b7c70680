"""Framed records in a file: each can be told whole, torn or damaged by itself, whatever happened to its neighbours.

A frame is a header of 28 bytes and a payload. The header carries its own checksum beside the payload's: a frame whose
header is sound but whose payload ends early was being written when the process died, while a header that is not sound
is damage, and the next sound one is where reading goes on.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple
from zlib import crc32

_MAGIC: Final = b"\xf1APN"
_FIELDS: Final = struct.Struct("<4sIIQI")
_CHECKSUM: Final = struct.Struct("<I")
HEADER_BYTES: Final = _FIELDS.size + _CHECKSUM.size


class Frame(NamedTuple):
    """A whole record at bytes `[start, end)` of its file, written `at` that many milliseconds after 1970."""

    start: int
    end: int
    rows: int
    at: int
    payload: bytes


class Gap(NamedTuple):
    """Bytes `[start, end)` that hold no whole record, and how many rows are known to be lost in them."""

    start: int
    end: int
    rows: int


class _Header(NamedTuple):
    end: int
    rows: int
    at: int
    checksum: int


def frame(payload: bytes, *, rows: int, at: int) -> bytes:
    """The payload as a frame."""
    fields = _FIELDS.pack(_MAGIC, len(payload), rows, at, crc32(payload))
    return b"".join((fields, _CHECKSUM.pack(crc32(fields)), payload))


def written_at(data: bytes) -> int | None:
    """When the frame that begins here was written, in milliseconds after 1970; None where none begins."""
    header = _header(data, 0) if len(data) >= HEADER_BYTES else None
    return header and header.at


def walk(data: bytes, start: int = 0) -> Iterator[Frame | Gap]:
    """What the bytes hold from `start` on, in order. It ends before a torn frame: one that the data cuts short."""
    while len(data) - start >= HEADER_BYTES:
        header = _header(data, start)
        found = _whole(data, start, header) if header else Gap(start, _next_header(data, start + 1), 0)
        if found is None:
            return
        yield found
        start = found.end


def _whole(data: bytes, start: int, header: _Header) -> Frame | Gap | None:
    if header.end > len(data):
        return None
    payload = data[start + HEADER_BYTES : header.end]
    if crc32(payload) != header.checksum:
        return Gap(start, header.end, header.rows)
    return Frame(start, header.end, header.rows, header.at, payload)


def _header(data: bytes, start: int) -> _Header | None:
    fields = data[start : start + _FIELDS.size]
    magic, length, rows, at, checksum = _FIELDS.unpack(fields)
    (own,) = _CHECKSUM.unpack_from(data, start + _FIELDS.size)
    if magic != _MAGIC or own != crc32(fields):
        return None
    return _Header(start + HEADER_BYTES + length, rows, at, checksum)


def _next_header(data: bytes, start: int) -> int:
    """Where the next sound header begins, or the end of the data."""
    while (start := data.find(_MAGIC, start)) >= 0 and len(data) - start >= HEADER_BYTES:
        if _header(data, start):
            return start
        start += 1
    return len(data)
