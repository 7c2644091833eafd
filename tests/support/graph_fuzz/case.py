"""A random graph as the fuzzer holds it: nodes, tensors, and what its symbols stand for in each call."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

Dim = int | str             # a size, or an expression in the symbols of the inputs: "B", "T+1"
FLOATS = ("float16", "float32", "float64")


def size(dim: Dim, sizes: dict[str, int]) -> int:
    """What a dim is when the symbols have these sizes."""
    return dim if isinstance(dim, int) else int(eval(dim, {"__builtins__": {"min": min, "max": max}}, sizes))


@dataclass(frozen=True)
class Tensor:
    """A value: its name, dtype and symbolic shape. `role` says what numbers an input takes: "normal", "ids:N" (whole
    numbers below N), "lengths:T" (0 to T), "bool"."""

    name: str
    dtype: str
    dims: tuple[Dim, ...]
    role: str = "normal"

    @property
    def is_float(self) -> bool:
        return self.dtype in FLOATS


@dataclass(frozen=True)
class Case:
    """A graph. `sizes`: for each call, what the symbols are. `written`: how a symbol of an input's shape stands in the
    file: "name", "number" (then it never changes) or "nothing"."""

    seed: int
    opset: int
    nodes: list[Any]
    inputs: list[Tensor]
    consts: dict[str, np.ndarray]
    outputs: list[str]
    values: dict[str, Tensor]
    sizes: list[dict[str, int]]
    written: dict[str, str] = field(default_factory=dict)

    def model(self) -> Any:
        """The ModelProto."""
        from onnx import helper, numpy_helper

        inputs = [helper.make_tensor_value_info(t.name, helper.np_dtype_to_tensor_dtype(np.dtype(t.dtype)),
                                                [self._shown(dim) for dim in t.dims]) for t in self.inputs]
        outputs = [self._output(name) for name in self.outputs]
        graph = helper.make_graph(self.nodes, f"seed{self.seed}", inputs, outputs,
                                  [numpy_helper.from_array(a, name) for name, a in self.consts.items()])
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)],
                                 ir_version=min(10, 7 if self.opset < 15 else 8 if self.opset < 19 else 10))

    def _output(self, name: str) -> Any:
        from onnx import helper

        made = self.values.get(name)
        dtype, rank = (str(self.consts[name].dtype), self.consts[name].ndim) if made is None else \
            (made.dtype, len(made.dims))
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), [None] * rank)

    def _shown(self, dim: Dim) -> Any:
        if isinstance(dim, int):
            return dim
        how = self.written.get(dim, "name")
        return dim if how == "name" else None if how == "nothing" else self.sizes[0][dim]

    def feeds(self, call: int) -> dict[str, np.ndarray]:
        """The inputs of one call, by name."""
        sizes = self.sizes[call]
        return {t.name: _numbers(t, tuple(size(dim, sizes) for dim in t.dims), sizes,
                                 np.random.default_rng((self.seed, call, position)))
                for position, t in enumerate(self.inputs)}

    def pruned(self) -> Case:
        """Without what no output needs."""
        needed = set(self.outputs)
        kept = []
        for node in reversed(self.nodes):
            if needed & set(node.output):
                kept.append(node)
                needed |= set(node.input)
        return replace(self, nodes=kept[::-1], inputs=[t for t in self.inputs if t.name in needed],
                       consts={name: a for name, a in self.consts.items() if name in needed})


def _numbers(t: Tensor, shape: tuple[int, ...], sizes: dict[str, int], rng: np.random.Generator) -> np.ndarray:
    kind, _, argument = t.role.partition(":")
    if kind == "lengths":
        return rng.integers(0, size(argument, sizes) + 1, shape).astype(t.dtype)
    if kind == "ids":
        return rng.integers(0, int(argument), shape).astype(t.dtype)
    if t.dtype == "bool":
        return rng.random(shape) < 0.5
    if not t.is_float:
        return rng.integers(-5, 6, shape).astype(t.dtype)
    # Offsets are where a float64 value that went through float32 shows.
    offset = float(argument) if argument else 0.0
    return (rng.standard_normal(shape) + offset).astype(t.dtype)
