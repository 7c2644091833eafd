"""Bad Keras files: each with the exact error it must give, and no other harm."""

from __future__ import annotations

import io
import json
import random as pyrandom
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

h5py = pytest.importorskip("h5py")

from keras_files import functional, h5_bytes, layer, legacy, random, sequential, zipped

from lstm_engine.errors import FileError, FormatError, LstmEngineError, UnsupportedError
from lstm_engine.importers import import_graph

H, I = 3, 2
SHAPE = [None, None, I]
ARRAYS = {"layers/lstm/cell/vars/0": random(1, I, 4 * H), "layers/lstm/cell/vars/1": random(2, H, 4 * H),
          "layers/lstm/cell/vars/2": random(3, 4 * H), "layers/dense/vars/0": random(4, H, 2),
          "layers/dense/vars/1": random(5, 2)}
CONFIG = sequential(layer("LSTM", "lstm", units=H, batch_shape=SHAPE), layer("Dense", "dense", units=2))


def refused(path: Path, kind: type[LstmEngineError], message: str) -> None:
    """Importing raises exactly this kind, with the path and the message, and leaves the file as it was."""
    before = path.read_bytes()
    with pytest.raises(LstmEngineError) as caught:
        import_graph(path)
    assert type(caught.value) is kind, caught.value
    assert str(path) in str(caught.value) and message in str(caught.value)
    assert path.read_bytes() == before


def good(tmp_path: Path, name: str = "model.keras", **options) -> Path:
    return zipped(tmp_path / name, CONFIG, ARRAYS, **options)


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewritten(path: Path, change: Callable[[zipfile.ZipFile, dict[str, bytes]], None]) -> Path:
    """The same archive with something done to it."""
    contents = members(path)
    with zipfile.ZipFile(path, "w") as archive:
        change(archive, contents)
        for name, data in contents.items():
            archive.writestr(name, data)
    return path


def test_the_file_that_all_the_others_spoil(tmp_path):
    graph = import_graph(good(tmp_path))
    assert [node.op for node in graph.nodes] == ["LSTM", "Dense"]


def test_a_deflated_archive_is_good_too(tmp_path):
    graph = import_graph(good(tmp_path, compression=zipfile.ZIP_DEFLATED))
    np.testing.assert_array_equal(graph.nodes[1].kernel, ARRAYS["layers/dense/vars/0"])


# The zip archive.
@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/etc/evil", "C:evil", "C:\\evil", "..\\evil", "a\\..\\b",
                                  "\\evil"])
def test_names_that_lead_out(name, tmp_path):
    def change(archive, contents):
        info = zipfile.ZipInfo("x")
        info.filename = info.orig_filename = name
        archive.writestr(info, b"x")

    path = rewritten(good(tmp_path), change)
    refused(path, FormatError, f"zip member {name!r} has a name that leads out of the archive")
    assert sorted(tmp_path.iterdir()) == [path]


def test_a_symbolic_link(tmp_path):
    def change(archive, contents):
        info = zipfile.ZipInfo("model.weights.h5")
        info.external_attr = 0o120777 << 16
        del contents["model.weights.h5"]
        archive.writestr(info, "/etc/passwd")

    refused(rewritten(good(tmp_path), change), FormatError, "zip member 'model.weights.h5' is a symbolic link")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["config.json", "model.weights.h5"])
def test_a_member_that_is_there_twice(name, tmp_path):
    path = rewritten(good(tmp_path), lambda archive, contents: archive.writestr(name, contents[name]))
    refused(path, FormatError, f"zip member {name!r} is there twice")


@pytest.mark.parametrize("name", ["config.json", "metadata.json", "model.weights.h5"])
def test_a_missing_member(name, tmp_path):
    path = rewritten(good(tmp_path), lambda archive, contents: contents.pop(name) and None)
    refused(path, FormatError, f"zip member {name!r} is missing; a .keras file holds config.json, metadata.json, "
                               "model.weights.h5")


def test_weights_as_npz(tmp_path):
    def change(archive, contents):
        contents["model.weights.npz"] = contents.pop("model.weights.h5")

    refused(rewritten(good(tmp_path), change), UnsupportedError, "weights in model.weights.npz are not supported")


@pytest.mark.parametrize("name", ["config.json", "model.weights.h5", "assets/bomb"])
def test_a_bomb(name, tmp_path):
    """100 MB of zeros in 100 KB."""
    def change(archive, contents):
        contents.pop(name, None)
        archive.writestr(name, bytes(100 << 20), zipfile.ZIP_DEFLATED)

    refused(rewritten(good(tmp_path), change), FormatError,
            f"zip member {name!r} declares 104857600 bytes, far beyond the 101")


def test_a_config_that_is_too_large(tmp_path):
    path = rewritten(good(tmp_path), lambda archive, contents: contents.update({"config.json": b" " * (9 << 20)}))
    refused(path, FormatError, "zip member 'config.json' is 9437184 bytes long; at most 8388608 are read")


def test_too_many_members(tmp_path):
    def change(archive, contents):
        for number in range(10_001):
            archive.writestr(f"assets/{number}", b"")

    refused(rewritten(good(tmp_path), change), FormatError, "the zip archive holds 10004 members, more than 10000")


def test_an_encrypted_member(tmp_path):
    path = good(tmp_path)
    data = bytearray(path.read_bytes())
    place = data.index(b"PK\x01\x02")
    data[place + 8] |= 1
    path.write_bytes(data)
    refused(path, UnsupportedError, "zip member 'metadata.json' is encrypted; supported: plain members")


def test_another_compression(tmp_path):
    refused(good(tmp_path, compression=zipfile.ZIP_BZIP2), UnsupportedError,
            "zip member 'metadata.json' uses compression method 12; supported: none, deflate")


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("name", ["config.json", "metadata.json", "model.weights.h5"])
def test_a_flipped_bit(name, compression, tmp_path):
    path = good(tmp_path, compression=compression)
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(name)
    data = bytearray(path.read_bytes())
    data[info.header_offset + 30 + len(name) + info.compress_size // 2] ^= 4
    path.write_bytes(data)
    refused(path, FormatError, f"zip member {name!r} is damaged: ")


def test_every_truncation(tmp_path):
    whole = good(tmp_path).read_bytes()
    path = tmp_path / "cut.keras"
    for length in [*range(4, 200, 49), *range(200, len(whole), 1999), len(whole) - 1]:
        path.write_bytes(whole[:length])
        refused(path, FormatError, "not a readable zip archive: ")


@pytest.mark.parametrize("data, message", [
    (b"", "not a zip archive: it begins with b''"), (b"PK", "not a zip archive: it begins with b'PK'"),
    (b"hello world", "not a zip archive: it begins with b'hello wo'"),
    (b"PK\x03\x04" + bytes(100), "not a readable zip archive")])
def test_what_is_no_zip(data, message, tmp_path):
    path = tmp_path / "model.keras"
    path.write_bytes(data)
    refused(path, FormatError, message)


def test_a_local_header_that_lies(tmp_path):
    """The archive's directory and the member's own header name different files."""
    path = good(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"model.weights.h5", b"model.weights.h6", 1))
    refused(path, FormatError, "zip member 'model.weights.h5' is damaged: File name in directory")


# The JSON inside.
@pytest.mark.parametrize("text, message", [
    (b"", "config.json is not JSON"), (b"{", "config.json is not JSON"), (b"\xff\xfe{}", "config.json is not JSON"),
    (b"[1]", "config.json holds a list; expected an object"),
    (b"[" * 200_000, "config.json is nested too deeply"),
    (b'{"a": 1, "a": 2}', "config.json: the same key is given twice in one object"),
    (b'{"a": ' + b"9" * 5000 + b"}", "config.json is not JSON"),
    (b"{}", "layer '': expected an object with a class_name, got {}"),
    (b'{"class_name": "Sequential", "config": 3}', "layer '': its config is 3; expected an object"),
    (b'{"class_name": "Sequential", "config": {}}', "'layers' is None; expected a list"),
    (b'{"class_name": "Sequential", "config": {"layers": []}}', "has no layers"),
    (b'{"class_name": "Sequential", "config": {"layers": [7]}}', "expected an object with a class_name, got 7"),
])
def test_configurations_that_are_none(text, message, tmp_path):
    path = rewritten(good(tmp_path), lambda archive, contents: contents.update({"config.json": text}))
    refused(path, FormatError, message)


@pytest.mark.parametrize("version", ["", "new", "3." * 40, 3, ["3"]])
def test_versions_that_are_none(version, tmp_path):
    text = json.dumps({"keras_version": version}).encode()
    path = rewritten(good(tmp_path), lambda archive, contents: contents.update({"metadata.json": text}))
    refused(path, FormatError, "keras_version is ")


def nested(depth: int) -> dict:
    config = CONFIG
    for number in range(depth):
        config = sequential(config, name=f"m{number}")
    return config


def test_models_nested_too_deeply(tmp_path):
    refused(zipped(tmp_path / "m.keras", nested(200), ARRAYS), FormatError, "layers are nested more than 32 deep")


@pytest.mark.parametrize("kind", ["Activation", "Dropout"])
def test_models_that_multiply(kind, tmp_path):
    """Each model calls the one inside it twice: 2^20 layers from a configuration of 20."""
    inner = functional([layer("InputLayer", "x", [], batch_shape=SHAPE), layer(kind, "a", [
        {"args": [tensor("x")], "kwargs": {}}], activation="tanh")], ["x", 0, 0], ["a", 0, 0], "m0")
    for number in range(1, 20):
        entry = {**inner, "name": f"m{number - 1}", "inbound_nodes": [
            {"args": [tensor("x")], "kwargs": {}}, {"args": [tensor(f"m{number - 1}")], "kwargs": {}}]}
        inner = functional([layer("InputLayer", "x", [], batch_shape=SHAPE), entry], ["x", 0, 0],
                           [f"m{number - 1}", 2, 0], f"m{number}")
    refused(zipped(tmp_path / "m.keras", inner, ARRAYS), UnsupportedError, "the model has more than 100000 layers")


def tensor(name: str, call: int = 0, index: int = 0) -> dict:
    return {"class_name": "__keras_tensor__", "config": {"shape": SHAPE, "keras_history": [name, call, index]}}


def wired(*nodes, inputs=None, outputs=None) -> dict:
    """A functional model of one Activation, called as given."""
    return functional([layer("InputLayer", "x", [], batch_shape=SHAPE),
                       layer("Activation", "a", list(nodes), activation="tanh")],
                      ["x", 0, 0] if inputs is None else inputs, ["a", 0, 0] if outputs is None else outputs)


@pytest.mark.parametrize("config, message", [
    (wired({"args": [tensor("a")], "kwargs": {}}), "form a cycle through 'a'"),
    (wired({"args": [tensor("b")], "kwargs": {}}), "reads output 0 of call 0 of 'b', which does not exist"),
    (wired({"args": [tensor("x", 1)], "kwargs": {}}), "reads output 0 of call 1 of 'x', which does not exist"),
    (wired({"args": [tensor("x", 0, 5)], "kwargs": {}}), "reads output 5 of call 0 of 'x', which does not exist"),
    (wired({"args": [tensor("x", 0, -1)], "kwargs": {}}), "reads output -1 of call 0 of 'x', which does not exist"),
    (wired({"args": [], "kwargs": {}}), "layer 'a' (Activation) is called with None; expected tensors"),
    (wired({"args": [5], "kwargs": {}}), "layer 'a' (Activation) is called with 5; expected tensors"),
    (wired({"args": [[tensor("x"), tensor("x")]], "kwargs": {}}), "is called with 2 inputs; expected 1"),
    (wired(5), "a call in inbound_nodes is 5, which is no known form"),
    (wired([["x", 0]]), "a call in inbound_nodes is [['x', 0]], which is no known form"),
    (wired({"args": [tensor("x")], "kwargs": {}}, outputs=["a", 7, 0]), "output 0 of call 7 of 'a'"),
    (wired({"args": [tensor("x")], "kwargs": {}}, outputs=[]), "'output_layers' holds []; expected [layer name, call"),
    (wired({"args": [tensor("x")], "kwargs": {}}, outputs="a"), "'output_layers' holds 'a'; expected [layer name"),
    (wired({"args": [tensor("x")], "kwargs": {}}, inputs=["y", 0, 0]), "input_layers names 'y', which is not a layer"),
    (wired({"args": [tensor("x")], "kwargs": {}}, inputs=["a", 0, 0]),
     "layer 'a' (Activation) is an input of the model; expected an InputLayer with a shape"),
    (functional([layer("InputLayer", "x", [], batch_shape=SHAPE)] * 2, ["x", 0, 0], ["x", 0, 0]),
     "two layers are called 'x'"),
    (functional([layer("InputLayer", "x", [], batch_shape="wide")], ["x", 0, 0], ["x", 0, 0]),
     "layer 'x' (InputLayer): its input shape is 'wide'; expected a list of sizes and null"),
    (functional([layer("InputLayer", "x", [], batch_shape=[None, -3])], ["x", 0, 0], ["x", 0, 0]),
     "layer 'x' (InputLayer): its input shape is [None, -3]; expected a list of sizes and null"),
])
def test_wiring_that_leads_nowhere(config, message, tmp_path):
    refused(zipped(tmp_path / "m.keras", config, ARRAYS), FormatError, message)


# Layers that would run code, or that nobody here knows.
@pytest.mark.parametrize("entry, message", [
    (layer("Lambda", "evil", function={"class_name": "__lambda__", "config": {"code": "4wEAAA=="}}),
     "layer 'evil' (Lambda) is refused: it holds Python code, and code from a file is never run"),
    (layer("TFSMLayer", "evil", filepath="/tmp/model"), "layer 'evil' (TFSMLayer) is refused: it runs a TensorFlow"),
    (layer("TorchModuleWrapper", "evil", module="gASV"), "layer 'evil' (TorchModuleWrapper) is refused: it holds a "
                                                         "pickled PyTorch module"),
    ({**layer("Custom>MyLSTM", "mine"), "module": None}, "layer 'mine' is of the custom class 'None.Custom>MyLSTM', "
                                                         "which is refused"),
    ({**layer("MyLSTM", "mine"), "module": "my.package", "registered_name": "mine>MyLSTM"},
     "layer 'mine' is of the custom class 'mine>MyLSTM', which is refused: what it computes is not in the file"),
    ({**layer("LSTM", "mine"), "module": "os", "registered_name": None},
     "layer 'mine' is of the custom class 'os.LSTM', which is refused"),
    ({**layer("LSTM", "mine"), "module": "keras.layers", "registered_name": "evil>LSTM"},
     "layer 'mine' is of the custom class 'evil>LSTM', which is refused"),
    (layer("ConvLSTM1D", "conv"), "layer 'conv' (ConvLSTM1D) is not supported; supported: Activation, "),
])
def test_layers_that_are_refused_by_name(entry, message, tmp_path):
    first = layer("LSTM", "lstm", units=H, batch_shape=SHAPE)
    refused(zipped(tmp_path / "m.keras", sequential(first, entry), ARRAYS), UnsupportedError, message)


def test_a_model_class_of_its_own(tmp_path):
    config = {"module": "my.package", "class_name": "Translator", "config": {}, "registered_name": "my>Translator"}
    refused(zipped(tmp_path / "m.keras", config, ARRAYS), UnsupportedError,
            "a model of class 'Translator' is not supported: its own code says what it computes; supported: "
            "Sequential, Functional")


def changed(**settings) -> dict:
    return sequential(layer("LSTM", "lstm", **{"units": H, "batch_shape": SHAPE, **settings}),
                      layer("Dense", "dense", units=2))


@pytest.mark.parametrize("config, kind, message", [
    (changed(units=4), FormatError, "layer 'lstm' (LSTM): kernel has the shape [2, 12]; expected [any, 16]"),
    (changed(units=-3), FormatError, "layer 'lstm' (LSTM): 'units' is -3; expected a number from 1 to 1099511627775"),
    (changed(units=10**30), FormatError, "layer 'lstm' (LSTM): 'units' is 1000000000000000000000000000000; expected"),
    (changed(units="3"), FormatError, "layer 'lstm' (LSTM): 'units' is '3'; expected int"),
    (changed(units=True), FormatError, "layer 'lstm' (LSTM): 'units' is True; expected int"),
    (changed(use_bias=False), FormatError, "layer 'lstm' (LSTM): expected 2 arrays at layers/lstm/cell/vars, found "
                                           "0, 1, 2"),
    (changed(batch_shape=[None, None, 5]), FormatError, "layer 'lstm' (LSTM): its input has 5 features, its kernel "
                                                        "takes 2"),
    (changed(batch_shape=[None, 5]), FormatError, "layer 'lstm' (LSTM): its input has the shape [batch, 5]; expected "
                                                  "3 dimensions"),
    (changed(activation={"class_name": "function", "config": "relu", "module": "os", "registered_name": "relu"}),
     UnsupportedError, "layer 'lstm' (LSTM): activation 'relu' is not supported"),
    (changed(activation=5), FormatError, "layer 'lstm' (LSTM): an activation is 5; expected a name or an object"),
    (changed(dtype={"class_name": "QuantizedDTypePolicy", "config": {"mode": "int8"}}), UnsupportedError,
     "layer 'lstm' (LSTM): the dtype policy 'QuantizedDTypePolicy' is not supported"),
])
def test_settings_that_do_not_fit(config, kind, message, tmp_path):
    refused(zipped(tmp_path / "m.keras", config, ARRAYS), kind, message)


@pytest.mark.parametrize("change, kind, message", [
    ({"layers/dense/vars/0": None}, FormatError, "layer 'dense' (Dense): expected 2 arrays at layers/dense/vars, "
                                                 "found 1"),
    ({"layers/dense/vars/2": random(1, 2)}, FormatError, "expected 2 arrays at layers/dense/vars, found 0, 1, 2"),
    ({"layers/dense/vars/1": random(1, 3)}, FormatError, "layer 'dense' (Dense): bias has the shape [3]; expected [2]"),
    ({"layers/dense/vars/0": random(1, 5, 2)}, FormatError, "layer 'dense' (Dense): its input has the shape [batch, "
                                                            "3], its kernel takes 5 inputs"),
    ({"layers/dense/vars/0": np.ones((3, 2), np.int8)}, UnsupportedError, "its weights are int8; supported: floating"),
    ({"layers/dense/kernel": random(1, 2)}, FormatError, "HDF5 dataset 'layers/dense/kernel': expected a name that "
                                                         "ends in vars/<number>"),
    ({"layers/dense/vars/00": random(1, 2)}, FormatError, "HDF5 dataset 'layers/dense/vars/00' is there twice"),
])
def test_arrays_that_do_not_fit(change, kind, message, tmp_path):
    arrays = {name: array for name, array in {**ARRAYS, **change}.items() if array is not None}
    refused(zipped(tmp_path / "m.keras", CONFIG, arrays), kind, message)


# The HDF5 inside.
def h5_with(change: Callable[[h5py.File], None], without: str = "layers/dense/vars/0") -> bytes:
    buffer = io.BytesIO(h5_bytes(ARRAYS))
    with h5py.File(buffer, "r+") as file:
        del file[without]
        change(file)
    return buffer.getvalue()


KERNEL = "layers/dense/vars/0"


def external_link(file):
    file[KERNEL] = h5py.ExternalLink("/etc/other.h5", "/data")


def soft_link(file):
    file[KERNEL] = h5py.SoftLink("/layers/dense/vars/1")


def external_storage(file):
    file.create_dataset(KERNEL, (H, 2), "f4", external=[("/etc/passwd", 0, 24)])


def virtual(file):
    layout = h5py.VirtualLayout((H, 2), "f4")
    layout[:] = h5py.VirtualSource("/etc/other.h5", "x", (H, 2))
    file.create_virtual_dataset(KERNEL, layout)


def cycle(file):
    file["layers/dense/vars/loop"] = file["layers"]


def alias(file):
    file["layers/other"] = file["layers/lstm"]


def declared(file):
    file.create_dataset(KERNEL, (1 << 20, 1 << 20), "f4", chunks=(1024, 1024), compression="gzip")


def never_stored(file):
    file.create_dataset(KERNEL, (1 << 10, 1 << 10), "f4")


def large_chunk(file):
    file.create_dataset(KERNEL, (H, 2), "f4", chunks=(1 << 14, 1 << 14), maxshape=(None, None), compression="gzip")


def many_shares(file):
    data = file.create_dataset(KERNEL, data=np.zeros(1 << 18, np.float32))
    for number in range(500):
        file[f"layers/dense/vars/{number + 2}"] = data


def text(file):
    file[KERNEL] = "a text"


def strings(file):
    file.create_dataset(KERNEL, data=["a", "b"], dtype=h5py.string_dtype())


def nothing(file):
    file[KERNEL] = h5py.Empty("f4")


def compound(file):
    file[KERNEL] = np.zeros((H, 2), [("a", "f4"), ("b", "f4")])


def datatype(file):
    file[KERNEL] = np.dtype("f4")


def deep(file):
    file["/".join(["layers", *["x"] * 100])] = np.zeros(1)


@pytest.mark.parametrize("change, message", [
    (external_link, f"HDF5 object '{KERNEL}' is a link of kind ExternalLink that may lead elsewhere; expected data in "
                    "this file"),
    (soft_link, f"HDF5 object '{KERNEL}' is a link of kind SoftLink that may lead elsewhere"),
    (external_storage, f"HDF5 dataset '{KERNEL}' keeps its data in other files ('/etc/passwd'); expected data in this"),
    (virtual, f"HDF5 dataset '{KERNEL}' is virtual: its data is in other files"),
    (cycle, "HDF5 group 'layers/dense/vars/loop' is reached twice: the file holds a cycle or an alias"),
    (alias, "is reached twice: the file holds a cycle or an alias"),
    (declared, f"HDF5 dataset '{KERNEL}' declares 4398046511104 bytes, far beyond the 0 that are stored"),
    (never_stored, f"HDF5 dataset '{KERNEL}' declares 4194304 bytes, far beyond the 0 that are stored"),
    (large_chunk, f"HDF5 dataset '{KERNEL}' declares 1073741824 bytes, far beyond the 0 that are stored"),
    (many_shares, "bytes, far beyond the size of the file"),
    (text, f"HDF5 dataset '{KERNEL}' holds object; expected numbers"),
    (strings, f"HDF5 dataset '{KERNEL}' holds object; expected numbers"),
    (nothing, f"HDF5 dataset '{KERNEL}' holds nothing; expected numbers"),
    (compound, f"HDF5 dataset '{KERNEL}' holds [('a', '<f4'), ('b', '<f4')]; expected numbers"),
    (datatype, f"HDF5 object '{KERNEL}' is a Datatype; expected groups and datasets"),
    (deep, "HDF5 groups are nested more than 64 deep at 'layers/x/x/x"),
])
def test_hdf5_that_leads_out_or_lies(change, message, tmp_path):
    refused(zipped(tmp_path / "m.keras", CONFIG, h5_with(change)), FormatError, message)


def test_a_filter_that_is_not_known(tmp_path):
    """HDF5 would look for a plug-in library to load."""
    def change(file):
        file.create_dataset(KERNEL, data=random(4, H, 2), chunks=(H, 2), scaleoffset=4)

    refused(zipped(tmp_path / "m.keras", CONFIG, h5_with(change)), UnsupportedError,
            f"HDF5 dataset '{KERNEL}': filter 6 is not supported; supported: gzip, shuffle, fletcher32, lzf")


def test_compressed_weights_are_good(tmp_path):
    def change(file):
        file.create_dataset(KERNEL, data=random(4, H, 2), chunks=(H, 2), compression="gzip", shuffle=True,
                            fletcher32=True)

    graph = import_graph(zipped(tmp_path / "m.keras", CONFIG, h5_with(change)))
    np.testing.assert_array_equal(graph.nodes[1].kernel, random(4, H, 2))


def test_a_corrupt_chunk(tmp_path):
    """Found only when the array is read, after the first ones were sent."""
    kernel = np.arange(3000, dtype=np.float32).reshape(1000, 3)

    def change(file):
        file.create_dataset("layers/dense/vars/0", data=kernel, chunks=(1000, 3), compression="gzip")

    data = bytearray(h5_with(change))
    stored = zlib.compress(kernel.tobytes(), 4)
    place = data.index(stored[:64])
    data[place + 200] ^= 0xFF
    refused(zipped(tmp_path / "m.keras", CONFIG, bytes(data)), FormatError, f"{KERNEL}: OSError: Can't ")


@pytest.mark.parametrize("weights, message", [
    (b"", "not a readable HDF5 file: "), (b"hello", "not a readable HDF5 file: "),
    (h5_bytes(ARRAYS)[:-50], "not a readable HDF5 file: Unable to synchronously open file (truncated file"),
    (h5_bytes(ARRAYS)[:700], "not a readable HDF5 file: Unable to synchronously open file (truncated file"),
])
def test_weights_that_are_no_hdf5(weights, message, tmp_path):
    refused(zipped(tmp_path / "m.keras", CONFIG, weights), FormatError, message)


def test_random_damage_to_hdf5(tmp_path):
    """HDF5 checks little: a file with bytes changed gives a typed error, or a model of the right shapes."""
    whole = h5_bytes(ARRAYS)
    rng = pyrandom.Random(5)
    for number in range(25):
        data = bytearray(whole)
        for _ in range(rng.choice((1, 4, 30))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        path = zipped(tmp_path / "m.keras", CONFIG, bytes(data))
        try:
            graph = import_graph(path)
        except (FormatError, UnsupportedError) as error:
            assert str(path) in str(error), number
        else:
            assert [node.op for node in graph.nodes] == ["LSTM", "Dense"], number


# Legacy files.
LEGACY = {"lstm": {"lstm/kernel:0": ARRAYS["layers/lstm/cell/vars/0"],
                   "lstm/recurrent_kernel:0": ARRAYS["layers/lstm/cell/vars/1"],
                   "lstm/bias:0": ARRAYS["layers/lstm/cell/vars/2"]},
          "dense": {"dense/kernel:0": ARRAYS["layers/dense/vars/0"], "dense/bias:0": ARRAYS["layers/dense/vars/1"]}}


def set_attribute(place: str, name: str, value) -> Callable[[h5py.File], None]:
    def change(file):
        if value is None:
            del file[place].attrs[name]
        else:
            file[place].attrs[name] = value
    return change


def drop(place: str) -> Callable[[h5py.File], None]:
    def change(file):
        del file[place]
    return change


def leads_out(file):
    del file["model_weights/dense/dense/kernel:0"]
    file["model_weights/dense/dense/kernel:0"] = h5py.ExternalLink("/etc/other.h5", "/data")


def layer_elsewhere(file):
    del file["model_weights/dense"]
    file["model_weights/dense"] = h5py.SoftLink("/model_weights/lstm")


@pytest.mark.parametrize("change, message", [
    (set_attribute("/", "model_config", b"{"), "model_config is not JSON"),
    (set_attribute("/", "model_config", 5), "HDF5 attribute 'model_config' is not a text of at most"),
    (set_attribute("/", "model_config", b"\xff"), "model_config is not JSON"),
    (set_attribute("/", "keras_version", 5), "keras_version is 5; expected a text"),
    (set_attribute("model_weights", "layer_names", None), "attribute 'layer_names' of 'model_weights' is missing"),
    (set_attribute("model_weights", "layer_names", [1, 2]), "'layer_names' of '/model_weights' is not a list of names"),
    (set_attribute("model_weights", "layer_names", [b"lstm", b"lstm"]), "HDF5 dataset 'lstm/lstm/kernel:0' is named "
                                                                        "twice"),
    (set_attribute("model_weights", "layer_names", [b"lstm", b"other"]), "HDF5 object 'other' is missing in "),
    (set_attribute("model_weights/lstm", "weight_names", None), "'weight_names' of layer 'lstm' is missing"),
    (set_attribute("model_weights/lstm", "weight_names", [b"../../x"]), "HDF5 object '../../x' is missing in "),
    (set_attribute("model_weights/lstm", "weight_names", [b"lstm/kernel:0"]),
     "layer 'lstm' (LSTM): expected 3 or 12 arrays at layers/lstm/vars, found 0"),
    (drop("model_weights"), "HDF5 group 'model_weights' is missing"),
    (drop("model_weights/dense/dense/kernel:0"), "HDF5 object 'dense/kernel:0' is missing in "),
    (leads_out, "is a link of kind ExternalLink that may lead elsewhere"),
    (layer_elsewhere, "HDF5 object 'model_weights/dense' is a link of kind SoftLink that may lead elsewhere"),
])
def test_legacy_files(change, message, tmp_path):
    path = legacy(tmp_path / "model.h5", CONFIG, LEGACY, "2.4.0")
    assert [node.op for node in import_graph(path).nodes] == ["LSTM", "Dense"]
    with h5py.File(path, "r+") as file:
        change(file)
    refused(path, FormatError, message)


def test_legacy_truncation(tmp_path):
    whole = legacy(tmp_path / "model.h5", CONFIG, LEGACY, "2.4.0").read_bytes()
    path = tmp_path / "cut.h5"
    for length in [8, 100, *range(512, len(whole), 3001), len(whole) - 1]:
        path.write_bytes(whole[:length])
        refused(path, FormatError, "not a readable HDF5 file: ")


def test_a_name_that_is_no_unicode(tmp_path):
    path = legacy(tmp_path / "model.h5", CONFIG, LEGACY, "2.4.0")
    data = path.read_bytes()
    assert data.count(b"dense/kernel:0") >= 1
    path.write_bytes(data.replace(b"dense/kernel:0", b"dense/kern\xff\xfe:0"))
    refused(path, FormatError, "HDF5")


def test_a_folder_and_nothing_at_all(tmp_path):
    folder = tmp_path / "model.keras"
    folder.mkdir()
    for path in (folder, tmp_path / "absent.keras"):
        with pytest.raises(FileError, match="cannot read .*keras"):
            import_graph(path)
