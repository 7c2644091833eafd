"""Every truncation of small files and a flipped bit in every byte: a typed error, or exactly the file's weights.

Legacy files and safetensors have no checksum, so that a flipped bit in a weight is another weight, in a shape
another shape; what is read from them must be arrays of floats.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
from torch_bytes import archive, checkpoint, legacy, mapping, number, safetensors, storage, tensor, write

from lstm_engine.errors import FormatError, UnsupportedError
from lstm_engine.importers.torch.checkpoints.files import open_weights

VALUE = mapping({"rnn.weight_ih_l0": tensor((2, 3)), "rnn.weight_hh_l0": tensor((2, 2), (1, 2), offset=6)})
HEADER = json.dumps({"w": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
                     "v": {"dtype": "F16", "shape": [3], "data_offsets": [16, 22]}}).encode()
FILES = {
    "a.pt": checkpoint(VALUE),
    "b.pt": legacy(VALUE),
    "c.safetensors": safetensors(HEADER, np.arange(22, dtype=np.uint8).tobytes()),
    "d.pt2": archive({"m/data/weights/model_weights_config.json": json.dumps({"config": {"w": {
        "path_name": "weight_0", "use_pickle": False, "tensor_meta": {
            "dtype": 7, "sizes": [{"as_int": 4}], "strides": [{"as_int": 1}],
            "storage_offset": {"as_int": 0}}}}}).encode(),
        "m/data/weights/weight_0": np.arange(4, dtype="<f4").tobytes()}),
}


def read(path):
    with open_weights(path) as weights:
        return {name: weights.take(name) for name in weights.names}


@pytest.mark.parametrize("name", FILES)
def test_every_truncation_is_an_error(tmp_path, name):
    assert read(write(tmp_path, FILES[name], name))
    for length in range(len(FILES[name])):
        with pytest.raises((FormatError, UnsupportedError)):
            read(write(tmp_path, FILES[name][:length], name))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("turn", [0, 3, 5])
def test_a_flipped_bit_is_an_error_or_changes_nothing(tmp_path, name, turn):
    data = FILES[name]
    good = read(write(tmp_path, data, name))
    for place in range(len(data)):
        flipped = bytearray(data)
        flipped[place] ^= 1 << (place + turn) % 8
        try:
            found = read(write(tmp_path, bytes(flipped), name))
        except (FormatError, UnsupportedError):
            continue
        if name in ("b.pt", "c.safetensors"):
            assert all(array.dtype in (np.float32, np.float64) for array in found.values())
        else:
            assert list(found) == list(good)
            assert all(np.array_equal(found[key], good[key]) for key in good)


def test_numbers_at_their_limits(tmp_path):
    """Every count, offset, size and stride replaced by values that overflow one integer type or another."""
    for value in (0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**47, 2**48, 2**62, 2**63 - 1, 2**63, 2**64 - 1, -1,
                  -2**63):
        for data in (tensor(count=value, over=storage(count=value)), tensor((value, 3)), tensor((4, 3), (value, 1)),
                     tensor((4, 3), offset=value), tensor((value, value), (value, value), value), number(value)):
            for whole in (checkpoint(mapping({"w": data})), legacy(mapping({"w": data}))):
                try:
                    found = read(write(tmp_path, whole))
                except (FormatError, UnsupportedError):
                    continue
                assert sum(array.size for array in found.values()) <= 12
