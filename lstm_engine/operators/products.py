"""Matrix products and Einstein sums."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ..graph.nodes import Dim, Operator, Shape, Value
from .axis_rules import AxisCall, elementwise_axes
from .costs import PRODUCTS_AT_ONCE, Arrays, Need, need_of, size_of
from .kernels import Kernel, of_shape
from .places import Place, need
from .shape_rules import ANY, ShapeCall, Shapes, same_size
from .spec import REQUIRED, Attribute, declare

# ---- MatMul and Gemm ------------------------------------------------------------------------------------------------

def matmul_shape(call: ShapeCall) -> Shapes:
    a, b = call.shape(), call.shape(1)
    if not a or not b:
        raise call.error("a matrix product needs at least one axis on each side")
    inner_b = b[-2] if len(b) > 1 else b[0]
    if not same_size(a[-1], inner_b):
        raise call.error(f"the inner sizes {a[-1]} and {inner_b} differ")
    rows, columns = a[-2:-1], b[-1:] if len(b) > 1 else []
    return [(call.broadcast(a[:-2], b[:-2]) + rows + columns if max(len(a), len(b)) > 2 else rows + columns,
             call.dtype())]


def matmul_axes(call: AxisCall) -> Place:
    """Rows at the rows of the left, the columns of the right, or at a leading axis of both (or of one, free in the
    other)."""
    (a, b), (left, right), rank = call.given, call.shapes, len(call.made)
    need(len(left) > 1 and len(right) > 1 and a != len(left) - 1 and b != len(right) - 2)
    if (a, b) in ((len(left) - 2, None), (None, len(right) - 1)):
        return rank - 2 if b is None else rank - 1
    need((a is None or a < len(left) - 2) and (b is None or b < len(right) - 2))
    return elementwise_axes(call)


def _gemm_shape(call: ShapeCall) -> Shapes:
    a, b = call.shape(), call.shape(1)
    if len(a) != 2 or len(b) != 2:
        raise call.error(f"both factors need 2 axes, not {len(a)} and {len(b)}")
    a = a[::-1] if call.attributes["transA"] else a
    b = b[::-1] if call.attributes["transB"] else b
    if not same_size(a[1], b[0]):
        raise call.error(f"the inner sizes {a[1]} and {b[0]} differ")
    shape = [a[0], b[1]]
    factors = call.attributes["alpha"], call.attributes["beta"]
    if not call.dtype().startswith("float") and any(factor % 1 for factor in factors):
        raise call.unknown(f"factors {factors} of {call.dtype()} are not supported; supported: whole numbers")
    if call.given(2):
        wanted = call.shape(2)
        if len(wanted) > 2 or not all(same_size(*p) or p[1] == 1 for p in zip(shape[::-1], wanted[::-1])):
            raise call.error(f"an addend of shape {wanted} does not fit a product of shape {shape}")
    return [(shape, call.dtype())]


def _gemm_axes(call: AxisCall) -> Place:
    a, b, c = (*call.given, None)[:3]
    at = 1 if call.attributes["transA"] else 0
    addend: Shape = call.shapes[2] if len(call.shapes) > 2 else ()
    need(a == at and b is None)
    need(c == 0 and len(addend) == 2 or c is None and (len(addend) < 2 or addend[0] == 1))
    return 0


def _gemm_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    alpha, beta = attributes["alpha"], attributes["beta"]
    trans_a, trans_b = attributes["transA"], attributes["transB"]

    def gemm(a: np.ndarray, b: np.ndarray, c: np.ndarray | None = None) -> np.ndarray:
        product: np.ndarray = np.matmul(a.T if trans_a else a, b.T if trans_b else b)
        if alpha != 1.0:
            product = (product * product.dtype.type(alpha)).astype(product.dtype, copy=False)
        if c is None or beta == 0.0:
            return product
        addend = c if beta == 1.0 else (c * c.dtype.type(beta)).astype(c.dtype, copy=False)
        return of_shape(product + addend, product)
    return gemm


def _product_needs(attributes: dict[str, Any], arrays: Arrays, made: Sequence[Value], scratch: int = 0) -> Need:
    inner = arrays[0].shape[0 if attributes.get("transA") else -1]
    # Whole numbers are multiplied one by one.
    at_once = PRODUCTS_AT_ONCE if made[0].dtype.startswith("float") else 1
    plain = need_of(arrays, made, scratch=scratch)
    return Need(plain.bytes, plain.work + size_of(made[0]) * inner // at_once)


def _gemm_needs(attributes: dict[str, Any], arrays: Arrays, made: Sequence[Value]) -> Need:
    return _product_needs(attributes, arrays, made, 2)


declare("MatMul", 2, kernel=np.matmul, shape=matmul_shape, axes=matmul_axes, combines=True, needs=_product_needs,
        takes="wide", low_bits=True)
declare("Gemm", (2, 3), make=_gemm_kernel, attributes={"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0},
        shape=_gemm_shape, axes=_gemm_axes, combines=True, needs=_gemm_needs, takes="wide", low_bits=True)


# ---- Einsum ---------------------------------------------------------------------------------------------------------

def parse_einsum(equation: str, ranks: Sequence[int]) -> tuple[list[str] | None, str]:
    """The labels of each input and of the result, an ellipsis spelled out with digits; None if they do not fit."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        return None, ""
    widths = [rank - len(term.replace("...", "")) for term, rank in zip(terms, ranks)]
    if any(w < 0 or (w and "..." not in term) for w, term in zip(widths, terms)) or max(widths, default=0) > 10:
        return None, ""
    widest = "0123456789"[:max(widths)]
    spelled = [term.replace("...", widest[len(widest) - w:]) for term, w in zip(terms, widths)]
    labels = "".join(spelled)
    if arrow:
        result = right.replace("...", widest)
    else:
        once = sorted(label for label in set(labels) if labels.count(label) == 1 and label not in widest)
        result = widest + "".join(once)
    known = all(label.isalnum() for label in labels) and len(set(result)) == len(result) and set(result) <= set(labels)
    return (spelled, result) if known else (None, "")


def _einsum_shape(call: ShapeCall) -> Shapes:
    terms, result = parse_einsum(call.attributes["equation"], [call.rank(i) for i in range(len(call.values))])
    if terms is None:
        raise call.error(f"equation {call.attributes['equation']!r} does not fit the inputs")
    sizes: dict[str, Dim | None] = {}
    for i, term in enumerate(terms):
        for label, dim in zip(term, call.shape(i)):
            sizes[label] = call.meet(sizes.get(label, 1), dim)
    return [([sizes[label] for label in result], call.dtype())]


def _einsum_axes(call: AxisCall) -> Place:
    terms, result = parse_einsum(call.attributes["equation"], [len(shape) for shape in call.shapes])
    labels = {term[at] for term, at in zip(terms or (), call.given) if at is not None}
    need(len(labels) == 1)
    label = labels.pop()
    need(label in result and all((at is not None) == (label in term) for term, at in zip(terms or (), call.given))
          and all(term.count(label) <= 1 for term in terms or ()))
    return result.index(label)


def _einsum_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    equation = attributes["equation"]

    def einsum(*xs: np.ndarray) -> np.ndarray:
        terms, result = parse_einsum(equation, [x.ndim for x in xs])
        if terms is None:
            raise ValueError(f"equation {equation!r} does not fit")
        labels = {label: i for i, label in enumerate(sorted(set("".join(terms))))}
        operands: list[Any] = []
        for x, term in zip(xs, terms):
            operands += [x, [labels[label] for label in term]]
        # Two factors may go to a matrix product; the search for an order of more is worth it too.
        y: np.ndarray = np.einsum(*operands, [labels[label] for label in result], optimize=len(xs) > 1)
        return y
    return einsum


def _einsum_needs(attributes: dict[str, Any], arrays: Arrays, made: Sequence[Value]) -> Need:
    on_the_way, products = _contracted(attributes["equation"], arrays)
    plain = need_of(arrays, made, scratch=3)
    return Need(plain.bytes + 8 * on_the_way, plain.work + products)


def _contracted(equation: str, arrays: Sequence[np.ndarray]) -> tuple[int, int]:
    """Elements that an Einstein sum makes on the way, and its products, in the order in which NumPy will take its
    factors: the kernel asks for the same."""
    terms, result = parse_einsum(equation, [array.ndim for array in arrays])
    if terms is None:
        raise ValueError(f"equation {equation!r} does not fit")
    numbers = {label: i for i, label in enumerate(sorted(set("".join(terms))))}
    operands: list[Any] = [part for array, term in zip(arrays, terms) for part in (array, [numbers[x] for x in term])]
    sizes: dict[str, int] = {}
    for term, array in zip(terms, arrays):
        sizes.update((label, size) for label, size in zip(term, array.shape) if size != 1)
    path = np.einsum_path(*operands, [numbers[label] for label in result], optimize=len(arrays) > 1)[0][1:]
    left = [set(term) for term in terms]
    made = products = 0
    for chosen in path:
        taken: set[str] = set().union(*(left.pop(i) for i in sorted(chosen, reverse=True)))
        kept = taken & set(result).union(*left)
        products += prod(sizes.get(label, 1) for label in taken)
        made += prod(sizes.get(label, 1) for label in kept)
        left.append(kept)
    return made, products


declare("Einsum", (1, ANY), make=_einsum_kernel, attributes={"equation": Attribute(str, REQUIRED)},
        shape=_einsum_shape, axes=_einsum_axes, combines=True, needs=_einsum_needs, takes="numbers", low_bits=True)
