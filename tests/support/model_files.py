"""One small file of every kind that is read, written without the framework that usually writes it, and a right call of
its model: what tests put through every fault."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras_files
import numpy as np
import torch_bytes
import torch_pt2

import lstm_engine as le

FEATURES, HIDDEN, UNITS = 3, 5, 2
DEMO = Path(le.__file__).parent / "demo_data"


@dataclass(frozen=True)
class Source:
    """A file, how it is read, and an input of the model in it."""

    path: Path
    x: np.ndarray
    options: dict[str, Any] = field(default_factory=dict)

    def model(self) -> le.Model:
        if self.path.suffix == ".lstm":
            return le.load(self.path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", le.AssumptionWarning)
            return le.convert(self.path, **self.options)


def floats(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, shape).astype(np.float32)


X = floats(2, 6, FEATURES)
W, R, B = floats(4 * HIDDEN, FEATURES, seed=1), floats(4 * HIDDEN, HIDDEN, seed=2), floats(4 * HIDDEN, seed=3)
KERNEL, BIAS = floats(HIDDEN, UNITS, seed=4), floats(UNITS, seed=5)


def bits(array: np.ndarray) -> bytes:
    """The numbers of an answer, to be compared to the bit."""
    return np.ascontiguousarray(array).tobytes()


def small_model() -> le.Model:
    """LSTM, then Dense, every step given."""
    return le.Model([le.LSTM(W[None], R[None], np.concatenate([B, 0 * B])[None]), le.Dense(KERNEL, BIAS)])


def _lstm(folder: Path) -> Source:
    small_model().save(folder / "model.lstm")
    return Source(folder / "model.lstm", X)


def _keras_layers() -> list[dict]:
    return [keras_files.layer("LSTM", "lstm", units=HIDDEN, batch_input_shape=[None, 6, FEATURES],
                              return_sequences=True), keras_files.layer("Dense", "dense", units=UNITS)]


def _keras(folder: Path) -> Source:
    arrays = {f"layers/lstm/cell/vars/{i}": array for i, array in enumerate((W.T, R.T, B))}
    arrays |= {"layers/dense/vars/0": KERNEL, "layers/dense/vars/1": BIAS}
    return Source(keras_files.zipped(folder / "model.keras", keras_files.sequential(*_keras_layers()), arrays), X)


def _h5(folder: Path) -> Source:
    layers = {"lstm": {"lstm/kernel:0": W.T, "lstm/recurrent_kernel:0": R.T, "lstm/bias:0": B},
              "dense": {"dense/kernel:0": KERNEL, "dense/bias:0": BIAS}}
    return Source(keras_files.legacy(folder / "model.h5", keras_files.sequential(*_keras_layers()), layers), X)


def _pt(folder: Path) -> Source:
    shutil.copyfile(DEMO / "forecast.pt", folder / "model.pt")
    return Source(folder / "model.pt", floats(2, 6, 1), {"pool": "last"})


def _pt2(folder: Path) -> Source:
    (folder / "model.pt2").write_bytes(torch_pt2.pt2(torch_pt2.small(), torch_pt2.WEIGHTS))
    return Source(folder / "model.pt2", floats(2, 3))


def _safetensors(folder: Path) -> Source:
    arrays = {"lstm.weight_ih_l0": W, "lstm.weight_hh_l0": R, "lstm.bias_ih_l0": B, "lstm.bias_hh_l0": 0 * B,
              "fc.weight": KERNEL.T, "fc.bias": BIAS}
    header, data = {}, b""
    for name, array in arrays.items():
        raw = array.tobytes()
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    path = torch_bytes.write(folder, torch_bytes.safetensors(json.dumps(header).encode(), data), "model.safetensors")
    return Source(path, X, {"pool": "none"})


def onnx_proto() -> Any:
    """An LSTM with operators of ONNX around it, so that a plan has several steps and is replayed."""
    import onnx_graphs as g

    nodes = [g.node("Transpose", "x", "t", perm=[1, 0, 2]), g.node("LSTM", "t W R B", "y", hidden_size=HIDDEN),
             g.node("Squeeze", "y axis", "s"), g.node("MatMul", "s k", "m"), g.node("Add", "m b", "a"),
             g.node("Softmax", "a", "p"), g.node("Mul", "p m", "q")]
    return g.model(nodes, {"x": ("batch", "time", FEATURES)}, "q",
                   {"W": W[None], "R": R[None], "B": np.concatenate([B, 0 * B])[None], "k": KERNEL, "b": BIAS,
                    "axis": np.array([1])})


def _onnx(folder: Path) -> Source:
    (folder / "model.onnx").write_bytes(onnx_proto().SerializeToString())
    return Source(folder / "model.onnx", X)


def _onnx_external(folder: Path) -> Source:
    import onnx

    path = folder / "parts" / "model.onnx"
    path.parent.mkdir(exist_ok=True)
    onnx.save_model(onnx_proto(), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    return Source(path, X)


def _npz(folder: Path) -> Source:
    np.savez(folder / "model.npz", w=W[None], r=R[None], k=KERNEL)
    spec = {"inputs": [{"name": "x", "shape": ["batch", "time", FEATURES]}],
            "nodes": [{"op": "LSTM", "name": "l", "W": "w", "R": "r"}, {"op": "Dense", "name": "d", "kernel": "k"}]}
    (folder / "spec.json").write_text(json.dumps(spec))
    return Source(folder / "model.npz", X, {"spec": str(folder / "spec.json")})


KINDS: dict[str, Callable[[Path], Source]] = {
    "lstm": _lstm, "keras": _keras, "h5": _h5, "pt": _pt, "pt2": _pt2, "safetensors": _safetensors, "onnx": _onnx,
    "onnx with external data": _onnx_external, "npz": _npz,
}
# Kinds whose file a child process parses: a read takes half a second, and the parser is not in this process.
IN_A_CHILD = frozenset(("keras", "h5", "onnx", "onnx with external data"))
