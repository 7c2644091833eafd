"""The codec by itself, as specification files use it: what may be left out, and what is refused where."""

import pytest
from graphs import assert_same, one_node, recurrent, weights

from lstm_engine.errors import FormatError, UnsupportedError
from lstm_engine.format import decode
from lstm_engine.graph import LSTM, SIGMOID, Activation


def spec(**changes):
    node = dict(op="LSTM", name="rnn", inputs=["x"], outputs=["y"], W="a", R="b", B=None, activations=[], **changes)
    return {"inputs": [{"name": "x", "shape": ["batch", "time", 3]}], "nodes": [node], "outputs": ["y"]}


ARRAYS = {"a": weights(1, 8, 3), "b": weights(1, 8, 2)}


def test_a_short_specification_takes_the_defaults():
    config = spec()
    del config["nodes"][0]["activations"]
    graph = decode(config, ARRAYS.__getitem__)
    assert_same(graph, one_node(recurrent(LSTM, name="rnn", W=ARRAYS["a"], R=ARRAYS["b"], B=None)))
    assert graph.nodes[0].W is ARRAYS["a"]


def test_activations_by_name_or_with_parameters():
    config = spec()
    config["nodes"][0]["activations"] = [["sigmoid", {"name": "elu"}, {"name": "elu", "alpha": 2}]]
    graph = decode(config, ARRAYS.__getitem__)
    assert graph.nodes[0].activations == ((SIGMOID, Activation("elu", 1.0), Activation("elu", 2.0)),)


def edited(path, value):
    """`spec()` with one place changed; a value of ... takes the key away."""
    config = place = spec()
    *head, last = path
    for step in head:
        place = place[step]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return config


def graph_with(**fields):
    return edited(("nodes", 0), {"op": "Operator", "name": "o", "inputs": ["x", ""], "outputs": ["y"], "op_type": "Mul",
                                 **fields})


NODE = ("nodes", 0)
BAD_CONFIGS = [
    (edited(("inputs",), ...), r"config: key 'inputs' is missing"),
    (edited(("version",), 1), r"config: unknown key 'version'; known: inputs, metadata, nodes, outputs"),
    (edited(("nodes",), {}), r"config: nodes: expected a list, got dict \{\}"),
    (edited(("outputs",), "y"), r"config: outputs: expected a list, got str 'y'"),
    (edited(("outputs",), [1]), r"config: outputs\[0\]: expected a string, got int 1"),
    (edited(("metadata",), {"a": 1}), r"config: metadata: expected an object of strings, got dict"),
    (edited(("inputs", 0), "x"), r"config: inputs\[0\]: expected an object, got str 'x'"),
    (edited(("inputs", 0, "shape"), ...), r"config: inputs\[0\]: key 'shape' is missing"),
    (edited(("inputs", 0, "shape"), ["b", 1.5]), r"inputs\[0\]: shape\[1\]: expected a list of ints and strings"),
    (edited(("inputs", 0, "shape"), [True]), r"inputs\[0\]: shape\[0\]: expected a list of ints and strings, got bool"),
    (edited(("inputs", 0, "dtype"), 32), r"inputs\[0\]: dtype: expected a string, got int 32"),
    (edited(NODE, []), r"config: nodes\[0\]: expected an object, got list \[\]"),
    (edited((*NODE, "W"), ...), r"nodes\[0\] \('rnn', 'LSTM'\): key 'W' is missing"),
    (edited((*NODE, "name"), ...), r"nodes\[0\] \(None, 'LSTM'\): key 'name' is missing"),
    (edited((*NODE, "hidden"), 2), r"nodes\[0\] \('rnn', 'LSTM'\): unknown key 'hidden'; known: B, P, R, W"),
    (edited((*NODE, "kernel"), "a"), r"unknown key 'kernel'"),
    (edited((*NODE, "W"), "z"), r"nodes\[0\] \('rnn', 'LSTM'\): W: there is no tensor 'z'"),
    (edited((*NODE, "W"), None), r"W: expected the name of a tensor, got NoneType None"),
    (edited((*NODE, "P"), 3), r"P: expected the name of a tensor, got int 3"),
    (edited((*NODE, "inputs"), "x"), r"inputs: expected a list, got str 'x'"),
    (edited((*NODE, "direction"), 1), r"direction: expected a string, got int 1"),
    (edited((*NODE, "input_forget"), 1), r"input_forget: expected true or false, got int 1"),
    (edited((*NODE, "clip"), "3"), r"clip: expected a finite number, got str '3'"),
    (edited((*NODE, "clip"), True), r"clip: expected a finite number, got bool True"),
    (edited((*NODE, "clip"), float("nan")), r"clip: expected a finite number, got float nan"),
    (edited((*NODE, "clip"), 10**400), r"clip: expected a finite number, got int 1000"),
    (edited((*NODE, "activations"), ["tanh"]), r"activations\[0\]: expected a list, got str 'tanh'"),
    (edited((*NODE, "activations"), [[1]]), r"activations\[0\]\[0\]: expected an object, got int 1"),
    (edited((*NODE, "activations"), [[{"name": "tanh", "alpha": 1.0}]]), r"activations\[0\]\[0\]: tanh has no alpha"),
    (edited((*NODE, "activations"), [[{"name": "elu", "alpha": None}]]), r"alpha: expected a finite number, got None"),
    (edited((*NODE, "activations"), [[{"alpha": 1.0}]]), r"activations\[0\]\[0\]: key 'name' is missing"),
    (edited((*NODE, "activations"), [[{"name": "elu", "gamma": 1}]]), r"unknown key 'gamma'; known: alpha, beta, name"),
    (graph_with(constants=[]), r"constants: expected an object from positions to names of tensors, got list"),
    (graph_with(constants={"-1": "a"}), r"constants: expected positions of inputs as keys, got str '-1'"),
    (graph_with(constants={"01": "a"}), r"constants: expected positions of inputs as keys, got str '01'"),
    (graph_with(constants={"1": "q"}), r"constants\[1\]: there is no tensor 'q'"),
    (graph_with(attributes={"a": None}), r"attributes\['a'\]: expected an integer, number, string or a list of them"),
    (graph_with(attributes={"a": [[1]]}), r"attributes\['a'\]: expected an integer, number, string or a list"),
    (graph_with(attributes=3), r"attributes: expected an object, got int 3"),
]


@pytest.mark.parametrize("config, message", BAD_CONFIGS)
def test_a_bad_configuration_is_refused_where_it_is_bad(config, message):
    with pytest.raises(FormatError, match=message):
        decode(config, ARRAYS.__getitem__)


@pytest.mark.parametrize("path, value, message", [
    ((*NODE, "op"), "Lambda", r"nodes\[0\] \('rnn', 'Lambda'\): op is not known; known: Embedding, LSTM"),
    ((*NODE, "op"), ["LSTM"], r"op is not known"),
    ((*NODE, "op"), ..., r"nodes\[0\] \('rnn', None\): op is not known"),
    ((*NODE, "activations"), [["swoosh"]], r"activations\[0\]\[0\]: activation 'swoosh' is not supported"),
])
def test_what_is_not_known_is_not_supported(path, value, message):
    with pytest.raises(UnsupportedError, match=message):
        decode(edited(path, value), ARRAYS.__getitem__)
