"""The shapes of what a loop makes, of its body's and of what it is given.

A body is a graph of its own: its symbols are not those around it. One that stands for a single size around the loop,
wherever the body's inputs have it, is that size; any other is known when the loop has run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..errors import GraphError
from ..graph.nodes import Dim, Graph, Loop, Shape, Value, dtype_name
from ..graph.shapes import show_shape
from ..graph.weights import fail

Infer = Callable[[Graph], dict[str, Value]]


def loop_values(node: Loop, inputs: Sequence[Value | None], infer: Infer) -> list[Value]:
    """The outputs of a loop. inputs: None for one that is left out or constant. infer: the values of a graph.

    Raises GraphError where the body does not fit what it is given, or what it gives to the next turn, and what `infer`
    raises, with the loop's name before it.
    """
    try:
        inside = infer(node.body)
    except GraphError as error:
        raise GraphError(f"in the body of node {node.name!r} (Loop): {error}") from error
    given = [Value("", array.shape, dtype_name(array.dtype)) if (array := node.constants.get(i)) is not None else value
             for i, value in enumerate(inputs)]
    _check_turns(node, given)
    meant = _meant(node, given)
    made = [inside[name] for name in node.body.outputs]
    if made[0].dtype != "bool" or not all(dim == 1 or isinstance(dim, str) for dim in made[0].shape):
        fail(node, "the condition of its body", "one truth value", f"{made[0].dtype} {show_shape(made[0].shape)}")
    results = []
    for i, after in enumerate(made[1:]):
        dims = [meant.get(dim) if isinstance(dim, str) else dim for dim in after.shape]
        if i < node.states:
            before = node.body.inputs[2 + i]
            if after.dtype != before.dtype or not _may_be(before.shape, after.shape):
                fail(node, f"state {i} after a turn", f"{before.dtype} {show_shape(before.shape)}, as before it",
                     f"{after.dtype} {show_shape(after.shape)}")
            dims = [dim if one == other else None for dim, one, other in zip(dims, after.shape, before.shape)]
        else:
            axis = node.result_axes[i - node.states]
            if axis > len(dims):
                fail(node, f"the axis of result {i - node.states}", f"from 0 to {len(dims)}", axis)
            dims.insert(axis, _turns(node, given))
        name = node.outputs[i]
        results.append(Value(name, tuple(f"{name}_{axis}" if dim is None else dim for axis, dim in enumerate(dims)),
                             after.dtype))
    return results


def of_no_turns(node: Loop, place: int, inside: dict[str, Value], shapes: Sequence[tuple[int, ...]]) -> np.ndarray:
    """One result of a loop without turns. inside: the values of the body; shapes: of its inputs from the states on.

    Without an element there is nothing that a size which no turn told, and is 0 here, could be wrong about.
    """
    sizes: dict[str, int] = {}
    for i, (value, shape) in enumerate(zip(node.body.inputs[2:], shapes)):
        inner = i - node.states
        if 0 <= inner < len(node.sequence_axes):
            shape = shape[:node.sequence_axes[inner]] + shape[node.sequence_axes[inner] + 1:]
        sizes.update((dim, size) for dim, size in zip(value.shape, shape) if isinstance(dim, str))
    made, axis = inside[node.body.outputs[1 + node.states + place]], node.result_axes[place]
    dims = [sizes.get(dim, 0) if isinstance(dim, str) else dim for dim in made.shape]
    return np.empty([*dims[:axis], 0, *dims[axis:]], made.dtype)


def step_shape(shape: Shape, axis: int) -> Shape:
    """The shape of one step of a sequence."""
    return (*shape[:axis], *shape[axis + 1:])


def _check_turns(node: Loop, given: Sequence[Value | None]) -> None:
    """Check the inputs that say how many turns there are, and what the body takes of them."""
    for value, what, dtypes in zip(given, ("most", "condition"), (("int64", "int32"), ("bool",))):
        if value is not None and (value.dtype not in dtypes or any(dim != 1 and isinstance(dim, int)
                                                                   for dim in value.shape)):
            fail(node, f"input {what}", f"one {dtypes[0]}", f"{value.dtype} {show_shape(value.shape)}")
    for value, what, dtype in zip(node.body.inputs, ("turn", "condition"), ("int64", "bool")):
        if value.dtype != dtype or value.shape:
            fail(node, f"the body's input {what}", f"{dtype} []", f"{value.dtype} {show_shape(value.shape)}")


def _meant(node: Loop, given: Sequence[Value | None]) -> dict[str, Dim]:
    """The sizes around the loop that symbols of its body stand for, of those that stand for one alone."""
    found: dict[str, set[Dim]] = {}
    for i in range(2, len(node.inputs)):
        value, inner = given[i], node.body.inputs[i]
        assert value is not None                        # `check_node` has looked
        place, shape = i - 2 - node.states, value.shape
        if 0 <= place < len(node.sequence_axes):
            if node.sequence_axes[place] >= len(shape):
                fail(node, f"the axis of sequence {place}", f"one of {show_shape(shape)}", node.sequence_axes[place])
            shape = step_shape(shape, node.sequence_axes[place])
        if value.dtype != inner.dtype or not _may_be(inner.shape, shape):
            fail(node, f"input {i} ({node.inputs[i]!r})", f"{inner.dtype} {show_shape(inner.shape)}, as its body has "
                 f"{inner.name!r}", f"{value.dtype} {show_shape(shape)}")
        for symbol, dim in zip(inner.shape, shape):
            if isinstance(symbol, str):
                found.setdefault(symbol, set()).add(dim)
    return {symbol: dims.pop() for symbol, dims in found.items() if len(dims) == 1}


def _may_be(one: Shape, other: Shape) -> bool:
    return len(one) == len(other) and not any(isinstance(a, int) and isinstance(b, int) and a != b
                                              for a, b in zip(one, other))


def _turns(node: Loop, given: Sequence[Value | None]) -> Dim | None:
    """How many turns there are; None where only the run tells."""
    sizes = [value.shape[axis] for value, axis in zip(given[2 + node.states:node.around], node.sequence_axes)
             if value is not None]
    if sizes:
        return next((size for size in sizes if isinstance(size, int)), sizes[0])
    most = node.constants.get(0)
    always = not node.inputs[1] and 1 not in node.constants and node.body.outputs[0] == node.body.inputs[1].name
    return max(int(most.reshape(-1)[0]), 0) if most is not None and most.size == 1 and always else None
