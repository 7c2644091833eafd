"""What an operator of NumPy's will take, told by its inputs before it runs: bytes, and about how long.

Sizes come from the rules that infer shapes when a graph is loaded, asked again with the arrays of a run; what an
operator takes for them, it says itself (`operators.costs`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import ArgumentError, GraphError, UnsupportedError
from ..graph import Dense, Embedding, Node, Operator, Value
from ..graph.nodes import dtype_name
from ..operators import OPERATORS, operator_attributes, operator_shapes
from ..operators.costs import PRODUCTS_AT_ONCE, Arrays, Need
from ..operators.kernels import MISFITS, shown_inputs

Estimate = Callable[[Arrays, int], Need]
NOTHING = Need(0, 0)
# So few elements take less than calling NumPy does.
_FEW = 64


def estimate_of(node: Node) -> Estimate:
    """A function of a node's inputs, constants among them, and of a number of elements that do not matter: inputs of
    which no more can be made are not looked at closely.

    It raises ArgumentError for larger inputs that do not fit the operator: what NumPy would make of them is anything.
    """
    if not isinstance(node, Operator):
        return _of_layer(node)
    if takes_nothing(node):
        return lambda arrays, small: NOTHING
    spec, attributes = OPERATORS[node.op_type], operator_attributes(node)
    if spec.grown is not None:
        return _guarded(node, lambda arrays: spec.need_for(attributes, arrays, ()))
    of_shapes = _guarded(node, lambda arrays: spec.need_for(attributes, arrays, results_of(node, arrays, attributes)))
    if spec.needs is not None and not spec.combines:
        return of_shapes                            # more than all pairs of elements: windows

    def estimate(arrays: Arrays, small: int) -> Need:
        most = _at_most(arrays, spec.combines) if spec.combines or len(arrays) > 1 else arrays[0].size
        if most <= min(_FEW, small):
            return NOTHING
        return Need(0, most * spec.work) if most <= small else of_shapes(arrays, small)
    return estimate


def takes_nothing(node: Node) -> bool:
    """Whether a node makes nothing worth telling: what a view copies after all is counted when it is made."""
    if not isinstance(node, Operator):
        return False
    spec = OPERATORS[node.op_type]
    return spec.view == "always" or spec.of_shapes or spec.chooses


def _guarded(node: Operator, estimate: Callable[[Arrays], Need]) -> Estimate:
    def guarded(arrays: Arrays, small: int) -> Need:
        try:
            return estimate(arrays)
        except UnsupportedError:
            return NOTHING                  # a rank that is known only now: nothing that grows
        except (GraphError, *MISFITS) as error:
            if _at_most(arrays, True) <= small:
                return NOTHING              # running it says what is wrong
            raise ArgumentError(f"node {node.name!r} ({node.op_type}) cannot run on inputs {shown_inputs(arrays)}: "
                                f"{error}") from error
    return guarded


def _at_most(arrays: Arrays, combines: bool) -> int:
    """As many elements as an operator can make of its inputs or look at, or more."""
    total, pairs, shape, alike = 0, 1, None, not combines
    for array in arrays:
        if array is not None:
            size = array.size
            total += size
            if size != 1:
                pairs *= size or 1
                alike = alike and (shape is None or array.shape == shape)
                shape = array.shape
    return total if alike else max(pairs, total)


def results_of(node: Operator, arrays: Arrays, attributes: dict[str, Any]) -> list[Value]:
    """The results of a node on these arrays: shapes of plain numbers, but for NonZero's. attributes: resolved."""
    # What says where or how many is short, or makes no difference to a size.
    said = {i: array for i, array in enumerate(arrays)
            if array is not None and array.dtype.kind in "iu" and array.size <= 256}
    known = Operator(name=node.name, inputs=tuple("" if array is None or i in said else f"x{i}"
                                                  for i, array in enumerate(arrays)),
                     outputs=node.outputs, op_type=node.op_type, attributes=node.attributes, constants=said)
    values = [None if array is None or i in said else Value(f"x{i}", array.shape, dtype_name(array.dtype))
              for i, array in enumerate(arrays)]
    return operator_shapes(known, values, attributes)


def _of_layer(node: Node) -> Estimate:
    """Layers of the house on shapes that the core does not take: row by row."""
    def estimate(arrays: Arrays, small: int) -> Need:
        x = arrays[0]
        if isinstance(node, Dense):
            features, units = node.kernel.shape
            made = x.size // features * units
            return Need(8 * (made + x.size), made * features // PRODUCTS_AT_ONCE + made)
        made = x.size * (node.table.shape[1] if isinstance(node, Embedding) else 1)
        return Need(8 * (made + x.size), 8 * made)
    return estimate
