"""Changes to zip archives by their records, written again with right sizes and checksums."""

from __future__ import annotations

import io
import random
import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence

from torch_bytes import archive

from . import raw

Change = Callable[[str, bytes, random.Random], bytes]
NAMES = ("../x", "a/../../x", "/x", "C:x", "x\\y", "a/data.pkl", "a/data/0", "a/byteorder", "config.json",
         "metadata.json", "x" * 300, "\u00e9", "a//b")
_READABLE = (zipfile.BadZipFile, zlib.error, ValueError, NotImplementedError, EOFError, RuntimeError, OSError)


def records(data: bytes) -> dict[str, bytes] | None:
    """The records of an archive, None where it cannot be read."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            if sum(info.file_size for info in file.infolist()) > 1 << 20:
                return None
            return {info.filename: file.read(info) for info in file.infolist()}
    except _READABLE:
        return None


def changed(data: bytes, rng: random.Random, change: Change, words: Sequence[bytes] = ()) -> bytes:
    """An archive with one record changed by `change`, renamed, lost or added; seldom with bytes changed."""
    found = records(data)
    if not found or rng.random() < 0.1:
        return raw.damaged(data, rng, words)
    kind, name = rng.random(), rng.choice(list(found))
    if kind < 0.8:
        found[name] = change(name, found[name], rng)
    elif kind < 0.87:
        del found[name]
    elif kind < 0.94:
        found[rng.choice(NAMES)] = found.pop(name)
    else:
        found[rng.choice(NAMES)] = found[rng.choice(list(found))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return archive(found, zipfile.ZIP_DEFLATED if rng.random() < 0.1 else zipfile.ZIP_STORED)
