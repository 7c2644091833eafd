"""Constants in a loop's body, put together into weights: only where that gives what the body gives step by step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx_graphs import imported, node
from onnx_loop_bodies import GATES, LSTM, RNN, H, agrees, changed, looped, normal, said, weights

from lstm_engine.errors import LstmEngineError

STEP_BY_STEP = "rounds otherwise step by step"
W = weights(1)
RNG = np.random.default_rng(0)
FLOAT = np.finfo(np.float32)


def chained(op: str, constants: list[float], at: str) -> Any:
    """An RNN in which one value goes through operators with these constants."""
    names = [at, *(f"{at}_{i}" for i in range(1, len(constants))), "through"]
    through = [node(op, f"{before} k{i}", after) for i, (before, after) in enumerate(zip(names, names[1:]))]
    nodes = {"x_t": [*through, node("MatMul", "through K", "xk"), *RNN[1:]],
             "gates": [*GATES, *through, node("Tanh", "through", "h1")]}[at]
    return looped(nodes, "h", tensors={**W, **{f"k{i}": np.asarray(c, np.float32) for i, c in enumerate(constants)}})


@pytest.mark.parametrize("at", ["x_t", "gates"])
@pytest.mark.parametrize(("op", "constants", "layer"), [
    ("Mul", [2, 0.25], True), ("Mul", [1e3, 1e-3], True), ("Mul", [-1, 1e-6], True), ("Div", [4], True),
    ("Mul", [1e30, 1e30, 1e-30, 1e-30], False),         # infinite on the way
    ("Mul", [1e-30, 1e-30, 1e30, 1e30], False),         # 0 on the way
    ("Mul", [1e15, 1e15, 1e15, 1e-15, 1e-15, 1e-15], False), ("Div", [1e-40], False),
    ("Mul", [np.inf], False), ("Mul", [np.nan], False)])
def test_factors(at: str, op: str, constants: list[float], layer: bool) -> None:
    source = chained(op, constants, at)
    if layer:
        agrees(source, "RNN")
    else:
        said(source, STEP_BY_STEP)


@pytest.mark.parametrize(("constants", "layer"), [
    ([1, -1], True), ([0.5, -40], True), ([100, 3], True),
    ([1e8, -1e8], False), ([1e30, -1e30], False), ([3e38, 3e38, -3e38, -3e38], False)])
def test_summands(constants: list[float], layer: bool) -> None:
    """ONNX Runtime has rounded the gates away, or has nothing finite left, where the constants have met first."""
    source = chained("Add", constants, "gates")
    if layer:
        agrees(source, "RNN")
    else:
        said(source, STEP_BY_STEP)


@pytest.mark.parametrize(("level", "near"), [(1e5, 0.25), (1e20, 2.0**46)])
def test_steps_far_from_zero_are_brought_near_it_first(level: float, near: float) -> None:
    """x - level is exact; x K and level K apart are rounded by more than is left of them, or infinite."""
    centred = [node("Sub", "x_t level", "xc"), node("MatMul", "xc K", "xk"), *RNN[1:]]
    source = looped(centred, "h", tensors={**W, "level": np.full(3, level, np.float32),
                                           "K": W["K"] / np.float32(near)})
    agrees(source, "RNN", {"x": lambda time, batch: (level + near * RNG.integers(-4, 5, (time, batch, 3))).astype(
        np.float32)})


BIG = 3e38


@pytest.mark.parametrize(("alpha", "beta", "constant", "layer"), [
    (2.0, 0.5, 1, True), (-1.0, 0.0, 1, True), (0.5, 1.0, -np.inf, True),
    (BIG, 1.0, 1, False), (1e-45, 1.0, 1, False), (np.inf, 1.0, 1, False), (np.nan, 1.0, 1, False),
    (1.0, 0.0, np.inf, True), (1.0, 0.0, np.nan, True), (0.5, 2.0, np.inf, False), (1.0, BIG, 4, False),
    (1.0, np.inf, 1, False)])
@pytest.mark.parametrize("turned", [0, 1])
def test_gemm(alpha: float, beta: float, constant: float, layer: bool, turned: int) -> None:
    """In the cell, and behind it. ONNX Runtime takes beta * C for 0 where beta is, whatever C."""
    kernel = W["K"].T.copy() if turned else W["K"]
    added = np.full(H, constant, np.float32)
    inside = [node("Gemm", "x_t KT C", "xk", alpha=alpha, beta=beta, transB=turned), *RNN[1:]]
    behind = [*RNN, node("Gemm", "h1 V D", "y", alpha=alpha, beta=beta, transB=turned)]
    for source in (looped(inside, "h", tensors={**W, "KT": kernel, "C": added}),
                   looped(behind, "h", results="y", tensors={**W, "V": normal(H, H), "D": added})):
        if not np.isfinite([alpha, beta]).all():
            with pytest.raises(LstmEngineError, match="'gemm_.*finite float"):
                imported(source)
        elif not layer:
            said(source, STEP_BY_STEP)
        else:
            agrees(source, "RNN")


def test_gemm_that_turns_the_step_is_no_layer() -> None:
    """[batch, features] turned is of as many rows as features only where the two are equal."""
    source = looped([node("Gemm", "x_t K", "xk", transA=1), *RNN[1:]], "h", tensors=W, x=("time", 3, 3),
                    shapes=(3, H))
    said(source, "multiplies what is computed")


def test_weights_that_add_up_to_more_than_float32_has() -> None:
    """K x + b, then h R + b: each is finite, and so is their sum where x is below 0; 2 b is not."""
    tensors = {**W, "K": np.full((3, H), -1e38, np.float32), "b": np.full(H, FLOAT.max * 0.75, np.float32)}
    nodes = [node("Gemm", "x_t K b", "xk"), node("Gemm", "h R b", "hr"), node("Add", "xk hr", "gates"), RNN[-1]]
    said(looped(nodes, "h", tensors=tensors), "more than the largest float32")


@pytest.mark.parametrize("bound", [np.inf, -np.inf, np.nan])
def test_bounds_that_are_not_finite(bound: float) -> None:
    """That of Clip which is no bound is none. Runtimes differ in what a bound of NaN leaves."""
    source = looped(changed(RNN, node("Clip", "gates nil top", "h1")), "h",
                    tensors={**W, "nil": np.float32(0), "top": np.float32(bound)})
    if bound == np.inf:
        agrees(source, "RNN")
    else:
        said(source, "clips to nothing|no number", runs=not np.isnan(bound))
    said(looped([*LSTM[:-1], node("Max", "tc top", "tm"), node("Mul", "o tm", "h1")],
                tensors={**weights(4), "top": np.float32(bound)}), r"not o \* H\(c\)|no number",
         runs=not np.isnan(bound))
