"""State dicts in JSON, alone and with a description, against the modules whose weights they are; RTNeural's layers.

1e-12: float64 sums of the same numbers in another order.
"""

from __future__ import annotations

import json

import numpy as np
import pytest

import lstm_engine as le
from lstm_engine.errors import FormatError, UnsupportedError
from lstm_engine.importers import import_graph
from lstm_engine.importers.base import ImportOptions
from lstm_engine.operators import validate
from lstm_engine.reference import run

torch = pytest.importorskip("torch")
nn = torch.nn
pytestmark = pytest.mark.filterwarnings("ignore::lstm_engine.errors.AssumptionWarning")


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(4)


def ours(graph, x):
    return run(validate(graph), {graph.inputs[0].name: x.numpy()})[graph.outputs[0]]


def listed(module):
    return {name: value.tolist() for name, value in module.state_dict().items()}


class SimpleRNN(nn.Module):
    """As CoreAudioML's computes, batch first."""

    def __init__(self, kind="LSTM", features=1, hidden=4, outputs=1, skip=1, layers=1, bias=True):
        super().__init__()
        self.rec = getattr(nn, kind)(features, hidden, layers, batch_first=True)
        self.lin = nn.Linear(hidden, outputs, bias=bias)
        self.skip = skip
        self.data = {"model": "SimpleRNN", "input_size": features, "skip": skip, "output_size": outputs,
                     "unit_type": kind, "num_layers": layers, "hidden_size": hidden, "bias_fl": bias}

    def forward(self, x):
        y = self.lin(self.rec(x)[0])
        return y + x[:, :, :self.skip] if self.skip else y


@pytest.mark.parametrize("said", [
    {}, {"skip": 0}, {"kind": "GRU"}, {"features": 2}, {"features": 3, "outputs": 2, "skip": 2}, {"layers": 2},
    {"features": 2, "outputs": 3, "skip": 1}, {"bias": False}, {"features": 2, "outputs": 2, "skip": 2},
], ids=str)
def test_what_a_description_says_is_what_runs(tmp_path, said):
    module = SimpleRNN(**said).eval()
    (tmp_path / "a.json").write_text(json.dumps({"model_data": module.data, "state_dict": listed(module)}))
    graph = import_graph(tmp_path / "a.json")
    x = torch.randn(3, 7, module.rec.input_size, dtype=torch.float64)
    expected = module.double()(x).detach().numpy()
    assert np.abs(ours(graph, x) - expected).max() <= 1e-12
    # float32, values below 3: some roundings of 2^-23 a step.
    assert np.abs(le.convert(tmp_path / "a.json").predict(x.numpy()) - expected).max() <= 1e-5
    assert graph.metadata["assumptions"].startswith("the network is CoreAudioML's SimpleRNN: ")


@pytest.mark.parametrize("change, message", [
    ({"hidden_size": 5}, "'model_data' says hidden_size 5, the weights 4"),
    ({"unit_type": "GRU"}, "'model_data' says unit_type 'GRU', the weights 'LSTM'"),
    ({"input_size": 2}, "'model_data' says input_size 2, the weights 1"),
    ({"output_size": "1"}, "'model_data' says output_size '1', the weights 1"),
    ({"num_layers": 2}, "'model_data' says num_layers 2, the weights 1"),
    ({"skip": 2}, "'model_data': skip must be a number from 0 to 1 (channels of the input), got 2"),
    ({"skip": True}, "'model_data': skip must be a number from 0 to 1 (channels of the input), got True"),
    ({"model": "AsymmetricAdvancedClipSimpleRNN"}, "'model_data' describes the network 'AsymmetricAdvancedClip"),
    ({"clip_position": "in"}, "'model_data' says 'clip_position', which is not known; known: model, input_size, skip"),
], ids=str)
def test_a_description_that_says_something_else(tmp_path, change, message):
    module = SimpleRNN()
    (tmp_path / "a.json").write_text(json.dumps({"model_data": module.data | change, "state_dict": listed(module)}))
    with pytest.raises((FormatError, UnsupportedError)) as caught:
        import_graph(tmp_path / "a.json")
    assert str(caught.value).startswith(f"{tmp_path / 'a.json'}: {message}")


def test_readings_are_for_weights_alone(tmp_path):
    module = SimpleRNN()
    (tmp_path / "a.json").write_text(json.dumps({"model_data": module.data, "state_dict": listed(module)}))
    with pytest.raises(le.ArgumentError, match="pool is for weights alone; 'model_data' in this file says"):
        import_graph(tmp_path / "a.json", ImportOptions(pool="last"))
    spec = {"inputs": [{"name": "x", "shape": ["batch", "time", 1]}], "nodes": [
        {"op": "LSTM", "name": "a", "torch": "rec"}, {"op": "Dense", "name": "b", "torch": "lin"}]}
    x = torch.randn(3, 7, 1, dtype=torch.float64)
    module.skip = 0
    found = ours(import_graph(tmp_path / "a.json", ImportOptions(spec=spec)), x)
    assert np.abs(found - module.double()(x).detach().numpy()).max() <= 1e-12


WRAPS = {"flat": lambda state: state, "state_dict": lambda state: {"state_dict": state},
         "module.": lambda state: {f"module.{name}": value for name, value in state.items()}}


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("indent", [None, 2])
def test_the_same_weights_as_json_are_the_same_model(tmp_path, wrap, indent):
    module = nn.ModuleDict({"gru": nn.GRU(5, 4, 2, bidirectional=True, batch_first=True), "fc": nn.Linear(8, 2)})
    torch.save(module.state_dict(), tmp_path / "a.pt")
    (tmp_path / "a.json").write_text(json.dumps(WRAPS[wrap](listed(module)), indent=indent))
    plain, found = import_graph(tmp_path / "a.pt"), import_graph(tmp_path / "a.json")
    assert found.metadata["assumptions"] == plain.metadata["assumptions"]
    for one, other in zip(plain.nodes, found.nodes, strict=True):
        for name, array in one.tensors().items():
            np.testing.assert_array_equal(array, other.tensors()[name], strict=True)


def test_objects_in_objects_and_the_same_refusal(tmp_path):
    module = nn.ModuleDict({"gru": nn.GRU(5, 5), "fc": nn.Linear(5, 5)})
    torch.save(module.state_dict(), tmp_path / "a.pt")
    nested = {name: {} for name in ("gru", "fc")}
    for name, value in listed(module).items():
        nested[name.split(".")[0]][name.split(".")[1]] = value
    (tmp_path / "a.json").write_text(json.dumps(nested))
    messages = set()
    for path in (tmp_path / "a.pt", tmp_path / "a.json"):
        with pytest.raises(UnsupportedError) as caught:
            import_graph(path)
        messages.add(str(caught.value).removeprefix(str(path)))
    assert len(messages) == 1


def test_what_stands_beside_and_what_is_rounded_is_said(tmp_path):
    state = listed(nn.GRU(5, 4)) | {"epoch": 5, "name": "amp", "notes": ["a", "b"]}
    state["bias_ih_l0"][0] = 0.1
    (tmp_path / "a.json").write_text(json.dumps(state))
    said = import_graph(tmp_path / "a.json").metadata["assumptions"].split("\n")
    assert "what stands beside the arrays takes no part: 'epoch', 'name', 'notes'" in said
    assert "the decimals of the file are rounded to float32" in said


@pytest.mark.parametrize("features, layers", [(1, 1), (2, 3)])
def test_neural_amp_modelers_lstm(tmp_path, features, layers):
    """Written as its exporter writes it; the states of the file are where a sequence begins."""
    lstm, head = nn.LSTM(features, 4, layers, batch_first=True), nn.Linear(4, 1)
    h, c = torch.randn(2, layers, 1, 4)
    numbers = []
    for layer in range(layers):
        w, r, b, d = (getattr(lstm, f"{name}_l{layer}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
        for part in (torch.cat([w, r], 1), b + d, h[layer], c[layer]):
            numbers += part.flatten().tolist()
    numbers += head.weight.flatten().tolist() + head.bias.tolist()
    (tmp_path / "amp.nam").write_text(json.dumps({
        "version": "0.5.4", "metadata": {"loudness": -18.0}, "architecture": "LSTM", "sample_rate": 48000,
        "config": {"input_size": features, "hidden_size": 4, "num_layers": layers}, "weights": numbers}))
    x = torch.randn(3, 7, features, dtype=torch.float64)
    states = tuple(state.double().expand(layers, 3, 4).contiguous() for state in (h, c))
    expected = head.double()(lstm.double()(x, states)[0]).detach().numpy()
    # The two biases were added in float32.
    assert np.abs(ours(import_graph(tmp_path / "amp.nam"), x) - expected).max() <= 1e-6
    assert np.abs(le.convert(tmp_path / "amp.nam").predict(x.numpy()) - expected).max() <= 1e-5


@pytest.mark.parametrize("name, said", [
    ("lstm", {}), ("lstm_1d", {}), ("gru", {}), ("gru_1d", {}), ("lstm_torch", {"order": ["lstm", "lstm2", "dense"]}),
    ("gru_torch", {"order": ["gru", "gru2", "dense"]})])
def test_rtneurals_own_models(real, name, said):
    """1e-6: the stored outputs are float32 of other programs."""
    folder = real / "rtneural"
    x, y = (np.loadtxt(folder / "test_data" / f"{name}_{end}_python.csv") for end in ("x", "y"))
    model = le.convert(folder / "models" / f"{name}.json", **said)
    assert np.abs(model.predict(x.reshape(1, -1, 1).astype(np.float32)).ravel() - y).max() <= 1e-6


@pytest.mark.parametrize("name, message", [("bad_lstm", "says 'samplerate', which is not known"),
                                           ("full_model", r"layers\[1\] \('conv1d'\): is not read; read are dense")])
def test_those_of_rtneural_that_are_refused(real, name, message):
    with pytest.raises(UnsupportedError, match=message):
        le.convert(real / "rtneural" / "models" / f"{name}.json")
