"""The cases of `doubling`: for every reader, files that grow by one thing."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from doubling import Case
from lstm_files import assemble, parts
from torch_bytes import (
    archive,
    checkpoint,
    legacy,
    listed,
    mapping,
    number,
    pickled,
    safetensors,
    storage,
    symbol,
    tensor,
    text,
)
from torch_pt2 import meta, node, program, pt2
from torch_pt2 import tensor as argument

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


@case("spec", "patterns to ignore", 200)
def _(folder: Path, n: int) -> Any:
    spec = {**SPEC, "ignore": ["t*", *(f"a{i}*b*c*d" for i in range(n))]}
    return npz(folder, {"fc.weight": np.ones((4, 4), "f4"), "t": np.ones(1, "f4")}), {"spec": spec}


# ---- .pt and .pt2 -----------------------------------------------------------------------------------------------

def state(n: int, more: str = "") -> bytes:
    return mapping({"fc.weight": tensor((4, 3)), **{f"t{i}{more}": tensor((1,), (1,)) for i in range(n)}})


TORCH_SPEC = {**SPEC, "inputs": [{"name": "x", "shape": ["batch", 3]}]}


@case(".pt", "tensors", 200)
def _(folder: Path, n: int) -> Any:
    return written(folder, "m.pt", checkpoint(state(n))), {"spec": TORCH_SPEC}


@case(".pt", "storages", 200)
def _(folder: Path, n: int) -> Any:
    own = [f"{i + 1}" for i in range(n)]
    made = mapping({"fc.weight": tensor((4, 3)),
                    **{f"t{key}": tensor((1,), (1,), over=storage(key, 1)) for key in own}})
    storages = {"0": b"\0" * 48, **{key: b"\0" * 4 for key in own}}
    return written(folder, "m.pt", checkpoint(made, storages)), {"spec": TORCH_SPEC}


@case(".pt", "records that nothing names", 500)
def _(folder: Path, n: int) -> Any:
    return written(folder, "m.pt", checkpoint(state(0), **{f"junk/{i}": b"" for i in range(n)})), {"spec": TORCH_SPEC}


@case(".pt", "length of names", 20_000)
def _(folder: Path, n: int) -> Any:
    return written(folder, "m.pt", checkpoint(state(5, "t" * n))), {"spec": TORCH_SPEC}


@case(".pt", "nesting of dicts", 300)
def _(folder: Path, n: int) -> Any:
    made = state(0)
    for _ in range(n):
        made = mapping({"state_dict": made})
    return written(folder, "m.pt", checkpoint(made)), {"spec": TORCH_SPEC}


@case(".pt", "nesting of lists", 2000)
def _(folder: Path, n: int) -> Any:
    made = mapping({"fc.weight": tensor((4, 3)), "other": b"]" * n + b"a" * (n - 1)})
    return written(folder, "m.pt", checkpoint(made)), {"spec": TORCH_SPEC}


@case(".pt", "opcodes", 5000)
def _(folder: Path, n: int) -> Any:
    made = mapping({"fc.weight": tensor((4, 3)), "other": listed(*[number(5)] * n)})
    return written(folder, "m.pt", checkpoint(made)), {"spec": TORCH_SPEC}


@case(".pt", "objects that are used again", 2000)
def _(folder: Path, n: int) -> Any:
    """A list in the memo, put n times into another: as short to write as to read."""
    made = mapping({"fc.weight": tensor((4, 3)), "other": b"]q\x00" + b"0" + listed(*[b"h\x00"] * n)})
    return written(folder, "m.pt", checkpoint(made)), {"spec": TORCH_SPEC}


@case(".pt", "lists of lists of lists", 20)
def _(folder: Path, n: int) -> Any:
    """Each holds the one before twice: 2^n to who goes through it without looking."""
    made = b"]q\x00"
    for i in range(n):
        made += b"0]" + b"(h" + bytes([i]) + b"h" + bytes([i]) + b"eq" + bytes([i + 1])
    return written(folder, "m.pt", checkpoint(mapping({"fc.weight": tensor((4, 3)), "other": made}))), \
        {"spec": TORCH_SPEC}


@case(".pt (legacy)", "tensors", 200)
def _(folder: Path, n: int) -> Any:
    return written(folder, "m.pt", legacy(state(n))), {"spec": TORCH_SPEC}


@case(".pt", "layers, with no spec", 40)
def _(folder: Path, n: int) -> Any:
    return written(folder, "m.pt", checkpoint(mapping({f"fc{i}.weight": tensor((3, 3), (3, 1)) for i in range(n)})))


@case(".pt (module)", "layers", 40, needs="torch")
def _(folder: Path, n: int) -> Any:
    import torch

    torch.save(torch.nn.Sequential(*(torch.nn.Linear(4, 4) for _ in range(n))), folder / "m.pt")
    return folder / "m.pt"


def relu_chain(n: int, **more: Any) -> dict:
    metas = {"x": meta(["s0", 3]), **{f"y{i}": meta(["s0", 3]) for i in range(n)}}
    names = ["x", *(f"y{i}" for i in range(n))]
    nodes = [node("relu.default", b, self=argument(a)) for a, b in zip(names, names[1:])]
    return program(nodes, metas, [names[-1]], **more)


@case(".pt2", "nodes", 60)
def _(folder: Path, n: int) -> Any:
    return written(folder, "m.pt2", pt2(relu_chain(n)))


@case(".pt2", "layers", 40)
def _(folder: Path, n: int) -> Any:
    names = ["x", *(f"y{i}" for i in range(n))]
    metas = {**{name: meta(["s0", 3]) for name in names}, **{f"w{i}": meta([3, 3]) for i in range(n)}}
    nodes = [node("linear.default", b, input=argument(a), weight=argument(f"w{i}"))
             for i, (a, b) in enumerate(zip(names, names[1:]))]
    weights = {f"w{i}": f"fc{i}.weight" for i in range(n)}
    return written(folder, "m.pt2", pt2(program(nodes, metas, [names[-1]], weights),
                                        {name: np.ones((3, 3), "f4") for name in weights.values()}))


@case(".pt2", "layers of one matrix", 40)
def _(folder: Path, n: int) -> Any:
    names = ["x", *(f"y{i}" for i in range(n))]
    metas = {**{name: meta(["s0", 3]) for name in names}, "w": meta([3, 3])}
    nodes = [node("linear.default", b, input=argument(a), weight=argument("w")) for a, b in zip(names, names[1:])]
    return written(folder, "m.pt2", pt2(program(nodes, metas, [names[-1]], {"w": "fc.weight"}),
                                        {"fc.weight": np.ones((3, 3), "f4")}))


@case(".pt2", "length of names", 10_000)
def _(folder: Path, n: int) -> Any:
    long = "y" * n
    metas = {"x": meta(["s0", 3]), long: meta(["s0", 3])}
    return written(folder, "m.pt2", pt2(program([node("relu.default", long, self=argument("x"))], metas, [long])))


@case(".pt2", "nesting of its JSON", 20_000)
def _(folder: Path, n: int) -> Any:
    return written(folder, "m.pt2", pt2(None, raw=b"[" * n + b"]" * n))


@case(".pt2", "conditions on sizes", 200)
def _(folder: Path, n: int) -> Any:
    guards = [f"L['x'].size()[0] >= {i}" for i in range(n)]
    return written(folder, "m.pt2", pt2(relu_chain(2, guards_code=guards)))


@case("zip", "records", 500)
def _(folder: Path, n: int) -> Any:
    return written(folder, "m.pt2", archive({f"a/{i}": b"" for i in range(n)}))


@case("pickle", "length of a text", 50_000)
def _(folder: Path, n: int) -> Any:
    return written(folder, "m.pt", archive({"a/data.pkl": pickled(text("x" * n))}))


@case("pickle", "symbols", 1000)
def _(folder: Path, n: int) -> Any:
    made = listed(*(symbol("module", f"name{i}") for i in range(n)))
    return written(folder, "m.pt", archive({"a/data.pkl": pickled(made)}))


# ---- CSV --------------------------------------------------------------------------------------------------------

def read_csv(given: Any) -> Any:
    from lstm_engine.cli.csv_sequences import read_csv
    from lstm_engine.cli.csv_text import CsvOptions

    content, value = given
    return read_csv(io.StringIO(content), value, "in.csv", CsvOptions(), None)


NUMBERS, IDS = Value("x", ("batch", "time", 3)), Value("ids", ("batch", "time"), "int32")


@case("CSV", "steps", 300, read_csv)
def _(folder: Path, n: int) -> Any:
    return "a,b,c\n" + "1.5,2.5,3.5\n" * n, NUMBERS


@case("CSV", "sequences", 200, read_csv)
def _(folder: Path, n: int) -> Any:
    return "name,a,b,c\n" + "".join(f"s{i},1.5,2.5,3.5\ns{i},1,2,3\n" for i in range(n)), NUMBERS


@case("CSV", "rows of ids", 300, read_csv)
def _(folder: Path, n: int) -> Any:
    return "".join(f"{i % 7 + 2},2,3\n" for i in range(n)), IDS


@case("CSV", "ids of one row", 2000, read_csv)
def _(folder: Path, n: int) -> Any:
    return ",".join(["7"] * n) + "\n", IDS


@case("CSV", "columns", 500, read_csv)
def _(folder: Path, n: int) -> Any:
    row = ",".join(["1.5"] * n) + "\n"
    return ",".join(f"c{i}" for i in range(n)) + "\n" + row * 3, Value("x", ("batch", "time", n))


@case("CSV", "length of a field", 50_000, read_csv)
def _(folder: Path, n: int) -> Any:
    return f"a,b,c\n1,2,{'9' * n}x\n", NUMBERS


@case("CSV", "quotation marks", 20_000, read_csv)
def _(folder: Path, n: int) -> Any:
    return 'a,b,c\n1,2,"' + '""' * n + "\n", NUMBERS


@case("CSV", "empty lines", 2000, read_csv)
def _(folder: Path, n: int) -> Any:
    return "a,b,c\n" + "\n" * n + "1,2,3\n", NUMBERS
