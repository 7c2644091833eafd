"""What people hand over that is no model's file, or another program's: each is named, with what to type next.

One of each is made here, by the program that writes it where Python has it, or from its published layout.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import shutil
import struct
import subprocess
import tarfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import zip_bytes

pytest.importorskip("h5py")
pytest.importorskip("onnx")

from model_files import KINDS

import lstm_engine as le
from lstm_engine.importers import folders
from lstm_engine.importers.reading import foreign
from lstm_engine.importers.registry import IMPORTERS, importer_of


def field(number: int, data: bytes) -> bytes:
    """A field of a protobuf message that holds a text or a message."""
    length, count = b"", len(data)
    while count > 127:
        length, count = length + bytes([count & 127 | 128]), count >> 7
    return bytes([number << 3 | 2]) + length + bytes([count]) + data


def packed_tar(members: dict[str, bytes], mode: str = "w") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return file.getvalue()


class Estimator:
    """Pickles as an object of scikit-learn does: a global of this module by name."""


Estimator.__module__, Estimator.__qualname__ = "sklearn.pipeline", "Pipeline"


def of_sklearn(protocol: int) -> bytes:
    """pickle.dumps, of a class that is not there to be found again."""
    name = b"sklearn.pipeline"
    if protocol >= 4:
        body = b"\x8c" + bytes([len(name)]) + name + b"\x8c\x08Pipeline\x93)\x81."
        return bytes([0x80, protocol]) + b"\x95" + struct.pack("<Q", len(body)) + body
    return bytes([0x80, protocol]) + b"c" + name + b"\nPipeline\n)\x81."


# tensorflow/core/framework/graph.proto, node_def.proto; core/protobuf/saved_model.proto, meta_graph.proto
GRAPH_DEF = field(1, field(1, b"input") + field(2, b"Placeholder")) + field(1, field(1, b"w") + field(2, b"Const"))
SAVED_MODEL = b"\x08\x01" + field(2, field(1, field(2, field(1, field(1, b"Add") + bytes(400)))) + field(2, GRAPH_DEF))
# mlmodel/format/Model.proto: specificationVersion, description { input { name } }
CORE_ML = b"\x08\x04" + field(2, field(1, field(1, b"features") + field(3, b"\x2a\x00")))
MODEL = b"\x89HDF\r\n\x1a\n" + bytes(4000)
OPENVINO = b'<?xml version="1.0"?>\n<net name="m" version="11">\n<layers/></net>'
TFJS = json.dumps({"format": "layers-model", "generatedBy": "keras v2.15.0", "modelTopology": {
    "keras_version": "2.15.0", "model_config": {"class_name": "Sequential", "config": {}}}, "weightsManifest": []})

FILES = {
    "empty.keras": (b"", "an empty file of 0 bytes; .*fetch it again"),
    "lfs.onnx": (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
                 "a pointer of Git LFS.*; git lfs pull$"),
    "annex.h5": (b"/annex/objects/SHA256E-s12--4d7a.h5\n", "a pointer of git-annex.*; git annex get .*annex.h5$"),
    "m.onnx.dvc": (b"outs:\n- md5: 4d7a\n  size: 12\n  path: m.onnx\n", "a record of DVC.*; dvc pull .*m.onnx.dvc$"),
    "page.onnx": (b"\n<!DOCTYPE html>\n<html><head>", "an HTML page.*Raw.*/resolve/"),
    "page2.pt": (b"<html lang=en>", "an HTML page"),
    "denied.keras": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "an XML page.*error; fetch"),
    "missing.onnx": (b"Entry not found", "a server's answer.*; fetch the file itself"),
    "message.pt": (b'{"error":"Repository not found"}', "a server's answer"),
    "m.keras.gz": (gzip.compress(MODEL), r"packed by gzip; gunzip < .*m.keras.gz > .*m.keras$"),
    "m.h5": (gzip.compress(MODEL), r"packed by gzip; gunzip < .*m.h5 > .*m$"),
    "m.pt.xz": (lzma.compress(MODEL), "packed by xz; xz -dc .*m.pt.xz > .*m.pt$"),
    "m.onnx.zst": (b"\x28\xb5\x2f\xfd\x04\x00", "packed by zstd; zstd -d .*m.onnx.zst -o .*m.onnx$"),
    "m.onnx.bz2": (bz2.compress(MODEL), "packed by bzip2; bunzip2 < .*m.onnx.bz2 > .*m.onnx$"),
    "m.onnx.lz4": (b"\x04\x22\x4d\x18\x64", "packed by lz4; lz4 -d .*m.onnx.lz4 .*m.onnx$"),
    "m.7z": (b"7z\xbc\xaf\x27\x1c\x00\x04", "a 7z archive; 7z x .*m.7z, then convert"),
    "m.rar": (b"Rar!\x1a\x07\x01\x00", "a RAR archive; unrar x"),
    "m.tar": (packed_tar({"model.h5": MODEL}), "a tar archive; tar -xf .*m.tar, then convert"),
    "m.tar.gz": (packed_tar({"model.h5": MODEL}, "w:gz"), "a tar archive packed by gzip; tar -xzf"),
    "old.pt": (packed_tar({"storages": b"", "tensors": b"", "pickle": b""}), "a tar file of torch 0.1.*torch.save"),
    "m.nemo": (packed_tar({"./model_config.yaml": b"a: 1", "./model_weights.ckpt": b""}),
               "NeMo; tar -xf .*m.nemo, then convert model_weights.ckpt"),
    "packed.nemo": (packed_tar({"./model_config.yaml": b"a: 1"}, "w:gz"), "an archive of NVIDIA NeMo"),
    "model.zip": (zip_bytes.made(("inner/model.h5", MODEL)),
                  "a zip file of something else, with 'inner/model.h5' first; unzip"),
    "m.tflite": (b"\x1c\x00\x00\x00TFL3" + bytes(32), "TensorFlow Lite; .*tf2onnx.convert --tflite .*m.tflite --output "
                 ".*m.onnx$"),
    "m.ort": (b"\x1c\x00\x00\x00ORTM" + bytes(32), "ONNX Runtime's own format; give the .onnx file"),
    "m.pte": (b"\x1c\x00\x00\x00ET12" + bytes(32), "a program of ExecuTorch; give the .pt2"),
    "m.gguf": (b"GGUF\x03\x00\x00\x00" + bytes(16), "a GGUF file"),
    "m.plan": (b"ftrt\x00\x00\x00\x00", "an engine of TensorRT"),
    "model.json": (TFJS.encode(), "TensorFlow.js; tensorflowjs_converter .*model.json .*model.h5$"),
    "graph.json": (b'{"format": "graph-model", "modelTopology": {"node": []}}', "a graph of TensorFlow.js; give"),
    "group1-shard1of1.bin": (bytes(64), "a shard of a model of TensorFlow.js; .*model.json"),
    "m.ipynb": (b'{"cells": [{"cell_type": "code"}], "nbformat": 4}', 'a notebook; run it.*model.save'),
    "config.json": (b'{"architectures": ["A"], "model_type": "b"}', "a configuration of Hugging Face's transformers"),
    "array.npy": (b"\x93NUMPY\x01\0v\0{'descr': '<f4'", "one array of NumPy alone .*; put all arrays .* numpy.savez"),
    "m.pkl": (of_sklearn(4), "a pickle of scikit-learn, which is never unpickled here; .*skl2onnx"),
    "m2.pkl": (of_sklearn(2), "a pickle of scikit-learn"),
    "m.joblib": (zlib.compress(of_sklearn(4)), "a pickle packed by zlib, as joblib.dump.*skl2onnx"),
    "arrays.pkl": (pickle.dumps({"w": [1.0]}), "a plain pickle without torch's magic number.*torch.save"),
    "arrays0.pkl": (pickle.dumps({"w": 1.0}, 0), "a plain pickle"),
    "keras.pkl": (b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x0ckeras.models", "a pickle of Keras.*model.save"),
    "saved_model.pb": (SAVED_MODEL, "a SavedModel's graph.*tf2onnx.convert --saved-model .* --output model.onnx"),
    "frozen.pb": (GRAPH_DEF, "a graph of TensorFlow 1.*--graphdef .*frozen.pb"),
    "m.pbtxt": (b'node {\n  name: "x"\n', "a graph of TensorFlow 1"),
    "m.mlmodel": (CORE_ML, "a model of Core ML; give the model that it was made from"),
    "m.ckpt.index": (bytes(64), "a part of a checkpoint of TensorFlow; .*load_weights"),
    "m.ckpt.data-00000-of-00001": (bytes(64), "a part of a checkpoint of TensorFlow"),
    "checkpoint": (b'model_checkpoint_path: "m.ckpt"\n', "a part of a checkpoint of TensorFlow"),
    "ov.xml": (OPENVINO, "OpenVINO's description of a network; give the .onnx"),
    "ov.bin": (bytes(64), "the weights of a network of OpenVINO; give the .onnx"),
    "m.onnxtxt": (b'ir_version: 8\nproducer_name: "pytorch"\n', "an ONNX model as text; save it as bytes: onnx.save"),
    "model.py": (b"class Net(nn.Module):\n    pass\n", "a Python program, which is never run; run it yourself"),
    "script": (b"#!/usr/bin/env python\n# A comment.\nimport torch\n", "a Python program"),
}
# What bytes alone cannot tell: a name is needed.
BY_NAME = {"m.onnx.dvc", "group1-shard1of1.bin", "m.ckpt.index", "m.ckpt.data-00000-of-00001", "ov.bin", "model.py"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, (data, _) in FILES.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


@pytest.mark.parametrize("name", FILES)
def test_it_is_named(name: str, folder: Path) -> None:
    data, message = FILES[name]
    for open_ in (le.load, le.convert):
        with pytest.raises((le.FormatError, le.UnsupportedError), match=f"^{folder / name}: this is .*{message}"):
            open_(folder / name)
    if name in BY_NAME - {"m.onnx.dvc"}:
        return
    # Under another name, and without one.
    (folder / "model.lstm").write_bytes(data)
    with pytest.raises((le.FormatError, le.UnsupportedError), match="model.lstm: this is "):
        le.load(folder / "model.lstm")
    with pytest.raises((le.FormatError, le.UnsupportedError), match="^<bytes>: this is ") as caught:
        le.convert(data)
    assert "<bytes>" not in str(caught.value)[7:] and "{" not in str(caught.value).replace("{}", "")


def test_every_kind_has_a_file() -> None:
    """A kind that no file shows could be told wrongly, or never."""
    told = {next(kind.what for kind in foreign.KINDS if kind.told(foreign.Begin(data[:4096], Path("/x", name))))
            for name, (data, _) in FILES.items() if name != "ov.bin"}
    assert {kind.what for kind in foreign.KINDS} == told | {"the weights of a network of OpenVINO"}


def test_no_file_that_is_read_is_taken_for_another(tmp_path: Path) -> None:
    for made in (make(tmp_path) for make in KINDS.values()):
        head = made.path.read_bytes()[:4096]
        assert not any(kind.told(foreign.Begin(head, made.path)) for kind in foreign.KINDS
                       if not kind.what.startswith("a zip file")), made.path
        if made.path.suffix != ".lstm":
            for name in (made.path, made.path.with_suffix(""), made.path.with_suffix(".pkl")):
                assert importer_of(name, head).__name__.rpartition(".")[2] in IMPORTERS


@pytest.mark.parametrize("text", ["from here on nothing is a program", "import duties of 5 %", "import", "classes: 3\n",
                                  "x" * 5000, "important, as was said\n",
                                  "404,3.5,1\n405,2.5,0\n", "x^2 + 1\n"])
def test_other_text_is_nothing_known(text: str) -> None:
    with pytest.raises(le.FormatError, match="^<bytes>: not a checkpoint of a known kind"):
        le.load(text.encode())


def test_what_the_bytes_say_goes_before_the_name(tmp_path: Path) -> None:
    onnx, keras = (KINDS[kind](tmp_path) for kind in ("onnx", "keras"))
    for made, name in ((onnx, "a.h5"), (onnx, "a.pt"), (onnx, "a.lstm"), (onnx, "a.json"), (keras, "b.onnx"),
                       (keras, "b.pt"), (keras, "b.json"), (KINDS["h5"](tmp_path), "c.json")):
        shutil.copy(made.path, tmp_path / name)
        np.testing.assert_array_equal(le.load(tmp_path / name).predict(made.x), le.load(made.path).predict(made.x))


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"onnx with external data"}))
def test_a_download_that_was_cut_is_said(kind: str, tmp_path: Path) -> None:
    made = KINDS[kind](tmp_path)
    data = made.path.read_bytes()
    for count in (len(data) // 2, len(data) - 1):
        made.path.write_bytes(data[:count])
        with pytest.raises(le.FormatError, match=f"(?s)^{made.path}: .*(truncated|cut short)") as caught:
            made.model()
        assert "fetch or copy it again" in str(caught.value)


@pytest.mark.parametrize("names, message", [
    (["saved_model.pb", "variables/"], "a SavedModel of TensorFlow; python -m tf2onnx.convert --saved-model .*"),
    (["config.json", "metadata.json", "model.weights.h5"], "a .keras file that was unpacked; .*zip -0 ../model.keras"),
    (["data.pkl", "data/", "version"], "a .pt file that was unpacked; zip -0 -r model.pt"),
    (["model.json", "group1-shard1of1.bin"], "a model of TensorFlow.js; tensorflowjs_converter"),
    (["checkpoint", "m.ckpt.index", "m.ckpt.data-00000-of-00001"], "a checkpoint of TensorFlow; .*load_weights"),
    (["m.xml", "m.bin"], "a model of OpenVINO; give the .onnx"),
    (["Manifest.json", "Data/"], "a package of Core ML"),
    (["_CHECKPOINT_METADATA", "d/"], "a checkpoint of JAX"),
])
def test_a_folder_is_named(names: list[str], message: str, tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    for name in names:
        (folder / name).mkdir() if name.endswith("/") else (folder / name).write_bytes(b"x")
    for open_ in (le.load, le.convert):
        with pytest.raises(le.FileError, match=f"cannot read .*a folder: it is a folder, {message}"):
            open_(folder)


def test_every_kind_of_folder_is_shown() -> None:
    names = test_a_folder_is_named.pytestmark[0].args[1]
    told = {next(what for what, told, _ in folders.KINDS if told({name.rstrip("/") for name in inside}))
            for inside, _ in names}
    assert told == {what for what, *_ in folders.KINDS}


def test_a_folder_of_models_says_which(tmp_path: Path) -> None:
    with pytest.raises(le.FileError, match="it is a folder; expected a file$"):
        le.load(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"")
    with pytest.raises(le.FileError, match="it is a folder; expected a file: give the one in it, 'model.onnx'$"):
        le.load(tmp_path)
    for number in range(20):
        (tmp_path / f"{number:02}.pt").write_bytes(b"")
    with pytest.raises(le.FileError, match="give one of those in it, '00.pt', .*'07.pt', ...$"):
        le.convert(str(tmp_path))


def test_what_to_type_can_be_typed(tmp_path: Path) -> None:
    """Also where the name is not one that a shell takes as it is."""
    path = tmp_path / "it's; a {stem} $(model).keras.gz"
    path.write_bytes(gzip.compress(MODEL))
    with pytest.raises(le.FormatError) as caught:
        le.load(path)
    command = str(caught.value).partition(f"{path}: this is packed by gzip; ")[2]
    assert command
    subprocess.run(["sh", "-c", command], check=True)
    assert path.with_suffix("").read_bytes() == MODEL


def test_a_hostile_beginning_costs_nothing(tmp_path: Path) -> None:
    """Whatever comes, it is an error of ours; gzip's window holds what a bomb would inflate to."""
    rng = np.random.default_rng(0)
    bomb = gzip.compress(bytes(1 << 22))
    heads = [rng.bytes(4096) for _ in range(200)]
    heads += [data[:cut] for data, _ in FILES.values() for cut in (1, 2, 3, 5, 9, 17)]
    heads += [mark + rng.bytes(4000) for mark in (b"\x0a", b"\x08\x01\x12", b"\x0a\x05\x0a", b"\x80\x04",
                                                   b"PK\x03\x04")]
    heads += [b"import " * 600, b"\x0a" * 4096, b"\x0a\xff" * 2048, bomb[:4096]]
    for head in heads:
        for kind in foreign.KINDS:
            assert kind.told(foreign.Begin(head, tmp_path / "x")) in (True, False)


LFS = FILES["lfs.onnx"][0]


def test_external_data_that_is_a_pointer(tmp_path: Path) -> None:
    made = KINDS["onnx with external data"](tmp_path)
    made.path.with_name("weights.bin").write_bytes(LFS)
    with pytest.raises(le.FormatError, match="of 'weights.bin', which has .*: it is a pointer of Git LFS.*git lfs"):
        made.model()


def test_the_arrays_of_a_keras_model_that_are_a_pointer(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text('{"class_name": "Sequential", "config": {"name": "s", "layers": []}}')
    (tmp_path / "m.weights.h5").write_bytes(LFS)
    with pytest.raises(le.FormatError, match="m.weights.h5: this is a pointer of Git LFS.*; git lfs pull$"):
        le.convert(tmp_path / "m.json")
