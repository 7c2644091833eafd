"""A TorchScript archive as data: its object, its constants, and its code as classes and functions by their full names.

Source of the layout: torch/csrc/jit/serialization/export_module.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from ....errors import FormatError, UnsupportedError
from ...reading.weights import Entry
from ...reading.zip_archive import Archive
from ..checkpoints.symbols import Instance, Tensor
from ..checkpoints.zipped import REMADE, read_zip
from .language import parse
from .tree import Class, Function

MAX_CODE_BYTES = 4 << 20
ROOT = "__torch__"
_FIELDS = frozenset({"__parameters__", "__buffers__", "__annotations__"})
# The operators whose meaning has changed, and the version of archives from which on they mean what they mean today.
# Source: torch._C._get_operator_version_map(); gelu and linspace only took further arguments.
CHANGED = {"div": 4, "full": 5}
NEWEST = 10                 # caffe2/serialize/versions.h, kMaxSupportedFileFormatVersion


@dataclass(frozen=True)
class Held:
    """first: the id of the first tensor that is the very same. places: how many attributes and items these are.
    storage: all that are views of its storage."""

    first: int
    places: int
    storage: Set[Tensor]

    def overlaps(self, tensor: Tensor) -> bool:
        """Whether another view may have elements of `tensor`."""
        begin, end = _span(tensor)
        return any(other != tensor and _span(other)[0] < end and begin < _span(other)[1] for other in self.storage)


@dataclass(frozen=True)
class Script:
    """root: the module. constants: CONSTANTS.c0 and so on. entries: the numbers of tensors, by the id of these.

    held: by the id of each tensor of the module, what else of the module is the same memory.
    """

    root: Instance
    constants: tuple[Any, ...]
    classes: Mapping[str, Class]
    functions: Mapping[str, Function]
    entries: Mapping[int, Entry]
    version: int
    held: Mapping[int, Held]

    def class_of(self, instance: Instance) -> Class:
        """The class of an object. Raises UnsupportedError for one that is not written in the archive."""
        name = str(instance.symbol)
        if name not in self.classes:
            quantised = name.startswith(("__torch__.torch.classes.quantized.", "__torch__.torch.classes.rnn."))
            raise UnsupportedError(f"the class {name:.100} is not written in the archive" + (
                ": it is one of torch's quantised weights; script or trace the module as it was before it was quantised"
                if quantised else ""))
        if "__setstate__" in self.classes[name].methods:
            raise UnsupportedError(f"the class {name:.100} has __setstate__, {REMADE}")
        return self.classes[name]


def read_script(archive: Archive, stem: str) -> Script:
    """The script in an archive. Raises FormatError, UnsupportedError."""
    code = {name: record for name, record in archive.records.items()
            if name.startswith(f"{stem}/code/") and name.endswith(".py")}
    if sum(record.size for record in code.values()) > MAX_CODE_BYTES:
        raise UnsupportedError(f"the code of the archive is larger than {MAX_CODE_BYTES} bytes")
    classes: dict[str, Class] = {}
    functions: dict[str, Function] = {}
    for name in code:
        module = name.removeprefix(f"{stem}/code/").removesuffix(".py").replace("/", ".")
        try:
            text = archive.read(name, MAX_CODE_BYTES).decode("utf-8")
        except UnicodeDecodeError as error:
            raise FormatError(f"{name:.100}: no UTF-8") from error
        made, free = parse(text, name)
        classes |= {f"{module}.{one}": entry for one, entry in made.items()}
        functions |= {f"{module}.{one}": entry for one, entry in free.items()}
    for called, entry in classes.items():
        odd = [field for field in entry.fields if field.startswith("__") and field not in _FIELDS]
        if odd:
            raise UnsupportedError(f"the class {called:.100} has {odd[0]!r:.60}, which is not supported: hooks may "
                                   "change what it computes")
    root, storages = read_zip(archive, stem)
    if not isinstance(root, Instance):
        raise FormatError("the archive holds no module")
    constants, own = read_zip(archive, stem, "constants") if f"{stem}/constants.pkl" in archive.records else ((), None)
    if not isinstance(constants, tuple):
        raise FormatError("the constants of the archive are no tuple")
    found = _tensors(root)
    entries = _entries(storages, {id(tensor): tensor for tensor in found})
    if own is not None:
        entries |= _entries(own, {id(tensor): tensor for tensor in _tensors(constants)})
    return Script(root, constants, classes, functions, entries, _version(archive, stem), _held(found))


def _entries(storages: Any, tensors: Mapping[int, Tensor]) -> dict[int, Entry]:
    made = storages.entries({str(key): tensor for key, tensor in tensors.items()})
    return {int(key): entry for key, entry in made.items()}


def _tensors(root: Any) -> list[Tensor]:
    """The tensors of an object, each as often as an attribute or item is it."""
    found: list[Tensor] = []
    seen: set[int] = set()
    waiting: list[Any] = [root]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Tensor):
            found.append(value)
        elif id(value) not in seen and isinstance(value, (Instance, dict, list, tuple)):
            seen.add(id(value))
            inner = value.state if isinstance(value, Instance) else value
            waiting += inner.values() if isinstance(inner, dict) else inner if isinstance(inner, (list, tuple)) else []
    return found


def _held(tensors: Sequence[Tensor]) -> dict[int, Held]:
    same: dict[Tensor, list[Tensor]] = {}
    views: dict[str, set[Tensor]] = {}
    for tensor in tensors:
        same.setdefault(tensor, []).append(tensor)
        views.setdefault(tensor.storage.key, set()).add(tensor)
    return {id(tensor): Held(id(group[0]), len(group), views[tensor.storage.key])
            for group in same.values() for tensor in group}


def _span(tensor: Tensor) -> tuple[int, int]:
    """The first byte of a tensor in its storage, and the one behind its last."""
    if not tensor.count:
        return 0, 0
    last = tensor.offset + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True))
    return tensor.offset * tensor.itemsize, (last + 1) * tensor.itemsize


def _version(archive: Archive, stem: str) -> int:
    text = archive.read(f"{stem}/version", 16).strip() if f"{stem}/version" in archive.records else b"1"
    if not text.isdigit() or len(text) > 4:
        raise FormatError(f"the version of the archive is {text!r:.40}; expected a number")
    if int(text) > NEWEST:
        raise UnsupportedError(f"the archive is of version {int(text)}, in which operators may mean something else; "
                               f"supported: up to {NEWEST}")
    return int(text)
