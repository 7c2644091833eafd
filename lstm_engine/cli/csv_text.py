"""CSV as text: lines of fields, and fields as numbers. What a column means is not known here."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TextIO

from ..errors import FormatError
from .arguments import UsageError

MISSING = {"", "na", "n/a", "#n/a", "<na>", "null", "none"}  # what spreadsheets and pandas write for no value
MAX_LINE = 1 << 26                   # characters
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_NUMBER = re.compile(r"[+-]?((\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?|nan|inf(inity)?)", re.ASCII | re.IGNORECASE)
_PLAIN = re.compile(r"-?(0|[1-9]\d{0,17})(\.\d{1,18})?", re.ASCII)
_LEADING_ZERO = re.compile(r"[+-]?0\d+(\.\d*)?", re.ASCII)
_SWAPPED = str.maketrans(",.", ".,")

Row = tuple[int, list[str]]          # line number, fields


@dataclass(frozen=True)
class CsvOptions:
    """What the command line says of a CSV. None: not said."""

    sep: str | None = None
    decimal: str | None = None
    header: bool | None = None
    index: bool | None = None
    name_column: str | None = None            # its number from 1, or its name in the heading
    columns: tuple[str, ...] | None = None    # those of the features, likewise
    rows: str | None = None                   # what a row is: "steps" or "sequences"
    missing: bool = False                     # whether cells may be empty (NaN)


@dataclass
class Table:
    """The rows of a CSV and what reads their cells. name: of the file, for messages."""

    name: str
    rows: list[Row]
    options: CsvOptions = field(default_factory=CsvOptions)

    def wrong(self, line: int, what: str, column: int | None = None) -> FormatError:
        """An error at a line and, from 1, a column."""
        at = "" if column is None else f", column {column}"
        return FormatError(f"{self.name}, line {line}{at}: {what}")

    def ask(self, what: str) -> UsageError:
        """An error about what the file does not say and the command line must."""
        return UsageError(f"{self.name}: {what}")

    def is_number(self, cell: str) -> bool:
        """Whether a cell is a number in the file's own spelling."""
        return _NUMBER.fullmatch(self._spelt(cell)) is not None

    def number(self, cell: str, line: int, column: int, whole: bool = False) -> int | float:
        """The number in a cell (column from 1). Refuses what is none, is missing, or may be half of a number."""
        text = self._spelt(cell)
        if not whole and _PLAIN.fullmatch(text):             # most cells: nothing more to look at
            return float(text)
        if self.options.missing and not whole and text.lower() in MISSING:
            return float("nan")
        if not (_WHOLE if whole else _NUMBER).fullmatch(text):
            raise self.wrong(line, f"expected {'a whole number' if whole else 'a number'}, got {cell!r:.60}"
                                   f"{self._hint(cell, whole, line)}", column)
        if self.options.sep is None and _LEADING_ZERO.fullmatch(text):
            raise self.ask(f"line {line}, column {column} is {cell!r:.60}, as if a comma stood inside a number "
                           "(1,000): type --sep , if commas separate the fields; thousands separators are not read, "
                           "write 1000")
        try:
            number = int(text) if whole else float(text)
        except ValueError:                                   # Python reads whole numbers of at most 4,300 digits
            raise self.wrong(line, f"a whole number of {len(text):,} digits", column) from None
        if number in (float("inf"), float("-inf")) and "inf" not in text.lower():
            raise self.wrong(line, f"{cell!r:.60} is beyond the largest float64", column)
        return number

    def _spelt(self, cell: str) -> str:
        """A cell with a point for its decimal mark. Where a comma is, a point is none: 1.234 may be a thousand."""
        text = cell.strip()
        return text.translate(_SWAPPED) if self.options.decimal == "," else text

    def _hint(self, cell: str, whole: bool, line: int) -> str:
        if cell.strip().lower() in MISSING and not whole:
            return ": a missing value; type --nan mask to leave its step out, or --nan propagate to let it be NaN"
        hint = self.hint_of_separator([cell])
        if not hint and line == 1 and self.options.header is None and any(map(str.isalpha, cell)):
            return "; if line 1 is a heading, type --header"
        return hint

    def hint_of_separator(self, cells: Iterable[str]) -> str:
        """What to type where other characters than --sep seem to separate, or mark decimals; "" where none do."""
        text = "".join(cells)
        if self.options.sep is None:
            for mark, word in ((";", "';'"), ("\t", "tab")):
                if mark in text:
                    return f"; if {word} stands between the fields, type --sep {word}"
        if self.options.decimal == "," and re.search(r"\d\.\d", text):
            return "; with --decimal , a point is no part of a number: thousands separators are not read"
        if self.options.decimal is None and re.search(r"\d,\d", text):
            return ("; if the comma is the decimal mark, type --decimal , and the --sep of the file; thousands "
                    "separators are not read")
        return ""


def _lines(text: TextIO, name: str) -> Iterator[str]:
    """The lines of a text, which may come from a device that never ends one."""
    number = 0
    while line := text.readline(MAX_LINE + 1):
        number += 1
        if len(line) > MAX_LINE:
            raise FormatError(f"{name}, line {number}: more than {MAX_LINE:,} characters in one line")
        yield line


def read_table(text: TextIO, name: str, options: CsvOptions) -> Table:
    """The lines of a CSV. Empty lines may only stand at the end. Raises FormatError naming the line."""
    sep = options.sep or ","
    if options.decimal == sep:
        raise UsageError(f"--decimal {options.decimal}: the fields are separated by it; say by --sep what separates "
                         "them (usually --sep ';')")
    reader = csv.reader(_lines(text, name), delimiter=sep, strict=True, skipinitialspace=True)
    rows: list[Row] = []
    blank = 0
    try:
        for fields in reader:
            if not fields or (len(fields) == 1 and not fields[0].strip()):
                blank = blank or reader.line_num
                continue
            if blank:
                raise FormatError(f"{name}, line {blank}: is empty")
            rows.append((reader.line_num, fields))
    except csv.Error as error:
        raise FormatError(f"{name}, line {reader.line_num}: {error}") from error
    if not rows:
        raise FormatError(f"{name}: holds no rows")
    return Table(name, rows, options)
