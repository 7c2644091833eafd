"""What the columns of a CSV mean: heading, index, names, features. What has two readings is refused with both."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from ..errors import FormatError
from .arguments import UsageError
from .csv_text import MISSING, Table

_DATE = re.compile(r"\d{4}-\d\d(-\d\d)?([ T]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?", re.ASCII)
_LIKE_A_DATE = re.compile(r"\d\s*[-/.:]\s*\d", re.ASCII)
_UNNAMED = ("", "Unnamed: 0")             # how pandas heads an index without a name


@dataclass
class Columns:
    """Positions from 0. heading: the names, or None; index: a column that only counts rows; names: of sequences."""

    heading: list[str] | None
    index: int | None
    names: int | None
    values: list[int]


def columns_of(table: Table, width: int, steps: bool) -> Columns:
    """The columns of a file whose rows hold `width` numbers each; the heading is taken off `table`.

    steps: rows are steps of sequences, so that it matters whether a column names them; else each row stands for itself.
    """
    options = table.options
    heading = take_heading(table, width)
    count = len(heading or table.rows[0][1])
    _same_count(table, count, heading is not None)
    names = None if options.name_column is None else position(options.name_column, "--name-column", heading, count)
    index = 0 if options.index else None
    if index is not None and index == names:
        raise UsageError("--index and --name-column mean the same column: an index is left out, names are not")
    if options.columns is not None:
        values = [position(column, "--columns", heading, count) for column in options.columns]
    else:
        values = [at for at in range(count) if at not in (index, names)]
        if index is None and names is None and count == width + 1:
            values = values[1:]
            names = _first_column(table, heading, width, steps)
            index = 0 if names is None else None
        elif index is None and names is None and count == width and options.index is None and heading \
                and heading[0] in _UNNAMED and width > 1:
            raise table.ask(f"column 1 has no name, as an index of pandas, but the model takes {width} numbers and "
                            f"there are {count} columns: type --no-index if the first is a feature")
    if len(values) != width:
        raise _wrong_count(table, heading, count, len(values), width, index, names)
    return Columns(heading, index, names, values)


def is_position(column: str) -> bool:
    """Whether an option gives a column by its number."""
    return re.fullmatch(r"\d{1,9}", column, re.ASCII) is not None


def position(column: str, option: str, heading: Sequence[str] | None, count: int) -> int:
    """The place from 0 of a column that an option names: by its number from 1, or by its name in the heading."""
    found = [at for at, name in enumerate(heading or ()) if name == column]
    if is_position(column):
        if found and found != [int(column) - 1]:
            raise UsageError(f"{option} {column}: the heading calls column {found[0] + 1} so; give its number")
        if not 1 <= int(column) <= count:
            raise UsageError(f"{option} {column}: there are columns 1 to {count}")
        return int(column) - 1
    if len(found) != 1:
        there = f"the heading has {', '.join(heading)}" if heading else "there is no heading; give its number from 1"
        raise UsageError(f"{option} {column!r:.60}: {'two columns are called so' if found else there}")
    return found[0]


# ---- the heading --------------------------------------------------------------------------------------------

def take_heading(table: Table, width: int) -> list[str] | None:
    """Take the heading off the rows, if the first is one. Raises UsageError for a first row that may be either."""
    options = table.options
    named = [column for column in (options.name_column, *(options.columns or ())) if column and not is_position(column)]
    first = table.rows[0][1]
    heading = options.header
    if heading is None:
        heading = bool(named) and set(named) <= {cell.strip() for cell in first} or _is_heading(table, width)
    if not heading:
        return None
    line, fields = table.rows.pop(0)
    if not table.rows:
        raise FormatError(f"{table.name}: holds a heading (line {line}) and no rows")
    return [cell.strip() for cell in fields]


def _is_heading(table: Table, width: int) -> bool:
    """Whether the first row only names columns: no number in it, or the numbers that pandas gives to columns."""
    (line, first), *others = table.rows
    beside = _beside_the_numbers(table, width, len(first))
    labels, cells = _apart(first, beside)
    if not any(map(table.is_number, cells)):
        if not any(cell.strip().lower() not in MISSING and any(map(str.isalpha, cell)) for cell in cells):
            return False                                     # none of them is a name: told as numbers that are none
        if any(table.is_number(label) or _DATE.fullmatch(label.strip()) for label in labels) \
                or labels and any(_apart(fields, beside)[0] == labels for _, fields in others[:1]):
            raise table.ask(f"line {line} has no number in it, but what stands beside is no name of a column: type "
                            "--header if it is a heading, or mend it")
        return True
    if not others or not _counts_up(cells):
        return False
    if labels and all(_DATE.fullmatch(label.strip()) for label in labels):
        return False                                         # 2020-01-01,0: no index is called a date
    if labels and labels[0].strip() == "" and cells[0].strip() == "0":
        return True                                          # ,0,1,2: an index of pandas before columns without names
    below = [_apart(fields, beside) for _, fields in others]
    own_label = bool(labels) and all(label != labels for label, _ in below)
    if not _unlike_the_first(cells, [numbers for _, numbers in below], own_label):
        return False
    raise table.ask(f"line {line} ({','.join(first):.60}) may be the first row or a heading of counted columns, as "
                    "pandas writes it: type --header or --no-header")


def _apart(fields: Sequence[str], beside: set[int]) -> tuple[list[str], list[str]]:
    """What stands beside the numbers of a row, and the numbers."""
    return [cell for at, cell in enumerate(fields) if at in beside], \
        [cell for at, cell in enumerate(fields) if at not in beside]


def _beside_the_numbers(table: Table, width: int, count: int) -> set[int]:
    """The columns that are not numbers, as far as they are known before the heading is."""
    options = table.options
    if options.columns is not None and all(map(is_position, options.columns)):
        return set(range(count)) - {int(column) - 1 for column in options.columns}
    beside = {0} if options.index else set()
    if options.name_column is not None and is_position(options.name_column):
        beside.add(int(options.name_column) - 1)
    return beside or ({0} if count > width else set())


def _unlike_the_first(first: Sequence[str], others: Sequence[Sequence[str]], own_label: bool) -> bool:
    """Whether whole numbers that count up, 0 or 2019,2020, may head the columns: the rows below are of another kind."""
    if len(first) == 1 and first[0].strip() != "0":
        return False
    if not any(_whole(cell) for cells in others for cell in cells):
        return True
    return len(first) > (1 if own_label else 2) and not all(map(_counts_up, others))


def _whole(cell: str) -> bool:
    return re.fullmatch(r"\s*[+-]?\d{1,18}\s*", cell, re.ASCII) is not None


def _counts_up(cells: Sequence[str]) -> bool:
    """Whether the cells are whole numbers, each one more than the cell before."""
    return all(map(_whole, cells)) and all(int(after) == int(before) + 1 for before, after in zip(cells, cells[1:]))


def rises(cells: Sequence[str]) -> bool:
    """Whether the cells are whole numbers, each larger than the cell before: an index, maybe with rows left out."""
    return all(map(_whole, cells)) and all(int(before) < int(after) for before, after in zip(cells, cells[1:]))


# ---- the first column ---------------------------------------------------------------------------------------

def _first_column(table: Table, heading: list[str] | None, width: int, steps: bool) -> int | None:
    """0 where the column before the numbers names their sequences, None where it is an index of one sequence."""
    labels = [fields[0].strip() for _, fields in table.rows]
    seen = [*labels, *table.rows[0][1]]
    if table.options.sep is None and any(mark in cell for cell in seen for mark in ";\t"):
        line, fields = table.rows[0]
        raise table.ask(f"line {line} is {','.join(fields)!r:.60}{table.hint_of_separator(seen)}; type --sep , if "
                        "commas do")
    numbers = all(map(table.is_number, labels))
    dates = all(map(_DATE.fullmatch, labels))
    unnamed = heading is not None and heading[0] in _UNNAMED
    is_index = table.options.index is None and (
        dates and len(set(map(len, labels))) == 1 and all(before < after for before, after in zip(labels, labels[1:]))
        or unnamed and rises(labels))
    if is_index and (steps or not dates):
        return None
    if not numbers and not steps:
        return 0                                             # a row is a row, whatever it is called
    like_dates = any(map(_LIKE_A_DATE.search, labels))
    runs = [len(list(run)) for _, run in groupby(labels)]
    if not numbers and not like_dates and (len(runs) < len(labels) or len(labels) == 1):
        return 0
    line, fields = table.rows[0]
    for at, cell in enumerate(fields[1:], 2):
        if not table.is_number(cell) and cell.strip().lower() not in MISSING:
            raise table.wrong(line, f"expected a number, got {cell!r:.60}{table.hint_of_separator([cell])}; --columns "
                                    "picks those of the features", at)
    what = "numbers" if numbers else "dates that do not rise from row to row" if dates else \
        "what look like dates" if like_dates else "a text that changes with each row"
    raise table.ask(_readings(table, heading, what, len(labels), runs, numbers and width == 1, steps))


def _readings(table: Table, heading: list[str] | None, what: str, rows: int, runs: list[int], split: bool,
              steps: bool) -> str:
    called = f" ({heading[0]})" if heading and heading[0] else ""
    left, named = "the column only counts the rows", "the column names the rows"
    if steps:
        left = f"1 sequence of {counted(rows, 'step')}"
        named = f"{counted(len(runs), 'sequence')} of {spread(runs, 'step')}"
    readings = [f"--index ({left})"] if table.options.index is None else []
    readings.append(f"--name-column 1 ({named})")
    if split and heading is None and table.options.sep is None:
        readings.append("where the comma stands inside one number, --sep ';' --decimal , (0,5 is a half); thousands "
                        "separators are not read, write 1000 for 1,000")
    return f"column 1{called} holds {what}, which has {len(readings)} readings: type {'; or '.join(readings)}"


# ---- how many -----------------------------------------------------------------------------------------------

def counted(number: int, what: str) -> str:
    """1 step, 2 steps."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def spread(numbers: Sequence[int], what: str) -> str:
    """3 steps; 1 to 3 steps."""
    low, high = min(numbers, default=0), max(numbers, default=0)
    return counted(high, what) if low == high else f"{low:,} to {counted(high, what)}"


def _wrong_count(table: Table, heading: list[str] | None, count: int, values: int, width: int, index: int | None,
                 names: int | None) -> FormatError:
    line, fields = table.rows[0]
    if table.options.columns is not None:
        return FormatError(f"{table.name}: --columns gives {values}, the model takes {counted(width, 'number')} a row")
    wanted = f"expected {counted(width, 'number')}{' and the name of their sequence' if names is not None else ''}" \
             f"{' and an index' if index is not None else ''}"
    if index is None and names is None:
        wanted += ", or these and the name of their sequence or an index before them"
    advice = ("; --columns picks those of the features" + (f" among {','.join(heading):.100}" if heading else "")
              if values > width else "")
    if width == 1 and values > 1 and index is None and names is None:
        advice += "; --rows sequences reads a row as a sequence of its own"
    return table.wrong(line, f"{wanted}; got {counted(count, 'field')}{advice}{table.hint_of_separator(fields)}")


def _same_count(table: Table, count: int, heading: bool) -> None:
    model = "the heading" if heading else f"line {table.rows[0][0]}"
    for line, fields in table.rows:
        if len(fields) != count:
            raise table.wrong(line, f"expected {counted(count, 'field')}, as {model} has; got {len(fields)}"
                                    f"{table.hint_of_separator(fields)}")
