"""ONNX Runtime's operators on whole numbers with a scale and a zero, which its quantiser writes beside ONNX's own.

Each stands for itself: what it reads becomes floats, ONNX's operator works on them, and the result is rounded. Source:
ONNX Runtime's ContribOperators.md.
"""

from __future__ import annotations

from typing import Any

from ..data_types import DATA_TYPE_NUMBERS
from ..errors import FormatError, UnsupportedError
from .microsoft import DOMAIN, Parts
from .older import Facts, FileNode, OlderForm, older_only


def _floats(parts: Parts, x: str, scale: str, zero: str, **attributes: Any) -> str:
    return parts.op("DequantizeLinear", *filter(None, (x, scale, zero)), **attributes)


def _rounded(parts: Parts, result: str, scale: str, zero: str, like: str) -> None:
    """Let `result` be the node's output, rounded. like: what has its type where there is no zero."""
    if zero:
        return parts.done(parts.op("QuantizeLinear", result, scale, zero))
    number = DATA_TYPE_NUMBERS[parts.facts.dtype(like)]
    return parts.done(parts.op("QuantizeLinear", result, scale, output_dtype=number))


def _one_scale(parts: Parts, *names: str) -> None:
    """Raise UnsupportedError for scales and zeros that are not one number."""
    for name in filter(None, names):
        if parts.facts.shape(name) not in ((), (1,)):
            raise UnsupportedError(f"{parts.node.label}: scale or zero {name!r} of shape "
                                   f"{list(parts.facts.shape(name))} is not supported; supported: one number")


# ---- under ONNX's names ---------------------------------------------------------------------------------------------

def _linear(op: str) -> OlderForm:
    def rule(node: FileNode, facts: Facts) -> list[FileNode]:
        parts = Parts(node, facts, (2, 3), whole=True, axis=1, block_size=0)
        parts.done(parts.op(op, *filter(None, parts.inputs), **node.attributes))
        return parts.nodes
    return rule


older_only(f"{DOMAIN}.QuantizeLinear")(_linear("QuantizeLinear"))
older_only(f"{DOMAIN}.DequantizeLinear")(_linear("DequantizeLinear"))


# ---- element by element ---------------------------------------------------------------------------------------------

def _of_two(op: str) -> OlderForm:
    def rule(node: FileNode, facts: Facts) -> list[FileNode]:
        parts = Parts(node, facts, (7, 8), whole=True)
        a, a_scale, a_zero, b, b_scale, b_zero, scale, zero = parts.inputs
        _one_scale(parts, a_scale, a_zero, b_scale, b_zero, scale, zero)
        made = parts.op(op, _floats(parts, a, a_scale, a_zero), _floats(parts, b, b_scale, b_zero))
        _rounded(parts, made, scale, zero, a)
        return parts.nodes
    return rule


def _of_one(op: str, **defaults: Any) -> OlderForm:
    """An operator of one input that takes the node's attributes as they are."""
    def rule(node: FileNode, facts: Facts) -> list[FileNode]:
        parts = Parts(node, facts, (4, 5), whole=True, **defaults)
        x, x_scale, x_zero, scale, zero = parts.inputs
        _one_scale(parts, x_scale, x_zero, scale, zero)
        own = dict(node.attributes)
        if own.pop("channels_last", 0):
            raise UnsupportedError(f"{node.label}: attribute 'channels_last' = 1 is not supported; supported: 0")
        _rounded(parts, parts.op(op, _floats(parts, x, x_scale, x_zero), **own), scale, zero, x)
        return parts.nodes
    return rule


older_only(f"{DOMAIN}.QLinearAdd")(_of_two("Add"))
older_only(f"{DOMAIN}.QLinearMul")(_of_two("Mul"))
older_only(f"{DOMAIN}.QLinearSigmoid")(_of_one("Sigmoid"))
older_only(f"{DOMAIN}.QLinearLeakyRelu")(_of_one("LeakyRelu", alpha=0.01))
older_only(f"{DOMAIN}.QLinearGlobalAveragePool")(_of_one("GlobalAveragePool", channels_last=0))
older_only(f"{DOMAIN}.QLinearAveragePool")(_of_one("AveragePool", auto_pad="NOTSET", ceil_mode=0, channels_last=0,
                                          count_include_pad=0, kernel_shape=(), pads=(), strides=()))


@older_only(f"{DOMAIN}.QLinearSoftmax")
def _softmax(node: FileNode, facts: Facts) -> list[FileNode]:
    """Before ONNX's version 13, which the node says, the axes from `axis` on were one."""
    parts = Parts(node, facts, (5, 5), whole=True, axis=-1, opset=1)
    x, x_scale, x_zero, scale, zero = parts.inputs
    _one_scale(parts, x_scale, x_zero, scale, zero)
    axis, rank = parts.attributes["axis"], facts.rank(x)
    if parts.attributes["opset"] < 13 and axis % max(rank, 1) != rank - 1:
        raise UnsupportedError(f"{node.label}: axis {axis} of {rank} axes in ONNX's version "
                               f"{parts.attributes['opset']} is not supported; supported: the last axis")
    _rounded(parts, parts.op("Softmax", _floats(parts, x, x_scale, x_zero), axis=axis), scale, zero, x)
    return parts.nodes


@older_only(f"{DOMAIN}.QLinearWhere")
def _where(node: FileNode, facts: Facts) -> list[FileNode]:
    parts = Parts(node, facts, (9, 9), whole=True)
    condition, a, a_scale, a_zero, b, b_scale, b_zero, scale, zero = parts.inputs
    _one_scale(parts, a_scale, a_zero, b_scale, b_zero, scale, zero)
    made = parts.op("Where", condition, _floats(parts, a, a_scale, a_zero), _floats(parts, b, b_scale, b_zero))
    _rounded(parts, made, scale, zero, a)
    return parts.nodes


# ---- of several numbers ---------------------------------------------------------------------------------------------

@older_only(f"{DOMAIN}.QLinearConcat")
def _concat(node: FileNode, facts: Facts) -> list[FileNode]:
    """The scale and the zero of the result, then three inputs for each part."""
    count = len(node.inputs)
    if count < 5 or count % 3 != 2:
        raise FormatError(f"{node.label}: takes a scale, a zero, and three inputs for each part, not {count} inputs")
    parts = Parts(node, facts, (5, count), whole=True, axis=1)
    scale, zero, *rest = parts.inputs
    _one_scale(parts, scale, zero, *(name for at, name in enumerate(rest) if at % 3))
    made = [_floats(parts, *rest[at:at + 3]) for at in range(0, len(rest), 3)]
    _rounded(parts, parts.op("Concat", *made, axis=parts.attributes["axis"]), scale, zero, rest[0])
    return parts.nodes


@older_only(f"{DOMAIN}.QGemm")
def _gemm(node: FileNode, facts: Facts) -> list[FileNode]:
    """alpha A B + C: whole numbers until they are summed, C of int32 in units of alpha times both scales; rounded
    where there is a scale of the result."""
    parts = Parts(node, facts, (6, 9), whole=True, alpha=1.0, transA=0, transB=0)
    a, a_scale, a_zero, b, b_scale, b_zero, addend, scale, zero = parts.inputs
    _one_scale(parts, a_scale, a_zero, scale, zero)
    for name in (b_scale, b_zero):
        if len(facts.shape(name)) > 1:
            raise FormatError(f"{node.label}: {name!r} must be one number, or one a column, got shape "
                              f"{list(facts.shape(name))}")
    left = parts.op("Transpose", a, perm=(1, 0)) if parts.attributes["transA"] else a
    right = parts.op("Transpose", b, perm=(1, 0)) if parts.attributes["transB"] else b
    sums = parts.op("MatMulInteger", left, right, a_zero, b_zero)
    if addend:
        if facts.dtype(addend) != "int32":
            raise FormatError(f"{node.label}: input 6 must be int32, got {facts.dtype(addend)}")
        sums = parts.op("Add", sums, addend)
    unit = parts.op("Mul", a_scale, b_scale)
    if parts.attributes["alpha"] != 1.0:
        unit = parts.op("Mul", unit, parts.number(parts.attributes["alpha"], a_scale))
    made = parts.op("Mul", parts.op("CastLike", sums, a_scale), unit)
    if not scale:
        parts.done(made)
    else:
        _one_scale(parts, scale, zero)
        _rounded(parts, made, scale, zero, a)
    return parts.nodes

