"""The form of what a child of `sandbox` answers: what both sides of the pipe must know, and nothing to load for it."""

from __future__ import annotations

import math
from collections.abc import Sequence

MAGIC = b"LESANDBX"
MAX_HEADER = 24 << 20
MAX_ARRAYS = 100_000
ITEM_BYTES = {"bool": 1, "int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "int32": 4, "uint32": 4, "int64": 8,
              "uint64": 8, "float16": 2, "float32": 4, "float64": 8}
DTYPES = tuple(ITEM_BYTES)


def can_be(shape: Sequence[int]) -> bool:
    """Whether NumPy can have an array of this shape: also of an empty one the other axes must not overflow."""
    return math.prod(size or 1 for size in shape) < 2**59
