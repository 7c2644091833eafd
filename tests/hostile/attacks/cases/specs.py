"""Specs: JSON that says what the arrays of a file are. It is the caller's, and may have come with the file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lstm_engine.errors import FileError, FormatError, GraphError, UnsupportedError

from .. import uses
from ..attack import Table
from .zips import ANSWER, SPEC, W, archived, npy

NODE: dict[str, Any] = SPEC["nodes"][0]


def beside(text: Callable[[], bytes | str]) -> Callable[[Path], Path]:
    """Arrays, and a spec of these bytes."""
    def make(folder: Path) -> Path:
        made = text()
        (folder / "spec.json").write_bytes(made.encode("utf-8", "surrogatepass") if isinstance(made, str) else made)
        (folder / "model.npz").write_bytes(archived())
        return folder / "model.npz"
    return make


def lies_at(place: Callable[[Path], object]) -> Callable[[Path], Path]:
    """Arrays, and something that is no file in the place of a spec."""
    def make(folder: Path) -> Path:
        (folder / "model.npz").write_bytes(archived())
        place(folder / "spec.json")
        return folder / "model.npz"
    return make


GOOD = json.dumps(SPEC)
TABLE = Table("spec JSON", "model.npz", beside(lambda: GOOD), uses.with_spec)


def refuse(name: str, source: str, text: Callable[[], bytes | str], message: str, error: type = FormatError) -> None:
    TABLE.refuse(name, source, beside(text), error, message)


def node(**changes: Any) -> Callable[[], str]:
    """The good spec with other settings of its one node."""
    return lambda: json.dumps({**SPEC, "nodes": [{**NODE, **changes}]})


def whole(**changes: Any) -> Callable[[], str]:
    return lambda: json.dumps({**SPEC, **changes})


def deep_expression() -> str:
    expression: Any = "w"
    for _ in range(500):
        expression = {"tensor": expression}
    return json.dumps({**SPEC, "nodes": [{**NODE, "kernel": expression}]})


def beside_many(folder: Path) -> Path:
    """A pattern of many stars against long names that almost match it."""
    path = beside(whole(ignore=["*a" * 40 + "b", "a*"]))(folder)
    path.write_bytes(archived(("w.npy", npy(W)), *((f"{'a' * 900}{i}.npy", npy(W)) for i in range(20))))
    return path


refuse("no JSON", "CWE-20", lambda: "{", "not JSON: Expecting property name")
refuse("Python code", "CWE-95", lambda: "__import__('os').system('id')", "not JSON: Expecting value")
refuse("YAML that makes objects", "CVE-2020-1747", lambda: "!!python/object/apply:os.system ['id']",
    "not JSON: Expecting")
refuse("a key given twice", "parser differentials", lambda: GOOD[:-1] + ', "nodes": []}',
    "the key 'nodes' appears twice")
refuse("NaN", "RFC 8259", lambda: GOOD.replace("3]", "NaN]"), "NaN is no JSON number")
refuse("a number beyond float64", "CWE-681", lambda: GOOD.replace("3]", "1e999]"),
    "inputs[0]: shape[1]: expected a list of ints and strings, got float inf")
refuse("nested 100,000 deep", "CWE-674", lambda: "[" * 100_000, "nested too deeply")
refuse("a whole number of 5,000 digits", "CVE-2020-10735", lambda: GOOD.replace("3]", "9" * 5000 + "]"),
       "not JSON: Exceeds the limit")
TABLE.right("a byte order mark", "no attack: editors of Windows write it", beside(lambda: "\ufeff" + GOOD), ANSWER,
            "the spec behind it")
refuse("bytes that are not UTF-8", "CWE-176", lambda: b'{"\xff": 1}', "not UTF-8")
refuse("UTF-16", "CWE-176", lambda: GOOD.encode("utf-16"), "it is UTF-16, as PowerShell's > writes")
refuse("a lone surrogate", "CWE-176", lambda: GOOD.replace('"w"', '"\\ud800"'), "no tensor '\\ud800'")
refuse("9 MB of spaces", "CWE-400", lambda: " " * (9 << 20), "more than 8388608 bytes")
refuse("an unknown key", "CWE-20", whole(run="id"), "spec: unknown key 'run'")
refuse("an unknown layer", "CVE-2024-3660", node(op="Lambda"), "op is not known; known: ", UnsupportedError)
refuse("a tensor that is not there", "CWE-476", node(kernel="v"), "no tensor 'v'")
refuse("a path in place of a tensor", "CWE-22", node(kernel="../../etc/passwd"), "no tensor '../../etc/passwd'")
refuse("zeros of 2^40", "CWE-789", node(bias={"zeros": 2**40}), "must be the name of an array")
refuse("an expression 500 deep", "CWE-674", deep_expression, "spec.json: nested more than 64 deep")
refuse("an input of 2^63 features", "CWE-190", lambda: GOOD.replace("3]", f"{2**63}]"),
    "got [batch, 9223372036854775808]",
       GraphError)
refuse("a negative size", "CWE-195", lambda: GOOD.replace("3]", "-3]"), "got [batch, -3]", GraphError)
refuse("a terminal escape as a name", "CWE-150", node(name="\x1b[2J", kernel="v"), "no tensor 'v'")
TABLE.refuse("a folder", "CWE-73", lies_at(os.mkdir), FileError, "it is a folder; expected a file")
TABLE.refuse("a named pipe nobody writes to", "CWE-400", lies_at(os.mkfifo), FileError, "it is a named pipe; expected")
TABLE.refuse("a device without an end", "CWE-400, /dev/zero", lies_at(lambda path: path.symlink_to("/dev/zero")),
             FileError, "it is a device; expected a file")
TABLE.right("a pattern that backtracks", "CWE-1333, ReDoS", beside_many, ANSWER, "at once")
