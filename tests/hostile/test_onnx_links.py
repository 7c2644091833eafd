"""External data of ONNX models behind links: as caches lay it, and as attackers would.

Each layout is loaded by ONNX Runtime too, whose answer is the oracle.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

import onnx_graphs as g
from model_files import X, onnx_proto

import lstm_engine as le

pytestmark = pytest.mark.skipif(os.name != "posix", reason="links of Windows need rights of their own")
DATA = "model.onnx.data"
CLOSE = 1e-5            # float32 sums of at most 8 products, in another order


def saved(folder: Path, location: str = DATA) -> tuple[Path, Path]:
    """A model and its data in a folder of their own."""
    folder.mkdir(parents=True)
    onnx.save_model(onnx_proto(), folder / "model.onnx", save_as_external_data=True, location=location,
                    size_threshold=0)
    return folder / "model.onnx", folder / location


def moved(file: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    return file.rename(target)


def link(place: Path, target: Path, absolute: bool = False) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target if absolute else os.path.relpath(target, place.parent))
    return place


def hugging_face(root: Path, absolute: bool = False) -> tuple[Path, dict]:
    model, data = saved(root / "made")
    blobs, revision = root / "models--a--b" / "blobs", root / "models--a--b" / "snapshots" / "4f1c"
    link(revision / DATA, moved(data, blobs / "9c4e"), absolute)
    return link(revision / "model.onnx", moved(model, blobs / "17ab"), absolute), {}


def hugging_face_absolute(root: Path) -> tuple[Path, dict]:
    return hugging_face(root, absolute=True)


def hugging_face_in_a_linked_home(root: Path) -> tuple[Path, dict]:
    """The cache on another disk: the folder of the model is named by a link."""
    path, _ = hugging_face(root / "disk", absolute=True)
    link(root / "cache", root / "disk", absolute=True)
    return root / "cache" / path.relative_to(root / "disk"), {}


def dvc(root: Path) -> tuple[Path, dict]:
    """The cache has a folder for the first two digits of each hash: no two files need to lie together."""
    model, data = saved(root / "made")
    cache = root / ".dvc" / "cache" / "files" / "md5"
    link(root / "repository" / DATA, moved(data, cache / "9f" / "0123"), absolute=True)
    path = link(root / "repository" / "model.onnx", moved(model, cache / "ab" / "cdef"), absolute=True)
    return path, {"data_folder": cache}


def git_annex(root: Path) -> tuple[Path, dict]:
    model, data = saved(root / "made")
    objects = root / "repository" / ".git" / "annex" / "objects"
    link(root / "repository" / DATA, moved(data, objects / "F3" / "k1" / "KEY" / "KEY"))
    return link(root / "repository" / "model.onnx", moved(model, objects / "x9" / "0Z" / "KEY2" / "KEY2")), {}


def hard_links(root: Path) -> tuple[Path, dict]:
    """conda, uv, and dvc with cache.type=hardlink."""
    model, data = saved(root / "packages")
    (root / "environment").mkdir()
    for file in (model, data):
        os.link(file, root / "environment" / file.name)
    assert (root / "environment" / DATA).stat().st_nlink == 2
    return root / "environment" / "model.onnx", {}


def a_name_for_the_newest(root: Path) -> tuple[Path, dict]:
    """current.onnx -> versions/3/model.onnx, beside which its data lies."""
    model, _ = saved(root / "versions" / "3")
    return link(root / "current.onnx", model), {}


def data_elsewhere(root: Path) -> tuple[Path, dict]:
    model, data = saved(root / "made")
    moved(data, root / "data" / DATA)
    return model, {"data_folder": str(root / "data")}


def below_through_a_folder_link(root: Path) -> tuple[Path, dict]:
    model, data = saved(root / "made", "weights.bin")
    proto = onnx.load(model, load_external_data=False)
    for tensor in proto.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = "parts/weights.bin"
    model.write_bytes(proto.SerializeToString())
    moved(data, root / "made" / "v2" / "weights.bin")
    link(root / "made" / "parts", root / "made" / "v2")
    return model, {}


LAYOUTS = (hugging_face, hugging_face_absolute, hugging_face_in_a_linked_home, dvc, git_annex, hard_links,
           a_name_for_the_newest, data_elsewhere, below_through_a_folder_link)


@pytest.mark.parametrize("lay", LAYOUTS)
def test_a_layout_that_is_read(lay: Any, tmp_path: Path) -> None:
    path, options = lay(tmp_path)
    whole = onnxruntime.InferenceSession(onnx_proto().SerializeToString(), providers=["CPUExecutionProvider"])
    expected = whole.run(None, {"x": X})[0]
    np.testing.assert_allclose(le.convert(path, **options).predict(X), expected, rtol=0, atol=CLOSE)
    if not options:
        np.testing.assert_array_equal(le.load(path).predict(X), le.convert(path).predict(X))


@pytest.mark.parametrize("lay", [dvc, data_elsewhere])
def test_without_the_folder_that_it_needs(lay: Any, tmp_path: Path) -> None:
    path, options = lay(tmp_path)
    error, message = {dvc: (le.FormatError, "is in none of the folders that may be read; name the folder that it may "
                                            r"lead into \(data_folder=..., --data-folder\)"),
                      data_elsewhere: (le.FileError, f"cannot read '{DATA}' beside the model: No such file")}[lay]
    with pytest.raises(error, match=message):
        le.load(path)
    np.testing.assert_array_equal(le.load(path, **options).predict(X), le.convert(path, **options).predict(X))


def test_the_data_of_bytes(tmp_path: Path) -> None:
    """Bytes and live models have no folder: the caller says where their data is."""
    model, data = saved(tmp_path / "m")
    expected = le.convert(model).predict(X)
    np.testing.assert_array_equal(le.convert(model.read_bytes(), data_folder=data.parent).predict(X), expected)
    live = onnx.load(model, load_external_data=False)
    np.testing.assert_array_equal(le.convert(live, data_folder=str(data.parent)).predict(X), expected)
    with pytest.raises(le.FormatError, match="external data was not loaded; bytes lie in no folder; say where it is "
                                             "with data_folder"):
        le.convert(model.read_bytes())


@pytest.mark.parametrize("where, error, message", [
    ("none", le.FileError, "cannot read .*none: No such file"),
    ("made/model.onnx", le.FileError, "cannot read .*model.onnx: Not a directory"),
    (5, le.ArgumentTypeError, "data_folder: expected the path"), ("a\0b", le.FileError, "null")])
def test_a_data_folder_that_is_none(where: Any, error: type, message: str, tmp_path: Path) -> None:
    model, _ = saved(tmp_path / "made")
    with pytest.raises(error, match=message):
        le.convert(model, data_folder=tmp_path / where if where == "none" or "/" in str(where) else where)


def test_a_data_folder_for_what_has_no_such_data(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=np.zeros(3))
    le.Model([le.Dense(np.ones((2, 2), np.float32))]).save(tmp_path / "a.lstm")
    for open_ in (le.convert, le.load):
        with pytest.raises(le.ArgumentError, match="data_folder is for the external data of an ONNX model; .*no use"):
            open_(tmp_path / "a.npz", data_folder=tmp_path)
        with pytest.raises(le.ArgumentError, match="a.lstm is a .lstm file.* data_folder cannot be given"):
            open_(tmp_path / "a.lstm", data_folder=tmp_path)


@pytest.mark.parametrize("target", ["../outside/secret.bin", "/etc/passwd", "/dev/zero", "/proc/self/mem", "..",
                                    "../made/../outside/secret.bin", "chain"])
def test_links_that_lead_elsewhere(target: str, tmp_path: Path) -> None:
    model, data = saved(tmp_path / "made")
    secret = moved(data, tmp_path / "outside" / "secret.bin")
    data.symlink_to(target)
    (tmp_path / "made" / "chain").symlink_to(secret)
    with pytest.raises(le.FormatError, match="leads through a link to .*in none of the folders that may be read"):
        le.convert(model)


def test_a_link_beside_the_target_is_no_way_out_either(tmp_path: Path) -> None:
    """The blobs of a cache may be read, and not what a link among them leads to."""
    path, _ = hugging_face(tmp_path)
    blob = tmp_path / "models--a--b" / "blobs" / "9c4e"
    moved(blob, tmp_path / "outside" / "secret.bin")
    blob.symlink_to("../../outside/secret.bin")
    with pytest.raises(le.FormatError, match="leads through a link to .*secret.bin"):
        le.convert(path)


def test_a_folder_called_alike_is_not_inside(tmp_path: Path) -> None:
    model, data = saved(tmp_path / "made")
    data.symlink_to(moved(data, tmp_path / "made2" / "w.bin"))
    with pytest.raises(le.FormatError, match="leads through a link to .*made2"):
        le.convert(model)


def test_links_in_a_circle_and_to_nothing(tmp_path: Path) -> None:
    model, data = saved(tmp_path / "made")
    data.unlink()
    data.symlink_to("other")
    (tmp_path / "made" / "other").symlink_to(DATA)
    with pytest.raises(le.FormatError, match="leads through a link"):
        le.convert(model)
    (tmp_path / "made" / "other").unlink()
    with pytest.raises(le.FileError, match="it is a link to .*other.*, which is not there; fetch it .dvc pull"):
        le.convert(model)


def test_two_names_of_one_file_are_one_file(tmp_path: Path) -> None:
    """A cache has equal files once: two locations may lead to it, and what they claim is counted together."""
    tensor = np.arange(64, dtype=np.float32).reshape(8, 8)
    for offsets, fits in (((0, 0), True), ((0, 4), False)):
        folder = tmp_path / str(fits)
        folder.mkdir()
        proto = g.model([g.node("MatMul", "x a", "m"), g.node("MatMul", "m b", "y")], {"x": ("batch", 8)}, "y",
                        {"a": tensor, "b": tensor})
        del proto.graph.initializer[:]
        for name, offset in zip("ab", offsets, strict=True):
            held = proto.graph.initializer.add(name=name, data_type=1, dims=[8, 8],
                                               data_location=onnx.TensorProto.EXTERNAL)
            for key, value in (("location", f"{name}.bin"), ("offset", str(offset)), ("length", "256")):
                held.external_data.add(key=key, value=value)
            link(folder / f"{name}.bin", folder / "blob")
        (folder / "blob").write_bytes(tensor.tobytes() + bytes(4))
        (folder / "model.onnx").write_bytes(proto.SerializeToString())
        if fits:
            np.testing.assert_allclose(le.convert(folder / "model.onnx").predict(np.ones((1, 8), np.float32)),
                                       np.ones((1, 8)) @ tensor @ tensor, rtol=1e-5)      # sums of 8 in float32
        else:
            with pytest.raises(le.FormatError, match="the tensors claim more than the 260 bytes"):
                le.convert(folder / "model.onnx")
