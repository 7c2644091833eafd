"""Layers: matrix products, convolutions, normalizations, dropout."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from .arguments import Arguments, Opaque
from .emit import Emitter, Tensor
from .promotion import promoted
from .reductions import reduced
from .registry import aten
from .views import put_same

new = partial(aten, fresh=True)


def _turned(e: Emitter, weight: Tensor) -> Tensor:
    """A matrix with its axes exchanged; one of the weights, once."""
    array = weight.array
    if array is None:
        return e.swap(weight, 0, 1)
    return e.derived(("turned", weight.name), lambda: [np.ascontiguousarray(array.T)])[0]


def product(e: Emitter, a: Arguments, x: Tensor, y: Tensor) -> Tensor:
    if x.dtype != y.dtype:
        a.wrong(f"factors of {x.dtype} and {y.dtype}")
    return e.op("MatMul", x, y)


@new("linear.default")
def _linear(e: Emitter, a: Arguments) -> Tensor:
    x, weight, bias = a.tensor("input"), a.tensor("weight"), a.optional("bias")
    if weight.rank == 1 and bias is None:
        return product(e, a, x, weight)
    if weight.rank != 2:
        a.refuse("a weight that is no matrix is not supported")
    y = product(e, a, x, _turned(e, weight))
    return y if bias is None else e.op("Add", y, bias)


@new("addmm.default")
def _addmm(e: Emitter, a: Arguments) -> Tensor:
    return weighted(e, a, product(e, a, a.tensor("mat1"), a.tensor("mat2")))


@new("addmv.default")
def _addmv(e: Emitter, a: Arguments) -> Tensor:
    return weighted(e, a, product(e, a, a.tensor("mat"), a.tensor("vec")))


def weighted(e: Emitter, a: Arguments, y: Tensor) -> Tensor:
    """beta self + alpha y; with beta 0 torch does not look at self, NaN though it be."""
    alpha, beta, bias = a.number("alpha", 1), a.number("beta", 1), a.tensor("self")
    y = y if alpha == 1 else e.op("Mul", y, e.constant(alpha, y.dtype))
    if beta == 0:
        return y
    bias = bias if beta == 1 else e.op("Mul", bias, e.constant(beta, y.dtype))
    return e.op("Add", y, bias)


@new("mm.default bmm.default mv.default")
def _mm(e: Emitter, a: Arguments) -> Tensor:
    return product(e, a, a.tensor("self"), a.tensor("vec" if a.has("vec") else "mat2"))


@new("matmul.default dot.default vdot.default linalg_matmul.default")
def _matmul(e: Emitter, a: Arguments) -> Tensor:
    return product(e, a, a.tensor("self"), a.tensor("tensor" if a.has("tensor") else "other"))


@new("inner.default")
def _inner(e: Emitter, a: Arguments) -> Tensor:
    x, y = a.tensor("self"), a.tensor("other")
    if x.rank != 1 or y.rank not in (1, 2):
        if y.rank > 2 or not (x.rank and y.rank):
            a.refuse(f"of {x.rank} and {y.rank} axes is not supported")
    return product(e, a, x, e.swap(y, 0, 1) if y.rank == 2 else y)


@new("outer.default ger.default")
def _outer(e: Emitter, a: Arguments) -> Tensor:
    x, y = promoted(e, a.tensor("self"), a.tensor("vec2"))
    if x.rank != 1 or y.rank != 1:
        a.wrong(f"vectors of {x.rank} and {y.rank} axes")
    return e.op("Mul", e.unsqueeze(x, 1), e.unsqueeze(y, 0))


@new("bilinear.default")
def _bilinear(e: Emitter, a: Arguments) -> Tensor:
    """nn.Bilinear: x1 W_o x2 for each output o."""
    x, y, weight, bias = a.tensor("input1"), a.tensor("input2"), a.tensor("weight"), a.optional("bias")
    made = e.op("Einsum", x, weight, y, equation="...i,oij,...j->...o")
    return made if bias is None else e.op("Add", made, bias)


@new("baddbmm.default")
def _baddbmm(e: Emitter, a: Arguments) -> Tensor:
    y = product(e, a, a.tensor("batch1"), a.tensor("batch2"))
    return weighted(e, a, y)


@aten("einsum.default", copies=True)         # of one tensor, with no sum: a view of it
def _einsum(e: Emitter, a: Arguments) -> Tensor:
    equation = a.text("equation")
    if a.any("path", None) is not None:
        a.ignore("path")
    tensors = a.tensors("tensors")
    if len({tensor.dtype for tensor in tensors}) > 1:
        a.refuse(f"of {', '.join(tensor.dtype for tensor in tensors)} is not supported; tensors of one type are")
    return e.op("Einsum", *tensors, equation=equation)


@aten("dropout.default feature_dropout.default alpha_dropout.default feature_alpha_dropout.default"
      " native_dropout.default", put=put_same, copies=True)         # TorchScript may take it for a copy, and does
def _dropout(e: Emitter, a: Arguments) -> Any:
    x = a.any("input")
    x = x if isinstance(x, Opaque) else a.tensor("input")
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


@new("instance_norm.default")
def _instance_norm(e: Emitter, a: Arguments) -> Tensor:
    """Each row and channel by its own mean and variance; by the layer's, where it has kept them and is not training."""
    x, mean, var = a.tensor("input"), a.optional("running_mean"), a.optional("running_var")
    a.ignore("momentum", "cudnn_enabled")
    channels = x.shape[1] if x.rank >= 3 else None
    if not isinstance(channels, int):
        a.refuse("without channels, or over channels whose number is open, is not supported")
    like = Tensor("", (channels,), x.dtype)
    scale, bias = _channels(e, a, "weight", like, 1), _channels(e, a, "bias", like, 0)
    eps = float(a.number("eps", 1e-5))
    if a.flag("use_input_stats", True):
        return e.op("InstanceNormalization", x, scale, bias, epsilon=eps)
    if mean is None or var is None:
        a.wrong("needs running_mean and running_var")
    return e.op("BatchNormalization", x, scale, bias, mean, var, epsilon=eps)


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


def per_axis(a: Arguments, name: str, count: int, default: int) -> list[int]:
    """One number for each spatial axis; a single one is for all of them, none is the default."""
    value = a.any(name, None)
    value = [value] if type(value) is int else [] if value is None else value
    if not isinstance(value, list) or not all(type(v) is int for v in value) or len(value) not in (0, 1, count):
        a.wrong(f"argument {name!r} must be {count} whole numbers, got {value!r:.60}")
    return [default] * count if not value else value * count if len(value) == 1 else value


@new("conv1d.default conv1d.padding conv2d.default conv2d.padding convolution.default conv_transpose1d.default"
     " conv_transpose2d.input")
def _conv(e: Emitter, a: Arguments) -> Tensor:
    x, weight, bias = a.tensor("input"), a.tensor("weight"), a.optional("bias")
    count, alone = weight.rank - 2, x.rank == weight.rank - 1
    if count not in (1, 2) or not (x.rank == weight.rank or alone):
        a.refuse("over other than 1 or 2 axes is not supported")
    x = e.unsqueeze(x, 0) if alone else x
    y = _transposed(e, a, x, weight, bias, count) if a.flag("transposed", False) or a.op.startswith("conv_tr") else \
        _convolved(e, a, x, weight, bias, count)
    return e.squeeze(y, 0) if alone else y


def _transposed(e: Emitter, a: Arguments, x: Tensor, weight: Tensor, bias: Tensor | None, count: int) -> Tensor:
    return e.op("ConvTranspose", x, weight, bias, group=a.whole("groups", 1),
                strides=tuple(per_axis(a, "stride", count, 1)), dilations=tuple(per_axis(a, "dilation", count, 1)),
                pads=tuple(per_axis(a, "padding", count, 0) * 2),
                output_padding=tuple(per_axis(a, "output_padding", count, 0)))


def _convolved(e: Emitter, a: Arguments, x: Tensor, weight: Tensor, bias: Tensor | None, count: int) -> Tensor:
    if any(per_axis(a, "output_padding", count, 0)):
        a.wrong("output_padding is for transposed convolutions")
    kernel = tuple(size for size in weight.shape[2:] if isinstance(size, int))
    if len(kernel) != count:
        a.refuse("a kernel whose size is open is not supported")
    padding, dilation = a.any("padding", None), per_axis(a, "dilation", count, 1)
    if isinstance(padding, str):
        if padding not in ("valid", "same"):
            a.wrong(f"padding {padding!r}")
        total = [d * (k - 1) if padding == "same" else 0 for d, k in zip(dilation, kernel)]
        pads = [t // 2 for t in total] + [t - t // 2 for t in total]
    else:
        pads = per_axis(a, "padding", count, 0) * 2
    return e.op("Conv", x, weight, bias, group=a.whole("groups", 1), strides=tuple(per_axis(a, "stride", count, 1)),
                dilations=tuple(dilation), pads=tuple(pads), kernel_shape=kernel)


@new("_weight_norm.default")
def _weight_norm(e: Emitter, a: Arguments) -> Tensor:
    """v g / |v|, the norm over all axes but one, or (dim -1) over all."""
    v, g, dim = a.tensor("v"), a.tensor("g"), a.whole("dim", 0)
    kept = None if dim == -1 else a.positive(dim, v.rank)
    norm = reduced(e, "ReduceL2", v, [axis for axis in range(v.rank) if axis != kept], True)
    return e.op("Mul", v, e.op("Div", g, norm))
