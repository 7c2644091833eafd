"""Bound runs: found by shapes, dtypes and threads; shared by the calls and streams of one model, and by nobody else."""

from __future__ import annotations

import numpy as np
import pytest

import lstm_engine as le
from lstm_engine import runtime
from lstm_engine.graph import RNN, Graph, Operator, Value
from lstm_engine.plan import lower
from lstm_engine.running.bound import Runner
from lstm_engine.running.execute import execute

EYE = np.eye(3, dtype=np.float32)[None]


def graph() -> Graph:
    """y = tanh(x + h) of a state that comes and goes, and twice that: a segment between operators."""
    return Graph((Value("x", ("batch", "time", 3)), Value("h", ("batch", 3))),
                 (Operator(name="as_it_is", inputs=("x",), outputs=("z",), op_type="Abs"),
                  RNN(name="rnn", inputs=("z", "", "h"), outputs=("y", "last"), W=EYE, R=EYE),
                  Operator(name="twice", inputs=("y", "y"), outputs=("w",), op_type="Add")), ("w", "last"))


def runner() -> Runner:
    return Runner(lower(graph(), isa=runtime.isa()))


def values(rows: int = 2, steps: int = 4, dtype: str = "float32") -> dict[str, np.ndarray]:
    return {"x": np.ones((rows, steps, 3), dtype), "h": np.ones((rows, 3), np.float32)}


def call(runner: Runner, given: dict[str, np.ndarray], threads: int = 1) -> dict[str, np.ndarray]:
    return execute(runner, dict(given), len(given["x"]), lengths={}, state_in={}, state_out={}, threads=threads)


def test_what_binds_a_run() -> None:
    runs = runner()
    bound = runs.find(values(), 1)
    assert runs.find({"x": values()["x"] * 2, "h": values()["h"]}, 1) is bound
    others = [runs.find(values(rows=3), 1), runs.find(values(steps=5), 1), runs.find(values(dtype="float64"), 1),
              runs.find(values(), 2)]
    assert len({id(found) for found in (bound, *others)}) == 5


def test_a_plan_learns_nothing_from_its_calls() -> None:
    plan = lower(graph(), isa=runtime.isa())
    one, other = Runner(plan), Runner(plan)
    for _ in range(3):
        call(one, values())
    assert one.recordings() == 1 and one.find(values(), 1).within
    assert other.recordings() == 0 and not other.find(values(), 1).within


def test_old_shapes_are_forgotten_with_their_recordings() -> None:
    runs = runner()
    for _ in range(2):
        call(runs, values())
    assert runs.recordings() == 1 and runs.recorded_bytes() > 0
    for steps in range(10, 10 + Runner.MOST_BOUND):
        call(runs, values(steps=steps))
    assert len(runs._bound) == Runner.MOST_BOUND and runs.recordings() == 0 and runs.recorded_bytes() == 0


def test_a_recording_of_shapes_that_were_forgotten_meanwhile_goes() -> None:
    """A call may have it in hand while others bring 64 newer shapes and then its own again, which another run binds."""
    runs = runner()
    for _ in range(2):
        call(runs, values())
    bound = runs.find(values(), 1)
    recording = bound.idle.pop()
    runs._recordings.pop(id(recording))
    for steps in range(10, 10 + Runner.MOST_BOUND):
        call(runs, values(steps=steps))
    again = runs.find(values(), 1)
    assert again is not bound
    runs._keep(bound, recording)
    assert runs.recordings() == 0 and not bound.idle and not again.idle


@pytest.mark.unchecked("the check goes through a plan step by step beside every recorded run")
def test_a_stream_uses_what_predict_recorded() -> None:
    model = le.Model(graph())
    x, h = np.full((2, 1, 3), 0.5, np.float32), np.zeros((2, 3), np.float32)
    for _ in range(2):
        model.predict({"x": x, "h": h}, threads=1)
    stream, state = model.stream(2, states={"h": "last"}, threads=1), h.astype(np.float64)
    for _ in range(4):
        state = np.tanh(0.5 + state)
        np.testing.assert_allclose(stream.step({"x": x})[:, 0], 2 * state, rtol=1e-6)     # a few roundings
    assert model._runner.recordings() == 1
    assert len(model._runner._bound) == 1
