"""What a random graph moves about: axes, pieces, copies, and shapes that it computes itself."""

from __future__ import annotations

import numpy as np

from .builder import Builder
from .case import Dim, Tensor


def _plus(a: Dim, b: Dim) -> Dim:
    return a + b if isinstance(a, int) and isinstance(b, int) else f"({a}+{b})"


def _times(a: Dim, b: Dim) -> Dim:
    return b if a == 1 else a if b == 1 else a * b if isinstance(a, int) and isinstance(b, int) else f"({a}*{b})"


def transpose(g: Builder) -> None:
    x = g.pick(lambda t: len(t.dims) >= 2)
    if x is not None:
        g.transpose(x, [int(i) for i in g.rng.permutation(len(x.dims))])


def squeeze(g: Builder) -> None:
    """Squeeze an axis of 1, or make one."""
    x = g.pick(lambda t: 1 in t.dims)
    if x is not None and g.chance(0.5):
        g.squeeze(x, x.dims.index(1))
    elif (y := g.pick(lambda t: len(t.dims) <= 3)) is not None:
        g.unsqueeze(y, g.whole(0, len(y.dims)))


def reshape(g: Builder) -> None:
    """Merge two neighbouring axes, split one, or give the same shape in another way."""
    x = g.pick(lambda t: 2 <= len(t.dims) <= 4)
    if x is None:
        return
    axis = g.whole(0, len(x.dims) - 2)
    if g.chance(0.5):
        dims: list[Dim] = [*x.dims[:axis], _times(x.dims[axis], x.dims[axis + 1]), *x.dims[axis + 2:]]
    else:
        whole = [i for i, d in enumerate(x.dims) if isinstance(d, int) and d % 2 == 0 and d]
        if not whole:
            return
        at = g.one(whole)
        half = x.dims[at] // 2                              # type: ignore[operator]
        dims = [*x.dims[:at], *((2, half) if g.chance(0.5) else (half, 2)), *x.dims[at + 1:]]
    if g.chance(0.3):
        _to_computed_shape(g, x, dims)
        return
    target, free = [], False
    for i, dim in enumerate(dims):
        if isinstance(dim, int) and not (dim != 1 and not free and g.chance(0.2)):
            target.append(dim)
        elif i < len(x.dims) and dim == x.dims[i]:
            target.append(0)
        elif not free:
            target.append(-1)
            free = True
        else:
            return
    if free and any(0 in _sizes(g, d) for d in dims if isinstance(d, str)):
        return                                              # -1 is not defined where another size is 0
    g.op("Reshape", [x, g.ints(*target)], dims, x.dtype)


def _sizes(g: Builder, dim: str) -> list[int]:
    from .case import size

    return [size(dim, sizes) for sizes in g.sizes]


def _to_computed_shape(g: Builder, x: Tensor, dims: list[Dim]) -> None:
    """A Reshape whose target is put together from the sizes of values."""
    parts: list[Tensor | str] = []
    for dim in dims:
        source = g.pick(lambda t, dim=dim: dim in t.dims)
        if isinstance(dim, int):
            parts.append(g.ints(dim))
        elif source is not None:
            shape = g.op("Shape", [source], (len(source.dims),), "int64")
            at = source.dims.index(dim)
            if g.chance(0.5):
                one = g.op("Gather", [shape, g.const(at, "int64")], (), "int64", axis=0)
                parts.append(g.unsqueeze(one, 0))
            else:
                parts.append(g.slice(shape, 0, at, at + 1, 1))
        elif "-1" not in parts:
            parts.append("-1")
        else:
            return
    if "-1" in parts and any(0 in _sizes(g, d) for d in dims if isinstance(d, str)):
        return
    named = [g.ints(-1) if part == "-1" else part for part in parts]
    g.op("Reshape", [x, g.op("Concat", named, (len(dims),), "int64", axis=0)], dims, x.dtype)


def concat(g: Builder) -> None:
    x = g.pick(lambda t: len(t.dims) >= 1)
    if x is None:
        return
    axis = g.whole(0, len(x.dims) - 1)
    y = g.pick(lambda t: t.dtype == x.dtype and len(t.dims) == len(x.dims)
               and all(a == b for i, (a, b) in enumerate(zip(t.dims, x.dims)) if i != axis))
    if y is not None:
        said = axis - len(x.dims) if g.opset >= 11 and g.chance(0.4) else axis
        g.op("Concat", [x, y], (*x.dims[:axis], _plus(x.dims[axis], y.dims[axis]), *x.dims[axis + 1:]), x.dtype,
             axis=said)


def split(g: Builder) -> None:
    x = g.pick(lambda t: any(isinstance(d, int) and d >= 2 for d in t.dims))
    if x is None:
        return
    axis = g.one([i for i, d in enumerate(x.dims) if isinstance(d, int) and d >= 2])
    whole = x.dims[axis]
    assert isinstance(whole, int)
    first = g.whole(1, whole - 1)
    shapes = [(*x.dims[:axis], n, *x.dims[axis + 1:]) for n in (first, whole - first)]
    if g.opset >= 13:
        g.add("Split", [x, g.ints(first, whole - first)], *shapes, dtype=x.dtype, axis=axis)
    else:
        g.add("Split", [x], *shapes, dtype=x.dtype, axis=axis, split=[first, whole - first])


def piece(g: Builder) -> None:
    """A slice: a part of a known axis, the first or last step of an open one, or an axis back to front."""
    x = g.pick(lambda t: len(t.dims) >= 1)
    if x is None:
        return
    axis = g.whole(0, len(x.dims) - 1)
    dim = x.dims[axis]
    if g.chance(0.4) and g.opset >= 10:
        g.slice(x, axis, -1, -2**31, dim, -1)
    elif isinstance(dim, int) and dim >= 2:
        start = g.whole(0, dim - 1)
        end = g.whole(start + 1, dim)
        g.slice(x, axis, start - (dim if g.chance(0.3) else 0), end, end - start)
    elif isinstance(dim, str):
        if g.chance(0.5):
            g.slice(x, axis, 0, 1, f"min(1,{dim})")
        else:
            g.slice(x, axis, -1, 2**31 - 1, f"min(1,{dim})")
    elif g.opset >= 10 and isinstance(dim, int) and dim >= 3:
        g.slice(x, axis, 0, dim, (dim + 1) // 2, 2)


def gather(g: Builder) -> None:
    """One place of an axis (the last step, say), several, or those that an input of whole numbers names."""
    x = g.pick(lambda t: 2 <= len(t.dims) <= 4)
    if x is None:
        return
    axis = g.whole(0, len(x.dims) - 1)
    dim = x.dims[axis]
    if isinstance(dim, str) and 0 in _sizes(g, dim):
        return
    before, after = x.dims[:axis], x.dims[axis + 1:]
    if isinstance(dim, int) and dim > 0 and g.chance(0.6):
        ids = g.pick(lambda t: t.role == f"ids:{dim}")
        if ids is not None and len(ids.dims) + len(x.dims) <= 5:
            g.op("Gather", [x, ids], (*before, *ids.dims, *after), x.dtype, axis=axis)
            return
        some = [g.whole(0, dim - 1) for _ in range(g.whole(1, 3))]
        g.op("Gather", [x, g.ints(*some)], (*before, len(some), *after), x.dtype, axis=axis)
    else:
        at = -1 if g.opset >= 11 and g.chance(0.6) else 0
        g.op("Gather", [x, g.const(at, "int64")], (*before, *after), x.dtype, axis=axis)


def lookup(g: Builder) -> None:
    """Token ids looked up in a table."""
    ids = g.pick(lambda t: t.role.startswith("ids") and len(t.dims) <= 3)
    if ids is not None:
        width = g.whole(1, 6)
        table = g.weight(int(ids.role[4:]), width, scale=1.0)
        g.op("Gather", [table, ids], (*ids.dims, width), axis=0)


def nothing(g: Builder) -> None:
    """A value beside a constant without elements, as tracers leave it behind."""
    x = g.rank(1, 2, 3)
    whole = [] if x is None else [i for i in range(len(x.dims)) if all(
        isinstance(d, int) for j, d in enumerate(x.dims) if j != i)]
    if x is None or not whole:
        return
    axis = g.one(whole)
    empty = g.const(np.zeros([0 if i == axis else d for i, d in enumerate(x.dims)]), x.dtype)
    g.op("Concat", [empty, x] if g.chance(0.5) else [x, empty], x.dims, x.dtype, axis=axis)


def pad(g: Builder) -> None:
    x = g.pick(lambda t: t.dtype == "float32" and 1 <= len(t.dims) <= 4)
    if x is None:
        return
    axis, rank = g.whole(0, len(x.dims) - 1), len(x.dims)
    before, after = g.whole(0, 2), g.whole(0, 2)
    pads = [0] * (2 * rank)
    pads[axis], pads[axis + rank] = before, after
    dims = (*x.dims[:axis], _plus(x.dims[axis], before + after), *x.dims[axis + 1:])
    if g.opset >= 11:
        value = [g.const(0.25)] if g.chance(0.5) else []
        g.op("Pad", [x, g.ints(*pads), *value], dims)
    else:
        g.op("Pad", [x], dims, pads=pads, **({"value": 0.25} if g.chance(0.5) else {}))


def expand(g: Builder) -> None:
    """A value with axes of 1 made as large as another value, by Expand, or repeated, by Tile."""
    x = g.pick(lambda t: t.dtype == "float32" and 1 in t.dims)
    if x is None:
        return
    if g.chance(0.5):
        axis = x.dims.index(1)
        n = g.whole(1, 3)
        repeats = [n if i == axis else 1 for i in range(len(x.dims))]
        g.op("Tile", [x, g.ints(*repeats)], (*x.dims[:axis], n, *x.dims[axis + 1:]))
        return
    y = g.pick(lambda t: len(t.dims) == len(x.dims) and all(a in (1, b) for a, b in zip(x.dims, t.dims)))
    if y is not None and g.opset >= 8:
        g.op("Expand", [x, g.op("Shape", [y], (len(y.dims),), "int64")], y.dims)


def cast(g: Builder) -> None:
    """To another floating-point type and back, or from whole numbers and truth values."""
    x = g.pick(lambda t: t.dtype in ("bool", "int64", "int32", "float64", "float16") or g.chance(0.15))
    if x is None:
        return
    if x.dtype == "float32":
        dtype, number = g.one([("float64", 11), ("float64", 11), ("float16", 10)])
        other = g.op("Cast", [x], x.dims, dtype, to=number)
        if dtype == "float16" and g.chance(0.3):
            other = g.op("Mul", [other, other], x.dims, dtype)
        if dtype == "float64" and g.chance(0.3):
            return
        if dtype == "float64" or g.chance(0.8):
            g.op("Cast", [other], x.dims, "float32", to=1)
    else:
        g.op("Cast", [x], x.dims, "float32", to=1)


def choose(g: Builder) -> None:
    """ArgMax, or the largest values by TopK."""
    x = g.pick(lambda t: t.dtype == "float32" and len(t.dims) >= 2 and isinstance(t.dims[-1], int) and t.dims[-1] >= 2)
    if x is None:
        return
    if g.chance(0.6):
        g.op("ArgMax", [x], x.dims[:-1], "int64", axis=len(x.dims) - 1, keepdims=0)
        return
    k = g.whole(1, x.dims[-1])                              # type: ignore[arg-type]
    dims = (*x.dims[:-1], k)
    if g.opset >= 10:
        g.add("TopK", [x, g.ints(k)], dims, dims, dtypes=("float32", "int64"), axis=len(x.dims) - 1)
    else:
        g.add("TopK", [x], dims, dims, dtypes=("float32", "int64"), axis=len(x.dims) - 1, k=k)
