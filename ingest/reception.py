"""A request's body, taken in within bounds."""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.requests import ClientDisconnect, Request

from ingest.admission import Hold
from ingest.body import UnreadableBody, decompress, read_bounded

_SHORT_BYTES: Final = 10_000
"""So many are unpacked in a few milliseconds at most."""


class CutShort(UnreadableBody):
    """The client went away in the midst of its body. Nobody hears this; it is no surprise either."""

    def __init__(self) -> None:
        super().__init__("the connection was closed before the end of the body")


async def receive(request: Request, limit: int) -> bytes:
    """The whole body, decompressed, of at most `limit` bytes before and after; its hold grows to what it has.

    Raises Overloaded, BodyTooLarge, UnsupportedEncoding and UnreadableBody.
    """
    hold: Hold = request.state.hold
    await hold.wait_for(min(int(request.headers.get("content-length", limit)), limit))
    try:
        raw = await read_bounded(request.stream(), limit)
    except ClientDisconnect:
        raise CutShort from None
    encoding = request.headers.get("content-encoding", "")
    if encoding and len(raw) > _SHORT_BYTES:
        body = await asyncio.to_thread(decompress, raw, encoding, limit)
    else:
        body = decompress(raw, encoding, limit)
    await hold.resize(len(body))
    return body
