"""Matrix products and Einstein sums."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...graph.nodes import Operator
from ...graph.operator_rules import parse_einsum
from .registry import Kernel, builder, plain

plain({"MatMul": np.matmul})


@builder("Gemm")
def _gemm(attributes: dict[str, Any], node: Operator) -> Kernel:
    alpha, beta = attributes["alpha"], attributes["beta"]
    trans_a, trans_b = attributes["transA"], attributes["transB"]

    def gemm(a: np.ndarray, b: np.ndarray, c: np.ndarray | None = None) -> np.ndarray:
        product = np.matmul(a.T if trans_a else a, b.T if trans_b else b)
        if alpha != 1.0:
            product = (product * product.dtype.type(alpha)).astype(product.dtype, copy=False)
        if c is None or beta == 0.0:
            return product
        return product + (c if beta == 1.0 else (c * c.dtype.type(beta)).astype(c.dtype, copy=False))
    return gemm


@builder("Einsum")
def _einsum(attributes: dict[str, Any], node: Operator) -> Kernel:
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
        return np.einsum(*operands, [labels[label] for label in result], optimize=len(xs) > 1)
    return einsum
