"""The weights of a checkpoint, read as data, in a live module: what torch's own loading does, and nothing left open."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from ....errors import FormatError, UnsupportedError
from ....files import ModelFile
from ....limits import Limits
from ..checkpoints.checkpoint import IGNORED
from ..checkpoints.files import open_contents

MOST_NAMES = 8


def fill(module: Any, path: ModelFile, limits: Limits) -> str | None:
    """Load a checkpoint's tensors into a torch.nn.Module by their names; a prefix that all of them have, or all of the
    module's own, is taken off. Returns what was, in a sentence, or None.

    Every tensor of the file is loaded, and every one of the module comes from the file, but for counters of batches,
    and for one that is the same memory as another (tied weights, which safetensors keep once). Raises FormatError where
    they differ in names, shapes or kind; what the readers of files raise.
    """
    import torch

    with open_contents(path, limits) as contents:
        weights = contents.weights
        own = _own(module, path)
        names, said = _matched(weights.names, own, path)
        given = {name: torch.tensor(weights.take_any(stored)) for stored, name in names.items()}
    _check_kinds(given, own, path)
    try:
        missing, surplus = module.load_state_dict(given, strict=False)
    except RuntimeError as error:           # sizes that differ, one a line
        raise FormatError(f"{path}: its weights do not fit the module: {' '.join(str(error).split())}") from error
    own = _own(module, path)                # lazy layers have their tensors only now
    if left := [name for name in missing if not _ignored(name) and not _tied(name, own, given)]:
        raise FormatError(f"{path}: it has no tensor for {_some(left)} of the module; it has {_some(weights.names)}")
    if surplus:
        raise FormatError(f"{path}: the module has nothing called {_some(surplus)}, which the file holds; it has "
                          f"{_some(own)}")
    for name, tensor in given.items():      # of two that are tied and differ, the second has replaced the first
        if not torch.allclose(own[name].cpu(), tensor.to(own[name].dtype), rtol=0, atol=0, equal_nan=True):
            raise FormatError(f"{path}: {name!r} is the same memory in the module as another tensor, for which the "
                              "file has other numbers")
    return said


def _own(module: Any, path: ModelFile) -> dict[str, Any]:
    """The state dict of a module. Raises UnsupportedError for state that is no tensor."""
    state = dict(module.state_dict())
    for name, value in state.items():
        if not hasattr(value, "detach"):
            raise UnsupportedError(f"{path}: the module keeps state that is no tensor under {name!r}, which is not "
                                   "read from files; load the weights in the function that builds the module, and "
                                   "leave --weights out")
    return state


def _matched(stored: Collection[str], own: Mapping[str, Any], path: ModelFile) -> tuple[dict[str, str], str | None]:
    """The module's name of each tensor of a file, and what was taken off, in words."""
    kept = [name for name in stored if name in own or not _ignored(name)]
    if not kept:
        raise FormatError(f"{path}: it holds no weights")
    if set(kept) & set(own):
        return {name: name for name in kept}, None
    first = kept[0]
    for prefix in [first[:-len(name)] for name in own if first.endswith(f".{name}")]:
        if all(name.startswith(prefix) and name[len(prefix):] in own for name in kept):
            return ({name: name[len(prefix):] for name in kept},
                    f"the file's names begin with {prefix!r}, which was taken off")
    prefixes = [name[:-len(first)] for name in own if name.endswith(f".{first}")]
    fitting = [prefix for prefix in prefixes if all(prefix + name in own for name in kept)]
    if len(fitting) == 1:
        prefix, = fitting
        return ({name: prefix + name for name in kept},
                f"the module's names begin with {prefix!r}, which the file's do not")
    raise FormatError(f"{path}: none of its tensors ({_some(kept)}) is called as one of the module's ({_some(own)})")


def _check_kinds(given: Mapping[str, Any], own: Mapping[str, Any], path: ModelFile) -> None:
    """Raise FormatError where whole numbers would become fractions, or the other way round."""
    for name, tensor in given.items():
        if name in own and tensor.dtype.is_floating_point != own[name].dtype.is_floating_point:
            raise FormatError(f"{path}: {name!r} is {tensor.dtype} in the file and {own[name].dtype} in the module")


def _tied(name: str, own: Mapping[str, Any], given: Iterable[str]) -> bool:
    """Whether a tensor of the module is the same memory as one that the file has."""
    def place(tensor: Any) -> tuple[Any, ...]:
        return tensor.data_ptr(), tensor.shape, tensor.stride()

    return any(other in own and place(own[other]) == place(own[name]) for other in given)


def _ignored(name: str) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in IGNORED)


def _some(names: Collection[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - MOST_NAMES} more" if len(listed) > MOST_NAMES else ""
    return ", ".join(f"{name!r:.100}" for name in listed[:MOST_NAMES]) + more
