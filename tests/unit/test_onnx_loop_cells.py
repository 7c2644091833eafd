"""Loops around one cell, of any number of steps: the layer that they are, or refused.

Each body is written as an exporter writes it; ONNX Runtime runs the loop itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx_graphs import check, kinds, node
from onnx_loop_bodies import (
    COUNT,
    FEATURES,
    GATES,
    GRU,
    GRU_WEIGHTS,
    LSTM,
    MASK,
    MASKED,
    ONE,
    RESET_BEFORE,
    RESET_WEIGHTS,
    RNN,
    TOLERANCE,
    H,
    agrees,
    changed,
    kept,
    looped,
    normal,
    renamed,
    said,
    scanned,
    some,
    weights,
)

import lstm_engine as le


def test_as_pytorch_writes_it() -> None:
    layer = {"K": normal(4 * H, FEATURES), "R": normal(4 * H, H), "b": normal(4 * H), "b2": normal(4 * H)}
    gemm = [node("Gemm", "x_t K b", "xk", transB=1), node("Gemm", "h R b2", "hr", transB=1),
            node("Add", "xk hr", "gates")]
    agrees(looped([*gemm, *LSTM[4:]], outer=layer), "LSTM")


def test_as_tensorflow_writes_it() -> None:
    """A counter of its own, compared as floats, a limit that is handed on, and a first turn that must be asked for."""
    before = [*COUNT, node("Squeeze", "count", "limit"), node("Cast", "limit", "limit_", to=1),
              node("Less", "zero_ limit_", "begins")]
    go = [node("Add", "k k_one", "t1"), node("Cast", "t1", "t1_", to=1), node("Cast", "limit", "end", to=1),
          node("Less", "t1_ end", "go")]
    source = looped(LSTM, read=[node("Gather", "x k", "x_t", axis=0)], go=go, before=before, names="- begins",
                    tensors={"k_one": np.array(1), **weights(4)}, carried="k zero t1",
                    outer={"zero_": np.float32(0), "zero": np.array(0)}, outputs="h_last k_last all0")
    agrees(source, "LSTM")


def split(nodes: list, op: str = "") -> list:
    """An LSTM whose gates are parted by Slice, and come together elsewhere."""
    parts = [node("Slice", f"gates s{k} e{k} one_", name) for k, name in enumerate(("i_", "f_", "g_", "o_"))]
    return [n for made in nodes for n in (parts if made.op_type == "Split" else [made])]


PARTS = {f"{letter}{k}": np.array([(k + (letter == "e")) * H]) for k in range(4) for letter in "se"} | {
    "one_": np.array([1])}
# The same equations, written otherwise: nodes, tensors.
WRITTEN = {
    "gates in slices": (split(LSTM), {**weights(4), **PARTS}),
    "factors and summands the other way round": (
        changed(LSTM, node("Mul", "c f", "fc"), node("Mul", "g i", "ig"), node("Add", "ig fc", "c1"),
                node("Mul", "tc o", "h1"), node("Add", "hr xk", "sum"), node("Add", "b sum", "gates")), weights(4)),
    "a kernel of step and state": (
        [node("Concat", "x_t h", "xh", axis=1), node("MatMul", "xh KR", "kr"), node("Add", "kr b", "gates"),
         *LSTM[4:]], {"KR": normal(FEATURES + H, 4 * H), "b": normal(4 * H)}),
    "a forget bias": (
        [*LSTM[:5], node("Add", "f_ one", "f1_"), *changed(LSTM[5:], node("Sigmoid", "f1_", "f"))],
        {**weights(4), **ONE}),
    "gates squashed together": (
        [*GATES, node("Slice", "gates s0 e2 one_", "ifo_"), node("Slice", "gates s3 e3 one_", "g_"),
         node("Sigmoid", "ifo_", "ifo"), node("Split", "ifo", "i f o", axis=-1, num_outputs=3),
         node("Tanh", "g_", "g"), *LSTM[9:]], {**weights(4), **PARTS}),
    "peepholes": (
        [*LSTM[:5], node("Mul", "c pi", "ci"), node("Add", "i_ ci", "ip"), node("Mul", "pf c", "cf"),
         node("Add", "cf f_", "fp"), *changed(LSTM[5:], node("Sigmoid", "ip", "i"), node("Sigmoid", "fp", "f"))],
        {**weights(4), "pi": normal(H), "pf": normal(1, H)}),
    "a peephole at the new cell state": (
        [*LSTM[:8], *LSTM[9:12], node("Mul", "c1 po", "co"), node("Add", "o_ co", "op"), node("Sigmoid", "op", "o"),
         *LSTM[12:]], {**weights(4), "po": normal(H)}),
    "a peephole at the old one": (
        [*LSTM[:8], node("Mul", "c po", "co"), node("Add", "o_ co", "op"), node("Sigmoid", "op", "o"), *LSTM[9:]],
        {**weights(4), "po": normal(H)}),
    "linear candidate and output": (
        [n for n in changed(LSTM, node("Mul", "i g_", "ig"), node("Mul", "o c1", "h1"))
         if n.output[0] not in ("g", "tc")], {**weights(4), "R": normal(H, 4 * H) / 4}),
    "other activations": (
        changed(LSTM, node("HardSigmoid", "i_", "i"), node("HardSigmoid", "f_", "f"), node("HardSigmoid", "o_", "o"),
                node("Relu", "g_", "g"), node("Softsign", "c1", "tc")), weights(4)),
    "swish": (
        [*LSTM[:7], node("Sigmoid", "g_", "sg"), node("Mul", "g_ sg", "g"), *LSTM[8:-2],
         node("Sigmoid", "c1", "sc"), node("Mul", "sc c1", "tc"), LSTM[-1]], weights(4)),
    "a kernel for each gate": (
        [node("MatMul", f"x_t K{k}", f"x{k}") for k in "ifgo"] + [node("Gemm", f"h R{k} x{k}", f"{k}_") for k in "ifgo"]
        + LSTM[5:], {f"{letter}{k}": normal(size, H) for k in "ifgo" for letter, size in (("K", FEATURES), ("R", H))}),
}


@pytest.mark.parametrize("way", WRITTEN)
def test_an_lstm_is_its_equations(way: str) -> None:
    nodes, tensors = WRITTEN[way]
    agrees(looped(nodes, tensors=tensors), "LSTM")


def test_an_lstm_that_is_projected() -> None:
    nodes = [*LSTM[:-1], node("Mul", "o tc", "m"), node("MatMul", "m P", "h1")]
    tensors = {**weights(4), "R": normal(2, 4 * H), "P": normal(H, 2)}
    source = looped(nodes, tensors=tensors)
    for value in (source.graph.input[1], source.graph.node[1].attribute[0].g.input[2]):
        value.type.tensor_type.shape.dim[1].dim_value = 2
    agrees(source, "LSTM")


GRUS = {
    "reset after": (GRU, GRU_WEIGHTS, True),
    "reset before": (RESET_BEFORE, RESET_WEIGHTS, False),
    "from the new state to the old": (
        [*GRU[:-4], node("Sub", "h n", "hmn"), node("Mul", "z hmn", "zh"), node("Add", "n zh", "h1")], GRU_WEIGHTS,
        True),
    "an update gate that says what is new": (
        changed(GRU, node("Mul", "z1 h", "old"), node("Mul", "n z", "new")), GRU_WEIGHTS, True),
    "hard_sigmoid as TensorFlow clips it": (
        [*GRU[:7], node("Mul", "z_ fifth", "z0"), node("Add", "z0 half", "z2"), node("Min", "z2 one", "z3"),
         node("Max", "z3 nil", "z"), GRU[8], node("Mul", "r_ fifth", "r0"), node("Add", "half r0", "r2"),
         node("Clip", "r2 nil one", "r"), *GRU[10:]],
        {**GRU_WEIGHTS, "nil": np.float32(0), "half": np.float32(0.5), "fifth": np.float32(0.2)}, True),
}


@pytest.mark.parametrize("way", GRUS)
def test_a_gru_is_its_equations(way: str) -> None:
    nodes, tensors, after = GRUS[way]
    made = agrees(looped(nodes, "h", tensors=tensors), "GRU")
    layer, = (n for n in made.nodes if n.op == "GRU")
    assert layer.linear_before_reset is after
    if "hard" in way:
        assert str(layer.activations[0][0]) == "hard_sigmoid(0.2, 0.5)"


FADES = normal(H, H) / 4        # nothing bounds a linear state but this
RNNS = {
    "tanh": (RNN, weights(1)),
    "relu by Max": (changed(RNN, node("Max", "gates nil", "h1")), {**weights(1), "nil": np.float32(0)}),
    "linear": (GATES[:3] + [node("Add", "sum b", "h1")], {**weights(1), "R": FADES}),
    "a moving average": ([node("MatMul", "x_t K", "xk"), node("Mul", "h decay", "hd"), node("Add", "hd xk", "h1")],
                         {**weights(1), "decay": np.float32(0.9)}),
}


@pytest.mark.parametrize("way", RNNS)
def test_a_simple_rnn_is_its_equation(way: str) -> None:
    nodes, tensors = RNNS[way]
    agrees(looped(nodes, "h", tensors=tensors), "RNN")


BEHIND = {
    "a layer": [node("MatMul", "h1 V", "v"), node("Add", "v a", "y")],
    "a softmax": [node("Gemm", "h1 U a", "u", transB=1, alpha=0.5, beta=2.0), node("Softmax", "u", "y", axis=1)],
    "the step beside it": [node("MatMul", "x_t M", "xm"), node("Mul", "h1 xm", "hx"), node("Tanh", "hx", "y")],
    "nothing of it": [node("Relu", "x_t", "y")],
}


@pytest.mark.parametrize("way", BEHIND)
@pytest.mark.parametrize("axes", [{}, {"scan_input_directions": [1], "scan_output_axes": [1]},
                                  {"scan_output_directions": [1]}])
def test_what_stands_behind_the_cell(way: str, axes: dict[str, Any]) -> None:
    tensors = {**GRU_WEIGHTS, "V": normal(H, 2), "U": normal(2, H), "a": normal(2), "M": normal(FEATURES, H)}
    tensors["a"] = tensors["a"] if way != "a softmax" else tensors["a"][None]
    agrees(scanned([*GRU, *BEHIND[way]], "h", tensors, ("time", "batch", FEATURES), True, **axes), "GRU")


@pytest.mark.parametrize("name", ["Y", "h", "last", "same", "behind", "loop/Y", "loop/state", "loop/step", "loop/turn"])
def test_a_step_may_be_called_as_anything_else_is(name: str) -> None:
    """A result that is made of the step alone is not made of the cell's output, whatever the step is called."""
    inside = [node("Identity", name, "x_t"), *renamed(RNN, h1="new", h="old"), node("Relu", name, "y")]
    agrees(looped(renamed(inside, new="old1"), "old", results="y", tensors=weights(1),
                  read=[node("Gather", "x t", name)]), "RNN")


BEFORE = {
    "a layer": [node("MatMul", "x_t M", "xm"), node("Relu", "xm", "xa"), node("MatMul", "xa K2", "xk")],
    "two layers without activations": [node("MatMul", "x_t M", "xm"), node("MatMul", "xm K2", "xk")],
    "a part of one, beside the step": [
        node("MatMul", "x_t M", "xm"), node("Tanh", "xm", "xa"), node("Slice", "xa one_ three one_", "xs"),
        node("Concat", "xs x_t", "xx", axis=1), node("MatMul", "xx K3", "xk")],
}


@pytest.mark.parametrize("way", BEFORE)
@pytest.mark.parametrize("axes", [{}, {"scan_input_directions": [1]}])
def test_what_stands_before_the_cell(way: str, axes: dict[str, Any]) -> None:
    tensors = {**GRU_WEIGHTS, "M": normal(FEATURES, H), "K2": normal(H, 3 * H), "K3": normal(2 + FEATURES, 3 * H),
               "one_": np.array([1]), "three": np.array([3])}
    agrees(scanned([*BEFORE[way], *GRU[1:]], "h", tensors, ("time", "batch", FEATURES), **axes), "GRU")


def test_rows_of_a_table_by_the_ids_of_a_step() -> None:
    nodes = [node("Gather", "table ids_t", "e"), node("MatMul", "e K", "xk"), *LSTM[1:]]
    source = looped(nodes, read=[node("Gather", "x t", "ids_t")], tensors={**weights(4), "table": normal(9, FEATURES)},
                    x=("int64", ("time", "batch")))
    agrees(source, "LSTM", {"x": lambda time, batch: np.arange(time * batch).reshape(time, batch) % 9})


READS = {
    "time second": ([node("Gather", "x t", "x_t", axis=1)], ("batch", "time", FEATURES), 1, {}),
    "time last": ([node("Gather", "x t", "x_t", axis=-1)], ("batch", FEATURES, "time"), 2, {}),
    "from the end": ([node("Squeeze", "count", "steps"), node("Sub", "steps t", "left"), node("Sub", "left one_", "at"),
                      node("Gather", "x at", "x_t")], ("time", "batch", FEATURES), 0, {"one_": np.array(1)}),
    "from the end, below 0": ([node("Sub", "less t", "at"), node("Gather", "x at", "x_t")],
                              ("time", "batch", FEATURES), 0, {"less": np.array(-1)}),
    "an axis of 1": ([node("Gather", "x t", "x_1"), node("Squeeze", "x_1 first", "x_t")],
                     ("time", 1, "batch", FEATURES), 0, {"first": np.array([0])}),
    "two halves of a step": ([node("Gather", "x t", "x_1"), node("Split", "x_1", "left right", axis=1, num_outputs=2),
                              node("Concat", "right left", "x_t", axis=1)], ("time", "batch", 2 * FEATURES), 0,
                             {"K": normal(2 * FEATURES, 3 * H)}),
    "two sequences": ([node("Gather", "x t", "x_0"), node("Gather", "y t", "y_0"),
                       node("Concat", "y_0 x_0", "x_t", axis=1)], ("time", "batch", FEATURES), 0,
                      {"K": normal(2 * FEATURES, 3 * H)}),
}


@pytest.mark.parametrize("way", READS)
def test_the_next_step_is_read(way: str) -> None:
    read, shape, axis, tensors = READS[way]
    before = [node("Shape", "x", "count", start=axis, end=axis + 1)]
    more = {"y": shape} if way == "two sequences" else {}
    agrees(looped(GRU, "h", read=read, before=before, x=shape, tensors={**GRU_WEIGHTS, **tensors}, more=more), "GRU")
    if more:
        said(looped(GRU, "h", read=read, before=before, x=shape, tensors={**GRU_WEIGHTS, **tensors},
                    more={"y": ("other", "batch", FEATURES)}), "same number of steps",
             {"y": lambda time, batch: normal(time + 2, batch, FEATURES)})


SHAPES = {
    "vectors": ([], (H,), ("time", FEATURES), []),
    "an axis of 1 before": ([], (1, "batch", H), ("time", "batch", FEATURES), []),
    "an axis of 1 between": ([node("Unsqueeze", "x_0 first", "x_t")], ("batch", 1, H), ("time", "batch", FEATURES),
                             [node("Gather", "x t", "x_0")]),
}


@pytest.mark.parametrize("way", SHAPES)
@pytest.mark.parametrize("op", ["LSTM", "GRU"])
def test_states_of_other_ranks(way: str, op: str) -> None:
    more, shape, x, read = SHAPES[way]
    nodes, states, tensors = (LSTM, "h c", weights(4)) if op == "LSTM" else (GRU, "h", GRU_WEIGHTS)
    nodes = [n for made in nodes for n in ([node("Split", " ".join(made.input), " ".join(made.output), axis=-1,
                                                 num_outputs=len(made.output))] if made.op_type == "Split" else [made])]
    agrees(looped([*more, *nodes], states, read=read or None, shapes=shape, x=x,
                  tensors={**tensors, "first": np.array([1])}), op)


@pytest.mark.parametrize("axes", [{}, {"scan_input_axes": [1], "scan_output_axes": [1]},
                                  {"scan_input_directions": [1]}, {"scan_output_directions": [1]},
                                  {"scan_input_axes": [-2], "scan_output_axes": [-1], "scan_input_directions": [1],
                                   "scan_output_directions": [1]}])
@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
def test_scan(op: str, axes: dict[str, Any]) -> None:
    nodes, states, tensors = {"LSTM": (LSTM, "h c", weights(4)), "GRU": (GRU, "h", GRU_WEIGHTS),
                              "RNN": (RNN, "h", weights(1))}[op]
    shape = ("batch", "time", FEATURES) if axes.get("scan_input_axes") else ("time", "batch", FEATURES)
    agrees(scanned(nodes, states, tensors, shape, **axes), op)


@pytest.mark.parametrize("way", ["where", "not", "times"])
@pytest.mark.parametrize("op", MASKED)
@pytest.mark.parametrize("gives", ["zero", "the output before", "nothing"])
def test_masked_steps(op: str, way: str, gives: str) -> None:
    cell, states, tensors = MASKED[op]
    nodes = [MASK, *cell, *(n for name in states.split() for n in kept(f"{name}1", f"{name}_new", name, way))]
    tensors = {**tensors, "nil": np.zeros((1, H), np.float32)}
    before, more, zeros = COUNT, {"mask": ("bool", ("time", "batch", 1))}, []
    if gives == "zero":
        nodes += kept("y", "h_new", "nil", way)
    elif gives == "the output before":
        nodes += kept("p1", "h_new", "p", way)
        zeros = [node("Shape", "h0", "size"), node("ConstantOfShape", "size", "p0")]
    source = looped(nodes, states + (" p" if zeros else ""), tensors=tensors, before=[*before, *zeros], more=more,
                    results={"zero": "y", "nothing": "", "the output before": "p1"}[gives])
    if zeros:
        del source.graph.input[[value.name for value in source.graph.input].index("p0")]
    agrees(source, op, {"mask": some})


def test_a_masked_scan() -> None:
    cell, states, tensors = MASKED["GRU"]
    nodes = [*cell, *kept("h1", "h_new", "h", "where"), *kept("y", "h_new", "nil", "where")]
    agrees(scanned(nodes, states, {**tensors, "nil": np.zeros(H, np.float32)}, ("time", "batch", FEATURES), True,
                   ("time", "batch", 1)), "GRU", {"mask": some})


def test_no_steps_leave_the_states_as_they_were() -> None:
    source = looped(LSTM, tensors=weights(4))
    h, c = normal(2, H), normal(2, H)
    made = le.convert(source).predict({"x": np.zeros((0, 2, FEATURES), np.float32), "h0": h, "c0": c})
    np.testing.assert_array_equal(made["h_last"], h)
    np.testing.assert_array_equal(made["c_last"], c)
    assert made["all0"].shape == (0, 2, H)


def test_a_known_number_of_steps_is_a_layer_too() -> None:
    source = looped(LSTM, tensors=weights(4), x=(6, "batch", FEATURES), names="six -", before=[],
                    outer={"six": np.array(6)})
    made = check(source, {"x": normal(6, 2, FEATURES), "h0": normal(2, H), "c0": normal(2, H)}, TOLERANCE)
    assert kinds(made).count("LSTM") == 1 and "Dense" not in kinds(made)
