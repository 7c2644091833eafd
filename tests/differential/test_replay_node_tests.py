"""ONNX's own node tests, five runs each with two sets of values in turn: replays against models that run once."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import lstm_engine as le

loader = pytest.importorskip("onnx.backend.test.loader")


def answer(model: le.Model, feeds: dict[str, np.ndarray]) -> Any:
    """The outputs by name, or the text of the refusal."""
    try:
        made = model.predict(feeds)
    except le.LstmEngineError as error:
        return str(error)
    return made if isinstance(made, dict) else {"y": made}


def same(a: Any, b: Any) -> bool:
    if isinstance(a, str) or isinstance(b, str):
        return bool(a == b)
    return all(a[name].dtype == b[name].dtype and a[name].shape == b[name].shape
               and np.array_equal(a[name], b[name], equal_nan=b[name].dtype.kind == "f") for name in b)


def turned(array: np.ndarray) -> np.ndarray:
    """Other values of the same shape; whole numbers stay, as they are mostly axes, sizes and indices."""
    return array[::-1].copy() if array.ndim and array.dtype.kind == "f" else array


def test_node_tests() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")             # the cases are computed as they are loaded
        cases = loader.load_model_tests(kind="node")
    recorded, wrong = 0, []
    for case in cases:
        try:
            model, *others = (le.convert(case.model) for _ in range(3))
        except le.LstmEngineError:
            continue                                # operators and types that this engine does not have
        given = case.data_sets[0][0]
        if not model._runner._repeats or not all(isinstance(x, np.ndarray) or np.isscalar(x) for x in given):
            continue
        by_name = dict(zip((x.name for x in case.model.graph.input), map(np.asarray, given)))
        first = {name: by_name[name] for name in model.inputs}
        second = {name: turned(array) for name, array in first.items()}
        wanted = [answer(other, feeds) for other, feeds in zip(others, (first, second))]
        if not all(same(answer(model, (first, second)[i % 2]), wanted[i % 2]) for i in range(5)):
            wrong.append(case.name)
        recorded += model._runner.recordings() > 0
    assert not wrong
    # onnx 1.17 has some 700 node tests of these operators, later versions more.
    assert recorded > 400, f"only {recorded} node tests were replayed"
