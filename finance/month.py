"""A calendar month: what bills, allocations, true-ups and statements are of."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, Self
from zoneinfo import ZoneInfo

from core.errors import InvalidInput
from core.time import Granularity, Window, midnight

_TEXT: Final = re.compile(r"(2[01]\d\d)-(0[1-9]|1[0-2])")


class InvalidPeriod(InvalidInput):
    """The text names no month."""

    code = "INVALID_PERIOD"

    def __init__(self, text: str) -> None:
        super().__init__(f"{text!r} is not a month such as 2026-10")
        self.field = "period"


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """A month, known by its first day. Which instants it has depends on the zone."""

    first: date

    @classmethod
    def parse(cls, text: str) -> Self:
        """The month written as `2026-10`. Raises InvalidPeriod."""
        found = _TEXT.fullmatch(text)
        if found is None:
            raise InvalidPeriod(text)
        return cls(date(int(found[1]), int(found[2]), 1))

    @classmethod
    def of(cls, instant: datetime, zone: ZoneInfo) -> Self:
        """The month that holds the instant in that zone."""
        return cls(instant.astimezone(zone).date().replace(day=1))

    def window(self, zone: ZoneInfo) -> Window:
        """Its instants: from local midnight to local midnight."""
        return Window(midnight(self.first, zone), midnight(Granularity.MONTH.next_day(self.first), zone))

    def __str__(self) -> str:
        return f"{self.first:%Y-%m}"
