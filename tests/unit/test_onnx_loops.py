"""Loop and Scan, written out turn by turn where it is known beforehand how many there are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx_graphs import check, graph, imported, kinds, model, node, runtime_outputs

import lstm_engine as le
from lstm_engine.errors import FormatError, LimitError, LstmEngineError, UnsupportedError

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
RNG = np.random.default_rng(0)
# float32 sums of some ten terms near 1, over a few turns, against float64.
TOLERANCE = 4e-6
TRUE = np.array(True)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def body(nodes: list, inputs: dict[str, Any], outputs: str, **tensors: Any) -> Any:
    made = graph(nodes, inputs, outputs, tensors)
    for value in made.output:                                   # which ONNX Runtime wants the type of
        value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
        if value.name.startswith("go"):
            value.type.tensor_type.elem_type = onnx.TensorProto.BOOL
    return made


TURN = {"i": ("int64", ()), "c": ("bool", ())}


def power(more: list | None = None, go: Any = None, outputs: str = "go h o") -> Any:
    """h is multiplied by a matrix at each turn, and given with the number of the turn added."""
    nodes = [go or node("Identity", "c", "go"), node("MatMul", "h_in k", "h"), node("Cast", "i", "f", to=1),
             node("Add", "h f", "o")]
    return body([*nodes, *(more or [])], {**TURN, "h_in": (None, 3)}, outputs, k=normal(3, 3) / 2)


def looped(inside: Any, turns: Any = 4, condition: Any = TRUE, outputs: str = "last all") -> Any:
    tensors = {"x0": np.float32(0), **({} if turns is None else {"n": np.array(turns)}),
               **({} if condition is None else {"c0": condition})}
    names = f"{'-' if turns is None else 'n'} {'-' if condition is None else 'c0'} x"
    return model([node("Loop", names, outputs, name="loop", body=inside)], {"x": ("batch", 3)}, outputs, tensors)


@pytest.mark.parametrize("turns", [1, 2, 7])
def test_a_loop_of_a_known_number_of_turns(turns: int) -> None:
    made = check(looped(power(), turns), {"x": normal(2, 3)}, TOLERANCE)
    assert kinds(made).count("Dense") == turns


def test_a_condition_that_follows_from_the_turn() -> None:
    go = node("Less", "i two", "go")
    inside = power(go=go)
    inside.initializer.append(onnx.numpy_helper.from_array(np.array(2), "two"))
    for turns, condition in ((100, TRUE), (None, TRUE), (100, None)):
        made = check(looped(inside, turns, condition), {"x": normal(2, 3)}, TOLERANCE)
        assert kinds(made).count("Dense") == 3


def test_no_turns() -> None:
    states_alone = power(outputs="go h")
    for turns, condition in ((0, TRUE), (5, np.array(False))):
        check(looped(states_alone, turns, condition, "last"), {"x": normal(2, 3)}, TOLERANCE)
    source = looped(power(), 0)
    made = le.convert(source).predict({"x": normal(2, 3)})
    for name, array in runtime_outputs(source, {"x": normal(2, 3)}).items():
        assert made[name].shape[:1] == array.shape[:1] and made[name].dtype == array.dtype


def test_a_loop_in_a_loop_that_reads_what_stands_around_it() -> None:
    inner = power(outputs="go h o")
    outer = body([node("Identity", "c", "go_outer"), node("Loop", "n c h_in", "h_last h_all", name="inner", body=inner),
                  node("ReduceSum", "h_all zero", "total", keepdims=0), node("Add", "total x", "p")],
                 {**TURN, "h_in": (None, 3)}, "go_outer h_last p", zero=np.array([0]))
    check(looped(outer, 3), {"x": normal(2, 3)}, TOLERANCE)


def cell(op: str) -> Any:
    """One step of a layer with states, from and to vectors."""
    states = 2 if op == "LSTM" else 1
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[op]
    names = [f"s{i}" for i in range(states)]
    nodes = [node("Unsqueeze", "x_t zero", "x1")]
    nodes += [node("Unsqueeze", f"{name}_in zero", f"{name}_1") for name in names]
    nodes.append(node(op, f"x1 W R B - {' '.join(f'{name}_1' for name in names)}",
                      " ".join(["y", *(f"{name}_2" for name in names)]), hidden_size=4))
    nodes += [node("Squeeze", f"{name}_2 zero", f"{name}_out") for name in names]
    nodes.append(node("Squeeze", "y zero1", "o"))
    return body(nodes, {**{f"{name}_in": (None, 4) for name in names}, "x_t": (None, 3)},
                " ".join([*(f"{name}_out" for name in names), "o"]), zero=np.array([0]), zero1=np.array([0, 1]),
                W=normal(1, gates * 4, 3), R=normal(1, gates * 4, 4), B=normal(1, gates * 8))


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("axes", [{}, {"scan_input_axes": [1], "scan_output_axes": [1]},
                                  {"scan_input_directions": [1]},
                                  {"scan_input_axes": [-2], "scan_output_directions": [1], "scan_output_axes": [-2]}])
@pytest.mark.parametrize("steps", [5, "time"])
def test_scan_over_a_layer(op: str, axes: dict[str, Any], steps: int | str) -> None:
    time_first = "scan_input_axes" not in axes
    states = "h0 c0" if op == "LSTM" else "h0"
    shape = (steps, "batch", 3) if time_first else ("batch", steps, 3)
    outputs = "h c all" if op == "LSTM" else "h all"
    scan = node("Scan", f"{states} x", outputs, name="scan", num_scan_inputs=1, body=cell(op), **axes)
    source = model([scan], {"x": shape, **{name: ("batch", 4) for name in states.split()}}, outputs)
    made = check(source, {"x": normal(*({"batch": 2, "time": 5}.get(size, size) for size in shape)),
                          **{name: normal(2, 4) for name in states.split()}}, TOLERANCE)
    assert kinds(made).count(op) == 1


def test_several_sequences() -> None:
    inside = body([node("Add", "a b", "t"), node("Add", "t s_in", "s"), node("Mul", "a s", "p"),
                   node("Sub", "b s", "q")], {"s_in": (None,), "a": (None,), "b": (None,)}, "s p q")
    scan = node("Scan", "s0 a b", "s p q", name="scan", num_scan_inputs=2, scan_input_directions=[0, 1],
                scan_output_axes=[1, 0], body=inside)
    check(model([scan], {"s0": ("batch",), "a": (4, "batch"), "b": (4, "batch")}, "s p q"),
          {"s0": normal(3), "a": normal(4, 3), "b": normal(4, 3)}, TOLERANCE)


def test_steps_that_the_caller_settles() -> None:
    inside = body([node("Mul", "a s_in", "p"), node("Add", "p a", "s")], {"s_in": (None,), "a": (None,)}, "s p")
    source = model([node("Scan", "s0 a", "s p", name="scan", num_scan_inputs=1, body=inside)],
                   {"s0": ("batch",), "a": ("time", "batch")}, "s p")
    assert "Loop" in kinds(check(source, {"s0": normal(3), "a": normal(4, 3)}, TOLERANCE))
    assert "Loop" not in kinds(check(source, {"s0": normal(3), "a": normal(4, 3)}, TOLERANCE, shapes={"a": [4, None]}))
    turns = model([node("Loop", "n c0 x", "last all", name="loop", body=power())],
                  {"x": ("batch", 3), "n": ("int64", ())}, "last all", {"c0": TRUE})
    assert "Loop" in kinds(check(turns, {"x": normal(2, 3), "n": np.array(3)}, TOLERANCE))
    assert "Loop" not in kinds(check(turns, {"x": normal(2, 3), "n": np.array(3)}, TOLERANCE, fixed={"n": 3}))


@pytest.mark.parametrize(("inside", "said"), [
    (power(outputs="go h"), "does not fit its 3 inputs and 2 outputs"),
    (power(go=node("ReduceMax", "h_in", "go")), "goes on|condition|bool"),
    (body([node("Identity", "c", "go")], TURN, "go"), "does not fit"),
])
def test_bodies_that_do_not_fit(inside: Any, said: str) -> None:
    with pytest.raises(LstmEngineError, match=said):
        imported(looped(inside))


def test_what_a_loop_holds_beside_its_body_is_refused() -> None:
    source = looped(power())
    source.graph.node[0].attribute.add(name="unroll", type=2, i=1)
    with pytest.raises(UnsupportedError, match="attribute 'unroll' is not supported; supported: body"):
        imported(source)
    inside = power()
    inside.input[1].name = "i"
    with pytest.raises(FormatError, match="two of its inputs have one name"):
        imported(looped(inside))


def test_turns_are_bounded() -> None:
    empty = body([node("Identity", "c", "go"), node("Identity", "h_in", "h")], {**TURN, "h_in": (None, 3)}, "go h")
    for source in (looped(power(), 10**9), looped(empty, None, outputs="last")):
        assert "Loop" in kinds(imported(source))
        with pytest.raises(LimitError, match=r"'loop' \(Loop\) brings the work of this call to.*Limits.work"):
            le.convert(source, limits=le.Limits(work=10**7)).predict({"x": normal(2, 3)})


@pytest.mark.parametrize("attributes", [{"num_scan_inputs": 0}, {"num_scan_inputs": 9},
                                        {"num_scan_inputs": 1, "scan_input_axes": [7]},
                                        {"num_scan_inputs": 1, "scan_input_directions": [2]},
                                        {"num_scan_inputs": 1, "scan_output_axes": [0, 0]},
                                        {"num_scan_inputs": 1, "scan_output_axes": [5]}])
def test_attributes_of_scan_that_do_not_fit(attributes: dict[str, Any]) -> None:
    scan = node("Scan", "h0 x", "h all", name="scan", body=cell("GRU"), **attributes)
    with pytest.raises(FormatError, match="'scan'"):
        imported(model([scan], {"x": (5, "batch", 3), "h0": ("batch", 4)}, "h all"))
