"""Torch files that lie, call, loop or overflow, each made by hand, each with its exact error."""

from __future__ import annotations

import os
import pickle
import struct

import numpy as np
import pytest
from torch_bytes import (
    MARK,
    archive,
    call,
    checkpoint,
    items,
    legacy,
    listed,
    mapping,
    number,
    pickled,
    safetensors,
    storage,
    symbol,
    tensor,
    text,
    write,
)

from lstm_engine.errors import FormatError, UnsupportedError
from lstm_engine.importers import torch as importer
from lstm_engine.importers.torch.checkpoints.files import open_weights

UNTYPED = symbol("torch.storage", "UntypedStorage")
F32 = symbol("torch", "FloatStorage")
REBUILD = symbol("torch._utils", "_rebuild_tensor_v2")
GRU = mapping({"weight_ih_l0": tensor((3, 2), (2, 1)), "weight_hh_l0": tensor((3, 1), (1, 1))})
REFUSED = "which is not among what a checkpoint may rebuild"


def refused(tmp_path, data, name="bad.pt"):
    path = write(tmp_path, data, name)
    with pytest.raises((FormatError, UnsupportedError)) as caught:
        importer.read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


def in_pickle(tmp_path, value, **options):
    """The error of a checkpoint with this object, without the place that it begins with."""
    message = refused(tmp_path, checkpoint(value, **options))
    assert message.startswith("a/data.pkl: byte ")
    return message.partition(": opcode ")[2]


class Evil:
    def __reduce__(self):
        return os.system, ("touch /tmp/lstm_engine_was_here",)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("kind", ["zip", "legacy"])
def test_a_pickle_that_calls_as_python_writes_it(tmp_path, protocol, kind):
    value = pickle.dumps({"weight": Evil()}, protocol)
    data = archive({"a/data.pkl": value}) if kind == "zip" else legacy(b"N").replace(pickled(b"N"), value, 1)
    message = refused(tmp_path, data)
    assert message.endswith(f"opcode REDUCE: calls '{os.system.__module__}.system', {REFUSED}")


@pytest.mark.parametrize("value, message", [
    (call(symbol("builtins", "eval"), text("1")), f"REDUCE: calls 'builtins.eval', {REFUSED}"),
    (call(symbol("builtins", "__import__"), text("os")), f"REDUCE: calls 'builtins.__import__', {REFUSED}"),
    (call(symbol("importlib", "import_module"), text("os")), f"REDUCE: calls 'importlib.import_module', {REFUSED}"),
    (call(symbol("torch", "load"), text("/etc/passwd")), f"REDUCE: calls 'torch.load', {REFUSED}"),
    (call(symbol("torch.storage", "_load_from_bytes"), text("x")), f"REDUCE: calls 'torch.storage._load_from_bytes', "
                                                                   f"{REFUSED}"),
    (call(symbol("collections", "OrderedDict.__init__"), text("x")),
     f"REDUCE: calls 'collections.OrderedDict.__init__', {REFUSED}"),
    (text("os") + text("system") + b"\x93" + items(text("id")) + b"R", f"REDUCE: calls 'os.system', {REFUSED}"),
    (call(symbol("torch._tensor", "_rebuild_from_type_v2"), symbol("os", "system"), b"N", items(text("id")), b"N"),
     "REDUCE: _rebuild_from_type_v2 of something that rebuilds no tensor"),
    (call(symbol("torch._tensor", "_rebuild_from_type_v2"), symbol("torch._tensor", "_rebuild_from_type_v2"), b"N",
          items(), b"N"), "REDUCE: _rebuild_from_type_v2 of something that rebuilds no tensor"),
    (call(symbol("torch._utils", "_rebuild_parameter"), text("x"), b"\x88", b"N"),
     "REDUCE: a parameter around a str instead of a tensor"),
    (text("x") + items() + b"R", "REDUCE: a str applied to a tuple"),
    (symbol("collections", "OrderedDict") + b"]R", "REDUCE: a Symbol applied to a list"),
    (call(call(symbol("collections", "OrderedDict"))), "REDUCE: a dict applied to a tuple"),
    (b"cos\nsystem\n)\x81" + items() + b"R", "REDUCE: a Instance applied to a tuple"),
    (text("x") + b"}b", "BUILD: sets the state of a str"),
    (tensor() + b"}b", "BUILD: sets the state of a Tensor"),
    (call(symbol("collections", "OrderedDict"), listed(items(text("a")))),
     "REDUCE: an OrderedDict of something else than pairs of a name and a value"),
], ids=lambda value: None if isinstance(value, bytes) else value[:60])
def test_pickles_that_call(tmp_path, value, message):
    assert in_pickle(tmp_path, mapping({"w": value})) == message


@pytest.mark.parametrize("code, name", [(b"(cos\nsystem\no", "OBJ"), (b"(ios\nsystem\n", "INST"), (b"\x82\x01", "EXT1"),
                                        (b"\x83\x01\x00", "EXT2"), (b"\x84\x01\x00\x00\x00", "EXT4"),
                                        (b"Pid\n", "PERSID"), (b"N0", "POP"), (b"I1\n", "INT")])
def test_opcodes_outside_the_list(tmp_path, code, name):
    assert refused(tmp_path, checkpoint(mapping({"w": code}))).endswith(f": opcode {name} is not allowed")


def test_objects_of_unknown_classes_are_not_made(tmp_path):
    value = symbol("os", "system") + items(text("id")) + b"\x81" + mapping(
        {"__setstate__": symbol("os", "system")}) + b"b"
    assert refused(tmp_path, checkpoint(mapping({"w": value}))) \
        == "the file holds no tensors; expected a state dict, or a checkpoint with one in it"


def knot(opening, middle):
    """A container that holds itself: it is memoized, filled with a reference to itself."""
    return opening + b"q\x07" + middle


KNOTS = {
    "list": (lambda held: knot(b"]", held + b"ah\x07a"), "the container '1' holds itself"),
    "dict": (lambda held: mapping({"a": knot(b"}", text("w") + held + b"s" + text("b") + b"h\x07s")}),
             "the container 'b' holds itself"),
    "dict in list": (lambda held: mapping({"a": knot(b"}", text("w") + held + b"s" + text("b") + b"]h\x07as")}),
                     "the container 'b.0' holds itself"),
    "object": (lambda held: knot(symbol("my", "Net") + b")\x81", items(held, b"h\x07") + b"b"),
               "the container 'state.1' holds itself"),
}


@pytest.mark.parametrize("kind", KNOTS)
def test_tensors_in_knots_are_refused(tmp_path, kind):
    value, message = KNOTS[kind]
    assert refused(tmp_path, checkpoint(value(tensor()))) == message


@pytest.mark.parametrize("kind", KNOTS)
def test_knots_without_tensors_are_nobodys_concern(tmp_path, kind):
    path = write(tmp_path, checkpoint(mapping({"state_dict": GRU, "trainer": KNOTS[kind][0](text("no tensor"))})))
    assert [node.op for node in importer.read(path).nodes] == ["GRU"]


@pytest.mark.parametrize("value", [tensor() + b"\x85" * 5000, b"]" * 70 + tensor() + b"a" * 70],
                         ids=["tuples", "lists"])
def test_pickles_that_recurse(tmp_path, value):
    message = refused(tmp_path, checkpoint(value))
    assert message.startswith("the container '0.0.0.0") and message.endswith(" is nested more than 64 deep")


def test_a_billion_laughs(tmp_path):
    value = b"]q\x00" + tensor() + b"a" + b"".join(b"]q" + bytes([level + 1]) + MARK + (b"h" + bytes([level])) * 10
                                                   + b"e" for level in range(12))
    assert refused(tmp_path, checkpoint(items(value, b"h\x0c"))) \
        == "more than 1500000 items or 300000 containers, counted as often as they are shared"


@pytest.mark.parametrize("over, message", [
    (items(text("storage"), F32, text("0"), text("cpu")) + b"Q",
     "BINPERSID: a persistent id that is not (storage, type, key, location, size)"),
    (text("storage") + b"Q", "BINPERSID: a persistent id that is not (storage, type, key, location, size)"),
    (items(text("module"), F32, text("0"), text("cpu"), number(12)) + b"Q",
     "BINPERSID: a persistent id that is not (storage, type, key, location, size)"),
    (items(text("storage"), F32, number(0), text("cpu"), number(12)) + b"Q",
     "BINPERSID: a persistent id that is not (storage, type, key, location, size)"),
    (storage("1"), "BINPERSID: zip: no record 'a/data/1'; there are 'a/byteorder', 'a/data.pkl', 'a/data/0', "
                   "'a/version'"),
    (storage("../../../etc/passwd"), "BINPERSID: zip: no record 'a/data/../../../etc/passwd'; there are 'a/byteorder', "
                                     "'a/data.pkl', 'a/data/0', 'a/version'"),
    (storage(count=13), "BINPERSID: storage '0' is said to have 13 items of 4 bytes, its record has 48 bytes"),
    (storage(count=11), "BINPERSID: storage '0' is said to have 11 items of 4 bytes, its record has 48 bytes"),
    (storage(count=-12), "BINPERSID: storage '0' is said to have -12 items of 4 bytes, its record has 48 bytes"),
    (storage(count=2**62), "BINPERSID: storage '0' is said to have 4611686018427387904 items of 4 bytes, its record "
                           "has 48 bytes"),
    (storage(kind=symbol("torch", "DoubleStorage")),
     "BINPERSID: storage '0' is said to have 12 items of 8 bytes, its record has 48 bytes"),
    (storage(kind=symbol("torch", "QUInt4x2Storage")),
     "BINPERSID: a storage of the type 'torch.QUInt4x2Storage' is not supported; it holds quantized numbers: save the "
     "state_dict of the model as it was before it was quantized"),
    (storage(kind=symbol("os", "FloatStorage")), "BINPERSID: a storage of the type 'os.FloatStorage' is not supported"),
    (storage(kind=text("FloatStorage")), "BINPERSID: a storage of the type str"),
    (text("0"), "REDUCE: a tensor over a str instead of a storage"),
], ids=lambda value: None if isinstance(value, bytes) else value[11:60])
def test_lies_about_storages(tmp_path, over, message):
    assert in_pickle(tmp_path, mapping({"w": tensor(over=over)})) == message


NUMBERS = "of a tensor must be numbers from 0 to 2^48"


@pytest.mark.parametrize("value, message", [
    (tensor((4, 3), offset=1), "a tensor of shape [4, 3], strides [3, 1] and offset 1 reads item 12 of storage '0', "
                               "which has 12"),
    (tensor((5, 3)), "a tensor of shape [5, 3], strides [3, 1] and offset 0 reads item 14 of storage '0', which has "
                     "12"),
    (tensor((4, 3), (4, 1)), "a tensor of shape [4, 3], strides [4, 1] and offset 0 reads item 14 of storage '0', "
                             "which has 12"),
    (tensor((1, 1), (0, 0), offset=2**40), "a tensor of shape [1, 1], strides [0, 0] and offset 1099511627776 reads "
                                           "item 1099511627776 of storage '0', which has 12"),
    (tensor((2**20, 2**20), (0, 0)), "a tensor of shape [1048576, 1048576] and strides [0, 0] has more items than "
                                     "storage '0', which has 12"),
    (tensor((7, 7), (1, 1)), "a tensor of shape [7, 7], strides [1, 1] and offset 0 reads item 12 of storage '0', "
                             "which has 12"),
    (tensor((6, 6), (1, 1)), "a tensor of shape [6, 6] and strides [1, 1] has more items than storage '0', which has "
                             "12"),
    (tensor((2**40, 2**40)), "a tensor: the shape [1099511627776, 1099511627776] is out of range"),
    (tensor((0, 2**40, 2**40), (1, 1, 1)), "a tensor: the shape [0, 1099511627776, 1099511627776] is out of range"),
    (tensor((1,) * 20, (1,) * 20), f"a tensor: the shape {[1] * 20} is out of range"),
    (tensor((4, 3), (3,)), "a tensor of shape [4, 3] with 1 strides"),
    (tensor((4, 3), (-3, 1)), f"the strides {NUMBERS}"),
    (tensor((-4, 3)), f"the sizes {NUMBERS}"),
    (tensor((4, 2**48)), f"the sizes {NUMBERS}"),
    (tensor(offset=-1), f"the offset {NUMBERS}"),
    (call(REBUILD, storage(), text("0"), items(), items()), f"the offset {NUMBERS}"),
    (call(REBUILD, storage(), number(0), items(b"\x88"), items(number(1))), f"the sizes {NUMBERS}"),
    (call(REBUILD, storage(), number(0), text("43"), items(number(1))), f"the sizes {NUMBERS}"),
    (call(REBUILD, storage(), number(0)), "_rebuild_tensor needs 4 arguments, got 2"),
    (call(REBUILD, storage(), number(0), items(number(3)), items(number(1)), b"\x89", b"N", mapping({"neg": b"\x88"})),
     "a tensor with conjugate or negative bits is not supported"),
    (call(symbol("torch._utils", "_rebuild_tensor_v3"), storage(kind=UNTYPED, count=48),
          number(0), items(number(13)), items(number(1)), b"\x89", b"N", symbol("torch", "float32")),
     "a tensor of shape [13], strides [1] and offset 0 reads item 12 of storage '0', which has 12"),
    (call(symbol("torch._utils", "_rebuild_tensor_v3"), storage(kind=UNTYPED, count=48),
          number(0), items(number(3)), items(number(1)), b"\x89", b"N", symbol("torch", "complex32")),
     "a tensor of dtype torch.complex32"),
], ids=lambda value: None if isinstance(value, bytes) else value[:60])
def test_lies_about_views(tmp_path, value, message):
    assert in_pickle(tmp_path, mapping({"w": value})) == f"REDUCE: {message}"


def test_many_views_of_one_storage_may_not_multiply_it(tmp_path):
    count = 2**18
    views = {f"w{i}": tensor((count,), (1,), over=storage(count=count)) for i in range(10)}
    message = refused(tmp_path, checkpoint(mapping(views), {"0": bytes(4 * count)}))
    assert message == "10 tensors of 10485760 bytes in all share 1048576 stored bytes"


@pytest.mark.parametrize("data, message", [
    (archive({"a/data.pkl": pickled(b"}") + b"more"}), "a/data.pkl: 4 bytes follow the pickle"),
    (checkpoint(mapping({"w": tensor()})).replace(b"little", b"middle"), None),
    (archive({"a/data.pkl": pickled(mapping({"w": tensor()})), "a/byteorder": b"middle",
              "a/data/0": np.zeros(12, "<f4").tobytes()}), "a/byteorder: must be 'little' or 'big', got b'middle'"),
    (archive({"a/data.pkl": pickled(b"}"), "a/byteorder": b"x" * 100}),
     "zip: record 'a/byteorder' has 100 bytes, more than the 16 allowed for it"),
    (archive({"a/data.pkl": b"", "b/data.pkl": b""}), "two folders hold a data.pkl: 'a' and 'b'"),
    (archive({"data.pkl": pickled(b"}")}), "a zip archive without <folder>/data.pkl; its records: data.pkl"),
    (b"", "neither a zip archive, a legacy torch file nor safetensors; it begins with b''"),
    (b"GIF89a" * 100, "neither a zip archive, a legacy torch file nor safetensors; it begins with b'GIF89aGI'"),
    (pickled(mapping({"w": b"N"})), "a plain pickle without torch's magic number; save the state_dict with torch.save"),
    (bytes(257) + b"ustar" + bytes(250), "a tar file of torch 0.1; load and save it with a torch of today"),
])
def test_files_of_the_wrong_form(tmp_path, data, message):
    if message is None:
        assert "checksum" in refused(tmp_path, data)
    else:
        assert refused(tmp_path, data) == message


def window(start, size):
    view = items(text("1"), number(start), number(size))
    return items(text("storage"), F32, text("0"), text("cpu"), number(12), view) + b"Q"


RAW = struct.pack("<q", 12) + bytes(48)
STATE = mapping({"w": tensor()})


@pytest.mark.parametrize("data, message", [
    (legacy(STATE).replace(number(1001), number(1002)),
     "magic number and protocol must be 0x1950a86a20f9469cfc6c and 1001"),
    (legacy(STATE, keys=b"]"), "storage '0' is declared, but not stored"),
    (legacy(STATE, keys=listed(text("0"), text("1"))), "storage '1' is never declared"),
    (legacy(STATE, keys=listed(text("0"), text("0"))), "storage keys: must be a list of different strings"),
    (legacy(STATE, keys=text("0")), "storage keys: must be a list of different strings"),
    (legacy(STATE, keys=storage()), "storage keys: byte 248: opcode BINPERSID: a persistent id outside the object"),
    (legacy(STATE, raw=struct.pack("<q", 13) + bytes(52)), "storage '0' has 13 items in the file, 12 were declared"),
    (legacy(STATE, raw=struct.pack("<q", -1)), "storage '0' has -1 items in the file, 12 were declared"),
    (legacy(STATE, raw=RAW[:-1]), "storage '0' ends at byte 258, the file has 257: the file is truncated; fetch or "
                                  "copy it again"),
    (legacy(STATE, raw=b""), "storage '0' has 0 items in the file, 12 were declared"),
    (legacy(STATE, raw=RAW + b"x"), "1 bytes follow the last storage"),
    (legacy(mapping({"w": tensor(over=storage(count=2**47), count=2**47)})),
     "storage '0' has 12 items in the file, 140737488355328 were declared"),
    (legacy(mapping({"w": tensor(), "v": tensor(over=storage(count=13))})), "object: byte 284: opcode BINPERSID: "
                                                                            "storage '0' "
     "is declared as 48 bytes of float32 and as 52 bytes of float32"),
    (legacy(mapping({"w": tensor(), "v": tensor(over=storage(kind=symbol("torch", "IntStorage")))})),
     "object: byte 282: opcode BINPERSID: storage '0' is declared as 48 bytes of float32 and as 48 bytes of int32"),
    (legacy(mapping({"w": tensor((2, 3), over=window(8, 5))})),
     "object: byte 142: opcode BINPERSID: a view of bytes 32 to 52 of storage '0', which has 48"),
    (legacy(mapping({"w": tensor((2, 3), over=window(-1, 5))})),
     "object: byte 142: opcode BINPERSID: a view of a storage that is not (key, offset, size)"),
    (legacy(mapping({"w": tensor((2, 3), over=window(7, 5))})), "object: byte 202: opcode REDUCE: a tensor of shape "
                                                                "[2, 3], "
     "strides [3, 1] and offset 0 reads item 5 of storage '0', which has 5"),
])
def test_lies_in_legacy_files(tmp_path, data, message):
    assert refused(tmp_path, data) == message


def test_a_legacy_view_of_a_storage_is_read_from_its_place(tmp_path):
    path = write(tmp_path, legacy(mapping({"w": tensor((2, 3), over=window(6, 6))})))
    with open_weights(path) as weights:
        np.testing.assert_array_equal(weights.take("w"), np.arange(6.0, 12.0).reshape(2, 3))


def test_safetensors_inside_a_pt_name_are_read_as_what_they_are(tmp_path):
    assert refused(tmp_path, safetensors(b"{}", b"x")).startswith("safetensors: ")
