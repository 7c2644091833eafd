"""Recurrent modules of torch whose states are arguments and results: the layers tell what goes on, not names."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

import lstm_engine as le  # noqa: E402

BATCH, STEPS, FEATURES, HIDDEN = 2, 9, 3, 4
# float32 on both sides, after nine steps of sums of seven products below 1.
TOLERANCE = 2e-6


class Stacked(torch.nn.Module):
    """One tensor [layers, batch, hidden] for each part of the state, as torch's layers have it."""

    def __init__(self, kind: Any, layers: int) -> None:
        super().__init__()
        self.layer = kind(FEATURES, HIDDEN, layers, batch_first=True)

    def forward(self, x: Any, *state: Any) -> Any:
        y, last = self.layer(x, state if len(state) > 1 else state[0])
        return (y, *last) if isinstance(last, tuple) else (y, last)


class Changed(Stacked):
    """Its state comes out a little smaller."""

    def forward(self, x: Any, *state: Any) -> Any:
        y, *last = super().forward(x, *state)
        return (y, *(array * 0.9 for array in last))


def exported(module: Any, x: Any, states: list[Any], names: list[str]) -> bytes:
    written = io.BytesIO()
    torch.onnx.export(module, (x, *states), written, dynamo=False, input_names=["x", *names[:len(states)]],
                      output_names=["y", *names[len(states):]], dynamic_axes={"x": {1: "time"}, "y": {1: "time"}})
    return written.getvalue()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("names", [["a", "b", "c", "d"], ["h0", "c0", "cn", "hn"]], ids=["any names", "names crossed"])
@pytest.mark.parametrize("kind, layers", [("LSTM", 1), ("LSTM", 2), ("GRU", 1), ("GRU", 3)])
def test_a_state_of_one_tensor(kind: str, layers: int, names: list[str]) -> None:
    torch.manual_seed(layers)
    parts = 2 if kind == "LSTM" else 1
    module, x = Stacked(getattr(torch.nn, kind), layers).eval(), torch.randn(BATCH, STEPS, FEATURES)
    states = [torch.randn(layers, BATCH, HIDDEN) for _ in range(parts)]
    names = names[:parts] + names[2:2 + parts]
    ours = le.convert(exported(module, x, states, names))
    with torch.no_grad():
        wanted, *last = (array.numpy() for array in module(x, *states))
    stream = ours.stream(BATCH)
    stream.state = {name: state.numpy() for name, state in zip(names, states)}
    made = [stream.step(x[:, t].numpy()) for t in range(3)]
    np.testing.assert_allclose(np.stack(made, 1), wanted[:, :3], rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(stream.run(x[:, 3:].numpy()), wanted[:, 3:], rtol=0, atol=TOLERANCE)
    for name, right in zip(names, last):
        np.testing.assert_allclose(stream.state[name], right, rtol=0, atol=TOLERANCE)


@pytest.mark.filterwarnings("ignore")
def test_a_state_that_is_not_the_last_one_is_asked_for() -> None:
    module, x = Changed(torch.nn.GRU, 2).eval(), torch.randn(BATCH, STEPS, FEATURES)
    ours = le.convert(exported(module, x, [torch.zeros(2, BATCH, HIDDEN)], ["h0", "hn"]))
    with pytest.raises(le.UnsupportedError, match=r"if these are its states, stream\(states=\{'h0': 'hn'\}\)"):
        ours.stream(BATCH)
