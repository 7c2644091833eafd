"""Loops over the steps that torch.jit.script keeps and torch.onnx writes as Loop, against PyTorch."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from torch import Tensor, nn

import lstm_engine as le

FEATURES, HIDDEN = 3, 4
# float32 on both sides: sums of some ten terms near 1, over a few steps.
TOLERANCE = 2e-6


class Lstm(nn.Module):
    """A cell of PyTorch's own, its outputs in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(FEATURES, HIDDEN)

    def forward(self, x: Tensor, h: Tensor, c: Tensor):
        outputs: list[Tensor] = []
        for t in range(x.size(0)):
            h, c = self.cell(x[t], (h, c))
            outputs.append(h)
        return torch.stack(outputs), h, c


class Backwards(nn.Module):
    """From the last step to the first, with a layer behind."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(FEATURES, HIDDEN)
        self.head = nn.Linear(HIDDEN, 2)

    def forward(self, x: Tensor, h: Tensor, c: Tensor):
        outputs: list[Tensor] = []
        for t in range(x.size(0) - 1, -1, -1):
            h, c = self.cell(x[t], (h, c))
            outputs.append(h)
        return self.head(torch.stack(outputs))


class Rnn(nn.Module):
    """Its own first state, batch first, steps put together along their own axis."""

    def __init__(self) -> None:
        super().__init__()
        self.i, self.h = nn.Linear(FEATURES, HIDDEN), nn.Linear(HIDDEN, HIDDEN, bias=False)

    def forward(self, x: Tensor):
        h = torch.zeros(x.size(0), self.i.out_features)
        outputs: list[Tensor] = []
        for t in range(x.size(1)):
            h = torch.tanh(self.i(x[:, t]) + self.h(h))
            outputs.append(h.unsqueeze(1))
        return torch.cat(outputs, 1)


class Gru(nn.Module):
    """Written out, its last output taken from the list."""

    def __init__(self) -> None:
        super().__init__()
        self.i, self.h = nn.Linear(FEATURES, 3 * HIDDEN), nn.Linear(HIDDEN, 3 * HIDDEN)

    def forward(self, x: Tensor, h: Tensor):
        outputs: list[Tensor] = []
        for t in range(x.size(1)):
            a, b = self.i(x[:, t]), self.h(h)
            r, z = torch.sigmoid(a[:, :4] + b[:, :4]), torch.sigmoid(a[:, 4:8] + b[:, 4:8])
            n = torch.tanh(a[:, 8:] + r * b[:, 8:])
            h = n + z * (h - n)
            outputs.append(h)
        return torch.stack(outputs, 1), outputs[-1]


class Stack(nn.Module):
    """Cells one above the other over the parts of the input, as PyTorch's example of sine waves has them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.LSTMCell(FEATURES, HIDDEN), nn.LSTMCell(HIDDEN, HIDDEN)
        self.head = nn.Linear(HIDDEN, 2)

    def forward(self, x: Tensor):
        h = c = torch.zeros(x.size(0), self.head.in_features)
        h2 = c2 = torch.zeros(x.size(0), self.head.in_features)
        outputs: list[Tensor] = []
        for step in x.split(1, dim=1):
            h, c = self.first(step[:, 0], (h, c))
            h2, c2 = self.second(h, (h2, c2))
            outputs.append(self.head(h2))
        return torch.stack(outputs, 1), h, c2


# The module, whether time comes first, how many states it takes, and what it is.
LOOPS = {"LSTMCell": (Lstm, True, 2, "LSTM"), "backwards": (Backwards, True, 2, "LSTM"), "RNN": (Rnn, False, 0, "RNN"),
         "GRU": (Gru, False, 1, "GRU"), "stack": (Stack, False, 0, "LSTM")}


@pytest.mark.parametrize("name", LOOPS)
def test_a_scripted_loop(name: str) -> None:
    make, time_first, states, op = LOOPS[name]
    torch.manual_seed(0)
    module = make().eval()

    def inputs(time: int, batch: int) -> list[Tensor]:
        x = torch.randn((time, batch, FEATURES) if time_first else (batch, time, FEATURES))
        return [x, *(torch.randn(batch, HIDDEN) for _ in range(states))]

    names = ["x", "h", "c"][:states + 1]
    axes = {"x": {0: "time", 1: "batch"} if time_first else {0: "batch", 1: "time"},
            **{name: {0: "batch"} for name in names[1:]}}
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive = io.BytesIO()                              # as someone has it who has no class
        torch.jit.save(torch.jit.script(module), archive)
        archive.seek(0)
        torch.onnx.export(torch.jit.load(archive), tuple(inputs(5, 2)), file, input_names=names, dynamic_axes=axes,
                          opset_version=17, dynamo=False)
    model = le.convert(file.getvalue())
    assert [node.op for node in model.graph.nodes].count(op) == (2 if name == "stack" else 1)
    for time, batch in ((1, 1), (7, 3)):
        given = inputs(time, batch)
        made = model.predict({name: x.numpy() for name, x in zip(names, given)})
        with torch.no_grad():
            wanted = module(*given)
        results = [made[output] for output in model.graph.outputs] if isinstance(made, dict) else [made]
        for result, exact in zip(results, wanted if isinstance(wanted, tuple) else (wanted,), strict=True):
            np.testing.assert_allclose(result, exact.numpy(), rtol=0, atol=TOLERANCE)
