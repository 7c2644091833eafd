"""Loop and Scan that are no layer, run turn by turn: beside ONNX Runtime, saved, limited, inside each other."""

from __future__ import annotations

import contextlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx_graphs import check, graph, imported, kinds, model, node, runtime_outputs  # noqa: E402
from random_loops import Loops  # noqa: E402

import lstm_engine as le  # noqa: E402
from lstm_engine.errors import ArgumentError, GraphError, LimitError, LstmEngineError, UnsupportedError  # noqa: E402
from lstm_engine.graph import Graph  # noqa: E402
from lstm_engine.graph.nodes import MOST_NESTED, Loop, Value  # noqa: E402
from lstm_engine.reference import run  # noqa: E402

RNG = np.random.default_rng(0)
# float32 over a few turns of sums of ten terms near 1, beside float64 and beside ONNX Runtime.
TOLERANCE = 4e-6
TRUE = np.array(True)
TURN = {"i": ("int64", ()), "c": ("bool", ())}


def normal(*shape: int) -> np.ndarray:
    return (RNG.standard_normal(shape) / 2).astype(np.float32)


def body(nodes: list, inputs: dict[str, Any], outputs: str, dtypes: dict[str, int] | None = None, **tensors: Any
         ) -> Any:
    """A body whose outputs are float32, "go" a truth value, others as `dtypes` has them."""
    made = graph(nodes, inputs, outputs, tensors)
    for value in made.output:
        value.type.tensor_type.elem_type = (dtypes or {}).get(
            value.name, onnx.TensorProto.BOOL if value.name.startswith("go") else onnx.TensorProto.FLOAT)
    return made


def same(source: Any, feeds: dict[str, np.ndarray], tmp_path: Path | None = None) -> Any:
    """The model, whose reference, and itself, saved, pickled and asked a second time, give ONNX Runtime's numbers."""
    made = check(source, feeds, TOLERANCE)
    assert "Loop" in kinds(made)
    opened = le.convert(source)
    models = [opened, opened, pickle.loads(pickle.dumps(opened))]
    if tmp_path is not None:
        opened.save(tmp_path / "m.lstm")
        models.append(le.load(tmp_path / "m.lstm"))
    wanted, first = runtime_outputs(source, feeds), None
    for one in models:
        results = one.predict(feeds)
        results = results if isinstance(results, dict) else {made.outputs[0]: results}
        for name, array in wanted.items():
            assert results[name].dtype == array.dtype
            np.testing.assert_allclose(results[name], array, rtol=0, atol=TOLERANCE, err_msg=name)
        first = first or results
        assert all(np.array_equal(results[name], first[name]) for name in first)
    return opened


def decoder(go: bool = False) -> Any:
    """A greedy decoder: the word with the highest score is the next turn's input; it ends at word 0."""
    nodes = [node("Gather", "table w", "e"), node("Unsqueeze", "e zero", "x"),
             node("LSTM", "x W R B - h c_", "y h1 c1", hidden_size=4), node("Squeeze", "h1 zero", "hs"),
             node("Add", "hs seen", "known"), node("MatMul", "known K", "scores"),
             node("ArgMax", "scores", "w1", axis=1, keepdims=0)]
    if go:
        nodes += [node("Cast", "w1", "as_bool", to=9), node("Cast", "as_bool", "ones", to=6),
                  node("ReduceMax", "ones", "most", keepdims=0), node("Cast", "most", "go", to=9)]
    else:
        nodes.append(node("Identity", "c", "go"))
    inside = body(nodes, {**TURN, "w": ("int64", ("batch",)), "h": (1, "batch", 4), "c_": (1, "batch", 4)},
                  "go w1 h1 c1 w1_ scores".replace("w1_", "again"), {"w1": 7, "again": 7}, zero=np.array([0]))
    inside.node.append(node("Identity", "w1", "again"))
    loop = node("Loop", "n on w0 h0 c0", "w h c words all", name="decode", body=inside)
    tensors = {"on": TRUE, "table": normal(6, 3), "W": normal(1, 16, 3), "R": normal(1, 16, 4), "B": normal(1, 32),
               "K": normal(4, 6) * 3}
    return model([loop], {"w0": ("int64", ("batch",)), "h0": (1, "batch", 4), "c0": (1, "batch", 4),
                          "seen": ("batch", 4), "n": ("int64", ())}, "w h c words all", tensors)


@pytest.mark.parametrize("go", [False, True])
@pytest.mark.parametrize("batch", [1, 3])
def test_a_decoder_that_feeds_its_words_back(go: bool, batch: int, tmp_path: Path) -> None:
    for turns in (1, 7):
        feeds = {"w0": np.arange(batch) % 6, "h0": normal(1, batch, 4), "c0": normal(1, batch, 4),
                 "seen": normal(batch, 4), "n": np.array(turns)}
        opened = same(decoder(go), feeds, tmp_path)
    assert "Loop(" in opened.summary() and opened.memory()["weights"] > 0


def test_a_state_that_grows() -> None:
    """The words so far go from turn to turn, as exported generation loops have them."""
    inside = body([node("ReduceSum", "so_far one", "s", keepdims=1), node("Tanh", "s", "t"),
                   node("Concat", "so_far t", "grown", axis=1), node("Identity", "c", "go")],
                  {**TURN, "so_far": ("batch", "length")}, "go grown", one=np.array([1]))
    source = model([node("Loop", "n on x", "y", name="loop", body=inside), node("Shape", "y", "size")],
                   {"x": ("batch", 2), "n": ("int64", ())}, "y size", {"on": TRUE})
    for turns in (0, 1, 5):
        same(source, {"x": normal(3, 2), "n": np.array(turns)})


def test_a_stream_refuses_a_loop_behind_windows() -> None:
    inside = body([node("Mul", "a s", "p"), node("Add", "p a", "s1")], {"s": ("batch", 2), "a": ("batch", 2)}, "s1 p")
    nodes = [node("Transpose", "x", "turned", perm=[0, 2, 1]), node("Conv", "turned K", "y", kernel_shape=[3],
                                                                    pads=[2, 0]),
             node("Transpose", "y", "steps", perm=[2, 0, 1]),
             node("Scan", "s0 steps", "s all", name="scan", num_scan_inputs=1, body=inside)]
    opened = le.convert(model(nodes, {"x": ("batch", "time", 2), "s0": ("batch", 2)}, "s all", {"K": normal(2, 2, 3)}))
    with pytest.raises(UnsupportedError, match=r"cannot run step by step"):
        opened.stream()


def test_a_scan_of_any_number_of_steps(tmp_path: Path) -> None:
    """Both ways at once, along other axes, with a state that no cell has."""
    inside = body([node("Mul", "a s", "p"), node("Add", "p b", "s1"), node("Sub", "s1 b", "q")],
                  {"s": ("batch",), "a": ("batch",), "b": ("batch",)}, "s1 p q")
    scan = node("Scan", "s0 a b", "s p q", name="scan", num_scan_inputs=2, scan_input_axes=[0, 1],
                scan_input_directions=[0, 1], scan_output_axes=[1, -2], scan_output_directions=[1, 0], body=inside)
    source = model([scan], {"s0": ("batch",), "a": ("time", "batch"), "b": ("batch", "time")}, "s p q")
    for steps in (1, 6):
        opened = same(source, {"s0": normal(3), "a": normal(steps, 3), "b": normal(3, steps)}, tmp_path)
    with pytest.raises(ArgumentError, match=r"input 'b': expected shape \[3, 2\]"):
        opened.predict({"s0": normal(3), "a": normal(2, 3), "b": normal(3, 3)})


def test_a_loop_in_a_loop_in_a_branch() -> None:
    inner = body([node("Mul", "h k", "h1"), node("ReduceSum", "h1", "total", keepdims=0),
                  node("Less", "total big", "go")], {"i_": ("int64", ()), "c_": ("bool", ()), "h": ("batch", 3)},
                 "go h1", k=np.float32(1.5), big=np.float32(4))
    outer = body([node("Loop", "five c g", "g1", name="inner", body=inner), node("Mul", "g1 x", "g2"),
                  node("Identity", "c", "go_on")], {**TURN, "g": ("batch", 3)}, "go_on g2 g1", five=np.array(5))
    then = body([node("Loop", "n on x", "y all", name="outer", body=outer), node("ReduceSum", "all zero", "r",
                                                                                 keepdims=0)],
                {}, "r", zero=np.array([0]))
    other = body([node("Neg", "x", "r_")], {}, "r_")
    source = model([node("If", "yes", "z", name="if", then_branch=then, else_branch=other)],
                   {"x": ("batch", 3), "n": ("int64", ()), "yes": ("bool", ())}, "z", {"on": TRUE})
    for yes in (True, False):
        same(source, {"x": normal(2, 3), "n": np.array(3), "yes": np.array(yes)})


def test_a_branch_in_a_loop_on_what_the_turn_makes() -> None:
    then, other = body([node("Mul", "h x", "r")], {}, "r"), body([node("Sub", "h x", "r_")], {}, "r_")
    inside = body([node("ReduceSum", "h", "total", keepdims=0), node("Less", "total zero", "low"),
                   node("If", "low", "h1", name="if", then_branch=then, else_branch=other),
                   node("Identity", "c", "go")],
                  {**TURN, "h": ("batch", 3)}, "go h1 total", zero=np.float32(0))
    source = model([node("Loop", "n - x", "y totals", name="loop", body=inside)],
                   {"x": ("batch", 3), "n": ("int64", ())}, "y totals")
    for _ in range(3):
        same(source, {"x": normal(2, 3), "n": np.array(6)})


def test_turns_and_conditions_of_one_axis() -> None:
    """Some exporters declare them [1]."""
    inside = body([node("Cast", "i", "f", to=1), node("Add", "h f", "h1"), node("Identity", "c", "go")],
                  {"i": ("int64", (1,)), "c": ("bool", (1,)), "h": ("batch", 3)}, "go h1 f")
    source = model([node("Loop", "n on x", "y numbers", name="loop", body=inside)],
                   {"x": ("batch", 3), "n": ("int64", (1,)), "on": ("bool", (1,))}, "y numbers")
    same(source, {"x": normal(2, 3), "n": np.array([4]), "on": np.array([True])})
    same(source, {"x": normal(2, 3), "n": np.array([4]), "on": np.array([False])})


def test_a_list_that_is_appended_to() -> None:
    """What no turn reads of a sequence of tensors is what all turns give."""
    inside = graph([node("ReduceSum", "h", "total", keepdims=0), node("Tanh", "total", "small"),
                    node("Sub", "h small", "h1"), node("SequenceInsert", "seen h1", "seen1"),
                    node("Less", "total big", "go")],
                   {**TURN, "h": ("batch", 3)}, "go h1 seen1", {"big": np.float32(3)})
    inside.input.append(onnx.helper.make_tensor_sequence_value_info("seen", 1, None))
    inside.output[0].type.tensor_type.elem_type = onnx.TensorProto.BOOL
    inside.output[1].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    inside.output[2].CopyFrom(onnx.helper.make_tensor_sequence_value_info("seen1", 1, None))
    source = model([node("SequenceEmpty", "", "none", dtype=1), node("Loop", "n on x none", "y all", name="loop",
                                                                     body=inside),
                    node("ConcatFromSequence", "all", "stacked", axis=0, new_axis=1)],
                   {"x": ("batch", 3), "n": ("int64", ())}, "y stacked", {"on": TRUE})
    same(source, {"x": normal(2, 3), "n": np.array(4)})


def test_what_the_user_is_told() -> None:
    opened = le.convert(decoder())
    assert "turn by turn" in " ".join(le.notes.notes(opened.graph.metadata))
    feeds = {"w0": np.arange(5), "h0": normal(1, 5, 4), "c0": normal(1, 5, 4), "seen": normal(5, 4), "n": np.array(2)}
    whole, parts = opened.predict(feeds), opened.predict(feeds, batch_size=2)
    assert all(np.array_equal(whole[name], parts[name]) for name in whole)
    with pytest.raises(UnsupportedError, match=r"batch_size.*'decode' \(Loop\)"):     # it ends for all rows at once
        le.convert(decoder(go=True)).predict(feeds, batch_size=2)


def test_limits_count_the_turns() -> None:
    inside = body([node("Add", "h h", "h1"), node("Identity", "c", "go")], {**TURN, "h": ("batch", 3)}, "go h1 h1_")
    inside.node.append(node("Identity", "h1", "h1_"))
    source = model([node("Loop", "n on x", "y all", name="loop", body=inside)],
                   {"x": ("batch", 3), "n": ("int64", ())}, "y all", {"on": TRUE})
    feeds = {"x": normal(2, 3), "n": np.array(10**15)}
    for limits in (le.Limits(work=10**8), le.Limits(memory=10**4)):
        with pytest.raises(LimitError, match=r"node 'loop' \(Loop\) brings the (work|memory) of this call to"):
            le.convert(source, limits=limits).predict(feeds)
    assert le.convert(source, limits=le.Limits(memory=10**6)).predict({**feeds, "n": np.array(4)})["all"].shape[0] == 4


def test_results_of_other_sizes_each() -> None:
    inside = body([node("Concat", "h x", "h1", axis=0), node("Identity", "c", "go"), node("Relu", "h1", "r")],
                  {**TURN, "h": ("rows", 3)}, "go h1 r")
    source = model([node("Loop", "n on x", "y all", name="loop", body=inside)],
                   {"x": ("batch", 3), "n": ("int64", ())}, "y all", {"on": TRUE})
    opened = le.convert(source)
    assert opened.predict({"x": normal(2, 3), "n": np.array(1)})["all"].shape == (1, 4, 3)
    with pytest.raises(ArgumentError, match=r"turns make .* of other sizes each: \[4, 3\], \[6, 3\]"):
        opened.predict({"x": normal(2, 3), "n": np.array(2)})


def loop(**changes: Any) -> Graph:
    """A graph of one loop that adds x to itself."""
    made = imported(model([node("Loop", "n on x", "y", name="loop", body=body(
        [node("Add", "h h", "h1"), node("Identity", "c", "go")], {**TURN, "h": ("batch", 3)}, "go h1"))],
        {"x": ("batch", 3), "n": ("int64", ())}, "y", {"on": TRUE}))
    from dataclasses import replace
    nodes = tuple(replace(one, **changes) if isinstance(one, Loop) else one for one in made.nodes)
    return replace(made, nodes=nodes)


@pytest.mark.parametrize(("changes", "message"), [
    ({"states": 9}, "states must be from 0"), ({"states": 0}, "outputs must be 0 states"),
    ({"sequence_axes": (0,)}, "backwards must be 0 or 1 for each"),
    ({"result_axes": (-1,), "turned": (0,)}, "result_axes"),
    ({"constants": {7: np.zeros(1)}}, "constants must be at positions"),
    ({"body": "none"}, "body must be a Graph"),
])
def test_loops_that_do_not_fit(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        le.Model(loop(**changes))


def test_bodies_that_do_not_fit() -> None:
    from dataclasses import replace
    good = next(one for one in loop().nodes if isinstance(one, Loop))
    state = good.body.inputs[2]
    for wrong, message in ((Value(state.name, ("batch", 4)), "input 2"), (Value(state.name, (3,)), "input 2"),
                           (Value(state.name, ("batch", 3), "float64"), "input 2")):
        inputs = (*good.body.inputs[:2], wrong, *good.body.inputs[3:])
        with pytest.raises(GraphError, match=message):
            le.Model(loop(body=replace(good.body, inputs=inputs)))
    with pytest.raises(GraphError, match=r"in the body of node 'loop' \(Loop\): output 'none'"):
        le.Model(loop(body=replace(good.body, outputs=(good.body.outputs[0], "none"))))
    nested = loop()
    for _ in range(MOST_NESTED):
        inner = next(one for one in nested.nodes if isinstance(one, Loop))
        most = Value("turn", (), "int64")
        whole = Graph((most, Value("goes", (), "bool"), Value("h", ("batch", 3))),
                      (replace(inner, inputs=("turn", "", "h"), constants={}),), ("goes", inner.outputs[0]))
        nested = loop(body=whole)
    with pytest.raises(GraphError, match=f"more than {MOST_NESTED} deep"):
        le.Model(nested)


@pytest.mark.parametrize("seed", range(30))
def test_random_loops(seed: int, tmp_path: Path) -> None:
    """Each for several numbers of turns, none among them, twice, and saved; the reference beside."""
    made = Loops(seed)
    source = made.model()
    opened = le.convert(source)
    opened.save(tmp_path / "m.lstm")
    loaded = le.load(tmp_path / "m.lstm")
    for ask in (opened.stream, lambda: opened.stream(batch=2), lambda: le.quantize(opened, "int8"), opened.summary,
                lambda: opened.predict(made.feeds(2), lengths=[1])):
        with contextlib.suppress(LstmEngineError):          # an error of our own, or none
            ask()
    for turns in (1, 3, 3, 0, 6):
        feeds = made.feeds(turns)
        try:
            wanted = runtime_outputs(source, feeds, as_written=True)
        except Exception as error:          # ONNX Runtime's errors have no type of their own
            assert "Subgraph must have the shape set" in str(error)     # of a Scan in a Scan
            return
        results = opened.predict(feeds)
        results = results if isinstance(results, dict) else {next(iter(wanted)): results}
        again = loaded.predict(feeds)
        again = again if isinstance(again, dict) else {next(iter(wanted)): again}
        right = run(opened.graph, feeds)
        try:
            parts = opened.predict(feeds, batch_size=1)
        except UnsupportedError:                            # what a turn makes of all rows says whether there are more
            parts = results
        parts = parts if isinstance(parts, dict) else {next(iter(wanted)): parts}
        for name, array in wanted.items():
            assert np.array_equal(results[name], again[name])
            # Rows that run alone are multiplied by other kernels of NumPy's.
            np.testing.assert_allclose(parts[name], results[name], rtol=1e-4, atol=2e-5)
            assert array.size == results[name].size == right[name].size
            if array.size:
                # Six turns of products of a few terms near 1, which states feed back.
                np.testing.assert_allclose(results[name], array, rtol=1e-4, atol=2e-5)
                np.testing.assert_allclose(right[name], array, rtol=1e-4, atol=2e-5)


def test_verify_and_inspect_know_loops(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from lstm_engine.cli.main import main
    onnx.save(decoder(), tmp_path / "m.onnx")
    assert main(["verify", str(tmp_path / "m.onnx")]) == 0
    assert main(["inspect", str(tmp_path / "m.onnx")]) == 0
    printed = capsys.readouterr().out
    assert "Loop(" in printed and "turn by turn" in printed
