"""Bad HDF5, inside a `.keras` file and as a legacy file: each with its exact error, and no other harm."""

from __future__ import annotations

import random as pyrandom
import zlib

import numpy as np
import pytest

h5py = pytest.importorskip("h5py")

from hdf5_bytes import (
    KERNEL,
    Change,
    alias,
    compound,
    cycle,
    datatype,
    declared,
    deep,
    external_link,
    external_storage,
    h5_with,
    large_chunk,
    many_shares,
    never_stored,
    nothing,
    soft_link,
    strings,
    text,
    unknown_filter,
    virtual,
)
from keras_files import h5_bytes, legacy, random, zipped
from keras_hostile import ARRAYS, CONFIG, H, refused

from lstm_engine.errors import FormatError, UnsupportedError
from lstm_engine.importers import import_graph


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
    refused(zipped(tmp_path / "m.keras", CONFIG, h5_with(unknown_filter)), UnsupportedError,
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


def set_attribute(place: str, name: str, value) -> Change:
    def change(file):
        if value is None:
            del file[place].attrs[name]
        else:
            file[place].attrs[name] = value
    return change


def drop(place: str) -> Change:
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
    (set_attribute("/", "model_config", b"{"), "model_config: not JSON"),
    (set_attribute("/", "model_config", 5), "HDF5 attribute 'model_config' is not a text of at most"),
    (set_attribute("/", "model_config", b"\xff"), "model_config: not JSON"),
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
