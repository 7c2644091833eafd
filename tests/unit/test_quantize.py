"""`le.quantize`: what it takes, what it refuses, and what its models say of themselves."""

from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pytest
from graphs import one_node, recurrent, weights
from quantized_models import QUANTIZED_TYPES, stacked

import lstm_engine as le
from lstm_engine import reference
from lstm_engine.graph import LSTM, Dense, Embedding, Graph, Loop, Operator, Pool, Value
from lstm_engine.graph.quantized import Quantized

IDS = np.random.default_rng(0).integers(0, 11, (4, 12))
LAYERS = ("embed", "lstm", "gru", "gru_2", "rnn", "fc")


@pytest.fixture
def model():
    return le.Model(stacked())


def sigmoid_model(kernel=None) -> le.Model:
    return le.Model([le.Embedding(weights(11, 6)),
                     le.LSTM(weights(1, 20, 6), weights(1, 20, 5), return_sequences=False),
                     le.Dense(weights(5, 1) if kernel is None else kernel, activation="sigmoid")])


# ---- what it makes --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("to", QUANTIZED_TYPES)
def test_a_quantised_model_is_a_model_like_any_other(model, to, tmp_path):
    small = le.quantize(model, to)
    assert model.quantization is None and model.weight_dtype == "float32"       # the given one is as it was
    assert (small.weight_dtype, small.dtype) == (to, "float32")
    assert [layer.name for layer in small.quantization.layers] == list(LAYERS)
    assert {layer.type for layer in small.quantization.layers} == {to}
    y = small.predict(IDS)
    # A tenth of the outputs' size, which is 3: quantisation to 8 bits of six layers. A wrong gate or scale is above.
    np.testing.assert_allclose(y, model.predict(IDS), rtol=0, atol=0.3)
    small.save(tmp_path / "small.lstm")
    again = le.load(tmp_path / "small.lstm")
    copy = pickle.loads(pickle.dumps(small))
    np.testing.assert_array_equal(again.predict(IDS), y)
    np.testing.assert_array_equal(copy.predict(IDS), y)
    assert copy.quantization == small.quantization
    # A file does not hold how far its weights are from those of another model.
    assert again.quantization == dataclasses.replace(small.quantization, layers=tuple(
        dataclasses.replace(layer, error=None) for layer in small.quantization.layers))
    for ours, theirs in zip(small.graph.nodes, again.graph.nodes, strict=True):
        for name, weight in ours.tensors().items():
            other = theirs.tensors()[name]
            np.testing.assert_array_equal(np.asarray(weight), np.asarray(other))
            assert type(weight) is type(other) and getattr(weight, "type", "") == getattr(other, "type", "")


@pytest.mark.parametrize("to", QUANTIZED_TYPES)
def test_one_step_is_what_the_reference_makes_of_it(to):
    """One layer and one step, from states in float32: no rounding of ours moves an integer of the products."""
    node = recurrent(LSTM, features=9, hidden=17, inputs=("x", "", "h", "c"))
    floats = Graph((Value("x", ("batch", "time", 9)), Value("h", ("batch", 17)), Value("c", ("batch", 17))), (node,),
                   ("y",))
    small = le.quantize(le.Model(floats), to)
    given = {"x": weights(5, 1, 9), "h": weights(5, 17), "c": weights(5, 17)}
    expected = reference.run(small.graph, given)["y"]
    # Float32 sums of 9 and 17 products of size 1, and kernels of exp and tanh: some units of 1.2e-7.
    np.testing.assert_allclose(small.predict(given), expected, rtol=0, atol=2e-6)


def test_bytes_are_those_of_values_scales_and_biases(model):
    report = le.quantize(model, "int8").quantization
    lstm = report.layers[1]
    matrices = 2 * 20 * 6 + 2 * 20 * 3 + 2 * 3 * 5
    others, scales = 2 * 40 + 2 * 15, 2 * 20 + 2 * 20 + 2 * 3
    assert lstm.bytes_before == 4 * (matrices + others) and lstm.bytes == matrices + 4 * (others + scales)
    assert report.bytes == sum(layer.bytes for layer in report.layers)
    halves = le.quantize(model, "bfloat16").quantization.layers[1]
    assert halves.bytes == 2 * matrices + 4 * others


def test_biases_and_peepholes_stay_float32(model):
    for node in le.quantize(model, "int8").graph.nodes:
        for name, weight in node.tensors().items():
            assert isinstance(weight, Quantized) == (name in ("W", "R", "projection", "kernel", "table"))
            assert weight.dtype == np.float32


def test_half_precision_weights_are_quantised_from_what_they_are():
    """Weights that came as float16: their biases become the float32 that they are computed in."""
    node = recurrent(LSTM, dtype="float16")
    small = le.quantize(le.Model(one_node(node)), "int8")
    cell = small.graph.nodes[0]
    assert isinstance(cell.W, Quantized) and cell.B.dtype == np.float32
    np.testing.assert_array_equal(cell.B, node.B.astype(np.float32))


def test_layers_may_have_types_of_their_own(model):
    small = le.quantize(model, "int8", layers={"fc": "float32", "gru": "int8_weights", "embed": "bfloat16"})
    assert {layer.name: layer.type for layer in small.quantization.layers} == {
        "embed": "bfloat16", "lstm": "int8", "gru": "int8_weights", "gru_2": "int8", "rnn": "int8", "fc": "float32"}
    assert small.weight_dtype == "mixed"
    assert small.quantization.layers[-1].error is None
    one = le.quantize(model, "float32", layers={"fc": "float16"})
    assert [layer.type for layer in one.quantization.layers] == ["float32"] * 5 + ["float16"]


def test_how_far_the_weights_are_is_told(model):
    for layer, node in zip(le.quantize(model, "int8").quantization.layers, stacked().nodes, strict=True):
        largest = max(np.abs(array).max() for name, array in node.tensors().items() if name not in ("B", "P", "bias"))
        # Half a unit of the largest scale; a little more by the roundings of the scale itself.
        assert 0 < layer.error.rms < layer.error.largest <= largest / 127 * 0.5001


def test_weights_that_layers_share_are_quantised_once(tmp_path):
    W, R = weights(1, 12, 3), weights(1, 12, 3)
    nodes = tuple(LSTM(name=name, inputs=(x,), outputs=(y,), W=W, R=R) for name, x, y in (("a", "x", "y"),
                                                                                         ("b", "y", "z")))
    model = le.Model(Graph((Value("x", ("batch", "time", 3)),), nodes, ("z",)))
    small = le.quantize(model, "int8")
    first, second = small.graph.nodes
    assert first.W is second.W and first.R is second.R
    assert small.quantization.bytes == first.W.nbytes + first.R.nbytes
    small.save(tmp_path / "a.lstm")
    again = le.load(tmp_path / "a.lstm")
    first, second = again.graph.nodes
    assert first.W is second.W and first.R is second.R
    both = le.quantize(model, "int8", layers={"b": "int8_weights"})              # which hold the same numbers
    assert both.weight_dtype == "mixed" and both.quantization.bytes == small.quantization.bytes
    first, second = both.graph.nodes
    assert first.W.values is second.W.values
    both.save(tmp_path / "b.lstm")
    assert b'"a.W":' in (tmp_path / "b.lstm").read_bytes() and b'"b.W":' not in (tmp_path / "b.lstm").read_bytes()
    x = weights(2, 5, 3)
    np.testing.assert_array_equal(le.load(tmp_path / "b.lstm").predict(x), both.predict(x))


def test_nodes_without_weights_and_operators_stay(tmp_path):
    node = Operator(name="add", op_type="Add", inputs=("y", ""), outputs=("z",), constants={1: weights(2)})
    dense = Dense(name="fc", inputs=("x",), outputs=("y",), kernel=weights(3, 2), bias=weights(2))
    small = le.quantize(le.Model(Graph((Value("x", ("batch", 3)),), (dense, node), ("z",))), "float16")
    np.testing.assert_array_equal(small.graph.nodes[1].constants[1], node.constants[1])
    assert [layer.name for layer in small.quantization.layers] == ["fc"]


@pytest.mark.parametrize("to", QUANTIZED_TYPES)
def test_a_dense_layer_on_a_value_of_any_rank_is_quantised_too(to, tmp_path):
    """Its rows go through the core one by one, called from between the segments."""
    node = Dense(name="fc", inputs=("x",), outputs=("y",), kernel=weights(5, 7), bias=weights(7))
    small = le.quantize(le.Model(one_node(node, Value("x", ("batch", "time", 4, 5)))), to)
    x = weights(2, 3, 4, 5)
    y = small.predict(x)
    # Float32 sums of 5 products of size 1.
    np.testing.assert_allclose(y, reference.run(small.graph, {"x": x})["y"], rtol=0, atol=2e-6)
    small.save(tmp_path / "a.lstm")
    for again in (small, le.load(tmp_path / "a.lstm"), pickle.loads(pickle.dumps(small))):
        for _ in range(3):                          # recorded from the second run on
            np.testing.assert_array_equal(again.predict(x), y)
    assert small.weight_dtype == to and small.memory()["weights"] > 0


# ---- data and tolerance ---------------------------------------------------------------------------------------------

def test_data_tells_how_far_the_outputs_are(model):
    small = le.quantize(model, "int8", data=IDS)
    (told,) = small.quantization.outputs
    off = np.abs(small.predict(IDS).astype(np.float64) - model.predict(IDS))
    assert (told.name, told.largest, told.decisions) == ("y", off.max(), IDS.size)
    assert told.rms == pytest.approx(np.sqrt((off**2).mean()), rel=1e-12)
    assert told.changed == (small.predict(IDS).argmax(-1) != model.predict(IDS).argmax(-1)).sum()
    assert pickle.loads(pickle.dumps(small)).quantization.outputs == (told,)


def test_a_probability_decides_by_its_side_of_a_half():
    model = sigmoid_model()
    small = le.quantize(model, "int8", data=IDS)
    (told,) = small.quantization.outputs
    assert told.decisions == len(IDS)
    assert told.changed == ((small.predict(IDS) > 0.5) != (model.predict(IDS) > 0.5)).sum()
    linear = le.Model([le.LSTM(weights(1, 20, 6), weights(1, 20, 5)), le.Dense(weights(5, 1) * 9)])
    (told,) = le.quantize(linear, "int8", data=weights(2, 5, 6)).quantization.outputs
    assert told.decisions == told.changed == 0                                   # a number decides nothing


def test_sequences_of_unequal_lengths_are_data(model):
    sequences = [row[:length] for row, length in zip(IDS, (3, 12, 1, 7), strict=True)]
    (told,) = le.quantize(model, "int8", data=sequences).quantization.outputs
    assert told.decisions == 23 and told.largest > 0


def test_a_tolerance_chooses_layers_by_what_they_save(model):
    whole = le.quantize(model, "int8", data=IDS).quantization.outputs[0].largest
    assert le.quantize(model, "int8", data=IDS, tolerance=whole).weight_dtype == "int8"
    alone = {name: le.quantize(model, "float32", layers={name: "int8"}, data=IDS).quantization for name in LAYERS}
    saved = {name: report.bytes_before - report.bytes for name, report in alone.items()}
    # So small that the layer that saves most stays in float, and another does not.
    first = max(saved, key=saved.get)
    tolerance = min(report.outputs[0].largest for report in alone.values())
    assert alone[first].outputs[0].largest > tolerance
    small = le.quantize(model, "int8", data=IDS, tolerance=tolerance)
    types = {layer.name: layer.type for layer in small.quantization.layers}
    assert types[first] == "float32" and "int8" in types.values() and small.weight_dtype == "mixed"
    assert small.quantization.outputs[0].largest <= tolerance
    assert np.abs(small.predict(IDS) - model.predict(IDS)).max() <= tolerance


def test_a_tolerance_may_be_any_number(model):
    for tolerance in (10, np.float32(10), np.int64(10), np.array(10.0)):
        assert le.quantize(model, "int8", data=IDS, tolerance=tolerance).weight_dtype == "int8"


def test_layers_that_shall_stay_are_not_tried(model):
    small = le.quantize(model, "int8", layers={"lstm": "float32"}, data=IDS, tolerance=10)
    assert {layer.name for layer in small.quantization.layers if layer.type == "float32"} == {"lstm"}


def test_a_tolerance_that_no_layer_keeps_is_an_error(model):
    with pytest.raises(le.ArgumentError, match="tolerance: no layer can be quantised within 1e-09: the one that "
                                               "changes least changes an output by 0.0"):
        le.quantize(model, "int8", data=IDS, tolerance=1e-9)


# ---- what it refuses ------------------------------------------------------------------------------------------------

KNOWN = "embed (Embedding), lstm (LSTM), gru (GRU), gru_2 (GRU), rnn (RNN), fc (Dense)"
REFUSED = {
    "a type": (dict(to="int4"), "to is one of float32, int8, int8_weights, bfloat16, float16, not 'int4'"),
    "no type": (dict(to=None), "to is one of float32"),
    "a layer": (dict(to="int8", layers={"nope": "int8"}),
                f"layers: 'nope': the model has no such layer; those that can be quantised are: {KNOWN}"),
    "a layer's type": (dict(to="int8", layers={"fc": "int3"}), "layers: the type of 'fc' is one of float32, int8"),
    "layers that are none": (dict(to="int8", layers=["fc"]), f"layers maps names of layers to types, got list; the "
                                                             f"layers are: {KNOWN}"),
    "nothing": (dict(to="float32"), f"nothing is left to quantise: the layers that can be are {KNOWN}"),
    "a tolerance alone": (dict(to="int8", tolerance=0.1), "tolerance needs data=, the inputs on which"),
    "a tolerance of text": (dict(to="int8", tolerance="0.1", data=IDS), "tolerance is a finite number of at least 0"),
    "a tolerance beyond floats": (dict(to="int8", tolerance=10**400, data=IDS), "tolerance is a finite number"),
    "a tolerance on nothing": (dict(to="int8", tolerance=1, data=IDS[:0]), "data: the outputs have no numbers for it"),
    "a tolerance of NaN": (dict(to="int8", tolerance=float("nan"), data=IDS), "tolerance is a finite number"),
    "data": (dict(to="int8", data=IDS + 100), "is outside the vocabulary of 11"),
}


@pytest.mark.parametrize(("arguments", "message"), REFUSED.values(), ids=REFUSED)
def test_arguments_are_refused_by_name(model, arguments, message):
    with pytest.raises(le.LstmEngineError) as caught:
        le.quantize(model, **arguments)
    assert message in str(caught.value)


def test_what_is_no_float32_model_is_refused(model):
    with pytest.raises(le.ArgumentTypeError, match="model is a lstm_engine.Model, not str"):
        le.quantize("model.lstm", "int8")
    with pytest.raises(le.UnsupportedError, match=r"quantised already \(int8\): .*quantise the float model"):
        le.quantize(le.quantize(model, "int8"), "bfloat16")
    with pytest.raises(le.UnsupportedError, match="the model computes in float64, .*dtype='float32'"):
        le.quantize(le.Model(stacked(), dtype="float64"), "int8")
    pool = le.Model(one_node(Pool(name="p", inputs=("x",), outputs=("y",))))
    with pytest.raises(le.ArgumentError, match="layers: 'p': a Pool has no weights to quantise; .*are: none"):
        le.quantize(pool, "int8", layers={"p": "int8"})


def test_weights_that_cannot_be_are_refused_by_layer_weight_and_channel():
    kernel = weights(5, 1)
    kernel[3, 0] = np.nan
    with pytest.raises(le.ArgumentError, match=r"layer 'dense' \(Dense\): kernel\[3, 0\] \(output channel 0\): nan"):
        le.quantize(sigmoid_model(kernel), "int8")
    le.quantize(sigmoid_model(kernel), "int8", layers={"dense": "float32"})      # the layer itself may have it
    kernel[3, 0] = 70000
    with pytest.raises(le.ArgumentError, match=r"70000.0 is beyond the largest float16, 65504; bfloat16 has"):
        le.quantize(sigmoid_model(kernel), "float16")


def test_products_that_int32_cannot_add_up_are_refused_by_name():
    kernel = np.ones((65_537, 1), np.float32)
    model = le.Model([le.Dense(kernel)])
    with pytest.raises(le.ArgumentError, match=r"layer 'dense' \(Dense\): kernel \[65537, 1\] adds up 65537 products, "
                                               r"and int32 holds the sum of 65536 of int8: give layers=\{'dense': "
                                               "'int8_weights'}"):
        le.quantize(model, "int8")
    assert le.quantize(model, "int8", layers={"dense": "int8_weights"}).weight_dtype == "int8_weights"
    table = Embedding(name="e", inputs=("ids",), outputs=("x",), table=np.ones((2, 65_537), np.float32))
    wide = le.Model(one_node(table, Value("ids", ("batch", "time"), "int32")))
    assert le.quantize(wide, "int8").weight_dtype == "int8"                      # a table adds up nothing


def test_a_quantised_model_is_not_read_in_float64(model, tmp_path):
    le.quantize(model, "int8").save(tmp_path / "small.lstm")
    with pytest.raises(le.UnsupportedError, match=r"node 'embed' \(Embedding\): table is int8, and quantised layers "
                                                  "compute in float32: leave dtype out"):
        le.load(tmp_path / "small.lstm", dtype="float64")
    assert le.load(tmp_path / "small.lstm", dtype="float32").weight_dtype == "int8"


# ---- what is printed ------------------------------------------------------------------------------------------------

def test_the_summary_says_what_is_quantised(model):
    small = le.quantize(model, "int8", layers={"fc": "float32"})
    text = small.summary()
    assert text.split("\n")[0].split() == ["name", "layer", "weights", "output", "parameters"]
    types = {line.split()[0]: line for line in text.split("\n")[2:8]}
    assert "  int8  " in types["lstm"] and "  float32  " in types["fc"]
    report = small.quantization
    assert f"1,080 parameters in {report.bytes:,} bytes ({report.bytes_before:,} in float32); float32, " in text
    assert "weights" not in model.summary()


def test_layers_inside_loops_stay_float32():
    """And the message, the report and the summary say so."""
    given = (Value("turn", (), "int64"), Value("goes on", (), "bool"), Value("h", ("batch", 3)),
             Value("x", ("batch", 2)))
    inner = Dense(name="inner", inputs=("x",), outputs=("d",), kernel=np.ones((2, 3), np.float32))
    added = Operator(name="add", op_type="Add", inputs=("h", "d"), outputs=("next",))
    again = Operator(name="again", op_type="Identity", inputs=("next",), outputs=("given",))
    body = Graph(given, (inner, added, again), ("goes on", "next", "given"))
    loop = Loop(name="loop", inputs=("", "", "first", "steps"), outputs=("last", "all"), body=body, states=1,
                sequence_axes=(1,), backwards=(0,), result_axes=(1,), turned=(0,))
    inputs = (Value("first", ("batch", 3)), Value("steps", ("batch", "time", 2)))
    outer = Dense(name="outer", inputs=("last",), outputs=("y",), kernel=np.ones((3, 4), np.float32))
    with pytest.raises(le.ArgumentError, match="nothing is left to quantise: .* are none; inner stand in loops, whose"):
        le.quantize(le.Model(Graph(inputs, (loop,), ("last",))), "int8")
    model = le.Model(Graph(inputs, (loop, outer), ("y",)))
    with pytest.raises(le.ArgumentError, match="'inner': it stands in a loop, whose layers stay float32; those"):
        le.quantize(model, "int8", layers={"inner": "int8"})
    small = le.quantize(model, "int8")
    assert {layer.name: layer.type for layer in small.quantization.layers} == {"inner": "float32", "outer": "int8"}
    x = {"first": np.zeros((2, 3), np.float32), "steps": np.ones((2, 5, 2), np.float32)}
    assert np.allclose(small.predict(x), model.predict(x), rtol=0.01)       # 127 steps for the largest number of a row
