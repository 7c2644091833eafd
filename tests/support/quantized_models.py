"""Quantised models for several tests, and a stand-in for a core that does not take quantised weights."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from graphs import recurrent, weights

import lstm_engine as le
from lstm_engine import model as model_module
from lstm_engine.graph import GRU, LSTM, RNN, Dense, Embedding, Graph, Value
from lstm_engine.graph.quantized import QUANTIZED_TYPES, Quantized, channel_axis, quantized

__all__ = ["QUANTIZED_TYPES", "as_quantized", "core_takes_quantized", "stacked", "stand_in_for_the_core"]


def stacked() -> Graph:
    """An embedding, a bidirectional LSTM with projection, both GRUs, an RNN and a Dense layer."""
    return Graph(
        (Value("ids", ("batch", "time"), "int32"),),
        (Embedding(name="embed", inputs=("ids",), outputs=("x",), table=weights(11, 6)),
         recurrent(LSTM, ("x",), ("a",), features=6, hidden=5, dirs=2, name="lstm", R=weights(2, 20, 3) / 3,
                   projection=weights(2, 3, 5), P=weights(2, 15)),
         recurrent(GRU, ("a",), ("b",), features=6, hidden=7, name="gru", linear_before_reset=True),
         recurrent(GRU, ("b",), ("c",), features=7, hidden=4, name="gru_2"),
         recurrent(RNN, ("c",), ("d",), features=4, hidden=3, name="rnn"),
         Dense(name="fc", inputs=("d",), outputs=("y",), kernel=weights(3, 4), bias=weights(4))),
        ("y",))


def as_quantized(graph: Graph, to: str) -> Graph:
    """A graph with all of its matrices in one type, without `le.quantize`."""
    matrices = ("W", "R", "projection", "kernel", "table")
    return dataclasses.replace(graph, nodes=tuple(dataclasses.replace(node, **{
        name: quantized(array, to, channel_axis(name), name) for name, array in node.tensors().items()
        if name in matrices}) for node in graph.nodes))


@functools.cache
def core_takes_quantized() -> bool:
    kernel = Quantized("int8", np.ones((2, 2), np.int8), np.ones(2, np.float32), -1)
    node = Dense(name="fc", inputs=("x",), outputs=("y",), kernel=kernel)
    try:
        model = le.Model(Graph((Value("x", ("batch", 2)),), (node,), ("y",)))
    except Exception:
        return False
    return model.quantization is not None


def stand_in_for_the_core(monkeypatch) -> None:
    """Where the core takes no quantised weights, let it run their float32 numbers: what does not ask for the arithmetic
    of a type can be tested so."""
    if core_takes_quantized():
        return
    lower = model_module.lower

    def lowered(graph: Graph, **options):
        floats = dataclasses.replace(graph, nodes=tuple(dataclasses.replace(node, **{
            name: weight.whole() for name, weight in node.tensors().items() if isinstance(weight, Quantized)})
            for node in graph.nodes))
        return dataclasses.replace(lower(floats, **options), skeleton=graph)

    monkeypatch.setattr(model_module, "lower", lowered)
