"""Where a program holds: conditions on sizes that torch found while tracing, kept when the model runs.

A branch on a size (`if x.shape[1] > 4`) is traced one way; torch writes the condition beside the program and refuses
inputs that break it. Here each condition becomes a node that fails by name. Conditions are read with Python's grammar
as data; none is ever evaluated as code.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping

from ....errors import FormatError, UnsupportedError
from .emit import Emitter, Length, Size, Tensor
from .schema import Program

LONGEST_GUARD = 2_000

UNBOUNDED = 2**62           # bounds beyond it say nothing
_ARITHMETIC = {ast.Add: "Add", ast.Sub: "Sub", ast.Mult: "Mul", ast.FloorDiv: "FloorDiv", ast.Mod: "Mod"}
COMPARISONS = {"eq": "Equal", "ne": "NotEqual", "lt": "Less", "le": "LessOrEqual", "gt": "Greater",
               "ge": "GreaterOrEqual"}
_REAL = {ast.Add: "Add", ast.Sub: "Sub", ast.Mult: "Mul", ast.Div: "Div"}
_COMPARE = {ast.Eq: "eq", ast.NotEq: "ne", ast.Lt: "lt", ast.LtE: "le", ast.Gt: "gt", ast.GtE: "ge"}


class Guards:
    """Reads the conditions of a program, and ties all that the emitter has to an output."""

    def __init__(self, e: Emitter) -> None:
        self.e = e

    def ranges(self, program: Program, inputs: Mapping[str, Tensor]) -> None:
        """Bounds of symbols. Least sizes of 2 and below say that torch took 0 and 1 for special, not that it refuses
        them: it runs such inputs through the same program."""
        for symbol, (low, high) in program.ranges.items():
            size = next((self.e.size(x, axis) for x in inputs.values() for axis, dim in enumerate(x.shape)
                         if dim == symbol), None)
            if size is None:
                continue            # of a size that the program makes, which follows from those of its inputs
            if low is not None and low > 2:
                self.e.require(f"size {symbol} is at least {low}", compared(self.e, "ge", size, low))
            if high is not None and high < UNBOUNDED:
                self.e.require(f"size {symbol} is at most {high}", compared(self.e, "le", size, high))

    def code(self, program: Program, inputs: Mapping[str, Tensor]) -> None:
        """Conditions written as Python expressions over sizes of inputs. Raises UnsupportedError for others."""
        for text in program.guards:
            try:
                tree = ast.parse(text, mode="eval").body if len(text) <= LONGEST_GUARD else None
                self.e.require(text, self._condition(tree, program, inputs))
            except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
                if isinstance(error, FormatError):
                    raise
                raise UnsupportedError(f"the program holds only where {text:.200}, a condition that cannot be kept "
                                       "here") from error

    def _condition(self, tree: ast.AST | None, program: Program, inputs: Mapping[str, Tensor]) -> Tensor:
        if isinstance(tree, ast.BoolOp):
            first, *others = (self._condition(value, program, inputs) for value in tree.values)
            for other in others:
                first = self.e.op("And" if isinstance(tree.op, ast.And) else "Or", first, other)
            return first
        if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.Not):
            return self.e.op("Not", self._condition(tree.operand, program, inputs))
        if not isinstance(tree, ast.Compare):
            raise SyntaxError
        sides = [self._size(side, program, inputs) for side in (tree.left, *tree.comparators)]
        result: Tensor | None = None
        for op, left, right in zip(tree.ops, sides, sides[1:]):
            if type(op) not in _COMPARE:
                raise SyntaxError
            part = compared(self.e, _COMPARE[type(op)], left, right)
            result = part if result is None else self.e.op("And", result, part)
        assert result is not None
        return result

    def _size(self, tree: ast.AST, program: Program, inputs: Mapping[str, Tensor]) -> Length:
        if isinstance(tree, ast.Constant) and type(tree.value) is int:
            return tree.value
        if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub):
            return combined(self.e, "Mul", self._size(tree.operand, program, inputs), -1)
        if isinstance(tree, ast.BinOp) and type(tree.op) in _ARITHMETIC:
            return combined(self.e, _ARITHMETIC[type(tree.op)], self._size(tree.left, program, inputs),
                            self._size(tree.right, program, inputs))
        if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and tree.func.id in ("min", "max") \
                and len(tree.args) > 1 and not tree.keywords:
            first, *others = (self._size(arg, program, inputs) for arg in tree.args)
            for other in others:
                first = combined(self.e, tree.func.id.capitalize(), first, other)
            return first
        if isinstance(tree, ast.Call) and ast.unparse(tree.func) in ("math.trunc", "math.floor", "math.ceil") \
                and len(tree.args) == 1 and not tree.keywords:
            return rounded(self.e, ast.unparse(tree.func).partition(".")[2], self._real(tree.args[0], program, inputs))
        if isinstance(tree, ast.Subscript) and isinstance(tree.value, ast.Call) \
                and isinstance(tree.value.func, ast.Attribute) and tree.value.func.attr == "size" \
                and not tree.value.args and not tree.value.keywords and isinstance(tree.slice, ast.Constant):
            name = program.paths.get(ast.unparse(tree.value.func.value))
            axis = tree.slice.value
            x = inputs.get(name) if name is not None else None
            if x is not None and type(axis) is int and 0 <= axis < x.rank:
                return self.e.size(x, axis)
        raise SyntaxError

    def _real(self, tree: ast.AST, program: Program, inputs: Mapping[str, Tensor]) -> Tensor:
        """A number that need not be whole: products and sums of sizes and constants, in float64 as Python counts."""
        if isinstance(tree, ast.BinOp) and type(tree.op) in _REAL:
            return self.e.op(_REAL[type(tree.op)], self._real(tree.left, program, inputs),
                             self._real(tree.right, program, inputs))
        if isinstance(tree, ast.Constant) and type(tree.value) is float:
            return self.e.constant(tree.value, "float64")
        if isinstance(tree, ast.Call) and ast.unparse(tree.func) == "torch.sym_float" and len(tree.args) == 1:
            tree = tree.args[0]
        return self.e.cast(self.e.scalar(self._size(tree, program, inputs)), "float64")

    def tie(self, output: Tensor) -> Tensor:
        """An output that is made only where every condition holds: it is multiplied by a 1 that is looked up at index
        0, and there is nothing at index 1."""
        for text, condition in self.e.conditions:
            self.e.hint = f"the program holds only where {text:.200}"
            kind = output.dtype
            one = self.e.constant([True] if kind == "bool" else [1], kind)
            broken = self.e.cast(self.e.op("Not", condition), "int64")
            output = self.e.op("And" if kind == "bool" else "Mul", output, self.e.op("Gather", one, broken, axis=0),
                               shape=output.shape)
        return output


def combined(e: Emitter, op_type: str, x: Length, y: Length) -> Length:
    """Two sizes added and so on, or the lesser or greater one; FloorDiv and Mod round down, as Python's do."""
    if isinstance(x, int) and isinstance(y, int):
        if op_type in ("FloorDiv", "Mod"):
            if not y:
                raise FormatError("a size is divided by 0")
            return x // y if op_type == "FloorDiv" else x % y
        return {"Add": x + y, "Sub": x - y, "Mul": x * y, "Min": min(x, y), "Max": max(x, y)}[op_type]
    neutral = {"Mul": 1, "Add": 0}.get(op_type)
    if neutral is not None and neutral in (x, y):
        return y if x == neutral else x
    left, right = e.as_tensor(x), e.as_tensor(y)
    if op_type not in ("FloorDiv", "Mod"):
        return Size(e.op(op_type, left, right).name)
    rest = e.op("Mod", left, right)
    return Size((rest if op_type == "Mod" else e.op("Div", e.op("Sub", left, rest), right)).name)


def compared(e: Emitter, name: str, x: Length, y: Length) -> Tensor:
    """A comparison of sizes: a bool without axes."""
    if isinstance(x, Size) and isinstance(y, Size) and x.symbol is not None and x.symbol == y.symbol:
        return e.constant(name in ("eq", "le", "ge"), "bool")
    op_type = COMPARISONS[name]
    made = e.op("Equal" if op_type == "NotEqual" else op_type, e.scalar(x), e.scalar(y))
    return e.op("Not", made) if op_type == "NotEqual" else made


def rounded(e: Emitter, name: str, x: Tensor) -> Size:
    """A number without axes as a size: math.trunc, floor or ceil of it."""
    made = e.op({"floor": "Floor", "ceil": "Ceil"}[name], x) if name != "trunc" else x
    return Size(e.unsqueeze(e.cast(made, "int64"), 0).name)         # a cast goes towards 0
