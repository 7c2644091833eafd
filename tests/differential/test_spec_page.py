"""The examples of docs/spec.md do what the page says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from lstm_engine.importers import arrays
from lstm_engine.importers import torch as importer
from lstm_engine.importers.base import ImportOptions
from lstm_engine.operators import validate
from lstm_engine.reference import run

PAGE = (Path(__file__).parent.parent.parent / "docs" / "spec.md").read_text(encoding="utf-8")
MODULE, = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
TORCH_SPEC, KERAS_SPEC, TF1_SPEC = map(json.loads, re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL))


def test_the_module_and_its_spec(tmp_path):
    """1e-12: the same float64 sums on both sides."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    names = {"torch": torch, "nn": torch.nn}
    exec(MODULE, names)
    module = names["Net"]()
    torch.save(module.state_dict(), tmp_path / "net.pt")
    (tmp_path / "net.json").write_text(json.dumps(TORCH_SPEC))
    graph = validate(importer.read(tmp_path / "net.pt", ImportOptions(spec=tmp_path / "net.json")))
    x = torch.randn(3, 7, 5, dtype=torch.float64)
    expected = module.double()(x).detach().numpy()
    assert np.abs(run(graph, {"x": x.numpy()})["fc2"] - expected).max() <= 1e-12


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_arrays_as_keras_keeps_them(tmp_path):
    """1e-6: Keras computes in float32; outputs are probabilities."""
    keras = pytest.importorskip("keras")
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((None, 5)), keras.layers.LSTM(3), keras.layers.Dense(2, "softmax")])
    lstm, out = model.layers
    lstm.cell.bias.assign(np.linspace(-1, 1, 12))
    names = ("kernel", "recurrent_kernel", "bias", "out_kernel", "out_bias")
    np.savez(tmp_path / "net.npz", **dict(zip(names, lstm.get_weights() + out.get_weights(), strict=True)))
    graph = validate(arrays.read(tmp_path / "net.npz", ImportOptions(spec=KERAS_SPEC)))
    x = np.random.default_rng(0).standard_normal((3, 7, 5), np.float32)
    assert np.abs(run(graph, {"x": x})["out"] - model.predict(x, verbose=0)).max() <= 1e-6


def test_a_cell_of_tensorflow_1_and_operators(tmp_path):
    """Against torch's LSTM, whose columns and forget bias are moved as the cell has them; 1e-12 as above."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    lstm = torch.nn.LSTM(4, 3, batch_first=True)
    w, r, b, c = (value.detach().numpy() for value in lstm.parameters())
    order = np.arange(12).reshape(4, 3)[[0, 2, 1, 3]].ravel()          # i, f, j, o to i, j, f, o
    # A bias of whole eighths, from which 1 can be taken and given back.
    bias = np.round(8 * (b + c)) / 8
    with torch.no_grad():
        lstm.bias_ih_l0.copy_(torch.from_numpy(bias))
        lstm.bias_hh_l0.zero_()
    np.savez(tmp_path / "net.npz", **{"rnn/kernel": np.concatenate([w, r], 1).T[:, order],
                                      "rnn/bias": bias[order] - np.repeat([0, 0, 1, 0], 3).astype("f4")})
    graph = validate(arrays.read(tmp_path / "net.npz", ImportOptions(spec=TF1_SPEC)))
    x = torch.randn(3, 7, 4, dtype=torch.float64)
    cell = lstm.double()(x)[0].detach().numpy()
    found = run(graph, {"x": x.numpy()})
    assert np.abs(found["cell"] - cell).max() <= 1e-12
    assert np.abs(found["sum"] - cell - x.numpy()[..., :3]).max() <= 1e-12
