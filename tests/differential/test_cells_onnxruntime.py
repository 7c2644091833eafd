"""Random LSTM, GRU and RNN operators against ONNX Runtime: every attribute, small and large, every instruction set."""

from __future__ import annotations

from typing import Any

import cell_cases
import numpy as np
import pytest
from cell_cases import ISAS, assert_as_exact, generator, label, lengths, sizes, uniform

import lstm_engine as le
from lstm_engine import reference
from lstm_engine.graph import Activation

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
FUNCTIONS = {"LSTM": 3, "GRU": 2, "RNN": 1}
DEFAULTS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}
OURS = {"LSTM": le.ops.lstm, "GRU": le.ops.gru, "RNN": le.ops.rnn}
ORACLE = {"LSTM": reference.lstm, "GRU": reference.gru, "RNN": reference.rnn}
# ONNX's name: our name, and the defaults of alpha and beta. None: ONNX has none, or ONNX Runtime another one.
ACTIVATIONS = {"Relu": ("relu", ()), "Tanh": ("tanh", ()), "Sigmoid": ("sigmoid", ()),
               "Affine": ("affine", (None, None)),
               "LeakyRelu": ("leaky_relu", (0.01,)), "ThresholdedRelu": ("thresholded_relu", (None,)),
               "ScaledTanh": ("scaled_tanh", (None, None)), "HardSigmoid": ("hard_sigmoid", (0.2, 0.5)),
               "Elu": ("elu", (1.0,)), "Softsign": ("softsign", ()), "Softplus": ("softplus", ())}
# Gates beyond these bounds make a cell grow without limit: in a long sequence, and where 1 - i is the forget gate.
GATE_FUNCTIONS = ("Sigmoid", "HardSigmoid", "Tanh", "Softsign", "ScaledTanh")
STRICT_GATE_FUNCTIONS = ("Sigmoid", "HardSigmoid")
CASES, PER_TEST = cell_cases.CASES["onnxruntime"], 24


class Case:
    """One configuration: arrays by ONNX's names in layout 0, ONNX's attributes, and the functions they mean."""

    def __init__(self, number: int) -> None:
        self.op = ("LSTM", "GRU", "RNN")[number % 7 % 3]         # 3 : 2 : 2
        self.where = label(self.op, number)
        rng = self.rng = generator("onnxruntime", number)
        self.sizes = size = sizes(rng, number)
        self.direction = str(rng.choice(["forward", "reverse", "bidirectional"]))
        self.dirs = dirs = 1 + (self.direction == "bidirectional")
        rows, bound = GATES[self.op] * size.hidden, size.hidden**-0.5
        self.arrays: dict[str, Any] = {
            "X": rng.standard_normal((size.time, size.batch, size.features)).astype(np.float32),
            "W": uniform(rng, min(bound, 0.5), dirs, rows, size.features),
            "R": uniform(rng, bound, dirs, rows, size.hidden),
            "B": self.maybe(lambda: uniform(rng, bound, dirs, 2 * rows), 0.7),
            "sequence_lens": self.maybe(lambda: lengths(rng, size.batch, size.time)),
            "initial_h": self.maybe(lambda: uniform(rng, 1, dirs, size.batch, size.hidden))}
        self.attributes: dict[str, Any] = {"direction": self.direction}
        if rng.random() < 0.3:
            self.attributes["clip"] = float(np.float32(rng.uniform(0.2, 3)))
        if self.op == "LSTM":
            self.arrays["initial_c"] = self.maybe(lambda: uniform(rng, 1, dirs, size.batch, size.hidden))
            self.arrays["P"] = self.maybe(lambda: uniform(rng, 0.5, dirs, 3 * size.hidden))
            self.attributes["input_forget"] = int(rng.random() < 0.25)
        if self.op == "GRU":
            self.attributes["linear_before_reset"] = int(rng.random() < 0.5)
        self.functions = [Activation.of(ACTIVATIONS[name][0]) for name in DEFAULTS[self.op] * dirs]
        if rng.random() < 0.6:
            self.choose_activations()

    def maybe(self, make, chance=0.5):
        return make() if self.rng.random() < chance else None

    def choose_activations(self) -> None:
        rng, size = self.rng, self.sizes
        names, alphas, betas = [], [], []
        for position in range(FUNCTIONS[self.op] * self.dirs):
            pool = [*ACTIVATIONS]
            if position % FUNCTIONS[self.op] == 0 and self.op != "RNN":
                strict = size.time > 12 or self.attributes.get("input_forget")
                pool = [*(STRICT_GATE_FUNCTIONS if strict else GATE_FUNCTIONS)]
            else:
                # It jumps: a rounding error near the jump becomes an error of any size, once in some 10^7 values.
                if size.time * size.batch * size.hidden > 500:
                    pool.remove("ThresholdedRelu")
                if size.time > 12:
                    pool.remove("Softplus")     # ONNX Runtime's overflows from 88 on, which a long sum can reach
                if size.time > 12 and self.op == "LSTM" and position % 3 == 1:
                    pool = [*GATE_FUNCTIONS]    # an unbounded candidate feeds on itself through c and h
            names.append(str(rng.choice(pool)))
            takes = len(ACTIVATIONS[names[-1]][1])
            alphas += [float(np.float32(rng.uniform(0.1, 0.9)))] * (takes >= 1)
            betas += [float(np.float32(rng.uniform(0.1, 0.9)))] * (takes == 2)
        if rng.random() < 0.5 and all(None not in ACTIVATIONS[name][1] for name in names):
            # Lists may be short: the functions they do not reach take their defaults.
            alphas, betas = (values[:rng.integers(0, len(values) + 1)] for values in (alphas, betas))
        # ONNX says that case does not matter; ONNX Runtime's RNN minds it.
        respell = rng.choice([str, str.lower, str.upper]) if self.op != "RNN" else str
        self.attributes["activations"] = [respell(name) for name in names]
        for which, values in (("alpha", alphas), ("beta", betas)):
            if values:
                self.attributes[f"activation_{which}"] = list(values)
        self.functions = []
        for name in names:
            house, defaults = ACTIVATIONS[name]
            alpha = (alphas.pop(0) if alphas else defaults[0]) if len(defaults) >= 1 else None
            beta = (betas.pop(0) if betas else defaults[1]) if len(defaults) == 2 else None
            self.functions.append(Activation.of(house, alpha, beta))

    # ---- the three sides ------------------------------------------------------------------------------------

    def ours(self) -> tuple[np.ndarray, ...]:
        return OURS[self.op](**self.arrays, **self.attributes, threads=int(self.rng.integers(1, 3)))

    def exact(self) -> tuple[np.ndarray, ...]:
        def batch_first(name):
            array = self.arrays.get(name)
            return None if array is None else array.swapaxes(0, 1)

        count = FUNCTIONS[self.op]
        options = {name: self.attributes[name] for name in ("clip", "input_forget", "linear_before_reset")
                   if name in self.attributes}
        if self.op == "LSTM":
            options |= {"initial_c": batch_first("initial_c"), "P": self.arrays["P"]}
        Y, *states = ORACLE[self.op](
            batch_first("X"), self.arrays["W"], self.arrays["R"], self.arrays["B"], self.arrays["sequence_lens"],
            batch_first("initial_h"), direction=self.direction, empty="zero", **options,
            activations=[self.functions[d * count:(d + 1) * count] for d in range(self.dirs)])
        return (Y.transpose(1, 2, 0, 3), *(state.swapaxes(0, 1) for state in states))

    def model(self, stored: bool) -> Any:
        """The operator as an ONNX model; `stored`: W, R, B and P are part of it."""
        present = {name: array for name, array in self.arrays.items() if array is not None}
        outputs = ["Y", "Y_h", "Y_c"][:3 if self.op == "LSTM" else 2]
        node = onnx.helper.make_node(self.op, [name if name in present else "" for name in self.arrays], outputs,
                                     hidden_size=self.sizes.hidden, **self.attributes)
        kept = [name for name in ("W", "R", "B", "P") if name in present] if stored else []
        helper = onnx.helper
        inputs = [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
                  for name, array in present.items() if name not in kept]
        graph = helper.make_graph([node], "cell", inputs, [
            helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in outputs],
            [onnx.numpy_helper.from_array(present[name], name) for name in kept])
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)

    def theirs(self) -> list[np.ndarray]:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(self.model(False).SerializeToString(), options,
                                               providers=["CPUExecutionProvider"])
        return session.run(None, {name: array for name, array in self.arrays.items() if array is not None})

    def imported(self) -> tuple[np.ndarray, ...]:
        """Through the importer: the same numbers, from a model."""
        model = le.convert(self.model(True))
        results = model.predict({name: self.arrays[name] for name in model.inputs})
        return tuple(results[name] for name in ("Y", "Y_h", "Y_c")[:len(results)])


@pytest.fixture(autouse=True)
def restore_isa():
    yield
    le.set_isa(None)


@pytest.mark.parametrize("first", range(0, CASES, PER_TEST))
def test_random_operators_agree(first):
    for number in range(first, first + PER_TEST):
        case = Case(number)
        exact, theirs = case.exact(), case.theirs()
        le.set_isa(ISAS[number % len(ISAS)])
        assert_as_exact(case.ours(), theirs, exact, f"{case.where} on {ISAS[number % len(ISAS)]}")
        if number % 4 == 0:
            assert_as_exact(case.imported(), theirs, exact, f"{case.where}, imported")


@pytest.mark.parametrize("first", range(0, CASES, CASES // 4))
def test_random_operators_in_float64(first):
    """ONNX Runtime has no float64 LSTM. Both sides round each of some hundred operations a step at 1e-16; a cell may
    magnify that a thousandfold."""
    for number in range(first, first + CASES // 4, 3):
        case = Case(number)
        exact = case.exact()
        case.arrays = {name: array.astype(np.float64) if array is not None and array.dtype.kind == "f" else array
                       for name, array in case.arrays.items()}
        le.set_isa(ISAS[number % len(ISAS)])
        for mine, right in zip(case.ours(), exact, strict=True):
            assert mine.dtype == np.float64
            scale = max(1.0, np.abs(right).max(initial=0))
            np.testing.assert_allclose(mine, right, rtol=0, atol=1e-12 * scale, err_msg=case.where)


def test_the_cases_hold_every_option():
    cases = [Case(number) for number in range(CASES)]
    assert sum(case.sizes.large for case in cases) >= CASES // 3
    assert {case.direction for case in cases} == {"forward", "reverse", "bidirectional"}
    used = {name.lower() for case in cases for name in case.attributes.get("activations", ())}
    assert used == {name.lower() for name in ACTIVATIONS}
    for name in ("B", "sequence_lens", "initial_h", "initial_c", "P"):
        assert {case.arrays[name] is None for case in cases if name in case.arrays} == {True, False}, name
    for name in ("input_forget", "linear_before_reset"):
        assert {case.attributes[name] for case in cases if name in case.attributes} == {0, 1}, name
    assert {"clip" in case.attributes for case in cases} == {True, False}
    assert any(case.arrays["sequence_lens"] is not None and 0 in case.arrays["sequence_lens"] for case in cases)
