"""Sequences of unequal lengths in one array, padded and cut to a length: what models without a mask were trained on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args

import numpy as np

from .arguments import listed, shown, whole_number
from .arrays import plain_array
from .entry import entry
from .errors import ArgumentError, ArgumentTypeError
from .types import Array, Side

SIDES = get_args(Side)
_KERAS_SIDES = {"pre": "left", "post": "right"}


@entry
def pad_sequences(sequences: Iterable[Any], length: int | None = None, *, side: Side = "left", truncate: Side = "left",
                  value: float = 0, dtype: Any = None) -> Array:
    """Sequences in one array [batch, length, ...], as `keras.utils.pad_sequences` makes it.

    For a model that was trained on padded input and has no mask: padding is then part of what it learnt, and `predict`
    of a list, which leaves padding out, is another question to it. `lstm-engine inspect` says whether there is a mask.

    sequences: of any lengths, lists or arrays, each [time] token ids or numbers, or [time, features].
    length: steps of the result (Keras' maxlen); None: those of the longest sequence.
    side: where a shorter sequence is padded, "left" (Keras' padding="pre", its default) or "right" ("post").
    truncate: where a longer one is cut, "left" (Keras' truncating="pre": its last steps stay) or "right".
    value: what the padding is filled with.
    dtype: of the result. None: int32 for whole numbers, float32 where every sequence is float32 or float16, else
        float64. (Keras' default is int32 for everything, which cuts fractions off; here a number that the dtype cannot
        hold is an error.)
    Raises ArgumentError and ArgumentTypeError (a ValueError, a TypeError) naming the sequence or the argument.
    """
    for argument, chosen in (("side", side), ("truncate", truncate)):
        if not isinstance(chosen, str) or chosen not in SIDES:
            keras = f" (Keras' {chosen!r} is {_KERAS_SIDES[chosen]!r})" if shown(chosen) in ("'pre'", "'post'") else ""
            raise ArgumentError(f"pad_sequences: {argument} is one of {', '.join(SIDES)}, not {shown(chosen)}{keras}")
    items = _items(sequences)
    steps = max(map(len, items), default=0) if length is None else _length(length)
    tail = _features(items)
    target = _common_dtype(items) if dtype is None else _dtype(dtype)
    padded = np.empty((len(items), steps, *tail), target)
    padded[...] = _cast(plain_array(value, "pad_sequences: value"), target, "pad_sequences: value", ndim=0)
    for number, item in enumerate(items):
        kept = item[max(0, len(item) - steps):] if truncate == "left" else item[:steps]
        if len(kept):
            place = slice(steps - len(kept), None) if side == "left" else slice(len(kept))
            padded[number, place] = _cast(kept, target, f"pad_sequences: sequence {number}", ndim=kept.ndim)
    return padded


def _items(sequences: Any) -> list[np.ndarray]:
    """The sequences as arrays, time first. A sequence without steps says nothing of dtype or features."""
    items = []
    for number, given in enumerate(listed(sequences, "pad_sequences: expected a list of sequences (or an array of "
                                                     "rows)")):
        what = f"pad_sequences: sequence {number}"
        item = plain_array(given, what)
        if item.ndim == 0:
            raise ArgumentTypeError(f"{what}: expected a list or an array of steps, got {shown(given)}")
        if item.size and item.dtype.kind not in "biuf":
            raise ArgumentTypeError(f"{what}: expected numbers, got dtype {item.dtype}")
        items.append(item)
    return items


def _length(length: Any) -> int:
    if isinstance(length, bool) or not isinstance(length, (int, np.integer)):
        raise ArgumentTypeError(f"pad_sequences: length is a whole number of steps or None, not {shown(length)}")
    if length < 0:
        raise ArgumentError(f"pad_sequences: length must be at least 0, got {shown(length)}")
    return whole_number(length, "pad_sequences: length", least=0)


def _features(items: list[np.ndarray]) -> tuple[int, ...]:
    """The sizes behind time, which all sequences share; those of an empty one count only where all are empty."""
    first = next((number for number, item in enumerate(items) if len(item)), None)
    if first is None:
        return items[0].shape[1:] if items else ()
    tail = items[first].shape[1:]
    for number, item in enumerate(items):
        if len(item) and item.shape[1:] != tail:
            raise ArgumentError(f"pad_sequences: sequence {number}: expected shape {_shape(tail)}, as sequence {first} "
                                f"has, got [{', '.join(map(str, item.shape))}]")
    return tail


def _shape(tail: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, ('time', *tail)))}]"


def _common_dtype(items: list[np.ndarray]) -> np.dtype:
    kinds = {item.dtype for item in items if len(item)}
    if all(kind.kind in "biu" for kind in kinds):
        return np.dtype(np.int32)
    return np.dtype(np.float32 if all(kind.kind == "f" and kind.itemsize <= 4 for kind in kinds) else np.float64)


def _dtype(given: Any) -> np.dtype:
    try:
        dtype: np.dtype = np.dtype(given)
    except Exception:                           # NumPy raises what it likes of what is no dtype
        raise ArgumentTypeError(f"pad_sequences: dtype {shown(given)} is none that NumPy knows") from None
    if dtype.kind not in "iuf":
        raise ArgumentTypeError(f"pad_sequences: dtype is one of integers or floating-point numbers, not {dtype}")
    return dtype


def _cast(array: np.ndarray, target: np.dtype, what: str, ndim: int) -> np.ndarray:
    """`array` in the dtype `target`; a number that an integer dtype would change is refused."""
    if array.ndim != ndim or array.dtype.kind not in "biuf":
        raise ArgumentTypeError(f"{what}: expected {'a number' if ndim == 0 else 'numbers'}, got {shown(array)}")
    with np.errstate(over="ignore", invalid="ignore"):      # beyond float32 is inf, as IEEE has it; NaN is told below
        made = array.astype(target)
    if target.kind in "iu":
        changed = (made != array) | ((made < 0) != (array < 0))
        if changed.any():
            raise ArgumentError(f"{what}: {array[changed].flat[0]} does not fit {target}; give dtype=")
    return made
