"""Layers around another layer that is not recurrent: TimeDistributed, SpectralNormalization."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ....errors import FormatError, UnsupportedError
from ....graph.nodes import Dim
from ..reading.config import Layer
from .builder import Builder, Tensor
from .registry import KEEP, RECURRENT, Arguments, Context, apply, maps, one, show

# Layers that treat each step alike whether or not they are wrapped.
_STEPWISE = ("Dense", "Activation", "ReLU", "LeakyReLU", "ELU", "ThresholdedReLU", "Dropout", "AlphaDropout",
             "GaussianDropout", "GaussianNoise", "ActivityRegularization", "Identity", "Rescaling")
# Layers that would heed the mask of each step by itself.
_HEED_MASKS = (*RECURRENT, "Sequential", "Functional", "Softmax", "GlobalAveragePooling1D", "GlobalAvgPool1D")


@maps("TimeDistributed", mask=KEEP)
def time_distributed(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    """The layer inside applied to each step: to steps as rows, [batch * time, ...], where it does not treat them so."""
    builder, name = context.builder, layer.where
    inner = context.child(layer, layer.config.get("layer"), "layer")
    x = one(layer, arguments)
    if x.rank < 3:
        raise FormatError(f"{layer}: its input has the shape {show(x.shape)}; expected [batch, time, features]")
    if inner.kind in _STEPWISE:
        inner.where = name                          # one name for what the user sees as one layer
        return apply(context, inner, [replace(x, mask=None)], {})[0]
    if arguments.mask is not None and inner.kind in _HEED_MASKS:
        raise UnsupportedError(f"{layer} around {inner} of a masked input is not supported; supported: without masks")
    if not context.version.three and _makes_masks(inner):
        raise UnsupportedError(f"{layer} around {inner} with mask_zero is not supported: until Keras 3 a mask for each "
                               "step went on; supported: without mask_zero")
    rows = _reshaped(builder, f"{name}/rows", x, [-1], 2)
    made = apply(context, inner, [rows], {})
    if len(made) != 1:
        raise UnsupportedError(f"{layer} around {inner} of {len(made)} outputs is not supported; supported: one output")
    return _steps_of_rows(builder, name, x, made[0])


def _makes_masks(layer: Layer) -> bool:
    return layer.kind == "Embedding" and layer.config.get("mask_zero") is True


def _reshaped(builder: Builder, name: str, x: Tensor, begin: list[int], first: int) -> Tensor:
    """x with the axes before `first` replaced by the sizes `begin`, of which one is -1."""
    kept = x.shape[first:]
    shape: tuple[Dim, ...] = (*(builder.symbol() if size < 0 else size for size in begin), *kept)
    if all(isinstance(size, int) for size in kept):
        return builder.operator("Reshape", name, [x, np.array([*begin, *kept], np.int64)], shape)
    rest = builder.operator("Shape", f"{name}/rest", [x], (len(kept),), "int64", {"start": first, "end": x.rank})
    target = builder.operator("Concat", f"{name}/target", [np.array(begin, np.int64), rest], (len(shape),), "int64",
                              {"axis": 0})
    return builder.operator("Reshape", name, [x, target], shape)


def _steps_of_rows(builder: Builder, name: str, x: Tensor, y: Tensor) -> Tensor:
    """y [batch * time, ...], made of the rows of x [batch, time, ...], as [batch, time, ...]."""
    time, rest = x.shape[1], y.shape[1:]
    shape = (x.shape[0], time, *rest)
    if isinstance(time, int) and all(isinstance(size, int) for size in rest):
        return builder.operator("Reshape", name, [y, np.array([-1, time, *rest], np.int64)], shape)
    parts: list[Tensor] = [builder.operator("Shape", f"{name}/steps", [x], (2,), "int64", {"start": 0, "end": 2}),
                           builder.operator("Shape", f"{name}/made", [y], (len(rest),), "int64",
                                            {"start": 1, "end": y.rank})]
    parts = parts if rest else parts[:1]
    target = parts[0] if len(parts) == 1 else builder.operator("Concat", f"{name}/target", parts, (2 + len(rest),),
                                                               "int64", {"axis": 0})
    return builder.operator("Reshape", name, [y, target], shape)


@maps("SpectralNormalization", mask=KEEP)
def spectral_normalization(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    """The layer inside: training divides its kernel by its norm where it is kept."""
    inner = context.child(layer, layer.config.get("layer"), "layer")
    layer.config.get("power_iterations")            # of training, as are the arrays beside those of the layer inside
    context.weights.pass_over(layer)
    inner.where = layer.where
    made = apply(context, inner, [replace(one(layer, arguments), mask=None)], {})
    return made[0]
