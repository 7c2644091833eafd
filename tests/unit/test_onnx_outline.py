"""Large files of ONNX are parsed without the raw data of their tensors: to the same description, or not at all so."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest

from lstm_engine.errors import LstmEngineError
from lstm_engine.importers.onnx.reading import outline as module
from lstm_engine.importers.onnx.reading import proto
from lstm_engine.importers.reading.protobuf import encoded, number_at

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

RNG = np.random.default_rng(3)


@pytest.fixture(autouse=True)
def of_every_size(monkeypatch):
    monkeypatch.setattr(module, "FROM", 1)
    monkeypatch.setattr(module, "SMALLEST", 16)


def model(count: int = 4) -> onnx.ModelProto:
    """With tensors large and small, as raw data and as numbers, in nodes too."""
    tensors = [numpy_helper.from_array(RNG.random((3, 5 * i), np.float32), f"t{i}") for i in range(count)]
    tensors.append(helper.make_tensor("typed", TensorProto.INT64, [40], range(-20, 20)))
    tensors.append(helper.make_tensor("halves", TensorProto.FLOAT16, [9], np.arange(9, dtype=np.float16).tolist()))
    inside = helper.make_node("Constant", [], ["k"], value=numpy_helper.from_array(np.ones(50, np.float32)))
    graph = helper.make_graph([helper.make_node("Add", ["x", "t1"], ["y"], name="a"), inside], "g",
                              [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["b", 5])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["b", 5])], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def outcome(described, arrays):
    return described, {name: np.asarray(array).tobytes() for name, array in arrays.items()}


def whole(data: bytes):
    """What comes of the message parsed whole."""
    return outcome(*proto.describe(onnx.ModelProto.FromString(data)))


def field(number: int, body: bytes) -> bytes:
    return encoded(number << 3 | 2) + encoded(len(body)) + body


def test_large_raw_data_is_left_in_the_file_and_described_the_same():
    data = model().SerializeToString()
    message, left = module.outline(io.BytesIO(data))
    assert [raw and raw.size for raw in left] == [None, 60, 120, 180, None, None]
    assert len(message) < len(data) - 350
    assert outcome(*proto.parse(io.BytesIO(data))) == whole(data)


def test_raw_data_comes_in_pieces():
    data = model().SerializeToString()
    _, left = module.outline(io.BytesIO(data))
    pieces = list(left[3].pieces(50))
    assert [len(piece) for piece in pieces] == [50, 50, 50, 30] and b"".join(pieces) in data


def test_messages_that_are_merged_and_fields_that_are_there_twice():
    """Protobuf puts two graphs together, and takes the last of two raw data."""
    first, second = model(), model()
    for tensor in second.graph.initializer:
        tensor.name += "_2"
    del second.graph.node[:], second.graph.input[:], second.graph.output[:]
    data = first.SerializeToString() + second.SerializeToString()
    assert len(proto.parse(io.BytesIO(data))[0]["graph"]["tensors"]) == 12
    assert outcome(*proto.parse(io.BytesIO(data))) == whole(data)
    for sizes in ((80, 24), (24, 80), (80, 4), (4, 80), (80, 80)):
        tensor = TensorProto(name="twice", data_type=TensorProto.UINT8, dims=[sizes[-1]]).SerializeToString()
        tensor += b"".join(field(9, RNG.bytes(size)) for size in sizes)
        data = model().SerializeToString() + field(7, field(5, tensor))
        assert outcome(*proto.parse(io.BytesIO(data))) == whole(data)


def test_sizes_that_do_not_fit_are_refused_as_of_a_message_that_is_parsed_whole():
    wrong = model()
    wrong.graph.initializer[2].dims[0] = 7
    with pytest.raises(LstmEngineError, match=r"'t2': dims \[7, 10\] of float32 need 280 bytes, raw_data has 120"):
        proto.parse(io.BytesIO(wrong.SerializeToString()))


def told(read) -> object:
    try:
        return outcome(*read())
    except Exception as error:              # whatever the parser raises, its process says (`sandbox_child`)
        return f"{type(error).__name__}: {error}"


def test_damaged_files_have_the_same_outcome(monkeypatch):
    """Cut at every place, and with any byte another: what is said, and what is read, is that of the whole message."""
    data, rng = model(3).SerializeToString(), random.Random(5)
    damaged = [data[:end] for end in range(len(data))]
    for _ in range(1500):
        place = rng.randrange(len(data))
        damaged.append(data[:place] + bytes([rng.randrange(256)]) + data[place + 1:])
    found = [told(lambda: proto.parse(io.BytesIO(one))) for one in damaged]  # noqa: B023  (called at once)
    monkeypatch.setattr(module, "FROM", 1 << 40)
    assert found == [told(lambda: proto.parse(io.BytesIO(one))) for one in damaged]  # noqa: B023
    assert sum(isinstance(one, str) for one in found) > 500 and sum(isinstance(one, tuple) for one in found) > 500


def long(written: bytes, count: int, last: int) -> bytes:
    """A number in so many bytes more than it takes, the last of which may hold bits beyond those that count."""
    return written[:-1] + bytes([written[-1] | 128]) + b"\x80" * (count - 1) + bytes([last])


@pytest.mark.parametrize("last", [0, 1, 16, 127])
@pytest.mark.parametrize("part", ["key", "length"])
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_keys_and_lengths_that_no_writer_writes_are_the_parsers(depth, part, last, monkeypatch):
    """One parser takes such a number, one drops some of its bits, one refuses the file: nothing of it is guessed."""
    taken = TensorProto(name="odd", data_type=TensorProto.UINT8, dims=[80]).SerializeToString()
    taken += field(9, RNG.bytes(80))
    files = []
    for count in range(1, 10):
        body = RNG.bytes(80)
        for level, number in enumerate((9, 5, 7)):
            key, length = encoded(number << 3 | 2), encoded(len(body))
            if level == depth:
                key, length = (long(key, count, last), length) if part == "key" else (key, long(length, count, last))
            body = (taken if level == 1 else b"") + key + length + body
        files += [body + model().SerializeToString(), model().SerializeToString() + body]
    found = [told(lambda: proto.parse(io.BytesIO(one))) for one in files]  # noqa: B023  (called at once)
    monkeypatch.setattr(module, "FROM", 1 << 40)
    assert found == [told(lambda: proto.parse(io.BytesIO(one))) for one in files]  # noqa: B023


@pytest.mark.parametrize("largest", [1, 100, 1 << 40])
def test_what_is_too_large_or_too_small_or_of_too_many_fields_is_parsed_whole(largest, monkeypatch):
    data = model().SerializeToString()
    if largest == 100:
        monkeypatch.setattr(module, "MAX_FIELDS", 20)
    else:
        monkeypatch.setattr(module, "MOST" if largest == 1 else "FROM", largest)
    assert module.outline(io.BytesIO(data)) is None
    assert outcome(*proto.parse(io.BytesIO(data))) == whole(data)


def test_a_file_that_becomes_shorter_is_no_end_of_its_data():
    file = io.BytesIO(model().SerializeToString())
    _, left = module.outline(file)
    file.truncate(left[3].start + 60)
    with pytest.raises(EOFError):
        list(left[3].pieces(50))


@pytest.mark.parametrize("number", [0, 1, 127, 128, 300, 2**31, 2**63])
def test_numbers_are_written_as_they_are_read(number):
    assert number_at(encoded(number), 0) == (number, len(encoded(number)))
