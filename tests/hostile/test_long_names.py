"""Names, keys, nesting and numbers without measure: an error of ours, in little work and memory.

Work is counted, not timed: lines run and functions called, at most 64 for each byte of the file (a list within a list
is two), beside what a small file takes. Memory may be 64 MB beside four times the file, which text of it may take. What
is refused here took up to fifteen seconds and gigabytes.
"""

from __future__ import annotations

import json
import sys

import pytest
from doubling_costs import events, peak
from torch_bytes import (
    MARK,
    archive,
    call,
    checkpoint,
    entry,
    items,
    mapping,
    number,
    safetensors,
    symbol,
    tensor,
    text,
    write,
)

from lstm_engine.errors import FormatError, UnsupportedError
from lstm_engine.importers import import_graph
from lstm_engine.importers.drafts import propose_spec

EVENTS, BYTES = 50_000, 64 << 20
IH, HH = tensor((3, 2), (2, 1)), tensor((3, 1), (1, 1))
GRU = {"weight_ih_l0": IH, "weight_hh_l0": HH}
ORDERED = symbol("collections", "OrderedDict")


def long_key(size):
    """A key that costs the file its length once, however often it is used: it is in the memo under 1."""
    return text("k" * size) + b"q\x01"


def nested(depth, size):
    return b"}" + long_key(size) + b"}h\x01" * depth + IH + b"s" * (depth + 1)


def shared_by_many(count, size):
    others = b"".join(text(f"w{n}") + b"h\x02" for n in range(count))
    inner = b"}" + MARK + text("first") + IH + b"q\x02" + others + b"u"
    return b"}" + long_key(size) + inner + b"s"


def copied(count, entries):
    """A dict that is made anew of another, again and again."""
    large = b"}" + MARK + b"".join(text(f"k{n}") + b"N" for n in range(entries)) + b"uq\x05"
    return items(ORDERED + b"q\x06", large, b"]" + MARK + b"h\x06h\x05\x85R" * count + b"e")


def sized(count, axes):
    """Tensors whose sizes are one long list."""
    sizes = b"(" + b"K\x01" * axes + b"tq\x07"
    one = call(symbol("torch._utils", "_rebuild_tensor_v2"), b"h\x08", number(0), b"h\x07", b"h\x07", b"\x89", b"}")
    storage = items(text("storage"), symbol("torch", "FloatStorage"), text("0"), text("cpu"), number(12)) + b"Qq\x08"
    return items(sizes, storage, b"]" + MARK + one * count + b"e")


NAME = r"a name of \d+ characters, at most 1024 are allowed: "
DEEP = "containers are nested more than 10000 deep"
PICKLES = {
    "one name": (mapping(GRU | {"1a" * (8 << 20): IH}), NAME), "nested": (nested(40, 1 << 20), NAME),
    "nested, short": (nested(60, 1000), NAME), "many": (shared_by_many(20_000, 1 << 17), NAME),
    "copies": (copied(3000, 50_000), "more than 1000000 items are copied"),
    "sizes": (sized(20_000, 20_000), "the sizes of a tensor must be at most 64 numbers, got 20000"),
    "lists": (b"]" * 100_000 + b"a" * 99_999, DEEP), "dicts": (b"}K\x01" * 70_000 + IH + b"s" * 70_000, DEEP),
    "tuples": (IH + b"\x85" * 100_000, DEEP), "fewer": (IH + b"\x85" * 70, "is nested more than 64 deep"),
    "tensors beside": (b"]" * 9000 + b"a" * 8999, "the file holds no tensors"),
}


def measured(data, name, tmp_path, message, tell=import_graph):
    path = write(tmp_path, data, name)

    def refused():
        with pytest.raises((FormatError, UnsupportedError), match=message):
            tell(path)

    assert peak(refused) < BYTES + 4 * len(data)
    assert events(refused) < EVENTS + 64 * len(data)


@pytest.mark.parametrize("name", PICKLES)
def test_in_a_pickle(tmp_path, name):
    value, message = PICKLES[name]
    measured(checkpoint(value), "bad.pt", tmp_path, message)


def named(name):
    return safetensors(json.dumps({"weight_ih_l0": entry(0, 24, (3, 2)), "weight_hh_l0": entry(24, 36, (3, 1)),
                                   name: entry(36, 40, (1,))}).encode(), bytes(40))


WEIGHTS = "a/data/weights/model_weights_config.json"
OTHERS = {
    "safetensors": (named("1a" * (7 << 19)), "a.safetensors", NAME),
    "safetensors, nested": (safetensors(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), "a.safetensors",
                            "too deeply"),
    "safetensors, digits": (safetensors(b'{"a":' + b"1" * 1_000_000 + b"}"), "a.safetensors", "not JSON: Exceeds"),
    "pt2": (archive({WEIGHTS: json.dumps({"config": {"k" * 4_000_000: {}}}).encode()}), "a.pt2", "must have path"),
    "json": (json.dumps({"state_dict": {"p" * (1 << 17): {f"w{n}": [1.0] for n in range(20_000)}}}).encode(), "a.json",
             NAME),
    "json, many": (json.dumps({"state_dict": {"p" * 1000: {f"w{n}": 1 for n in range(40_000)}}}).encode(), "a.json",
                   "names of more than 33554432 characters in all"),
    "json, one": (b'{"state_dict": {"' + b"k" * (16 << 20) + b'": [1.0]}}', "a.json", NAME),
    "json, nested": (b'{"state_dict":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001, "a.json", "nested too deeply"),
    "json, digits": (b'{"state_dict":{"w":[' + b"1" * 1_000_000 + b"]}}", "a.json", "not JSON: Exceeds the limit"),
    "index": (b'{"weight_map": {"' + b"k" * (9 << 20) + b'": "a"}}', "a.json", "the index: more than 8388608 bytes"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_elsewhere(tmp_path, name):
    data, file, message = OTHERS[name]
    measured(data, file, tmp_path, message)
    measured(data, file, tmp_path, message, propose_spec)


@pytest.mark.skipif(not hasattr(sys, "set_int_max_str_digits"), reason="this Python never has one")
def test_digits_where_python_has_no_limit(tmp_path):
    """It takes the square of their number: ten seconds and more for these."""
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        data = b'{"state_dict":{"w":[' + b"1" * 2_000_000 + b"]}}"
        measured(data, "a.json", tmp_path, "JSON: a whole number of 2000000 digits; at most 4300 are read$")
        path = write(tmp_path, b'{"state_dict":{"weight_ih_l0":[[1,2],[1,2],[1,2]],"weight_hh_l0":[[1],[1],[1]]}}', "b")
        assert import_graph(path).nodes[0].W.sum() == 9
    finally:
        sys.set_int_max_str_digits(before)


def test_names_of_usual_length_are_read(tmp_path):
    """Of the longest that is allowed, in every place."""
    path = "m." * 500
    state = {f"{path}{name}": value for name, value in GRU.items()}
    assert import_graph(write(tmp_path, checkpoint(mapping(state)))).nodes[0].W.shape == (1, 3, 2)


def test_names_are_in_the_order_of_their_numbers():
    from lstm_engine.importers.reading.weights import by_number

    names = ["a", "a.1", "a.2", "a.02", "a.10", "a.10.b", "a.9", "b", "a.x1", "1", "10", "9"]
    expected = ["1", "9", "10", "a", "a.1", "a.02", "a.2", "a.9", "a.10", "a.10.b", "a.x1", "b"]
    assert sorted(names, key=by_number) == sorted(reversed(names), key=by_number) == expected
