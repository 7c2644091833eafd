"""Checking what a caller hands to `predict`: names, dtypes, shapes, lengths; lists of sequences are padded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from ..arguments import choice
from ..arrays import plain_array
from ..errors import ArgumentError, ArgumentTypeError
from ..graph import Value
from ..plan.axes import Axes
from ..plan.bounds import Bounds
from ..text_inputs import TextInputs
from ..types import NanMode

_KINDS = {"f": "fiub", "i": "iu", "u": "iu", "b": "b"}      # dtype kinds accepted for each kind of input
_MOST = 2**31 - 1                                           # what the core counts rows and steps with


@dataclass
class Checked:
    """Inputs ready to run: arrays by name, the batch, lengths by time symbol, the sizes that symbols took."""

    arrays: dict[str, np.ndarray]
    batch: int
    lengths: dict[object, np.ndarray]
    sizes: dict[str, int]
    listed: bool             # sequences came as a list, so sequence outputs go out as one


def check_inputs(inputs: tuple[Value, ...], axes: Axes, x: Any, lengths: Any) -> Checked:
    """Check `x` (an array, a list of sequences, or a dict of them by input name) against the inputs of a model.

    Each is cast to the dtype that the model declares for it. Raises ArgumentTypeError for a wrong dtype or container,
    ArgumentError for a wrong rank, size or name; messages name the input, what was expected and what came.
    """
    arrays: dict[str, np.ndarray] = {}
    found: dict[object, np.ndarray] = {}
    listed = False
    for value, given in _by_name(inputs, x):
        if lengths is None and _is_list_of_sequences(value, axes, given):
            arrays[value.name], own = _pad(value, axes, given)
            listed = True
            _agree(found, axes.time(value.name), own, value.name)
        elif lengths is not None and isinstance(given, list) and any(isinstance(item, np.ndarray) for item in given):
            raise ArgumentError("lengths cannot be given with a list of sequences: the sequences have their own")
        else:
            arrays[value.name] = _own(value, plain_array(given, f"input {value.name!r}"))
    sizes = _bind(inputs, arrays)
    batch = next((arrays[value.name].shape[axis] for value in inputs
                  if (axis := axes.batch_axis(value.name)) is not None), 1)
    if lengths is not None:
        for symbol, own in _given_lengths(inputs, axes, lengths).items():
            found[symbol] = _check_lengths(own, batch, arrays, inputs, axes, symbol)
    for value in inputs:
        array = arrays[value.name]
        if not value.dtype.startswith("float") and array.dtype != value.dtype:
            array = _without_padding(value, axes, array, found)      # a number there need not fit
        arrays[value.name] = converted(value, array, f"input {value.name!r}")
    return Checked(arrays, batch, found, sizes, listed)


class InputCheck:
    """`check_inputs` for one model. It remembers the shapes that it found right: for arrays of those shapes, in the
    dtypes declared, there is nothing left to look at. A model of small layers is called thousands of times a second."""

    def __init__(self, inputs: tuple[Value, ...], axes: Axes, bounds: Bounds | None) -> None:
        self._inputs, self._axes = inputs, axes
        self.texts = TextInputs.of(inputs, bounds)
        self._names = [value.name for value in inputs]
        self._dtypes = [np.dtype(value.dtype) for value in inputs]
        self._known: dict[tuple[tuple[int, ...], ...], tuple[int, dict[str, int]]] = {}

    def __call__(self, x: Any, lengths: Any) -> Checked:
        if self.texts is not None:
            x = self.texts(x, lengths)
        arrays = self._plain(x) if lengths is None else None
        if arrays is None:
            return check_inputs(self._inputs, self._axes, x, lengths)
        shapes = tuple([array.shape for array in arrays])
        known = self._known.get(shapes)         # once: another thread may clear them
        if known is None:
            checked = check_inputs(self._inputs, self._axes, x, None)
            if len(self._known) >= 64:
                self._known.clear()
            self._known[shapes] = checked.batch, dict(checked.sizes)
            return checked
        batch, sizes = known
        own = {name: array if array.dtype.kind == "f" else array.copy() for name, array in zip(self._names, arrays)}
        return Checked(own, batch, {}, dict(sizes), False)

    def _plain(self, x: Any) -> list[np.ndarray] | None:
        """The arrays by input, if each is one that needs no conversion."""
        if type(x) is np.ndarray:
            arrays: list[Any] = [x]
        elif type(x) is dict and len(x) == len(self._names):
            arrays = [x.get(name) for name in self._names]
        else:
            return None
        if len(arrays) != len(self._dtypes):
            return None
        for array, dtype in zip(arrays, self._dtypes):
            if type(array) is not np.ndarray or array.dtype != dtype or not array.flags.c_contiguous \
                    or not array.flags.aligned:
                return None
        return arrays


def _by_name(inputs: tuple[Value, ...], x: Any) -> list[tuple[Value, Any]]:
    names = [value.name for value in inputs]
    if isinstance(x, Mapping):
        if set(x) != set(names):
            raise ArgumentError(f"inputs must be named {', '.join(names)}; got {', '.join(map(str, x)) or 'none'}")
        return [(value, x[value.name]) for value in inputs]
    if len(inputs) == 1:
        return [(inputs[0], x)]
    if isinstance(x, tuple) and len(x) == len(inputs):
        return list(zip(inputs, x, strict=True))
    raise ArgumentTypeError(f"the model has {len(inputs)} inputs: give a dict by name ({', '.join(names)}) or a tuple "
                            "in this order")


# ---- lists of sequences -------------------------------------------------------------------------------------

def _is_list_of_sequences(value: Value, axes: Axes, given: Any) -> bool:
    """A list (not an array) of arrays or lists of any lengths, for an input with a batch and a time of any size."""
    if not isinstance(given, list) or not all(isinstance(item, (np.ndarray, list, tuple)) for item in given):
        return False
    return isinstance(axes.time(value.name), str) and axes.batch_axis(value.name) is not None


def _pad(value: Value, axes: Axes, given: list[Any]) -> tuple[np.ndarray, np.ndarray]:
    """The sequences in one array of the input's layout, zeros behind them, and their lengths."""
    order = [axis for axis in range(len(value.shape)) if axis != axes.batch_axis(value.name)]
    time = order.index(axes.time_axis(value.name))          # type: ignore[arg-type]
    expected = tuple(value.shape[axis] for axis in order)
    items = []
    for number, item in enumerate(given):
        what = f"sequence {number} of input {value.name!r}"
        array = plain_array(item, what)
        if array.shape == (0,) and not isinstance(item, np.ndarray):          # an empty list has no features to show
            array = np.zeros([0 if isinstance(dim, str) else dim for dim in expected], value.dtype)
        fits = array.ndim == len(expected) and all(isinstance(dim, str) or dim == size
                                                   for dim, size in zip(expected, array.shape, strict=True))
        if not fits:
            raise ArgumentError(f"{what}: expected shape {_shape_text(expected)}, got {_shape_text(array.shape)}")
        items.append(np.moveaxis(converted(value, array, what), time, 0))
    lengths = np.array([len(item) for item in items], np.int32)
    tail = [dim for axis, dim in enumerate(expected) if axis != time]
    sizes = items[0].shape[1:] if items else [0 if isinstance(dim, str) else dim for dim in tail]
    padded = np.zeros((len(items), int(lengths.max(initial=0)), *sizes), value.dtype)
    for row, item in enumerate(items):
        if item.shape[1:] != padded.shape[2:]:
            raise ArgumentError(f"sequence {row} of input {value.name!r}: expected {list(padded.shape[2:])} features, "
                                f"as the first sequence has, got {list(item.shape[1:])}")
        padded[row, :len(item)] = item
    places = axes.batch_axis(value.name), axes.time_axis(value.name)
    return np.moveaxis(padded, (0, 1), places), lengths     # type: ignore[arg-type]


def _agree(found: dict[object, np.ndarray], symbol: object, lengths: np.ndarray, name: str) -> None:
    if symbol in found and not np.array_equal(found[symbol], lengths):
        raise ArgumentError(f"input {name!r}: its sequences have other lengths than those of the input before it")
    found[symbol] = lengths


def _own(value: Value, array: np.ndarray) -> np.ndarray:
    """Whole numbers and masks say where to read and how far. Their caller may change them while they are read: what is
    checked must be what is used, so they are copied first. A float that changes is another float, and does no harm."""
    return array if value.dtype.startswith("float") else array.copy()


# ---- dtypes and shapes --------------------------------------------------------------------------------------

def converted(value: Value, array: np.ndarray, what: str) -> np.ndarray:
    """The array in the dtype that the model declares, C-contiguous and aligned."""
    target = np.dtype(value.dtype)
    if array.dtype.kind not in _KINDS[target.kind]:
        if not array.size:                    # an empty list says nothing of a dtype
            return np.zeros(array.shape, target)
        wanted = "whole numbers (token ids)" if target.kind in "iu" else "numbers"
        raise ArgumentTypeError(f"{what}: expected {wanted} of a kind that {target} holds, got dtype {array.dtype}")
    if target.kind in "iu" and array.size and array.dtype != target:
        limits = np.iinfo(target)
        low, high = int(array.min()), int(array.max())
        if low < limits.min or high > limits.max:
            raise ArgumentError(f"{what}: {low if low < limits.min else high} does not fit {target}")
    with np.errstate(over="ignore"):          # a number beyond float32 becomes inf, as IEEE has it
        return np.require(array, target, ["C", "A"])


def _without_padding(value: Value, axes: Axes, array: np.ndarray, lengths: Mapping[object, np.ndarray]) -> np.ndarray:
    """Zeros past the end of each sequence, where anything may stand."""
    own = lengths.get(axes.time(value.name))
    if own is None:
        return array
    clean: np.ndarray = array.copy()
    rows = axes.batch_and_time_first(value.name, clean)
    rows[np.arange(rows.shape[1]) >= own[:, None]] = 0
    return clean


def _bind(inputs: tuple[Value, ...], arrays: dict[str, np.ndarray]) -> dict[str, int]:
    """Check every shape and return what each symbol stands for."""
    sizes: dict[str, int] = {}
    for value in inputs:
        shape = arrays[value.name].shape
        fits = len(shape) == len(value.shape)
        for dim, size in zip(value.shape, shape, strict=True) if fits else ():
            fits = fits and (sizes.setdefault(dim, size) if isinstance(dim, str) else dim) == size
        if not fits:
            known = tuple(sizes.get(dim, dim) if isinstance(dim, str) and value is not inputs[0] else dim
                          for dim in value.shape)
            raise ArgumentError(f"input {value.name!r}: expected shape {_shape_text(known)}, got {_shape_text(shape)}")
        if max(shape, default=0) > _MOST:
            raise ArgumentError(f"input {value.name!r}: no size may be above {_MOST}, got {_shape_text(shape)}")
    return sizes


def _shape_text(shape: Sequence[object]) -> str:
    return f"[{', '.join(map(str, shape))}]"


# ---- lengths and missing values -----------------------------------------------------------------------------

def _given_lengths(inputs: tuple[Value, ...], axes: Axes, lengths: Any) -> dict[object, Any]:
    """Lengths by time symbol: a plain list where there is one time axis, else a dict by input name."""
    for value in inputs:
        if other := axes.rows_unknown(value.name):
            raise ArgumentError(f"lengths: nothing says whether {other!r} of input {value.name!r} "
                                f"{_shape_text(value.shape)} are the rows; both need one name among the model's inputs")
    times = {value.name: axes.time(value.name) for value in inputs
             if axes.time_axis(value.name) is not None and axes.batch_axis(value.name) is not None}
    if isinstance(lengths, Mapping):
        unknown = [name for name in lengths if name not in times]
        if unknown:
            raise ArgumentError(f"lengths: {unknown[0]!r} is no input with a time axis; there are {', '.join(times)}")
        found: dict[object, Any] = {}
        for name, own in lengths.items():
            _agree(found, times[name], own, name)
        return found
    symbols = set(times.values())
    if len(symbols) != 1:
        raise ArgumentError(f"lengths: the model has {len(symbols)} time axes; give a dict by input name"
                            if symbols else "lengths: no input of the model has a time axis")
    for value in inputs:
        if other := axes.unsettled(value.name):
            raise ArgumentError(f"lengths: nothing says whether {other!r} of input {value.name!r} "
                                f"{_shape_text(value.shape)} is the time axis as well; if it is not, say whose lengths "
                                f"they are: lengths={{{next(iter(times))!r}: ...}}; if it is, both need one name among "
                                "the model's inputs")
    return {symbols.pop(): lengths}


def _check_lengths(lengths: Any, batch: int, arrays: dict[str, np.ndarray], inputs: tuple[Value, ...], axes: Axes,
                   symbol: object) -> np.ndarray:
    array = plain_array(lengths, "lengths").copy()         # what is checked is what is used; see `_own`
    if array.dtype.kind not in "iu":
        if array.size:
            raise ArgumentTypeError(f"lengths: expected whole numbers, got dtype {array.dtype}")
        array = np.zeros(array.shape, np.int32)
    if array.shape != (batch,):
        raise ArgumentError(f"lengths: expected {batch} of them, one for each row, "
                            f"got shape {_shape_text(array.shape)}")
    steps = next(arrays[value.name].shape[axis] for value in inputs
                 if axes.time(value.name) == symbol and (axis := axes.time_axis(value.name)) is not None)
    bad = (array < 0) | (array > steps)
    if bad.any():
        row = int(bad.argmax())
        raise ArgumentError(f"lengths[{row}] is {array[row]}; expected 0 to {steps}, the steps of the array")
    return np.ascontiguousarray(array, np.int32)


NAN_MODES: tuple[NanMode, ...] = get_args(NanMode)


def find_missing(inputs: tuple[Value, ...], axes: Axes, checked: Checked, nan: Any) -> dict[object, np.ndarray]:
    """What `nan` asks for: {} to propagate, or bool [batch, time] by time symbol, False where a step has a NaN.

    Raises ArgumentError for an unknown mode, and for a NaN under "error" (naming its place). What stands past the end
    of a sequence does not count.
    """
    nan = choice(nan, "nan", NAN_MODES)
    present: dict[object, np.ndarray] = {}
    for value in inputs if nan != "propagate" else ():
        array = checked.arrays[value.name]
        if array.dtype.kind != "f":
            continue
        bad = _without_padding(value, axes, np.isnan(array), checked.lengths)
        if nan == "error" and bad.any():
            where = tuple(int(i) for i in np.argwhere(bad)[0])
            raise ArgumentError(f"input {value.name!r}: NaN at {list(where)}")
        symbol = axes.time(value.name)
        if nan == "mask" and symbol is not None and axes.batch_axis(value.name) is not None:
            steps = axes.batch_and_time_first(value.name, bad)
            here = np.asarray(~steps.any(axis=tuple(range(2, steps.ndim))))
            present[symbol] = present[symbol] & here if symbol in present else here
        elif nan == "mask" and bad.any():
            raise ArgumentError(f"input {value.name!r}: NaN in an input that has no time axis cannot be masked")
    return {symbol: here for symbol, here in present.items() if not here.all()}
