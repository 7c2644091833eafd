"""Arguments of Keras' operations and functions that no Keras writes: an error of ours, none of Python's or NumPy's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from doubling_costs import peak

import lstm_engine as le
from lstm_engine.importers.keras import described_graph
from lstm_engine.importers.keras.reading.calls import array_of
from lstm_engine.operators import validate

HUGE = 10**400
MOST = 64 << 20                         # bytes: some times what 2^20 categories take
POLICY = {"class_name": "DTypePolicy", "module": "keras"}
ODD: list[Any] = [{**POLICY, "config": "x"}, {**POLICY, "config": {"name": 3}},
                  None, True, -1, 0, 3, 2**31, 2**62, 2**63, HUGE, -HUGE, 1e300, "x", "float32", [], [HUGE],
                  [[0, 0]] * 3, [[0, HUGE]] * 3, {}, {"a": 1, "b": 2},
                  {"class_name": "__numpy__", "config": {"value": [1, HUGE]}}]
# TensorFlow's function -> the arguments that it is called with; each is exchanged for each of the odd ones in turn.
CALLS: dict[str, dict[str, Any]] = {
    "math.argmax": {"axis": -1, "output_type": "int32"}, "math.l2_normalize": {"axis": -1, "epsilon": 1e-6},
    "pad": {"paddings": [[0, 0], [1, 0], [0, 0]], "mode": "CONSTANT", "constant_values": 2},
    "tile": {"multiples": [1, 2, 1]}, "repeat": {"repeats": 2, "axis": 1},
    "split": {"num_or_size_splits": 2, "axis": 1}, "gather": {"indices": [0], "axis": 1},
    "one_hot": {"depth": 3, "axis": -1, "dtype": "float32"},
    "clip_by_value": {"clip_value_min": -1, "clip_value_max": 1}, "math.reduce_mean": {"axis": 1, "keepdims": True},
    "expand_dims": {"axis": 1}, "squeeze": {"axis": 1}, "transpose": {"perm": [0, 2, 1]}, "reshape": {"shape": [-1, 8]},
    "cast": {"dtype": "int32"}, "math.cumsum": {"axis": 1}, "math.pow": {"y": 2}, "math.multiply": {"y": 2.0},
    "nn.softmax": {"axis": -1}, "nn.leaky_relu": {"alpha": 0.1}, "unstack": {"axis": 1, "num": 4},
    "concat": {"axis": -1}, "stack": {"axis": 1}, "reverse": {"axis": [1]},
    "linalg.matmul": {"b": ["x", 0, 0], "transpose_b": True}, "math.add": {"y": [[1.0, 2.0]] * 4},
    "nn.bias_add": {"bias": [1.0, 2.0]}, "math.floormod": {"y": 0.5}, "math.maximum": {"y": [0.5, 1]},
    "roll": {"shift": 1, "axis": 1}, "sort": {"axis": 1, "direction": "ASCENDING"}, "argsort": {"axis": 1},
    "math.top_k": {"k": 2}, "norm": {"ord": "euclidean", "axis": 1}, "math.reduce_std": {"axis": 1, "keepdims": True},
    "math.cumprod": {"axis": 1, "exclusive": True}, "shape": {"out_type": "int32"},
}
LAYERS: dict[str, dict[str, Any]] = {
    "Rescaling": {"scale": 2.0, "offset": 1.0}, "Normalization": {"axis": -1, "mean": 1.0, "variance": 2.0},
    "Dot": {"axes": 2, "normalize": False}, "ZeroPadding1D": {"padding": 1}, "Cropping1D": {"cropping": 1},
    "UpSampling1D": {"size": 2}, "MaxPooling1D": {"pool_size": 2, "strides": 2, "padding": "same"},
    "AveragePooling1D": {"pool_size": 2, "strides": None, "padding": "valid"},
    "GlobalAveragePooling1D": {"keepdims": True, "data_format": "channels_last"},
    "ReLU": {"max_value": 1.0, "negative_slope": 0.1, "threshold": 0.2}, "Softmax": {"axis": [1, 2]},
    "UnitNormalization": {"axis": -1}, "Discretization": {"bin_boundaries": [0.0, 1.0], "output_mode": "int"},
    "CategoryEncoding": {"num_tokens": 3, "output_mode": "one_hot"},
    "RandomFlip": {"mode": "horizontal", "dtype": "float32"},
}


def model_of(entry: dict[str, Any]) -> le.Model:
    """A model of one input [4, 2] and one layer on it, as the HDF5 parser would have answered it."""
    config = {"class_name": "Functional", "config": {"name": "m", "layers": [
        {"class_name": "InputLayer", "name": "x", "config": {"batch_input_shape": [None, 4, 2], "dtype": "float32",
                                                             "name": "x"}, "inbound_nodes": []}, entry],
        "input_layers": [["x", 0, 0]], "output_layers": [["f", 0, 0]]}}
    contents = {"config": config, "metadata": {"keras_version": "2.15.0"}, "layers": []}
    graph = validate(described_graph(Path("m.h5"), contents, {}, zipped=False))
    return le.Model(graph, limits=le.Limits(memory=1 << 28))


def tried(entry: dict[str, Any]) -> None:
    """The model of an entry, run, or an error of ours; for a number in it nobody pays with memory."""
    def run() -> None:
        try:
            model_of(entry).predict(np.ones((2, 4, 2), np.float32))
        except le.LstmEngineError:
            pass

    assert peak(run) < MOST, entry


def function(name: str, kwargs: dict[str, Any]) -> dict[str, Any]:
    """A layer that calls one of TensorFlow's functions."""
    node: list[Any] = ["x", 0, 0, kwargs]
    return {"class_name": "TFOpLambda", "name": "f", "config": {"name": "f", "function": name},
            "inbound_nodes": [[node, node] if name in ("concat", "stack") else node]}


def layer(kind: str, settings: dict[str, Any]) -> dict[str, Any]:
    return {"class_name": kind, "name": "f", "config": {"name": "f", **settings},
            "inbound_nodes": [[["x", 0, 0, {}]] * (2 if kind == "Dot" else 1)]}


def sliced(spec: Any) -> dict[str, Any]:
    return {"class_name": "SlicingOpLambda", "name": "f", "config": {"name": "f"},
            "inbound_nodes": [["x", 0, 0, {"slice_spec": spec}]]}


@pytest.mark.parametrize("name", CALLS)
def test_arguments_of_functions(name):
    for key in CALLS[name]:
        for odd in ODD:
            tried(function(name, {**CALLS[name], key: odd}))


@pytest.mark.parametrize("name", CALLS)
def test_arrays_in_place_of_settings(name):
    """As Keras 3 lays its calls out, in which arrays may stand anywhere."""
    x = {"class_name": "__keras_tensor__", "config": {"shape": [None, 4, 2], "dtype": "float32",
                                                      "keras_history": ["x", 0, 0]}}
    for key in (*CALLS[name], "name", "conjugate", "batch_dims", "num", "on_value", "adjoint_a", "ord", "direction"):
        for value in ([1, 1], [[True, False]], [], 3):
            array = {"class_name": "__numpy__", "config": {"value": value, "dtype": "bool" if value else "int32"}}
            entry = function(name, {})
            entry["inbound_nodes"] = [{"args": [[x, x] if name in ("concat", "stack") else x],
                                       "kwargs": {**CALLS[name], "b": x, key: array}}]
            tried(entry)


@pytest.mark.parametrize("dtype", ["float32", "int8", "bool", "uint64", "complex64", None, 3, [], "float16"])
def test_arrays_that_are_written_out(dtype):
    deep: Any = 1
    for _ in range(100):
        deep = [deep]
    for value in [*ODD, [1.5], [300], [-1], [[1], [1, 2]], [[1, "x"]], [None], deep, [1e30], [[[]]], [True, 2]]:
        try:
            made = array_of(value, dtype)
        except le.FormatError:
            continue
        assert made.tolist() == value or made.dtype == np.float32


def test_a_long_text_among_others_is_not_made_an_array():
    def refused():
        with pytest.raises(le.FormatError, match="expected lists of equally many finite numbers"):
            array_of(["a" * 200_000, *["b"] * 3000], "float32")

    assert peak(refused) < MOST


@pytest.mark.parametrize("function", ["nn.embedding_lookup", "compat.v1.nn.embedding_lookup"])
def test_tables_that_may_be_parts_of_one_are_refused(function):
    """A file does not tell one table of rows from rows that are tables."""
    entry = {"class_name": "TFOpLambda", "name": "f", "config": {"name": "f", "function": function}, "inbound_nodes": [
        ["_CONSTANT_VALUE", -1, [[1.0, 2.0], [3.0, 4.0]], {"ids": ["x", 0, 0], "partition_strategy": "mod"}]]}
    with pytest.raises(le.UnsupportedError, match="embedding_lookup' is not supported"):
        model_of(entry)


def test_categories_are_bounded_over_all_layers():
    """Each layer for itself would stay below the bound."""
    names = [f"f{at}" for at in range(40)]
    entries = [{"class_name": "CategoryEncoding", "name": name, "inbound_nodes": [[["x", 0, 0, {}]]],
                "config": {"name": name, "num_tokens": 1 << 19, "output_mode": "multi_hot"}} for name in names]
    config = {"class_name": "Functional", "config": {"name": "m", "layers": [
        {"class_name": "InputLayer", "name": "x", "inbound_nodes": [], "config": {
            "batch_input_shape": [None, 4], "dtype": "int32", "name": "x"}}, *entries],
        "input_layers": [["x", 0, 0]], "output_layers": [[name, 0, 0] for name in names]}}

    def refused():
        with pytest.raises(le.UnsupportedError, match="categories are not supported; supported: at most 1048576"):
            described_graph(Path("m.h5"), {"config": config, "metadata": {"keras_version": "2.15.0"}, "layers": []}, {},
                            zipped=False)

    assert peak(refused) < MOST


def test_bounds_of_slices():
    whole = {"start": None, "stop": None, "step": None}
    for odd in ODD:
        tried(sliced(odd))
        for key in whole:
            tried(sliced([whole, {**whole, key: odd}]))


@pytest.mark.parametrize("kind", LAYERS)
def test_settings_of_layers(kind):
    for key in LAYERS[kind]:
        for odd in ODD:
            tried(layer(kind, {**LAYERS[kind], key: odd}))


# Of an axis of 1, and of ids: the input here has neither.
@pytest.mark.parametrize("name", [name for name in CALLS if name not in ("squeeze", "one_hot")])
def test_the_functions_themselves_are_supported(name):
    """Else the tests above would see nothing but a refusal of the function."""
    model_of(function(name, CALLS[name]))


@pytest.mark.parametrize("kind", LAYERS)
def test_the_layers_themselves_are_supported(kind):
    model_of(layer(kind, LAYERS[kind]))


def test_an_output_that_is_an_input_cast_to_whole_numbers():
    """Inputs that are only ever cast to ids become ids, but not where the cast is what comes out."""
    made = model_of(function("cast", {"dtype": "int32"})).predict(np.full((1, 4, 2), 1.5, np.float32))
    assert made.dtype == np.int32 and (made == 1).all()
