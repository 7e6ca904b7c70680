"""Every format of bill: its reader, how much of a bill one file replaces, and how a file tells which it is."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, unique
from typing import BinaryIO, Final

from attribution.bill_lines import BillLine
from core.errors import InvalidInput
from finance.bills import anthropic_cost, aws_cur, azure, focus, gcp, generic_csv, openai_costs, pinecone
from finance.bills.reading import LineError, Sheet, UnreadableBill
from finance.bills.table import Table

_HEAD_BYTES: Final = 64_000

Reader = Callable[[BinaryIO, Sheet], Iterator[BillLine | LineError]]


class UnknownFormat(InvalidInput):
    """The file does not say what it is."""

    code = "UNKNOWN_BILL_FORMAT"

    def __init__(self, name: str = "") -> None:
        said = f"{name!r} is no format of bills" if name else "the file is of no format of bills that is recognised"
        super().__init__(f"{said}; choose one of {', '.join(f.value.name for f in BillFormat)}")


class UsageReport(InvalidInput):
    """The file counts what was used and says nothing of money."""

    code = "USAGE_REPORT"

    def __init__(self, what: str, instead: str) -> None:
        super().__init__(f"this is {what}: it bills nothing; import {instead} instead")


@unique
class Replaces(Enum):
    """What one import replaces of a provider's earlier ones."""

    MONTHS = "the months it has lines of"
    DAYS = "the days it covers"


@dataclass(frozen=True, slots=True)
class FormatSpec:
    """How files of a format are read, and what they replace."""

    name: str
    read: Reader
    replaces: Replaces
    description: str
    table: Table | None = None


def _table(table: Table, replaces: Replaces, description: str) -> FormatSpec:
    return FormatSpec(table.name, table.read, replaces, description, table)


@unique
class BillFormat(Enum):
    """The formats, more particular tables first."""

    OPENAI_COSTS = FormatSpec(
        "openai-costs", openai_costs.read, Replaces.DAYS, "OpenAI's organization costs API, as JSON."
    )
    ANTHROPIC_COST = FormatSpec(
        "anthropic-cost", anthropic_cost.read, Replaces.DAYS, "Anthropic's cost report, as JSON."
    )
    AWS_CUR = _table(aws_cur.TABLE, Replaces.MONTHS, "AWS Cost and Usage Report 2.0, as CSV.")
    FOCUS = _table(focus.TABLE, Replaces.MONTHS, "FOCUS 1.0 to 1.4 of any provider, as CSV.")
    AZURE = _table(azure.TABLE, Replaces.MONTHS, "Azure cost details, as CSV.")
    GCP = FormatSpec("gcp", gcp.read, Replaces.MONTHS, "Google Cloud's billing export, as JSON.")
    GENERIC_CSV = _table(generic_csv.TABLE, Replaces.MONTHS, "A table of your own, as CSV.")
    PINECONE = _table(pinecone.TABLE, Replaces.DAYS, "Pinecone's usage export, as CSV.")

    @property
    def spec(self) -> FormatSpec:
        """The declaration."""
        return self.value


def format_named(name: str) -> BillFormat:
    """The format of that name. Raises UnknownFormat."""
    found = next((f for f in BillFormat if f.spec.name == name), None)
    if found is None:
        raise UnknownFormat(name)
    return found


def recognise(file: BinaryIO) -> BillFormat:
    """The format of a file, which is read from its start and left there. Raises UnknownFormat, UsageReport.

    A file is told by its columns or by the names in its objects, never by its own name.
    """
    head = file.read(_HEAD_BYTES)
    file.seek(0)
    text = head.decode("utf-8-sig", errors="replace").lstrip()
    return _of_json(text) if text[:1] in {"{", "["} else _of_table(text)


_USAGE_REPORTS: Final = {
    "organization.usage.": ("a usage report of OpenAI", "the costs report (/v1/organization/costs)"),
    '"uncached_input_tokens":': ("a usage report of Anthropic", "the cost report (/v1/organizations/cost_report)"),
    '"download_url"': ("the description of a Pinecone export", "the file that it names"),
}


def _of_json(text: str) -> BillFormat:
    for sign, (what, instead) in _USAGE_REPORTS.items():
        if sign in text:
            raise UsageReport(what, instead)
    names = _names(text)
    for sign, format_ in (
        ("usage_start_time", BillFormat.GCP),
        ("starting_at", BillFormat.ANTHROPIC_COST),
        ("start_time", BillFormat.OPENAI_COSTS),
    ):
        if sign in names:
            return format_
    raise UnknownFormat


def _names(text: str) -> set[str]:
    """Every name of an object in the text, which may end anywhere."""
    parts = text.split('"')
    return {name for name, behind in zip(parts[1::2], parts[2::2], strict=False) if behind.lstrip().startswith(":")}


def _of_table(text: str) -> BillFormat:
    if text.startswith("PAR1"):
        raise UnreadableBill("the file is Parquet; export it as CSV")
    header: Sequence[str] = next(csv.reader(text.splitlines()), [])
    found = next((f for f in BillFormat if f.spec.table is not None and f.spec.table.recognises(header)), None)
    if found is None:
        raise UnknownFormat
    return found
