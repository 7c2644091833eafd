"""The ONNX operators around the recurrent core, in NumPy, with ONNX's exact meaning (see `graph.operators`)."""

from __future__ import annotations

from typing import Callable

import numpy as np

from ...errors import ArgumentError, OutOfMemoryError
from ...graph.nodes import Operator
from ...graph.operators import OPERATORS, operator_attributes
from . import (convolution, elementwise, indexing, normalization, pooling, products, reductions,  # noqa: F401
               shaping)                                               # (each registers its operators)
from .registry import BUILDERS

__all__ = ["compile_operator", "run_operator"]

_MISFITS = (ValueError, IndexError, TypeError, OverflowError, ZeroDivisionError, AttributeError)


def compile_operator(node: Operator) -> Callable[[list], list]:
    """A function of the list of inputs that gives the list of outputs, one array for each of `node.outputs`.

    Attributes and constants are resolved here, once. The function takes one entry for each of `node.inputs`,
    None where an input is left out or a constant. Outputs may share memory with inputs. Arithmetic follows IEEE;
    call it under `np.errstate(all="ignore")` to keep NumPy from warning about it.
    Raises what `operator_attributes` raises; the function raises ArgumentError where the arrays do not fit.
    """
    attributes = operator_attributes(node)
    kernel = BUILDERS[node.op_type](attributes, node)
    several = OPERATORS[node.op_type].outputs[1] > 1
    bindings = tuple(node.constants.items())
    count = len(node.inputs)
    label = f"node {node.name!r} ({node.op_type})"

    def run(inputs: list) -> list:
        if bindings:
            inputs = list(inputs) + [None] * (count - len(inputs))
            for position, array in bindings:
                inputs[position] = array
        try:
            result = kernel(*inputs)
        except _MISFITS as error:
            shapes = ", ".join("none" if x is None else f"{x.dtype}{list(x.shape)}" for x in inputs)
            raise ArgumentError(f"{label} cannot run on inputs {shapes}: {error}") from error
        except MemoryError as error:
            raise OutOfMemoryError(f"{label}: {error}") from error
        if several:
            return list(result)
        return [result if type(result) is np.ndarray else np.asarray(result)]

    return run


def run_operator(node: Operator, inputs: list[np.ndarray | None]) -> list[np.ndarray]:
    """Run one operator once; see `compile_operator`."""
    with np.errstate(all="ignore"):
        return compile_operator(node)(list(inputs))
