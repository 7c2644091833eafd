"""What puts a signal on another grid: torch.nn.functional.interpolate.

Which element is nearest follows from places counted in float32, as torch counts them: rounded otherwise, another one is
taken. Source: aten/src/ATen/native/UpSample.h and cpu/UpSampleKernel.cpp.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from .arguments import Arguments
from .emit import Emitter, Length, Size, Tensor
from .guards import combined, compared
from .rearranging import counted
from .registry import aten

new = partial(aten, fresh=True)
_CORNERS = "align_corners"
MOST_SEPARATE = 128     # above so many rows and columns together torch takes one axis of an image after the other


@new(" ".join(f"{name}{kind}" for name in ("upsample_nearest1d", "upsample_nearest2d", "_upsample_nearest_exact1d",
                                           "_upsample_nearest_exact2d", "upsample_linear1d", "upsample_bilinear2d",
                                           "upsample_bicubic2d") for kind in (".default", ".vec")))
def _upsample(e: Emitter, a: Arguments) -> Tensor:
    """The last axes of [batch, channels, ...] on another grid."""
    x = a.tensor("input" if a.has("input") else "self")
    name = a.op.partition(".")[0]
    count = int(name[-2])
    nearest, corners = "nearest" in name, "nearest" not in name and a.flag(_CORNERS, False)
    if x.rank != count + 2 or not x.is_float:
        a.wrong(f"{x.dtype} of {x.rank} axes")
    scales, sizes = _scales(a, count), a.sizes("output_size", None)
    if sizes is None:
        if scales is None:
            a.wrong("needs output_size or scale_factors")
        sizes = [_times(e, e.size(x, 2 + i), scale) for i, scale in enumerate(scales)]
    if len(sizes) != count:
        a.wrong(f"output_size {sizes!r:.60}")
    if nearest:
        return _nearest(e, x, sizes, scales, "exact" in name)
    if "cubic" not in name:
        for i, made in enumerate(sizes):
            x = _between(e, x, 2 + i, made, None if scales is None else scales[i], corners)
        return x
    if scales is None or corners:           # with corners torch takes the sizes alone
        return e.op("Resize", x, None, None, e.lengths(sizes), axes=tuple(range(2, x.rank)), mode="cubic",
                    cubic_coeff_a=-0.75, coordinate_transformation_mode=_CORNERS if corners else "half_pixel")
    if any(float(np.float32(scale)) != scale for scale in scales):
        a.refuse(f"scale factors {scales} that float32 cannot hold are not supported; give size instead")
    return e.op("Resize", x, None, e.constant(scales, "float32"), axes=tuple(range(2, x.rank)), mode="cubic",
                cubic_coeff_a=-0.75, coordinate_transformation_mode="half_pixel")


def _scales(a: Arguments, count: int) -> list[float] | None:
    """The factor of each axis, if they are given."""
    scales = a.any("scale_factors", None)
    if scales is None and count == 1 and a.any("scales", None) is not None:
        scales = [a.number("scales")]
    elif scales is None and a.any("scales_h", None) is not None:
        scales = [a.number("scales_h"), a.number("scales_w")]
    a.ignore("scales_w")
    if not scales:
        return None
    if not isinstance(scales, list) or len(scales) != count or not all(
            type(s) in (int, float) and 0 < s < math.inf for s in scales):
        a.wrong(f"scale factors {scales!r:.60}")
    return scales


def _times(e: Emitter, size: Length, scale: float) -> Length:
    """A size times a number, rounded down."""
    if isinstance(size, int):
        return math.floor(size * scale)
    grown = e.op("Mul", e.cast(e.as_tensor(size), "float64"), e.constant([scale], "float64"))
    return Size(e.cast(e.op("Floor", grown), "int64").name)


def _nearest(e: Emitter, x: Tensor, sizes: list[Length], scales: list[float] | None, exact: bool) -> Tensor:
    """torch has two ways to count, which differ in rounding: one for one axis and large images, one for others."""
    small = compared(e, "le", combined(e, "Add", *sizes), MOST_SEPARATE) if len(sizes) == 2 else e.constant(False)
    for i, made in enumerate(sizes):
        size, scale = e.size(x, 2 + i), None if scales is None else scales[i]
        ways = []
        if small.array is None or small.array.all():
            ways.append(_by_number(e, size, made, scale, exact))
        if small.array is None or not small.array.all():
            ways.append(_by_axis(e, x.dtype, size, made, scale, exact))
        places = e.op("Where", small, *ways) if len(ways) == 2 else ways[0]
        x = _picked(e, x, places, 2 + i, made)
    return x


def _picked(e: Emitter, x: Tensor, places: Tensor, axis: int, made: Length) -> Tensor:
    taken = e.op("Gather", x, places, axis=axis)
    return Tensor(taken.name, (*x.shape[:axis], *e.dims([made]), *x.shape[axis + 1:]), x.dtype, taken.array)


def _step(e: Emitter, size: Length, made: Length, scale: float | None, dtype: str) -> Tensor:
    """How far apart the places of neighbours are, counted in elements of what is given."""
    if scale is not None:
        return e.constant(1 / scale, dtype)
    return e.op("Div", e.cast(e.scalar(size), dtype), e.cast(e.scalar(made), dtype))


def _within(e: Emitter, places: Tensor, size: Length) -> Tensor:
    """Places as whole numbers, rounded down, of which none is past the last element."""
    last = e.op("Sub", e.scalar(size), e.constant(1, "int64"))
    return e.op("Min", e.cast(e.op("Floor", places), "int64"), last)


def _by_number(e: Emitter, size: Length, made: Length, scale: float | None, exact: bool) -> Tensor:
    """nearest_idx and nearest_exact_idx: in float32, and sizes that are the same or twice as large for themselves."""
    number, step = counted(e, made), _step(e, size, made, scale, "float32")
    middle = e.op("Add", e.cast(number, "float32"), e.constant(0.5 if exact else 0, "float32"))
    places = _within(e, e.op("Mul", middle, step), size)
    if exact:
        return places
    halves = e.op("Div", number, e.constant(2, "int64"))
    places = e.op("Where", compared(e, "eq", made, combined(e, "Mul", size, 2)), halves, places)
    return e.op("Where", compared(e, "eq", made, size), number, places)


def _by_axis(e: Emitter, dtype: str, size: Length, made: Length, scale: float | None, exact: bool) -> Tensor:
    """HelperInterpNearest and HelperInterpNearestExact: in the dtype of the data, and float32 in the end. A product is
    not rounded before the sum that it stands in: processors with AVX2 have one instruction for both."""
    number, step = e.cast(counted(e, made), dtype), _step(e, size, made, scale, dtype)
    if not exact:
        return _within(e, e.cast(e.op("Mul", number, step), "float32"), size)
    places = e.cast(_middles(e, number, step), dtype)
    return _within(e, e.cast(e.op("Add", places, e.constant(0.5, dtype)), "float32"), size)


def _middles(e: Emitter, number: Tensor, step: Tensor) -> Tensor:
    """Where the middle of each element stands among those that are given, in float64."""
    half = e.constant(0.5, "float64")
    return e.op("Sub", e.op("Mul", e.op("Add", e.cast(number, "float64"), half), e.cast(step, "float64")), half)


def _between(e: Emitter, x: Tensor, axis: int, made: Length, scale: float | None, corners: bool) -> Tensor:
    """Each element between its two neighbours on one axis. What keeps its size stays as it is, whatever the factor."""
    size, number = e.size(x, axis), counted(e, made)
    if isinstance(size, int) and size == made:
        return x
    zero, one, first = e.constant(0, x.dtype), e.constant(1, x.dtype), e.constant(1, "int64")
    last = e.op("Sub", e.scalar(size), first)
    if corners:                             # from the first to the last
        gaps = e.op("Max", e.op("Sub", e.scalar(made), first), first)
        places = e.op("Mul", e.cast(number, x.dtype), e.op("Div", e.cast(last, x.dtype), e.cast(gaps, x.dtype)))
    else:
        middles = _middles(e, number, _step(e, size, made, scale, x.dtype))
        places = e.op("Max", e.cast(middles, x.dtype), zero)
    places = e.op("Where", compared(e, "eq", made, size), e.cast(number, x.dtype), places)
    low = _within(e, places, size)
    high = e.op("Min", e.op("Add", low, first), last)
    share = e.op("Min", e.op("Sub", places, e.cast(low, x.dtype)), one)
    share = e.unsqueeze(share, *range(1, x.rank - axis)) if x.rank - axis > 1 else share
    near, far = (_picked(e, x, which, axis, made) for which in (low, high))
    mixed = e.op("Add", e.op("Mul", near, e.op("Sub", one, share)), e.op("Mul", far, share))
    return Tensor(mixed.name, near.shape, x.dtype, mixed.array)
