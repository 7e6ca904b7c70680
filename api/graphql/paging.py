"""Cursors: opaque to clients, and refused when they belong to another question."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec
import strawberry

from core.errors import InvalidInput


class BadCursor(InvalidInput):
    """The text is no cursor of this query."""

    code = "BAD_CURSOR"

    def __init__(self) -> None:
        super().__init__("that is no cursor of this query; use the one that its own previous page ended with")


class BadPageSize(InvalidInput):
    """The page is empty or larger than pages may be."""

    code = "BAD_PAGE_SIZE"

    def __init__(self, first: int, limit: int) -> None:
        super().__init__(f"`first` is {first}; it must lie between 1 and {limit}")


@strawberry.type(description="Where this page stands among all pages.")
class PageInfo:
    """Relay's page information."""

    has_next_page: bool = strawberry.field(description="Whether there are more items after this page.")
    has_previous_page: bool = strawberry.field(description="Whether there are items before this page.")
    start_cursor: str | None = strawberry.field(description="Cursor of the first item here.")
    end_cursor: str | None = strawberry.field(description="Cursor of the last item here: the `after` of the next page.")


def page_info(cursors: Sequence[str], *, has_next: bool, has_previous: bool) -> PageInfo:
    """The page information of the items with these cursors."""
    return PageInfo(
        has_next_page=has_next,
        has_previous_page=has_previous,
        start_cursor=cursors[0] if cursors else None,
        end_cursor=cursors[-1] if cursors else None,
    )


def check_page_size(first: int, limit: int) -> int:
    """The page size when it is usable; raises BadPageSize."""
    if not 1 <= first <= limit:
        raise BadPageSize(first, limit)
    return first


def fingerprint(*question: Any) -> str:
    """Short text that differs between different questions."""
    return hashlib.blake2b(repr(question).encode(), digest_size=6).hexdigest()


def encode_cursor(question: str, *position: str | int) -> str:
    """A cursor at that position among the answers to that question."""
    return base64.urlsafe_b64encode(msgspec.json.encode([question, *position])).decode().rstrip("=")


def decode_cursor(cursor: str, question: str, *types: type) -> list[Any]:
    """The position in the cursor, of these types. Raises BadCursor."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        found, *position = msgspec.json.decode(base64.b64decode(padded, altchars=b"-_", validate=True), type=list)
    except (binascii.Error, msgspec.DecodeError, ValueError):
        raise BadCursor from None
    if found != question or [type(part) for part in position] != list(types):
        raise BadCursor
    return position
