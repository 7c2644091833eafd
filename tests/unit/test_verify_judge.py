"""How far from right a right model may be: the rules of `verifying.judge`, and the inputs made up."""

from __future__ import annotations

import numpy as np
import pytest

import lstm_engine as le
from lstm_engine import graph as g
from lstm_engine.verifying import made_up
from lstm_engine.verifying.judge import Sample, exact_is_the_same_function, judge
from lstm_engine.verifying.sizes import Roles, least_steps

EPS = float(np.finfo(np.float32).eps)


def sample(ours_error=0.0, error=0.0, shape=(4, 5, 3), seed=0, size=1.0, nudged=3):
    """Outputs of magnitude `size`; the framework, and we, are off by normal errors of such deviations."""
    rng = np.random.default_rng(seed)
    exact = size * rng.standard_normal(shape)

    def near(deviation):
        return (exact + deviation * rng.standard_normal(shape)).astype(np.float32)
    return Sample(near(ours_error), near(error), [near(error) for _ in range(nudged)], exact)


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_the_framework_sets_the_measure(size):
    error = 30 * EPS * size
    for seed in range(20):                                          # the same rounding is right, whatever its luck
        assert judge([sample(error, error, seed=seed, size=size)]).good
    assert not judge([sample(40 * error, error, size=size)]).good
    verdict = judge([sample(0.0, error, size=size)])
    assert verdict.theirs_off > error and verdict.decides and verdict.undecided == 0


def test_a_few_units_in_the_last_place_are_always_allowed():
    exact = np.linspace(1, 2, 60).reshape(4, 5, 3)
    theirs = exact.astype(np.float32)
    assert judge([Sample((theirs + 4 * EPS).astype(np.float32), theirs)]).good
    assert not judge([Sample((theirs + 100 * EPS).astype(np.float32), theirs)]).good


def test_a_channel_of_large_numbers_does_not_widen_another():
    one = sample(error=EPS, shape=(50, 2))
    for array in (one.ours, one.theirs, one.exact, *one.nudged):
        array[:, 0] *= 1e9
    assert judge([one]).good
    one.ours[3, 1] += 1e-4
    assert not judge([one]).good


def test_one_number_that_jumps_does_not_widen_its_neighbours():
    one = sample(error=EPS, shape=(50, 4))
    one.nudged[1][7, 2] += 1.0                                      # a threshold that this run crosses
    one.ours[7, 2] += 1.0
    verdict = judge([one])
    assert verdict.good and verdict.undecided == 1
    one.ours[8, 2] += 1e-4
    assert not judge([one]).good


def test_a_framework_that_is_not_sure_of_most_decides_nothing():
    verdict = judge([sample(0.3, 0.3)])
    assert verdict.good and not verdict.decides


def test_nan_and_infinity_agree_with_themselves_alone():
    theirs = np.array([[1.0, np.nan, np.inf, 2.0]], np.float32)
    assert judge([Sample(theirs.copy(), theirs, [theirs.copy()])]).good
    for place, wrong in ((0, np.nan), (1, 0.0), (2, -np.inf), (3, np.inf)):
        ours = theirs.copy()
        ours[0, place] = wrong
        assert not judge([Sample(ours, theirs, [theirs.copy()])]).good


def test_whole_numbers():
    theirs = np.array([[1, 2, 3]])
    other = np.array([[1, 2, 4]])
    assert judge([Sample(theirs.copy(), theirs, [other])]).good
    verdict = judge([Sample(other, theirs, [other])])
    assert verdict.good and verdict.undecided == verdict.differing == 1
    assert not judge([Sample(other, theirs, [theirs])]).good
    assert not judge([Sample(np.array([True]), np.array([False]))]).good


def test_a_float64_run_of_another_function_is_not_believed():
    one = sample(error=EPS)
    assert exact_is_the_same_function([one])
    one.exact = one.exact + 0.1
    assert not exact_is_the_same_function([one])


def test_the_least_number_of_steps():
    for least in (1, 2, 11, 192, 1000):
        assert least_steps(lambda steps, least=least: steps >= least) == least
    assert least_steps(lambda steps: False) is None


def recurrent(inputs, *others):
    node = g.LSTM(name="l", inputs=inputs, outputs=("y",), W=np.ones((1, 4, 2), np.float32),
                  R=np.ones((1, 4, 1), np.float32))
    return g.Graph((g.Value("x", ("rows", "frames", 2)), *others), (node,), ("y",))


def test_what_symbols_stand_for():
    graph = recurrent(("x", "n"), g.Value("n", ("rows",), "int32"))
    assert Roles.of(graph) == Roles("rows", ("frames",), ())
    turned = g.Operator(name="t", op_type="Transpose", inputs=("s",), outputs=("x",), attributes={"perm": (1, 0, 2)})
    first = g.Graph((g.Value("s", ("frames", "rows", 2)),), (turned, recurrent(("x",)).nodes[0]), ("y",))
    assert Roles.of(first) == Roles("rows", ("frames",), ())


def test_kinds_of_inputs():
    rng = np.random.default_rng(0)
    graph = recurrent(("x", "n"), g.Value("n", ("rows",), "int32"))
    sizes = {"rows": 40, "frames": 9}
    for family in (made_up.ORDINARY, *made_up.families(graph)):
        lengths = made_up.inputs(graph, sizes, family, rng)["n"]
        assert lengths.min() >= 1 and lengths.max() == 9
    made = {family.name: made_up.inputs(graph, sizes, family, rng)["x"] for family in made_up.families(graph)}
    assert np.abs(made["large numbers (deviation 100)"]).max() > 200 and made["negative numbers"].max() < 0
    assert made["positive numbers"].min() > 0 and not made["zeros"].any() and made["an offset of 50"].min() > 40


def test_constants_of_the_graph():
    clock = g.Operator(name="s", op_type="Sub", inputs=("x", ""), outputs=("d",), constants={1: np.array(1.7e9)})
    mean = g.Operator(name="m", op_type="Add", inputs=("d", ""), outputs=("e",),
                      constants={1: np.array([-70.0, 0.5], np.float32)})
    graph = g.Graph((g.Value("x", ("batch", "time", 2), "float64"),), (clock, mean), ("e",))
    found = made_up.constants(graph)
    assert 1.7e9 in [one for one in found if np.ndim(one) == 0]
    assert any(np.ndim(one) and list(one) == [70.0, -0.5] for one in found)
    near = next(family for family in made_up.families(graph) if "1.7e+09" in family.name)
    x = made_up.inputs(graph, {"batch": 3, "time": 4}, near, np.random.default_rng(0))["x"]
    assert x.dtype == np.float64 and np.abs(x - 1.7e9).max() < 10 and np.abs(x - 1.7e9).max() > 0.1


def test_ids_meet_the_first_and_the_last():
    model = le.Model([le.Embedding(np.ones((700, 3), np.float32))])
    for family in (made_up.ORDINARY, *made_up.families(model.graph)):
        made_up.inputs(model.graph, {"batch": 2, "time": 5}, family, np.random.default_rng(0))
    ids = made_up.inputs(model.graph, {"batch": 2, "time": 5}, made_up.ORDINARY, np.random.default_rng(0))["input"]
    assert ids.min() == 0 and ids.max() == 699
