"""Normalizations by channel: as many numbers as channels, said at load where the graph tells, at run where it does not;
NumPy would repeat a single one, or add arrays of two sizes that happen to fit. ONNX Runtime refuses these too."""

from __future__ import annotations

import numpy as np
import pytest
from onnx_graphs import model, node

import lstm_engine as le

pytest.importorskip("onnx")

PARAMETERS = {"BatchNormalization": "sbmv", "InstanceNormalization": "sb"}


def source(op: str, sizes: list[int], dims: tuple) -> object:
    """One node over x, a parameter of each size."""
    names = PARAMETERS[op]
    return model([node(op, f"x {' '.join(names)}", "y")], {"x": dims}, "y",
                 {name: np.linspace(1, 2, size, dtype=np.float32) for name, size in zip(names, sizes)}, opset=13)


@pytest.mark.parametrize("op, sizes", [("BatchNormalization", [4, 4, 4, 1]), ("BatchNormalization", [4, 0, 4, 4]),
                                       ("BatchNormalization", [1, 1, 4, 4]), ("InstanceNormalization", [4, 1])])
@pytest.mark.parametrize("channels", ["c", 4])
def test_parameters_that_disagree_are_refused_at_load(op, sizes, channels):
    with pytest.raises(le.LstmEngineError, match=r"input \d of shape \[\d\] for \d channels"):
        le.convert(source(op, sizes, ("b", channels, "n")))


@pytest.mark.parametrize("op", PARAMETERS)
@pytest.mark.parametrize("given", [1, 4])
def test_channels_that_the_graph_does_not_tell_are_counted_at_run(op, given):
    engine = le.convert(source(op, [given] * 4, ("b", "c", "n")))
    right, wrong = np.ones((2, given, 5), np.float32), np.ones((2, 5 - given, 5), np.float32)
    for _ in range(3):                                     # as a first, a recorded and a later call
        assert engine.predict(right).shape == right.shape
        with pytest.raises(le.ArgumentError, match=f"{given} numbers for {5 - given} channels"):
            engine.predict(wrong)


def test_a_constant_of_no_elements_beside_one_feature():
    """One feature and no numbers: broadcast to no elements, as NumPy and ONNX have it."""
    engine = le.convert(model([node("Mul", "x c", "y")], {"x": ("b", 1)}, "y", {"c": np.zeros(0, np.float32)}))
    assert engine.predict(np.ones((3, 1), np.float32)).shape == (3, 0)
