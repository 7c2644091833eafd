"""Checking what a caller hands to `predict`: names, dtypes, shapes, lengths; lists of sequences become padded arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import ArgumentError, ArgumentTypeError
from .graph import Value

_KINDS = {"f": "fiub", "i": "iu", "u": "iu", "b": "b"}      # dtype kinds accepted for each kind of input
_FLOATS = ("float32", "float64")


@dataclass
class Checked:
    """Inputs ready to run: arrays by name, the batch, lengths by time symbol, the sizes that symbols took."""

    arrays: dict[str, np.ndarray]
    batch: int
    lengths: dict[object, np.ndarray]
    sizes: dict[str, int]
    listed: bool             # sequences came as a list, so sequence outputs go out as one


def check_inputs(inputs: tuple[Value, ...], x: Any, lengths: Any, dtype: str) -> Checked:
    """Check `x` (an array, a list of sequences, or a dict of them by input name) against the inputs of a model.

    Floating-point inputs are cast to `dtype`, the model's. Raises ArgumentTypeError for a wrong dtype or container,
    ArgumentError for a wrong rank, size or name; messages name the input, what was expected and what came.
    """
    arrays: dict[str, np.ndarray] = {}
    found: dict[object, np.ndarray] = {}
    listed = False
    for value, given in _by_name(inputs, x):
        if _is_list_of_sequences(value, given):
            array, own = _pad(value, given, dtype)
            listed = True
            if lengths is not None:
                raise ArgumentError("lengths cannot be given with a list of sequences: the sequences have their own")
            _agree(found, value.shape[1], own, value.name)
        else:
            array = _as_array(value, given)
        arrays[value.name] = _convert(value, array, dtype)
    sizes = _bind(inputs, arrays)
    batch = next((sizes[dim] if isinstance(dim, str) else dim for value in inputs for dim in value.shape[:1]), 1)
    if lengths is not None:
        for symbol, own in _given_lengths(inputs, lengths).items():
            found[symbol] = _check_lengths(own, batch, arrays, inputs, symbol)
    return Checked(arrays, batch, found, sizes, listed)


def _by_name(inputs: tuple[Value, ...], x: Any) -> list[tuple[Value, Any]]:
    names = [value.name for value in inputs]
    if isinstance(x, Mapping):
        if set(x) != set(names):
            raise ArgumentError(f"inputs must be named {', '.join(names)}; got {', '.join(map(str, x)) or 'none'}")
        return [(value, x[value.name]) for value in inputs]
    if len(inputs) == 1:
        return [(inputs[0], x)]
    if isinstance(x, tuple) and len(x) == len(inputs):
        return list(zip(inputs, x))
    raise ArgumentTypeError(f"the model has {len(inputs)} inputs: give a dict by name ({', '.join(names)}) or a tuple in "
                            "this order")


def _is_list_of_sequences(value: Value, given: Any) -> bool:
    """A list (not an array) whose items are arrays or lists, for an input with a time axis of any size."""
    if not isinstance(given, list) or len(value.shape) < 2 or not isinstance(value.shape[1], str):
        return False
    rank = len(value.shape) - 1
    return any(isinstance(item, np.ndarray) for item in given) or (
        bool(given) and all(isinstance(item, (list, tuple)) for item in given)
        and (len({len(item) for item in given}) > 1 or (rank == 1 and not given[0])))


def _pad(value: Value, given: list, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    rank = len(value.shape) - 1
    items = []
    for number, item in enumerate(given):
        array = _as_array(value, item, f"sequence {number} of input {value.name!r}")
        if array.ndim != rank and not (array.size == 0 and rank == 1):
            raise ArgumentError(f"sequence {number} of input {value.name!r}: expected {rank} dimensions "
                                f"({_shape_text(value.shape[1:])}), got shape {array.shape}")
        if rank == 2 and isinstance(value.shape[2], int) and array.shape[1] != value.shape[2]:
            raise ArgumentError(f"sequence {number} of input {value.name!r}: expected {value.shape[2]} features, "
                                f"got {array.shape[1]}")
        items.append(array)
    lengths = np.array([len(item) for item in items], np.int32)
    longest = int(lengths.max(initial=0))
    tail = items[0].shape[1:] if items else ()
    target = dtype if value.dtype in _FLOATS else value.dtype
    padded = np.zeros((len(items), longest, *tail), target)
    for row, item in enumerate(items):
        padded[row, :len(item)] = _convert(value, item, dtype)
    return padded, lengths


def _as_array(value: Value, given: Any, what: str | None = None) -> np.ndarray:
    what = what or f"input {value.name!r}"
    try:
        array = np.asarray(given)
    except ValueError as error:
        raise ArgumentError(f"{what}: not a rectangular array ({error})") from error
    if array.dtype.kind == "O":
        raise ArgumentTypeError(f"{what}: expected numbers, got an array of Python objects")
    return array


def _convert(value: Value, array: np.ndarray, dtype: str) -> np.ndarray:
    target = np.dtype(dtype if value.dtype in _FLOATS else value.dtype)
    if array.size and array.dtype.kind not in _KINDS[target.kind]:
        wanted = "whole numbers (token ids)" if target.kind in "iu" else "numbers"
        raise ArgumentTypeError(f"input {value.name!r}: expected {wanted} of a kind that {target} holds, "
                                f"got dtype {array.dtype}")
    if target.kind in "iu" and array.size and array.dtype != target:
        limits = np.iinfo(target)
        low, high = int(array.min()), int(array.max())
        if low < limits.min or high > limits.max:
            raise ArgumentError(f"input {value.name!r}: {low if low < limits.min else high} does not fit {target}")
    return array.astype(target, order="C", copy=False)


def _bind(inputs: tuple[Value, ...], arrays: dict[str, np.ndarray]) -> dict[str, int]:
    """Check every shape and return what each symbol stands for."""
    sizes: dict[str, int] = {}
    for value in inputs:
        shape = arrays[value.name].shape
        fits = len(shape) == len(value.shape)
        for dim, size in zip(value.shape, shape) if fits else ():
            fits = fits and (sizes.setdefault(dim, size) if isinstance(dim, str) else dim) == size
        if not fits:
            known = tuple(sizes.get(dim, dim) if isinstance(dim, str) and value is not inputs[0] else dim
                          for dim in value.shape)
            raise ArgumentError(f"input {value.name!r}: expected shape {_shape_text(known)}, got {_shape_text(shape)}")
    return sizes


def _shape_text(shape: Sequence[object]) -> str:
    return f"[{', '.join(map(str, shape))}]"


def _agree(found: dict[object, np.ndarray], symbol: object, lengths: np.ndarray, name: str) -> None:
    if symbol in found and not np.array_equal(found[symbol], lengths):
        raise ArgumentError(f"input {name!r}: its sequences have other lengths than those of the input before it")
    found[symbol] = lengths


def _given_lengths(inputs: tuple[Value, ...], lengths: Any) -> dict[object, Any]:
    """Lengths by time symbol: a plain list where there is one time axis, else a dict by input name."""
    times = {value.name: value.shape[1] for value in inputs if len(value.shape) >= 2 and (
        len(value.shape) > 2 or value.dtype not in _FLOATS)}
    if isinstance(lengths, Mapping):
        unknown = [name for name in lengths if name not in times]
        if unknown:
            raise ArgumentError(f"lengths: {unknown[0]!r} is no input with a time axis; there are {', '.join(times)}")
        return {times[name]: own for name, own in lengths.items()}
    axes = set(times.values())
    if len(axes) != 1:
        raise ArgumentError(f"lengths: the model has {len(axes)} time axes; give a dict by input name"
                            if axes else "lengths: no input of the model has a time axis")
    return {axes.pop(): lengths}


def _check_lengths(lengths: Any, batch: int, arrays: dict[str, np.ndarray], inputs: tuple[Value, ...],
                   symbol: object) -> np.ndarray:
    array = np.asarray(lengths)
    if array.dtype.kind not in "iu" and array.size:
        raise ArgumentTypeError(f"lengths: expected whole numbers, got dtype {array.dtype}")
    if array.shape != (batch,):
        raise ArgumentError(f"lengths: expected {batch} of them, one for each row, got shape {_shape_text(array.shape)}")
    steps = next(arrays[value.name].shape[1] for value in inputs if len(value.shape) > 1 and value.shape[1] == symbol)
    bad = (array < 0) | (array > steps)
    if bad.any():
        row = int(bad.argmax())
        raise ArgumentError(f"lengths[{row}] is {array[row]}; expected 0 to {steps}, the steps of the array")
    return np.ascontiguousarray(array, np.int32)


NAN_MODES = ("propagate", "error", "mask")


def find_missing(inputs: tuple[Value, ...], checked: Checked, nan: str) -> dict[object, np.ndarray]:
    """What `nan` asks for: {} to propagate, or bool [batch, time] by time symbol, False where a step has a NaN.

    Raises ArgumentError for an unknown mode, and for a NaN under "error" (naming its place).
    """
    if nan not in NAN_MODES:
        raise ArgumentError(f"nan is one of {', '.join(NAN_MODES)}, not {nan!r}")
    present: dict[object, np.ndarray] = {}
    for value in inputs if nan != "propagate" else ():
        array = checked.arrays[value.name]
        if array.dtype.kind != "f":
            continue
        bad = np.isnan(array)
        if nan == "error" and bad.any():
            where = tuple(int(i) for i in np.argwhere(bad)[0])
            raise ArgumentError(f"input {value.name!r}: NaN at {list(where)}")
        if nan == "mask" and array.ndim == 3:
            here = ~bad.any(axis=2)
            present[value.shape[1]] = present[value.shape[1]] & here if value.shape[1] in present else here
    return {symbol: here for symbol, here in present.items() if not here.all()}
