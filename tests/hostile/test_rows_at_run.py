"""Shapes that a run makes otherwise than a model was loaded for: an exact error before the core is called, never a read
or write past an array. Every refusal here is one of ONNX Runtime's too; each is asked for as a first, a recorded and a
later call, between calls that are right.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx_graphs import model, node, runtime_outputs

import lstm_engine as le
from lstm_engine import _core, runtime
from lstm_engine.graph import LINEAR, RNN, TANH, Graph, Operator, Value
from lstm_engine.plan import lower
from lstm_engine.running.bound import Runner
from lstm_engine.running.execute import execute

pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")

# float32 sums of at most 2,000 products of numbers around 0.02, in another order of summation
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def weights(*shape: int, scale: float = 0.5) -> np.ndarray:
    return (scale * np.random.default_rng(shape).standard_normal(shape)).astype(np.float32)


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng([7, *shape]).standard_normal(shape).astype(np.float32)


def held(source: Any, right: dict[str, np.ndarray], wrong: dict[str, np.ndarray], message: str) -> None:
    """`right` gives ONNX Runtime's numbers, `wrong` our message where ONNX Runtime raises too; in turn."""
    wanted = runtime_outputs(source, right)
    with pytest.raises(Exception, match="(?i)shape|dim|size|reshape"):          # of several classes, ONNX Runtime's own
        runtime_outputs(source, wrong)
    for first in (right, wrong):                            # which of the two the engine sees first
        engine = le.convert(source)
        for feed in (first, wrong, right, wrong, right, right, wrong, wrong, right):
            if feed is wrong:
                with pytest.raises(le.LstmEngineError, match=message):
                    engine.predict(feed)
            else:
                made = engine.predict(feed)
                for name, array in (made if isinstance(made, dict) else {next(iter(wanted)): made}).items():
                    np.testing.assert_allclose(array, wanted[name], **CLOSE)


def test_a_dense_layer_of_one_feature_behind_a_computed_reshape():
    source = model([node("Reshape", "x t", "r"), node("MatMul", "r K", "y", name="dense")],
                   {"x": ("b", "f"), "t": ("int64", (2,))}, "y", {"K": weights(1, 16)})
    held(source, {"x": numbers(4, 6), "t": np.array([24, 1])}, {"x": numbers(4, 6), "t": np.array([1, 24])},
         r"node 'dense' \(Dense\): value 'r' must have shape \[rows, 1\], got \[1, 24\]")


def test_a_dense_layer_of_one_feature_on_a_value_of_four_axes():
    source = model([node("Reshape", "x t", "r"), node("MatMul", "r K", "y", name="dense")],
                   {"x": ("b", "f"), "t": ("int64", (4,))}, "y", {"K": weights(1, 16)})
    held(source, {"x": numbers(4, 6), "t": np.array([2, 2, 6, 1])}, {"x": numbers(4, 6), "t": np.array([1, 1, 4, 6])},
         r"node 'dense' \(Dense\): value 'r' must have 4 axes, the last of 1, got \[1, 1, 4, 6\]")


def test_an_lstm_of_many_features_given_one():
    source = model([node("Reshape", "x t", "r"), node("LSTM", "r W R", "y", name="lstm", hidden_size=1)],
                   {"x": ("b", "f"), "t": ("int64", (3,))}, "y",
                   {"W": weights(1, 4, 2000, scale=0.02), "R": weights(1, 4, 1)})
    x = numbers(1, 2000)
    held(source, {"x": x, "t": np.array([1, 1, 2000])}, {"x": x, "t": np.array([2000, 1, 1])},
         r"node 'lstm' \(LSTM\): value 'r/transpose' must have shape \[rows, steps, 2000\], got \[1, 2000, 1\]")


@pytest.mark.parametrize("samples", [176, 32])
def test_an_lstm_of_ten_frames_behind_a_convolution_over_samples(samples):
    source = model([node("Conv", "x C", "c", strides=[16]), node("LSTM", "c W R", "y", name="lstm", hidden_size=4)],
                   {"x": ("b", 1, "samples")}, "y", {"C": weights(8, 1, 16), "W": weights(1, 16, 10),
                                                     "R": weights(1, 16, 4)})
    held(source, {"x": numbers(2, 1, 160)}, {"x": numbers(2, 1, samples)},
         rf"node 'lstm' \(LSTM\): value 'c/transpose' must have shape \[rows, steps, 10\], got "
         rf"\[8, 2, {samples // 16}\]")


@pytest.mark.parametrize("rows", [1, 3, 60_000])
def test_a_first_state_of_other_rows(rows):
    source = model([node("Reshape", "s t", "h"), node("RNN", "x W R - - h", "y", name="rnn", hidden_size=2)],
                   {"x": ("time", "b", 2), "s": ("n",), "t": ("int64", (3,))}, "y",
                   {"W": weights(1, 2, 2), "R": weights(1, 2, 2)})
    x = numbers(2, 50_000, 2)
    held(source, {"x": x, "s": numbers(100_000), "t": np.array([1, 50_000, 2])},
         {"x": x, "s": numbers(rows * 2), "t": np.array([1, rows, 2])},
         rf"node 'rnn' \(RNN\): value 'h/.*' must have shape \[50000, 2\] beside 'x/transpose', got \[{rows}, 2\]")


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_constant_first_state_of_one_row(value):
    """Zeros too: ONNX wants as many rows as x has, whatever stands in them."""
    source = model([node("RNN", "x W R - - h", "y", hidden_size=2)], {"x": ("time", "b", 2)}, "y",
                   {"W": weights(1, 2, 2), "R": weights(1, 2, 2), "h": np.full((1, 1, 2), value, np.float32)})
    held(source, {"x": numbers(3, 1, 2)}, {"x": numbers(3, 5, 2)},
         r"input 'x': expected shape \[time, 1, 2\], got \[3, 5, 2\]")


def test_two_states_that_disagree_with_each_other():
    source = model([node("Reshape", "s t", "h"), node("LSTM", "x W R - - h c", "y", name="lstm", hidden_size=2)],
                   {"x": ("time", "b", 2), "s": ("n",), "t": ("int64", (3,)), "c": (1, "b", 2)}, "y",
                   {"W": weights(1, 8, 2), "R": weights(1, 8, 2)})
    c = numbers(1, 4, 2)
    held(source, {"x": numbers(3, 4, 2), "s": numbers(8), "t": np.array([1, 4, 2]), "c": c},
         {"x": numbers(3, 4, 2), "s": numbers(4), "t": np.array([1, 2, 2]), "c": c},
         r"value 'h/.*' must have shape \[4, 2\] beside 'x/transpose', got \[2, 2\]")


# ---- masks ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("shape", [(2, 4), (3, 3), (1, 4)])
def test_a_mask_that_the_graph_makes_of_another_shape(shape):
    cell = RNN(name="rnn", inputs=("x", "", "", "", "mask"), outputs=("y",), W=weights(1, 2, 2), R=weights(1, 2, 2))
    made = Operator(name="made", inputs=("m", "t"), outputs=("mask",), op_type="Reshape")
    graph = Graph((Value("x", ("b", "time", 2)), Value("m", ("n",), "bool"), Value("t", (2,), "int64")), (made, cell),
                  ("y",))
    feed = {"x": numbers(3, 4, 2), "m": np.ones(np.prod(shape), bool), "t": np.array(shape)}
    with pytest.raises(le.ArgumentError, match=r"mask 'mask': expected shape \[3, 4\]"):
        le.Model(graph).predict(feed)


# ---- the core itself, whatever a plan believes ----------------------------------------------------------------------

def core(*, ids: bool = False, sequence: bool = True) -> Any:
    """x of 3 features to 2 units; with `ids`, a table of 5."""
    made = _core.CoreModel(runtime.isa(), "float32", "packed")
    x = made.embedding(made.input_ids(sequence, 0, "ids"), weights(5, 3)) if ids else made.input(sequence, 0, 3, "x")
    made.output(made.dense(x, weights(3, 2), None, LINEAR), "y")
    made.finish()
    return made


def fresh(*shape: int, dtype: str = "float32") -> np.ndarray:
    return np.zeros(shape, dtype)


@pytest.mark.parametrize("x", [(4, 5, 2), (4, 5, 4), (4, 15), (60,), (4, 5, 3, 1)])
def test_the_core_refuses_an_input_of_another_shape(x):
    with pytest.raises(le.ArgumentError, match=r"value 'x': expected shape \[rows, steps, 3\], got \["):
        core().run([fresh(*x)], 1)


@pytest.mark.parametrize("x", [(3, 5, 3), (5, 5, 3), (4, 4, 3), (4, 6, 3), (0, 5, 3), (4, 0, 3)])
def test_the_core_refuses_an_output_of_other_rows_and_steps_than_its_input(x):
    rows, steps, _ = x
    with pytest.raises(le.ArgumentError, match=rf"value 'y': expected shape \[{rows}, {steps}, 2\], got \[4, 5, 2\]"):
        core().run([fresh(*x)], 1, None, [fresh(4, 5, 2)])


@pytest.mark.parametrize("h", [(3, 2), (5, 2), (0, 2), (4, 1), (4, 3), (8,), (4, 5, 2)])
def test_the_core_refuses_inputs_that_disagree(h):
    made = _core.CoreModel(runtime.isa(), "float32", "packed")
    cell = RNN(name="rnn", inputs=("x", "", "h"), outputs=("y",), W=weights(1, 2, 3), R=weights(1, 2, 2),
               activations=((TANH,),))
    y, *_ = made.recurrent(cell, made.input(True, 0, 3, "x"), made.input(False, 0, 2, "h"), -1, True, False, False)
    made.output(y)
    made.finish()
    with pytest.raises(le.ArgumentError, match=r"value 'h': expected shape \[4, 2\], got \["):
        made.run([fresh(4, 5, 3), fresh(*h)], 1)


@pytest.mark.parametrize("kernel", [(2, 2), (4, 2), (3,), (3, 2, 1)])
def test_the_core_refuses_weights_of_another_size_than_what_they_multiply(kernel):
    made = _core.CoreModel(runtime.isa(), "float32", "packed")
    x = made.input(True, 0, 3)
    with pytest.raises(le.ArgumentError, match="dense kernel: expected"):
        made.dense(x, weights(*kernel), None, LINEAR)
    with pytest.raises(le.ArgumentError, match="dense bias: expected"):
        made.dense(x, weights(3, 2), weights(3), LINEAR)
    cell = RNN(name="rnn", inputs=("x",), outputs=("y",), W=weights(1, 2, 4), R=weights(1, 2, 2),
               activations=((TANH,),))
    with pytest.raises(le.ArgumentError, match=r"rnn.W: expected a C-contiguous float32 array of shape \(1, 2, 3\)"):
        made.recurrent(cell, x, -1, -1, True, False, False)
    with pytest.raises(le.ArgumentError, match="embedding table: expected"):
        made.embedding(made.input_ids(True, 0), weights(5))
    with pytest.raises(le.CoreError, match="no value 99"):
        made.output(99)


@pytest.mark.parametrize("y", [(4, 5, 1), (3, 5, 2), (4, 4, 2), (4, 10), (40,), (0, 5, 2)])
def test_the_core_refuses_an_output_of_another_shape(y):
    with pytest.raises(le.ArgumentError, match=r"value 'y': expected shape \[4, 5, 2\], got \["):
        core().run([fresh(4, 5, 3)], 1, None, [fresh(*y)])


@pytest.mark.parametrize("ids", [(20,), (4, 5, 1), ()])
def test_the_core_refuses_ids_of_another_shape(ids):
    with pytest.raises(le.ArgumentError, match=r"value 'ids': expected shape \[rows, steps\], got \["):
        core(ids=True).run([fresh(*ids, dtype="int32")], 1)


@pytest.mark.parametrize("dtype", ["float64", "int32", "float16"])
def test_the_core_refuses_another_dtype(dtype):
    with pytest.raises(le.ArgumentTypeError, match="value 'x': expected an aligned, C-contiguous array"):
        core().run([fresh(4, 5, 3, dtype=dtype)], 1)


@pytest.mark.parametrize("lengths", [(3,), (5,), (4, 1), ()])
def test_the_core_refuses_other_lengths(lengths):
    with pytest.raises(le.ArgumentError, match=r"lengths: expected shape \[4\], got \["):
        core().run([fresh(4, 5, 3)], 1, [fresh(*lengths, dtype="int32")])


def test_the_core_refuses_a_vector_for_a_sequence_and_the_other_way_round():
    with pytest.raises(le.ArgumentError, match=r"value 'x': expected shape \[rows, 3\], got \[4, 1, 3\]"):
        core(sequence=False).run([fresh(4, 1, 3)], 1)


def test_calls_made_ahead_take_only_what_fits():
    made = core()
    assert made.bind([fresh(4, 5, 3)], 1) is not None
    assert made.bind([fresh(4, 5, 3)], 1, fresh(4, 5, 2)) is not None
    for x, out in (((4, 5, 2), None), ((4, 15), None), ((4, 5, 3), (4, 5, 3)), ((4, 5, 3), (3, 5, 2))):
        assert made.bind([fresh(*x)], 1, None if out is None else fresh(*out)) is None
    with pytest.raises(le.CoreError, match="a port is missing"):
        made.try_run([], 1)


@pytest.mark.parametrize("state", [(3, 2), (4, 1), (8,), (2, 4)])
def test_the_core_refuses_a_state_of_another_shape(state):
    made = _core.CoreModel(runtime.isa(), "float32", "packed")
    cell = RNN(name="rnn", inputs=("x",), outputs=("y",), W=weights(1, 2, 3), R=weights(1, 2, 2),
               activations=((TANH,),))
    y, *_ = made.recurrent(cell, made.input(True, 0, 3), -1, -1, True, False, False)
    made.output(y)
    made.finish()
    for before, after in ((fresh(*state), None), (None, fresh(*state))):
        with pytest.raises(le.ArgumentError, match=r"state: expected shape \[4, 2\], got \["):
            made.run([fresh(4, 5, 3)], 1, None, None, before, after)
    with pytest.raises(le.ArgumentError, match=r"state: expected shape \[4, 2\], got \["):
        made.stream(4, fresh(*state), 1, _core.TryLock(RuntimeError, "in use"))


def test_a_plan_whose_values_are_not_what_it_was_made_for():
    """`execute` is given what `predict` would have refused: each port is looked at again."""
    cell = RNN(name="rnn", inputs=("x", "", "h"), outputs=("y",), W=weights(1, 2, 3), R=weights(1, 2, 2))
    graph = Graph((Value("x", ("b", "t", 3)), Value("h", ("b", 2))), (cell,), ("y",))
    runner = Runner(lower(graph, isa=runtime.isa()))

    def run(x: np.ndarray, h: np.ndarray, **more: Any) -> Any:
        options = {"lengths": {}, "state_in": {}, "state_out": {}, "threads": 1, **more}
        return execute(runner, {"x": x, "h": h}, 4, **options)

    assert run(fresh(4, 5, 3), fresh(4, 2))["y"].shape == (4, 5, 2)
    for x, h in (((4, 5, 3), (1, 2)), ((4, 5, 3), (4, 1)), ((4, 5, 3), (4, 5, 2)), ((4, 15), (4, 2)),
                 ((4, 5, 4), (4, 2)), ((), (4, 2))):
        with pytest.raises(le.ArgumentError, match=r"node 'rnn' \(RNN\): value '[xh]' must have shape"):
            run(fresh(*x), fresh(*h))
    with pytest.raises(le.ArgumentError, match="lengths: expected 4 of them"):
        run(fresh(4, 5, 3), fresh(4, 2), lengths={"t": fresh(3, dtype="int32")})
    with pytest.raises(le.ArgumentError, match="value 'y': expected shape"):
        run(fresh(4, 5, 3), fresh(4, 2), out={"y": fresh(4, 5, 1)})
