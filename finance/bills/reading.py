"""What reading a bill gives: lines, lines at fault, and what the reader of the file should be told beside them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from attribution.bill_lines import BillLine
from core.errors import InvalidInput
from core.money import EXACT, quantize
from finance.reconciliation.model_names import model_key

_MAX_COST: Final = Decimal(10) ** 20
_MAX_DIGITS: Final = 24
"""Before the point; more would be a mistake, or an attack on whoever computes with it."""
_MAX_QUANTITY: Final = Decimal(10) ** 28
_MAX_UNIX: Final = 10**11
_FIRST_YEAR: Final = 2000
_LAST_YEAR: Final = 2200
_QUANTITY_GRAIN: Final = Decimal(1).scaleb(-9)


class UnreadableBill(InvalidInput):
    """The file as a whole is no bill of that format."""

    code = "UNREADABLE_BILL"


@dataclass(frozen=True, slots=True)
class LineError:
    """Why a line was refused: where it stands, the field at fault, the rule it breaks, and a sentence."""

    line: int
    field: str
    rule: str
    message: str


class LineBroken(Exception):
    """A line cannot be read: `field` breaks `rule`."""

    def __init__(self, field: str, rule: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.rule = rule

    def at(self, line: int) -> LineError:
        """The error, with its place."""
        return LineError(line, self.field, self.rule, str(self))


@dataclass(slots=True)
class Sheet:
    """A file being read: the deployment's currency, and what was noticed on the way."""

    currency: str
    unknown: dict[str, None] = field(default_factory=dict)
    """Columns or fields that mean nothing to us, in the order met."""
    notes: dict[str, None] = field(default_factory=dict)
    days: set[date] = field(default_factory=set)
    """UTC days that the file says it covers, lines or not."""
    payer: str = ""
    """Who pays the line read last: the provider's name of the account; '' where it names none."""
    ledger: str = ""
    """Which of a provider's bills it is, where the file itself is not of the main one."""

    def note(self, text: str) -> None:
        """Tell the reader once."""
        self.notes[text] = None

    def notice(self, names: Iterable[str]) -> None:
        """Report what has no meaning here."""
        self.unknown.update(dict.fromkeys(name for name in names if name))

    def check_currency(self, currency: str, field: str = "currency") -> str:
        """The currency when it is the deployment's. Raises LineBroken."""
        code = currency.strip().upper()
        if code != self.currency:
            message = f"the line is in {code or 'no currency'}; this deployment accounts in {self.currency}"
            raise LineBroken(field, "currency", message)
        return code


def amount(text: Any, field: str, *, scale: int = 0) -> Decimal:
    """The exact amount of money, divided by 10 ** `scale` and then rounded half-even to the pico grain, once.

    Raises LineBroken.
    """
    value = number(text, field)
    if value is None:
        raise LineBroken(field, "required", f"{field} is missing")
    if not -_MAX_COST < value < _MAX_COST:
        raise LineBroken(field, "range", f"{field} {text!s:.60} is no amount that anybody is billed")
    return quantize(value.scaleb(-scale, context=EXACT))


def number(text: Any, field: str) -> Decimal | None:
    """The exact number; None for nothing. Raises LineBroken."""
    if text is None or (isinstance(text, str) and text.strip() in {"", "NULL", "null"}):
        return None
    try:
        value = Decimal(str(text).strip())
    except InvalidOperation:
        raise LineBroken(field, "number", f"{field} {text!s:.60} is not a number") from None
    if not value.is_finite():
        raise LineBroken(field, "number", f"{field} {text!s:.60} is not a finite number")
    if value and value.adjusted() > _MAX_DIGITS:
        raise LineBroken(field, "range", f"{field} {text!s:.60} is too large for a bill")
    return value


def quantity(value: Decimal | None) -> Decimal | None:
    """The quantity as it is stored, with at most nine decimals, rounded half-even. Raises LineBroken."""
    if value is not None and abs(value) >= _MAX_QUANTITY:
        raise LineBroken("quantity", "range", f"quantity {value!s:.60} is too large for a bill")
    return None if value is None else value.quantize(_QUANTITY_GRAIN, context=EXACT)


_AMERICAN: Final = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})$")


def instant(text: Any, field: str) -> datetime:
    """The instant: RFC 3339, a date, BigQuery's `2026-11-20 13:00:00 UTC`, or unix seconds; UTC unless it says.

    Raises LineBroken.
    """
    try:
        if isinstance(text, int | Decimal) and not isinstance(text, bool):
            return datetime.fromtimestamp(int(min(max(text, -_MAX_UNIX), _MAX_UNIX)), UTC)
        value = datetime.fromisoformat(str(text).strip().removesuffix(" UTC"))
    except (ValueError, OverflowError, OSError):
        raise LineBroken(field, "time", f"{field} {text!s:.60} is not a time") from None
    if not _FIRST_YEAR <= value.year < _LAST_YEAR:
        raise LineBroken(field, "time", f"{field} {text!s:.60} is no time of a bill")
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def american_date(text: Any, field: str) -> datetime:
    """The instant of a date written MM/DD/YYYY, or as `instant` reads it. Raises LineBroken."""
    found = _AMERICAN.match(str(text).strip())
    if not found:
        return instant(text, field)
    month, day, year = found.groups()
    return instant(f"{year}-{month:0>2}-{day:0>2}", field)


def month_of(text: str, field: str) -> date | None:
    """The first day of the month of a billing period's start; None for nothing. Raises LineBroken."""
    return american_date(text, field).date().replace(day=1) if text else None


def day_after(start: datetime) -> datetime:
    """The end of a line that covers a day."""
    return start + timedelta(days=1)


def finished(line: BillLine) -> BillLine:
    """The line with its model's key and texts of a bounded length; nothing may end before it began.

    Raises LineBroken.
    """
    return line._replace(
        bill_period=line.bill_period if line.bill_period.year > 1970 else line.start_time.date().replace(day=1),
        model_key=model_key(line.provider_name, line.model),
        end_time=max(line.end_time, line.start_time),
        description=line.description[:1_000],
        quantity=quantity(line.quantity),
        list_cost=None if line.list_cost is None else quantize(line.list_cost),
    )
