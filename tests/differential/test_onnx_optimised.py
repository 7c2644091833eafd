"""Files that ONNX Runtime's optimiser saved, and single operators of its own domain, against ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_graphs import model, node, runtime_outputs

import lstm_engine as le

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

RNG = np.random.default_rng(7)
SIZE = 8
MICROSOFT = "com.microsoft"


def floats(*shape: int, scale: float = 1.0) -> np.ndarray:
    return (RNG.standard_normal(shape) * scale).astype(np.float32)


def numbers(**values: float) -> dict[str, np.ndarray]:
    return {name: np.float32(value) for name, value in values.items()}


# What stands behind an LSTM's "s" [time, batch, SIZE], as exporters write it, and the operator that it becomes.
BEHIND: dict[str, tuple[list, dict[str, Any]]] = {
    "com.microsoft.BiasGelu": (
        [node("MatMul", "s k", "m"), node("Add", "m b", "a"), node("Div", "a root", "d"), node("Erf", "d", "e"),
         node("Add", "e one", "f"), node("Mul", "a f", "g"), node("Mul", "g half", "o")],
        {"k": floats(SIZE, SIZE), "b": floats(SIZE), **numbers(root=2**0.5, one=1, half=0.5)}),
    "com.microsoft.Gelu": (
        [node("Div", "s root", "d"), node("Erf", "d", "e"), node("Add", "e one", "f"), node("Mul", "s f", "g"),
         node("Mul", "g half", "o")], numbers(root=2**0.5, one=1, half=0.5)),
    "com.microsoft.QuickGelu": (
        [node("Mul", "s alpha", "m"), node("Sigmoid", "m", "g"), node("Mul", "s g", "o")], numbers(alpha=1.702)),
    "com.microsoft.FusedMatMul": (
        [node("Transpose", "s", "b", perm=[1, 0, 2]), node("Transpose", "b", "t", perm=[0, 2, 1]),
         node("MatMul", "b t", "m"), node("Mul", "m scale", "o")], numbers(scale=0.3)),
    "com.microsoft.FusedGemm": (
        [node("Reshape", "s rows", "r"), node("Gemm", "r k b", "m", transB=1), node("LeakyRelu", "m", "o", alpha=0.2)],
        {"rows": np.array([-1, SIZE]), "k": floats(5, SIZE), "b": floats(5)}),
    "com.microsoft.FusedConv": (
        [node("Transpose", "s", "b", perm=[1, 2, 0]), node("Conv", "b k c", "m", pads=[1, 1]),
         node("BatchNormalization", "m scale shift mean var", "n"), node("Clip", "n low high", "o")],
        {"k": floats(6, SIZE, 3), "c": floats(6), "scale": floats(6), "shift": floats(6), "mean": floats(6),
         "var": np.abs(floats(6)) + 1, **numbers(low=-0.5, high=0.4)}),
    "LayerNormalization": (
        [node("ReduceMean", "s", "mean", axes=[-1]), node("Sub", "s mean", "centred"),
         node("Pow", "centred two", "squares"), node("ReduceMean", "squares", "variance", axes=[-1]),
         node("Add", "variance epsilon", "above"), node("Sqrt", "above", "deviation"),
         node("Div", "centred deviation", "normal"), node("Mul", "normal scale", "scaled"),
         node("Add", "scaled shift", "o")],
        {"scale": floats(SIZE), "shift": floats(SIZE), **numbers(two=2, epsilon=1e-5)}),
    "SimplifiedLayerNormalization": (
        [node("Pow", "s two", "squares"), node("ReduceMean", "squares", "mean", axes=[-1]),
         node("Add", "mean epsilon", "above"), node("Sqrt", "above", "root"), node("Div", "one root", "inverse"),
         node("Mul", "s inverse", "normal"), node("Mul", "scale normal", "o")],
        {"scale": floats(SIZE), **numbers(two=2, epsilon=1e-6, one=1)}),
}


def recurrent(nodes: list, tensors: dict[str, Any]) -> Any:
    """An LSTM and what stands behind it."""
    weights = {"W": floats(1, 4 * SIZE, 5, scale=0.4), "R": floats(1, 4 * SIZE, SIZE, scale=0.4),
               "first": np.array([1])}
    return model([node("LSTM", "x W R", "Y", hidden_size=SIZE), node("Squeeze", "Y first", "s"), *nodes],
                 {"x": ("time", "batch", 5)}, "o", {**weights, **tensors}, 13)


def optimised(source: Any, level: str, path: Path, x: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Save a model as ONNX Runtime optimises it; the operators that it has then, and its result."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(source.SerializeToString(), options, providers=["CPUExecutionProvider"])
    kinds = [f"{n.domain}.{n.op_type}".removeprefix(".") for n in onnx.load(path).graph.node]
    return kinds, session.run(None, {"x": x})[0]


@pytest.mark.parametrize("level", ["ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL"])
@pytest.mark.parametrize("name", BEHIND)
def test_files_of_the_optimiser(name: str, level: str, tmp_path: Path) -> None:
    x = floats(4, 3, 5)
    kinds, wanted = optimised(recurrent(*BEHIND[name]), level, tmp_path / "o.onnx", x)
    assert level in ("ORT_DISABLE_ALL", "ORT_ENABLE_BASIC") or name in kinds, f"no longer made: {kinds}"
    ours = le.convert(tmp_path / "o.onnx")
    # Sums of some ten float32 products near 1, in another order.
    np.testing.assert_allclose(ours.predict(x), wanted, rtol=1e-5, atol=2e-6)


def test_a_file_for_one_processor_is_refused_by_name(tmp_path: Path) -> None:
    """Convolutions over two axes and of many channels are laid out anew where the processor has wide vectors."""
    source = model([node("Conv", "x k", "c", pads=[1] * 4), node("Conv", "c l", "o", pads=[1] * 4)],
                   {"x": (1, 16, 8, 8)}, "o", {"k": floats(32, 16, 3, 3), "l": floats(32, 32, 3, 3)}, 13)
    x = floats(1, 16, 8, 8)
    kinds, wanted = optimised(source, "ORT_ENABLE_ALL", tmp_path / "o.onnx", x)
    if not any(kind.startswith("com.microsoft.nchwc.") for kind in kinds):
        np.testing.assert_allclose(le.convert(tmp_path / "o.onnx").predict(x), wanted, rtol=1e-4, atol=1e-3)
        return
    with pytest.raises(le.UnsupportedError, match=r"com\.microsoft\.nchwc\.\w+\): this file is laid out for the "
                                                  r"processor .* ORT_ENABLE_EXTENDED"):
        le.convert(tmp_path / "o.onnx")


Case = tuple[Any, dict[str, np.ndarray]]


def own(op: str, *inputs: np.ndarray | None, outputs: str = "o", **attributes: Any) -> Case:
    """A model of one operator of com.microsoft, all of its inputs given at the run, and those."""
    names = [f"x{i}" if array is not None else "-" for i, array in enumerate(inputs)]
    feeds = {name: array for name, array in zip(names, inputs) if array is not None}
    shapes = {name: (array.dtype.name, array.shape) for name, array in feeds.items()}
    source = model([node(op, " ".join(names), outputs, domain=MICROSOFT, **attributes)], shapes,
                   outputs.replace("-", ""), opset=21, domains={MICROSOFT: 1})
    return source, feeds


def products() -> list[Case]:
    """A B of [2, 3, 4, 5] and [2, 3, 5, 6], in every order of axes that a FusedMatMul brings to that."""
    made = []
    for flags in np.ndindex(2, 2, 2, 2):
        a, b = floats(2, 3, 4, 5), floats(2, 3, 5, 6)
        factors = [x.swapaxes(2, 3) if flip else x for x, flip in ((a, flags[0]), (b, flags[1]))]
        factors = [x.transpose(2, 0, 1, 3) if batch else x for x, batch in zip(factors, flags[2:])]
        attributes = dict(zip(("transA", "transB", "transBatchA", "transBatchB"), map(int, flags)))
        made.append(own("FusedMatMul", *map(np.ascontiguousarray, factors), alpha=0.5, **attributes))
    return [*made, own("FusedMatMul", floats(5), floats(5, 6), transA=1, alpha=2.0)]


def attentions() -> list[Case]:
    x, weight, bias = floats(2, 4, 6), floats(6, 24, scale=0.3), floats(24, scale=0.3)
    rows = np.array([[1, 1, 1, 0], [1, 1, 0, 0]], np.int32)
    steps = np.tril(np.ones((2, 4, 4), np.int32))           # no row is hidden whole: -10000 leaves little of a score
    query, key, value = floats(2, 3, 6), floats(2, 4, 6), floats(2, 4, 8)
    return [*(own("Attention", x, weight, bias, mask, None, addend, num_heads=2)
              for mask in (None, rows, steps) for addend in (None, floats(2, 2, 4, 4))),
            own("Attention", x, weight, bias, num_heads=2, scale=0.3),
            own("Attention", x, weight, bias, num_heads=2, unidirectional=1),
            own("Attention", x, weight, bias, None, None, floats(2, 2, 4, 4), num_heads=2, unidirectional=1),
            own("Attention", x, weight, bias, rows, num_heads=4, mask_filter_value=-50.0),
            own("Attention", x, floats(6, 20), floats(20), num_heads=2, qkv_hidden_sizes=[8, 8, 4]),
            own("MultiHeadAttention", query, key, value, num_heads=2),
            own("MultiHeadAttention", query, key, value, None, rows, floats(2, 2, 3, 4), num_heads=2, scale=0.2)]


def alone() -> list[Case]:
    x, skip, of_features = floats(2, 4, 6), floats(2, 4, 6), floats(6)
    image, kernel = floats(2, 3, 7), floats(4, 3, 3)
    conv = [("Relu", []), ("Tanh", []), ("Sigmoid", []), ("LeakyRelu", [0.2]), ("Clip", [-0.3, 0.4]),
            ("HardSigmoid", [0.3, 0.4])]
    gemm: list[tuple[str, dict[str, float]]] = [
        ("Relu", {}), ("Tanh", {}), ("Sigmoid", {}), ("Softplus", {}), ("Softsign", {}), ("LeakyRelu", {"alpha": 0.2}),
        ("Elu", {"alpha": 0.7}), ("ThresholdedRelu", {"alpha": 0.2}), ("HardSigmoid", {"alpha": 0.3, "beta": 0.4}),
        ("Selu", {"alpha": 1.5, "gamma": 1.2})]
    return [own("Gelu", x), own("BiasGelu", x, of_features), own("FastGelu", x), own("FastGelu", x, of_features),
            own("QuickGelu", x), own("QuickGelu", x, alpha=1.5),
            own("SkipLayerNormalization", x, skip, of_features, of_features, of_features, outputs="o - - sum",
                epsilon=1e-3),
            own("SkipLayerNormalization", x, skip[:1], of_features),
            own("SkipLayerNormalization", x, skip[0], of_features),
            own("SkipSimplifiedLayerNormalization", x, skip, of_features, of_features, outputs="o - - sum",
                epsilon=1e-3),
            *(own("FusedConv", image, kernel, floats(4), activation=name, pads=[1, 1],
                  **({"activation_params": given} if given else {})) for name, given in conv),
            own("FusedConv", image[..., None], kernel[..., None], None, floats(2, 4, 7, 1), activation="Relu",
                pads=[1, 0, 1, 0]),
            *(own("FusedGemm", floats(3, 4), floats(5, 4), floats(5), transB=1, alpha=0.7, beta=0.5, activation=name,
                  **{f"activation_{key}": value for key, value in given.items()}) for name, given in gemm)]


def quantized() -> list[Case]:
    a, b = (RNG.integers(0, 256, shape).astype(np.uint8) for shape in ((2, 3, 6), (6, 4)))
    one, columns = np.array(0.02, np.float32), np.abs(floats(4)) / 10 + 0.01
    zero, zeros = np.array(120, np.uint8), RNG.integers(0, 256, 4).astype(np.uint8)
    return [own("MatMulIntegerToFloat", a, b, one, columns, zero, zeros, floats(4)),
            own("MatMulIntegerToFloat", a, b, one, one), own("MatMulIntegerToFloat", a, b, one, one, None, zero),
            own("DynamicQuantizeMatMul", floats(2, 3, 6), b, columns, zeros, floats(4)),
            own("DynamicQuantizeMatMul", floats(2, 3, 6), b, one, zero)]


@pytest.mark.parametrize("source, feeds", [*alone(), *products(), *attentions(), *quantized()],
                         ids=lambda case: case.graph.node[0].op_type if hasattr(case, "graph") else "")
def test_single_operators(source: Any, feeds: dict[str, np.ndarray]) -> None:
    wanted = runtime_outputs(source, feeds)
    made = le.convert(source).predict(feeds)
    for name, array in wanted.items():
        ours = made[name] if isinstance(made, dict) else made
        assert ours.dtype == array.dtype and ours.shape == array.shape
        # Sums of some ten float32 products near 1, in another order; ONNX Runtime's tanh in FastGelu is good to 3e-7.
        np.testing.assert_allclose(ours, array, rtol=1e-5, atol=5e-6)


def attention_of(batch: int, **others: np.ndarray) -> Case:
    names = ("mask", "past", "addend")
    return own("Attention", floats(batch, 4, 6), WEIGHT, BIAS, *(others.get(name) for name in names), num_heads=2)


X = floats(2, 4, 6)
ONE = X[:1]
WEIGHT, BIAS = floats(6, 24), floats(24)


@pytest.mark.parametrize("case, error, message", [
    (own("Inverse", X), le.UnsupportedError, "com.microsoft.Inverse): this operator is not supported"),
    (own("Gelu", X, outputs="o more"), le.FormatError, "com.microsoft.Gelu): it does not make output 'more'"),
    (own("QuickGelu", np.ones(3, np.int64)), le.FormatError, "input 0 must be of floats, got int64"),
    (own("Gelu", X, X), le.FormatError, "com.microsoft.Gelu): takes 1 inputs, not 2"),
    (own("QuickGelu", X, alpha=1), le.FormatError, "attribute 'alpha' has the wrong type: 1"),
    (own("QuickGelu", X, beta=1.0), le.UnsupportedError, "attribute 'beta' is not supported; supported: alpha"),
    (own("FusedConv", X, X, activation="Swish"), le.UnsupportedError, "activation 'Swish' is not supported; sup"),
    (own("FusedConv", X, X, activation="LeakyRelu"), le.FormatError, "'LeakyRelu' takes 1 parameters, got ()"),
    (own("FusedGemm", X, X, activation="Elu"), le.FormatError, "activation 'Elu' takes 1 parameters, got ()"),
    (own("FusedMatMul", X, X, transA=2), le.UnsupportedError, "attribute 'transA' = 2 is not supported"),
    (own("FusedMatMul", X), le.FormatError, "takes 2 inputs, not 1"),
    (own("Attention", X, WEIGHT, BIAS), le.FormatError, "attribute 'num_heads' must be above 0, got -1"),
    (own("Attention", X, WEIGHT, BIAS, np.ones((2, 4), np.int32), num_heads=2, unidirectional=1), le.UnsupportedError,
     "attribute 'unidirectional' = 1 beside a mask"),
    (own("MultiHeadAttention", X, X, X, num_heads=2, unidirectional=1), le.UnsupportedError, "'unidirectional' = 1"),
    (own("Attention", X, WEIGHT, BIAS, np.ones(2, np.int32), num_heads=2), le.UnsupportedError, "a mask of 1 axes"),
    (own("Attention", X, WEIGHT, BIAS, None, floats(2, 2, 2, 3, 4), num_heads=2), le.UnsupportedError,
     "input 'past' is not supported"),
    (own("Attention", X, WEIGHT, BIAS, num_heads=2, outputs="o present"), le.UnsupportedError,
     "outputs after the first"),
    (own("Attention", X, WEIGHT, BIAS, num_heads=5), le.LstmEngineError, ""),
    (own("MultiHeadAttention", X, X, X, BIAS, num_heads=2), le.UnsupportedError, "input 'bias' is not supported"),
    (own("MultiHeadAttention", X, X, X[..., None], num_heads=2), le.UnsupportedError, "packed keys and values"),
    (own("SkipLayerNormalization", X, X, X[0, 0], outputs="o mean"), le.UnsupportedError, "its outputs 1 and 2"),
    # What NumPy would broadcast the first input to, and ONNX Runtime does not.
    (own("SkipLayerNormalization", ONE, X, floats(6)), le.FormatError, "elements cannot take the shape [1, 4, 6]"),
    (own("SkipSimplifiedLayerNormalization", ONE, X, floats(6)), le.FormatError, "cannot take the shape [1, 4, 6]"),
    (own("SkipLayerNormalization", X, X, floats(3, 1, 6)), le.FormatError, "do not fit"),
    (own("BiasGelu", floats(2, 1), floats(4)), le.FormatError, "8 elements cannot take the shape [2, 1]"),
    (own("FusedConv", ONE, floats(3, 4, 3), None, floats(2, 3, 4)), le.FormatError, "cannot take the shape [1, 3, 4]"),
    (attention_of(1, mask=np.ones((3, 4), np.int32)), le.FormatError, "cannot take the shape [1, 2, 4, 4]"),
    (attention_of(1, addend=floats(3, 2, 4, 4)), le.FormatError, "cannot take the shape [1, 2, 4, 4]"),
    (own("MultiHeadAttention", ONE, X, X, num_heads=2), le.FormatError, "cannot take the shape [1, 2, 4, 3]"),
])
def test_refused(case: Case, error: type[Exception], message: str) -> None:
    source, feeds = case
    with pytest.raises(error) as caught:
        le.convert(source).predict(feeds)
    assert message in str(caught.value)


def test_sizes_that_may_be_larger_are_refused() -> None:
    """Of two batches that come with a run nobody knows which is larger, unless they are said to be one."""
    def skipped(batch: str) -> Any:
        nodes = [node("SkipLayerNormalization", "x skip scale", "o", domain=MICROSOFT)]
        return model(nodes, {"x": ("batch", 4, 6), "skip": (batch, 4, 6)}, "o", {"scale": floats(6)},
                     domains={MICROSOFT: 1})

    with pytest.raises(le.UnsupportedError, match=r"sizes \[other, 4, 6\] beside one of \[batch, 4, 6\], which may be "
                                                  "smaller; say what 'batch' is"):
        le.convert(skipped("other"))
    source = skipped("batch")
    engine = le.convert(source)
    wanted = runtime_outputs(source, {"x": X, "skip": X})["o"]
    # Sums of a few float32 near 1, in another order.
    np.testing.assert_allclose(engine.predict({"x": X, "skip": X}, batch_size=1), wanted, rtol=1e-5, atol=5e-6)
