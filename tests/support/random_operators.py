"""Random nodes of ONNX operators, with inputs that ONNX Runtime takes."""

from __future__ import annotations

from typing import Any

import numpy as np


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
    assert kind == "Pow"
    return kind, {}, pick([np.abs(floats(3, 4)), floats(4)], [floats(5), np.float32(2)], [floats(5), np.int64(3)])
