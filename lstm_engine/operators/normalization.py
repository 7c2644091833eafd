"""Normalizations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import UnsupportedError
from ..graph.nodes import Dim, Operator, Value
from .axis_rules import AxisCall, beside_axis, first_axis
from .costs import Arrays, Need, need_of
from .kernels import Call, Kernel, of_shape, repeatable
from .older import Facts, FileNode, instead, optional_outputs, trimmed, without
from .places import Place, need
from .shape_rules import ShapeCall, Shapes, same_along_axis
from .spec import REQUIRED, Attribute, declare, one_of

MAX_WINDOW = 1024       # channels that LRN looks at


def _check_per_channel(call: ShapeCall, positions: Sequence[int]) -> None:
    x = call.shape()
    channels: Dim | None = x[1] if len(x) > 1 else 1
    for position in positions:
        shape = call.shape(position)
        if len(shape) != 1 or (isinstance(shape[0], int) and isinstance(channels, int) and shape[0] != channels):
            raise call.error(f"input {position} of shape {shape} for {channels} channels")
        if isinstance(shape[0], int):
            channels = shape[0]              # where x does not say how many, its parameters must agree with each other


def _per_channel(x: np.ndarray, array: np.ndarray) -> np.ndarray:
    """One number a channel, laid beside x [batch, channels, ...]. Raises ValueError for another number of them: NumPy
    would repeat a single one."""
    if x.ndim > 1 and array.shape != x.shape[1:2]:
        raise ValueError(f"{array.size} numbers for {x.shape[1]} channels")
    return array.reshape((-1,) + (1,) * (x.ndim - 2))


# ---- BatchNormalization ---------------------------------------------------------------------------------------------

def _batch_normalization_shape(call: ShapeCall) -> Shapes:
    _check_per_channel(call, (1, 2, 3, 4))
    return [(call.shape(), call.dtype())]


def _batch_normalization_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    epsilon = attributes["epsilon"]

    def factors(scale: np.ndarray, bias: np.ndarray, mean: np.ndarray, var: np.ndarray
                ) -> tuple[np.ndarray, np.ndarray]:
        """y = x * factor + offset, made in float64 and rounded once."""
        factor = scale.astype(np.float64) / np.sqrt(var.astype(np.float64) + epsilon)
        return factor.astype(scale.dtype), (bias - mean * factor).astype(scale.dtype)

    folded = factors(*(node.constants[i] for i in (1, 2, 3, 4))) if set(node.constants) >= {1, 2, 3, 4} else None

    by_rank: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def normalize(x: np.ndarray, *parameters: np.ndarray) -> np.ndarray:
        shaped = by_rank.get(x.ndim)
        if shaped is None:
            factor, offset = folded or factors(*parameters)
            shaped = (_per_channel(x, factor), _per_channel(x, offset)) if x.ndim > 1 else (factor, offset)
            if folded:
                by_rank[x.ndim] = shaped
        elif x.ndim > 1 and x.shape[1] != shaped[0].shape[0]:
            raise ValueError(f"{shaped[0].shape[0]} numbers for {x.shape[1]} channels")
        y: np.ndarray = x * shaped[0]
        y += shaped[1]
        return y

    def again(out: np.ndarray, x: np.ndarray, *parameters: np.ndarray) -> list[Call] | None:
        shaped = by_rank.get(x.ndim)
        return None if shaped is None else [(np.multiply, (x, shaped[0], out)), (np.add, (out, shaped[1], out))]
    return repeatable(normalize, again)


def _batch_normalization_older(node: FileNode, facts: Facts) -> list[FileNode]:
    if not node.attributes.get("spatial", 1):
        raise UnsupportedError(f"{node.label}: attribute 'spatial' = 0 is not supported")
    node = trimmed(without(node, "spatial", "is_test", "consumed_inputs"))
    return _training(node, facts) if node.attributes.get("training_mode") == 1 and len(node.inputs) == 5 else [node]


def _training(node: FileNode, facts: Facts) -> list[FileNode]:
    """With the mean and variance of the input itself, which also move those that are kept: kept * momentum + of this
    input * (1 - momentum)."""
    x, scale, bias, *kept = node.inputs[:5]
    momentum = node.attributes.get("momentum", 0.9)
    new = {part: facts.new_name(f"{node.outputs[0]}/{part}") for part in
           ("mean over", "centred", "squares", "mean", "variance")}
    others = facts.add_constant(f"{node.outputs[0]}/axes",
                                np.array([axis for axis in range(facts.rank(x)) if axis != 1], np.int64))

    def part(op: str, inputs: tuple[str, ...], output: str, **attributes: Any) -> FileNode:
        return instead(node, op, inputs, (output,), f"{op} {output}", **attributes)

    made = [part("ReduceMean", (x, others), new["mean over"]), part("Sub", (x, new["mean over"]), new["centred"]),
            part("Mul", (new["centred"],) * 2, new["squares"]),
            part("ReduceMean", (x, others), new["mean"], keepdims=0),
            part("ReduceMean", (new["squares"], others), new["variance"], keepdims=0),
            replace(without(node, "training_mode"), inputs=(x, scale, bias, new["mean"], new["variance"]),
                    outputs=node.outputs[:1])]
    for old, now, output in zip(kept, (new["mean"], new["variance"]), node.outputs[1:]):
        if output:
            like = facts.add_constant(f"{output}/momentum", np.array([momentum, 1 - momentum], np.float32))
            factors = [facts.new_name(f"{output}/{i}") for i in range(5)]
            made += [part("CastLike", (like, now), factors[0]),
                     instead(node, "Split", (factors[0],), (factors[1], factors[2]), f"Split {output}", num_outputs=2),
                     part("Mul", (old, factors[1]), factors[3]), part("Mul", (now, factors[2]), factors[4]),
                     part("Add", (factors[3], factors[4]), output)]
    return made


def _batch_normalization_axes(call: AxisCall) -> Place:
    """Every number by itself, with those of its channel."""
    at = call.only_first()
    need(at != 1)
    return at


declare("BatchNormalization", 5, make=_batch_normalization_kernel, older=_batch_normalization_older,
        attributes={"epsilon": 1e-5, "momentum": 0.9, "training_mode": one_of(0)}, shape=_batch_normalization_shape,
        axes=_batch_normalization_axes, scratch=3, takes="floats", apart="XSSMM")


# ---- over the elements of a row -------------------------------------------------------------------------------------

def _standardize(x: np.ndarray, axes: tuple[int, ...], epsilon: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(x - mean) / sqrt(variance + epsilon) over `axes`, the mean, and the reciprocal of the root."""
    mean = x.mean(axis=axes, keepdims=True)
    centred = x - mean
    variance = np.square(centred).mean(axis=axes, keepdims=True)
    inverse = 1 / np.sqrt(variance + x.dtype.type(epsilon))
    return centred * inverse, mean, inverse


def _layer_normalization_shape(call: ShapeCall) -> Shapes:
    x = call.shape()
    axis = call.axis(call.attributes["axis"], len(x))
    for position in (1, 2):
        if call.given(position):
            call.check_broadcast(position, x)
    kept = x[:axis] + [1] * (len(x) - axis)
    return [(x, call.dtype()), (kept, call.dtype()), (kept, call.dtype())]


def _layer_normalization_axes(call: AxisCall) -> Place:
    at = call.only_first()
    need(at < call.axis(call.attributes["axis"]))
    behind = [at - len(call.shapes[0]) + len(shape) for shape in call.shapes[1:]]
    need(all(axis < 0 or shape[axis] == 1 for axis, shape in zip(behind, call.shapes[1:])))
    return at


def _layer_normalization_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    axis, epsilon = attributes["axis"], attributes["epsilon"]

    def normalize(x: np.ndarray, scale: np.ndarray, bias: np.ndarray | None = None) -> tuple[np.ndarray, ...]:
        axes = tuple(range(axis % x.ndim, x.ndim))
        y, mean, inverse = _standardize(x, axes, epsilon)
        y = y * scale
        return of_shape(y if bias is None else y + bias, x), mean, inverse
    return lambda *inputs: normalize(*inputs)[:len(node.outputs)]


def _rms_normalization_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    axis, epsilon = attributes["axis"], attributes["epsilon"]

    def normalize(x: np.ndarray, scale: np.ndarray) -> np.ndarray:
        squares = np.square(x).mean(axis=tuple(range(axis % x.ndim, x.ndim)), keepdims=True)
        return of_shape(x / np.sqrt(squares + x.dtype.type(epsilon)) * scale, x)
    return normalize


def _rms_normalization_shape(call: ShapeCall) -> Shapes:
    return _layer_normalization_shape(call)[:1]


def _channel_normalization_shape(call: ShapeCall) -> Shapes:
    _check_per_channel(call, (1, 2))
    groups, x = call.attributes.get("num_groups", 1), call.shape()
    if len(x) < 2 or groups < 1 or (isinstance(x[1], int) and x[1] % groups):
        raise call.error(f"{x[1] if len(x) > 1 else 0} channels do not divide into {groups} groups")
    return [(x, call.dtype())]


def _instance_normalization_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    epsilon = attributes["epsilon"]

    def normalize(x: np.ndarray, scale: np.ndarray, bias: np.ndarray) -> np.ndarray:
        centred = _standardize(x, tuple(range(2, x.ndim)), epsilon)[0]
        y: np.ndarray = centred * _per_channel(x, scale) + _per_channel(x, bias)
        return y
    return normalize


def _group_normalization_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    epsilon, groups = attributes["epsilon"], attributes["num_groups"]

    def normalize(x: np.ndarray, scale: np.ndarray, bias: np.ndarray) -> np.ndarray:
        grouped = x.reshape(x.shape[0], groups, -1)
        centred = _standardize(grouped, (2,), epsilon)[0].reshape(x.shape)
        y: np.ndarray = centred * _per_channel(x, scale) + _per_channel(x, bias)
        return y
    return normalize


def _group_normalization_older(node: FileNode, facts: Facts) -> list[FileNode]:
    """Before version 21 scale and bias had one element a group, not one a channel."""
    if node.opset >= 21:
        return [node]
    raise UnsupportedError(f"{node.label}: version 18 (scale and bias by group) is not supported; export with "
                           "version 21 of ONNX's operators")


# ---- by a norm, or by what stands around ----------------------------------------------------------------------------

def _lp_normalization_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    axis, p = attributes["axis"], attributes["p"]

    def normalize(x: np.ndarray) -> np.ndarray:
        norm = np.abs(x).sum(axis=axis, keepdims=True) if p == 1 else \
            np.sqrt(np.square(x).sum(axis=axis, keepdims=True))
        y: np.ndarray = np.divide(x, norm, out=np.zeros_like(x), where=norm != 0)       # 0 of a norm of 0: ONNX
        return y
    return normalize


def _mean_variance_axes(call: AxisCall) -> Place:
    at = call.only_first()
    need(at not in [call.axis(axis) for axis in call.attributes["axes"]])
    return at


def _mean_variance_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    axes = attributes["axes"]

    def normalize(x: np.ndarray) -> np.ndarray:
        centred = x - x.mean(axis=axes, keepdims=True)      # not the difference of squares, which leaves few digits
        deviation = np.sqrt(np.square(centred).mean(axis=axes, keepdims=True))
        y: np.ndarray = centred / (deviation + x.dtype.type(1e-9))
        return y
    return normalize


def _lrn_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    size, alpha, beta, bias = (attributes[name] for name in ("size", "alpha", "beta", "bias"))

    def normalize(x: np.ndarray) -> np.ndarray:
        # Channels that there are: a window may be wider than all of them.
        before, after = (min(wanted, max(x.shape[1] - 1, 0)) for wanted in ((size - 1) // 2, size // 2))
        squares = np.pad(np.square(x), [(0, 0), (before, after)] + [(0, 0)] * (x.ndim - 2))
        total = sum((squares[:, i:i + x.shape[1]] for i in range(1, before + after + 1)), squares[:, :x.shape[1]])
        one = x.dtype.type
        y: np.ndarray = x / (one(bias) + one(alpha / size) * total) ** one(beta)
        return y
    return normalize


def _lrn_shape(call: ShapeCall) -> Shapes:
    if call.rank() < 2 or not 1 <= call.attributes["size"] <= MAX_WINDOW:
        raise call.error(f"a window of {call.attributes['size']} channels of an input with {call.rank()} axes; "
                         f"expected 1 to {MAX_WINDOW}, of 2 or more axes")
    return [(call.shape(), call.dtype())]


def _lrn_needs(attributes: dict[str, Any], arrays: Arrays, made: Sequence[Value]) -> Need:
    plain = need_of(arrays, made, work=16, scratch=7)       # with what is padded, at most three times as large
    return Need(plain.bytes, plain.work + arrays[0].size * min(attributes["size"], 2 * arrays[0].shape[1]))


declare("LpNormalization", 1, make=_lp_normalization_kernel, attributes={"axis": -1, "p": one_of(2, 1)},
        shape=same_along_axis, axes=beside_axis, scratch=2, takes="floats")
declare("MeanVarianceNormalization", 1, make=_mean_variance_kernel, attributes={"axes": (0, 2, 3)},
        axes=_mean_variance_axes, scratch=3, takes="floats")
declare("LRN", 1, make=_lrn_kernel, shape=_lrn_shape, axes=first_axis, needs=_lrn_needs,
        attributes={"size": Attribute(int, REQUIRED), "alpha": 1e-4, "beta": 0.75, "bias": 1.0}, takes="floats")
declare("LayerNormalization", (2, 3), (1, 3), make=_layer_normalization_kernel, older=optional_outputs,
        attributes={"axis": -1, "epsilon": 1e-5, "stash_type": one_of(1)}, shape=_layer_normalization_shape,
        axes=_layer_normalization_axes, scratch=3, takes="floats")
declare("RMSNormalization", 2, make=_rms_normalization_kernel, shape=_rms_normalization_shape,
        attributes={"axis": -1, "epsilon": 1e-5, "stash_type": one_of(1)}, axes=_layer_normalization_axes, scratch=3,
        takes="floats", apart="XS")
declare("InstanceNormalization", 3, make=_instance_normalization_kernel, attributes={"epsilon": 1e-5},
        shape=_channel_normalization_shape, axes=first_axis, scratch=3, takes="floats")
declare("GroupNormalization", 3, make=_group_normalization_kernel, older=_group_normalization_older,
        attributes={"epsilon": 1e-5, "num_groups": Attribute(int, REQUIRED), "stash_type": one_of(1)},
        shape=_channel_normalization_shape, axes=first_axis, scratch=3, takes="floats")
