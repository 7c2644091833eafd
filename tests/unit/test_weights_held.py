"""A model holds its matrices packed alone: what it gives back, what it keeps, and what it no longer depends on."""

import dataclasses
import gc
import os
import pickle
import subprocess
import sys
import weakref

import numpy as np
import pytest

import lstm_engine as le
from lstm_engine import format
from lstm_engine.graph import GRU, LSTM, RNN, SIGMOID, Dense, Embedding, Graph, Operator, Pool, Value
from lstm_engine.operators import validate

ISAS = le.info()["isas"]


def weight(rng, dtype, *shape):
    """Numbers of every kind a file may hold: signed zeros, denormals, infinities, NaN with a payload."""
    array = rng.standard_normal(shape).astype(dtype)
    if dtype != "float16":
        odd = np.array([-0.0, np.inf, -np.inf, np.finfo(dtype).tiny / 4, np.nan], dtype)
        array.reshape(-1)[:5] = odd[:array.size]
    return array


def recurrent(kind, rng, dtype, features, hidden, *, dirs=1, proj=None, **options):
    out = proj or hidden
    tensors = {"W": weight(rng, dtype, dirs, kind.gates * hidden, features),
               "R": weight(rng, dtype, dirs, kind.gates * hidden, out),
               "B": weight(rng, dtype, dirs, 2 * kind.gates * hidden)}
    if proj:
        tensors["projection"] = weight(rng, dtype, dirs, proj, hidden)
    if options.pop("peepholes", False):
        tensors["P"] = weight(rng, dtype, dirs, 3 * hidden)
    return kind(name="cell", inputs=("x",), outputs=("y",), direction="bidirectional" if dirs == 2 else "forward",
                **tensors, **options)


CELLS = {
    "lstm": dict(kind=LSTM), "lstm two directions": dict(kind=LSTM, dirs=2), "projection": dict(kind=LSTM, proj=5),
    "projection two directions": dict(kind=LSTM, proj=70, dirs=2), "peepholes": dict(kind=LSTM, peepholes=True),
    "gru before": dict(kind=GRU), "gru after": dict(kind=GRU, linear_before_reset=True, dirs=2),
    "gru before two directions": dict(kind=GRU, dirs=2), "rnn": dict(kind=RNN, dirs=2),
}


def same(graph: Graph, other: Graph) -> None:
    """The same graph to the bit, of the same bytes on disk."""
    assert len(graph.nodes) == len(other.nodes)
    for node, own in zip(graph.nodes, other.nodes):
        assert node.tensors().keys() == own.tensors().keys()
        for name, array in node.tensors().items():
            given = own.tensors()[name]
            assert given.dtype == array.dtype and given.shape == array.shape
            assert given.tobytes() == array.tobytes(), f"{node.name}.{name}"


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("cell", CELLS)
def test_recurrent_weights_come_back_to_the_bit(cell, isa):
    rng = np.random.default_rng(0)
    le.set_isa(isa)
    try:
        for features, hidden, dtype in ((3, 1, "float32"), (17, 33, "float32"), (64, 16, "float16"),
                                        (5, 70, "float64")):
            options = dict(CELLS[cell])
            node = recurrent(options.pop("kind"), rng, dtype, features, hidden, **options)
            graph = validate(Graph((Value("x", ("batch", "time", features)),), (node,), ("y",)))
            same(graph, le.Model(graph).graph)
    finally:
        le.set_isa(None)


@pytest.mark.parametrize("gemm", ["packed", "blas"])
def test_tables_and_kernels_come_back_to_the_bit(gemm):
    rng = np.random.default_rng(1)
    nodes = (Embedding(name="e", inputs=("ids",), outputs=("a",), table=weight(rng, "float32", 11, 7)),
             Dense(name="d", inputs=("a",), outputs=("b",), kernel=weight(rng, "float32", 7, 130),
                   bias=weight(rng, "float32", 130)),
             Dense(name="one", inputs=("b",), outputs=("c",), kernel=weight(rng, "float32", 130, 1)))
    graph = validate(Graph((Value("ids", ("batch", "time"), "int32"),), nodes, ("c",)))
    same(graph, le.Model(graph, gemm=gemm).graph)


def tied_graph(rng):
    """An embedding and a layer of NumPy's that share a table; two dense layers that share a kernel and a bias."""
    table, kernel, bias = rng.random((6, 4), "f4"), rng.random((4, 4), "f4"), rng.random(4, "f4")
    nodes = (Embedding(name="e", inputs=("ids",), outputs=("a",), table=table),
             Operator(name="g", op_type="Gather", inputs=("", "ids"), outputs=("b",), constants={0: table}),
             Dense(name="d1", inputs=("a",), outputs=("c",), kernel=kernel, bias=bias),
             Dense(name="d2", inputs=("c",), outputs=("d",), kernel=kernel, bias=bias, activation=SIGMOID))
    return validate(Graph((Value("ids", ("batch", "time"), "int32"),), nodes, ("b", "d")))


def test_shared_weights_stay_shared(tmp_path):
    graph = tied_graph(np.random.default_rng(2))
    model = le.Model(graph)
    own = model.graph
    same(graph, own)
    e, g, d1, d2 = own.nodes
    assert e.table is g.constants[0] and d1.kernel is d2.kernel and d1.bias is d2.bias
    format.save(graph, tmp_path / "a.lstm")
    model.save(tmp_path / "b.lstm")
    le.load(tmp_path / "b.lstm").save(tmp_path / "c.lstm")
    first = (tmp_path / "a.lstm").read_bytes()
    assert (tmp_path / "b.lstm").read_bytes() == first and (tmp_path / "c.lstm").read_bytes() == first


def small_model(rng, hidden=24):
    return le.Model([le.LSTM(rng.random((1, 4 * hidden, 8), "f4"), rng.random((1, 4 * hidden, hidden), "f4"),
                             rng.random((1, 8 * hidden), "f4")), le.Dense(rng.random((hidden, 3), "f4"))])


def test_a_graph_lives_as_long_as_it_is_held():
    model = small_model(np.random.default_rng(3))
    graph = model.graph
    assert model.graph is graph
    gone = weakref.ref(graph)
    del graph
    gc.collect()
    assert gone() is None
    assert model.graph.nodes[0].W.shape == (1, 96, 8)


def test_graphs_weights_are_read_only():
    model = small_model(np.random.default_rng(4))
    with pytest.raises(ValueError, match="read-only"):
        model.graph.nodes[0].W[...] = 0


def test_arrays_given_are_not_held_and_may_change():
    rng = np.random.default_rng(5)
    W, R = rng.random((1, 32, 4), "f4"), rng.random((1, 32, 8), "f4")
    copy, held = W.copy(), sys.getrefcount(W)
    model = le.Model([le.LSTM(W, R)])
    assert sys.getrefcount(W) == held
    W[...] = 0
    assert np.array_equal(model.graph.nodes[0].W, copy)


def test_a_model_does_not_need_its_file(tmp_path):
    model = small_model(np.random.default_rng(6))
    path, other = tmp_path / "m.lstm", tmp_path / "n.lstm"
    model.save(path)
    whole = path.read_bytes()
    loaded = le.load(path)
    path.write_bytes(whole[:100])               # truncated in place, then gone
    path.unlink()
    loaded.save(other)
    assert other.read_bytes() == whole
    x = np.ones((2, 3, 8), "f4")
    assert np.array_equal(pickle.loads(pickle.dumps(loaded)).predict(x), model.predict(x))


def test_memory_counts_what_is_held():
    rng = np.random.default_rng(7)
    model = small_model(rng, hidden=64)
    memory = model.memory()
    # 64 units fill whole panels on every instruction set; 3 columns of Dense take a panel of up to 64.
    least = 4 * (4 * 64 * (8 + 64) + 4 * 64)
    assert least <= memory["weights"] <= least + 4 * 65 * 64
    assert memory["raw"] == 8 * 64 * 4
    assert memory["host_operators"] == memory["workspace"] == memory["outputs"] == 0
    model.predict(np.zeros((2, 5, 8), "f4"))
    assert model.memory()["workspace"] > 0
    assert set(model._plan.skeleton.nodes[0].tensors()) == set(model.graph.nodes[0].tensors())
    assert model.summary().count("\n") >= 5


def test_memory_of_large_outputs_is_used_again():
    """As soon as nobody holds the array it was given to, and never before."""
    rng = np.random.default_rng(3)
    model = small_model(rng, hidden=64)
    x = rng.standard_normal((200, 1000, 8)).astype("f4")
    wanted = model.predict(x[:2])

    def address(y: np.ndarray) -> int:
        return y.__array_interface__["data"][0]

    first = model.predict(x)
    assert first.nbytes >= 2**20 and address(first) % 64 == 0 and first.flags.c_contiguous and first.flags.writeable
    assert model.memory()["outputs"] == 0
    held = first[:2]                    # a view of it holds it as well
    place = address(first)
    del first
    second = model.predict(x)
    assert address(second) != place and np.array_equal(held, wanted)
    del held
    assert model.memory()["outputs"] >= second.nbytes
    third = model.predict(x)
    assert address(third) == place
    fourth = model.predict(x)           # both blocks are held: memory of its own
    assert len({address(y) for y in (second, third, fourth)}) == 3
    for y in (second, third, fourth):
        assert np.array_equal(y[:2], wanted)
    del second, third, fourth, y
    smaller = model.predict(x[:90])     # less than half of a block: not wasted on it
    assert smaller.nbytes >= 2**20 and address(smaller) % 64 == 0 and np.array_equal(smaller[:2], wanted)
    del smaller, model


def test_packed_weights_are_refused_as_numbers():
    node = small_model(np.random.default_rng(8))._plan.skeleton.nodes[0]
    with pytest.raises(TypeError, match="packed"):
        np.asarray(node.W)
    assert dataclasses.replace(node, name="other").W is node.W


def test_pooled_models_load(tmp_path):
    rng = np.random.default_rng(9)
    node = recurrent(GRU, rng, "float16", 4, 6)
    graph = validate(Graph((Value("x", ("batch", "time", 4)),),
                           (node, Pool(name="p", inputs=("y",), outputs=("z",), kind="mean")), ("z",)))
    format.save(graph, tmp_path / "m.lstm")
    same(graph, le.load(tmp_path / "m.lstm").graph)


MEASURE = """
import sys, lstm_engine as le
def resident():
    import gc; gc.collect()
    return 1024 * next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS"))
le.load(sys.argv[1])                  # what loading itself brings in
before = resident()
model = le.load(sys.argv[2])
print(resident() - before, sum(model.memory().values()))
"""


@pytest.mark.unchecked("the check keeps the whole weights beside the packed ones")
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs /proc")
def test_resident_memory_is_that_of_the_packed_weights(tmp_path):
    rng = np.random.default_rng(10)
    small_model(rng).save(tmp_path / "small.lstm")
    hidden = 1024                          # 32 MiB of weights: far above what else comes and goes
    le.Model([le.LSTM(rng.random((1, 4 * hidden, hidden), "f4"), rng.random((1, 4 * hidden, hidden), "f4"))]
             ).save(tmp_path / "large.lstm")
    out = subprocess.run([sys.executable, "-c", MEASURE, str(tmp_path / "small.lstm"), str(tmp_path / "large.lstm")],
                         check=True, capture_output=True, text=True).stdout
    resident, stated = map(int, out.split())
    # 1.1: a tenth for what the allocator keeps; without the packing alone it would be 2.0.
    assert stated >= 32 * 2**20 and resident <= 1.1 * stated
