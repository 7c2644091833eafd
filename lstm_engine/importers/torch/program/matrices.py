"""Operators on matrices and on vectors as matrices: products over axes of one's choice, diagonals, triangles."""

from __future__ import annotations

from functools import partial
from string import ascii_letters

import numpy as np

from .arguments import Arguments
from .emit import Emitter, Length, Tensor
from .layers import product, weighted
from .promotion import promoted
from .rearranging import along_diagonal, counted
from .reductions import reduced
from .registry import aten
from .views import MOST_PLACES

new = partial(aten, fresh=True)


@new("tensordot.default")
def _tensordot(e: Emitter, a: Arguments) -> Tensor:
    """The sum over pairs of axes; those of the first that are left, then those of the second."""
    x, y = promoted(e, a.tensor("self"), a.tensor("other"))
    of_x, of_y = ([a.positive(axis, t.rank) for axis in a.ints(name)]
                  for name, t in (("dims_self", x), ("dims_other", y)))
    if len(of_x) != len(of_y) or len(set(of_x)) != len(of_x) or len(set(of_y)) != len(of_y) or not x.is_float:
        a.refuse(f"over axes {of_x} and {of_y} of {x.dtype} is not supported")
    left, right = list(ascii_letters[:x.rank]), list(ascii_letters[x.rank:x.rank + y.rank])
    for i, j in zip(of_x, of_y):
        if 1 in (x.shape[i], y.shape[j]) and x.shape[i] != y.shape[j]:
            a.refuse(f"of axes of {x.shape[i]} and {y.shape[j]} elements is not supported")
        right[j] = left[i]
    kept = [c for i, c in enumerate(left) if i not in of_x] + [c for j, c in enumerate(right) if j not in of_y]
    return e.op("Einsum", x, y, equation=f"{''.join(left)},{''.join(right)}->{''.join(kept)}")


@new("addbmm.default")
def _addbmm(e: Emitter, a: Arguments) -> Tensor:
    """beta self + alpha sum_i batch1_i batch2_i."""
    made = product(e, a, a.tensor("batch1"), a.tensor("batch2"))
    return weighted(e, a, reduced(e, "ReduceSum", made, [0], False))


@new("addr.default")
def _addr(e: Emitter, a: Arguments) -> Tensor:
    x, y = a.tensor("vec1"), a.tensor("vec2")
    return weighted(e, a, e.op("Mul", e.unsqueeze(x, 1), e.unsqueeze(y, 0)))


@new("cross.default linalg_cross.default")
def _cross(e: Emitter, a: Arguments) -> Tensor:
    """The vector product along an axis of three."""
    x, y = promoted(e, a.tensor("self"), a.tensor("other"))
    if x.rank != y.rank:
        a.refuse(f"of {x.rank} and {y.rank} axes is not supported")
    dim = a.any("dim", -1 if a.op.startswith("linalg") else None)
    if dim is None:
        a.refuse("without dim is not supported: which axis it means depends on sizes")
    axis = a.axis("dim", x.rank, -1)
    if x.shape[axis] != 3 or y.shape[axis] != 3:
        a.refuse(f"of axes of {x.shape[axis]} and {y.shape[axis]} elements is not supported")

    def part(t: Tensor, *order: int) -> Tensor:
        return e.op("Gather", t, e.integers(*order), axis=axis)
    return e.op("Sub", e.op("Mul", part(x, 1, 2, 0), part(y, 2, 0, 1)), e.op("Mul", part(x, 2, 0, 1), part(y, 1, 2, 0)))


@new("diag_embed.default")
def _diag_embed(e: Emitter, a: Arguments) -> Tensor:
    """Vectors as the diagonals of matrices that are 0 elsewhere."""
    x = a.tensor("self")
    rank = x.rank + 1
    if a.whole("offset", 0) or not x.rank:
        a.refuse("beside the diagonal, or of a number, is not supported")
    first, second = a.axis("dim1", rank, -2), a.axis("dim2", rank, -1)
    if first == second:
        a.wrong(f"axes {first} and {second}")
    made = _on_diagonal(e, x)
    rest = iter(range(rank - 2))
    return e.transpose(made, [rank - 2 if axis == first else rank - 1 if axis == second else next(rest)
                              for axis in range(rank)])


def _on_diagonal(e: Emitter, x: Tensor) -> Tensor:
    places = counted(e, e.size(x, x.rank - 1))
    where = e.op("Equal", e.unsqueeze(places, 1), e.unsqueeze(places, 0))
    return e.op("Where", where, e.unsqueeze(x, x.rank - 1), e.constant(0, x.dtype))


@new("diag.default")
def _diag(e: Emitter, a: Arguments) -> Tensor:
    """A vector as a diagonal, or the diagonal of a matrix."""
    x = a.tensor("self")
    if x.rank == 1:
        if a.whole("diagonal", 0):
            a.refuse("beside the diagonal is not supported")
        return _on_diagonal(e, x)
    offset = a.whole("diagonal", 0)
    return _diagonal(e, Arguments(a.label, a.op, {"offset": offset}, 1), x)


def _diagonal(e: Emitter, a: Arguments, x: Tensor) -> Tensor:
    if x.rank != 2:
        a.wrong(f"of {x.rank} axes")
    return e.op("GatherND", x, along_diagonal(e, a, x)[1])


@new("trace.default")
def _trace(e: Emitter, a: Arguments) -> Tensor:
    x = a.tensor("self")
    made = _diagonal(e, Arguments(a.label, a.op, {}, 1), x)
    return reduced(e, "ReduceSum", made if x.is_float else e.cast(made, "int64"), [0], False)


@new("linalg_matrix_norm.str_ord")
def _matrix_norm(e: Emitter, a: Arguments) -> Tensor:
    """The root of the sum of all squares of a matrix."""
    x = a.tensor("self")
    kind = a.text("ord", "fro")
    if kind != "fro" or not x.is_float:
        a.refuse(f"the norm {kind!r:.20} of {x.dtype} is not supported")
    x = e.cast(x, a.dtype("dtype", x.dtype))
    axes = [a.positive(axis, x.rank) for axis in a.ints("dim", [-2, -1])]
    return reduced(e, "ReduceL2", x, axes, a.flag("keepdim", False))


@new("kron.default")
def _kron(e: Emitter, a: Arguments) -> Tensor:
    """Each element of the first times the whole second."""
    x, y = promoted(e, a.tensor("self"), a.tensor("other"))
    if x.rank != y.rank or not x.rank:
        a.refuse(f"of {x.rank} and {y.rank} axes is not supported")
    sizes: list[Length] = []
    for axis, (rows, each) in enumerate(zip(x.shape, y.shape)):
        if not isinstance(each, int) or not isinstance(rows, int) and each != 1:
            a.refuse("of axes whose sizes are open is not supported")
        sizes.append(rows * each if isinstance(rows, int) else e.size(x, axis))
    made = e.op("Mul", e.unsqueeze(x, *range(1, 2 * x.rank, 2)), e.unsqueeze(y, *range(0, 2 * y.rank, 2)))
    return e.reshape(made, sizes)


@new("tril_indices.default triu_indices.default")
def _triangle_indices(e: Emitter, a: Arguments) -> Tensor:
    """[2, count]: rows and columns of a triangle, row after row."""
    rows, columns, offset = a.whole("row"), a.whole("col"), a.whole("offset", 0)
    dtype = a.dtype("dtype", "int64")
    if rows < 0 or columns < 0 or rows * columns > MOST_PLACES or dtype not in ("int32", "int64"):
        a.refuse(f"of {rows} by {columns} in {dtype} is not supported")
    find = np.tril_indices if a.op.startswith("tril") else np.triu_indices
    key = (a.op, rows, columns, offset, dtype)
    return e.derived(key, lambda: [np.stack(find(rows, offset, columns)).astype(dtype)])[0]
