"""Two tensors of one name, however a file comes to hold them: refused by the name, never one taken for both."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from torch_bytes import (
    MARK,
    archive,
    call,
    checkpoint,
    entry,
    items,
    listed,
    mapping,
    number,
    storage,
    symbol,
    tensor,
    text,
    write,
)
from torch_bytes import safetensors as safe
from zip_bytes import made

from lstm_engine.errors import FormatError, UnsupportedError
from lstm_engine.importers import import_graph
from lstm_engine.importers.base import ImportOptions
from lstm_engine.importers.torch.checkpoints.files import open_weights

IH, HH = tensor((3, 2), (2, 1)), tensor((3, 1), (1, 1))
OTHER = tensor((3, 1), (1, 1), offset=6)
GRU = {"weight_ih_l0": IH, "weight_hh_l0": HH}
ORDERED = symbol("collections", "OrderedDict")


def pairs(*entries):
    """A dict whose keys may repeat."""
    return b"}" + MARK + b"".join(text(key) + value for key, value in entries) + b"u"


def refused(tmp_path, data, name="bad.pt", kind=FormatError):
    path = write(tmp_path, data, name)
    with pytest.raises(kind) as caught:
        import_graph(path)
    return str(caught.value).removeprefix(f"{path}: ")


@pytest.mark.parametrize("value, message", [
    (pairs(*GRU.items(), ("weight_hh_l0", OTHER)), "the key 'weight_hh_l0' stands twice in one dict"),
    (mapping(GRU) + text("weight_hh_l0") + OTHER + b"s", "the key 'weight_hh_l0' stands twice in one dict"),
    (call(ORDERED, listed(*(listed(text(key), value) for key, value in [*GRU.items(), ("weight_hh_l0", OTHER)]))),
     "the key 'weight_hh_l0' stands twice in an OrderedDict"),
    (mapping({"r.weight_ih_l0": IH, "r.weight_hh_l0": HH, "r": mapping({"weight_hh_l0": OTHER})}),
     "two tensors are named 'r.weight_hh_l0'"),
    (b"}" + number(0) + mapping(GRU) + b"s" + text("0") + mapping({"weight_hh_l0": OTHER}) + b"s",
     "two tensors are named '0.weight_hh_l0'"),
    (mapping({"state_dict": mapping(GRU), "ema": mapping({"w": IH}), "ema.w": HH}), "two tensors are named 'ema.w'"),
    (mapping({"module.w": HH, "module.n_averaged": tensor((), ()), "n_averaged": tensor((), ())}),
     "'n_averaged' and 'module.n_averaged' are one name without the prefix of a wrapper"),
    (symbol("m", "C") + items() + b"\x81" + mapping({"a": IH}) + b"b" + mapping({"a": HH}) + b"b",
     "sets the state of one 'm.C' twice"),
    (mapping(GRU | {"fc.weight": tensor(over=storage(kind=symbol("torch", "IntStorage")))}),
     "storage '0' is declared as float32 and as int32"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_in_a_pickle(tmp_path, value, message):
    assert message in refused(tmp_path, checkpoint(value))


def test_one_tensor_that_is_met_twice_is_one(tmp_path):
    """A pickled module may hold a parameter as an attribute as well."""
    with open_weights(write(tmp_path, checkpoint(mapping({"r.w": IH, "r": mapping({"w": IH})})))) as weights:
        assert weights.names == ("r.w",)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod."])
@pytest.mark.parametrize("names", [tuple(GRU), ("weight_ih_l0",)])
def test_a_wrappers_copy_beside_the_plain_one(tmp_path, prefix, names):
    value = mapping(GRU | {f"{prefix}{name}": GRU[name] for name in names})
    message = refused(tmp_path, checkpoint(value), kind=UnsupportedError)
    assert f"'weight_ih_l0' is there twice, as it is and under the prefix of a wrapper, '{prefix}weight_ih_l0'" \
        in message
    assert f'"ignore": [\'{prefix}*\']' in message


def test_in_other_files(tmp_path):
    text_of = json.dumps({"weight_ih_l0": [[1.0, 2.0]] * 3, "weight_hh_l0": [[0.5]] * 3})
    assert refused(tmp_path, (text_of[:-1] + ', "weight_hh_l0": [[0.25], [1], [2]]}').encode(), "a.json") \
        == "JSON: the key 'weight_hh_l0' appears twice in one object"
    header = f'{{"a": {json.dumps(entry())}, "a": {json.dumps(entry())}}}'.encode()
    assert refused(tmp_path, safe(header, bytes(48)), "a.safetensors") \
        == "safetensors: the header: the key 'a' appears twice in one object"
    held = io.BytesIO()
    np.save(held, np.zeros(3))
    path = write(tmp_path, made(("w.npy", held.getvalue()), ("w.npy", held.getvalue())), "a.npz")
    with pytest.raises(FormatError, match="zip: two records are named 'w.npy'$"):
        import_graph(path, ImportOptions(spec={"nodes": []}))
    weights = "data/weights/model_weights_config.json"
    two = archive({f"a/{weights}": b'{"config": {}}', f"b/{weights}": b'{"config": {}}'})
    assert refused(tmp_path, two, "a.pt2") == "two folders hold a list of weights: 'a' and 'b'"
