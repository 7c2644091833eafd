"""Random torch modules, converted, against torch: stacks, projections, states, packed sequences, cells, streams.

The exact result is torch's own in float64 on the same weights.
"""

from __future__ import annotations

import copy
from typing import Any

import cell_cases
import numpy as np
import pytest
from cell_cases import ISAS, assert_as_exact, generator, label, lengths, sizes

import lstm_engine as le
from lstm_engine.graph import Recurrent

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")

CASES, PER_TEST = cell_cases.CASES["torch"], 14
CELLS, PER_CELL_TEST = cell_cases.CASES["torch cell"], 15
# torch's gate order as blocks of the weights, in ONNX's order: LSTM i,f,g,o -> i,o,f,c; GRU r,z,n -> z,r,h.
GATE_ORDER = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2), "RNN": (0,)}
LAYERS = {"LSTM": le.LSTM, "GRU": le.GRU, "RNN": le.RNN}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
    yield
    le.set_isa(None)


class Case:
    """A module with random weights, as torch initialises it, and what goes into it."""

    def __init__(self, number: int) -> None:
        self.where = label("torch", number)
        rng = self.rng = generator("torch", number)
        self.sizes = size = sizes(rng, number)
        self.kind = ("LSTM", "GRU", "RNN")[number % 5 % 3]       # 2 : 2 : 1
        options: dict[str, Any] = dict(
            num_layers=int(rng.integers(1, 4 if size.hidden * size.time < 1500 else 2)),
            bidirectional=bool(rng.random() < 0.4), bias=bool(rng.random() < 0.8), batch_first=True)
        if self.kind == "LSTM" and size.hidden > 1 and rng.random() < 0.4:
            options["proj_size"] = int(rng.integers(1, size.hidden))
        if self.kind == "RNN":
            options["nonlinearity"] = str(rng.choice(["tanh", "relu"]))
        torch.manual_seed(int(rng.integers(2**31)))
        self.module = getattr(torch.nn, self.kind)(size.features, size.hidden, **options).eval()
        self.layers, self.dirs = options["num_layers"], 1 + options["bidirectional"]
        self.x = rng.standard_normal((size.batch, size.time, size.features)).astype(np.float32)
        widths = {"h": options.get("proj_size", size.hidden), "c": size.hidden}
        self.state = {part: rng.uniform(-1, 1, (self.layers * self.dirs, size.batch, width)).astype(np.float32)
                      for part, width in widths.items() if part == "h" or self.kind == "LSTM"}
        self.with_state = bool(rng.random() < 0.6)
        self.lengths = lengths(rng, size.batch, size.time, least=1) if rng.random() < 0.5 else None

    def torch(self, dtype: Any) -> list[np.ndarray]:
        """Y [batch, time, dirs*P], h_n (and c_n) [layers*dirs, batch, ...]."""
        module = copy.deepcopy(self.module).to(dtype)
        state = tuple(torch.tensor(array, dtype=dtype) for array in self.state.values())
        x = torch.tensor(self.x, dtype=dtype)
        if self.lengths is not None:
            x = torch.nn.utils.rnn.pack_padded_sequence(x, torch.tensor(self.lengths), batch_first=True,
                                                        enforce_sorted=False)
        with torch.no_grad():
            y, final = module(x, (state if len(state) == 2 else state[0]) if self.with_state else None)
            if self.lengths is not None:
                y, _ = torch.nn.utils.rnn.pad_packed_sequence(y, batch_first=True, total_length=self.sizes.time)
        return [array.numpy() for array in (y, *(final if isinstance(final, tuple) else (final,)))]

    def ours(self, dtype: str = "float32") -> list[np.ndarray]:
        module = self.module.double() if dtype == "float64" else self.module
        model = le.convert(module)
        names = [node.name for node in model.graph.nodes if isinstance(node, Recurrent)]
        state = {name: {part: array[i * self.dirs:(i + 1) * self.dirs].swapaxes(0, 1)
                        for part, array in self.state.items()} for i, name in enumerate(names)}
        x, own = self.x.copy(), self.lengths
        if own is not None:
            x[np.arange(x.shape[1]) >= own[:, None]] = np.nan            # padding may hold anything
        listed = own is not None and self.rng.random() < 0.5
        given = [row[:length] for row, length in zip(x, own, strict=True)] if listed else x
        y, final = model.predict(given, lengths=None if listed else own, return_state=True,
                                 initial_state=state if self.with_state else None,
                                 threads=int(self.rng.integers(1, 3)))
        y = next(iter(y.values()))               # the outputs of a live module are torch's: the sequence, h_n, c_n
        if listed:
            assert [len(row) for row in y] == list(own), self.where
            padded = np.zeros((*self.x.shape[:2], y[0].shape[1]), dtype)
            for row, made in zip(padded, y, strict=True):
                row[:len(made)] = made
            y = padded
        return [y, *(np.concatenate([final[name][part].swapaxes(0, 1) for name in names]) for part in self.state)]


@pytest.mark.parametrize("first", range(0, CASES, PER_TEST))
def test_random_modules_agree(first):
    for number in range(first, first + PER_TEST):
        case = Case(number)
        theirs, exact = case.torch(torch.float32), case.torch(torch.float64)
        le.set_isa(ISAS[number % len(ISAS)])
        assert_as_exact(case.ours(), theirs, exact, f"{case.where} on {ISAS[number % len(ISAS)]}")


@pytest.mark.parametrize("first", range(0, CASES, CASES // 4))
def test_random_modules_in_float64(first):
    """Both sides round each of some hundred operations a step at 1e-16; a stack may magnify that a thousandfold."""
    for number in range(first, first + CASES // 4, 3):
        case = Case(number)
        exact = case.torch(torch.float64)
        le.set_isa(ISAS[number % len(ISAS)])
        for mine, right in zip(case.ours("float64"), exact, strict=True):
            assert mine.dtype == np.float64
            np.testing.assert_allclose(mine, right, rtol=0, atol=1e-12, err_msg=case.where)


@pytest.mark.parametrize("first", range(0, CELLS, PER_CELL_TEST))
def test_cells_step_as_streams(first):
    """LSTMCell, GRUCell, RNNCell called in a loop, against a stream fed step by step and in chunks."""
    for number in range(first, first + PER_CELL_TEST):
        rng, kind = generator("torch cell", number), ("LSTM", "GRU", "RNN")[number % 3]
        size = sizes(rng, number // 3)
        torch.manual_seed(int(rng.integers(2**31)))
        cell = getattr(torch.nn, f"{kind}Cell")(size.features, size.hidden, bias=bool(rng.random() < 0.8)).eval()
        x = rng.standard_normal((size.time, size.batch, size.features)).astype(np.float32)
        theirs, exact = stepped(cell, x, torch.float32), stepped(cell, x, torch.float64)
        le.set_isa(ISAS[number // 3 % len(ISAS)])
        with model_of(cell, kind).stream(batch=size.batch) as stream:
            half = size.time // 2
            made = [stream.step(step) for step in x[:half]]
            made += list(stream.run(x[half:].swapaxes(0, 1)).swapaxes(0, 1))
            final = next(iter(stream.state.values()))
        assert_as_exact([np.stack(made), *(final[part][:, 0] for part in final)], theirs, exact,
                        label("torch cell", number))


def stepped(cell: Any, x: np.ndarray, dtype: Any) -> list[np.ndarray]:
    """Every h [time, batch, H], and the final h (and c) [batch, H]."""
    cell, state, made = copy.deepcopy(cell).to(dtype), None, []
    with torch.no_grad():
        for step in torch.tensor(x, dtype=dtype):
            state = cell(step, state)
            made.append((state[0] if isinstance(state, tuple) else state).numpy())
    return [np.stack(made), *(part.numpy() for part in (state if isinstance(state, tuple) else (state,)))]


def model_of(cell: Any, kind: str) -> le.Model:
    """The cell from its raw weights: this file's own reading of torch's gate order."""
    def blocks(tensor):
        parts = np.split(tensor.detach().numpy(), len(GATE_ORDER[kind]))
        return np.concatenate([parts[i] for i in GATE_ORDER[kind]])

    bias = np.concatenate([blocks(cell.bias_ih), blocks(cell.bias_hh)])[None] if cell.bias else None
    options = {"linear_before_reset": True} if kind == "GRU" else {}
    return le.Model([LAYERS[kind](blocks(cell.weight_ih)[None], blocks(cell.weight_hh)[None], bias, **options)])


def test_the_cases_hold_every_option():
    cases = [Case(number) for number in range(CASES)]
    assert sum(case.sizes.large for case in cases) >= CASES // 3
    for what in (lambda c: c.dirs, lambda c: c.module.bias, lambda c: c.module.proj_size > 0, lambda c: c.with_state,
                 lambda c: c.lengths is None):
        assert len({what(case) for case in cases}) == 2
    assert {case.layers for case in cases} == {1, 2, 3}
    assert {case.module.mode for case in cases} == {"LSTM", "GRU", "RNN_TANH", "RNN_RELU"}
