"""How far two arrays are apart: absolutely, relatively, and in units of the last place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass
class Difference:
    """The largest differences seen. `scaled` is absolute up to magnitude 1 and relative above: what is judged."""

    absolute: float = 0.0
    relative: float = 0.0
    ulps: float = 0.0
    scaled: float = 0.0

    def add(self, other: Difference) -> None:
        """Take the larger of each."""
        for name in ("absolute", "relative", "ulps", "scaled"):
            setattr(self, name, max(getattr(self, name), getattr(other, name)))


def difference(ours: np.ndarray, expected: np.ndarray) -> Difference:
    """`ours` against `expected`, arrays of one shape.

    Relative: to |expected|; infinite where that is 0 and ours is not. ulps: steps between neighbouring numbers of
    our dtype, to which `expected` is rounded. NaN agrees with NaN alone, infinity with itself alone.
    """
    if not ours.size:
        return Difference()
    if ours.dtype.kind not in "f":
        ours, expected = ours.astype(np.float64), expected.astype(np.float64)
    with np.errstate(all="ignore"):
        same = (ours == expected) | (np.isnan(ours) & np.isnan(expected))
        wide = expected.astype(np.float64)
        gap = np.where(same, 0.0, np.abs(ours.astype(np.float64) - wide))
        gap[~np.isfinite(gap)] = np.inf
        size = np.abs(wide)
        relative = np.where(gap == 0, 0.0, gap / size)
        scaled = np.where(np.isfinite(gap), gap / np.maximum(size, 1.0), np.inf)
        ulps = np.where(np.isfinite(gap), np.abs(_place(ours) - _place(expected.astype(ours.dtype))), np.inf)
    return Difference(*(float(np.max(values)) for values in (gap, relative, ulps, scaled)))


def _place(array: np.ndarray) -> np.ndarray:
    """Each number's place among all floats of its dtype, as a float64: neighbours are 1 apart, both zeros are 0."""
    bits: np.ndarray = np.ascontiguousarray(array).view(f"i{array.dtype.itemsize}").astype(np.int64)
    lowest = -2**(8 * array.dtype.itemsize - 1)
    return np.where(bits < 0, lowest - bits, bits).astype(np.float64)
