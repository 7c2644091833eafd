"""Opens a torch file of any kind and gives its weights by name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ...errors import FormatError, UnsupportedError
from ...files import cannot_read, open_regular
from ..arrays.archive import Archive
from ..arrays.weights import Entry, Weights
from .checkpoint import named_tensors
from .exported import exported_stem, read_exported
from .legacy import MAGIC, read_legacy
from .safetensors import read_safetensors
from .zipped import read_zip, stem_of


@contextmanager
def open_weights(path: Path) -> Iterator[Weights]:
    """The weights in a `.pt`, `.pth`, `.pt2` or `.safetensors` file, readable inside the `with` block.

    Errors raised by the block or by reading are prefixed with the path. Raises FileError, FormatError,
    UnsupportedError.
    """
    try:
        with open_regular(path) as file:
            yield Weights(_entries(file, os.fstat(file.fileno()).st_size, path.suffix.lower()))
    except OSError as error:
        cannot_read(path, error)
    except (FormatError, UnsupportedError) as error:
        raise type(error)(f"{path}: {error}") from error


def _entries(file: BinaryIO, size: int, suffix: str) -> dict[str, Entry]:
    """What the first bytes say the file is; the name only tells safetensors, which have no magic number."""
    head = file.read(512)
    file.seek(0)
    if head.startswith(b"PK\x03\x04"):
        return _zip_entries(Archive(file, size))
    if MAGIC in head[:32]:
        tree, storages = read_legacy(file, size)
        return storages.entries(named_tensors(tree))
    if suffix == ".safetensors" or head[8:9] == b"{":
        return read_safetensors(file, size)
    if head[257:262] == b"ustar":
        raise UnsupportedError("a tar file of torch 0.1; load and save it with a torch of today")
    if head[:1] == b"\x80":
        raise FormatError("a plain pickle without torch's magic number; save the state_dict with torch.save")
    raise FormatError(f"neither a zip archive, a legacy torch file nor safetensors; it begins with {head[:8]!r}")


def _zip_entries(archive: Archive) -> dict[str, Entry]:
    stem = stem_of(archive)
    if stem is not None:
        tree, storages = read_zip(archive, stem)
        return storages.entries(named_tensors(tree))
    stem = exported_stem(archive)
    if stem is not None:
        tensors, storages = read_exported(archive, stem)
        return storages.entries(tensors)
    names = ", ".join(sorted(archive.records)[:8]) or "none"
    raise FormatError(f"a zip archive without <folder>/data.pkl; its records: {names}")
