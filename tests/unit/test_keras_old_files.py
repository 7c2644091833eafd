"""Layouts and meanings of the Keras versions that came before, from files written by hand as those versions did."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("h5py")

from keras_files import functional, layer, legacy, random, sequential, zipped

from lstm_engine import reference
from lstm_engine.errors import FormatError, UnsupportedError
from lstm_engine.graph import GRU, LSTM, Graph
from lstm_engine.graph.gates import KERAS_GRU, KERAS_LSTM, reorder
from lstm_engine.importers import import_graph

I, H = 3, 4        # noqa: E741  (inputs and units, as ONNX calls them)
KERNEL, RECURRENT, BIAS = random(1, I, 4 * H), random(2, H, 4 * H), random(3, 4 * H)
X = random(9, 2, 5, I)
TRIPLE = {"lstm/kernel:0": KERNEL, "lstm/recurrent_kernel:0": RECURRENT, "lstm/bias:0": BIAS}
SHAPE = [None, 5, I]


def node(graph: Graph, index: int = 0):
    return graph.nodes[index]


def assert_lstm(made: LSTM, kernel=KERNEL, recurrent=RECURRENT, bias=BIAS, direction: int = 0) -> None:
    """The weights of one direction are those of Keras' three arrays."""
    np.testing.assert_array_equal(made.W[direction], reorder(kernel.T, KERAS_LSTM))
    np.testing.assert_array_equal(made.R[direction], reorder(recurrent.T, KERAS_LSTM))
    np.testing.assert_array_equal(made.B[direction], [*reorder(bias, KERAS_LSTM), *np.zeros(4 * H)])


def lstm(**config):
    return layer("LSTM", "lstm", units=H, batch_input_shape=SHAPE, **config)


def test_keras_2_sequential(tmp_path):
    graph = import_graph(legacy(tmp_path / "m.h5", sequential(lstm()), {"lstm": TRIPLE}, "2.1.6"))
    assert_lstm(node(graph))
    assert graph.inputs[0].shape == ("batch", 5, I)
    assert graph.metadata["keras_version"] == "2.1.6"


def test_the_config_of_a_sequential_model_was_once_a_list(tmp_path):
    config = {"class_name": "Sequential", "config": [lstm()]}
    assert_lstm(node(import_graph(legacy(tmp_path / "m.h5", config, {"lstm": TRIPLE}, "2.1.6"))))


@pytest.mark.parametrize("chunked", [1, 2])
def test_lists_of_names_cut_into_several_attributes(chunked, tmp_path):
    config = sequential(lstm(return_sequences=True), layer("Dense", "dense", units=2), layer("Dropout", "drop"))
    layers = {"lstm": TRIPLE, "dense": {"dense/kernel:0": random(4, H, 2), "dense/bias:0": random(5, 2)}, "drop": {}}
    graph = import_graph(legacy(tmp_path / "m.h5", config, layers, chunked=chunked))
    assert_lstm(node(graph))
    np.testing.assert_array_equal(node(graph, 1).kernel, random(4, H, 2))


@pytest.mark.parametrize("version, absent, named", [
    ("1.2.2", ("hard_sigmoid", 0.2), 0.2), ("2.2.4", ("hard_sigmoid", 0.2), 0.2),
    ("2.2.4-tf", ("hard_sigmoid", 0.2), 0.2), ("2.3.1", ("sigmoid", None), 0.2),
    ("2.15.0", ("sigmoid", None), 0.2), ("3.0.0", ("sigmoid", None), 1 / 6)])
def test_the_recurrent_activation_by_version(version, absent, named, tmp_path):
    graph = import_graph(legacy(tmp_path / "m.h5", sequential(lstm()), {"lstm": TRIPLE}, version))
    gate = node(graph).activations[0][0]
    assert (gate.name, gate.alpha) == absent
    config = sequential(lstm(recurrent_activation="hard_sigmoid"))
    gate = node(import_graph(legacy(tmp_path / "n.h5", config, {"lstm": TRIPLE}, version))).activations[0][0]
    assert (gate.name, gate.alpha, gate.beta) == ("hard_sigmoid", pytest.approx(named, abs=0), 0.5)


@pytest.mark.parametrize("version, slope", [("2.13.1", 0.2), ("2.15.0", 0.2), ("3.3.3", 1 / 6)])
def test_hard_sigmoid_in_a_zip_goes_by_its_version_too(version, slope, tmp_path):
    config = sequential(lstm(recurrent_activation="hard_sigmoid"))
    arrays = {f"layers/lstm/cell/vars/{i}": array for i, array in enumerate(TRIPLE.values())}
    assert node(import_graph(zipped(tmp_path / "m.keras", config, arrays, version))).activations[0][0].alpha == slope


def test_keras_1_lstm_of_twelve_arrays(tmp_path):
    """One W, U, b for each gate, in the order i, c, f, o; no keras_version in the file; old names of settings."""
    gates = {gate: [random(10 * i + k, *shape) for k, shape in enumerate([(I, H), (H, H), (H,)])]
             for i, gate in enumerate("icfo", 1)}
    arrays = {f"lstm_{kind}_{gate}": array for gate, three in gates.items() for kind, array in zip("WUb", three)}
    config = sequential(layer("LSTM", "lstm", output_dim=H, inner_activation="sigmoid", batch_input_shape=SHAPE,
                              consume_less="cpu"))
    graph = import_graph(legacy(tmp_path / "m.h5", config, {"lstm": arrays}, None))
    kernel, recurrent, bias = (np.concatenate([gates[gate][k] for gate in "ifco"], axis=-1) for k in range(3))
    assert_lstm(node(graph), kernel, recurrent, bias)
    assert node(graph).activations[0][0].name == "sigmoid"


def test_keras_1_lstm_of_three_arrays(tmp_path):
    """consume_less="gpu" kept three arrays, already in the order i, f, c, o."""
    config = sequential(layer("LSTM", "lstm", output_dim=H, batch_input_shape=SHAPE, consume_less="gpu"))
    arrays = dict(zip(("lstm_W", "lstm_U", "lstm_b"), TRIPLE.values()))
    assert_lstm(node(import_graph(legacy(tmp_path / "m.h5", config, {"lstm": arrays}, None))))


def test_keras_1_gru_and_dense(tmp_path):
    gates = {gate: [random(10 * i + k, *shape) for k, shape in enumerate([(I, H), (H, H), (H,)])]
             for i, gate in enumerate("zrh", 1)}
    arrays = {f"gru_{kind}_{gate}": array for gate, three in gates.items() for kind, array in zip("WUb", three)}
    config = sequential(layer("GRU", "gru", output_dim=H, batch_input_shape=SHAPE),
                        layer("Dense", "dense", output_dim=2, activation="softmax", bias=True))
    layers = {"gru": arrays, "dense": {"dense_W": random(4, H, 2), "dense_b": random(5, 2)}}
    graph = import_graph(legacy(tmp_path / "m.h5", config, layers, "1.2.2"))
    kernel = np.concatenate([gates[gate][0] for gate in "zrh"], axis=-1)
    np.testing.assert_array_equal(node(graph).W[0], kernel.T)
    assert not node(graph).linear_before_reset
    assert node(graph, 1).activation.name == "softmax"


@pytest.mark.parametrize("setting, expected", [({}, False), ({"reset_after": False}, False)])
def test_gru_without_reset_after(setting, expected, tmp_path):
    config = sequential(layer("GRU", "gru", units=H, batch_input_shape=SHAPE, **setting))
    arrays = {"gru/kernel:0": random(1, I, 3 * H), "gru/recurrent_kernel:0": random(2, H, 3 * H),
              "gru/bias:0": random(3, 3 * H)}
    made = node(import_graph(legacy(tmp_path / "m.h5", config, {"gru": arrays})))
    assert isinstance(made, GRU) and made.linear_before_reset is expected
    np.testing.assert_array_equal(made.B[0], [*random(3, 3 * H), *np.zeros(3 * H)])


def cudnn(order: str, inputs: int, seed: int):
    """One layer's arrays as Keras has them, and as cuDNN keeps them: by gate, the transposed matrices."""
    g = len(order)
    kernel, recurrent = random(seed, inputs, g * H), random(seed + 1, H, g * H)
    biases = random(seed + 2, 2, g * H)

    def turned(gate: np.ndarray) -> np.ndarray:
        # What Keras' _convert_rnn_weights does in the other direction: to cuDNN it reshapes in C order.
        return gate.T.reshape(gate.shape)

    stored = [np.hstack([turned(gate) for gate in np.hsplit(kernel, g)]),
              np.hstack([gate.T for gate in np.hsplit(recurrent, g)]), biases.reshape(-1)]
    return kernel, recurrent, biases, dict(zip(("kernel:0", "recurrent_kernel:0", "bias:0"), stored))


@pytest.mark.parametrize("kind", ["CuDNNLSTM", "LSTM"])
@pytest.mark.parametrize("inputs", [I, H])
def test_cudnn_lstm(kind, inputs, tmp_path):
    """With as many inputs as units, only the length of the bias tells the layout."""
    kernel, recurrent, biases, stored = cudnn("ifco", inputs, 20)
    config = sequential(layer(kind, "lstm", units=H, batch_input_shape=[None, None, inputs]))
    made = node(import_graph(legacy(tmp_path / "m.h5", config, {"lstm": stored}, "2.2.4")))
    assert_lstm(made, kernel, recurrent, biases.sum(axis=0, dtype=np.float64).astype(np.float32))
    assert made.activations[0][0].name == ("sigmoid" if kind == "CuDNNLSTM" else "hard_sigmoid")


@pytest.mark.parametrize("kind", ["CuDNNGRU", "GRU"])
def test_cudnn_gru(kind, tmp_path):
    kernel, recurrent, biases, stored = cudnn("zrh", H, 30)
    config = sequential(layer(kind, "gru", units=H, batch_input_shape=[None, None, H], reset_after=True))
    made = node(import_graph(legacy(tmp_path / "m.h5", config, {"gru": stored}, "2.2.4")))
    np.testing.assert_array_equal(made.W[0], reorder(kernel.T, KERAS_GRU))
    np.testing.assert_array_equal(made.R[0], reorder(recurrent.T, KERAS_GRU))
    np.testing.assert_array_equal(made.B[0], biases.reshape(-1))
    assert made.linear_before_reset


def test_cudnn_inside_bidirectional(tmp_path):
    arrays, wanted = {}, []
    for number, side in enumerate(("forward", "backward")):
        *expected, stored = cudnn("ifco", H, 40 + 10 * number)
        wanted.append(expected)
        arrays.update({f"bi/{side}_lstm/{name}": array for name, array in stored.items()})
    inner = {"class_name": "CuDNNLSTM", "config": {"name": "lstm", "units": H, "return_sequences": True}}
    config = sequential(layer("Bidirectional", "bi", layer=inner, merge_mode="concat",
                              batch_input_shape=[None, None, H]))
    made = node(import_graph(legacy(tmp_path / "m.h5", config, {"bi": arrays}, "2.2.4")))
    assert made.direction == "bidirectional"
    for direction, (kernel, recurrent, biases) in enumerate(wanted):
        assert_lstm(made, kernel, recurrent, biases.sum(axis=0, dtype=np.float64).astype(np.float32), direction)


def test_a_cudnn_bias_of_the_wrong_length(tmp_path):
    config = sequential(layer("CuDNNLSTM", "lstm", units=H, batch_input_shape=SHAPE))
    with pytest.raises(FormatError, match=r"layer 'lstm' \(CuDNNLSTM\): bias has the shape \[16\]; expected \[32\]"):
        import_graph(legacy(tmp_path / "m.h5", config, {"lstm": TRIPLE}))


# Keras 2 functional models: calls as lists [layer, call, tensor, keywords].
def keras2_states(states_call):
    return functional(
        [layer("InputLayer", "x", [], batch_input_shape=[None, None, I]),
         layer("InputLayer", "h", [], batch_input_shape=[None, H]),
         layer("InputLayer", "c", [], batch_input_shape=[None, H]),
         layer("LSTM", "lstm", [states_call], units=H, return_state=True, recurrent_activation="sigmoid")],
        [["x", 0, 0], ["h", 0, 0], ["c", 0, 0]], [["lstm", 0, 0], ["lstm", 0, 1], ["lstm", 0, 2]])


@pytest.mark.parametrize("call", [
    [["x", 0, 0, {}], ["h", 0, 0, {}], ["c", 0, 0, {}]],
    [["x", 0, 0, {"initial_state": [["h", 0, 0], ["c", 0, 0]]}]]], ids=["as inputs", "as a keyword"])
def test_keras_2_initial_states(call, tmp_path):
    graph = import_graph(legacy(tmp_path / "m.h5", keras2_states(call), {"lstm": TRIPLE}, "2.4.0"))
    assert node(graph).inputs == ("x", "", "h", "c")
    h, c = random(5, 2, H), random(6, 2, H)
    made = reference.run(graph, {"x": X, "h": h, "c": c})
    gates = graph.nodes[0]
    _, Y_h, Y_c = reference.lstm(X, gates.W, gates.R, gates.B, initial_h=h[:, None], initial_c=c[:, None])
    np.testing.assert_array_equal(made[graph.outputs[0]], Y_h[:, 0])
    np.testing.assert_array_equal(made[graph.outputs[2]], Y_c[:, 0])


def test_keras_2_hands_the_mask_over_beside_initial_states(tmp_path):
    """Keras 3 does not (tests/differential); Keras 2 takes the mask of the first of its inputs."""
    layers = [layer("InputLayer", "ids", [], batch_input_shape=[None, None], dtype="int32"),
              layer("InputLayer", "h", [], batch_input_shape=[None, H]),
              layer("InputLayer", "c", [], batch_input_shape=[None, H]),
              layer("Embedding", "table", [[["ids", 0, 0, {}]]], input_dim=7, output_dim=I, mask_zero=True),
              layer("LSTM", "lstm", [[["table", 0, 0, {}], ["h", 0, 0, {}], ["c", 0, 0, {}]]], units=H)]
    config = functional(layers, [["ids", 0, 0], ["h", 0, 0], ["c", 0, 0]], [["lstm", 0, 0]])
    arrays = {"table": {"table/embeddings:0": random(1, 7, I)}, "lstm": TRIPLE}
    for version, masked in (("2.15.0", True), ("3.1.0", False)):
        graph = import_graph(legacy(tmp_path / f"{version}.h5", config, arrays, version))
        made, = (each for each in graph.nodes if isinstance(each, LSTM))
        assert (len(made.inputs) == 5 and made.inputs[4] == "table/mask") is masked


@pytest.mark.parametrize("first", [0, 1])
def test_a_model_inside_a_keras_2_model(first, tmp_path):
    """Its calls count from 1 where its making counted as the first, from 0 where it did not."""
    inner = sequential(lstm(return_sequences=True), layer("Dense", "dense", units=I), name="inner")
    entry = {**inner, "name": "inner", "inbound_nodes": [[["x", 0, 0, {}]], [["inner", first, 0, {}]]]}
    config = functional([layer("InputLayer", "x", [], batch_input_shape=SHAPE), entry], [["x", 0, 0]],
                        [["inner", first + 1, 0]])
    arrays = {**{f"inner/{name}": array for name, array in TRIPLE.items()},
              "inner/dense/kernel:0": random(4, H, I), "inner/dense/bias:0": random(5, I)}
    graph = import_graph(legacy(tmp_path / "m.h5", config, {"x": {}, "inner": arrays}, "2.2.4"))
    assert [each.op for each in graph.nodes] == ["LSTM", "Dense", "LSTM", "Dense"]
    assert graph.nodes[2].inputs[0] == graph.nodes[1].outputs[0]
    assert_lstm(graph.nodes[2])


def test_what_does_not_train_comes_last_in_a_model_inside_a_model(tmp_path):
    inner = sequential(layer("BatchNormalization", "norm", axis=[2], epsilon=0.01, batch_input_shape=SHAPE),
                       layer("Dense", "frozen", units=2, trainable=False), layer("Dense", "dense", units=2),
                       name="inner")
    entry = {**inner, "name": "inner", "inbound_nodes": [[["x", 0, 0, {}]]]}
    config = functional([layer("InputLayer", "x", [], batch_input_shape=SHAPE), entry], [["x", 0, 0]],
                        [["inner", 1, 0]])
    kernel, bias, frozen_kernel, frozen_bias = random(1, 2, 2), random(2, 2), random(3, I, 2), random(4, 2)
    gamma, beta, mean, variance = random(5, I), random(6, I), random(7, I), np.abs(random(8, I)) + 1
    arrays = {"norm/gamma:0": gamma, "norm/beta:0": beta, "dense/kernel:0": kernel, "dense/bias:0": bias,
              "norm/moving_mean:0": mean, "norm/moving_variance:0": variance, "frozen/kernel:0": frozen_kernel,
              "frozen/bias:0": frozen_bias}
    graph = import_graph(legacy(tmp_path / "m.h5", config, {"x": {}, "inner": arrays}, "2.2.4"))
    made = reference.run(graph, {"x": X})[graph.outputs[0]]
    wanted = (gamma * (X - mean) / np.sqrt(variance + 0.01) + beta) @ frozen_kernel + frozen_bias
    wanted = wanted @ kernel + bias
    np.testing.assert_allclose(made, wanted, rtol=1e-5, atol=1e-6)    # float32 constants against float32 NumPy


def test_an_array_in_the_place_of_another(tmp_path):
    config = sequential(layer("Dense", "dense", units=2, batch_input_shape=[None, 2]))
    arrays = {"dense/bias:0": random(1, 2), "dense/kernel:0": random(2, 2, 2)}
    with pytest.raises(FormatError, match="layer 'dense' .Dense.: its array 'dense/bias:0' stands where 'kernel' was"):
        import_graph(legacy(tmp_path / "m.h5", config, {"dense": arrays}))


# `.keras` files of Keras 2.12 to 2.15, and their ways of naming groups.
def stack_of(count: int):
    layers = [layer("Dense", f"dense_{number}", units=I, batch_input_shape=SHAPE) for number in range(count)]
    arrays = [(random(number, I, I), random(100 + number, I)) for number in range(count)]
    return sequential(layer("InputLayer", "x", batch_input_shape=SHAPE), *layers), arrays


def grouped(arrays, root: str, numbers) -> dict[str, np.ndarray]:
    return {f"{root}/dense{f'_{number}' if number else ''}/vars/{i}": array
            for number, pair in zip(numbers, arrays) for i, array in enumerate(pair)}


@pytest.mark.parametrize("version, root, numbers", [
    ("2.12.0", "_layer_checkpoint_dependencies", range(0, 24, 2)),
    ("2.13.1", "_layer_checkpoint_dependencies", range(0, 24, 2)),
    ("2.14.0", "_layer_checkpoint_dependencies", range(12)), ("2.15.0", "layers", range(12)),
    ("3.10.0", "layers", range(12))])
def test_groups_of_a_class_are_numbered(version, root, numbers, tmp_path):
    """By numbers, not as text (10 comes after 9); 2.12 and 2.13 gave layers with weights two numbers each."""
    config, arrays = stack_of(12)
    graph = import_graph(zipped(tmp_path / "m.keras", config, grouped(arrays, root, numbers), version))
    for made, (kernel, bias) in zip(graph.nodes, arrays, strict=True):
        np.testing.assert_array_equal(made.kernel, kernel)
        np.testing.assert_array_equal(made.bias, bias)


def test_too_few_groups_of_a_class(tmp_path):
    config, arrays = stack_of(3)
    with pytest.raises(FormatError, match="layers/dense: 2 groups of arrays for 3 layers"):
        import_graph(zipped(tmp_path / "m.keras", config, grouped(arrays[:2], "layers", (0, 2)), "2.13.1"))


def test_groups_inside_groups_of_keras_2_13(tmp_path):
    inner = sequential(lstm(return_sequences=True), layer("Dense", "one", units=I), layer("Dense", "two", units=I),
                       name="inner")
    config = sequential(layer("Dense", "zero", units=I, batch_input_shape=SHAPE), {**inner, "name": "inner"},
                        layer("Bidirectional", "bi", layer=layer("LSTM", "lstm", units=H)))
    root, other = "_layer_checkpoint_dependencies", random(7, I, I)
    arrays = {f"{root}/dense/vars/0": random(1, I, I), f"{root}/dense/vars/1": random(2, I),
              f"{root}/sequential/{root}/dense/vars/0": random(3, H, I),
              f"{root}/sequential/{root}/dense/vars/1": random(4, I),
              f"{root}/sequential/{root}/dense_2/vars/0": other,
              f"{root}/sequential/{root}/dense_2/vars/1": random(6, I)}
    for i, array in enumerate(TRIPLE.values()):
        arrays[f"{root}/sequential/{root}/lstm/cell/vars/{i}"] = array
        arrays[f"{root}/bidirectional/forward_layer/cell/vars/{i}"] = array
        arrays[f"{root}/bidirectional/backward_layer/cell/vars/{i}"] = -array
    graph = import_graph(zipped(tmp_path / "m.keras", config, arrays, "2.13.1"))
    _, first, _, two, bi = graph.nodes
    assert_lstm(first)
    np.testing.assert_array_equal(two.kernel, other)
    assert_lstm(bi)
    assert_lstm(bi, -KERNEL, -RECURRENT, -BIAS, direction=1)


def test_backslashes_of_windows(tmp_path):
    arrays = {f"layers\\lstm\\cell/vars/{i}": array for i, array in enumerate(TRIPLE.values())}
    assert_lstm(node(import_graph(zipped(tmp_path / "m.keras", sequential(lstm()), arrays, "2.15.0"))))


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_weights_of_other_widths(dtype, tmp_path):
    """float16 is widened; float64 is kept, and so is what is computed from it."""
    arrays = {f"layers/lstm/cell/vars/{i}": array.astype(dtype) for i, array in enumerate(TRIPLE.values())}
    graph = import_graph(zipped(tmp_path / "m.keras", sequential(lstm()), arrays))
    wide = "float64" if dtype is np.float64 else "float32"
    assert node(graph).W.dtype == wide and graph.inputs[0].dtype == wide
    assert_lstm(node(graph), *(array.astype(dtype).astype(wide) for array in TRIPLE.values()))


def test_what_a_bidirectional_returned_at_masked_steps(tmp_path):
    """Keras 2.3 repeated the output before; TensorFlow's Keras, and all since, return zeros."""
    inner = layer("LSTM", "lstm", units=H, return_sequences=True)
    config = sequential(layer("Embedding", "table", input_dim=7, output_dim=I, mask_zero=True),
                        layer("Bidirectional", "bi", layer=inner))
    arrays = {"table": {"table/embeddings:0": random(1, 7, I)},
              "bi": {f"bi/{side}/{name}": array for side in ("f", "b") for name, array in TRIPLE.items()}}
    for version, zero in (("2.3.1", False), ("2.2.4-tf", True), ("2.15.0", True)):
        made = import_graph(legacy(tmp_path / f"{version}.h5", config, arrays, version)).nodes[-1]
        assert made.zero_masked is zero


@pytest.mark.parametrize("entry, message", [
    (lstm(time_major=True), r"layer 'lstm' \(LSTM\): time_major is not supported"),
    (lstm(activation="my_function"), r"layer 'lstm' \(LSTM\): activation 'my_function' is not supported; supported: "),
    (lstm(activation="softmax"), "activation 'softmax' inside a recurrent cell is not supported"),
])
def test_what_is_not_supported_is_named(entry, message, tmp_path):
    with pytest.raises(UnsupportedError, match=message):
        import_graph(legacy(tmp_path / "m.h5", sequential(entry), {"lstm": TRIPLE}))
