"""From an HTTP body to items: bounded decompression, and JSON object, array or NDJSON alike."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Callable, Sequence

import msgspec
import zstandard

from core.errors import InvalidInput, TooLarge, Unsupported
from ingest.payloads import EventPayload


class UnreadableBody(InvalidInput):
    """Nothing in the body could be read."""

    code = "UNREADABLE_BODY"


class BodyTooLarge(TooLarge):
    """The body is larger than a body may be, as sent or decompressed."""

    code = "PAYLOAD_TOO_LARGE"

    def __init__(self, limit: int) -> None:
        super().__init__(f"the body is larger than {limit} bytes; send smaller batches")


class TooManyItems(TooLarge):
    """The body holds more items than a body may hold."""

    code = "TOO_MANY_ITEMS"

    def __init__(self, count: int, limit: int) -> None:
        super().__init__(f"the body holds {count} items, more than {limit}; send smaller batches")


class UnsupportedEncoding(Unsupported):
    """The body's Content-Encoding is none of ours."""

    code = "UNSUPPORTED_ENCODING"

    def __init__(self, encoding: str) -> None:
        super().__init__(f"Content-Encoding {encoding!r} is not supported; use gzip, zstd, deflate or none")


async def read_bounded(chunks: AsyncIterator[bytes], limit: int) -> bytes:
    """The whole stream. Raises BodyTooLarge as soon as it exceeds `limit` bytes."""
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > limit:
            raise BodyTooLarge(limit)
    return bytes(body)


def decompress(body: bytes, encoding: str, limit: int) -> bytes:
    """The body without its Content-Encoding, never more than `limit` bytes of it.

    Raises UnsupportedEncoding, BodyTooLarge (a bomb is not unpacked further) and UnreadableBody.
    """
    name = encoding.strip().lower()
    if name in {"", "identity"}:
        return body
    decoder = _DECODERS.get(name)
    if decoder is None:
        raise UnsupportedEncoding(encoding)
    try:
        return decoder(body, limit)
    except (zlib.error, zstandard.ZstdError, EOFError) as error:
        raise UnreadableBody(f"the body is not valid {name}: {error}") from error


def _inflate(body: bytes, limit: int, window_bits: int) -> bytes:
    decoder = zlib.decompressobj(window_bits)
    plain = decoder.decompress(body, limit + 1)
    if len(plain) > limit:
        raise BodyTooLarge(limit)
    if not decoder.eof:
        raise EOFError("it ends too early")
    if decoder.unused_data:
        raise EOFError("there is more data after its end")
    return plain


def _gzip(body: bytes, limit: int) -> bytes:
    return _inflate(body, limit, 16 + zlib.MAX_WBITS)


def _deflate(body: bytes, limit: int) -> bytes:
    """RFC 9110 means zlib by "deflate"; some clients send it raw."""
    is_zlib = len(body) >= 2 and body[0] & 0x0F == 8 and (body[0] << 8 | body[1]) % 31 == 0
    return _inflate(body, limit, zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS)


_ZSTD_SLICE = 1024
"""One slice unpacks to at most about 32 MB, so a bomb is noticed before it fills memory."""


def _zstd(body: bytes, limit: int) -> bytes:
    decoder = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()
    plain = bytearray()
    for start in range(0, len(body), _ZSTD_SLICE):
        if decoder.eof:
            raise EOFError("there is more data after its end")
        plain += decoder.decompress(body[start : start + _ZSTD_SLICE])
        if len(plain) > limit:
            raise BodyTooLarge(limit)
    if not decoder.eof:
        raise EOFError("it ends too early")
    if decoder.unused_data:
        raise EOFError("there is more data after its end")
    return bytes(plain)


_DECODERS: dict[str, Callable[[bytes, int], bytes]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "zstd": _zstd,
}

_BLANK = b" \t\r\n\xef\xbb\xbf"
_EVENTS = msgspec.json.Decoder(list[EventPayload])
_EVENT = msgspec.json.Decoder(EventPayload)
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_OBJECT = msgspec.json.Decoder(msgspec.Raw)


def split_items(body: bytes, limit: int) -> list[bytes]:
    """The items of a JSON array, the lines of NDJSON, or the one JSON object, each as its own JSON text.

    An NDJSON line that is not JSON is still an item: it is refused by itself later. Raises UnreadableBody when there
    is nothing to read and TooManyItems above `limit`.
    """
    text = body.strip(_BLANK)
    if not text:
        raise UnreadableBody("the body is empty; send a JSON object, a JSON array or NDJSON")
    items = _array(text) if text.startswith(b"[") else _object_or_lines(text)
    if len(items) > limit:
        raise TooManyItems(len(items), limit)
    return items


def read_events(body: bytes, limit: int) -> Sequence[EventPayload | bytes]:
    """The items of a body as `split_items` tells them apart, read in one go when every one is an event in shape.

    Where one is not, all of them are left as text: read one by one, each gets its own answer.
    """
    try:
        text = body.strip(_BLANK)
        events = _EVENTS.decode(text) if text.startswith(b"[") else _EVENT.decode_lines(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        events = []
    if not events:
        return split_items(body, limit)
    if len(events) > limit:
        raise TooManyItems(len(events), limit)
    return events


def _array(text: bytes) -> list[bytes]:
    try:
        return [bytes(item) for item in _ARRAY.decode(text)]
    except (msgspec.DecodeError, RecursionError) as error:
        raise UnreadableBody(f"the body is not a JSON array: {error}") from error


def _object_or_lines(text: bytes) -> list[bytes]:
    try:
        return [bytes(_OBJECT.decode(text))]
    except (msgspec.DecodeError, RecursionError) as error:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) > 1:
            return lines
        raise UnreadableBody(f"the body is not JSON: {error}") from error
