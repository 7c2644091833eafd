"""Checkpoints as training scripts and frameworks leave them: what lies beside the weights, and how these are kept.

Tolerance 1e-12 in float64, as in test_torch_weights; where a weight is made of others here, which torch makes in
float32, 1e-5: the rounding of one product a weight, over 7 steps.
"""

from __future__ import annotations

import argparse
import collections
import datetime
import decimal
import enum
import fractions
import functools
import pathlib
import random
import re
import uuid

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.nn.utils import parametrizations, parametrize, prune  # noqa: E402

from lstm_engine.errors import FormatError, LstmEngineError, UnsupportedError  # noqa: E402
from lstm_engine.importers import torch as importer  # noqa: E402
from lstm_engine.importers.base import ImportOptions  # noqa: E402
from lstm_engine.operators import validate  # noqa: E402
from lstm_engine.reference import run  # noqa: E402

nn = torch.nn
TOLERANCE, MADE = 1e-12, 1e-5


class Net(nn.Module):
    def __init__(self, kind="LSTM", **more):
        super().__init__()
        self.rnn = getattr(nn, kind)(5, 4, batch_first=True, **more)
        self.fc = nn.Linear(self.rnn(torch.zeros(1, 1, 5))[0].shape[-1], 2)

    def forward(self, x):
        return self.fc(self.rnn(x)[0])


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(3)


@pytest.fixture
def net():
    return Net().eval()


def check(path, module, tolerance=TOLERANCE, **said):
    """The file's graph computes what the module does; the graph."""
    graph = validate(importer.read(path, ImportOptions(**said)))
    x = torch.randn(3, 7, 5, dtype=torch.float64)
    found = run(graph, {graph.inputs[0].name: x.numpy()})[graph.outputs[0]]
    assert np.abs(found - module.double()(x).detach().numpy()).max() <= tolerance
    return graph


class Phase(enum.Enum):
    TRAIN = "train"


class Level(enum.IntEnum):
    HIGH = 2


class Callback:
    """Holds the trainer that holds it."""

    def __init__(self, trainer=None):
        self.trainer, self.best, self.scores = trainer, float("inf"), [0.5]


class Settings(dict):
    """As Lightning's AttributeDict."""


def circle():
    trainer = Callback()
    trainer.callbacks = [Callback(trainer)]
    return trainer


COMPANY = {
    "enum": Phase.TRAIN, "int enum": Level.HIGH, "partial": functools.partial(max, 1, key=len),
    "deque": collections.deque([1, 2], 5), "decimal": decimal.Decimal("1.5"), "fraction": fractions.Fraction(1, 3),
    "regex": re.compile("a+b"), "datetime": datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc),
    "time": datetime.time(1), "delta": datetime.timedelta(1), "date": datetime.date(2024, 1, 1),
    "uuid": uuid.UUID(int=5), "path": pathlib.Path("a/b"), "windows": pathlib.PureWindowsPath("a"),
    "slice": slice(1, 2), "range": range(3), "complex": 1 + 2j, "bytes": b"abc", "bytearray": bytearray(b"abc"),
    "frozenset": frozenset((1, 2)), "set": {1}, "tuple keys": {(1, "a"): 1, (1, ("b",)): 2},
    "enum keys": {Phase.TRAIN: 1}, "generator": np.random.default_rng(0), "RandomState": np.random.RandomState(0),
    "random": random.Random(0), "random state": random.getstate(), "scalar": np.float64(1.5), "int64": np.int64(5),
    "numpy array": np.arange(3), "numpy dtype": np.dtype("f4"),
    "namespace": argparse.Namespace(lr=1, phase=Phase.TRAIN),
    "callbacks": circle(), "attributes": Settings(lr=1), "counter": collections.Counter("aab"),
    "defaultdict": collections.defaultdict(list, a=[1]), "function": torch.relu, "method": "abc".upper,
    "device": torch.device("cpu"), "dtype": torch.float32, "size": torch.Size((1, 2)), "class": nn.LSTM,
    "loss": nn.CrossEntropyLoss(), "big": 2**100, "layout": torch.strided, "type hint": dict[str, int],
}


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("name", COMPANY)
def test_what_a_training_keeps_does_not_stop_the_file(tmp_path, net, name, protocol):
    """Beside the weights, under a key that says nothing of it."""
    torch.save({"state_dict": net.state_dict(), "epoch": 3, "other": COMPANY[name], "more": [COMPANY[name]]},
               tmp_path / "a.pt", pickle_protocol=protocol)
    graph = check(tmp_path / "a.pt", net)
    # An array may be what inputs are scaled by: it is named, as a tensor without axes is.
    said = [line for line in graph.metadata["assumptions"].split("\n") if "take no part" in line]
    assert said == ["arrays of NumPy beside the weights take no part: 'other'"] * (name == "numpy array")


def test_everything_at_once_and_legacy(tmp_path, net):
    optimizer = torch.optim.AdamW(net.parameters())
    net(torch.zeros(1, 2, 5)).sum().backward()
    optimizer.step()
    torch.save({"epoch": 1, "global_step": 5, "pytorch-lightning_version": "2.0", "state_dict": net.state_dict(),
                "loops": {"fit_loop": {"state_dict": {}}}, "callbacks": {"ModelCheckpoint{'monitor': 'x'}": {
                    "best_model_score": torch.tensor(0.5), "best_model_path": "a"}},
                "optimizer_states": [optimizer.state_dict()], "optimizer": optimizer,
                "lr_schedulers": [{"base_lrs": [0.1]}], "hparams_name": "kwargs",
                "hyper_parameters": Settings(COMPANY)},
               tmp_path / "a.ckpt", _use_new_zipfile_serialization=False)
    check(tmp_path / "a.ckpt", net)


def test_omegaconf(tmp_path, net):
    omegaconf = pytest.importorskip("omegaconf")
    config = omegaconf.OmegaConf.create({"model": {"units": 4, "layers": [1, 2], "rate": "${model.units}"}})
    torch.save({"state_dict": net.state_dict(), "hyper_parameters": config, "cfg": {"inner": config.model}},
               tmp_path / "a.pt")
    check(tmp_path / "a.pt", net)


def test_tensors_in_what_the_training_was_told_are_named(tmp_path, net):
    torch.save({"state_dict": net.state_dict(), "hyper_parameters": {"loss": nn.CrossEntropyLoss(torch.ones(2)),
                                                                     "mean": torch.zeros(5)}}, tmp_path / "a.pt")
    graph = check(tmp_path / "a.pt", net)
    assert "tensors in what the training was told take no part: 'hyper_parameters.loss.weight', " \
           "'hyper_parameters.mean'" in graph.metadata["assumptions"].split("\n")


@pytest.mark.parametrize("wrap", [
    lambda state: {"config": state}, lambda state: {"args": state, "epoch": 1},
    lambda state: {"mine": state, "args": {"mean": torch.zeros(5)}},
    lambda state: {"state_dict": state, "config": {"mean": torch.zeros(5)}, "args": {"w": torch.zeros(2)}},
], ids=["config", "args", "mine", "known"])
def test_settings_are_the_model_only_where_nothing_else_is(tmp_path, net, wrap):
    torch.save(wrap(net.state_dict()), tmp_path / "a.pt")
    check(tmp_path / "a.pt", net)


def test_settings_beside_single_tensors_are_kept(tmp_path, net):
    """A flat state dict with a module of such a name: nothing drops out of sight."""
    torch.save(net.state_dict() | {"args": {"w": torch.zeros(2)}}, tmp_path / "a.pt")
    with pytest.raises(UnsupportedError, match="'args.w'"):
        importer.read(tmp_path / "a.pt")


def test_losses_and_metrics_among_the_weights_are_named(tmp_path, net):
    state = {f"model.{name}": value for name, value in net.state_dict().items()}
    more = {"criterion.weight": torch.ones(2), "losses.0.x": torch.tensor(0.5), "loss_fn.pos_weight": torch.ones(2),
            "train_acc.correct": torch.tensor(5), "val_metrics.a[0].total": torch.tensor(3)}
    torch.save({"state_dict": state | more}, tmp_path / "a.ckpt")
    with pytest.raises(UnsupportedError, match=r"1 tensor\(s\) belong to no .* layer: 'losses.0.x'"):
        importer.read(tmp_path / "a.ckpt")
    del more["losses.0.x"]
    torch.save({"state_dict": state | more}, tmp_path / "a.ckpt")
    graph = check(tmp_path / "a.ckpt", net)
    assert "weights of a loss and counts of metrics take no part: 'criterion.weight', 'loss_fn.pos_weight', " \
           "'train_acc.correct', 'val_metrics.a[0].total'" in graph.metadata["assumptions"].split("\n")


@pytest.mark.parametrize("more", [{"loss.weight": torch.ones(4), "loss.bias": torch.ones(4)},
                                  {"loss_head.weight": torch.ones(4)}, {"scale.value": torch.tensor(2.0)},
                                  {"loss.weight": torch.ones(2, 2, 2)}], ids=lambda value: next(iter(value)))
def test_what_could_be_a_layer_is_not_taken_for_a_loss(tmp_path, net, more):
    torch.save(net.state_dict() | more, tmp_path / "a.pt")
    with pytest.raises(UnsupportedError, match="belong to no recurrent, embedding or linear layer"):
        importer.read(tmp_path / "a.pt")


class Maker:
    """What calling the class makes of its arguments is not in the file."""

    def __init__(self, weights):
        self.weights = weights

    def __reduce__(self):
        return Maker, (self.weights,)


def test_a_call_over_tensors_is_code(tmp_path, net):
    torch.save({"state_dict": Maker(net.state_dict())}, tmp_path / "a.pt")
    with pytest.raises(UnsupportedError, match=r"tensors in calls that are never made, such as .*Maker"):
        importer.read(tmp_path / "a.pt")


@pytest.mark.parametrize("name", ["fc.bias", "rnn.bias_hh_l0"])
@pytest.mark.parametrize("value", [[0.5, 0.5], Callback(), Phase.TRAIN, 1.5])
def test_what_stands_in_the_place_of_a_weight_is_not_passed_over(tmp_path, net, value, name):
    torch.save(net.state_dict() | {name: value}, tmp_path / "a.pt")
    with pytest.raises(UnsupportedError, match=rf"'{name}' is no tensor but a"):
        importer.read(tmp_path / "a.pt")


def test_the_same_tensors_in_a_circle_are_refused(tmp_path, net):
    holder = {"w": net.state_dict()}
    holder["again"] = holder
    torch.save({"model": holder}, tmp_path / "a.pt")
    with pytest.raises(FormatError, match="holds itself"):
        importer.read(tmp_path / "a.pt")


# ---- weights that are made of others ---------------------------------------------------------------------------

def normalised(net):
    nn.utils.weight_norm(net.fc)
    nn.utils.weight_norm(net.fc, "bias", dim=0)
    nn.utils.weight_norm(net.rnn, "weight_hh_l0")
    nn.utils.weight_norm(net.rnn, "weight_ih_l0", dim=1)


def normalised_whole(net):
    nn.utils.weight_norm(net.fc, dim=None)


def parametrized(net):
    parametrizations.weight_norm(net.fc)
    parametrizations.weight_norm(net.rnn, "weight_hh_l0", dim=1)


def spectral(net):
    nn.utils.spectral_norm(net.fc)
    nn.utils.spectral_norm(net.rnn, "weight_hh_l0")
    net.fc(torch.zeros(1, 4))


def spectral_parametrized(net):
    parametrizations.spectral_norm(net.fc)
    parametrizations.spectral_norm(net.rnn, "weight_ih_l0", dim=1)


def pruned(net):
    prune.l1_unstructured(net.fc, "weight", 0.5)
    prune.random_structured(net.rnn, "weight_hh_l0", 0.5, dim=0)
    prune.l1_unstructured(net.rnn, "bias_ih_l0", 0.3)


FORMS = [normalised, normalised_whole, parametrized, spectral, spectral_parametrized, pruned]


def with_lengths(net):
    """Lengths that are not those of the directions, so that no part can be left out unseen."""
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.endswith(("_g", "original0")):
                parameter.mul_(torch.rand_like(parameter) + 0.5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("container", ["pt", "safetensors"])
@pytest.mark.parametrize("form", FORMS)
def test_weights_that_evaluation_settles(tmp_path, net, form, container):
    net.train()
    form(net)
    with_lengths(net)
    net.eval()
    state = net.state_dict()
    assert set(state) != set(Net().state_dict())
    path = tmp_path / f"a.{container}"
    if container == "pt":
        torch.save(state, path)
    else:
        pytest.importorskip("safetensors.torch").save_file({key: value.clone() for key, value in state.items()}, path)
    graph = check(path, net, MADE)
    assert any(word in graph.metadata["assumptions"] for word in ("weight_norm", "pruned", "spectral"))
    by_spec = {"inputs": [{"name": "x", "shape": ["batch", "time", 5]}],
               "nodes": [{"op": "LSTM", "name": "rnn", "torch": "rnn"}, {"op": "Dense", "name": "fc", "torch": "fc"}]}
    check(path, net, MADE, spec=by_spec)


@pytest.mark.parametrize("change", [lambda module: parametrizations.orthogonal(module.fc),
                                    lambda module: parametrize.register_parametrization(module.fc, "weight",
                                                                                        nn.Tanh())])
def test_other_parametrizations_are_refused(tmp_path, net, change):
    change(net)
    torch.save(net.state_dict(), tmp_path / "a.pt")
    with pytest.raises(LstmEngineError, match="parametrizations.weight"):
        importer.read(tmp_path / "a.pt")


class Dropped(nn.Module):
    """fastai's WeightDropout over an LSTM, as it evaluates: the raw weights run."""

    def __init__(self, features, units):
        super().__init__()
        self.module = nn.LSTM(features, units, batch_first=True)
        self.weight_hh_l0_raw = nn.Parameter(self.module.weight_hh_l0.detach().clone())
        with torch.no_grad():
            self.module.weight_hh_l0.mul_(torch.rand_like(self.module.weight_hh_l0) < 0.5)

    def forward(self, x):
        running = nn.LSTM(self.module.input_size, self.module.hidden_size, batch_first=True, dtype=x.dtype)
        running.load_state_dict(self.module.state_dict() | {"weight_hh_l0": self.weight_hh_l0_raw})
        return running(x)[0]


@pytest.mark.parametrize("copies", [True, False])
def test_awd_lstm(tmp_path, copies):
    net = nn.Sequential(collections.OrderedDict(rnns=nn.Sequential(Dropped(5, 6), Dropped(6, 4)),
                                                decoder=nn.Linear(4, 2)))
    state = {name: value for name, value in net.state_dict().items() if copies or "module.weight_hh" not in name}
    torch.save(state, tmp_path / "a.pth")
    graph = check(tmp_path / "a.pth", net)
    assert "are without dropped connections: the raw weights" in graph.metadata["assumptions"]


def test_awd_lstm_with_raw_weights_inside_and_one_table_twice(tmp_path):
    table, rnn = nn.Embedding(9, 5), nn.LSTM(5, 4, batch_first=True)
    state = {"0.encoder.weight": table.weight, "0.encoder_dp.emb.weight": table.weight,
             **{f"0.rnns.0.module.{name}{'_raw' if '_hh_' in name and 'weight' in name else ''}": value
                for name, value in rnn.state_dict().items()}}
    torch.save({"model": state, "opt": {"state": [torch.ones(3)]}}, tmp_path / "a.pth")
    graph = validate(importer.read(tmp_path / "a.pth"))
    ids = torch.randint(0, 9, (3, 7))
    expected = rnn.double()(table.double()(ids))[0].detach().numpy()
    assert np.abs(run(graph, {"ids": ids.numpy().astype(np.int32)})["output"] - expected).max() <= TOLERANCE
    state["0.encoder_dp.emb.weight"] = table.weight + 1
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(UnsupportedError, match="are one table in fastai, and differ here"):
        importer.read(tmp_path / "a.pth")


# ---- two sets of the same weights ------------------------------------------------------------------------------

def averaged(net):
    return {name: value * 0.5 for name, value in net.state_dict().items()}


BESIDE = {
    "ema": lambda net: {"model": net.state_dict(), "ema": averaged(net)},
    "state_dict_ema": lambda net: {"state_dict": net.state_dict(), "state_dict_ema": averaged(net)},
    "swa inside": lambda net: net.state_dict() | {f"swa_model.{name}": value for name, value in averaged(net).items()},
    "ema-pytorch": lambda net: {**{f"online_model.{name}": value for name, value in net.state_dict().items()},
                                **{f"ema_model.{name}": value for name, value in averaged(net).items()}},
    "without dots": lambda net: {**{f"model.{name}": value for name, value in net.state_dict().items()},
                                 **{f"model_ema.{name.replace('.', '')}": value
                                    for name, value in averaged(net).items()},
                                 "model_ema.decay": torch.tensor(0.9), "model_ema.num_updates": torch.tensor(5)},
}


@pytest.mark.parametrize("name", BESIDE)
def test_which_of_two_sets_is_asked(tmp_path, net, name):
    torch.save(BESIDE[name](net), tmp_path / "a.pt")
    with pytest.raises(UnsupportedError, match="every weight is there twice, as training left it and averaged, under "):
        importer.read(tmp_path / "a.pt")
    spec = importer.propose_spec(tmp_path / "a.pt")
    assert spec["notes"][0].startswith("a draft, to be corrected: every weight is there twice") and spec["ignore"]
    check(tmp_path / "a.pt", net, spec=spec)


def test_an_average_alone_is_the_model(tmp_path, net):
    average = torch.optim.swa_utils.AveragedModel(net)
    torch.save(average.state_dict(), tmp_path / "a.pt")
    check(tmp_path / "a.pt", net)
