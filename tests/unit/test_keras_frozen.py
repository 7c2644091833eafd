"""Legacy files with frozen layers: Keras lists what trains before what does not, and the names say whose it is.

The lists of names are those that Keras 2.2.4, TensorFlow 2.3 and tf-keras 2.21 wrote for such models.
"""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("h5py")

from keras_files import layer, legacy, random, sequential

from lstm_engine.errors import FormatError, UnsupportedError
from lstm_engine.graph.gates import KERAS_LSTM, reorder
from lstm_engine.importers import import_graph

I = H = 3          # noqa: E741  (inputs and units alike, so that shapes tell nothing)
SHAPE = [None, None, I]
LSTM = {"kernel": (I, 4 * H), "recurrent_kernel": (H, 4 * H), "bias": (4 * H,)}
DENSE = {"kernel": (I, H), "bias": (H,)}


def arrays(prefix: str, shapes: dict, suffix: str = ":0") -> dict[str, np.ndarray]:
    """Random arrays of one layer, each with numbers of its own."""
    return {f"{prefix}/{what}{suffix}": random(sum(map(ord, prefix + what + suffix)), *shape)
            for what, shape in shapes.items()}


def has_lstm(node, direction: int, made: dict[str, np.ndarray]) -> None:
    kernel, recurrent, _ = made.values()
    np.testing.assert_array_equal(node.W[direction], reorder(kernel.T, KERAS_LSTM))
    np.testing.assert_array_equal(node.R[direction], reorder(recurrent.T, KERAS_LSTM))


def convert(tmp_path, config: dict, stored: dict, version: str = "2.15.0"):
    return import_graph(legacy(tmp_path / "m.h5", config, stored, version)).nodes


@pytest.mark.parametrize("cell", ["", "/lstm_cell", "/lstm_cell_7"])
@pytest.mark.parametrize("frozen_first", [False, True])
@pytest.mark.parametrize("settings", [{}, {"trainable": False}])
def test_a_direction(cell, frozen_first, settings, tmp_path):
    """What of a Bidirectional is frozen is not in the configuration when its own copies were frozen."""
    entry = layer("Bidirectional", "bi", layer=layer("LSTM", "lstm", units=H), batch_input_shape=SHAPE, **settings)
    forward, backward = arrays(f"bi/forward_lstm{cell}", LSTM), arrays(f"bi/backward_lstm{cell}", LSTM)
    stored = {**forward, **backward} if frozen_first else {**backward, **forward}
    node, = convert(tmp_path, sequential(entry), {"bi": stored})
    has_lstm(node, 0, forward)
    has_lstm(node, 1, backward)


@pytest.mark.parametrize("names", [("rnn/stacked_rnn_cells/lstm_cell", "rnn/stacked_rnn_cells/lstm_cell_1"),
                                   ("rnn/lstm_cell", "rnn/lstm_cell_1"), ("rnn_1/lstm_cell", "rnn_1/lstm_cell_1")])
def test_a_cell_of_a_stack(names, tmp_path):
    cells = [layer("LSTMCell", "lstm_cell", units=H, trainable=False), layer("LSTMCell", "lstm_cell_1", units=H)]
    entry = layer("RNN", "rnn", cell={"class_name": "StackedRNNCells", "config": {"cells": cells}},
                  batch_input_shape=SHAPE)
    first, second = (arrays(name, LSTM) for name in names)
    nodes = convert(tmp_path, sequential(entry), {"rnn": {**second, **first}})
    has_lstm(nodes[0], 0, first)
    has_lstm(nodes[1], 0, second)


def test_cells_that_keras_2_numbered(tmp_path):
    """Keras 2.2 had no names of cells: kernel and kernel_1."""
    cells = [layer("LSTMCell", "lstm_cell_1", units=H), layer("LSTMCell", "lstm_cell_2", units=H)]
    entry = layer("RNN", "rnn_1", cell=cells, batch_input_shape=SHAPE)
    first, second = arrays("rnn_1", LSTM), arrays("rnn_1", LSTM, "_1:0")
    nodes = convert(tmp_path, sequential(entry), {"rnn_1": {**second, **first}}, "2.2.4")
    has_lstm(nodes[0], 0, first)
    has_lstm(nodes[1], 0, second)


@pytest.mark.parametrize("around", ["", "inner/", "sequential_3/inner_1/"])
@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0), (2, 0, 1), (0, 2, 1)])
def test_layers_of_an_inner_model(around, order, tmp_path):
    """One of a wrapped layer's name is not the layer's of that name."""
    inner = sequential(layer("Dense", "dense", units=H, batch_input_shape=SHAPE),
                       layer("TimeDistributed", "td", layer=layer("Dense", "dense", units=H)),
                       layer("Dense", "dense_1", units=H, trainable=False), name="inner")
    made = [arrays(f"{around}{name}", DENSE) for name in ("dense", "td/dense", "dense_1")]
    stored = {name: array for place in order for name, array in made[place].items()}
    nodes = convert(tmp_path, sequential({**inner, "name": "inner"}), {"inner": stored})
    for node, own in zip(nodes, made, strict=True):
        np.testing.assert_array_equal(node.kernel, list(own.values())[0])


def test_models_inside_models(tmp_path):
    """Layers of one name in two models, one model frozen: only the models' names tell them apart."""
    parts = [sequential(layer("Dense", "dense", units=H, batch_input_shape=SHAPE), name=name)
             for name in ("encoder", "decoder")]
    inner = sequential(*({**part, "name": part["config"]["name"]} for part in parts), name="inner")
    encoder, decoder = arrays("encoder/dense", DENSE), arrays("decoder/dense", DENSE)
    nodes = convert(tmp_path, sequential({**inner, "name": "inner"}), {"inner": {**decoder, **encoder}})
    np.testing.assert_array_equal(nodes[0].kernel, encoder["encoder/dense/kernel:0"])
    np.testing.assert_array_equal(nodes[1].kernel, decoder["decoder/dense/kernel:0"])


@pytest.mark.parametrize("order", [("kernel", "vector_u", "bias"), ("kernel", "bias", "vector_u")])
@pytest.mark.parametrize("settings", [{}, {"trainable": False}])
def test_a_wrapper_and_its_layer_under_one_name(order, settings, tmp_path):
    entry = layer("SpectralNormalization", "spectral", layer=layer("Dense", "dense", units=H), batch_input_shape=SHAPE,
                  **settings)
    made = arrays("spectral", {**DENSE, "vector_u": (1, H)})
    node, = convert(tmp_path, sequential(entry), {"spectral": {
        f"spectral/{what}:0": made[f"spectral/{what}:0"] for what in order}})
    np.testing.assert_array_equal(node.kernel, made["spectral/kernel:0"])
    np.testing.assert_array_equal(node.bias, made["spectral/bias:0"])


def renamed(frozen: bool) -> tuple[dict, dict]:
    """An inner model whose layers were renamed after they were built: none of its arrays' names is a layer's."""
    inner = sequential(layer("Dense", "one", units=H, batch_input_shape=SHAPE, trainable=not frozen),
                       layer("Dense", "two", units=H), name="inner")
    return sequential({**inner, "name": "inner"}), {"inner": {**arrays("a", DENSE), **arrays("b", DENSE)}}


def test_the_order_decides_where_nothing_is_frozen(tmp_path):
    config, stored = renamed(frozen=False)
    nodes = convert(tmp_path, config, stored)
    np.testing.assert_array_equal(nodes[0].kernel, stored["inner"]["a/kernel:0"])
    np.testing.assert_array_equal(nodes[1].kernel, stored["inner"]["b/kernel:0"])


def test_what_neither_names_nor_order_settle(tmp_path):
    config, stored = renamed(frozen=True)
    with pytest.raises(UnsupportedError, match=r"layer 'inner' \(Sequential\): whose its arrays 'a/kernel:0', .*cannot "
                                               r"be told: .*'one' \(Dense\), 'two' \(Dense\).*\.keras"):
        convert(tmp_path, config, stored)


def test_one_renamed_layer_is_what_is_left(tmp_path):
    config, stored = renamed(frozen=True)
    two, other = arrays("two", DENSE), arrays("a", DENSE)
    nodes = convert(tmp_path, config, {"inner": {**two, **other}})
    np.testing.assert_array_equal(nodes[0].kernel, other["a/kernel:0"])
    np.testing.assert_array_equal(nodes[1].kernel, two["two/kernel:0"])


def test_too_many_arrays(tmp_path):
    config, stored = renamed(frozen=False)
    stored["inner"] |= arrays("c", DENSE)
    with pytest.raises(FormatError, match=r"the file holds 6 arrays for 'one' \(Dense\), 'two' \(Dense\); expected 4"):
        convert(tmp_path, config, stored)


def test_sides_that_the_order_would_swap(tmp_path):
    """Two renamed Bidirectionals, a direction of one frozen: its arrays come last, and no configuration says so."""
    sides = [layer("Bidirectional", name, layer=layer("LSTM", "lstm", units=H, return_sequences=True),
                   merge_mode="sum", batch_input_shape=SHAPE) for name in ("one", "two")]
    inner = sequential(*sides, name="inner")
    stored = {name: array for prefix in ("a/backward_lstm", "b/forward_lstm", "b/backward_lstm", "a/forward_lstm")
              for name, array in arrays(prefix, LSTM).items()}
    with pytest.raises(UnsupportedError, match="whose its arrays .* cannot be told"):
        convert(tmp_path, sequential({**inner, "name": "inner"}), {"inner": stored})
