"""What a file is, its bytes say: whatever it is called, in whatever order it was packed, however late JSON says it."""

from __future__ import annotations

import io
import json
import shutil
import warnings
import zipfile

import numpy as np
import pytest
from model_files import IN_A_CHILD, KINDS
from torch_bytes import checkpoint, mapping, tensor, write

import lstm_engine as le
from lstm_engine.importers import import_graph, importer_of
from lstm_engine.importers.drafts import propose_spec

ENDINGS = (".pt", ".safetensors", ".npz", ".json", ".onnx", ".keras", ".h5", ".bin", "")
GRU = {"weight_ih_l0": [[1.0, 2.0]] * 3, "weight_hh_l0": [[0.5]] * 3}
NAM = {"architecture": "LSTM", "config": {"input_size": 1, "hidden_size": 2, "num_layers": 1}, "weights": [0.5] * 39}
DENSE = {"type": "dense", "shape": [2], "weights": [[[1.0, 2.0]], [1.0, 2.0]]}
LONG = "x" * 5000
JSON = {
    "a state dict": GRU, "in objects": {"layers": {"0": GRU}}, "indented": GRU, "text first": {"notes": LONG} | GRU,
    "text first, said": {"notes": LONG, "state_dict": GRU},
    "numbers first": {"layers": {"0": {"first": [0.5] * 2000}}, "0": GRU},
    "nam": {"version": "0.5.4"} | NAM,
    "nam, metadata first": {"version": "0.5.4", "metadata": {"layers": [LONG]}} | NAM,
    "rtneural": {"in_shape": [None, 1], "layers": [DENSE]},
    "rtneural, sizes last": {"layers": [DENSE | {"name": LONG}], "in_shape": [None, 1]},
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "onnx with external data"])
def test_every_kind_under_every_name(kind, ending, tmp_path):
    """The importer; and of those that no child parses, the model."""
    source = KINDS[kind](tmp_path)
    if kind == "lstm":
        return
    path = tmp_path / f"renamed{ending}"
    shutil.copyfile(source.path, path)
    head = path.read_bytes()[:4096]
    assert importer_of(path, head).name == importer_of(source.path, head).name
    if kind not in IN_A_CHILD:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", le.AssumptionWarning)
            np.testing.assert_array_equal(le.convert(path, **source.options).predict(source.x),
                                          source.model().predict(source.x))


@pytest.mark.filterwarnings("ignore::lstm_engine.AssumptionWarning")
@pytest.mark.parametrize("ending", [".json", ".pt", ".nam", ""])
@pytest.mark.parametrize("name", JSON)
def test_json(name, ending, tmp_path):
    data = json.dumps(JSON[name], indent=8 if name == "indented" else None).encode()
    path = write(tmp_path, data, f"a{ending}")
    if name == "numbers first":
        with pytest.raises(le.UnsupportedError, match=r"1 tensor\(s\) belong to no .*: 'layers.0.first' \[2000\]"):
            import_graph(path)
        return
    assert import_graph(path).nodes
    assert le.convert(data).inputs and le.convert(io.BytesIO(data)).inputs
    if "nam" not in name and "rtneural" not in name:
        assert propose_spec(path)["nodes"][0]["op"] == "GRU"


def test_an_index_whose_metadata_is_long(tmp_path):
    path = write(tmp_path, json.dumps({"metadata": {"x": LONG}, "weight_map": {"a": "b.safetensors"}}).encode(), "a")
    with pytest.raises(le.FileError, match="shard 'b.safetensors': cannot read it beside the index"):
        import_graph(path)


def test_json_of_nothing_that_is_read(tmp_path):
    path = write(tmp_path, json.dumps({"notes": LONG}).encode(), "a")
    with pytest.raises(le.FormatError, match="not a checkpoint of a known kind"):
        import_graph(path)
    with pytest.raises(le.UnsupportedError, match="the file holds no arrays; expected lists of numbers"):
        import_graph(write(tmp_path, json.dumps({"notes": LONG}).encode(), "a.pt"))


STATE = checkpoint(mapping({"weight_ih_l0": tensor((3, 2), (2, 1)), "weight_hh_l0": tensor((3, 1), (1, 1))}))


@pytest.mark.parametrize("packed", ["folders first", "sorted", "deflated"])
@pytest.mark.parametrize("name", ["a.pt", "a.zip", "a"])
def test_archives_of_torch_that_were_packed_again(packed, name, tmp_path):
    old, held = zipfile.ZipFile(io.BytesIO(STATE)), io.BytesIO()
    names = old.namelist()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED if packed == "deflated" else zipfile.ZIP_STORED) as made:
        for record in (["a/", "a/data/"] if packed == "folders first" else []) + (
                sorted(names, key=lambda name: not name.endswith("byteorder")) if packed == "sorted" else names):
            made.writestr(zipfile.ZipInfo(record) if record.endswith("/") else record,
                          b"" if record.endswith("/") else old.read(record))
    assert import_graph(write(tmp_path, held.getvalue(), name)).nodes[0].op == "GRU"
