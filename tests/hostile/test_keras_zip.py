"""Bad `.keras` archives and the JSON in them: each with the exact error it must give, and no other harm."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest

pytest.importorskip("h5py")

from keras_hostile import ARRAYS, good, refused, rewritten

from lstm_engine.errors import FileError, FormatError, UnsupportedError
from lstm_engine.importers import import_graph


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
    refused(path, FormatError, f"has the unsafe name {name!r}")
    assert sorted(tmp_path.iterdir()) == [path]


def test_a_symbolic_link(tmp_path):
    def change(archive, contents):
        info = zipfile.ZipInfo("model.weights.h5")
        info.external_attr = 0o120777 << 16
        del contents["model.weights.h5"]
        archive.writestr(info, "/etc/passwd")

    refused(rewritten(good(tmp_path), change), FormatError, "zip: record 'model.weights.h5' is a symbolic link")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["config.json", "model.weights.h5"])
def test_a_member_that_is_there_twice(name, tmp_path):
    path = rewritten(good(tmp_path), lambda archive, contents: archive.writestr(name, contents[name]))
    refused(path, FormatError, f"zip: two records are named {name!r}")


@pytest.mark.parametrize("name", ["config.json", "metadata.json", "model.weights.h5"])
def test_a_missing_member(name, tmp_path):
    path = rewritten(good(tmp_path), lambda archive, contents: contents.pop(name) and None)
    refused(path, FormatError, f"zip: no record {name!r}; a .keras file holds config.json, metadata.json, "
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
            f"zip: record {name!r} has 104857600 bytes packed into 101")


def test_a_config_that_is_too_large(tmp_path):
    path = rewritten(good(tmp_path), lambda archive, contents: contents.update({"config.json": b" " * (9 << 20)}))
    refused(path, FormatError, "zip: record 'config.json' has 9437184 bytes, more than the 8388608 allowed for it")


def test_an_encrypted_member(tmp_path):
    path = good(tmp_path)
    data = bytearray(path.read_bytes())
    place = data.index(b"PK\x01\x02")
    data[place + 8] |= 1
    path.write_bytes(data)
    refused(path, UnsupportedError, "zip: record 'metadata.json' is encrypted; supported: plain records")


def test_another_compression(tmp_path):
    refused(good(tmp_path, compression=zipfile.ZIP_BZIP2), UnsupportedError,
            "zip: record 'metadata.json' uses compression method 12; supported: 0 (stored), 8 (deflated)")


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("name", ["config.json", "metadata.json", "model.weights.h5"])
def test_a_flipped_bit(name, compression, tmp_path):
    path = good(tmp_path, compression=compression)
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(name)
    data = bytearray(path.read_bytes())
    data[info.header_offset + 30 + len(name) + info.compress_size // 2] ^= 4
    path.write_bytes(data)
    refused(path, FormatError, f"zip: record {name!r}")


def test_every_truncation(tmp_path):
    whole = good(tmp_path).read_bytes()
    path = tmp_path / "cut.keras"
    for length in [*range(4, 200, 49), *range(200, len(whole), 1999), len(whole) - 1]:
        path.write_bytes(whole[:length])
        refused(path, FormatError, "zip: no end record: the file is truncated, or no zip")


@pytest.mark.parametrize("data, message", [
    (b"", "this is an empty file of 0 bytes"), (b"PK", "not a zip archive: it begins with b'PK'"),
    (b"hello world", "not a zip archive: it begins with b'hello wo'"),
    (b"PK\x03\x04" + bytes(100), "zip: no end record")])
def test_what_is_no_zip(data, message, tmp_path):
    path = tmp_path / "model.keras"
    path.write_bytes(data)
    refused(path, FormatError, message)


def test_a_local_header_that_lies(tmp_path):
    """The archive's directory and the member's own header name different files."""
    path = good(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"model.weights.h5", b"model.weights.h6", 1))
    refused(path, FormatError, "zip: record 'model.weights.h5': its header and the directory differ")


# The JSON inside.
@pytest.mark.parametrize("text, message", [
    (b"", "config.json: not JSON"), (b"{", "config.json: not JSON"),
    (b"\xff\xfe{}", "config.json: not UTF-8 at byte 0"),
    (b"[1]", "config.json: must be a JSON object, got a list"),
    (b"[" * 200_000, "config.json: nested too deeply"),
    (b'{"a": 1, "a": 2}', "config.json: the key 'a' appears twice in one object"),
    (b'{"a": ' + b"9" * 5000 + b"}", "config.json: not JSON"),
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


def test_a_folder_and_nothing_at_all(tmp_path):
    folder = tmp_path / "model.keras"
    folder.mkdir()
    for path in (folder, tmp_path / "absent.keras"):
        with pytest.raises(FileError, match="cannot read .*keras"):
            import_graph(path)
