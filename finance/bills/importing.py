"""Importing a bill: read, stored line by line, and put in force at one instant in place of the earlier import."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import BinaryIO, Final

from sqlalchemy import update
from sqlmodel import Session, col

from attribution.bill_lines import (
    TABLE,
    BillLine,
    compile_carry_over,
    compile_import_sums,
    compile_removal,
    to_arrow,
)
from attribution.store import Store
from core.database import Database, Turn
from core.errors import Unavailable
from finance.bills.formats import BillFormat, Replaces, recognise
from finance.bills.outcome import FewerDays, Imported, Key, NoSuchBill, OtherPayer, Outcome, Wanted
from finance.bills.packing import PACKING_ERRORS, opened
from finance.bills.reading import LineError, Sheet, UnreadableBill
from finance.bills.stored import Bill, BillState, current_bills, stale_imports, still_loading
from tenants.audit import Action, record

BATCH_LINES: Final = 20_000
MAX_ERRORS: Final = 1_000
ABANDONED_AFTER: Final = timedelta(days=1)
"""No import takes so long: one that is still loading was killed."""


@dataclass(slots=True)
class _Loading:
    """A file half way: its bills by key, the days on which each has lines, and the accounts that pay for them."""

    bills: dict[Key, Bill] = field(default_factory=dict)
    days: dict[Key, set[date]] = field(default_factory=dict)
    accounts: dict[Key, set[str]] = field(default_factory=dict)
    lines: int = 0
    cost: Decimal = Decimal(0)
    errors: list[LineError] = field(default_factory=list)
    error_count: int = 0


class BillImporter:
    """Imports bills of one deployment. Files may load at the same time; they come into force one by one."""

    def __init__(self, store: Store, database: Database, currency: str, *, batch_lines: int = BATCH_LINES) -> None:
        self._store = store
        self._database = database
        self._currency = currency
        self._batch_lines = batch_lines

    def run(self, file: BinaryIO, wanted: Wanted, *, by: str, limit: int | None = None) -> Outcome:
        """What became of the file: its bills in force, or nothing changed and errors.

        Of each provider and month (OpenAI, Anthropic and Pinecone: day) what is in the file replaces what was known, so
        that repeating it changes nothing. A packed file may hold `limit` bytes; None is however many. Raises
        UnreadableBill, BillTooLarge, UnknownFormat, UsageReport, OtherPayer, FewerDays or Unavailable, and then nothing
        has changed, unless the database went away in the very act.
        """
        try:
            plain = opened(file, limit)
            return self._import(plain, wanted.format or recognise(plain), wanted, by)
        except PACKING_ERRORS as error:
            raise UnreadableBill(f"the file cannot be unpacked: {error}") from error

    def remove(self, number: int, *, by: str) -> Bill:
        """The bill that was in force and is no more. Recorded. Raises NoSuchBill or Unavailable."""
        with self._database.lock(Turn.BILLS), self._database.session() as session:
            bill = session.get(Bill, number)
            if bill is None or bill.state != BillState.CURRENT.value:
                raise NoSuchBill(number)
            bill.state = BillState.REPLACED.value
            session.add(bill)
            record(session, by, Action.REMOVE_BILL, _target(bill), lines=bill.lines, cost=bill.cost)
            session.commit()
        self._sweep([Key(bill.provider, bill.payer, bill.period)])
        return bill

    def _import(self, file: BinaryIO, format_: BillFormat, wanted: Wanted, by: str) -> Outcome:
        sheet, loading = Sheet(self._currency), _Loading()
        imported: Sequence[Imported] = ()
        try:
            self._load(format_.spec.read(file, sheet), sheet, loading, format_, wanted, by)
            if loading.bills and (wanted.skip_errors or not loading.error_count):
                with self._database.lock(Turn.BILLS):
                    imported = self._put_in_force(loading, sheet, format_, wanted, by)
            else:
                _check_errors(loading)
        except BaseException:
            self._give_up(loading)
            raise
        if imported:
            self._sweep(loading.bills)
        else:
            self._give_up(loading)
        return Outcome(
            format_,
            imported,
            loading.lines,
            loading.cost,
            loading.errors,
            loading.error_count,
            list(sheet.unknown),
            list(sheet.notes),
        )

    def _load(
        self,
        found: Iterator[BillLine | LineError],
        sheet: Sheet,
        loading: _Loading,
        format_: BillFormat,
        wanted: Wanted,
        by: str,
    ) -> None:
        batch: list[BillLine] = []
        for line in found:
            if isinstance(line, LineError):
                loading.error_count += 1
                if len(loading.errors) < MAX_ERRORS:
                    loading.errors.append(line)
                continue
            if loading.error_count and not wanted.skip_errors:
                continue  # nothing will be kept; only further errors are of interest
            payer = sheet.ledger if wanted.payer is None else wanted.payer
            key = Key(line.provider_name, payer, line.bill_period)
            if key not in loading.bills:
                loading.bills[key] = self._begin(key, format_, wanted, by)
            loading.days.setdefault(key, set()).add(line.start_time.date())
            loading.accounts.setdefault(key, set()).update(filter(None, [sheet.payer]))
            loading.lines += 1
            loading.cost += line.cost
            batch.append(line._replace(import_id=loading.bills[key].number))
            if len(batch) >= self._batch_lines:
                self._store.append(TABLE, to_arrow(batch))
                batch.clear()
        if batch:
            self._store.append(TABLE, to_arrow(batch))

    def _begin(self, key: Key, format_: BillFormat, wanted: Wanted, by: str) -> Bill:
        """A bill whose lines nobody sees yet."""
        bill = Bill(
            provider=key.provider,
            payer=key.payer,
            period=key.period,
            format=format_.spec.name,
            file_name=wanted.file_name[-500:],
            currency=self._currency,
            imported_at=datetime.now(UTC),
            imported_by=by,
        )
        with self._database.session() as session:
            session.add(bill)
            session.commit()
        return bill

    def _put_in_force(
        self, loading: _Loading, sheet: Sheet, format_: BillFormat, wanted: Wanted, by: str
    ) -> Sequence[Imported]:
        with self._database.session() as session:
            old = {key: next(iter(current_bills(session, **key._asdict())), None) for key in loading.bills}
        for key, bill in loading.bills.items():
            days, replaced = _covered(key, loading.days[key], sheet, format_), old[key]
            if replaced is not None and not wanted.replace:
                _check_replaced(replaced, days, loading.accounts[key], format_.spec.replaces)
            self._complete(bill, replaced, days, loading.accounts[key], format_)
        with self._database.session() as session:
            for key, bill in loading.bills.items():
                _switch(session, bill, old[key], by)
            session.commit()
        return [Imported(bill, old[key]) for key, bill in loading.bills.items()]

    def _complete(self, bill: Bill, old: Bill | None, days: set[date], accounts: set[str], format_: BillFormat) -> None:
        """Give the bill its sums, and of the earlier import the days not covered now."""
        if old is not None and format_.spec.replaces is Replaces.DAYS:
            self._store.rewrite(compile_carry_over(old.number, bill.number, sorted(days)))
            days, accounts = days | set(old.covered), accounts | old.paying_accounts
        (lines,), (cost,), (credit,), (tax,) = self._store.columns(compile_import_sums(bill.number))
        bill.lines, bill.cost, bill.credits, bill.taxes = lines, cost, credit, tax
        bill.days = json.dumps([day.isoformat() for day in sorted(days)])
        bill.accounts = json.dumps(sorted(accounts))

    def _sweep(self, keys: Iterable[Key]) -> None:
        """Remove from disk what nobody sees of these bills. What is unavailable now is swept by the next import."""
        before = datetime.now(UTC) - ABANDONED_AFTER
        with suppress(Unavailable), self._database.session() as session:
            stale = [b for key in keys for b in stale_imports(session, **key._asdict(), abandoned_before=before)]
            if stale:
                self._store.rewrite(compile_removal([bill.number for bill in stale]))
            for bill in stale:
                bill.state = BillState.REMOVED.value
                session.add(bill)
            session.commit()

    def _give_up(self, loading: _Loading) -> None:
        """Leave nothing of bills that did not come into force. Some may have: the answer to a commit can be lost."""
        with suppress(Unavailable), self._database.session() as session:
            left = still_loading(session, loading.bills.values())
            if left:
                self._store.rewrite(compile_removal([bill.number for bill in left]))
            for bill in left:
                session.delete(bill)
            session.commit()


def _check_replaced(old: Bill, days: set[date], accounts: set[str], replaces: Replaces) -> None:
    """Return when a bill of those days and accounts may take the place of the old one. Raises OtherPayer, FewerDays."""
    known = old.paying_accounts
    if replaces is Replaces.DAYS:
        if known and accounts and not known & accounts:
            raise OtherPayer(old, accounts)
        return
    if known - accounts:
        raise OtherPayer(old, accounts)
    missing = set(old.covered) - days
    if missing:
        raise FewerDays(old, missing)


def _check_errors(loading: _Loading) -> None:
    """Return when errors say why there is nothing to import. Raises UnreadableBill."""
    if not loading.error_count:
        raise UnreadableBill("the file holds no line of a bill")


def _switch(session: Session, bill: Bill, old: Bill | None, by: str) -> None:
    """In this transaction the bill takes the place of the old one, and that is recorded."""
    if old is not None:
        replaced = update(Bill).where(col(Bill.id) == old.id).values(state=BillState.REPLACED.value)
        session.exec(replaced)
    bill.state = BillState.CURRENT.value
    session.merge(bill)
    details = {"format": bill.format, "lines": bill.lines, "cost": bill.cost, "file": bill.file_name}
    was = {"replaced_lines": old.lines, "replaced_cost": old.cost} if old else {}
    record(session, by, Action.IMPORT_BILL, _target(bill), **details, **was)


def _target(bill: Bill) -> str:
    """How the audit log names a bill."""
    return " ".join(filter(None, (bill.provider, f"{bill.period:%Y-%m}", bill.payer)))


def _covered(key: Key, with_lines: set[date], sheet: Sheet, format_: BillFormat) -> set[date]:
    """The days of this month that the file speaks of: those it says, or all until its last line's.

    A line of another month, used before and invoiced late, covers nothing: that month's own bill says what its days
    come to.
    """
    own = {day for day in with_lines if day.replace(day=1) == key.period}
    if format_.spec.replaces is Replaces.DAYS:
        return own | {day for day in sheet.days if day.replace(day=1) == key.period}
    return {day.replace(day=n) for day in own for n in range(1, day.day + 1)}
