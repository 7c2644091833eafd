"""Indices of weights in several files that lie about their shards, and shards that are not what they should be."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch_bytes import call, checkpoint, entry, mapping, safetensors, symbol, tensor, text

import lstm_engine as le
from lstm_engine.importers.base import ImportOptions
from lstm_engine.importers.registry import import_graph
from lstm_engine.limits import Limits

W, R = entry(0, 24, (3, 2)), entry(0, 12, (3, 1))
A, B = "a.safetensors", "b.safetensors"
PLACES = {"weight_ih_l0": A, "weight_hh_l0": B}
INDEX = "model.safetensors.index.json"


def shard(**tensors: dict) -> bytes:
    data = max((made["data_offsets"][1] for made in tensors.values()), default=0)
    return safetensors(json.dumps(tensors).encode(), np.arange(data // 4, dtype="<f4").tobytes())


GOOD = {A: shard(weight_ih_l0=W), B: shard(weight_hh_l0=R)}


def laid(folder: Path, index: Any, files: dict[str, bytes] = GOOD) -> Path:
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder / INDEX).write_bytes(index if isinstance(index, bytes) else json.dumps(index).encode())
    return folder / INDEX


def index(**places: str) -> dict:
    return {"metadata": {"total_size": 36}, "weight_map": places}


def refused(path: Path, kind: type = le.FormatError) -> str:
    with pytest.raises(kind) as caught:
        import_graph(path)
    assert str(caught.value).startswith((f"{path}: ", "[Errno"))
    return str(caught.value).removeprefix(f"{path}: ")


def test_the_good_one(tmp_path):
    graph = import_graph(laid(tmp_path, index(**PLACES)))
    np.testing.assert_array_equal(np.sort(graph.nodes[0].W.ravel()), np.arange(6.0))


@pytest.mark.parametrize("places, files, message", [
    (PLACES | {"weight_hh_l0": A}, GOOD, "shard 'a.safetensors': the index says that 'weight_hh_l0' lies in it, which "
                                         "it does not hold"),
    (PLACES, {A: shard(weight_ih_l0=W, weight_hh_l0=entry(24, 36, (3, 1))), B: GOOD[B]},
     "shard 'a.safetensors': it holds 'weight_hh_l0', which the index does not say"),
    ({"weight_ih_l0": A}, {A: shard(weight_ih_l0=W, more=entry(24, 36, (3, 1)))},
     "shard 'a.safetensors': it holds 'more', which the index does not say"),
    (PLACES | {"weight_hh_l0": "../b.safetensors"}, GOOD,
     "the index: 'weight_hh_l0' is said to lie in '../b.safetensors', which is no file beside it"),
    (PLACES | {"weight_hh_l0": "/etc/passwd"}, GOOD,
     "the index: 'weight_hh_l0' is said to lie in '/etc/passwd', which is no file beside it"),
    (PLACES | {"weight_hh_l0": ".."}, GOOD, "the index: 'weight_hh_l0' is said to lie in '..', which is no file beside "
                                            "it"),
    (PLACES | {"weight_hh_l0": "b\0"}, GOOD, "the index: 'weight_hh_l0' is said to lie in 'b\\x00', which is no file "
                                             "beside it"),
    (PLACES | {"weight_hh_l0": "\ud800"}, GOOD, "the index: 'weight_hh_l0' is said to lie in '\\ud800', which is no "
                                                "file beside it"),
    (PLACES | {"weight_hh_l0": "c:b"}, GOOD, "the index: 'weight_hh_l0' is said to lie in 'c:b', which is no file "
                                             "beside it"),
    (PLACES, {A: GOOD[A], B: b"GIF89a"}, "shard 'b.safetensors': neither a zip archive, a legacy torch file nor "
                                         "safetensors; it begins with b'GIF89a'"),
    (PLACES, {A: GOOD[A], B: b""}, "shard 'b.safetensors': it is an empty file of 0 bytes; the download or copy "
                                   "failed; fetch it again"),
    (PLACES, {A: GOOD[A], B: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n"},
     "shard 'b.safetensors': it is a pointer of Git LFS, not the file it stands for; git lfs pull"),
    (PLACES, {A: GOOD[A], B: GOOD[B][:-1]}, "shard 'b.safetensors': safetensors: the tensors end at byte 12 of the "
     "data, which has 11: the file is truncated; fetch or copy it again"),
    (PLACES, {A: GOOD[A], B: checkpoint(mapping({"weight_hh_l0": call(symbol("os", "system"), text("id"))}))},
     "shard 'b.safetensors': a/data.pkl: byte 41: opcode REDUCE: calls 'os.system', which is not among what a "
     "checkpoint may rebuild"),
    ({str(number): f"{number}.safetensors" for number in range(129)}, {},
     "the index: 129 shards; at most 128 are read"),
], ids=lambda value: value[:60] if isinstance(value, str) else "")
def test_index_and_shards_say_the_same(tmp_path, places, files, message):
    assert refused(laid(tmp_path, index(**places), files)) == message


@pytest.mark.parametrize("text, message", [
    (b'{"weight_map": {"a": "x", "a": "y"}}', "the index: the key 'a' appears twice in one object"),
    (b'{"weight_map": {}}', 'the index: "weight_map" must map names of tensors to names of files'),
    (b'{"weight_map": ["a"]}', 'the index: "weight_map" must map names of tensors to names of files'),
    (b'{"weight_map": {"a": 5}}', 'the index: "weight_map" must map names of tensors to names of files'),
    (b'{"weight_map": {"a": "x"}, "auto_map": {}}', "the index: unknown key 'auto_map'; known: metadata, weight_map"),
    (b'{"weight_map": ' + b"[" * 100_000, "the index: nested too deeply"),
    (b'{"weight_map": {"a": "x"}', "the index: not JSON: Expecting ',' delimiter: line 1 column 26 (char 25)"),
    (b'{"weight_map": {"a": "x"}}' + b" " * (8 << 20), "the index: more than 8388608 bytes"),
])
def test_indices_that_are_none(tmp_path, text, message):
    assert refused(laid(tmp_path, text, {})) == message


def test_a_shard_of_more_than_tensors(tmp_path):
    files = {A: GOOD[A], B: checkpoint(mapping({"weight_hh_l0": tensor((3, 1), (1, 1)), "epoch": b"N"}))}
    assert refused(laid(tmp_path, index(**PLACES), files), le.UnsupportedError) \
        == "shard 'b.safetensors': it holds more than tensors by name"


def test_shards_that_are_not_there(tmp_path):
    assert "shard 'b.safetensors': cannot read it beside the index: No such file" in refused(
        laid(tmp_path, index(**PLACES), {A: GOOD[A]}), le.FileError)


@pytest.mark.skipif(os.name != "posix", reason="links of Windows need rights of their own")
def test_links_lead_nowhere_else(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    path = laid(folder, index(**PLACES), {A: GOOD[A]})
    (tmp_path / "secret").write_bytes(GOOD[B])
    (folder / B).symlink_to("../secret")
    assert "shard 'b.safetensors': it leads through a link to" in refused(path)
    (folder / B).unlink()
    (folder / B).mkdir()
    assert refused(path) == "shard 'b.safetensors': it is not a plain file"
    (folder / B).rmdir()
    os.mkfifo(folder / B)
    assert refused(path) == "shard 'b.safetensors': it is not a plain file"


def test_an_index_in_memory_has_no_folder(tmp_path):
    data = laid(tmp_path, index(**PLACES)).read_bytes()
    with pytest.raises(le.FormatError, match="bytes lie in no folder; convert its path"):
        le.convert(data)


def test_the_shards_together_are_held_to_the_limit(tmp_path):
    big = safetensors(json.dumps({"weight_ih_l0": entry(0, 48 << 20, (12 << 20,))}).encode(), bytes(48 << 20))
    files = {A: big, B: big.replace(b"weight_ih", b"weight_hh")}
    with pytest.raises(le.LimitError, match="the shards: the file has"):
        import_graph(laid(tmp_path, index(**PLACES), files), ImportOptions(limits=Limits(weights=1 << 20)))
