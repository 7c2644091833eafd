"""Makes views into values: the fewest Squeeze, Reshape, Gather, Transpose and Unsqueeze that lead to one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ....graph.names import Names
from ....graph.nodes import Dim, Node, Operator, Pool, Shape, Value
from ..simplifying.numbers import LARGE
from .views import View

Piece = tuple[int, ...]         # the factors of one axis on the way; () is an axis of size 1


@dataclass(eq=False)
class Builder:
    """The graph being made: its nodes, the values they make, and names not yet taken."""

    nodes: list[Node] = field(default_factory=list)
    values: dict[str, Value] = field(default_factory=dict)
    names: Names = field(default_factory=Names)
    _node_names: Names = field(default_factory=Names)
    sequences: set[str] = field(default_factory=set)     # made by a recurrent layer without lengths
    _made: dict[tuple[Any, ...], str] = field(default_factory=dict)

    def name(self, hint: str) -> str:
        """A name for a value, made from `hint`."""
        return self.names.unused(hint)

    def node_name(self, hint: str) -> str:
        return self._node_names.unused(hint)

    def operator(self, op_type: str, x: str, shape: Shape, constants: dict[int, np.ndarray] | None = None,
                 **attributes: Any) -> str:
        """Add an operator with one data input; the name of its output."""
        given = constants or {}
        output = self.name(f"{x}/{op_type.lower()}")
        self.nodes.append(Operator(name=self.node_name(output), inputs=(x, *[""] * len(given)), outputs=(output,),
                                   op_type=op_type, attributes=attributes, constants=given))
        self.values[output] = Value(output, shape, self.values[x].dtype)
        return output

    def constant(self, hint: str, array: np.ndarray) -> str:
        """The name of a value that is `array`."""
        name = self.name(hint)
        self.nodes.append(Operator(name=self.node_name(name), inputs=("",), outputs=(name,), op_type="Identity",
                                   constants={0: array}))
        self.values[name] = Value(name, array.shape, array.dtype.name)
        return name

    def array(self, view: View, shape: Sequence[Dim]) -> str:
        """The name of a value that holds what the view shows; `shape` is the view's, symbols for unknown products."""
        if (view.axes, view.picks) == _plain(view, self.values[view.root].shape):
            return view.root
        key = (view, tuple(shape))
        if key not in self._made:
            self._made[key] = self._make(view, tuple(shape))
        return self._made[key]

    def _make(self, view: View, shape: Shape) -> str:
        root = self.values[view.root]
        if not view.picks and view.order() == list(range(len(view.factors))):
            return self._reshape(view.root, root.shape, shape)
        last = self._last_step(view, root)
        if last is not None:
            return self.array(last, shape)
        name, pieces = view.root, _pieces(view, len(root.shape))
        if any(len(parts) > 1 for parts in pieces):
            split = [piece for parts in pieces for piece in parts]
            name = self._reshape(name, root.shape, tuple(_size(view, piece) for piece in split))
        else:
            split = [parts[0] for parts in pieces]
        wanted = view.axes.count(()) - split.count(())
        for factor, index in view.picks:
            at = split.index((factor,))
            if wanted > 0:          # an axis of size 1 is asked for: this one may stay
                wanted -= 1
                split[at] = ()
                name = self._slice(name, at, index, tuple(_size(view, piece) for piece in split))
            else:
                del split[at]
                name = self.operator("Gather", name, tuple(_size(view, piece) for piece in split),
                                     {1: np.array(index, np.int64)}, axis=at)
        return self._arrange(view, name, split, shape)

    def _last_step(self, view: View, root: Value) -> View | None:
        """A view of the last step alone, where the view picks it from a sequence."""
        if view.root not in self.sequences or len(view.picks) != 1 or len(root.shape) != 3:
            return None
        (factor, index), = view.picks
        axis, size = view.factors[factor]
        if axis != 1 or view.of_axis(1) != (factor,) or index not in (-1, size - 1 if isinstance(size, int) else -1):
            return None
        batch, _, features = root.shape
        key = ("last", view.root)
        if key not in self._made:
            output = self.name(f"{view.root}/last")
            self.nodes.append(Pool(name=self.node_name(output), inputs=(view.root,), outputs=(output,), kind="last"))
            self.values[output] = Value(output, (batch, features), root.dtype)
            self._made[key] = output
        factors = tuple((0 if of == 0 else 1, dim) for of, dim in view.factors if of != 1)
        axes = tuple(tuple(f - (f > factor) for f in piece) for piece in view.axes)
        return View(self._made[key], factors, axes)

    def _arrange(self, view: View, name: str, pieces: list[Piece], shape: Shape) -> str:
        """Bring axes that are whole pieces into the view's order, and merge them."""
        where = {factor: i for i, piece in enumerate(pieces) for factor in piece}
        perm: list[int] = []
        spare = [i for i, piece in enumerate(pieces) if not piece]
        merges = False
        for axis in view.axes:
            blocks = list(dict.fromkeys(where[factor] for factor in axis))
            merges |= len(blocks) > 1
            perm += blocks if axis else spare[:1]
            spare = spare if axis else spare[1:]
        if spare:
            name = self._squeeze(name, spare)
            perm = [i - sum(gone < i for gone in spare) for i in perm]
            pieces = [piece for i, piece in enumerate(pieces) if i not in spare]
        if perm != sorted(perm):
            name = self.operator("Transpose", name, tuple(self.values[name].shape[i] for i in perm), perm=tuple(perm))
        present = self.values[name].shape
        return self._reshape(name, present, shape) if merges or len(present) != len(shape) else name

    def _slice(self, name: str, axis: int, index: int, shape: Shape) -> str:
        """One index of an axis, which stays."""
        end = LARGE if index == -1 else index + 1
        parts = {i: np.array([v], np.int64) for i, v in enumerate((index, end, axis), 1)}
        return self.operator("Slice", name, shape, parts)

    def _squeeze(self, name: str, axes: Iterable[int]) -> str:
        gone = sorted(axes)
        shape = tuple(dim for i, dim in enumerate(self.values[name].shape) if i not in gone)
        return self.operator("Squeeze", name, shape, {1: np.array(gone, np.int64)})

    def _reshape(self, name: str, present: Shape, shape: Shape) -> str:
        """The same elements in another shape."""
        if present == shape:
            return name
        if [dim for dim in present if dim != 1] == [dim for dim in shape if dim != 1]:
            if 1 not in shape:
                return self._squeeze(name, [i for i, dim in enumerate(present) if dim == 1])
            if 1 not in present:
                added = np.array([i for i, dim in enumerate(shape) if dim == 1], np.int64)
                return self.operator("Unsqueeze", name, shape, {1: added})
        target = [dim if isinstance(dim, int) else 0 if i < len(present) and present[i] == dim else -1
                  for i, dim in enumerate(shape)]
        if target.count(-1) <= 1:
            return self.operator("Reshape", name, shape, {1: np.array(target, np.int64)})
        return self._reshape_by_shape(name, present, shape)

    def _reshape_by_shape(self, name: str, present: Shape, shape: Shape) -> str:
        """Reshape to sizes of which several are known only when the model runs: picked from the input's shape."""
        known = sorted({dim for dim in shape if isinstance(dim, int)} | {-1})
        source = self.operator("Shape", name, (len(present),))
        self.values[source] = replace(self.values[source], dtype="int64")
        table = self.name(f"{source}/table")
        self.nodes.append(Operator(name=self.node_name(table), inputs=(source, ""), outputs=(table,), op_type="Concat",
                                   attributes={"axis": 0}, constants={1: np.array(known, np.int64)}))
        self.values[table] = Value(table, (len(present) + len(known),), "int64")
        picked = [len(present) + known.index(dim) if isinstance(dim, int) else
                  present.index(dim) if dim in present else len(present) + known.index(-1) for dim in shape]
        target = self.operator("Gather", table, (len(shape),), {1: np.array(picked, np.int64)}, axis=0)
        output = self.name(f"{name}/reshape")
        self.nodes.append(Operator(name=self.node_name(output), inputs=(name, target), outputs=(output,),
                                   op_type="Reshape"))
        self.values[output] = Value(output, shape, self.values[name].dtype)
        return output


def _plain(view: View, shape: Shape) -> tuple[tuple[Piece, ...], tuple[()]]:
    """The axes and picks of the view that is its root."""
    return tuple(view.of_axis(axis) for axis in range(len(shape))), ()


def _pieces(view: View, rank: int) -> list[list[Piece]]:
    """For each axis of the root the pieces it must be split into: runs of factors that stay neighbours."""
    order = view.order()
    at = {factor: i for i, factor in enumerate(order)}
    ends = {axis[-1] for axis in view.axes if axis}     # a piece may not reach over the end of an axis of the view
    picked = {factor for factor, _ in view.picks}
    result: list[list[Piece]] = []
    for axis in range(rank):
        pieces: list[Piece] = []
        for factor in view.of_axis(axis):
            previous = pieces[-1][-1] if pieces else None
            joins = (previous is not None and previous not in picked and factor not in picked
                     and previous not in ends and at[factor] == at[previous] + 1)
            if joins:
                pieces[-1] += (factor,)
            else:
                pieces.append((factor,))
        result.append(pieces or [()])
    return result


def _size(view: View, piece: Piece) -> Dim:
    size: Dim = 1
    for factor in piece:
        dim = view.size(factor)
        size = dim if size == 1 else size * dim      # type: ignore[operator]
    return size
