"""The input of a model out of a CSV, by the input's shape: rows that are sequences, steps of them, or vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TextIO

import numpy as np

from ..graph import Value
from .arguments import UsageError
from .csv_columns import Columns, columns_of, counted, is_position, position, rises, spread, take_heading
from .csv_text import CsvOptions, Table, read_table
from .sequences import Pad, Sequences, as_array

_NAME_HINT = "; names of sequences need --name-column 1, a heading --header, rows that are steps --rows steps"


def read_csv(text: TextIO, value: Value, name: str, options: CsvOptions, pad: Pad | None) -> Sequences:
    """The sequences of one input. `told` says how the file was read.

    Raises FormatError naming line and column; UsageError for an input that CSV cannot hold, for options that do not fit
    it, and for a file that can be read in several ways: the message gives each with the option to type.
    """
    rank, width = len(value.shape), value.shape[-1] if value.shape else 0
    ids = rank == 2 and np.dtype(value.dtype).kind in "iu"
    floats = value.dtype.startswith("float")
    if ids or (floats and rank == 2 and isinstance(width, str)):
        table = read_table(text, name, options)
        if options.rows != "steps":
            return _rows_are_sequences(table, value, ids, (), pad)
        return _rows_are_steps(table, value, ids, 1, (), pad)
    if not floats or rank not in (2, 3) or not isinstance(width, int):
        raise UsageError(f"input {value.name!r} is {value.dtype} {list(value.shape)}, which CSV cannot hold: give an "
                         ".npy or .npz")
    if rank == 2:
        if options.rows or pad:
            raise UsageError(f"{'--rows' if options.rows else '--pad'}: input {value.name!r} has no steps, "
                             f"{list(value.shape)}")
        return _rows_are_vectors(read_table(text, name, options), value, width)
    if options.rows == "sequences":
        if width != 1:
            raise UsageError(f"--rows sequences: a step of input {value.name!r} has {width} numbers: a row is a step")
        return _rows_are_sequences(read_table(text, name, options), value, False, (1,), pad)
    return _rows_are_steps(read_table(text, name, options), value, False, width, (width,), pad)


# ---- a row is a step, or a vector ---------------------------------------------------------------------------

def _rows_are_steps(table: Table, value: Value, whole: bool, width: int, tail: tuple[int, ...],
                    pad: Pad | None) -> Sequences:
    """Each row is one step; rows with the same name stand together and are one sequence, without names all are."""
    columns = columns_of(table, width, steps=True)
    labels: list[str] = []
    seen: set[str] = set()
    steps: list[list[list[float]]] = []          # of each sequence
    for line, fields in table.rows:
        label = "0" if columns.names is None else _label(table, fields, columns.names, line)
        if not labels or label != labels[-1]:
            if label in seen:
                raise table.wrong(line, f"the steps of sequence {label!r:.60} must stand together")
            seen.add(label)
            labels.append(label)
            steps.append([])
        steps[-1].append([table.number(fields[at], line, at + 1, whole) for at in columns.values])
    array, lengths, padded = _as_array(table, steps, whole, tail, pad)
    told = f"{counted(len(steps), 'sequence')} of {spread([len(own) for own in steps], 'step')}"
    told += f", {counted(width, 'id' if whole else 'feature')}{' a step' if whole else ''}"
    return Sequences({value.name: array}, lengths, None if columns.names is None else labels,
                     _told(table, told, columns, padded))


def _rows_are_vectors(table: Table, value: Value, width: int) -> Sequences:
    """Each row is one row of the batch, with or without a name."""
    columns = columns_of(table, width, steps=False)
    labels = [_label(table, fields, columns.names, line) for line, fields in table.rows] \
        if columns.names is not None else None
    array = np.array([[table.number(fields[at], line, at + 1) for at in columns.values]
                      for line, fields in table.rows], np.float64).reshape(len(table.rows), width)
    told = f"{counted(len(array), 'row')} of {counted(width, 'number')}"
    return Sequences({value.name: array}, None, labels, _told(table, told, columns, ""))


def _label(table: Table, fields: Sequence[str], at: int, line: int) -> str:
    if not fields[at].strip():
        raise table.wrong(line, "the name of the sequence is empty", at + 1)
    return fields[at].strip()


# ---- a row is a sequence ------------------------------------------------------------------------------------

def _rows_are_sequences(table: Table, value: Value, whole: bool, tail: tuple[int, ...], pad: Pad | None) -> Sequences:
    """Each row is one sequence, as long as it is."""
    columns = _columns_of_sequences(table)
    labels: list[str] = []
    sequences = []
    for line, fields in table.rows:
        if columns.names is not None:
            if columns.names >= len(fields):
                raise table.wrong(line, f"has no column {columns.names + 1} for the name of its sequence")
            labels.append(_label(table, fields, columns.names, line))
        places = [at for at in range(len(fields)) if at not in (columns.index, columns.names)]
        if places[:1] == [0] and fields[0].strip() and not table.is_number(fields[0]):
            raise table.wrong(line, f"expected {'a whole number' if whole else 'a number'}, got {fields[0]!r:.60}"
                                    f"{table.hint_of_separator(fields) or _NAME_HINT}", 1)
        sequences.append([table.number(fields[at], line, at + 1, whole) for at in places])
    if table.options.rows is None and len(sequences) > 1 and all(len(own) == 1 for own in sequences):
        what = "id" if whole else "number"
        many = len(sequences)
        raise table.ask(f"every row holds one {what}: type --rows steps (1 sequence of {counted(many, what)}) or "
                        f"--rows sequences ({counted(many, 'sequence')} of 1 {what})")
    array, lengths, padded = _as_array(table, sequences, whole, tail, pad)
    told = f"{counted(len(sequences), 'sequence')} of " \
           f"{spread([len(own) for own in sequences], 'id' if whole else 'step')}"
    return Sequences({value.name: array}, lengths, labels if columns.names is not None else None,
                     _told(table, told, columns, padded))


def _columns_of_sequences(table: Table) -> Columns:
    """Heading, index and names of rows that may differ in length. First cells that count up are asked about."""
    options = table.options
    if options.columns is not None:
        raise UsageError("--columns: a row is a sequence here, all of its columns are its steps")
    first = [cell.strip() for cell in table.rows[0][1]]
    cornered = len(first) > 1 and first[0] == "" and (_counts(first[1:], 0) or not any(map(table.is_number, first)))
    heading = None
    if options.header is None and (cornered or options.name_column in first and not is_position(options.name_column)):
        options = replace(options, header=True)
    if options.header:
        heading = take_heading(Table(table.name, table.rows, options), 0)
    elif options.header is None and len(first) > 1 and _counts(first, 0) and len(table.rows) > 1 \
            and all(len(fields) == len(first) for _, fields in table.rows):
        raise table.ask(f"line 1 counts its columns ({','.join(first):.60}), as a heading of pandas does: type "
                        "--header to leave it out, or --no-header if it is the first sequence")
    names = None if options.name_column is None else \
        position(options.name_column, "--name-column", heading, max(len(fields) for _, fields in table.rows))
    index = 0 if options.index else None
    if options.index is None and names != 0:
        index = _index_of_sequences(table, cornered and heading is not None)
    if index is not None and index == names:
        raise UsageError("--index and --name-column mean the same column: an index is left out, names are not")
    return Columns(heading, index, names, [])


def _index_of_sequences(table: Table, cornered: bool) -> int | None:
    """0 where the first column is an index without doubt: it counts below the empty corner of pandas' heading."""
    starts = [fields[0].strip() for _, fields in table.rows]
    if any(len(fields) < 2 for _, fields in table.rows):
        return None
    if cornered and rises(starts):
        return 0
    if cornered or len(starts) > 1 and (_counts(starts, 0) or _counts(starts, 1)):
        raise table.ask(f"column 1 ({', '.join(starts[:3]):.60} ...) may be an index: type --index to leave it out, or "
                        "--no-index if the sequences begin with it")
    return None


def _counts(cells: Sequence[str], start: int) -> bool:
    return list(cells) == [str(number) for number in range(start, start + len(cells))]


# ---- both ---------------------------------------------------------------------------------------------------

def _as_array(table: Table, sequences: Sequence[Any], whole: bool, tail: tuple[int, ...],
              pad: Pad | None) -> tuple[np.ndarray, np.ndarray | None, str]:
    try:
        return as_array(sequences, np.int64 if whole else np.float64, tail, pad)
    except OverflowError:
        from ..errors import FormatError

        raise FormatError(f"{table.name}: a token id does not fit 64 bits") from None


def _told(table: Table, told: str, columns: Columns, padded: str) -> str:
    """What was read and what was not, in one line."""
    def called(at: int) -> str:
        name = "".join((columns.heading or [])[at:at + 1])
        return f"column {at + 1} ({name})" if name else f"column {at + 1}"

    parts = [told]
    if columns.names is not None:
        parts.append(f"names from {called(columns.names)}")
    if columns.index is not None:
        parts.append(f"{called(columns.index)} left out as an index")
    if table.options.columns is not None:
        parts.append(f"features from {', '.join(map(called, columns.values))}")
    if columns.heading is not None:
        parts.append(f"heading: {','.join(columns.heading):.100}")
    return f"{table.name}: read {'; '.join(parts + [padded] * bool(padded))}"
