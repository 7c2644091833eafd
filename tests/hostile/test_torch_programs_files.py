"""Programs in `.pt2` archives that contradict themselves, ask for what is not there, or for too much."""

from __future__ import annotations

import copy
import json
import tracemalloc

import numpy as np
import pytest
from torch_bytes import write
from torch_pt2 import BOOL, LONG, WEIGHTS, changed, meta, node, program, pt2, size, small, tensor

import lstm_engine as le
from lstm_engine.errors import FormatError, LstmEngineError, UnsupportedError
from lstm_engine.importers import torch as importer


def read(tmp_path, tree, weights=WEIGHTS, raw=None):
    return importer.read(write(tmp_path, pt2(tree, weights, raw), "bad.pt2"))


def refused(tmp_path, tree, kind=FormatError, weights=WEIGHTS, raw=None):
    with pytest.raises(kind) as caught:
        read(tmp_path, tree, weights, raw)
    return str(caught.value).removeprefix(f"{tmp_path / 'bad.pt2'}: ")


RELU, LINEAR = "node 'z' (torch.ops.aten.relu.default)", "node 'y' (torch.ops.aten.linear.default)"
GRAPH = ("graph_module", "graph")
NODES = (*GRAPH, "nodes")


def test_the_program_that_the_lies_are_made_of_is_right(tmp_path):
    model = le.Model(read(tmp_path, small()))
    x = np.array([[1.0, -2.0, 0.5], [3.0, 0.25, -1.0]], np.float32)
    np.testing.assert_array_equal(model.predict(x), np.maximum(x @ WEIGHTS["fc.weight"].T, 0))


@pytest.mark.parametrize("path, value, message", [
    ((*NODES, 1, "target"), "torch.ops.aten.relu_and_run.default",
     "node 'z' (torch.ops.aten.relu_and_run.default): this operator is not supported"),
    ((*NODES, 1, "target"), "os.system", "node 'z' (os.system): this operator is not supported"),
    ((*NODES, 1, "target"), "torch.ops.higher_order.while_loop",
     "node 'z' (torch.ops.higher_order.while_loop): this operator is not supported: a branch or loop on values is not "
     "supported; compute both sides and torch.where"),
    ((*NODES, 1, "target"), "torch.ops.aten.rand_like.default",
     "node 'z' (torch.ops.aten.rand_like.default): this operator is not supported: it draws random numbers, and a "
     "converted model gives one answer: in eval mode take the mean or the greatest, or give the noise as an input"),
    ((*NODES, 1, "target"), "torch.ops.aten.as_strided.default",
     "node 'z' (torch.ops.aten.as_strided.default): this operator is not supported: it reads the memory of a tensor in "
     "another layout; use view, permute and slices"),
    ((*NODES, 1, "target"), "torch.ops.aten.fft_rfft.default",
     "node 'z' (torch.ops.aten.fft_rfft.default): this operator is not supported: complex numbers are not supported; "
     "transform the signal before the model, or by products with cosines and sines"),
    ((*NODES, 1, "target"), "torch.ops.quantized_decomposed.quantize_per_tensor.default",
     "node 'z' (torch.ops.quantized_decomposed.quantize_per_tensor.default): this operator is not supported: quantised "
     "tensors are not supported; convert the module as it was before they were made"),
    ((*NODES, 1, "target"), "torch.ops.aten.to_sparse.default",
     "node 'z' (torch.ops.aten.to_sparse.default): this operator is not supported: sparse tensors are not supported; "
     "use dense ones"),
    ((*NODES, 1, "target"), "torch.ops.aten.item.default",
     "node 'z' (torch.ops.aten.item.default): this operator is not supported: a number taken out of a tensor is known "
     "only when the model runs; keep it in a tensor"),
    ((*NODES, 1, "target"), "torch.ops.aten.nonzero.default",
     "node 'z' (torch.ops.aten.nonzero.default): this operator is not supported: the size of its result is known only "
     "when the model runs; use torch.where and masks"),
    (("schema_version",), {"major": 99, "minor": 0}, "the program is of schema version 99; version 8 is supported: "
     "load and save it with torch 2.9 or later"),
    ((*NODES, 1, "inputs", 0, "arg"), {"as_custom_obj": {"name": "q", "class_fqn": "posix.system"}},
     "node 'z' (torch.ops.aten.relu.default): an argument of the kind 'as_custom_obj' is not supported"),
    ((*NODES, 1, "inputs", 0, "arg"), {"as_graph": {}},
     "node 'z' (torch.ops.aten.relu.default): an argument of the kind 'as_graph' is not supported"),
    (("graph_module", "signature", "output_specs", 0), {"buffer_mutation": {"arg": {"name": "z"}, "buffer_name": "n"}},
     "the program changes its buffer 'n' with each call, so its answers depend on the calls before; return the new "
     "state as an output, give it as an input"),
    (("graph_module", "signature", "output_specs", 0), {"user_input_mutation": {}},
     "an output of the kind 'user_input_mutation' is not supported: a converted model changes neither its inputs nor "
     "its weights"),
    ((*GRAPH, "tensor_values", "x", "dtype"), 9, "input 'x' is of scalar type 9; supported: float32, float64, int32, "
     "int64, uint8, bool, float16, int8, int16, uint16, uint32, uint64"),
    (("guards_code",), ["__import__('os').system('true')"], "the program holds only where "
     "__import__('os').system('true'), a condition that cannot be kept here"),
    (("guards_code",), ["(" * 1000 + "1" + ")" * 1000 + " == 1"], None),
    (("guards_code",), ["L['x'].size()[9] == 3"], "the program holds only where L['x'].size()[9] == 3, a condition "
     "that cannot be kept here"),
])
def test_what_is_not_supported(tmp_path, path, value, message):
    found = refused(tmp_path, changed(path, value), UnsupportedError)
    assert message is None or found == message


@pytest.mark.parametrize("path, value, message", [
    ((*NODES, 0, "inputs", 0, "arg"), tensor("z"), "node 'y' (torch.ops.aten.linear.default): value 'z' is made by no "
     "earlier node and is no input"),
    ((*NODES, 1, "inputs", 0, "arg"), tensor("nothing"), "node 'z' (torch.ops.aten.relu.default): value 'nothing' is "
     "made by no earlier node and is no input"),
    ((*NODES, 1, "outputs", 0), tensor("y"), "node 'z' (torch.ops.aten.relu.default): value 'y' is made twice"),
    ((*NODES, 1, "outputs", 0), tensor("x"), "node 'z' (torch.ops.aten.relu.default): value 'x' is made twice"),
    ((*GRAPH, "outputs", 0), tensor("nowhere"), "the graph's outputs: value 'nowhere' is made by no earlier node and "
     "is no input"),
    ((*GRAPH, "tensor_values", "y"), meta(["s0", 5]), "node 'y' (torch.ops.aten.linear.default): 'y' is float32 "
     "['s0', 2], the program says float32 ['s0', 5]"),
    ((*GRAPH, "tensor_values", "y"), meta(["s0", 2], LONG), "node 'y' (torch.ops.aten.linear.default): 'y' is float32 "
     "['s0', 2], the program says int64 ['s0', 2]"),
    ((*GRAPH, "tensor_values", "y"), meta(["s0", 2, 1]), "node 'y' (torch.ops.aten.linear.default): 'y' is float32 "
     "['s0', 2], the program says float32 ['s0', 2, 1]"),
    ((*GRAPH, "tensor_values", "w"), meta([3, 3]), "tensor 'fc.weight': 'w' is float32 [2, 3], the program says "
     "float32 [3, 3]"),
    ((*GRAPH, "tensor_values", "x"), meta(["s0", 4]), None),
    ((*NODES, 0, "inputs", 1, "name"), "input", f"model.json: {LINEAR}: argument 'input' is given twice"),
    ((*NODES, 0, "inputs", 1, "name"), "wait", f"{LINEAR}: argument 'weight' is missing"),
    ((*NODES, 1, "inputs", 0, "arg"), {"as_int": 3}, f"{RELU}: argument 'self' must be a tensor, got 3"),
    ((*NODES, 1, "inputs", 0, "arg"), {"as_int": 1, "as_bool": True}, "model.json: an argument of node 'z' "
     "(torch.ops.aten.relu.default) must hold exactly one kind"),
    ((*NODES, 1, "inputs", 0, "arg"), {"as_int": 2**70}, None),
    ((*NODES, 1, "outputs"), [tensor("z"), tensor("v")], f"{RELU}: makes 1 values, 2 are named"),
    ((*NODES, 1, "outputs"), [], None),
    (("graph_module", "signature", "input_specs", 0, "parameter", "parameter_name"), "absent", "the program names the "
     "tensor 'absent', which the archive does not hold"),
    (("graph_module", "signature", "input_specs", 0, "parameter", "arg"), {"name": "x"}, None),
    (("graph_module", "signature", "input_specs"), [], "model.json: 2 inputs, 0 entries in input_specs"),
    (("graph_module", "graph"), [], "model.json: graph_module must have 'graph', a JSON object"),
    (("range_constraints",), {"s0": {"min_val": "a"}}, "model.json: range_constraints of 's0' must hold min_val and "
     "max_val"),
    (("guards_code",), "all", None),
    (("guards_code",), ["2 == 3"], "the program holds only where 2 == 3, which its own inputs contradict"),
])
def test_contradictions(tmp_path, path, value, message):
    found = refused(tmp_path, changed(path, value))
    assert message is None or found == message


@pytest.mark.parametrize("raw, message", [
    (b"{", "a/models/model.json: not JSON: "),
    (b'{"a": 1, "a": 2}', "a/models/model.json: the key 'a' appears twice"),
    (b'{"a": NaN}', "a/models/model.json: NaN is no JSON number"),
    (b"[" * 100_000, "a/models/model.json: nested too deeply"),
    (b"[]", "a/models/model.json: must be a JSON object, got a list"),
])
def test_bad_json(tmp_path, raw, message):
    assert refused(tmp_path, None, raw=raw).startswith(message)


def test_json_that_would_take_much_more_memory_than_its_bytes(tmp_path):
    raw = b"{\"a\": [" + b"[]," * 2_000_000 + b"[]]}"
    tracemalloc.start()
    message = refused(tmp_path, None, UnsupportedError, raw=raw)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert message == "a/models/model.json: more than 600000 lists and objects, or 4000000 values"
    assert peak < 64 << 20


def test_arguments_that_are_not_read_are_refused(tmp_path):
    tree = small()
    tree["graph_module"]["graph"]["nodes"][1]["inputs"].append({"name": "approximately", "arg": {"as_bool": True}})
    assert refused(tmp_path, tree, UnsupportedError) \
        == "node 'z' (torch.ops.aten.relu.default): argument 'approximately' = True is not supported"


def test_where_a_tensor_is_kept_does_not_matter(tmp_path):
    tree = small()
    tree["graph_module"]["graph"]["nodes"][1]["inputs"] += [
        {"name": "device", "arg": {"as_device": {"type": "cuda", "index": 3}}, "kind": 2},
        {"name": "memory_format", "arg": {"as_memory_format": 1}, "kind": 2}]
    assert read(tmp_path, tree).outputs == ("z",)


def in_place(view, reader):
    """x.add_ on a view of a fresh tensor that `reader` sees afterwards."""
    metas = {name: meta(["s0", 3]) for name in ("x", "fresh", "view", "changed", "z")}
    return program([node("mul.Tensor", "fresh", self=tensor("x"), other={"as_int": 2}),
                    node("alias.default", "view", self=tensor("fresh")),
                    node("add_.Tensor", "changed", self=tensor(view), other={"as_int": 1}),
                    node("neg.default", "z", self=tensor(reader))], metas, ["z"])


@pytest.mark.parametrize("view, reader, right", [("view", "changed", True), ("view", "view", True),
                                                 ("view", "fresh", True), ("fresh", "view", True),
                                                 ("x", "x", False)])
def test_changes_in_place(tmp_path, view, reader, right):
    tree = in_place(view, reader)
    if right:
        x = np.array([[1.0, 2.0, 4.0]], np.float32)
        np.testing.assert_array_equal(le.Model(read(tmp_path, tree)).predict(x), -(2 * x + 1))
    else:
        message = refused(tmp_path, tree, UnsupportedError)
        assert message.startswith("node 'changed' (torch.ops.aten.add_.Tensor): it changes a tensor in place that is "
                                  "seen through ")


def deep(count):
    """A write through so many views, one of the other, of a fresh tensor that is read afterwards."""
    names = [f"view{i}" for i in range(count)]
    metas = {name: meta(["s0", 3]) for name in ("x", "fresh", *names, "changed", "z")}
    views = [node("alias.default", name, self=tensor(of)) for name, of in zip(names, ["fresh", *names])]
    return program([node("mul.Tensor", "fresh", self=tensor("x"), other={"as_int": 2}), *views,
                    node("add_.Tensor", "changed", self=tensor(names[-1]), other={"as_int": 1}),
                    node("neg.default", "z", self=tensor("fresh"))], metas, ["z"])


def test_views_of_views(tmp_path):
    x = np.array([[1.0, 2.0, 4.0]], np.float32)
    np.testing.assert_array_equal(le.Model(read(tmp_path, deep(300))).predict(x), -(2 * x + 1))
    message = refused(tmp_path, deep(3000), UnsupportedError)
    assert message.startswith("node 'changed' (torch.ops.aten.add_.Tensor): it changes a view of more than ")


@pytest.mark.parametrize("strides", [None, [], {}, ["1", "1"], [{"as_int": -1}, {"as_int": 1}], [{}, {}],
                                     [{"as_expr": {"expr_str": "Mul(" * 1000}}, {"as_int": 1}],
                                     [{"as_expr": {"expr_str": "Mul(Integer(3), f('x'))"}}, {"as_int": 1}]])
def test_strides_that_tell_nothing(tmp_path, strides):
    """What may be a copy or a view is neither: a write that is seen through it is refused."""
    tree = in_place("view", "fresh")
    graph = tree["graph_module"]["graph"]
    graph["nodes"][1] = node("contiguous.default", "view", self=tensor("fresh"))
    graph["tensor_values"]["view"]["strides"] = strides
    assert "which may share its memory" in refused(tmp_path, tree, UnsupportedError)


def looped(count):
    metas = {f"v{i}": meta(["s0", 3]) for i in range(count + 1)}
    return program([node("neg.default", f"v{i + 1}", self=tensor(f"v{i}")) for i in range(count)], metas,
                   [f"v{count}"], inputs=("v0",))


def test_many_nodes(tmp_path):
    assert len(read(tmp_path, looped(3000)).nodes) == 3000
    assert refused(tmp_path, looped(20_001), UnsupportedError) \
        == "the program has 20001 nodes; at most 20000 are supported"


@pytest.mark.parametrize("target, inputs, result", [
    ("ones.default", {"size": {"as_ints": [2**40, 2**20]}}, [2**40, 2**20]),
    ("ones.default", {"size": {"as_ints": [1] * 1000}}, [1]),
    ("arange.start_step", {"start": {"as_int": 0}, "end": {"as_int": 2**62}, "step": {"as_int": 1}}, [2**62]),
    ("arange.start_step", {"start": {"as_float": 0.0}, "end": {"as_float": "Infinity"}, "step": {"as_int": 1}}, [1]),
    ("full.default", {"size": {"as_ints": [3]}, "fill_value": {"as_int": 2**62}, "dtype": {"as_scalar_type": 4}}, [3]),
    ("unbind.int", {"self": tensor("x"), "dim": {"as_int": 1}}, [3]),
    ("split.Tensor", {"self": tensor("x"), "split_size": {"as_int": 0}, "dim": {"as_int": 1}}, [3]),
    ("select.int", {"self": tensor("x"), "dim": {"as_int": 7}, "index": {"as_int": 0}}, [3]),
    ("select.int", {"self": tensor("w"), "dim": {"as_int": 0}, "index": {"as_int": 7}}, [3]),
    ("permute.default", {"self": tensor("x"), "dims": {"as_ints": [0, 0]}}, ["s0", 3]),
    ("view.default", {"self": tensor("w"), "size": {"as_ints": [-1, -1]}}, [2, 3]),
    ("view.default", {"self": tensor("w"), "size": {"as_ints": [-5, 3]}}, [2, 3]),
    ("embedding.default", {"weight": tensor("w"), "indices": tensor("x")}, ["s0", 3, 3]),
    ("lstm.input", {"input": tensor("x"), "hx": {"as_tensors": [{"name": "x"}]}, "params": {"as_tensors": []}}, [3]),
    ("conv1d.default", {"input": tensor("x"), "weight": tensor("w")}, [3]),
    ("layer_norm.default", {"input": tensor("x"), "normalized_shape": {"as_ints": [7]}}, ["s0", 3]),
])
def test_arguments_out_of_range(tmp_path, target, inputs, result):
    """A typed error or, where a size is only too large to be made, an error when it is; quickly, in little memory."""
    tree = program([node(target, "y", **inputs)], {"x": meta(["s0", 3]), "w": meta([2, 3]), "y": meta(result)}, ["y"],
                   {"w": "fc.weight"})
    tracemalloc.start()
    with pytest.raises(LstmEngineError):
        le.Model(read(tmp_path, tree)).predict(np.zeros((2, 3), np.float32))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 << 20


def test_the_same_weights_in_thousands_of_layers(tmp_path):
    """Weights are put in order once for each set of them, however many layers have it."""
    weight = np.zeros((4 * 64, 64), np.float32)
    metas = {"x": meta(["t", "b", 64]), "w": meta([256, 64]), "v": meta([256, 64]), "h": meta([1, "b", 64])}
    nodes = []
    for i in range(500):
        outputs = [f"y{i}", f"h{i}", f"c{i}"]
        metas |= {outputs[0]: meta(["t", "b", 64]), outputs[1]: meta([1, "b", 64]), outputs[2]: meta([1, "b", 64])}
        nodes.append(node("lstm.input", outputs, input=tensor(f"y{i - 1}" if i else "x"),
                          hx={"as_tensors": [{"name": "h"}] * 2}, params={"as_tensors": [{"name": "w"}, {"name": "v"}]},
                          has_biases={"as_bool": False}, num_layers={"as_int": 1}, dropout={"as_float": 0.0},
                          train={"as_bool": False}, bidirectional={"as_bool": False}, batch_first={"as_bool": False}))
    tree = program(nodes, metas, ["y499"], {"w": "w", "v": "v"}, ("x", "h"))
    tracemalloc.start()
    graph = read(tmp_path, tree, {"w": weight, "v": weight})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len({id(node.W) for node in graph.nodes if node.op == "LSTM"}) == 1
    assert peak < 64 << 20


def test_every_truncated_and_changed_program_is_an_error_or_reads(tmp_path):
    """Whatever stands in the JSON: a typed error, or a graph."""
    tree = small()
    paths = list(walk(tree))
    for path in paths:
        for value in (None, -1, "", [], {}, "s0", 2**63, True):
            broken = copy.deepcopy(tree)
            at = broken
            for key in path[:-1]:
                at = at[key]
            at[path[-1]] = value
            try:
                read(tmp_path, broken)
            except (FormatError, UnsupportedError):
                pass
    text = json.dumps(tree).encode()
    for length in range(0, len(text), 97):
        refused(tmp_path, None, raw=text[:length])


def walk(tree, path=()):
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield (*path, key)
        if isinstance(value, (dict, list)):
            yield from walk(value, (*path, key))


def test_comparisons_are_of_the_dtype_that_they_are(tmp_path):
    tree = program([node("gt.Scalar", "y", self=tensor("x"), other={"as_int": 0})],
                   {"x": meta(["s0", 3]), "y": meta(["s0", 3], BOOL)}, ["y"])
    assert le.Model(read(tmp_path, tree)).predict(np.array([[1, -1, 0]], np.float32)).tolist() == [[True, False, False]]
    assert size("s0")["as_expr"]["expr_str"].startswith("Symbol('s0'")
