"""What REDUCE, NEWOBJ and BUILD mean in a torch file: a fixed table from symbols to plain data.

A symbol that is not in the table cannot be applied: `posix.system` in a file is a refused name, not a function.
Source of the arguments: torch/_utils.py, torch/_tensor.py, torch/jit/_pickle.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ....errors import FormatError, UnsupportedError
from .company import INERT, is_record
from .quantised import BEFORE
from .symbols import DTYPES, Instance, Opaque, Quantised, Storage, Symbol, Tensor, view

MAX_SIZES = 64                 # of a shape that is looked at; torch has no tensors of more axes


def rebuild(target: Any, arguments: Any) -> Any:
    """What calling `target` with `arguments` stands for. Raises FormatError if that is not in the table."""
    if not isinstance(target, Symbol) or not isinstance(arguments, tuple):
        raise FormatError(f"a {type(target).__name__} applied to a {type(arguments).__name__}")
    name = str(target)
    if name in _REBUILD:
        return _REBUILD[name](arguments)
    if name in INERT:
        return Opaque(target)
    if is_record(target):
        return _record(target, arguments)
    if name in _OTHER_TENSORS:
        raise UnsupportedError(f"{name!r}: {_OTHER_TENSORS[name]}")
    raise FormatError(f"calls {name[:120]!r}, which is not among what a checkpoint may rebuild")


def _record(target: Symbol, arguments: tuple[Any, ...]) -> Instance:
    """A call that is kept as what it says. Of what copyreg makes, the class is that of the object."""
    if target.name == "_reconstructor" and len(arguments) == 3 and isinstance(arguments[0], Symbol):
        return Instance(arguments[0], arguments[2:])
    if target.name == "deque" and arguments and isinstance(arguments[0], list):
        return Instance(target, arguments[1:], elements=arguments[0], called=True)
    return Instance(target, arguments, called=True)


def new_object(target: Any, arguments: Any) -> Instance:
    """An object of a class, as data."""
    if not isinstance(target, Symbol) or not isinstance(arguments, tuple):
        raise FormatError(f"an object of a {type(target).__name__} made from a {type(arguments).__name__}")
    return Instance(target, arguments)


def build(target: Any, state: Any) -> Any:
    """`target` with its state. The attributes of an OrderedDict (torch keeps versions there) are not needed."""
    if isinstance(target, Instance):
        if target.state is not None:
            raise FormatError(f"sets the state of one {str(target.symbol)!r:.100} twice")
        target.state = state
    elif not isinstance(target, (dict, Opaque)):
        raise FormatError(f"sets the state of a {type(target).__name__}")
    return target


def storage_type(symbol: Any) -> tuple[str, int]:
    """The dtype and item size of a storage class. Raises UnsupportedError if items of it are no plain numbers."""
    if not isinstance(symbol, Symbol):
        raise FormatError(f"a storage of the type {type(symbol).__name__}")
    if symbol.module not in ("torch", "torch.cuda", "torch.storage") or symbol.name not in DTYPES:
        quantized = f"; it holds quantized numbers: {BEFORE}" if symbol.name.startswith(("QInt", "QUInt")) else ""
        raise UnsupportedError(f"a storage of the type {str(symbol)[:120]!r} is not supported{quantized}")
    return DTYPES[symbol.name]


def _expect(arguments: tuple[Any, ...], least: int, function: str) -> None:
    if len(arguments) < least:
        raise FormatError(f"{function} needs {least} arguments, got {len(arguments)}")


def sizes(value: Any, what: str) -> tuple[int, ...]:
    items = value if isinstance(value, (tuple, list)) else None
    if items is not None and len(items) > MAX_SIZES:         # one list in the memo can be that of all tensors
        raise FormatError(f"{what} of a tensor must be at most {MAX_SIZES} numbers, got {len(items)}")
    if items is None or not all(type(item) is int and 0 <= item < 2**48 for item in items):
        raise FormatError(f"{what} of a tensor must be numbers from 0 to 2^48")
    return tuple(items)


def _tensor(arguments: tuple[Any, ...]) -> Tensor:
    """_rebuild_tensor(storage, offset, size, stride) and _v2(..., requires_grad, hooks, metadata)."""
    _expect(arguments, 4, "_rebuild_tensor")
    storage = arguments[0]
    if not isinstance(storage, Storage):
        raise FormatError(f"a tensor over a {type(storage).__name__} instead of a storage")
    if len(arguments) > 6:
        _check_metadata(arguments[6])
    return _view(storage, storage.dtype, storage.itemsize, arguments)


def _tensor_v3(arguments: tuple[Any, ...]) -> Tensor:
    """_rebuild_tensor_v3(untyped storage, offset, size, stride, requires_grad, hooks, dtype, metadata)."""
    _expect(arguments, 7, "_rebuild_tensor_v3")
    storage, dtype = arguments[0], arguments[6]
    if not isinstance(storage, Storage):
        raise FormatError(f"a tensor over a {type(storage).__name__} instead of a storage")
    if not isinstance(dtype, Symbol) or dtype.module != "torch" or dtype.name not in DTYPES:
        raise UnsupportedError(f"a tensor of dtype {str(dtype)[:60] if isinstance(dtype, Symbol) else '?'}")
    if len(arguments) > 7:
        _check_metadata(arguments[7])
    return _view(storage, *DTYPES[dtype.name], arguments)


def _view(storage: Storage, dtype: str, itemsize: int, arguments: tuple[Any, ...]) -> Tensor:
    (offset,) = sizes((arguments[1],), "the offset")
    return view(storage, dtype, itemsize, offset, sizes(arguments[2], "the sizes"),
                sizes(arguments[3], "the strides"))


def _quantised(arguments: tuple[Any, ...]) -> Quantised:
    """_rebuild_qtensor(storage, offset, size, stride, parameters, requires_grad, hooks): parameters are a scheme, then
    the scale and the zero, or tensors of them and the axis that they are of."""
    _expect(arguments, 5, "_rebuild_qtensor")
    whole, said = _tensor(arguments[:4]), arguments[4]
    scheme = str(said[0]) if isinstance(said, tuple) and said else "?"
    match scheme, said:
        case "torch.per_tensor_affine", (_, float(scale), int(zero)):
            if not 0 < scale < float("inf") or not -2**31 <= zero < 2**31:
                raise FormatError(f"a quantized tensor of the scale {scale!r} and the zero {zero!r:.40}")
            return Quantised(whole, scale, zero)
        case "torch.per_channel_affine" | "torch.per_channel_affine_float_qparams", (
                _, Tensor() as scales, Tensor() as zeros, int(axis)):
            if not 0 <= axis < len(whole.shape) or not scales.shape == zeros.shape == (whole.shape[axis],):
                raise FormatError(f"a quantized tensor of shape {list(whole.shape)} with scales {list(scales.shape)} "
                                  f"and zeros {list(zeros.shape)} of its axis {axis}")
            return Quantised(whole, scales, zeros, axis)
    raise UnsupportedError(f"a tensor quantized as {scheme!r:.100} is not supported; {BEFORE}")


def _check_metadata(metadata: Any) -> None:
    """Refuse the conjugate and negative bits: such a tensor's numbers are not the ones stored."""
    if metadata is not None and (not isinstance(metadata, dict) or len(metadata) > 2 or any(metadata.values())):
        raise UnsupportedError("a tensor with conjugate or negative bits is not supported")


def _parameter(arguments: tuple[Any, ...]) -> Tensor:
    """_rebuild_parameter(data, requires_grad, hooks[, state]) and the wrappers of one tensor."""
    _expect(arguments, 1, "_rebuild_parameter")
    if not isinstance(arguments[0], Tensor):
        raise FormatError(f"a parameter around a {type(arguments[0]).__name__} instead of a tensor")
    return arguments[0]


def _from_type(arguments: tuple[Any, ...]) -> Tensor:
    """_rebuild_from_type_v2(function, type, arguments, state): a tensor with attributes of its own."""
    _expect(arguments, 4, "_rebuild_from_type_v2")
    function, kind, inner, _ = arguments[:4]
    if not isinstance(function, Symbol) or str(function) not in _TENSORS or not isinstance(inner, tuple):
        raise FormatError("_rebuild_from_type_v2 of something that rebuilds no tensor")
    made = _TENSORS[str(function)](inner)
    if isinstance(kind, Symbol) and kind.module.partition(".")[0] == "torch":
        return made
    return replace(made, kind=str(kind) if isinstance(kind, Symbol) else type(kind).__name__)


def _dict(arguments: tuple[Any, ...]) -> dict[Any, Any]:
    """OrderedDict(), OrderedDict([[key, value], ...]) as Python 2 wrote it, defaultdict(factory), Counter({})."""
    made: dict[Any, Any] = {}
    if arguments and isinstance(arguments[0], dict):
        made.update(arguments[0])
    elif arguments and isinstance(arguments[0], list):
        for pair in arguments[0]:
            if not isinstance(pair, (list, tuple)) or len(pair) != 2 or not isinstance(pair[0], (str, int)):
                raise FormatError("an OrderedDict of something else than pairs of a name and a value")
            if pair[0] in made:
                raise FormatError(f"the key {pair[0]!r:.100} stands twice in an OrderedDict")
            made[pair[0]] = pair[1]
    return made


def _first(arguments: tuple[Any, ...]) -> Any:
    """torch.Size(tuple), set(list), restore_type_tag(value, type): the value itself."""
    _expect(arguments, 1, "a container")
    return arguments[0]


_PLAIN = "save plain tensors: torch.save({name: value.%s for name, value in model.state_dict().items()}, 'm.pt')"
_OTHER_TENSORS = {f"torch._utils.{function}": said for function, said in {
    "_rebuild_sparse_tensor": "a sparse tensor; " + _PLAIN % "to_dense()",
    "_rebuild_meta_tensor_no_storage": "a tensor on torch's device meta, which has no numbers; save the model that has "
                                       "them",
    "_rebuild_nested_tensor": "a nested tensor, which has no shape; " + _PLAIN % "to_padded_tensor(0.0)",
    "_rebuild_wrapper_subclass": "a tensor of a class of its own, which may compute something else of its numbers; "
                                 "save what it stands for (its dequantize(), full_tensor() or the like)",
}.items()}

_TENSORS: dict[str, Callable[[tuple[Any, ...]], Tensor]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": _parameter,
}

_REBUILD: dict[str, Callable[[tuple[Any, ...]], Any]] = _TENSORS | {
    "torch._tensor._rebuild_from_type_v2": _from_type,
    "torch._utils._rebuild_qtensor": _quantised,
    "collections.OrderedDict": _dict,
    "collections.defaultdict": _dict,
    "collections.Counter": _dict,
} | dict.fromkeys((
    "torch.Size", "builtins.set", "builtins.frozenset", "builtins.list", "builtins.tuple", "__builtin__.set",
    "__builtin__.frozenset", "__builtin__.list", "torch.jit._pickle.build_intlist",
    "torch.jit._pickle.build_doublelist", "torch.jit._pickle.build_boollist", "torch.jit._pickle.build_tensorlist",
    "torch.jit._pickle.restore_type_tag"), _first)
