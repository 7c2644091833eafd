"""Reads what `predict` is given: .npy, .npz, CSV. Every refusal names the file, the line and what was expected."""

from __future__ import annotations

import csv
import io
import math
import os
import struct
import sys
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn, TextIO

import numpy as np

from ..errors import FileError, FormatError
from ..graph import Value, infer_shapes
from .arguments import UsageError

if TYPE_CHECKING:
    from ..model import Model

LENGTHS = "lengths"                  # an array of this name in an .npz, where it is no input of the model
# What NumPy and zipfile raise over bytes that are not what they should be.
_BROKEN = (ValueError, EOFError, KeyError, NotImplementedError, RuntimeError, SyntaxError, struct.error,
           tokenize.TokenError, zlib.error, zipfile.BadZipFile)
_INTEGERS = ("int32", "int64", "uint8")

Row = tuple[int, list[str]]          # line number, fields


@dataclass
class Sequences:
    """Arrays by input name, rows first. lengths [batch]: their real steps; labels: names of the rows."""

    arrays: dict[str, np.ndarray]
    lengths: np.ndarray | None = None
    labels: list[str] | None = None


def read_input(source: str, model: Model) -> Sequences:
    """What `source` (a path, or "-" for CSV on stdin) holds for the inputs of `model`.

    Raises FileError, FormatError (naming line and column), UsageError for a kind of file that cannot be meant.
    """
    kind = Path(source).suffix.lower()
    if source == "-" or kind == ".csv":
        return _read_csv(source, model)
    if kind == ".npy":
        if len(model.inputs) != 1:
            raise UsageError(f"the model has {len(model.inputs)} inputs ({', '.join(model.inputs)}): give an .npz of "
                             "arrays by these names")
        return Sequences({next(iter(model.inputs)): load_npy(Path(source))})
    if kind == ".npz":
        arrays = load_npz(Path(source))
        lengths = arrays.pop(LENGTHS) if LENGTHS in arrays and LENGTHS not in model.inputs else None
        return Sequences(arrays, lengths)
    raise UsageError(f"INPUT {source!r}: expected a name that ends in .npy, .npz or .csv, or - for CSV on stdin")


def read_lengths(text: str) -> np.ndarray:
    """Lengths given as 17,5,88 or as the path of an .npy file."""
    if text.lower().endswith(".npy"):
        return load_npy(Path(text))
    try:
        return np.array([int(part) for part in text.split(",")], np.int64)
    except (ValueError, OverflowError):
        raise UsageError(f"--lengths {text!r}: expected whole numbers with commas between, or an .npy file") from None


def load_npy(path: Path) -> np.ndarray:
    """The array of an .npy file, never unpickled; a header that promises more than the file holds is refused."""
    try:
        with open(path, "rb") as file:
            _check_npy_size(path, file)
            return np.lib.format.read_array(file, allow_pickle=False)
    except OSError as error:
        _cannot_read(path, error)
    except _BROKEN as error:
        raise _broken(path, "an .npy file", error) from error


def _check_npy_size(path: Path, file: BinaryIO) -> None:
    version = np.lib.format.read_magic(file)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(file)
    held = os.fstat(file.fileno()).st_size - file.tell()
    needed = math.prod(shape) * dtype.itemsize
    if not dtype.hasobject and held != needed:
        raise ValueError(f"{dtype} {list(shape)} needs {needed:,} bytes, the file holds {held:,}")
    file.seek(0)


def load_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file by name, never unpickled."""
    try:
        with open(path, "rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except OSError as error:
        _cannot_read(path, error)
    except _BROKEN as error:
        raise _broken(path, "an .npz file", error) from error
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):        # NumPy gives the bytes of a member that is none
            raise FormatError(f"{path}: its member {name!r} is no array")
    return arrays


def _broken(path: Path, kind: str, error: BaseException) -> FormatError:
    return FormatError(f"{path}: not {kind} of plain numbers: {error}")


def _cannot_read(path: object, error: OSError) -> NoReturn:
    raise FileError(error.errno, f"cannot read {path}: {error.strerror}") from error


def _read_csv(source: str, model: Model) -> Sequences:
    if len(model.inputs) != 1:
        raise UsageError(f"the model has {len(model.inputs)} inputs ({', '.join(model.inputs)}), CSV holds one: give "
                         "an .npz of arrays by these names")
    value = infer_shapes(model.graph)[next(iter(model.inputs))]
    name = "stdin" if source == "-" else source
    try:
        if source == "-":
            text = io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8-sig", newline="")
            try:
                return _parse(text, value, name)
            finally:
                text.detach()
        with open(source, encoding="utf-8-sig", newline="") as text:
            return _parse(text, value, name)
    except OSError as error:
        if isinstance(error, FileError):
            raise
        _cannot_read(name, error)
    except UnicodeDecodeError as error:
        raise FormatError(f"{name}: not UTF-8 text: {error.reason} at byte {error.start}") from error


def _parse(text: TextIO, value: Value, name: str) -> Sequences:
    """The sequences of one input, by its shape: rows of ids, or rows of numbers with a name in front."""
    rows = _rows(text, name)
    rank, width = len(value.shape), value.shape[-1] if value.shape else 0
    if rank == 2 and (value.dtype in _INTEGERS or isinstance(width, str)):
        return _ragged(rows, value, name)
    if value.dtype.startswith("float") and rank in (2, 3) and isinstance(width, int):
        return _features(rows, value, rank, width, name)
    raise UsageError(f"input {value.name!r} is {value.dtype} {list(value.shape)}, which CSV cannot hold: give an "
                     ".npy or .npz")


def _rows(text: TextIO, name: str) -> Iterator[Row]:
    """Line numbers and fields. Empty lines may only stand at the end."""
    reader = csv.reader(text, strict=True)
    blank, empty = 0, True
    try:
        for row in reader:
            if not row:
                blank = blank or reader.line_num
                continue
            if blank:
                raise FormatError(f"{name}, line {blank}: is empty")
            empty = False
            yield reader.line_num, row
    except csv.Error as error:
        raise FormatError(f"{name}, line {reader.line_num}: {error}") from error
    if empty:
        raise FormatError(f"{name}: holds no rows")


def _number(kind: type, field: str, name: str, line: int, column: int) -> Any:
    try:
        return kind(field)
    except ValueError:
        wanted = "a whole number" if kind is int else "a number"
        raise FormatError(f"{name}, line {line}, column {column}: expected {wanted}, got {field!r:.60}") from None


def _ragged(rows: Iterator[Row], value: Value, name: str) -> Sequences:
    """A sequence a row, of any length: token ids, or numbers."""
    kind = int if value.dtype in _INTEGERS else float
    sequences = [[_number(kind, field, name, line, column) for column, field in enumerate(fields, 1)]
                 for line, fields in rows]
    lengths = np.array([len(sequence) for sequence in sequences], np.int32)
    padded = np.zeros((len(sequences), int(lengths.max(initial=0))), np.int64 if kind is int else np.float64)
    try:
        for row, sequence in zip(padded, sequences, strict=True):
            row[:len(sequence)] = sequence
    except OverflowError:
        raise FormatError(f"{name}: a token id does not fit 64 bits") from None
    return Sequences({value.name: padded}, _if_unequal(lengths))


def _features(rows: Iterator[Row], value: Value, rank: int, width: int, name: str) -> Sequences:
    """Rows of `width` numbers, with or without the name of their sequence in front; a heading may come first."""
    labels: list[str] = []
    seen: set[str] = set()
    steps: list[list[list[float]]] = []          # of each sequence
    named = None
    for number, (line, fields) in enumerate(rows):
        if named is None and len(fields) in (width, width + 1):
            named = len(fields) == width + 1
        if named is None or len(fields) != width + named:
            raise FormatError(f"{name}, line {line}: expected {width} numbers"
                              f"{' and the name of their sequence before them' if named is not False else ''}, "
                              f"got {len(fields)} fields")
        label, cells = (fields[0], fields[1:]) if named else ("0", fields)
        if number == 0 and not any(map(_is_number, cells)):
            continue
        numbers = [_number(float, cell, name, line, column) for column, cell in enumerate(cells, 1 + named)]
        if rank == 3 and labels and label == labels[-1]:
            steps[-1].append(numbers)
            continue
        if rank == 3 and label in seen:
            raise FormatError(f"{name}, line {line}: the steps of sequence {label!r:.60} must stand together")
        seen.add(label)
        labels.append(label)
        steps.append([numbers])
    lengths = np.array([len(sequence) for sequence in steps], np.int32)
    padded = np.zeros((len(steps), int(lengths.max(initial=0)), width))
    for row, sequence in zip(padded, steps, strict=True):
        row[:len(sequence)] = sequence
    array = padded if rank == 3 else padded.reshape(len(steps), width)
    return Sequences({value.name: array}, _if_unequal(lengths) if rank == 3 else None, labels if named else None)


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _if_unequal(lengths: np.ndarray) -> np.ndarray | None:
    """None where every sequence is as long as the array: models that cannot use lengths then still run."""
    return lengths if len(set(lengths.tolist())) > 1 else None
