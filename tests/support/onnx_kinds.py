"""Kinds of ONNX files: who wrote them and how; each gives here what ONNX Runtime gives, or is refused by name."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from kind_rows import REFUSED, RIGHT, WRONG, Row
from onnx import TensorProto, helper
from onnx_graphs import graph, model, node

import lstm_engine as le
from lstm_engine.errors import LstmEngineError

# float32: some hundred terms summed in another order, over some steps.
TOLERANCE = 2e-5
SIZE = 4
WRITTEN_BY_TF2ONNX = ("rnn", "rnn_states", "gru_reset_before", "lstm_masked_both", "tokens", "stack_both")


@dataclass(frozen=True)
class Kind:
    """write: makes the file in a folder; refused: what the message says of a kind that is not supported.

    tolerance: beyond TOLERANCE where the file itself rounds.
    """

    name: str
    write: Callable[[Path], Path]
    refused: str = ""
    tolerance: float = TOLERANCE


def _random(*shape: int) -> np.ndarray:
    return (0.5 * np.random.default_rng(sum(shape)).standard_normal(shape)).astype(np.float32)


def _saved(proto: Any, folder: Path) -> Path:
    onnx.save(proto, folder / "m.onnx")
    return folder / "m.onnx"


def _by_torch(name: str, dynamo: bool) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        import torch
        import torch_onnx as of

        torch.manual_seed(0)
        if name == "stack":
            module: Any = of.Stack("LSTM", 2, True, True, False)
            given = torch.randn(2, 7, of.FEATURES)
        else:
            module = getattr(of, name)()
            given = torch.randint(0, of.VOCABULARY, (2, 7))
        return _saved(of.export(module, [given], ["x"], ["y"], {"x": {0: "batch", 1: "time"}}, dynamo), folder)
    return write


def _by_tf2onnx(name: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        archive = Path(__file__).parents[1] / "golden" / "onnx" / "tf2onnx-1.17.0.zip"
        with zipfile.ZipFile(archive) as opened:
            return Path(opened.extract(f"{name}.onnx", folder))
    return write


def _recurrent(nodes: list | None = None, outputs: str = "y", opset: int = 17, **tensors: np.ndarray) -> Any:
    """An LSTM over x [time, batch, SIZE] with other nodes behind its "s" [time, batch, SIZE]."""
    weights = {"W": _random(1, 4 * SIZE, SIZE), "R": _random(1, 4 * SIZE, SIZE + 0), "B": _random(1, 8 * SIZE),
               "axis": np.array([1]), **tensors}
    first = [node("LSTM", "x W R B", "seq", hidden_size=SIZE), node("Squeeze", "seq axis", "s")]
    return model([*first, *(nodes or [node("Identity", "s", "y")])], {"x": ("time", "batch", SIZE)}, outputs, weights,
                 opset)


def _through_a_session(folder: Path) -> Path:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    options.log_severity_level = 4
    source = _saved(_recurrent([node("MatMul", "s K", "m"), node("Add", "m b", "a"), node("Relu", "a", "y")],
                               K=_random(SIZE, 3), b=_random(3)), folder)
    onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
    return folder / "optimised.onnx"


def _quantised(folder: Path) -> Path:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    source = _saved(_recurrent([node("MatMul", "s K", "y")], K=_random(SIZE, 3)), folder)
    quantize_dynamic(source, folder / "quantised.onnx", weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul"])
    return folder / "quantised.onnx"


def _external(folder: Path) -> Path:
    proto = _recurrent()
    onnx.save(proto, folder / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=64)
    return folder / "m.onnx"


def _functions(folder: Path) -> Path:
    body = [node("Tanh", "a", "t"), node("Mul", "t a", "b")]
    made = helper.make_function("own", "Gated", ["a"], ["b"], body, [helper.make_opsetid("", 17)])
    proto = _recurrent([node("Gated", "s", "y", domain="own")])
    proto.functions.append(made)
    proto.opset_import.append(helper.make_opsetid("own", 1))
    return _saved(proto, folder)


def _of_nodes(*nodes: Any, **tensors: np.ndarray) -> Callable[[Path], Path]:
    return lambda folder: _saved(_recurrent(list(nodes), **tensors), folder)


def _scan(folder: Path) -> Path:
    body = graph([node("MatMul", "h U", "r"), node("Add", "xt r", "p"), node("Tanh", "p", "hn"),
                  node("Identity", "hn", "out")], {"h": ("batch", SIZE), "xt": ("batch", SIZE)}, "hn out",
                 {"U": _random(SIZE, SIZE)})
    nodes = [node("Scan", "h0 x", "last y", num_scan_inputs=1, body=body)]
    return _saved(model(nodes, {"x": (5, "batch", SIZE), "h0": ("batch", SIZE)}, "last y", {}, 17), folder)


def _loop(folder: Path) -> Path:
    body = graph([node("Gather", "x i", "xt", axis=0), node("MatMul", "h U", "r"), node("Add", "xt r", "p"),
                  node("Tanh", "p", "hn"), node("Identity", "c", "co"), node("Identity", "hn", "out")],
                 {"i": ("int64", ()), "c": ("bool", ()), "h": ("batch", SIZE)}, "co hn out", {"U": _random(SIZE, SIZE)})
    nodes = [node("Loop", "turns go h0", "last y", body=body)]
    return _saved(model(nodes, {"x": (5, "batch", SIZE), "h0": ("batch", SIZE)}, "last y",
                        {"turns": np.array(5), "go": np.array(True)}, 17), folder)


def _if(folder: Path) -> Path:
    branches = {which: graph([node(op, "s", out)], {}, out) for which, op, out in
                (("then_branch", "Tanh", "t"), ("else_branch", "Neg", "e"))}
    nodes = [node("Shape", "x", "d"), node("Gather", "d at", "n", axis=0), node("Greater", "n most", "c"),
             node("If", "c", "y", **branches)]
    return _saved(_recurrent(nodes, at=np.array(0), most=np.array(3)), folder)


def _half(folder: Path) -> Path:
    nodes = [node("Cast", "x", "h", to=TensorProto.FLOAT16), node("MatMul", "h K", "m"),
             node("Cast", "m", "y", to=TensorProto.FLOAT)]
    return _saved(model(nodes, {"x": ("batch", SIZE)}, "y", {"K": _random(SIZE, 3).astype(np.float16)}, 17), folder)


def kinds() -> Iterator[Kind]:
    for dynamo in (False, True):
        for name in ("stack", "LastState", "Residual", "Attention"):
            yield Kind(f"torch, {'newer' if dynamo else 'older'} exporter: {name}", _by_torch(name, dynamo))
    for name in WRITTEN_BY_TF2ONNX:
        yield Kind(f"tf2onnx: {name}", _by_tf2onnx(name))
    yield Kind("an LSTM node", lambda folder: _saved(_recurrent(), folder))
    yield Kind("an LSTM node of opset 14", lambda folder: _saved(_recurrent(opset=14), folder))
    yield Kind("optimised by ONNX Runtime", _through_a_session)
    # Rows are rounded to 8 bits by the same rule on both sides.
    yield Kind("quantised by ONNX Runtime", _quantised, tolerance=2e-3)
    yield Kind("external data", _external)
    yield Kind("functions of its own", _functions)
    yield Kind("If", _if)
    yield Kind("Loop", _loop)
    yield Kind("Scan", _scan)
    yield Kind("float16 inside", _half, tolerance=2e-3)
    yield Kind("Einsum", _of_nodes(node("Einsum", "s K", "y", equation="tbf,fg->tbg"), K=_random(SIZE, 3)))
    yield Kind("an operator of someone's domain", _of_nodes(node("Mine", "s", "y", domain="own.domain")), "Mine")
    yield Kind("random numbers", _of_nodes(node("RandomNormalLike", "s", "y")), "RandomNormalLike")
    yield Kind("training's Dropout", _of_nodes(node("Dropout", "s r t", "y"), r=np.float32(0.5), t=np.array(True)),
               "Dropout")


def rows(kind: Kind, folder: Path) -> list[Row]:
    """What becomes of a kind."""
    path = kind.write(folder)
    try:
        ours = le.convert(path)
        if kind.refused:
            return [Row(kind.name, path.suffix[1:], WRONG, "opens")]
        feeds = _feeds(path)
        made = ours.predict({name: feeds[name] for name in ours.inputs})
    except LstmEngineError as error:
        outcome = REFUSED if type(error).__name__ == "UnsupportedError" else WRONG
        return [Row(kind.name, path.suffix[1:], outcome, str(error).removeprefix(f"{path}: "))]
    session = _session(path)
    wanted = dict(zip([value.name for value in session.get_outputs()], session.run(None, feeds)))
    listed = made if isinstance(made, dict) else {next(iter(wanted)): made}
    off = max(_apart(listed[name], want) for name, want in wanted.items())
    return [Row(kind.name, path.suffix[1:], RIGHT if off <= kind.tolerance else WRONG, f"off by {off:.1e}")]


def _apart(ours: np.ndarray, want: np.ndarray) -> float:
    if ours.shape != want.shape:
        return float("inf")
    return float(np.max(np.abs(ours.astype(np.float64) - want), initial=0))


def _session(path: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _feeds(path: Path) -> dict[str, np.ndarray]:
    """Random inputs; sizes that are open are 2 of the first axis, and 7 of others, as the newer exporter fixes them."""
    rng, feeds = np.random.default_rng(0), {}
    names: dict[Any, int] = {"batch": 2, "time": 7}
    for value in _session(path).get_inputs():
        shape = [size if isinstance(size, int) else names.get(size, 7 if axis else 2)
                 for axis, size in enumerate(value.shape)]
        dtype = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}.get(value.type, np.float32)
        numbers = rng.standard_normal(shape) if dtype is np.float32 else rng.integers(0, 5, shape)
        feeds[value.name] = numbers.astype(dtype)
    return feeds
