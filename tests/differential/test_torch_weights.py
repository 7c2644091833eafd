"""What a torch file of weights or a whole module converts to, against the module's own outputs.

Tolerance 1e-12 in float64, as in test_torch_import: the same sums in another order. The engine itself runs in float32
and is held to 1e-5, its rounding over 7 steps of values below 10 being near 1e-6; a wrong reading is off by 0.1.
"""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors.torch")

import lstm_engine as le  # noqa: E402
from lstm_engine.errors import AssumptionWarning, LstmEngineError, UnsupportedError  # noqa: E402
from lstm_engine.importers import torch as importer  # noqa: E402
from lstm_engine.importers.base import ImportOptions  # noqa: E402
from lstm_engine.operators import validate  # noqa: E402
from lstm_engine.reference import run  # noqa: E402

nn = torch.nn
TOLERANCE, IN_FLOAT32 = 1e-12, 1e-5
BATCH, TIME = 3, 7


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(2)


def ours(graph, x):
    return run(validate(graph), {graph.inputs[0].name: x.numpy()})[graph.outputs[0]]


def check(graph, x, expected, tolerance=TOLERANCE):
    found = ours(graph, x)
    assert found.shape == tuple(expected.shape)
    assert np.abs(found - expected.detach().numpy()).max() <= tolerance


class Parts(nn.Module):
    """Layers by name; the forward is in `order`, from names and functions."""

    def __init__(self, order, **layers):
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.steps = order

    def forward(self, x):
        for step in self.steps:
            x = getattr(self, step)(x) if isinstance(step, str) else step(x)
            x = x[0] if isinstance(x, tuple) else x
        return x


def gru(inputs, units, **more):
    return nn.GRU(inputs, units, batch_first=True, **more)


RNN = dict(batch_first=True, nonlinearity="relu")
# layers, what runs, what is said of it; registered in an order that is another than that of the run
SETTLED = {
    "linear before": (dict(gru=gru(5, 4), fc=nn.Linear(6, 5)), ["fc", "gru"], dict(activations={"fc": "none"})),
    "relu before": (dict(gru=gru(5, 4), fc=nn.Linear(6, 5)), ["fc", torch.relu, "gru"],
                    dict(activations={"fc": "relu"})),
    "linear before, square": (dict(gru=gru(5, 5), fc=nn.Linear(5, 5)), ["fc", torch.tanh, "gru"],
                              dict(order=["fc", "gru"], activations={"fc": "tanh"})),
    "linear after, square": (dict(fc=nn.Linear(5, 5), gru=gru(5, 5)), ["gru", "fc"], dict(order=["gru", "fc"])),
    "hidden relu": (dict(fc2=nn.Linear(6, 2), fc1=nn.Linear(4, 6), gru=gru(5, 4)), ["gru", "fc1", torch.relu, "fc2"],
                    dict(activations={"fc1": "relu"})),
    "sigmoid at the end": (dict(gru=gru(5, 4), fc=nn.Linear(4, 2)), ["gru", "fc", torch.sigmoid],
                           dict(activations={"fc": "sigmoid"})),
    "relu behind the gru": (dict(gru=gru(5, 4), fc=nn.Linear(4, 2)), ["gru", torch.relu, "fc"],
                            dict(activations={"gru": "relu"})),
    "relu, then the mean": (dict(gru=gru(5, 4), fc=nn.Linear(4, 2)), ["gru", torch.relu, lambda y: y.mean(1), "fc"],
                            dict(activations={"gru": "relu"}, pool="mean")),
    "rnn with relu": (dict(rnn=nn.RNN(5, 4, 2, **RNN), fc=nn.Linear(4, 2)), ["rnn", "fc"],
                      dict(activations={"rnn": "relu"})),
    "two of one size": (dict(b=gru(4, 4), a=gru(4, 4)), ["b", "a"], dict(order=["b", "a"])),
    "every step, said": (dict(gru=gru(5, 4), fc=nn.Linear(4, 2)), ["gru", "fc"], dict(pool="none")),
    "last step of two directions": (dict(gru=gru(5, 4, bidirectional=True), fc=nn.Linear(8, 2)),
                                    ["gru", lambda y: y[:, -1], "fc"], dict(pool="step")),
    "last step": (dict(gru=gru(5, 4), fc=nn.Linear(4, 2)), ["gru", lambda y: y[:, -1], "fc"], dict(pool="step")),
}


def containers(tmp_path, state):
    """The same weights in four files: as registered, backwards, with a wrapper's prefix, and sorted by safetensors."""
    files = {"zip.pt": state, "backwards.pt": dict(reversed(state.items())),
             "wrapped.pt": {"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}}
    for name, value in files.items():
        torch.save(value, tmp_path / name, _use_new_zipfile_serialization=name != "backwards.pt")
    safetensors.save_file({f"module.{name}": tensor for name, tensor in state.items()}, tmp_path / "a.safetensors")
    return [*(tmp_path / name for name in files), tmp_path / "a.safetensors"]


@pytest.mark.parametrize("name", SETTLED)
def test_what_is_said_is_what_runs_whatever_the_container(tmp_path, name):
    layers, order, said = SETTLED[name]
    module = Parts(order, **layers).eval()
    first = next(step for step in order if isinstance(step, str))
    x = torch.randn(BATCH, TIME, getattr(module, first).weight_ih_l0.shape[1] if hasattr(getattr(module, first), "mode")
                    else getattr(module, first).in_features, dtype=torch.float64)
    paths = containers(tmp_path, module.state_dict())
    graphs = [importer.read(path, ImportOptions(**said)) for path in paths]
    with pytest.warns(AssumptionWarning, match="Assumed: .*every sequence begins with a zero state. Settle it with"):
        model = le.convert(paths[0], **said)
    expected = module.double()(x)
    for graph in graphs:
        check(graph, x, expected)
    assert len({graph.metadata["assumptions"] for graph in graphs}) == 1
    assert np.abs(model.predict(x.numpy()) - expected.detach().numpy()).max() <= IN_FLOAT32


@pytest.mark.parametrize("layers, pool", [(2, "state"), (1, "state")])
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_the_last_states_of_both_directions(tmp_path, kind, layers, pool):
    """torch's own h_n: the last layer's, side by side."""
    rnn = getattr(nn, kind)(5, 4, layers, bidirectional=True, batch_first=True)
    fc = nn.Linear(8, 2)
    torch.save(nn.ModuleDict({"rnn": rnn, "fc": fc}).state_dict(), tmp_path / "a.pt")
    x = torch.randn(BATCH, TIME, 5, dtype=torch.float64)
    graph = importer.read(tmp_path / "a.pt", ImportOptions(pool=pool))
    state = rnn.double()(x)[1]
    h = state[0] if kind == "LSTM" else state
    check(graph, x, fc.double()(torch.cat([h[-2], h[-1]], 1)))


ASKED = {
    "square linear": dict(gru=gru(5, 5), fc=nn.Linear(5, 5)),
    "linear before": dict(gru=gru(5, 4), fc=nn.Linear(6, 5)),
    "two linear layers": dict(gru=gru(5, 4), fc1=nn.Linear(4, 6), fc2=nn.Linear(6, 2)),
    "rnn": dict(rnn=nn.RNN(5, 4), fc=nn.Linear(4, 2)),
    "two of one size": dict(lstm2=gru(4, 4), lstm1=gru(4, 4)),
    "layer norm": dict(gru=gru(5, 4), norm=nn.LayerNorm(4), fc=nn.Linear(4, 2)),
    "batch norm": dict(gru=gru(5, 4), norm=nn.BatchNorm1d(4), fc=nn.Linear(4, 2)),
    "two heads": dict(gru=gru(5, 4), mean=nn.Linear(4, 2), deviation=nn.Linear(4, 2)),
    "two towers": dict(a=gru(5, 4), b=gru(5, 4)),
    "own parameter": dict(gru=gru(5, 4), own=nn.ParameterDict({"h0": nn.Parameter(torch.zeros(1, 1, 4))})),
}


@pytest.mark.parametrize("name", ASKED)
def test_the_same_weights_are_refused_in_the_same_words(tmp_path, name):
    messages = set()
    for path in containers(tmp_path, Parts([], **ASKED[name]).state_dict()):
        with pytest.raises(UnsupportedError) as caught:
            importer.read(path)
        messages.add(str(caught.value).removeprefix(f"{path}: "))
    assert len(messages) == 1 and "lstm-engine inspect FILE --spec" in messages.pop()


ACTIVATIONS = [nn.ReLU(), nn.Sigmoid(), nn.Tanh(), nn.ReLU6(), nn.SELU(), nn.SiLU(), nn.Mish(), nn.Softsign(),
               nn.LogSigmoid(), nn.Hardswish(), nn.LeakyReLU(0.3), nn.ELU(0.7), nn.Hardsigmoid(), nn.Hardtanh(),
               nn.GELU(), nn.GELU("tanh"), nn.Softplus(), nn.Softmax(-1), nn.Softmax(2), nn.LogSoftmax(-1)]


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_activations_of_a_pickled_chain(tmp_path, activation):
    linear = nn.Linear(5, 6)
    with torch.no_grad():
        linear.weight.mul_(20)                 # reaches the flat ends of the hard functions
    module = nn.Sequential(linear, activation, gru(6, 4))
    torch.save(module, tmp_path / "a.pt")
    x = torch.randn(BATCH, TIME, 5, dtype=torch.float64)
    # Above 20 torch takes softplus(x) for x, in float32 the same number: exp(-20) away in float64.
    tolerance = np.exp(-20) if isinstance(activation, nn.Softplus) else TOLERANCE
    check(importer.read(tmp_path / "a.pt"), x, module.double()(x)[0], tolerance)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("module", [
    lambda **more: nn.LSTM(5, 4, 2, bidirectional=True, proj_size=3, **more),
    lambda **more: nn.LSTM(5, 4, bias=False, **more), lambda **more: nn.GRU(5, 4, 2, dropout=0.5, **more),
    lambda **more: nn.RNN(5, 4, 2, nonlinearity="relu", bidirectional=True, **more),
    lambda **more: nn.RNN(5, 4, **more),
    lambda **more: nn.Sequential(nn.Linear(5, 3), nn.ReLU(), nn.Dropout(), nn.RNN(3, 4, nonlinearity="relu", **more)),
    lambda **more: nn.Sequential(nn.ReLU(), nn.Sequential(nn.GRU(5, 4, **more))),
])
def test_pickled_modules_take_what_the_module_takes(tmp_path, module, batch_first):
    """Time first where it is: no two sizes of x are equal, so that a wrong layout is a wrong shape."""
    module = module(batch_first=batch_first).eval()
    torch.save(module, tmp_path / "a.pt")
    graph, model = importer.read(tmp_path / "a.pt"), le.convert(tmp_path / "a.pt")
    x = torch.randn(BATCH, TIME, 5, dtype=torch.float64)
    expected = module.double()(x)[0]
    check(graph, x, expected)
    assert graph.inputs[0].shape == (*(("batch", "time") if batch_first else ("time", "batch")), 5)
    assert np.abs(model.predict(x.numpy()) - expected.detach().numpy()).max() <= IN_FLOAT32


@pytest.mark.parametrize("batch_first", [False, True])
def test_pickled_token_ids(tmp_path, batch_first):
    module = nn.Sequential(nn.Embedding(11, 5, padding_idx=0), nn.LSTM(5, 4, batch_first=batch_first)).eval()
    torch.save(module, tmp_path / "a.pt")
    ids = torch.randint(0, 11, (BATCH, TIME))
    expected = module(ids)[0].detach().numpy()
    assert np.abs(le.convert(tmp_path / "a.pt").predict(ids.numpy()) - expected).max() <= IN_FLOAT32


class Hidden(nn.Module):
    """Programs whose state dicts look like a chain."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.lstm, self.fc = nn.LSTM(5, 4, batch_first=True), nn.Linear(4, 4)

    def forward(self, x):
        y = self.lstm((x - 3) / 2 if self.kind == "scaled" else x.flip(1) if self.kind == "flipped" else x)[0]
        y = {"relu": torch.relu, "last": lambda y: y[:, -1]}.get(self.kind, lambda y: y)(y)
        z = self.fc(y)
        return torch.sigmoid(z) if self.kind == "sigmoid" else z + y if self.kind == "residual" else z


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["scaled", "flipped", "relu", "last", "sigmoid", "residual", "plain"])
@pytest.mark.parametrize("scripted", [False, True])
def test_a_program_that_the_weights_do_not_show_is_never_converted_silently(tmp_path, kind, scripted):
    module, x = Hidden(kind).eval(), torch.randn(2, TIME, 5)
    if scripted:
        torch.jit.save(torch.jit.trace(module, x), tmp_path / "a.pt")
    else:
        torch.save(module, tmp_path / "a.pt")
    with pytest.raises(LstmEngineError, match="torch.export.export"):
        le.convert(tmp_path / "a.pt")

FUNCTIONS = {"none": lambda y: y, "relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid,
             "softmax": lambda y: y.softmax(-1)}
POOLS = {"none": lambda y: y, "step": lambda y: y[:, -1], "mean": lambda y: y.mean(1), "max": lambda y: y.max(1).values}


def random_chain(rng):
    """Layers by name in the order in which they run, the module that runs them, and what has to be said of it."""
    kinds = [*rng.choice(["LSTM", "GRU", "RNN", "Linear"], rng.integers(1, 5)), rng.choice(["LSTM", "GRU"])]
    rng.shuffle(kinds)
    last = max(place for place, kind in enumerate(kinds) if kind != "Linear")
    pool = str(rng.choice(list(POOLS)))
    layers, steps, activations, size = {}, [], {}, 5
    for place, (kind, name) in enumerate(zip(kinds, rng.permutation([f"l{number}" for number in range(len(kinds))]))):
        units, function = int(rng.integers(3, 6)), str(rng.choice(list(FUNCTIONS)))
        if kind == "Linear":
            layers[name] = nn.Linear(size, units, bias=bool(rng.integers(2)) or place == 0)
        else:
            more = {"nonlinearity": str(rng.choice(["tanh", "relu"]))} if kind == "RNN" else {}
            layers[name] = getattr(nn, kind)(size, units, int(rng.integers(1, 3)), batch_first=True,
                                             bidirectional=bool(rng.integers(2)), **more)
            units *= 2 if layers[name].bidirectional else 1
            function = "none" if kind == "RNN" else function
        activations[name] = layers[name].nonlinearity if kind == "RNN" else function
        steps += [name, FUNCTIONS[function], *([POOLS[pool]] if place == last else [])]
        size = units
    shuffled = {name: layers[name] for name in rng.permutation(list(layers))}
    return list(layers), Parts(steps, **shuffled), {"pool": pool, "activations": activations}


@pytest.mark.parametrize("seed", range(60))
def test_random_chains(tmp_path, seed):
    """Said in full, they are what torch computes; without the order they are that too, or a question."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    order, module, said = random_chain(rng)
    torch.save(module.state_dict(), tmp_path / "a.pt")
    x = torch.randn(BATCH, TIME, 5, dtype=torch.float64)
    expected = module.double()(x)
    check(importer.read(tmp_path / "a.pt", ImportOptions(order=order, **said)), x, expected)
    try:
        graph = importer.read(tmp_path / "a.pt", ImportOptions(**said))
    except UnsupportedError as error:
        assert "possible: " in str(error) and f"--order {','.join(order)}" in str(error) or "more than" in str(error)
    else:
        check(graph, x, expected)
