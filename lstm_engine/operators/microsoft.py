"""Operators of ONNX Runtime's own domain, com.microsoft, which its optimiser puts in place of several of ONNX's.

Each is brought to the operators of ONNX that it is made of. Source: ONNX Runtime's ContribOperators.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..data_types import DATA_TYPE_NUMBERS
from ..errors import FormatError, UnsupportedError
from ..graph.nodes import Shape
from ..graph.shapes import show_shape
from .older import Facts, FileNode, OlderForm, instead, older_only

DOMAIN = "com.microsoft"
_NCHWC = "com.microsoft.nchwc"


class Parts:
    """The operators that stand for a node, in the making."""

    def __init__(self, node: FileNode, facts: Facts, inputs: tuple[int, int], whole: bool = False,
                 **defaults: Any) -> None:
        """inputs: how many the node has at least and at most, the first of floats unless it is an operator of whole
        numbers. defaults: of all the attributes that it may have."""
        least, most = inputs
        if not least <= len(node.inputs) <= most or not all(node.inputs[:least]):
            raise FormatError(f"{node.label}: takes {least if least == most else f'{least} to {most}'} inputs, "
                              f"not {len([name for name in node.inputs if name])}")
        for name, value in node.attributes.items():
            if name not in defaults:
                raise UnsupportedError(f"{node.label}: attribute {name!r} is not supported; "
                                       f"supported: {', '.join(defaults) or 'none'}")
            if type(value) is not type(defaults[name]):
                raise FormatError(f"{node.label}: attribute {name!r} has the wrong type: {value!r:.80}")
            if type(value) is int and defaults[name] == 0 and value not in (0, 1):
                raise UnsupportedError(f"{node.label}: attribute {name!r} = {value} is not supported; supported: 0, 1")
        if not whole and not facts.dtype(node.inputs[0]).startswith("float"):
            raise FormatError(f"{node.label}: input 0 must be of floats, got {facts.dtype(node.inputs[0])}")
        self.node, self.facts, self.nodes = node, facts, list[FileNode]()
        self.inputs = tuple(node.inputs) + ("",) * (most - len(node.inputs))
        self.attributes = {**defaults, **node.attributes}

    def op(self, op: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """The name of what one more operator makes. output: that name, where it is one of the node's own."""
        made = output or self.facts.new_name(f"{self.node.outputs[0]}/{op}")
        self.nodes.append(instead(self.node, op, inputs, (made,), f"{op} {made}", **attributes))
        return made

    def number(self, value: float, like: str) -> str:
        """A constant of the type of another value."""
        return self.facts.add_constant(f"{self.node.outputs[0]}/number", np.array(value, self.facts.dtype(like)))

    def added(self, first: str, *names: str) -> str:
        """The sum of the first value and of those others that are not left out, in its shape: a larger one is an
        error."""
        total = first
        for name in filter(None, names):
            if first in self.inputs and name in self.inputs:
                self.check_fits(self.facts.shape(first), self.facts.shape(name))
            total = self.op("Add", total, name)
        return total if total == first else self.op("Reshape", total, self.op("Shape", first))

    def check_fits(self, own: Shape, other: Shape) -> None:
        """Raise UnsupportedError for sizes that come with a run and may be larger than those of `own`. Of sizes made
        on the way to here no more can be said; `added` sees to those that are numbers."""
        from_inputs = self.facts.open_sizes()
        for size, beside in zip(own[::-1], other[::-1]):
            if size in from_inputs and beside not in (1, size) and (isinstance(beside, int) or beside in from_inputs):
                raise UnsupportedError(f"{self.node.label}: an input of sizes {show_shape(other)} beside one of "
                                       f"{show_shape(own)}, which may be smaller; say what {size!r} is with "
                                       "spec={'shapes': {input: [sizes]}}")

    def done(self, result: str, output: int = 0) -> None:
        """Let `result` be one of the node's outputs."""
        if len(self.node.outputs) > output and self.node.outputs[output]:
            self.op("Identity", result, output=self.node.outputs[output])


def _contributed(name: str) -> Callable[[OlderForm], OlderForm]:
    return older_only(f"{DOMAIN}.{name}")


# ---- activations ----------------------------------------------------------------------------------------------------

@_contributed("Gelu")
def _gelu(node: FileNode, facts: Facts) -> list[FileNode]:
    parts = Parts(node, facts, (1, 1))
    parts.done(parts.op("Gelu", parts.inputs[0]))
    return parts.nodes


@_contributed("BiasGelu")
def _bias_gelu(node: FileNode, facts: Facts) -> list[FileNode]:
    parts = Parts(node, facts, (2, 2))
    parts.done(parts.op("Gelu", parts.added(*parts.inputs)))
    return parts.nodes


@_contributed("FastGelu")
def _fast_gelu(node: FileNode, facts: Facts) -> list[FileNode]:
    parts = Parts(node, facts, (1, 2))
    parts.done(parts.op("Gelu", parts.added(*parts.inputs), approximate="tanh"))
    return parts.nodes


@_contributed("QuickGelu")
def _quick_gelu(node: FileNode, facts: Facts) -> list[FileNode]:
    """x * sigmoid(alpha * x)"""
    parts = Parts(node, facts, (1, 1), alpha=1.702)
    x = parts.inputs[0]
    gate = parts.op("Sigmoid", parts.op("Mul", x, parts.number(parts.attributes["alpha"], x)))
    parts.done(parts.op("Mul", x, gate))
    return parts.nodes


# The activations that others carry along: the attributes that their parameters are, Clip's bounds aside.
_FUSED: dict[str, tuple[str, ...]] = {
    "": (), "Relu": (), "Tanh": (), "Sigmoid": (), "Softplus": (), "Softsign": (), "LeakyRelu": ("alpha",),
    "Elu": ("alpha",), "ThresholdedRelu": ("alpha",), "HardSigmoid": ("alpha", "beta"), "Selu": ("alpha", "gamma"),
    "Clip": ("min", "max")}


def _activated(parts: Parts, x: str, name: str, given: tuple[float, ...]) -> str:
    """The activation that an operator carries along, of its result; its parameters as the file gives them."""
    if name not in _FUSED:
        raise UnsupportedError(f"{parts.node.label}: activation {name!r:.80} is not supported; "
                               f"supported: {', '.join(filter(None, _FUSED))}")
    parameters = _FUSED[name]
    if len(given) != len(parameters) or not all(type(value) is float for value in given):
        raise FormatError(f"{parts.node.label}: activation {name!r} takes {len(parameters)} parameters, "
                          f"got {given!r:.80}")
    if name == "Clip":
        return parts.op("Clip", x, *(parts.number(value, parts.node.inputs[0]) for value in given))
    chosen: dict[str, Any] = dict(zip(parameters, given))
    return parts.op(name, x, **chosen) if name else x


# ---- products -------------------------------------------------------------------------------------------------------

@_contributed("FusedConv")
def _fused_conv(node: FileNode, facts: Facts) -> list[FileNode]:
    """The activation of Conv(X, W, B) + Z."""
    parts = Parts(node, facts, (2, 4), activation="", activation_params=(), auto_pad="NOTSET", dilations=(), group=1,
                   kernel_shape=(), pads=(), strides=())
    x, weight, bias, addend = parts.inputs
    own = {name: value for name, value in node.attributes.items() if not name.startswith("activation")}
    made = parts.added(parts.op("Conv", *filter(None, (x, weight, bias)), **own), addend)
    parts.done(_activated(parts, made, parts.attributes["activation"], parts.attributes["activation_params"]))
    return parts.nodes


@_contributed("FusedGemm")
def _fused_gemm(node: FileNode, facts: Facts) -> list[FileNode]:
    parts = Parts(node, facts, (2, 3), activation="", activation_alpha=0.0, activation_beta=0.0, activation_gamma=0.0,
                   alpha=1.0, beta=1.0, transA=0, transB=0)
    own = {name: value for name, value in node.attributes.items() if not name.startswith("activation")}
    made, name = parts.op("Gemm", *filter(None, parts.inputs), **own), parts.attributes["activation"]
    given = [node.attributes.get(f"activation_{parameter}") for parameter in _FUSED.get(name, ())]
    parts.done(_activated(parts, made, name, tuple(value for value in given if value is not None)))
    return parts.nodes


@_contributed("FusedMatMul")
def _fused_matmul(node: FileNode, facts: Facts) -> list[FileNode]:
    """alpha * A B, the factors transposed first: their last two axes, and with transBatch the first moved behind the
    other axes of the batch."""
    parts = Parts(node, facts, (2, 2), alpha=1.0, transA=0, transB=0, transBatchA=0, transBatchB=0)
    made = []
    for name, side in zip(parts.inputs, "AB"):
        order = list(range(facts.rank(name)))
        if len(order) > 1:
            if parts.attributes[f"transBatch{side}"]:
                order.insert(len(order) - 2, order.pop(0))
            if parts.attributes[f"trans{side}"]:
                order[-2:] = order[:-3:-1]
        made.append(name if order == sorted(order) else parts.op("Transpose", name, perm=tuple(order)))
    product = parts.op("MatMul", *made)
    if parts.attributes["alpha"] != 1.0:
        product = parts.op("Mul", product, parts.number(parts.attributes["alpha"], parts.inputs[0]))
    parts.done(product)
    return parts.nodes


@_contributed("MatMulIntegerToFloat")
def _matmul_integer_to_float(node: FileNode, facts: Facts) -> list[FileNode]:
    """The product of whole numbers, of which each stands for itself less a zero, times a scale."""
    parts = Parts(node, facts, (4, 7), whole=True)
    a, b, a_scale, b_scale, a_zero, b_zero, bias = parts.inputs
    return _dequantized(parts, a, b, a_scale, b_scale, a_zero, b_zero, bias)


@_contributed("DynamicQuantizeMatMul")
def _dynamic_quantize_matmul(node: FileNode, facts: Facts) -> list[FileNode]:
    """The same, of an A that is made whole numbers by its own largest and least."""
    parts = Parts(node, facts, (3, 5))
    a, b, scale, zero, bias = parts.inputs
    made = tuple(facts.new_name(f"{node.outputs[0]}/{part}") for part in ("quantized", "scale", "zero"))
    parts.nodes.append(instead(node, "DynamicQuantizeLinear", (a,), made, "quantize"))
    return _dequantized(parts, made[0], b, made[1], scale, made[2], zero, bias)


def _dequantized(parts: Parts, a: str, b: str, a_scale: str, b_scale: str, a_zero: str, b_zero: str, bias: str
                 ) -> list[FileNode]:
    zeros = (a_zero, b_zero) if b_zero else (a_zero,) if a_zero else ()
    product = parts.op("CastLike", parts.op("MatMulInteger", a, b, *zeros), b_scale)
    parts.done(parts.added(parts.op("Mul", product, parts.op("Mul", a_scale, b_scale)), bias))
    return parts.nodes


# ---- normalization --------------------------------------------------------------------------------------------------

@older_only("SimplifiedLayerNormalization")
def _simplified(node: FileNode, facts: Facts) -> list[FileNode]:
    """ONNX Runtime's name, in ONNX's own domain, for what is RMSNormalization there since version 23."""
    parts = Parts(node, facts, (2, 2), axis=-1, epsilon=1e-5, stash_type=1)
    if any(node.outputs[1:]):
        raise UnsupportedError(f"{node.label}: its output 1, the deviation, is not supported")
    parts.done(parts.op("RMSNormalization", *parts.inputs, **node.attributes))
    return parts.nodes


@_contributed("SkipLayerNormalization")
def _skip_layer_normalization(node: FileNode, facts: Facts) -> list[FileNode]:
    """LayerNormalization of x + skip + bias, and that sum."""
    parts = Parts(node, facts, (3, 5), epsilon=1e-12)
    x, skip, scale, shift, bias = parts.inputs
    return _skipped(parts, "LayerNormalization", parts.added(x, skip, bias), scale, shift)


@_contributed("SkipSimplifiedLayerNormalization")
def _skip_simplified(node: FileNode, facts: Facts) -> list[FileNode]:
    parts = Parts(node, facts, (3, 4), epsilon=1e-12)
    x, skip, scale, bias = parts.inputs
    return _skipped(parts, "RMSNormalization", parts.added(x, skip, bias), scale)


def _skipped(parts: Parts, op: str, total: str, *parameters: str) -> list[FileNode]:
    if any(parts.node.outputs[1:3]):
        raise UnsupportedError(f"{parts.node.label}: its outputs 1 and 2, mean and deviation, are not supported")
    parts.done(parts.op(op, total, *filter(None, parameters), epsilon=parts.attributes["epsilon"]))
    parts.done(total, 3)
    return parts.nodes


# ---- attention ------------------------------------------------------------------------------------------------------

@_contributed("Attention")
def _attention(node: FileNode, facts: Facts) -> list[FileNode]:
    """Self attention of x [batch, time, features]: its queries, keys and values are one product, side by side."""
    parts = Parts(node, facts, (2, 7), num_heads=-1, unidirectional=0, scale=0.0, mask_filter_value=-10000.0,
                   qkv_hidden_sizes=())
    x, weight, bias, mask, past, addend, _ = parts.inputs
    _left_out(parts, past=past)
    made = parts.added(parts.op("MatMul", x, weight), bias)
    sizes = parts.attributes["qkv_hidden_sizes"]
    names = [facts.new_name(f"{node.outputs[0]}/{part}") for part in ("query", "key", "value")]
    if sizes:
        split = (made, facts.add_constant(f"{node.outputs[0]}/sizes", np.array(sizes, np.int64)))
        parts.nodes.append(instead(node, "Split", split, tuple(names), "split", axis=-1))
    else:
        parts.nodes.append(instead(node, "Split", (made,), tuple(names), "split", axis=-1, num_outputs=3))
    query, key, value = (_heads(parts, name) for name in names)
    return _attended(parts, query, key, value, mask, addend)


@_contributed("MultiHeadAttention")
def _multi_head_attention(node: FileNode, facts: Facts) -> list[FileNode]:
    """Attention of query, key and value [batch, time, features] that were made before. bias: of the three, in a row."""
    parts = Parts(node, facts, (3, 10), num_heads=-1, unidirectional=0, scale=0.0, mask_filter_value=-10000.0)
    query, key, value, bias, mask, addend, *cache = parts.inputs
    if not all(facts.rank(name) == 3 for name in (query, key, value)):
        raise UnsupportedError(f"{node.label}: packed keys and values are not supported; export them apart")
    _left_out(parts, bias=bias, past_key=cache[0], past_value=cache[1])
    for name in (key, value):
        parts.check_fits(facts.shape(query)[:1], facts.shape(name)[:1])
    query, key, value = (_heads(parts, name) for name in (query, key, value))
    return _attended(parts, query, key, value, mask, addend)


def _left_out(parts: Parts, **inputs: str) -> None:
    for name, value in inputs.items():
        if value:
            raise UnsupportedError(f"{parts.node.label}: input {name!r} is not supported")
    if any(parts.node.outputs[1:]):
        raise UnsupportedError(f"{parts.node.label}: outputs after the first are not supported")
    if parts.attributes["num_heads"] < 1:
        raise FormatError(f"{parts.node.label}: attribute 'num_heads' must be above 0, "
                          f"got {parts.attributes['num_heads']}")


def _heads(parts: Parts, x: str) -> str:
    """[batch, time, heads * size] as [batch, heads, time, size]"""
    shape = parts.facts.add_constant(f"{x}/heads", np.array([0, 0, parts.attributes["num_heads"], -1], np.int64))
    return parts.op("Transpose", parts.op("Reshape", x, shape), perm=(0, 2, 1, 3))


def _attended(parts: Parts, query: str, key: str, value: str, mask: str, addend: str) -> list[FileNode]:
    """mask: whole numbers [batch, time] or [batch, time, time], 0 where nothing is looked at; addend: of the scores."""
    facts = parts.facts
    for name in filter(None, (mask, addend)):
        parts.check_fits(facts.shape(parts.inputs[0])[:1], facts.shape(name)[:1])
    if mask:
        if facts.rank(mask) not in (2, 3):
            raise UnsupportedError(f"{parts.node.label}: a mask of {facts.rank(mask)} axes is not supported; "
                                   "supported: [batch, time] and [batch, time, time]")
        axes = facts.add_constant(f"{mask}/axes", np.array([1, 2] if facts.rank(mask) == 2 else [1], np.int64))
        nothing = facts.add_constant(f"{mask}/nothing", np.array(0, facts.dtype(mask)))
        seen = parts.op("Greater", parts.op("Unsqueeze", mask, axes), nothing)
        mask = parts.op("Where", seen, parts.number(0.0, parts.inputs[0]),
                        parts.number(parts.attributes["mask_filter_value"], parts.inputs[0]))
    scores = parts.op("MatMul", query, parts.op("Transpose", key, perm=(0, 1, 3, 2)))
    if parts.attributes["unidirectional"]:
        if mask or parts.node.op != "Attention":
            raise UnsupportedError(f"{parts.node.label}: attribute 'unidirectional' = 1 beside a mask, or of keys made "
                                   "elsewhere, is not supported")
        one = facts.add_constant(f"{query}/one", np.array([1], np.float32))
        steps = parts.op("Trilu", parts.op("ConstantOfShape", parts.op("Shape", scores, start=2), one), upper=0)
        mask = parts.op("Where", parts.op("Cast", steps, to=DATA_TYPE_NUMBERS["bool"]),
                        parts.number(0.0, parts.inputs[0]),
                        parts.number(parts.attributes["mask_filter_value"], parts.inputs[0]))
    scores = parts.added(_scaled(parts, scores, query), mask, addend)
    made = parts.op("MatMul", parts.op("Softmax", scores, axis=-1), value)
    # MatMul repeats the queries of one sequence for the keys of several: an error here.
    sizes = parts.op("Shape", query, end=3), parts.op("Shape", value, start=3)
    made = parts.op("Reshape", made, parts.op("Concat", *sizes, axis=0))
    shape = facts.add_constant(f"{parts.node.outputs[0]}/joined", np.array([0, 0, -1], np.int64))
    parts.done(parts.op("Reshape", parts.op("Transpose", made, perm=(0, 2, 1, 3)), shape))
    return parts.nodes


def _scaled(parts: Parts, scores: str, query: str) -> str:
    """The scores times the scale given, or over the root of a head's size."""
    if parts.attributes["scale"]:
        return parts.op("Mul", scores, parts.number(parts.attributes["scale"], parts.inputs[0]))
    size = parts.op("Shape", query, start=3)
    return parts.op("Div", scores, parts.op("Sqrt", parts.op("CastLike", size, query)))


# ---- for one machine alone ------------------------------------------------------------------------------------------

def _of_one_machine(node: FileNode, facts: Facts) -> list[FileNode]:
    """Channels in blocks, as many as the vectors of the machine that saved the file hold, which the file does not
    say."""
    raise UnsupportedError(f"{node.label}: this file is laid out for the processor of the machine that saved it; save "
                           "it with graph_optimization_level = ORT_ENABLE_EXTENDED, or convert the model that it was "
                           "made of")


for _name in ("ReorderInput", "ReorderOutput", "Conv", "MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool",
              "Upsample"):
    older_only(f"{_NCHWC}.{_name}")(_of_one_machine)
