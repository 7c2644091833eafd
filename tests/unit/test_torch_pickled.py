"""Whole pickled modules: what the classes of torch prove is read; all else is refused by name, with the way out."""

from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lstm_engine.errors import ArgumentError, FormatError, UnsupportedError  # noqa: E402
from lstm_engine.importers import torch as importer  # noqa: E402
from lstm_engine.importers.base import ImportOptions  # noqa: E402
from lstm_engine.operators import validate  # noqa: E402

nn = torch.nn
EXPORT = "Where its Python class is, a function that builds it is enough: `lstm-engine convert model.py:build"


def saved(tmp_path, value, **options):
    torch.save(value, tmp_path / "a.pt", **options)
    return tmp_path / "a.pt"


def refused(tmp_path, value, kind=UnsupportedError, **options):
    path = saved(tmp_path, value)
    with pytest.raises(kind) as caught:
        importer.read(path, ImportOptions(**options))
    assert str(caught.value).startswith(f"{path}: ") or kind is ArgumentError
    return str(caught.value).removeprefix(f"{path}: ")


def parts(path):
    graph = validate(importer.read(path))
    return [node.op_type if node.op == "Operator" else node.op for node in graph.nodes]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.fc = nn.LSTM(4, 3, batch_first=True), nn.Linear(3, 2)

    def forward(self, x):
        return torch.sigmoid(self.fc(self.lstm(x)[0]))


class OwnLSTM(nn.LSTM):
    def forward(self, x, state=None):
        return super().forward(x.flip(1), state)


class OwnLinear(nn.Linear):
    pass


def hooked(module, kind):
    getattr(module, f"register_{kind}_hook")(torch.nn.functional.relu)
    return module


def with_attribute(module, name, value):
    module.__dict__[name] = value
    return module


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("module, expected", [
    (nn.LSTM(4, 3, batch_first=True), ["LSTM"]),
    (nn.GRU(4, 3, num_layers=2), ["Transpose", "GRU", "GRU", "Transpose"]),
    (nn.DataParallel(nn.RNN(4, 3, batch_first=True)), ["RNN"]),
    (nn.Sequential(nn.Embedding(9, 4), nn.Dropout(), nn.Identity(), nn.LSTM(4, 3, 2, dropout=0.5, batch_first=True)),
     ["Embedding", "LSTM", "LSTM"]),
    (nn.Sequential(nn.Sequential(nn.Linear(5, 4), nn.ReLU()), nn.Sequential(nn.GRU(4, 3, batch_first=True))),
     ["Dense", "Activate", "GRU"]),
])
def test_what_torchs_classes_prove(tmp_path, module, expected, legacy):
    graph = importer.read(saved(tmp_path, module, _use_new_zipfile_serialization=not legacy))
    assert [node.op_type if node.op == "Operator" else node.op for node in graph.nodes] == expected
    assert "assumptions" not in graph.metadata


@pytest.mark.parametrize("module, where, reason", [
    (Net(), "the module '' ('{here}.Net')", "what its forward computes is code, which the file does not hold"),
    (OwnLSTM(4, 3), "the module '' ('{here}.OwnLSTM')", "what its forward computes is code"),
    (nn.Sequential(OwnLinear(4, 5), nn.GRU(5, 3)), "the module '0' ('{here}.OwnLinear')", "what its forward computes"),
    (nn.Sequential(nn.LSTM(4, 3), nn.Linear(3, 2)), "the module '1' ('torch.nn.modules.linear.Linear')",
     "it stands behind '0', which gives a pair (output, state): torch itself cannot run this"),
    (nn.ModuleDict({"lstm": nn.LSTM(4, 3)}), "the module '' ('torch.nn.modules.container.ModuleDict')",
     "is not read from a pickled module"),
    (nn.Sequential(nn.LayerNorm(4, elementwise_affine=False), nn.LSTM(4, 3)),
     "the module '0' ('torch.nn.modules.normalization.LayerNorm')", "is not read from a pickled module"),
    (nn.Sequential(nn.Flatten(2), nn.LSTM(4, 3)), "the module '0' ('torch.nn.modules.flatten.Flatten')",
     "is not read from a pickled module"),
    (nn.Sequential(nn.BatchNorm1d(4), nn.LSTM(4, 3)), "the module '0' ('torch.nn.modules.batchnorm.BatchNorm1d')",
     "is not read from a pickled module"),
    (nn.Sequential(nn.AvgPool1d(2), nn.LSTM(4, 3)), "the module '0' ('torch.nn.modules.pooling.AvgPool1d')",
     "is not read from a pickled module"),
    (nn.Sequential(nn.Softmax(1), nn.LSTM(4, 3)), "the module '0' ('torch.nn.modules.activation.Softmax')",
     "dim=1 is not the last axis"),
    (nn.Sequential(nn.Softmax(None), nn.LSTM(4, 3)), "the module '0' ('torch.nn.modules.activation.Softmax')",
     "dim=None is not the last axis"),
    (nn.Sequential(nn.Hardtanh(0, 5), nn.LSTM(4, 3)), "the module '0' ('torch.nn.modules.activation.Hardtanh')",
     "its limits are not -1 and 1"),
    (nn.Sequential(nn.Softplus(2.0), nn.LSTM(4, 3)), "the module '0' ('torch.nn.modules.activation.Softplus')",
     "beta is not 1, or threshold below 20"),
    (nn.Sequential(nn.PReLU(), nn.LSTM(4, 3)), "the module '0' ('torch.nn.modules.activation.PReLU')",
     "is not read from a pickled module"),
    (nn.Sequential(nn.Embedding(9, 4, max_norm=1.0), nn.LSTM(4, 3)),
     "the module '0' ('torch.nn.modules.sparse.Embedding')", "max_norm rescales rows while the model runs"),
    (nn.Sequential(nn.ReLU(), nn.Embedding(9, 4), nn.LSTM(4, 3)),
     "the module '1' ('torch.nn.modules.sparse.Embedding')", "token ids enter at the beginning alone"),
    (nn.RNNCell(4, 3, nonlinearity="relu"), "the module '' ('torch.nn.modules.rnn.RNNCell')",
     "is not read from a pickled module"),
    (hooked(nn.LSTM(4, 3), "forward"), "the module '' ('torch.nn.modules.rnn.LSTM')", "it has forward hooks"),
    (hooked(nn.LSTM(4, 3), "forward_pre"), "the module '' ('torch.nn.modules.rnn.LSTM')", "it has forward hooks"),
    (nn.Sequential(hooked(nn.ReLU(), "forward"), nn.LSTM(4, 3)), "the module '0'", "it has forward hooks"),
    (hooked(nn.Sequential(nn.LSTM(4, 3)), "forward"), "the module '' ('torch.nn.modules.container.Sequential')",
     "it has forward hooks"),
    (nn.Sequential(with_attribute(nn.ReLU(), "forward", torch.nn.functional.tanh), nn.LSTM(4, 3)), "the module '0'",
     "its attribute 'forward' is 'torch.nn.functional.tanh', code that the file does not hold"),
], ids=lambda value: value[:40] if isinstance(value, str) else "")
def test_what_is_not_proved_is_refused_by_name(tmp_path, module, where, reason):
    message = refused(tmp_path, module)
    assert message.startswith(f"{where.format(here=__name__)}: {reason}" if where.endswith(")") else where)
    assert reason in message and EXPORT in message


def test_a_weight_norm_is_refused(tmp_path):
    with pytest.warns(FutureWarning, match="weight_norm"):
        module = nn.Sequential(torch.nn.utils.weight_norm(nn.Linear(4, 5)), nn.LSTM(5, 3))
    assert "module '0' ('torch.nn.modules.linear.Linear'): it has forward hooks" in refused(tmp_path, module)


def test_a_parametrised_layer_is_refused(tmp_path):
    module = nn.Sequential(nn.Linear(4, 5), nn.LSTM(5, 3))
    module[0].add_module("scale", nn.Linear(2, 2))
    assert "module '0' ('torch.nn.modules.linear.Linear'): it has modules inside" in refused(tmp_path, module)


def test_tensors_that_no_layer_uses_are_refused(tmp_path):
    module = nn.Sequential(nn.Linear(4, 5), nn.LSTM(5, 3))
    module.register_buffer("scale", torch.ones(4))
    assert refused(tmp_path, module).startswith("1 tensor(s) belong to no layer: 'scale' [4]")


@pytest.mark.parametrize("wrap", [lambda net: [net, net], lambda net: {"a": net, "b": net},
                                  lambda net: {"weights": net.lstm.state_dict(), "net": net}])
def test_modules_among_other_tensors_are_refused(tmp_path, wrap):
    message = refused(tmp_path, wrap(Net()))
    assert "it holds whole modules, such as " in message and f"{__name__}.Net" in message and EXPORT in message


@pytest.mark.parametrize("wrap", [lambda net: {"model": net, "epoch": 3}, lambda net: {"state_dict": net}])
def test_a_module_in_a_checkpoint_is_one(tmp_path, wrap):
    assert parts(saved(tmp_path, wrap(nn.GRU(4, 3, batch_first=True)))) == ["GRU"]
    assert refused(tmp_path, wrap(Net())).startswith(f"the module '' ('{__name__}.Net')")


def test_a_state_dict_beside_optimizer_state_is_weights_alone(tmp_path):
    path = saved(tmp_path, {"model": Net().state_dict(), "optimizer": {"state": {0: torch.ones(3)}}})
    assert importer.read(path).metadata["assumptions"].splitlines()[-1] == "every sequence begins with a zero state"


def test_tensors_without_axes_beside_the_weights_are_said(tmp_path):
    path = saved(tmp_path, {"state_dict": Net().state_dict(), "scale": torch.tensor(2.0), "loss": torch.tensor(0.5)})
    assert importer.read(path).metadata["assumptions"].splitlines()[-1] \
        == "tensors without axes beside the weights take no part: 'scale'"
    assert "'scale' []" in refused(tmp_path, {**Net().state_dict(), "scale": torch.tensor(2.0)})


@pytest.mark.parametrize("change", [{"num_layers": 2}, {"bidirectional": True}, {"mode": "GRU"}, {"hidden_size": 9},
                                    {"batch_first": "yes"}, {"num_layers": None}], ids=str)
def test_attributes_that_contradict_the_weights(tmp_path, change):
    module = nn.LSTM(4, 3)
    for name, value in change.items():
        module.__dict__[name] = value
    assert refused(tmp_path, module, FormatError).startswith("the module '' ('torch.nn.modules.rnn.LSTM')")


def test_options_of_weights_alone_are_not_for_modules(tmp_path):
    for options in ({"pool": "last"}, {"activations": {"gru": "relu"}}, {"order": ["gru"]}):
        assert refused(tmp_path, nn.GRU(4, 3), ArgumentError, **options).startswith(
            f"{next(iter(options))} is for weights alone; this file holds a whole module")


SPEC = {"inputs": [{"name": "x", "shape": ["batch", "time", 4]}],
        "nodes": [{"op": "LSTM", "name": "lstm", "torch": "lstm"},
                  {"op": "Dense", "name": "fc", "torch": "fc", "activation": "sigmoid"}]}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("scripted", [False, True])
def test_a_spec_is_the_callers_own_word(tmp_path, scripted):
    """For whole modules and TorchScript, which without one are refused."""
    path = tmp_path / "a.pt"
    if scripted:
        torch.jit.save(torch.jit.trace(Net().eval(), torch.zeros(1, 5, 4)), path)
    else:
        torch.save(Net(), path)
    with pytest.raises(UnsupportedError) as caught:
        importer.read(path)
    assert EXPORT in str(caught.value) and ("TorchScript" if scripted else "code") in str(caught.value)
    graph = validate(importer.read(path, ImportOptions(spec=SPEC)))
    assert [node.op for node in graph.nodes] == ["LSTM", "Dense"] and "assumptions" not in graph.metadata
    draft = importer.propose_spec(path)
    note = draft["notes"][0]
    if scripted:                        # of its inputs, for the program that it is
        assert note.startswith("a draft: shapes with which the program can be written")
    else:
        assert note.startswith("a draft, to be corrected: ") and note.endswith("a guess from its weights")
    validate(importer.read(path, ImportOptions(spec=json.loads(json.dumps(draft)))))


@pytest.mark.filterwarnings("ignore")
def test_scripted_layers_of_torch_are_code_too(tmp_path):
    torch.jit.save(torch.jit.script(nn.LSTM(4, 3)), tmp_path / "a.pt")
    with pytest.raises(UnsupportedError, match="a TorchScript archive, which does not say the shapes of its inputs"):
        importer.read(tmp_path / "a.pt")


def test_the_spec_of_a_proved_module_is_complete(tmp_path):
    path = saved(tmp_path, nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.RNN(5, 3, nonlinearity="relu")))
    spec = json.loads(json.dumps(importer.propose_spec(path)))
    ours, same = importer.read(path), importer.read(path, ImportOptions(spec=spec))
    assert spec["notes"] == [] and [node.op for node in ours.nodes] == [node.op for node in same.nodes]
    np.testing.assert_array_equal(ours.nodes[-2].W, same.nodes[-2].W)
