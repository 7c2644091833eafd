"""A small whole ONNX model, and changes that make lies of its parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx_graphs import model, node


def lstm_model() -> Any:
    """Embedding, LSTM, Dense."""
    rng = np.random.default_rng(0)
    tensors = {"table": rng.standard_normal((7, 4)), "W": rng.standard_normal((1, 12, 4)),
               "R": rng.standard_normal((1, 12, 3)), "B": rng.standard_normal((1, 24)),
               "k": rng.standard_normal((3, 2))}
    nodes = [node("Gather", "table ids", "e"), node("Transpose", "e", "t", perm=[1, 0, 2]),
             node("LSTM", "t W R B", "Y Yh Yc", name="lstm", hidden_size=3), node("Squeeze", "Y one", "s"),
             node("MatMul", "s k", "y")]
    return model(nodes, {"ids": ("int64", ("batch", "time"))}, "y",
                 {**{name: array.astype(np.float32) for name, array in tensors.items()}, "one": np.array([1])})


def tensor_of(source: Any, name: str) -> Any:
    return next(tensor for tensor in source.graph.initializer if tensor.name == name)


def zeros(name: str, *shape: int) -> Any:
    """A TensorProto."""
    from onnx import numpy_helper

    return numpy_helper.from_array(np.zeros(shape, np.float32), name)


def wrong(letter: str, *shape: int) -> Callable[[Any], None]:
    """A weight of another shape."""
    def change(source: Any) -> None:
        tensor_of(source, letter).CopyFrom(zeros(letter, *shape))
    change.__name__ = f"{letter}{shape}"
    return change


def external(source: Any, name: str, location: str, **entries: Any) -> Any:
    """The model with a tensor kept outside."""
    tensor = tensor_of(source, name)
    tensor.ClearField("raw_data")
    tensor.data_location = 1
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    return source
