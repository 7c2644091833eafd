"""Saving and loading: what goes in comes out, the bytes are the documented ones, files appear whole or not at all."""

import dataclasses
import os
import stat
import zlib

import numpy as np
import pytest
from graphs import BATCH_TIME, assert_same, assert_same_array, every_node, one_node, recurrent, weights
from lstm_files import assemble, config_text, parts, tiny

from lstm_engine import reference
from lstm_engine.errors import FileError, FormatError, GraphError, OutOfMemoryError
from lstm_engine.format import atomic, encode, file, header, load, save
from lstm_engine.graph import LSTM, RNN, Activation, Dense, Embedding, Graph, Operator, Value


def test_every_node_comes_back(tmp_path):
    path = tmp_path / "model.lstm"
    graph = every_node()
    save(graph, path)
    loaded = load(path)
    assert_same(loaded, graph)
    inputs = {"ids": [[0, 1, 6], [2, 3, 4]], "h0": weights(2, 4)}
    np.testing.assert_array_equal(reference.run(loaded, inputs)["y"], reference.run(graph, inputs)["y"])


def test_the_same_graph_gives_the_same_bytes(tmp_path):
    first, second, third = (tmp_path / name for name in ("a", "b", "c"))
    save(every_node(), first)
    save(every_node(), second)
    save(load(first), third)
    assert first.read_bytes() == second.read_bytes() == third.read_bytes()


def test_the_bytes_are_the_documented_ones(tmp_path):
    path = tmp_path / "model.lstm"
    save(tiny(), path)
    assert path.read_bytes() == assemble(*parts(tiny()))


def test_the_bytes_never_change(tmp_path):
    """A file written by any version 1 has these bytes; if this fails, old files are at risk: raise the version."""
    path = tmp_path / "model.lstm"
    save(one_node(Dense(name="d", inputs=("x",), outputs=("y",), kernel=np.eye(3, dtype="float32"),
                        bias=np.arange(3, dtype="float32"), activation=Activation.of("elu", 0.5))), path)
    text = (b'{"__metadata__":{"crc32":"67c0283b","format":"lstm-engine","version":"1","min_reader":"1","config":"'
            rb'{\"inputs\":[{\"dtype\":\"float32\",\"name\":\"x\",\"shape\":[\"batch\",\"time\",3]}],\"metadata\":{},'
            rb'\"nodes\":[{\"activation\":{\"alpha\":0.5,\"name\":\"elu\"},\"bias\":\"d.bias\",\"inputs\":[\"x\"],'
            rb'\"kernel\":\"d.kernel\",\"name\":\"d\",\"op\":\"Dense\",\"outputs\":[\"y\"]}],\"outputs\":[\"y\"]}"},'
            b'"d.bias":{"dtype":"F32","shape":[3],"data_offsets":[0,12]},'
            b'"d.kernel":{"dtype":"F32","shape":[3,3],"data_offsets":[12,48]}}')
    text += b" " * (-(8 + len(text)) % 64)
    data = np.array([0, 1, 2, 1, 0, 0, 0, 1, 0, 0, 0, 1], "<f4").tobytes()
    assert path.read_bytes() == len(text).to_bytes(8, "little") + text + data


def test_the_safetensors_package_reads_it(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    path = tmp_path / "model.lstm"
    save(every_node(), path)
    theirs = safetensors.load_file(path)
    _, ours = encode(every_node())
    assert theirs.keys() == ours.keys()
    for name in ours:
        assert_same_array(ours[name], theirs[name])


def test_the_data_are_aligned_in_the_file_and_in_memory(tmp_path):
    path = tmp_path / "model.lstm"
    dtypes = ("uint8", "float64", "float16", "bool", "int32")
    nodes = tuple(Operator(name=dtype, inputs=("",), outputs=(f"y of {dtype}",), op_type="Identity",
                           constants={0: np.ones(3, dtype)}) for dtype in dtypes)
    save(Graph((), nodes, tuple(f"y of {dtype}" for dtype in dtypes)), path)
    raw = path.read_bytes()
    parsed = header.parse(raw[8:8 + int.from_bytes(raw[:8], "little")])
    start = len(raw) - parsed.data_size
    assert start % 64 == 0
    assert [entry.dtype for entry in parsed.entries] == ["F64", "I32", "F16", "BOOL", "U8"]
    assert all((start + entry.begin) % entry.numpy_dtype.itemsize == 0 for entry in parsed.entries)
    arrays = [node.constants[0] for node in load(path).nodes]
    assert arrays[1].ctypes.data % 64 == 0
    assert all(array.flags.aligned and not array.flags.writeable for array in arrays)


def test_a_shared_array_is_stored_and_loaded_once(tmp_path):
    table, ids = weights(50, 3), ("a", "b")
    graph = Graph(tuple(Value(name, BATCH_TIME, "int32") for name in ids),
                  tuple(Embedding(name=f"of {name}", inputs=(name,), outputs=(f"x{name}",), table=table)
                        for name in ids),
                  ("xa", "xb"))
    assert list(encode(graph)[1]) == ["of a.table"]
    save(graph, tmp_path / "model.lstm")
    first, second = load(tmp_path / "model.lstm").nodes
    assert first.table is second.table


@pytest.mark.parametrize("convert", [
    lambda a: a.astype(">f4"), np.asfortranarray, lambda a: np.flip(np.ascontiguousarray(np.flip(a))),
    lambda a: np.repeat(a, 2, axis=-1)[..., ::2]], ids=["big-endian", "fortran", "reversed", "strided"])
def test_any_memory_layout_gives_the_same_file(tmp_path, convert):
    plain, other = tmp_path / "plain", tmp_path / "other"
    node = recurrent(LSTM)
    save(one_node(node), plain)
    save(one_node(dataclasses.replace(node, W=convert(node.W))), other)
    assert plain.read_bytes() == other.read_bytes()


def test_nan_infinity_and_signed_zero_keep_their_bits(tmp_path):
    table = np.array([[0x7fc00001, 0xffc12345, 0x7f800000, 0x80000000, 0x00000001]], "<u4").view("<f4")
    graph = one_node(Embedding(name="e", inputs=("i",), outputs=("y",), table=table), Value("i", BATCH_TIME, "int32"))
    save(graph, tmp_path / "model.lstm")
    assert_same(load(tmp_path / "model.lstm"), graph)


def test_names_may_be_any_text(tmp_path):
    node = recurrent(RNN, ("x\u2028\"\\",), ("\u0000\x1b[31m",), name="\U0001f600 __metadata__")
    graph = Graph((Value("x\u2028\"\\", ("batch", "temps é", 3)),), (node,), ("\u0000\x1b[31m",), {"é": "\n"})
    save(graph, tmp_path / "model.lstm")
    assert_same(load(tmp_path / "model.lstm"), graph)


def test_an_invalid_graph_is_not_saved(tmp_path):
    path = tmp_path / "model.lstm"
    with pytest.raises(GraphError, match="clip must be a finite number above 0"):
        save(one_node(recurrent(LSTM, clip=-1.0)), path)
    assert not list(tmp_path.iterdir())


def test_a_header_over_the_limit_is_not_saved(tmp_path, monkeypatch):
    monkeypatch.setattr(header, "HEADER_LIMIT", 500)
    with pytest.raises(FormatError, match="the header of this graph has 504 bytes; at most 500 can be saved"):
        save(tiny(), tmp_path / "model.lstm")
    assert not list(tmp_path.iterdir())


class Interrupted(BaseException):
    """Stands for Ctrl-C, which is no Exception either."""


@pytest.mark.parametrize("error, raised", [(OSError(28, "No space left on device"), FileError),
                                           (Interrupted(), Interrupted)])
@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, where, error, raised):
    path = tmp_path / "model.lstm"
    path.write_bytes(b"precious")

    def fail(*_):
        raise error

    monkeypatch.setattr(atomic.os, where, fail)
    with pytest.raises(raised):
        save(tiny(), path)
    assert [p.name for p in tmp_path.iterdir()] == ["model.lstm"] and path.read_bytes() == b"precious"


def test_an_old_file_is_replaced_and_a_reader_of_it_undisturbed(tmp_path):
    path = tmp_path / "model.lstm"
    path.write_bytes(b"old")
    with open(path, "rb") as reader:
        save(tiny(), path)
        assert reader.read() == b"old"
    assert_same(load(path), tiny())


@pytest.mark.skipif(os.name != "posix", reason="symbolic links and modes are POSIX matters")
def test_a_link_is_followed_and_the_umask_obeyed(tmp_path):
    target, link = tmp_path / "target.lstm", tmp_path / "link.lstm"
    link.symlink_to(target)
    before = os.umask(0o027)
    try:
        save(tiny(), link)
    finally:
        os.umask(before)
    assert link.is_symlink() and stat.S_IMODE(target.stat().st_mode) == 0o640


@pytest.mark.parametrize("name, message", [("missing/model.lstm", "No such file"), ("", "is not a regular file")])
def test_a_path_that_cannot_be_written_is_named(tmp_path, name, message):
    with pytest.raises(FileError, match=message):
        save(tiny(), tmp_path / name)


@pytest.mark.skipif(os.name != "posix", reason="devices and pipes are POSIX matters")
def test_devices_and_pipes_are_neither_replaced_nor_waited_for(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, "/dev/null"):
        with pytest.raises(FileError, match="is not a regular file"):
            save(tiny(), path)
        with pytest.raises(FileError, match="it is a (named pipe|device); expected a file"):
            load(path)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_file_that_cannot_be_read_is_a_file_error(tmp_path):
    for path in (tmp_path / "none.lstm", tmp_path):
        with pytest.raises(FileError, match="cannot read") as caught:
            load(path)
        assert isinstance(caught.value, OSError) and caught.value.errno


def test_a_file_that_shrinks_while_it_is_read(tmp_path, monkeypatch):
    path = tmp_path / "model.lstm"
    save(tiny(), path)
    parse = header.parse

    def parse_then_truncate(raw):
        os.truncate(path, path.stat().st_size - 4)
        return parse(raw)

    monkeypatch.setattr(header, "parse", parse_then_truncate)
    with pytest.raises(FormatError, match="data: the tensors need 32 bytes, the file ends after 28"):
        load(path)


def test_short_reads_and_many_chunks_are_fine(tmp_path, monkeypatch):
    monkeypatch.setattr(file, "CHUNK", 7)
    save(every_node(), tmp_path / "model.lstm")
    assert_same(load(tmp_path / "model.lstm"), every_node())


def test_no_memory_for_the_tensors_is_a_typed_error(tmp_path, monkeypatch):
    save(tiny(), tmp_path / "model.lstm")

    def no_memory(*_):
        raise MemoryError

    monkeypatch.setattr(file.np, "empty", no_memory)
    with pytest.raises(OutOfMemoryError, match="not enough memory for its tensors"):
        load(tmp_path / "model.lstm")


def test_the_checksum_is_the_documented_one(tmp_path):
    path = tmp_path / "model.lstm"
    save(tiny(), path)
    raw = path.read_bytes()
    prefix = b'{"__metadata__":{"crc32":"'
    assert raw[8:].startswith(prefix)
    at = 8 + len(prefix)
    assert int(raw[at:at + 8], 16) == zlib.crc32(raw[:at] + b"00000000" + raw[at + 8:])


def test_config_text_is_what_a_file_holds(tmp_path):
    save(tiny(), tmp_path / "model.lstm")
    raw = (tmp_path / "model.lstm").read_bytes()
    assert header.parse(raw[8:8 + int.from_bytes(raw[:8], "little")]).config == config_text(tiny())
