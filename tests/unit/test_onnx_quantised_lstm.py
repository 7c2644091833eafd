"""com.microsoft's DynamicQuantizeLSTM against ONNX Runtime, which alone has it, and the reference beside them.

Its products of uint8 and int8 are exact only where the CPU has VNNI; without, sums of pairs of 16 bits may saturate, so
weights stay in 7 bits here.
"""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from onnx_graphs import model, node, runtime_outputs

import lstm_engine as le
from lstm_engine.graph import Operator, Value
from lstm_engine.notes import notes
from lstm_engine.operators import OPERATORS, compile_operator, operator_attributes, operator_shapes
from lstm_engine.reference.operators import run_operator

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

pytestmark = pytest.mark.filterwarnings("ignore:as the file says:UserWarning")      # what depends on the whole batch

MICROSOFT = "com.microsoft"


def results(made: Any, feeds: dict[str, Any]) -> list[np.ndarray]:
    found = made.predict(feeds)
    return list(found.values()) if isinstance(found, dict) else [found]


def whole_weights(rng: Any, dirs: int, rows: int, columns: int, kind: str, each: bool) -> list[np.ndarray]:
    """A matrix of whole numbers, its scale and its zero, a direction or each of its columns."""
    real = (rng.standard_normal((dirs, rows, columns)) / 2).astype(np.float32)
    zero = 0 if kind == "int8" else int(rng.integers(110, 146))
    scale = (np.abs(real).max((1,) if each else (1, 2)) / 63).astype(np.float32)
    limits = np.iinfo(kind)
    matrix = np.clip(np.rint(real / scale.reshape(dirs, 1, -1)) + zero, limits.min, limits.max).astype(kind)
    return [matrix, scale, np.full(scale.shape, zero, kind)]


def dynamic_lstm(rng: Any, outputs: str = "y yh yc", batch: int = 3, time: int = 6, direction: str = "forward",
                 kind: str = "int8", each: bool = False, given: str = "", shapes: dict[str, Any] | None = None,
                 **attributes: Any) -> tuple[Any, dict[str, np.ndarray]]:
    """given: which inputs that may be left out are there, of "B l h c P"."""
    dirs, features, hidden = 1 + (direction == "bidirectional"), int(rng.integers(1, 9)), int(rng.integers(1, 20))
    W, ws, wz = whole_weights(rng, dirs, features, 4 * hidden, kind, each)
    R, rs, rz = whole_weights(rng, dirs, hidden, 4 * hidden, kind, each)

    def real(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    feeds = {"x": real(time, batch, features)}
    if "l" in given:
        feeds["l"] = rng.integers(1, time + 1, batch).astype(np.int32)
    feeds |= {name: real(dirs, batch, hidden) for name in "hc" if name in given}
    tensors = {"W": W, "R": R, "ws": ws, "wz": wz, "rs": rs, "rz": rz, "B": real(dirs, 8 * hidden) / 2,
               "P": real(dirs, 3 * hidden)}
    names = ["x", "W", "R", *(name if name in given else "-" for name in "BlhcP"), "ws", "wz", "rs", "rz"]
    inputs = {name: (array.dtype.name, array.shape) for name, array in feeds.items()}
    made = node("DynamicQuantizeLSTM", " ".join(names), outputs, domain=MICROSOFT, hidden_size=hidden,
                direction=direction, **attributes)
    used = {name: array for name, array in tensors.items() if name in names}
    return model([made], inputs, " ".join(name for name in outputs.split() if name != "-"), used,
                 domains={MICROSOFT: 1}), feeds


ACTIVATIONS = {"activations": ["HardSigmoid", "Relu", "Softsign"] * 2, "activation_alpha": [0.25] * 2,
               "activation_beta": [0.4] * 2}
OTHERS = {"activations": ["Affine", "ScaledTanh", "Elu"], "activation_alpha": [0.3, 0.9, 0.7],
          "activation_beta": [0.5, 1.1]}
LSTMS: dict[str, dict[str, Any]] = {
    "plain": {}, "unsigned": {"kind": "uint8"}, "one row": {"batch": 1, "given": "Bhc"},
    "many rows": {"batch": 32, "given": "Bl"}, "a scale each": {"each": True, "given": "B"},
    "unsigned, a scale each": {"each": True, "kind": "uint8", "given": "Bhc"}, "reverse": {"direction": "reverse"},
    "reverse, lengths": {"direction": "reverse", "given": "Blhc"},
    "both": {"direction": "bidirectional", "given": "Blhc", "each": True}, "peepholes": {"given": "BP"},
    "coupled": {"given": "B", "input_forget": 1}, "clip": {"given": "B", "clip": 1.5},
    "activations": {"direction": "bidirectional", "given": "B", **ACTIVATIONS}, "more activations": OTHERS,
    "states alone": {"outputs": "- yh yc", "given": "Bl"}, "the cell alone": {"outputs": "- - yc"},
    "no states": {"outputs": "y"}, "no steps": {"time": 1, "given": "hc"}}


@pytest.mark.parametrize("case", LSTMS)
def test_dynamic_quantize_lstm(case: str) -> None:
    apart = []
    for seed in range(8):
        source, feeds = dynamic_lstm(np.random.default_rng(seed), **LSTMS[case])
        made = le.convert(source)
        wanted, = [runtime_outputs(source, feeds)]
        operator, = made.graph.nodes
        reference = run_operator(operator, [feeds.get(name) for name in operator.inputs])
        by_name = dict(zip(operator.outputs, reference))
        for (name, theirs), ours in zip(wanted.items(), results(made, feeds)):
            assert ours.shape == theirs.shape and ours.dtype == np.float32
            gap = max(np.abs(ours - theirs).max(), np.abs(by_name[name] - theirs).max())
            # Where a number of h stands near a half, the last bits of a tanh say which whole number it becomes: one
            # step of 255, times a weight below 2.
            assert gap <= 0.05, (seed, name)
            if gap > 2e-6:
                apart.append((seed, name, gap))
    assert len({seed for seed, *_ in apart}) <= 1, apart


@pytest.mark.parametrize("sizes", [(50, 32, 64, 32), (200, 4, 8, 16), (1, 64, 128, 64), (5, 1, 300, 8)])
def test_no_more_memory_than_is_told(sizes: tuple[int, int, int, int]) -> None:
    time, batch, features, hidden = sizes
    W, R = (np.ones((1, rows, 4 * hidden), np.int8) for rows in (features, hidden))
    scale, zero = np.ones(1, np.float32), np.zeros(1, np.int8)
    constants = {1: W, 2: R, 8: scale, 9: zero, 10: scale, 11: zero}
    operator = Operator(name="n", inputs=("x", *[""] * 11), outputs=("y", "h", "c"), op_type="DynamicQuantizeLSTM",
                        constants=constants)
    x = np.ones((time, batch, features), np.float32)
    run, made = compile_operator(operator), operator_shapes(operator, [Value("x", x.shape), *[None] * 11])
    need = OPERATORS[operator.op_type].need_for(operator_attributes(operator), [x, *map(constants.get, range(1, 12))],
                                                made)
    run([x])
    tracemalloc.start()
    try:
        run([x])
        assert tracemalloc.get_traced_memory()[1] <= need.bytes
    finally:
        tracemalloc.stop()


def test_a_dynamic_lstm_mixes_rows_and_says_so() -> None:
    source, feeds = dynamic_lstm(np.random.default_rng(0))
    source.graph.input[0].CopyFrom(onnx.helper.make_tensor_value_info("x", 1, ["time", "batch", feeds["x"].shape[2]]))
    made = le.convert(source)
    with pytest.raises(le.UnsupportedError, match="DynamicQuantizeLSTM"):
        made.predict(feeds["x"], batch_size=1)
    assert "a row's results depend on the rows beside it" in notes(made.graph.metadata)[0]
    assert "DynamicQuantizeLSTM" in made.summary() and "1 operator runs in NumPy" in made.summary()


def test_a_dynamic_lstm_under_onnxs_own_domain_is_unknown() -> None:
    source, _ = dynamic_lstm(np.random.default_rng(0))
    source.graph.node[0].domain = ""
    with pytest.raises(le.UnsupportedError, match="DynamicQuantizeLSTM.: this operator is not supported"):
        le.convert(source)


def changed(name: str, array: np.ndarray) -> Any:
    source, _ = dynamic_lstm(np.random.default_rng(0), each=False, given="BP")
    for tensor in source.graph.initializer:
        if tensor.name == name:
            tensor.CopyFrom(onnx.numpy_helper.from_array(array, name))
    return source


ONE = np.ones(1, np.float32)


@pytest.mark.parametrize("source, message", [
    (changed("ws", np.zeros(1, np.float32)), "input 8, a scale, holds 0.0; scales are finite and above 0"),
    (changed("rs", -ONE), "input 10, a scale, holds -1.0; scales"),
    (changed("rs", ONE * np.nan), "input 10, a scale, holds nan; scales"),
    (changed("ws", np.ones(3, np.float32)), "W_scale must be float32 [1] or [1, 52], got float32 [3]"),
    (changed("wz", np.zeros(1, np.uint8)), "W_zero_point must be int8 [1] or [1, 52], got uint8 [1]"),
    (changed("rz", np.zeros(2, np.int8)), "R_zero_point must be int8 [1] or [1, 52], got int8 [2]"),
    (changed("W", np.zeros((1, 2, 52), np.int8)), "W must be int8 or uint8 [1, 7, 52], got int8 [1, 2, 52]"),
    (changed("W", np.zeros((1, 7, 52), np.float32)), "W must be int8 or uint8"),
    (changed("R", np.zeros((1, 13, 52), np.uint8)), "R must be int8 [1, 13, 52], got uint8"),
    (changed("R", np.zeros((13, 52), np.int8)), "X and R need 3 axes, not 3 and 2"),
    (changed("P", np.zeros((1, 3), np.float32)), "P must be float32 [1, 39], got float32 [1, 3]"),
    (dynamic_lstm(np.random.default_rng(0), clip=-1.0)[0], "attribute 'clip' is -1.0; expected a number above 0"),
    (dynamic_lstm(np.random.default_rng(0), activations=["Tanh"])[0], "activations must be 3 names, got ['Tanh']"),
    (dynamic_lstm(np.random.default_rng(0), activations=["Swish"] * 3)[0], "activation 'Swish' is not supported"),
    (dynamic_lstm(np.random.default_rng(0), activations=["Affine"] * 3)[0], "activation Affine needs an alpha and a b"),
    (dynamic_lstm(np.random.default_rng(0), layout=1)[0], "attribute 'layout' is not supported"),
    (model([node("DynamicQuantizeLSTM", "x W R", "y", domain=MICROSOFT)], {"x": (2, 1, 3)}, "y",
           {"W": np.ones((1, 3, 8), np.int8), "R": np.ones((1, 2, 8), np.int8)}, domains={MICROSOFT: 1}),
     "input 8 is missing"),
])
def test_bad_dynamic_lstms(source: Any, message: str) -> None:
    with pytest.raises((le.FormatError, le.UnsupportedError)) as caught:
        le.convert(source)
    assert message in str(caught.value)


def test_lengths_that_are_none() -> None:
    source, feeds = dynamic_lstm(np.random.default_rng(0), given="l")
    with pytest.raises(le.ArgumentError, match="sequence_lens must be from 0 to 6, got 1 to 9"):
        le.convert(source).predict(feeds | {"l": np.array([1, 9, 2], np.int32)})
    none = results(le.convert(source), feeds | {"l": np.zeros(3, np.int32)})
    assert not any(array.any() for array in none)
