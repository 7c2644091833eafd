"""`.lstm` files with loops: what the graphs inside them must be, and the versions that such files have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lstm_files import File

from lstm_engine.errors import FormatError, UnsupportedError
from lstm_engine.format import load, save
from lstm_engine.graph import Dense, Graph, Loop, Operator, Value
from lstm_engine.graph.nodes import MOST_NESTED
from lstm_engine.reference import run

KERNEL = np.arange(9, dtype=np.float32).reshape(3, 3) / 9


def nested(depth: int, body: Graph | None = None) -> Graph:
    """Loops within each other around h = h K."""
    given = (Value("turn", (), "int64"), Value("goes on", (), "bool"), Value("h", ("batch", 3)))
    inner = body or Graph(given, (Dense(name="d", inputs=("h",), outputs=("h1",), kernel=KERNEL),), ("goes on", "h1"))
    for level in range(depth - 1):
        loop = Loop(name=f"loop{level}", inputs=("", "", "h"), outputs=("h1",), body=inner, states=1,
                    constants={0: np.array(2)})
        inner = Graph(given, (loop,), ("goes on", "h1"))
    last = Loop(name="loop", inputs=("", "", "x"), outputs=("y",), body=inner, states=1, constants={0: np.array(2)})
    return Graph((Value("x", ("batch", 3)),), (last,), ("y",))


def test_files_of_loops(tmp_path: Path) -> None:
    save(nested(3), tmp_path / "a.lstm")
    file = File(tmp_path / "a.lstm")
    metadata = file.header["__metadata__"]
    assert (metadata["version"], metadata["min_reader"]) == ("3", "3")
    assert "loop/loop1/loop0/d.kernel" in file.header
    graph = load(tmp_path / "a.lstm")
    x = np.ones((2, 3), np.float32)
    wanted = x @ np.linalg.matrix_power(KERNEL.astype(np.float64), 8)
    np.testing.assert_allclose(run(graph, {"x": x})["y"], wanted, rtol=1e-12)
    save(graph, tmp_path / "b.lstm")
    assert (tmp_path / "b.lstm").read_bytes() == (tmp_path / "a.lstm").read_bytes()
    for version in ("1", "2"):
        metadata.update(version=version, min_reader=version)
        with pytest.raises(FormatError, match=f"min_reader must be 3 in a file of loops or .*, got {version}"):
            load(file.write(tmp_path / "c.lstm"))


def test_names_that_meet(tmp_path: Path) -> None:
    """A node around a loop may be called as one inside it is in the file."""
    graph = nested(1)
    other = Dense(name="loop/d", inputs=("y",), outputs=("z",), kernel=KERNEL + 1)
    graph = Graph(graph.inputs, (*graph.nodes, other), ("z",))
    save(graph, tmp_path / "a.lstm")
    x = np.ones((2, 3), np.float32)
    again = load(tmp_path / "a.lstm")
    assert np.array_equal(run(again, {"x": x})["z"], run(graph, {"x": x})["z"])


def inside(change: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    return lambda config: change(config["nodes"][0]["body"])


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], Any], type[Exception], str]] = {
    "no body": (lambda config: config["nodes"][0].pop("body"), FormatError, "key 'body' is missing"),
    "a body of another kind": (lambda config: config["nodes"][0].update(body=[]), FormatError, "body: expected an obj"),
    "a body without nodes": (inside(lambda body: body.pop("nodes")), FormatError, r"body: key 'nodes' is missing"),
    "a key that is not known": (inside(lambda body: body.update(code="x")), FormatError, "body: unknown key 'code'"),
    "a layer that is not known": (inside(lambda body: body["nodes"][0].update(op="Lambda")), UnsupportedError,
                                  r"body: nodes\[0\] \('d', 'Lambda'\): op is not known"),
    "a body that gives too little": (inside(lambda body: body["outputs"].pop()), FormatError, "outputs must be 1 st"),
    "a value from around it": (inside(lambda body: body["nodes"][0].update(inputs=["x"])), FormatError,
                               r"in the body of node 'loop' \(Loop\): node 'd' \(Dense\): input 'x' is made neither"),
    "a tensor of another name": (inside(lambda body: body["nodes"][0].update(kernel="loop.d")), FormatError,
                                 "there is no tensor 'loop.d'"),
    "states without number": (lambda config: config["nodes"][0].update(states=-1), FormatError, "states must be from"),
    "axes that are none": (lambda config: config["nodes"][0].update(sequence_axes=["0"]), FormatError,
                           r"sequence_axes\[0\]: expected an integer"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_loops_that_break_a_rule(change: str, tmp_path: Path) -> None:
    save(nested(1), tmp_path / "a.lstm")
    file = File(tmp_path / "a.lstm")
    edit, error, message = CHANGES[change]
    config = file.config
    edit(config)
    file.config = config
    with pytest.raises(error, match=message):
        load(file.write(tmp_path / "b.lstm"))


def test_loops_in_each_other_are_bounded(tmp_path: Path) -> None:
    save(nested(MOST_NESTED), tmp_path / "a.lstm")
    assert load(tmp_path / "a.lstm").outputs == ("y",)
    file = File(tmp_path / "a.lstm")
    config = file.config
    deep = {"nodes": [config["nodes"][0]], "inputs": [], "outputs": [], "metadata": {}}
    for _ in range(MOST_NESTED):
        deep = {"nodes": [{**config["nodes"][0], "body": deep}], "inputs": [], "outputs": [], "metadata": {}}
    file.config = {**config, "nodes": [{**config["nodes"][0], "body": deep}]}
    with pytest.raises(FormatError, match=f"graphs stand in each other more than {MOST_NESTED} deep"):
        load(file.write(tmp_path / "b.lstm"))


def test_an_operator_is_no_loop(tmp_path: Path) -> None:
    """A Loop has a body; an Operator called so is not known."""
    node = Operator(name="o", inputs=("x",), outputs=("y",), op_type="Loop")
    with pytest.raises(UnsupportedError, match="operator 'Loop' is not supported"):
        save(Graph((Value("x", ("batch", 3)),), (node,), ("y",)), tmp_path / "a.lstm")
