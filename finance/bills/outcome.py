"""What an import is asked for, what becomes of it, and why there may be none."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from core.errors import Conflict, NotFound
from finance.bills.formats import BillFormat
from finance.bills.reading import LineError
from finance.bills.stored import Bill


class OtherPayer(Conflict):
    """The month's bill in force is of accounts that this one does not speak of."""

    code = "OTHER_PAYER"

    def __init__(self, bill: Bill, accounts: set[str]) -> None:
        super().__init__(
            f"the bill of {bill.provider} for {bill.period:%Y-%m} in force is of account "
            f"{', '.join(sorted(bill.paying_accounts))}, this one of {', '.join(sorted(accounts)) or 'none it names'}; "
            "name this one's payer, and both count, or say that it replaces the other"
        )


class FewerDays(Conflict):
    """The month's bill in force covers days that this one does not: a part would replace the whole."""

    code = "FEWER_DAYS"

    def __init__(self, bill: Bill, missing: Collection[date]) -> None:
        super().__init__(
            f"the bill of {bill.provider} for {bill.period:%Y-%m} in force also covers days that this one does not, "
            f"such as {min(missing)}; import the whole month, or say that this one replaces it"
        )


class NoSuchBill(NotFound):
    """No bill in force has that number."""

    code = "NO_SUCH_BILL"

    def __init__(self, number: int) -> None:
        super().__init__(f"no bill in force has the number {number}")


class Key(NamedTuple):
    """One bill: whose, and which month's."""

    provider: str
    payer: str
    period: date


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to import, and how: None is whatever the file says it is. Lines at fault stop it, unless `skip_errors`.

    With `replace` it takes the place of a bill of other accounts or more days, which is refused otherwise.
    """

    format: BillFormat | None = None
    payer: str | None = None
    file_name: str = ""
    skip_errors: bool = False
    replace: bool = False


@dataclass(frozen=True, slots=True)
class Imported:
    """One bill that is in force now, and what the import replaced: lines and cost of None are of no earlier one."""

    bill: Bill
    replaced: Bill | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a file. Without `bills` nothing was changed, and `errors` say why."""

    format: BillFormat
    bills: Sequence[Imported]
    lines: int
    cost: Decimal
    errors: Sequence[LineError]
    error_count: int
    unknown_columns: Sequence[str]
    notes: Sequence[str]

    @property
    def done(self) -> bool:
        """Whether the file's bills are in force."""
        return bool(self.bills)
