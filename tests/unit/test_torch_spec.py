"""Spec files: every way to name and lay out an array, the defaults of a chain, and exact errors."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lstm_engine.errors import ArgumentTypeError, FileError, FormatError, UnsupportedError
from lstm_engine.graph.gates import reorder
from lstm_engine.importers import import_graph
from lstm_engine.importers.arrays.spec import graph_from_spec
from lstm_engine.importers.base import ImportOptions
from lstm_engine.importers.reading.spec_file import load_spec
from lstm_engine.importers.reading.weights import Entry, Weights
from lstm_engine.operators import validate

RNG = np.random.default_rng(3)
ARRAYS = {name: RNG.standard_normal(shape).astype(np.float32) for name, shape in {
    "kernel": (5, 12), "recurrent": (3, 12), "bias": (12,), "Wb": (12,), "Rb": (12,), "W": (1, 12, 5), "R": (1, 12, 3),
    "fc.weight": (2, 3), "fc.bias": (2,), "emb.weight": (9, 5), "wih": (9, 5), "whh": (9, 3), "bih": (9,), "bhh": (9,),
    "rnn.weight_ih_l0": (3, 5), "rnn.weight_hh_l0": (3, 3), "rnn.weight_ih_l0_reverse": (3, 5),
    "rnn.weight_hh_l0_reverse": (3, 3), "odd": (7,), "one": (),
}.items()}
INPUT = {"name": "x", "shape": ["batch", "time", 5], "dtype": "float32"}


def weights():
    return Weights({name: Entry(a.shape, "float32", lambda a=a: a) for name, a in ARRAYS.items()})


def build(*nodes, ignore=("*",), **more):
    return graph_from_spec({"inputs": [INPUT], "nodes": list(nodes), "ignore": list(ignore), **more}, weights())


def node(record):
    (made,) = build(record).nodes
    return made


def refused(kind, *nodes, **more):
    with pytest.raises(kind) as caught:
        build(*nodes, **more)
    return str(caught.value)


def test_names_alone_stand_for_arrays_as_they_are():
    made = node({"op": "LSTM", "name": "l", "W": "W", "R": "R"})
    assert made.W is ARRAYS["W"] and made.R is ARRAYS["R"] and made.B is None
    validate(build({"op": "LSTM", "name": "l", "W": "W", "R": "R"}))


def test_a_name_used_twice_is_one_array():
    graph = build({"op": "Embedding", "name": "a", "table": "emb.weight"},
                  {"op": "Embedding", "name": "b", "table": "emb.weight"})
    assert graph.nodes[0].table is graph.nodes[1].table


def test_transposes_gate_orders_stacks_and_concatenations():
    made = node({"op": "LSTM", "name": "l",
                 "W": [{"tensor": "kernel", "transpose": True, "gates": "ifco"}],
                 "R": [{"tensor": "recurrent", "transpose": True, "gates": "ifco"}],
                 "B": [{"concat": [{"tensor": "bias", "gates": "ifco"}, {"zeros": 12}]}]})
    np.testing.assert_array_equal(made.W, reorder(ARRAYS["kernel"].T, "ifco")[None])
    np.testing.assert_array_equal(made.R, reorder(ARRAYS["recurrent"].T, "ifco")[None])
    np.testing.assert_array_equal(made.B, np.concatenate([reorder(ARRAYS["bias"], "ifco"), np.zeros(12)])[None])


def test_torch_layers():
    dense = node({"op": "Dense", "name": "fc", "torch": "fc", "activation": {"name": "leaky_relu", "alpha": 0.2}})
    np.testing.assert_array_equal(dense.kernel, ARRAYS["fc.weight"].T)
    np.testing.assert_array_equal(dense.bias, ARRAYS["fc.bias"])
    assert str(dense.activation) == "leaky_relu(0.2)"
    assert node({"op": "Dense", "name": "fc", "torch": {"weight": "fc.weight"}}).bias is None
    np.testing.assert_array_equal(node({"op": "Embedding", "name": "e", "torch": "emb"}).table, ARRAYS["emb.weight"])


def test_torch_recurrent_layers_by_names_of_ones_own():
    made = node({"op": "GRU", "name": "g", "torch": {"weight_ih": "wih", "weight_hh": "whh", "bias_ih": "bih",
                                                     "bias_hh": "bhh"}})
    assert made.linear_before_reset and made.direction == "forward"
    np.testing.assert_array_equal(made.W[0], reorder(ARRAYS["wih"], "rzh"))
    np.testing.assert_array_equal(made.B[0], np.concatenate([reorder(ARRAYS[b], "rzh") for b in ("bih", "bhh")]))


@pytest.mark.parametrize("direction, names", [
    (None, ["", "_reverse"]), ("bidirectional", ["", "_reverse"]), ("forward", [""]), ("reverse", ["_reverse"])])
def test_directions_of_torch_layers(direction, names):
    record = {"op": "RNN", "name": "r", "torch": "rnn", "layer": 0}
    made = node(record if direction is None else record | {"direction": direction})
    assert made.direction == (direction or "bidirectional")
    np.testing.assert_array_equal(made.W, np.stack([ARRAYS[f"rnn.weight_ih_l0{name}"] for name in names]))


def test_a_chain_needs_no_inputs_and_outputs():
    graph = build({"op": "GRU", "name": "g", "torch": {"weight_ih": "wih", "weight_hh": "whh"}},
                  {"op": "Pool", "name": "last", "kind": "last"}, {"op": "Dense", "name": "fc", "torch": "fc"})
    assert [(n.inputs, n.outputs) for n in graph.nodes] == [(("x",), ("g",)), (("g",), ("last",)), (("last",), ("fc",))]
    assert graph.outputs == ("fc",)
    validate(graph)


def test_constants_of_operators_are_arrays_too():
    made = node({"op": "Operator", "name": "add", "op_type": "Add", "inputs": ["x", ""], "outputs": ["y"],
                 "constants": {"1": "odd"}})
    assert made.constants[1] is ARRAYS["odd"]


RECORD = {"op": "LSTM", "name": "l"}
FORMS = ("must be the name of an array, {\"tensor\": ..., \"transpose\": true, \"gates\": \"ifco\"}, {\"concat\": "
         "[...]}, "
         "{\"zeros\": n} or a list of one per direction; or one of slice, split, permute, reshape, flip, add, "
         "multiply, value (docs/spec.md); got ")


@pytest.mark.parametrize("record, message", [
    (7, "spec: nodes[0]: must be an object, got a int"),
    (RECORD | {"W": 7, "R": "R"}, f"spec: nodes[0] ('l', LSTM): W: {FORMS}7"),
    (RECORD | {"W": {"tensor": "W", "reverse": True}, "R": "R"},
     f"spec: nodes[0] ('l', LSTM): W: {FORMS}{{'tensor': 'W', 'reverse': True}}"),
    (RECORD | {"W": {"zeros": 2**40}, "R": "R"}, f"spec: nodes[0] ('l', LSTM): W: {FORMS}{{'zeros': 1099511627776}}"),
    (RECORD | {"W": {"tensor": "W", "transpose": True}, "R": "R"},
     "spec: nodes[0] ('l', LSTM): W: only a matrix can be transposed, got [1, 12, 5]"),
    (RECORD | {"W": {"tensor": "W", "transpose": "yes"}, "R": "R"},
     "spec: nodes[0] ('l', LSTM): W: \"transpose\" must be true or false"),
    (RECORD | {"W": {"tensor": "kernel", "gates": "ifgo"}, "R": "R"},
     "spec: nodes[0] ('l', LSTM): W: \"gates\" must be an order of the letters iofc, zrh or h, got 'ifgo'"),
    (RECORD | {"W": {"tensor": "kernel", "gates": "iifco"}, "R": "R"},
     "spec: nodes[0] ('l', LSTM): W: \"gates\" must be an order of the letters iofc, zrh or h, got 'iifco'"),
    (RECORD | {"W": {"tensor": "kernel", "gates": "ifco"}, "R": "R"},
     "spec: nodes[0] ('l', LSTM): W: [5, 12] has no 4 gates in its rows"),
    (RECORD | {"W": {"concat": ["W", "odd"]}, "R": "R"},
     "spec: nodes[0] ('l', LSTM): W: arrays of [[1, 12, 5], [7]] cannot be joined"),
    (RECORD | {"torch": "rnn", "W": "W"},
     "spec: nodes[0] ('l', LSTM): \"torch\" stands for W, R, B, P, projection; give one or the other"),
    (RECORD | {"torch": "rnn"}, "spec: nodes[0] ('l', LSTM): the weights are those of RNN, not of LSTM"),
    ({"op": "GRU", "name": "g", "torch": {"weight_ih": "wih", "weight_hh": "whh"}, "linear_before_reset": False},
     "spec: nodes[0] ('g', GRU): PyTorch's GRU always has linear_before_reset true"),
    ({"op": "GRU", "name": "g", "torch": {"weight_ih": "wih", "weight_hh": "whh"}, "direction": "bidirectional"},
     "spec: nodes[0] ('g', GRU): direction 'bidirectional', but arrays of 1 direction(s)"),
    ({"op": "GRU", "name": "g", "torch": {"weight_ih": "wih", "weight_hh": "whh"}, "layer": 0},
     "spec: nodes[0] ('g', GRU): \"layer\" goes with the path of a module, not with names"),
    ({"op": "GRU", "name": "g", "torch": {"weight_ih": "wih", "weights": "whh"}},
     "spec: nodes[0] ('g', GRU): \"torch\" has no 'weights'; known: weight_ih, weight_hh, bias_ih, bias_hh, weight_hr"),
    ({"op": "GRU", "name": "g", "torch": {"weight_hh": "whh"}}, "spec: nodes[0] ('g', GRU): \"torch\" must name "
                                                                "weight_ih"),
    ({"op": "GRU", "name": "g", "torch": 5}, "spec: nodes[0] ('g', GRU): \"torch\" must be the path of a module, or "
                                             "names of arrays by weight_ih, weight_hh, bias_ih, bias_hh, weight_hr"),
    ({"op": "RNN", "name": "r", "torch": "rnn", "layer": "0"},
     "spec: nodes[0] ('r', RNN): \"layer\" must be a number from 0, got '0'"),
    ({"op": "RNN", "name": "r", "torch": "rnn", "direction": []},
     "spec: nodes[0] ('r', RNN): \"direction\" must be a string, got []"),
    ({"op": "Pool", "name": "p", "torch": "p"},
     "spec: nodes[0] ('p', Pool): \"torch\" is for LSTM, GRU, RNN, Dense and Embedding"),
    ({"op": "Dense", "name": "d", "torch": "fc", "layer": 1},
     "spec: nodes[0] ('d', Dense): only a recurrent node has a \"layer\""),
    ({"op": "Dense", "name": "d", "torch": {"weight": "odd"}},
     "spec: nodes[0] ('d', Dense): 'odd' must be a matrix, got [7]"),
])
def test_bad_nodes(record, message):
    assert refused(FormatError, record) == message


def test_a_layer_that_the_file_does_not_have():
    message = refused(FormatError, {"op": "RNN", "name": "r", "torch": "rnn", "layer": 1})
    assert message.startswith("spec: nodes[0] ('r', RNN): no arrays of layer 1 of 'rnn'; there are 'kernel' [5, 12], ")


def test_an_array_that_the_file_does_not_have():
    assert refused(FormatError, RECORD | {"W": "V", "R": "R"}).startswith("no tensor 'V'; there are 'kernel' [5, 12], ")


def test_arrays_of_two_dtypes():
    mixed = Weights({"weight_ih": Entry((9, 5), "float32", lambda: np.ones((9, 5), np.float32)),
                     "weight_hh": Entry((9, 3), "float64", lambda: np.ones((9, 3)))})
    with pytest.raises(FormatError) as caught:
        graph_from_spec({"inputs": [INPUT], "nodes": [{"op": "GRU", "name": "g", "torch": ""}]}, mixed)
    assert str(caught.value) == "spec: nodes[0] ('g', GRU): its arrays must have one dtype, got float32 and float64"


def test_an_expression_nested_too_deeply():
    expression = "W"
    for _ in range(20):
        expression = [expression]
    assert refused(FormatError, RECORD | {"W": expression, "R": "R"}) \
        == "spec: nodes[0] ('l', LSTM): W: nested more than 8 deep"


@pytest.mark.parametrize("more, message", [
    ({"colour": 1}, "spec: unknown key 'colour'; known: ignore, inputs, metadata, nodes, notes, outputs"),
    ({"ignore": "x"}, "spec: \"ignore\" must be a list of patterns"),
    ({"nodes": {}}, "spec: \"nodes\" must be a list"),
])
def test_bad_keys(more, message):
    with pytest.raises(FormatError) as caught:
        graph_from_spec({"inputs": [INPUT], "nodes": []} | more, weights())
    assert str(caught.value) == message


def test_arrays_left_over_are_named_unless_ignored():
    record = {"op": "LSTM", "name": "l", "W": "W", "R": "R"}
    message = refused(UnsupportedError, record, ignore=["rnn.*", "fc.*", "?ih", "?hh", "e*", "*b", "b*"])
    assert message == ("4 tensor(s) belong to no layer: 'kernel' [5, 12], 'recurrent' [3, 12], 'odd' [7], "
                       "'one' []; a spec can place them, or name them under \"ignore\"")


def test_the_codecs_own_errors_come_through():
    message = refused(UnsupportedError, {"op": "Conv", "name": "c"})
    assert message.startswith("config: nodes[0] ('c', 'Conv'): op is not known; known: Embedding, LSTM, GRU, RNN, ")


class TestLoading:
    def test_a_mapping_is_itself(self):
        spec = {"nodes": []}
        assert load_spec(spec) is spec

    def test_a_file(self, tmp_path):
        (tmp_path / "net.json").write_text(json.dumps({"nodes": []}))
        assert load_spec(tmp_path / "net.json") == load_spec(str(tmp_path / "net.json")) == {"nodes": []}

    def test_no_file(self, tmp_path):
        with pytest.raises(FileError, match="cannot read .*net.json: No such file"):
            load_spec(tmp_path / "net.json")

    def test_another_type(self):
        with pytest.raises(ArgumentTypeError, match="^a spec is a mapping or the path of a JSON file, not list$"):
            load_spec([])

    @pytest.mark.parametrize("raw, message", [
        (b"[]", "must be a JSON object, got a list"),
        (b"{\"a\": 1, \"a\": 2}", "the key 'a' appears twice"),
        (b"{\"a\": NaN}", "NaN is no JSON number"),
        (b"{\"a\":" * 100_000, "nested too deeply"),
        (b"{\"a\": " + b"1" * 5000 + b"}", "not JSON: Exceeds the limit (4300 digits) for integer string "
                                           "conversion: value has 5000 digits"),
        (b"\xff", "not UTF-8"),
        (b"{", "not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
    ])
    def test_bad_json(self, tmp_path, raw, message):
        (tmp_path / "net.json").write_bytes(raw)
        with pytest.raises(FormatError) as caught:
            load_spec(tmp_path / "net.json")
        assert str(caught.value).startswith(f"spec {tmp_path / 'net.json'}: {message}")


DENSE = {"inputs": [{"name": "x", "shape": ["batch", 3]}], "nodes": [{"op": "Dense", "name": "fc", "torch": "fc"}]}


class TestHandedOver:
    """Specs as they are given: text of editors, files in the wrong place, mappings that Python cannot print."""

    @pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
    def test_a_byte_order_mark(self, tmp_path, mark):
        (tmp_path / "net.json").write_bytes(mark + json.dumps(DENSE).encode())
        assert load_spec(tmp_path / "net.json") == DENSE

    @pytest.mark.parametrize("data, message", [
        (json.dumps(DENSE).encode("utf-16"), "it is UTF-16, as PowerShell's > writes; write it as UTF-8: lstm-engine "),
        (b"PK\x03\x04\x14\0\0", "must be a JSON object, and is no text, beginning with b'PK"),
        (b"\xef\xbb\xbf\xef\xbb\xbf{}", "not JSON: Unexpected UTF-8 BOM"),
        (b'{"nodes": ' + b"[" * 300 + b"]" * 300 + b"}", "nested more than 64 deep"),
    ])
    def test_files_that_are_no_spec(self, tmp_path, data, message):
        (tmp_path / "net.json").write_bytes(data)
        with pytest.raises(FormatError) as caught:
            load_spec(tmp_path / "net.json")
        assert str(caught.value).startswith(f"spec {tmp_path / 'net.json'}: {message}")

    @pytest.mark.parametrize("depth", [65, 100_000])
    @pytest.mark.parametrize("wrap", [lambda inner: {"flip": inner}, lambda inner: [inner], lambda inner: (inner,)])
    def test_nesting(self, depth, wrap):
        inner = "fc.weight"
        for _ in range(depth):
            inner = wrap(inner)
        with pytest.raises(FormatError, match="^spec: nested more than 64 deep$"):
            load_spec(DENSE | {"notes": inner})
        torch = pytest.importorskip("torch")
        with pytest.raises(FormatError, match="^spec: nested more than 64 deep$"):
            import_graph(torch.nn.Linear(3, 2), ImportOptions(spec=DENSE | {"nodes": [inner]}))

    def test_a_circle_and_shared_parts(self):
        circle = []
        circle.append(circle)
        with pytest.raises(FormatError, match="^spec: nested more than 64 deep$"):
            load_spec(DENSE | {"notes": circle})
        doubled = [0]
        for _ in range(50):
            doubled = [doubled, doubled]
        with pytest.raises(FormatError, match="^spec: more than 8388608 items, counted as often as they are shared$"):
            load_spec(DENSE | {"notes": doubled})

    @pytest.mark.parametrize("place", [{"notes": 10**5000}, {"notes": [{"a": 10**5000}]}, {10**5000: 1},
                                       {"inputs": [{"name": "x", "shape": ["batch", 10**5000]}]}])
    def test_numbers_that_cannot_be_printed(self, place):
        with pytest.raises(FormatError, match="^spec: a whole number of 16610 bits$"):
            load_spec(DENSE | place)
