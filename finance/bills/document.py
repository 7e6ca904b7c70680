"""Bills that are JSON: pages of a provider's cost API, an array of them, or one object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, BinaryIO

from finance.bills.reading import LineBroken, Sheet, UnreadableBill


def documents(file: BinaryIO) -> Iterator[dict[str, Any]]:
    """The objects of a JSON document, of an array, or of a text with one object a line; numbers keep every digit.

    Raises UnreadableBill.
    """
    text = _text(file).lstrip("\ufeff")
    try:
        yield from _objects(_parsed(text))
    except json.JSONDecodeError as whole:
        yield from _by_line(text, whole)


def _text(file: BinaryIO) -> str:
    try:
        return file.read().decode()
    except UnicodeDecodeError:
        raise UnreadableBill("the file is not UTF-8 text") from None


def _by_line(text: str, whole: json.JSONDecodeError) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                yield from _objects(_parsed(line))
            except json.JSONDecodeError as error:
                problem = whole if number == 1 else error
                raise UnreadableBill(f"line {number} is not JSON: {problem.msg}") from None


def _parsed(text: str) -> Any:
    return json.loads(text, parse_float=Decimal, parse_constant=_refuse)


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
        yield bucket, results


def text_of(value: Mapping[str, Any], name: str) -> str:
    """The text under that name; '' for null and nothing. Raises LineBroken for an object or a list."""
    found = value.get(name)
    if isinstance(found, dict | list):
        raise LineBroken(name, "type", f"{name} is no text")
    return "" if found is None else str(found)
