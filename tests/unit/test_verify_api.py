"""le.verify: right models pass against their own program, wrong ones do not, and what was not seen is said."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import lstm_engine as le
from lstm_engine.verifying import frameworks, made_up

onnx = pytest.importorskip("onnx", reason="the sources are ONNX files")
pytest.importorskip("onnxruntime", reason="runs the sources")

FLOAT, DOUBLE, INT32, INT64 = 1, 11, 6, 7


def weights(*shape, seed=0, scale=0.4):
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32)


def write(path, nodes, inputs, outputs, constants):
    """An ONNX file: nodes as (type, inputs, outputs, attributes), inputs and outputs as (name, type, shape)."""
    helper = onnx.helper
    graph = helper.make_graph(
        [helper.make_node(kind, ins, outs, **attributes) for kind, ins, outs, attributes in nodes], "g",
        [helper.make_tensor_value_info(*one) for one in inputs],
        [helper.make_tensor_value_info(*one) for one in outputs],
        [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


CELL = {"W": weights(1, 16, 3), "R": weights(1, 16, 4, seed=1), "B": weights(1, 32, seed=2)}
LSTM = ("LSTM", ["x", "W", "R", "B"], ["Y", "h"], {"hidden_size": 4})
X = ("x", FLOAT, ["time", "batch", 3])
H = ("h", FLOAT, [1, "batch", 4])


@pytest.fixture
def tagger(tmp_path):
    """LSTM over [time, batch, 3] with lengths, then a Dense and a sigmoid over every step."""
    return write(tmp_path / "tagger.onnx",
                 [("LSTM", ["x", "W", "R", "B", "n"], ["Y", "h"], {"hidden_size": 4}),
                  ("Squeeze", ["Y", "one"], ["y"], {}), ("Transpose", ["y"], ["b"], {"perm": [1, 0, 2]}),
                  ("MatMul", ["b", "K"], ["s"], {})],
                 [X, ("n", INT32, ["batch"])], [("s", FLOAT, ["batch", "time", 2]), H],
                 {**CELL, "K": weights(4, 2, seed=3), "one": np.array([1])})


def changed(model, change):
    """A model with its first recurrent node changed."""
    nodes = list(model.graph.nodes)
    place = next(i for i, node in enumerate(nodes) if isinstance(node, le.graph.Recurrent))
    nodes[place] = change(nodes[place])
    return le.Model(dataclasses.replace(model.graph, nodes=tuple(nodes)))


def test_a_right_model(tagger):
    report = le.verify(le.convert(tagger), tagger)
    assert report.ok and report.code == 0 and not report.unchecked and not report.differences
    assert "onnxruntime" in report.against and set(report.outputs) == {"s", "h"}
    assert all(0 < figures.used <= 1 and figures.decided for figures in report.outputs.values())
    assert str(report) == report.text() and "everything was checked" in report.text()


def one_weight(node):
    R = node.R.copy()
    R[0, 5, 2] += 1e-3
    return dataclasses.replace(node, R=R)


def swapped_gates(node):
    return dataclasses.replace(node, W=node.W.reshape(1, 4, 4, 3)[:, [1, 0, 2, 3]].reshape(1, 16, 3).copy())


def no_activation(node):
    f, g, h = node.activations[0]
    return dataclasses.replace(node, activations=((f, g, le.graph.LINEAR),))


def no_lengths(node):
    return dataclasses.replace(node, inputs=("x",) if len(node.inputs) < 2 else (node.inputs[0],))


def other_direction(node):
    return dataclasses.replace(node, direction="reverse")


@pytest.mark.parametrize("change", [one_weight, swapped_gates, no_activation, no_lengths, other_direction])
def test_a_wrong_model(tagger, change):
    report = le.verify(changed(le.convert(tagger), change), tagger)
    assert not report.ok and report.code == 1 and "differs from onnxruntime" in report.differences[0]
    assert not report.checked


def test_zeros_past_the_end_of_a_sequence_are_seen(tagger, monkeypatch):
    """What a model leaves at 0 where the program has its bias."""
    model = le.convert(tagger)
    predict = le.Model.predict

    def cut(self, x, *arguments, **options):
        results = predict(self, x, *arguments, **options)
        for row, length in zip(results["s"], x["n"], strict=True):
            row[length:] = 0.25
        return results
    monkeypatch.setattr(le.Model, "predict", cut)
    report = le.verify(model, tagger)
    assert report.code == 1 and "'s'" in report.differences[0]


def test_rows_that_are_too_many_are_seen(tmp_path, monkeypatch):
    path = write(tmp_path / "rows.onnx", [("Tanh", ["a"], ["t"], {}), ("MatMul", ["x", "K"], ["y"], {})],
                 [("a", FLOAT, [1, 1, 2]), ("x", FLOAT, ["b", 1, 2])],
                 [("t", FLOAT, [1, 1, 2]), ("y", FLOAT, ["b", 1, 2])], {"K": weights(2, 2)})
    model = le.convert(path)
    monkeypatch.setattr(le.Model, "predict", lambda self, x: {
        "t": np.tanh(np.broadcast_to(x["a"], (len(x["x"]), 1, 2))), "y": x["x"] @ weights(2, 2)})
    report = le.verify(model, path)
    assert report.code == 1 and "output 't' is float32 of shape [3, 1, 2], the source's float32 of shape [1, 1, 2]" in \
        report.differences[0]


def test_two_inputs_of_different_rows(tmp_path):
    """Queries and documents: symbols that may differ do."""
    path = write(tmp_path / "towers.onnx",
                 [("MatMul", ["q", "d"], ["s"], {})], [("q", FLOAT, ["queries", 3]), ("d", FLOAT, [3, "documents"])],
                 [("s", FLOAT, ["queries", "documents"])], {})
    seen = []
    model = le.convert(path)
    report = le.verify(model, path)
    seen = report.outputs["s"].shape
    assert seen[0] != seen[1]


def test_inputs_near_the_constants_of_the_graph(tmp_path, monkeypatch):
    """A clock in float64: only numbers near 1.7e9 tell an engine that rounds it to float32 first."""
    path = write(tmp_path / "clock.onnx",
                 [("Sub", ["x", "epoch"], ["d"], {}), ("Cast", ["d"], ["f"], {"to": FLOAT}),
                  ("Tanh", ["f"], ["y"], {})],
                 [("x", DOUBLE, ["batch", "time", 3])], [("y", FLOAT, ["batch", "time", 3])],
                 {"epoch": np.array(1.7e9)})
    model = le.convert(path)
    for kind, code in ((np.float64, 0), (np.float32, 1)):
        monkeypatch.setattr(le.Model, "predict", lambda self, x, kind=kind: np.tanh(
            (x["x"].astype(kind).astype(np.float64) - 1.7e9).astype(np.float32)))
        report = le.verify(model, path)
        assert report.code == code
    assert "near the graph's 1.7e+09" in report.differences[0]


def test_only_constants_that_inputs_meet_are_looked_at(tmp_path):
    """What is subtracted, scaled, compared with; an exponent is no number that inputs come near."""
    steps = [("Add", 4), ("Sub", 5), ("Greater", 6), ("Pow", 3)]
    path = write(tmp_path / "meets.onnx", [(kind, ["x", kind], [f"y{kind}"], {}) for kind, _ in steps],
                 [("x", FLOAT, ["batch", 3])],
                 [(f"y{kind}", 9 if kind == "Greater" else FLOAT, ["batch", 3]) for kind, _ in steps],
                 {kind: np.array(number, np.float32) for kind, number in steps})
    assert {float(number) for number in made_up.constants(le.convert(path).graph)} == {4, -4, 5, 6}


def test_the_least_number_of_steps_is_found(tmp_path):
    path = write(tmp_path / "kernel.onnx",
                 [("Conv", ["x", "K"], ["c"], {}), ("ReduceMean", ["c"], ["y"], {"axes": [2]})],
                 [("x", FLOAT, ["batch", 2, "time"])], [("y", FLOAT, ["batch", 3, 1])], {"K": weights(3, 2, 11)})
    report = le.verify(le.convert(path), path)
    assert report.ok and "the model takes no fewer than 11 steps" in report.remarks
    assert le.verify(le.convert(path), path, steps=[12], batch=[2]).ok
    few = le.verify(le.convert(path), path, steps=[5])
    assert few.code == 3 and "takes none of the inputs" in few.unchecked[0]


def test_whole_numbers_must_be_equal(tmp_path, monkeypatch):
    path = write(tmp_path / "argmax.onnx", [LSTM, ("ArgMax", ["h"], ["a"], {"axis": -1, "keepdims": 0})], [X],
                 [("a", INT64, [1, "batch"])], CELL)
    model = le.convert(path)
    assert le.verify(model, path).ok
    predict = le.Model.predict
    monkeypatch.setattr(le.Model, "predict", lambda self, x: (predict(self, x) + 1) % 4)
    assert le.verify(model, path).code == 1


def test_given_inputs(tagger):
    model = le.convert(tagger)
    case = {"x": weights(5, 2, 3), "n": np.array([5, 3], np.int32)}
    report = le.verify(model, tagger, case)
    assert report.ok and "on 1 inputs: the given inputs" in report.checked[0]
    outputs = model.predict(case)
    assert le.verify(model, inputs=case, outputs=outputs).ok
    outputs["h"] = outputs["h"] + np.float32(1e-3)
    assert le.verify(model, inputs=case, outputs=outputs).code == 1


def test_our_own_reference_never_approves(tagger):
    model = le.convert(tagger)
    for report in (le.verify(model), le.verify(model, tagger, reference=True)):
        assert report.code == 3 and not report.ok and "not checked" in report.unchecked[0]
        assert "checks the engine, not the import" in report.against and "the engine alone" in report.checked[0]


def test_the_reference_finds_a_wrong_engine(tagger, monkeypatch):
    predict = le.Model.predict
    monkeypatch.setattr(le.Model, "predict", lambda self, x: {
        name: array * np.float32(1.001) for name, array in predict(self, x).items()})
    assert le.verify(le.convert(tagger)).code == 1


def test_what_was_assumed_is_told():
    model = le.Model([le.Dense(weights(3, 2))])
    graph = dataclasses.replace(model.graph, metadata={"assumptions": "every step\nno activation after fc"})
    report = le.verify(le.Model(graph))
    assert "assumed at conversion: every step" in report.unchecked
    assert "assumed at conversion: no activation after fc" in report.unchecked


def test_a_framework_that_is_not_installed(tagger, monkeypatch):
    monkeypatch.setattr(frameworks, "installed", lambda name: False)
    report = le.verify(le.convert(tagger), tagger)
    assert report.code == 3 and "onnxruntime is not installed" in report.unchecked[0]


def test_onnx_reference_stands_in_for_onnxruntime(tmp_path, tagger, monkeypatch):
    monkeypatch.setattr(frameworks, "installed", lambda name: name == "onnx")
    path = write(tmp_path / "plain.onnx", [LSTM], [X], [H], CELL)
    report = le.verify(le.convert(path), path)
    assert report.ok and "onnx.reference" in report.against
    report = le.verify(le.convert(tagger), tagger)                # it computes all steps of every row
    assert report.code == 3 and "onnx.reference ignores the lengths" in report.unchecked[0]


def test_a_live_onnx_model(tagger):
    proto = onnx.load(tagger)
    assert le.verify(le.convert(proto), proto).ok


@pytest.mark.parametrize(("arguments", "error", "message"), [
    (dict(outputs={}), le.ArgumentError, "outputs needs the inputs"),
    (dict(inputs={}, outputs={}, source="x.onnx"), le.ArgumentError, "outputs excludes source and reference"),
    (dict(tolerance=0.0), le.ArgumentError, "tolerance is a finite number above 0, got 0.0"),
    (dict(tolerance=10**400), le.ArgumentError, "tolerance is a finite number above 0"),
    (dict(tolerance="0.1"), le.ArgumentError, "tolerance is a finite number above 0, got '0.1'"),
    (dict(source=3), le.ArgumentTypeError, "source is a path, a torch.nn.Module"),
])
def test_wrong_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        le.verify(le.Model([le.Dense(weights(3, 2))]), **arguments)


def test_a_path_is_no_model():
    with pytest.raises(le.ArgumentTypeError, match="load or convert it first"):
        le.verify("model.lstm")


@pytest.mark.parametrize("kind, name", [("onnx", "m.bin"), ("onnx", "m.h5"), ("onnx", "m.lstm"), ("keras", "m.pt"),
                                        ("keras", "m.json"), ("h5", "m.lstm")])
def test_what_a_source_is_its_bytes_say(kind, name, tmp_path):
    """As for convert: a program by another name was told to be weights alone, or a file of ours."""
    if kind == "onnx":
        pytest.importorskip("onnxruntime")
        from model_files import KINDS

        path = KINDS["onnx"](tmp_path).path
    else:
        keras = pytest.importorskip("keras")
        path = tmp_path / f"model.{kind}"
        keras.Sequential([keras.Input((None, 3)), keras.layers.LSTM(4), keras.layers.Dense(2)]).save(path)
    path = path.rename(tmp_path / name)
    report = le.verify(le.convert(path), path, steps=[3])
    assert report.code == 0 and name in report.against, (report.unchecked, report.differences)


def test_a_file_of_ours_by_another_name_is_not_weights_alone(tmp_path):
    from model_files import KINDS

    made = KINDS["lstm"](tmp_path)
    path = made.path.rename(tmp_path / "m.safetensors")
    report = le.verify(le.convert(path), path, steps=[3])
    assert report.code == 3 and "m.safetensors is a .lstm file" in str(report.unchecked) and not report.remarks


def test_whole_numbers_that_a_graph_compares_with_are_tried(tmp_path):
    """A rate: it, its neighbours, and numbers that are nothing to it. No float is made near it: none meets it."""
    path = write(tmp_path / "rate.onnx",
                 [("Equal", ["sr", "rate"], ["is"], {}), ("Where", ["is", "x", "zero"], ["y"], {})],
                 [("x", FLOAT, [None, 3]), ("sr", INT64, [])], [("y", FLOAT, [None, 3])],
                 {"rate": np.array(16000), "zero": np.float32(0)})
    graph, rng = le.convert(path).graph, np.random.default_rng(0)
    drawn = {int(made_up.random_inputs(graph, 12, 12, rng)["sr"]) for _ in range(300)}
    assert {0, 1, 9, 15999, 16000, 16001} <= drawn
    assert made_up.constants(graph) == []


def test_whole_numbers_that_a_float_meets_behind_a_cast(tmp_path):
    path = write(tmp_path / "ticks.onnx", [("Cast", ["x"], ["i"], {"to": INT64}), ("Less", ["i", "late"], ["y"], {})],
                 [("x", FLOAT, [None, 3])], [("y", 9, [None, 3])], {"late": np.array(1_700_000)})
    assert made_up.constants(le.convert(path).graph) == [1_700_000]
