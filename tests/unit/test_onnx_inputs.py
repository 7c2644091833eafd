"""What files say of their inputs, or leave out, and ONNX Runtime takes all the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx_graphs import imported, model, node, runtime_outputs

import lstm_engine as le

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
RNG = np.random.default_rng(0)
# float32 sums of a few terms near 1 over five steps, on both sides.
TOLERANCE = 2e-6


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


WEIGHTS = {"W": normal(1, 12, 4), "R": normal(1, 12, 3)}
TABLE = normal(7, 4)


def lstm(inputs: str = "x W R", **attributes: Any) -> Any:
    return node("LSTM", inputs, "Y h c", name="lstm", hidden_size=3, **attributes)


def shapeless(source: Any) -> Any:
    for value in source.graph.input:
        value.type.tensor_type.ClearField("shape")
    return source


def agrees(source: Any, feed: dict[str, np.ndarray], **spec: Any) -> le.Model:
    made = le.convert(source, spec=spec or None)
    answer = made.predict(feed)
    for name, wanted in runtime_outputs(source, feed).items():
        given = answer[name] if isinstance(answer, dict) else answer
        np.testing.assert_allclose(given, wanted, rtol=0, atol=TOLERANCE)
    return made


IDS = np.array([[1, 2, 3], [3, 4, 6]])
CASES = {
    "a layer's own": ([lstm()], {"x": (5, 2, 4)}),
    "its states and lengths": ([lstm("x W R - n h0 c0")], {"x": (5, 2, 4), "n": "lengths", "h0": (1, 2, 3),
                                                           "c0": (1, 2, 3)}),
    "before an activation": ([node("Relu", "v", "x"), lstm()], {"v": (5, 2, 4)}),
    "ids of a table": ([node("Gather", "E ids", "e"), node("Transpose", "e", "x", perm=[1, 0, 2]), lstm()],
                       {"ids": "ids"}),
}


def arrays(shapes: dict[str, Any]) -> dict[str, np.ndarray]:
    special = {"lengths": np.array([5, 3], np.int32), "ids": IDS}
    return {name: special[shape] if isinstance(shape, str) else normal(*shape) for name, shape in shapes.items()}


@pytest.mark.parametrize("name", CASES)
def test_inputs_without_a_shape_whose_use_tells_it(name: str) -> None:
    nodes, shapes = CASES[name]
    feed = arrays(shapes)
    source = model(nodes, {key: (array.dtype.name, array.shape) for key, array in feed.items()}, "Y h",
                   {**WEIGHTS, "E": TABLE})
    agrees(shapeless(source), feed)


def test_inputs_without_a_shape_that_the_caller_gives() -> None:
    source = shapeless(model([node("ReduceSum", "v last", "x"), lstm()], {"v": (5, 2, 4, 6)}, "Y h",
                             {**WEIGHTS, "last": np.array([-1])}))
    source.graph.node[0].attribute.add(name="keepdims", type=2, i=0)
    with pytest.raises(le.UnsupportedError, match=r"input 'v' .*no shape; give it.*{'shapes': {'v': \[None, ...\]}}"):
        imported(source)
    made = agrees(source, {"v": normal(5, 2, 4, 6)}, shapes={"v": [None, None, 4, None]})
    assert made.inputs["v"].shape[2] == 4
    with pytest.raises(le.ArgumentError, match="shapes of 'v'"):
        imported(source, shapes={"v": 3})


STATES = {"h0": (1, "N", 3), "c0": (1, "N", 3)}


@pytest.mark.parametrize("op, inputs", [("Gather", "table"), ("Gather", ""), ("Transpose", ""), ("LSTM", "x"),
                                        ("LSTM", ""), ("Relu", "")])
def test_nodes_with_too_few_inputs_before_inputs_without_a_shape(op: str, inputs: str) -> None:
    """What an input's rank is told by is looked at before nodes are checked."""
    source = shapeless(model([node(op, inputs, "v"), node("Relu", "v", "u"), lstm("u W R")], {"x": (5, 2, 4)}, "Y",
                             {**WEIGHTS, "table": TABLE}))
    with pytest.raises(le.UnsupportedError if op != "LSTM" or not inputs else le.FormatError,
                       match=f"input 'x' .*no shape|{op}"):
        le.convert(source)


@pytest.mark.parametrize(("inputs", "more"), [("x W R", {}), ("x W R - - h0 c0", STATES)])
def test_one_symbol_for_two_axes_says_nothing(inputs: str, more: dict[str, tuple]) -> None:
    source = model([lstm(inputs)], {"x": ("N", "N", 4), **more}, "Y h", WEIGHTS)
    states = {name: normal(1, 2, 3) for name in more}
    made = agrees(source, {"x": normal(5, 2, 4), **states})
    agrees(source, {"x": normal(2, 2, 4), **states})
    assert len(set(made.inputs["x"].shape)) == 3


@pytest.mark.parametrize("attributes", [
    {"activation_alpha": [0.5]},
    {"activation_alpha": [0.5, 0.6, 0.7], "activation_beta": [0.1, 0.2, 0.3]},
    {"activations": ["Sigmoid", "LeakyRelu", "Tanh"], "activation_alpha": [0.3, 0.7, 0.0]},
    {"activations": ["HardSigmoid", "Tanh", "Elu"], "activation_alpha": [0.3, 0.7, 0.9, 2.0],
     "activation_beta": [0.4, 9]},
])
def test_values_that_no_activation_takes(attributes: dict[str, Any]) -> None:
    """They go in order to those that take them, as ONNX's text and ONNX Runtime have it; the rest says nothing."""
    agrees(model([lstm(**attributes)], {"x": ("time", "batch", 4)}, "Y h", WEIGHTS), {"x": normal(5, 2, 4)})
