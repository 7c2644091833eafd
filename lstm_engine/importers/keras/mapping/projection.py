"""EinsumDense: a dense layer whose product an equation describes."""

from __future__ import annotations

import re

import numpy as np

from ....errors import FormatError, UnsupportedError
from ....graph import Dense
from ....graph.activations import Activation
from ....graph.nodes import Dim
from ..reading.config import Layer
from .activations import activation
from .builder import Tensor
from .core import activate
from .registry import Arguments, Context, floats, maps, show
from .weights import check_shape

_EQUATION = re.compile(r"(\.\.\.)?([a-zA-Z]+)(\.\.\.)?,([a-zA-Z]+)->(\.\.\.)?([a-zA-Z]+)(\.\.\.)?")
_SPELLED = "0123456789"                             # labels of the axes that an ellipsis stands for


@maps("EinsumDense")
def einsum_dense(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    builder, name = context.builder, layer.where
    x = floats(context, layer, arguments)
    biased = layer.config.get("bias_axes") is not None
    layer.config.get("output_shape")                # the kernel's shape says it
    kernel, *bias = context.weights.take(layer, (1 + biased,))
    left, right, result = _labels(layer, x)
    check_shape(layer, "kernel", kernel, *(None for _ in right))
    sizes: dict[str, Dim] = {}
    for term, shape in ((left, x.shape), (right, kernel.shape)):
        for label, size in zip(term, shape, strict=True):
            if not builder.unify(sizes.setdefault(label, size), size):
                raise FormatError(f"{layer}: axis {label!r} of its equation is {sizes[label]} and {size}")
    shape = tuple(sizes[label] for label in result)
    made = _multiplied(context, layer, x, kernel, (left, right, result), shape)
    if bias:
        if bias[0].ndim >= len(shape) or any(size not in (1, dim)
                                             for size, dim in zip(bias[0].shape[::-1], shape[::-1])):
            raise FormatError(f"{layer}: bias has the shape {list(bias[0].shape)}, its output {show(shape)}")
        made = builder.operator("Add", f"{name}/bias", [made, bias[0]], shape)
    return activate(context, name, made, activation(layer, context.version))


def _labels(layer: Layer, x: Tensor) -> tuple[str, str, str]:
    """A label for each axis of the input, the kernel and the output; digits are those that an ellipsis stands for."""
    equation = layer.get("equation", str).replace(" ", "")
    match = _EQUATION.fullmatch(equation)
    if match is None or (match[1] and match[3]) or (match[1], match[3]) != (match[5], match[7]):
        raise UnsupportedError(f"{layer}: equation {equation!r:.80} is not supported; supported: a letter for each "
                               "axis, with ... in front or at the end, as 'abc,cd->abd' or '...a,ab->...b'")
    open_axes = x.rank - len(match[2])
    if open_axes < 0 or open_axes > len(_SPELLED) or open_axes and not (match[1] or match[3]):
        raise FormatError(f"{layer}: its input has the shape {show(x.shape)}, its equation is {equation!r:.80}")
    spelled = _SPELLED[:open_axes]
    left, result = (f"{spelled}{term}" if match[1] else f"{term}{spelled}" if match[3] else term
                    for term in (match[2], match[6]))
    right = match[4]
    if any(len(set(term)) != len(term) for term in (left, right, result)) or set(result) - {*left, *right}:
        raise UnsupportedError(f"{layer}: equation {equation!r:.80} is not supported; supported: each letter once in a "
                               "term, and none that is in the output alone")
    if left[0] != result[0] or left[0] in right:
        raise UnsupportedError(f"{layer}: equation {equation!r:.80} mixes the rows of a batch, which is not supported; "
                               "supported: the first axis of the input as the first of the output")
    return left, right, result


def _multiplied(context: Context, layer: Layer, x: Tensor, kernel: np.ndarray, labels: tuple[str, str, str],
                shape: tuple[Dim, ...]) -> Tensor:
    """The product of the equation: a Dense where it is one over the last axis."""
    builder, name, (left, right, result) = context.builder, layer.where, labels
    if len(right) == 2 and left[-1] == right[0] and result == left[:-1] + right[1]:
        made = (f"{name}/product", shape, x.dtype)
        return builder.add(Dense, f"{name}/product", [x], [made], kernel=kernel, bias=None,
                           activation=Activation.of("linear"))[0]
    # Labels that an ellipsis stands for are letters in ONNX.
    unused = (letter for letter in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" if letter not in left + right)
    spelled = str.maketrans({digit: next(unused) for digit in left if digit.isdigit()})
    equation = f"{left},{right}->{result}".translate(spelled)
    return builder.operator("Einsum", f"{name}/product", [x, kernel], shape, attributes={"equation": equation})
