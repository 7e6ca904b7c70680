"""Bodies: encodings, bounds, and what counts as an item."""

from __future__ import annotations

import gzip
import zlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from ingest.body import BodyTooLarge, TooManyItems, UnreadableBody, UnsupportedEncoding, decompress, split_items

LIMIT = 1_000_000


def raw_deflate(data: bytes) -> bytes:
    encoder = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return encoder.compress(data) + encoder.flush()


ENCODERS = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "DEFLATE": raw_deflate,
    "zstd": zstandard.compress,
    "identity": lambda data: data,
    "": lambda data: data,
}


@pytest.mark.parametrize("encoding", ENCODERS)
@given(data=st.binary(max_size=5_000))
def test_every_encoding_round_trips(encoding: str, data: bytes) -> None:
    assert decompress(ENCODERS[encoding](data), encoding, LIMIT) == data


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
def test_a_bomb_is_refused_before_it_fills_memory(encoding: str) -> None:
    bomb = ENCODERS[encoding](b"0" * 200_000_000)
    assert len(bomb) < 250_000
    with pytest.raises(BodyTooLarge):
        decompress(bomb, encoding, LIMIT)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
def test_the_limit_itself_still_fits(encoding: str) -> None:
    data = b"x" * LIMIT
    assert decompress(ENCODERS[encoding](data), encoding, LIMIT) == data
    with pytest.raises(BodyTooLarge):
        decompress(ENCODERS[encoding](data + b"x"), encoding, LIMIT)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
def test_a_truncated_body_is_never_taken_for_whole(encoding: str) -> None:
    whole = ENCODERS[encoding](bytes(range(256)) * 40)
    for cut in (1, 5, len(whole) // 2, len(whole) - 1):
        with pytest.raises(UnreadableBody):
            decompress(whole[:cut], encoding, LIMIT)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
def test_data_after_the_end_is_refused_not_dropped(encoding: str) -> None:
    with pytest.raises(UnreadableBody):
        decompress(ENCODERS[encoding](b'{"a": 1}\n') + ENCODERS[encoding](b'{"a": 2}\n'), encoding, LIMIT)


def test_unknown_encodings_are_named() -> None:
    with pytest.raises(UnsupportedEncoding, match="'br'"):
        decompress(b"", "br", LIMIT)


def test_object_array_and_lines_are_items() -> None:
    assert split_items(b' {"a": 1} ', 10) == [b'{"a": 1}']
    assert split_items(b'[{"a": 1}, {"b": [2]}]', 10) == [b'{"a": 1}', b'{"b": [2]}']
    assert split_items(b'{"a": 1}\r\n\n{"b": 2}\n', 10) == [b'{"a": 1}', b'{"b": 2}']
    assert split_items(b'{\n "a": 1\n}', 10) == [b'{\n "a": 1\n}']
    assert split_items(b"[]", 10) == []


def test_a_broken_line_is_an_item_of_its_own() -> None:
    assert split_items(b'{"a": 1}\n{"b": \n{"c": 3}', 10) == [b'{"a": 1}', b'{"b": ', b'{"c": 3}']


@pytest.mark.parametrize("body", [b"", b"  \n", b"[{]", b'{"a": ', b"[1, 2", b"\xff\xfe", b"nonsense"])
def test_nothing_readable_is_an_error(body: bytes) -> None:
    with pytest.raises(UnreadableBody):
        split_items(body, 10)


def test_too_many_items() -> None:
    with pytest.raises(TooManyItems, match="11 items, more than 10"):
        split_items(b"[" + b",".join([b"{}"] * 11) + b"]", 10)


@given(st.binary(max_size=300))
def test_random_bytes_never_crash(body: bytes) -> None:
    try:
        items = split_items(body, 5)
    except (UnreadableBody, TooManyItems):
        return
    assert all(isinstance(item, bytes) for item in items)


def test_deeply_nested_json_does_not_exhaust_the_stack() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    with pytest.raises(UnreadableBody):
        split_items(deep, 10)
