"""Live torch modules: traced as programs, an nn.Sequential that torch cannot run read in parts, or refused."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lstm_engine.errors import ArgumentError, UnsupportedError  # noqa: E402
from lstm_engine.importers import torch as importer  # noqa: E402
from lstm_engine.importers.base import ImportOptions  # noqa: E402
from lstm_engine.operators import validate  # noqa: E402

nn = torch.nn


def parts(module, **options):
    graph = validate(importer.read_live(module, ImportOptions(**options)))
    return [(node.op, node.name, str(getattr(node, "activation", ""))) for node in graph.nodes]


def refused(module, kind=UnsupportedError, **options):
    with pytest.raises(kind) as caught:
        importer.read_live(module, ImportOptions(**options))
    return str(caught.value)


class Head(nn.Module):
    def __init__(self, *extra):
        super().__init__()
        self.rnn = nn.RNN(4, 3, nonlinearity="relu", batch_first=True)
        self.extra = nn.ModuleList(extra)
        self.fc = nn.Linear(3, 2)

    def forward(self, x):
        x = self.rnn(x)[0]
        for part in self.extra:
            x = part(x)
        return self.fc(x)


EXAMPLE = (torch.zeros(2, 5, 4),)


def test_claims():
    assert importer.claims_live(nn.Linear(1, 1)) and importer.claims_live(Head())
    assert not any(map(importer.claims_live, (torch.zeros(1), {}, "a.pt")))


@pytest.mark.parametrize("module, expected", [
    (nn.Sequential(nn.Embedding(9, 4, padding_idx=0), nn.Dropout(), nn.LSTM(4, 3), nn.Linear(3, 2), nn.Softmax(-1)),
     [("Embedding", "0", ""), ("LSTM", "2", ""), ("Dense", "3", "softmax")]),
    (nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Tanh(), nn.Sequential(nn.GRU(5, 3)), nn.Linear(3, 2)),
     [("Dense", "0", "relu"), ("Activate", "2", "tanh"), ("GRU", "3.0", ""), ("Dense", "4", "linear")]),
    (nn.Sequential(nn.LSTM(4, 3), nn.LeakyReLU(0.2), nn.Linear(3, 3), nn.ELU(0.5), nn.GELU("tanh"), nn.GELU(),
                   nn.Hardsigmoid(), nn.Hardtanh(), nn.Softplus()),
     [("LSTM", "0", ""), ("Activate", "1", "leaky_relu(0.2)"), ("Dense", "2", "elu(0.5)"),
      ("Activate", "4", "gelu_tanh"), ("Activate", "5", "gelu"),
      ("Activate", "6", "hard_sigmoid(0.166667, 0.5)"), ("Activate", "7", "hard_tanh"),
      ("Activate", "8", "softplus")]),
])
def test_sequences_of_modules_that_torch_cannot_run(module, expected):
    """A recurrent layer gives torch's next part a tuple; here its output goes on."""
    assert parts(module) == expected


def ops(module, *example):
    """The nodes of a traced module, operators around the layers left out."""
    graph = validate(importer.read_live(module, ImportOptions(example_inputs=example or None)))
    return [(node.op, str(getattr(node, "activation", ""))) for node in graph.nodes if node.op != "Operator"]


@pytest.mark.parametrize("module, example, expected", [
    (nn.LSTM(4, 3, num_layers=2, bidirectional=True), (), [("LSTM", ""), ("LSTM", "")]),
    (nn.GRU(4, 3, batch_first=True), (), [("GRU", "")]),
    (nn.Sequential(nn.Embedding(9, 4), nn.GRU(4, 3)), (), [("Embedding", ""), ("GRU", "")]),
    (nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), (), [("Dense", "relu"), ("Dense", "linear")]),
    (Head(nn.Dropout()), EXAMPLE, [("RNN", ""), ("Dense", "linear")]),
    (Head(nn.Sigmoid()), EXAMPLE, [("RNN", ""), ("Activate", "sigmoid"), ("Dense", "linear")]),
])
def test_programs(module, example, expected):
    assert ops(module, *example) == expected


def test_layers_are_traced_in_their_own_layout():
    time_first, batch_first = (importer.read_live(nn.GRU(4, 3, batch_first=first)) for first in (False, True))
    assert time_first.inputs[0].shape == ("time", "batch", 4)
    assert batch_first.inputs[0].shape == ("batch", "time", 4)


def test_the_nonlinearity_of_an_rnn_is_known():
    relu = nn.RNN(4, 3, nonlinearity="relu", bidirectional=True)
    for module, example in ((relu, None), (nn.Sequential(relu), None), (Head(), EXAMPLE)):
        nodes = importer.read_live(module, ImportOptions(example_inputs=example)).nodes
        found = [node for node in nodes if node.op == "RNN"]
        assert {f.name for node in found for functions in node.activations for f in functions} == {"relu"}


def test_a_module_stays_as_it_is():
    module = Head(nn.Dropout(), nn.BatchNorm1d(5))
    module.train()
    module.rnn.eval()
    flags = [part.training for part in module.modules()]
    state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    importer.read_live(module, ImportOptions(example_inputs=EXAMPLE))
    assert torch.equal(torch.rand(1), expected)
    assert [part.training for part in module.modules()] == flags and torch.is_grad_enabled()
    assert all(torch.equal(tensor, state[name]) for name, tensor in module.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in module.parameters())


def test_an_example_is_asked_for_with_the_line_to_type():
    message = refused(Head(), ArgumentError)
    assert message.startswith("what Head.forward takes cannot be told from outside")
    assert message.endswith("le.convert(module, example_inputs=(torch.zeros(2, 10, 4),))")


def test_pool_comes_after_the_last_recurrent_layer():
    module = nn.Sequential(nn.GRU(4, 3), nn.LSTM(3, 3), nn.Linear(3, 2), nn.Softmax(dim=1))
    assert [op for op, _, _ in parts(module, pool="last")] == ["GRU", "LSTM", "Pool", "Dense"]
    assert "module '3' (Softmax): is not supported here" in refused(module)     # dim 1 is time without the pool


def test_the_graph_keeps_its_own_weights():
    module = nn.LSTM(4, 3)
    node, = (node for node in importer.read_live(module).nodes if node.op == "LSTM")
    before = node.W.copy()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    np.testing.assert_array_equal(node.W, before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened(dtype):
    module = nn.GRU(4, 3).to(dtype)
    node, = (node for node in importer.read_live(module).nodes if node.op == "GRU")
    assert node.W.dtype == np.float32
    np.testing.assert_array_equal(np.sort(node.W.ravel()),
                                  np.sort(module.weight_ih_l0.detach().float().numpy().ravel()))


class Doubled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


def test_a_forward_of_ones_own_is_not_taken_for_torchs():
    message = refused(nn.Sequential(nn.LSTM(4, 3), Doubled(3, 2)))
    assert message.startswith("module '1' (Doubled): is not supported here; supported: Embedding, LSTM, GRU, RNN, "
                              "Linear")


class Renamed(nn.Linear):
    pass


def test_a_subclass_with_torchs_forward_is_its_parent():
    assert parts(nn.Sequential(nn.LSTM(4, 3), Renamed(3, 2))) == [("LSTM", "0", ""), ("Dense", "1", "linear")]


def test_forward_hooks_are_part_of_a_program():
    module = Head()
    module.fc.register_forward_hook(lambda module, x, y: y * 2)
    nodes = importer.read_live(module, ImportOptions(example_inputs=EXAMPLE)).nodes
    assert [getattr(node, "op_type", node.op) for node in nodes] == ["RNN", "Dense", "Mul"]


def test_forward_hooks_of_a_sequence_that_torch_cannot_run_are_refused():
    module = nn.Sequential(nn.LSTM(4, 3), nn.Linear(3, 2))
    module[1].register_forward_hook(lambda module, x, y: y * 2)
    assert refused(module) == "module '1' has forward hooks, which could change what it computes"


class Last(nn.Module):
    def forward(self, x):
        return x[0][:, -1]


def test_parts_of_ones_own_without_weights():
    assert refused(nn.Sequential(nn.LSTM(4, 3), Last())).startswith("module '1' (Last): is not supported here")


@pytest.mark.parametrize("module, message", [
    (nn.Sequential(nn.ReLU(), nn.LSTM(4, 3), nn.ReLU()), "module '0' (ReLU): a model begins with an Embedding, a "
                                                         "Linear or a recurrent layer. To convert it, say it"),
    (nn.Sequential(nn.Embedding(9, 4, max_norm=1.0), nn.LSTM(4, 3)), "node 'embedding_renorm_' "),
    (nn.Sequential(nn.LSTM(4, 3), nn.Conv1d(3, 3, 1)), "module '1' (Conv1d): is not supported here"),
    (nn.Sequential(nn.LSTM(4, 3), nn.Hardtanh(0, 5)), "module '1' (Hardtanh): is not supported here"),
    (nn.LSTM(4, 3, device="meta"), "tensor 'weight_ih_l0' is meta: it has no plain values"),
])
def test_refusals(module, message):
    assert refused(module).startswith(message)


def test_pool_last_of_a_bidirectional_module_is_refused():
    assert "pool \"last\" after a bidirectional layer can mean" in refused(nn.GRU(4, 3, bidirectional=True),
                                                                           pool="last")


class Odd(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)


def test_any_module_with_a_spec():
    spec = {"inputs": [{"name": "x", "shape": ["batch", 3]}],
            "nodes": [{"op": "Dense", "name": "a", "torch": "a", "activation": "relu"},
                      {"op": "Dense", "name": "b", "torch": "b"}]}
    assert parts(Odd(), spec=spec) == [("Dense", "a", "relu"), ("Dense", "b", "linear")]
    del spec["nodes"][1]
    assert refused(Odd(), spec=spec).startswith("2 tensor(s) belong to no layer: 'b.weight' [3, 3], "
                                                "'b.bias'")


def test_pool_and_spec_exclude_each_other():
    assert refused(nn.LSTM(4, 3), ArgumentError, pool="last", spec={"nodes": []}) \
        .startswith("pool and spec exclude each other: in a spec, a Pool node says how a sequence is reduced")
