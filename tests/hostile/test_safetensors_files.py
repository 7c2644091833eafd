"""Safetensors files with holes, overlaps, lies and huge headers, each with its exact error; `.pt2` lists as well."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from torch_bytes import archive, entry, safetensors, write

from lstm_engine.errors import FormatError, UnsupportedError
from lstm_engine.importers import torch as importer
from lstm_engine.importers.torch.checkpoints.files import open_weights

CUT = ": the file is truncated; fetch or copy it again"


def refused(tmp_path, data, name="bad.safetensors"):
    path = write(tmp_path, data, name)
    with pytest.raises((FormatError, UnsupportedError)) as caught:
        importer.read(path)
    return str(caught.value).removeprefix(f"{path}: ")


def file(data=bytes(48), **tensors):
    return safetensors(json.dumps(tensors).encode(), data)


def test_a_good_file_is_in_the_order_of_its_bytes(tmp_path):
    data = np.arange(24, dtype="<f4").tobytes()
    path = write(tmp_path, file(data, b=entry(48, 96), a=entry(), __metadata__={"format": "pt"}), "a.safetensors")
    with open_weights(path) as weights:
        assert weights.names == ("a", "b")
        np.testing.assert_array_equal(weights.take("b"), np.arange(12.0, 24.0).reshape(4, 3))


@pytest.mark.parametrize("data, message", [
    (b"", "the header is said to have 0 bytes, the file has 0 after the length" + CUT),
    (b"\x05\0\0", "the header is said to have 5 bytes, the file has 0 after the length" + CUT),
    (safetensors(b"{}", length=3), "the header is said to have 3 bytes, the file has 2 after the length" + CUT),
    (safetensors(b"{}", length=2**63), "the header is said to have 9223372036854775808 bytes, the file has 2 after the "
                                       "length"),
    (safetensors(b"[]"), "the header must begin with '{', got b'[]'"),
    (safetensors(b" {}"), "the header must begin with '{', got b' {}'"),
    (safetensors(b"{\"a\":"), "the header: not JSON: Expecting value: line 1 column 6 (char 5)"),
    (safetensors(b"{\"\xff\": 1}"), "the header: not UTF-8 at byte 2"),
    (safetensors(b"{\"a\": " + b"[" * 200_000), "the header: nested too deeply"),
    (safetensors(b"{\"a\": NaN}"), "the header: NaN is no JSON number"),
    (safetensors(b"{\"a\": 1, \"a\": 2}"), "the header: the key 'a' appears twice in one object"),
    (file(a=entry() | {"x": 1}), "tensor 'a' must have dtype, shape and data_offsets and nothing else"),
    (file(a={"dtype": "F32"}), "tensor 'a' must have dtype, shape and data_offsets and nothing else"),
    (file(a=[1]), "tensor 'a' must have dtype, shape and data_offsets and nothing else"),
    (file(__metadata__={"a": 1}), "__metadata__ must map names to strings"),
    (file(a=entry(dtype="F33")), "tensor 'a': dtype 'F33' is not known"),
    (file(a=entry(dtype=32)), "tensor 'a': dtype 32 is not known"),
    (file(a=entry(shape=(-4, -3))), "tensor 'a': shape must be a list of numbers that are not negative"),
    (file(a=entry(shape=(4.0, 3))), "tensor 'a': shape must be a list of numbers that are not negative"),
    (file(a=entry(shape=(True, 12))), "tensor 'a': shape must be a list of numbers that are not negative"),
    (file(a=entry(shape=(2**40, 2**40))), "tensor 'a': the shape [1099511627776, 1099511627776] is out of range"),
    (file(a=entry(shape=(0, 2**40, 2**40))), "tensor 'a': the shape [0, 1099511627776, 1099511627776] is out of range"),
    (file(a=entry(shape=(4, 4))), "tensor 'a': float32 [4, 4] needs 64 bytes, data_offsets are [0, 48]"),
    (file(a=entry(48, 0)), "tensor 'a': float32 [4, 3] needs 48 bytes, data_offsets are [48, 0]"),
    (file(a=entry(-8, 40)), "tensor 'a': data_offsets must be a list of numbers that are not negative"),
    (file(a={**entry(), "data_offsets": [0, 24, 48]}),
     "tensor 'a': float32 [4, 3] needs 48 bytes, data_offsets are [0, 24, 48]"),
    (file(bytes(52), a=entry(4, 52)), "tensor 'a' begins at byte 4 of the data, the one before it ends at 0"),
    (file(bytes(100), a=entry(), b=entry(52, 100)), "tensor 'b' begins at byte 52 of the data, the one before it ends "
                                                    "at 48"),
    (file(bytes(92), a=entry(), b=entry(44, 92)), "tensor 'b' begins at byte 44 of the data, the one before it ends "
                                                  "at 48"),
    (file(a=entry(), b=entry()), "tensor 'b' begins at byte 0 of the data, the one before it ends at 48"),
    (file(bytes(49), a=entry()), "the tensors end at byte 48 of the data, which has 49"),
    (file(bytes(47), a=entry()), "the tensors end at byte 48 of the data, which has 47" + CUT),
    (file(b"", a=entry()), "the tensors end at byte 48 of the data, which has 0" + CUT),
])
def test_lies(tmp_path, data, message):
    assert refused(tmp_path, data) == f"safetensors: {message}"


def test_a_header_over_the_cap(tmp_path):
    path = tmp_path / "bad.safetensors"
    with open(path, "wb") as huge:
        huge.write(struct.pack("<Q", 200 << 20) + b"{")
        huge.truncate(300 << 20)                      # sparse: takes no room
    with pytest.raises(FormatError, match="safetensors: a header of 209715200 bytes; at most 8388608 are allowed$"):
        importer.read(path)


def test_a_dtype_without_plain_numbers_is_refused_when_it_is_used(tmp_path):
    assert refused(tmp_path, file(bytes(60 + 36), **{
        "rnn.weight_ih_l0": entry(0, 60, (12, 5), "I8"), "rnn.weight_hh_l0": entry(60, 96, (12, 3), "I8")})) \
        == "tensor 'rnn.weight_ih_l0' is int8; weights must be one of float16, bfloat16, float32, float64"


CONFIG = "a/data/weights/model_weights_config.json"


def weight(path="weight_0", pickle=False, **meta):
    plain = {"dtype": 7, "sizes": [{"as_int": 4}, {"as_int": 3}], "strides": [{"as_int": 3}, {"as_int": 1}],
             "storage_offset": {"as_int": 0}}
    return {"path_name": path, "use_pickle": pickle, "tensor_meta": plain | meta}


@pytest.mark.parametrize("config, message", [
    (b"{", f"{CONFIG}: not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
    ({"config": []}, f"{CONFIG}: must hold an object \"config\""),
    ({"config": {"w": 1}}, "weight 'w' must have path_name and tensor_meta"),
    ({"config": {"w": weight("../../x")}},
     "zip: no record 'a/data/weights/../../x'; there are 'a/data/weights/model_weights_config.json', "
     "'a/data/weights/weight_0'"),
    ({"config": {"w": weight(pickle=True)}}, "weight 'w' is stored as a pickle of its own; save the state_dict "
                                             "instead"),
    ({"config": {"w": weight(dtype=99)}}, "weight 'w' has the scalar type 99"),
    ({"config": {"w": weight(dtype=[])}}, "weight 'w' has the scalar type []"),
    ({"config": {"w": weight(sizes=[{"as_expr": "s0"}])}}, "weight 'w': its sizes must be a list of plain numbers"),
    ({"config": {"w": weight(sizes=5)}}, "weight 'w': its sizes must be a list of plain numbers"),
    ({"config": {"w": weight(sizes=[{"as_int": -4}, {"as_int": 3}])}},
     "sizes of 'w' of a tensor must be numbers from 0 to 2^48"),
    ({"config": {"w": weight(sizes=[{"as_int": 5}, {"as_int": 3}])}},
     "a tensor of shape [5, 3], strides [3, 1] and offset 0 reads item 14 of storage 'a/data/weights/weight_0', which "
     "has 12"),
    ({"config": {"w": weight(storage_offset={"as_int": 1})}},
     "a tensor of shape [4, 3], strides [3, 1] and offset 1 reads item 12 of storage 'a/data/weights/weight_0', which "
     "has 12"),
])
def test_lies_in_exported_programs(tmp_path, config, message):
    raw = config if isinstance(config, bytes) else json.dumps(config).encode()
    assert refused(tmp_path, archive({CONFIG: raw, "a/data/weights/weight_0": bytes(48)}), "bad.pt2") == message
