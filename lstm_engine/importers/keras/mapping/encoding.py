"""Layers that turn numbers into categories, and categories into rows of zeros and ones."""

from __future__ import annotations

import math

import numpy as np

from ....errors import FormatError, UnsupportedError
from ..reading.config import Layer
from .builder import Tensor
from .registry import Arguments, Context, float_type_of, maps, one, policy_name, show

MAX_BOUNDARIES = 10_000
MAX_CATEGORIES = 1 << 20


@maps("Discretization")
def discretization(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    """How many of the boundaries are not above each number; what is no number is above all of them."""
    builder, name = context.builder, layer.where
    bounds = layer.config.get("bin_boundaries")
    for key in ("num_bins", "epsilon"):             # what `adapt` made the boundaries with
        layer.config.get(key)
    if bounds is None:
        raise UnsupportedError(f"{layer} without bin_boundaries is not supported: it was not adapted, or its file does "
                               "not keep them; supported: Discretization(bin_boundaries=[...]), with those that "
                               "adapt(data) finds")
    if not isinstance(bounds, list) or len(bounds) > MAX_BOUNDARIES or not all(
            type(bound) in (int, float) and abs(bound) < math.inf for bound in bounds):
        raise FormatError(f"{layer}: bin_boundaries is {bounds!r:.80}; expected at most {MAX_BOUNDARIES} numbers")
    x = builder.as_float(one(layer, arguments), name)       # the layer's dtype is that of its output
    with np.errstate(all="ignore"):                 # numbers beyond float32 are infinite in Keras too
        edges = np.array([min(max(bound, -2**1000), 2**1000) for bound in bounds], np.float64).astype(x.dtype)
    if np.any(np.diff(edges) < 0):
        raise UnsupportedError(f"{layer}: bin_boundaries {bounds!r:.80} is not supported; supported: sorted ones")
    wide = builder.operator("Unsqueeze", f"{name}/wide", [x, np.array([x.rank], np.int64)], (*x.shape, 1))
    pairs = (*x.shape, len(bounds))
    below = builder.operator("Less", f"{name}/below", [wide, edges], pairs, "bool")
    reached = builder.operator("Not", f"{name}/reached", [below], pairs, "bool")
    counted = builder.cast(reached, "int64", f"{name}/reached")
    places = builder.operator("ReduceSum", name, [counted, np.array([x.rank], np.int64)], x.shape, "int64",
                              {"keepdims": 0})
    mode = layer.config.get("output_mode", "int")
    if mode == "int":
        # Keras 2 gave what its dtype says, int64 unless told otherwise; Keras 3 gives int32.
        narrow = context.version.three or policy_name(layer) == "int32"
        return builder.cast(places, "int32" if narrow else "int64", name)
    return encoded(context, layer, places, len(bounds) + 1, mode)


@maps("CategoryEncoding")
def category_encoding(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    x = context.builder.cast(one(layer, arguments), "int64", layer.where)
    return encoded(context, layer, x, layer.size("num_tokens"), layer.config.get("output_mode", "multi_hot"))


def categories(context: Context, layer: Layer, count: int, dtype: str) -> np.ndarray:
    """The ids below `count`, a number of the configuration, which a small file may say as well as a large one."""
    context.columns += count
    if context.columns > MAX_CATEGORIES:
        raise UnsupportedError(f"{layer}: {count} categories are not supported; supported: at most {MAX_CATEGORIES} of "
                               "all layers together")
    return np.arange(count, dtype=dtype)


def encoded(context: Context, layer: Layer, x: Tensor, depth: int, mode: object, dtype: str | None = None) -> Tensor:
    """Ids below `depth`: a row for each of them (one_hot), or one for all of a sample, of ones or of counts. dtype: of
    the rows, if not the layer's."""
    builder, name = context.builder, layer.where
    sparse = layer.config.get("sparse", False)
    if mode not in ("one_hot", "multi_hot", "binary", "count") or sparse:
        raise UnsupportedError(f"{layer}: output_mode {mode!r:.80}, sparse {sparse!r:.80} is not supported; supported: "
                               "one_hot, multi_hot and count, dense")
    if x.rank != 2 and (mode != "one_hot" or x.rank < 2):
        raise UnsupportedError(f"{layer}: output_mode {mode} of {show(x.shape)} is not supported; supported: [batch, "
                               "categories]")
    policy = policy_name(layer)
    dtype = dtype or (policy if policy.startswith(("int", "uint")) else float_type_of(context, layer))
    if mode == "one_hot" and x.shape[-1] == 1:
        x = builder.operator("Squeeze", f"{name}/ids", [x, np.array([x.rank - 1], np.int64)], x.shape[:-1])
    wide = builder.operator("Unsqueeze", f"{name}/each", [x, np.array([x.rank], np.int64)], (*x.shape, 1))
    same = builder.operator("Equal", f"{name}/same", [wide, categories(context, layer, depth, "int64")],
                            (*x.shape, depth), "bool")
    made = builder.cast(same, dtype, name)
    if mode == "one_hot":
        return made
    return builder.operator("ReduceSum" if mode == "count" else "ReduceMax", name, [made, np.array([1], np.int64)],
                            (x.shape[0], depth), attributes={"keepdims": 0})
