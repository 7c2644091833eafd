"""Keras models with random weights, converted both live and from a file, and compared with Keras itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers as L

from lstm_engine import Model, reference
from lstm_engine.graph import Graph
from lstm_engine.importers import import_graph
from lstm_engine.operators import validate

BATCH, TIME = 4, 6
VOCABULARY = 11
# In float64 both sides do the same arithmetic in the same precision: this is far above its rounding (1e-16 times
# some hundred operations), and far below any error of meaning, such as a bias in the wrong half.
EXACT = 1e-10


def sequence(features: int = 3, time: int | None = None):
    """An input of floats."""
    return L.Input((time, features), dtype="float64")


def tokens(time: int | None = None):
    """An input of ids."""
    return L.Input((time,), dtype="int32")


def embedded(masked: bool = True, features: int = 3):
    """An input of ids and its embedding."""
    x = tokens()
    return x, L.Embedding(VOCABULARY, features, mask_zero=masked)(x)


def randomise(model: keras.Model, seed: int = 0, scale: float = 0.4) -> keras.Model:
    """Give every weight, biases included, random numbers; variances stay positive."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        numbers = scale * rng.standard_normal(tuple(variable.shape))
        variable.assign(np.abs(numbers) + 0.1 if "variance" in variable.name else numbers)
    return model


def ids(seed: int = 1, batch: int = BATCH, time: int = TIME, vocabulary: int = VOCABULARY) -> np.ndarray:
    """Token ids [batch, time] with zeros, which are masked, left, in the middle, right, and in a whole row."""
    rng = np.random.default_rng(seed)
    made = rng.integers(1, vocabulary, (max(batch, 4), time))
    made[0, :2] = 0
    made[1, time // 2] = 0
    made[2, -2:] = 0
    made[3] = 0
    return made[:batch].astype("int32")


def floats(*shape: int, seed: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def inputs_of(graph: Graph, arrays: list[np.ndarray]) -> dict[str, np.ndarray]:
    return {value.name: array for value, array in zip(graph.inputs, arrays)}


def keras_outputs(model: keras.Model, arrays: list[np.ndarray]) -> list[np.ndarray]:
    """What Keras gives, as a flat list."""
    made = model(arrays if len(arrays) > 1 else arrays[0], training=False)
    return [output.detach().numpy() for output in keras.tree.flatten(made)]


def assert_same_graph(left: Graph, right: Graph) -> None:
    """The same nodes with the same weights, whatever they were read from."""
    assert (left.inputs, left.outputs) == (right.inputs, right.outputs)
    assert [(type(node), node.name, node.inputs, node.outputs) for node in left.nodes] == [
        (type(node), node.name, node.inputs, node.outputs) for node in right.nodes]
    for one, other in zip(left.nodes, right.nodes):
        assert one.tensors().keys() == other.tensors().keys()
        for name, array in one.tensors().items():
            np.testing.assert_array_equal(array, other.tensors()[name])


def check(model: keras.Model, arrays: list[np.ndarray], tmp_path: Path, tolerance: float,
          file_name: str = "model.keras", oracle: Callable[..., Any] = reference.run) -> Graph:
    """Convert the model live and from a file, run it with the oracle and as a model, and compare both with Keras;
    returns the graph.

    tolerance: absolute, and relative to outputs beyond 1.
    """
    live = validate(import_graph(model))
    model.save(tmp_path / file_name)
    graph = import_graph(tmp_path / file_name)
    assert_same_graph(live, graph)
    wanted = keras_outputs(model, arrays)
    made = oracle(graph, inputs_of(graph, arrays))
    assert len(made) == len(wanted) == len(graph.outputs)
    given = Model(graph).predict(inputs_of(graph, arrays))
    listed = list(given.values()) if isinstance(given, dict) else [given]
    for name, want, ran in zip(graph.outputs, wanted, listed, strict=True):
        np.testing.assert_allclose(made[name], want, rtol=tolerance, atol=tolerance, err_msg=name)
        np.testing.assert_allclose(ran, want, rtol=tolerance, atol=tolerance, err_msg=f"{name}, run")
    return graph
