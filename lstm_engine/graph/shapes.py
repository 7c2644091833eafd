"""Shape inference: the symbolic shape and dtype of every value of a graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NoReturn

from ..errors import GraphError
from .nodes import Activate, Dense, Dim, Embedding, Graph, Mask, Node, Operator, Pool, Recurrent, Shape, Value
from .weights import check_node, fail

FLOATS = ("float32", "float64")
IDS = ("int32", "int64", "uint8")
LENGTHS = ("int32", "int64")


class Symbols:
    """What is known of the symbols of a graph: which are the same, and which turned out to be a number.

    Where two shapes must agree, a symbol takes the other side's meaning: a kernel of 100 inputs applied to a
    sequence of "features" says that "features" is 100.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        """names: those that stay, as of inputs, where they are equal to others."""
        self._meaning: dict[str, Dim] = {}
        self._spoken_for = frozenset(names)

    def resolve(self, dim: Dim) -> Dim:
        """The number that `dim` stands for, or the symbol that speaks for its equals."""
        passed = []
        while isinstance(dim, str) and dim in self._meaning:
            passed.append(dim)
            dim = self._meaning[dim]
        for symbol in passed:           # point straight at the end, or a hostile chain makes this quadratic
            self._meaning[symbol] = dim
        return dim

    def unify(self, left: Dim, right: Dim) -> bool:
        """Make both dims mean the same; False if they are different numbers."""
        left, right = self.resolve(left), self.resolve(right)
        if left == right:
            return True
        if isinstance(right, str) and not (right in self._spoken_for and isinstance(left, str)
                                           and left not in self._spoken_for):
            self._meaning[right] = left
        elif isinstance(left, str):
            self._meaning[left] = right
        else:
            return False
        return True

    def shape(self, shape: Shape) -> Shape:
        return tuple(self.resolve(dim) for dim in shape)


def infer_shapes(graph: Graph) -> dict[str, Value]:
    """The shape and dtype of every named value, by name, inputs of the graph included.

    Symbols that must be equal are given one name, and symbols that a weight fixes become
    numbers. Raises GraphError for a value that is missing or made later, or a rank, size or dtype that does
    not fit; UnsupportedError for an operator or activation that is not known.
    """
    symbols = Symbols(dim for value in graph.inputs for dim in value.shape if isinstance(dim, str))
    values = {value.name: value for value in graph.inputs}
    for node in graph.nodes:
        check_node(node)
        inputs = [_look_up(node, name, values) for name in node.inputs]
        made = _node_shapes(node, inputs, symbols)
        for name, value in zip(node.outputs, made, strict=False):
            if name:
                values[name] = Value(name, value.shape, value.dtype)
    return {name: Value(name, symbols.shape(value.shape), value.dtype) for name, value in values.items()}


def _look_up(node: Node, name: str, values: dict[str, Value]) -> Value | None:
    if not name:
        return None
    if name not in values:
        raise GraphError(f"node {node.name!r} ({node.op}): input {name!r} is made neither by an earlier node "
                         "nor given to the graph")
    return values[name]


def _node_shapes(node: Node, inputs: list[Value | None], symbols: Symbols) -> list[Value]:
    if isinstance(node, Operator):
        return _operator(node, inputs, symbols)
    if isinstance(node, Recurrent):
        return _recurrent(node, inputs, symbols)
    return [_ONE_TO_ONE[type(node)](node, inputs[0], symbols)]


def _expect(node: Node, argument: str, value: Value | None, shape: Shape, dtypes: tuple[str, ...],
            symbols: Symbols) -> None:
    """Check an input against the shape and dtypes a node needs."""
    if value is None:
        fail(node, f"input {argument}", "given", "nothing")
    if value.dtype not in dtypes:
        fail(node, f"input {argument} ({value.name!r})", f"of dtype {' or '.join(dtypes)}", value.dtype)
    if len(value.shape) != len(shape) or not all(map(symbols.unify, shape, value.shape)):
        _mismatch(node, argument, shape, value, symbols)


def _mismatch(node: Node, argument: str, shape: Shape, value: Value, symbols: Symbols) -> NoReturn:
    fail(node, f"input {argument} ({value.name!r})", show_shape(symbols.shape(shape)),
         show_shape(symbols.shape(value.shape)))


def show_shape(shape: Shape) -> str:
    """A shape as messages print it: [batch, time, 100]."""
    return f"[{', '.join(map(str, shape))}]"


def _ranked(node: Node, argument: str, value: Value | None, axes: tuple[str, ...], dtypes: tuple[str, ...]) -> Value:
    """Check the rank and dtype of an input whose sizes are free."""
    if value is None:
        fail(node, f"input {argument}", "given", "nothing")
    if value.dtype not in dtypes:
        fail(node, f"input {argument} ({value.name!r})", f"of dtype {' or '.join(dtypes)}", value.dtype)
    if len(value.shape) != len(axes):
        fail(node, f"input {argument} ({value.name!r})", f"{show_shape(axes)}, of rank {len(axes)}",
             show_shape(value.shape))
    return value


def _dtype_of(weight: object) -> str:
    """The dtype of what a weight's node computes; half-precision weights are widened when they are used."""
    return "float64" if weight.dtype.name == "float64" else "float32"  # type: ignore[attr-defined]


def _recurrent(node: Recurrent, inputs: list[Value | None], symbols: Symbols) -> list[Value]:
    x, lengths, initial_h, initial_c, mask = inputs + [None] * (5 - len(inputs))
    x = _ranked(node, "x", x, ("batch", "time", str(node.features)), FLOATS)
    batch, time, _ = x.shape
    _expect(node, "x", x, (batch, time, node.features), FLOATS, symbols)
    h, c = node.dirs * node.output_size, node.dirs * node.hidden
    for argument, value, shape, dtypes in (("lengths", lengths, (batch,), LENGTHS),
                                           ("initial_h", initial_h, (batch, h), FLOATS),
                                           ("initial_c", initial_c, (batch, c), FLOATS),
                                           ("mask", mask, (batch, time), ("bool",))):
        if value is not None:
            _expect(node, argument, value, shape, dtypes, symbols)
    dtype = _dtype_of(node.W)
    return [Value("Y", (batch, time, h), dtype), Value("Y_h", (batch, h), dtype), Value("Y_c", (batch, c), dtype)]


def _operator(node: Operator, inputs: list[Value | None], symbols: Symbols) -> list[Value]:
    from .operators import operator_shapes

    resolved = [value and Value(value.name, symbols.shape(value.shape), value.dtype) for value in inputs]
    made = operator_shapes(node, resolved)
    if len(made) < len(node.outputs):
        fail(node, "outputs", f"at most the {len(made)} that {node.op_type} has", f"{len(node.outputs)} names")
    return made


def _embedding(node: Embedding, ids: Value | None, symbols: Symbols) -> Value:
    ids = _ranked(node, "ids", ids, ("batch", "time"), IDS)
    return Value("", (*ids.shape, node.table.shape[1]), _dtype_of(node.table))


def _dense(node: Dense, x: Value | None, symbols: Symbols) -> Value:
    _, units = node.kernel.shape
    leading = x.shape[:-1] if x is not None and x.shape else ("...",)
    _expect(node, "x", x, (*leading, node.kernel.shape[0]), FLOATS, symbols)
    return Value("", (*leading, units), _dtype_of(node.kernel))


def _activate(node: Activate, x: Value | None, symbols: Symbols) -> Value:
    _expect(node, "x", x, x.shape if x is not None else (), FLOATS, symbols)
    return x  # type: ignore[return-value]


def _pool(node: Pool, x: Value | None, symbols: Symbols) -> Value:
    batch, _, features = _ranked(node, "x", x, ("batch", "time", "features"), FLOATS).shape
    return Value("", (batch, features), x.dtype)  # type: ignore[union-attr]


def _mask(node: Mask, ids: Value | None, symbols: Symbols) -> Value:
    return Value("", _ranked(node, "ids", ids, ("batch", "time"), IDS).shape, "bool")


_ONE_TO_ONE: dict[type[Node], Callable[..., Value]] = {
    Embedding: _embedding, Dense: _dense, Activate: _activate, Pool: _pool, Mask: _mask,
}
