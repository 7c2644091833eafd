"""Runs a whole graph in float64, node by node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, overload

import numpy as np

from ..errors import ArgumentError
from ..graph import GRU, LSTM, Activate, Dense, Embedding, Graph, Loop, Mask, Node, Operator, Pool, Recurrent, Value
from ..graph.nodes import Dim
from ..operators import infer_shapes
from ..operators.guards import chooses, guards, holds
from ..operators.looping import of_no_turns
from .activations import activate
from .operators import run_operator
from .quantized import factor
from .recurrent import Rounded, gru, lstm, rnn, rows_with_steps

States = dict[str, dict[str, np.ndarray]]      # node name -> {"h": [batch, dirs, H], "c": [batch, dirs, H]}
Lengths = np.ndarray | Sequence[int] | Mapping[Dim, np.ndarray]


@overload
def run(graph: Graph, inputs: Mapping[str, np.ndarray], lengths: Lengths | None = None,
        initial_state: States | None = None, return_state: Literal[False] = False, *,
        empty: str | None = None) -> dict[str, np.ndarray]: ...
@overload
def run(graph: Graph, inputs: Mapping[str, np.ndarray], lengths: Lengths | None = None,
        initial_state: States | None = None, *, return_state: Literal[True],
        empty: str | None = None) -> tuple[dict[str, np.ndarray], States]: ...
def run(graph: Graph, inputs: Mapping[str, np.ndarray], lengths: Lengths | None = None,
        initial_state: States | None = None, return_state: bool = False, *,
        empty: str | None = None) -> dict[str, np.ndarray] | tuple[dict[str, np.ndarray], States]:
    """The outputs of `graph` by name; with `return_state`, also the final state of every recurrent node.

    inputs: one array per input of the graph. lengths [batch]: the real steps of each row of the sequences
    given to the graph, or a dict of them by the symbol of the time axis where there are several. Steps beyond
    them count for nothing, and outputs that still have that axis are 0 there. initial_state: the states of
    recurrent nodes whose initial states are not inputs of theirs; those left out start at 0. empty: instead
    of what each node says of Y_h and Y_c, see `recurrent.Steps`; the final state that `return_state` gives is never
    zeroed. Floating-point values are float64 throughout.
    Raises ArgumentError for inputs, lengths or states that do not fit.
    """
    shapes = infer_shapes(graph)
    values = _check_inputs(graph, inputs)
    by_axis = _lengths_by_axis(graph, shapes, lengths)
    initial = dict(initial_state or {})
    states: States = {}
    for node, guard in zip(graph.nodes, guards(graph)):
        if not holds(guard, values):
            continue
        find = values.get if chooses(node) else values.__getitem__
        arguments = [find(name) if name else None for name in node.inputs]
        given = [array for array in arguments if array is not None]
        steps = _steps_of(node, shapes, by_axis)
        if isinstance(node, Recurrent):
            outputs, states[node.name] = run_recurrent(node, arguments, steps, initial.pop(node.name, {}), empty)
        elif isinstance(node, Operator):
            outputs = run_operator(node, arguments)
        elif isinstance(node, Loop):
            outputs = _run_loop(node, arguments)
        else:
            outputs = [run_layer(node, given[0], steps)]
        values.update((name, output) for name, output in zip(node.outputs, outputs, strict=False) if name)
    if initial:
        raise ArgumentError(f"initial_state names no recurrent node of the graph: {', '.join(map(repr, initial))}")
    results = {name: _zero_padding(values[name], shapes[name], by_axis) for name in graph.outputs}
    return (results, states) if return_state else results


def _run_loop(node: Loop, arguments: list[np.ndarray | None]) -> list[np.ndarray]:
    """ONNX's Loop and Scan: turn after turn, each on the states that the one before it made."""
    arguments = [node.constants.get(i, array) for i, array in enumerate(arguments)]
    most, condition, *rest = arguments
    states: list[Any] = rest[:node.states]
    around = rest[node.around - 2:]
    sequences = [np.moveaxis(np.asarray(array), axis, 0)[::-1 if backwards else 1]
                 for array, axis, backwards in zip(rest[node.states:], node.sequence_axes, node.backwards)]
    results: list[list[np.ndarray]] = [[] for _ in node.result_axes]
    turn, goes_on = 0, condition is None or bool(condition.item())
    while goes_on and (most is None or turn < most.item()) and all(turn < len(array) for array in sequences):
        given = [np.array(turn), np.array(True), *states, *(array[turn] for array in sequences), *around]
        named = {value.name: array for value, array in zip(node.body.inputs, given)}
        made = [run(node.body, named)[name] for name in node.body.outputs]
        turn, goes_on, states = turn + 1, bool(made[0].item()), list(made[1:1 + node.states])
        for result, array in zip(results, made[1 + node.states:]):
            result.append(array)
    if not turn:                            # what the sizes of nothing are is no question of numbers
        inside, shapes = infer_shapes(node.body), [np.shape(array) for array in rest]      # type: ignore[arg-type]
        empty = [of_no_turns(node, place, inside, shapes) for place in range(len(results))]
        return [*states, *(array.astype(np.float64) if array.dtype.kind == "f" else array for array in empty)]
    stacked = [np.stack(arrays[::-1] if turned else arrays, axis)
               for arrays, axis, turned in zip(results, node.result_axes, node.turned)]
    return [*states, *stacked]


def _check_inputs(graph: Graph, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    wanted = {value.name for value in graph.inputs}
    if wanted != set(inputs):
        raise ArgumentError(f"inputs must be {sorted(wanted)}, got {sorted(inputs)}")
    values: dict[str, np.ndarray] = {}
    sizes: dict[str, int] = {}
    for value in graph.inputs:
        array = np.asarray(inputs[value.name])
        agree = array.ndim == len(value.shape) and all(
            size == (sizes.setdefault(dim, size) if isinstance(dim, str) else dim)
            for size, dim in zip(array.shape, value.shape, strict=True))
        if not agree:
            raise ArgumentError(f"input {value.name!r} must be [{', '.join(map(str, value.shape))}], "
                                f"got {list(array.shape)}")
        values[value.name] = _cast(value, array)
    return values


def _cast(value: Value, array: np.ndarray) -> np.ndarray:
    """Floats as float64 (rounded, where float16 is declared); ids, lengths and masks as the graph declares them, if
    that loses nothing."""
    if value.dtype == "float16":
        with np.errstate(over="ignore"):
            array = array.astype(np.float16)
    dtype = np.dtype(np.float64 if value.dtype.startswith("float") else value.dtype)
    if dtype.kind != "f" and array.dtype.kind not in ("b" if dtype.kind == "b" else "iu"):
        raise ArgumentError(f"input {value.name!r} must be {value.dtype}, got {array.dtype}")
    cast = array.astype(dtype)
    if dtype.kind != "f" and not np.array_equal(cast, array):
        raise ArgumentError(f"input {value.name!r} holds values beyond {value.dtype}")
    return cast


def _lengths_by_axis(graph: Graph, shapes: dict[str, Value],
                     lengths: Lengths | None) -> dict[Dim, np.ndarray]:
    """Lengths by the time axis they belong to, in the names that shape inference settled on."""
    if lengths is None:
        return {}
    settled = {declared: known for value in graph.inputs
               for declared, known in zip(value.shape, shapes[value.name].shape, strict=True)}
    if isinstance(lengths, Mapping):
        return {settled.get(axis, axis): np.asarray(of_axis) for axis, of_axis in lengths.items()}
    axes = {settled[value.shape[1]] for value in graph.inputs
            if len(value.shape) == 3 or (len(value.shape) == 2 and isinstance(value.shape[1], str))}
    if len(axes) != 1:
        raise ArgumentError("lengths must be a dict by time axis: "
                            f"the graph has {len(axes)} ({sorted(map(str, axes))})")
    return {axes.pop(): np.asarray(lengths)}


def _steps_of(node: Node, shapes: dict[str, Value], by_axis: dict[Dim, np.ndarray]) -> np.ndarray | None:
    """The lengths given to `run` that belong to the time axis of the node's first input."""
    if not node.inputs or not node.inputs[0] or len(shapes[node.inputs[0]].shape) < 2:
        return None
    return by_axis.get(shapes[node.inputs[0]].shape[1])


def _zero_padding(array: np.ndarray, value: Value, by_axis: dict[Dim, np.ndarray]) -> np.ndarray:
    if array.ndim < 2 or value.shape[1] not in by_axis or (array.ndim == 2 and isinstance(value.shape[1], int)):
        return array
    real = np.arange(array.shape[1]) < by_axis[value.shape[1]][:, None]
    return np.where(real.reshape(real.shape + (1,) * (array.ndim - 2)), array, np.zeros((), array.dtype))


def run_layer(node: Node, x: np.ndarray, lengths: np.ndarray | None) -> np.ndarray:
    if isinstance(node, Embedding):
        if x.size and not 0 <= x.min() <= x.max() < node.table.shape[0]:
            raise ArgumentError(f"node {node.name!r}: ids must be from 0 to {node.table.shape[0] - 1}, "
                                f"got {x.min()} to {x.max()}")
        rows: np.ndarray = np.asarray(node.table, np.float64)[x]
        return rows
    if isinstance(node, Dense):
        bias = 0.0 if node.bias is None else node.bias.astype(np.float64)
        return activate(node.activation, x @ factor(node.kernel) + bias)
    if isinstance(node, Activate):
        return activate(node.activation, x)
    if isinstance(node, Mask):
        mask: np.ndarray = x != node.value
        return mask
    assert isinstance(node, Pool), node
    return _pool(node.kind, x, lengths)


def _pool(kind: str, x: np.ndarray, lengths: np.ndarray | None) -> np.ndarray:
    """x [batch, time, F] -> [batch, F] over each row's real steps; 0 where there are none."""
    pooled = np.zeros((x.shape[0], x.shape[2]))
    for row, sequence in enumerate(x):
        real = sequence if lengths is None else sequence[:lengths[row]]
        if len(real):
            pooled[row] = {"last": lambda steps: steps[-1], "mean": lambda steps: steps.mean(axis=0),
                           "max": lambda steps: steps.max(axis=0)}[kind](real)
    return pooled


def run_recurrent(node: Recurrent, arguments: list[np.ndarray | None], steps: np.ndarray | None,
                  state: dict[str, np.ndarray], empty: str | None, rounded: Rounded | None = None
                  ) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
    """The outputs and final states of a recurrent node; empty and rounded as in `recurrent.Steps`."""
    x, lengths, initial_h, initial_c, mask = arguments + [None] * (5 - len(arguments))
    assert x is not None, node
    if state and (initial_h is not None or initial_c is not None):
        raise ArgumentError(f"initial_state of {node.name!r}: its states are already inputs of the graph")
    if set(state) - ({"h", "c"} if isinstance(node, LSTM) else {"h"}):
        raise ArgumentError(f"initial_state of {node.name!r}: {node.op} has no state {sorted(state)}")
    sides = (len(x), node.dirs)                 # a state [batch, dirs*H] in the graph is [batch, dirs, H] here
    if initial_h is not None:
        initial_h = initial_h.reshape(*sides, node.output_size)
    else:
        initial_h = state.get("h")
    options: dict[str, Any] = dict(
        initial_h=initial_h,
        sequence_lens=steps if lengths is None else lengths, direction=node.direction, clip=node.clip,
        activations=node.activations, mask=mask, zero_masked=node.zero_masked, rounded=rounded)
    if isinstance(node, LSTM):
        initial_c = state.get("c") if initial_c is None else initial_c.reshape(*sides, node.hidden)
        Y, *finals = lstm(x, node.W, node.R, node.B, P=node.P, input_forget=node.input_forget,
                          projection=node.projection, peephole_output=node.peephole_output,
                          cell_clip=node.cell_clip, initial_c=initial_c, **options)
    elif isinstance(node, GRU):
        Y, *finals = gru(x, node.W, node.R, node.B, linear_before_reset=node.linear_before_reset, **options)
    else:
        Y, *finals = rnn(x, node.W, node.R, node.B, **options)
    shown = finals
    if (empty or node.empty) == "zero":
        lengths = np.full(x.shape[0], x.shape[1]) if options["sequence_lens"] is None else options["sequence_lens"]
        real = rows_with_steps(lengths, np.ones(x.shape[:2], bool) if mask is None else mask)
        shown = [np.where(real[:, None, None], state, 0.0) for state in finals]
    outputs = [array.reshape(*array.shape[:-2], node.dirs * array.shape[-1]) for array in (Y, *shown)]
    return outputs, dict(zip("hc", finals, strict=False))
