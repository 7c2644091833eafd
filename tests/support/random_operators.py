"""Random nodes of ONNX operators, with inputs that ONNX Runtime takes."""

from __future__ import annotations

from typing import Any

import numpy as np


def _resize(rng: Any, floats: Any, pick: Any) -> tuple[dict, list]:
    mode = pick("nearest", "linear", "cubic")
    # Scales that float32 holds: ONNX Runtime places elements in float32, and a nearest one may be another there.
    scales = [pick(0.5, 0.75, 1.25, 1.5, 2.0, 2.5) for _ in range(2)]
    place = pick("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_crop_and_resize",
                 "half_pixel_symmetric")
    attributes = dict(mode=mode, coordinate_transformation_mode=place)
    if mode == "nearest":
        attributes["nearest_mode"] = pick("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
        attributes["coordinate_transformation_mode"] = pick("half_pixel", "asymmetric")
    if mode == "cubic":
        attributes.update(cubic_coeff_a=pick(-0.5, -0.75), exclude_outside=pick(0, 1) if "crop" not in place else 0)
    if mode != "nearest" and place == "half_pixel":
        attributes["antialias"] = pick(0, 1)
    region = np.float32([0, 0, 0.1, 0.2, 1, 1, 0.9, 1.13] if "crop" in place else [])
    return attributes, [floats(2, 3, 8, 12), region, np.float32([1, 1, *scales])]


def _stft(rng: Any, floats: Any, pick: Any) -> tuple[dict, list]:
    return dict(onesided=pick(0, 1)), [floats(2, 40, 1), np.int64(pick(3, 8)), floats(16), np.int64(16)]


def _dft(rng: Any, floats: Any, pick: Any) -> tuple[dict, list]:
    """Of powers of two: of others ONNX Runtime is no better than 1e-5."""
    whole = pick(0, 1)
    return dict(onesided=0 if whole else 1, inverse=whole), [floats(3, 10, pick(2, 1) if whole else 1),
                                                             np.int64(pick(4, 8, 16)), np.int64(1)]


def _whole(rng: Any, kind: str, *shape: int) -> np.ndarray:
    return rng.integers(np.iinfo(kind).min, np.iinfo(kind).max + 1, shape).astype(kind)


def _quantize(rng: Any, floats: Any, pick: Any) -> tuple[dict, list]:
    kind, channels = pick("int8", "uint8"), pick(0, 1)
    scale = np.abs(floats(5)) / 10 + 0.02 if channels else np.float32(0.03)
    return dict(axis=1) if channels else {}, [floats(3, 5, 2), scale,
                                              _whole(rng, kind, *((5,) if channels else ()))]


def _dequantize(rng: Any, floats: Any, pick: Any) -> tuple[dict, list]:
    attributes, (x, scale, zero) = _quantize(rng, floats, pick)
    return attributes, [_whole(rng, zero.dtype.name, *x.shape), scale, zero]


def _matmul_integer(rng: Any, floats: Any, pick: Any) -> tuple[dict, list]:
    """Unsigned factors: with a signed one ONNX Runtime's sums of pairs overflow on AVX2."""
    a, b = _whole(rng, "uint8", 2, 3, 9), _whole(rng, "uint8", 9, 4)
    return {}, [a, b, _whole(rng, "uint8"), _whole(rng, b.dtype.name, *pick((), (4,)))]


def _conv_integer(rng: Any, floats: Any, pick: Any) -> tuple[dict, list]:
    group = pick(1, 2)
    return dict(pads=[1, 0, 1, 2], strides=[pick(1, 2), 1], group=group), [
        _whole(rng, "uint8", 2, 4, 6, 7), _whole(rng, "uint8", 6, 4 // group, 3, 3),
        _whole(rng, "uint8"), _whole(rng, "uint8")]


def _scales(rng: Any, *shape: int) -> np.ndarray:
    return (rng.random(shape) / 10 + 0.01).astype(np.float32)


def _matmul_linear(rng: Any, floats: Any, pick: Any) -> tuple[dict, list]:
    """The inputs unsigned, as above; the zeros of the columns are one number, or ONNX Runtime refuses them."""
    each = pick((), (4,))
    return {}, [_whole(rng, "uint8", 2, 3, 9), _scales(rng), _whole(rng, "uint8"), _whole(rng, "uint8", 9, 4),
                _scales(rng, *each), np.full(each, rng.integers(256), np.uint8), _scales(rng) * 50,
                _whole(rng, "uint8")]


def _conv_linear(rng: Any, floats: Any, pick: Any) -> tuple[dict, list]:
    attributes, (x, weight, x_zero, zero) = _conv_integer(rng, floats, pick)
    each = pick((), (6,))
    bias = [rng.integers(-10000, 10000, 6).astype(np.int32)] if pick(0, 1) else []
    return attributes, [x, _scales(rng), x_zero, weight, _scales(rng, *each), np.full(each, zero, np.uint8),
                        _scales(rng) * 50, _whole(rng, "uint8"), *bias]


def _blocks(rng: Any, floats: Any, pick: Any) -> tuple[dict, list]:
    return dict(blocksize=2), [floats(2, 8, 4, 6)]


# Of each: attributes and inputs.
_MORE: dict[str, Any] = {
    "Resize": _resize, "STFT": _stft, "DFT": _dft, "QuantizeLinear": _quantize, "DequantizeLinear": _dequantize,
    "MatMulInteger": _matmul_integer, "ConvInteger": _conv_integer,
    "QLinearMatMul": _matmul_linear, "QLinearConv": _conv_linear, "SpaceToDepth": _blocks,
    "DepthToSpace": lambda rng, floats, pick: (dict(blocksize=2, mode=pick("DCR", "CRD")), [floats(2, 8, 4, 6)]),
    "LpNormalization": lambda rng, floats, pick: (dict(axis=pick(0, 1, -1), p=pick(1, 2)), [floats(3, 4, 5)]),
    "LRN": lambda rng, floats, pick: (dict(size=pick(1, 3, 5), alpha=0.1, beta=0.6, bias=1.5), [floats(2, 6, 4, 3)]),
    "Shrink": lambda rng, floats, pick: (dict(bias=pick(0.0, 0.3), lambd=0.6), [floats(40)]),
    "Hardmax": lambda rng, floats, pick: (dict(axis=pick(0, 1, -1)), [np.round(floats(3, 4, 5))]),
    "Compress": lambda rng, floats, pick: (dict(axis=pick(0, 1, -1)), [floats(4, 5, 6), rng.random(4) < 0.5]),
    "Trilu": lambda rng, floats, pick: (dict(upper=pick(0, 1)), [floats(4, 5), np.int64(pick(-1, 0, 2))]),
    "EyeLike": lambda rng, floats, pick: (dict(k=pick(-2, 0, 1)), [floats(4, 5)]),
    "Asinh": lambda rng, floats, pick: ({}, [floats(40) * 4]),
    "HannWindow": lambda rng, floats, pick: (dict(periodic=pick(0, 1)), [np.int64(rng.integers(2, 40))]),
    "BlackmanWindow": lambda rng, floats, pick: (dict(periodic=pick(0, 1)), [np.int64(rng.integers(2, 40))]),
    "MeanVarianceNormalization": lambda rng, floats, pick: (dict(axes=pick([0, 2, 3], [1], [2, 3])),
                                                            [floats(3, 4, 5, 6)]),
    "BitShift": lambda rng, floats, pick: (dict(direction=pick("LEFT", "RIGHT")),
                                           [_whole(rng, "uint32", 5), rng.integers(0, 32, 5).astype(np.uint32)]),
}


def random_case(kind: str, rng: np.random.Generator) -> tuple[str, dict, list[np.ndarray]]:
    """One random node: (operator, attributes, inputs)."""
    def floats(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    def pick(*values: Any) -> Any:
        return values[rng.integers(len(values))]

    spatial = pick(1, 2)
    size = [int(rng.integers(6, 12)) for _ in range(spatial)]
    kernel = [int(rng.integers(1, 4)) for _ in range(spatial)]
    # Strides up to the kernel's size: beyond it ONNX Runtime's SAME padding leaves the text of the standard.
    window: dict[str, Any] = dict(strides=[int(rng.integers(1, k + 1)) for k in kernel])
    auto = pick("NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")
    if auto == "NOTSET":
        window["pads"] = [int(rng.integers(0, k)) for k in kernel * 2]
        window["dilations"] = [int(rng.integers(1, 3)) for _ in range(spatial)]
    else:
        window["auto_pad"] = auto
    if kind == "Conv":
        group = pick(1, 2, 4)
        return kind, {**window, "group": group}, [floats(2, 4, *size), floats(8, 4 // group, *kernel), floats(8)]
    if kind == "ConvTranspose":
        group = pick(1, 2)
        if auto == "NOTSET":
            # Smaller than the stride, and at least as large as what the padding would cut to nothing.
            window["output_padding"] = [int(rng.integers(0, s)) for s in window["strides"]]
        return kind, {**window, "group": group}, [floats(2, 4, *size), floats(4, 3, *kernel), floats(3 * group)]
    if kind in ("MaxPool", "AveragePool"):
        window.update(kernel_shape=kernel, ceil_mode=pick(0, 1))
        if kind == "AveragePool":
            window["count_include_pad"] = pick(0, 1)
            return kind, window, [floats(2, 3, *size)]
        window["storage_order"] = pick(0, 1)
        return kind, window, [np.round(floats(2, 3, *size))]          # with ties
    if kind == "Slice":
        axes = rng.permutation(3)[:pick(1, 2, 3)] - pick(0, 3)
        count = len(axes)
        bounds = [rng.integers(-9, 10, count), rng.integers(-9, 10, count), axes, [pick(-2, -1, 1, 2, 3) for _ in axes]]
        return kind, {}, [floats(4, 5, 6), *(np.asarray(b, np.int64) for b in bounds)]
    if kind == "Pad":
        mode = pick("constant", "reflect", "edge", "wrap")
        return kind, dict(mode=mode), [floats(4, 5, 6), rng.integers(-1 if mode == "constant" else 0, 3, 6),
                                       np.float32(2.5)]
    if kind.startswith("Reduce"):
        x = np.abs(floats(3, 4, 5)) + 1 if kind == "ReduceLogSum" else floats(3, 4, 5)
        return kind, dict(keepdims=pick(0, 1)), [x, rng.permutation(3)[:pick(1, 2, 3)]]
    if kind == "ScatterND":
        return kind, dict(reduction=pick("none", "add", "max")), [
            floats(5, 4, 3), np.stack(np.unravel_index(rng.permutation(20)[:6], (5, 4)), -1).reshape(2, 3, 2),
            floats(2, 3, 3)]
    if kind == "ScatterElements":
        indices = np.argsort(rng.random((5, 4)), axis=0)[:3]
        return kind, dict(axis=0, reduction=pick("none", "add")), [floats(5, 4), indices, floats(3, 4)]
    if kind == "GatherElements":
        return kind, dict(axis=1), [floats(3, 6), rng.integers(-6, 6, (3, 2))]
    if kind == "Gather":
        return kind, dict(axis=pick(0, 1, -1)), [floats(5, 5, 5), rng.integers(-5, 5, (2, 3))]
    if kind == "TopK":
        x = rng.integers(0, 6, (4, 9)).astype(np.float32)      # with ties
        return kind, dict(axis=pick(0, 1), largest=pick(0, 1)), [x, np.array([3])]
    if kind == "CumSum":
        return kind, dict(exclusive=pick(0, 1), reverse=pick(0, 1)), [floats(3, 4, 5), np.int64(pick(0, 1, -1))]
    if kind == "ReverseSequence":
        return kind, dict(time_axis=0, batch_axis=1), [floats(6, 3, 2), rng.integers(1, 7, 3)]
    if kind == "Gemm":
        ta, tb = pick(0, 1), pick(0, 1)
        return kind, dict(transA=ta, transB=tb, alpha=0.5, beta=pick(1.0, 2.0)), [
            floats(*((7, 3) if ta else (3, 7))), floats(*((5, 7) if tb else (7, 5))),
            floats(*pick((5,), (3, 5), (3, 1)))]
    if kind == "Einsum":
        equation, shapes = pick(("bij,bjk->bik", [(2, 3, 4), (2, 4, 5)]), ("...ij,jk", [(2, 3, 4), (4, 5)]),
                                ("ij->ji", [(3, 4)]), ("bi,bj,bk->ijk", [(2, 3), (2, 4), (2, 5)]), ("ii->i", [(4, 4)]))
        return kind, dict(equation=equation), [floats(*shape) for shape in shapes]
    if kind in ("InstanceNormalization", "LayerNormalization", "BatchNormalization", "GroupNormalization"):
        shape = {"LayerNormalization": (6,)}.get(kind, (4,))
        extra = [floats(4), np.abs(floats(4)) + 0.1] if kind == "BatchNormalization" else []
        attributes = dict(epsilon=1e-3, **({"num_groups": 2} if kind == "GroupNormalization" else {}))
        return kind, attributes, [floats(3, 4, 6), floats(*shape), floats(*shape), *extra]
    if kind in ("Softmax", "LogSoftmax"):
        return kind, dict(axis=pick(0, 1, -1)), [floats(3, 4, 5) * 10]
    if kind in ("Erf", "Gelu", "Mish", "Elu", "Selu", "Softplus", "HardSwish", "Celu"):
        return kind, {}, [floats(50) * 4]
    if kind == "Div":
        b = rng.integers(1, 5, 20) * rng.choice([-1, 1], 20)
        return kind, {}, [rng.integers(-20, 20, 20), b]
    if kind in _MORE:
        return kind, *_MORE[kind](rng, floats, pick)
    assert kind == "Pow"
    return kind, {}, pick([np.abs(floats(3, 4)), floats(4)], [floats(5), np.float32(2)], [floats(5), np.int64(3)])
