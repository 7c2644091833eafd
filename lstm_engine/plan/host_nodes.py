"""Nodes that run in NumPy: ONNX operators, and house nodes on shapes that the C core does not take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .. import _core
from ..errors import ArgumentError, UnsupportedError
from ..graph import Activate, Activation, Dense, Embedding, Mask, Node, Operator, Value
from ..operators import compile_step, operator_attributes, operator_kernel
from ..operators.kernels import Call, Kept, repeatable
from .partition import FLOATS
from .steps import through_core
from .weights import Sharing


def host_kernel(node: Node, values: dict[str, Value], isa: str, sharing: Sharing) -> Callable[..., Any]:
    """What makes a node's output of its inputs; see `operators.kernels.Kernel`."""
    if isinstance(node, Operator):
        kernel = _through_core(node, values, isa, sharing) or operator_kernel(node)
        return _one_at_least(node, kernel, values) if node.op_type == "Slice" else kernel
    return _function(node, values, isa, sharing)


def _through_core(node: Operator, values: Mapping[str, Value], isa: str, sharing: Sharing
                  ) -> Callable[..., Any] | None:
    """The kernel of an operator that the core can run the rows of; None for others."""
    if node.op_type == "Softmax":
        return _softmax_through_core(node, values, isa, sharing)
    if node.op_type != "Conv":
        return None
    from .convolution import convolution_through_core  # with them come the operators' own files
    from .depthwise import depthwise_through_core

    return convolution_through_core(node, isa, sharing) or depthwise_through_core(node, sharing)


def _softmax_through_core(node: Operator, values: Mapping[str, Value], isa: str, sharing: Sharing
                          ) -> Callable[..., Any] | None:
    """The kernel of a Softmax over the last axis of numbers that the core computes in; None for others."""
    value = values.get(node.inputs[0])
    if value is None or value.dtype not in FLOATS or not value.shape \
            or operator_attributes(node)["axis"] not in (-1, len(value.shape) - 1):
        return None
    activate = Activate(name=node.name, inputs=node.inputs, outputs=node.outputs, activation=Activation("softmax"))
    return _any_features(activate, len(value.shape), value.dtype, isa, sharing)


def host_step(node: Node, kernel: Callable[..., Any]) -> Callable[[dict[str, np.ndarray]], None]:
    """A function that reads a node's inputs out of a dict of values by name, and puts its outputs there."""
    if isinstance(node, Operator):
        return compile_step(node, kernel)
    x, y = node.inputs[0], node.outputs[0]

    def run(arrays: dict[str, np.ndarray]) -> None:
        arrays[y] = kernel(arrays[x])

    return run


def _one_at_least(node: Operator, kernel: Callable[..., np.ndarray], values: Mapping[str, Value]
                  ) -> Callable[..., np.ndarray]:
    """The kernel of a Slice; where its shape takes an axis of any size to have an element, its first or its last, it
    looks whether there is one: what follows was laid out for it. Raises ArgumentError if not."""
    before, after = (values[name].shape if name in values else () for name in (node.inputs[0], node.outputs[0]))
    axes = [axis for axis, (x, y) in enumerate(zip(before, after)) if isinstance(x, str) and y == 1]
    if not axes:
        return kernel

    def checked(x: np.ndarray, *others: np.ndarray) -> np.ndarray:
        made = kernel(x, *others)
        if any(made.shape[axis] == 0 for axis in axes):
            raise ArgumentError(f"it takes one element of an axis that has none: {list(x.shape)}")
        return made
    return checked


def _function(node: Node, values: dict[str, Value], isa: str, sharing: Sharing) -> Callable[[np.ndarray], np.ndarray]:
    dtype = values[node.outputs[0]].dtype
    if isinstance(node, Embedding):
        table = sharing.contiguous(node.table, dtype)
        return lambda ids: table[ids]
    if isinstance(node, Mask):
        unwanted = node.value
        return lambda ids: ids != unwanted
    shape = values[node.inputs[0]].shape
    if isinstance(node, (Dense, Activate)) and shape and isinstance(shape[-1], int):
        return _rows_through_core(node, len(shape), shape[-1], dtype, isa, sharing)
    if isinstance(node, Activate) and shape:
        return _any_features(node, len(shape), dtype, isa, sharing)
    raise UnsupportedError(f"node {node.name!r} ({node.op}) cannot be run: its input is not a [batch, time, features] "
                           "sequence, or it needs a mask, which is not supported yet")


def _any_features(node: Activate, rank: int, dtype: str, isa: str, sharing: Sharing
                  ) -> Callable[[np.ndarray], np.ndarray]:
    """Activate where only a run tells how many features there are: softmax over what a graph has reshaped."""
    kernels = Kept(lambda features: _rows_through_core(node, rank, features, dtype, isa, sharing))

    def again(out: np.ndarray, x: np.ndarray) -> list[Call] | None:
        return kernels[x.shape[-1]].repetition(out, x) if x.ndim == rank and x.size else None
    return repeatable(lambda x: kernels[x.shape[-1]](x) if x.ndim == rank and x.size else x, again)


def _rows_through_core(node: Dense | Activate, rank: int, features: int, dtype: str, isa: str, sharing: Sharing
                       ) -> Callable[[np.ndarray], np.ndarray]:
    """Dense or Activate on a value of any rank: its rows, as a batch of vectors for the C core.

    Raises ArgumentError for a value of another rank or number of features.
    """
    core = _core.CoreModel(isa, dtype, "packed")
    sharing.lend(core, node)
    x = core.input(False, 0, features, node.inputs[0])
    if isinstance(node, Dense):
        bias = None if node.bias is None else sharing.contiguous(node.bias, dtype)
        units = node.kernel.shape[1]
        core.output(core.dense(x, sharing.contiguous(node.kernel, dtype), bias, node.activation))
    else:
        units = features
        core.output(core.activate(x, node.activation))
    core.finish()

    def run(x: np.ndarray) -> np.ndarray:
        if x.ndim != rank or x.shape[-1] != features:
            raise ArgumentError(f"node {node.name!r} ({node.op}): value {node.inputs[0]!r} must have {rank} axes, the "
                                f"last of {features}, got {list(x.shape)}")
        rows = np.ascontiguousarray(x, dtype).reshape(-1, features)
        return core.run([rows], 1)[0].reshape(*x.shape[:-1], units)

    def again(out: np.ndarray, x: np.ndarray) -> list[Call] | None:
        if x.ndim != rank or x.shape[-1] != features:
            return None                         # running it says what is wrong
        rows = x if x.flags.c_contiguous and x.dtype == dtype else np.empty(x.shape, dtype)
        call = core.bind([rows.reshape(-1, features)], 1, out.reshape(-1, units))
        return None if call is None else [*([] if rows is x else [(np.copyto, (rows, x))]), (call, ())]

    return through_core(run, again, core)
