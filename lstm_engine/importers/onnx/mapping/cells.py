"""Recurrent cells: ONNX's LSTM, GRU and RNN become the house nodes, batch first, directions side by side."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....errors import UnsupportedError
from ....graph import GRU, LSTM, RNN, Recurrent, Value
from ....graph.nodes import Shape
from ..simplifying.recurrent import Cell
from .mapper import Mapper
from .views import View

_NODES: dict[str, type[Recurrent]] = {"LSTM": LSTM, "GRU": GRU, "RNN": RNN}


def add(mapper: Mapper, cell: Cell) -> None:
    """Add the node of a cell; its ONNX outputs become views of the node's."""
    build = mapper.build
    batch, time, _ = x_shape = _batch_first(mapper, cell)
    lengths = _lengths(mapper, cell, batch, time)
    inputs = [build.array(_x_view(mapper, cell), x_shape), lengths,
              _state(mapper, cell, cell.initial_h, batch, cell.output),
              _state(mapper, cell, cell.initial_c, batch, cell.hidden), _mask(mapper, cell, batch, time)]
    while not inputs[-1]:
        inputs.pop()
    wide = cell.dirs * cell.output
    shapes: list[Shape] = [(batch, time, wide), (batch, wide), (batch, cell.dirs * cell.hidden)]
    outputs = []
    for name, shape in zip(cell.node.outputs, shapes):
        made = build.name(name) if name else ""
        outputs.append(made)
        if made:
            build.values[made] = Value(made, shape, cell.W.dtype.name)
            mapper.views[name] = _onnx_view(made, shape, cell)
    if outputs[0] and not lengths and not cell.mask:
        build.sequences.add(outputs[0])
    options: dict[str, Any] = dict(cell.options)
    if cell.op == "LSTM":
        options["P"] = cell.P
        options["projection"] = cell.projection
    build.nodes.append(_NODES[cell.op](
        name=build.node_name(cell.node.name or f"{cell.op}_{len(build.nodes)}"), inputs=tuple(inputs),
        outputs=tuple(outputs), W=cell.W, R=cell.R, B=cell.B, direction=cell.direction,
        activations=cell.activations,
        empty=cell.empty, zero_masked=cell.zero_masked, clip=cell.clip, **options))


def _x_view(mapper: Mapper, cell: Cell) -> View:
    """x as [batch, time, features]."""
    if cell.x in mapper.constants:
        array = mapper.constants[cell.x]
        name = mapper.build.constant(cell.x, array if cell.layout else array.transpose(1, 0, 2))
        return View.whole(name, mapper.build.values[name].shape)
    view = mapper.views[cell.x]
    return view if cell.layout else view.transpose((1, 0, 2))


def _batch_first(mapper: Mapper, cell: Cell) -> Shape:
    shape = mapper.constants[cell.x].shape if cell.x in mapper.constants else mapper.shape(cell.x)
    return tuple(shape) if cell.layout else (shape[1], shape[0], shape[2])


def _lengths(mapper: Mapper, cell: Cell, rows: int | str, time: int | str) -> str:
    """The value of the lengths; "" where every one of so many rows runs to the end anyway."""
    array = mapper.constants.get(cell.lengths)
    if array is None:
        return mapper.array(cell.lengths)
    return "" if array.shape == (rows,) and np.all(array == time) else mapper.build.constant(cell.lengths, array)


def _mask(mapper: Mapper, cell: Cell, rows: int | str, time: int | str) -> str:
    """The value of the mask as [rows, time]; "" where there is none."""
    if not cell.mask:
        return ""
    array = mapper.constants.get(cell.mask)
    if array is not None:
        return mapper.build.constant(cell.mask, array.T)
    return mapper.build.array(mapper.views[cell.mask].transpose((1, 0)), (rows, time))


def _state(mapper: Mapper, cell: Cell, name: str, rows: int | str, size: int) -> str:
    """The value of an initial state as [rows, dirs*size]; "" for zeros, which are the default.

    Zeros that are not known to be of so many rows stay: whether they fit x, which ONNX wants, the run must tell.
    """
    if not name:
        return ""
    array = mapper.constants.get(name)
    shape = mapper.shape(name) if array is None else array.shape
    fits = tuple(shape) == ((rows, cell.dirs, size) if cell.layout else (cell.dirs, rows, size))
    if array is None:
        if name in mapper.folded.zeros and fits:
            return ""
        view = mapper.views[name]
        view = view if cell.layout else view.transpose((1, 0, 2))
        batch = shape[0 if cell.layout else 1]
        return mapper.build.array(view.merge(1, 2), (batch, cell.dirs * size))
    if not array.any() and fits:
        return ""
    state = array if cell.layout else array.transpose(1, 0, 2)
    return mapper.build.constant(name, mapper.derived.get(
        "state", lambda array: np.ascontiguousarray(array.reshape(len(array), -1)), state))


def _onnx_view(root: str, shape: Shape, cell: Cell) -> View:
    """What ONNX shows of a value [batch, (time,) dirs*H]: [time, dirs, batch, H] or [dirs, batch, H], layout 0."""
    wide = shape[-1]
    assert isinstance(wide, int)
    apart = (*shape[:-1], cell.dirs, wide // cell.dirs)
    view = View.whole(root, shape).reshape(apart)
    if view is None:                # the last axis is dirs*H by construction, so another one is 0
        raise UnsupportedError(f"{cell.node.label}: makes {list(shape)}, of no elements whatever comes")
    if cell.layout:
        return view
    return view.transpose((1, 2, 0, 3) if len(apart) == 4 else (1, 0, 2))
