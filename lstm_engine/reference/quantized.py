"""Products with quantised weights, by the definition of each type (docs/quantization.md).

int8: each row of a product's input is quantised by its own scale, the sum of the products of integers is exact in
int32, and sum * (scale of the row * scale of the channel) is float32. bfloat16: each number of a row is rounded to
bfloat16 first. int8_weights and float16 are float products with the weights as they are stored.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from ..graph.quantized import Quantized, from_bfloat16, inverse_and_scale, to_bfloat16, to_int8
from ..types import Array

TIES = 1e-3             # of a unit: nearer to a tie than that, the rounding of a number may go either way
ROUNDING = 2.0**-24     # of float32, relative
DENORMAL = 2.0**-126    # numbers of float32 below
_moved: ContextVar[np.random.Generator | None] = ContextVar("moved", default=None)
T = TypeVar("T")


def rounded_elsewhere(seed: int, run: Callable[..., T], *arguments: Any) -> T:
    """run(*arguments), in which the inputs of quantised products are rounded as if each were up to TIES of a unit
    larger or smaller, at random.

    An engine that computes in float32 has states a little beside these, and where one is near a tie, the integer that
    it becomes is the next one. What that changes is no error, and is found out so. So is what the roundings of the
    float32 sums of bfloat16 change (x is off by sqrt(terms) of them once more after it was rounded, which hides a
    change as small as that), and what instructions do that take denormal numbers as 0. Sums of int8 are exact.
    """
    token = _moved.set(np.random.default_rng(seed))
    try:
        return run(*arguments)
    finally:
        _moved.reset(token)


def _near(x: Array, unit: Array | float) -> Array:
    """x itself, or up to TIES of a unit beside it."""
    rng = _moved.get()
    if rng is None:
        return x
    with np.errstate(invalid="ignore"):
        near: Array = np.where(np.isfinite(unit), x + rng.uniform(-TIES, TIES, x.shape) * unit, x)
    return near.astype(x.dtype)


def _off(x: Array, relative: float) -> Array:
    """x itself, or each number `relative` larger or smaller."""
    rng = _moved.get()
    return x if rng is None else x * (1 + relative * rng.choice([-1.0, 1.0], x.shape))


def _normal(x: Array) -> Array:
    """x itself, or without its denormal numbers, which some instructions for bfloat16 take as 0."""
    return x if _moved.get() is None else np.where(np.abs(x) < DENORMAL, 0, x)


def changed(weight: Any, change: Callable[[Array], Array]) -> Any:
    """change(weight), of weights that a product reads as floats; int8 and bfloat16 stay what they are."""
    if not isinstance(weight, Quantized):
        return change(weight)
    return weight if weight.type in ("int8", "bfloat16") else change(weight.whole())


def quantized_rows(x: Array) -> tuple[Array, Array]:
    """Rows [..., K] as int32 in [-127, 127], and the float32 scale of each, [..., 1].

    A row of zeros has scale 1. One with NaN or infinity has scale NaN, and zeros: all that is made of it is NaN.
    """
    with np.errstate(over="ignore"):                    # a number beyond float32 is infinite to a float32 engine
        x = x.astype(np.float32)
    inverse, scale = inverse_and_scale(np.abs(x).max(axis=-1, keepdims=True))
    return to_int8(_near(np.where(np.isnan(scale), 0, x), scale), inverse).astype(np.int32), scale


@dataclass(frozen=True)
class Int8:
    """The weights [..., channels, K] of products of integers. scale [..., channels]."""

    values: Array
    scale: Array

    @property
    def T(self) -> Int8Factor:
        return Int8Factor(self)

    def __getitem__(self, place: Any) -> Int8:
        return Int8(self.values[place], self.scale[place])

    def __len__(self) -> int:
        return len(self.values)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape


@dataclass(frozen=True)
class Int8Factor:
    """What `x @ W.T` multiplies x by."""

    weights: Int8
    __array_ufunc__ = None                              # NumPy leaves `x @ factor` to __rmatmul__

    def __rmatmul__(self, x: Array) -> Array:
        """x [..., K] -> [..., channels], float32 numbers in float64."""
        rows, row_scale = quantized_rows(x)
        sums = rows @ self.weights.values.T             # int32, exact
        with np.errstate(invalid="ignore", over="ignore", under="ignore"):
            product: Array = sums.astype(np.float32) * (row_scale * self.weights.scale)
        return product.astype(np.float64)


@dataclass(frozen=True)
class BFloat16:
    """Weights [..., channels, K] of bfloat16, as float64."""

    values: Array

    @property
    def T(self) -> BFloat16Factor:
        return BFloat16Factor(self)

    def __getitem__(self, place: Any) -> BFloat16:
        return BFloat16(self.values[place])

    def __len__(self) -> int:
        return len(self.values)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape


@dataclass(frozen=True)
class BFloat16Factor:
    """What `x @ W.T` multiplies x by."""

    weights: BFloat16
    __array_ufunc__ = None

    def __rmatmul__(self, x: Array) -> Array:
        """x [..., K] -> [..., channels], the sums in float64."""
        with np.errstate(over="ignore"):
            x = x.astype(np.float32)
            rows = from_bfloat16(to_bfloat16(_near(x, np.abs(x) / 256)))
        terms = x.shape[-1]
        rows = _off(_normal(rows.astype(np.float64)), math.sqrt(terms) * ROUNDING)
        made: Array = rows @ _normal(self.weights.values).T
        return made if _moved.get() is None else made + terms * 2 * DENORMAL


def matrix(weight: Array | Quantized) -> Any:
    """A matrix [..., channels, K] for `x @ W.T`: in float64, or by the definition of its type."""
    if not isinstance(weight, Quantized):
        return np.asarray(weight, np.float64)
    assert weight.axis == -2, "a Dense kernel is a factor"
    return _by_type(weight.held(), lambda values: values)


def factor(weight: Array | Quantized) -> Any:
    """A Dense kernel [in, units] for `x @ kernel`."""
    if not isinstance(weight, Quantized):
        return np.asarray(weight, np.float64)
    return _by_type(weight.held(), np.transpose).T


def _by_type(weight: Quantized, channels_first: Any) -> Any:
    if weight.type == "int8":
        assert weight.scale is not None
        return Int8(channels_first(weight.values).astype(np.int32), weight.scale)
    whole = channels_first(weight.whole()).astype(np.float64)
    return BFloat16(whole) if weight.type == "bfloat16" else whole


def gates_of(weights: Any, count: int) -> list[Any]:
    """The weights [gates*H, K] of one direction by gate, each [H, K]."""
    hidden = weights.shape[0] // count
    return [weights[gate * hidden:(gate + 1) * hidden] for gate in range(count)]
