"""Quantised graphs that several tests use."""

from __future__ import annotations

import dataclasses

from graphs import recurrent, weights

from lstm_engine.graph import GRU, LSTM, RNN, Dense, Embedding, Graph, Value
from lstm_engine.graph.quantized import QUANTIZED_TYPES, channel_axis, quantized

__all__ = ["QUANTIZED_TYPES", "as_quantized", "stacked"]


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
