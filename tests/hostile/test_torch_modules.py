"""Whole pickled modules whose attributes lie: a typed error, or a graph that can be run."""

from __future__ import annotations

import io

import pytest

torch = pytest.importorskip("torch")

from lstm_engine.errors import FormatError, LstmEngineError, UnsupportedError  # noqa: E402
from lstm_engine.importers import torch as importer  # noqa: E402
from lstm_engine.importers.arrays.spec import graph_from_spec  # noqa: E402
from lstm_engine.importers.reading.weights import Weights  # noqa: E402
from lstm_engine.importers.reading.zip_archive import Archive  # noqa: E402
from lstm_engine.importers.torch.checkpoints.checkpoint import find_weights  # noqa: E402
from lstm_engine.importers.torch.checkpoints.symbols import Instance, Opaque, Symbol  # noqa: E402
from lstm_engine.importers.torch.checkpoints.zipped import read_zip, stem_of  # noqa: E402
from lstm_engine.importers.torch.modules.pickled import spec_of_pickled  # noqa: E402
from lstm_engine.operators import validate  # noqa: E402

nn = torch.nn
ODD = [None, True, 0, -1, 2**70, 2.5, float("nan"), "", "tanh", "\x1b[2J\n", b"x", [], [1], {}, {"x": 1}, {1: None}, (),
       Symbol("os", "system"), Instance(Symbol("os", "system")), Opaque(Symbol("torch", "device"))]


def module():
    return nn.Sequential(nn.Linear(5, 4), nn.Softplus(), nn.LeakyReLU(), nn.Hardtanh(), nn.GELU(), nn.Softmax(-1),
                         nn.Sequential(nn.RNN(4, 3, 2, bidirectional=True)))


def tree_of(value):
    torch.save(value, buffer := io.BytesIO())
    archive = Archive(buffer, len(buffer.getvalue()))
    return read_zip(archive, stem_of(archive))


def convert(tree, storages):
    found = find_weights(tree)
    weights = Weights(storages.entries(found.tensors))
    return validate(graph_from_spec(spec_of_pickled(found.module, weights), weights))


def places(tree, path=()):
    """Every attribute of every module, as the way to it."""
    for name in tree.state:
        yield *path, name
    for name, child in tree.state["_modules"].items():
        yield from places(child, (*path, name))


@pytest.mark.parametrize("place", list(places(tree_of(module())[0])), ids="-".join)
def test_every_attribute_replaced_or_left_out(place):
    converted = 0
    for value in (*ODD, KeyError):
        tree, storages = tree_of(module())
        target = tree
        for name in place[:-1]:
            target = target.state["_modules"][name]
        if value is KeyError:
            del target.state[place[-1]]
        else:
            target.state[place[-1]] = value
        try:
            convert(tree, storages)
            converted += 1
        except LstmEngineError as error:
            assert isinstance(error, (FormatError, UnsupportedError)) and str(error).isprintable(), str(error)
    assert converted < len(ODD) or place[-1].startswith(("_", "training", "in", "out", "drop"))


@pytest.mark.parametrize("replaced", [Symbol("torch.nn.modules.rnn", "GRU"), Symbol("torch.nn.modules.rnn", "RNN "),
                                      Symbol("torch", "nn.modules.rnn.RNN"), Symbol("__main__", "RNN")])
def test_another_class_than_the_weights_are_of(replaced):
    tree, storages = tree_of(nn.RNN(4, 3))
    tree.symbol = replaced
    if str(replaced) == "torch.nn.modules.rnn.RNN":      # one name, however it is cut
        assert convert(tree, storages)
    else:
        with pytest.raises((FormatError, UnsupportedError)):
            convert(tree, storages)


def test_a_flipped_bit_in_a_file_without_checksums(tmp_path):
    torch.save(nn.GRU(2, 1), tmp_path / "good.pt", _use_new_zipfile_serialization=False)
    data = (tmp_path / "good.pt").read_bytes()
    good = [node.op for node in importer.read(tmp_path / "good.pt").nodes]
    for place in range(0, len(data), 3):
        flipped = bytearray(data)
        flipped[place] ^= 1 << place % 8
        (tmp_path / "bad.pt").write_bytes(flipped)
        try:
            graph = validate(importer.read(tmp_path / "bad.pt"))
        except (FormatError, UnsupportedError):
            continue
        assert [node.op for node in graph.nodes] in (good, ["GRU"])
