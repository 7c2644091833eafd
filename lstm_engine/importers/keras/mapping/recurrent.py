"""LSTM, GRU, SimpleRNN, RNN over cells, and Bidirectional."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeGuard

import numpy as np

from ....errors import FormatError, UnsupportedError
from ....graph import GRU, LSTM
from ..reading.config import Layer
from ..reading.owners import KINDS
from ..reading.parts import cell_entry, stacked_roles
from ..reading.settings import Settings
from . import images_over_time, normed_cell
from .builder import Builder, Tensor
from .cells import Cell, Made, cell_of, stacked
from .registry import OWN, Arguments, Context, floats, maps, show

AnyCell = Cell | normed_cell.NormedCell
_MERGE = {"sum": "Add", "mul": "Mul", "ave": "Add"}


@maps("LSTM", "GRU", "SimpleRNN", "CuDNNLSTM", "CuDNNGRU", "RNN", mask=OWN)
def recurrent(context: Context, layer: Layer, arguments: Arguments) -> list[Tensor]:
    """One direction. States follow Keras: h, c of each cell."""
    builder, name = context.builder, layer.where
    x, cells = _input(context, layer, arguments), _stack(context, layer)
    backwards = layer.get("go_backwards", bool, False)
    zero = layer.get("zero_output_for_mask", bool, False)
    sequences = layer.get("return_sequences", bool, False)
    main = "last" if not sequences else "" if backwards else "sequence"
    last = _last_output(layer, arguments.mask, arguments.states, zero)
    made = _run(builder, layer, name, cells, x, arguments.states, arguments.mask, backwards, zero, last, main)
    states = made.states if layer.get("return_state", bool, False) else []
    if not sequences:
        return [made.last, *states]
    # Keras leaves the output of go_backwards in the order in which it was computed; its mask is not turned.
    output = builder.flip(made.sequence, name) if backwards else made.sequence
    return [replace(output, mask=arguments.previous), *states]


@maps("Bidirectional", mask=OWN)
def bidirectional(context: Context, layer: Layer, arguments: Arguments) -> list[Tensor]:
    """Two directions and their merge: concat, sum, mul, ave, or None (two outputs)."""
    builder, name = context.builder, layer.where
    forward, backward = directions(context, layer)
    of_images = forward.kind in images_over_time.KINDS
    x = images_over_time.images(context, layer, forward, arguments) if of_images else _input(context, layer, arguments)
    cells = [] if of_images else [_stack(context, one_way) for one_way in (forward, backward)]
    turned = [one_way.get("go_backwards", bool, False) for one_way in (forward, backward)]
    if turned[0] == turned[1]:
        raise FormatError(f"{layer}: both of its directions have go_backwards {turned[0]}; expected one of each")
    sequences, return_state = (forward.get(key, bool, False) for key in ("return_sequences", "return_state"))
    if any(backward.get(key, bool, False) != forward.get(key, bool, False)
           for key in ("return_sequences", "return_state")):
        raise FormatError(f"{layer}: its directions differ in return_sequences or return_state")
    half = len(arguments.states) // 2
    states = [arguments.states[:half], arguments.states[half:]]
    # TensorFlow's Keras, and Keras 3, zero what Bidirectional returns at masked steps; Keras 2.3 repeated it.
    zero = sequences and context.version.tensorflow
    last = _last_output(forward, arguments.mask, arguments.states, zero)
    if of_images:
        made = [images_over_time.run(context, one_way, f"{name}/{side}", x, state, back)
                for side, one_way, state, back in zip(("forward", "backward"), (forward, backward), states, turned)]
        both = None
    elif _is_one_node(cells) and not turned[0]:
        concat = layer.config.get("merge_mode", "concat") == "concat"
        main = "" if not concat else "sequence" if sequences else "last"
        made, both = _run_both(builder, layer, name, cells, x, states, arguments.mask, zero, last, main)
    else:
        made = [_run(builder, layer, f"{name}/{side}", stack, x, state, arguments.mask, back, zero, last)
                for side, stack, state, back in zip(("forward", "backward"), cells, states, turned)]
        both = None
    outputs = _merge(builder, layer, name, made, both, sequences, turned[0], arguments.previous if sequences else None)
    return [*outputs, *(made[0].states + made[1].states if return_state else [])]


def _is_one_node(cells: list[list[AnyCell]]) -> TypeGuard[list[list[Cell]]]:
    """Whether both directions can be those of one node."""
    (forward, *more), (backward, *others) = cells
    return not (more or others) and isinstance(forward, Cell) and isinstance(backward, Cell) and forward.fits(backward)


def directions(context: Context, layer: Layer) -> tuple[Layer, Layer]:
    """The forward and the backward layer of a Bidirectional, the second made from the first if it is not given."""
    entry = layer.config.get("layer")
    forward = context.child(layer, entry, "forward_layer")
    given = layer.config.get("backward_layer")
    backward = context.child(layer, given or entry, "backward_layer")
    if given is None:
        turned = not forward.get("go_backwards", bool, False)
        backward.config = Settings({**backward.config, "go_backwards": turned})
    for one_way in (forward, backward):
        one_way.config.read.add("zero_output_for_mask")      # Bidirectional sets it itself, to return_sequences
        if one_way.kind not in (*KINDS, *images_over_time.KINDS, "RNN") or one_way.kind.endswith("Cell"):
            raise UnsupportedError(f"{layer} around {one_way} is not supported; supported: LSTM, GRU, SimpleRNN, RNN, "
                                   f"{', '.join(images_over_time.KINDS)}")
    if (forward.kind in images_over_time.KINDS or backward.kind in images_over_time.KINDS) and (
            forward.kind != backward.kind):
        raise UnsupportedError(f"{layer} around {forward} and {backward} is not supported; supported: two of one kind")
    return forward, backward


def _input(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    if layer.config.get("time_major"):
        raise UnsupportedError(f"{layer}: time_major is not supported; supported: [batch, time, features]")
    if layer.config.get("num_constants"):
        raise UnsupportedError(f"{layer}: constants are not supported; supported: inputs and initial states")
    return floats(context, layer, arguments, 3)


def _stack(context: Context, layer: Layer) -> list[AnyCell]:
    """The cells of a recurrent layer, first to last; each made once, for it may be used several times."""
    layers = cell_layers(context, layer)
    for cell in layers:
        if cell.path not in context.cache:
            make = normed_cell.normed_cell_of if cell.kind == normed_cell.KIND else cell_of
            context.cache[cell.path] = make(cell, context.weights, context.version)
    return [context.cache[cell.path] for cell in layers]


def cell_layers(context: Context, layer: Layer) -> list[Layer]:
    """The layer itself, or the cells that an RNN layer runs."""
    if layer.kind != "RNN":
        return [layer]
    cell = context.child(layer, cell_entry(layer), "cell")
    if cell.kind != "StackedRNNCells":
        cells = [cell]
    else:
        if cell.config.get("reverse_state_order"):
            raise UnsupportedError(f"{cell}: reverse_state_order is not supported")
        cells = [context.child(cell, entry, role) for role, entry in stacked_roles(cell)]
    for inner in cells:
        if not inner.kind.endswith("Cell"):
            raise UnsupportedError(f"{inner} as a cell of {layer} is not supported; supported: LSTMCell, GRUCell, "
                                   "SimpleRNNCell, LayerNormLSTMCell of TensorFlow Addons, StackedRNNCells of them")
    return cells


def _last_output(layer: Layer, mask: Tensor | None, states: list[Tensor], zero: bool) -> str:
    """What gives the last output: of a row that is masked throughout it is 0, while its state stays the initial one.

    "state": the final h. "zero": the final h, 0 for such a row. "sequence": the last of all steps, where that h is
    an output too, or where a masked step at the end gives 0 after steps that count.
    """
    if mask is None or layer.get("return_sequences", bool, False):
        return "state"
    if layer.get("return_state", bool, False):
        return "sequence" if states or zero or layer.get("stateful", bool, False) else "state"
    return "sequence" if zero else "zero"


def _run(builder: Builder, layer: Layer, name: str, cells: list[AnyCell], x: Tensor, states: list[Tensor],
         mask: Tensor | None, backwards: bool, zero: bool, last_output: str, main: str = "") -> Made:
    """Run a stack of cells one way over x. main: which output bears `name` itself: "sequence", "last" or neither."""
    from_sequence = last_output == "sequence"
    given = _split_states(layer, cells, states)
    all_states: list[Tensor] = []
    for number, (cell, initial) in enumerate(zip(cells, given)):
        final = number == len(cells) - 1
        here = name if final else f"{name}/cell_{number}"
        if isinstance(cell, normed_cell.NormedCell):
            sequence, h, *c, last = normed_cell.run(builder, layer, here, cell, x, initial, mask, backwards,
                                                    zero and final)
            h = last if final and last_output == "zero" else h
        else:
            sequence, h, *c = _node(
                builder, layer, here, [cell], x, initial, mask, "reverse" if backwards else "forward", zero and final,
                main if final and not (from_sequence and main == "last") else "", last_output if final else "")
        x = sequence
        all_states += [h, *c]
    last = all_states[-1] if cells[-1].op is not LSTM else all_states[-2]
    if from_sequence:
        last = builder.step(sequence, name if main == "last" else f"{name}/last", 0 if backwards else -1)
    return Made(sequence, last, all_states)


def _run_both(builder: Builder, layer: Layer, name: str, cells: list[list[Cell]], x: Tensor,
              states: list[list[Tensor]], mask: Tensor | None, zero: bool, last_output: str,
              main: str) -> tuple[list[Made], Made]:
    """Run two directions as one node; returns each of them, and both side by side."""
    from_sequence = last_output == "sequence"
    pair = [stack[0] for stack in cells]
    units = pair[0].units
    initial = []
    for part in zip(*(_split_states(layer, stack, state)[0] for stack, state in zip(cells, states))):
        initial.append(builder.operator("Concat", f"{name}/initial", list(part), (part[0].shape[0], 2 * units),
                                        attributes={"axis": -1}))
    sequence, *joint = _node(builder, layer, name, pair, x, initial, mask, "bidirectional", zero,
                             "" if from_sequence and main == "last" else main, last_output)
    made = []
    for number, side in enumerate(("forward", "backward")):
        start, end = number * units, (number + 1) * units
        halves = [builder.slice(state, f"{name}/{side}_{letter}", 1, start, end) for state, letter in zip(joint, "hc")]
        own = builder.slice(sequence, f"{name}/{side}", 2, start, end)
        last = halves[0]
        if from_sequence:
            last = builder.step(own, f"{name}/{side}_last", (-1, 0)[number])
        made.append(Made(own, last, halves))
    last = joint[0]
    if from_sequence:
        last = builder.operator("Concat", name if main == "last" else f"{name}/last", [part.last for part in made],
                                joint[0].shape, attributes={"axis": -1})
    return made, Made(sequence, last)


def _split_states(layer: Layer, cells: Sequence[AnyCell], states: list[Tensor]) -> list[list[Tensor]]:
    """Initial states, flat, as those of each cell."""
    counts = [2 if cell.op is LSTM else 1 for cell in cells]
    if not states:
        return [[] for _ in cells]
    if len(states) != sum(counts):
        raise FormatError(f"{layer} is called with {len(states)} initial states; expected {sum(counts)}")
    split, start = [], 0
    for cell, count in zip(cells, counts):
        split.append(states[start : start + count])
        start += count
        for state in split[-1]:
            if state.rank != 2 or isinstance(state.shape[1], int) and state.shape[1] != cell.units:
                raise FormatError(f"{layer}: an initial state has the shape {show(state.shape)}; "
                                  f"expected [batch, {cell.units}]")
    return split


def _node(builder: Builder, layer: Layer, name: str, cells: list[Cell], x: Tensor, initial: list[Tensor],
          mask: Tensor | None, direction: str, zero: bool, main: str, last_output: str) -> list[Tensor]:
    """Emit one recurrent node; returns Y, Y_h and, for an LSTM, Y_c. main: which of them bears `name` itself."""
    cell, width = cells[0], len(cells) * cells[0].units
    batch, time, features = x.shape
    if not builder.unify(features, cell.W.shape[1]):
        raise FormatError(f"{layer}: its input has {features} features, its kernel takes {cell.W.shape[1]}")
    if mask is not None and not (mask.rank == 2 and builder.unify(time, mask.shape[1])):
        raise FormatError(f"{layer}: its mask has the shape {show(mask.shape)}; expected {show(x.shape[:2])}")
    fields: dict[str, Any] = {"linear_before_reset": cell.linear_before_reset} if cell.op is GRU else {}
    states = [builder.as_float(state, name) for state in initial] + [None] * (2 - len(initial))
    names = (name if main == "sequence" else f"{name}/sequence", name if main == "last" else f"{name}/h", f"{name}/c")
    outputs = [(value, (batch, time, width) if value == names[0] else (batch, width), builder.float_type)
               for value in names]
    return builder.add(
        cell.op, name, [x, None, *states, mask], outputs if cell.op is LSTM else outputs[:2],
        direction=direction, **builder.shared(tuple(map(id, cells)), lambda: stacked(cells)),
        activations=tuple(each.activations for each in cells), zero_masked=bool(zero and mask is not None),
        empty="zero" if last_output == "zero" else "initial", **fields)


def _merge(builder: Builder, layer: Layer, name: str, made: list[Made], both: Made | None, sequences: bool,
           turned: bool, mask: Tensor | None) -> list[Tensor]:
    mode = layer.config.get("merge_mode", "concat")
    if mode == "concat" and both is not None:
        return [replace(both.sequence, mask=mask) if sequences else both.last]
    parts = [part.sequence if sequences else part.last for part in made]
    if sequences and turned:
        # The "forward" layer runs backwards: Keras turns only the second output, so both come out reversed.
        parts = [builder.flip(part, f"{name}/reversed") for part in parts]
    if mode is None:
        return [replace(part, mask=mask) for part in parts]
    left, right = parts
    if mode == "concat":
        width = left.shape[-1] + right.shape[-1]  # type: ignore[operator]
        merged = builder.operator("Concat", name, parts, (*left.shape[:-1], width),
                                  attributes={"axis": -1})
    elif isinstance(mode, str) and mode in _MERGE:
        if left.shape[-1] != right.shape[-1]:
            raise FormatError(f"{layer}: merge_mode {mode!r} of {left.shape[-1]} and {right.shape[-1]} units")
        merged = builder.operator(_MERGE[mode], f"{name}/sum" if mode == "ave" else name, parts, left.shape)
        if mode == "ave":
            merged = builder.operator("Mul", name, [merged, np.array(0.5, builder.float_type)], left.shape)
    else:
        raise UnsupportedError(f"{layer}: merge_mode {mode!r:.80} is not supported; supported: concat, sum, mul, "
                               "ave, null")
    return [replace(merged, mask=mask)]



@maps("LSTMCell", "GRUCell", "SimpleRNNCell", "StackedRNNCells", normed_cell.KIND)
def lone_cell(context: Context, layer: Layer, arguments: Arguments) -> list[Tensor]:
    """Cells are parts of an RNN layer; one on its own has no time to run over."""
    raise UnsupportedError(f"{layer} outside of an RNN layer is not supported; supported: RNN(cell)")
