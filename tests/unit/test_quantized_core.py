"""Quantised models in the core: what they share, and what runs while they do."""

from __future__ import annotations

import signal
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import lstm_engine as le
from lstm_engine.graph.quantized import Quantized


def numbers(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32) / 8


def dense(values: Any, scale: Any) -> Any:
    """A model of one linear layer with these weights."""
    graph = le.quantize(le.Model([le.Dense(numbers(*values.shape))]), "int8_weights").graph
    node, = graph.nodes
    return replace(graph, nodes=(replace(node, kernel=Quantized("int8_weights", values, scale, -1)),))


def test_one_matrix_with_two_scales() -> None:
    """What shares numbers does not share scales with them: not in the core, and not on the way to another type."""
    values = np.random.default_rng(1).integers(-127, 128, (6, 4)).astype(np.int8)
    scales = np.full(4, 0.01, np.float32), np.full(4, 0.1, np.float32)
    first, = dense(values, scales[0]).nodes
    graph = dense(values, scales[0])
    second = replace(first, name="second", inputs=first.inputs, outputs=("other",),
                     kernel=Quantized("int8_weights", values, scales[1], -1))
    model = le.Model(replace(graph, nodes=(first, second), outputs=(*graph.outputs, "other")))
    x = numbers(3, 5, 6)
    for made in (model, le.quantize(model, "int8")):
        one, other = made.predict(x).values()
        np.testing.assert_allclose(other, 10 * one, rtol=1e-5)         # a scale's last bits


def test_a_product_with_zeros_of_weights_that_are_infinite_once_widened() -> None:
    """A first step from no state is the one from a state of zeros."""
    model = le.quantize(le.Model([le.LSTM(numbers(1, 32, 3), numbers(1, 32, 8), return_sequences=False)]),
                        "int8_weights")
    node, = model.graph.nodes
    held: Any = node
    scale = held.R.scale.copy()
    scale[0, 5] = 1e38
    made = le.Model(replace(model.graph, nodes=(replace(held, R=replace(held.R, scale=scale)),)))
    x, zeros = numbers(2, 1, 3), np.zeros((2, 1, 8), np.float32)
    np.testing.assert_array_equal(made.predict(x),
                                  made.predict(x, initial_state={node.name: {"h": zeros, "c": zeros}}))


def handler(model: le.Model, x: Any, came: list[Any]) -> Any:
    return lambda *_: came.append(model.predict(x, threads=1))


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="signals of POSIX")
def test_a_handler_that_runs_another_type() -> None:
    """Code of the caller that runs in the middle of a call may use the same registers as that call."""
    layers = [le.LSTM(numbers(1, 2048, 512), numbers(1, 2048, 512), return_sequences=True)]
    model = le.Model(layers)
    small = {kind: le.quantize(model, kind) for kind in ("int8", "bfloat16")}
    long, short = numbers(32, 400, 512), numbers(8, 2, 512)
    for kind, other in (("int8", "bfloat16"), ("bfloat16", "int8")):
        alone = small[kind].predict(long, threads=1)
        came: list[Any] = []
        before = signal.signal(signal.SIGALRM, handler(small[other], short, came))
        signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
        try:
            among = small[kind].predict(long, threads=1)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        np.testing.assert_array_equal(among, alone)
        assert came, "no signal came: the call is too short for this test"
