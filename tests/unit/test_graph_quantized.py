"""Quantised weights that a graph may not have, each named with its node and field."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from graphs import one_node, recurrent, weights
from quantized_models import QUANTIZED_TYPES, as_quantized, stacked

from lstm_engine.errors import GraphError, UnsupportedError
from lstm_engine.graph import GRU, LSTM, Dense, Value
from lstm_engine.graph.derived import place
from lstm_engine.graph.quantized import Quantized, quantized
from lstm_engine.operators import validate
from lstm_engine.operators.precision import cast

CELL = recurrent(LSTM)
SCALE = np.ones((1, 8), np.float32)
W = quantized(CELL.W, "int8", -2, "W")


def changed(**changes) -> Quantized:
    return dataclasses.replace(W, **changes)


BAD = {
    "an unknown type": (dict(W=changed(type="int4")), "W's type must be one of int8, int8_weights, bfloat16, float16, "
                                                      "got 'int4'"),
    "a type of no text": (dict(W=changed(type=8)), "W's type must be one of int8"),
    "values that are a list": (dict(W=changed(values=[[1]])), "W's values must be a NumPy array, got list"),
    "values of another dtype": (dict(W=changed(values=W.values.astype(np.int16))),
                                "W's values must be int8, as int8 has them, got int16"),
    "the other axis": (dict(W=changed(axis=-1)), "W's axis must be -2, got -1"),
    "no scale": (dict(W=changed(scale=None)), "W's scale must be a float32 array, got NoneType"),
    "a scale of float64": (dict(W=changed(scale=SCALE.astype(np.float64))), "W's scale must be a float32 array, got "
                                                                           "float64"),
    "a scale of another shape": (dict(W=changed(scale=SCALE[0])),
                                 "W's scale must be [1, 8], one number for each output channel of [1, 8, 3], got [8]"),
    "a scale of 0": (dict(W=changed(scale=SCALE * 0)), "W's scale must be above 0 and finite, got 0.0 at [0, 0]"),
    "a scale of bfloat16": (dict(W=dataclasses.replace(quantized(CELL.W, "bfloat16", -2, "W"), scale=SCALE)),
                            "W's scale must be None: bfloat16 has none"),
    "another shape": (dict(W=quantized(weights(1, 7, 3), "int8", -2, "W")), "W must be [1, 8, I]"),
    "a float W beside it": (dict(R=quantized(CELL.R, "int8", -2, "R")), "R must be float32, as W is, got int8"),
    "another type beside it": (dict(W=W, R=quantized(CELL.R, "bfloat16", -2, "R")), "R must be int8, as W is, got "
                                                                                    "bfloat16"),
    "a quantised bias": (dict(B=quantized(CELL.B, "float16", -2, "B")),
                         "B must be an array: it is no matrix, and stays float32, got a quantised weight (float16)"),
    "a bias of float16": (dict(W=W, R=quantized(CELL.R, "int8", -2, "R"), B=CELL.B.astype(np.float16)),
                          "B must be float32, as W is, got float16"),
}


@pytest.mark.parametrize(("changes", "message"), BAD.values(), ids=BAD)
def test_a_weight_that_cannot_be_is_named(changes, message):
    with pytest.raises(GraphError) as caught:
        validate(one_node(dataclasses.replace(CELL, **changes)))
    assert str(caught.value).startswith("node 'cell' (LSTM): ") and message in str(caught.value)


def test_minus_128_is_none_of_the_numbers():
    values = W.values.copy()
    values[0, 3, 1] = -128
    node = dataclasses.replace(CELL, W=changed(values=values), R=quantized(CELL.R, "int8", -2, "R"))
    with pytest.raises(GraphError, match="W's values must be from -127 to 127, got -128"):
        validate(one_node(node))


WIDE = {"W": (65_537, dict(W=(1, 3, 65_537), R=(1, 3, 1))),             # a projection makes an R of many inputs
        "R": (2, dict(W=(1, 4, 2), R=(1, 4, 65_537), projection=(1, 65_537, 1)))}


@pytest.mark.parametrize("field", WIDE)
def test_int8_products_that_int32_cannot_add_up_are_refused(field):
    """int8_weights, whose products are float32, takes them."""
    features, shapes = WIDE[field]
    node = recurrent(LSTM if "projection" in shapes else GRU, B=None, **{
        name: quantized(np.ones(shape, np.float32), "int8", -2, name) for name, shape in shapes.items()})
    whole = one_node(node, Value("x", ("batch", "time", features)))
    with pytest.raises(GraphError, match=f"{field} must be of at most 65536 inputs, whose int8 products int32 can add "
                                         "up; int8_weights takes more, got 65537"):
        validate(whole)
    other = {name: dataclasses.replace(weight, type="int8_weights") for name, weight in node.tensors().items()}
    validate(dataclasses.replace(whole, nodes=(dataclasses.replace(node, **other),)))


@pytest.mark.parametrize("to", QUANTIZED_TYPES)
def test_shapes_and_types_are_those_of_the_float_graph(to):
    from lstm_engine.operators import infer_shapes

    assert infer_shapes(as_quantized(stacked(), to)) == infer_shapes(stacked())
    graph = as_quantized(stacked(), to)
    assert all(ours.tensors() == theirs.tensors() for ours, theirs in zip(graph.nodes, cast(graph, "float32").nodes)
               if ours.op == "Embedding")                       # the weights themselves, as they are
    with pytest.raises(UnsupportedError, match=rf"node 'embed' \(Embedding\): table is {to}, and quantised layers "
                                               "compute in float32"):
        cast(graph, "float64")


def test_weights_of_the_same_numbers_have_one_place():
    other = dataclasses.replace(W)
    assert place(W) == place(other) != place(dataclasses.replace(W, type="int8_weights"))
    assert place(W) != place(W.values)


def test_a_kernel_has_its_channels_along_the_last_axis():
    kernel = quantized(weights(3, 3), "int8", -2, "kernel")      # of a square kernel, the shapes alone would not tell
    node = Dense(name="fc", inputs=("x",), outputs=("y",), kernel=kernel)
    with pytest.raises(GraphError, match=r"node 'fc' \(Dense\): kernel's axis must be -1, got -2"):
        validate(one_node(node, Value("x", ("batch", 3))))
