"""Weights in fewer bytes: int8 with a scale for each output channel, bfloat16, float16.

An output channel is a unit of a gate (W, R), of a projection or of a Dense layer, or a row of an Embedding's table:
what one sum of a product makes. `channel_axis` says along which axis of a weight they lie.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from ..errors import ArgumentError
from ..types import Array, QuantizedType
from .rows import BLOCK_BYTES, Rows

QUANTIZED_TYPES: tuple[QuantizedType, ...] = get_args(QuantizedType)
VALUE_DTYPES: dict[str, np.dtype] = {"int8": np.dtype(np.int8), "int8_weights": np.dtype(np.int8),
                                     "bfloat16": np.dtype(np.uint16), "float16": np.dtype(np.float16)}
MAX_PRODUCT = 65_536        # terms of a product of int8: int32 holds 255 * 127 * 65536, an offset included
LARGEST = np.float32(np.finfo(np.float32).max)
FLOAT16_MAX = 65_504.0


@dataclass(frozen=True, eq=False)
class Quantized:
    """A weight in fewer bytes, in the place of the float32 array that it stands for.

    values: of the weight's own shape; int8 in [-127, 127] (-128 too in int8_weights, which others' files have), the
        bits of bfloat16 as uint16, or float16.
    scale: float32, above 0 and finite, one for each output channel: [dirs, gates*H] of W and R, [dirs, P] of a
        projection, [units] of a kernel, [vocabulary] of a table; None for bfloat16 and float16.
    axis: along which the channels lie, -2, or -1 (a Dense kernel).
    "int8" and "int8_weights" hold the same numbers: int8 multiplies integers, the inputs of each product quantised row
    by row; int8_weights multiplies float32 by values * scale.
    """

    type: QuantizedType
    values: Array | Rows
    scale: Array | None = None
    axis: int = -2

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    @property
    def ndim(self) -> int:
        return self.values.ndim

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def size(self) -> int:
        return self.values.size

    @property
    def dtype(self) -> np.dtype:
        """Of the array that it stands for."""
        return np.dtype(np.float32)

    @property
    def nbytes(self) -> int:
        """Of the values and the scale."""
        return self.values.nbytes + (0 if self.scale is None else self.scale.nbytes)

    @property
    def scale_shape(self) -> tuple[int, ...]:
        """The shape that `scale` has: that of the values without the axis that a product sums over."""
        return self.shape[:-1] if self.axis == -2 else (*self.shape[:-2], self.shape[-1])

    def arrays(self) -> tuple[Array | Rows, ...]:
        """What it holds."""
        return (self.values,) if self.scale is None else (self.values, self.scale)

    def held(self) -> Quantized:
        """The same with its values as an array."""
        return self if not isinstance(self.values, Rows) else Quantized(self.type, self.values.whole(), self.scale,
                                                                         self.axis)

    def whole(self) -> Array:
        """The float32 array that it stands for: values * scale, rounded to float32."""
        values = self.values.whole() if isinstance(self.values, Rows) else self.values
        if self.type == "bfloat16":
            return from_bfloat16(values)
        array = values.astype(np.float32)
        if self.scale is not None:
            array *= np.expand_dims(self.scale, -1 if self.axis == -2 else -2)
        return array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("a quantised weight has no float32 numbers in memory: they are made when asked for")
        array = self.whole()
        return array if dtype is None else array.astype(dtype, copy=False)


def channel_axis(field: str) -> int:
    """Where the output channels of a node's matrix lie, by the name of its field."""
    return -1 if field == "kernel" else -2


def to_bfloat16(array: Array) -> Array:
    """The bits of float32 numbers rounded to the nearest bfloat16, ties to even, as uint16. A NaN stays one."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    made: Array = np.where(np.isnan(array), (bits >> np.uint32(16)) | np.uint32(0x40), rounded).astype(np.uint16)
    return made


def from_bfloat16(bits: Array) -> Array:
    """The float32 numbers of the bits of bfloat16."""
    made: Array = (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return made


def inverse_and_scale(largest: Array) -> tuple[Array, Array]:
    """By what numbers are multiplied before they are rounded to int8, and the scale that takes them back, in float32.

    largest: float32, the largest magnitude of each channel (or of each row of a product's input). The inverse is 127 /
    largest, the scale largest / 127. Where that inverse is beyond float32 (a largest magnitude below 3.8e-37) it is the
    largest float32, and the scale its reciprocal. Where all are 0, both are 1. Where one is NaN or infinite, the scale
    is NaN and the inverse 0.
    """
    largest = np.asarray(largest, np.float32)
    with np.errstate(all="ignore"):
        inverse = np.float32(127) / largest
        clamped = inverse > LARGEST
        inverse = np.where(clamped, LARGEST, inverse)
        scale = np.where(clamped, np.float32(1) / LARGEST, largest / np.float32(127))
    zero, finite = largest == 0, np.isfinite(largest)
    inverse = np.where(zero, np.float32(1), np.where(finite, inverse, np.float32(0))).astype(np.float32)
    scale = np.where(zero, np.float32(1), np.where(finite, scale, np.float32(np.nan))).astype(np.float32)
    return inverse, scale


def to_int8(array: Array, inverse: Array) -> Array:
    """rint(array * inverse) in float32, ties to even, within [-127, 127]. Of finite numbers."""
    made: Array = np.clip(np.rint(array * inverse), -127, 127).astype(np.int8)
    return made


def quantized(array: Array, to: QuantizedType, axis: int, where: str) -> Quantized:
    """A float16 or float32 weight as `to`. where: how errors name it, "layer 'lstm': W".

    Raises ArgumentError naming the weight and the channel where a number is NaN or infinite, or too large for `to`.
    """
    array = np.asarray(array)
    values = np.empty(array.shape, VALUE_DTYPES[to])
    scale = inverse = None
    if to in ("int8", "int8_weights"):
        along = -1 if axis == -2 else -2                       # the axis a product sums over
        largest = np.zeros((*array.shape[:-2], array.shape[axis]), np.float32)
        for part in _blocks(array):
            here = part if axis == -2 else part[:-1]
            np.maximum(largest[here], np.abs(array[part]).max(axis=along).astype(np.float32), out=largest[here])
        if not np.isfinite(largest).all():
            _refuse(array, axis, where, np.isfinite, "is not finite: a weight with NaN or infinity has no scale")
        inverse, scale = (np.expand_dims(each, along) for each in inverse_and_scale(largest))
    for part in _blocks(array):
        block = np.asarray(array[part], np.float32)
        if inverse is not None:
            values[part] = to_int8(block, inverse[part] if axis == -2 else inverse[part[:-1]])
        elif not np.isfinite(block).all():
            _refuse(array, axis, where, np.isfinite, f"is not finite: {to} is for finite weights")
        elif to == "bfloat16":
            values[part] = to_bfloat16(block)
            if not np.isfinite(from_bfloat16(values[part])).all():
                _refuse(array, axis, where, lambda x: np.isfinite(from_bfloat16(to_bfloat16(x))),
                        "is beyond the largest bfloat16, 3.3895e38; leave this layer in float32")
        else:
            if np.abs(block).max() > FLOAT16_MAX:
                _refuse(array, axis, where, lambda x: np.abs(x) <= FLOAT16_MAX,
                        "is beyond the largest float16, 65504; bfloat16 has the range of float32")
            values[part] = block
    values.flags.writeable = False
    if scale is not None:
        scale = np.ascontiguousarray(scale.reshape(largest.shape))
        scale.flags.writeable = False
    return Quantized(to, values, scale, axis)


def as_type(weight: Quantized, to: QuantizedType, where: str) -> Quantized:
    """A weight of int8 as the other of the two types that hold int8. where: how errors name it.

    Raises ArgumentError for -128, which "int8" has not.
    """
    weight = weight.held()
    assert weight.scale is not None and VALUE_DTYPES[to] == np.int8 and isinstance(weight.values, np.ndarray)
    if to == "int8" and (lowest := int(weight.values.min())) < -127:
        raise ArgumentError(f"{where} holds {lowest} as its file has it, and int8 is from -127 to 127: leave this "
                            "layer in int8_weights")
    return Quantized(to, weight.values, weight.scale, weight.axis)


def error_of(weight: Quantized, array: Array) -> tuple[float, float]:
    """How far a weight is from the array that it was made of: the largest difference, and the sum of the squares."""
    largest, squares = 0.0, 0.0
    values = weight.held().values
    for part in _blocks(array):
        scale = weight.scale
        if scale is not None:
            scale = scale[part] if weight.axis == -2 else scale[part[:-1]]
        block = Quantized(weight.type, values[part], scale, weight.axis).whole()  # type: ignore[index]
        off = np.abs(block - np.asarray(array[part], np.float32)).astype(np.float64)
        largest, squares = max(largest, float(off.max())), squares + float((off * off).sum())
    return largest, squares


def _blocks(array: Array) -> Iterator[tuple[Any, ...]]:
    """The matrices of a weight in parts of some megabytes: an index of the axes before the last two, then rows."""
    rows, columns = array.shape[-2:]
    some = max(1, BLOCK_BYTES // max(1, 4 * columns))
    for outer in np.ndindex(*array.shape[:-2]):
        for begin in range(0, rows, some):
            yield (*outer, slice(begin, min(begin + some, rows)))


def _refuse(array: Array, axis: int, where: str, fits: Any, why: str) -> None:
    """Raise the ArgumentError of the first number that does not fit."""
    for part in _blocks(array):
        bad = np.argwhere(~fits(np.asarray(array[part], np.float32)))
        if len(bad):
            place = (*part[:-1], part[-1].start + int(bad[0][0]), int(bad[0][1]))
            channel = ", ".join(map(str, (*place[:-2], place[axis])))
            raise ArgumentError(f"{where}{list(place)} (output channel {channel}): {float(array[place])!r} {why}")
    raise AssertionError("all numbers fit")
