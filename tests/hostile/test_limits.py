"""Small graphs that ask for much: refused before they take it, by node, with what they need and how to allow it."""

from __future__ import annotations

import tracemalloc
import warnings

import numpy as np
import pytest
from onnx_operators import as_operator

import lstm_engine as le
from lstm_engine.graph import LSTM, Dense, Graph, Operator, Value
from lstm_engine.limits import over
from lstm_engine.plan import estimate

MEMORY = 8 << 20
LIMITS = le.Limits(memory=MEMORY)
X = np.ones((1, 4, 8), "f4")


def op(kind: str, inputs: str, out: str, constants=None, **attributes) -> Operator:
    """An operator; inputs are separated by spaces, "-" is a constant."""
    names = tuple("" if name == "-" else name for name in inputs.split())
    return Operator(name=out, inputs=names, outputs=(out,), op_type=kind, attributes=attributes,
                    constants={i: np.asarray(array) for i, array in (constants or {}).items()})


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def graph(*nodes: Operator, x: Value | None = None, others: tuple[Value, ...] = ()) -> Graph:
    return Graph((x or Value("x", ("batch", "time", 8)), *others), nodes, nodes[-1].outputs)


def chain(kind: str, inputs: str, count: int, constants=None, **attributes) -> Graph:
    """`count` nodes of which each reads the one before: {} in `inputs`."""
    names = ["x", *(f"v{i}" for i in range(1, count + 1))]
    return graph(*(op(kind, inputs.format(*[names[i]] * 9), names[i + 1], constants, **attributes)
                   for i in range(count)))


GREEDY = {
    "doubled by Concat": (chain("Concat", "{} {}", 40, axis=1), X),
    "doubled by Tile": (chain("Tile", "{} -", 40, {1: ints(1, 2, 1)}), X),
    "Expand": (graph(op("Expand", "x -", "e", {1: ints(1 << 20, 4, 8)}), op("Neg", "e", "y")), X),
    "Range": (graph(op("Range", "- - -", "r", {0: np.int64(0), 1: np.int64(1 << 40), 2: np.int64(1)}),
                    op("Cast", "r", "c", to=1), op("ReduceSum", "c", "s", keepdims=0), op("Add", "x s", "y")), X),
    "ConstantOfShape": (graph(op("ConstantOfShape", "-", "c", {0: ints(1 << 16, 1 << 16)}),
                              op("ReduceSum", "c", "s", keepdims=0), op("Add", "x s", "y")), X),
    "Pad": (graph(op("Pad", "x -", "y", {1: ints(0, 0, 0, 1 << 20, 1 << 10, 0)})), X),
    "OneHot": (graph(op("OneHot", "x - -", "y", {1: np.int64(1 << 34), 2: np.array([0, 1], "f4")}),
                     x=Value("x", ("batch", "time"), "int64")), np.ones((2, 3), np.int64)),
    "Gather": (graph(op("Gather", "- x", "y", {0: np.ones((1, 1 << 16), "f4")}),
                     x=Value("x", ("batch", "time"), "int64")), np.zeros((100, 200), np.int64)),
    "broadcast": (graph(op("Reshape", "x -", "a", {1: ints(-1, 1)}), op("Reshape", "x -", "b", {1: ints(1, -1)}),
                        op("Add", "a b", "y")), np.ones((10, 1000, 8), "f4")),
    "MatMul": (graph(op("Reshape", "x -", "a", {1: ints(-1, 1)}), op("Reshape", "x -", "b", {1: ints(1, -1)}),
                     op("MatMul", "a b", "y")), np.ones((10, 1000, 8), "f4")),
    "Einsum": (graph(op("Einsum", "x x x", "y", equation="abc,dec,fgc->abdefg")), np.ones((90, 90, 8), "f4")),
    "Conv": (graph(op("Conv", "x -", "y", {1: np.ones((4, 4, 3), "f4")}, pads=(1 << 28, 1 << 28)),
                   x=Value("x", ("batch", 4, "time"))), np.ones((1, 4, 8), "f4")),
    "ConvTranspose": (graph(op("ConvTranspose", "x -", "y", {1: np.ones((4, 4, 3), "f4")}, strides=(1 << 24,)),
                            x=Value("x", ("batch", 4, "time"))), np.ones((1, 4, 8), "f4")),
    "MaxPool": (graph(op("MaxPool", "x", "y", kernel_shape=(20001, 20001), pads=(10000,) * 4),
                      x=Value("x", ("batch", 4, 9, 9))), np.ones((1, 4, 9, 9), "f4")),
    "NonZero": (graph(op("NonZero", "x", "y")), np.ones((100, 1000, 8), "f4")),
}


def refused(model: le.Model, x, limit: str = "memory|work", **options) -> str:
    """The message of a call that is refused, having taken little."""
    tracemalloc.start()
    try:
        with pytest.raises(le.LimitError, match=rf"at most [\d,]+ are allowed \(Limits\.({limit})\)") as caught:
            model.predict(x, **options)
        assert tracemalloc.get_traced_memory()[1] < 2 * model.limits.memory
    finally:
        tracemalloc.stop()
    return str(caught.value)


@pytest.mark.unchecked("the reference needs memory of its own")
@pytest.mark.parametrize("name", GREEDY)
def test_refused_before_it_is_taken(name):
    made, x = GREEDY[name]
    message = refused(le.Model(made, limits=le.Limits(memory=MEMORY, work=1 << 33)), x)
    assert message.startswith("node '") and "If that is meant: limits=le.Limits(" in message


@pytest.mark.parametrize("name", [name for name in GREEDY if name not in ("NonZero", "ConvTranspose")])
def test_the_defaults_refuse_it_too(name):
    """4 GiB and some seconds: all of these but two, which make megabytes."""
    made, x = GREEDY[name]
    if name == "Expand":
        made = graph(op("Expand", "x -", "e", {1: ints(1 << 26, 4, 8)}), op("Neg", "e", "y"))
    model = le.Model(made)
    tracemalloc.start()
    try:
        with pytest.raises(le.LimitError):
            model.predict(x)
        assert tracemalloc.get_traced_memory()[1] < 1 << 30
    finally:
        tracemalloc.stop()


def test_an_einstein_sum_of_three_takes_what_its_order_takes():
    """All labels together would be 6.5e10: in NumPy's order no step makes more than a few million."""
    b, h, q, k, d, m = 1, 8, 200, 200, 64, 256
    node = op("Einsum", "x - -", "y", {1: np.ones((b, k, h, d), "f4"), 2: np.ones((h, d, m), "f4")},
              equation="bhqk,bkhd,hdm->bqm")
    model = le.Model(graph(node, x=Value("x", ("batch", h, "q", k))), limits=le.Limits(memory=64 << 20))
    assert model.predict(np.ones((b, h, q, k), "f4")).shape == (b, q, m)


def test_the_message_says_what_to_type():
    model = le.Model(GREEDY["ConstantOfShape"][0])
    with pytest.raises(le.LimitError) as caught:
        model.predict(X)
    assert str(caught.value) == (
        "node 'c' (ConstantOfShape) brings the memory of this call to 34,359,738,368 bytes; at most 4,294,967,296 are "
        "allowed (Limits.memory). If that is meant: limits=le.Limits(memory=34359738368), or --max-memory 34359738368")
    assert isinstance(caught.value, ValueError) and isinstance(caught.value, le.LstmEngineError)


def test_a_number_beyond_all_writing_is_not_written():
    """Repeats of repeats come to numbers of thousands of digits, which Python itself refuses to write."""
    error = over("node 'n' (Tile) brings the memory of this call to", "memory", 10**5000, 4 << 30, "bytes")
    assert "more than 1,000,000,000,000,000,000 bytes; at most 4,294,967,296 are allowed" in str(error)


def test_what_it_says_to_type_is_enough():
    made = graph(op("Tile", "x -", "a", {1: ints(1, 1 << 16, 1)}), op("Neg", "a", "b"), op("Add", "a b", "y"))
    with pytest.raises(le.LimitError) as caught:
        le.Model(made, limits=LIMITS).predict(X)
    for _ in range(3):                                  # a node, then the next
        needed = int(str(caught.value).split("memory=")[1].split(")")[0])
        try:
            y = le.Model(made, limits=le.Limits(memory=needed)).predict(X)
            break
        except le.LimitError as error:
            caught = pytest.ExceptionInfo.from_exception(error)
    assert y.shape == (1, 4 << 16, 8) and needed <= 3 * y.nbytes


SIZED = {
    "Expand": graph(op("Expand", "x s", "e"), op("Add", "e e", "y"), others=(Value("s", (3,), "int64"),)),
    "Tile": graph(op("Tile", "x s", "e"), op("Add", "e e", "y"), others=(Value("s", (3,), "int64"),)),
    "Pad": graph(op("Concat", "s s", "p", axis=0), op("Pad", "x p", "e"), op("Add", "e e", "y"),
                 others=(Value("s", (3,), "int64"),)),
    "ConstantOfShape": graph(op("ConstantOfShape", "s", "c"), op("ReduceSum", "c", "t", keepdims=0),
                             op("Add", "x t", "y"), others=(Value("s", (3,), "int64"),)),
    "Range": graph(op("ReduceProd", "s", "n", keepdims=0), op("Range", "- n -", "r", {0: np.int64(0), 2: np.int64(1)}),
                   op("Cast", "r", "c", to=1), op("ReduceSum", "c", "t", keepdims=0), op("Add", "x t", "y"),
                   others=(Value("s", (3,), "int64"),)),
    "OneHot": graph(op("ReduceProd", "s", "n", keepdims=0), op("Cast", "x", "ids", to=7),
                    op("OneHot", "ids n -", "e", {2: np.array([0, 1], "f4")}), op("ReduceSum", "e", "t", keepdims=0),
                    op("Add", "x t", "y"), others=(Value("s", (3,), "int64"),)),
}


@pytest.mark.parametrize("before", range(5))
@pytest.mark.parametrize("name", SIZED)
def test_sizes_that_come_as_numbers(name, before):
    """However often the model ran before on the same shapes, recorded runs among them."""
    model = le.Model(SIZED[name], limits=LIMITS)
    small = ints(1, 4, 8) if name != "Pad" else ints(0, 0, 0)
    wanted = None
    for _ in range(before):
        y = model.predict({"x": X, "s": small})
        assert wanted is None or np.array_equal(y, wanted)
        wanted = y
    refused(model, {"x": X, "s": ints(1 << 12, 4096, 8)})
    y = model.predict({"x": X, "s": small})
    assert wanted is None or np.array_equal(y, wanted)


def test_what_follows_a_size_that_came_as_a_number():
    """The size itself is within the limit; its square, which the next node makes, is not."""
    made = graph(op("Range", "- s -", "r", {0: np.int64(0), 2: np.int64(1)}), op("Cast", "r", "c", to=1),
                 op("Reshape", "c -", "a", {1: ints(-1, 1)}), op("Mul", "c a", "m"),
                 op("ReduceSum", "m", "t", keepdims=0), op("Add", "x t", "y"), others=(Value("s", (), "int64"),))
    for before in range(4):
        model = le.Model(made, limits=LIMITS)
        for _ in range(before):
            model.predict({"x": X, "s": np.int64(5)})
        assert "node 'm' (Mul)" in refused(model, {"x": X, "s": np.int64(100_000)}, "memory")


def test_a_slice_as_long_as_a_number_says():
    """No more than its input; its square is."""
    made = graph(op("Reshape", "x -", "v", {1: ints(-1)}), op("Slice", "v - s", "c", {1: ints(0)}),
                 op("Reshape", "c -", "a", {1: ints(-1, 1)}), op("Mul", "c a", "m"),
                 op("ReduceSum", "m", "t", keepdims=0), op("Add", "x t", "y"), others=(Value("s", (1,), "int64"),))
    x = np.ones((1, 10_000, 8), "f4")
    for before in range(4):
        model = le.Model(made, limits=LIMITS)
        for _ in range(before):
            model.predict({"x": x, "s": ints(5)})
        assert "node 'm' (Mul)" in refused(model, {"x": x, "s": ints(50_000)}, "memory")


@pytest.mark.unchecked("the reference needs memory of its own")
def test_work_is_bounded_where_memory_is_not_taken():
    """Views of one number, looked at again and again; and values of few megabytes, thousands of times."""
    many = [op("ReduceMax", "v1", f"r{i}", keepdims=1) for i in range(1, 2001)]
    views = graph(op("Expand", "x -", "v1", {1: ints(1 << 20, 4, 8)}), *many,
                  op("Sum", " ".join(node.outputs[0] for node in many), "y"))
    assert "(ReduceMax)" in refused(le.Model(views, limits=le.Limits(memory=1 << 28, work=1 << 30)), X, "work")
    long = chain("Sin", "{}", 5000)
    assert "(Sin)" in refused(le.Model(long, limits=le.Limits(memory=1 << 28, work=1 << 30)),
                              np.ones((8, 1 << 13, 8), "f4"), "work")


def test_the_work_of_each_element_is_counted_in_small_operators_too():
    """300 NonZero over 15,000 numbers: 8 for an element, as its own estimate says."""
    many = [op("NonZero", "x", f"n{i}") for i in range(300)]
    joined = op("Concat", " ".join(node.outputs[0] for node in many), "y", axis=1)
    made = graph(*many, joined, x=Value("x", ("b", "n")))
    x = np.zeros((30, 500), np.float32)
    with pytest.raises(le.LimitError, match=r"\(NonZero\).*Limits.work"):
        le.Model(made, limits=le.Limits(work=10**7)).predict(x)


def test_layers_that_share_one_matrix_many_times():
    """500 nodes that name one matrix: little to store, much to do."""
    kernel = np.ones((512, 512), "f4")
    names = ["x", *(f"v{i}" for i in range(2000))]
    nodes = tuple(Dense(name=b, inputs=(a,), outputs=(b,), kernel=kernel) for a, b in zip(names, names[1:]))
    model = le.Model(Graph((Value("x", ("batch", "time", 512)),), nodes, (names[-1],)), limits=le.Limits(work=1 << 31))
    with pytest.raises(le.LimitError, match="node 'v0' .Dense. and what runs with it brings the work of this call to"):
        model.predict(np.ones((4, 200, 512), "f4"))
    assert model.predict(np.ones((1, 2, 512), "f4")).shape == (1, 2, 512)


@pytest.mark.parametrize("streamed", [False, True])
def test_the_core_counts_outputs_and_workspace(streamed):
    """Numbers of features that a small matrix makes of one, for many steps."""
    kernel = np.ones((1, 1 << 16), "f4")
    cell = LSTM(name="cell", inputs=("x",), outputs=("h",), W=np.ones((1, 4, 1), "f4"), R=np.ones((1, 4, 1), "f4"))
    node = Dense(name="wide", inputs=("h",), outputs=("y",), kernel=kernel)
    model = le.Model(Graph((Value("x", ("batch", "time", 1)),), (cell, node), ("y",)), limits=LIMITS)
    x = np.ones((100, 1000, 1), "f4")
    with pytest.raises(le.LimitError, match="node 'cell' .LSTM. and what runs with it brings the memory"):
        if streamed:
            model.stream(batch=100).run(x)
        else:
            model.predict(x)
    assert model.predict(x[:2, :3]).shape == (2, 3, 1 << 16)


@pytest.fixture(scope="module")
def node_cases():
    pytest.importorskip("onnx")
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [case for case in collect_testcases(None) if len(case.model.graph.node) == 1]


def test_estimates_are_no_less_than_what_is_made(node_cases):
    """On every case of ONNX's node tests that runs here, with no size too small to be looked at."""
    from lstm_engine.operators import OPERATORS, operator_kernel

    seen = set()
    for case in node_cases:
        proto = case.model.graph.node[0]
        given = case.data_sets[0][0] if proto.op_type in OPERATORS else ()
        if not given or any(np.asarray(x).dtype.kind not in "fiub" for x in given):
            continue
        given = [np.asarray(x) for x in given]
        try:
            operator, arrays = as_operator(proto, given, False)
            kernel = operator_kernel(operator)
            with np.errstate(all="ignore"):
                made = kernel(*arrays)
        except (le.LstmEngineError, *estimate.MISFITS):
            continue
        made = [np.asarray(array) for array in (made if isinstance(made, (list, tuple)) else [made])]
        need = estimate.estimate_of(operator)(arrays, 0)
        if need.work:               # none: a view, or a rank that only a run can tell
            named = [array for array, name in zip(made, operator.outputs) if name]
            assert need.bytes >= sum(array.nbytes for array in named), case.name
            assert need.work >= sum(array.size for array in named), case.name
            seen.add(operator.op_type)
    assert len(seen) > 75


def sparse(path, size: int) -> None:
    """A file of zeros that takes no room on the disk."""
    with open(path, "wb") as file:
        file.truncate(size)


def test_external_data_is_not_read_beyond_the_limit(tmp_path):
    """A file costs nothing to make, and a terabyte of memory to read: which used to be asked for first."""
    onnx = pytest.importorskip("onnx")
    from onnx_graphs import model, node

    proto = model([node("MatMul", "x w", "y")], {"x": ("b", 2)}, "y", {"w": np.eye(2, dtype=np.float32)})
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.dims[:] = [2, 1 << 37]
    tensor.external_data.add(key="location", value="w.bin")
    sparse(tmp_path / "w.bin", 1 << 40)
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    limits = le.Limits(weights=1 << 30)
    for source, options in ((tmp_path / "m.onnx", {}), (proto, {"data_folder": tmp_path})):
        with pytest.raises(le.LimitError, match=r"the external data: the file has 1,099,511,627,776 bytes; at most"):
            le.convert(source, limits=limits, **options)


def test_the_arrays_of_a_keras_model_are_not_read_beyond_the_limit(tmp_path):
    (tmp_path / "m.json").write_text('{"class_name": "Sequential", "config": {"name": "s", "layers": []}}')
    sparse(tmp_path / "m.weights.h5", 1 << 40)
    for weights in (None, tmp_path / "m.weights.h5"):
        with pytest.raises(le.LimitError, match=r"m.weights.h5: the file has 1,099,511,627,776 bytes; at most 1,000"):
            le.convert(tmp_path / "m.json", weights=weights, limits=le.Limits(weights=1000))
