"""Weights that a file holds as int8 with scales stay int8, to the bit of the floats that they stand for.

Oracles: ONNX Runtime on the file itself, and the same file with float32 initialisers made by NumPy in place of each
DequantizeLinear, which comes here on the way of plain floats. ONNX Runtime runs files as they are written: its
optimiser rounds what a product multiplies such weights with, too.
"""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_graphs import model, node, runtime_outputs

import lstm_engine as le
from lstm_engine.graph import Graph, Operator, stored
from lstm_engine.graph.quantized import Quantized
from lstm_engine.graph.stored import same_quantised, with_floats, with_int8

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

RNG = np.random.default_rng(11)
H, FEATURES, UNITS, WORDS = 7, 5, 6, 13
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
X = RNG.standard_normal((9, 3, FEATURES)).astype(np.float32)      # [time, batch, features]
IDS = RNG.integers(0, WORDS, (3, 9))


def ints(*shape: int, lowest: int = -127) -> np.ndarray:
    return RNG.integers(lowest, 128, shape).astype(np.int8)


def scales(*shape: int) -> np.ndarray:
    return (RNG.uniform(0.5, 1.5, shape) / 400).astype(np.float32)


def floats(*shape: int) -> np.ndarray:
    return (RNG.standard_normal(shape) / 4).astype(np.float32)


class Weights:
    """The initialisers of a model and the nodes that dequantise them; or the floats instead, for the twin."""

    def __init__(self, twin: bool) -> None:
        self.twin, self.tensors, self.nodes = twin, dict[str, np.ndarray](), list[Any]()

    def add(self, name: str, values: np.ndarray, scale: np.ndarray, zero: np.ndarray | None = None, axis: int = 0,
            **more: int) -> None:
        if self.twin:
            shape = [-1 if place == axis % values.ndim else 1 for place in range(values.ndim)]
            wide, off = values.astype(np.int32), 0 if zero is None else zero.astype(np.int32)
            if scale.ndim:
                scale, off = scale.reshape(shape), off if zero is None else off.reshape(shape)
            self.tensors[name] = (wide - off).astype(np.float32) * scale
            return
        self.tensors |= {f"{name}_q": values, f"{name}_s": scale} | ({} if zero is None else {f"{name}_z": zero})
        self.nodes.append(node("DequantizeLinear", f"{name}_q {name}_s" + (f" {name}_z" if zero is not None else ""),
                               name, axis=axis, **more))


def both(build: Any) -> tuple[Any, Any]:
    """The model with int8 and the one with floats, from the same random numbers."""
    global RNG
    made = []
    for twin in (False, True):
        RNG = np.random.default_rng(5)
        made.append(build(twin))
    return made[0], made[1]


def cell(op: str, direction: str, channels: str, twin: bool) -> Any:
    dirs, rows = 1 + (direction == "bidirectional"), GATES[op] * H
    weights = Weights(twin)
    for name, width in (("W", FEATURES), ("R", H)):
        if channels == "each direction":            # joined from two parts
            for way in range(dirs):
                weights.add(f"{name}{way}", ints(1, rows, width), scales(rows), axis=1)
            weights.nodes.append(node("Concat", " ".join(f"{name}{way}" for way in range(dirs)), name, axis=0))
        elif channels == "transposed":              # stored the other way round
            weights.add(f"{name}t", ints(dirs, width, rows), scales(rows), axis=-1)
            weights.nodes.append(node("Transpose", f"{name}t", name, perm=[0, 2, 1]))
        else:
            one = channels == "tensor"
            weights.add(name, ints(dirs, rows, width), scales(*(() if one else (rows,))), axis=1,
                        zero=np.zeros(() if one else rows, np.int8))
    weights.tensors["B"] = floats(dirs, 2 * rows)
    return model([*weights.nodes, node(op, "X W R B", "Y Yh", hidden_size=H, direction=direction)],
                 {"X": ("float32", ("time", "batch", FEATURES))}, "Y Yh", weights.tensors)


def product(op: str, channels: str, twin: bool) -> Any:
    weights = Weights(twin)
    one = channels == "tensor"
    scale = scales(*(() if one else (UNITS,)))
    if op == "Gemm":
        weights.add("k", ints(UNITS, FEATURES), scale, axis=0)
        nodes = [node("Gemm", "X k b", "y", transB=1)]
    else:
        weights.add("k", ints(FEATURES, UNITS), scale, axis=1)
        nodes = [node("MatMul", "X k", "m"), node("Add", "m b", "a"), node("Relu", "a", "y")]
    weights.tensors["b"] = floats(UNITS)
    shape = ("batch", FEATURES) if op == "Gemm" else ("time", "batch", FEATURES)
    return model([*weights.nodes, *nodes], {"X": ("float32", shape)}, "y", weights.tensors)


def table(channels: str, twin: bool) -> Any:
    weights = Weights(twin)
    weights.add("t", ints(WORDS, FEATURES), scales(*(() if channels == "tensor" else (WORDS,))), axis=0)
    return model([*weights.nodes, node("Gather", "t ids", "y")], {"ids": ("int64", ("batch", "time"))}, "y",
                 weights.tensors)


CASES: dict[str, tuple[Any, dict[str, np.ndarray]]] = {
    **{f"{op} {direction} {channels}": (lambda twin, a=(op, direction, channels): cell(*a, twin), {"X": X})
       for op in GATES for direction, channels in (("forward", "tensor"), ("reverse", "channel"),
                                                   ("bidirectional", "channel"), ("bidirectional", "each direction"),
                                                   ("forward", "transposed"))},
    **{f"{op} {channels}": (lambda twin, a=(op, channels): product(*a, twin), {"X": X[0] if op == "Gemm" else X})
       for op in ("Gemm", "MatMul") for channels in ("tensor", "channel")},
    **{f"Gather {channels}": (lambda twin, channels=channels: table(channels, twin), {"ids": IDS})
       for channels in ("tensor", "channel")},
}


def results(made: le.Model, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    found = made.predict(feeds)
    return list(found.values()) if isinstance(found, dict) else [found]


def matrices(made: Graph) -> dict[tuple[str, str], Any]:
    return {(one.name, name): weight for one in made.nodes if not isinstance(one, Operator)
            for name, weight in one.tensors().items() if name in ("W", "R", "kernel", "table")}


@pytest.mark.parametrize("case", CASES)
def test_layers_of_onnx(case: str) -> None:
    build, feeds = CASES[case]
    whole, plain = both(build)
    made, twin = le.convert(whole), le.convert(plain)
    assert made.weight_dtype == "int8_weights" and twin.quantization is None
    kept, wanted = matrices(made.graph), matrices(twin.graph)
    assert kept.keys() == wanted.keys() and kept
    for name, weight in kept.items():
        assert isinstance(weight, Quantized) and weight.values.dtype == np.int8
        np.testing.assert_array_equal(weight.whole().view(np.uint32), wanted[name].view(np.uint32))
    ours, theirs = results(made, feeds), runtime_outputs(whole, feeds, as_written=True)
    for one, other, right in zip(ours, results(twin, feeds), theirs.values(), strict=True):
        np.testing.assert_array_equal(one, other)
        # Sums of up to 9 steps of 12 products below 1 in float32, in another order.
        np.testing.assert_allclose(one, right, rtol=0, atol=5e-6)


def dense(values: np.ndarray, scale: np.ndarray, zero: np.ndarray | None = None, axis: int = 1, **more: int) -> Any:
    weights = Weights(False)
    weights.add("k", values, scale, zero, axis, **more)
    return model([*weights.nodes, node("MatMul", "X k", "y")], {"X": ("float32", ("batch", len(values)))}, "y",
                 weights.tensors)


def scaled_gemm() -> Any:
    weights = Weights(False)
    weights.add("k", ints(FEATURES, UNITS), scales())
    return model([*weights.nodes, node("Gemm", "X k", "y", alpha=0.7)], {"X": ("float32", ("batch", FEATURES))}, "y",
                 weights.tensors)


def half_a_cell() -> Any:
    weights = Weights(False)
    weights.add("W", ints(1, 4 * H, FEATURES), scales())
    weights.tensors["R"] = floats(1, 4 * H, H)
    return model([*weights.nodes, node("LSTM", "X W R", "y", hidden_size=H)],
                 {"X": ("float32", ("time", "batch", FEATURES))}, "y", weights.tensors)


WIDE = np.linspace(0, 255, FEATURES * UNITS).round().astype(np.uint8).reshape(FEATURES, UNITS)
STAYS = {
    "a scale of each input": lambda: dense(ints(FEATURES, UNITS), scales(FEATURES), axis=0),
    "scales of blocks": lambda: dense(ints(FEATURES - 1, UNITS), scales(2, UNITS), axis=0, block_size=2),
    "a zero point": lambda: dense(WIDE, scales(), np.array(3, np.uint8)),
    "int16": lambda: dense(RNG.integers(-30_000, 30_000, (FEATURES, UNITS)).astype(np.int16), scales()),
    "times something": scaled_gemm,
    "one matrix of two": half_a_cell,
}


@pytest.mark.parametrize("case", STAYS)
def test_what_stays_float(case: str) -> None:
    source = STAYS[case]()
    made = le.convert(source)
    feeds = {"X": X if case == "one matrix of two" else X[0][:, :made.inputs["X"].shape[-1]]}
    assert made.quantization is None and "stored_as_integers" in made.graph.metadata
    for one, theirs in zip(results(made, feeds), runtime_outputs(source, feeds, as_written=True).values(), strict=True):
        np.testing.assert_allclose(one, theirs, rtol=1e-5, atol=1e-5)       # sums of 5 products in float32


@pytest.mark.parametrize(("values", "zero"), [
    (np.arange(30, dtype=np.uint8).reshape(5, 6) + np.uint8(110), np.array(128, np.uint8)),
    (np.arange(-128, -98, dtype=np.int8).reshape(5, 6), None)], ids=["uint8 around 128", "-128"])
def test_what_is_int8_all_the_same(values: np.ndarray, zero: Any) -> None:
    source = dense(values, scales(), zero)
    made = le.convert(source)
    assert made.weight_dtype == "int8_weights"
    theirs = runtime_outputs(source, {"X": X[0]}, as_written=True)["y"]
    np.testing.assert_allclose(made.predict(X[0]), theirs, rtol=1e-5, atol=1e-6)    # sums of 5 products in float32


def network(tmp_path: Path) -> tuple[Path, le.Model]:
    """ids -> table -> LSTM -> product, the product in floats."""
    weights = Weights(False)
    weights.add("t", ints(40, 16), scales(40))
    weights.add("W", ints(1, 4 * 24, 16), scales(4 * 24), axis=1)
    weights.add("R", ints(1, 4 * 24, 24), scales(4 * 24), axis=1)
    weights.tensors |= {"k": floats(24, 3), "one": np.array([1])}
    source = model([*weights.nodes, node("Gather", "t ids", "e"), node("Transpose", "e", "x", perm=[1, 0, 2]),
                    node("LSTM", "x W R", "Y", hidden_size=24), node("Squeeze", "Y one", "h"), node("MatMul", "h k",
                                                                                                    "y")],
                   {"ids": ("int64", ("batch", "time"))}, "y", weights.tensors)
    onnx.save(source, tmp_path / "m.onnx")
    return tmp_path / "m.onnx", le.load(tmp_path / "m.onnx")


def test_a_model_is_like_any_other(tmp_path: Path) -> None:
    file, made = network(tmp_path)
    report = made.quantization
    assert [layer.type for layer in report.layers] == ["int8_weights", "int8_weights", "float32"]
    assert made.weight_dtype == "mixed" and report.bytes < 0.4 * report.bytes_before
    plain = le.Model(with_floats(made.graph))
    assert made.memory()["weights"] < 0.5 * plain.memory()["weights"]
    assert f"{report.bytes:,} bytes ({report.bytes_before:,} in float32)" in made.summary()
    ours = made.predict(IDS)
    np.testing.assert_array_equal(plain.predict(IDS), ours)
    made.save(tmp_path / "m.lstm")
    plain.save(tmp_path / "plain.lstm")
    assert (tmp_path / "m.lstm").stat().st_size < 0.6 * (tmp_path / "plain.lstm").stat().st_size
    for again in (le.load(tmp_path / "m.lstm"), pickle.loads(pickle.dumps(made))):
        assert same_quantised(made.graph, again.graph) and again.weight_dtype == "mixed"
        np.testing.assert_array_equal(again.predict(IDS), ours)
    wide = le.load(file, dtype="float64")
    assert wide.dtype == "float64" and wide.quantization is None
    np.testing.assert_allclose(wide.predict(IDS), ours, rtol=0, atol=1e-5)          # float32 beside float64


def test_verify_judges_what_the_source_holds(tmp_path: Path) -> None:
    from lstm_engine.verifying import verify

    file, made = network(tmp_path)
    found = verify(made, file, batch=[2], steps=[5])
    assert found.ok and "told and not judged" not in str(found)
    moved = le.quantize(made, "int8")
    assert "told and not judged" in str(verify(moved, file, batch=[2], steps=[5]))
    others = np.roll(made.graph.nodes[0].table.values, 1, 0)
    nodes = [dataclasses.replace(one, table=dataclasses.replace(one.table, values=others)) if one.op == "Embedding"
             else one for one in made.graph.nodes]
    changed = le.Model(dataclasses.replace(made.graph, nodes=tuple(nodes)))
    assert not verify(changed, file, batch=[2], steps=[5]).ok


def test_quantising_what_is_left(tmp_path: Path) -> None:
    _, made = network(tmp_path)
    first, second, last = (layer.name for layer in made.quantization.layers)
    small = le.quantize(made, "int8", data=IDS)
    assert small.weight_dtype == "int8" and [layer.error.largest for layer in small.quantization.layers[:2]] == [0, 0]
    before, after = matrices(made.graph), matrices(small.graph)
    for name in ((first, "table"), (second, "W"), (second, "R")):
        np.testing.assert_array_equal(before[name].values, after[name].values)
        np.testing.assert_array_equal(before[name].scale, after[name].scale)
    back = le.quantize(small, "int8_weights", layers={last: "float32"})
    assert same_quantised(with_layers(made.graph, first, second), back.graph)
    mixed = le.quantize(made, "bfloat16", layers={first: "int8_weights", second: "float32"})
    assert [layer.type for layer in mixed.quantization.layers] == ["int8_weights", "int8_weights", "bfloat16"]
    with pytest.raises(le.UnsupportedError, match=f"layer '{first}' is quantised already .int8_weights.: .*layers="
                                                  f".'{first}': 'int8_weights', '{second}': 'int8_weights'"):
        le.quantize(made, "float16")
    with pytest.raises(le.UnsupportedError, match="the model is quantised already .mixed.: "):
        le.quantize(made, "int8_weights", layers={last: "float32"})
    lowest = le.convert(dense(ints(FEATURES, UNITS, lowest=-128).clip(-128, -128), scales()))
    with pytest.raises(le.ArgumentError, match="layer 'matmul_y' .Dense.: kernel holds -128 as its file has it"):
        le.quantize(lowest, "int8")


def with_layers(made: Graph, *names: str) -> Graph:
    return dataclasses.replace(made, nodes=tuple(one for one in made.nodes if one.name in names))


def test_numbers_that_are_no_int8() -> None:
    kernel = np.arange(-6, 6, dtype=np.float32).reshape(4, 3) / 8
    plain = le.Model([le.Dense(kernel)]).graph
    assert with_int8(plain, [np.float32(0.125)]).nodes[0].kernel.type == "int8_weights"
    for given in ([], [np.float32(0.1)], [np.float32(np.nan), np.float32(0), np.float32(-0.125), np.float32(np.inf)]):
        assert with_int8(plain, given) is plain or with_int8(plain, given).nodes[0].kernel is plain.nodes[0].kernel
    for odd in (-0.0, np.nan, np.inf, 0.125 * 130, 0.1):
        changed = kernel.copy()
        changed[2, 1] = odd
        node = dataclasses.replace(plain.nodes[0], kernel=changed)
        made = with_int8(dataclasses.replace(plain, nodes=(node,)), [np.float32(0.125)])
        assert made.nodes[0].kernel is changed
    zeros = dataclasses.replace(plain.nodes[0], kernel=np.zeros((4, 3), np.float32))
    made = with_int8(dataclasses.replace(plain, nodes=(zeros,)), [np.float32(0.125)]).nodes[0].kernel
    assert not made.values.any() and (made.scale == 1).all()
    wide = dataclasses.replace(plain.nodes[0], kernel=kernel.astype(np.float64))
    double = dataclasses.replace(plain, nodes=(wide,))
    assert with_int8(double, [np.float32(0.125)]) is double


def test_scales_that_fit_and_are_not_it_are_soon_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file can have a scale for each whole number that the largest of a channel may be."""
    kernel = np.full((2, 50), 0.1234567, np.float32)
    kernel[0] = 1
    plain = le.Model([le.Dense(kernel)]).graph
    around = np.float32(1) / np.arange(1, 129, dtype=np.float32)
    tempting = np.unique([around, np.nextafter(around, np.float32(0)), np.nextafter(around, np.float32(1))])
    compared = []

    def counted(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        compared.append(len(one))
        return same_bits(one, other)

    same_bits = stored._same_bits
    monkeypatch.setattr(stored, "_same_bits", counted)
    assert with_int8(plain, [tempting]).nodes[0].kernel is plain.nodes[0].kernel
    # The tries are counted after each whole number, of which up to 5 scales are tried.
    assert 50 * stored.MOST_TRIES < sum(compared) <= 50 * (stored.MOST_TRIES + 5)


def test_layers_that_share_a_weight_share_its_int8() -> None:
    weights = Weights(False)
    weights.add("k", ints(5, 5), scales(5), axis=1)
    made = le.convert(model([*weights.nodes, node("MatMul", "X k", "a"), node("MatMul", "a k", "y")],
                            {"X": ("float32", ("batch", 5))}, "y", weights.tensors))
    first, second = made.graph.nodes
    assert first.kernel.values is second.kernel.values or np.shares_memory(first.kernel.values, second.kernel.values)
    assert made.quantization.bytes < 2 * made.quantization.layers[0].bytes
