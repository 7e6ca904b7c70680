"""Reports of a provider's cost API: pages of buckets, each of a span of time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, BinaryIO, NamedTuple

from finance.bills.document import buckets, documents
from finance.bills.reading import LineBroken, Sheet, UnreadableBill, day_after, instant

_MOST_DAYS = 400


class Spanned(NamedTuple):
    """A result of a report, and the span of its bucket."""

    result: Mapping[str, Any]
    start: datetime
    end: datetime


def results(file: BinaryIO, sheet: Sheet, start_name: str, end_name: str) -> Iterator[Spanned]:
    """Every result once, also where pages overlap; the bucket's times are under those names.

    A bucket that comes again as it was is left out, and noted. Raises UnreadableBill, also where it comes again with
    other results: which of them is billed, nobody can tell.
    """
    seen: dict[tuple[datetime, datetime], bytes] = {}
    for page in documents(file):
        for bucket, found in buckets(page, sheet):
            start, end = _cover(bucket.get(start_name), bucket.get(end_name), sheet)
            content = hashlib.sha256(json.dumps(found, default=str, sort_keys=True).encode()).digest()
            known = seen.setdefault((start, end), content)
            if known is content:
                yield from (Spanned(result, start, end) for result in found)
            elif known == content:
                sheet.note("a bucket comes twice, the same each time: it is counted once")
            else:
                raise UnreadableBill(f"the bucket from {start.isoformat()} comes twice, with other results")


def _cover(start: Any, end: Any, sheet: Sheet) -> tuple[datetime, datetime]:
    """The bucket's first instant and its end, a day later where it is open; its UTC days count as covered.

    Raises UnreadableBill.
    """
    try:
        first = instant(start, "start_time")
        last = day_after(first) if end is None else instant(end, "end_time")
    except LineBroken as broken:
        raise UnreadableBill(f"a bucket has no usable time: {broken}") from None
    if not timedelta() < last - first <= timedelta(days=_MOST_DAYS):
        raise UnreadableBill(f"a bucket runs from {first.isoformat()} to {last.isoformat()}")
    day = first.date()
    while day <= (last - timedelta(microseconds=1)).date():
        sheet.days.add(day)
        day += timedelta(days=1)
    return first, last
