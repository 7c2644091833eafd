"""Running one operator: its kernel with the constants of a node put in, on arrays in order or on values by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import ArgumentError, GraphError, LimitError, LstmEngineError, OutOfMemoryError, UnsupportedError
from ..graph.nodes import Operator
from .families import OPERATORS
from .kernels import MISFITS, Kernel, shown_inputs
from .spec import operator_attributes

Values = dict[str, np.ndarray]
Inputs = Sequence[np.ndarray | None]


def compile_operator(node: Operator) -> Callable[[Inputs], list[np.ndarray]]:
    """A function of the list of inputs that gives the list of outputs, one array for each of `node.outputs`.

    Attributes and constants are resolved here, once. The function takes one entry for each of `node.inputs`,
    None where an input is left out or a constant. Outputs may share memory with inputs. Arithmetic follows IEEE;
    call it under `np.errstate(all="ignore")` to keep NumPy from warning about it.
    Raises what `operator_attributes` raises; the function raises ArgumentError where the arrays do not fit.
    """
    kernel = operator_kernel(node)
    several = OPERATORS[node.op_type].outputs[1] > 1
    call = _bound(node, kernel)

    def run(inputs: Inputs) -> list[np.ndarray]:
        try:
            result = call(inputs)
        except (*MISFITS, MemoryError) as error:
            raise _failure(node, inputs, error) from error
        if several:
            return list(result)
        return [result if type(result) is np.ndarray else np.asarray(result)]

    return run


def _failure(node: Operator, inputs: Inputs, error: Exception) -> Exception:
    """What to raise for a kernel that failed on a list of inputs."""
    label = f"node {node.name!r} ({node.op_type})"
    if isinstance(error, MemoryError):
        return OutOfMemoryError(f"{label}: {error}")
    given = [*inputs, *[None] * (len(node.inputs) - len(inputs))]
    arrays = [node.constants.get(i, x) for i, x in enumerate(given)]
    return ArgumentError(f"{label} cannot run on inputs {shown_inputs(arrays)}: {error}")


def operator_kernel(node: Operator) -> Kernel:
    """NumPy's kernel of an operator: a function of one array for each of `node.inputs`, constants among them, None
    where an input is left out. Raises GraphError for constants that it cannot be made of."""
    attributes = operator_attributes(node)
    try:
        return OPERATORS[node.op_type].make(attributes, node)
    except LstmEngineError:
        raise
    except MISFITS as error:
        raise GraphError(f"node {node.name!r} ({node.op_type}): its constants do not fit ({error})") from error


def compile_step(node: Operator, kernel: Kernel) -> Callable[[Values], None]:
    """As `compile_operator`, on values by name, to which the outputs are added.

    A model of small layers spends more time between its operators than in them, so the usual forms (one output; one
    input or two) go without lists.
    """
    names, spec = node.inputs, OPERATORS[node.op_type]
    # What is not chosen was not made.
    find: Callable[..., Any] = dict.get if spec.chooses else dict.__getitem__
    rest = tuple(node.constants.get(i) for i in range(1, len(names)))
    call: Callable[[Values], Any]
    if names and names[0] and not any(names[1:]):
        first = names[0]
        if rest:
            def call(values: Values) -> Any:
                return kernel(values[first], *rest)
        else:
            def call(values: Values) -> Any:
                return kernel(values[first])
    elif len(names) == 2 and all(names) and not spec.chooses:
        left, right = names

        def call(values: Values) -> Any:
            return kernel(values[left], values[right])
    else:
        bound = _bound(node, kernel)

        def call(values: Values) -> Any:
            return bound([find(values, name) if name else None for name in names])

    several, outputs = spec.outputs[1] > 1, node.outputs

    def run(values: Values) -> None:
        try:
            result = call(values)
        except (LimitError, UnsupportedError):
            raise
        except (*MISFITS, MemoryError) as error:
            raise _failure(node, [find(values, name) if name else None for name in names], error) from error
        if not several:
            values[outputs[0]] = result if type(result) is np.ndarray else np.asarray(result)
            return
        for name, array in zip(outputs, result):
            if name:
                values[name] = array

    return run


def _bound(node: Operator, kernel: Kernel) -> Callable[[Inputs], Any]:
    """`kernel` as a function of the list of inputs, the constants put in: called once a frame, so short of work."""
    if not node.constants:
        return lambda inputs: kernel(*inputs)
    rest = tuple(node.constants.get(i) for i in range(1, len(node.inputs)))
    if node.inputs[0] and not any(node.inputs[1:]):
        return lambda inputs: kernel(inputs[0], *rest)
    if len(node.inputs) == 2 and node.inputs[1]:
        first = node.constants[0]
        return lambda inputs: kernel(first, inputs[1])
    count, bindings = len(node.inputs), tuple(node.constants.items())

    def call(inputs: Inputs) -> Any:
        merged = list(inputs) + [None] * (count - len(inputs))
        for position, array in bindings:
            merged[position] = array
        return kernel(*merged)
    return call


def run_operator(node: Operator, inputs: list[np.ndarray | None]) -> list[np.ndarray]:
    """Run one operator once; see `compile_operator`."""
    with np.errstate(all="ignore"):
        return compile_operator(node)(list(inputs))
