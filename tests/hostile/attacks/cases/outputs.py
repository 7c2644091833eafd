"""What is written: where it goes, and what is in it. The names of outputs come from a stranger's model."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import lstm_engine as le
from lstm_engine.errors import FileError
from lstm_engine.graph import Dense, Graph, Value

from .. import uses
from ..attack import Table, floats

KERNEL = floats(3, 2)
LINK_ATTACKS = "CWE-59, link following"


def saved(folder: Path, *outputs: str) -> Path:
    """A model with outputs of these names, and an input for it; the path is the input's."""
    x = Value("x", ("batch", "time", 3))
    nodes = tuple(Dense(name=f"d{i} {name}", inputs=("x",), outputs=(name,), kernel=KERNEL) for i,
        name in enumerate(outputs))
    le.Model(Graph((x,), nodes, outputs)).save(folder / "model.lstm")
    (folder / "x.csv").write_text("sample,1,1,1\n")
    return folder / "x.csv"


def good(folder: Path) -> Path:
    saved(folder, "y")
    (folder / "to.txt").write_text("y.csv")
    return folder / "to.txt"


TABLE = Table("outputs", "to.txt", good, uses.predict_to)


def to(output: str, prepare: Callable[[Path], object] = lambda folder: None, *names: str) -> Callable[[Path], Path]:
    """An output of this name, in a folder that `prepare` lays out."""
    def make(folder: Path) -> Path:
        saved(folder, *(names or ("y",)))
        prepare(folder)
        (folder / "to.txt").write_bytes(output.encode())
        return folder / "to.txt"
    return make


def text(folder: Path, name: str) -> None:
    (folder / name).write_text("old")


def refuse(name: str, source: str, make: Callable[[Path], Path], message: str, error: type = FileError) -> None:
    TABLE.refuse(name, source, make, error, message)


refuse("in the place of the model", "CWE-73", to("model.csv", lambda folder: os.rename(
    folder / "model.lstm", folder / "model.csv") or os.symlink("model.csv", folder / "model.lstm")),
    "would replace MODEL", uses.UsageError)
refuse("in the place of the input", "CWE-73", to("x.csv"), "would replace INPUT", uses.UsageError)
refuse("in the place of the input, by a hard link", LINK_ATTACKS, to("y.csv", lambda folder: os.link(
    folder / "x.csv", folder / "y.csv")), "would replace INPUT", uses.UsageError)
refuse("in the place of a folder", "CWE-73", to("y.csv", lambda folder: os.mkdir(folder / "y.csv")),
       "it exists and is not a regular file")
refuse("in the place of a named pipe", "CWE-73", to("y.csv", lambda folder: os.mkfifo(folder / "y.csv")),
       "it exists and is not a regular file")
refuse("a device behind a link", LINK_ATTACKS, to("y.csv", lambda folder: os.symlink("/dev/null", folder / "y.csv")),
       "it exists and is not a regular file")
refuse("in a folder that is not there", "CWE-73", to("none/y.csv"), "there is no folder")
refuse("a name of 300 characters", "CWE-73", to("y" * 300 + ".csv"), "File name too long")
refuse("a name with a zero byte", "CWE-158", to("y\0.csv"), "embedded null byte")
refuse("an ending that runs", "CWE-434", to("y.py"), "the name must end in .npy, .npz or .csv", uses.UsageError)
refuse(".npz: an output named ../../evil", "CVE-2025-12060, zip-slip in what is written",
       to("y.npz", lambda folder: None, "../../evil", "z"), "output '../../evil' cannot be the name of a member")
refuse(".npz: an output with a zero byte in its name", "CWE-158: zip ends a name there",
       to("y.npz", lambda folder: None, "a\0b", "z"), "output 'a\\x00b' cannot be the name of a member")
TABLE.right(".csv: an output that is a formula", "CVE-2014-3524, CSV injection", to(
    "y.csv", lambda folder: None, "=cmd|' /C calc'!A0"),
    ["sequence,step,'=cmd|' /C calc'!A0_0,'=cmd|' /C calc'!A0_1", "sample,0,-0.375,0.0"],
    "text with ' before it", writes=("y.csv",))
TABLE.right(".csv: a sequence whose name is a formula", "CVE-2014-3524, CSV injection", to(
    "y.csv", lambda folder: (folder / "x.csv").write_text("=HYPERLINK(1),1,1,1\n")),
    ["sequence,step,y_0,y_1", "'=HYPERLINK(1),0,-0.375,0.0"], "text with ' before it", writes=("y.csv",))
TABLE.right("over an old file", "CWE-362: a reader meanwhile", to("y.csv", lambda folder: text(folder, "y.csv")),
            ["sequence,step,y_0,y_1", "sample,0,-0.375,0.0"], "the whole new one, renamed", writes=("y.csv",))
TABLE.right("a link to a file", "no attack: the caller's link", to("y.csv", lambda folder: (
    text(folder, "target.csv"), os.symlink("target.csv", folder / "y.csv"))),
    ["sequence,step,y_0,y_1", "sample,0,-0.375,0.0"], "its target is replaced", writes=("target.csv",))
TABLE.right("an old temporary file that is a link", LINK_ATTACKS + ", CVE-2000-1178's kind", to("y.csv",
    lambda folder: (
    os.symlink("../outside/secret.bin", folder / ".y.csv.0123456789ab.tmp"))),
    ["sequence,step,y_0,y_1", "sample,0,-0.375,0.0"], "the link is left alone", writes=("y.csv",))
TABLE.right("a layer's name that clears the terminal, shown", "CWE-150, terminal escapes", lambda folder: saved(
    folder, "\x1b[2J\x1b]0;x\x07").with_name("model.lstm"), [True, False], "escaped", use=uses.show)
