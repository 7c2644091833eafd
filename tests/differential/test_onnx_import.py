"""ONNX models of both PyTorch exporters, and ONNX's own recurrent node tests, through the reference."""

from __future__ import annotations

import itertools
import warnings
from collections import Counter
from typing import Any

import numpy as np
import pytest
from onnx_graphs import check, imported, kinds

from lstm_engine.errors import FormatError
from lstm_engine.importers import onnx as importer
from lstm_engine.importers.base import ImportOptions
from lstm_engine.reference import run

onnx = pytest.importorskip("onnx")
torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")       # torch's newer exporter is written in it

import torch_onnx  # noqa: E402  (needs torch)

# ONNX Runtime's float32 against the float64 reference: a few hundred roundings of 6e-8 on values below 1.
TOLERANCE = 1e-6


# kind, layers, bidirectional, batch_first, states, exporter. TorchScript: all. The newer exporter takes seconds
# for each: every pair of options is there at least once.
GRID = [(*options, False) for options in itertools.product(("LSTM", "GRU"), (1, 2), *[(False, True)] * 3)]
GRID += [("LSTM", 1, False, True, False, True), ("LSTM", 2, True, False, False, True),
         ("LSTM", 1, True, False, True, True), ("LSTM", 2, False, True, True, True),
         ("GRU", 1, True, True, False, True), ("GRU", 2, False, False, False, True),
         ("GRU", 2, True, True, True, True), ("GRU", 1, False, False, True, True)]


def inputs_of(kind: str, layers: int, bidirectional: bool, batch_first: bool, states: bool, batch: int, time: int
              ) -> dict[str, tuple[tuple[int, ...], dict[int, str]]]:
    """The shape and open axes of each input of a stack."""
    state = (layers * (2 if bidirectional else 1), batch, torch_onnx.HIDDEN), {1: "batch"}
    made = {"x": (((batch, time, 5), {0: "batch", 1: "time"}) if batch_first else
                  ((time, batch, 5), {0: "time", 1: "batch"}))}
    return made | {name: state for name in (("h", "c") if kind == "LSTM" else ("h",)) if states}


@pytest.mark.parametrize("kind, layers, bidirectional, batch_first, states, dynamo", GRID)
def test_stacks(kind: str, layers: int, bidirectional: bool, batch_first: bool, states: bool, dynamo: bool) -> None:
    torch.manual_seed(0)
    example = inputs_of(kind, layers, bidirectional, batch_first, states, 3, 7)
    source = torch_onnx.export(torch_onnx.Stack(kind, layers, bidirectional, batch_first, states),
                               [torch.randn(shape) for shape, _ in example.values()], list(example),
                               ["y", "hn", "cn"][:len(example)], {n: axes for n, (_, axes) in example.items()}, dynamo)
    rng = np.random.default_rng(0)
    fed = inputs_of(kind, layers, bidirectional, batch_first, states, 4, torch_onnx.fed_time(dynamo))
    feeds = {n: rng.standard_normal(shape).astype(np.float32) for n, (shape, _) in fed.items()}
    found = Counter(kinds(check(source, feeds, TOLERANCE)))
    assert found.pop(kind) == layers
    # The graph's own layout is kept at its edges, and nothing stays in between.
    if not states:
        assert found == ({} if batch_first else {"Transpose": 2})
    assert set(found) <= {"Transpose", "Squeeze", "Unsqueeze", "Reshape", "Gather", "Slice", "Concat"}


def ids(dynamo: bool) -> np.ndarray:
    return np.random.default_rng(0).integers(0, torch_onnx.VOCABULARY, (4, torch_onnx.fed_time(dynamo)))


HEADS: list[tuple[str, dict, list[str]]] = [
    ("LastStep", {}, ["Embedding", "LSTM", "Pool", "Dense"]),
    ("LastStep", dict(bidirectional=True, layers=2), ["Embedding", "LSTM", "LSTM", "Pool", "Dense"]),
    ("LastSlice", {}, ["Embedding", "LSTM", "Pool", "Dense"]),
    ("LastState", dict(layers=2), ["Embedding", "LSTM", "LSTM", "Dense"]),
    ("LastState", dict(kind="GRU"), ["Embedding", "GRU", "Dense"]),
    ("BothStates", dict(bidirectional=True, layers=2), ["Embedding", "LSTM", "LSTM", "Dense"]),
    ("LayersOfStates", dict(bidirectional=True, layers=2), ["Embedding", "LSTM", "LSTM", "Dense"]),
    ("Mean", {}, ["Embedding", "LSTM", "ReduceMean", "Dense"]),
    ("Max", {}, ["Embedding", "LSTM", "ReduceMax", "Activate", "Dense"]),
    ("Attention", {}, ["Embedding", "LSTM", "ReduceSum", "Softmax", "Unsqueeze", "Mul", "ReduceSum", "Dense"]),
    ("Residual", {}, ["Embedding", "LSTM", "Activate", "Add", "LayerNormalization", "Activate", "Dense"]),
    ("Rows", {}, ["Embedding", "LSTM", "Dense"]),
    ("Flipped", {}, ["Embedding", "LSTM", "Slice", "Dense"]),
]


BY_DYNAMO = ("BothStates", "LayersOfStates", "Residual")


@pytest.mark.parametrize("name, options, expected, dynamo", [
    (*head, dynamo) for head in HEADS for dynamo in (False, True) if not dynamo or head[0] in BY_DYNAMO])
def test_heads(name: str, options: dict, expected: list[str], dynamo: bool) -> None:
    torch.manual_seed(0)
    module = getattr(torch_onnx, name)(**options)
    source = torch_onnx.export(module, [torch.randint(0, 50, (3, 7))], ["x"], ["y"], {"x": {0: "batch", 1: "time"}},
                               dynamo)
    made = check(source, {"x": ids(dynamo)}, TOLERANCE)
    found = kinds(made)
    if name == "Residual" and dynamo:       # its GELU is written out in primitives
        assert found[:5] == expected[:5] and found[-1] == "Dense"
    else:
        assert found == expected


@pytest.mark.parametrize("dynamo", [False, True], ids=["torchscript", "dynamo"])
def test_learned_states(dynamo: bool) -> None:
    torch.manual_seed(0)
    source = torch_onnx.export(torch_onnx.LearnedStates(), [torch.randint(0, 50, (3, 7))], ["x"], ["y"],
                               {"x": {0: "batch", 1: "time"}}, dynamo)
    made = check(source, {"x": ids(dynamo)}, TOLERANCE)
    cell = next(n for n in made.nodes if n.op == "LSTM")
    assert all(cell.inputs[2:4])


@pytest.mark.parametrize("bidirectional", [False, True])
def test_packed_sequences(bidirectional: bool) -> None:
    """Sorting by TopK, lengths into the layer, ScatterElements back."""
    torch.manual_seed(0)
    source = torch_onnx.export(torch_onnx.Packed(bidirectional=bidirectional),
                               [torch.randint(0, 50, (3, 7)), torch.tensor([7, 2, 5])], ["x", "lengths"], ["y"],
                               {"x": {0: "batch", 1: "time"}, "lengths": {0: "batch"}, "y": {0: "batch"}}, False)
    feeds = {"x": np.random.default_rng(0).integers(0, 50, (4, 9)), "lengths": np.array([3, 9, 1, 5])}
    made = check(source, feeds, TOLERANCE)
    assert next(n for n in made.nodes if n.op == "LSTM").inputs[1]


def test_a_dropped_projection_is_refused() -> None:
    """The newer exporter leaves the projection matrix out; the sizes that are left do not fit each other."""
    torch.manual_seed(0)
    module = torch.nn.LSTM(5, 6, proj_size=4)
    source = torch_onnx.export(module, [torch.randn(7, 3, 5)], ["x"], ["y", "h", "c"], {"x": {1: "batch"}}, True)
    with pytest.raises(FormatError, match=r"\(LSTM\): "):
        imported(source)


CONFORMANCE = """lstm_defaults lstm_with_initial_bias lstm_with_peepholes lstm_batchwise lstm_reverse lstm_bidirectional
gru_defaults gru_with_initial_bias gru_seq_length gru_batchwise gru_reverse gru_bidirectional simple_rnn_defaults
simple_rnn_with_initial_bias simple_rnn_batchwise simple_rnn_reverse simple_rnn_bidirectional rnn_seq_length""".split()


@pytest.fixture(scope="module")
def node_cases() -> dict[str, Any]:
    from onnx.backend.test.case.node import collect_testcases
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")         # generators of other operators overflow on purpose
        cases = {case.name: case for case in collect_testcases(None)}
    recurrent = ("LSTM", "GRU", "RNN")
    return {n: case for n, case in cases.items() if case.model.graph.node[0].op_type in recurrent}


@pytest.mark.parametrize("name", CONFORMANCE)
def test_onnx_node_tests(name: str, node_cases: dict[str, Any]) -> None:
    """Weights are inputs there: they are fixed, as a caller would."""
    case = node_cases[f"test_{name}"]
    for arrays, expected in case.data_sets:
        given = dict(zip((value.name for value in case.model.graph.input), map(np.asarray, arrays)))
        fixed = {n: array for n, array in given.items() if n in ("W", "R", "B", "P")}
        made = imported(case.model, fixed=fixed)
        results = run(made, {n: array for n, array in given.items() if n not in fixed})
        for output, wanted in zip(made.outputs, expected, strict=True):
            # The tolerances are the test case's own.
            np.testing.assert_allclose(results[output], wanted, rtol=case.rtol, atol=case.atol)


def test_all_of_the_suite_is_here(node_cases: dict[str, Any]) -> None:
    assert {f"test_{name}" for name in CONFORMANCE} == set(node_cases)


def test_released_files(real: Any) -> None:
    """The same tests as files, as they were released."""
    folders = sorted((real / "onnx_conformance" / "released").iterdir())
    assert len(folders) == 12
    for folder in folders:
        source = onnx.load(folder / "model.onnx")
        data = sorted((folder / "test_data_set_0").glob("input_*.pb"))
        arrays = [onnx.numpy_helper.to_array(onnx.TensorProto.FromString(path.read_bytes())) for path in data]
        given = dict(zip((value.name for value in source.graph.input), arrays))
        fixed = {n: array for n, array in given.items() if n in ("W", "R", "B", "P")}
        made = importer.read(folder / "model.onnx", ImportOptions(spec={"fixed": fixed}))
        results = run(made, {n: array for n, array in given.items() if n not in fixed})
        for i, output in enumerate(made.outputs):
            path = folder / "test_data_set_0" / f"output_{i}.pb"
            wanted = onnx.numpy_helper.to_array(onnx.TensorProto.FromString(path.read_bytes()))
            np.testing.assert_allclose(results[output], wanted, rtol=1e-3, atol=1e-7)      # the suite's own
