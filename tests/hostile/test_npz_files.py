"""`.npz` files: what NumPy writes comes back as np.load gives it; what it never writes is refused by name."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from torch_bytes import archive, npy_header, write

from lstm_engine.errors import ArgumentError, ArgumentTypeError, FileError, FormatError, UnsupportedError
from lstm_engine.importers import arrays
from lstm_engine.importers.base import ImportOptions
from lstm_engine.importers.reading.npy import npz_entries
from lstm_engine.importers.reading.zip_archive import Archive
from lstm_engine.operators import validate

SPEC = {"inputs": [{"name": "x", "shape": ["batch", 3]}], "nodes": [{"op": "Dense", "name": "d", "kernel": "w"}]}


def npz(compressed=False, **named):
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **named)
    return buffer.getvalue()


def refused(tmp_path, data, spec=SPEC, kind=(FormatError, UnsupportedError)):
    path = write(tmp_path, data, "bad.npz")
    with pytest.raises(kind) as caught:
        arrays.read(path, ImportOptions(spec=spec))
    return str(caught.value).removeprefix(f"{path}: ")


@pytest.mark.parametrize("compressed", [False, True])
def test_arrays_come_back_as_numpy_gives_them(compressed):
    base = np.arange(24.0).reshape(4, 6)
    named = {"c": base, "f": np.asfortranarray(base), "half": base.astype(np.float16), "big": base.astype(">f4"),
             "view": base[::2, 1:5:2], "one": base[:1, 0], "scalar": np.float32(3), "empty": np.zeros((0, 3)),
             "ids": np.arange(5, dtype=np.uint8), "flags": base > 3, "long_name_" * 10: base.astype(np.float32)}
    data = npz(compressed, **named)
    entries = npz_entries(Archive(io.BytesIO(data), len(data)))
    assert list(entries) == list(named)
    for name, array in named.items():
        np.testing.assert_array_equal(entries[name].load(), array)
        assert entries[name].shape == array.shape and entries[name].dtype == array.dtype.name


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_versions_of_the_npy_format(tmp_path, version):
    np.lib.format.write_array(buffer := io.BytesIO(), np.ones((3, 2), np.float32), version=version)
    graph = arrays.read(write(tmp_path, archive({"w.npy": buffer.getvalue()}), "a.npz"), ImportOptions(spec=SPEC))
    np.testing.assert_array_equal(validate(graph).nodes[0].kernel, np.ones((3, 2)))
    assert graph.metadata == {"source": "a.npz", "producer": "arrays"}


GOOD = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }"
FORM = "w.npy: its header is not what NumPy writes: "


@pytest.mark.parametrize("raw, message", [
    (b"", r"w.npy: does not begin with b'\x93NUMPY'"),
    (b"PK\x03\x04" + bytes(20), r"w.npy: does not begin with b'\x93NUMPY'"),
    (npy_header(GOOD, b"\x04\x00"), "w.npy: version 4.0 of the npy format; supported: 1.0, 2.0, 3.0"),
    (npy_header(GOOD, length=5000), "w.npy: a header of 5000 bytes; 59 can be there"),
    (npy_header(GOOD + " " * 5000), "w.npy: a header of 5059 bytes; 4096 can be there"),
    (npy_header(GOOD, length=70), "w.npy: a header of 70 bytes; 59 can be there"),
    (npy_header("__import__('os').system('id')"), FORM + "b\"__import__('os').system('id')\""),
    (npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (3, -2), }"),
     FORM + "b\"{'descr': '<f4', 'fortran_order': False, 'shape': (3, -2), }\""),
    (npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), 'x': 1}"),
     FORM + "b\"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), 'x': 1}\""),
    (npy_header(GOOD) + bytes(23), "w.npy: float32 [3, 2] needs 93 bytes, the member has 92"),
    (npy_header(GOOD) + bytes(25), "w.npy: float32 [3, 2] needs 93 bytes, the member has 94"),
    (npy_header(GOOD.replace("3, 2", "999999999, 999999999")),
    "w.npy: the shape [999999999, 999999999] is out of range"),
    (npy_header(GOOD.replace("3, 2", "9999999, 9999999")),
     "w.npy: float32 [9999999, 9999999] needs 399999920000085 bytes, the member has 81"),
    (npy_header(GOOD.replace("3, 2", "1, " * 20)), f"w.npy: the shape {[1] * 20} is out of range"),
    (npy_header(GOOD.replace("<f4", "|O")) + b"\x80\x02cos\nsystem\n.",
     "tensor 'w' is Python objects, which would need pickle; weights must be one of float16, bfloat16, float32, "
     "float64"),
    (npy_header(GOOD.replace("<f4", "<c8")) + bytes(48),
     "tensor 'w' is of dtype '<c8'; weights must be one of float16, bfloat16, float32, float64"),
    (npy_header(GOOD.replace("'<f4'", "[('a', '<f4')]")) + bytes(24),
     "tensor 'w' is of dtype [('a', '<f4')]; weights must be one of float16, bfloat16, float32, float64"),
    (npy_header(GOOD.replace("<f4", "<i4")) + bytes(24),
     "tensor 'w' is int32; weights must be one of float16, bfloat16, float32, float64"),
])
def test_lies(tmp_path, raw, message):
    assert refused(tmp_path, archive({"w.npy": raw})) == message


def test_members_that_are_no_arrays(tmp_path):
    assert refused(tmp_path, archive({"evil.py": b"", "w.npy": b""})) == "member 'evil.py' is no .npy file"


def test_object_arrays_as_numpy_writes_them(tmp_path):
    assert refused(tmp_path, npz(w=np.array([{"a": 1}], object))).startswith("tensor 'w' is Python objects, which "
                                                                             "would need pickle")


def test_a_bomb(tmp_path):
    data = archive({"w.npy": npy_header(GOOD.replace("3, 2", "3000, 2000")) + bytes(24_000_000)}, zipfile.ZIP_DEFLATED)
    assert refused(tmp_path, data).startswith("zip: record 'w.npy' has 24000075 bytes packed into ")


def test_arrays_need_a_spec(tmp_path):
    message = refused(tmp_path, npz(w=np.ones((3, 2)), b=np.ones(2)), None, ArgumentError)
    assert message == "arrays need a spec that says what they are (docs/spec.md); there are 'w' [3, 2], 'b' [2]"


def test_arrays_left_over_are_named(tmp_path):
    assert refused(tmp_path, npz(w=np.ones((3, 2)), b=np.ones(2))) \
        == "1 tensor(s) belong to no layer: 'b' [2]; a spec can place them, or name them under \"ignore\""


def test_pool_is_not_for_arrays(tmp_path):
    path = write(tmp_path, npz(w=np.ones((3, 2))), "a.npz")
    with pytest.raises(ArgumentError, match="^pool is for weights whose layers are found by name"):
        arrays.read(path, ImportOptions(pool="last", spec=SPEC))
    with pytest.raises(ArgumentError, match="^activations and order are for weights whose layers are found by name"):
        arrays.read(path, ImportOptions(activations={"w": "relu"}, order=["w"], spec=SPEC))


def test_no_file(tmp_path):
    with pytest.raises(FileError, match="cannot read .*none.npz"):
        arrays.read(tmp_path / "none.npz", ImportOptions(spec=SPEC))


def test_claims():
    data = npz(w=np.ones((3, 2)))
    assert arrays.knows(data[:4096])
    assert not arrays.knows(archive({"a/data.pkl": b""})) and not arrays.claims_live({"w": 1})
    with pytest.raises(ArgumentTypeError, match="^dict is no model"):
        arrays.read_live({})
