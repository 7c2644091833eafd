"""Floats of 16 bits, computed in float32."""

from __future__ import annotations

import numpy as np

from ....graph.nodes import BFLOAT16


def widened(array: np.ndarray) -> np.ndarray:
    """float16 and bfloat16 as float32, any other array as it is."""
    if array.dtype == BFLOAT16:                             # the upper half of a float32
        bits = array.view(np.uint16).astype(np.uint32)
        bits <<= np.uint32(16)
        return bits.view(np.float32)
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _bfloat16(array: np.ndarray) -> np.ndarray:
    """float32 as bfloat16: to the nearest, of two as near to the even one, as IEEE has it."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32).reshape(array.shape)
    up = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    upper = np.where(np.isnan(array), (bits >> np.uint32(16)) | np.uint32(0x40), (bits + up) >> np.uint32(16))
    made: np.ndarray = upper.astype(np.uint16).view(BFLOAT16)
    return made


def narrowed(array: np.ndarray, dtype: str) -> np.ndarray:
    """What was computed in float32, as an array of the type that it was to be."""
    if dtype == "bfloat16":
        return _bfloat16(array)
    with np.errstate(over="ignore"):                    # beyond the largest float16 is infinite, as IEEE has it
        return array.astype(dtype, copy=False)
