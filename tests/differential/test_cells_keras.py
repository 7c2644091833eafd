"""Random Keras recurrent layers, converted, against Keras: masks, go_backwards, merge modes, states, stateful layers.

The exact result is the oracle's in float64 on the imported graph; that Keras is near it shows that the import, too,
means the same layer.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import cell_cases
import numpy as np
import pytest
from cell_cases import ISAS, assert_as_exact, generator, label, sizes

import lstm_engine as le
from lstm_engine import reference

pytest.importorskip("torch")
pytest.importorskip("h5py")
keras = pytest.importorskip("keras")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")

CASES, PER_TEST = cell_cases.CASES["keras"], 8
STATEFUL, PER_STATEFUL_TEST = cell_cases.CASES["keras stateful"], 6
VOCABULARY = 50
KINDS = ("LSTM", "GRU", "SimpleRNN")
ACTIVATIONS = ("tanh", "relu", "linear", "elu", "softsign", "gelu", "silu", "selu", "hard_sigmoid")
GATES = ("sigmoid", "hard_sigmoid", "softsign", "tanh")


@pytest.fixture(autouse=True)
def quiet_keras():
    import torch

    torch.set_num_threads(1)
    keras.utils.clear_session()
    yield
    le.set_isa(None)


def mask_pattern(rng: np.random.Generator, batch: int, time: int, kind: str) -> np.ndarray:
    """bool [batch, time], True where a step counts: one kind of hole, or a kind for each row."""
    real = np.ones((batch, time), bool)
    for row in real:
        own = str(rng.choice(["left", "middle", "right", "all", "scattered", "none"])) if kind == "mixed" else kind
        count = int(rng.integers(0, time + 1))
        if own == "left":
            row[:count] = False
        elif own == "right":
            row[time - count:] = False
        elif own == "middle":
            start = int(rng.integers(0, time))
            row[start:start + count // 2] = False
        elif own == "scattered":
            row[rng.random(time) < 0.4] = False
        elif own == "all":
            row[:] = False
    return real


class Case:
    """A model of one or two recurrent layers; `arrays`: its inputs."""

    def __init__(self, number: int, stateful: bool = False) -> None:
        kind = "keras stateful" if stateful else "keras"
        self.where = label(kind, number)
        rng = self.rng = generator(kind, number)
        self.sizes = size = sizes(rng, number)
        self.stateful = stateful
        self.mask = str(rng.choice(["", "left", "middle", "right", "all", "mixed", "mixed", "mixed"]))
        self.source = str(rng.choice(["ids", "floats"]))
        self.merge = "" if stateful else str(rng.choice(["", "", "concat", "sum", "mul", "ave", "None"]))
        self.kind = str(rng.choice(KINDS))
        self.options = dict(
            units=size.hidden, use_bias=bool(rng.random() < 0.8), return_sequences=bool(rng.random() < 0.6),
            return_state=bool(rng.random() < 0.5),
            activation="tanh" if rng.random() < 0.6 or size.time > 12 else str(rng.choice(ACTIVATIONS)))
        if not self.merge and not stateful:
            self.options["go_backwards"] = bool(rng.random() < 0.3)
        if self.kind != "SimpleRNN":
            gates = GATES[:2] if size.time > 12 else GATES          # beyond [0, 1] a cell grows without limit
            self.options["recurrent_activation"] = "sigmoid" if rng.random() < 0.6 else str(rng.choice(gates))
        if self.kind == "GRU":
            self.options["reset_after"] = bool(rng.random() < 0.5)
        self.zero_output = bool(self.mask) and not self.merge and rng.random() < 0.25
        self.initial = not stateful and rng.random() < 0.4
        self.below = "" if rng.random() < 0.6 else str(rng.choice(KINDS))
        states = 0 if not self.initial else (2 if self.kind == "LSTM" else 1) * (2 if self.merge else 1)
        self.arrays = [self.sequence(), *(rng.uniform(-1, 1, (size.batch, size.hidden)).astype(np.float32)
                                          for _ in range(states))]

    @cached_property
    def model(self) -> Any:
        """The Keras model, its weights random."""
        L, size = keras.layers, self.sizes
        fixed = {"batch_size": size.batch} if self.stateful else {}
        if self.source == "ids":
            x = L.Input((None,), dtype="int32", **fixed)
            y = L.Embedding(VOCABULARY, size.features, mask_zero=bool(self.mask))(x)
        else:
            x = y = L.Input((None, size.features), **fixed)
            if self.mask:
                y = L.Masking(0.0)(y)
        inputs = [x]
        if self.below:
            y = getattr(L, self.below)(min(size.hidden, 24), return_sequences=True, stateful=self.stateful)(y)
        options = {**self.options, "stateful": self.stateful}
        if self.zero_output:
            options["zero_output_for_mask"] = True
        layer = getattr(L, self.kind)(**options)
        if self.merge:
            layer = L.Bidirectional(layer, merge_mode=None if self.merge == "None" else self.merge)
        states = [L.Input((size.hidden,)) for _ in self.arrays[1:]]
        inputs += states
        outputs = layer(y, initial_state=states) if states else layer(y)
        model = keras.Model(inputs, outputs)
        for variable in model.weights:                          # biases too, which Keras begins at 0
            bound = max(1, variable.shape[0] if len(variable.shape) == 2 else size.hidden)**-0.5
            variable.assign(self.rng.uniform(-bound, bound, tuple(variable.shape)).astype(np.float32))
        return model

    def sequence(self) -> np.ndarray:
        rng, size = self.rng, self.sizes
        real = mask_pattern(rng, size.batch, size.time, self.mask or "none")
        if self.stateful and not self.options["return_sequences"] and self.mask:
            real[rng.integers(size.batch)] = False           # its last output is 0 in Keras, its state goes on
        if self.source == "ids":
            return np.where(real, rng.integers(1, VOCABULARY, real.shape), 0).astype(np.int32)
        return np.where(real[:, :, None], rng.standard_normal((*real.shape, size.features)), 0).astype(np.float32)

    def theirs(self) -> list[np.ndarray]:
        made = self.model(self.arrays, training=False)
        return [output.detach().numpy() for output in keras.tree.flatten(made)]

    def named(self, model: le.Model) -> dict[str, np.ndarray]:
        return dict(zip(model.inputs, self.arrays, strict=True))


def listed(result: Any) -> list[np.ndarray]:
    return list(result.values()) if isinstance(result, dict) else [result]


@pytest.mark.parametrize("first", range(0, CASES, PER_TEST))
def test_random_layers_agree(first):
    for number in range(first, first + PER_TEST):
        case = Case(number)
        le.set_isa(ISAS[number % len(ISAS)])
        model = le.convert(case.model)
        exact = reference.run(model.graph, case.named(model))
        made = model.predict(case.named(model), threads=int(case.rng.integers(1, 3)))
        assert_as_exact(listed(made), case.theirs(), list(exact.values()),
                        f"{case.where} on {ISAS[number % len(ISAS)]}")


@pytest.mark.parametrize("first", range(0, CASES, CASES // 2))
def test_random_layers_in_float64(first):
    """Against the oracle, whose sums are in another order: 1e-16 an operation, magnified up to a thousandfold."""
    for number in range(first, first + CASES // 2, 5):
        case = Case(number)
        le.set_isa(ISAS[number % len(ISAS)])
        model = le.convert(case.model, dtype="float64")
        exact = reference.run(model.graph, case.named(model))
        for (name, right), mine in zip(exact.items(), listed(model.predict(case.named(model))), strict=True):
            np.testing.assert_allclose(mine, right, rtol=0, atol=1e-12, err_msg=f"{name}, {case.where}")


@pytest.mark.parametrize("first", range(0, STATEFUL, PER_STATEFUL_TEST))
def test_stateful_layers_carry_their_state(first):
    """Three calls in a row: a stateful model against predict with the state handed on."""
    for number in range(first, first + PER_STATEFUL_TEST):
        case = Case(number, stateful=True)
        le.set_isa(ISAS[number % len(ISAS)])
        model = le.convert(case.model)
        state = exact_state = None
        for part in range(3):
            case.arrays = [case.sequence()]
            made, state = model.predict(case.arrays[0], initial_state=state, return_state=True)
            exact, exact_state = reference.run(model.graph, case.named(model), initial_state=exact_state,
                                               return_state=True)
            assert_as_exact(listed(made), case.theirs(), list(exact.values()), f"{case.where}, part {part}")


def test_the_cases_hold_every_option():
    cases = [Case(number) for number in range(CASES)]
    assert sum(case.sizes.large for case in cases) >= CASES // 3
    for what, values in (("kind", KINDS), ("mask", ("", "left", "middle", "right", "mixed")),
                         ("source", ("ids", "floats")), ("merge", ("", "concat", "sum", "mul", "ave", "None")),
                         ("initial", (False, True)), ("zero_output", (False, True)), ("below", ("", *KINDS))):
        assert {getattr(case, what) for case in cases} >= set(values), what
    for option in ("use_bias", "return_sequences", "return_state", "go_backwards", "reset_after"):
        assert {case.options[option] for case in cases if option in case.options} == {False, True}, option
