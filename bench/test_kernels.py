"""The compute kernels, each through a model whose time is that kernel's; every instruction set."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import lstm_engine as le
from bench import networks
from bench.cells import PREDICT, random_cell
from lstm_engine.graph import LINEAR, TANH, Activation, Value

NUMBERS = Value("x", ("batch", "time", 64))


def _dense(rng: np.random.Generator, units: int, activation: Activation):
    return networks.Builder(rng, "x", 64).dense(units, activation).graph((NUMBERS,))


def _cell(rng: np.random.Generator, kind: str, activations: tuple[Activation, ...] = ()):
    return networks.Builder(rng, "x", 64).recurrent(kind, 64, activations=activations).graph((NUMBERS,))


RELU_CELL = (networks.SIGMOID, networks.RELU, networks.RELU)
KERNELS = {
    "product": (partial(_dense, units=256, activation=LINEAR), 8, 20),
    "softmax": (partial(_dense, units=1000, activation=networks.SOFTMAX), 4, 5),
    "tanh": (partial(_dense, units=256, activation=TANH), 8, 20),
    "lstm-one-row": (partial(_cell, kind="lstm"), 1, 20),
    "lstm-tiles": (partial(_cell, kind="lstm"), 12, 20),
    "lstm-general": (partial(_cell, kind="lstm", activations=RELU_CELL), 4, 10),
    "gru-one-row": (partial(_cell, kind="gru"), 1, 20),
    "gru-tiles": (partial(_cell, kind="gru"), 12, 20),
}


@pytest.mark.parametrize("kernel", KERNELS)
def test_kernel(benchmark, isa, kernel, assert_right):
    make, batch, steps = KERNELS[kernel]
    own = random_cell(f"kernel/{kernel}", f"kernel/{kernel}", make, batch, 64, 64, steps, PREDICT).case()
    model, x = le.Model(own.graph), own.inputs["x"]
    assert model.isa == isa
    assert_right(own, benchmark(model.predict, x, threads=1))
