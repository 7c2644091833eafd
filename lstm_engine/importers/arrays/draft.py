"""A draft of a spec for arrays whose names say nothing sure: layers as Keras keeps them, by sizes, and what to check.

Arrays with one path but for its end belong together: a matrix [I, g u], a matrix [u, g u] and a bias are a recurrent
layer (g of 4 is LSTM, of 3 GRU, of 1 RNN; a bias [2 g u] is CuDNNLSTM's or CuDNNGRU's), a matrix [in, units] with a
bias [units] or alone is Dense, and one alone whose name speaks of an embedding is that.
"""

from __future__ import annotations

import re
from typing import Any

from ...graph.gates import KERAS_GRU, KERAS_LSTM, ONNX_RNN
from ..reading.weights import FLOATS, Weights, by_number

MAX_NODES = 256
_FIRST = {"Embedding": 0, "Dense": 2}
_KINDS = {4: ("LSTM", KERAS_LSTM), 3: ("GRU", KERAS_GRU), 1: ("RNN", ONNX_RNN)}


def draft_spec(weights: Weights) -> dict[str, Any]:
    """A draft for arrays of any origin; its "notes" say what is not certain. It may have no node at all."""
    groups: dict[str, list[str]] = {}
    for name in sorted(weights.names, key=by_number):
        groups.setdefault(_path(name), []).append(name)
    nodes: list[dict[str, Any]] = []
    rest: list[str] = []
    for path, names in groups.items():
        node = _node(weights, path, names) if len(nodes) < MAX_NODES else None
        if node is None:
            rest += names
        else:
            nodes.append(node)
    nodes.sort(key=lambda node: _FIRST.get(node["op"], 1))
    notes = ["a draft, to be corrected: the file does not say what its arrays are; layers are taken to be Keras's by "
             "their sizes, tables first and dense layers last, else in the order of their names",
             "check the order of the nodes, \"inputs\", \"outputs\", each \"activation\" and the gates (i, f, c, o; "
             "z, r, h), and add what has no weights (Pool, Activate)"]
    if rest:
        notes.append(f"belong to no node yet: {weights.describe(rest, 100)}; give them a node, or name them under "
                     "\"ignore\"")
    return {"inputs": [_input(weights, nodes)], "nodes": nodes, "ignore": [], "notes": notes}


def _path(name: str) -> str:
    head, _, tail = name.rpartition("/") if "/" in name else name.rpartition(".")
    if head:
        return head
    # Names without a path: lstm_kernel, lstm_bias.
    return re.sub(r"_?(recurrent_kernel|recurrent|kernel|embeddings|weights?|bias|[WRUb])$", "", tail)


def _node(weights: Weights, path: str, names: list[str]) -> dict[str, Any] | None:
    """The node of arrays that belong together, None if their sizes are those of no layer."""
    if not all(weights.stored(name) in FLOATS and 0 not in weights.shape(name) for name in names) or len(names) > 3:
        return None
    named = path.removesuffix("/vars").removesuffix("/cell") or "layer"
    matrices = [name for name in names if len(weights.shape(name)) == 2]
    vectors = [name for name in names if len(weights.shape(name)) == 1]
    if len(matrices) > 1:
        return _recurrent(weights, named, matrices, vectors)
    if len(matrices) != 1 or len(vectors) > 1:
        return None
    kernel, = matrices
    if vectors and weights.shape(vectors[0]) != weights.shape(kernel)[1:]:
        return None
    if not vectors and "embed" in kernel.lower():
        return {"op": "Embedding", "name": named, "table": kernel}
    return {"op": "Dense", "name": named, "kernel": kernel, "activation": "linear",
            **({"bias": vectors[0]} if vectors else {})}


def _recurrent(weights: Weights, named: str, matrices: list[str], vectors: list[str]) -> dict[str, Any] | None:
    """A recurrent layer of Keras: kernel, recurrent kernel, and a bias, of a GRU that resets after also of two rows."""
    columns = {weights.shape(name)[1] for name in matrices}
    if len(columns) != 1:
        return None
    wide, = columns
    square = [name for name in matrices if weights.shape(name)[0] in (wide // 4, wide // 3, wide)
              and wide % weights.shape(name)[0] == 0]
    bias = next((name for name in matrices if weights.shape(name)[0] == 2 and len(matrices) == 3), None)
    recurrent = next((name for name in square if "recurrent" in name), square[-1] if square else None)
    if bias == recurrent and bias is not None:
        return None
    kernels = [name for name in matrices if name not in (recurrent, bias)]
    if recurrent is None or len(kernels) != 1 or len(vectors) > 1 or vectors and (
            bias or weights.shape(vectors[0]) not in ((wide,), (2 * wide,))):
        return None
    units = weights.shape(recurrent)[0]
    if wide // units not in _KINDS or bias is not None and wide // units != 3:
        return None
    op, gates = _KINDS[wide // units]
    if vectors and weights.shape(vectors[0]) == (2 * wide,):
        return None if op == "RNN" else _cudnn(weights, op, gates, named, (kernels[0], recurrent, vectors[0]))
    node: dict[str, Any] = {"op": op, "name": named}
    for field, name in (("W", kernels[0]), ("R", recurrent)):
        node[field] = [{"tensor": name, "transpose": True, "gates": gates}]
    if bias is not None:
        node["B"] = [{"concat": [{"tensor": {"reshape": {"slice": bias, "start": row, "stop": row + 1},
                                             "shape": [wide]}, "gates": gates} for row in (0, 1)]}]
    elif vectors:
        node["B"] = [{"concat": [{"tensor": vectors[0], "gates": gates}, {"zeros": wide}]}]
    if op == "GRU":
        node["linear_before_reset"] = bias is not None
    return node


def _named(part: Any) -> str:
    """The array that a part of a node's W is made of."""
    while isinstance(part, dict):
        part = next(part[key] for key in ("tensor", "concat", "reshape", "split") if key in part)
        part = part[0] if isinstance(part, list) else part
    return str(part)


def _cudnn(weights: Weights, op: str, gates: str, named: str, names: tuple[str, str, str]) -> dict[str, Any]:
    """A layer as Keras' CuDNNLSTM and CuDNNGRU keep it: two biases, one behind the other, by which it is told, and the
    matrix of each gate as cuDNN has it, [units, in], under the sizes of the other, [in, units].

    Source: `_convert_rnn_weights` of Keras 2's legacy HDF5 reader.
    """
    kernel, recurrent, bias = names
    units, wide = weights.shape(recurrent)
    node: dict[str, Any] = {"op": op, "name": named}
    for field, name in (("W", kernel), ("R", recurrent)):
        parts = [{"reshape": {"split": name, "axis": 1, "parts": len(gates), "part": part},
                  "shape": [units, weights.shape(name)[0]]} for part in range(len(gates))]
        node[field] = [{"tensor": {"concat": parts}, "gates": gates}]
    node["B"] = [{"concat": [{"tensor": {"slice": bias, "start": half * wide, "stop": (half + 1) * wide},
                              "gates": gates} for half in (0, 1)]}]
    return node | ({"linear_before_reset": True} if op == "GRU" else {})


def _input(weights: Weights, nodes: list[dict[str, Any]]) -> dict[str, Any]:
    first: dict[str, Any] = nodes[0] if nodes else {"op": ""}
    if first["op"] == "Embedding":
        return {"name": "ids", "shape": ["batch", "time"], "dtype": "int32"}
    name = first.get("kernel") or next(map(_named, first.get("W", ())), None)
    return {"name": "x", "shape": ["batch", "time", weights.shape(name)[0] if name else "features"],
            "dtype": weights.dtype(name) if name else "float32"}
