"""Layers: matrix products, convolutions, pooling, normalizations, dropout."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from .arguments import Arguments
from .emit import Emitter, Tensor
from .reductions import reduced
from .registry import aten

new = partial(aten, fresh=True)


def _turned(e: Emitter, weight: Tensor) -> Tensor:
    """A matrix with its axes exchanged; one of the weights, once."""
    array = weight.array
    if array is None:
        return e.swap(weight, 0, 1)
    return e.derived(("turned", weight.name), lambda: [np.ascontiguousarray(array.T)])[0]


def _product(e: Emitter, a: Arguments, x: Tensor, y: Tensor) -> Tensor:
    if x.dtype != y.dtype:
        a.wrong(f"factors of {x.dtype} and {y.dtype}")
    return e.op("MatMul", x, y)


@new("linear.default")
def _linear(e: Emitter, a: Arguments) -> Tensor:
    x, weight, bias = a.tensor("input"), a.tensor("weight"), a.optional("bias")
    if weight.rank != 2:
        a.refuse("a weight that is no matrix is not supported")
    y = _product(e, a, x, _turned(e, weight))
    return y if bias is None else e.op("Add", y, bias)


@new("addmm.default")
def _addmm(e: Emitter, a: Arguments) -> Tensor:
    y = _product(e, a, a.tensor("mat1"), a.tensor("mat2"))
    alpha, beta, bias = a.number("alpha", 1), a.number("beta", 1), a.tensor("self")
    y = y if alpha == 1 else e.op("Mul", y, e.constant(alpha, y.dtype))
    bias = bias if beta == 1 else e.op("Mul", bias, e.constant(beta, y.dtype))
    return e.op("Add", y, bias)


@new("mm.default bmm.default mv.default")
def _mm(e: Emitter, a: Arguments) -> Tensor:
    return _product(e, a, a.tensor("self"), a.tensor("vec" if a.has("vec") else "mat2"))


@new("matmul.default dot.default")
def _matmul(e: Emitter, a: Arguments) -> Tensor:
    return _product(e, a, a.tensor("self"), a.tensor("tensor" if a.has("tensor") else "other"))


@new("baddbmm.default")
def _baddbmm(e: Emitter, a: Arguments) -> Tensor:
    if a.number("alpha", 1) != 1 or a.number("beta", 1) != 1:
        a.refuse("alpha and beta are not supported")
    return e.op("Add", _product(e, a, a.tensor("batch1"), a.tensor("batch2")), a.tensor("self"))


@new("einsum.default")
def _einsum(e: Emitter, a: Arguments) -> Tensor:
    equation = a.text("equation")
    if a.any("path", None) is not None:
        a.ignore("path")
    return e.op("Einsum", *a.tensors("tensors"), equation=equation)


@aten("dropout.default feature_dropout.default alpha_dropout.default feature_alpha_dropout.default"
      " native_dropout.default")
def _dropout(e: Emitter, a: Arguments) -> Tensor | list[Tensor | None]:
    x = a.tensor("input")
    a.ignore("p")
    if a.any("train", True):
        a.refuse("dropout as in training is random; export the module after module.eval()")
    return [x, None] if "native" in a.op else x


def _channels(e: Emitter, a: Arguments, name: str, like: Tensor, fill: float) -> Tensor:
    """A vector of the layer, or what stands for one that is left out."""
    given = a.optional(name)
    if given is not None:
        return given
    return e.constant(np.full(like.shape, fill), like.dtype) if all(isinstance(d, int) for d in like.shape) else \
        a.refuse(f"without {name} over an axis whose size is open is not supported")


@new("batch_norm.default _native_batch_norm_legit_no_training.default")
def _batch_norm(e: Emitter, a: Arguments) -> Tensor | list[Tensor | None]:
    x, mean, var = a.tensor("input"), a.optional("running_mean"), a.optional("running_var")
    training = a.any("training", False)
    a.ignore("momentum", "cudnn_enabled")
    if training or mean is None or var is None:
        a.refuse("statistics of the batch itself, as in training, are not supported; export the module after "
                 "module.eval()")
    if x.rank < 2:
        a.wrong(f"{x.rank} axes")
    y = e.op("BatchNormalization", x, _channels(e, a, "weight", mean, 1), _channels(e, a, "bias", mean, 0), mean, var,
             epsilon=float(a.number("eps", 1e-5)))
    return [y, None, None] if "_native" in a.op else y


@new("layer_norm.default native_layer_norm.default")
def _layer_norm(e: Emitter, a: Arguments) -> Tensor | list[Tensor | None]:
    x, shape = a.tensor("input"), a.sizes("normalized_shape")
    count = len(shape)
    sizes = tuple(size for size in shape if isinstance(size, int))
    if not 1 <= count <= x.rank or len(sizes) != count or not all(d == s or isinstance(d, str)
                                                                  for s, d in zip(sizes, x.shape[-count:])):
        a.wrong(f"normalized_shape {shape} for a tensor {list(x.shape)}")
    like = Tensor("", sizes, x.dtype)
    scale, bias = _channels(e, a, "weight", like, 1), a.optional("bias")
    y = e.op("LayerNormalization", x, scale, bias, axis=-count, epsilon=float(a.number("eps", 1e-5)))
    return [y, None, None] if "native" in a.op else y


@new("rms_norm.default")
def _rms_norm(e: Emitter, a: Arguments) -> Tensor:
    x, shape, weight = a.tensor("input"), a.ints("normalized_shape"), a.optional("weight")
    eps = a.any("eps", None)
    eps = float(np.finfo(x.dtype).eps) if eps is None else eps
    axes = list(range(x.rank - len(shape), x.rank))
    mean = reduced(e, "ReduceMean", e.op("Mul", x, x), axes, True)
    y = e.op("Div", x, e.op("Sqrt", e.op("Add", mean, e.constant(eps, x.dtype))))
    return y if weight is None else e.op("Mul", y, weight)


@new("group_norm.default")
def _group_norm(e: Emitter, a: Arguments) -> Tensor:
    x = a.tensor("input")
    channels = x.shape[1] if x.rank >= 2 else None
    if not isinstance(channels, int):
        a.refuse("over channels whose number is open is not supported")
    like = Tensor("", (channels,), x.dtype)
    return e.op("GroupNormalization", x, _channels(e, a, "weight", like, 1), _channels(e, a, "bias", like, 0),
                num_groups=a.whole("num_groups"), epsilon=float(a.number("eps", 1e-5)))


def _per_axis(a: Arguments, name: str, count: int, default: int) -> list[int]:
    """One number for each spatial axis; a single one is for all of them, none is the default."""
    value = a.any(name, None)
    value = [value] if type(value) is int else [] if value is None else value
    if not isinstance(value, list) or not all(type(v) is int for v in value) or len(value) not in (0, 1, count):
        a.wrong(f"argument {name!r} must be {count} whole numbers, got {value!r:.60}")
    return [default] * count if not value else value * count if len(value) == 1 else value


@new("conv1d.default conv1d.padding conv2d.default conv2d.padding convolution.default")
def _conv(e: Emitter, a: Arguments) -> Tensor:
    x, weight, bias = a.tensor("input"), a.tensor("weight"), a.optional("bias")
    count = weight.rank - 2
    if count not in (1, 2) or x.rank != weight.rank:
        a.refuse("without a batch axis, or over other than 1 or 2 axes, is not supported")
    if a.flag("transposed", False) or any(_per_axis(a, "output_padding", count, 0)):
        a.refuse("transposed convolutions are not supported")
    kernel = tuple(size for size in weight.shape[2:] if isinstance(size, int))
    if len(kernel) != count:
        a.refuse("a kernel whose size is open is not supported")
    padding, dilation = a.any("padding", None), _per_axis(a, "dilation", count, 1)
    if isinstance(padding, str):
        if padding not in ("valid", "same"):
            a.wrong(f"padding {padding!r}")
        total = [d * (k - 1) if padding == "same" else 0 for d, k in zip(dilation, kernel)]
        pads = [t // 2 for t in total] + [t - t // 2 for t in total]
    else:
        pads = _per_axis(a, "padding", count, 0) * 2
    return e.op("Conv", x, weight, bias, group=a.whole("groups", 1), strides=tuple(_per_axis(a, "stride", count, 1)),
                dilations=tuple(dilation), pads=tuple(pads), kernel_shape=kernel)


def _pool(e: Emitter, a: Arguments, op_type: str, count: int, **more: Any) -> Tensor:
    x = a.tensor("self")
    if x.rank != count + 2:
        a.refuse("without a batch axis is not supported")
    if a.flag("ceil_mode", False):
        a.refuse("ceil_mode is not supported")
    kernel = _per_axis(a, "kernel_size", count, 1)
    strides = _per_axis(a, "stride", count, 0)
    return e.op(op_type, x, kernel_shape=tuple(kernel), strides=tuple(strides if any(strides) else kernel),
                pads=tuple(_per_axis(a, "padding", count, 0) * 2), **more)


@new("max_pool1d.default max_pool2d.default")
def _max_pool(e: Emitter, a: Arguments) -> Tensor:
    if set(_per_axis(a, "dilation", 1 if "1d" in a.op else 2, 1)) != {1}:
        a.refuse("dilation is not supported")
    return _pool(e, a, "MaxPool", 1 if "1d" in a.op else 2)


@new("avg_pool1d.default avg_pool2d.default")
def _avg_pool(e: Emitter, a: Arguments) -> Tensor:
    if a.any("divisor_override", None) is not None:
        a.refuse("divisor_override is not supported")
    return _pool(e, a, "AveragePool", 1 if "1d" in a.op else 2,
                 count_include_pad=int(a.flag("count_include_pad", True)))


@new("adaptive_avg_pool1d.default adaptive_avg_pool2d.default adaptive_max_pool1d.default adaptive_max_pool2d.default")
def _adaptive_pool(e: Emitter, a: Arguments) -> Tensor | list[Tensor | None]:
    """To a size of 1 alone: the whole axis."""
    x, sizes = a.tensor("self"), a.ints("output_size")
    if set(sizes) != {1} or x.rank != len(sizes) + 2:
        a.refuse(f"to a size of {sizes} is not supported; a size of 1 is")
    axes = list(range(2, x.rank))
    if "_max_" in a.op:
        return [reduced(e, "ReduceMax", x, axes, True), None]
    return reduced(e, "ReduceMean", x, axes, True)


@new("_weight_norm.default")
def _weight_norm(e: Emitter, a: Arguments) -> Tensor:
    """v g / |v|, the norm over all axes but one, or (dim -1) over all."""
    v, g, dim = a.tensor("v"), a.tensor("g"), a.whole("dim", 0)
    kept = None if dim == -1 else a.positive(dim, v.rank)
    norm = reduced(e, "ReduceL2", v, [axis for axis in range(v.rank) if axis != kept], True)
    return e.op("Mul", v, e.op("Div", g, norm))
