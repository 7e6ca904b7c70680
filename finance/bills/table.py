"""Bills that are tables: which column means what is declared, and read row by row however long the file."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

from attribution.bill_lines import BillLine
from finance.bills.document import clean
from finance.bills.reading import LineBroken, LineError, Sheet, UnreadableBill, finished

_MAX_FIELD: Final = 1_000_000
_MAX_LINE: Final = 10_000_000
"""Characters of a line; a file that is one endless line would be taken into memory whole."""
_SNAKE: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[/:\s]+")


class Row:
    """One row of the table, read by the names that the format declares."""

    def __init__(self, cells: Mapping[str, str], columns: Mapping[str, Sequence[str]], sheet: Sheet) -> None:
        self.sheet = sheet
        self._cells = cells
        self._columns = columns

    def __getitem__(self, name: str) -> str:
        """The text under the first of the columns of that meaning that the row fills; '' when none."""
        return next((text for column in self._columns[name] if (text := self._cells.get(column, ""))), "")

    def column(self, name: str) -> str:
        """The column that errors about that meaning name: the one filled, else the first declared."""
        return next((c for c in self._columns[name] if self._cells.get(c, "")), self._columns[name][0])

    def json(self, name: str) -> dict[str, str]:
        """The JSON object of texts under that name; empty when there is none."""
        return texts(self[name])

    def under(self, prefix: str) -> dict[str, str]:
        """Filled cells by what follows `prefix` in their column's name."""
        return {
            name.removeprefix(prefix): text for name, text in self._cells.items() if text and name.startswith(prefix)
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A format that is a table: the columns of each meaning, best first, and how a row becomes lines.

    `known` are columns and, where they end in `*`, prefixes of columns that are understood and not needed. `required`
    are the meanings without which the file is not of this format. `normalize` brings spellings of a column together.
    """

    name: str
    columns: Mapping[str, Sequence[str]]
    required: Sequence[str]
    lines: Callable[[Row, int], Iterable[BillLine]]
    known: frozenset[str] = frozenset()
    normalize: Callable[[str], str] = str.strip

    def recognises(self, header: Sequence[str]) -> bool:
        """Whether a file with this header is of this format."""
        return not self._missing([self.normalize(name) for name in header])

    def read(self, file: BinaryIO, sheet: Sheet) -> Iterator[BillLine | LineError]:
        """The lines in order, each at fault as an error in its place. Raises UnreadableBill."""
        csv.field_size_limit(_MAX_FIELD)
        reader = csv.reader(_lines_of(io.TextIOWrapper(file, "utf-8-sig", errors="strict", newline="")))
        header = self._header(reader, sheet)
        for cells in _rows(reader):
            if any(cells[len(header) :]):
                yield LineError(reader.line_num, "", "columns", "the line has more cells than there are columns")
            elif any(cells):
                yield from self._row(dict(zip(header, cells, strict=False)), reader.line_num, sheet)

    def _header(self, reader: Iterator[list[str]], sheet: Sheet) -> list[str]:
        written = next(_rows(reader), [])
        header = [self.normalize(name) for name in written]
        missing = self._missing(header)
        if missing:
            raise UnreadableBill(f"this is no {self.name} file: it has no column {' or '.join(missing)}")
        used = {column for columns in self.columns.values() for column in columns}
        twice = sorted(column for column in used if header.count(column) > 1)
        if twice:
            raise UnreadableBill(f"the column {twice[0]} comes twice, and which is meant, nobody can tell")
        sheet.notice(
            name for name, column in zip(written, header, strict=True) if column not in used and not self._knows(column)
        )
        return header

    def _row(self, cells: Mapping[str, str], line: int, sheet: Sheet) -> Iterator[BillLine | LineError]:
        try:
            yield from map(finished, self.lines(Row(cells, self.columns, sheet), line))
        except LineBroken as broken:
            yield broken.at(line)

    def _missing(self, header: Sequence[str]) -> Sequence[str]:
        """The columns of the first required meaning that the header lacks."""
        return next((self.columns[name] for name in self.required if not set(self.columns[name]) & set(header)), ())

    def _knows(self, column: str) -> bool:
        return column in self.known or any(column.startswith(k[:-1]) for k in self.known if k.endswith("*"))


def _lines_of(text: io.TextIOWrapper) -> Iterator[str]:
    for number, line in enumerate(iter(lambda: text.readline(_MAX_LINE + 1), ""), 1):
        if len(line) > _MAX_LINE:
            raise UnreadableBill(f"line {number} is longer than {_MAX_LINE} characters")
        yield line


def _rows(reader: Iterator[list[str]]) -> Iterator[list[str]]:
    try:
        yield from reader
    except UnicodeDecodeError:
        raise UnreadableBill("the file is not UTF-8 text") from None
    except csv.Error as error:
        raise UnreadableBill(f"the file is no CSV: {error}") from None


def snake(name: str) -> str:
    """`lineItem/UsageStartDate` and `line_item_usage_start_date` alike as the latter."""
    return _SNAKE.sub("_", name.strip()).lower()


def lower(name: str) -> str:
    """The name without regard to letter case."""
    return name.strip().lower()


def texts(value: str) -> dict[str, str]:
    """The texts of a JSON object, with or without its braces; empty for anything else."""
    text = value.strip()
    if text and not text.startswith("{"):
        text = "{" + text + "}"
    try:
        found: Any = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    return {clean(str(key)): clean(str(item)) for key, item in found.items()} if isinstance(found, dict) else {}
