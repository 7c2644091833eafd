"""Writes a program's operators in ONNX's vocabulary, so that one path leads from there to the graph.

Every tensor is followed with its dtype and shape as our own rules infer them, never as the file claims. What depends
on weights alone is computed here, within the limits that folding has.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ....data_types import DATA_TYPE_NUMBERS
from ....errors import ArgumentError, FormatError, UnsupportedError
from ....graph.names import Names
from ....graph.nodes import Dim, Operator, Value
from ....operators import OPERATORS, operator_shapes, run_operator
from ....operators.shape_rules import types_of
from ...onnx.model import OnnxGraph, OnnxModel, OnnxNode
from ...onnx.simplifying.fold import FREE_BYTES, FREE_WORK
from ...onnx.simplifying.shortcuts import cost

OPSET = 21
LARGE = 2**63 - 1
MAX_RANK = 64
MOST_FEATURES = 1 << 16
MOST_NODES = 20_000             # what `importers.onnx.fold` takes, too


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor of the program. `array` if it is known now; sizes are numbers or symbols."""

    name: str
    shape: tuple[Dim, ...]
    dtype: str
    array: np.ndarray | None = None

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def is_float(self) -> bool:
        return self.dtype.startswith("float")


@dataclass(frozen=True)
class Size:
    """A symbolic int: an int64 value of one element, and the symbol that it is, if it is just one."""

    name: str
    symbol: str | None = None


Length = int | Size


@dataclass(eq=False)
class Emitter:
    """Collects nodes and constants. `where` is put before messages about what does not fit."""

    names: Names = field(default_factory=Names)
    nodes: list[OnnxNode] = field(default_factory=list)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    inputs: list[Value] = field(default_factory=list)
    where: str = ""
    hint: str = "v"                 # from which new names are made
    bytes_left: int = FREE_BYTES
    work_left: int = FREE_WORK
    copies_left: int = FREE_BYTES
    conditions: list[tuple[str, Tensor]] = field(default_factory=list)     # where the program holds
    _derived: dict[Hashable, list[Tensor]] = field(default_factory=dict)

    def allow(self, size: int) -> None:
        """Let what is made of weights take `size` more bytes: as many as the weights have, and what is free."""
        self.bytes_left += size
        self.copies_left += size

    # Values.

    def new_name(self, what: str) -> str:
        return self.names.unused(f"{self.hint}/{what}")

    def output_name(self, name: str) -> str:
        """A name for an output of the graph: the program's own, where no input has it."""
        return self.names.unused(name)

    def given(self, value: Value) -> Tensor:
        """An input of the graph."""
        self.inputs.append(value)
        self.names.reserve(value.name)
        return Tensor(value.name, value.shape, value.dtype)

    def constant(self, array: Any, dtype: str | None = None, name: str = "") -> Tensor:
        made = np.asarray(array, dtype)
        name = self.names.unused(name) if name else self.new_name("constant")
        self.arrays[name] = made
        return Tensor(name, made.shape, made.dtype.name, made)

    def derived(self, key: Hashable, make: Callable[[], Sequence[np.ndarray]]) -> list[Tensor]:
        """Weights in another order, made once for each key: a cell that runs step by step has them once.

        Raises UnsupportedError where weights are put together in so many ways that they take far more than the file.
        """
        if key not in self._derived:
            arrays = make()
            self.copies_left -= sum(array.nbytes for array in arrays)
            if self.copies_left < 0:
                raise UnsupportedError("the same weights are used in too many different ways")
            self._derived[key] = [self.constant(array) for array in arrays]
        return self._derived[key]

    def require(self, text: str, condition: Tensor) -> None:
        """A condition without axes, bool, on which the program holds; `text` says it. Raises FormatError if it is known
        to be false."""
        if condition.array is None:
            self.conditions.append((text, condition))
        elif not condition.array.all():
            raise FormatError(f"the program holds only where {text:.200}, which its own inputs contradict")

    def integers(self, *values: int) -> Tensor:
        return self.constant(np.array(values, np.int64))

    # Operators.

    def op(self, op_type: str, *inputs: Tensor | None, shape: Sequence[Dim] | None = None, **attributes: Any) -> Tensor:
        """The one result of an operator. shape: of the result, where more is known of it than the rules can tell."""
        made, = self.several(op_type, 1, *inputs, **attributes)
        if shape is not None and made.array is None:
            made = Tensor(made.name, tuple(shape), made.dtype)
        return made

    def several(self, op_type: str, count: int, *inputs: Tensor | None, **attributes: Any) -> list[Tensor]:
        """`count` results of an operator of the graph's table.

        Of whole numbers narrower than ONNX has it for, or of truth values, it is computed in int64 and cut to their
        type: sums and products have the low bits that torch has, and what orders or chooses has its numbers.
        """
        narrow = inputs[0].dtype if inputs and inputs[0] is not None else "float32"
        spec = OPERATORS[op_type]
        if spec.low_bits and narrow not in types_of(spec.takes[0]) and not narrow.startswith("float"):
            wide = [tensor and (self.cast(tensor, "int64") if tensor.dtype == narrow else tensor) for tensor in inputs]
            first, *others = self.several(op_type, count, *wide, **attributes)
            return [self.cast(first, narrow), *others]
        given = list(inputs)
        while given and given[-1] is None:
            given.pop()
        names = tuple("" if tensor is None else tensor.name for tensor in given)
        outputs = tuple(self.new_name(op_type) for _ in range(count))
        constants = {i: tensor.array for i, tensor in enumerate(given)
                     if tensor is not None and tensor.array is not None}
        operator = Operator(name=outputs[0], inputs=tuple("" if i in constants else n for i, n in enumerate(names)),
                            outputs=outputs, op_type=op_type, attributes=attributes, constants=constants)
        values = [None if t is None or t.array is not None else Value(t.name, t.shape, t.dtype) for t in given]
        try:
            made = operator_shapes(operator, values)
            arrays = self._evaluated(operator, made)
        except ArgumentError as error:          # a constant that an operator cannot take is the file's fault
            raise FormatError(str(error)) from error
        if len(self.nodes) > MOST_NODES or len(self.arrays) > 8 * MOST_NODES:
            raise UnsupportedError(f"the program takes more than {MOST_NODES} operators")
        if any(len(value.shape) > MAX_RANK for value in made):
            raise UnsupportedError(f"a tensor of more than {MAX_RANK} axes")
        if arrays is not None:
            self.arrays.update(zip(outputs, arrays))
            return [Tensor(name, array.shape, array.dtype.name, array) for name, array in zip(outputs, arrays)]
        self.nodes.append(OnnxNode(outputs[0], op_type, names, outputs, attributes, opset=OPSET))
        return [Tensor(value.name, value.shape, value.dtype) for value in made]

    def _evaluated(self, operator: Operator, made: Sequence[Value]) -> list[np.ndarray] | None:
        if any(operator.inputs):
            return None
        price = cost(operator, made)
        if price is None or price.bytes > self.bytes_left or price.work > self.work_left:
            return None
        self.bytes_left -= price.bytes
        self.work_left -= price.work
        return run_operator(operator, [])

    def recurrent(self, op_type: str, inputs: Sequence[Tensor | None], shapes: Sequence[Sequence[Dim]],
                  projection: Tensor | None = None, **attributes: Any) -> list[Tensor]:
        """An LSTM, GRU or RNN node; `shapes` are those of Y, Y_h and Y_c."""
        outputs = tuple(self.new_name(op_type) for _ in shapes)
        names = tuple("" if tensor is None else tensor.name for tensor in inputs)
        self.nodes.append(OnnxNode(outputs[0], op_type, names, outputs, attributes, opset=OPSET,
                                   projection="" if projection is None else projection.name))
        dtype = next(tensor.dtype for tensor in inputs if tensor is not None)
        return [Tensor(name, tuple(shape), dtype) for name, shape in zip(outputs, shapes)]

    # Small words that many operators need.

    def cast(self, x: Tensor, dtype: str) -> Tensor:
        return x if x.dtype == dtype else self.op("Cast", x, to=DATA_TYPE_NUMBERS[dtype], shape=x.shape)

    def size(self, x: Tensor, axis: int) -> Length:
        """The size of an axis: a number, or the element of Shape."""
        dim = x.shape[axis]
        if isinstance(dim, int):
            return dim
        made = self.op("Shape", x, start=axis, end=axis + 1)
        return Size(made.name, dim)

    def as_tensor(self, length: Length) -> Tensor:
        """An int64 tensor of one element, [1]."""
        return self.integers(length) if isinstance(length, int) else Tensor(length.name, (1,), "int64")

    def scalar(self, length: Length) -> Tensor:
        """An int64 tensor without axes."""
        if isinstance(length, int):
            return self.constant(length, "int64")
        return self.op("Squeeze", self.as_tensor(length), self.integers(0))

    def lengths(self, values: Sequence[Length]) -> Tensor:
        """An int64 tensor of several sizes."""
        known = [value for value in values if isinstance(value, int)]
        if len(known) == len(values):
            return self.integers(*known)
        if len(values) == 1:
            return self.as_tensor(values[0])
        return self.op("Concat", *map(self.as_tensor, values), axis=0)

    def dims(self, values: Sequence[Length]) -> tuple[Dim, ...]:
        """Sizes as a shape; each unknown one has a name of its own."""
        return tuple(value if isinstance(value, int) else value.symbol or value.name for value in values)

    def reshape(self, x: Tensor, values: Sequence[Length]) -> Tensor:
        """x in another shape, in which one size may be -1. Sizes of 0 mean 0, as in torch."""
        options: dict[str, Any] = {"allowzero": 1} if 0 in values else {}
        made = self.op("Reshape", x, self.lengths(values), **options)
        return made if made.array is not None else Tensor(
            made.name, tuple(i if d == -1 else d for d, i in zip(self.dims(values), made.shape)), made.dtype)

    def transpose(self, x: Tensor, perm: Sequence[int]) -> Tensor:
        return x if list(perm) == list(range(x.rank)) else self.op("Transpose", x, perm=tuple(perm))

    def swap(self, x: Tensor, first: int, second: int) -> Tensor:
        perm = list(range(x.rank))
        perm[first], perm[second] = perm[second], perm[first]
        return self.transpose(x, perm)

    def expand(self, x: Tensor, values: Sequence[Length]) -> Tensor:
        made = self.op("Expand", x, self.lengths(values))
        if made.array is not None:
            return made
        padded = (1,) * (len(values) - x.rank) + x.shape
        shape = tuple(dim if new == 1 or (isinstance(dim, int) and dim != 1) else new
                      for new, dim in zip(self.dims(values), padded))
        return Tensor(made.name, shape, made.dtype)

    def slice(self, x: Tensor, axis: int, start: Length, end: Length, step: int = 1) -> Tensor:
        return self.op("Slice", x, self.as_tensor(start), self.as_tensor(end), self.integers(axis), self.integers(step))

    def squeeze(self, x: Tensor, *axes: int) -> Tensor:
        return self.op("Squeeze", x, self.integers(*axes)) if axes else x

    def unsqueeze(self, x: Tensor, *axes: int) -> Tensor:
        return self.op("Unsqueeze", x, self.integers(*axes))

    def full(self, values: Sequence[Length], fill: Any, dtype: str) -> Tensor:
        """A tensor of one number. Where sizes are open, the last one stays known: layers ask for their features."""
        last = values[-1] if values else 1
        if not all(isinstance(value, int) for value in values):
            known = last if isinstance(last, int) and 0 < last <= MOST_FEATURES else 1
            return self.expand(self.constant(np.full((1,) * (len(values) - 1) + (known,), fill), dtype), values)
        return self.op("ConstantOfShape", self.lengths(values), self.constant(np.array([fill]), dtype),
                       shape=self.dims(values))

    def model(self, outputs: Sequence[tuple[str, Tensor]], producer: str) -> OnnxModel:
        """What was written, with its outputs under their names."""
        for name, tensor in outputs:
            self.nodes.append(OnnxNode(f"output {name}", "Identity", (tensor.name,), (name,), opset=OPSET))
        read = {name for node in self.nodes for name in (*node.inputs, node.projection)}
        arrays = {name: array for name, array in self.arrays.items() if name in read}
        return OnnxModel(OnnxGraph(self.nodes, arrays, self.inputs, [name for name, _ in outputs]), {}, producer, OPSET)
