"""Windows of single channels through the core, evenly spaced indices, pads by index: right, and recorded to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lstm_engine as le
from lstm_engine._core import Steps
from lstm_engine.operators.spacing import evenly_spaced, runs_of
from lstm_engine.running.execute import execute

onnx = pytest.importorskip("onnx")
helper = onnx.helper


def model_of(shape: tuple, nodes: list, **weights: np.ndarray) -> le.Model:
    """A model that makes y of x, which is an operator's result, so that nothing is taken into a segment."""
    floats = onnx.TensorProto.FLOAT
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["t"]), *nodes], "g",
                              [helper.make_tensor_value_info("x", floats, shape)], [onnx.ValueInfoProto(name="y")],
                              [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()])
    return le.convert(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10))


def answers(model: le.Model, x: np.ndarray) -> np.ndarray:
    """What the model makes of x: step by step, then recorded twice, all to the bit."""
    with np.errstate(all="ignore"):
        wanted = execute(model._runner, {"x": x}, 1, lengths={}, state_in={}, state_out={}, threads=1)["y"].copy()
    for _ in range(3):
        made = model.predict(x, threads=1)
        np.testing.assert_array_equal(made, wanted)
    assert model._runner.recordings() == 1
    return made


def calls_of(model: le.Model) -> list[Any]:
    return [function for function, _ in next(iter(model._runner._recordings.values())).calls]


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype("f4")


def convolved(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, strides: list, dilations: list, pads: list
              ) -> np.ndarray:
    """Each channel's windows in float64, one product after the other."""
    spatial = x.ndim - 2
    wide = np.pad(x.astype(np.float64), [(0, 0), (0, 0), *zip(pads[:spatial], pads[spatial:])])
    counts = [(size - (k - 1) * d - 1) // s + 1
              for size, k, d, s in zip(wide.shape[2:], w.shape[2:], dilations, strides)]
    made = np.zeros((*x.shape[:2], *counts))
    for tap in np.ndindex(*w.shape[2:]):
        part = tuple(slice(k * d, k * d + (n - 1) * s + 1, s) for k, d, n, s in zip(tap, dilations, counts, strides))
        made += wide[(slice(None), slice(None), *part)] * w[(slice(None), 0, *tap)].reshape(-1, *(1,) * spatial)
    return made if b is None else made + b.reshape(-1, *(1,) * spatial)


CASES = [((2, 3, 9), (3,), [1], [1], [0, 0]), ((1, 70, 9), (3,), [2], [1], [1, 1]), ((1, 5, 9), (2,), [1], [3], [4, 0]),
         ((2, 33, 6, 7), (3, 3), [1, 1], [1, 1], [1, 1, 1, 1]), ((1, 4, 6, 7), (2, 5), [2, 1], [2, 1], [0, 2, 3, 2]),
         ((1, 2, 1, 1), (3, 3), [1, 1], [1, 1], [1, 1, 1, 1]), ((1, 16, 5, 8), (1, 1), [2, 3], [1, 1], [0, 0, 0, 0])]


@pytest.mark.parametrize("shape, kernel, strides, dilations, pads", CASES, ids=lambda v: str(v).replace(" ", ""))
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("moved", [True, False])
def test_depthwise(shape: tuple, kernel: tuple, strides: list, dilations: list, pads: list, biased: bool, moved: bool
                   ) -> None:
    w = numbers(shape[1], 1, *kernel, seed=1)
    weights = {"w": w, **({"b": numbers(shape[1], seed=2)} if biased else {})}
    last = (0, *range(2, len(shape)), 1)
    first = [last.index(axis) for axis in range(len(shape))]
    conv = helper.make_node("Conv", ["m" if moved else "t", *weights], ["y"], group=shape[1], strides=strides,
                            dilations=dilations, pads=pads)
    nodes = [helper.make_node("Transpose", ["t"], ["m"], perm=first), conv] if moved else [conv]
    x = numbers(*shape)
    given = np.ascontiguousarray(x.transpose(last)) if moved else x
    model = model_of(given.shape, nodes, **weights)
    made, wanted = answers(model, given), convolved(-x, w, weights.get("b"), strides, dilations, pads)
    np.testing.assert_allclose(made, wanted, atol=2e-6, rtol=2e-6)
    assert [type(function) for function in calls_of(model)] == [Steps]
    # A row has the bits that it has alone.
    alone = model_of((1, *given.shape[1:]), nodes, **weights)
    for row in range(len(given)):
        np.testing.assert_array_equal(alone.predict(given[row:row + 1], threads=1), made[row:row + 1])


def test_depthwise_of_other_numbers_is_left_to_numpy() -> None:
    x, w = numbers(1, 6, 9), numbers(6, 1, 3)
    for weight, attributes in ((numbers(12, 1, 3), {"group": 6}), (numbers(6, 2, 3), {"group": 3}),
                               (numbers(6, 1, 1, 1, 3), {"group": 6})):
        given = x.reshape(1, 6, 1, 3, 3) if weight.ndim == 5 else x
        conv = helper.make_node("Conv", ["t", "w"], ["y"], **attributes)
        made = answers(model_of(given.shape, [conv], w=weight), given)
        assert np.isfinite(made).all()
    x[0, 2, 4] = np.nan
    made = answers(model_of(x.shape, [helper.make_node("Conv", ["t", "w"], ["y"], group=6)], w=w), x)
    assert np.isnan(made[0, 2]).any() and np.isfinite(made[0, :2]).all()


INDICES = [[[0, 1, 2], [1, 2, 3]], [[4, 2, 0]], [3], [[-1], [-2]], [0, 0, 0], [[0, 2], [2, 4]], [1, 2, 4],
           [[0, 1], [3, 2]]]


@pytest.mark.parametrize("indices", INDICES, ids=str)
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_gather_of_constant_indices(indices: list, axis: int) -> None:
    x = numbers(5, 6, 7)
    gather = helper.make_node("Gather", ["t", "i"], ["y"], axis=axis)
    made = answers(model_of(x.shape, [gather], i=np.array(indices)), x)
    np.testing.assert_array_equal(made, np.take(-x, indices, axis))


def test_indices_beyond_are_refused_at_every_call() -> None:
    model = model_of(("n", 3), [helper.make_node("Gather", ["t", "i"], ["y"], axis=0)], i=np.array([0, 4]))
    for rows in (5, 5, 3, 3, 5, 3):
        if rows == 5:
            model.predict(numbers(5, 3))
        else:
            with pytest.raises(le.LstmEngineError):
                model.predict(numbers(3, 3))


@pytest.mark.parametrize("mode", ["reflect", "edge", "wrap"])
@pytest.mark.parametrize("pads", [(0, 3, 0, 2), (0, 0, 0, 1), (2, 0, 1, 0)], ids=str)
def test_pads_by_index(mode: str, pads: tuple) -> None:
    x = numbers(4, 6)
    made = answers(model_of(x.shape, [helper.make_node("Pad", ["t", "p"], ["y"], mode=mode)], p=np.array(pads)), x)
    np.testing.assert_array_equal(made, np.pad(-x, [(pads[0], pads[2]), (pads[1], pads[3])], mode=mode))


def test_runs_and_spaces() -> None:
    for index in ([3, 2, 1, 0, 1, 2, 3, 4, 3, 2], [0], [0, 0, 0, 1, 2, 2, 2], [5, 3, 1], [0, 7, 3, 3]):
        runs = runs_of(np.array(index))
        assert runs is not None
        made, elements = np.full(len(index), -1), np.arange(9)
        for to, part in runs:
            made[slice(*to)] = elements[part]
        assert made.tolist() == index
    assert runs_of(np.array([0, 5, 1, 7, 2, 8, 0, 3, 1, 4, 0, 5, 2, 9, 1, 7, 0, 3, 2])) is None
    assert evenly_spaced(np.array([[1, 3], [4, 6]])) == [3, 2] and evenly_spaced(np.array([1, 2, 4])) is None
    assert evenly_spaced(np.empty((0, 2), np.int64)) is None and evenly_spaced(np.array(3)) == []


@pytest.mark.parametrize("axis", [-1, 2, 0])
def test_softmax(axis: int) -> None:
    x = 8 * numbers(2, 5, 7)
    model = model_of(x.shape, [helper.make_node("Softmax", ["t"], ["y"], axis=axis)])
    powers = np.exp(-x.astype(np.float64) - (-x).max(axis, keepdims=True))
    np.testing.assert_allclose(answers(model, x), powers / powers.sum(axis, keepdims=True), atol=3e-7)


def test_means_of_all_positions() -> None:
    x = numbers(2, 5, 7, 3)
    model = model_of(x.shape, [helper.make_node("GlobalAveragePool", ["t"], ["y"])])
    np.testing.assert_allclose(answers(model, x), -x.astype(np.float64).mean((2, 3), keepdims=True), atol=3e-7)
    assert [type(function) for function in calls_of(model)] == [Steps]
