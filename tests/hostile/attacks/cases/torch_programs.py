"""torch.export's programs in `.pt2` archives, and TorchScript: graphs as data, code never."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from torch_bytes import archive, checkpoint, instance, mapping, pickled, symbol
from torch_pt2 import CONFIG, LONG, MODEL, WEIGHTS, changed, meta, node, program, pt2, small, tensor

from lstm_engine.errors import FormatError, GraphError, UnsupportedError

from ..attack import Table
from ..run import CANARY
from .torch_pickles import GRU, SYSTEM

CALL = f"__import__('os').system('touch {CANARY}')"
CODE = f"class Net(Module):\n  def forward(self, x):\n    open('{CANARY}', 'w')\n    return x\n".encode()
GRAPH = ("graph_module", "graph")
NODES = (*GRAPH, "nodes")

TABLE = Table(".pt2 programs, TorchScript", "model.pt2", lambda: pt2(small(), WEIGHTS))


def refuse(name: str, source: str, path: tuple, value: Any, message: str, error: type = UnsupportedError) -> None:
    TABLE.refuse(name, source, lambda: pt2(changed(path, value), WEIGHTS), error, message)


def made(target: str, result: list, **inputs: Any) -> bytes:
    """A program of one operator that asks for much."""
    return pt2(program([node(target, "y", **inputs)], {"x": meta(["s0", 3]), "w": meta([2, 3]), "y": meta(result)},
                       ["y"], {"w": "fc.weight"}), WEIGHTS)


def weight(path_name: str = "weight_0", pickle: bool = False, **more: Any) -> bytes:
    """The program's archive with another entry for its one weight."""
    entry = {"path_name": path_name, "is_param": True, "use_pickle": pickle, "tensor_meta": {**meta([2, 3]), **more}}
    return archive({CONFIG: json.dumps({"config": {"fc.weight": entry}}).encode(),
                    MODEL: json.dumps(small()).encode(), "a/byteorder": b"little",
                    "a/data/weights/weight_0": WEIGHTS["fc.weight"].astype("<f4").tobytes()})


def doubled() -> bytes:
    """x + x, and again, 60 times: expressions of 2^60 terms for a reader that writes them out."""
    metas = {f"v{i}": meta([1, 3]) for i in range(61)}
    nodes = [node("add.Tensor", f"v{i + 1}", self=tensor(f"v{i}"), other=tensor(f"v{i}")) for i in range(60)]
    return pt2(program(nodes, metas, ["v60"], inputs=("v0",)))


def many(count: int) -> bytes:
    metas = {f"v{i}": meta(["s0", 3]) for i in range(count + 1)}
    return pt2(program([node("neg.default", f"v{i + 1}", self=tensor(f"v{i}")) for i in range(count)], metas,
                       [f"v{count}"], inputs=("v0",)))


def named_size(text: str) -> dict:
    return {"as_expr": {"expr_str": text, "hint": {"as_int": 3}}}


# Code in places where torch evaluates text.
refuse("code as a guard", "CVE-2022-45907's kind: text that torch evaluates", ("guards_code",), [CALL],
       "a condition that cannot be kept here")
refuse("a guard 1,000 brackets deep", "CWE-674 in Python's parser", ("guards_code",), [
    "(" * 1000 + "1" + ")" * 1000 + " == 1"], "a condition that cannot be kept here")
refuse("an operator of another module", "CWE-470", (*NODES, 1, "target"), "os.system",
       "node 'z' (os.system): this operator is not supported")
refuse("a custom object", "CWE-502: torchbind classes", (*NODES, 1, "inputs", 0, "arg"), {
    "as_custom_obj": {"name": "q", "class_fqn": "posix.system"}}, "an argument of the kind 'as_custom_obj'")
refuse("a graph inside an argument", "CWE-674", (*NODES, 1, "inputs", 0, "arg"), {"as_graph": {}},
       "an argument of the kind 'as_graph' is not supported")
refuse("an output that changes the caller's input", "CWE-471", ("graph_module", "signature", "output_specs", 0), {
    "user_input_mutation": {}}, "an output of the kind 'user_input_mutation' is not supported")
TABLE.right("code as the name of a size", "CWE-95: sympy.sympify evaluates text", lambda: pt2(changed(
    (*GRAPH, "tensor_values", "x", "sizes", 0), named_size(CALL)), WEIGHTS), np.maximum(np.ones((2, 3), np.float32)
                                                                            @ WEIGHTS["fc.weight"].T, 0),
    "a symbol like any other")
TABLE.refuse("a weight that is a pickle", "CVE-2025-32434", lambda: weight(pickle=True), UnsupportedError,
             "weight 'fc.weight' is stored as a pickle of its own")

# Lies.
refuse("a value made by no node", "CWE-476", (*NODES, 1, "inputs", 0, "arg"), tensor("nothing"),
       "value 'nothing' is made by no earlier node", FormatError)
refuse("a cycle of nodes", "CWE-835", (*NODES, 0, "inputs", 0, "arg"), tensor("z"),
       "value 'z' is made by no earlier node", FormatError)
refuse("a shape that its operator does not make", "CWE-131", (*GRAPH, "tensor_values", "y"), meta(["s0", 5]),
       "'y' is float32 ['s0', 2], the program says float32 ['s0', 5]", FormatError)
refuse("a type that its operator does not make", "CWE-843", (*GRAPH, "tensor_values", "y"), meta(["s0", 2], LONG),
       "the program says int64 ['s0', 2]", FormatError)
TABLE.refuse("a weight's path of ../../x", "CWE-22", lambda: weight("../../x"), FormatError,
             "zip: no record 'a/data/weights/../../x'")
TABLE.refuse("a weight of negative sizes", "CWE-195", lambda: weight(sizes=[{"as_int": -2}, {"as_int": 3}]),
    FormatError,
             "must be numbers from 0 to 2^48")
TABLE.refuse("a weight read beyond its record", "CWE-125", lambda: weight(storage_offset={"as_int": 1}), FormatError,
             "reads item 6 of storage 'a/data/weights/weight_0', which has 6")
TABLE.refuse("JSON with a key given twice", "parser differentials", lambda: pt2(None, WEIGHTS, b'{"a": 1, "a": 2}'),
             FormatError, "a/models/model.json: the key 'a' appears twice")
TABLE.refuse("JSON nested 100,000 deep", "CWE-674", lambda: pt2(None, WEIGHTS, b"[" * 100_000), FormatError,
             "a/models/model.json: nested too deeply")

# Bombs.
TABLE.refuse("two million empty lists", "CWE-789: 8 MB of JSON, 180 MB of lists", lambda: pt2(
    None, WEIGHTS, b'{"a": [' + b"[]," * 2_000_000 + b"[]]}"), UnsupportedError,
    "more than 600000 lists and objects, or 4000000 values")
TABLE.refuse("20,001 nodes", "CWE-400", lambda: many(20_001), UnsupportedError, "at most 20000 are supported")
TABLE.refuse("ones of 2^60 elements", "CWE-789", lambda: made("ones.default", [2**40, 2**20], size={
    "as_ints": [2**40, 2**20]}), GraphError, "the size of [1099511627776, 1048576] overflows")
TABLE.refuse("arange to 2^62", "CWE-789", lambda: made("arange.start_step", [2**62], start={"as_int": 0}, end={
    "as_int": 2**62}, step={"as_int": 1}), FormatError, "'y' is int64 [4611686018427387904], the program says float32")
TABLE.refuse("a tensor of rank 1,000", "CWE-787", lambda: made("ones.default", [1], size={"as_ints": [1] * 1000}),
             UnsupportedError, "a value of 1000 axes; at most 64 are supported")
TABLE.right("a value doubled 60 times", "CVE-2003-1564, expressions written out", doubled,
            np.full((1, 3), 2.0**60), "2^60, at once")

# TorchScript.
TABLE.refuse("TorchScript code that runs a program", "CWE-94: torch.jit.load runs code/*.py",
    lambda: checkpoint(instance(
    "__torch__", "Net", GRU), **{"code/__torch__.py": CODE, "constants.pkl": pickled(SYSTEM)}), UnsupportedError,
    "a TorchScript archive, whose code is not read", file="model.pt")
TABLE.refuse("a call in TorchScript's data.pkl", "CWE-502", lambda: checkpoint(
    SYSTEM, **{"code/__torch__.py": CODE}), FormatError, "calls 'os.system'", file="model.pt")
TABLE.refuse("a pickled class below __torch__", "CWE-502", lambda: checkpoint(mapping(
    {"w": symbol("__torch__.os", "system")})), UnsupportedError, "the file holds no tensors", file="model.pt")
