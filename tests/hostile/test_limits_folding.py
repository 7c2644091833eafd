"""ONNX graphs that compute something huge of constants: loading does not, and a run refuses it by name."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from onnx_graphs import model, node

import lstm_engine as le


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def summed(nodes, tensors):
    """A model that adds the sum of value "e", which `nodes` make of constants, to its input."""
    return model([*nodes, node("ReduceSum", "e", "s", keepdims=0), node("Add", "x s", "y")],
                 {"x": ("batch", "time", 4)}, "y", tensors)


ONE, FOUR = np.float32(1), np.ones(4, "f4")
HUGE = {
    "ConstantOfShape": ([node("ConstantOfShape", "n", "e")], {"n": ints(1 << 16, 1 << 16)}),
    "doubled": ([node("ConstantOfShape", "n", "c0"), *(node("Concat", f"c{k} c{k}", f"c{k + 1}", axis=0)
                                                     for k in range(40)), node("Identity", "c40", "e")],
                {"n": ints(1024)}),
    "Range": ([node("Range", "a b c", "r"), node("Cast", "r", "e", to=1)],
              {"a": np.int64(0), "b": np.int64(1 << 40), "c": np.int64(1)}),
    "Expand": ([node("Expand", "one n", "e")], {"one": ONE, "n": ints(1 << 20, 1 << 20)}),
    "Tile": ([node("Tile", "four n", "e")], {"four": FOUR, "n": ints(1 << 40)}),
    "Pad": ([node("Pad", "four n", "e")], {"four": FOUR, "n": ints(0, 1 << 40)}),
    "OneHot": ([node("OneHot", "ids n two", "e")],
               {"ids": ints(1, 2), "n": np.int64(1 << 40), "two": np.array([0, 1], "f4")}),
    "MatMul": ([node("MatMul", "a b", "e")], {"a": np.ones((200_000, 1), "f4"), "b": np.ones((1, 200_000), "f4")}),
    "MaxPool": ([node("MaxPool", "a", "e", kernel_shape=[40001, 40001], pads=[20000] * 4)],
                {"a": np.ones((1, 4, 9, 9), "f4")}),
    "Conv": ([node("Conv", "a w", "e", pads=[1 << 30, 1 << 30])],
             {"a": np.ones((1, 1, 9), "f4"), "w": np.ones((1, 1, 3), "f4")}),
    "Einsum": ([node("Einsum", "a a a a", "e", equation="i,j,k,l->ijkl")], {"a": np.ones(1000, "f4")}),
}


@pytest.mark.unchecked("the reference needs memory of its own")
@pytest.mark.parametrize("name", HUGE)
def test_neither_loading_nor_running_makes_it(name):
    pytest.importorskip("onnx")
    source = summed(*HUGE[name])
    tracemalloc.start()
    try:
        made = le.convert(source)
        # 128 MiB may be folded beforehand, and be copied once.
        assert tracemalloc.get_traced_memory()[1] < 300 << 20
        with pytest.raises(le.LimitError, match="node '"):
            made.predict(np.ones((2, 3, 4), "f4"))
        assert tracemalloc.get_traced_memory()[1] < 1 << 30
    finally:
        tracemalloc.stop()


def test_many_small_ones_are_folded_up_to_a_sum():
    pytest.importorskip("onnx")
    count = 2000
    source = summed([*(node("Expand", "one n", f"e{k}") for k in range(count)),
                     node("Sum", " ".join(f"e{k}" for k in range(count)), "e")], {"one": ONE, "n": ints(1 << 18)})
    tracemalloc.start()
    try:
        le.convert(source)
        assert tracemalloc.get_traced_memory()[1] < 300 << 20           # all of them would take 2 GB
    finally:
        tracemalloc.stop()
