"""From the names and shapes of a state dict to the one chain they allow, or to a clear refusal."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lstm_engine.errors import ArgumentError, FormatError, UnsupportedError
from lstm_engine.graph import validate
from lstm_engine.importers.arrays.spec import graph_from_spec
from lstm_engine.importers.arrays.weights import Entry, Weights
from lstm_engine.importers.torch.checkpoint import IGNORED
from lstm_engine.importers.torch.draft import propose_or_draft
from lstm_engine.importers.torch.propose import propose

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
    return [(node["op"], node["name"]) for node in spec["nodes"]]


def graph_of(found):
    return validate(graph_from_spec(propose(found), found, IGNORED))


@pytest.mark.parametrize("shapes, expected", [
    (stack(), [("LSTM", "lstm")]),
    (stack("", gates=3), [("GRU", "gru")]),
    (stack("net__rnn", gates=1), [("RNN", "net.rnn")]),
    (stack(layers=3, dirs=2), [("LSTM", "lstm_l0"), ("LSTM", "lstm_l1"), ("LSTM", "lstm_l2")]),
    (stack(projection=2, layers=2), [("LSTM", "lstm_l0"), ("LSTM", "lstm_l1")]),
    (stack() | linear("fc", 3, 2), [("LSTM", "lstm"), ("Dense", "fc")]),
    (stack(bias=False) | linear("fc", 3, 2, bias=False), [("LSTM", "lstm"), ("Dense", "fc")]),
    (linear("fc", 3, 2) | stack(), [("LSTM", "lstm"), ("Dense", "fc")]),
    (linear("embed", 5, 20, bias=False) | stack() | linear("fc", 3, 2),
     [("Embedding", "embed"), ("LSTM", "lstm"), ("Dense", "fc")]),
    (linear("table", 5, 20, bias=False) | stack() | linear("fc", 3, 2),
     [("Embedding", "table"), ("LSTM", "lstm"), ("Dense", "fc")]),
    (stack("a", 5, 3) | stack("b", 3, 7, gates=3), [("LSTM", "a"), ("GRU", "b")]),
    (stack("b", 3, 7) | stack("a", 5, 3), [("LSTM", "a"), ("LSTM", "b")]),
    (stack("lstm1", 4, 4) | stack("lstm2", 4, 4) | stack("lstm10", 4, 4),
     [("LSTM", "lstm1"), ("LSTM", "lstm2"), ("LSTM", "lstm10")]),
    ({"cell__weight_ih": (12, 5), "cell__weight_hh": (12, 3), "cell__bias_ih": (12,), "cell__bias_hh": (12,)},
     [("LSTM", "cell")]),
    (stack() | {"bn__num_batches_tracked": (), "lstm__total_ops": (1,)}, [("LSTM", "lstm")]),
], ids=lambda value: "-".join(name for _, name in value) if isinstance(value, list) else "")
def test_chains(shapes, expected):
    found = weights(**shapes)
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
    found = Weights({"weight_ih_l0": Entry((3, 5), "float64", lambda: np.ones((3, 5))),
                     "weight_hh_l0": Entry((3, 3), "float64", lambda: np.ones((3, 3)))})
    assert propose(found)["inputs"][0]["dtype"] == "float64"


FOUND_LSTM = "LSTM 'lstm' 5 -> 3, 1 layer(s)"


@pytest.mark.parametrize("shapes, reason, parts", [
    (stack() | linear("fc1", 3, 4) | linear("fc2", 4, 2),
     "2 linear layers ('fc1', 'fc2') may have activations between them, which a state dict does not hold",
     f"{FOUND_LSTM}; matrix 'fc1' [4, 3]; matrix 'fc2' [2, 4]"),
    (stack() | linear("fc", 4, 2), "no recurrent layer gives the 4 features that 'fc' reads",
     f"{FOUND_LSTM}; matrix 'fc' [2, 4]"),
    (linear("emb", 4, 9, bias=False) | stack(), "no recurrent layer reads the 4 features of 'emb'",
     f"{FOUND_LSTM}; matrix 'emb' [9, 4] without bias"),
    (linear("emb_a", 5, 9, bias=False) | linear("emb_b", 5, 9, bias=False) | stack(), "there are 2 embeddings",
     f"{FOUND_LSTM}; matrix 'emb_a' [9, 5] without bias; matrix 'emb_b' [9, 5] without bias"),
    (linear("x", 5, 5, bias=False) | stack(), "'x' [5, 5] without bias can be an embedding or a linear layer",
     f"{FOUND_LSTM}; matrix 'x' [5, 5] without bias"),
    (linear("x", 8, 9, bias=False) | stack(), "'x' [9, 8] without bias fits neither before nor after a recurrent layer",
     f"{FOUND_LSTM}; matrix 'x' [9, 8] without bias"),
    (linear("first", 3, 5) | stack(),
     "the linear layer 'first' comes first in the file and fits before a recurrent layer",
     f"{FOUND_LSTM}; matrix 'first' [5, 3]"),
    (stack("a", 3, 3) | stack("b", 3, 3), "2 orders of the recurrent modules are possible",
     "LSTM 'a' 3 -> 3, 1 layer(s); LSTM 'b' 3 -> 3, 1 layer(s)"),
    (stack("rnn2", 3, 3) | stack("rnn1", 3, 3), "2 orders of the recurrent modules are possible",
     "LSTM 'rnn2' 3 -> 3, 1 layer(s); LSTM 'rnn1' 3 -> 3, 1 layer(s)"),
    (stack("a", 5, 3) | stack("b", 5, 3), "the sizes of the recurrent modules let no order of them follow each other",
     "LSTM 'a' 5 -> 3, 1 layer(s); LSTM 'b' 5 -> 3, 1 layer(s)"),
    (stack("encoder", 5, 3) | stack("decoder", 3, 3), "an encoder and a decoder are no chain",
     "LSTM 'encoder' 5 -> 3, 1 layer(s); LSTM 'decoder' 3 -> 3, 1 layer(s)"),
])
def test_what_could_be_connected_in_two_ways_is_refused(shapes, reason, parts):
    with pytest.raises(UnsupportedError) as caught:
        propose(weights(**shapes))
    assert str(caught.value) == (f"how the layers are connected is not certain: {reason}. Found: {parts}. "
                                 f"To convert it, {HOW}")


def test_pool_last_after_a_bidirectional_layer_is_refused():
    with pytest.raises(UnsupportedError, match=r"can mean output\[:, -1\], where the reverse direction has seen one "
                                               r"step"):
        propose(weights(**stack(dirs=2)), "last")
    assert nodes(propose(weights(**stack(dirs=2)), "max"))[-1] == ("Pool", "pool_max")


def test_tensors_left_over_are_named():
    with pytest.raises(UnsupportedError) as caught:
        propose(weights(**stack(), norm__weight=(3,), norm__bias=(3,), conv__weight=(4, 5, 3), h0=(1, 1, 3)))
    assert str(caught.value) == ("4 tensor(s) belong to no recurrent, embedding or linear layer: 'norm.weight' [3], "
                                 f"'norm.bias' [3], 'conv.weight' [4, 5, 3], 'h0' [1, 1, 3]. To convert it, {HOW}")


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
    with pytest.raises(UnsupportedError, match=r"^no recurrent layer was found among 'fc.weight' \[2, 3\], 'fc.bias' "
                                               r"\[2\]; "
                                               "expected names such as 'lstm.weight_ih_l0' or 'cell.weight_ih'$"):
        propose(weights(**linear("fc", 3, 2)))


def test_another_pool_is_an_argument_error():
    with pytest.raises(ArgumentError, match="^pool must be one of last, mean, max, got 'first'$"):
        propose(weights(**stack()), "first")


def test_notes_say_what_is_taken_for_granted():
    notes = propose(weights(**stack("rnn", gates=1), **linear("fc", 3, 2)))["notes"]
    assert [note[:30] for note in notes] == ["no pool: the outputs are those", "RNN 'rnn' is taken to have PyT",
                                             "an activation after the linear"]


@pytest.mark.parametrize("shapes", [
    stack() | linear("fc1", 3, 4) | linear("fc2", 4, 2),
    linear("emb", 5, 9, bias=False) | stack() | linear("fc1", 3, 4) | linear("fc2", 4, 2),
    stack("a", 3, 3) | stack("b", 3, 3),
])
def test_a_draft_of_an_ambiguous_file_is_a_chain_in_the_files_order(shapes):
    found = weights(**shapes)
    spec = propose_or_draft(found)
    assert spec["notes"][0].startswith("a draft, to be corrected: how the layers are connected is not certain")
    validate(graph_from_spec(json.loads(json.dumps(spec)), found, IGNORED))


def test_a_draft_names_what_it_could_not_place():
    spec = propose_or_draft(weights(**stack(), norm__weight=(3,)))
    assert spec["notes"][-1] == ("belong to no node yet: 'norm.weight' [3]; give them a node, or name them under "
                                 "\"ignore\"")
    assert spec["ignore"] == []


def test_a_draft_of_nothing_is_refused():
    with pytest.raises(UnsupportedError, match="no recurrent layer was found"):
        propose_or_draft(weights(x=(3,)))
