"""Opens a torch file of any kind: its weights by name, and the module or program that it holds beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ....errors import FormatError, UnsupportedError
from ....files import HEAD_BYTES, ModelFile, begins_json, cannot_read, open_regular, size_of, telling_bytes
from ....limits import Limits
from ...reading.safetensors import begins_safetensors, read_safetensors
from ...reading.weights import Entry, Weights
from ...reading.zip_archive import Archive
from .begins import MAGIC
from .checkpoint import find_weights, without_wrappers
from .exported import exported_stem, read_exported
from .json_state import JsonState, read_json_state
from .legacy import read_legacy
from .quantised import unpack
from .shards import begins_index, read_shards
from .storages import Storages
from .symbols import Instance, Tensor
from .zipped import REMADE, read_zip, remakes, stem_of


@dataclass(frozen=True)
class Contents:
    """What a file holds: weights, and what it says beside them of how they are used."""

    weights: Weights
    module: Instance | None = None     # a whole pickled module
    program: str | None = None         # a program that is not read, in the words of a message
    aside: tuple[str, ...] = ()        # names of tensors without axes beside the weights, which are left out
    settings: tuple[str, ...] = ()     # and of those in what a training was told, which are too
    training: tuple[str, ...] = ()     # and of weights under names of a training's own
    arrays: tuple[str, ...] = ()       # and of arrays of NumPy beside the weights
    described: Mapping[str, Any] | None = None    # what JSON says beside the weights of the network
    scripted: bool = False             # a TorchScript archive, whose program importers.torch.script reads
    notes: tuple[str, ...] = ()        # what else is to be said of how the weights were read
    quantised: tuple[str, ...] = ()    # layers whose weights torch has quantised to 8 bits
    scales: list[np.ndarray] = field(default_factory=list)      # of those weights that were read so far


@contextmanager
def open_contents(path: ModelFile, limits: Limits = Limits()) -> Iterator[Contents]:  # noqa: B008  (frozen)
    """What is in a `.pt`, `.pth`, `.pt2` or `.safetensors` file, or in the shards of an index, readable inside the
    `with` block.

    limits: what shards may hold; the file itself is looked at where it comes from. Errors raised by the block or by
    reading are prefixed with the path. Raises FileError, FormatError, UnsupportedError, LimitError.
    """
    try:
        with open_regular(path) as file, ExitStack() as shards:
            head = telling_bytes(path)
            if not begins_json(head) or begins_safetensors(head):
                yield _contents(file, size_of(file), path.suffix.lower())
            elif not begins_index(head):
                yield _in_json(read_json_state(file, size_of(file)))
            elif isinstance(path, Path):
                yield Contents(Weights(without_wrappers(read_shards(path, shards, limits, _shard))))
            else:
                raise FormatError("the index of weights in several files, which lie beside it, and bytes lie in no "
                                  "folder; convert its path")
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


def _in_json(state: JsonState) -> Contents:
    """The contents of a state dict in JSON."""
    notes = []
    if state.others:
        notes.append("what stands beside the arrays takes no part: "
                     f"{', '.join(f'{name!r:.100}' for name in state.others[:8])}"
                     f"{f' and {len(state.others) - 8} more' if len(state.others) > 8 else ''}")
    if state.rounded:
        notes.append("the decimals of the file are rounded to float32")
    program = f"it holds extra state of a module, {state.states[0]!r:.100}, which may change what it computes" \
        if state.states else None
    return Contents(Weights(without_wrappers(state.entries)), program=program, described=state.data, notes=tuple(notes))


def _shard(file: BinaryIO, size: int) -> dict[str, Entry]:
    """The tensors of a shard: safetensors, or a pickled dict of nothing but tensors."""
    head = file.read(HEAD_BYTES)
    file.seek(0)
    if begins_safetensors(head):
        return read_safetensors(file, size)
    if head.startswith(b"PK\x03\x04"):
        archive = Archive(file, size)
        stem = stem_of(archive)
        if stem is None:
            raise FormatError("a zip archive without <folder>/data.pkl")
        tree, storages = read_zip(archive, stem)
    elif MAGIC in head[:32]:
        tree, storages = read_legacy(file, size)
    else:
        raise FormatError(f"neither a zip archive, a legacy torch file nor safetensors; it begins with {head[:8]!r}")
    if not isinstance(tree, dict) or not all(isinstance(name, str) and isinstance(tensor, Tensor)
                                             for name, tensor in tree.items()):
        raise UnsupportedError("it holds more than tensors by name")
    if odd := next((name for name, tensor in tree.items() if tensor.kind), None):
        raise UnsupportedError(f"{odd!r:.100} is a tensor of the class {tree[odd].kind!r:.100}, which may compute "
                               "something else of its numbers; save plain tensors")
    return storages.entries(tree)


def _zip_contents(archive: Archive) -> Contents:
    stem = stem_of(archive)
    if stem is not None:
        if remakes(archive, stem):
            raise UnsupportedError(f"a TorchScript archive {REMADE}")
        return _pickled(*read_zip(archive, stem), scripted=any(name.startswith(f"{stem}/code/")
                                                               for name in archive.records))
    stem = exported_stem(archive)
    if stem is not None:
        tensors, storages = read_exported(archive, stem)
        return Contents(Weights(storages.entries(tensors)))
    names = ", ".join(sorted(archive.records)[:8]) or "none"
    raise FormatError(f"a zip archive without <folder>/data.pkl; its records: {names}")


def _pickled(tree: Any, storages: Storages, scripted: bool = False) -> Contents:
    names = unpack(tree, storages.array)
    found = find_weights(tree)
    weights = Weights(storages.entries(found.tensors))
    if scripted or (found.module is not None and found.module.symbol.module.partition(".")[0] == "__torch__"):
        return Contents(weights, program="a TorchScript archive, whose code is not read", scripted=True)
    program = f"it holds {found.inner}" if found.inner else None
    return Contents(weights, found.module, program, found.aside, found.settings, found.training, found.arrays,
                    quantised=tuple(names), scales=storages.scales)
