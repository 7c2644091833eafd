"""What a graph's outputs must be: ONNX Runtime's numbers, the exact ones, and how far from them float32 may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .case import Case
from .truth import Truth

# A wrong number is wrong by far more than a rounding. ONNX Runtime's largest distance from float64, and that of float64
# on numbers each moved by a rounding, are two samples of what rounding does to this output; another order of the same
# sums may do worse by chance, sixteen times hardly. The floor: some sums of tens of terms, one after the other.
SAMPLES, FLOOR_ULPS = 16.0, 64.0
# Beyond this share of the largest number an output says nothing: a choice has flipped, or all digits are lost.
LOST = 0.01


class Invalid(Exception):
    """The graph is no valid model, or its numbers leave what can be compared; another is made instead."""


@dataclass(frozen=True)
class Wanted:
    """An output: the exact numbers, the distance allowed (None where it cannot be decided; 0 for whole numbers), the
    dtype declared."""

    exact: np.ndarray
    within: float | None
    dtype: str

    def differs(self, got: np.ndarray) -> str:
        """What is wrong with an output that came, "" if nothing is."""
        if got.shape != self.exact.shape:
            return f"shape {list(got.shape)}, expected {list(self.exact.shape)}"
        if got.dtype != self.dtype:
            return f"dtype {got.dtype}, expected {self.dtype}"
        if self.within is None or not got.size:
            return ""
        if got.dtype.kind != "f":
            same = np.array_equal(got, self.exact)
            return "" if same else f"other whole numbers: {_few(got)}, not {_few(self.exact)}"
        if not np.isfinite(got).all():
            return f"not finite: {_few(got)}, expected {_few(self.exact)}"
        distance = float(abs(got.astype(np.float64) - self.exact).max())
        return "" if distance <= self.within else (f"off by {distance:.3g}, allowed {self.within:.3g}: {_few(got)}, "
                                                   f"expected {_few(self.exact)}")


def _few(array: np.ndarray) -> str:
    return " ".join(f"{v:.5g}" for v in np.ravel(array)[:4])


class Oracle:
    """Both oracles of one graph. Raises Invalid where either cannot run it."""

    def __init__(self, case: Case) -> None:
        import onnx
        import onnxruntime

        self._case, self._outputs = case, case.outputs
        source = case.model()
        try:
            onnx.checker.check_model(source, full_check=True)
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 4
            options.intra_op_num_threads = 1
            # Its optimiser rewrites graphs, not always rightly: the nodes as they stand are the oracle.
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
            self._session = onnxruntime.InferenceSession(_for_runtime(source, case).SerializeToString(), options,
                                                         providers=["CPUExecutionProvider"])
            self._truth = Truth(case)
        except Exception as error:                          # whatever it is: no valid model
            raise Invalid(f"load: {type(error).__name__}: {str(error)[:200]}") from None
        self._recurrent = any(node.op_type in ("LSTM", "GRU", "RNN") for node in case.nodes)

    def run(self, feeds: dict[str, np.ndarray], limit: float = 1e6) -> dict[str, Wanted]:
        """What must come out, by name."""
        try:
            exact = self._truth.run(self._outputs, feeds)
            moved = self._truth.run(self._outputs, feeds, nudged=True)
            # ONNX Runtime ends the process where a recurrent node has no rows, so float64 stands alone there.
            empty = self._recurrent and any(0 in a.shape for a in feeds.values())
            float32 = None if empty else dict(zip(self._outputs, self._session.run(self._outputs, feeds)))
        except Exception as error:
            raise Invalid(f"run: {type(error).__name__}: {str(error)[:200]}") from None
        return {name: self._one(name, exact[name], moved[name], float32 and np.asarray(float32[name]), limit)
                for name in self._outputs}

    def exact(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The numbers in float64 alone, by name."""
        try:
            return self._truth.run(self._outputs, feeds)
        except Exception as error:
            raise Invalid(f"run: {type(error).__name__}: {str(error)[:200]}") from None

    def _one(self, name: str, exact: np.ndarray, moved: np.ndarray, float32: np.ndarray | None, limit: float) -> Wanted:
        made = self._case.values.get(name)
        dtype = str(self._case.consts[name].dtype) if made is None else made.dtype
        for other in (moved, float32):
            if other is not None and other.shape != exact.shape:
                raise Invalid(f"oracles: {name} has shape {exact.shape} in one, {other.shape} in the other")
        if float32 is not None and float32.dtype != dtype:
            raise Invalid(f"oracles: {name} is {float32.dtype} in ONNX Runtime, declared {dtype}")
        others = [a for a in (moved, float32) if a is not None]
        if exact.dtype.kind != "f":
            return Wanted(exact, 0.0 if all(np.array_equal(a, exact) for a in others) else None, dtype)
        if not exact.size:
            return Wanted(exact, 0.0, dtype)
        largest = float(abs(exact).max())
        if not np.isfinite(largest) or largest > limit:
            raise Invalid("numbers too large to compare")
        if not all(np.isfinite(a).all() for a in others):      # past float32's largest number on the way here
            return Wanted(exact, None, dtype)
        apart = max(float(abs(a.astype(np.float64) - exact).max()) for a in others)
        floor = FLOOR_ULPS * max(np.finfo(np.dtype(dtype)).eps, np.finfo(np.float64).eps) * largest
        within = SAMPLES * apart + floor + 1e-300
        return Wanted(exact, within if apart <= LOST * max(largest, 1e-3) else None, dtype)


def _for_runtime(source: Any, case: Case) -> Any:
    """The model without what ONNX Runtime lacks: `layout` 1, written as transpositions around the node, and recurrent
    nodes in float64, written as ones in float32 between casts."""
    from onnx import helper

    nodes: list[Any] = []

    def around(tag: str, before: Any, after: Any, node: Any) -> list[Any]:
        """The node between `before` of its floating-point inputs and `after` of its outputs."""
        first, last = [], []
        for position, name in enumerate(node.input):
            if name and position != 4 and (made := before(position, name, f"{tag}_in{position}")):
                first.append(made)
                node.input[position] = f"{tag}_in{position}"
        for position, name in enumerate(node.output):
            if name:
                last.append(after(position, f"{tag}_out{position}", name))
                node.output[position] = f"{tag}_out{position}"
        return [*first, node, *last]

    def turned(position: int, name: str, to: str) -> Any:
        return helper.make_node("Transpose", [name], [to], perm=[1, 0, 2]) if position in (0, 5, 6) else None

    def back(position: int, name: str, to: str) -> Any:
        return helper.make_node("Transpose", [name], [to], perm=[1, 0, 2] if position else [2, 0, 1, 3])

    def cast(number: int) -> Any:
        return lambda position, name, to: helper.make_node("Cast", [name], [to], to=number)

    for node in source.graph.node:
        group = [node]
        if node.op_type in ("LSTM", "GRU", "RNN"):
            wide = case.values[node.input[0]].dtype == "float64"
            layout = next((a for a in node.attribute if a.name == "layout" and a.i), None)
            if wide:
                group = around(f"wide{len(nodes)}", cast(1), cast(11), node)
            if layout is not None:
                node.attribute.remove(layout)
                at = group.index(node)
                group[at:at + 1] = around(f"turned{len(nodes)}", turned, back, node)
        nodes += group
    copied = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del source.graph.node[:]
    source.graph.node.extend(copied)
    return source
