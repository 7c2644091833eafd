"""Folders as Hugging Face lays them out, whole and in shards, against the module whose weights are in them.

1e-12: float64 sums of the same numbers in another order.
"""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors.torch")

import lstm_engine as le  # noqa: E402
from lstm_engine.importers import import_graph  # noqa: E402
from lstm_engine.importers.drafts import propose_spec  # noqa: E402
from lstm_engine.operators import validate  # noqa: E402
from lstm_engine.reference import run  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::lstm_engine.errors.AssumptionWarning")


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = torch.nn.LSTM(5, 4, 2, batch_first=True, bidirectional=True)
        self.fc = torch.nn.Linear(8, 2)

    def forward(self, x):
        return self.fc(self.rnn(x)[0])


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Net().eval()


def save(state, path):
    if path.suffix == ".safetensors":
        safetensors.save_file(state, path)
    else:
        torch.save(state, path)


def sharded(state, folder, stem, count=3):
    """A folder with an index over `count` shards, the tensors dealt out in turn."""
    name, suffix = stem.split(".")
    files = [f"{name}-{number + 1:05}-of-{count:05}.{suffix}" for number in range(count)]
    places = {key: files[place % count] for place, key in enumerate(state)}
    for file in files:
        save({key: value for key, value in state.items() if places[key] == file}, folder / file)
    size = sum(value.nbytes for value in state.values())
    (folder / f"{stem}.index.json").write_text(json.dumps({"metadata": {"total_size": size}, "weight_map": places},
                                                          indent=2))
    return folder / f"{stem}.index.json"


def whole(state, folder, stem):
    save(state, folder / stem)
    return folder / stem


def check(graph, net):
    x = torch.randn(3, 7, 5, dtype=torch.float64)
    found = run(validate(graph), {graph.inputs[0].name: x.numpy()})[graph.outputs[0]]
    assert np.abs(found - net.double()(x).detach().numpy()).max() <= 1e-12


@pytest.mark.parametrize("stem", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("laid", [whole, sharded])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_folder_is_its_weights(tmp_path, net, stem, laid, prefix):
    """The folder, the file in it, and the same weights in a plain file are one model; a spec reads it too."""
    state = {prefix + name: value for name, value in net.state_dict().items()}
    (tmp_path / "config.json").write_text('{"model_type": "net", "hidden_size": 4}')
    path = laid(state, tmp_path, stem)
    torch.save(net.state_dict(), tmp_path / "plain.pt")
    plain = import_graph(tmp_path / "plain.pt")
    for source in (tmp_path, path):
        graph = import_graph(source)
        note = ("\n'config.json' beside the weights says model_type 'net', hidden_size 4; how its layers are put "
                "together it does not say")
        assert graph.metadata["assumptions"] == plain.metadata["assumptions"] + note
        check(graph, net)
    x = np.ones((2, 3, 5), np.float32)
    expected = le.convert(tmp_path / "plain.pt").predict(x)
    for model in (le.convert(tmp_path), le.load(str(tmp_path)), le.convert(tmp_path, spec={
            "inputs": [{"name": "x", "shape": ["batch", "time", 5]}],
            "nodes": [{"op": "LSTM", "name": "a", "torch": "rnn", "layer": 0},
                      {"op": "LSTM", "name": "b", "torch": "rnn", "layer": 1},
                      {"op": "Dense", "name": "fc", "torch": "fc"}]})):
        np.testing.assert_array_equal(model.predict(x), expected)


def test_one_file_of_another_name(tmp_path, net):
    (tmp_path / "config.json").write_text("{}")
    save(net.state_dict(), tmp_path / "tagger.safetensors")
    check(import_graph(tmp_path), net)
    save(net.state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(le.FileError, match="it is a folder; expected a file: give one of those in it"):
        import_graph(tmp_path)


def test_safetensors_come_before_pickles(tmp_path, net):
    """As in from_pretrained."""
    (tmp_path / "config.json").write_text("{}")
    save({name: value * 0 for name, value in net.state_dict().items()}, tmp_path / "pytorch_model.bin")
    save(net.state_dict(), tmp_path / "model.safetensors")
    check(import_graph(tmp_path), net)


def test_whole_and_in_shards_at_once_is_asked(tmp_path, net):
    sharded(net.state_dict(), tmp_path, "model.safetensors")
    save(net.state_dict(), tmp_path / "model.safetensors")
    with pytest.raises(le.FormatError, match="whole and in shards; give the one that is meant"):
        le.convert(tmp_path)
    check(import_graph(tmp_path / "model.safetensors.index.json"), net)


def test_the_cache_of_hugging_face(tmp_path, net):
    """snapshots/<revision>/<name> -> ../../blobs/<hash>."""
    made, blobs, revision = tmp_path / "made", tmp_path / "blobs", tmp_path / "snapshots" / "4f1c"
    for folder in (made, blobs, revision):
        folder.mkdir(parents=True)
    sharded(net.state_dict(), made, "model.safetensors")
    (made / "config.json").write_text("{}")
    for place, file in enumerate(sorted(made.iterdir())):
        shutil.move(file, blobs / f"{place:040x}")
        (revision / file.name).symlink_to(f"../../blobs/{place:040x}")
    check(import_graph(revision), net)


def test_as_its_own_library_writes_them(tmp_path, net):
    hub = pytest.importorskip("huggingface_hub")
    if not hasattr(hub, "save_torch_state_dict"):
        pytest.skip("an older huggingface_hub")
    hub.save_torch_state_dict(net.state_dict(), tmp_path, max_shard_size=600)
    assert (tmp_path / "model.safetensors.index.json").exists()
    check(import_graph(tmp_path), net)


CONTRADICTIONS = [
    ({"hidden_size": 64}, "hidden_size 64, and no weight has an axis of that size"),
    ({"num_layers": 3}, "num_layers 3"),
    ({"bidirectional": False}, "bidirectional false"), ({"rnn_type": "GRU"}, "rnn_type 'GRU'"),
    ({"vocab_size": 1000}, "vocab_size 1000"),
]


@pytest.mark.parametrize("said, message", CONTRADICTIONS)
def test_a_config_that_contradicts_the_weights_is_an_error(tmp_path, net, said, message):
    save(net.state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(said))
    with pytest.raises(le.FormatError, match=f"'config.json' beside the weights says {message}.*not of one model"):
        le.convert(tmp_path)


def test_a_config_that_agrees_is_shown(tmp_path, net):
    """hidden_size may be that of both directions, and what is not known here is not asked."""
    save(net.state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({
        "model_type": "tagger", "hidden_size": 8, "num_layers": 2, "bidirectional": True, "rnn_type": "lstm",
        "batch_first": False, "other": [1, {"a": None}], "learning_rate": 1e-3}))
    graph = import_graph(tmp_path)
    check(graph, net)
    assert ("model_type 'tagger', rnn_type 'lstm', hidden_size 8, num_layers 2, bidirectional true, batch_first false; "
            "its module takes [time, batch, ...]") in graph.metadata["assumptions"]


def test_a_class_whose_forward_is_not_known_is_refused(tmp_path, net):
    """What its forward does no file says; who says how the weights are read, or has its code, converts it."""
    save(net.state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"model_type": "net", "architectures": ["NetForTagging"]}')
    with pytest.raises(le.UnsupportedError, match=r"of NetForTagging .*model_type 'net'.*model.py:build --weights"):
        le.convert(tmp_path)
    assert [node.op for node in le.convert(tmp_path, pool="none").graph.nodes] == ["LSTM", "LSTM", "Dense"]
    notes = propose_spec(tmp_path)["notes"]
    assert notes[0].startswith("a draft, to be corrected: 'config.json' says that it is of NetForTagging")


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1, "a": 2}'])
def test_a_config_that_is_none_is_an_error(tmp_path, net, text):
    save(net.state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(le.FormatError, match="config.json"):
        le.convert(tmp_path)
