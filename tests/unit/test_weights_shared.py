"""An array that several nodes name is packed once, kept once and stored once, whatever form each node takes it in."""

from __future__ import annotations

import dataclasses
import pickle
import tracemalloc

import numpy as np
import pytest

import lstm_engine as le
from lstm_engine.graph import GRU, LSTM, RNN, Dense, Embedding, Graph, Operator, Value
from lstm_engine.operators import validate

ISAS = le.info()["isas"]
COPIES = 12


def chain(make, count: int = COPIES, x: Value | None = None) -> Graph:
    """`count` nodes of make(name, input, output) after each other, whose weights `make` may share."""
    nodes = tuple(make(f"n{i}", f"v{i}", f"v{i + 1}") for i in range(count))
    return validate(Graph((x or Value("v0", ("batch", "time", 24)),), nodes, (f"v{count}",)))


def apart(graph: Graph) -> Graph:
    """The same graph, each node with arrays of its own."""
    def own(node):
        if isinstance(node, Operator):
            return dataclasses.replace(node, constants={i: array.copy() for i, array in node.constants.items()})
        return dataclasses.replace(node, **{name: array.copy() for name, array in node.tensors().items()})
    return dataclasses.replace(graph, nodes=tuple(map(own, graph.nodes)))


def unique_bytes(graph: Graph) -> int:
    return sum({id(array): array.nbytes for node in graph.nodes for array in node.tensors().values()}.values())


def cells(kind, dtype="float32", **options):
    rng = np.random.default_rng(0)
    dirs = 2 if options.get("direction") == "bidirectional" else 1
    hidden = 24 // dirs
    W = rng.standard_normal((dirs, kind.gates * hidden, 24)).astype(dtype)
    R = rng.standard_normal((dirs, kind.gates * hidden, hidden)).astype(dtype)
    B = rng.standard_normal((dirs, 2 * kind.gates * hidden)).astype(dtype)
    return chain(lambda name, x, y: kind(name=name, inputs=(x,), outputs=(y,), W=W, R=R, B=B, **options),
                 x=Value("v0", ("batch", "time", 24), "float64" if dtype == "float64" else "float32"))


def dense(order: str = "C", dtype="float32"):
    rng = np.random.default_rng(1)
    kernel, bias = np.asarray(rng.standard_normal((24, 24)), dtype, order=order), rng.standard_normal(24).astype(dtype)
    return chain(lambda name, x, y: Dense(name=name, inputs=(x,), outputs=(y,), kernel=kernel, bias=bias))


def views_of_one_matrix():
    """Every node has an object of its own that shows the same memory, as a reader that transposes may leave it."""
    kernel = np.random.default_rng(2).standard_normal((24, 24)).astype("float32")
    return chain(lambda name, x, y: Dense(name=name, inputs=(x,), outputs=(y,), kernel=kernel.T))


def convolutions():
    weight = np.random.default_rng(3).standard_normal((24, 24, 3)).astype("float32")
    return chain(lambda name, x, y: Operator(name=name, inputs=(x, ""), outputs=(y,), op_type="Conv",
                                             constants={1: weight}, attributes={"pads": (1, 1)}),
                 x=Value("v0", ("batch", 24, "time")))


def matrices_of_any_rank():
    """Dense over four axes: rows through the core, between NumPy's operators."""
    kernel = np.random.default_rng(4).standard_normal((24, 24)).astype("float32")
    return chain(lambda name, x, y: Dense(name=name, inputs=(x,), outputs=(y,), kernel=kernel),
                 x=Value("v0", ("batch", "time", 2, 24)))


GRAPHS = {
    "lstm": lambda: cells(LSTM), "lstm, two directions": lambda: cells(LSTM, direction="bidirectional"),
    "gru before": lambda: cells(GRU), "gru after": lambda: cells(GRU, linear_before_reset=True),
    "rnn": lambda: cells(RNN), "float64": lambda: cells(LSTM, "float64"), "float16": lambda: cells(LSTM, "float16"),
    "dense": dense, "dense, columns first": lambda: dense("F"), "dense, float16": lambda: dense(dtype="float16"),
    "views": views_of_one_matrix, "convolutions": convolutions, "four axes": matrices_of_any_rank,
}


def feed(graph: Graph) -> np.ndarray:
    value, = graph.inputs
    shape = [{"batch": 2, "time": 5}.get(dim, dim) for dim in value.shape]
    return np.random.default_rng(5).standard_normal(shape).astype(value.dtype)


@pytest.mark.parametrize("gemm", ["packed", "blas"])
@pytest.mark.parametrize("name", GRAPHS)
def test_packed_once_and_to_the_same_bits(name, gemm, tmp_path):
    graph = GRAPHS[name]()
    single = dataclasses.replace(graph, nodes=graph.nodes[:1], outputs=graph.nodes[0].outputs)
    x = feed(graph)
    for isa in ISAS:
        le.set_isa(isa)
        try:
            model, alone = le.Model(graph, gemm=gemm), le.Model(apart(graph), gemm=gemm)
            first = le.Model(single, gemm=gemm)
        finally:
            le.set_isa(None)
        assert model.memory()["weights"] == first.memory()["weights"]
        assert alone.memory()["weights"] == COPIES * first.memory()["weights"]
        for kind in ("raw", "host_operators"):
            assert model.memory()[kind] == first.memory()[kind]
        for _ in range(3):                                   # the third is a recording, where there are any
            assert model.predict(x).tobytes() == alone.predict(x).tobytes()
    own = model.graph
    assert unique_bytes(own) == unique_bytes(model.graph) == unique_bytes(first.graph)
    model.save(tmp_path / "shared.lstm")
    assert unique_bytes(le.load(tmp_path / "shared.lstm").graph) == unique_bytes(own)
    for again in (le.load(tmp_path / "shared.lstm", gemm=gemm), pickle.loads(pickle.dumps(model))):
        assert again.memory()["weights"] == model.memory()["weights"]
        assert again.predict(x).tobytes() == model.predict(x).tobytes()


def loop(steps: int, values_between: bool) -> Graph:
    """An LSTM cell, a step at a time, as an exporter unrolls it: the state goes from one node to the next. With values
    between, an operator of NumPy's stands after each, so that each cell is a segment of its own."""
    rng = np.random.default_rng(6)
    W, R = (rng.standard_normal((1, 96, 24)).astype("float32") for _ in "WR")
    nodes: list = []
    h = c = ""
    for t in range(steps):
        nodes.append(Operator(name=f"x{t}", inputs=("x", "", "", ""), outputs=(f"x{t}",), op_type="Slice",
                              constants={1: np.array([t]), 2: np.array([t + 1]), 3: np.array([1])}))
        nodes.append(LSTM(name=f"cell{t}", inputs=(f"x{t}", "", h, c), outputs=("", f"h{t}", f"c{t}"), W=W, R=R))
        h, c = f"h{t}", f"c{t}"
        if values_between:
            nodes.append(Operator(name=f"neg{t}", inputs=(h,), outputs=(f"neg{t}",), op_type="Erf"))
            h = f"neg{t}"
    return validate(Graph((Value("x", ("batch", steps, 24)),), tuple(nodes), (h,)))


@pytest.mark.parametrize("values_between", [False, True])
def test_shared_by_the_segments_of_a_plan(values_between):
    graph = loop(COPIES, values_between)
    model, alone = le.Model(graph), le.Model(apart(graph))
    assert model.memory()["weights"] == alone.memory()["weights"] / COPIES
    x = np.random.default_rng(7).standard_normal((3, COPIES, 24)).astype("float32")
    for _ in range(3):
        assert model.predict(x).tobytes() == alone.predict(x).tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_model_of_another_dtype_shares_too(dtype):
    for wide in ("float32", "float64"):
        graph = cells(LSTM, wide)
        one = dataclasses.replace(graph, nodes=graph.nodes[:1], outputs=graph.nodes[0].outputs)
        assert le.Model(graph, dtype=dtype).memory()["weights"] == le.Model(one, dtype=dtype).memory()["weights"]
        assert unique_bytes(le.Model(graph, dtype=dtype).graph) == unique_bytes(le.Model(one, dtype=dtype).graph)


def test_making_a_model_makes_no_copies_for_each_node():
    kernel = np.random.default_rng(8).standard_normal((512, 512)).astype("float16")       # cast for the core, once
    graph = chain(lambda name, x, y: Dense(name=name, inputs=(x,), outputs=(y,), kernel=kernel), 100,
                  Value("v0", ("batch", 512)))
    tracemalloc.start()
    try:
        model = le.Model(graph)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The cast, and what validating and planning 100 nodes takes; the core's own memory is not traced.
    assert peak < 2 * kernel.size * 4 + (2 << 20)
    assert model.memory()["weights"] < 2 * kernel.size * 4


def test_a_table_for_the_core_and_for_numpy():
    table = np.random.default_rng(9).standard_normal((50, 24)).astype("float32")
    nodes = (*(Embedding(name=f"e{i}", inputs=("ids",), outputs=(f"e{i}",), table=table) for i in range(4)),
             *(Embedding(name=f"f{i}", inputs=("flat",), outputs=(f"f{i}",), table=table) for i in range(4)))
    graph = Graph((Value("ids", ("batch", "time"), "int32"), Value("flat", ("rows", "columns"), "int64")), nodes,
                  tuple(node.outputs[0] for node in nodes))
    memory = le.Model(graph).memory()
    assert memory["weights"] <= table.nbytes and memory["raw"] <= table.nbytes


def spec_graph(tmp_path, layer: dict) -> Graph:
    rng = np.random.default_rng(10)
    np.savez(tmp_path / "weights.npz", **{
        "fc.weight": rng.random((24, 24), "f4"), "fc.bias": rng.random(24, "f4"),
        "rnn.weight_ih_l0": rng.random((96, 24), "f4"), "rnn.weight_hh_l0": rng.random((96, 24), "f4")})
    nodes = [{"name": f"n{i}", **layer} for i in range(COPIES)]
    return le.convert(tmp_path / "weights.npz", spec={
        "inputs": [{"name": "x", "shape": ["batch", "time", 24]}], "nodes": nodes,
        "ignore": ["fc.*", "rnn.*"]}).graph


@pytest.mark.parametrize("layer", [
    {"op": "Dense", "torch": "fc"}, {"op": "LSTM", "torch": "rnn"},
    {"op": "Dense", "kernel": {"tensor": "fc.weight", "transpose": True}, "bias": "fc.bias"},
    {"op": "LSTM", "W": [{"tensor": "rnn.weight_ih_l0", "gates": "ifco"}],
     "R": [{"tensor": "rnn.weight_hh_l0", "gates": "ifco"}], "B": [{"zeros": 192}]}])
def test_nodes_of_a_spec_that_say_the_same_share(layer, tmp_path):
    graph = spec_graph(tmp_path, layer)
    first = dataclasses.replace(graph, nodes=graph.nodes[:1])
    assert len(graph.nodes) == COPIES and unique_bytes(graph) == unique_bytes(first)


@pytest.mark.parametrize("bias", [{"concat": ["fc.bias"] * 100_000}, {"concat": [{"zeros": 1 << 24}] * 100}])
def test_a_spec_cannot_make_a_small_file_large(bias, tmp_path):
    """100 KB of JSON would otherwise join 2 GB, or 6 GB of zeros."""
    rows = np.zeros((1, 6000), "f4")
    np.savez(tmp_path / "weights.npz", **{"fc.weight": rows, "fc.bias": rows[0]})
    node = {"name": "n", "op": "Dense", "kernel": "fc.weight", "bias": bias}
    with pytest.raises(le.FormatError, match=r"spec: nodes\[0\] .*bias: the spec makes more than 256 MiB and 16 times"):
        le.convert(tmp_path / "weights.npz", spec={"inputs": [{"name": "x", "shape": ["batch", 1]}], "nodes": [node]})
