"""Reads what `predict` is given: .npy, .npz, CSV. Every refusal names the file, the place and what was expected."""

from __future__ import annotations

import contextlib
import errno
import io
import math
import os
import struct
import sys
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from ..errors import FileError, FormatError
from ..files import cannot_read, open_regular
from ..graph import Value
from ..operators import infer_shapes
from .arguments import UsageError
from .csv_sequences import read_csv
from .csv_text import CsvOptions
from .sequences import Pad, Sequences

if TYPE_CHECKING:
    from ..model import Model

MAX_RATIO = 200                      # of an .npz that inflates to more than FREE_BYTES
FREE_BYTES = 64 << 20                # padding and masks may well pack better
LENGTHS = "lengths"                  # an array of this name in an .npz, where it is no input of the model
# What NumPy and zipfile raise over bytes that are not what they should be.
_BROKEN = (ValueError, EOFError, KeyError, NotImplementedError, RuntimeError, SyntaxError, struct.error,
           tokenize.TokenError, zlib.error, zipfile.BadZipFile)
_PLAIN = CsvOptions()


def read_input(source: str, model: Model, options: CsvOptions = _PLAIN, pad: Pad | None = None) -> Sequences:
    """What `source` (a path, or "-" for CSV on stdin) holds for the inputs of `model`; `options` and `pad`: of CSV.

    Raises FileError, FormatError (naming line and column), UsageError for a kind of file that cannot be meant.
    """
    kind = Path(source).suffix.lower()
    if kind == ".txt" or source == "-" and _takes_lines(model) is not None:
        return _read_lines(source, model, options, pad)
    if source == "-" or kind == ".csv":
        return _read_csv(source, model, options, pad)
    if replace(options, missing=False) != _PLAIN or pad is not None:
        raise UsageError(f"INPUT {source!r} is no CSV, and the options that say how to read or pad one are given (for "
                         "arrays: lstm_engine.pad_sequences)")
    if kind == ".npy":
        if len(model.inputs) != 1:
            raise UsageError(f"the model has {len(model.inputs)} inputs ({', '.join(model.inputs)}): give an .npz of "
                             "arrays by these names")
        return Sequences({next(iter(model.inputs)): load_npy(Path(source))})
    if kind == ".npz":
        arrays = load_npz(Path(source))
        lengths = arrays.pop(LENGTHS) if LENGTHS in arrays and LENGTHS not in model.inputs else None
        return Sequences(arrays, lengths)
    raise UsageError(f"INPUT {source!r}: expected a name that ends in .npy, .npz, .csv or .txt, or - for CSV or "
                     "texts on stdin")


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
        with open_regular(path) as file:
            _check_npy_size(path, file)
            return np.lib.format.read_array(file, allow_pickle=False)
    except OSError as error:
        cannot_read(path, error)
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
        with open_regular(path) as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as archive:
            _check_npz_sizes(archive.zip.infolist())
            arrays = {name: archive[name] for name in archive.files}
    except OSError as error:
        cannot_read(path, error)
    except _BROKEN as error:
        raise _broken(path, "an .npz file", error) from error
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):        # NumPy gives the bytes of a member that is none
            raise FormatError(f"{path}: its member {name!r} is no array")
    return arrays


def _check_npz_sizes(members: list[zipfile.ZipInfo]) -> None:
    """Refuse what inflates to far more than real data does; zipfile itself reads no more than a member declares."""
    size, packed = (sum(getattr(member, name) for member in members) for name in ("file_size", "compress_size"))
    if size > FREE_BYTES + MAX_RATIO * packed:
        raise ValueError(f"its members inflate to {size:,} bytes from {packed:,}, more than {MAX_RATIO} to 1; save "
                         "them with numpy.savez, which packs nothing")


def _broken(path: Path, kind: str, error: BaseException) -> FormatError:
    return FormatError(f"{path}: not {kind} of plain numbers: {error}")


def _read_lines(source: str, model: Model, options: CsvOptions, pad: Pad | None) -> Sequences:
    """A text a line, for a model that reads texts; empty lines are empty texts."""
    value = _takes_lines(model)
    if value is None:
        raise UsageError(f"INPUT {source!r}: a text a line is for a model of one input that takes one text a row; "
                         "lstm-engine inspect says what this one takes")
    if replace(options, missing=False) != _PLAIN or pad is not None:
        raise UsageError(f"INPUT {source!r} has texts, and options that say how to read or pad CSV are given")
    with _text_of(source) as text:
        lines = [line.rstrip("\r\n") for line in text]
    name = "stdin" if source == "-" else source
    if not lines:
        raise FormatError(f"{name}: no texts: expected a text a line")
    texts = np.array(lines, object)
    if len(value.shape) == 2 and value.reading is not None and value.reading.split is None:
        texts = texts[:, None]
    ids = "; ids are read from a .csv or .npy file" if source == "-" else ""
    return Sequences({value.name: texts}, told=f"{name}: read {len(lines):,} texts, one a line{ids}")


def _takes_lines(model: Model) -> Value | None:
    """The one input of a model that takes one text for each row; None where it does not."""
    value = next(iter(model.inputs.values()))
    if len(model.inputs) != 1 or value.reading is None:
        return None
    return value if value.reading.split is not None or value.shape[1:] in ((), (1,)) else None


def _read_csv(source: str, model: Model, options: CsvOptions, pad: Pad | None) -> Sequences:
    if len(model.inputs) != 1:
        raise UsageError(f"the model has {len(model.inputs)} inputs ({', '.join(model.inputs)}), CSV holds one: give "
                         "an .npz of arrays by these names")
    value = infer_shapes(model.graph)[next(iter(model.inputs))]
    axes = model._plan.axes.batch_axis(value.name), model._plan.axes.time_axis(value.name)
    turned = axes == (1, 0)
    if not turned and axes[0] not in (0, None):
        raise UsageError(f"input {value.name!r} is {value.dtype} {list(value.shape)}, which CSV cannot hold: give an "
                         ".npy or .npz")
    given = _open_csv(source, value, options, pad)
    if turned:                           # the model's own layout: time first
        given.arrays[value.name] = given.arrays[value.name].swapaxes(0, 1)
    return given


def _open_csv(source: str, value: Value, options: CsvOptions, pad: Pad | None) -> Sequences:
    with _text_of(source) as text:
        return read_csv(text, value, "stdin" if source == "-" else source, options, pad)


@contextlib.contextmanager
def _text_of(source: str) -> Iterator[io.TextIOWrapper]:
    """A file, or stdin, to be read as text. Raises FileError, FormatError for what is not UTF-8."""
    name = "stdin" if source == "-" else source
    try:
        if source == "-":
            if sys.stdin is None:
                raise FileError(errno.EBADF, "cannot read stdin: it is closed")
            text = io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8-sig", newline="")
            try:
                yield text
            finally:
                text.detach()
            return
        # The suffix says that it is a file; what a pipe or a device gives comes by stdin.
        with open_regular(source) as file, io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
            yield text
    except OSError as error:
        cannot_read(name, error)
    except UnicodeDecodeError as error:
        raise FormatError(f"{name}: not UTF-8 text: {error.reason} at byte {error.start}") from error
