"""From the names and shapes of a state dict to the one chain they allow, or to a clear refusal."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lstm_engine.errors import ArgumentError, ArgumentTypeError, FormatError, UnsupportedError
from lstm_engine.importers.arrays.spec import graph_from_spec
from lstm_engine.importers.reading.weights import Entry, Weights
from lstm_engine.importers.torch.checkpoints.checkpoint import IGNORED
from lstm_engine.importers.torch.state_dict.draft import propose_or_draft
from lstm_engine.importers.torch.state_dict.layers import find_layers
from lstm_engine.importers.torch.state_dict.propose import propose
from lstm_engine.importers.torch.ways import EXPORT
from lstm_engine.operators import validate

HOW = ("say it in a spec: `lstm-engine inspect FILE --spec > net.json` proposes one, convert takes it as spec= or "
       "--spec (docs/spec.md)")


def weights(**shapes):
    return Weights({name.replace("__", "."): Entry(tuple(shape), "float32", lambda s=shape: np.ones(s, np.float32))
                    for name, shape in shapes.items()})


def stack(path="lstm", features=5, hidden=3, gates=4, layers=1, dirs=1, bias=True, projection=0):
    made = {}
    dotted = f"{path}__" if path else ""
    for layer in range(layers):
        for suffix in ("", "_reverse")[:dirs]:
            end = f"l{layer}{suffix}"
            out = projection or hidden
            made[f"{dotted}weight_ih_{end}"] = (gates * hidden, features if layer == 0 else out * dirs)
            made[f"{dotted}weight_hh_{end}"] = (gates * hidden, out)
            if bias:
                made[f"{dotted}bias_ih_{end}"] = made[f"{dotted}bias_hh_{end}"] = (gates * hidden,)
            if projection:
                made[f"{dotted}weight_hr_{end}"] = (projection, hidden)
    return made


def linear(path, inputs, outputs, bias=True):
    return {f"{path}__weight": (outputs, inputs)} | ({f"{path}__bias": (outputs,)} if bias else {})


def nodes(spec):
    """(op, name) of each node."""
    return [(node["op"], node["name"]) for node in spec["nodes"]]


def graph_of(found, **said):
    return validate(graph_from_spec(propose(found, **said), found, IGNORED))


def backwards(shapes):
    return dict(reversed(shapes.items()))


@pytest.mark.parametrize("shapes, expected", [
    (stack(), [("LSTM", "lstm")]),
    (stack("", gates=3), [("GRU", "gru")]),
    (stack(layers=3, dirs=2), [("LSTM", "lstm_l0"), ("LSTM", "lstm_l1"), ("LSTM", "lstm_l2")]),
    (stack(projection=2, layers=2), [("LSTM", "lstm_l0"), ("LSTM", "lstm_l1")]),
    (stack() | linear("fc", 3, 2), [("LSTM", "lstm"), ("Dense", "fc")]),
    (stack(bias=False) | linear("fc", 3, 2, bias=False), [("LSTM", "lstm"), ("Dense", "fc")]),
    (linear("fc", 3, 2) | stack(), [("LSTM", "lstm"), ("Dense", "fc")]),
    (linear("table", 3, 9, bias=False) | stack(), [("LSTM", "lstm"), ("Dense", "table")]),
    (linear("embed", 5, 20, bias=False) | stack() | linear("fc", 3, 2),
     [("Embedding", "embed"), ("LSTM", "lstm"), ("Dense", "fc")]),
    (linear("table", 5, 20, bias=False) | stack() | linear("fc", 3, 2),
     [("Embedding", "table"), ("LSTM", "lstm"), ("Dense", "fc")]),
    (stack("a", 5, 3) | stack("b", 3, 7, gates=3), [("LSTM", "a"), ("GRU", "b")]),
    (stack("b", 3, 7) | stack("a", 5, 3), [("LSTM", "a"), ("LSTM", "b")]),
    ({"cell__weight_ih": (12, 5), "cell__weight_hh": (12, 3), "cell__bias_ih": (12,), "cell__bias_hh": (12,)},
     [("LSTM", "cell")]),
    (stack() | {"bn__num_batches_tracked": (), "lstm__total_ops": (1,)}, [("LSTM", "lstm")]),
], ids=lambda value: "-".join(name for _, name in value) if isinstance(value, list) else "")
def test_chains(shapes, expected):
    """Whatever the order of the tensors in the file, which depends on the container."""
    for order in (shapes, backwards(shapes)):
        found = weights(**order)
        assert nodes(propose(found)) == expected
        graph_of(found)


def test_names_of_values_do_not_collide():
    graph = graph_of(weights(**stack("input", 5, 4), **stack("output", 4, 3)))
    assert [value.name for value in graph.inputs] == ["input"]
    assert [node.outputs for node in graph.nodes] == [("input_",), ("output",)]


def test_a_pool_stands_before_the_head():
    found = weights(**stack(), **linear("fc", 3, 2))
    assert nodes(propose(found, "mean")) == [("LSTM", "lstm"), ("Pool", "pool_mean"), ("Dense", "fc")]
    assert nodes(propose(weights(**stack()), "last")) == [("LSTM", "lstm"), ("Pool", "pool_last")]


def test_float64_weights_make_a_float64_input():
    found = Weights({"weight_ih_l0": Entry((12, 5), "float64", lambda: np.ones((12, 5))),
                     "weight_hh_l0": Entry((12, 3), "float64", lambda: np.ones((12, 3)))})
    assert propose(found)["inputs"][0]["dtype"] == "float64"


FOUND_LSTM = "LSTM 'lstm' 5 -> 3, 1 layer(s)"
NO_CHAIN = "in no order of the layers does each read as many features as the one before it gives"


@pytest.mark.parametrize("shapes, reason, parts, line", [
    (stack() | linear("fc1", 3, 4) | linear("fc2", 4, 2),
     "an activation can stand between the linear layer 'fc1' and 'fc2', which weights do not show",
     f"{FOUND_LSTM}; matrix 'fc1' [4, 3]; matrix 'fc2' [2, 4]",
     "say which: --activation fc1=relu or --activation fc1=none (in Python activations={...}, pool=...); or "),
    (stack() | linear("fc", 4, 2), NO_CHAIN, f"{FOUND_LSTM}; matrix 'fc' [2, 4]", ""),
    (linear("emb", 4, 9, bias=False) | stack(), NO_CHAIN, f"{FOUND_LSTM}; matrix 'emb' [9, 4] without bias", ""),
    (linear("emb_a", 5, 9, bias=False) | linear("emb_b", 5, 9, bias=False) | stack(), NO_CHAIN,
     f"{FOUND_LSTM}; matrix 'emb_a' [9, 5] without bias; matrix 'emb_b' [9, 5] without bias", ""),
    (linear("emb", 5, 5, bias=False) | stack(), "'emb' [5, 5] without bias can be an embedding or a linear layer",
     f"{FOUND_LSTM}; matrix 'emb' [5, 5] without bias", ""),
    (linear("emb", 3, 9, bias=False) | stack("lstm", 3, 3),
     "2 orders of the layers are possible: 'lstm' -> 'emb'; 'emb' -> 'lstm'",
     "LSTM 'lstm' 3 -> 3, 1 layer(s); matrix 'emb' [9, 3] without bias",
     "say which: --order lstm,emb or --order emb,lstm (in Python order=[...]); or "),
    (linear("first", 3, 5) | stack(), "2 orders of the layers are possible: 'lstm' -> 'first'; 'first' -> 'lstm'",
     f"{FOUND_LSTM}; matrix 'first' [5, 3]",
     "say which: --order lstm,first or --order first,lstm (in Python order=[...]); or "),
    (linear("first", 7, 5) | stack(),
     "an activation can stand between the linear layer 'first' and 'lstm', which weights do not show",
     f"{FOUND_LSTM}; matrix 'first' [5, 7]",
     "say which: --activation first=relu or --activation first=none (in Python activations={...}, pool=...); or "),
    (stack("a", 3, 3) | stack("b", 3, 3), "2 orders of the layers are possible: 'a' -> 'b'; 'b' -> 'a'",
     "LSTM 'a' 3 -> 3, 1 layer(s); LSTM 'b' 3 -> 3, 1 layer(s)",
     "say which: --order a,b or --order b,a (in Python order=[...]); or "),
    (stack("rnn2", 3, 3) | stack("rnn1", 3, 3),
     "2 orders of the layers are possible: 'rnn1' -> 'rnn2'; 'rnn2' -> 'rnn1'",
     "LSTM 'rnn1' 3 -> 3, 1 layer(s); LSTM 'rnn2' 3 -> 3, 1 layer(s)",
     "say which: --order rnn1,rnn2 or --order rnn2,rnn1 (in Python order=[...]); or "),
    (stack("a b", 3, 3) | stack("\x1b[2J", 3, 3),
     "2 orders of the layers are possible: '\\x1b[2J' -> 'a b'; 'a b' -> '\\x1b[2J'",
     "LSTM '\\x1b[2J' 3 -> 3, 1 layer(s); LSTM 'a b' 3 -> 3, 1 layer(s)", ""),
    (stack("a", 5, 3) | stack("b", 5, 3), NO_CHAIN, "LSTM 'a' 5 -> 3, 1 layer(s); LSTM 'b' 5 -> 3, 1 layer(s)", ""),
    (stack("encoder", 5, 3) | stack("decoder", 3, 4), "an encoder and a decoder are no chain",
     "LSTM 'decoder' 3 -> 4, 1 layer(s); LSTM 'encoder' 5 -> 3, 1 layer(s)", ""),
    (stack("net__rnn", gates=1),
     "the RNN 'net.rnn' can have tanh, PyTorch's default, or relu inside, which weights do not show",
     "RNN 'net.rnn' 5 -> 3, 1 layer(s)",
     "say which: --activation net.rnn=tanh or --activation net.rnn=relu (in Python activations={...}, pool=...); or "),
])
def test_what_could_be_read_in_two_ways_is_asked(shapes, reason, parts, line):
    """The same question whatever the order of the tensors in the file."""
    for order in (shapes, backwards(shapes)):
        with pytest.raises(UnsupportedError) as caught:
            propose(weights(**order))
        assert str(caught.value) == (f"how the layers are connected is not certain: {reason}. Found: {parts}. "
                                     f"To convert it, {line}{HOW}")


def test_all_questions_come_at_once():
    shapes = stack("rnn", gates=1, dirs=2) | linear("fc1", 6, 4) | linear("fc2", 4, 2)
    with pytest.raises(UnsupportedError) as caught:
        propose(weights(**shapes), "last")
    assert ("say which: --activation rnn=tanh or --activation rnn=relu; --activation fc1=relu or --activation "
            "fc1=none; --pool step for output[:, -1] or --pool state for h_n (in Python ") in str(caught.value)


@pytest.mark.parametrize("order, first", [(["lstm", "fc"], "LSTM"), (("fc", "lstm"), "Dense")])
def test_an_order_settles_the_order(order, first):
    spec = propose(weights(**stack("lstm", 3, 3), **linear("fc", 3, 3)), order=order, activations={"fc": "relu"})
    assert spec["nodes"][0]["op"] == first and {node["op"] for node in spec["nodes"]} == {"LSTM", "Dense"}
    assert not any(note.startswith("the layers run in the order") for note in spec["notes"])


def test_an_order_of_many_layers():
    shapes = {}
    for number in range(12):
        shapes |= stack(f"lstm{number}", 3, 3)
    with pytest.raises(UnsupportedError, match=r"more than 8 layers.*--order a,b,c"):
        propose(weights(**shapes))
    assert str(find_layers(weights(**shapes, **linear("fc", 3, 3)))).endswith("; and 1 more")
    order = [f"lstm{number}" for number in (*range(6, 12), *range(6))]
    assert [name for _, name in nodes(propose(weights(**shapes), order=order))] == order


def test_activations_go_where_they_are_said():
    found = weights(**stack("lstm", 5, 3), **linear("fc1", 3, 4), **linear("fc2", 4, 2))
    spec = propose(found, "max", activations={"lstm": "relu", "fc1": {"name": "leaky_relu", "alpha": 0.2},
                                              "fc2": "none"})
    assert [(node["op"], node.get("activation", node.get("kind"))) for node in spec["nodes"]] == [
        ("LSTM", None), ("Activate", "relu"), ("Pool", "max"), ("Dense", {"name": "leaky_relu", "alpha": 0.2}),
        ("Dense", "linear")]
    assert spec["notes"][2:] == [
        "there is nothing before 'lstm': it reads the input as it is", "there is nothing else between 'lstm' and 'fc1'",
        "there is nothing else between 'fc1' and 'fc2'", "sequences are batch first: [batch, time, features]",
        "every sequence begins with a zero state"]
    validate(graph_from_spec(spec, found, IGNORED))


@pytest.mark.parametrize("name", ["tanh", "relu"])
def test_the_activation_of_an_rnn_is_inside_it(name):
    (node,) = graph_of(weights(**stack("", gates=1, dirs=2)), activations={"rnn": name}).nodes
    assert [str(function) for functions in node.activations for function in functions] == [name, name]


@pytest.mark.parametrize("kind, said, message", [
    (ArgumentError, {"activations": {"head": "relu"}},
     "activations: there is no layer, or more than one, called 'head'; the layers are 'fc', 'rnn'"),
    (ArgumentError, {"activations": {"fc": "rectify"}},
     "activations: 'fc' has 'rectify'; known: none, linear, sigmoid"),
    (ArgumentError, {"activations": {"rnn": "sigmoid"}},
     "activations: the RNN 'rnn' has tanh or relu inside, not 'sigmoid'"),
    (ArgumentTypeError, {"activations": "fc=relu"}, "activations must map names of layers to activations, got str"),
    (ArgumentTypeError, {"order": "rnn,fc"}, "order must be a list of names of layers, got 'rnn,fc'"),
    (ArgumentError, {"order": ["rnn", "head"]},
     "order: there is no layer, or more than one, called 'head'; the layers are 'fc', 'rnn'"),
    (ArgumentError, {"order": ["rnn"]}, "order: every layer must stand in it once; 'fc' [2, 3] does not"),
    (ArgumentError, {"order": ["rnn", "fc", "rnn"]}, "order: every layer must stand in it once; 'rnn' stands twice"),
    (UnsupportedError, {"order": ["fc", "rnn"]},
     "how the layers are connected is not certain: in the order 'fc', 'rnn' a layer reads another number of features"),
])
def test_options_that_do_not_fit(kind, said, message):
    with pytest.raises(kind) as caught:
        propose(weights(**stack("rnn", 5, 3, gates=1), **linear("fc", 3, 2)), **said)
    assert str(caught.value).startswith(message)


def test_two_layers_of_one_name_cannot_be_told_apart():
    """The module that is the whole file is called by its kind, which another may be called too."""
    found = weights(**stack("", 3, 3), **stack("lstm", 3, 3))
    for said in ({"order": ["lstm", "lstm"]}, {"order": ["lstm"]}, {"activations": {"lstm": "relu"}}):
        with pytest.raises(ArgumentError, match="there is no layer, or more than one, called 'lstm'"):
            propose(found, **said)
    with pytest.raises(ArgumentError, match="every layer must stand in it once; '' \\[5, 4\\] without bias does not"):
        propose(weights(**stack("rnn", 4, 3), weight=(5, 4)), order=["embedding", "linear", "rnn"])
    assert nodes(propose(weights(**stack("rnn", 4, 3), weight=(5, 4)), order=["embedding", "rnn"])) \
        == [("Embedding", "embedding"), ("LSTM", "rnn")]


def test_pool_last_after_a_bidirectional_layer_is_asked():
    with pytest.raises(UnsupportedError, match=r"can mean output\[:, -1\], where the reverse direction has seen one "
                                               r"step.*--pool step for output\[:, -1\] or --pool state for h_n"):
        propose(weights(**stack(dirs=2)), "last")
    assert nodes(propose(weights(**stack(dirs=2)), "max"))[-1] == ("Pool", "pool_max")
    assert nodes(propose(weights(**stack(dirs=2)), "step"))[-1] == ("Pool", "pool_step")
    (node,) = propose(weights(**stack(dirs=2)), "state")["nodes"]
    assert node["outputs"] == ["", "output"]


def test_tensors_left_over_are_named():
    with pytest.raises(UnsupportedError) as caught:
        propose(weights(**stack(), norm__weight=(3,), norm__bias=(3,), conv__weight=(4, 5, 3), h0=(1, 1, 3)))
    assert str(caught.value) == ("4 tensor(s) belong to no recurrent, embedding or linear layer: 'conv.weight' "
                                 f"[4, 5, 3], 'h0' [1, 1, 3], 'norm.bias' [3], 'norm.weight' [3]. {EXPORT}")


@pytest.mark.parametrize("change, message", [
    ({"lstm__weight_hh_l0": None}, "recurrent module 'lstm', layer 0: weight_hh is missing; found "
                                   "{'weight_ih': [12, 5], 'bias_ih': [12], 'bias_hh': [12]}"),
    ({"lstm__bias_hh_l0": None}, "recurrent module 'lstm', layer 0: bias_hh is missing; found "
                                 "{'weight_ih': [12, 5], 'weight_hh': [12, 3], 'bias_ih': [12]}"),
    ({"lstm__weight_hh_l0": (10, 3)}, "recurrent module 'lstm', layer 0: weight_ih and weight_hh must have gates*H "
                                      "rows, with 4 gates (LSTM), 3 (GRU) or 1 (RNN); found {'weight_ih': [12, 5], "
                                      "'weight_hh': [10, 3], 'bias_ih': [12], 'bias_hh': [12]}"),
    ({"lstm__bias_ih_l0": (3,)}, "recurrent module 'lstm', layer 0: bias_ih must be [12]; found {'weight_ih': [12, 5], "
                                 "'weight_hh': [12, 3], 'bias_ih': [3], 'bias_hh': [12]}"),
    ({"lstm__bias_ih_l0": (12, 1)}, "recurrent module 'lstm', layer 0: bias_ih must be a vector; found {'weight_ih': "
                                    "[12, 5], 'weight_hh': [12, 3], 'bias_ih': [12, 1], 'bias_hh': [12]}"),
    (stack(layers=3, bias=False) | {"lstm__weight_ih_l1": None, "lstm__weight_hh_l1": None},
     "recurrent module 'lstm', layer 1: its tensors are missing, though the module has 3 layer(s)"),
    (stack(layers=2, bias=False) | {"lstm__weight_ih_l1": (12, 4)},
     "recurrent module 'lstm', layer 1: it reads 4 features and the layer below gives 3"),
    (stack(dirs=2) | {"lstm__weight_ih_l0_reverse": (12, 4)},
     "recurrent module 'lstm', layer 0: the two directions differ in size"),
    ({"lstm__weight_hr_l0": (2, 3)}, "recurrent module 'lstm', layer 0: weight_hh [4*H, P] does not fit weight_hr "
                                     "[P, H]; found {'weight_ih': [12, 5], 'weight_hh': [12, 3], 'bias_ih': [12], "
                                     "'bias_hh': [12], 'weight_hr': [2, 3]}"),
])
def test_an_inconsistent_recurrent_module_is_an_error(change, message):
    shapes = {name: shape for name, shape in (stack() | change).items() if shape is not None}
    with pytest.raises(FormatError) as caught:
        propose(weights(**shapes))
    assert str(caught.value) == message


def test_a_file_without_recurrent_layers():
    message = (r"^no recurrent layer was found among 'fc.weight' \[2, 3\], 'fc.bias' \[2\]; expected names such as "
               r"'lstm.weight_ih_l0' or 'cell.weight_ih'\. .*model.py:build")
    with pytest.raises(UnsupportedError, match=message):
        propose(weights(**linear("fc", 3, 2)))


def test_another_pool_is_an_argument_error():
    with pytest.raises(ArgumentError, match="^pool must be one of last, step, state, mean, max, none, got 'first'$"):
        propose(weights(**stack()), "first")


KNOWN = ("known by the names and sizes of its weights ({} a unit), which a cell of another kind could have too")


def test_notes_say_what_is_taken_for_granted():
    found = weights(**linear("emb", 5, 9, bias=False), **stack("gru", gates=3), **linear("fc", 3, 2))
    assert propose(found)["notes"] == [
        "'emb' is an embedding", f"'gru' is PyTorch's GRU: {KNOWN.format('3 rows')}",
        "the layers run in the order 'emb' -> 'gru' -> 'fc', each once", "there is nothing between 'emb' and 'gru'",
        "there is nothing between 'gru' and 'fc'", "there is no activation after 'fc'",
        "every step is given: no last step, mean or maximum is taken", "sequences are batch first: [batch, time]",
        "every sequence begins with a zero state"]


def test_what_an_option_settles_is_not_taken_for_granted():
    found = weights(**stack("rnn", gates=1), **linear("fc", 3, 2))
    assert propose(found, "last", activations={"fc": "sigmoid", "rnn": "tanh"}, order=["rnn", "fc"])["notes"] == [
        f"'rnn' is PyTorch's RNN: {KNOWN.format('1 row')}",
        "there is nothing before 'rnn': it reads the input as it is",
        "there is nothing else between 'rnn' and 'fc'", "sequences are batch first: [batch, time, features]",
        "every sequence begins with a zero state"]


def test_cells_are_said_to_be_stepped():
    found = weights(cell__weight_ih=(12, 5), cell__weight_hh=(12, 3))
    assert propose(found)["notes"][0] == ("'cell' is PyTorch's LSTMCell, stepped from the first step of a sequence to "
                                          f"its last: {KNOWN.format('4 rows')}")


def test_notes_are_printable_lines_whatever_a_layer_is_called():
    for note in propose(weights(**stack("\x1b]0;x\x07\u202e\u2028"), **linear("fc\t\x9b", 3, 2)))["notes"]:
        assert note.isprintable() and len(note.splitlines()) == 1


@pytest.mark.parametrize("shapes", [
    stack() | linear("fc1", 3, 4) | linear("fc2", 4, 2),
    linear("emb", 5, 9, bias=False) | stack() | linear("fc1", 3, 4) | linear("fc2", 4, 2),
    stack("a", 3, 3) | stack("b", 3, 3),
    stack("rnn", gates=1) | linear("before", 9, 5),
])
def test_a_draft_of_an_ambiguous_file_is_a_chain(shapes):
    specs = []
    for order in (shapes, backwards(shapes)):
        found = weights(**order)
        specs.append(propose_or_draft(found))
        assert specs[-1]["notes"][0].startswith("a draft, to be corrected: how the layers are connected is not certain")
        validate(graph_from_spec(json.loads(json.dumps(specs[-1])), found, IGNORED))
    assert specs[0] == specs[1]


def test_a_draft_names_what_it_could_not_place():
    spec = propose_or_draft(weights(**stack(), norm__weight=(3,)))
    assert spec["notes"][-1] == ("belong to no node yet: 'norm.weight' [3]; give them a node, or name them under "
                                 "\"ignore\"")
    assert spec["ignore"] == []


def test_a_draft_of_nothing_is_refused():
    with pytest.raises(UnsupportedError, match="no recurrent layer was found"):
        propose_or_draft(weights(x=(3,)))
