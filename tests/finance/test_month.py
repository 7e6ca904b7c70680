"""Months as text and as instants of a zone."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from finance.month import InvalidPeriod, Month

BERLIN = ZoneInfo("Europe/Berlin")


def test_a_month_is_read_written_and_ordered() -> None:
    october = Month.parse("2026-10")
    assert str(october) == "2026-10"
    assert october < Month.parse("2026-11")
    assert Month.of(datetime(2026, 9, 30, 22, tzinfo=UTC), BERLIN) == october


@pytest.mark.parametrize(
    "text", ["", "2026", "2026-13", "2026-1", "2026-10-01", "0000-01", "1999-12", "2200-01", "２026-10", "2026-10\n"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidPeriod):
        Month.parse(text)


@pytest.mark.parametrize(("period", "hours"), [("2026-03", 743), ("2026-10", 745), ("2028-02", 29 * 24)])
def test_a_month_lasts_as_long_as_its_local_days(period: str, hours: int) -> None:
    window = Month.parse(period).window(BERLIN)
    assert (window.end - window.start).total_seconds() == hours * 3600
    assert window.start.astimezone(BERLIN).hour == 0
