"""Bodies of loops around one cell as exporters write them, the models around them, and what they must give."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx_graphs import check, graph, imported, kinds, model, node, runtime_outputs

import lstm_engine as le

RNG = np.random.default_rng(0)
# float32 sums of some ten terms near 1, over a few turns, against float64.
TOLERANCE = 4e-6
FEATURES, H = 3, 4
TRUE = np.array(True)


def normal(*shape: int) -> np.ndarray:
    return (RNG.standard_normal(shape) * 0.5).astype(np.float32)


def weights(gates: int) -> dict[str, np.ndarray]:
    return {"K": normal(FEATURES, gates * H), "R": normal(H, gates * H), "b": normal(gates * H)}


GATES = [node("MatMul", "x_t K", "xk"), node("MatMul", "h R", "hr"), node("Add", "xk hr", "sum"),
         node("Add", "sum b", "gates")]
# As TensorFlow has it: i, f, g, o.
LSTM = [*GATES, node("Split", "gates", "i_ f_ g_ o_", axis=1, num_outputs=4), node("Sigmoid", "i_", "i"),
        node("Sigmoid", "f_", "f"), node("Tanh", "g_", "g"), node("Sigmoid", "o_", "o"), node("Mul", "f c", "fc"),
        node("Mul", "i g", "ig"), node("Add", "fc ig", "c1"), node("Tanh", "c1", "tc"), node("Mul", "o tc", "h1")]
GRU = [node("MatMul", "x_t K", "xk"), node("Add", "xk b", "xb"), node("MatMul", "h R", "hr"),
       node("Add", "hr b2", "hb"), node("Split", "xb", "xz xr xn", axis=-1, num_outputs=3),
       node("Split", "hb", "hz hr_ hn", axis=-1, num_outputs=3),
       node("Add", "xz hz", "z_"), node("Sigmoid", "z_", "z"), node("Add", "hr_ xr", "r_"), node("Sigmoid", "r_", "r"),
       node("Mul", "r hn", "rn"), node("Add", "xn rn", "n_"), node("Tanh", "n_", "n"), node("Sub", "one z", "z1"),
       node("Mul", "z1 n", "new"), node("Mul", "h z", "old"), node("Add", "old new", "h1")]
RNN = [*GATES, node("Tanh", "gates", "h1")]
ONE = {"one": np.float32(1)}


def changed(nodes: list, *others: Any) -> list:
    """The nodes with others in place of those that make the same values."""
    made = {name: other for other in others for name in other.output}
    return [made.get(n.output[0], n) for n in nodes] + [other for other in others
                                                        if not any(other.output[0] in n.output for n in nodes)]


def body(nodes: list, inputs: dict[str, Any], outputs: str, tensors: dict[str, np.ndarray]) -> Any:
    made = graph(nodes, inputs, outputs, tensors)
    for value in made.output:                                   # which ONNX Runtime wants the type of
        value.type.tensor_type.elem_type = {"go": onnx.TensorProto.BOOL, "t1": onnx.TensorProto.INT64}.get(
            value.name, onnx.TensorProto.FLOAT)
    return made


READ = node("Gather", "x t", "x_t", axis=0)
GOES_ON = node("Identity", "on", "go")
COUNT = [node("Shape", "x", "count", start=0, end=1)]


def looped(nodes: list, states: str = "h c", results: str = "h1", tensors: dict[str, Any] | None = None,
           read: list | None = None, go: list | None = None, before: list | None = None, outer: dict | None = None,
           names: str = "count -", x: Any = ("time", "batch", FEATURES), shapes: Any = ("batch", H), outputs: str = "",
           more: dict[str, Any] | None = None, carried: str = "") -> Any:
    """A model of a Loop. states: of the body, each initially an input "<name>0"; results: its scan outputs.

    carried: further states that start as values around it: "<body's name> <value before> <value after>".
    """
    kept = states.split()
    extra = carried.split()
    inside = body([*([READ] if read is None else read), *nodes, *([GOES_ON] if go is None else go)],
                  {"t": ("int64", ()), "on": ("bool", ()), **{name: shapes for name in kept},
                   **{name: ("int64", ()) for name in extra[::3]}},
                  " ".join(["go", *(f"{name}1" for name in kept), *extra[2::3], results]).strip(), tensors or {})
    last = " ".join([f"{name}_last" for name in kept] + [f"{name}_last" for name in extra[::3]])
    scans = [f"all{i}" for i in range(len(results.split()))]
    loop = node("Loop", " ".join([names, *(f"{name}0" for name in kept), *extra[1::3]]), " ".join([last, *scans]),
                name="loop", body=inside)
    return model([*(COUNT if before is None else before), loop], {"x": x, **{f"{name}0": shapes for name in kept},
                                                                  **(more or {})},
                 outputs or " ".join([*(f"{name}_last" for name in kept), *scans]), {"on0": TRUE, **(outer or {})})


def agrees(source: Any, op: str, feeds: dict[str, Callable[[int, int], np.ndarray]] | None = None) -> Any:
    """That the loop is the node `op`, and gives what ONNX Runtime gives for several numbers of steps and rows."""
    for time, batch in ((5, 2), (1, 1), (9, 3)):
        made = compared(source, random_feeds(source, time, batch, feeds or {}))
        assert op in kinds(made), kinds(made)
        assert "Loop" not in kinds(made)
    return made


def random_feeds(source: Any, time: int, batch: int, feeds: dict[str, Callable[[int, int], np.ndarray]]
                 ) -> dict[str, np.ndarray]:
    """An array for each input of a model. feeds: what makes those that are not to be random floats."""
    given = {value.name: normal(*({"time": time, "batch": batch}.get(dim.dim_param, dim.dim_value)
                                  for dim in value.type.tensor_type.shape.dim)) for value in source.graph.input}
    return given | {name: make(time, batch) for name, make in feeds.items()}


def compared(source: Any, given: dict[str, np.ndarray]) -> Any:
    """The graph, whose reference and model give what ONNX Runtime gives."""
    made = check(source, given, TOLERANCE)
    results = le.convert(source).predict(given)
    results = results if isinstance(results, dict) else {made.outputs[0]: results}
    for name, array in runtime_outputs(source, given).items():
        np.testing.assert_allclose(results[name], array, rtol=0, atol=TOLERANCE, err_msg=name)
    return made


def said(source: Any, message: str, feeds: dict[str, Callable[[int, int], np.ndarray]] | None = None,
         runs: bool = True) -> None:
    """That a loop is no layer, with this reason, and gives what ONNX Runtime gives turn by turn.

    runs: whether ONNX Runtime runs it.
    """
    made = imported(source)
    assert re.search(message, made.metadata["turned"]), made.metadata["turned"]
    assert "Loop" in kinds(made)
    if not runs:
        return
    for time, batch in ((5, 2), (9, 3)):
        given = random_feeds(source, time, batch, feeds or {})
        results = le.convert(source).predict(given)
        results = results if isinstance(results, dict) else {made.outputs[0]: results}
        for name, array in runtime_outputs(source, given, as_written=True).items():
            # What is no cell need not stay near 1, and a quotient of small numbers is known to few digits.
            largest = np.abs(array[np.isfinite(array)]).max(initial=1)
            np.testing.assert_allclose(results[name], array, rtol=1e-3, atol=TOLERANCE * largest, err_msg=name)


GRU_WEIGHTS = {**weights(3), "b2": normal(3 * H), **ONE}


RESET_BEFORE = [*GRU[:2], GRU[4], node("MatMul", "h R2", "hb"), node("Split", "hb", "hz hr_", axis=-1, num_outputs=2),
                *GRU[6:10], node("Mul", "h r", "rh"), node("MatMul", "rh Rn", "rn"), *GRU[11:]]
RESET_WEIGHTS = {**GRU_WEIGHTS, "R2": normal(H, 2 * H), "Rn": normal(H, H)}


def scanned(nodes: list, states: str, tensors: dict, x: Any, gives_y: bool = False, masked: Any = None,
            **axes: Any) -> Any:
    """A model of a Scan. ONNX Runtime leaves one of two outputs of one name without numbers."""
    kept = states.split()
    nodes = nodes if gives_y else [*nodes, node("Identity", "h1", "y")]
    inside = body(nodes, {**{name: ("batch", H) for name in kept}, "x_t": ("batch", FEATURES),
                          **({} if masked is None else {"m": ("bool", ("batch", 1))})},
                  " ".join([*(f"{name}1" for name in kept), "y"]), tensors)
    last = [f"{name}_last" for name in kept]
    scan = node("Scan", " ".join([*(f"{name}0" for name in kept), "x", *([] if masked is None else ["mask"])]),
                " ".join([*last, "all0"]), name="scan", num_scan_inputs=1 if masked is None else 2, body=inside, **axes)
    return model([scan], {**{f"{name}0": ("batch", H) for name in kept}, "x": x,
                          **({} if masked is None else {"mask": ("bool", masked)})}, " ".join([*last, "all0"]))


def some(time: int, batch: int) -> np.ndarray:
    """A mask of steps that count: holes, and a row without any."""
    mask = RNG.random((time, batch, 1)) < 0.6
    mask[:, 0] = False
    return mask


def kept(name: str, new: str, old: str, way: str) -> list:
    """`name` is `new` where m says so, else `old`."""
    if way == "where":
        return [node("Where", f"m {new} {old}", name)]
    if way == "not":
        return [node("Not", "m", f"n_{name}"), node("Where", f"n_{name} {old} {new}", name)]
    return [node("Cast", "m", f"f_{name}", to=1), node("Not", "m", f"n_{name}"),
            node("Cast", f"n_{name}", f"g_{name}", to=1), node("Mul", f"f_{name} {new}", f"p_{name}"),
            node("Mul", f"{old} g_{name}", f"q_{name}"), node("Add", f"p_{name} q_{name}", name)]


MASK = node("Gather", "mask t", "m")


def renamed(nodes: list, **names: str) -> list:
    made = []
    for one in nodes:
        copy = onnx.NodeProto.FromString(one.SerializeToString())
        copy.name += "_"
        copy.output[:] = [names.get(name, name) for name in copy.output]
        copy.input[:] = [names.get(name, name) for name in copy.input]
        made.append(copy)
    return made


MASKED = {"LSTM": (renamed(LSTM, h1="h_new", c1="c_new"), "h c", weights(4)),
          "GRU": (renamed(GRU, h1="h_new"), "h", GRU_WEIGHTS), "RNN": (renamed(RNN, h1="h_new"), "h", weights(1))}
