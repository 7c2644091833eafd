"""The cases of `doubling` for ONNX and Keras files."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import zip_bytes
from doubling_cases import convert
from doubling_costs import Case

FOREIGN: list[Case] = []


def onnx(thing: str, n: int) -> Any:
    """A case whose function makes (nodes, tensors, what else `onnx_graphs.model` takes) of n."""
    def register(make: Any) -> Any:
        def saved(folder: Path, n: int) -> Path:
            from onnx_graphs import model

            nodes, tensors, more = make(n)
            made = model(nodes, more.pop("inputs", {"x": ("batch", "time", 4)}), more.pop("outputs", "y"), tensors,
                         functions=more.pop("functions", ()), domains=more.pop("domains", None))
            for entry in more.pop("change", ()):
                entry(made)
            path = folder / "m.onnx"
            path.write_bytes(made.SerializeToString())
            return path
        FOREIGN.append(Case(".onnx", thing, n, saved, convert, "onnx"))
        return make
    return register


def op(*given: Any, **attributes: Any) -> Any:
    from onnx_graphs import node

    return node(*given, **attributes)


def chain(n: int, kind: str, more: str = "", **attributes: Any) -> list:
    names = ["x", *(f"v{i}" for i in range(1, n)), "y"]
    return [op(kind, f"{a} {more}".strip(), b, **attributes) for a, b in zip(names, names[1:])]


ONES = np.ones((4, 4), "f4")


@onnx("layers", 60)
def _(n: int) -> Any:
    return chain(n, "Sigmoid"), {}, {}


@onnx("operators", 60)
def _(n: int) -> Any:
    return chain(n, "Erf"), {}, {}


@onnx("layers of one matrix", 60)
def _(n: int) -> Any:
    return chain(n, "MatMul", "w"), {"w": ONES}, {}


@onnx("layers with matrices of their own", 60)
def _(n: int) -> Any:
    names = ["x", *(f"v{i}" for i in range(1, n)), "y"]
    nodes = [op("MatMul", f"{a} w{i}", b) for i, (a, b) in enumerate(zip(names, names[1:]))]
    return nodes, {f"w{i}": ONES for i in range(n)}, {}


@onnx("Gemm with a bias, of one matrix", 60)
def _(n: int) -> Any:
    return chain(n, "Gemm", "w b", transB=1, alpha=0.5), {"w": ONES, "b": np.ones(4, "f4")}, {"inputs": {"x": ("b", 4)}}


@onnx("recurrent layers of one matrix", 30)
def _(n: int) -> Any:
    nodes, last = [], "x"
    for i in range(n):
        nodes += [op("LSTM", f"{last} W R", f"l{i}", hidden_size=4), op("Squeeze", f"l{i} one", f"s{i}")]
        last = f"s{i}"
    tensors = {"W": np.ones((1, 16, 4), "f4"), "R": np.ones((1, 16, 4), "f4"), "one": np.array([1])}
    return [*nodes, op("Identity", last, "y")], tensors, {}


@onnx("convolutions of one matrix", 40)
def _(n: int) -> Any:
    return chain(n, "Conv", "w", pads=[1, 1]), {"w": np.ones((4, 4, 3), "f4")}, {"inputs": {"x": ("b", 4, "t")}}


@onnx("constants that are folded", 60)
def _(n: int) -> Any:
    nodes = [op("Constant", "", f"c{i}", value_float=1.0) for i in range(n)]
    return [*nodes, op("Sum", " ".join(f"c{i}" for i in range(n)), "s"), op("Add", "x s", "y")], {}, {}


@onnx("a sum of parts that is folded", 60)
def _(n: int) -> Any:
    nodes = [op("Concat", "s0 one", "s1", axis=0), *(op("Concat", f"s{i} one", f"s{i + 1}", axis=0)
                                                    for i in range(1, n))]
    return [*nodes, op("ReduceSum", f"s{n}", "r", keepdims=0), op("Add", "x r", "y")], \
        {"s0": np.ones(1, "f4"), "one": np.ones(1, "f4")}, {}


@onnx("sizes that are computed", 40)
def _(n: int) -> Any:
    nodes = [op("Shape", "x", "s0"), *(op("Add", f"s{i} zero", f"s{i + 1}") for i in range(n))]
    return [*nodes, op("Reshape", f"x s{n}", "y")], {"zero": np.zeros(3, np.int64)}, {}


@onnx("views of views", 40)
def _(n: int) -> Any:
    return chain(2 * n, "Transpose", perm=[1, 0, 2]), {}, {}


@onnx("splits and what joins them", 60)
def _(n: int) -> Any:
    parts = " ".join(f"p{i}" for i in range(n))
    return [op("Split", "x", parts, axis=2, num_outputs=n), op("Concat", parts, "y", axis=2)], {}, \
        {"inputs": {"x": ("batch", "time", 4 * n)}}


@onnx("functions that are called", 60)
def _(n: int) -> Any:
    from onnx import helper

    body = [op("Neg", "a", "b")]
    function = helper.make_function("own", "F", ["a"], ["b"], body, [helper.make_opsetid("", 21)])
    return chain(n, "F", domain="own"), {}, {"functions": [function], "domains": {"own": 1}}


@onnx("functions that nothing calls", 8)
def _(n: int) -> Any:
    """Each calls the one before twice: 2^n to who went through them."""
    from onnx import helper

    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("own", 1)]
    made = [helper.make_function("own", "F0", ["a"], ["b"], [op("Neg", "a", "b")], opsets)]
    made += [helper.make_function("own", f"F{i}", ["a"], ["b"], [op(f"F{i - 1}", "a", "c", domain="own"),
                                                                 op(f"F{i - 1}", "c", "b", domain="own")], opsets)
             for i in range(1, n)]
    return [op("F0", "x", "y", domain="own")], {}, {"functions": made, "domains": {"own": 1}}


@onnx("nested Ifs", 2)
def _(n: int) -> Any:
    """As deep as protobuf lets them be."""
    from onnx import ValueInfoProto, helper

    def branch(depth: int) -> Any:
        inner = op("Neg", "x", f"o{depth}") if not depth else helper.make_node(
            "If", ["yes"], [f"o{depth}"], then_branch=branch(depth - 1), else_branch=branch(0))
        return helper.make_graph([inner], "g", [], [ValueInfoProto(name=f"o{depth}")])
    nodes = [helper.make_node("If", ["yes"], ["y"], then_branch=branch(n), else_branch=branch(0))]
    return nodes, {"yes": np.array(True)}, {}


@onnx("length of names", 20_000)
def _(n: int) -> Any:
    return [op("Neg", "x", "v" * n), op("Neg", "v" * n, "y")], {}, {}


@onnx("metadata", 1000)
def _(n: int) -> Any:
    from onnx import helper

    return chain(1, "Neg"), {}, {"change": [lambda made: helper.set_model_props(
        made, {f"key{i}": "text" for i in range(n)})]}


@onnx("tensors that nothing reads", 200)
def _(n: int) -> Any:
    return chain(1, "Neg"), {f"t{i}": np.ones(1, "f4") for i in range(n)}, {}


@onnx("nodes that nothing reads", 100)
def _(n: int) -> Any:
    return [*chain(1, "Neg"), *(op("Neg", "x", f"dead{i}") for i in range(n))], {}, {}


@onnx("attributes", 200)
def _(n: int) -> Any:
    return [op("Neg", "x", "y", **{f"a{i}": 1 for i in range(n)})], {}, {}


@onnx("inputs", 100)
def _(n: int) -> Any:
    names = [f"x{i}" for i in range(n)]
    return [op("Sum", " ".join(names), "y")], {}, {"inputs": {name: ("batch", 4) for name in names}}


@onnx("outputs", 100)
def _(n: int) -> Any:
    return [op("Neg", "x", f"y{i}") for i in range(n)], {}, {"outputs": " ".join(f"y{i}" for i in range(n))}


@onnx("an unrolled loop", 10)
def _(n: int) -> Any:
    """LSTM cells written out in primitives, as an exporter does."""
    nodes, h, c = [], "h", "c"
    for t in range(n):
        nodes += [op("Gather", f"x i{t}", f"x{t}", axis=1), op("MatMul", f"x{t} W", f"a{t}"),
                  op("MatMul", f"{h} R", f"b{t}"), op("Add", f"a{t} b{t}", f"g{t}"),
                  op("Split", f"g{t}", f"i_{t} f_{t} g_{t} o_{t}", axis=1, num_outputs=4),
                  *(op("Sigmoid", f"{k}_{t}", f"{k}s{t}") for k in "ifo"), op("Tanh", f"g_{t}", f"gs{t}"),
                  op("Mul", f"fs{t} {c}", f"kept{t}"), op("Mul", f"is{t} gs{t}", f"new{t}"),
                  op("Add", f"kept{t} new{t}", f"c{t}"), op("Tanh", f"c{t}", f"ct{t}"),
                  op("Mul", f"os{t} ct{t}", f"h{t}")]
        h, c = f"h{t}", f"c{t}"
    tensors = {"W": np.ones((4, 16), "f4"), "R": np.ones((4, 16), "f4"), **{f"i{t}": np.array(t) for t in range(n)}}
    return [*nodes, op("Identity", h, "y")], tensors, \
        {"inputs": {"x": ("batch", n, 4), "h": ("batch", 4), "c": ("batch", 4)}}


# ---- Keras ------------------------------------------------------------------------------------------------------

def keras(reader: str, thing: str, n: int) -> Any:
    def register(make: Any) -> Any:
        FOREIGN.append(Case(reader, thing, n, make, convert, "h5py"))
        return make
    return register


INPUT = {"batch_shape": [None, 5, 4], "dtype": "float32"}


def stack(n: int, more: str = "") -> tuple[dict, dict[str, np.ndarray]]:
    """A model of Keras 3 of n Dense layers, and its arrays."""
    from keras_files import layer, sequential

    names = [f"dense_{i}{more}" if i else f"dense{more}" for i in range(n)]
    layers = [layer("InputLayer", "input", **INPUT), *(layer("Dense", name, units=4, activation="relu", use_bias=True)
                                                       for name in names)]
    arrays = {f"layers/{'dense' if not i else f'dense_{i}'}/vars/{k}": array for i in range(n)
              for k, array in enumerate((ONES, np.ones(4, "f4")))}
    return sequential(*layers), arrays


@keras(".keras", "layers", 30)
def _(folder: Path, n: int) -> Path:
    from keras_files import zipped

    return zipped(folder / "m.keras", *stack(n))


@keras(".keras", "length of names", 2000)
def _(folder: Path, n: int) -> Path:
    from keras_files import zipped

    config, arrays = stack(3, "n" * n)
    return zipped(folder / "m.keras", config, arrays)


@keras(".keras", "datasets that no layer has", 100)
def _(folder: Path, n: int) -> Path:
    from keras_files import zipped

    config, arrays = stack(2)
    return zipped(folder / "m.keras", config, {**arrays, **{f"other/g{i}/vars/0": np.ones(1, "f4") for i in range(n)}})


@keras(".keras", "records in the archive", 500)
def _(folder: Path, n: int) -> Path:
    from keras_files import zipped

    path = zipped(folder / "m.keras", *stack(2))
    with zipfile.ZipFile(path, "a") as archive:
        for i in range(n):
            archive.writestr(f"assets/{i}", b"")
    return path


@keras(".keras", "nesting of its configuration", 5000)
def _(folder: Path, n: int) -> Path:
    from keras_files import h5_bytes

    path = folder / "m.keras"
    path.write_bytes(zip_bytes.made(("metadata.json", json.dumps({"keras_version": "3.10.0"})),
                                    ("config.json", "[" * n + "]" * n),
                                    ("model.weights.h5", h5_bytes({"a": ONES}))))
    return path


@keras(".keras", "models in models", 20)
def _(folder: Path, n: int) -> Path:
    from keras_files import layer, sequential, zipped

    config = sequential(layer("InputLayer", "input", **INPUT), layer("Activation", "a", activation="relu"), name="m0")
    for i in range(1, n):
        config = sequential(layer("InputLayer", "input", **INPUT), {**config, "name": f"m{i - 1}"}, name=f"m{i}")
    return zipped(folder / "m.keras", config, {})


@keras(".keras", "calls of one layer", 30)
def _(folder: Path, n: int) -> Path:
    from keras_files import functional, layer, zipped

    def tensor(name: str, call: int) -> dict:
        return {"class_name": "__keras_tensor__", "config": {"shape": [None, 5, 4], "dtype": "float32",
                                                            "keras_history": [name, call, 0]}}
    calls = [{"args": [tensor("input", 0) if not i else tensor("dense", i - 1)], "kwargs": {}} for i in range(n)]
    layers = [layer("InputLayer", "input", [], **INPUT),
              layer("Dense", "dense", calls, units=4, activation="relu", use_bias=True)]
    arrays = {"layers/dense/vars/0": ONES, "layers/dense/vars/1": np.ones(4, "f4")}
    return zipped(folder / "m.keras", functional(layers, [["input", 0, 0]], [["dense", n - 1, 0]]), arrays)


def legacy_stack(folder: Path, n: int, chunked: int | None = None, others: int = 0) -> Path:
    from keras_files import layer, legacy, sequential

    layers = [layer("Dense", f"dense_{i}", units=4, activation="relu", use_bias=True,
                    **({"batch_input_shape": [None, 5, 4]} if not i else {})) for i in range(n)]
    arrays = {f"dense_{i}": {f"dense_{i}/kernel:0": ONES, f"dense_{i}/bias:0": np.ones(4, "f4")} for i in range(n)}
    arrays |= {f"other_{i}": {} for i in range(others)}
    return legacy(folder / "m.h5", sequential(*layers), arrays, chunked=chunked)


@keras(".h5", "layers", 30)
def _(folder: Path, n: int) -> Path:
    return legacy_stack(folder, n)


@keras(".h5", "layers, their names in pieces", 30)
def _(folder: Path, n: int) -> Path:
    return legacy_stack(folder, n, chunked=2)


@keras(".h5", "groups that no layer has", 100)
def _(folder: Path, n: int) -> Path:
    return legacy_stack(folder, 2, others=n)


@keras(".h5", "groups in groups", 60)
def _(folder: Path, n: int) -> Path:
    import h5py

    path = legacy_stack(folder, 2)
    with h5py.File(path, "a") as file:
        file.create_group("model_weights/" + "/".join("g" * n)).create_dataset("d", data=ONES)
    return path
