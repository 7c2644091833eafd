"""If on what is known only when the model runs: both branches are planned, and the one that is taken runs."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_graphs import graph, imported, kinds, model, node, runtime_outputs

import lstm_engine as le
from lstm_engine.graph import Graph, Operator, Value
from lstm_engine.operators import validate
from lstm_engine.operators.guards import MOST_NESTED, guards
from lstm_engine.reference import run

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
RNG = np.random.default_rng(0)
# float32 sums of some ten terms near 1, and functions of them, on both sides.
TOLERANCE = 4e-6
RATE = {"sr": ("int64", ())}


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def branch(nodes: list, outputs: str, **tensors: Any) -> Any:
    return graph(nodes, {}, outputs, tensors)


def choice(condition: str, outputs: str, then: Any, otherwise: Any, name: str = "pick") -> Any:
    return node("If", condition, outputs, name=name, then_branch=then, else_branch=otherwise)


def by_rate(then: Any, otherwise: Any, outputs: str = "y", inputs: dict | None = None, **tensors: Any) -> Any:
    """A model that takes one branch at a rate of 16000, and the other else."""
    return model([node("Equal", "sr rate", "is16"), choice("is16", outputs, then, otherwise)],
                 {**(inputs or {"x": ("batch", "time", 4)}), **RATE}, outputs, {"rate": np.array(16000), **tensors})


def agrees(source: Any, made: le.Model, feed: dict[str, np.ndarray]) -> None:
    """Ours, several times, so that a recording is among the runs; the float64 reference; ONNX Runtime."""
    wanted = runtime_outputs(source, feed)
    exact = run(made.graph, feed)
    for _ in range(3):
        answer = made.predict(feed)
        given = answer if isinstance(answer, dict) else {next(iter(wanted)): answer}
        for name, array in wanted.items():
            np.testing.assert_allclose(given[name], array, rtol=TOLERANCE, atol=TOLERANCE)
            np.testing.assert_allclose(exact[name], array, rtol=TOLERANCE, atol=TOLERANCE)
            assert given[name].dtype == array.dtype


def lstm(prefix: str, features: int, units: int) -> dict[str, np.ndarray]:
    return {f"{prefix}W": normal(1, 4 * units, features), f"{prefix}R": normal(1, 4 * units, units)}


def two_layers() -> Any:
    """An LSTM of its own for each rate, of another size."""
    def side(units: int) -> Any:
        return branch([node("Transpose", "x", "xt", perm=[1, 0, 2]),
                       node("LSTM", "xt W R", "- h -", hidden_size=units), node("Squeeze", "h zero", "s"),
                       node("Gemm", "s k", "o")], "o", **lstm("", 4, units), k=normal(units, 2), zero=np.array([0]))
    return by_rate(side(5), side(3))


def test_each_call_takes_its_branch(tmp_path: Path) -> None:
    source = two_layers()
    made = le.convert(source)
    feeds = [{"x": normal(3, 6, 4), "sr": np.array(rate)} for rate in (16000, 8000, 8000, 16000, 16000, 8000)]
    for feed in feeds:
        agrees(source, made, feed)
    assert made._runner.recordings() == 2                          # of one shape, a way each
    made.save(tmp_path / "m.lstm")
    for other in (le.load(tmp_path / "m.lstm"), pickle.loads(pickle.dumps(made))):
        for feed in feeds:
            np.testing.assert_array_equal(other.predict(feed), made.predict(feed))
    out = np.empty((3, 2), np.float32)
    assert made.predict(feeds[1], out=out) is out
    np.testing.assert_array_equal(out, made.predict(feeds[1]))
    wide = le.convert(source, dtype="float64")                     # ours in float64: rounding of the weights alone
    np.testing.assert_allclose(wide.predict(feeds[0]), made.predict(feeds[0]), rtol=0, atol=TOLERANCE)


def test_runs_that_go_every_way_are_not_begun_in_vain() -> None:
    """Five conditions have 32 ways: more recordings would be tried than one could match."""
    nodes, last = [node("ReduceSum", "x", "t", keepdims=0)], "x"
    for i, function in enumerate(("Sin", "Cos", "Tan", "Sinh", "Neg")):
        then = branch([node("Exp", last, f"p{i}"), node("Tanh", f"p{i}", f"q{i}")], f"q{i}")
        nodes += [node(function, "t", f"t{i}"), node("Greater", f"t{i} zero", f"c{i}"),
                  choice(f"c{i}", f"y{i}", then, branch([node("Neg", last, f"r{i}")], f"r{i}"), f"if{i}")]
        last = f"y{i}"
    source = model(nodes, {"x": (4,)}, last, {"zero": np.float32(0)})
    made = le.convert(source)
    for seed in range(80):
        x = 3 * np.random.default_rng(seed).standard_normal(4).astype(np.float32)
        wanted = runtime_outputs(source, {"x": x})[last]
        np.testing.assert_allclose(made.predict(x), wanted, rtol=TOLERANCE, atol=TOLERANCE)
    assert made._runner.recordings() == 0
    two = le.convert(two_layers())
    for i in range(80):
        two.predict({"x": normal(3, 6, 4), "sr": np.array((16000, 8000)[i % 2])})
    assert two._runner.recordings() == 2


def test_what_is_not_taken_is_not_run() -> None:
    """A look-up past the end of its table, in the branch of other inputs."""
    source = by_rate(branch([node("Gather", "table ids", "a")], "a"), branch([node("Cast", "ids", "b", to=1),
                     node("Unsqueeze", "b one", "c"), node("Expand", "c four", "d")], "d"),
                     inputs={"ids": ("int64", ("batch", "time"))}, table=normal(5, 4), one=np.array([2]),
                     four=np.array([1, 1, 4]))
    made = le.convert(source)
    agrees(source, made, {"ids": np.array([[7, 1000]]), "sr": np.array(1)})
    agrees(source, made, {"ids": np.array([[4, 0]]), "sr": np.array(16000)})
    with pytest.raises(le.ArgumentError, match="token id 7"):
        made.predict({"ids": np.array([[7, 1000]]), "sr": np.array(16000)})


def test_branches_in_branches() -> None:
    inner = choice("far", "i", branch([node("Exp", "w", "e")], "e"), branch([node("Neg", "w", "n")], "n"), "inner")
    source = model(
        [node("Greater", "x0 zero", "up"), node("Tanh", "x", "w"), node("Less", "x0 two", "far"),
         choice("up", "y z", branch([inner, node("Add", "i x", "a")], "a i"),
                branch([node("Mul", "w w", "m"), node("Identity", "w", "n2")], "m n2"), "outer"),
         node("Softmax", "y", "s", axis=-1)],
        {"x": ("batch", 4), "x0": ()}, "s z", {"zero": np.float32(0), "two": np.float32(2)})
    made = le.convert(source)
    assert {guard for guard in made._plan.guards} == {
        (), (("up", True),), (("up", False),), (("up", True), ("far", True)), (("up", True), ("far", False))}
    for first in (1.0, 3.0, -1.0, 2.0, 0.0, 1.0):
        agrees(source, made, {"x": normal(2, 4), "x0": np.array(first, np.float32)})


def test_a_size_that_one_branch_needs_holds_in_that_branch() -> None:
    source = by_rate(branch([node("MatMul", "x k4", "a")], "a", k4=normal(4, 2)),
                     branch([node("MatMul", "x k3", "b")], "b", k3=normal(3, 2)),
                     inputs={"x": ("batch", "time", "features")})
    made = le.convert(source)
    assert made.inputs["x"].shape == ("batch", "time", "features")
    agrees(source, made, {"x": normal(2, 5, 4), "sr": np.array(16000)})
    agrees(source, made, {"x": normal(2, 5, 3), "sr": np.array(8000)})
    for features, rate in ((3, 16000), (4, 8000)):
        with pytest.raises(le.LstmEngineError, match="[34]"):
            made.predict({"x": normal(2, 5, features), "sr": np.array(rate)})


def test_a_size_that_both_branches_need_holds_outside() -> None:
    def side() -> Any:
        return branch([node("MatMul", "x k", "a")], "a", k=normal(4, 2))
    made = imported(by_rate(side(), side(), inputs={"x": ("batch", "time", "features")}))
    assert le.Model(made).inputs["x"].shape == ("batch", "time", 4)


def test_results_of_several_sizes() -> None:
    source = by_rate(branch([node("Concat", "x x", "a", axis=1)], "a"), branch([node("Relu", "x", "b")], "b"))
    made = le.convert(source)
    assert made.outputs["y"].shape[::2] == ("batch", 4)
    for rate in (16000, 1):
        agrees(source, made, {"x": normal(2, 3, 4), "sr": np.array(rate)})


def test_constants_inputs_and_what_stands_outside_as_results() -> None:
    source = by_rate(branch([node("Identity", "one", "a"), node("Identity", "x", "b")], "a b"),
                     branch([node("Identity", "two", "c"), node("Identity", "outside", "d")], "c d"), "y z",
                     one=normal(2, 2), two=normal(2, 2))
    source.graph.node.insert(0, node("Relu", "x", "outside"))
    made = le.convert(source)
    for rate in (16000, 1):
        feed = {"x": normal(2, 3, 4), "sr": np.array(rate)}
        agrees(source, made, feed)
        for array in made.predict(feed).values():
            array[...] = 0                                          # the caller's own
        agrees(source, made, feed)


def test_a_rank_that_depends_on_a_size() -> None:
    """PyTorch's x.squeeze(1) of an axis of any size."""
    nodes = [node("Shape", "x", "s"), node("Gather", "s one", "t", axis=0), node("Equal", "t one", "is1"),
             choice("is1", "y", branch([node("Squeeze", "x ax", "a")], "a"), branch([node("Identity", "x", "b")], "b"))]
    source = model([*nodes, node("MatMul", "y k", "z")], {"x": ("batch", "time", 4)}, "z",
                   {"one": np.array(1), "ax": np.array([1]), "k": normal(4, 2)})
    with pytest.warns(UserWarning, match="number of axes depends on the inputs.*'pick'.*2 axes"):
        made = le.convert(source)
    agrees(source, made, {"x": normal(3, 1, 4)})
    with pytest.raises(le.UnsupportedError, match="'pick'.*another rank.*spec={'shapes'"):
        made.predict(normal(3, 2, 4))
    agrees(source, made, {"x": normal(3, 1, 4)})


def test_options_of_predict() -> None:
    steps = by_rate(branch([node("Relu", "x", "a")], "a"), branch([node("Tanh", "x", "b")], "b"))
    made = le.convert(steps)
    x, rate = normal(5, 6, 4), np.array(16000)
    whole = made.predict({"x": x, "sr": rate})
    np.testing.assert_array_equal(made.predict({"x": x, "sr": rate}, batch_size=2), whole)
    layers = le.convert(two_layers())
    with pytest.raises(le.UnsupportedError, match="stands in a branch of the model that these inputs do not take"):
        layers.predict({"x": x, "sr": rate}, return_state=True)
    with pytest.raises(le.UnsupportedError, match="stands in a branch"):
        layers.stream()


def test_a_condition_that_tells_rows_apart_mixes_them() -> None:
    """The first row's number decides for all: the rows cannot run in parts."""
    source = model([node("ReduceMax", "x", "m", keepdims=0), node("Greater", "m zero", "c"),
                    choice("c", "y", branch([node("Relu", "x", "a")], "a"), branch([node("Tanh", "x", "b")], "b"))],
                   {"x": ("batch", 4)}, "y", {"zero": np.float32(0)})
    made = le.convert(source)
    for sign in (1, -1):
        agrees(source, made, {"x": sign * np.abs(normal(3, 4))})
    with pytest.raises(le.UnsupportedError, match="batch_size"):
        made.predict(normal(3, 4), batch_size=1)


@pytest.mark.parametrize(("then", "otherwise", "said"), [
    ([node("Relu", "x", "o")], [node("Cast", "x", "o", to=7)], "float32 and int64"),
    ([node("Relu", "x", "o")], [], "makes 0 of 1 outputs"),
    ([node("Nonsense", "x", "o")], [node("Relu", "x", "o")], "Nonsense"),
])
def test_branches_that_do_not_fit(then: list, otherwise: list, said: str) -> None:
    source = by_rate(branch(then, "o"), branch(otherwise, "o" if otherwise else ""))
    with pytest.raises(le.LstmEngineError, match=said):
        imported(source)


def test_what_an_if_holds_beside_its_branches_is_refused() -> None:
    source = by_rate(branch([node("Relu", "x", "a")], "a"), branch([node("Tanh", "x", "b")], "b"))
    source.graph.node[1].attribute.add(name="once", type=2, i=1)
    with pytest.raises(le.UnsupportedError, match="attribute 'once' is not supported; supported: else_branch"):
        imported(source)
    given = graph([node("Relu", "x", "a")], {"x": ("batch", "time", 4)}, "a")
    with pytest.raises(le.FormatError, match="a branch takes no inputs, but one has 'x'"):
        imported(by_rate(given, branch([node("Tanh", "x", "b")], "b")))


def test_a_condition_of_several_values() -> None:
    source = model([node("Greater", "x zero", "c"), choice("c", "y", branch([node("Relu", "x", "a")], "a"),
                   branch([node("Tanh", "x", "b")], "b"))], {"x": ("n",)}, "y", {"zero": np.float32(0)})
    made = le.convert(source)
    agrees(source, made, {"x": normal(1)})
    with pytest.raises(le.ArgumentError, match="expected one truth value, got 2"):
        made.predict(normal(2))


def chain(depth: int) -> Graph:
    """If in If in If, as a `.lstm` file may hold it."""
    nodes = [Operator(name="c", inputs=("x", ""), outputs=("c",), op_type="Greater",
                      constants={1: np.zeros((), np.float32)})]
    nodes += [Operator(name=f"m{i}", inputs=("x",), outputs=(f"m{i}",), op_type="Exp") for i in range(depth)]
    last = "x"
    for i in range(depth):
        nodes.append(Operator(name=f"i{i}", inputs=("c", f"m{i}", last), outputs=(f"y{i}",), op_type="If"))
        last = f"y{i}"
    return Graph((Value("x", ()),), tuple(nodes), (last,))


@pytest.mark.parametrize("depth", [MOST_NESTED, MOST_NESTED + 1, 100])
def test_guards_are_no_longer_than_they_may_be(depth: int) -> None:
    made = le.Model(chain(depth))
    assert max(map(len, guards(made.graph))) == MOST_NESTED
    for x in (np.float32(2), np.float32(-2)):
        np.testing.assert_allclose(made.predict(x), np.exp(x) if x > 0 else x, rtol=1e-6)


def test_many_branches_one_behind_the_other() -> None:
    nodes, last = [], "x"
    tensors = {f"at{i}": np.float32(i / 30 - 1) for i in range(60)}
    for i in range(60):
        nodes += [node("Greater", f"a at{i}", f"c{i}"),
                  choice(f"c{i}", f"y{i}", branch([node("Add", f"{last} at{i}", f"p{i}")], f"p{i}"),
                         branch([node("Tanh", last, f"q{i}")], f"q{i}"), f"if{i}")]
        last = f"y{i}"
    source = model(nodes, {"x": ("batch", 4), "a": ()}, last, tensors)
    made = le.convert(source)
    for a in (-2, 0, 0.31, 2):
        agrees(source, made, {"x": normal(2, 4), "a": np.array(a, np.float32)})


def test_branches_are_bounded() -> None:
    """By what telling each of them of sizes costs."""
    count = 1100
    nodes = [Operator(name=f"{kind}{i}", inputs=("x", "") if kind == "c" else ("x",), outputs=(f"{kind}{i}",),
                      op_type={"c": "Greater", "p": "Exp", "q": "Neg"}[kind],
                      constants={1: np.array(i, np.float32)} if kind == "c" else {})
             for i in range(count) for kind in "cpq"]
    nodes += [Operator(name=f"i{i}", inputs=(f"c{i}", f"p{i}", f"q{i}"), outputs=(f"i{i}",), op_type="If")
              for i in range(count)]
    with pytest.raises(le.UnsupportedError, match="branches, too many for its nodes"):
        validate(Graph((Value("x", ()),), tuple(nodes), tuple(f"i{i}" for i in range(count))))


def test_what_stands_before_its_condition_is_run_in_any_case() -> None:
    late = Graph((Value("x", (2,)),), (
        Operator(name="e", inputs=("x",), outputs=("e",), op_type="Exp"),
        Operator(name="s", inputs=("x",), outputs=("s",), op_type="ReduceMax", attributes={"keepdims": 0}),
        Operator(name="c", inputs=("s", ""), outputs=("c",), op_type="Greater",
                 constants={1: np.zeros((), np.float32)}),
        Operator(name="n", inputs=("x",), outputs=("n",), op_type="Neg"),
        Operator(name="i", inputs=("c", "e", "n"), outputs=("y",), op_type="If")), ("y",))
    assert guards(validate(late)) == [(), (), (), (("c", False),), ()]
    made = le.Model(late)
    for x in (np.float32([1, 2]), np.float32([-1, -2])):
        np.testing.assert_allclose(made.predict(x), np.exp(x) if x.max() > 0 else -x, rtol=1e-6)


@pytest.mark.parametrize("always", [True, False])
def test_a_condition_that_is_a_constant(always: bool) -> None:
    """As a `.lstm` file may have it: what follows from shapes alone is one side, what the numbers make the other."""
    source = Graph((Value("x", (2,)),), (
        Operator(name="s", inputs=("x",), outputs=("s",), op_type="Shape"),
        Operator(name="f", inputs=("s",), outputs=("f",), op_type="Cast", attributes={"to": 1}),
        Operator(name="n", inputs=("x",), outputs=("n",), op_type="Neg"),
        Operator(name="r", inputs=("n", ""), outputs=("r",), op_type="ReduceSum", constants={1: np.array([0])}),
        Operator(name="i", inputs=("", "f", "r"), outputs=("c",), op_type="If", constants={0: np.array(always)}),
        Operator(name="e", inputs=("c",), outputs=("y",), op_type="Exp")), ("y",))
    made = le.Model(source)
    for _ in range(4):
        x = normal(2)
        np.testing.assert_allclose(made.predict(x), np.exp([2 if always else -x.sum()]), rtol=1e-6)


UNARY = ("Relu", "Tanh", "Neg", "Sigmoid", "Abs", "Sqrt")


def random_branch(rng: np.random.Generator, seen: list[str], depth: int, count: list[int]) -> Any:
    """A branch of some operators on values around it and its own, perhaps with an If inside."""
    nodes, known = [], list(seen)
    for _ in range(int(rng.integers(1, 4))):
        count[0] += 1
        made, a, b = f"v{count[0]}", *rng.choice(known, 2)
        if depth and rng.random() < 0.5:
            nodes.append(choice(str(rng.choice(["c0", "c1", "c2"])), made, random_branch(rng, known, depth - 1, count),
                                random_branch(rng, known, depth - 1, count), f"if{count[0]}"))
        elif rng.random() < 0.5:
            nodes.append(node(str(rng.choice(UNARY[:5])), a, made))
        else:
            nodes.append(node("Add", f"{a} {b}", made))
        known.append(made)
    return branch(nodes, known[-1])


@pytest.mark.parametrize("seed", range(40))
def test_random_branches(seed: int) -> None:
    rng = np.random.default_rng(seed)
    top = random_branch(rng, ["x"], 3, [0])
    nodes = [node(*step) for step in (("Greater", "a zero", "c0"), ("Less", "b zero", "c1"), ("Greater", "b a", "c2"))]
    output = top.output[0].name
    source = model([*nodes, *top.node, node("Identity", output, "y")], {"x": ("batch", 4), "a": (), "b": ()}, "y",
                   {"zero": np.float32(0)})
    made = le.convert(source)
    for _ in range(6):
        agrees(source, made, {"x": rng.standard_normal((3, 4)).astype(np.float32),
                              **{name: np.array(rng.standard_normal(), np.float32) for name in "ab"}})
    if any(guards(made.graph)):
        assert "If" in kinds(made.graph)


def test_onnx_node_tests() -> None:
    """ONNX's own, whose branches are constants; those of sequences and of optional values are not of this engine."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")         # the generators themselves overflow on purpose
        cases = {case.name: case for case in collect_testcases(None) if case.name.startswith("test_if")}
    made = le.convert(cases["test_if"].model)
    for given, (wanted,) in cases["test_if"].data_sets:
        np.testing.assert_array_equal(made.predict({"cond": np.asarray(given[0])}), wanted)
    for name in ("test_if_seq", "test_if_opt"):
        with pytest.raises(le.LstmEngineError, match="sequence|optional|SequenceConstruct|is not supported"):
            le.convert(cases[name].model)
