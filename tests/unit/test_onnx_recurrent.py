"""Recurrent nodes of ONNX: every attribute, read to the letter, against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx_graphs import check, imported, kinds, model, node

import lstm_engine as le
from lstm_engine.errors import FormatError, UnsupportedError
from lstm_engine.graph import Activation
from lstm_engine.reference import run

pytest.importorskip("onnx")
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
H, I, BATCH, TIME = 3, 4, 2, 5  # noqa: E741  (the names of the equations)
# float32 sums of a few terms near 1 through five steps, against float64.
TOLERANCE = 2e-6


def weights(op: str, dirs: int = 1, seed: int = 0, **others: Any) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    g = GATES[op]
    shapes = {"W": (dirs, g * H, I), "R": (dirs, g * H, H), "B": (dirs, 2 * g * H)}
    made = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    return {**made, **others}


def one(op: str, inputs: str = "X W R B", outputs: str | None = None, dirs: int = 1, graph_inputs: dict | None = None,
        tensors: dict | None = None, layout: int = 0, **attributes: Any) -> Any:
    """A model of one recurrent node with all its outputs."""
    outputs = outputs or ("Y Y_h Y_c" if op == "LSTM" else "Y Y_h")
    x = ("batch", "time", I) if layout else ("time", "batch", I)
    if layout:
        attributes["layout"] = layout
    return model([node(op, inputs, outputs, name=op.lower(), hidden_size=H, **attributes)],
                 {"X": x, **(graph_inputs or {})}, outputs.replace("- ", ""), tensors or weights(op, dirs))


def x(layout: int = 0) -> np.ndarray:
    array = np.random.default_rng(5).standard_normal((TIME, BATCH, I)).astype(np.float32)
    return np.ascontiguousarray(array.swapaxes(0, 1)) if layout else array


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("direction, dirs", [("forward", 1), ("reverse", 1), ("bidirectional", 2)])
def test_directions(op: str, direction: str, dirs: int) -> None:
    made = check(one(op, dirs=dirs, direction=direction), {"X": x()}, TOLERANCE)
    cell = next(n for n in made.nodes if n.op == op)
    assert cell.direction == direction and kinds(made)[0] == "Transpose"      # the interface stays time-major


@pytest.mark.parametrize("lengths", (False, True))
@pytest.mark.parametrize("op", GATES)
def test_no_steps_end_in_zero_states(op: str, lengths: bool) -> None:
    """Whatever the initial state, and however it is said that there are none; the standard is silent.

    ONNX Runtime gives zeros where lengths say it, and from an RNN. Without lengths its LSTM gives what stood in memory
    before, another at each run, and its GRU ends the process.
    """
    inputs = {"H": (1, "batch", H), **({"L": ("int32", ("batch",))} if lengths else {})}
    source = one(op, f"X W R B {'L' if lengths else '-'} H", graph_inputs=inputs)
    feeds = {"X": x()[:0], "H": np.full((1, BATCH, H), 5, np.float32), **({"L": np.zeros(BATCH, np.int32)}
                                                                          if lengths else {})}
    if op == "RNN" or lengths:
        check(source, feeds, 0)
    for got in (run(imported(source), feeds), le.convert(source).predict(feeds)):
        assert got["Y"].shape == (0, 1, BATCH, H)
        np.testing.assert_array_equal(got["Y_h"], np.zeros((1, BATCH, H)))


@pytest.mark.parametrize("op", GATES)
def test_layout_1(op: str) -> None:
    """ONNX Runtime does not run layout 1: the same arrays, turned, must come out."""
    batch_first = run(imported(one(op, layout=1)), {"X": x(1)})
    time_first = run(imported(one(op)), {"X": x()})
    np.testing.assert_array_equal(batch_first["Y"], time_first["Y"].transpose(2, 0, 1, 3))
    np.testing.assert_array_equal(batch_first["Y_h"], time_first["Y_h"].transpose(1, 0, 2))


@pytest.mark.parametrize("activations, alpha, beta, expected", [
    (["HardSigmoid", "Tanh", "ScaledTanh"], [0.3, 1.5], [0.4, 0.6],
     (Activation("hard_sigmoid", 0.3, 0.4), Activation("tanh"), Activation("scaled_tanh", 1.5, 0.6))),
    (["sigmoid", "LEAKYRELU", "Affine"], [0.05, 0.9], [0.1],
     (Activation("sigmoid"), Activation("leaky_relu", 0.05), Activation("affine", 0.9, 0.1))),
    (["Sigmoid", "Elu", "Softsign"], [], [],
     (Activation("sigmoid"), Activation("elu", 1.0), Activation("softsign"))),
])
def test_sparse_parameters(activations: list, alpha: list, beta: list, expected: tuple) -> None:
    attributes = dict(activations=activations, **({"activation_alpha": alpha} if alpha else {}),
                      **({"activation_beta": beta} if beta else {}))
    made = check(one("LSTM", **attributes), {"X": x()}, TOLERANCE)
    functions, = next(n for n in made.nodes if n.op == "LSTM").activations
    for found, wanted in zip(functions, expected):
        assert found.name == wanted.name
        for ours, theirs in ((found.alpha, wanted.alpha), (found.beta, wanted.beta)):
            # Attributes are stored in single precision.
            assert (ours is None and theirs is None) or ours == pytest.approx(theirs, rel=1e-7)


def test_the_second_direction_has_its_own_activations() -> None:
    source = one("LSTM", dirs=2, direction="bidirectional", activation_alpha=[0.3, 0.2], activation_beta=[0.4],
                 activations=["HardSigmoid", "Tanh", "Tanh", "Sigmoid", "Relu", "LeakyRelu"])
    made = check(source, {"X": x()}, TOLERANCE)
    first, second = next(n for n in made.nodes if n.op == "LSTM").activations
    assert [f.name for f in first] == ["hard_sigmoid", "tanh", "tanh"]
    assert [f.name for f in second] == ["sigmoid", "relu", "leaky_relu"]


@pytest.mark.parametrize("op, attributes", [("LSTM", {"clip": 0.5}), ("LSTM", {"input_forget": 1}),
                                            ("GRU", {"clip": 0.4}), ("GRU", {"linear_before_reset": 1}),
                                            ("RNN", {"clip": 0.3})])
def test_options(op: str, attributes: dict) -> None:
    made = check(one(op, **attributes), {"X": x()}, TOLERANCE)
    cell = next(n for n in made.nodes if n.op == op)
    for name, value in attributes.items():
        assert getattr(cell, name) == pytest.approx(value, rel=1e-7)


def test_peepholes_and_everything_named() -> None:
    rng = np.random.default_rng(3)
    state = ("float32", (1, "batch", H))
    source = one("LSTM", "X W R B lens h0 c0 P", graph_inputs={"lens": ("int32", ("batch",)), "h0": state, "c0": state},
                 tensors=weights("LSTM", P=rng.standard_normal((1, 3 * H)).astype(np.float32)))
    feeds = {"X": x(), "lens": np.array([2, TIME], np.int32),
             **{n: rng.standard_normal((1, BATCH, H)).astype(np.float32) for n in ("h0", "c0")}}
    made = check(source, feeds, TOLERANCE)
    cell = next(n for n in made.nodes if n.op == "LSTM")
    assert cell.P.shape == (1, 3 * H) and cell.inputs[1] == "lens" and cell.inputs[2] and cell.inputs[3]


def test_names_left_out() -> None:
    """No bias, no lengths, an initial_c alone; of the outputs only Y_c."""
    source = one("LSTM", "X W R - - - c0", "- - Y_c", graph_inputs={"c0": ("float32", (1, "batch", H))})
    feeds = {"X": x(), "c0": np.ones((1, BATCH, H), np.float32)}
    made = check(source, feeds, TOLERANCE)
    cell = next(n for n in made.nodes if n.op == "LSTM")
    assert cell.B is None and cell.outputs[:2] == ("", "") and cell.inputs[1:3] == ("", "")


def test_constant_states_and_lengths() -> None:
    """Zeros and full lengths are the default and go; others become constants of the graph."""
    zeros = np.zeros((1, BATCH, H), np.float32)
    full = np.full(BATCH, TIME, np.int32)
    inputs = "X W R B lens h0 c0"
    free = one("LSTM", inputs, graph_inputs={"X": (TIME, "batch", I)},
               tensors=weights("LSTM", lens=full, h0=zeros, c0=zeros))
    kept = check(free, {"X": x()}, TOLERANCE)               # they say how many rows X must have
    assert kept.inputs[0].name == "X" and len(next(n for n in kept.nodes if n.op == "LSTM").inputs) == 4
    fixed_time = {"X": (TIME, BATCH, I)}
    plain = one("LSTM", inputs, graph_inputs=fixed_time, tensors=weights("LSTM", lens=full, h0=zeros, c0=zeros))
    made = check(plain, {"X": x()}, TOLERANCE)
    cell = next(n for n in made.nodes if n.op == "LSTM")
    assert len(cell.inputs) == 1 and "Identity" not in kinds(made)
    short = one("LSTM", inputs, graph_inputs=fixed_time, tensors=weights("LSTM", lens=full - 1, h0=zeros + 1, c0=zeros))
    made = check(short, {"X": x()}, TOLERANCE)
    cell = next(n for n in made.nodes if n.op == "LSTM")
    assert len(cell.inputs) == 3 and cell.inputs[1] and cell.inputs[2]


def test_the_typo_of_the_first_version() -> None:
    assert imported(one("GRU", direction="foward")).nodes[1].direction == "forward"


@pytest.mark.parametrize("change, message", [
    (dict(direction="backward"), "direction is 'backward'; expected forward, reverse or bidirectional"),
    (dict(clip=0.0), "clip is 0.0; expected a number above 0"),
    (dict(layout=2), "layout is 2; expected 0 or 1"),
    (dict(activations=["Sigmoid", "Tanh"]), "activations must be 3 names, got ('Sigmoid', 'Tanh')"),
    (dict(activations=["Sigmoid", "Affine", "Tanh"]), "activation Affine needs an alpha and a beta, for which ONNX "
                                                      "states no default: give them in activation_alpha"),
    (dict(activations=["Sigmoid", "ScaledTanh", "Tanh"], activation_alpha=[0.5]),
     "activation ScaledTanh needs an alpha and a beta"),
    (dict(input_forget=2), "input_forget is 2; expected 0 or 1"),
    (dict(tensors=weights("LSTM", R=np.zeros((1, 4 * H, H + 1), np.float32))),
     "R must be [1, 12, 3] for hidden_size 3, got [1, 12, 4]"),
    (dict(tensors=weights("LSTM", W=np.zeros((2, 4 * H, I), np.float32))), "W must be [1, 12, 4] for hidden_size 3"),
    (dict(tensors=weights("LSTM", B=np.zeros((1, 4 * H), np.float32))),
     "B must be [1, 24] for hidden_size 3, got [1, 12]"),
    (dict(tensors=weights("LSTM", R=np.zeros((1, 4 * H, H)))), "R must be float32, got float64"),
    (dict(inputs="X W R B - - - P", tensors=weights("LSTM", P=np.zeros((1, 4 * H), np.float32))),
     "P must be [1, 9] for hidden_size 3, got [1, 12]"),
    (dict(inputs="X W - B"), "input R is missing"),
    (dict(inputs="- W R B"), "input X is missing"),
    (dict(inputs="X W R B - h0", tensors=weights("LSTM", h0=np.zeros((1, 2, H + 2), np.float32))),
     "'h0' must be float32 [1, 'batch', 3], got float32 [1, 2, 5]"),
])
def test_bad_nodes(change: dict, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        imported(one("LSTM", **change))
    assert message in str(caught.value) and "node 'lstm' (LSTM)" in str(caught.value)


@pytest.mark.parametrize("change, message", [
    (dict(activations=["Sigmoid", "Swish", "Tanh"]), "activation 'Swish' is not supported; supported: affine, relu"),
    (dict(activations=["Sigmoid", "Gelu", "Tanh"]), "activation 'Gelu' is not supported"),         # none of ONNX's
    (dict(projection_size=2), "attribute 'projection_size' is not supported"),
    (dict(tensors={"R": np.zeros((1, 12, 3), np.float32), "B": np.zeros((1, 24), np.float32)},
          graph_inputs={"W": (1, 12, 4)}),
     "W ('W') is made when the model runs; only constant weights are supported"),
])
def test_unsupported_nodes(change: dict, message: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        imported(one("LSTM", **change))
    assert message in str(caught.value) and "node 'lstm' (LSTM)" in str(caught.value)


def test_weights_of_inputs_can_be_fixed() -> None:
    given = weights("LSTM")
    source = one("LSTM", tensors={"R": given["R"], "B": given["B"]}, graph_inputs={"W": (1, 12, 4)})
    check(source, {"X": x(), "W": given["W"]}, TOLERANCE, fixed={"W": given["W"]})


def test_double_precision() -> None:
    """A float64 model stays one. ONNX Runtime runs none: the same weights in float32 are the measure."""
    source = one("LSTM", tensors={n: w.astype(np.float64) for n, w in weights("LSTM").items()},
                 graph_inputs={"X": ("float64", ("time", "batch", I))})
    made = imported(source)
    assert next(n for n in made.nodes if n.op == "LSTM").W.dtype == np.float64 and made.inputs[0].dtype == "float64"
    single = run(imported(one("LSTM")), {"X": x()})
    # float32 weights are exact in float64, so the two reference runs are the same numbers.
    np.testing.assert_array_equal(run(made, {"X": x()})["Y"], single["Y"])


def test_half_precision_is_computed_in_single() -> None:
    half = {n: w.astype(np.float16) for n, w in weights("LSTM").items()}
    made = imported(one("LSTM", tensors=half, graph_inputs={"X": ("float16", ("time", "batch", I))}))
    cell = next(n for n in made.nodes if n.op == "LSTM")
    assert cell.W.dtype == np.float32 and made.inputs[0].dtype == "float16"
    np.testing.assert_array_equal(cell.W, half["W"].astype(np.float32))
