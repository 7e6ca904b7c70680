"""Bills that are JSON: pages of a provider's cost API, an array of them, or one object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, BinaryIO, Final

from finance.bills.reading import LineBroken, Sheet, UnreadableBill

MAX_DOCUMENT: Final = 200_000_000
"""Bytes of a JSON document that does not come line by line, or of one line."""


def documents(file: BinaryIO) -> Iterator[dict[str, Any]]:
    """The objects of a JSON document, of an array, or of a text with one object a line; numbers keep every digit.

    Lines are read one at a time, however many. Raises UnreadableBill.
    """
    first = _bounded(file.readline(MAX_DOCUMENT + 1)).removeprefix(b"\xef\xbb\xbf")
    try:
        yield from _objects(_parsed(first))
    except json.JSONDecodeError:
        yield from _whole(first + file.read(MAX_DOCUMENT + 1 - len(first)))
        return
    for number, line in enumerate(iter(lambda: file.readline(MAX_DOCUMENT + 1), b""), 2):
        if line.strip():
            yield from _of_line(number, _bounded(line))


def _whole(content: bytes) -> Iterator[dict[str, Any]]:
    try:
        yield from _objects(_parsed(_bounded(content)))
    except json.JSONDecodeError as error:
        raise UnreadableBill(f"the file is not JSON: line {error.lineno}: {error.msg}") from None


def _of_line(number: int, line: bytes) -> Iterator[dict[str, Any]]:
    try:
        yield from _objects(_parsed(line))
    except json.JSONDecodeError as error:
        raise UnreadableBill(f"line {number} is not JSON: {error.msg}") from None


def _bounded(content: bytes) -> bytes:
    if len(content) > MAX_DOCUMENT:
        raise UnreadableBill(f"the document is larger than {MAX_DOCUMENT} bytes; write one object a line")
    return content


def _parsed(content: bytes) -> Any:
    """The value, numbers as Decimal. Raises JSONDecodeError, or UnreadableBill where no value can be had."""
    try:
        return json.loads(content.decode(), parse_float=Decimal, parse_int=_integer, parse_constant=_refuse)
    except UnicodeDecodeError:
        raise UnreadableBill("the file is not UTF-8 text") from None
    except RecursionError:
        raise UnreadableBill("the file nests too deep to be a bill") from None


def _integer(digits: str) -> int | Decimal:
    """Python refuses to read integers of thousands of digits; a Decimal of them is refused as an amount later."""
    return int(digits) if len(digits) < 20 else Decimal(digits)


def _refuse(name: str) -> Any:
    raise UnreadableBill(f"the file holds {name}, which is no number")


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, dict):
            raise UnreadableBill("the file holds something else than JSON objects")
        yield item


def buckets(page: Mapping[str, Any], sheet: Sheet) -> Iterator[tuple[Mapping[str, Any], Sequence[Any]]]:
    """Each bucket of a page with its results. Notes a page that is not the last one. Raises UnreadableBill."""
    if page.get("has_more"):
        sheet.note(
            "has_more is true: further pages follow; put all pages into one file, as an array or one a line, since an "
            "import replaces the days it covers"
        )
    found = page.get("data")
    if not isinstance(found, list):
        raise UnreadableBill("this is no page of a cost report: it has no list `data`")
    for bucket in found:
        results = bucket.get("results") if isinstance(bucket, dict) else None
        if not isinstance(results, list):
            raise UnreadableBill("a bucket of `data` has no list `results`")
        if not all(isinstance(result, dict) for result in results):
            raise UnreadableBill("`results` holds something else than objects")
        yield bucket, results


def text_of(value: Mapping[str, Any], name: str) -> str:
    """The text under that name; '' for null and nothing. Raises LineBroken for an object or a list."""
    found = value.get(name)
    if isinstance(found, dict | list):
        raise LineBroken(name, "type", f"{name} is no text")
    return "" if found is None else clean(str(found))


def objects_of(value: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    """The objects in the list under that name; none for null and nothing. Raises LineBroken."""
    found = value.get(name)
    if found is None:
        return ()
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise LineBroken(name, "type", f"{name} is no list of objects")
    return found


def clean(text: str) -> str:
    """The text without halves of characters, which JSON can hold and no store takes."""
    return text.encode(errors="replace").decode()
