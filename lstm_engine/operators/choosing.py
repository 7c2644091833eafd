"""If, on the values that its branches make: (condition, value if true, value if false), a node for each output.

Only the value that is chosen is there (`guards.py`). One may be left out, of a branch whose result has another rank:
inputs that take it are refused when they come.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import UnsupportedError
from ..graph.nodes import Operator
from .axis_rules import AxisCall
from .guards import is_true
from .kernels import Kernel
from .places import Place, need
from .shape_rules import ShapeCall, Shapes, same_size
from .spec import declare


def _kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    def one_of(condition: np.ndarray, then: np.ndarray | None, otherwise: np.ndarray | None = None) -> np.ndarray:
        true = is_true(condition, node.inputs[0])
        chosen = then if true else otherwise
        if chosen is None:
            raise UnsupportedError(f"node {node.name!r} (If): for these inputs its condition is {true}, and it then "
                                   "gives a result of another rank, which this model was not read for; give the sizes "
                                   "of the inputs when it is converted: spec={'shapes': {input: [sizes]}}")
        return chosen
    return one_of


def _shape(call: ShapeCall) -> Shapes:
    if call.dtype() != "bool":
        raise call.error(f"its condition must be bool, got {call.dtype()}")
    if not all(same_size(dim, 1) for dim in call.shape()):
        raise call.error(f"its condition must be one truth value, got {call.shape()}")
    if not (call.given(1) and call.given(2)):
        given = 1 if call.given(1) else 2
        return [(call.shape(given), call.dtype(given))]
    then, otherwise = call.shape(1), call.shape(2)
    if call.dtype(1) != call.dtype(2):
        raise call.error(f"its branches make {call.dtype(1)} and {call.dtype(2)}")
    if len(then) != len(otherwise):
        raise call.unknown(f"its branches make {len(then)} and {len(otherwise)} axes, so the rank of the result is "
                           "unknown before the run")
    return [([a if a == b else None for a, b in zip(then, otherwise)], call.dtype(1))]


def _axes(call: AxisCall) -> Place:
    """Every row must go the same way, and stand at one place in both results."""
    condition, *sides = call.given
    there = {place for i, place in enumerate(sides, 1) if call.node.inputs[i] or i in call.node.constants}
    need(condition is None and len(there) == 1)
    return there.pop()


declare("If", (1, 3), make=_kernel, shape=_shape, axes=_axes, exact=True, chooses=True, apart="CVV")
