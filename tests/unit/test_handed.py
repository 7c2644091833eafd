"""Models handed over as bytes and as open binary files, of every format, beside the same file by its path."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import mmap
import os
import tempfile
import threading
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("h5py")
pytest.importorskip("onnx")

from model_files import KINDS, Source, X, bits, onnx_proto, small_model
from zip_bytes import made as zipped

import lstm_engine as le
from lstm_engine import files

WHOLE = sorted(set(KINDS) - {"onnx with external data"})
ARRAY = np.ones((2, 6, 3), np.float32)


def converted(source, made: Source) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", le.AssumptionWarning)
        return bits(le.convert(source, **made.options).predict(made.x))


@pytest.mark.parametrize("kind", WHOLE)
def test_bytes_and_open_files_of_every_format(kind, tmp_path):
    made = KINDS[kind](tmp_path)
    expected, data = bits(made.model().predict(made.x)), made.path.read_bytes()
    assert converted(data, made) == expected
    with open(made.path, "rb") as file:
        assert converted(file, made) == expected
        assert not file.closed and file.tell() == len(data)
    assert converted(io.BytesIO(data), made) == expected
    if not made.options:
        assert bits(le.load(data).predict(made.x)) == bits(le.load(io.BytesIO(data)).predict(made.x)) == expected


@pytest.mark.parametrize("kind", ["lstm", "keras"])
def test_every_kind_of_bytes_and_of_open_file(kind, tmp_path):
    made = KINDS[kind](tmp_path)
    expected, data = converted(made.path, made), made.path.read_bytes()
    with open(tmp_path / "packed.gz", "wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb") as packed:
        packed.write(data)
    (tmp_path / "archive.zip").write_bytes(zipped(("inner", data)))
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as end:
            end.write(data)

    threading.Thread(target=write, daemon=True).start()
    with (zipfile.ZipFile(tmp_path / "archive.zip") as archive, archive.open("inner") as member,
          gzip.open(tmp_path / "packed.gz") as packed, open(made.path, "rb", buffering=0) as raw,
          os.fdopen(reading, "rb") as pipe, open(made.path, "rb") as mapped,
          tempfile.SpooledTemporaryFile() as spooled):
        spooled.write(data)
        spooled.seek(0)
        for source in (bytearray(data), memoryview(data), memoryview(np.frombuffer(data, np.uint8)), member, packed,
                       raw, pipe, mmap.mmap(mapped.fileno(), 0, access=mmap.ACCESS_READ), spooled, Trickle(data)):
            assert converted(source, made) == expected, type(source)


class Trickle:
    """A file that gives a few bytes at a time, as the body of an answer does, and can nothing else."""

    def __init__(self, data: bytes) -> None:
        self.data, self.asked = data, 0

    def read(self, count: int) -> bytes:
        self.asked = max(self.asked, count)
        given, self.data = self.data[:min(count, 700)], self.data[min(count, 700):]
        return given


def test_a_file_is_read_from_where_it_stands(tmp_path):
    data = KINDS["onnx"](tmp_path).path.read_bytes()
    file = io.BytesIO(b"header of a protocol" + data)
    file.seek(20)
    le.convert(file)
    assert file.tell() == 20 + len(data)
    file.seek(0)
    with pytest.raises(le.FormatError, match="^<BytesIO>: not a checkpoint of a known kind"):
        le.convert(file)


@pytest.mark.parametrize("said", [{"model_version": 3}, {"doc_string": "What it is,\nin two lines. " * 300},
                                  {"producer_name": "\u00e9t\u00e9"}, {"producer_name": "p" * 200}])
def test_an_onnx_model_whatever_it_says_of_itself_first(said):
    """A path tells by its ending what bytes must tell by how they begin."""
    onnx = pytest.importorskip("onnx")
    proto = onnx_proto()
    proto.ClearField("producer_name")
    expected = bits(le.convert(proto).predict(X))
    for field, value in said.items():
        setattr(proto, field, value)
    data = proto.SerializeToString()
    assert bits(le.load(data).predict(X)) == bits(le.load(io.BytesIO(data)).predict(X)) == expected
    assert onnx.ModelProto.FromString(data) == proto


def test_a_file_that_was_just_written_stands_at_its_end():
    buffer = io.BytesIO()
    buffer.write(b"whatever it is")
    with pytest.raises(le.FormatError, match=r"<BytesIO>: nothing is left to read from where it stands; file.seek"):
        le.load(buffer)


def test_bytes_that_change_later_are_not_looked_at_again():
    buffer = io.BytesIO()
    folder = tempfile.TemporaryDirectory()
    with folder:
        path = Path(folder.name, "m.lstm")
        small_model().save(path)
        buffer = bytearray(path.read_bytes())
    model = le.load(buffer)
    expected = bits(model.predict(ARRAY))
    buffer[:] = bytes(len(buffer))
    assert bits(model.predict(ARRAY)) == expected


class Endless:
    """Begins as it is told, and never ends."""

    def __init__(self, begin: bytes) -> None:
        self.begin, self.given = begin, 0

    def read(self, count: int) -> bytes:
        begin, self.begin = self.begin[:count], self.begin[count:]
        self.given += count
        return begin + bytes(count - len(begin))


def test_no_more_is_read_than_the_limit():
    stream = Endless(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(le.LimitError, match=r"<Endless>: more than 67,109,864 bytes.*Limits.weights"):
        le.load(stream, limits=le.Limits(weights=1000))
    assert stream.given == (64 << 20) + 1000 + 1
    with pytest.raises(le.LimitError, match=r"<bytes>: the file has 67,109,865 bytes; at most 1,000 are allowed"):
        le.load(bytes((64 << 20) + 1001), limits=le.Limits(weights=1000))


@pytest.mark.parametrize("begin", [b"", b"GGUF", b"<!doctype html>", b"\x1f\x8b\x08"])
def test_what_is_no_model_is_not_read_on(begin):
    stream = Endless(begin)
    with pytest.raises((le.FormatError, le.UnsupportedError), match="^<Endless>: "):
        le.convert(stream)
    assert stream.given == 4096


class Raising:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def read(self, count: int) -> bytes:
        raise self.error


class Giving:
    name = 7

    def __init__(self, given: object) -> None:
        self.given = given

    def read(self, count: int) -> object:
        return self.given


def closed() -> io.BytesIO:
    file = io.BytesIO(b"x")
    file.close()
    return file


@pytest.mark.parametrize("source, error, message", [
    (io.StringIO("text"), le.ArgumentTypeError, "<StringIO>: it is open as text.*rb"),
    (closed(), le.FileError, "cannot read <BytesIO>: ValueError: I/O operation on closed file"),
    (Raising(OSError(5, "gone")), le.FileError, "cannot read <Raising>: OSError"),
    (Raising(EOFError("cut")), le.FileError, "cannot read <Raising>: EOFError: cut"),
    (Raising(KeyError("k")), le.FileError, "cannot read <Raising>: KeyError"),
    (Raising(RecursionError()), le.FileError, "cannot read <Raising>: RecursionError"),
    (Raising(MemoryError()), le.OutOfMemoryError, "not enough memory"),
    (Giving(None), le.FileError, "cannot read <Giving>: it gives nothing now"),
    (Giving(5), le.ArgumentTypeError, r"<Giving>: its read\(\) gave int, not bytes"),
    (Giving([]), le.ArgumentTypeError, r"<Giving>: its read\(\) gave list, not bytes"),
    (gzip.GzipFile(fileobj=io.BytesIO(b"no gzip")), le.FileError, "cannot read <GzipFile>: BadGzipFile"),
    (bz2.BZ2File(io.BytesIO(b"BZh9")), le.FileError, "cannot read <BZ2File>: EOFError"),
    (b"", le.FormatError, "^<bytes>: this is an empty file"),
    (b"model.onnx", le.FormatError, "^<bytes>: not a checkpoint of a known kind.*begins with b'model.onnx'"),
    (5, le.ArgumentTypeError, "a path.*bytes"), (None, le.ArgumentTypeError, "a path.*bytes"),
    ("", le.ArgumentError, "an empty path"), (Path(), le.FileError, "it is a folder"),
    (np.zeros(5, np.uint8), le.ArgumentTypeError, "a path.*bytes"),
], ids=lambda value: None if isinstance(value, str) else type(value).__name__)
def test_what_cannot_be_read_is_said(source, error, message):
    for open_ in (le.load, le.convert):
        with pytest.raises(error, match=message):
            open_(source)


def test_an_empty_path_is_not_the_folder_one_is_in(tmp_path):
    path = KINDS["onnx"](tmp_path).path
    for option in ({"data_folder": ""}, {"data_folder": b""}, {"weights": ""}):
        with pytest.raises(le.ArgumentError, match=f"^{next(iter(option))}: an empty path$"):
            le.convert(path, **option)
    with pytest.raises(le.ArgumentError, match="^data_folder: an empty path$"):
        le.verify(le.load(path), path, data_folder="")
    with pytest.raises(le.ArgumentError, match="^save: an empty path$"):
        le.load(path).save("")


class Name(str):
    def __len__(self) -> int:
        raise RuntimeError

    __bool__ = __str__ = __format__ = __fspath__ = __len__


def test_names_of_open_files():
    class Named(io.BytesIO):
        pass

    for Named.name, shown in ((Name("a.onnx"), "a.onnx"), ("", "<Named>"), (7, "<Named>")):
        with pytest.raises(le.FormatError, match=f"^{shown}: not a checkpoint of a known kind"):
            le.convert(Named(b"x"))


def test_a_file_for_writing_is_said(tmp_path):
    with open(tmp_path / "m.onnx", "wb") as file, pytest.raises(le.FileError, match="cannot read .*m.onnx: Unsupp"):
        le.convert(file)


def test_errors_name_the_open_file(tmp_path):
    (tmp_path / "m.onnx").write_bytes(KINDS["onnx"](tmp_path).path.read_bytes()[:200])
    with open(tmp_path / "m.onnx", "rb") as file, pytest.raises(le.FormatError, match=f"^{tmp_path}/m.onnx: "):
        le.convert(file)
    with pytest.raises(le.FormatError, match="^<bytes>: "):
        le.convert((tmp_path / "m.onnx").read_bytes())


def test_a_live_module_that_has_a_method_read_is_a_module():
    torch = pytest.importorskip("torch")

    class Memory(torch.nn.Linear):
        def read(self, count):
            raise AssertionError("this is no file")

    assert le.convert(Memory(3, 2)).predict(np.ones((2, 3), np.float32)).shape == (2, 2)


@pytest.mark.parametrize("anonymous", [True, False])
def test_what_another_process_is_given_has_no_name(anonymous, tmp_path, monkeypatch):
    """The bytes get a descriptor, and no file that anybody could find, or change meanwhile."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    if not anonymous:
        monkeypatch.delattr(os, "memfd_create", raising=False)
    with files.with_descriptor(io.BytesIO(b"some bytes")) as file:
        assert list(tmp_path.iterdir()) == [] and not os.get_inheritable(file.fileno())
        assert os.fstat(file.fileno()).st_size == 10 and file.read() == b"some bytes"
        if anonymous and hasattr(os, "memfd_create"):
            with pytest.raises(OSError):
                os.write(file.fileno(), b"other")
    with open(tmp_path / "plain", "wb+") as plain:
        assert files.with_descriptor(plain) is plain


@pytest.mark.parametrize("anonymous", [True, False])
def test_a_parser_reads_what_is_in_memory(anonymous, tmp_path, monkeypatch):
    if not anonymous:
        monkeypatch.delattr(os, "memfd_create", raising=False)
    before = set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else set()
    made = KINDS["onnx"](tmp_path)
    assert converted(made.path.read_bytes(), made) == converted(made.path, made)
    assert not before or set(os.listdir("/proc/self/fd")) == before


def test_the_json_of_a_keras_model_needs_the_file_of_its_arrays(tmp_path):
    text = b'{"class_name": "Sequential", "config": {"name": "s", "layers": []}, "keras_version": "2.15.0"}'
    with pytest.raises(le.ArgumentError, match='<bytes>: this says what a model is; its arrays are in another file'):
        le.convert(text)


def test_the_json_of_a_keras_model_with_the_file_of_its_arrays(tmp_path):
    from keras_files import layer, legacy, sequential

    config = sequential(layer("Dense", "d", units=2, batch_input_shape=[None, 3]))
    text = json.dumps({**config, "keras_version": "2.2.4"}).encode()
    arrays = {"d": {"d/kernel:0": np.arange(6, dtype=np.float32).reshape(3, 2), "d/bias:0": np.ones(2, np.float32)}}
    path = legacy(tmp_path / "w.h5", json.loads(text), arrays)
    with open(path, "rb") as file:
        for weights in (path, str(path), path.read_bytes(), file):
            made = le.convert(text, weights=weights)
            # The sums of the columns of 0..5, and 1.
            np.testing.assert_array_equal(made.predict(np.ones((1, 3), np.float32)), [[7, 10]])
    with pytest.raises(le.ArgumentTypeError, match="^weights: expected a path .*, bytes or an open .*, not int$"):
        le.convert(text, weights=5)


class Strange:
    def __getattr__(self, name):
        raise RuntimeError(name)


def test_objects_that_raise_when_they_are_asked():
    released = memoryview(b"x")
    released.release()
    for open_ in (le.load, le.convert):
        with pytest.raises(le.ArgumentTypeError, match="<bytes>: its bytes cannot be read: operation forbidden"):
            open_(released)
        with pytest.raises(le.ArgumentTypeError, match="Strange"):
            open_(Strange())


def test_a_folder_is_not_written_into_a_model(tmp_path):
    """What a model remembers of its source is the name of the file, however it was opened."""
    made = KINDS["pt"](tmp_path)
    with open(made.path, "rb") as file, pytest.warns(le.AssumptionWarning):
        model = le.convert(file, **made.options)
    assert model.graph.metadata["source"] == "model.pt" and str(tmp_path) not in str(dict(model.graph.metadata))


@pytest.mark.skipif(os.name != "posix", reason="names of files are text on Windows")
def test_a_model_whose_file_has_a_name_that_is_no_text_can_be_saved(tmp_path):
    made = KINDS["pt"](tmp_path)
    path = made.path.rename(tmp_path / os.fsdecode(b"\xff.pt"))
    with pytest.warns(le.AssumptionWarning):
        model = le.convert(path, **made.options)
    model.save(tmp_path / "m.lstm")
    assert le.load(tmp_path / "m.lstm").graph.metadata["source"] == r"\udcff.pt"
