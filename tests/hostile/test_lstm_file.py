"""Damaged, foreign and lying `*.lstm` files: each is refused with an error that names the part."""

import json
import re

import numpy as np
import pytest
from graphs import one_node, recurrent, weights
from lstm_files import CRC_AT, assemble, broken, canonical, parts, sealed, tiny

from lstm_engine.errors import FormatError, UnsupportedError
from lstm_engine.format import file, load, save
from lstm_engine.graph import LSTM, Operator

# Every message begins with the path, then names one of these parts.
PART = re.compile(r"model\.lstm: (header length|header|data|crc32|config)\b")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.lstm"


def refused(path, raw: bytes) -> str:
    path.write_bytes(raw)
    with pytest.raises(FormatError) as caught:
        load(path)
    assert PART.search(str(caught.value)), str(caught.value)
    return str(caught.value)


@pytest.fixture
def good(path) -> bytes:
    save(tiny(), path)
    return path.read_bytes()


def test_every_truncation_is_refused(path, good):
    kept = {re.search(PART, refused(path, good[:length])).group(1) for length in range(len(good))}
    assert kept == {"header length", "header", "data"}


def test_every_flipped_bit_is_refused(path, good):
    for at in range(len(good)):
        for bit in range(8):
            flipped = bytearray(good)
            flipped[at] ^= 1 << bit
            refused(path, bytes(flipped))


def test_every_inverted_byte_is_refused(path, good):
    for at in range(len(good)):
        refused(path, good[:at] + bytes([good[at] ^ 0xff]) + good[at + 1:])


def test_two_exchanged_blocks_are_refused(path, good):
    assert good[-8:-4] != good[-4:]
    message = refused(path, good[:-8] + good[-4:] + good[-8:-4])
    assert "crc32: the file says " in message and message.endswith("it is damaged")


def test_trailing_bytes_are_refused(path, good):
    assert "data: the tensors need 32 bytes, the file holds 33: trailing bytes" in refused(path, sealed(good + b"\0"))


FOREIGN = {
    "empty": (b"", "header length: needs 8 bytes, the file ends after 0"),
    "zip": (b"PK\x03\x04" + bytes(300), "is this an .lstm file?"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(300), "is this an .lstm file?"),
    "text": (b"once upon a time there was a file\n" * 9, "is this an .lstm file?"),
    "zeros": (bytes(4096), "header length: must put the data at a multiple of 64, got 0"),
    "safetensors": ((120).to_bytes(8, "little") + b'{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}'.ljust(120) +
                    bytes(4), "this is a safetensors file of another kind"),
    "spaces": ((120).to_bytes(8, "little") + b" " * 120, "this is not an .lstm file"),
    "too long": ((2**22 + 56).to_bytes(8, "little") + b"{", "header length: at most 4194304 bytes, got 4194360"),
    "far too long": ((100 * 2**20 + 56).to_bytes(8, "little") + b"{", "header length: at most 4194304 bytes"),
    "longest": (b"\xff" * 8 + b"{", "header length: at most 4194304 bytes, got 18446744073709551615"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_foreign_file_is_refused(path, name):
    raw, message = FOREIGN[name]
    assert message in refused(path, raw)


def metadata(**changes):
    """Edit `__metadata__`; a value of ... takes the key away."""
    def change(header, data):
        header["__metadata__"].update(changes)
        for key in [key for key, value in changes.items() if value is ...]:
            del header["__metadata__"][key]
    return change


def entry(**changes):
    """Edit the entry of d.kernel, which is F32 [3, 2] at [8, 32]."""
    def change(header, data):
        header["d.kernel"].update(changes)
        for key in [key for key, value in changes.items() if value is ...]:
            del header["d.kernel"][key]
    return change


def text(edit):
    """Edit the header as text."""
    return lambda header, data: edit(json.dumps(header, separators=(",", ":")))


def config(edit):
    """Edit the configuration as data."""
    def change(header, data):
        record = json.loads(header["__metadata__"]["config"])
        edit(record)
        header["__metadata__"]["config"] = canonical(record)
    return change


def config_text(edit):
    def change(header, data):
        header["__metadata__"]["config"] = edit(header["__metadata__"]["config"])
    return change


def appended_tensor(name="z", dtype="F32", shape=(1,), offsets=(32, 36), grow=4):
    def change(header, data):
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}
        data.extend(bytes(grow))
    return change


def swapped(header, data):
    header["d.bias"], header["d.kernel"] = header.pop("d.bias"), header.pop("d.kernel")
    header["d.kernel"]["data_offsets"], header["d.bias"]["data_offsets"] = [0, 24], [24, 32]
    header["d.bias"] = header.pop("d.bias")


def reordered_metadata(header, data):
    header["__metadata__"]["version"] = header["__metadata__"].pop("version")


DEEP = "[" * 100_000
REFUSALS = {
    # __metadata__
    "another format": (metadata(format="other"), "header: format must be 'lstm-engine', got 'other'"),
    "no format": (metadata(format=...), "header: format must be 'lstm-engine', got None"),
    "too new": (metadata(version="7", min_reader="4"),
                "header: min_reader is 4, this reads up to 3; a newer lstm-engine is needed"),
    "version below min_reader": (metadata(version="0"), "header: version must be a positive integer, got '0'"),
    "version with a sign": (metadata(version="+1"), "header: version must be a positive integer, got '+1'"),
    "version in other digits": (metadata(version="\u0661"), "header: version must be a positive integer, got"),
    "no min_reader": (metadata(min_reader=...), "header: min_reader must be a positive integer, got ''"),
    "no config": (metadata(config=...), "header: __metadata__ must have the keys crc32, format, version, min_reader, "
                                        "config; 'config' is missing"),
    "unknown metadata": (metadata(note="hello"), "'note' is unknown"),
    "metadata not a string": (metadata(version=1), "header: __metadata__ 'version' must be a string, got int"),
    "metadata in another order": (reordered_metadata, "header: must be in canonical form"),
    # The header as JSON
    "not JSON": (text(lambda t: t[:-1]), "header: not JSON: Expecting"),
    "two values": (text(lambda t: t + "{}"), "header: not JSON: Extra data"),
    "NaN": (text(lambda t: t.replace("[3,2]", "[NaN,2]")), "header: NaN is no JSON number"),
    "deep": (text(lambda t: t[:-1] + ',"z":' + DEEP), "header: nested too deeply"),
    "a huge number": (text(lambda t: t.replace("[3,2]", "[" + "9" * 5000 + ",2]")),
                      "header: not JSON: Exceeds the limit"),
    "duplicate tensor": (text(lambda t: t[:-1] + ',"d.bias":{}}'), "header: the key 'd.bias' appears twice"),
    "duplicate metadata": (text(lambda t: t.replace('"format":', '"version":"1","format":')),
                           "header: the key 'version' appears twice"),
    "duplicate __metadata__": (text(lambda t: t[:-1] + ',"__metadata__":{}}'),
                               "header: the key '__metadata__' appears twice"),
    "duplicate key of a tensor": (text(lambda t: t.replace('"dtype":', '"dtype":"F32","dtype":', 1)),
                                  "header: the key 'dtype' appears twice"),
    "spaces within": (text(lambda t: t.replace(":[3,2]", ": [3,2]")), "header: must be in canonical form"),
    "needless escape": (text(lambda t: t.replace('"d.bias":', '"\\u0064.bias":')), "header: must be in canonical form"),
    "a newline at the end": (text(lambda t: t + "\n"), "header: must be in canonical form"),
    "lone surrogate": (text(lambda t: t.replace("d.kernel\":{", "\\ud800\":{")), "header: must be in canonical form"),
    "not UTF-8": (text(lambda t: t.replace("d.kernel\":{", "\ud800\":{")), "header: not UTF-8 at byte"),
    # Tensors
    "a tensor that is a list": (text(lambda t: t[:-1] + ',"z":[]}'), "header: tensor 'z' must have the keys dtype, "
                                                                     "shape, data_offsets, got 'list'"),
    "no dtype": (entry(dtype=...), "header: tensor 'd.kernel' must have the keys dtype, shape, data_offsets, "
                                   "got ['data_offsets', 'shape']"),
    "unknown key": (entry(strides=[1]), "got ['data_offsets', 'dtype', 'shape', 'strides']"),
    "unknown dtype": (entry(dtype="F8_E4M3"), "header: tensor 'd.kernel': dtype must be one of F64, I64, U64, F32, "
                                              "I32, U32, F16, I16, U16, I8, U8, BOOL, got 'F8_E4M3'"),
    "dtype not a string": (entry(dtype=["F32"]), "dtype must be one of"),
    "shape not a list": (entry(shape=6), "shape must be a list of at most 16 sizes, got 6"),
    "negative size": (entry(shape=[-3, -2]), "shape must be a list of at most 16 sizes, got [-3, -2]"),
    "fractional size": (entry(shape=[3.0, 2]), "shape must be a list of at most 16 sizes, got [3.0, 2]"),
    "size of true": (entry(shape=[6, True]), "shape must be a list of at most 16 sizes, got [6, True]"),
    "rank of 17": (entry(shape=[6] + [1] * 16), "shape must be a list of at most 16 sizes"),
    "overflow": (entry(shape=[2**32, 2**32]), "the size of [4294967296, 4294967296] overflows"),
    "overflow to the right size": (entry(shape=[2**62 + 6, 4], data_offsets=[8, 32]), "overflows"),
    "overflow beside a zero": (entry(shape=[2**40, 0, 2**40], data_offsets=[8, 8]), "overflows"),
    "size of 64 bits": (entry(shape=[2**63]), "shape must be a list of at most 16 sizes, got [9223372036854775808]"),
    "three offsets": (entry(data_offsets=[8, 16, 32]), "data_offsets must be two sizes, got [8, 16, 32]"),
    "negative offset": (entry(data_offsets=[-16, 8]), "data_offsets must be two sizes, got [-16, 8]"),
    "offsets backwards": (entry(data_offsets=[32, 8]), "F32 [3, 2] needs 24 bytes, data_offsets [32, 8] give -24"),
    "offsets too far apart": (entry(data_offsets=[8, 36]), "F32 [3, 2] needs 24 bytes, data_offsets [8, 36] give 28"),
    "hole": (entry(data_offsets=[12, 36]), "header: tensor 'd.kernel' must begin at 8, got 12: a hole"),
    "overlap": (entry(data_offsets=[4, 28]), "header: tensor 'd.kernel' must begin at 8, got 4: an overlap"),
    "beyond the file": (entry(shape=[2**40], data_offsets=[8, 8 + 2**42]),
                        "data: the tensors need 4398046511112 bytes, the file holds 32: the file is truncated"),
    "bytes of no tensor": (lambda header, data: data.extend(b"1234"),
                           "data: the tensors need 32 bytes, the file holds 36: trailing bytes"),
    "names out of order": (swapped, "header: tensor 'd.bias' is out of order; tensors go by falling item size"),
    "large items last": (appended_tensor("a", "F64", (1,), (32, 40), 8), "header: tensor 'a' is out of order"),
    "unused tensor": (appended_tensor(), "header: tensor 'z' belongs to no node of the config"),
    "empty tensor unused": (appended_tensor("z", "I8", (0,), (32, 32), 0), "header: tensor 'z' belongs to no node"),
    "bool of 2": (lambda header, data: (appended_tensor("z", "BOOL", (1,), (32, 33), 0)(header, data),
                                        data.append(2))[0], "data: tensor 'z' is BOOL, its bytes must be 0 or 1"),
    "weight of a wrong dtype": (entry(dtype="I32"), "config: node 'd' (Dense): kernel must be one of float16, float32, "
                                                    "float64, got int32"),
    "bfloat16, not yet": (entry(dtype="BF16", shape=[6, 2]), "header: tensor 'd.kernel': dtype must be one of F64, "
                                                             "I64, U64, F32, I32, U32, F16, I16, U16, I8, U8, BOOL, "
                                                             "got 'BF16'"),
    "a kernel of whole numbers": (entry(dtype="U16", shape=[6, 2]), "config: node 'd' (Dense): kernel must be one of "
                                                                    "float16, float32, float64, got uint16"),
    "weight of a wrong shape": (entry(shape=[2, 3]), "config: node 'd' (Dense): bias must be [3]"),
    # The configuration
    "config not JSON": (config_text(lambda t: t[:-1]), "config: not JSON: Expecting"),
    "config a list": (config_text(lambda t: "[]"), "config: must be a JSON object, got a list"),
    "config deep": (config_text(lambda t: DEEP), "config: nested too deeply"),
    "config with NaN": (config_text(lambda t: t.replace("{}", "NaN")), "config: NaN is no JSON number"),
    "config with infinity": (config_text(lambda t: t[:-1] + ',"z":1e999}'), "config: must be canonical JSON"),
    "config with a surrogate": (config_text(lambda t: t.replace('"time"', '"\\ud800"')),
                                "config: must be canonical JSON"),
    "config with spaces": (config_text(lambda t: t.replace(",", ", ")), "config: must be canonical JSON"),
    "config out of order": (config_text(lambda t: '{"outputs":["y"],' + t[1:].replace(',"outputs":["y"]}', "}")),
                            "config: must be canonical JSON"),
    "config with a duplicate": (config_text(lambda t: t[:-1] + ',"outputs":["y"]}'),
                                "config: the key 'outputs' appears twice"),
    "config with an unknown key": (config(lambda c: c.update(extra=1)), "config: unknown key 'extra'"),
    "config without nodes": (config(lambda c: c.pop("nodes")), "config: key 'nodes' is missing"),
    "node with an unknown key": (config(lambda c: c["nodes"][0].update(extra=1)),
                                 "config: nodes[0] ('d', 'Dense'): unknown key 'extra'"),
    "node without a weight": (config(lambda c: c["nodes"][0].pop("kernel")),
                              "config: nodes[0] ('d', 'Dense'): key 'kernel' is missing"),
    "weight that is not there": (config(lambda c: c["nodes"][0].update(kernel="d.colonel")),
                                 "config: nodes[0] ('d', 'Dense'): kernel: there is no tensor 'd.colonel'"),
    "no node": (config(lambda c: c.update(nodes=[])), "header: tensor 'd.bias' belongs to no node of the config"),
    "output that is not there": (config(lambda c: c.update(outputs=["q"])),
                                 "config: output 'q' is neither made by a node nor given to the graph"),
    "node that feeds on itself": (config(lambda c: c["nodes"][0].update(inputs=["y"])),
                                  "config: node 'd' (Dense): input 'y' is made neither by an earlier node"),
    "value made twice": (config(lambda c: c["nodes"][0].update(outputs=["x"])),
                         "config: value names must be unique, got 'x' twice"),
    "input of an unknown dtype": (config(lambda c: c["inputs"][0].update(dtype="object")),
                                  "config: input 'x': dtype must be one of"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_file_that_breaks_one_rule_is_refused(path, name):
    change, message = REFUSALS[name]
    assert message in refused(path, broken(path, change).read_bytes())


def test_the_unbroken_file_loads(path):
    """Without this the table above could pass by a mistake of its builder."""
    assert load(broken(path, lambda header, data: None)).nodes[0].name == "d"


def test_a_wrong_checksum_alone_is_refused(path):
    raw = assemble(*parts(tiny()), seal=False)
    assert re.search(r"crc32: the file says 00000000, its bytes give [0-9a-f]{8}: it is damaged", refused(path, raw))
    assert sealed(raw) != raw
    for digits in (b"0000000G", sealed(raw)[CRC_AT:CRC_AT + 8].upper(), b"       0"):
        if digits != sealed(raw)[CRC_AT:CRC_AT + 8]:
            message = refused(path, raw[:CRC_AT] + digits + raw[CRC_AT + 8:])
            assert "header: crc32 must be 8 hexadecimal digits" in message


@pytest.mark.parametrize("length", [0, 1, 55, 57, 63])
def test_a_header_length_off_the_alignment_is_refused(path, good, length):
    message = refused(path, length.to_bytes(8, "little") + good[8:])
    assert f"header length: must put the data at a multiple of 64, got {length}" in message


def test_nothing_is_allocated_for_tensors_that_are_not_there(path, monkeypatch):
    change, message = REFUSALS["beyond the file"]
    raw = broken(path, change).read_bytes()
    monkeypatch.setattr(file.np, "empty", lambda *_: pytest.fail("allocated before the sizes were checked"))
    assert message in refused(path, raw)


@pytest.mark.parametrize("change, message", [
    (config(lambda c: c["nodes"][0].update(op="Lambda")), "config: nodes[0] ('d', 'Lambda'): op is not known; known: "),
    (config(lambda c: c["nodes"][0].update(activation="swoosh")), "activation: activation 'swoosh' is not supported"),
])
def test_what_this_version_does_not_know_is_not_supported(path, change, message):
    broken(path, change)
    with pytest.raises(UnsupportedError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ") and message in str(caught.value)


def test_messages_stay_short_and_printable(path):
    """A name out of a hostile file must neither flood the terminal nor steer it."""
    name = "\x1b[2J" + "a" * 100_000
    change = appended_tensor(name, "I8", (0,), (32, 32), 0)
    message = refused(path, broken(path, change).read_bytes())
    assert len(message) < 1000 and message.isprintable()


def test_a_recurrent_node_with_lying_sizes_is_refused(path):
    save(one_node(recurrent(LSTM)), path)
    raw = path.read_bytes().replace(b'"shape":[1,8,2]', b'"shape":[1,2,8]')
    assert "config: node 'cell' (LSTM): R must be [dirs, 4*H, H]: its second size a multiple of 4 gates, " \
           "got [1, 2, 8]" in refused(path, sealed(raw))


def test_an_operator_is_checked_too(path):
    save(one_node(Operator(name="o", inputs=("x", ""), outputs=("y",), op_type="Add", constants={1: weights(3)})), path)
    path.write_bytes(sealed(path.read_bytes().replace(b'\\"Add\\"', b'\\"Run\\"')))
    with pytest.raises(UnsupportedError, match=r"config: node 'o': operator 'Run' is not supported"):
        load(path)


def test_a_tensor_is_never_larger_than_its_bytes(path, good):
    loaded = load(path)
    assert sum(array.nbytes for array in loaded.nodes[0].tensors().values()) == 32
    np.testing.assert_array_equal(loaded.nodes[0].kernel, tiny().nodes[0].kernel)
