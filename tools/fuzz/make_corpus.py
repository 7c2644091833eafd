"""Makes the small inputs that fuzzing begins with: right files of every kind, and those that hostile files are like.

    python tools/fuzz/make_corpus.py [FOLDER]          default: tools/fuzz/corpus

What is wrong in a file is said by the tests that assert its error; the files are theirs, made by the same functions.
It needs Keras on PyTorch (KERAS_BACKEND=torch).
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:] = [str(HERE.parent), str(ROOT), str(ROOT / "tests" / "support"), str(ROOT / "tests" / "hostile"),
               str(ROOT / "tests" / "differential"),
               *(entry for entry in sys.path if entry != str(HERE))]

Files = Iterator[tuple[str, bytes]]


def lstm() -> Files:
    import graphs
    import lstm_files
    import quantized_models
    import test_lstm_file

    from lstm_engine import format

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.lstm"
        for name, graph in (("texts", graphs.of_texts()), ("tiny", lstm_files.tiny()),
                            ("stacked-int8", quantized_models.as_quantized(quantized_models.stacked(), "int8")),
                            ("every-node", graphs.every_node())):
            format.save(graph, path)
            yield f"{name}.lstm", path.read_bytes()
        later = path.read_bytes().replace(b'"version":"1"', b'"version":"3"')     # which readers of version 1 may read
        yield "later-version.lstm", lstm_files.sealed(later)
        for name in ("hole", "overflow beside a zero", "duplicate tensor", "bool of 2", "unknown dtype",
                     "config with infinity", "weight that is not there", "lone surrogate"):
            data = lstm_files.broken(path, test_lstm_file.REFUSALS[name][0]).read_bytes()
            yield f"bad-{name.replace(' ', '-')}.lstm", data
        for to in quantized_models.QUANTIZED_TYPES:
            format.save(quantized_models.as_quantized(lstm_files.tiny(), to), path)
            yield f"tiny-{to}.lstm", path.read_bytes()


def onnx_models() -> dict[str, Any]:
    """Models that are read, and at whose run something was once wrong."""
    from onnx_graphs import model, node

    def w(*shape: int) -> np.ndarray:
        return np.linspace(-0.5, 0.5, int(np.prod(shape)), dtype=np.float32).reshape(shape)

    def lstm(inputs: str, outputs: str) -> Any:
        return node("LSTM", inputs, outputs, hidden_size=2)
    cell = {"W": w(1, 8, 3), "R": w(1, 8, 2)}
    steps = ("t", "b", 3)
    return {
        "lstm": model([lstm("x W R", "Y Yh"), node("Squeeze", "Y one", "y")], {"x": steps},
                      "y Yh", {**cell, "one": np.array([1])}),
        "gru-lengths": model([node("GRU", "x W R - n", "Y Yh", hidden_size=2, direction="bidirectional")],
                             {"x": steps, "n": ("int32", ("b",))}, "Y Yh", {"W": w(2, 6, 3), "R": w(2, 6, 2)}),
        "states": model([node("RNN", "x W R - - h", "Y Yh", hidden_size=2)], {"x": steps, "h": (1, "b", 2)}, "Y Yh",
                        {"W": w(1, 2, 3), "R": w(1, 2, 2)}),
        "two-time-axes": model([lstm("x W R", "- Yh"), lstm("z W R", "- Zh"), node("Add", "Yh Zh", "y")],
                               {"x": ("t", "b", 3), "z": ("s", "b", 3)}, "y", cell),
        "no-steps": model([lstm("x W R", "Y Yh"), lstm("z W R - - Yh", "Z")],
                          {"x": (0, "b", 3), "z": ("t", "b", 3)}, "Y Z", cell),
        "computed-reshape": model([node("Reshape", "x n", "r"), node("MatMul", "r k", "y")],
                                  {"x": ("b", "f"), "n": ("int64", (2,))}, "y", {"k": w(1, 4)}),
        "million-dims": model([node("Reshape", "x n", "y")], {"x": ("b", 3), "n": ("int64", ("many",))}, "y"),
        "long-target": model([node("ConstantOfShape", "n", "r"), node("Reshape", "x r", "y")],
                             {"x": ("b", 3), "n": ("int64", (1,))}, "y"),
        "one-tensor-named-often": model([node("MatMul", f"v{i} k", f"v{i + 1}") for i in range(40)], {"v0": ("b", 3)},
                                        "v40", {"k": w(3, 3)}),
        "zero-dims": model([node("Concat", "x e", "y", axis=0)], {"x": ("b", 3)}, "y", {"e": w(0, 3)}),
        "conv": model([node("Conv", "x c", "v", strides=[2]), node("Relu", "v", "y")], {"x": ("b", 1, "samples")},
                      "y", {"c": w(3, 1, 4)}),
        "shape-of": model([node("Shape", "x", "s"), node("Gather", "s zero", "b"),
                           node("Concat", "b three", "t", axis=0), node("Expand", "z t", "y")],
                          {"x": ("b", "f"), "z": (1, 3)}, "y", {"zero": np.array([0]), "three": np.array([3])}),
        "attention": model([node("MatMul", "x x", "s"), node("Softmax", "s", "p"), node("Einsum", "p x", "y",
                            equation="bij,bjk->bik")], {"x": ("b", 3, 3)}, "y"),
    }


def huge_empty(message: Any) -> Any:
    """An initializer of no elements whose other axes multiply beyond any size."""
    message.graph.initializer.add(name="huge", data_type=1, dims=[0, 2**33, 2**33])        # of float32
    return message


def onnx() -> Files:
    import test_onnx_files as known

    yield "floats.onnx", onnx_models()["states"].SerializeToString()
    yield "whole.onnx", known.lstm_model().SerializeToString()
    yield "external.onnx", known.external(known.lstm_model(), "w.bin", offset=64, length=192).SerializeToString()
    yield "external-out.onnx", known.external(known.lstm_model(), "out/etc/hostname").SerializeToString()
    yield "bad-huge-empty.onnx", huge_empty(known.lstm_model()).SerializeToString()
    for change, _, _ in known.BAD:
        message = known.lstm_model()
        change(message)
        name = re.sub("[^a-z0-9]+", "-", change.__name__.lower()).strip("-")
        yield f"bad-{name}.onnx", message.SerializeToString()


def onnx_run() -> Files:
    for name, message in onnx_models().items():
        yield f"{name}.onnx", message.SerializeToString()


def onnx_answer() -> Files:
    import test_onnx_files as known

    from fuzz.targets.onnx_files import described

    yield "whole.json", described(known.lstm_model().SerializeToString())
    for name in ("states", "shape-of"):
        yield f"{name}.json", described(onnx_models()[name].SerializeToString())


def onnx_whole() -> Files:
    yield from list(onnx())[:5]


def _answer(contents: dict, arrays: dict) -> bytes:
    from fuzz.targets.answers import header_of

    return header_of(contents, arrays)


def _nested(depth: int) -> dict:
    """A configuration whose inbound_nodes are nested so deep."""
    from keras_files import functional, layer

    inbound: Any = []
    for _ in range(depth):
        inbound = [inbound]
    layers = [layer("InputLayer", "x", [], batch_shape=[None, None, 3]), layer("LSTM", "l", inbound, units=3)]
    config = functional(layers, [["x", 0, 0]], [["l", 0, 0]])
    return {"config": config, "metadata": {"keras_version": "3.10.0"}}


def keras() -> Files:
    import keras_hostile
    from keras_configs import keras_3

    from fuzz import keras_corpus

    for name, contents, arrays in keras_corpus.of_live_keras():
        yield name, _answer(contents, arrays)

    yield "every-layer.json", _answer(*keras_3())
    yield "small.json", _answer({"config": keras_hostile.CONFIG, "metadata": {"keras_version": "3.10.0"}},
                                keras_hostile.ARRAYS)
    yield "bad-deep-inbound.json", _answer(_nested(600), {})


def h5() -> Files:
    from keras_configs import keras_2

    from fuzz import keras_corpus

    for name, contents, arrays in keras_corpus.kept_by_keras_2():
        yield name, _answer(contents, arrays)

    yield "every-layer.json", _answer(*keras_2())
    yield "bad-deep-inbound.json", _answer({**_nested(600), "layers": []}, {})


def keras_whole() -> Files:
    from keras_files import h5_bytes
    from keras_hostile import ARRAYS, CONFIG
    from torch_bytes import archive

    members = {"metadata.json": b'{"keras_version": "3.10.0"}', "config.json": json.dumps(CONFIG).encode(),
               "model.weights.h5": h5_bytes({name: array for name, array in ARRAYS.items()})}
    yield "small.keras", archive(members)
    yield "bad-deep-inbound.keras", archive({**members, "config.json": json.dumps(_nested(600)["config"]).encode()})


def h5_whole() -> Files:
    from keras_files import legacy
    from keras_hostile import CONFIG
    from test_keras_hdf5 import LEGACY

    with tempfile.TemporaryDirectory() as folder:
        yield "small.h5", legacy(Path(folder) / "a.h5", CONFIG, LEGACY, "2.4.0").read_bytes()


def answer() -> Files:
    from fuzz.targets.answers import header_of, pipe_of

    header = header_of({"config": 1}, {"a": np.zeros((2, 3), np.float32), "b": np.zeros(0, bool)})
    yield "good.bin", pipe_of(header).getvalue()
    yield "refusal.bin", pipe_of(b'{"error": "format", "message": "no"}').getvalue()
    yield "bad-huge-empty.bin", pipe_of(b'{"result": {}, "arrays": [["a", "float32", [0, 8589934592, 8589934592]]]}'
                                        ).getvalue()


def torch() -> Files:
    import torch_bytes as t

    weights = {"rnn.weight_ih_l0": t.tensor((8, 3), over=t.storage("0", 24)),
               "rnn.weight_hh_l0": t.tensor((8, 2), (2, 1), over=t.storage("1", 16))}
    raw = {"0": np.linspace(-1, 1, 24, dtype="<f4").tobytes(), "1": np.linspace(-1, 1, 16, dtype="<f4").tobytes()}
    yield "lstm.pt", t.checkpoint(t.mapping(weights), raw)
    yield "legacy.pt", t.legacy(t.mapping({"w": t.tensor()}))
    yield "nested.pt", t.checkpoint(t.mapping({"state_dict": t.mapping({"module.w": t.tensor()}),
                                               "epoch": t.number(3)}))
    yield "bad-long-key.pt", _deflated(t.checkpoint(t.mapping({"_opt" * 8000: t.tensor()})))
    yield "bad-many-keys.pt", _deflated(t.checkpoint(t.mapping({f"k{i}_opt": t.NONE for i in range(8000)})))
    yield "bad-huge-empty.pt", t.checkpoint(t.mapping({"w": t.tensor((0, 2**33, 2**33), (1, 1, 1))}))
    yield "bad-deep-tuples.pt", _deflated(t.checkpoint(b")" + b"\x85" * 20_000))
    yield "bad-itself.pt", t.checkpoint(b"]q\x07" + t.tensor() + b"ah\x07a")
    yield "company.pt", t.checkpoint(t.mapping({"state_dict": t.mapping(weights), "other": t.listed(
        t.call(t.symbol("my.net", "Color"), t.number(1)), t.call(t.symbol("functools", "partial"), t.NONE),
        b"]q\x07h\x07a", b"}" + t.items() + b"Ns")}), raw)
    yield "normalised.pt", t.checkpoint(t.mapping({**weights, "fc.weight_g": t.tensor((4, 1), (1, 1), over=t.storage(
        "1", 16)), "fc.weight_v": t.tensor((4, 2), (2, 1), over=t.storage("1", 16))}), raw)


def _deflated(data: bytes) -> bytes:
    from torch_bytes import archive

    from fuzz.mutate.zips import records

    return archive(records(data) or {}, zipfile.ZIP_DEFLATED)


def script() -> Files:
    """What torch writes of small modules; torch is needed to make these alone."""
    import script_modules as m

    made = {"choices": m.Choices(), "layers": m.Layers(), "states": m.States()}
    for name, module in made.items():
        yield f"{name}.pt", m.scripted(module)
    yield "traced.pt", m.traced(m.Layers())


def pt2() -> Files:
    import torch_pt2 as p

    yield "small.pt2", p.pt2(p.small(), p.WEIGHTS)
    yield "sizes.pt2", p.pt2(p.program(
        [p.node("sym_size.int", "n", self=p.tensor("x"), dim={"as_int": 0}),
         p.node("view.default", "y", self=p.tensor("x"), size={"as_ints": [-1, 3]}),
         p.node("cat.default", "z", tensors={"as_tensors": [{"name": "y"}, {"name": "x"}]}, dim={"as_int": 0})],
        {"x": p.meta(["s0", 3]), "y": p.meta(["s0", 3]), "z": p.meta(["s0", 3])}, ["z"]))
    tree = p.small()
    tree["graph_module"]["graph"]["tensor_values"]["w"] = p.meta([0, 2**33, 2**33])
    yield "bad-huge-empty.pt2", p.pt2(tree, p.WEIGHTS)


def safetensors() -> Files:
    import test_safetensors_files as s
    import torch_bytes as t

    def floats(count: int) -> bytes:
        return np.linspace(-1, 1, count, dtype="<f4").tobytes()
    names = {"rnn.weight_ih_l0": t.entry(0, 96, (8, 3)), "rnn.weight_hh_l0": t.entry(96, 160, (8, 2))}
    yield "lstm.safetensors", s.file(floats(40), **names)
    yield "one.safetensors", s.file(a=t.entry(), __metadata__={"format": "pt"})
    yield "bad-huge-empty.safetensors", s.file(a=t.entry(shape=(0, 2**33, 2**33)))


def json_weights() -> Files:
    import test_json_weights as j
    import test_torch_shards as shards

    def grid(rows: int, columns: int) -> list[list[float]]:
        return np.linspace(-1, 1, rows * columns).reshape(rows, columns).round(3).tolist()
    rec = {"rec.weight_ih_l0": grid(8, 1), "rec.weight_hh_l0": grid(8, 2), "rec.bias_ih_l0": [0.5] * 8,
           "rec.bias_hh_l0": [0.25] * 8, "lin.weight": grid(1, 2), "lin.bias": [0.125]}
    data = {"model": "SimpleRNN", "input_size": 1, "skip": 1, "output_size": 1, "unit_type": "LSTM", "num_layers": 1,
            "hidden_size": 2, "bias_fl": True}
    yield "state.json", json.dumps(j.GRU | {"epoch": 3}).encode()
    yield "described.json", json.dumps({"model_data": data, "state_dict": rec}).encode()
    yield "rtneural.json", json.dumps({"in_shape": [None, None, 1], "layers": [
        {"type": "gru", "activation": "tanh", "shape": [None, None, 2],
         "weights": [grid(1, 6), grid(2, 6), grid(2, 6)]},
        {"type": "dense", "activation": "", "shape": [None, None, 1], "weights": [grid(2, 1), [0.5]]}]}).encode()
    yield "index.json", json.dumps(shards.index(**shards.PLACES)).encode()
    yield "amp.json", json.dumps(j.NAM).encode()
    yield "bad-many.json", b'{"a.weight": [1, ' + b"[], " * 3000 + b"[]]}"


def npz() -> Files:
    import test_npz_files as n

    arrays = {"w": (8, 3), "r": (8, 2), "k": (2, 4), "b": (4,)}
    made = {name: np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)
            for name, shape in arrays.items()}
    yield "good.npz", _stamped(n.npz(**made))
    yield "packed.npz", _stamped(n.npz(compressed=True, w=np.ones((3, 2), np.float16)))
    from torch_bytes import archive
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (0, 8589934592, 8589934592), }\n"
    yield "bad-huge-empty.npz", archive({"w.npy": b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header})


def _stamped(data: bytes) -> bytes:
    """An archive without the time at which it was made."""
    from torch_bytes import archive

    from fuzz.mutate.zips import records

    return archive(records(data) or {})


def spec() -> Files:
    from fuzz.targets.array_files import SPEC

    yield "good.json", json.dumps(SPEC).encode()
    nodes = [{"op": "LSTM", "name": "l", "W": [{"tensor": "w", "gates": "ifco"}], "R": [{"concat": ["r"]}],
              "B": {"zeros": 16}}, {"op": "Pool", "name": "p", "kind": "mean"},
             {"op": "Dense", "name": "d", "kernel": {"tensor": "k"}, "activation": "softmax"}]
    yield "expressions.json", json.dumps({**SPEC, "nodes": nodes, "ignore": ["b*"], "notes": ["a"]}).encode()
    parts = [{"op": "Dense", "name": "d", "kernel": {"permute": {"slice": "w", "axis": 0, "stop": 4}, "axes": [1, 0]},
              "bias": {"add": [{"flip": "b"}, {"value": [1.5]}]}},
             {"op": "Dense", "name": "e", "kernel": {"reshape": {"split": "r", "parts": 2, "part": 1},
                                                     "shape": [4, 2]}}]
    yield "parts.json", json.dumps({**SPEC, "nodes": parts, "ignore": ["k"]}).encode()
    deep: Any = "w"
    for _ in range(600):
        deep = [deep]
    yield "bad-deep.json", json.dumps({**SPEC, "nodes": [{"op": "LSTM", "name": "l", "W": deep, "R": "r"}]}).encode()


def csv() -> Files:
    from fuzz.targets.csv_files import line

    yield "ids.csv", line("ids") + b"3,1,2\n4,5\n"
    yield "steps.csv", line("steps", header=True, name_column="name") + b"name,x,y\na,1.5,2\na,3,4\nb,5,6\n"
    yield "european.csv", line("one", sep=";", decimal=",") + b"1,5\n2,25\n"
    yield "padded.csv", line("numbers", pad=2, missing=True) + b"1,nan,2\n3\n"
    yield "bad-digits.csv", line("ids") + b"9" * 5000 + b"\n"
    yield "bad-text.csv", line("vectors") + b"\xff\xfe1,2,3\n"


def graph() -> Files:
    """Bytes stand for graphs: the first ones that run, of either vocabulary, and some more."""
    from fuzz.targets.hostile_graphs import execute
    from lstm_engine.errors import LstmEngineError

    for vocabulary in (0, 1):
        found, seed = 0, 0
        while found < 4:
            seed += 1
            rng = np.random.default_rng([vocabulary, seed])
            data = bytes([vocabulary]) + rng.integers(0, 256, 8 + 6 * found, np.uint8).tobytes()
            try:
                runs = "replayed" in execute(data)
            except LstmEngineError:
                runs = seed == 1                           # one that is refused
            if runs:
                yield f"{'onnx' if vocabulary else 'ours'}-{found}.bin", data
                found += 1


def api() -> Files:
    for number in range(7):
        rng = np.random.default_rng(number)
        yield f"random-{number}.bin", bytes([number]) + rng.integers(0, 256, 60, np.uint8).tobytes()


MAKERS: dict[str, Callable[[], Files]] = {
    "lstm": lstm, "onnx": onnx, "onnx-answer": onnx_answer, "onnx-run": onnx_run, "onnx-whole": onnx_whole,
    "keras": keras, "keras-whole": keras_whole, "h5": h5, "h5-whole": h5_whole, "answer": answer, "torch": torch,
    "script": script, "pt2": pt2, "safetensors": safetensors, "json": json_weights,
    "npz": npz, "spec": spec, "csv": csv, "graph": graph, "api": api,
}


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "corpus"
    # The first, for others are read over it.
    for name in sorted(MAKERS, key=lambda name: name != "npz"):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir(parents=True)
        for file, data in MAKERS[name]():
            (folder / name / file).write_bytes(data)
    files = [path for path in folder.rglob("*") if path.is_file()]
    print(f"{len(files)} files, {sum(path.stat().st_size for path in files):,} bytes")


if __name__ == "__main__":
    main()
