"""What opening a model takes: the parts that a fresh process loads for it, and how often its graph is gone through."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from model_files import small_model

import lstm_engine as le
from lstm_engine.importers.onnx.reading import proto
from lstm_engine.importers.reading import sandbox
from lstm_engine.operators import inference
from lstm_engine.running import account

onnx = pytest.importorskip("onnx")

# A child of `sandbox` that says what it has loaded, in place of the one that answers.
PARSES = """
import importlib, json, sys
def main(request):
    parser = importlib.import_module(request["module"])
    parser.make_ready()
    with open(request["file"], "rb") as file:
        result, arrays = parser.parse(file)
    content = {name: b"".join(array.pieces(1 << 20)).hex() for name, array in arrays.items()}
    print(json.dumps([sorted(sys.modules), content]))
"""


def ones() -> np.ndarray:
    return np.ones(3, np.float32)


def chain_of_operators(path: Path, count: int) -> Path:
    """An ONNX file of so many operators."""
    from onnx import TensorProto, helper, numpy_helper

    nodes = [helper.make_node("Abs", [f"v{i}"], [f"v{i + 1}"]) if i % 2 else
             helper.make_node("Add", [f"v{i}", "one"], [f"v{i + 1}"]) for i in range(count)]
    graph = helper.make_graph(nodes, "chain", [helper.make_tensor_value_info("v0", TensorProto.FLOAT, ["b", 3])],
                              [helper.make_tensor_value_info(f"v{count}", TensorProto.FLOAT, ["b", 3])],
                              [numpy_helper.from_array(ones(), "one")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def test_the_parser_of_onnx_files_loads_no_more_than_messages(tmp_path):
    """NumPy and the whole of onnx take a child longer to load than most files to parse."""
    module = proto.__name__
    (tmp_path / "parses.py").write_text(PARSES)
    request = {"sys_path": [str(tmp_path), *filter(None, sys.path)], "packages": sandbox._ancestors(module),
               "child": "parses", "module": module, "file": str(chain_of_operators(tmp_path / "m.onnx", 4))}
    ended = subprocess.run([sys.executable, "-I", "-S", "-c", sandbox._BOOTSTRAP, json.dumps(request)],
                           capture_output=True, text=True, check=True)
    modules, content = json.loads(ended.stdout)
    assert content == {"t0": ones().tobytes().hex()}
    assert not {"numpy", "onnx", "onnx.helper", "dataclasses"} & set(modules)
    assert {name for name in modules if name.startswith("lstm_engine.")} == {
        "lstm_engine.data_types", "lstm_engine.errors", "lstm_engine.importers", "lstm_engine.importers.onnx",
        "lstm_engine.importers.onnx.reading", "lstm_engine.importers.onnx.reading.outline", module,
        "lstm_engine.importers.reading",
        "lstm_engine.importers.reading.answer", "lstm_engine.importers.reading.protobuf"}


@pytest.mark.parametrize("kind", ["onnx", "lstm"])
def test_the_shapes_of_a_graph_are_inferred_once(kind, tmp_path, monkeypatch):
    source = chain_of_operators(tmp_path / "m.onnx", 8)
    model = le.load(source)                     # all parts are there from here on
    if kind == "lstm":
        source = tmp_path / "m.lstm"
        model.save(source)
        le.load(source)
    walks = []
    infer = inference._infer
    monkeypatch.setattr(inference, "_infer", lambda graph: walks.append(len(graph.nodes)) or infer(graph))
    assert len(le.load(source).graph.nodes) == 8
    assert walks == [8]


CHAIN = """
import json, sys
import numpy as np
before = set(sys.modules)
import lstm_engine as le
model = le.load(sys.argv[1])
model.predict(np.zeros((2, 6, 3), np.float32))
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_a_chain_of_layers_loads_what_it_runs_on_alone(tmp_path):
    """No importer, nothing of the long way of a run or of operators, no threads that read a large file."""
    small_model().save(tmp_path / "m.lstm")
    ended = subprocess.run([sys.executable, "-c", CHAIN, str(tmp_path / "m.lstm")], capture_output=True, text=True,
                           check=True)
    found = set(json.loads(ended.stdout))
    parts = {name.removeprefix("lstm_engine.") for name in found if name.startswith("lstm_engine.")}
    assert {"loading", "model", "plan.lower", "running.direct", "format.file"} <= parts
    assert {part for part in parts if part.partition(".")[0] in ("running", "operators", "plan", "format")} == {
        "format", "format.codec", "format.file", "format.header", "operators", "operators.check", "operators.families",
        "operators.guards", "operators.inference", "operators.precision", "plan", "plan.axes", "plan.bounds",
        "plan.lower", "plan.partition", "plan.pickling", "plan.steps", "plan.weights", "running", "running.direct"}
    assert not parts & {"importers", "layers", "checking", "summary", "cli"}
    assert not found & {"queue", "subprocess", "zipfile", "ctypes"}


def test_a_run_on_shapes_that_were_seen_looks_at_no_operator_again(tmp_path, monkeypatch):
    """The first run of some sizes asks each operator once what it will take; how it is asked is made once a plan."""
    model = le.load(chain_of_operators(tmp_path / "m.onnx", 8))
    made, asked = [], []
    look, need = account.Look.__init__, account.Look.need
    monkeypatch.setattr(account.Look, "__init__", lambda self, step: made.append(step) or look(self, step))
    monkeypatch.setattr(account.Look, "need", lambda self, *given: asked.append(self) or need(self, *given))
    for rows, counts in ((2, (8, 8)), (2, (8, 8)), (2, (8, 8)), (5, (8, 16)), (5, (8, 16)), (2, (8, 16))):
        model.predict(np.ones((rows, 3), np.float32))
        assert (len(made), len(asked)) == counts


LONG_WAY = """
import sys
import numpy as np
import lstm_engine as le
le.load(sys.argv[1]).predict(np.zeros((2, 6, 3), np.float32), return_state=True)
print("lstm_engine.running.predict" in sys.modules, "numpy.ma" in sys.modules)
"""


def test_asking_for_masked_arrays_loads_nothing(tmp_path):
    small_model().save(tmp_path / "m.lstm")
    ended = subprocess.run([sys.executable, "-c", LONG_WAY, str(tmp_path / "m.lstm")], capture_output=True, text=True,
                           check=True)
    assert ended.stdout.split() == ["True", "False"]


OWN = """
import sys
import numpy
before = set(sys.modules)
import lstm_engine as le
le.load(sys.argv[1])
print(*sorted({"pathlib", "urllib.parse", "ipaddress", "ctypes", "tempfile"} & set(sys.modules) - before))
"""


def test_a_file_of_ours_is_opened_without_what_reads_addresses(tmp_path):
    """pathlib loads urllib, which loads ipaddress: an eighth of what opening a small model takes."""
    small_model().save(tmp_path / "m.lstm")
    ended = subprocess.run([sys.executable, "-c", OWN, str(tmp_path / "m.lstm")], capture_output=True, text=True,
                           check=True)
    assert ended.stdout.split() == []


HELP = """
import contextlib, io, json, sys
from lstm_engine.cli.main import main
with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.suppress(SystemExit):
    main(["--help"])
assert "predict" in said.getvalue()
print(json.dumps(sorted(sys.modules)))
"""


def test_help_on_the_command_line_loads_neither_numpy_nor_the_engine():
    ended = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=True)
    found = set(json.loads(ended.stdout))
    assert "numpy" not in found
    assert {name for name in found if name.startswith("lstm_engine.") and not name.startswith("lstm_engine.cli")} == {
        "lstm_engine.errors", "lstm_engine.texts"}
