"""Adding nodes to a random graph: names, constants, and what the values' shapes are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .case import Dim, Tensor


class Builder:
    """The graph being made. `pool`: every value that a next node may read; `read`: those that some node reads;
    `stepwise`: rows and steps stay apart for the most part, so that lengths, lists and streams have what to run."""

    def __init__(self, rng: np.random.Generator, opset: int, sizes: list[dict[str, int]], stepwise: bool) -> None:
        self.rng, self.opset, self.sizes, self.stepwise = rng, opset, sizes, stepwise
        self.nodes: list[Any] = []
        self.inputs: list[Tensor] = []
        self.consts: dict[str, np.ndarray] = {}
        self.values: dict[str, Tensor] = {}
        self.pool: list[Tensor] = []
        self.read: set[str] = set()
        self._count = 0

    # ---- choosing ---------------------------------------------------------------------------------------------

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def one(self, options: Sequence[Any]) -> Any:
        return options[int(self.rng.integers(len(options)))]

    def whole(self, low: int, high: int) -> int:
        """A whole number from low to high."""
        return int(self.rng.integers(low, high + 1))

    def pick(self, test: Callable[[Tensor], bool] = lambda t: True) -> Tensor | None:
        """A value that passes the test; the newer and those not yet read rather than others."""
        found = [t for t in self.pool if test(t)]
        if not found:
            return None
        weights = np.array([(4.0 if t.name not in self.read else 1.0) * (1 + i) for i, t in enumerate(found)])
        return found[int(self.rng.choice(len(found), p=weights / weights.sum()))]

    def rank(self, *ranks: int, dtype: str = "float32") -> Tensor | None:
        """A floating-point value of one of these ranks."""
        return self.pick(lambda t: t.dtype == dtype and len(t.dims) in ranks)

    # ---- making -----------------------------------------------------------------------------------------------

    def name(self, hint: str) -> str:
        self._count += 1
        return f"{hint}{self._count}"

    def input(self, dtype: str, dims: Sequence[Dim], role: str = "normal") -> Tensor:
        t = Tensor(self.name("in"), dtype, tuple(dims), role)
        self.inputs.append(t)
        return self._keep(t)

    def const(self, array: Any, dtype: str = "float32") -> str:
        """The name of an initializer, or now and then of a Constant node; an equal one may be shared."""
        array = np.asarray(array, dtype)
        if self.chance(0.3):
            for name, other in self.consts.items():
                if other.dtype == array.dtype and other.shape == array.shape and np.array_equal(other, array):
                    return name
        name = self.name("c")
        if self.chance(0.15):
            from onnx import helper, numpy_helper

            self.nodes.append(helper.make_node("Constant", [], [name], value=numpy_helper.from_array(array, name)))
            self.values[name] = Tensor(name, dtype, array.shape)
        else:
            self.consts[name] = array
        return name

    def ints(self, *numbers: int) -> str:
        return self.const(list(numbers), "int64")

    def weight(self, *shape: int, dtype: str = "float32", scale: float | None = None) -> str:
        """Random numbers, of a size that keeps sums of products near 1; shared with another node now and then."""
        if self.chance(0.15):
            same = [n for n, a in self.consts.items() if a.shape == shape and a.dtype == dtype]
            if same:
                return self.one(same)
        fan = shape[-1] if scale is None and shape else 1
        return self.const(self.rng.standard_normal(shape) * (scale or 1 / np.sqrt(max(1, fan))), dtype)

    def add(self, op: str, inputs: Sequence[str | Tensor], *shapes: Sequence[Dim] | None, dtype: str = "float32",
            dtypes: Sequence[str] | None = None, **attributes: Any) -> list[Tensor]:
        """Add a node with an output for each shape (None: one left out, ""); its values."""
        from onnx import helper

        names = [t.name if isinstance(t, Tensor) else t for t in inputs]
        self.read.update(names)
        made = [None if dims is None else Tensor(self.name(op.lower()), dtypes[i] if dtypes else dtype, tuple(dims))
                for i, dims in enumerate(shapes)]
        outputs = ["" if t is None else t.name for t in made]
        while outputs and not outputs[-1]:
            outputs.pop()
        self.nodes.append(helper.make_node(op, names, outputs, name=self.name("n_"), **attributes))
        return [self._keep(t) for t in made if t is not None]

    def op(self, op: str, inputs: Sequence[str | Tensor], dims: Sequence[Dim], dtype: str = "float32",
           **attributes: Any) -> Tensor:
        """Add a node with one output."""
        return self.add(op, inputs, dims, dtype=dtype, **attributes)[0]

    def _keep(self, t: Tensor) -> Tensor:
        self.values[t.name] = t
        self.pool.append(t)
        return t

    # ---- forms that differ between opsets ---------------------------------------------------------------------

    def axes_op(self, op: str, x: Tensor, axes: Sequence[int], dims: Sequence[Dim], since: int, dtype: str = "",
                **attributes: Any) -> Tensor:
        """An operator whose axes are an attribute before opset `since` and an input from then on."""
        if self.opset >= since:
            return self.op(op, [x, self.ints(*axes)], dims, dtype or x.dtype, **attributes)
        return self.op(op, [x], dims, dtype or x.dtype, axes=list(axes), **attributes)

    def squeeze(self, x: Tensor, axis: int) -> Tensor:
        return self.axes_op("Squeeze", x, [axis], x.dims[:axis] + x.dims[axis + 1:], 13, x.dtype)

    def unsqueeze(self, x: Tensor, axis: int) -> Tensor:
        return self.axes_op("Unsqueeze", x, [axis], (*x.dims[:axis], 1, *x.dims[axis:]), 13)

    def transpose(self, x: Tensor, perm: Sequence[int]) -> Tensor:
        return self.op("Transpose", [x], [x.dims[i] for i in perm], x.dtype, perm=list(perm))

    def slice(self, x: Tensor, axis: int, start: int, end: int, dim: Dim, step: int = 1) -> Tensor:
        dims = (*x.dims[:axis], dim, *x.dims[axis + 1:])
        if self.opset < 10:
            return self.op("Slice", [x], dims, x.dtype, axes=[axis], starts=[start], ends=[end])
        steps = [] if step == 1 and self.chance(0.5) else [self.ints(step)]
        return self.op("Slice", [x, self.ints(start), self.ints(end), self.ints(axis), *steps], dims, x.dtype)
