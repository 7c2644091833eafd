"""What the program is given to run a model on: `.npy`, `.npz` and CSV. CSV that it writes stands in `outputs`."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import zip_bytes
from torch_bytes import npy_header

import lstm_engine as le
from lstm_engine.errors import ArgumentError, ArgumentTypeError, FileError, FormatError

from .. import uses
from ..attack import Make, Table, floats
from .npys import HEAD, PICKLED, objects
from .zips import npy

KERNEL = floats(3, 2)


def beside_model(data: Callable[[], bytes | str], name: str, ids: bool = False) -> Callable[[Path], Path]:
    """An input of the program, and the model that it is for: on 3 features, or on ids."""
    def make(folder: Path) -> Path:
        # On sequences: CSV, .npy and .npz are read for [batch, time, 3], ids for [batch, time].
        layers = [le.Embedding(floats(7, 3)), le.Dense(KERNEL)] if ids else [le.Dense(KERNEL)]
        le.Model(layers).save(folder / "model.lstm")
        made = data()
        (folder / name).write_bytes(made.encode("utf-8", "surrogatepass") if isinstance(made, str) else made)
        return folder / name
    return make


ANSWER = ["sequence,step,output_0,output_1", "0,0,-0.375,0.0", "0,1,-0.375,0.0"]      # the sums of KERNEL's columns
GOOD = "1,1,1\n1,1,1\n"
TABLE = Table("inputs: .csv, .npy, .npz", "x.csv", beside_model(lambda: GOOD, "x.csv"), uses.predict_file)


def refuse(name: str, source: str, data: Callable[[], bytes | str], message: str,
           error: type[Exception] = FormatError, file: str = "x.csv",
           ids: bool = False) -> None:
    TABLE.refuse(name, source, beside_model(data, file, ids), error, message)


def at(make: Callable[[Path], None]) -> Make:
    """An input that is no file."""
    def made(folder: Path) -> Path:
        path = beside_model(lambda: "", "other.csv")(folder).with_name("x.csv")
        make(path)
        return path
    return made


refuse("text of 5,000 digits", "CVE-2020-10735", lambda: "9" * 5000 + "\n", "a whole number of 5,000 digits", ids=True)
refuse("1e999", "CWE-681", lambda: "1e999,1,1\n", "'1e999' is beyond the largest float64")
refuse("a formula in a cell", "CVE-2014-3524, CSV injection", lambda: "=1+1,2,3\n1,2,3\n",
    "expected a number, got '=1+1'")
refuse("Python code in a cell", "CWE-95", lambda: "__import__('os'),2,3\n1,1,1\n",
       "expected a number, got \"__import__('os')\"")
refuse("digits of another script", "CWE-176", lambda: "1,1,1\n\u0661,\u0662,\u0663\n",
    "expected a number, got '\u0661'")
refuse("underscores as in Python", "CWE-707", lambda: "1,1,1\n1_0,1,1\n", "expected a number, got '1_0'")
refuse("a line that does not end", "CWE-400", lambda: "1" * ((64 << 20) + 9),
    "more than 67,108,864 characters in one line")
refuse("a quote that is not closed", "CWE-400", lambda: '1,1,"1\n' + "1,1,1\n" * 1000, "unexpected end of data")
refuse("a field of 200,000 characters", "CWE-400", lambda: "1,1," + "1" * 200_000 + "\n",
    "field larger than field limit")
refuse("rows of different lengths", "CWE-130", lambda: "1,1,1\n1,1\n", "expected 3 fields, as line 1 has; got 2")
refuse("zero bytes", "CWE-158", lambda: "1,1,1\n1,\0,1\n", r"expected a number, got '\x00'")
refuse("UTF-16", "CWE-176", lambda: GOOD.encode("utf-16"), "not UTF-8 text")
refuse("a lone surrogate", "CWE-176", lambda: "1,1,1\n\ud800,1,1\n", "not UTF-8 text")
refuse("terminal escapes in a cell", "CWE-150", lambda: "1,1,1\n\x1b[2J,1,1\n", r"expected a number, got '\x1b[2J'")
refuse("an id beyond the table", "CWE-125", lambda: "1,2,7\n",
    "token id 7 at row 0, step 2 is outside the vocabulary of 7", ArgumentError, ids=True)
refuse("a negative id", "CWE-125, wrap-around", lambda: "1,-1,2\n", "token id -1 at row 0, step 1 is outside",
    ArgumentError, ids=True)
refuse("an id of 2^63", "CWE-190", lambda: "1,9223372036854775808,2\n", "a token id does not fit 64 bits", ids=True)
refuse("an empty file", "CWE-476", lambda: "", "holds no rows")
TABLE.refuse("a device without an end", "CWE-400, /dev/zero", at(lambda path: path.symlink_to("/dev/zero")), FileError,
             "it is a device; expected a file")
TABLE.refuse("a named pipe nobody writes to", "CWE-400", at(os.mkfifo), FileError,
    "it is a named pipe; expected a file")
TABLE.refuse("a folder", "CWE-73", at(os.mkdir), FileError, "it is a folder; expected a file")
TABLE.refuse("a link that leads nowhere", "CWE-59", at(lambda path: path.symlink_to("gone.csv")), FileError,
             "No such file or directory")
TABLE.right("a byte order mark", "no attack: Excel writes it", beside_model(lambda: "\ufeff" + GOOD, "x.csv"), ANSWER,
            "the numbers without it")

refuse(".npy: an array of objects", PICKLED, objects, "Object arrays cannot be loaded when allow_pickle=False",
    file="x.npy")
refuse(".npy: a plain pickle", PICKLED, lambda: pickle.dumps(print), "not an .npy file of plain numbers", file="x.npy")
refuse(".npy: 400 TB in 100 bytes", "CWE-789", lambda: npy_header(HEAD.replace("3, 2", "9999999, 9999999")),
       "needs 399,999,920,000,004 bytes, the file holds 0", file="x.npy")
refuse(".npy: a header of Python code", "CWE-95", lambda: npy_header("__import__('os').system('id')"),
       "not an .npy file of plain numbers", file="x.npy")
refuse(".npy: complex numbers", "CWE-843", lambda: npy(np.ones((2, 3, 3), "c8")), "got dtype complex64",
    ArgumentTypeError, file="x.npy")
refuse(".npz: 300 MB of zeros in 300 KB", "CVE-2019-9674", lambda: zip_bytes.made(("x.npy", npy_header(HEAD.replace(
    "3, 2", "1, 26214400, 3")) + bytes(3 * 26214400 * 4)), method=8),
    "more than 200 to 1; save them with numpy.savez", file="x.npz")
