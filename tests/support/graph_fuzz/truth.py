"""A graph in float64: onnx.reference on the same nodes, everything widened, recurrent nodes from `recurrence.py`."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from .case import FLOATS, Case
from .recurrence import recur

_CODES = {1: 11, 10: 11}            # ONNX's numbers of float32 and float16 -> of float64


@cache
def _own_ops() -> list[type]:
    """Operators that onnx.reference has in part, or not as the standard says."""
    from onnx.reference.op_run import OpRun

    def kind_of(name: str) -> type:
        def run(self: Any, *inputs: Any, hidden_size: Any = None, direction: Any = None, activations: Any = None,
                clip: Any = None, layout: Any = None, linear_before_reset: Any = None, input_forget: Any = None,
                **others: Any) -> tuple[np.ndarray, ...]:
            node = {a.name: a for a in self.onnx_node.attribute}
            made = recur(name, list(inputs), node["hidden_size"].i,
                         node["direction"].s.decode() if "direction" in node else "forward",
                         [s.decode() for s in node["activations"].strings] if "activations" in node else None,
                         node["clip"].f if "clip" in node else None, *(node[key].i if key in node else 0 for key in (
                             "layout", "linear_before_reset", "input_forget")))
            return tuple(made[:max(1, len(self.onnx_node.output))])
        return type(name, (OpRun,), {"op_domain": "", "_run": run})
    return [kind_of(name) for name in ("LSTM", "GRU", "RNN")] + [_batch_normalization()]


def _batch_normalization() -> type:
    """Of a model that is trained: onnx.reference takes the batch's own statistics in before opset 14."""
    from onnx.reference.op_run import OpRun

    def run(self: Any, x: np.ndarray, *given: np.ndarray, **attributes: Any) -> tuple[np.ndarray]:
        scale, bias, mean, variance = (a.reshape(-1, *(1,) * (x.ndim - 2)) for a in given)
        epsilon = next((a.f for a in self.onnx_node.attribute if a.name == "epsilon"), 1e-5)
        return (scale * (x - mean) / np.sqrt(variance + epsilon) + bias,)
    return type("BatchNormalization", (OpRun,), {"op_domain": "", "_run": run})


def widened(source: Any, halves: set[str]) -> Any:
    """The ModelProto with every floating-point tensor, input and cast in float64.

    halves: values that are float16. What a node makes of them is rounded, as the standard has it: one rounding of
    float16 is worth thousands of those that are judged here.
    """
    from onnx import ModelProto, TensorProto, helper, numpy_helper

    model = ModelProto()
    model.CopyFrom(source)

    def widen(tensor: TensorProto) -> None:
        if tensor.data_type in _CODES:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name))
    for tensor in model.graph.initializer:
        widen(tensor)
    for value in (*model.graph.input, *model.graph.output):
        kind = value.type.tensor_type
        kind.elem_type = _CODES.get(kind.elem_type, kind.elem_type)
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "to" and node.op_type == "Cast":
                attribute.i = _CODES.get(attribute.i, attribute.i)
            elif attribute.HasField("t"):
                widen(attribute.t)
    nodes = []
    for node in model.graph.node:
        made = [name for name in node.output if name in halves]
        for place, name in enumerate(node.output):
            if name in halves:
                node.output[place] = f"{name}/wide"
        nodes += [node, *(helper.make_node("Cast", [f"{name}/wide"], [f"{name}/half"], to=10) for name in made),
                  *(helper.make_node("Cast", [f"{name}/half"], [name], to=11) for name in made)]
    copied = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copied)
    return model


@cache
def _rounding_op() -> type:
    """An operator that moves each number as rounding to `bits` bits may do; a different way at each node.

    What is beyond the largest number of that many bits (float32's, float16's) is infinite from there on.
    """
    from onnx.reference.op_run import OpRun

    def run(self: Any, x: np.ndarray, bits: int | None = None) -> tuple[np.ndarray]:
        rng = np.random.default_rng(list(self.onnx_node.input[0].encode()))
        moved = x * (1 + 2.0**-bits * rng.choice([-1.0, 1.0], x.shape))         # type: ignore[operator]
        largest = np.finfo(np.float32 if bits == 24 else np.float16).max
        return (np.where(abs(moved) > largest, np.copysign(np.inf, moved), moved),)
    return type("Rounded", (OpRun,), {"op_domain": "", "_run": run})


def rounded(source: Any, case: Case) -> Any:
    """The ModelProto with a rounding behind every node that makes float16 or float32 numbers.

    Without it a sum of equal numbers that cancel in full, such as x less the mean of x three times, looks exact.
    """
    from onnx import helper

    nodes = []
    for node in source.graph.node:
        nodes.append(node)
        for position, name in enumerate(node.output):
            dtype = case.values[name].dtype if name in case.values and node.op_type != "Constant" else ""
            if dtype in ("float16", "float32"):
                node.output[position] = f"{name}_exact"
                nodes.append(helper.make_node("Rounded", [node.output[position]], [name],
                                              bits=24 if dtype == "float32" else 11))
    copied = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del source.graph.node[:]
    source.graph.node.extend(copied)
    return source


class Truth:
    """Runs a case in float64; `nudged` moves every number by half a unit in its last place, up or down."""

    def __init__(self, case: Case) -> None:
        from onnx.reference import ReferenceEvaluator

        source = case.model()
        halves = {name for name, value in case.values.items() if value.dtype == "float16"}
        self._evaluator = ReferenceEvaluator(widened(source, halves), new_ops=_own_ops())
        shaken = case.model()
        rng = np.random.default_rng(case.seed)
        from onnx import numpy_helper
        for tensor in shaken.graph.initializer:
            array = numpy_helper.to_array(tensor)
            if array.dtype.name in FLOATS:
                tensor.CopyFrom(numpy_helper.from_array(nudge(array, rng), tensor.name))
        self._shaken = ReferenceEvaluator(rounded(widened(shaken, halves), case), new_ops=[*_own_ops(), _rounding_op()])

    def run(self, names: list[str], feeds: dict[str, np.ndarray], nudged: bool = False) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(1)
        wide = {name: (nudge(a, rng) if nudged else a.astype(np.float64)) if a.dtype.name in FLOATS else a
                for name, a in feeds.items()}
        with np.errstate(all="ignore"):
            made = (self._shaken if nudged else self._evaluator).run(names, wide)
        return {name: np.asarray(a) for name, a in zip(names, made)}


def nudge(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The array in float64, each number moved by half a unit in its last place (of float32 at most)."""
    eps = 2.0**-53 if array.dtype == np.float64 else 2.0**-24
    return array.astype(np.float64) * (1 + eps * rng.choice([-1.0, 1.0], array.shape))
