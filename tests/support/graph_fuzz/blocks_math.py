"""Arithmetic of a random graph: element by element, products, reductions, normalizations, convolutions, attention."""

from __future__ import annotations

from .builder import Builder
from .case import Dim, Tensor


def broadcast(a: Tensor, b: Tensor) -> tuple[Dim, ...] | None:
    """The shape of two values together, None where they do not fit."""
    rank = max(len(a.dims), len(b.dims))
    left, right = (((1,) * (rank - len(t.dims)) + t.dims) for t in (a, b))
    if any(x != y and 1 not in (x, y) for x, y in zip(left, right)):
        return None
    return tuple(y if x == 1 else x for x, y in zip(left, right))


def is_float(t: Tensor) -> bool:
    return t.dtype in ("float32", "float64")


def unary(g: Builder) -> None:
    x = g.pick(is_float)
    if x is None:
        return
    ops = ["Sigmoid", "Tanh", "Relu", "Neg", "Abs", "Identity", "Softplus", "Softsign", "Elu", "LeakyRelu", "Floor"]
    op = g.one(ops + (["Erf", "Sign", "Sin", "Cos"] if g.opset >= 9 else []))
    if op in ("Softplus", "Softsign", "Elu") and x.dtype == "float64":
        op = "Tanh"
    if op == "Floor" and g.chance(0.7):
        op = "Tanh"
    if g.chance(0.15):
        positive = g.op("Add", [g.op("Abs", [x], x.dims, x.dtype), g.const(0.5, x.dtype)], x.dims, x.dtype)
        g.op(g.one(["Log", "Sqrt", "Reciprocal"]), [positive], x.dims, x.dtype)
    else:
        g.op(op, [x], x.dims, x.dtype, **({"alpha": 0.3} if op in ("Elu", "LeakyRelu") and g.chance(0.5) else {}))


def with_constant(g: Builder) -> None:
    """A value and a constant in any of the forms that broadcasting allows."""
    x = g.pick(is_float)
    if x is None:
        return
    shape: list[int] = [d if isinstance(d, int) and g.chance(0.7) else 1 for d in x.dims]
    while shape and shape[0] == 1 and g.chance(0.6):
        shape.pop(0)
    if g.chance(0.1):
        shape = [1] * g.whole(0, 1) + [1] * (len(x.dims) - len(shape)) + shape
    dims = (1,) * max(0, len(shape) - len(x.dims)) + x.dims
    op = g.one(["Add", "Sub", "Mul", "Div"])
    c = g.const(g.rng.standard_normal(shape) if op != "Div" else g.rng.uniform(0.5, 2, shape), x.dtype)
    pair = [c, x] if op in ("Add", "Sub", "Mul") and g.chance(0.4) else [x, c]
    g.op(op, pair, dims, x.dtype)


def between(g: Builder) -> None:
    """Two values of the graph, of different shapes where they fit together."""
    a = g.pick(is_float)
    b = a and g.pick(lambda t: t.dtype == a.dtype and broadcast(a, t) is not None)
    if a is None or b is None:
        return
    dims = broadcast(a, b)
    assert dims is not None
    kind = g.whole(0, 9)
    if kind < 7:
        g.op(g.one(["Add", "Sub", "Mul", "Max", "Min"] if g.opset >= 12 else ["Add", "Sub", "Mul"]), [a, b], dims,
             a.dtype)
    elif g.opset >= 9:
        test = g.op(g.one(["Less", "Greater"]), [a, b], dims, "bool")
        g.op("Where", [test, *((a, b) if g.chance(0.5) else (b, a))], dims, a.dtype)


def decide(g: Builder) -> None:
    """Numbers, ids or truth values that choose between others, step by step or row by row."""
    x = g.pick(is_float)
    if x is None or g.opset < 9:
        return
    by = g.pick(lambda t: t.dtype in ("int64", "int32", x.dtype) and broadcast(t, x) == x.dims)
    ids = g.pick(lambda t: t.role.startswith("ids") and len(t.dims) == 2 and x.dims[:2] == t.dims and len(x.dims) == 3)
    if ids is not None and g.chance(0.7):
        by = g.unsqueeze(ids, 2)
    if by is None:
        return
    op = g.one(["Equal", "Less", "Greater"] if by.dtype != x.dtype and g.opset >= 11 else ["Less", "Greater"])
    test = g.op(op, [by, g.const(g.whole(0, 3) if by.dtype != x.dtype else 0.1, by.dtype)], by.dims, "bool")
    if g.chance(0.3):
        test = g.op("Not", [test], test.dims, "bool")
    if g.chance(0.6):
        other = g.const(g.one([0.0, -1.5]), x.dtype)
        g.op("Where", [test, *((x, other) if g.chance(0.5) else (other, x))], x.dims, x.dtype)
    else:
        factor = g.op("Cast", [test], test.dims, x.dtype, to=1 if x.dtype == "float32" else 11)
        g.op("Mul", [x, factor], x.dims, x.dtype)


def dense(g: Builder) -> None:
    """MatMul or Gemm with a constant, a bias and an activation now and then."""
    x = g.pick(lambda t: is_float(t) and len(t.dims) >= 2 and isinstance(t.dims[-1], int))
    if x is None:
        return
    units, dims = g.whole(1, 9), x.dims
    features = dims[-1]
    assert isinstance(features, int)
    if len(dims) == 2 and g.chance(0.5):
        flip = g.whole(0, 1)
        shape = (units, features) if flip else (features, units)
        bias = [g.weight(*g.one([(units,), (1, units), (1,)]), dtype=x.dtype, scale=0.5)] \
            if g.opset < 11 or g.chance(0.8) else []
        extra = {"alpha": 0.5, "beta": 2.0} if g.chance(0.15) else {}
        y = g.op("Gemm", [x, g.weight(*shape, dtype=x.dtype, scale=features ** -0.5), *bias], (dims[0], units), x.dtype,
                 transB=flip, **extra)
    else:
        y = g.op("MatMul", [x, g.weight(features, units, dtype=x.dtype, scale=features ** -0.5)], (*dims[:-1], units),
                 x.dtype)
        if g.chance(0.7):
            bias_name = g.weight(units, dtype=x.dtype, scale=0.5)
            y = g.op("Add", [y, bias_name] if g.chance(0.7) else [bias_name, y], y.dims, x.dtype)
    if g.chance(0.5):
        g.op(g.one(["Relu", "Tanh", "Sigmoid"]), [y], y.dims, y.dtype)


def product(g: Builder) -> None:
    """MatMul of two computed values; a score between steps that a softmax turns into weights."""
    a = g.rank(2, 3, 4)
    if a is None:
        return
    b = g.pick(lambda t: t.dtype == "float32" and len(t.dims) == len(a.dims) and t.dims[-1] == a.dims[-1]
               and t.dims[:-2] == a.dims[:-2])
    if b is None:
        return
    order = [*range(len(b.dims) - 2), len(b.dims) - 1, len(b.dims) - 2]
    scores = g.op("MatMul", [a, g.transpose(b, order)], (*a.dims[:-1], b.dims[-2]))
    if g.chance(0.7):
        weights = g.op("Softmax", [scores], scores.dims, axis=len(scores.dims) - 1) if g.opset >= 13 or \
            len(scores.dims) == 2 else g.op("Sigmoid", [scores], scores.dims)
        g.op("MatMul", [weights, b], (*a.dims[:-1], b.dims[-1]))


def weighted_sum(g: Builder) -> None:
    """Attention over time: scores of the steps, softmax along time, the sum of the steps under these weights."""
    x = g.pick(lambda t: t.dtype == "float32" and len(t.dims) == 3 and isinstance(t.dims[2], int))
    if x is None or g.opset < 13:
        return
    axis, features = g.whole(0, 1), x.dims[2]
    assert isinstance(features, int)
    scores = g.op("MatMul", [x, g.weight(features, 1, scale=1.0)], (*x.dims[:2], 1))
    weights = g.op("Softmax", [scores], scores.dims, axis=axis)
    g.axes_op("ReduceSum", g.op("Mul", [x, weights], x.dims), [axis], x.dims[:axis] + x.dims[axis + 1:], 13, keepdims=0)


def reduction(g: Builder) -> None:
    x = g.pick(lambda t: t.dtype == "float32" and len(t.dims) >= 2)
    if x is None:
        return
    op = g.one(["ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2", "ReduceSumSquare", "ReduceL1"])
    axis, keep = g.whole(0, len(x.dims) - 1), g.whole(0, 1)
    if op in ("ReduceMax", "ReduceMin", "ReduceMean") and isinstance(x.dims[axis], str):
        op = op if all(sizes.get(str(x.dims[axis]), 1) for sizes in g.sizes) else "ReduceSum"
    dims = x.dims[:axis] + ((1,) if keep else ()) + x.dims[axis + 1:]
    said = axis - len(x.dims) if g.opset >= 11 and g.chance(0.4) else axis
    g.axes_op(op, x, [said], dims, 13 if op == "ReduceSum" else 18, keepdims=keep)


def softmax(g: Builder) -> None:
    x = g.pick(lambda t: t.dtype == "float32" and len(t.dims) >= 2)
    if x is None:
        return
    # Before opset 13 softmax runs over all axes from `axis` on: the last one is the same in both.
    axis = g.whole(0, len(x.dims) - 1) if g.opset >= 13 else len(x.dims) - 1
    g.op(g.one(["Softmax", "Softmax", "LogSoftmax"]), [x], x.dims, axis=axis)


def normalization(g: Builder) -> None:
    x = g.pick(lambda t: t.dtype == "float32" and len(t.dims) >= 2 and isinstance(t.dims[-1], int) and t.dims[-1] > 1)
    if x is None:
        return
    features = x.dims[-1]
    assert isinstance(features, int)
    if g.opset >= 17 and g.chance(0.5):
        g.op("LayerNormalization", [x, g.weight(features, scale=1.0), *([g.weight(features, scale=0.3)] if g.chance(0.8)
                                                                       else [])], x.dims, axis=-1, epsilon=1e-3)
    elif isinstance(x.dims[1], int):
        n = x.dims[1]
        g.op("BatchNormalization", [x, g.weight(n, scale=1.0), g.weight(n, scale=0.5), g.weight(n, scale=0.5),
                                    g.const(g.rng.uniform(0.3, 2, n))], x.dims, epsilon=1e-3)


def convolution(g: Builder) -> None:
    """A convolution over the last axis of [rows, channels, steps], padded so that no step is lost."""
    x = g.pick(lambda t: t.dtype == "float32" and len(t.dims) == 3 and isinstance(t.dims[1], int))
    if x is None:
        return
    channels, made = x.dims[1], g.whole(1, 6)
    assert isinstance(channels, int)
    width = g.one([1, 3])
    g.op("Conv", [x, g.weight(made, channels, width, scale=(channels * width) ** -0.5),
                  *([g.weight(made, scale=0.3)] if g.chance(0.7) else [])], (x.dims[0], made, x.dims[2]),
         kernel_shape=[width], pads=[width // 2, width // 2])
