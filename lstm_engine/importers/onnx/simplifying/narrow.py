"""Floats of 16 bits, computed in float32."""

from __future__ import annotations

import numpy as np

from ....graph.nodes import BFLOAT16
from ....graph.quantized import from_bfloat16, to_bfloat16


def widened(array: np.ndarray) -> np.ndarray:
    """float16 and bfloat16 as float32, any other array as it is."""
    if array.dtype == BFLOAT16:                             # the upper half of a float32
        return from_bfloat16(array.view(np.uint16))
    return array.astype(np.float32) if array.dtype == np.float16 else array


def narrowed(array: np.ndarray, dtype: str) -> np.ndarray:
    """What was computed in float32, as an array of the type that it was to be."""
    if dtype == "bfloat16":
        return to_bfloat16(array).view(BFLOAT16)
    with np.errstate(over="ignore"):                    # beyond the largest float16 is infinite, as IEEE has it
        return array.astype(dtype, copy=False)


def is_same(array: np.ndarray | None, other: np.ndarray) -> bool:
    """Whether an array is another to the bit."""
    return array is not None and array.dtype == other.dtype and array.shape == other.shape \
        and array.tobytes() == other.tobytes()
