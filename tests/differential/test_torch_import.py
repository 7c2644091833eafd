"""torch modules with random weights, saved, imported and run by the float64 oracle, against torch itself in float64.

Tolerance 1e-12: both sides compute the same sums in float64 over at most 16 steps of values below 10, so they
differ by rounding alone, about 1e-15 for each of some hundred terms. A wrong gate order, a dropped bias or layer
gives differences around 0.1.
"""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lstm_engine.importers import torch as importer  # noqa: E402
from lstm_engine.importers.base import ImportOptions  # noqa: E402
from lstm_engine.operators import validate  # noqa: E402
from lstm_engine.reference import run  # noqa: E402

nn = torch.nn
TOLERANCE = 1e-12
BATCH, TIME, FEATURES, HIDDEN = 3, 7, 5, 4
TANH = ImportOptions(activations={"rnn": "tanh"})


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(1)
    torch.set_num_threads(1)


def save(state, path, kind):
    if kind == "safetensors":
        pytest.importorskip("safetensors.torch").save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind == "zip")
    return path


def ours(graph, x):
    return run(validate(graph), {graph.inputs[0].name: x.numpy()})[graph.outputs[0]]


def check(graph, x, expected):
    found = ours(graph, x)
    assert found.shape == tuple(expected.shape)
    assert np.abs(found - expected.detach().numpy()).max() <= TOLERANCE


def floats(features=FEATURES):
    return torch.randn(BATCH, TIME, features, dtype=torch.float64)


def in_float64(module):
    """The module's float32 weights, computed in float64: what the imported graph means exactly."""
    return module.eval().double()


LAYERS = [(kind, layers, bidirectional, bias, projection)
          for kind in ("LSTM", "GRU", "RNN") for layers in (1, 2, 3) for bidirectional in (False, True)
          for bias in (True, False) for projection in ((0, 2) if kind == "LSTM" else (0,))]


@pytest.mark.parametrize("kind, layers, bidirectional, bias, projection", LAYERS)
def test_recurrent_stacks(tmp_path, kind, layers, bidirectional, bias, projection):
    more = {"proj_size": projection} if projection else {}
    module = getattr(nn, kind)(FEATURES, HIDDEN, layers, bias=bias, bidirectional=bidirectional, batch_first=True,
                               **more)
    suffix = ("zip", "legacy", "safetensors")[layers - 1]
    path = save(module.state_dict(), tmp_path / f"a.{'safetensors' if suffix == 'safetensors' else 'pt'}", suffix)
    x = floats()
    expected = in_float64(module)(x)[0]
    check(importer.read(path, TANH if kind == "RNN" else importer.DEFAULT), x, expected)
    check(importer.read_live(module), x, expected)


def test_final_states_are_torchs(tmp_path):
    module = nn.LSTM(FEATURES, HIDDEN, bidirectional=True, batch_first=True)
    graph = validate(importer.read_live(module))
    x = floats()
    _, (h, c) = in_float64(module)(x)
    _, *states = run(graph, {"input": x.numpy()}).values()
    for got, expected in zip(states, (h, c), strict=True):
        assert np.abs(got - expected.detach().numpy()).max() <= TOLERANCE


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_cells(tmp_path, kind):
    class Loop(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = getattr(nn, f"{kind}Cell")(FEATURES, HIDDEN)

        def forward(self, x):
            state, steps = None, []
            for t in range(x.shape[1]):
                state = self.cell(x[:, t], state)
                steps.append(state[0] if kind == "LSTM" else state)
            return torch.stack(steps, 1)

    module = Loop()
    options = ImportOptions(activations={"cell": "tanh"} if kind == "RNN" else None)
    graph = importer.read(save(module.state_dict(), tmp_path / "a.pt", "zip"), options)
    x = floats()
    check(graph, x, in_float64(module)(x))


class Tagger(nn.Module):
    """Embedding -> stack -> linear, the state dict that most scripts save."""

    def __init__(self, pool=None, bidirectional=False):
        super().__init__()
        self.embedding = nn.Embedding(11, FEATURES)
        self.rnn = nn.LSTM(FEATURES, HIDDEN, 2, batch_first=True, bidirectional=bidirectional)
        self.fc = nn.Linear(HIDDEN * (1 + bidirectional), 3)
        self.pool = pool

    def forward(self, ids):
        y = self.rnn(self.embedding(ids))[0]
        if self.pool:
            y = {"last": lambda: y[:, -1], "mean": lambda: y.mean(1), "max": lambda: y.max(1).values}[self.pool]()
        return self.fc(y)


@pytest.mark.parametrize("pool, bidirectional", [(None, False), (None, True), ("last", False), ("mean", True),
                                                 ("max", False)])
def test_embedding_stack_pool_head(tmp_path, pool, bidirectional):
    module = Tagger(pool, bidirectional)
    ids = torch.randint(0, 11, (BATCH, TIME))
    path = save({"state_dict": {f"module.{name}": w for name, w in module.state_dict().items()}}, tmp_path / "a.pt",
                "zip")
    options = ImportOptions(pool=pool)
    live = ImportOptions(example_inputs=(ids,))
    for graph in (importer.read(path, options), importer.read_live(module, live)):
        check(graph, ids, in_float64(module)(ids))


@pytest.mark.filterwarnings("ignore")
def test_torchscript_and_exported_programs(tmp_path):
    module = Tagger(bidirectional=True).eval()
    ids = torch.randint(0, 11, (BATCH, TIME))
    torch.jit.save(torch.jit.trace(module, ids), tmp_path / "a.pt")
    torch.export.save(torch.export.export(module, (ids,)), tmp_path / "a.pt2")
    spec = importer.propose_spec(tmp_path / "a.pt")         # TorchScript is code: the caller says what it computes
    graphs = [importer.read(tmp_path / "a.pt", ImportOptions(spec=spec)), importer.read(tmp_path / "a.pt2")]
    for graph in graphs:
        check(graph, ids, in_float64(module)(ids))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_files(tmp_path, dtype):
    module = Tagger().to(dtype)
    graph = importer.read(save(module.state_dict(), tmp_path / "a.safetensors", "safetensors"))
    ids = torch.randint(0, 11, (BATCH, TIME))
    check(graph, ids, in_float64(module)(ids))


def test_two_modules_of_different_kinds(tmp_path):
    module = nn.ModuleDict({"gru": nn.GRU(FEATURES, HIDDEN, batch_first=True),
                            "lstm": nn.LSTM(HIDDEN, 6, batch_first=True)})
    graph = importer.read(save(module.state_dict(), tmp_path / "a.pt", "legacy"))
    x = floats()
    in_float64(module)
    check(graph, x, module["lstm"](module["gru"](x)[0])[0])


class Unpacked(nn.Module):
    """What nn.Sequential needs after a recurrent layer to run in torch."""

    def forward(self, x):
        return x[0]


def test_a_live_sequential():
    rnn, gru = nn.RNN(6, HIDDEN, nonlinearity="relu", batch_first=True), nn.GRU(HIDDEN, HIDDEN, 2, batch_first=True)
    before, after = [nn.Linear(FEATURES, 6), nn.Tanh()], [nn.Dropout(), nn.Linear(HIDDEN, 3), nn.LogSoftmax(-1)]
    graph = importer.read_live(nn.Sequential(*before, rnn, gru, *after))
    runnable = nn.Sequential(*before, rnn, Unpacked(), gru, Unpacked(), *after)
    x = floats()
    check(graph, x, in_float64(runnable)(x))


ACTIVATIONS = [nn.ReLU(), nn.Sigmoid(), nn.Tanh(), nn.ReLU6(), nn.SELU(), nn.SiLU(), nn.Mish(), nn.Softsign(),
               nn.LogSigmoid(), nn.Hardswish(), nn.LeakyReLU(0.3), nn.ELU(0.7), nn.Hardsigmoid(), nn.Hardtanh(),
               nn.GELU(), nn.GELU("tanh"), nn.Softplus(), nn.Softmax(-1), nn.LogSoftmax(2)]


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_activation_modules_mean_what_torch_means(activation):
    rnn, linear = nn.GRU(FEATURES, HIDDEN, batch_first=True), nn.Linear(HIDDEN, 6)
    with torch.no_grad():
        linear.weight.mul_(20)                 # reaches the flat ends of the hard functions
    x = floats()
    graph = importer.read_live(nn.Sequential(rnn, linear, activation))
    check(graph, x, in_float64(nn.Sequential(rnn, Unpacked(), linear, activation))(x))


class Regressor(nn.Module):
    """A forward that a state dict does not show: ReLU cells, the last state of both directions, a hidden ReLU."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(FEATURES, HIDDEN, nonlinearity="relu", bidirectional=True, batch_first=True)
        self.fc1, self.fc2 = nn.Linear(2 * HIDDEN, 6), nn.Linear(6, 1)

    def forward(self, x):
        h = self.rnn(x)[1]
        return torch.sigmoid(self.fc2(torch.relu(self.fc1(torch.cat([h[0], h[1]], 1)))))


SPEC = {"inputs": [{"name": "x", "shape": ["batch", "time", FEATURES], "dtype": "float32"}],
        "nodes": [{"op": "RNN", "name": "rnn", "torch": "rnn", "activations": [["relu"], ["relu"]],
                   "outputs": ["", "state"]},
                  {"op": "Dense", "name": "fc1", "torch": "fc1", "activation": "relu", "inputs": ["state"]},
                  {"op": "Dense", "name": "fc2", "torch": "fc2", "activation": "sigmoid"}]}


OPTIONS = {"activations": {"rnn": "relu", "fc1": "relu", "fc2": "sigmoid"}, "pool": "state"}


@pytest.mark.parametrize("said, live", [({"spec": SPEC}, False), ({"spec": SPEC}, True), (OPTIONS, False)])
def test_a_spec_or_options_say_what_the_state_dict_cannot(tmp_path, said, live):
    module = Regressor()
    path = save(module.state_dict(), tmp_path / "a.pt", "zip")
    options = ImportOptions(**said)
    graph = importer.read_live(module, options) if live else importer.read(path, options)
    x = floats()
    check(graph, x, in_float64(module)(x))


def test_the_proposed_spec_gives_the_same_graph(tmp_path):
    module = Tagger()
    path = save(module.state_dict(), tmp_path / "a.pt", "zip")
    ids = torch.randint(0, 11, (BATCH, TIME))
    check(importer.read(path, ImportOptions(spec=importer.propose_spec(path))), ids, in_float64(module)(ids))


def test_float64_weights_stay_float64(tmp_path):
    module = nn.LSTM(FEATURES, HIDDEN, batch_first=True).double()
    graph = importer.read(save(module.state_dict(), tmp_path / "a.pt", "zip"))
    assert graph.inputs[0].dtype == "float64" and graph.nodes[0].W.dtype == np.float64
    x = floats()
    check(graph, x, module(x)[0])
