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
_OWN_CODE = "load the weights in the function that builds the module, and leave --weights out"
_ALONE = f"; save the module's state_dict() alone with torch.save, or {_OWN_CODE}"


def fill(module: Any, path: ModelFile, limits: Limits) -> str | None:
    """Load a checkpoint's tensors into a torch.nn.Module by their names; a prefix that all of them have, or all of the
    module's own, is taken off. Returns what was, in a sentence, or None.

    Every tensor of the file is loaded, and every one of the module comes from the file, but for counters of batches,
    and for one that is the same memory as another (tied weights, which safetensors keep once). What the module keeps
    out of its state dict (buffers that are not persistent, plain attributes) is loaded where the file has it: programs
    and whole pickled modules do. Names of an older torch or an older class are followed where the module's own loading
    does. Raises FormatError where file and module differ in names, shapes or kind, UnsupportedError where the file
    says more than its numbers do, or the module cannot take them; what the readers of files raise.
    """
    with open_contents(path, limits) as contents:
        if contents.program is not None and not contents.scripted:
            raise UnsupportedError(f"{contents.program}; {_OWN_CODE}")
        own, beside = _own(module), _beside(module)
        names, said = _matched(contents.weights.names, own, beside)
        given = {name: _tensor(contents.weights.take_any(stored)) for stored, name in names.items()}
        _check_kinds(given, own | beside)
        others = {name: given.pop(name) for name in list(given) if name not in own and name in beside}
        renamed = _load(module, given)
        _copy(others, beside)
        _check_loaded(given | others, _own(module) | _beside(module))
    if renamed:
        said = f"{f'{said}; ' if said else ''}the module's own loading gave {_some(renamed)} other names"
    if contents.quantised:
        said = (f"{f'{said}; ' if said else ''}the weights of {_some(contents.quantised)}, which torch had quantised "
                "to 8 bits, are the float32 numbers that these stand for")
    return said


def _tensor(array: Any) -> Any:
    """A tensor of its own memory, on the CPU whatever device the caller's code has made torch's default."""
    import torch

    return torch.from_numpy(array.copy())


def _own(module: Any) -> dict[str, Any]:
    """The state dict of a module. Raises UnsupportedError for state that is no plain tensor in the process's memory."""
    import torch

    state = dict(module.state_dict())
    for name, value in state.items():
        if not isinstance(value, torch.Tensor):
            raise UnsupportedError(f"the module keeps state that is no tensor under {name!r}, which is not read from "
                                   f"files; {_OWN_CODE}")
        if value.is_meta:
            raise UnsupportedError(f"{name!r} of the module is on the meta device, which holds no numbers; build the "
                                   "module on the CPU")
        if value.is_quantized or value.is_sparse:
            raise UnsupportedError(f"{name!r} of the module is quantized or sparse, which has no plain numbers")
    return state


def _beside(module: Any) -> dict[str, Any]:
    """The tensors of a module by name that are not in its state dict."""
    import torch

    found: dict[str, Any] = {}
    for path, part in module.named_modules(remove_duplicate=False):
        buffers = {name: part._buffers[name] for name in getattr(part, "_non_persistent_buffers_set", ())
                   if name in part._buffers}
        for name, value in (vars(part) | buffers).items():
            if isinstance(value, torch.Tensor) and not value.is_meta:
                found[f"{path}.{name}" if path else name] = value.detach()
    return found


def _matched(stored: Collection[str], own: dict[str, Any],
             beside: dict[str, Any]) -> tuple[dict[str, str], str | None]:
    """The module's name of each tensor of a file, and what was taken off, in words."""
    known = own | beside
    kept = [name for name in stored if not _ignored(name)]
    if not kept:
        raise FormatError("it holds no weights")
    counters = {name: name for name in stored if name in own and _ignored(name)}
    if set(kept) & set(own):
        return counters | {name: name for name in kept}, None
    prefix, fits = _prefix(kept, known)
    prefixes = [name[:-len(kept[0])] for name in own if name.endswith(f".{kept[0]}")]
    fitting = [one for one in prefixes if all(one + name in known for name in kept)]
    if len(fitting) == 1 and not fits:
        only, = fitting
        return (counters | {name: only + name for name in kept},
                f"the module's names begin with {only!r}, which the file's do not")
    if prefix:
        return (counters | {name: name[len(prefix):] for name in kept},
                f"the file's names begin with {prefix!r}, which was taken off")
    raise FormatError(f"none of its tensors ({_some(kept)}) is called as one of the module's ({_some(own)}), with or "
                      f"without one prefix for all{_ALONE}")


def _prefix(stored: Collection[str], known: Mapping[str, Any]) -> tuple[str, bool]:
    """What all names of a file begin with so that most of the others' rest is known, and whether all are then; "" where
    there is nothing."""
    parts = min(stored, key=len).split(".")[:-1]
    found = [prefix for prefix in (".".join(parts[:end]) + "." for end in range(1, len(parts) + 1))
             if all(name.startswith(prefix) for name in stored)]
    count = {prefix: sum(name[len(prefix):] in known for name in stored) for prefix in found}
    best = max(found, key=lambda prefix: count[prefix], default="")
    return (best, count[best] == len(stored)) if best and count[best] else ("", False)


def _check_kinds(given: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Raise FormatError where the module's type would make something else of numbers than their rounding."""
    import torch

    for name, tensor in given.items():
        if name not in known:
            continue
        own = known[name].dtype
        cast = tensor.to(own)
        same = tensor.dtype.is_floating_point == own.is_floating_point and (
            torch.equal(tensor.isfinite(), cast.to(tensor.dtype).isfinite()) if own.is_floating_point
            else torch.equal(tensor, cast.to(tensor.dtype)))
        if not same:
            raise FormatError(f"{name!r} is {tensor.dtype} in the file and {own} in the module, which does not hold "
                              "its numbers")


def _load(module: Any, given: Mapping[str, Any]) -> list[str]:
    """Have the module load tensors. Returns those that it took under other names than it has. Raises FormatError."""
    missing, surplus = _loaded(module, given)
    own = _own(module)                      # lazy layers have their tensors only now
    left = [name for name in own if name not in given and not _ignored(name) and not _tied(name, own, given)]
    unsaid = [name for name in left if name not in missing]
    if unsaid:
        missing |= _untouched(module, given, unsaid)
    if lost := [name for name in (*left, *(missing - set(own))) if name in missing and not _ignored(name)]:
        raise FormatError(f"it has no tensor for {_some(lost)} of the module; it has {_some(given)}")
    renamed = [name for name in given if name not in own and name not in surplus]
    if surplus or (renamed and not unsaid):
        raise FormatError(f"the module has nothing called {_some(surplus or renamed)}, which the file holds; it has "
                          f"{_some(own)}{_ALONE}")
    return renamed


def _loaded(module: Any, given: Mapping[str, Any]) -> tuple[set[str], list[str]]:
    """The names of the module that its loading misses, and those of the file that it does not know, as it says."""
    try:
        said = module.load_state_dict(dict(given), strict=False)
    except RuntimeError as error:           # sizes that differ, one a line
        raise FormatError(f"its weights do not fit the module: {' '.join(str(error).split())}") from error
    except Exception as error:              # of a class that loads in a way of its own
        raise UnsupportedError(f"load_state_dict of {type(module).__qualname__} raised {type(error).__name__}: "
                               f"{error}; {_OWN_CODE}") from error
    missing, surplus = said if isinstance(said, tuple) and len(said) == 2 else ((), ())
    return set(missing), list(surplus)


def _untouched(module: Any, given: Mapping[str, Any], names: Collection[str]) -> set[str]:
    """Which of a module's tensors keep their numbers when it loads: other numbers are written there, and it loads once
    more. What a module says of itself is not asked: hooks change that."""
    import torch

    own = _own(module)
    changed = {name: (own[name] == 0).to(own[name].dtype) for name in names}         # no number stays as it was
    with torch.no_grad():
        for name in names:
            own[name].copy_(changed[name])
    before = _own(module)                   # a state dict may be of copies, which nothing can be written to
    unknown = {name for name in names if not _equal(before[name], changed[name])}
    _loaded(module, given)
    own = _own(module)
    return unknown | {name for name in names if _equal(own[name], changed[name])}


def _copy(others: Mapping[str, Any], beside: Mapping[str, Any]) -> None:
    """Write what stands beside the state dict. Raises FormatError for another shape."""
    for name, tensor in others.items():
        if beside[name].shape != tensor.shape:
            raise FormatError(f"{name!r} has the shape {list(tensor.shape)} in the file and "
                              f"{list(beside[name].shape)} in the module")
        try:
            beside[name].copy_(tensor)
        except RuntimeError as error:       # of memory that several elements share, or of inference mode
            raise UnsupportedError(f"{name!r} of the module cannot be written to: {error}; {_OWN_CODE}") from error


def _check_loaded(given: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Raise FormatError where the module does not hold what it was given: of two that are tied and differ, the second
    has replaced the first."""
    for name, tensor in given.items():
        if name in known and not _equal(known[name].cpu(), tensor.to(known[name].dtype)):
            raise FormatError(f"{name!r} is the same memory in the module as another tensor, for which the file has "
                              "other numbers, or the module's own loading changes it")


def _equal(one: Any, other: Any) -> bool:
    return bool(one.shape == other.shape and ((one == other) | ((one != one) & (other != other))).all())


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
