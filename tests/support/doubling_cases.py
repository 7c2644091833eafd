"""The cases of `doubling` for our own files, for arrays and specs: files that grow by one thing."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from doubling_costs import Case
from lstm_files import assemble, parts
from torch_bytes import (
    safetensors,
)

import lstm_engine as le
from lstm_engine.graph import LSTM, SIGMOID, Activate, Dense, Graph, Operator, Value

CASES: list[Case] = []


def convert(given: Any) -> le.Model:
    path, options = given if isinstance(given, tuple) else (given, {})
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return le.convert(path, **options)


def case(reader: str, thing: str, n: int, read: Any = convert, needs: str = "") -> Any:
    """Register a function (folder, n) -> what `read` takes."""
    def register(make: Any) -> Any:
        CASES.append(Case(reader, thing, n, make, read, needs))
        return make
    return register


def written(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


# ---- .lstm ------------------------------------------------------------------------------------------------------

def lstm(thing: str, n: int) -> Any:
    """A case whose function makes a graph of n."""
    def register(make: Any) -> Any:
        def saved(folder: Path, n: int) -> Path:
            header, data = parts(make(n))
            return written(folder, "m.lstm", assemble(header, data))
        CASES.append(Case(".lstm", thing, n, saved, le.load))
        return make
    return register


X = (Value("v0", ("batch", "time", 4)),)


def chain(n: int, make: Any) -> Graph:
    return Graph(X, tuple(make(f"n{i}", f"v{i}", f"v{i + 1}") for i in range(n)), (f"v{n}",))


@lstm("layers", 100)
def _(n: int) -> Graph:
    return chain(n, lambda name, x, y: Activate(name=name, inputs=(x,), outputs=(y,), activation=SIGMOID))


@lstm("layers with weights", 60)
def _(n: int) -> Graph:
    return chain(n, lambda name, x, y: Dense(name=name, inputs=(x,), outputs=(y,), kernel=np.ones((4, 4), "f4")))


@lstm("layers of one matrix", 60)
def _(n: int) -> Graph:
    kernel = np.ones((4, 4), "f4")
    return chain(n, lambda name, x, y: Dense(name=name, inputs=(x,), outputs=(y,), kernel=kernel))


@lstm("recurrent layers", 40)
def _(n: int) -> Graph:
    return chain(n, lambda name, x, y: LSTM(name=name, inputs=(x,), outputs=(y,), W=np.ones((1, 16, 4), "f4"),
                                            R=np.ones((1, 16, 4), "f4")))


@lstm("operators", 100)
def _(n: int) -> Graph:
    return chain(n, lambda name, x, y: Operator(name=name, inputs=(x,), outputs=(y,), op_type="Erf"))


@lstm("choices on one condition", 60)
def _(n: int) -> Graph:
    sizes = tuple(Value(f"x{i}", (f"d{i}", 4)) for i in range(n))
    nodes: list[Operator] = []
    for i in range(n):
        nodes += [Operator(name=f"e{i}", inputs=(f"x{i}",), outputs=(f"e{i}",), op_type="Exp"),
                  Operator(name=f"i{i}", inputs=("go", f"e{i}", f"x{i}"), outputs=(f"y{i}",), op_type="If")]
    return Graph((Value("go", (), "bool"), *sizes), tuple(nodes), tuple(f"y{i}" for i in range(n)))


@lstm("choices one behind the other", 60)
def _(n: int) -> Graph:
    nodes: list[Operator] = []
    for i in range(n):
        nodes += [Operator(name=f"e{i}", inputs=(f"v{i}",), outputs=(f"e{i}",), op_type="Exp"),
                  Operator(name=f"i{i}", inputs=("go", f"e{i}", f"v{i}"), outputs=(f"v{i + 1}",), op_type="If")]
    return Graph((Value("go", (), "bool"), *X), tuple(nodes), (f"v{n}",))


@lstm("inputs of one operator", 200)
def _(n: int) -> Graph:
    inputs = tuple(Value(f"x{i}", ("batch", 4)) for i in range(n))
    total = Operator(name="s", inputs=tuple(value.name for value in inputs), outputs=("y",), op_type="Sum")
    return Graph(inputs, (total,), ("y",))


@lstm("outputs", 100)
def _(n: int) -> Graph:
    nodes = tuple(Operator(name=f"n{i}", inputs=("v0",), outputs=(f"y{i}",), op_type="Neg") for i in range(n))
    return Graph(X, nodes, tuple(f"y{i}" for i in range(n)))


@lstm("readers of one value", 100)
def _(n: int) -> Graph:
    made = tuple(f"y{i}" for i in range(n))
    nodes = tuple(Operator(name=f"n{y}", inputs=("v0",), outputs=(y,), op_type="Neg") for y in made)
    return Graph(X, (*nodes, Operator(name="s", inputs=made, outputs=("y",), op_type="Sum")), ("y",))


@lstm("length of names", 20_000)
def _(n: int) -> Graph:
    return chain(10, lambda name, x, y: Activate(name=name + "n" * n, inputs=(x,), outputs=(y,), activation=SIGMOID))


@lstm("metadata", 2000)
def _(n: int) -> Graph:
    made = chain(1, lambda name, x, y: Activate(name=name, inputs=(x,), outputs=(y,), activation=SIGMOID))
    return Graph(made.inputs, made.nodes, made.outputs, {f"key{i}": "text" for i in range(n)})


@lstm("numbers of an attribute", 2000)
def _(n: int) -> Graph:
    return chain(1, lambda name, x, y: Operator(name=name, inputs=(x,), outputs=(y,), op_type="Transpose",
                                                attributes={"perm": (0,) * n}))


@lstm("attributes", 1000)
def _(n: int) -> Graph:
    return chain(1, lambda name, x, y: Operator(name=name, inputs=(x,), outputs=(y,), op_type="Neg",
                                                attributes={f"a{i}": 1 for i in range(n)}))


@case(".lstm", "nesting of its JSON", 20_000, le.load)
def _(folder: Path, n: int) -> Path:
    header, data = parts(chain(1, lambda name, x, y: Operator(name=name, inputs=(x,), outputs=(y,), op_type="Neg")))
    header["__metadata__"]["config"] = "[" * n + "]" * n
    return written(folder, "m.lstm", assemble(header, data))


@case(".lstm", "tensors that no node names", 300, le.load)
def _(folder: Path, n: int) -> Path:
    header, data = parts(chain(1, lambda name, x, y: Dense(name=name, inputs=(x,), outputs=(y,),
                                                           kernel=np.ones((4, 4), "f4"))))
    for i in range(n):
        header[f"t{i}"] = {"dtype": "F32", "shape": [1], "data_offsets": [len(data), len(data) + 4]}
        data += b"\0" * 4
    return written(folder, "m.lstm", assemble(header, data))


# ---- .safetensors, .npz and specs -------------------------------------------------------------------------------

SPEC = {"inputs": [{"name": "x", "shape": ["batch", 4]}], "nodes": [{"name": "fc", "op": "Dense", "torch": "fc"}],
        "ignore": ["t*"]}


def tensors(n: int, length: int = 0) -> bytes:
    entries = {"fc.weight": [4, 4], **{f"t{i}{'t' * length}": [1] for i in range(n)}}
    header, at = {}, 0
    for name, shape in entries.items():
        size = 4 * int(np.prod(shape))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    return safetensors(json.dumps(header).encode(), b"\0" * at)


@case(".safetensors", "tensors", 300)
def _(folder: Path, n: int) -> Any:
    return written(folder, "m.safetensors", tensors(n)), {"spec": SPEC}


@case(".safetensors", "length of names", 20_000)
def _(folder: Path, n: int) -> Any:
    return written(folder, "m.safetensors", tensors(10, n)), {"spec": SPEC}


@case(".safetensors", "layers, with no spec", 40)
def _(folder: Path, n: int) -> Any:
    header, at = {}, 0
    for i in range(n):
        for name, shape in ((f"fc{i}.weight", [4, 4]), (f"fc{i}.bias", [4])):
            size = 4 * int(np.prod(shape))
            header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
            at += size
    return written(folder, "m.safetensors", safetensors(json.dumps(header).encode(), b"\0" * at))


@case(".safetensors", "metadata", 2000)
def _(folder: Path, n: int) -> Any:
    header = {"__metadata__": {f"key{i}": "text" for i in range(n)},
              "fc.weight": {"dtype": "F32", "shape": [4, 4], "data_offsets": [0, 64]}}
    return written(folder, "m.safetensors", safetensors(json.dumps(header).encode(), b"\0" * 64)), {"spec": SPEC}


@case(".safetensors", "nesting of its JSON", 20_000)
def _(folder: Path, n: int) -> Any:
    return written(folder, "m.safetensors", safetensors(b"[" * n + b"]" * n))


def npz(folder: Path, arrays: dict[str, np.ndarray]) -> Path:
    np.savez(folder / "m.npz", **arrays)
    return folder / "m.npz"


@case(".npz", "arrays", 200)
def _(folder: Path, n: int) -> Any:
    return npz(folder, {"fc.weight": np.ones((4, 4), "f4"), **{f"t{i}": np.ones(1, "f4") for i in range(n)}}), \
        {"spec": SPEC}


@case(".npz", "length of the archive's comment", 8000)
def _(folder: Path, n: int) -> Any:
    path = npz(folder, {"fc.weight": np.ones((4, 4), "f4")})
    with zipfile.ZipFile(path, "a") as file:
        file.comment = b"PK\5\6" * (n // 4)             # what the directory's end begins with, at most 64 KB
    return path, {"spec": SPEC}


@case("spec", "nodes", 100)
def _(folder: Path, n: int) -> Any:
    nodes = [{"name": f"n{i}", "op": "Dense", "torch": "fc"} for i in range(n)]
    return npz(folder, {"fc.weight": np.ones((4, 4), "f4")}), {"spec": {**SPEC, "nodes": nodes}}


@case("spec", "nesting of its JSON", 20_000)
def _(folder: Path, n: int) -> Any:
    path = written(folder, "spec.json", b"[" * n + b"]" * n)
    return npz(folder, {"fc.weight": np.ones((4, 4), "f4")}), {"spec": path}


@case("spec", "parts of one array", 200)
def _(folder: Path, n: int) -> Any:
    nodes = [{"name": "n", "op": "Dense", "kernel": "fc.weight", "bias": {"concat": [{"zeros": 4}] * n}}]
    return npz(folder, {"fc.weight": np.ones((4, 4), "f4")}), {"spec": {**SPEC, "nodes": nodes}}


@case("spec", "slices of one array", 100)
def _(folder: Path, n: int) -> Any:
    nodes = [{"name": "n", "op": "Dense", "kernel": "fc.weight", "bias": {"concat": [
        {"slice": "b", "start": i, "stop": i + 1} for i in range(n)]}}]
    return npz(folder, {"fc.weight": np.ones((4, n), "f4"), "b": np.ones(n, "f4")}), {"spec": {**SPEC, "nodes": nodes}}


@case("spec", "numbers of its own", 1000)
def _(folder: Path, n: int) -> Any:
    nodes = [{"name": "n", "op": "Dense", "kernel": "fc.weight", "bias": {"value": [1.0] * n}}]
    return npz(folder, {"fc.weight": np.ones((4, n), "f4")}), {"spec": {**SPEC, "nodes": nodes}}


@case("spec", "layers of one buffer of cuDNN", 20)
def _(folder: Path, n: int) -> Any:
    nodes = [{"name": f"n{i}", "op": "RNN", "cudnn": {"buffer": "w", "features": 4, "hidden": 4, "layers": n,
                                                      "layer": i}} for i in range(n)]
    return npz(folder, {"w": np.zeros(n * 40, "f4")}), {"spec": {
        "inputs": [{"name": "x", "shape": ["batch", "time", 4]}], "nodes": nodes}}


@case("spec", "patterns to ignore", 200)
def _(folder: Path, n: int) -> Any:
    spec = {**SPEC, "ignore": ["t*", *(f"a{i}*b*c*d" for i in range(n))]}
    return npz(folder, {"fc.weight": np.ones((4, 4), "f4"), "t": np.ones(1, "f4")}), {"spec": spec}
