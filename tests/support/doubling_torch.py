"""The cases of `doubling` for PyTorch's files and CSV."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from doubling_cases import SPEC, case, written
from torch_bytes import (
    archive,
    call,
    checkpoint,
    entry,
    items,
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

from lstm_engine.graph import Value


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


@case(".pt", "keys that are tuples", 2000)
def _(folder: Path, n: int) -> Any:
    made = mapping({"fc.weight": tensor((4, 3)), "other": b"}(" + b")N" * n + b"u"})
    return written(folder, "m.pt", checkpoint(made)), {"spec": TORCH_SPEC}


@case(".pt", "objects in circles", 1000)
def _(folder: Path, n: int) -> Any:
    """Each list holds the one before and itself."""
    made = b"]q\x00" + b"".join(b"]q\x01h\x00ah\x01aq\x00" for _ in range(n))
    return written(folder, "m.pt", checkpoint(mapping({"fc.weight": tensor((4, 3)), "other": items(made)}))), \
        {"spec": TORCH_SPEC}


@case(".pt", "calls", 1000)
def _(folder: Path, n: int) -> Any:
    made = listed(*[call(symbol("my.net", "Color"), number(1))] * n)
    return written(folder, "m.pt", checkpoint(mapping({"fc.weight": tensor((4, 3)), "other": made}))), \
        {"spec": TORCH_SPEC}


@case(".pt", "normalised weights, with no spec", 100)
def _(folder: Path, n: int) -> Any:
    made = {f"fc{i}.weight_{end}": tensor((4, size), (size, 1)) for i in range(n) for end, size in (("g", 1), ("v", 3))}
    return written(folder, "m.pt", checkpoint(mapping(made)))


@case(".pt", "weights and their average, with no spec", 100)
def _(folder: Path, n: int) -> Any:
    made = {f"{prefix}rnn{i}.weight_ih": tensor((4, 3)) for i in range(n) for prefix in ("", "ema.")}
    return written(folder, "m.pt", checkpoint(mapping(made)))


@case(".pt", "counts of metrics, with no spec", 100)
def _(folder: Path, n: int) -> Any:
    made = {"weight_ih_l0": tensor((3, 2), (2, 1)), "weight_hh_l0": tensor((3, 1), (1, 1)),
            **{f"acc.[{i}]*": tensor((), ()) for i in range(n)}}
    return written(folder, "m.pt", checkpoint(mapping(made)))


@case("JSON weights", "numbers", 2000)
def _(folder: Path, n: int) -> Any:
    return written(folder, "m.json", json.dumps({"weight_ih_l0": [[1.0] * n] * 3}).encode())


@case("JSON weights", "arrays", 200)
def _(folder: Path, n: int) -> Any:
    return written(folder, "m.json", json.dumps({f"fc{i}.weight": [[1.0]] for i in range(n)}).encode())


@case("JSON weights", "empty lists", 5000)
def _(folder: Path, n: int) -> Any:
    return written(folder, "m.json", json.dumps({"fc.weight": [[1.0]], "more": [[]] * n}).encode())


@case("JSON weights", "layers of Neural Amp Modeler", 20)
def _(folder: Path, n: int) -> Any:
    return written(folder, "m.nam", json.dumps({
        "version": "0.5", "architecture": "LSTM", "config": {"input_size": 1, "hidden_size": 1, "num_layers": n},
        "weights": [0.5] * (14 * n + 2)}).encode())


@case("JSON weights", "RTNeural's layers", 40)
def _(folder: Path, n: int) -> Any:
    layer = {"type": "dense", "activation": "", "shape": [2], "weights": [[[1.0, 2.0]] * 2, [1.0, 2.0]]}
    return written(folder, "m.json", json.dumps({"in_shape": [2], "layers": [layer] * n}).encode())


@case("shards", "tensors", 200)
def _(folder: Path, n: int) -> Any:
    header = {f"t{i}": entry(4 * i, 4 * i + 4, (1,)) for i in range(n)}
    written(folder, "a", safetensors(json.dumps(header).encode(), bytes(4 * n)))
    return written(folder, "m.json", json.dumps({"weight_map": dict.fromkeys(header, "a")}).encode())


@case("shards", "files", 30)
def _(folder: Path, n: int) -> Any:
    for i in range(n):
        written(folder, f"a{i}", safetensors(json.dumps({f"t{i}": entry(0, 4, (1,))}).encode(), bytes(4)))
    return written(folder, "m.json", json.dumps({"weight_map": {f"t{i}": f"a{i}" for i in range(n)}}).encode())


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
