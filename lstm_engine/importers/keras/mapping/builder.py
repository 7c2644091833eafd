"""Collects the nodes of a graph, with the shape, dtype and mask of each value as far as the mapping needs them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeGuard

import numpy as np

from ....data_types import DATA_TYPE_NUMBERS
from ....errors import UnsupportedError
from ....graph import Graph, Mask, Node, Operator, Recurrent, Value
from ....graph.names import Names
from ....graph.nodes import Dim
from ....graph.readings import Reading
from ....graph.shapes import Symbols

MAX_NODES = 20_000


@dataclass(frozen=True)
class Tensor:
    """A value while the graph is built.

    mask: the name of a bool value [batch, time], or None. sizes: of a shape, or of one size of it, what it holds.
    """

    name: str
    shape: tuple[Dim, ...]
    dtype: str
    mask: Tensor | None = None
    sizes: tuple[Dim, ...] | None = None

    @property
    def rank(self) -> int:
        return len(self.shape)


class Builder:
    """Nodes in order, with names that are used once.

    float_type: the dtype of the weights, and of floating-point values that declare no other, "float32" or "float64".
    """

    def __init__(self, float_type: str) -> None:
        self.float_type = float_type
        self._inputs: list[Value] = []
        self._nodes: list[Node] = []
        self._names = Names()
        self._node_names = Names()
        self._symbols = Symbols()
        self._open_sizes = 0
        self.narrow = ""                 # an input of whole numbers that have another width here
        self._shared: dict[Hashable, Any] = {}
        self._constants: dict[str, np.ndarray] = {}
        self._masks: dict[tuple[str, int], Tensor] = {}
        self._whole: dict[str, Tensor] = {}              # what was cast to floats, by the name of these

    def input(self, name: str, shape: Sequence[int | None], dtype: str) -> Tensor:
        """An input of the graph; None in the shape becomes a symbol, the first axis is always "batch"."""
        dims = ["batch"] + [self.symbol() if size is None else size for size in shape[1:]]
        if dtype.startswith(("int", "uint")):
            if dtype not in ("int32", "int64"):
                self.narrow = f"{name!r} ({dtype})"
            dtype = "int64" if dtype in ("int64", "uint32", "uint64") else "int32"
        elif dtype not in ("bool", "string"):
            dtype = "float64" if dtype == "float64" else self.float_type
        value = Value(self.unique(name), tuple(dims), dtype)
        self._inputs.append(value)
        return Tensor(value.name, value.shape, value.dtype)

    def read_texts(self, x: Tensor, reading: Reading, shape: Sequence[Dim], who: str) -> Tensor:
        """The ids, int64, of the texts x, an input of the graph, which takes ids or texts from now on. who: reads them.

        Raises UnsupportedError where something else reads the same texts otherwise.
        """
        at = next(at for at, value in enumerate(self._inputs) if value.name == x.name)
        before = self._inputs[at]
        fixed = [[dim for dim in dims if isinstance(dim, int)] for dims in (before.shape, shape)]
        if before.reading is not None and (before.reading != reading or fixed[0] != fixed[1]):
            raise UnsupportedError(f"{who} and another layer read the texts of input {x.name!r}, each in its own way, "
                                   "which is not supported; supported: an Input(dtype='string') for each, given the "
                                   "same texts")
        if before.reading is None:
            self._inputs[at] = before = Value(x.name, tuple(shape), "int64", reading)
        return Tensor(before.name, before.shape, before.dtype)

    def given(self, value: Value) -> Tensor:
        """An input as it is: what one turn of a loop is given."""
        self._inputs.append(value)
        return Tensor(self.unique(value.name), value.shape, value.dtype)

    def symbol(self) -> str:
        """A new symbol for a size that is not known: "time", "time_2", ..."""
        self._open_sizes += 1
        return "time" if self._open_sizes == 1 else f"time_{self._open_sizes}"

    def shared(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What `make` gave for this key: a layer that is used many times keeps its arrays once."""
        if key not in self._shared:
            self._shared[key] = make()
        return self._shared[key]

    def known(self, key: Hashable) -> Any:
        """What `shared` keeps under this key, None if nothing yet."""
        return self._shared.get(key)

    def unique(self, name: str) -> str:
        """`name`, or with a number if it is taken, for a value."""
        return self._names.unused(name)

    def add(self, node_type: type[Node], name: str, inputs: Sequence[Tensor | None],
            outputs: Sequence[tuple[str, Sequence[Dim], str]], **fields: Any) -> list[Tensor]:
        """Add a node; outputs: (name, shape, dtype) of each. Raises UnsupportedError for a graph of too many."""
        if len(self._nodes) >= MAX_NODES:
            raise UnsupportedError(f"the model has more than {MAX_NODES} operations, layers used many times counted "
                                   "each time")
        names = [tensor.name if tensor else "" for tensor in inputs]
        while names and not names[-1]:
            names.pop()
        made = [Tensor(self.unique(output), tuple(shape), dtype) for output, shape, dtype in outputs]
        self._nodes.append(node_type(name=self._node_names.unused(name), inputs=tuple(names),
                                     outputs=tuple(tensor.name for tensor in made), **fields))
        return made

    def operator(self, op_type: str, name: str, inputs: Sequence[Tensor | np.ndarray], shape: Sequence[Dim],
                 dtype: str | None = None, attributes: Mapping[str, Any] | None = None) -> Tensor:
        """Add an ONNX operator; arrays among the inputs become its constants. dtype: of the output."""
        first = next(entry for entry in inputs if isinstance(entry, Tensor))
        return self.operators(op_type, name, inputs, [(shape, dtype or first.dtype)], attributes)[0]

    def operators(self, op_type: str, name: str, inputs: Sequence[Tensor | np.ndarray],
                  outputs: Sequence[tuple[Sequence[Dim], str]], attributes: Mapping[str, Any] | None = None
                  ) -> list[Tensor]:
        """Add an ONNX operator of several outputs: (shape, dtype) of each."""
        if len(self._nodes) >= MAX_NODES:
            raise UnsupportedError(f"the model has more than {MAX_NODES} operations")
        made = [Tensor(self.unique(name), tuple(shape), dtype) for shape, dtype in outputs]
        inputs = [self._constants.get(entry.name, entry) if isinstance(entry, Tensor) else entry for entry in inputs]
        self._nodes.append(Operator(
            name=self._node_names.unused(name), outputs=tuple(each.name for each in made), op_type=op_type,
            attributes=attributes or {},
            inputs=tuple(entry.name if isinstance(entry, Tensor) else "" for entry in inputs),
            constants={i: entry for i, entry in enumerate(inputs) if not isinstance(entry, Tensor)}))
        return made

    def constant(self, name: str, array: np.ndarray) -> Tensor:
        """A value that is an array; operators take it as their own."""
        made = Tensor(self.unique(name), array.shape, array.dtype.name)
        self._constants[made.name] = array
        self._nodes.append(Operator(name=self._node_names.unused(name), inputs=("",), outputs=(made.name,),
                                    op_type="Identity", constants={0: array}))
        return made

    def zeros(self, name: str, like: Tensor, shape: Sequence[Dim]) -> Tensor:
        """Zeros [batch, *shape] of as many rows as a value has."""
        rows = self.operator("Shape", f"{name}/rows", [like], (1,), "int64", {"start": 0, "end": 1})
        whole = self.operator("Concat", f"{name}/shape", [rows, np.array(shape, np.int64)], (1 + len(shape),), "int64",
                              {"axis": 0})
        return self.operator("ConstantOfShape", name, [whole, np.zeros(1, self.float_type)], (like.shape[0], *shape),
                             self.float_type)

    def cast(self, x: Tensor, dtype: str, name: str) -> Tensor:
        """x as `dtype`; x itself if it is that already."""
        if x.dtype == dtype:
            return x
        if x.name in self._constants:
            array = self._constants[x.name]
            # With the array itself, whose id must not become another's.
            _, changed = self.shared(("cast", id(array), dtype), lambda: (array, array.astype(dtype)))
            return self.constant(f"{name}/cast", changed)
        made = self.operator("Cast", f"{name}/cast", [x], x.shape, dtype, {"to": DATA_TYPE_NUMBERS[dtype]})
        if x.dtype in ("int32", "int64") and dtype.startswith("float"):
            self._whole[made.name] = x
        return replace(made, mask=x.mask)

    def ids_of(self, x: Tensor) -> Tensor:
        """The whole numbers that were cast to the floats x, as an inner model takes ids; else x itself.

        Of both the same are equal to a number below 2**24, each of which is a float32.
        """
        return self._whole.get(x.name, x)

    def as_float(self, x: Tensor, name: str) -> Tensor:
        """x as floating-point numbers, in the dtype that it has where it is one of them."""
        return x if x.dtype.startswith("float") else self.cast(x, self.float_type, name)

    def in_dtype_of_all(self, inputs: Sequence[Tensor], name: str) -> list[Tensor]:
        """Inputs in the narrowest dtype that holds those of all, as Keras promotes them: whole numbers and masks stay
        whole among themselves."""
        dtypes = {x.dtype for x in inputs}
        if len(dtypes) == 1:
            return list(inputs)
        wide = np.result_type(*map(np.dtype, dtypes))
        return self.in_one_dtype(inputs, name) if wide.kind == "f" else [self.cast(x, wide.name, name) for x in inputs]

    def in_one_dtype(self, inputs: Sequence[Tensor], name: str) -> list[Tensor]:
        """Inputs of an operation as floating-point numbers of the widest dtype among them, as Keras promotes them."""
        inputs = [self.as_float(x, name) for x in inputs]
        wide = "float64" if any(x.dtype == "float64" for x in inputs) else self.float_type
        return [self.cast(x, wide, name) for x in inputs]

    def slice(self, x: Tensor, name: str, axis: int, start: int, end: int | None, step: int = 1) -> Tensor:
        """x[..., start:end:step, ...] on one axis; end None: to the end."""
        size = x.shape[axis]
        dim: Dim = size if isinstance(size, int) else self.symbol()
        if isinstance(size, int):
            dim = len(range(*slice(start, end, step).indices(size)))
        elif (start, end, step) in ((0, None, 1), (-1, None, -1)):
            dim = size
        bounds = np.iinfo(np.int64)
        bound = end if end is not None else bounds.min if step < 0 else bounds.max
        constants = [np.array([number], np.int64) for number in (start, bound, axis, step)]
        return self.operator("Slice", name, [x, *constants], (*x.shape[:axis], dim, *x.shape[axis + 1:]))

    def flip(self, x: Tensor, name: str) -> Tensor:
        """x [batch, time, ...] with its steps in reverse order."""
        return self.slice(x, name, 1, -1, None, -1)

    def step(self, x: Tensor, name: str, index: int) -> Tensor:
        """One step of x [batch, time, ...]: [batch, ...]; index 0 or -1."""
        return self.operator("Gather", name, [x, np.array(index, np.int64)], (x.shape[0], *x.shape[2:]),
                             attributes={"axis": 1})

    def mask_of(self, ids: Tensor, value: int, name: str) -> Tensor:
        """True where ids [batch, time] differ from `value`: one node for each pair of them."""
        key = (ids.name, value)
        if key not in self._masks:
            self._masks[key], = self.add(Mask, name, [ids], [(name, ids.shape, "bool")], value=value)
        return self._masks[key]

    def unify(self, left: Dim, right: Dim) -> bool:
        """Note that two sizes are the same; False if they are different numbers."""
        return self._symbols.unify(left, right)

    def finish(self, outputs: Sequence[Tensor], metadata: Mapping[str, str]) -> Graph:
        """The graph of all that the outputs need."""
        if unread := [value.name for value in self._inputs if value.dtype == "string"]:
            raise UnsupportedError(f"input {unread[0]!r} takes texts, which no layer reads; supported: StringLookup or "
                                   "TextVectorization right behind it")
        names: list[str] = []
        inputs = {value.name for value in self._inputs}
        for tensor in outputs:
            # An output must be a value of its own: not an input, and not one that is given out twice.
            if tensor.name in inputs or tensor.name in names:
                tensor = self.operator("Identity", f"{tensor.name}/out", [tensor], tensor.shape)
            names.append(tensor.name)
        nodes = _needed(self._nodes, names)
        nodes, ids = _ids_as_integers(nodes, self._inputs, names)
        values = tuple(Value(value.name, self._symbols.shape(value.shape), "int32" if value.name in ids else
                             value.dtype, value.reading) for value in self._inputs)
        return Graph(values, tuple(nodes), tuple(names), dict(metadata))


def _needed(nodes: Sequence[Node], outputs: Sequence[str]) -> list[Node]:
    """The nodes that the outputs depend on, recurrent outputs that nobody reads left out."""
    wanted = set(outputs)
    kept: list[Node] = []
    for node in reversed(nodes):
        if not wanted.intersection(node.outputs):
            continue
        if isinstance(node, Recurrent):
            made = [name if name in wanted else "" for name in node.outputs]
            while not made[-1]:
                made.pop()
            node = replace(node, outputs=tuple(made))
        wanted.update(node.inputs)
        kept.append(node)
    return kept[::-1]


def _is_cast_to_ids(node: Node) -> bool:
    return isinstance(node, Operator) and node.op_type == "Cast" and node.attributes["to"] == DATA_TYPE_NUMBERS["int32"]


def _compares_with_whole(node: Node) -> TypeGuard[Operator]:
    """Whether a node is the mask that Keras makes of ids, also of those that come in as floats: x == 0."""
    return (isinstance(node, Operator) and node.op_type == "Equal" and len(node.constants) == 1
            and all(array.ndim == 0 and float(array).is_integer() and abs(array) < 2**31
                    for array in node.constants.values()))


def _ids_as_integers(nodes: list[Node], inputs: Sequence[Value], outputs: Sequence[str]) -> tuple[list[Node], set[str]]:
    """Inputs that are only ever cast to ids become ids themselves; returns the nodes and those inputs' names.

    Keras lets token ids come in as floats and casts them; a graph whose input is int32 says what is meant.
    """
    used = {name for node in nodes for name in node.inputs}
    ids = {value.name for value in inputs if value.dtype.startswith("float") and value.name in used} - set(outputs)
    ids &= {node.inputs[0] for node in nodes if _is_cast_to_ids(node)}
    ids -= {node.inputs[0] for node in nodes if _is_cast_to_ids(node) and node.outputs[0] in outputs}
    for node in nodes:
        if not _is_cast_to_ids(node) and not _compares_with_whole(node):
            ids.difference_update(node.inputs)
    renamed = {node.outputs[0]: node.inputs[0] for node in nodes if _is_cast_to_ids(node) and node.inputs[0] in ids}
    nodes = [replace(node, constants={i: array.astype(np.int32) for i, array in node.constants.items()})
             if _compares_with_whole(node) and ids.intersection(node.inputs) else node for node in nodes]
    kept = [replace(node, inputs=tuple(renamed.get(name, name) for name in node.inputs))
            for node in nodes if node.outputs[0] not in renamed]
    return kept, ids
