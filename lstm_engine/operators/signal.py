"""Spectra: Fourier transforms, windows, and the mel scale."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..data_types import DATA_TYPES, FLOAT32
from ..graph.nodes import Dim, Operator
from .axis_rules import AxisCall, first_axis
from .costs import Arrays
from .kernels import Kernel, scalar
from .older import Facts, FileNode, to_input, without
from .places import Place, need
from .shape_rules import ShapeCall, Shapes
from .spec import Attribute, declare, one_of

# ---- DFT and STFT ---------------------------------------------------------------------------------------------------

def _as_complex(x: np.ndarray) -> np.ndarray:
    """Numbers that stand as [.., 1] or as [.., 2], their real and imaginary parts."""
    if x.shape[-1] not in (1, 2):
        raise ValueError(f"a last axis of {x.shape[-1]}, expected 1 (real) or 2 (complex)")
    y: np.ndarray = x[..., 0] if x.shape[-1] == 1 else x[..., 0] + 1j * x[..., 1]
    return y


def _as_pairs(x: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The real and the imaginary parts on a last axis."""
    return np.stack([x.real, x.imag], axis=-1).astype(dtype, copy=False)


def _length(x: int, given: int | None, attributes: dict[str, Any]) -> int:
    """Points of a transform: those that are given, or those that an axis of `x` tells."""
    if given is None:
        given = 2 * (x - 1) if attributes["inverse"] and attributes["onesided"] else x
    if given < 1:
        raise ValueError(f"a transform of {given} points")
    return given


def _along(x: np.ndarray, axis: np.ndarray | None) -> int:
    """The axis of a transform, the last but one where it is left out. Raises ValueError for one that is none."""
    at = -2 if axis is None else int(scalar(axis))
    if not -x.ndim <= at < x.ndim or at % x.ndim == x.ndim - 1:
        raise ValueError(f"axis {at} of {x.ndim}, of which the last is that of real and imaginary parts")
    return at % x.ndim


def _dft_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    inverse, onesided = attributes["inverse"], attributes["onesided"]

    def dft(x: np.ndarray, points: np.ndarray | None = None, axis: np.ndarray | None = None) -> np.ndarray:
        at = _along(x, axis)
        count = _length(x.shape[at], None if points is None else scalar(points), attributes)
        signal = _as_complex(x)
        if inverse and onesided:
            y: np.ndarray = np.fft.irfft(signal, count, at)[..., None].astype(x.dtype, copy=False)
            return y
        if onesided:
            if np.iscomplexobj(signal):
                raise ValueError("half of a spectrum is all of it for real numbers alone")
            return _as_pairs(np.fft.rfft(signal, count, at), x.dtype)
        return _as_pairs((np.fft.ifft if inverse else np.fft.fft)(signal, count, at), x.dtype)
    return dft


def _dft_shape(call: ShapeCall) -> Shapes:
    x, attributes = call.shape(), call.attributes
    call.of_type(1, "int64", "int32")
    call.of_type(2, "int64")
    if len(x) < 2 or (isinstance(x[-1], int) and x[-1] not in (1, 2)):
        raise call.error(f"expected [.., 1] or [.., 2], real or complex numbers, got {x}")
    halves, axis = attributes["onesided"], call.ints(2) if call.given(2) else [-2]
    last = 1 if halves and attributes["inverse"] else 2
    if axis is None:
        return [([None] * (len(x) - 1) + [last], call.dtype())]
    at = call.axis(axis[0], len(x))
    if at == len(x) - 1:
        raise call.error("a transform along the axis of real and imaginary parts")
    points = call.ints(1) if call.given(1) else None
    known = not call.given(1) or points is not None
    count: Dim | None = None
    size = x[at]
    if known and (points or isinstance(size, int)):
        count = _length(size if isinstance(size, int) else 1, points[0] if points else None, attributes)
        count = count // 2 + 1 if halves and not attributes["inverse"] else count
    elif known and not halves:
        count = x[at]
    return [([count if axis == at else dim for axis, dim in enumerate(x[:-1])] + [last], call.dtype())]


def _dft_axes(call: AxisCall) -> Place:
    at, axis = call.only_first(), call.ints(2)
    need(at not in (call.axis(axis[0] if axis else -2), len(call.shapes[0]) - 1))
    return at


def _dft_grown(attributes: dict[str, Any], arrays: Arrays) -> tuple[int, int]:
    x, points, axis = (*arrays, None, None)[:3]
    size = x.shape[_along(x, axis)]
    count = size if points is None else max(0, int(scalar(points)))
    # Complex numbers of 16 bytes go in and come out.
    return 2 * (x.size + x.size // max(1, size) * 2 * max(count, 2 * size)), 16


def _dft_older(node: FileNode, facts: Facts) -> list[FileNode]:
    """Before version 20 the axis was an attribute, and 1 where it was left out."""
    if node.opset >= 20:
        return [node]
    return [to_input(without(node, axis=node.attributes.get("axis", 1)), facts, "axis", 2)]


def _framed(steps: int, size: int, stride: int) -> int:
    """How many frames there are."""
    if size < 1 or stride < 1:
        raise ValueError(f"frames of {size} steps, every {stride}")
    return max(0, (steps - size) // stride + 1)


def _stft_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    onesided = attributes["onesided"]

    def stft(x: np.ndarray, stride: np.ndarray, window: np.ndarray | None = None, length: np.ndarray | None = None
             ) -> np.ndarray:
        size = scalar(length) if length is not None else len(window) if window is not None else x.shape[1]
        signal, step = _as_complex(x), scalar(stride)
        if onesided and np.iscomplexobj(signal):
            raise ValueError("half of a spectrum is all of it for real numbers alone")
        if window is not None and window.shape != (size,):
            raise ValueError(f"a window {list(window.shape)} for frames of {size}")
        count = _framed(x.shape[1], size, step)
        places = np.arange(count)[:, None] * step + np.arange(size)
        frames = signal.take(places, 1)
        frames = frames if window is None else frames * window
        return _as_pairs((np.fft.rfft if onesided else np.fft.fft)(frames), x.dtype)
    return stft


def _stft_shape(call: ShapeCall) -> Shapes:
    x = call.shape()
    call.of_type(1, "int64", "int32")
    call.of_type(3, "int64", "int32")
    if len(x) != 3 or (isinstance(x[2], int) and x[2] not in (1, 2)):
        raise call.error(f"expected [batch, steps, 1 or 2], got {x}")
    size: Dim | None = call.shape(2)[0] if call.given(2) and call.rank(2) == 1 else x[1] if not call.given(3) else None
    if call.given(3):
        length = call.ints(3)
        size = length[0] if length else size if call.given(2) else None
    stride, frames, bins = call.ints(1), None, None
    if isinstance(size, int):
        bins = size // 2 + 1 if call.attributes["onesided"] else size
        frames = _framed(x[1], size, stride[0]) if stride and isinstance(x[1], int) else None
    return [([x[0], frames, bins, 2], call.dtype())]


def _stft_grown(attributes: dict[str, Any], arrays: Arrays) -> tuple[int, int]:
    x, stride, window, length = (*arrays, None, None)[:4]
    size = int(scalar(length)) if length is not None else len(window) if window is not None else x.shape[1]
    count = _framed(x.shape[1], max(size, 1), max(int(scalar(stride)), 1))
    return x.shape[0] * count * max(size, 1) * 4, 16


declare("DFT", (1, 3), make=_dft_kernel, attributes={"inverse": one_of(0, 1), "onesided": one_of(0, 1)},
        older=_dft_older, shape=_dft_shape, axes=_dft_axes, work=64, grown=_dft_grown, sized_by=(1, 2),
        takes=("floats", "indices", "int64"))
declare("STFT", (2, 4), make=_stft_kernel, attributes={"onesided": one_of(1, 0)}, shape=_stft_shape, axes=first_axis,
        work=64, grown=_stft_grown, sized_by=(1, 3), takes=("floats", "indices", "floats", "indices"))


# ---- windows --------------------------------------------------------------------------------------------------------

_TYPE = Attribute(int, FLOAT32, says_type=True)


def _window_shape(call: ShapeCall) -> Shapes:
    call.indices(0)
    size = call.ints(0)
    if size is not None and size[0] < 0:
        raise call.error(f"a window of {size[0]} steps")
    return [([size[0] if size else None], call.type_named("output_datatype"))]


def _window(*factors: float) -> Callable[[dict[str, Any], Operator], Kernel]:
    """The window that is a sum of cosines of no, one, two ... turns, each times its factor."""
    def make(attributes: dict[str, Any], node: Operator) -> Kernel:
        periodic, dtype = attributes["periodic"], DATA_TYPES.get(attributes["output_datatype"])

        def window(size: np.ndarray) -> np.ndarray:
            count = scalar(size)
            turn = np.arange(count) * (2 * np.pi) / (count if periodic else count - 1)
            total = np.full(count, factors[0])
            for i, factor in enumerate(factors[1:], 1):
                total += factor * np.cos(turn * i)
            return total.astype(dtype)
        return window
    return make


for _name, _factors in {"HannWindow": (0.5, -0.5), "HammingWindow": (25 / 46, 25 / 46 - 1),
                        "BlackmanWindow": (0.42, -0.5, 0.08)}.items():
    declare(_name, 1, make=_window(*_factors), attributes={"output_datatype": _TYPE, "periodic": 1}, work=24, scratch=3,
            takes="indices", shape=_window_shape,
            grown=lambda attributes, arrays: (max(0, int(scalar(arrays[0]))), 8), sized_by=(0,))


# ---- MelWeightMatrix ------------------------------------------------------------------------------------------------

def _mel_shape(call: ShapeCall) -> Shapes:
    for position in range(3):
        call.indices(position)
    bins, points = call.ints(0), call.ints(1)
    if (bins and bins[0] < 0) or (points and points[0] < 0):
        raise call.error(f"{bins} bands of a transform of {points} points")
    return [([points[0] // 2 + 1 if points else None, bins[0] if bins else None], call.type_named("output_datatype"))]


def _mel_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    dtype = DATA_TYPES.get(attributes["output_datatype"])

    def weights(bins: np.ndarray, points: np.ndarray, rate: np.ndarray, low: np.ndarray, high: np.ndarray
                ) -> np.ndarray:
        count, length = scalar(bins), scalar(points)
        first, last = (2595 * np.log1p(scalar(edge) / 700) / np.log(10) for edge in (low, high))
        # The standard divides by the number of edges, not by the number of gaps between them.
        mels = first + np.arange(count + 2) * (last - first) / (count + 2)
        hertz = 700 * np.expm1(mels / 2595 * np.log(10))
        edges: np.ndarray = ((length + 1) * hertz // scalar(rate)).astype(np.int64)
        place = np.arange(length // 2 + 1)[:, None]
        left, centre, right = edges[:-2], edges[1:-1], edges[2:]
        if edges.min() < 0 or edges.max() > len(place) or centre.max(initial=0) == len(place):
            raise ValueError(f"frequencies of {scalar(low)} to {scalar(high)} are not all below half the rate")
        rising, falling = (place - left) / np.maximum(centre - left, 1), (right - place) / np.maximum(right - centre, 1)
        made: np.ndarray = np.maximum(np.minimum(rising, falling), 0)
        made[centre[left <= centre], np.flatnonzero(left <= centre)] = 1        # also of a band without width
        return made.astype(dtype)
    return weights


def _mel_grown(attributes: dict[str, Any], arrays: Arrays) -> tuple[int, int]:
    bins, points = (max(0, int(scalar(array))) for array in arrays[:2])
    return (bins + 2) * (points // 2 + 1), 8


declare("MelWeightMatrix", 5, make=_mel_kernel, attributes={"output_datatype": _TYPE}, shape=_mel_shape, work=16,
        scratch=5, grown=_mel_grown, sized_by=(0, 1, 2, 3, 4), takes=("indices", "indices", "indices", "floats"))
