"""ONNX tensors whose bytes lie in other files: inside the model's folder, and nowhere else."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from onnx_graphs import model, node
from onnx_hostile import external

from lstm_engine.errors import FileError, FormatError

from .. import calls
from ..attack import Table, floats

PATHS = "CVE-2022-25882, CVE-2024-27318"
LINKS = "CVE-2026-27489, CVE-2026-34447"
W = floats(3, 2)
ANSWER = np.ones((2, 3), np.float32) @ W


def located(folder: Path, location: str, name: str = "model.onnx", **entries: object) -> Path:
    """A Dense layer whose kernel lies elsewhere; "w.bin" is in the folder, 64 bytes before the kernel."""
    source: Any = model([node("MatMul", "x w", "y")], {"x": ("batch", 3)}, "y", {"w": W})
    external(source, "w", location, **entries)
    (folder / "w.bin").write_bytes(bytes(64) + W.tobytes())
    (folder / name).write_bytes(source.SerializeToString())
    return folder / name


def good(folder: Path) -> Path:
    return located(folder, "w.bin", offset=64, length=24)


TABLE = Table(".onnx, external data", "model.onnx", good)


def at(shown: str, source: str, location: str, message: str, prepare: Callable[[Path], object] = lambda folder: None,
       error: type = FormatError, **entries: object) -> None:
    """An attack by the location, offset or length of the data; `prepare` lays out the folder."""
    def make(folder: Path) -> Path:
        prepare(folder)
        return located(folder, location, **entries)
    TABLE.refuse(shown, source, make, error, message)


def secret(folder: Path) -> Path:
    return folder.parent / "outside" / "secret.bin"


def bound(folder: Path) -> None:
    """A socket in the file system."""
    here = os.getcwd()
    os.chdir(folder)                                    # its name may have some hundred bytes
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("s")
    finally:
        os.chdir(here)


for shown, location in (("../outside/secret.bin", "../outside/secret.bin"), ("a/../../outside/secret.bin",) * 2,
                        ("/etc/hostname",) * 2, ("..\\outside\\secret.bin",) * 2, ("C:\\secret.bin",) * 2, (".",) * 2,
                        ("w.bin\\0.txt", "w.bin\0.txt"), ("nothing", "")):
    at(f"the location {shown}", PATHS, location, f"the location {location!r} is not a file inside the model's folder")
at("a symbolic link", LINKS, "w", "'w' leads through a link", lambda folder: (folder / "w").symlink_to(secret(folder)))
at("a folder that is a link", LINKS, "d/secret.bin", "'d/secret.bin' leads through a link",
   lambda folder: (folder / "d").symlink_to("../outside"))
at("a link that leads nowhere", LINKS, "w", "cannot read 'w' beside the model: it is a link to",
    lambda folder: (folder / "w").symlink_to("gone"), FileError)
at("a link that leads to itself", LINKS, "w", "'w' leads through a link", lambda folder: (folder / "w").symlink_to("w"))
at("a device behind a link", "CWE-400, /dev/zero", "w", "'w' leads through a link",
   lambda folder: (folder / "w").symlink_to("/dev/zero"))
at("a named pipe", "CWE-400", "w", "'w' is not a plain file", lambda folder: os.mkfifo(folder / "w"))
at("a folder", "CWE-73", "w", "'w' is not a plain file", lambda folder: os.mkdir(folder / "w"))
at("a socket", "CWE-73", "s", "cannot read 's' beside the model", bound, FileError)
at("a file that is not there", "CWE-73", "gone.bin", "cannot read 'gone.bin' beside the model", error=FileError)
at("an offset beyond the end", "CWE-125", "w.bin", "bytes 65 to 89 of 'w.bin', which has 88", offset=65)
at("an offset of 2^63 - 1", "CWE-190", "w.bin", "bytes 9223372036854775807 to", offset=2**63 - 1)
at("an offset of -1", "CWE-195", "w.bin", "its offset is '-1', not a number of bytes", offset=-1)
at("an offset of 5,000 digits", "CVE-2020-10735", "w.bin", "not a number of bytes", offset="9" * 5000)
at("an offset of Arabic digits", "CWE-176", "w.bin", "not a number of bytes", offset="\u0661")
at("a length that is not the tensor's", "CWE-131", "w.bin", "need 24 bytes, its length is 4096", length=4096)


def many_claims(folder: Path) -> Path:
    """Overlapping tensors of one small file could ask for any amount of memory."""
    tensors = {f"t{i}": floats(256) for i in range(64)}
    source: Any = model([node("MatMul", "x w", "y")], {"x": ("batch", 3)}, "y", {"w": W, **tensors})
    for number, name in enumerate(tensors):
        external(source, name, "w.bin", offset=4 * number)
    (folder / "w.bin").write_bytes(bytes(2048))
    (folder / "model.onnx").write_bytes(source.SerializeToString())
    return folder / "model.onnx"


TABLE.refuse("64 overlapping tensors", "CWE-789", many_claims, FormatError,
             "the tensors claim more than the 2048 bytes of 'w.bin'")


def in_a_folder(folder: Path) -> Path:
    (folder / "d").mkdir()
    (folder / "d" / "w.bin").write_bytes(W.tobytes())
    return located(folder, "d/w.bin")


def in_a_link(folder: Path) -> Path:
    (folder / "d").mkdir()
    (folder / "d" / "w.bin").write_bytes(W.tobytes())
    (folder / "w.link").symlink_to("d/w.bin")
    return located(folder, "w.link")


def in_a_hard_link(folder: Path) -> Path:
    (folder / "d").mkdir()
    (folder / "d" / "w.bin").write_bytes(W.tobytes())
    os.link(folder / "d" / "w.bin", folder / "w.hard")
    return located(folder, "w.hard")


EXCHANGED = ("d", "d/w.bin", "d.moved", "d.moved/w.bin")
TABLE.right("a folder exchanged for a link before its file is opened", "CWE-367, TOCTOU", in_a_folder, ANSWER,
            "the file that was there", use=calls.convert_while_folder_is_exchanged, writes=EXCHANGED)
TABLE.refuse("a folder exchanged for a link before it is opened", "CWE-367, TOCTOU", in_a_folder, FormatError,
             "'d/w.bin' leads through a link", use=calls.convert_before_folder_is_opened,
             writes=EXCHANGED)
TABLE.refuse("a file cut short while it is read", "CWE-367", good, FormatError, "'w.bin' ends early",
             use=calls.convert_while_data_is_cut, writes=("w.bin",))
TABLE.right("a link exchanged for another after it was followed", "CVE-2026-27489, TOCTOU", in_a_link, ANSWER,
            "the file that was there", use=calls.convert_while_link_is_exchanged, writes=("w.link",))
TABLE.refuse("a file exchanged for a link before it is opened", "CVE-2026-27489, TOCTOU", good, FormatError,
             "'w.bin' leads through a link", use=calls.convert_before_file_is_opened, writes=("w.bin", "w.bin.moved"))
TABLE.right("a hard link", "no attack: how conda and uv lay files", in_a_hard_link, ANSWER, "its numbers")
TABLE.right("a link to a file below the model", "no attack: how caches lay files", in_a_link, ANSWER, "its numbers")
TABLE.right("data in a folder below the model", "no attack: what exporters write", in_a_folder, ANSWER, "its numbers")
