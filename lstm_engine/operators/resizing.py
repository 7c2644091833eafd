"""Resize: an image, a spectrogram or a sequence on another grid, axis by axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ..errors import UnsupportedError
from ..graph.nodes import Dim, Operator
from .axis_rules import AxisCall
from .costs import Arrays
from .kernels import Kept, Kernel
from .older import Facts, FileNode, older_only, to_input, without
from .places import Place, need
from .shape_rules import ShapeCall, Shapes
from .spec import declare, one_of


class _Axis(NamedTuple):
    """One axis on another grid: of `size` elements, `made` by a scale, from the part of it that a region names."""

    axis: int
    size: int
    made: int
    scale: float
    region: tuple[float, float]


def _axes(attributes: dict[str, Any], shape: Sequence[int], region: Sequence[float], scales: Sequence[float],
          sizes: Sequence[int]) -> list[_Axis]:
    """Every axis that changes. Raises ValueError for inputs that do not fit."""
    axes = [axis % len(shape) for axis in attributes["axes"]] or list(range(len(shape)))
    if bool(len(scales)) == bool(len(sizes)):
        raise ValueError("expected one of scales and sizes")
    if len(scales or sizes) != len(axes) or len(set(axes)) != len(axes):
        raise ValueError(f"{len(scales or sizes)} scales or sizes for {len(axes)} axes")
    crop = attributes["coordinate_transformation_mode"] == "tf_crop_and_resize"
    if crop and len(region) != 2 * len(axes):
        raise ValueError(f"a region of {len(region)} numbers for {len(axes)} axes")
    regions = list(zip(region[:len(axes)], region[len(axes):])) if crop else [(0.0, 1.0)] * len(axes)
    if len(sizes):
        scales = [size / shape[axis] for size, axis in zip(sizes, axes)]
        policy = attributes["keep_aspect_ratio_policy"]
        if policy != "stretch":
            scales = [min(scales) if policy == "not_larger" else max(scales)] * len(axes)
            sizes = [int(scale * shape[axis] + 0.5) for scale, axis in zip(scales, axes)]
    else:
        sizes = [int(math.floor(shape[axis] * scale)) for scale, axis in zip(scales, axes)]
    if any(not 0 < scale < math.inf for scale in scales) and any(sizes):
        raise ValueError(f"scales {list(scales)} are not all above 0")
    return [_Axis(axis, shape[axis], made, scale, part) for axis, made, scale, part in
            zip(axes, sizes, scales, regions) if made != shape[axis] or scale != 1 or part != (0.0, 1.0)]


def _coordinates(mode: str, grid: _Axis) -> np.ndarray:
    """Where each element of the new grid stands on the old one, between 0 and its size."""
    at = np.arange(grid.made, dtype=np.float64)
    width, last = grid.scale * grid.size, grid.size - 1
    centred: np.ndarray = (at + 0.5) / grid.scale - 0.5
    if mode == "align_corners":
        return at * last / (width - 1) if width != 1 else at * 0
    if mode == "asymmetric":
        return at / grid.scale
    if mode == "tf_half_pixel_for_nn":
        return centred + 0.5
    if mode == "tf_crop_and_resize":
        begin, end = grid.region
        step: np.ndarray = at / (width - 1) if width != 1 else at * 0 + 0.5
        return begin * last + step * (end - begin) * last
    if mode == "pytorch_half_pixel" and width == 1:
        return at * 0 - 0.5
    if mode == "half_pixel_symmetric":
        return centred + grid.size / 2 * (1 - grid.made / width)
    return centred


_NEAREST: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "round_prefer_floor": lambda at: np.ceil(at - 0.5), "round_prefer_ceil": lambda at: np.floor(at + 0.5),
    "floor": np.floor, "ceil": np.ceil}


def _linear(distance: np.ndarray, bend: float) -> np.ndarray:
    share: np.ndarray = np.clip(1 - np.abs(distance), 0, 1)
    return share


def _cubic(distance: np.ndarray, bend: float) -> np.ndarray:
    x = np.abs(distance)
    near = ((bend + 2) * x - (bend + 3)) * x * x + 1
    far = ((bend * x - 5 * bend) * x + 8 * bend) * x - 4 * bend
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def _before(attributes: dict[str, Any], grid: _Axis) -> int:
    """The first of the old elements that a new one is made of, seen from the one before it."""
    reach = 1 if attributes["mode"] == "linear" else 2
    return math.floor(-reach / (min(grid.scale, 1.0) if attributes["antialias"] else 1.0)) + 1


def _weights(attributes: dict[str, Any], grid: _Axis, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The old elements that each new one is made of, and their shares: both [made, few]."""
    kernel = _linear if attributes["mode"] == "linear" else _cubic
    scale = min(grid.scale, 1.0) if attributes["antialias"] else 1.0
    # An element that stands on an old one is taken as standing right of the one before.
    first = np.ceil(at).astype(np.int64) - 1
    before = _before(attributes, grid)
    offsets = np.arange(before, 2 - before)
    share = kernel((offsets - (at - first)[:, None]) * scale, attributes["cubic_coeff_a"])
    places = first[:, None] + offsets
    if attributes["exclude_outside"]:
        share = np.where((places < 0) | (places >= grid.size), 0.0, share)
    if attributes["exclude_outside"] or attributes["antialias"]:
        total = share.sum(axis=1, keepdims=True)
        share = share / np.where(total == 0, 1.0, total)
    return np.clip(places, 0, grid.size - 1), share


def _resize_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    mode, crop = attributes["mode"], attributes["coordinate_transformation_mode"] == "tf_crop_and_resize"

    grids = Kept(lambda key: _axes(attributes, *key))         # what the sizes say; places are as large as results

    def resize(x: np.ndarray, region: np.ndarray | None = None, scales: np.ndarray | None = None,
               sizes: np.ndarray | None = None) -> np.ndarray:
        key = [() if array is None else tuple(array.reshape(-1).tolist()) for array in (region, scales, sizes)]
        kind = x.dtype
        for grid in grids[x.shape, key[0] if crop else (), key[1], key[2]]:
            if not grid.made:
                x = x.take(np.zeros(0, np.int64), grid.axis)
                continue
            if not grid.size:
                raise ValueError(f"axis {grid.axis} has no elements to make {grid.made} of")
            at = _coordinates(attributes["coordinate_transformation_mode"], grid)
            shape = [1] * x.ndim
            shape[grid.axis] = grid.made
            if mode == "nearest":
                places = np.clip(_NEAREST[attributes["nearest_mode"]](at), 0, grid.size - 1)
                x = x.take(places.astype(np.int64), grid.axis)
            else:
                places, share = _weights(attributes, grid, at)
                x = (x.take(places, grid.axis) * share.reshape(*share.shape, *shape[grid.axis + 1:])).sum(grid.axis + 1)
            outside = (at < 0) | (at > grid.size - 1)
            if crop and outside.any():
                x = np.where(outside.reshape(shape), x.dtype.type(attributes["extrapolation_value"]), x)
        return x.astype(kind, copy=False)
    return resize


def _resize_shape(call: ShapeCall) -> Shapes:
    x, axes = call.shape(), call.attributes["axes"]
    chosen = [call.axis(axis, len(x)) for axis in axes] if axes else list(range(len(x)))
    if call.attributes["mode"] != "nearest" and not call.dtype().startswith("float"):
        raise call.unknown(f"mode {call.attributes['mode']!r} of {call.dtype()} is not supported; supported: nearest")
    if call.attributes["antialias"] and call.attributes["mode"] == "nearest":
        raise call.error("attribute 'antialias' goes with the modes linear and cubic")
    region, scales, sizes = (_numbers(call, i) for i in (1, 2, 3))
    result: list[Dim | None] = list(x)
    if scales is None or sizes is None or any(not isinstance(x[axis], int) for axis in chosen):
        for i, axis in enumerate(chosen):
            result[axis] = x[axis] if scales and len(scales) == len(chosen) and scales[i] == 1 else None
        return [(result, call.dtype())]
    crop = call.attributes["coordinate_transformation_mode"] == "tf_crop_and_resize"
    known = [size if isinstance(size, int) else 1 for size in x]
    for grid in _axes(call.attributes, known, (region or [0.0] * 2 * len(chosen)) if crop else (), scales, sizes):
        result[grid.axis] = grid.made
    return [(result, call.dtype())]


def _numbers(call: ShapeCall, position: int) -> list[Any] | None:
    """The numbers of an input, none where it is left out; None where they come with the run."""
    if not call.given(position):
        return []
    constant = call.node.constants.get(position)
    if constant is None:
        return [] if call.shape(position) == [0] else None
    return list(constant.reshape(-1).tolist())


def _resize_axes(call: AxisCall) -> Place:
    at, scales = call.only_first(), call.node.constants.get(2)
    axes = [call.axis(axis) for axis in call.attributes["axes"]] or list(range(len(call.shapes[0])))
    crop = call.attributes["coordinate_transformation_mode"] == "tf_crop_and_resize"
    whole = scales is not None and scales.size == len(axes) and at in axes and scales.reshape(-1)[axes.index(at)] == 1
    need(at not in axes or (whole and not crop))
    return at


def _resize_grown(attributes: dict[str, Any], arrays: Arrays) -> tuple[int, int]:
    """The most that stands at a time, an axis after the other, in numbers of float64."""
    x, *others = arrays
    given = [() if array is None else array.reshape(-1).tolist() for array in (*others, None, None, None)[:3]]
    size = most = x.size
    for grid in _axes(attributes, x.shape, *given):
        few = 1 if attributes["mode"] == "nearest" or not grid.made else 2 - 2 * _before(attributes, grid)
        # Each new element beside the old ones that it is made of, then times their shares; what gives these.
        before, size = size, size // max(grid.size, 1) * grid.made
        most = max(most, before + 2 * few * size + size + 8 * few * grid.made)
    return most, 8


def _resize_older(node: FileNode, facts: Facts) -> list[FileNode]:
    """Before version 11 the old grid began where the new one does, and the nearest element was the one before."""
    if node.opset >= 11:
        return [node]
    node = to_input(node, facts, "scales", 1, False)
    if len(node.inputs) != 2:
        return [node]
    scales = facts.constant(node.inputs[1])
    smaller = scales is None or any(scale < 1 and (not scale or 1 / scale % 1) for scale in scales.flat)
    if smaller and node.op == "Resize" and node.attributes.get("mode", "nearest") == "nearest":
        raise UnsupportedError(f"{node.label}: version 10 does not say which elements a smaller grid takes; export "
                               "with version 11 of ONNX's operators")
    old = without(node, coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    return [replace(old, op="Resize", inputs=(node.inputs[0], "", node.inputs[1]))]


older_only("Upsample")(_resize_older)
declare("Resize", (1, 4), make=_resize_kernel, older=_resize_older, shape=_resize_shape, axes=_resize_axes, work=24,
        grown=_resize_grown, sized_by=(1, 2, 3), attributes={
            "mode": one_of("nearest", "linear", "cubic"), "nearest_mode": one_of(*_NEAREST), "axes": (),
            "coordinate_transformation_mode": one_of(
                "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric",
                "tf_half_pixel_for_nn", "tf_crop_and_resize"),
            "keep_aspect_ratio_policy": one_of("stretch", "not_larger", "not_smaller"), "antialias": one_of(0, 1),
            "exclude_outside": one_of(0, 1), "extrapolation_value": 0.0, "cubic_coeff_a": -0.75},
        takes=("any", "floats", "floats", "int64"), apart="XRSN")
