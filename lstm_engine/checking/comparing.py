"""How far two results may be apart that differ by rounding alone."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import CheckError
from ..reference.quantized import changed, rounded_elsewhere

MARGIN = 32          # from the typical to the worst case; kernels approximate exp and tanh to a few roundings more
_DRAWS = 2           # of the roundings: one could leave a place untouched by chance

Run = Callable[[Callable[[np.ndarray], np.ndarray]], list[np.ndarray]]


def compare(what: str, made: Sequence[np.ndarray], run: Run, dtype: Any, terms: int, exact: bool = False,
            largest: float = 0.0, floor: float = 0.0) -> None:
    """Raise CheckError where `made` is further from the reference than rounding explains.

    Each run off by roundings allows more, so a next one is made only where those before it do not explain a difference.
    run: the reference, each of its weights and inputs passed through a function first. dtype: what was computed in.
    terms: products in the longest sum. largest: a bound of what is added up, from which overflow may come. floor: in
    units of the last place of 1, what a function that subtracts from 1 may be off by however small its result is.
    """
    limits, relative = np.finfo(dtype), math.sqrt(terms) * float(np.finfo(dtype).eps) / 2
    with np.errstate(all="ignore"):
        right = run(lambda array: array)
        jitters: list[list[np.ndarray]] = []
        difference = _difference(made, right, jitters, limits, exact, largest, floor)
        while difference and not exact and len(jitters) < _DRAWS:
            jitters.append(rounded_elsewhere(len(jitters), run, _off_by(relative, len(jitters))))
            difference = _difference(made, right, jitters, limits, exact, largest, floor)
    if difference:
        raise CheckError(f"{what}: {difference}")


def _difference(made: Sequence[np.ndarray], right: list[np.ndarray], jitters: list[list[np.ndarray]], limits: Any,
                exact: bool, largest: float, floor: float) -> str:
    """What is different in the first result that is further from right than the jitters explain; "" for none."""
    for number, (ours, exactly) in enumerate(zip(made, right, strict=True)):
        if ours.shape != exactly.shape:
            return f"shape {list(ours.shape)}, by the reference {list(exactly.shape)}"
        if ours.dtype.kind != "f":
            if not np.array_equal(ours, exactly):
                return f"other {ours.dtype} values than the reference"
            continue
        others = [jitter[number] for jitter in jitters if jitter[number].shape == exactly.shape]
        difference = _gap(ours, exactly, others, limits, exact, largest, floor)
        if difference:
            return difference
    return ""


def _gap(ours: np.ndarray, right: np.ndarray, others: list[np.ndarray], limits: Any, exact: bool,
         largest: float, floor: float) -> str:
    wide = ours.astype(np.float64)
    expected = right.astype(ours.dtype).astype(np.float64)        # beyond the largest float: infinity
    agree = (wide == expected) | (np.isnan(wide) & np.isnan(expected))
    if agree.all():
        return ""
    tolerance = np.zeros(right.shape)
    if not exact:
        moved = np.max([np.abs(other - right) for other in others] or [np.zeros(right.shape)], axis=0)
        if moved.ndim:                                            # neighbours in a row are sums of the same terms
            moved = np.broadcast_to(np.nanmax(np.where(np.isfinite(moved), moved, 0), axis=-1, keepdims=True,
                                              initial=0), moved.shape)
        tolerance = MARGIN * (moved + limits.eps * np.abs(right) + limits.tiny) + floor * limits.eps
    gap = np.abs(wide - expected)
    bad = ~agree & ~(gap <= tolerance)
    if not exact and max(largest, float(np.nanmax(np.where(np.isfinite(right), np.abs(right), np.inf), initial=0))) \
            > float(limits.max) / 16:
        bad &= np.isfinite(wide)                                  # a sum on the way there may overflow
    if not bad.any():
        return ""
    place = np.unravel_index(int(np.argmax(np.where(bad, np.nan_to_num(gap, nan=np.inf), -1))), bad.shape)
    return (f"{wide[place]:.9g} at {[int(i) for i in place]}, by the reference {right[place]:.9g}: a difference of "
            f"{gap[place]:.3g}, where rounding explains {tolerance[place]:.3g}; {int(bad.sum())} of {bad.size} numbers "
            "differ")


def _off_by(relative: float, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    """Each number a little larger or smaller, at random but the same way for the same array."""
    rng = np.random.default_rng(seed)
    seen: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def change(array: np.ndarray) -> np.ndarray:
        if array.dtype.kind != "f":
            return array
        if id(array) not in seen:
            seen[id(array)] = array, array.astype(np.float64) * (1 + relative * rng.choice([-1.0, 1.0], array.shape))
        return seen[id(array)][1]
    return change


def moved(node: Any, change: Callable[[np.ndarray], np.ndarray]) -> Any:
    """A layer with its weights changed."""
    return dataclasses.replace(node, **{name: changed(array, change) for name, array in node.tensors().items()})
