"""Views of values: random chains of moves, run by NumPy and followed as views, give the same array."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import pytest

from lstm_engine.graph import Graph, Value
from lstm_engine.importers.onnx.mapping.layouts import Builder
from lstm_engine.importers.onnx.mapping.views import View, join
from lstm_engine.operators import infer_shapes
from lstm_engine.reference import run


def show(view: View, root: np.ndarray, symbols: dict[int, str]) -> np.ndarray:
    """The view's array, by the operators that a Builder makes for it, run on `root`."""
    shape = tuple(symbols.get(i, size) for i, size in enumerate(root.shape))
    builder = Builder()
    builder.values["x"] = Value("x", shape)
    wanted = tuple(f"?{i}" if size is None else size for i, size in enumerate(view.shape()))
    name = builder.array(view, wanted)
    graph = Graph((Value("x", shape),), tuple(builder.nodes), (name,))
    assert len(infer_shapes(graph)[name].shape) == len(wanted)
    return run(graph, {"x": root})[name]


def moved(view: View, array: np.ndarray, rng: np.random.Generator) -> tuple[View | None, np.ndarray]:
    """One random move of both."""
    kind = rng.choice(["transpose", "squeeze", "unsqueeze", "merge", "split", "pick"])
    rank = array.ndim
    if kind == "transpose":
        perm = [int(i) for i in rng.permutation(rank)]
        return view.transpose(perm), array.transpose(perm)
    if kind == "squeeze":
        ones = [i for i, size in enumerate(array.shape) if size == 1][:1]
        return view.squeeze(ones), array.squeeze(tuple(ones))
    if kind == "unsqueeze":
        at = int(rng.integers(rank + 1))
        return view.unsqueeze([at]), np.expand_dims(array, at)
    if kind == "pick" and rank:
        axis = int(rng.integers(rank))
        index = int(rng.integers(array.shape[axis])) - int(rng.choice([0, array.shape[axis]]))
        keep = bool(rng.integers(2))
        picked = array.take(index, axis)
        return view.pick(axis, index, keep), np.expand_dims(picked, axis) if keep else picked
    if kind == "merge" and rank > 1:
        at = int(rng.integers(rank - 1))
        shape = list(view.shape())
        sizes = array.shape
        merged = shape[:at] + ["new"] + shape[at + 2:]
        if None in merged:
            return view, array
        if all(isinstance(size, int) for size in shape[at:at + 2]):
            merged[at] = prod(shape[at:at + 2])
        return view.reshape(merged), array.reshape(sizes[:at] + (sizes[at] * sizes[at + 1],) + sizes[at + 2:])
    if kind == "split" and rank and rank < 6:
        at = int(rng.integers(rank))
        shape = list(view.shape())
        if isinstance(shape[at], int) and shape[at] % 2 == 0 and None not in shape:
            sizes = array.shape
            parts = [2, shape[at] // 2][::int(rng.choice([-1, 1]))]
            return view.reshape(shape[:at] + parts + shape[at + 1:]), array.reshape(
                sizes[:at] + tuple(parts) + sizes[at + 1:])
    return view, array


@pytest.mark.parametrize("seed", range(150))
def test_chains(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = tuple(int(rng.choice([1, 2, 3, 4, 6, 8])) for _ in range(int(rng.integers(1, 5))))
    root = np.arange(prod(sizes), dtype=np.float64).reshape(sizes)
    symbols = {i: f"s{i}" for i in range(len(sizes)) if sizes[i] > 1 and rng.random() < 0.4}
    view: View | None = View.whole("x", [symbols.get(i, size) for i, size in enumerate(sizes)])
    array = root
    for _ in range(int(rng.integers(1, 9))):
        previous = view, array
        view, array = moved(view, array, rng)
        if view is None:            # a move that views do not follow: an operator would stay there
            view, array = previous
    result = show(view, root, symbols)
    assert result.shape == array.shape
    np.testing.assert_array_equal(result, array)


def test_what_comes_back_is_the_root() -> None:
    """The wrapping that PyTorch's exporters put around a bidirectional layer."""
    ours = View.whole("y", ("batch", "time", 16))
    onnx = ours.reshape(("batch", "time", 2, 8)).transpose((1, 2, 0, 3))
    assert onnx.shape() == ("time", 2, "batch", 8)
    back = onnx.transpose((0, 2, 1, 3)).reshape(("time", "batch", 16)).transpose((1, 0, 2))
    builder = Builder()
    builder.values["y"] = Value("y", ("batch", "time", 16))
    assert builder.array(back, ("batch", "time", 16)) == "y" and not builder.nodes


def test_join_puts_picks_back_together() -> None:
    states = View.whole("h", ("batch", 16)).reshape(("batch", 2, 8)).transpose((1, 0, 2))
    first, second = states.pick(0, 0, keep=False), states.pick(0, -1, keep=False)
    joined = join([first, second], 1)
    assert joined.shape() == ("batch", 16) and not joined.picks and joined.order() == [0, 1, 2]
    assert join([second, first], 1) is None             # the directions in another order are not the root
    assert join([first], 1) is None


@pytest.mark.parametrize("shape, target", [
    (("batch", "time", 6), ("time", "batch", 6)),       # a reshape that is no transpose
    (("batch", "time", 6), ("p", "q", 6)),              # two sizes that nothing is known of
    ((4, 6), (3, 8)),                                   # factors that do not line up
    ((4, 6), (4, 5)),
    ((0, 3), (3, 0)),                                   # no elements: nothing to be lined up
    ((0, 3), (2, 0)),
])
def test_reshapes_that_are_not_followed(shape: Any, target: Any) -> None:
    assert View.whole("x", shape).reshape(target) is None


def test_picks_outside_are_not_followed() -> None:
    assert View.whole("x", (3, 4)).pick(0, 3, keep=False) is None
    assert View.whole("x", (3, 4)).reshape((12,)).pick(0, 1, keep=False) is None
