"""LSTM_ENGINE_CHECK=1: right runs pass in every way to run; a wrong kernel or weight is caught and named."""

from __future__ import annotations

import sys
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import lstm_engine as le
from lstm_engine import checking
from lstm_engine.errors import CheckError, LstmEngineError
from lstm_engine.graph import LSTM, RNN, Activation, Dense, Graph, Operator, Value
from lstm_engine.graph.quantized import QUANTIZED_TYPES

RNG = np.random.default_rng(0)
LINEAR = Activation.of("linear")


def numbers(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def layers() -> list:
    return [le.LSTM(numbers(1, 20, 3), numbers(1, 20, 5), numbers(1, 40)), le.Dense(numbers(5, 2), numbers(2))]


def graph_with_operators() -> Graph:
    lstm = LSTM(name="lstm", inputs=("scaled",), outputs=("y",), W=numbers(1, 20, 3), R=numbers(1, 20, 5))
    return Graph((Value("x", ("batch", "time", 3)),), (
        Operator(name="scale", inputs=("x", ""), outputs=("scaled",), op_type="Mul", constants={1: numbers(3)}), lstm,
        Operator(name="sum", inputs=("y", ""), outputs=("summed",), op_type="ReduceSum", constants={1: np.array([1])},
                 attributes={"keepdims": 0}),
        Operator(name="most", inputs=("y",), outputs=("place",), op_type="ArgMax", attributes={"axis": 2}),
        Dense(name="head", inputs=("summed",), outputs=("z",), kernel=numbers(5, 2))), ("z", "place"))


@pytest.fixture(autouse=True)
def same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same numbers whichever tests ran before: some gates are so full that a weight that is off does not show."""
    monkeypatch.setattr(sys.modules[__name__], "RNG", np.random.default_rng(0))


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LSTM_ENGINE_CHECK", "1")


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what is compared."""
    seen: list[str] = []
    original = checking.compare

    def compare(what: str, *rest: Any, **options: Any) -> None:
        seen.append(what)
        original(what, *rest, **options)
    monkeypatch.setattr(checking, "compare", compare)
    return seen


def test_off_by_default(monkeypatch: pytest.MonkeyPatch, compared: list[str]) -> None:
    monkeypatch.delenv("LSTM_ENGINE_CHECK", raising=False)
    le.Model(layers()).predict(numbers(2, 4, 3))
    assert not compared


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_way_to_run_is_checked(check: None, compared: list[str], dtype: str) -> None:
    model = le.Model(layers(), dtype=dtype)
    x = numbers(3, 6, 3).astype(dtype)
    stream, states = model.stream(3), model.stream(3)
    state = {"lstm": {"h": numbers(3, 1, 5), "c": numbers(3, 1, 5)}}
    for number, run in enumerate((
            lambda: model(x), lambda: model(list(x)), lambda: model(x, lengths=[6, 0, 3]), lambda: model(x, threads=2),
            lambda: model(x, batch_size=2), lambda: model(x, out=np.empty((3, 6, 2), dtype)),
            lambda: model(x, initial_state=state, return_state=True),
            lambda: model(np.where(x > 1.5, np.nan, x), nan="mask"), lambda: model(x[:0]), lambda: model(x[:, :0]),
            lambda: stream.step(x[:, 0]), lambda: stream.run(x), lambda: states.run(x[:, :2]))):
        before = len(compared)
        run()
        assert len(compared) > before, number


def test_last_steps_embeddings_and_pools(check: None, compared: list[str]) -> None:
    ids = RNG.integers(0, 9, (4, 7))
    for last in (le.Pool("mean"), le.Pool("max"), le.Pool("last")):
        model = le.Model([le.Embedding(numbers(9, 3)), le.LSTM(numbers(2, 20, 3), numbers(2, 20, 5),
                                                               direction="bidirectional"), last])
        for _ in range(3):
            model.predict(ids, lengths=[7, 1, 0, 4])
    model = le.Model([le.GRU(numbers(1, 15, 3), numbers(1, 15, 5), return_sequences=False)])
    stream = model.stream(2)
    stream.run(numbers(2, 4, 3))
    stream.step(numbers(2, 3))
    assert compared


def test_operators_and_recordings(check: None, compared: list[str]) -> None:
    pytest.importorskip("onnx")
    model = le.Model(graph_with_operators())
    x = numbers(2, 4, 3)
    for _ in range(4):
        compared.clear()
        model.predict(x)
        assert [name.split("'")[1] for name in compared] == ["scale", "lstm", "sum", "most", "head"]
    recording = next(iter(model._runner._recordings.values()))
    recording.calls.append((np.add, (recording.outputs["z"], np.float32(1e-6), recording.outputs["z"])))
    with pytest.raises(CheckError, match="'z': a recorded run has other bits"):
        model.predict(x)


def test_a_wrong_host_kernel_is_named(check: None, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnx")
    from lstm_engine.operators import OPERATORS

    for name, op_type, kernel in (("scale", "Mul", lambda x, y: x * y * np.float32(1 + 3e-5)),
                                  ("most", "ArgMax", lambda x: x.argmax(2)[..., None] * 0)):
        with monkeypatch.context() as patch:
            wrong = replace(OPERATORS[op_type], make=lambda attributes, node, kernel=kernel: kernel)
            patch.setitem(OPERATORS, op_type, wrong)
            model = le.Model(graph_with_operators())
            with pytest.raises(CheckError, match=f"node '{name}' \\({op_type}\\)") as caught:
                model.predict(numbers(2, 4, 3))
            assert isinstance(caught.value, LstmEngineError)


@pytest.mark.parametrize("way", ["predict", "lengths", "stream", "operators"])
def test_a_wrong_packed_weight_is_named(check: None, way: str) -> None:
    """The core holds other numbers than the graph: one weight of 100 off by a hundredth."""
    from lstm_engine import runtime
    from lstm_engine.layers import chain
    from lstm_engine.operators import validate
    from lstm_engine.plan import lower
    from lstm_engine.running.predict import Predictor

    graph = validate(graph_with_operators()) if way == "operators" else chain(layers())
    model = le.Model(graph)
    lstm = next(node for node in graph.nodes if isinstance(node, LSTM))
    wrong = lstm.R.copy()
    wrong[0, 7, 2] += 0.01
    other = replace(graph, nodes=tuple(replace(node, R=wrong) if node is lstm else node for node in graph.nodes))
    model._runner = checking.guarded(lower(other, isa=runtime.isa()), graph)
    model._predictor = Predictor(model._runner)
    model._direct = model._only = None
    x = numbers(2, 5, 3)
    run = {"predict": lambda: model(x), "operators": lambda: model(x), "lengths": lambda: model(x, lengths=[5, 2]),
           "stream": lambda: model.stream(2).run(x)}[way]
    with pytest.raises(CheckError, match=r"'lstm' \(LSTM\).*a difference of .*where rounding explains"):
        run()


def test_without_onnx_it_says_so_once(check: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from lstm_engine.reference import operators

    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.setattr(checking, "_said", False)
    operators._evaluator.cache_clear()
    model = le.Model(graph_with_operators())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            model.predict(numbers(2, 4, 3))
    assert [str(warning.message) for warning in caught if "unchecked" in str(warning.message)] == [
        "LSTM_ENGINE_CHECK: host operators went unchecked, as the onnx package is missing: "
        "pip install 'lstm-engine[onnx]'"]


def test_a_cell_that_comes_back_to_zero(check: None) -> None:
    """Gates of almost 1, which float32 rounds to 1: c is 1 after the first step, and what rounding left after the next,
    though no change of a weight or input by a rounding moves it."""
    W = np.array([[[0], [0], [0], [20]]], np.float32)
    B = np.array([[20, 20, 20, 0, 0, 0, 0, 0]], np.float32)
    model = le.Model([le.LSTM(W, np.zeros((1, 4, 1), np.float32), B)])
    made = model.predict(np.array([[[1], [-1]]], np.float32))
    np.testing.assert_allclose(made[0, :, 0], [np.tanh(1), 0], atol=1e-7)       # a rounding of 1


@pytest.mark.parametrize("kind", ["int8", "bfloat16", "float16", "int8_weights"])
def test_weights_of_fewer_bits_are_checked(check: None, compared: list[str], kind: Any) -> None:
    """As they are stored, the rows of products rounded by the definition; another model is caught."""
    model = le.Model([le.GRU(numbers(1, 90, 70), numbers(1, 90, 30), numbers(1, 180)), le.Dense(numbers(30, 5))])
    small = le.quantize(model, kind)
    x = numbers(9, 12, 70)
    for threads in (1, 2):
        small.predict(x, threads=threads)
    with small.stream(batch=9) as stream:
        stream.run(x[:, :5])
        stream.step(x[:, 5].copy())
    assert len(compared) >= 4
    core: Any = small._runner.plan.steps[0].core  # type: ignore[union-attr]
    core._nodes = [replace(node, B=node.B + np.float32(0.5)) if node.op == "GRU" else node for node in core._nodes]
    with pytest.raises(CheckError, match="GRU"):
        small.predict(x)


def products(kernel: np.ndarray, to: str) -> le.Model:
    dense = Dense(name="fc", inputs=("x",), outputs=("y",), kernel=kernel)
    return le.quantize(le.Model(Graph((Value("x", ("batch", len(kernel))),), (dense,), ("y",))), to)


@pytest.mark.parametrize("to", QUANTIZED_TYPES)
def test_quantised_products_round_like_others(check: None, to: str) -> None:
    """Long sums that cancel; products that are denormal, which instructions for bfloat16 take as 0; x part and h part
    that cancel."""
    for size in (1, 1e-19, 1e-39):
        for x in (numbers(5, 700), np.ones((5, 700), np.float32)):
            products(numbers(700, 21), to).predict(x * np.float32(size))
            products(np.full((700, 3), size, np.float32), to).predict(x * np.float32(size))
    R = numbers(1, 300, 300)
    node = RNN(name="rnn", inputs=("x", "", "h"), outputs=("y",), W=-R - np.float32(1e-6), R=R,
               activations=((LINEAR,),))
    model = le.quantize(le.Model(Graph((Value("x", ("batch", "time", 300)), Value("h", ("batch", 300))), (node,),
                                       ("y",))), to)
    x = numbers(5, 300)
    model.predict({"x": x[:, None], "h": x * np.float32(1 + 1e-4)})


@pytest.mark.parametrize("to", QUANTIZED_TYPES)
def test_a_wrong_quantised_weight_is_named(check: None, to: str) -> None:
    """The core holds one weight of 700 that is off by more than a unit of its type."""
    from lstm_engine import runtime
    from lstm_engine.plan import lower
    from lstm_engine.running.predict import Predictor

    kernel = numbers(700, 3)
    model, x = products(kernel, to), numbers(4, 700)
    model.predict(x)
    other = kernel.copy()
    other[5, 1] += 0.05
    model._runner = checking.guarded(lower(products(other, to).graph, isa=runtime.isa()), model.graph)
    model._predictor = Predictor(model._runner)
    model._direct = model._only = None
    with pytest.raises(CheckError, match=r"'fc' \(Dense\).*a difference of .*where rounding explains"):
        model.predict(x)
