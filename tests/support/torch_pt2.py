"""`.pt2` archives made by hand: a small program whose every part can be a lie."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from torch_bytes import archive

FLOAT, LONG, BOOL = 7, 5, 12            # torch's numbers of scalar types
CONFIG = "a/data/weights/model_weights_config.json"
MODEL = "a/models/model.json"


def size(value: int | str) -> dict:
    return {"as_int": value} if isinstance(value, int) else {"as_expr": {
        "expr_str": f"Symbol('{value}', positive=True, integer=True)", "hint": {"as_int": 3}}}


def meta(shape: list, dtype: int = FLOAT) -> dict:
    strides, step = [], 1
    for dim in reversed(shape):
        strides.insert(0, {"as_int": step})
        step *= dim if isinstance(dim, int) else 1
    return {"dtype": dtype, "sizes": [size(dim) for dim in shape], "requires_grad": False,
            "device": {"type": "cpu", "index": None}, "strides": strides, "storage_offset": {"as_int": 0}, "layout": 7}


def tensor(name: str) -> dict:
    return {"as_tensor": {"name": name}}


def node(target: str, outputs: Any, /, **inputs: dict) -> dict:
    """A node of torch.ops.aten; outputs: a name or a list of them."""
    named = [outputs] if isinstance(outputs, str) else outputs
    return {"target": target if target.startswith(("_operator", "torch")) else f"torch.ops.aten.{target}",
            "inputs": [{"name": name, "arg": arg, "kind": 1} for name, arg in inputs.items()],
            "outputs": [tensor(name) for name in named], "metadata": {}, "is_hop_single_tensor_return": None,
            "name": named[0] if named else "none"}


def program(nodes: list, metas: dict, outputs: list[str], weights: dict[str, str] | None = None,
            inputs: tuple[str, ...] = ("x",), **more: Any) -> dict:
    """The JSON of a program. metas: of every value by name. weights: value -> name in the file."""
    weights = weights or {}
    return {
        "graph_module": {
            "graph": {"inputs": [tensor(name) for name in (*weights, *inputs)], "outputs": list(map(tensor, outputs)),
                      "nodes": nodes, "tensor_values": metas, "sym_int_values": {}, "sym_bool_values": {},
                      "is_single_tensor_return": False, "custom_obj_values": {}, "sym_float_values": {}},
            "signature": {
                "input_specs": [{"parameter": {"arg": {"name": value}, "parameter_name": name}}
                                for value, name in weights.items()]
                + [{"user_input": {"arg": tensor(name)}} for name in inputs],
                "output_specs": [{"user_output": {"arg": tensor(name)}} for name in outputs]},
            "module_call_graph": [], "metadata": {}, "treespec_namedtuple_fields": {}},
        "opset_version": {"aten": 10}, "range_constraints": {}, "schema_version": {"major": 8, "minor": 20},
        "verifiers": ["TRAINING"], "torch_version": "2.13.0", "guards_code": [], **more}


def pt2(tree: Any, weights: dict[str, np.ndarray] | None = None, raw: bytes | None = None) -> bytes:
    """The archive of a program and its float32 weights; raw: bytes in place of the program's JSON."""
    arrays = weights or {}
    config = {name: {"path_name": f"weight_{i}", "is_param": True, "use_pickle": False,
                     "tensor_meta": meta(list(array.shape))} for i, (name, array) in enumerate(arrays.items())}
    return archive({CONFIG: json.dumps({"config": config}).encode(),
                    MODEL: json.dumps(tree).encode() if raw is None else raw, "a/byteorder": b"little",
                    **{f"a/data/weights/weight_{i}": array.astype("<f4").tobytes()
                       for i, array in enumerate(arrays.values())}})


def small() -> dict:
    """relu(x W'): a right program of two nodes."""
    return program([node("linear.default", "y", input=tensor("x"), weight=tensor("w")),
                    node("relu.default", "z", self=tensor("y"))],
                   {"x": meta(["s0", 3]), "w": meta([2, 3]), "y": meta(["s0", 2]), "z": meta(["s0", 2])}, ["z"],
                   {"w": "fc.weight"})


def changed(path: tuple, value: Any) -> dict:
    """The small program with one part of it another; path: keys and indices."""
    tree = small()
    at: Any = tree
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return tree


WEIGHTS = {"fc.weight": np.arange(6.0, dtype=np.float32).reshape(2, 3) - 2}
