"""Values keep the dtypes that a graph declares: whole ONNX models against ONNX Runtime, Keras models against Keras."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstm_engine as le

CLOCK = 1.7e9 + np.array([0.5, 2.5, 4.5]).reshape(3, 1, 1)


def onnx_model(nodes: list, x: tuple[int, list], outputs: dict[str, int], weights: dict[str, np.ndarray]) -> Any:
    from onnx import helper, numpy_helper

    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("X", *x)],
                              [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs.items()],
                              [numpy_helper.from_array(array, name) for name, array in weights.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def clock_model(*between: tuple[str, list[str], dict]) -> Any:
    """X double [time, batch, 1], less 1.7e9, what stands `between`, as float32 into an RNN."""
    from onnx import helper

    nodes = [helper.make_node("Sub", ["X", "start"], ["since"])]
    last = "since"
    for number, (op, extra, attributes) in enumerate(between):
        nodes.append(helper.make_node(op, [last, *extra], [f"v{number}"], **attributes))
        last = f"v{number}"
    nodes += [helper.make_node("Cast", [last], ["small"], to=1),
              helper.make_node("RNN", ["small", "W", "R"], ["Y", "Yh"], hidden_size=1)]
    weights = {"start": np.array(1.7e9), "W": np.ones((1, 1, 1), np.float32), "R": np.full((1, 1, 1), 0.5, np.float32),
               "half": np.array([[0.5]]), "kernel": np.array([[[1 / 3]]]), "lengths": np.array([1], np.int64)}
    return onnx_model(nodes, (11, ["time", "batch", 1]), {"Y": 1, "Yh": 1, "since": 11}, weights)


def expected(model: Any, x: np.ndarray) -> dict[str, np.ndarray]:
    """By ONNX Runtime; by onnx.reference where it has no kernel for float64 (Conv)."""
    runtime = pytest.importorskip("onnxruntime")
    try:
        session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    except Exception as error:
        if "NOT_IMPLEMENTED" not in str(error):
            raise
        from onnx.reference import ReferenceEvaluator

        return dict(zip([value.name for value in model.graph.output], ReferenceEvaluator(model).run(None, {"X": x})))
    return dict(zip([value.name for value in session.get_outputs()], session.run(None, {"X": x})))


def same(made: Any, wanted: dict[str, np.ndarray]) -> None:
    made = made if isinstance(made, dict) else {next(iter(wanted)): made}
    for name, array in wanted.items():
        assert made[name].dtype == array.dtype, name
        # Both sum a handful of products: some roundings of the dtype that comes out.
        np.testing.assert_allclose(made[name], array, 8 * np.finfo(array.dtype).eps, 1e-7 if array.dtype == np.float32
                                   else 1e-15, err_msg=name)


BETWEEN = {"nothing": (), "dense": (("MatMul", ["half"], {}),), "tanh": (("Tanh", [], {}),),
           "conv": (("Conv", ["kernel"], {}),),
           "moved": (("Transpose", [], {"perm": [0, 2, 1]}), ("Mul", ["half"], {}))}


@pytest.mark.parametrize("between", BETWEEN)
@pytest.mark.parametrize("dtype", [None, "float32"])
def test_a_clock_in_float64(between: str, dtype: str | None, tmp_path: Path) -> None:
    """In every way to run; a Dense, activation or convolution before the Cast is computed in float64."""
    pytest.importorskip("onnx")
    proto = clock_model(*BETWEEN[between])
    wanted = expected(proto, CLOCK)
    model = le.convert(proto, dtype=dtype)
    for _ in range(3):                                                # the third is a recorded run
        same(model.predict(CLOCK), wanted)
    if between != "moved":                                            # whose batch the importer does not know
        same(model.predict(CLOCK, batch_size=1), wanted)
    out = {name: np.empty_like(array) for name, array in wanted.items()}
    model.predict(CLOCK, out=out)
    same(out, wanted)
    model.save(tmp_path / "m.lstm")
    same(le.load(tmp_path / "m.lstm").predict(CLOCK), wanted)
    same(pickle.loads(pickle.dumps(model)).predict(CLOCK), wanted)
    wide = le.convert(proto, dtype="float64").predict(CLOCK)
    np.testing.assert_allclose(wide["Y"], wanted["Y"], 1e-6)
    assert all(array.dtype == np.float64 for array in wide.values())


def test_the_clock_of_a_stream_and_of_lists() -> None:
    """Batch first by layout 1, so that a step of a stream is a row."""
    helper = pytest.importorskip("onnx").helper
    nodes = [helper.make_node("Sub", ["X", "start"], ["since"]), helper.make_node("Cast", ["since"], ["small"], to=1),
             helper.make_node("Transpose", ["small"], ["first"], perm=[1, 0, 2]),
             helper.make_node("RNN", ["first", "W", "R"], ["Yt"], hidden_size=1),
             helper.make_node("Squeeze", ["Yt", "one"], ["Ys"]),
             helper.make_node("Transpose", ["Ys"], ["Y"], perm=[1, 0, 2])]
    weights = {"start": np.array(1.7e9), "W": np.ones((1, 1, 1), np.float32), "R": np.full((1, 1, 1), 0.5, np.float32),
               "one": np.array([1])}
    proto = onnx_model(nodes, (11, ["batch", "time", 1]), {"Y": 1}, weights)
    x = CLOCK.swapaxes(0, 1)
    wanted = expected(proto, x)
    model = le.convert(proto)
    same(model.predict([x[0]])[0], {"Y": wanted["Y"][0]})
    same(model.predict(x, lengths=[3]), wanted)
    same(model.predict(x, nan="mask"), wanted)
    stream = model.stream()
    same(np.stack([stream.step(x[:, t]) for t in range(3)], axis=1), wanted)
    assert model.stream().run(x[:, :0]).dtype == np.float32


def test_outputs_of_float64_stay_so() -> None:
    """Also in a model whose layers are float32, and float32 outputs in one whose layers are of both kinds."""
    helper = pytest.importorskip("onnx").helper
    nodes = [helper.make_node("MatMul", ["X", "wide"], ["a"]), helper.make_node("Cast", ["a"], ["b"], to=1),
             helper.make_node("MatMul", ["b", "narrow"], ["c"]), helper.make_node("Tanh", ["c"], ["Y"]),
             helper.make_node("Identity", ["a"], ["A"])]
    proto = onnx_model(nodes, (11, ["batch", 2]), {"Y": 1, "A": 11},
                       {"wide": np.array([[1.0, 1 / 3], [-1.0, 0.1]]), "narrow": np.eye(2, dtype=np.float32)})
    x = np.array([[1.7e9 + 0.25, 1.7e9], [3.5, 1.25]])
    model = le.convert(proto)
    for _ in range(3):
        same(model.predict(x), expected(proto, x))


@pytest.mark.parametrize(("kind", "values"), [(7, [2**40, -3, 2**62]), (6, [2**30, -3, 5]), (2, [255, 0, 7]),
                                              (9, [True, False, True])])
def test_whole_numbers_in_the_graph(kind: int, values: list) -> None:
    """Integer arithmetic in the declared type, then a Cast into the layers."""
    helper = pytest.importorskip("onnx").helper
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    integer = np.int64 if kind == 9 else dtype
    nodes = [helper.make_node("Cast", ["X"], ["whole"], to=helper.np_dtype_to_tensor_dtype(np.dtype(integer))),
             helper.make_node("Div", ["whole", "three"], ["third"]), helper.make_node("Cast", ["third"], ["y"], to=1),
             helper.make_node("RNN", ["y", "W", "R"], ["Y"], hidden_size=1)]
    small = np.full((1, 1, 1), 1e-3, np.float32)
    proto = onnx_model(nodes, (kind, ["time", "batch", 1]), {"Y": 1, "third": helper.np_dtype_to_tensor_dtype(
        np.dtype(integer))}, {"three": np.array(3, integer), "W": small, "R": small})
    x = np.array(values, dtype).reshape(3, 1, 1)
    model = le.convert(proto)
    for _ in range(3):
        made, wanted = model.predict(x), expected(proto, x)
        np.testing.assert_array_equal(made["third"], wanted["third"])
        np.testing.assert_allclose(made["Y"], wanted["Y"], 1e-6, 1e-7)     # ONNX Runtime's tanh near 0


@pytest.mark.parametrize("op_type", ["Sub", "Mul", "Less"])
def test_float32_of_a_float64_model_keeps_the_digits_of_its_inputs(op_type: str) -> None:
    """Layers are float32 as asked for; what stands before them is as the graph has it."""
    helper = pytest.importorskip("onnx").helper
    nodes = [helper.make_node(op_type, ["X", "start"], ["v"]), helper.make_node("Cast", ["v"], ["d"], to=11),
             helper.make_node("RNN", ["d", "W", "R"], ["Y"], hidden_size=1)]
    proto = onnx_model(nodes, (11, ["time", "batch", 1]), {"Y": 11}, {
        "start": np.array(1.7e9 + (3 if op_type == "Less" else 0)), "W": np.ones((1, 1, 1)), "R": np.ones((1, 1, 1))})
    wanted = expected(proto, CLOCK)["Y"]
    np.testing.assert_allclose(le.convert(proto, dtype="float32").predict(CLOCK), wanted, 1e-6)


def test_keras_inputs_and_policies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keras casts at each layer to what the layer computes in, and nowhere else."""
    keras = pytest.importorskip("keras")
    from keras import layers, ops

    def recurrent(x: Any) -> Any:
        return layers.SimpleRNN(1, kernel_initializer="ones", recurrent_initializer="ones", return_sequences=True)(x)

    def inner(dtype: str) -> Any:
        x = keras.Input((3, 1), dtype=dtype)
        return keras.Model(x, x - 1.7e9)

    forms = {"operation": lambda x: recurrent(x - 1.7e9),
             "cast": lambda x: ops.cast(x - 1.7e9, "float32"),
             "a layer in float64": lambda x: recurrent(layers.Activation("tanh", dtype="float64")(x - 1.7e9)),
             "a layer in float32 rounds": lambda x: layers.Identity()(x) - 1.7e9,
             "a model of float64": lambda x: recurrent(inner("float64")(x)),
             "a model of float32": lambda x: recurrent(inner("float32")(x)),
             "both in one sum": lambda x: (x - 1.7e9) + recurrent(x - 1.7e9),
             "subtracted by a layer": lambda x: layers.Subtract(dtype="float64")([x, x * 0.5])}
    clock = CLOCK.swapaxes(0, 1)
    for what, form in forms.items():
        given = keras.Input((3, 1), dtype="float64")
        source = keras.Model(given, form(given))
        wanted = keras.ops.convert_to_numpy(source(clock))        # Keras' own `predict` rounds its arrays to float32
        model = le.convert(source)
        for _ in range(3):
            made = model.predict(clock)
            assert made.dtype == wanted.dtype, what
            np.testing.assert_allclose(made, wanted, 1e-6, 1e-9, err_msg=what)


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"])
def test_whole_numbers_of_every_size(dtype: str, tmp_path: Path) -> None:
    """As inputs, constants and outputs, to the ends of their range; saved, loaded and pickled."""
    from onnx import helper

    limits, kind = np.iinfo(dtype), helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    ends = np.array([limits.min, limits.max, 3], dtype)
    model = onnx_model([helper.make_node("Where", ["flags", "X", "ends"], ["Y"])], (kind, ["batch", 3]), {"Y": kind},
                       {"flags": np.array([True, False, False]), "ends": ends})
    x = np.array([[limits.max, 1, 2], [limits.min, 5, 6]], dtype)
    wanted = np.where([True, False, False], x, ends)
    ours = le.convert(model)
    ours.save(tmp_path / "m.lstm")
    for again in (ours, le.load(tmp_path / "m.lstm"), pickle.loads(pickle.dumps(ours))):
        made = again.predict(x)
        assert made.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(made, wanted)
    with pytest.raises(le.ArgumentTypeError, match=f"of a kind that {dtype} holds, got dtype float64"):
        ours.predict(x.astype(float))


def test_inputs_of_no_elements() -> None:
    """A size that a model fixes may be 0, as those that it leaves free."""
    from onnx import helper

    model = onnx_model([helper.make_node("Softmax", ["X"], ["s"]), helper.make_node("ReduceSum", ["s", "axes"], ["Y"])],
                       (1, [2, 0]), {"Y": 1}, {"axes": np.array([1])})
    ours, x = le.convert(model), np.zeros((2, 0), np.float32)
    for _ in range(3):          # as it comes, as it is recorded, and that again
        same(ours.predict(x), expected(model, x))
