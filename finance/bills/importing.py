"""Importing a bill: read, stored line by line, and put in force at one instant in place of the earlier import."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
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
from core.database import Database
from core.errors import Unavailable
from finance.bills.formats import PACKING_ERRORS, BillFormat, Replaces, opened, recognise
from finance.bills.outcome import Imported, Key, NoSuchBill, OtherPayer, Outcome, Wanted
from finance.bills.reading import LineError, Sheet, UnreadableBill
from finance.bills.stored import Bill, BillState, current_bills, stale_imports
from tenants.audit import Action, record

BATCH_LINES: Final = 20_000
MAX_ERRORS: Final = 1_000


@dataclass(slots=True)
class _Loading:
    """A file half way: its bills by key, and the days on which each has lines."""

    bills: dict[Key, Bill] = field(default_factory=dict)
    days: dict[Key, set[date]] = field(default_factory=dict)
    lines: int = 0
    cost: Decimal = Decimal(0)
    errors: list[LineError] = field(default_factory=list)
    error_count: int = 0


class BillImporter:
    """Imports bills of one deployment, one file at a time across all its processes."""

    def __init__(self, store: Store, database: Database, currency: str, *, batch_lines: int = BATCH_LINES) -> None:
        self._store = store
        self._database = database
        self._currency = currency
        self._batch_lines = batch_lines

    def run(self, file: BinaryIO, wanted: Wanted, *, by: str) -> Outcome:
        """What became of the file: its bills in force, or nothing changed and errors.

        Of each provider and month (OpenAI, Anthropic and Pinecone: day) what is in the file replaces what was known, so
        that repeating it changes nothing. Raises UnreadableBill, UnknownFormat, UsageReport, OtherPayer or Unavailable,
        and then nothing has changed.
        """
        try:
            plain = opened(file)
            format_ = wanted.format or recognise(plain)
            with self._database.lock():
                return self._import(plain, format_, wanted, by)
        except PACKING_ERRORS as error:
            raise UnreadableBill(f"the file cannot be unpacked: {error}") from error

    def remove(self, number: int, *, by: str) -> Bill:
        """The bill that was in force and is no more; its lines are gone. Recorded. Raises NoSuchBill or Unavailable."""
        with self._database.lock(), self._database.session() as session:
            bill = session.get(Bill, number)
            if bill is None or bill.state != BillState.CURRENT.value:
                raise NoSuchBill(number)
            bill.state = BillState.REPLACED.value
            session.add(bill)
            record(session, by, Action.REMOVE_BILL, _target(bill), lines=bill.lines, cost=bill.cost)
            session.commit()
            self._store.rewrite(compile_removal([number]))
            bill.state = BillState.REMOVED.value
            session.add(bill)
            session.commit()
        return bill

    def _import(self, file: BinaryIO, format_: BillFormat, wanted: Wanted, by: str) -> Outcome:
        sheet, loading = Sheet(self._currency), _Loading()
        imported: Sequence[Imported] = ()
        try:
            self._load(format_.spec.read(file, sheet), sheet, loading, format_, wanted, by)
            if loading.bills and (wanted.skip_errors or not loading.error_count):
                imported = self._put_in_force(loading, sheet, format_, by)
            else:
                _check_errors(loading)
        except BaseException:
            self._give_up(loading)
            raise
        if imported:
            self._remove_stale(loading)
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

    def _put_in_force(self, loading: _Loading, sheet: Sheet, format_: BillFormat, by: str) -> Sequence[Imported]:
        with self._database.session() as session:
            old = {key: next(iter(current_bills(session, **key._asdict())), None) for key in loading.bills}
        for key, bill in loading.bills.items():
            self._complete(bill, old[key], _covered(key, loading.days[key], sheet, format_), sheet, format_)
        with self._database.session() as session:
            for key, bill in loading.bills.items():
                _switch(session, bill, old[key], by)
            session.commit()
        return [Imported(bill, old[key]) for key, bill in loading.bills.items()]

    def _complete(self, bill: Bill, old: Bill | None, days: set[date], sheet: Sheet, format_: BillFormat) -> None:
        """Give the bill its sums, and of the earlier import the days not covered now. Raises OtherPayer."""
        accounts = set(sheet.payers)
        if old is not None:
            if accounts and old.paying_accounts and not accounts & old.paying_accounts:
                raise OtherPayer(old, accounts)
            if format_.spec.replaces is Replaces.DAYS:
                self._store.rewrite(compile_carry_over(old.number, bill.number, sorted(days)))
                days = days | set(old.covered)
                accounts |= old.paying_accounts
        (lines,), (cost,), (credit,), (tax,) = self._store.columns(compile_import_sums(bill.number))
        bill.lines, bill.cost, bill.credits, bill.taxes = lines, cost, credit, tax
        bill.days = json.dumps([day.isoformat() for day in sorted(days)])
        bill.accounts = json.dumps(sorted(accounts))

    def _remove_stale(self, loading: _Loading) -> None:
        """Remove from disk what the bills replaced, and what an import that was killed had left."""
        with self._database.session() as session:
            stale = [old for bill in loading.bills.values() for old in stale_imports(session, bill)]
            if stale:
                self._store.rewrite(compile_removal([bill.number for bill in stale]))
            for bill in stale:
                bill.state = BillState.REMOVED.value
                session.add(bill)
            session.commit()

    def _give_up(self, loading: _Loading) -> None:
        """Leave nothing of bills that did not come into force."""
        with suppress(Unavailable):
            if loading.bills:
                self._store.rewrite(compile_removal([bill.number for bill in loading.bills.values()]))
            with self._database.session() as session:
                for bill in loading.bills.values():
                    session.delete(session.merge(bill))
                session.commit()


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
