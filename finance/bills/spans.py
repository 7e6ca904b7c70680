"""The days that a bucket of a report covers."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from finance.bills.reading import LineBroken, Sheet, UnreadableBill, day_after, instant

_MOST_DAYS = 400


def cover(start: Any, end: Any, sheet: Sheet) -> tuple[datetime, datetime]:
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
