"""What is known of an Expand whose target is made when the model runs."""

from __future__ import annotations

import pytest

from lstm_engine.graph import Operator, Value
from lstm_engine.operators import operator_shapes


@pytest.mark.parametrize("x, length, expected", [
    (("batch", 1, 3), 3, ("y_0", "y_1", 3)), ((1, 3), 3, ("y_0", "y_1", 3)), ((2, "t"), 2, (2, "y_1")),
    ((1,), 2, ("y_0", "y_1")), ((4, 5, 1), 2, (4, 5, "y_2")),
])
def test_sizes_above_one_stay(x, length, expected):
    node = Operator(name="y", inputs=("x", "target"), outputs=("y",), op_type="Expand", attributes={}, constants={})
    value, = operator_shapes(node, [Value("x", x), Value("target", (length,), "int64")])
    assert value.shape == expected
