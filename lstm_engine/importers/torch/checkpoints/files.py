"""Opens a torch file of any kind: its weights by name, and the module or program that it holds beside them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

from ....errors import FormatError, UnsupportedError
from ....files import ModelFile, cannot_read, open_regular, size_of
from ...reading.safetensors import read_safetensors
from ...reading.weights import Weights
from ...reading.zip_archive import Archive
from .begins import MAGIC
from .checkpoint import find_weights, without_wrappers
from .exported import exported_stem, read_exported
from .legacy import read_legacy
from .storages import Storages
from .symbols import Instance
from .zipped import read_zip, stem_of


@dataclass(frozen=True)
class Contents:
    """What a file holds: weights, and what it says beside them of how they are used."""

    weights: Weights
    module: Instance | None = None     # a whole pickled module
    program: str | None = None         # a program that is not read, in the words of a message
    aside: tuple[str, ...] = ()        # names of tensors without axes beside the weights, which are left out


@contextmanager
def open_contents(path: ModelFile) -> Iterator[Contents]:
    """What is in a `.pt`, `.pth`, `.pt2` or `.safetensors` file, readable inside the `with` block.

    Errors raised by the block or by reading are prefixed with the path. Raises FileError, FormatError,
    UnsupportedError.
    """
    try:
        with open_regular(path) as file:
            yield _contents(file, size_of(file), path.suffix.lower())
    except OSError as error:
        cannot_read(path, error)
    except (FormatError, UnsupportedError) as error:
        raise type(error)(f"{path}: {error}") from error


@contextmanager
def open_weights(path: ModelFile) -> Iterator[Weights]:
    """The weights in a file alone; otherwise as `open_contents`."""
    with open_contents(path) as contents:
        yield contents.weights


def _contents(file: BinaryIO, size: int, suffix: str) -> Contents:
    """What the first bytes say the file is; the name only tells safetensors, which have no magic number."""
    head = file.read(512)
    file.seek(0)
    if head.startswith(b"PK\x03\x04"):
        return _zip_contents(Archive(file, size))
    if MAGIC in head[:32]:
        return _pickled(*read_legacy(file, size))
    if suffix == ".safetensors" or head[8:9] == b"{":
        return Contents(Weights(without_wrappers(read_safetensors(file, size))))
    if head[257:262] == b"ustar":
        raise UnsupportedError("a tar file of torch 0.1; load and save it with a torch of today")
    if head[:1] == b"\x80":
        raise FormatError("a plain pickle without torch's magic number; save the state_dict with torch.save")
    raise FormatError(f"neither a zip archive, a legacy torch file nor safetensors; it begins with {head[:8]!r}")


def _zip_contents(archive: Archive) -> Contents:
    stem = stem_of(archive)
    if stem is not None:
        return _pickled(*read_zip(archive, stem), scripted=any(name.startswith(f"{stem}/code/")
                                                               for name in archive.records))
    stem = exported_stem(archive)
    if stem is not None:
        tensors, storages = read_exported(archive, stem)
        return Contents(Weights(storages.entries(tensors)))
    names = ", ".join(sorted(archive.records)[:8]) or "none"
    raise FormatError(f"a zip archive without <folder>/data.pkl; its records: {names}")


def _pickled(tree: Any, storages: Storages, scripted: bool = False) -> Contents:
    found = find_weights(tree)
    weights = Weights(storages.entries(found.tensors))
    if scripted or (found.module is not None and found.module.symbol.module.partition(".")[0] == "__torch__"):
        return Contents(weights, program="a TorchScript archive, whose code is not read")
    program = f"it holds whole modules, such as {found.inner}" if found.inner else None
    return Contents(weights, found.module, program, found.aside)
