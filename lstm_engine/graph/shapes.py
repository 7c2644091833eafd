"""Shape inference of layers: symbols that turn out to be numbers or each other, and the shapes that a layer makes.

Whole graphs, the operators around the layers included, are inferred by `operators.inference`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NoReturn

from ..types import Array
from .nodes import Activate, Dense, Dim, Embedding, Mask, Node, Pool, Recurrent, Shape, Value
from .weights import fail

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
        self._inner: list[Symbols] = []

    def inner(self) -> Symbols:
        """A scope in which all holds that is known here, now and later; what is learnt there stays there."""
        scope = Symbols(self._spoken_for)
        scope._meaning = dict(self._meaning)
        self._inner.append(scope)
        return scope

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
        for scope in self._inner:
            scope.unify(left, right)        # one that says otherwise is of a branch that no run of this size can take
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

    def agree(self, scopes: Sequence[Symbols]) -> None:
        """Let what all of these scopes know of the symbols that stay hold here: one of them is taken in every run."""
        same: dict[tuple[Dim, ...], Dim] = {}
        for symbol in sorted(self._spoken_for):
            meant = tuple(scope.resolve(symbol) for scope in scopes)
            if isinstance(meant[0], int) and meant.count(meant[0]) == len(meant):
                self.unify(symbol, meant[0])
            else:
                self.unify(same.setdefault(meant, symbol), symbol)

    def shape(self, shape: Shape) -> Shape:
        return tuple(map(self.resolve, shape)) if any(dim in self._meaning for dim in shape) else shape

    def value(self, value: Value) -> Value:
        """The value with its shape as it is known here."""
        shape = self.shape(value.shape)
        return value if shape is value.shape else Value(value.name, shape, value.dtype, value.reading)


def layer_shapes(node: Node, inputs: list[Value | None], symbols: Symbols) -> list[Value]:
    """The outputs of a node that is no operator, without names. Raises GraphError for inputs that do not fit it."""
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


def _dtype_of(weight: Array) -> str:
    """The dtype of what a weight's node computes; half-precision weights are widened when they are used."""
    return "float64" if weight.dtype.name == "float64" else "float32"


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
    assert x is not None
    return x


def _pool(node: Pool, x: Value | None, symbols: Symbols) -> Value:
    sequence = _ranked(node, "x", x, ("batch", "time", "features"), FLOATS)
    batch, _, features = sequence.shape
    return Value("", (batch, features), sequence.dtype)


def _mask(node: Mask, ids: Value | None, symbols: Symbols) -> Value:
    return Value("", _ranked(node, "ids", ids, ("batch", "time"), IDS).shape, "bool")


_ONE_TO_ONE: dict[type[Node], Callable[..., Value]] = {
    Embedding: _embedding, Dense: _dense, Activate: _activate, Pool: _pool, Mask: _mask,
}
