"""ONNX's own runner of node tests against the engine, and the rest of the backend interface."""

import re
import warnings

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnx.backend.test")

from onnx import TensorProto, helper  # noqa: E402

import lstm_engine as le  # noqa: E402
from lstm_engine import onnx_backend  # noqa: E402

RECURRENT = re.compile(r"test_(lstm|gru|simple_rnn|rnn)_.*_cpu$")


def _onnx_node_tests():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")          # ONNX makes the data of all its tests, overflows included
        runner = onnx.backend.test.BackendTest(onnx_backend, __name__)
        cases = runner.test_cases["OnnxBackendNodeModelTest"]
    for name in [name for name in dir(cases) if name.startswith("test_") and not RECURRENT.match(name)]:
        delattr(cases, name)
    return cases


OnnxNodeTests = _onnx_node_tests()


def test_the_runner_has_every_recurrent_node_test():
    names = [name for name in dir(OnnxNodeTests) if name.startswith("test_")]
    # 6 of LSTM, 6 of GRU, 6 of RNN in onnx 1.16 to 1.23; a newer onnx may have more.
    assert len(names) >= 18
    assert {"test_lstm_with_peepholes_cpu", "test_gru_seq_length_cpu", "test_simple_rnn_batchwise_cpu"} <= set(names)


def lstm_node(inputs=("X", "W", "R"), outputs=("Y", "Y_h", "Y_c"), **attributes):
    return helper.make_node("LSTM", list(inputs), list(outputs), hidden_size=3, **attributes)


def arrays(steps=4, batch=2, dtype=np.float32):
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype(dtype) for shape in ((steps, batch, 5), (1, 12, 5), (1, 12, 3))]


def lstm_model(kind=TensorProto.FLOAT, stored=False):
    X, W, R = arrays(dtype=helper.tensor_dtype_to_np_dtype(kind))
    inputs = [helper.make_tensor_value_info("X", kind, ("time", "batch", 5))]
    tensors = []
    for name, array in (("W", W), ("R", R)):
        if stored:
            tensors.append(onnx.numpy_helper.from_array(array, name))
        else:
            inputs.append(helper.make_tensor_value_info(name, kind, array.shape))
    outputs = [helper.make_tensor_value_info("Y", kind, ("time", 1, "batch", 3)),
               *(helper.make_tensor_value_info(name, kind, (1, "batch", 3)) for name in ("Y_h", "Y_c"))]
    graph = helper.make_graph([lstm_node()], "cell", inputs, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])


@pytest.mark.parametrize("kind", (TensorProto.FLOAT, TensorProto.DOUBLE))
@pytest.mark.parametrize("stored", (False, True))
def test_a_model_runs_with_its_weights_as_inputs_or_stored(kind, stored):
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    X, W, R = arrays(dtype=dtype)
    got = onnx_backend.run_model(lstm_model(kind, stored), [X] if stored else [X, W, R])
    for ours, wanted in zip(got, le.ops.lstm(X, W, R), strict=True):
        assert ours.dtype == dtype
        np.testing.assert_array_equal(ours, wanted)


def test_new_weights_take_effect():
    X, W, R = arrays()
    rep = onnx_backend.prepare(lstm_model())
    first = rep.run([X, W, R])
    W += 1                                       # in place: the prepared model must not trust the old array
    np.testing.assert_array_equal(rep.run([X, W, R])[0], le.ops.lstm(X, W, R)[0])
    np.testing.assert_array_equal(rep.run({"X": X, "W": W - 1, "R": R})[0], le.ops.lstm(X, W - 1, R)[0])
    assert not np.array_equal(first[0], rep.run([X, W, R])[0])


def test_run_node():
    X, W, R = arrays()
    result = onnx_backend.run_node(lstm_node(outputs=("Y", "", "c")), [X, W, R])
    assert result._fields == ("Y", "c")
    wanted = le.ops.lstm(X, W, R)
    np.testing.assert_array_equal(result.Y, wanted[0])
    np.testing.assert_array_equal(result.c, wanted[2])
    by_name = onnx_backend.run_node(lstm_node(), {"X": X, "W": W, "R": R}, opset_version=14)
    np.testing.assert_array_equal(by_name.Y_h, wanted[1])
    lengths = np.array([1, 3], np.int32)
    skipped = onnx_backend.run_node(lstm_node(("X", "W", "R", "", "lens")), [X, W, R, lengths])
    np.testing.assert_array_equal(skipped.Y, le.ops.lstm(X, W, R, sequence_lens=lengths)[0])


def test_outputs_come_as_often_as_the_graph_names_them():
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n",))
    made = helper.make_tensor_value_info("y", TensorProto.FLOAT, ("n",))
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "g", [value], [made, value, made])
    x = np.array([1.0, -2.0], np.float32)
    got = onnx_backend.run_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)]), [x])
    for ours, wanted in zip(got, (-x, x, -x), strict=True):
        np.testing.assert_array_equal(ours, wanted)


def test_only_the_cpu_is_supported():
    assert onnx_backend.supports_device("CPU") and onnx_backend.supports_device("CPU:0")
    assert not onnx_backend.supports_device("CUDA")
    with pytest.raises(le.UnsupportedError, match="device 'CUDA'"):
        onnx_backend.prepare(lstm_model(), "CUDA")


def test_what_cannot_be_run_is_said_before_the_run():
    graph = helper.make_graph([helper.make_node("NonMaxSuppression", ["b", "s"], ["y"])], "g",
                              [helper.make_tensor_value_info("b", TensorProto.FLOAT, (1, 6, 4)),
                               helper.make_tensor_value_info("s", TensorProto.FLOAT, (1, 1, 6))],
                              [helper.make_tensor_value_info("y", TensorProto.INT64, (None, 3))])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    assert not onnx_backend.is_compatible(model)
    assert onnx_backend.is_compatible(lstm_model())
    with pytest.raises(le.UnsupportedError, match="NonMaxSuppression"):
        onnx_backend.prepare(model)


def test_wrong_inputs_are_named():
    X, W, R = arrays()
    rep = onnx_backend.prepare(lstm_model())
    with pytest.raises(le.ArgumentError, match=r"inputs: expected 3 \(X, W, R\), got 2"):
        rep.run([X, W])
    with pytest.raises(le.ArgumentError, match="inputs must be named X, W, R; got X, W"):
        rep.run({"X": X, "W": W})
    with pytest.raises(le.ArgumentTypeError, match="got ndarray"):
        rep.run(X)
    with pytest.raises(le.ArgumentError, match="'X': expected shape"):
        rep.run([X[..., :4], W, R])
    with pytest.raises(le.ArgumentError, match=r"expected 3 \(X, W, R\), got 2"):
        onnx_backend.run_node(lstm_node(), [X, W])
