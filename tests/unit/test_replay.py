"""Plans replayed: the same bits as step by step, and step by step where a run cannot be laid out beforehand."""

from __future__ import annotations

import sys
import threading
from typing import Any

import numpy as np
import pytest

import lstm_engine as le
from lstm_engine.running import bound
from lstm_engine.running.bound import Runner
from lstm_engine.running.execute import execute

onnx = pytest.importorskip("onnx")
helper = onnx.helper


def model_of(nodes: list, inputs: dict[str, tuple], outputs: list[str], types: dict[str, int] | None = None,
             **weights: np.ndarray) -> le.Model:
    floats = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info(n, (types or {}).get(n, floats), s) for n, s in inputs.items()],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()])
    return le.convert(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10))


def step_by_step(model: le.Model, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the plan gives without a replay."""
    with np.errstate(all="ignore"):
        return execute(model._runner, dict(arrays), 1, lengths={}, state_in={}, state_out={}, threads=1, split="rows")


def answers(model: le.Model, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    made = model.predict(arrays if len(arrays) > 1 else next(iter(arrays.values())), threads=1)
    return made if isinstance(made, dict) else {next(iter(model.outputs)): made}


def recordings(model: le.Model) -> int:
    return model._runner.recordings()


def floats(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype("f4")


def node(kind: str, inputs: str, outputs: str, **attributes: Any) -> Any:
    return helper.make_node(kind, inputs.replace("-", " ").split(" "), outputs.split(), **attributes)


# (nodes that make "m" of "t", which is x [2, 6, 4, 5] with its axes moved; weights)
CHAINS: dict[str, tuple[list, dict[str, np.ndarray]]] = {
    "relu": ([node("Relu", "t", "m")], {}),
    "prelu": ([node("PRelu", "t s", "m")], {"s": floats(6, 1, 1)}),
    "prelu of one slope": ([node("PRelu", "t s", "m")], {"s": np.float32(0.25).reshape(1)}),
    "sigmoid": ([node("Sigmoid", "t", "m")], {}),
    "clip": ([node("Clip", "t a b", "m")], {"a": np.float32(-0.5), "b": np.float32(0.5)}),
    "clip above": ([helper.make_node("Clip", ["t", "", "b"], ["m"])], {"b": np.float32(0.5)}),
    "division": ([node("Exp", "t", "e"), node("Div", "t e", "m")], {}),
    "square": ([node("Pow", "t two", "m")], {"two": np.float32(2)}),
    "cube": ([node("Pow", "t three", "m")], {"three": np.float32(3)}),
    "where": ([node("Less", "t zero", "c"), node("Where", "c zero t", "m")], {"zero": np.float32(0)}),
    "cast": ([node("Cast", "t", "w", to=11), node("Cast", "w", "m", to=1)], {}),
    "batch normalization": ([node("BatchNormalization", "t s b mean var", "m")],
                            {"s": floats(6), "b": floats(6), "mean": floats(6), "var": np.abs(floats(6)) + 1}),
    "mean": ([node("ReduceMean", "t axes", "r"), node("Sub", "t r", "m")], {"axes": np.array([1, 3])}),
    "mean of all": ([node("ReduceMean", "t", "r"), node("Sub", "t r", "m")], {}),
    "sum": ([node("ReduceSum", "t axes", "r"), node("Add", "t r", "m")], {"axes": np.array([2])}),
    "concat": ([node("Neg", "t", "n"), node("Concat", "t n t", "m", axis=2)], {}),
    "reshape": ([node("Reshape", "t shape", "m")], {"shape": np.array([0, -1, 10])}),
    "shape": ([node("Shape", "t", "s"), node("Reshape", "t s", "m")], {}),
    "pad": ([node("Pad", "t pads fill", "m")], {"pads": np.array([0, 0, 1, 2, 0, 0, 0, 3]), "fill": np.float32(7)}),
    "reflect": ([node("Pad", "t pads", "m", mode="reflect")], {"pads": np.array([0, 0, 0, 2, 0, 0, 0, 3])}),
    "reflect twice": ([node("Pad", "t pads", "m", mode="reflect")], {"pads": np.array([0, 0, 1, 2, 0, 0, 1, 3])}),
    "slice, split": ([node("Slice", "t a b axes steps", "s"), node("Split", "s", "p q", axis=1, num_outputs=2),
                      node("Add", "p q", "m")],
                     {"a": np.array([4]), "b": np.array([0]), "axes": np.array([3]), "steps": np.array([-2])}),
    "gather": ([node("Gather", "t one", "g", axis=2), node("Gather", "t some", "h", axis=2),
                node("Unsqueeze", "g axes", "u"), node("Concat", "u h", "m", axis=2)],
               {"one": np.array(1), "some": np.array([2, 0, 0]), "axes": np.array([2])}),
    "expand": ([node("Slice", "t zero one axes", "s"), node("Expand", "s shape", "e"), node("Mul", "e t", "m")],
               {"zero": np.array([0]), "one": np.array([1]), "axes": np.array([3]), "shape": np.array([2, 6, 4, 5])}),
    "scatter": ([node("ScatterND", "t at u", "m")],
                {"at": np.array([[[0, 1], [0, 2]]]), "u": floats(1, 2, 4, 5)}),
    "softmax": ([node("Softmax", "t", "m", axis=1)], {}),
    "top": ([node("TopK", "t k", "v i"), node("Neg", "v", "m")], {"k": np.array([2])}),
    "matmul": ([node("MatMul", "t w", "m")], {"w": floats(5, 3)}),
    "gemm": ([node("Flatten", "t", "f"), node("Gemm", "f w b", "m")], {"w": floats(120, 7), "b": floats(7)}),
    "convolution": ([node("Conv", "t w b", "m", pads=[1, 0, 1, 2])], {"w": floats(8, 6, 3, 2), "b": floats(8)}),
    "wide windows": ([node("Conv", "t w", "m", strides=[1, 2])], {"w": floats(8, 6, 4, 2)}),
    "convolution of 1": ([node("Conv", "t w b", "m")], {"w": floats(8, 6, 1, 1), "b": floats(8)}),
    "grouped": ([node("Conv", "t w b", "m", group=3, pads=[1, 1, 1, 1])], {"w": floats(9, 2, 3, 3), "b": floats(9)}),
    "grouped, of 1": ([node("Conv", "t w", "m", group=2)], {"w": floats(4, 3, 1, 1)}),
    "transposed": ([node("ConvTranspose", "t w b", "m", strides=[2, 1])], {"w": floats(6, 4, 3, 2), "b": floats(4)}),
    "transposed, no bias": ([node("ConvTranspose", "t w", "m", strides=[2, 2])], {"w": floats(6, 4, 3, 3)}),
    "transposed by ones": ([node("ConvTranspose", "t w b", "m", pads=[1, 0, 1, 1])],
                           {"w": floats(6, 4, 3, 3), "b": floats(4)}),
    "transposed by ones, groups": ([node("ConvTranspose", "t w", "m", group=2)], {"w": floats(6, 4, 1, 1)}),
}


@pytest.mark.parametrize("moved", [(0, 1, 2, 3), (0, 3, 1, 2), (3, 1, 2, 0)], ids=str)
@pytest.mark.parametrize("chain", CHAINS)
def test_same_bits(chain: str, moved: tuple[int, ...]) -> None:
    nodes, weights = CHAINS[chain]
    shape = tuple((2, 6, 4, 5)[moved.index(axis)] for axis in range(4))
    model = model_of([node("Transpose", "x", "t", perm=moved), *nodes, node("Tanh", "m", "y")],
                     {"x": shape}, ["y", "m"], **weights)
    for seed in range(5):
        x = {"x": floats(*shape, seed=seed)}
        made, wanted = answers(model, x), step_by_step(model, x)
        for name in wanted:
            np.testing.assert_array_equal(made[name], wanted[name], err_msg=name)
            assert made[name].dtype == wanted[name].dtype
    assert recordings(model) == 1


DYNAMIC: dict[str, tuple[list, dict[str, tuple], dict[str, np.ndarray]]] = {
    "weight moved": ([node("Transpose", "w", "v", perm=[1, 0, 2]), node("Conv", "x v", "y")],
                     {"x": (2, 3, 7), "w": (3, 4, 2)}, {}),
    "weight sliced": ([node("Slice", "w one two axes", "v"), node("Conv", "x v", "y")],
                      {"x": (2, 3, 7), "w": (4, 3, 4)},
                      {"one": np.array([1]), "two": np.array([3]), "axes": np.array([2])}),
    "grouped weight moved": ([node("Transpose", "w", "v", perm=[1, 0, 2]), node("Conv", "x v", "y", group=2)],
                             {"x": (2, 6, 7), "w": (3, 4, 2)}, {}),
    "transposed weight moved": ([node("Transpose", "w", "v", perm=[1, 0, 2]),
                                 node("ConvTranspose", "x v b", "y", strides=[2])],
                                {"x": (2, 3, 7), "w": (4, 3, 2), "b": (4,)}, {}),
    "slope moved": ([node("Transpose", "s", "r"), node("PRelu", "x r", "y")], {"x": (4, 5), "s": (5, 4)}, {}),
    "rows past the core's": ([node("Transpose", "x", "t", perm=[0, 2, 1]), node("Conv", "t w", "y")],
                             {"x": (2, 100, 33)}, {"w": floats(40, 33, 1)}),
    "sums of a broadcast": ([node("Expand", "x shape", "w"), node("ReduceMean", "w axes", "y", keepdims=0)],
                            {"x": (1, 1, 60)}, {"shape": np.array([2, 40, 60]), "axes": np.array([0, 1])}),
}


@pytest.mark.parametrize("case", DYNAMIC)
def test_what_changes_is_read_anew_and_layouts_stay(case: str) -> None:
    nodes, shapes, weights = DYNAMIC[case]
    model = model_of(nodes, shapes, ["y"], **weights)
    for seed in range(4):
        arrays = {name: floats(*shape, seed=seed + i) for i, (name, shape) in enumerate(shapes.items())}
        np.testing.assert_array_equal(answers(model, arrays)["y"], step_by_step(model, arrays)["y"])
    assert recordings(model) == 1


def test_what_shapes_say_keeps_its_layout() -> None:
    model = model_of([node("Shape", "x", "s"), node("ConstantOfShape", "s", "o"), node("Cos", "o", "c"),
                      node("Mul", "c k", "d"), node("Transpose", "d", "e", perm=[1, 0]), node("MatMul", "x e", "y")],
                     {"x": ("n", 70)}, ["y"], k=floats(1, 70))
    for seed in range(4):
        x = {"x": floats(40, 70, seed=seed)}
        np.testing.assert_array_equal(answers(model, x)["y"], step_by_step(model, x)["y"])
    assert recordings(model) == 1


@pytest.mark.parametrize("shape", ["full", "from an input"])
def test_a_broadcast_that_values_decide_keeps_its_layout(shape: str) -> None:
    model = model_of([node("Expand", "x n", "w"), node("ReduceMean", "w axes", "y", keepdims=0)],
                     {"x": (1, 1, 60), "n": (3,)}, ["y"], types={"n": onnx.TensorProto.INT64}, axes=np.array([0, 1]))
    for seed in range(4):
        rows = 40 if shape == "full" else 40 + seed
        arrays = {"x": floats(1, 1, 60, seed=seed), "n": np.array([2, rows, 60])}
        np.testing.assert_array_equal(answers(model, arrays)["y"], step_by_step(model, arrays)["y"])


def test_scratch_counts() -> None:
    """Windows as columns are 16 times the input: no value of the plan, but memory of the recording."""
    model = model_of([node("Conv", "x w", "c", pads=[0, 15]), node("Sin", "c", "y")], {"x": (1, 2, "n")}, ["y"],
                     w=floats(3, 2, 16))
    for _ in range(3):
        model.predict(floats(1, 2, 4000))
    assert recordings(model) == 1 and model._runner.recorded_bytes() > 4 * 16 * 2 * 4000
    for _ in range(4):
        model.predict(floats(1, 2, 40000))          # 5 MB of columns
    assert recordings(model) == 1


def test_shapes_that_cannot_be_recorded_leave_nothing_behind() -> None:
    model = model_of([node("NonZero", "x", "y")], {"x": ("b", "n")}, ["y"])
    for n in range(1, 200):
        for value in (0, 1, 0):
            model.predict(np.full((1, n), value, "f4"))
    runner = model._runner
    assert recordings(model) == 0 and len(runner._bound) <= Runner.MOST_BOUND
    assert not any(found.idle for found in runner._bound.values())


def lstm_chain() -> le.Model:
    """x [batch, time, 4] -> doubled -> LSTM 5 -> negated: a segment between host operators."""
    return model_of([node("Add", "x x", "d"), node("LSTM", "d w r", "l"), node("Squeeze", "l axes", "s"),
                     node("Neg", "s", "y")],
                    {"x": ("time", "batch", 4)}, ["y"], w=floats(1, 20, 4), r=floats(1, 20, 5), axes=np.array([1]))


def test_a_segment_between_operators() -> None:
    model = lstm_chain()
    for steps in (3, 3, 7, 3, 7, 7, 1):
        x = {"x": floats(steps, 2, 4, seed=steps)}
        np.testing.assert_array_equal(answers(model, x)["y"], step_by_step(model, x)["y"])
    assert recordings(model) == 2


def test_one_run_of_a_shape_records_nothing() -> None:
    model = lstm_chain()
    for steps in range(1, 9):
        model.predict(floats(steps, 2, 4))
    assert recordings(model) == 0
    before = model.memory()["workspace"]
    model.predict(floats(8, 2, 4))
    assert recordings(model) == 1 and model.memory()["workspace"] > before


def test_many_shapes_keep_a_few_recordings() -> None:
    model = lstm_chain()
    for steps in [*range(1, 20), *range(1, 20)]:
        model.predict(floats(steps, 2, 4))
    assert recordings(model) == Runner.MOST_RECORDINGS


def test_more_shapes_than_recordings_are_not_recorded_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    model, made = lstm_chain(), []
    original = bound.record
    monkeypatch.setattr(bound, "record", lambda *args: made.append(original(*args)) or made[-1])
    for _ in range(6):
        for steps in range(1, 20):
            x = floats(steps, 2, 4)
            np.testing.assert_array_equal(model.predict(x), step_by_step(model, {"x": x})["y"])
    assert len(made) == 19


def test_large_values_are_not_recorded() -> None:
    model = model_of([node("Neg", "x", "y")], {"x": ("n", 1 << 20)}, ["y"])
    x = floats(3, 1 << 20)
    for _ in range(3):
        np.testing.assert_array_equal(model.predict(x), -x)
    assert recordings(model) == 0


def test_answers_are_the_callers() -> None:
    model = model_of([node("Add", "x x", "y"), node("Identity", "x", "z")], {"x": (3,)}, ["y", "z"])
    x = floats(3)
    kept = [model.predict(x) for _ in range(4)]
    for made in kept:
        assert not np.may_share_memory(made["z"], x)
        made["y"][...] = made["z"][...] = 0
    np.testing.assert_array_equal(model.predict(x)["y"], x + x)
    first = model.predict(x)["y"]
    model.predict(x + 1)
    np.testing.assert_array_equal(first, x + x)


def test_a_shape_that_values_decide_runs_step_by_step() -> None:
    model = model_of([node("NonZero", "x", "at"), node("Transpose", "at", "y")], {"x": (5,)}, ["y"])
    for values in ([1, 0, 0, 2, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]):
        x = np.array(values, "f4")
        np.testing.assert_array_equal(model.predict(x), np.flatnonzero(x)[:, None])


def test_a_place_that_values_decide_is_looked_up_each_time() -> None:
    model = model_of([node("Slice", "x a b", "s"), node("Neg", "s", "y")], {"x": (6,), "a": (1,), "b": (1,)}, ["y"],
                     types={"a": onnx.TensorProto.INT64, "b": onnx.TensorProto.INT64})
    x = floats(6)
    for a in (0, 1, 2, 3, 2, 1):
        made = model.predict({"x": x, "a": np.array([a]), "b": np.array([a + 3])})
        np.testing.assert_array_equal(made, -x[a:a + 3])


def test_what_does_not_fit_is_refused_as_before_and_harms_nothing() -> None:
    model = model_of([node("Gather", "t ids", "g"), node("Neg", "g", "y")], {"t": (4, 2), "ids": (3,)}, ["y"],
                     types={"ids": onnx.TensorProto.INT64})
    table = floats(4, 2)
    for ids in ([0, 1, 2], [3, 3, 3], [1, 9, 0], [2, 1, 0], [0, 0, 3], [1, -9, 0], [3, 2, 1]):
        feeds = {"t": table, "ids": np.array(ids)}
        if 9 in ids or -9 in ids:
            with pytest.raises(le.ArgumentError, match="Gather"):
                model.predict(feeds)
        else:
            np.testing.assert_array_equal(model.predict(feeds), -table[ids])


def test_not_contiguous_inputs() -> None:
    model = model_of([node("ReduceMean", "x", "r", keepdims=0), node("Neg", "r", "y")], {"x": (64, 33)}, ["y"])
    x = floats(33, 64)
    wanted = step_by_step(model, {"x": np.ascontiguousarray(x.T)})["y"]
    for _ in range(4):
        assert model.predict(x.T) == wanted


def test_threads_with_shapes_of_their_own() -> None:
    model = model_of([node("Add", "x x", "d"), node("Sin", "d", "y")], {"x": (1, "n")}, ["y"])
    failures: list[BaseException] = []

    def call(number: int) -> None:
        try:
            for i in range(1500):
                x = floats(1, (i * (number + 1)) % 13 + 1, seed=i)
                np.testing.assert_array_equal(model.predict(x, threads=1), np.sin(x + x))
        except BaseException as error:      # noqa: BLE001  (whatever it is, the test shows it)
            failures.append(error)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=call, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert not failures


def test_threads_at_once() -> None:
    model = lstm_chain()
    inputs = [floats(4, 2, 4, seed=seed) for seed in range(8)]
    wanted = [step_by_step(model, {"x": x})["y"] for x in inputs]
    wrong: list[int] = []

    def call(number: int) -> None:
        for _ in range(200):
            if not np.array_equal(model.predict(inputs[number], threads=1), wanted[number]):
                wrong.append(number)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_explicit_states_of_a_stream() -> None:
    model = model_of([node("Add", "x h", "g"), node("Tanh", "g", "next"), node("Neg", "next", "y")],
                     {"x": (1, 4), "h": (1, 4)}, ["y", "next"])
    stream, h = model.stream(states={"h": "next"}), np.zeros((1, 4), "f4")
    for frame in floats(20, 1, 4):
        made = stream.step(frame)
        wanted = step_by_step(model, {"x": frame, "h": h})
        h = wanted["next"]
        np.testing.assert_array_equal(made, wanted["y"])
        np.testing.assert_array_equal(stream.state["h"], h)
    assert recordings(model) == 1
