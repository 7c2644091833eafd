"""Writes what `predict` found: CSV, .npy, .npz; a file appears whole or not at all."""

from __future__ import annotations

import csv
import errno
import io
import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import numpy as np

from ..errors import FileError
from ..files import noting_reads
from .arguments import UsageError
from .console import note

if TYPE_CHECKING:
    from .sequences import Sequences

KINDS = (".npy", ".npz", ".csv")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")          # what a formula begins with, or may stand before one


def check_target(path: Path) -> None:
    """Refuse, before anything is computed, what could not be written after it."""
    if path.suffix.lower() not in KINDS:
        raise UsageError(f"--output {path}: the name must end in {', '.join(KINDS[:-1])} or {KINDS[-1]}")
    if not os.path.isdir(path.parent):
        raise FileError(errno.ENOENT, f"cannot write {path}: there is no folder {path.parent}")


def check_names(path: Path, outputs: Iterable[str]) -> None:
    """Refuse names of outputs, which come from the model's file, that would be no names of members in an .npz: they
    lead out of the folder where somebody unpacks it, or zip ends them at a zero byte."""
    for name in outputs if path.suffix.lower() == ".npz" else ():
        if "\0" in name or ".." in name.replace("\\", "/").split("/"):
            raise FileError(errno.EINVAL, f"cannot write {path}: output {name!r:.200} cannot be the name of a member")


def refuse_to_replace(target: Path, named: Mapping[str, str | Path | None]) -> None:
    """Refuse an output that is, by any name, a file that the command line says is read. named: paths by argument."""
    for argument, path in named.items():
        if path is not None and _same_file(path, target):
            raise UsageError(f"--output {target} would replace {argument} {path}, which is read")


@contextmanager
def keeping_what_is_read(target: Path | None) -> Iterator[None]:
    """Reads models inside the block, and refuses then an output in the place of any file that was opened for that:
    the external data of an ONNX model have names that only the model knows."""
    with noting_reads() as read:
        yield
    if target is None:
        return
    try:
        status = os.stat(target)
    except (OSError, ValueError):
        return
    if (status.st_dev, status.st_ino) in read:
        raise UsageError(f"--output {target} would replace a file that the model is read from")


def _same_file(path: str | Path, target: Path) -> bool:
    try:
        return os.path.samefile(path, target)
    except (OSError, ValueError):                # one of them is not there
        return False


def write_file(path: Path, results: dict[str, np.ndarray], given: Sequences) -> None:
    """Write to .npy or .csv (one output) or .npz (outputs by name). Raises FileError."""
    from ..format.atomic import atomic_write

    with atomic_write(path) as file:
        if path.suffix.lower() == ".npy":
            np.lib.format.write_array(file, next(iter(results.values())), allow_pickle=False)
        elif path.suffix.lower() == ".npz":
            with zipfile.ZipFile(file, "w") as archive:       # np.savez refuses some names an output may have
                for name, array in results.items():
                    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                        np.lib.format.write_array(member, array, allow_pickle=False)
        else:
            text = io.TextIOWrapper(file, encoding="utf-8", newline="")
            write_csv(text, results, given)
            text.detach()                                     # flushes, and leaves the file open


def as_text(name: str) -> str:
    """A cell that no spreadsheet runs: names come from strangers' files. What is a number stays as it is."""
    if not name.startswith(_FORMULA):
        return name
    try:
        float(name)
    except ValueError:
        return f"'{name}"
    return name


def write_csv(text: TextIO, results: dict[str, np.ndarray], given: Sequences) -> None:
    """One output as CSV: a row a sequence, or a row a step; steps beyond a sequence's length are left out.

    A heading, then `sequence` (its name, or its number from 0), `step` where there are steps, and the numbers,
    each with as many digits as tell it from its neighbours. A name that a spreadsheet would take for a formula has a '
    before it.
    """
    (name, array), = results.items()
    name, labels = as_text(name), [as_text(label) for label in given.labels or ()]
    if name not in results or labels != list(given.labels or ()):
        note("a name begins as a spreadsheet's formula does, and is written with ' before it")
    rows = csv.writer(text, lineterminator="\n")
    sequence = array.ndim > 2
    flat = array.reshape(*array.shape[:2 if sequence else 1], -1)
    columns = [name] if flat.shape[-1] == 1 else [f"{name}_{number}" for number in range(flat.shape[-1])]
    rows.writerow(["sequence", *(["step"] if sequence else []), *columns])
    for number, values in enumerate(flat):
        label = labels[number] if labels else number
        if not sequence:
            rows.writerow([label, *values.astype(str)])
            continue
        length = None if given.lengths is None else given.lengths[number]
        for step, numbers in enumerate(values[:length]):
            rows.writerow([label, step, *numbers.astype(str)])
