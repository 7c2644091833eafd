"""What a path may lead to that is no model: whoever fills a folder chooses that."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
from torch_pt2 import WEIGHTS, pt2, small
from zip_bytes import made

from lstm_engine.errors import FileError, FormatError

from .. import calls, uses
from ..attack import Table
from . import lstm, zips

TABLE = Table("paths", "model.pt2", lambda: pt2(small(), WEIGHTS))
ELF = b"\x7fELF\x02\x01\x01" + bytes(200)
OTHER_ZIP = made(("word/document.xml", b"<w/>"))
OPENED = np.maximum(np.ones((2, 3), np.float32) @ WEIGHTS["fc.weight"].T, 0)
HTML = b"<!DOCTYPE html><html><script>fetch('/')</script></html>"


def there(name: str, lay: Callable[[Path], object]) -> Callable[[Path], Path]:
    """Something under this name."""
    def make(folder: Path) -> Path:
        lay(folder / name)
        return folder / name
    return make


def bound(path: Path) -> None:
    """A socket in the file system."""
    here = os.getcwd()
    os.chdir(path.parent)                               # the address may have some hundred bytes alone
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def linked(link: Callable[..., object]) -> Callable[[Path], Path]:
    """A good model under a second name."""
    def make(folder: Path) -> Path:
        real = lstm.good(folder)
        link(real, folder / "other.lstm")
        return folder / "other.lstm"
    return make


for suffix in (".lstm", ".keras", ".pt", ".onnx"):
    use = uses.load if suffix == ".lstm" else uses.convert
    TABLE.refuse(f"a named pipe as {suffix}", "CWE-400", there(f"m{suffix}", os.mkfifo), FileError,
                 "it is a named pipe; expected a file", use=use)
TABLE.refuse("a folder", "CWE-73", there("m.h5", os.mkdir), FileError, "it is a folder; expected a file")
TABLE.refuse("a socket", "CWE-73", there("m.npz", bound), FileError, "cannot read m.npz")
TABLE.refuse("a device without an end", "CWE-400, /dev/zero", there("m.pt", lambda path: path.symlink_to("/dev/zero")),
             FileError, "it is a device; expected a file")
TABLE.refuse("a link that leads nowhere", "CWE-59", there("m.pt", lambda path: path.symlink_to("gone")), FileError,
             "No such file or directory")
TABLE.refuse("a link to itself", "CWE-59", there("m.pt", lambda path: path.symlink_to("m.pt")), FileError,
             "Too many levels of symbolic links")
TABLE.refuse("an empty file", "CWE-476", lambda: b"", FormatError, "this is an empty file of 0 bytes", file="m.pt")
TABLE.refuse("a program", "CWE-434", lambda: ELF, FormatError, "not a checkpoint of a known kind", file="model")
TABLE.refuse("a web page saved as a model", "CWE-434", lambda: HTML, FormatError, "this is an HTML page", file="m.pt")
TABLE.right("a .pt2 archive named .onnx", "CVE-2025-10155: by name or by content", lambda: pt2(small(), WEIGHTS),
            OPENED, "what the bytes say that it is", file="m.onnx")
TABLE.refuse("a zip archive of something else named .onnx", "CVE-2025-10155: by name or by content", lambda: OTHER_ZIP,
             FormatError, "a zip file of something else, with 'word/document.xml' first", file="m.onnx")
TABLE.refuse("a pickle named .keras", "CVE-2025-10155: by name or by content", lambda: b"\x80\x04cos\nsystem\n.",
             FormatError, "a plain pickle without torch's magic number", file="m.keras")
TABLE.refuse("an .lstm file cut short while it is read", "CWE-367", lstm.good, FormatError, "the file ends after",
             use=calls.load_while_file_is_cut, writes=("model.lstm",))
TABLE.refuse("an archive cut short while it is read", "CWE-367", zips.beside_spec(zips.archived), FormatError,
             "bytes could be read", use=calls.convert_while_archive_is_cut, writes=("model.npz",))
TABLE.right("a link to a model", "no attack: the caller's link", linked(lambda real, link: link.symlink_to(real.name)),
            lstm.ANSWER, "its numbers", use=uses.load)
TABLE.right("a second name of a model", "no attack: a hard link", linked(os.link), lstm.ANSWER, "its numbers",
            use=uses.load)
