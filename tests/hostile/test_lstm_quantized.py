"""`*.lstm` files with quantised weights, each rule about them broken once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from graphs import one_node, recurrent, weights
from lstm_files import File
from quantized_models import as_quantized, stacked

from lstm_engine.errors import FormatError, GraphError
from lstm_engine.format import load, save
from lstm_engine.graph import LSTM, Dense, Operator
from lstm_engine.graph.quantized import QUANTIZED_TYPES, Quantized
from lstm_engine.operators import validate

FORMAT_PAGE = Path(__file__).parents[2] / "docs" / "format.md"


def written(path: Path, to: str, node=None) -> File:
    save(as_quantized(one_node(node or recurrent(LSTM)), to), path)
    return File(path)


@pytest.mark.parametrize("to", QUANTIZED_TYPES)
def test_a_file_taken_apart_and_put_together_is_the_same(to, tmp_path):
    """So what the tests below break is what they say."""
    whole = (tmp_path / "a.lstm", tmp_path / "b.lstm")
    written(whole[0], to).write(whole[1])
    assert whole[0].read_bytes() == whole[1].read_bytes()


@pytest.mark.parametrize("to", QUANTIZED_TYPES)
def test_what_is_read_is_what_was_written(to, tmp_path):
    graph = as_quantized(stacked(), to)
    save(graph, tmp_path / "a.lstm")
    again = load(tmp_path / "a.lstm")
    for ours, theirs in zip(graph.nodes, again.nodes, strict=True):
        for name, weight in ours.tensors().items():
            other = theirs.tensors()[name]
            assert type(weight) is type(other)
            if isinstance(weight, Quantized):
                assert (other.type, other.axis) == (weight.type, weight.axis)
                np.testing.assert_array_equal(other.values, weight.values)
                np.testing.assert_array_equal(*(np.zeros(0) if one.scale is None else one.scale
                                                for one in (weight, other)))
    save(again, tmp_path / "b.lstm")
    assert (tmp_path / "a.lstm").read_bytes() == (tmp_path / "b.lstm").read_bytes()
    metadata = File(tmp_path / "a.lstm").header["__metadata__"]
    assert (metadata["version"], metadata["min_reader"]) == ("2", "2")


def test_any_reader_of_safetensors_reads_it(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    for to in QUANTIZED_TYPES:
        graph = as_quantized(one_node(recurrent(LSTM)), to)
        save(graph, tmp_path / "a.lstm")
        theirs = safetensors.load_file(tmp_path / "a.lstm")
        W = theirs["cell.W"].float().numpy()
        scale = theirs["cell.W.scale"].numpy()[..., None] if "cell.W.scale" in theirs else np.float32(1)
        np.testing.assert_array_equal(W * scale, graph.nodes[0].W.whole())


def change_scale(number: float):
    def change(file: File) -> None:
        scale = file.array("cell.R.scale", "<f4")
        scale[5] = number
        file.replace("cell.R.scale", scale)
    return change


def one_scale(file: File) -> None:
    file.replace("cell.W.scale", np.ones(1, "<f4"), shape=[1])


def scale_of_another_shape(file: File) -> None:
    file.replace("cell.W.scale", np.ones(8, "<f4"), shape=[8])


def scale_of_halves(file: File) -> None:
    file.replace("cell.W.scale", np.ones(8, "<f2"), dtype="F16")


def beyond(file: File) -> None:
    values = file.array("cell.W", "i1")
    values[3] = -128
    file.replace("cell.W", values)


def unsigned(file: File) -> None:
    file.replace("cell.W", file.array("cell.W", "u1"), dtype="U8")


def unknown_type(file: File) -> None:
    file.node["W"]["type"] = "int4"


def no_type(file: File) -> None:
    del file.node["W"]["type"]


def no_scale(file: File) -> None:
    del file.node["W"]["scale"], file.tensors["cell.W.scale"]


def scale_elsewhere(file: File) -> None:
    file.node["W"]["scale"] = "cell.V.scale"


def unused_scale(file: File) -> None:
    file.node["W"]["scale"] = file.node["R"]["scale"]


def zero_point(file: File) -> None:
    file.node["W"]["zero_point"] = "cell.W.scale"


def two_types(file: File) -> None:
    file.node["W"]["type"] = "int8_weights"


def one_in_float(file: File) -> None:
    values, scale = file.array("cell.W", "i1"), file.array("cell.W.scale", "<f4")
    file.replace("cell.W", (values.reshape(8, 3) * scale[:, None]).astype("<f4"), dtype="F32")
    del file.tensors["cell.W.scale"]
    file.node["W"] = "cell.W"


def quantised_bias(file: File) -> None:
    file.node["B"] = {"type": "int8", "values": "cell.B", "scale": "cell.B.scale"}
    file.replace("cell.B", np.zeros(16, "i1"), dtype="I8")
    file.tensors["cell.B.scale"] = "F32", [1], np.ones(1, "<f4").tobytes()


def older_reader(file: File) -> None:
    file.header["__metadata__"]["min_reader"] = "1"


def older_version(file: File) -> None:
    file.header["__metadata__"].update(min_reader="1", version="1")


def named_otherwise(file: File) -> None:
    file.node["W"]["scale"] = "cell.W.scales"
    file.tensors["cell.W.scales"] = file.tensors.pop("cell.W.scale")


BROKEN = {
    "scale 0": (change_scale(0), "config: node 'cell' (LSTM): R's scale must be above 0 and finite, got 0.0 at [0, 5]"),
    "scale below 0": (change_scale(-1), "R's scale must be above 0 and finite, got -1.0 at [0, 5]"),
    "scale NaN": (change_scale(np.nan), "R's scale must be above 0 and finite, got nan at [0, 5]"),
    "scale infinite": (change_scale(np.inf), "R's scale must be above 0 and finite, got inf at [0, 5]"),
    "one scale": (one_scale, "W's scale must be [1, 8], one number for each output channel of [1, 8, 3], got [1]"),
    "a scale's rank": (scale_of_another_shape, "W's scale must be [1, 8], one number for each output channel"),
    "a scale's dtype": (scale_of_halves, "W's scale must be a float32 array, got float16"),
    "-128": (beyond, "W's values must be from -127 to 127, got -128"),
    "unsigned": (unsigned, "W's values must be int8, as int8 has them, got uint8"),
    "unknown type": (unknown_type, "W: type: expected one of int8, int8_weights, bfloat16, float16, got str 'int4'"),
    "no type": (no_type, "W: type: expected one of int8, int8_weights, bfloat16, float16, got NoneType None"),
    "no scale": (no_scale, "W: key 'scale' is missing"),
    "a scale that is not there": (scale_elsewhere, "W: scale: there is no tensor 'cell.V.scale'"),
    "a scale that nobody names": (unused_scale, "header: tensor 'cell.W.scale' belongs to no node of the config"),
    "a zero point": (zero_point, "W: unknown key 'zero_point'; known: scale, type, values"),
    "two types": (two_types, "node 'cell' (LSTM): R must be int8_weights, as W is, got int8"),
    "one in float": (one_in_float, "node 'cell' (LSTM): R must be float32, as W is, got int8"),
    "a bias": (quantised_bias, "B must be an array: it is no matrix, and stays float32, got a quantised weight (int8)"),
    "min_reader 1": (older_reader, "header: min_reader must be 2 in a file of quantised weights, got 1"),
    "version 1": (older_version, "header: min_reader must be 2 in a file of quantised weights, got 1"),
    "another name": (named_otherwise, "config: a tensor is not called after the node and field it belongs to"),
}


@pytest.mark.parametrize(("change", "message"), BROKEN.values(), ids=BROKEN)
def test_a_file_that_breaks_one_rule_is_refused(change, message, tmp_path):
    file = written(tmp_path / "a.lstm", "int8")
    change(file)
    with pytest.raises(FormatError) as caught:
        load(file.write(tmp_path / "b.lstm"))
    assert str(caught.value).startswith(f"{tmp_path / 'b.lstm'}: ") and message in str(caught.value)


def as_u16(file: File) -> None:
    dtype, shape, raw = file.tensors["cell.W"]
    file.tensors["cell.W"] = "U16", shape, raw


def scaled(file: File) -> None:
    file.node["W"]["scale"] = "cell.W.scale"
    file.tensors["cell.W.scale"] = "F32", [1, 8], np.ones(8, "<f4").tobytes()


def as_float16(file: File) -> None:
    file.node["W"]["type"] = file.node["R"]["type"] = "float16"


BROKEN_HALVES = {
    "uint16": (as_u16, "header: tensor 'cell.W' is U16; BF16 is for the values of bfloat16 weights, all of them"),
    "a scale": (scaled, "W: unknown key 'scale'; known: type, values"),
    "float16": (as_float16, "tensor 'cell.R' is BF16; BF16 is for the values of bfloat16 weights"),
    "version 1": (older_version, "header: tensor 'cell.R': dtype must be one of F64, I64, U64, F32, I32, U32, F16, "
                                 "I16, U16, I8, U8, BOOL, got 'BF16'"),
}


@pytest.mark.parametrize(("change", "message"), BROKEN_HALVES.values(), ids=BROKEN_HALVES)
def test_a_file_of_bfloat16_that_breaks_one_rule_is_refused(change, message, tmp_path):
    file = written(tmp_path / "a.lstm", "bfloat16")
    change(file)
    with pytest.raises(FormatError) as caught:
        load(file.write(tmp_path / "b.lstm"))
    assert message in str(caught.value)


def test_a_file_of_float_weights_that_says_2_is_refused(tmp_path):
    """It would be written otherwise: the same graph has one spelling."""
    save(one_node(recurrent(LSTM)), tmp_path / "a.lstm")
    file = File(tmp_path / "a.lstm")
    assert file.header["__metadata__"]["version"] == "1"
    for version, reader in (("2", "1"), ("2", "2")):
        file.header["__metadata__"].update(version=version, min_reader=reader)
        with pytest.raises(FormatError, match="must be 1 in a file of no quantised weights, got 2"):
            load(file.write(tmp_path / "b.lstm"))
    file.header["__metadata__"].update(version="4", min_reader="1")          # of a later writer, which says it is read
    assert load(file.write(tmp_path / "b.lstm")).nodes[0].op == "LSTM"


def test_a_constant_is_no_bfloat16(tmp_path):
    node = Operator(name="add", op_type="Add", inputs=("x", ""), outputs=("y",),
                    constants={1: np.ones(3, np.uint16)})
    fc = Dense(name="fc", inputs=("z",), outputs=("w",), kernel=weights(3, 2))
    whole = one_node(node, *(type(one)(name, ("batch", 3), dtype) for one, name, dtype in zip(
        one_node(node).inputs * 2, "xz", ("uint16", "float32"), strict=True)))
    graph = type(whole)(whole.inputs, (node, fc), ("y", "w"))
    save(as_quantized(graph, "bfloat16"), tmp_path / "a.lstm")
    file = File(tmp_path / "a.lstm")
    dtype, shape, raw = file.tensors["add.constant_1"]
    assert dtype == "U16" and file.tensors["fc.kernel"][0] == "BF16"
    file.tensors["add.constant_1"] = "BF16", shape, raw
    with pytest.raises(FormatError, match="tensor 'add.constant_1' is BF16; BF16 is for the values of bfloat16"):
        load(file.write(tmp_path / "b.lstm"))


def test_products_that_int32_cannot_add_up_are_refused(tmp_path):
    kernel = Quantized("int8", np.ones((65_537, 1), np.int8), np.ones(1, np.float32), -1)
    node = Dense(name="fc", inputs=("x",), outputs=("y",), kernel=kernel)
    graph = one_node(node, type(one_node(node).inputs[0])("x", ("batch", 65_537)))
    with pytest.raises(GraphError, match=r"node 'fc' \(Dense\): kernel must be of at most 65536 inputs, whose int8 "
                                         "products int32 can add up; int8_weights takes more, got 65537"):
        validate(graph)


def test_the_page_says_which_versions_there_are():
    from lstm_engine.format import header

    page = FORMAT_PAGE.read_text(encoding="utf-8")
    assert f"Version of this page: {header.VERSION}." in page
    for name in header.DTYPES:
        assert f"`{name}`" in page
    for to in QUANTIZED_TYPES:
        assert f"`{to}`" in page
