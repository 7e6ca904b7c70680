"""A google.rpc.Status read by itself, so that tests do not ask the product what it wrote."""

from __future__ import annotations

from typing import NamedTuple

from google.protobuf.internal.decoder import _DecodeVarint  # type: ignore[attr-defined]


class Status(NamedTuple):
    """The fields of google/rpc/status.proto; details as serialized messages."""

    code: int
    message: str
    details: tuple[bytes, ...]


def read_status(body: bytes) -> Status:
    """The status in these bytes."""
    code, message, details, place = 0, "", [], 0
    while place < len(body):
        key, place = _DecodeVarint(body, place)
        value, place = _DecodeVarint(body, place)
        if key == 8:
            code = value
            continue
        content, place = body[place : place + value], place + value
        if key == 18:
            message = content.decode()
        else:
            assert key == 26
            details.append(content)
    return Status(code, message, tuple(details))
