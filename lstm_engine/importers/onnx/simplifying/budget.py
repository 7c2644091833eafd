"""What recognising the loops of one model may take: bytes gone through, and weights made of the file's."""

from __future__ import annotations

from hashlib import sha256

import numpy as np

FREE_EQUATIONS = 4 << 30        # bytes that may be read and written in putting equations together
FREE_WEIGHTS = 128 << 20        # bytes of weights, beyond some times the file's own


class Budget:
    """Of one model. A file may read one large tensor in any number of loops."""

    def __init__(self) -> None:
        self._equations, self._weights = FREE_EQUATIONS, FREE_WEIGHTS
        self._owned = 0                 # bytes of the file's tensors
        self._kept: dict[tuple[str, tuple[int, ...], bytes], np.ndarray] = {}

    def owns(self, count: int) -> None:
        """Note a tensor of the file."""
        self._owned += count
        self._weights += 8 * count

    def spend(self, count: int) -> bool:
        """Whether so many bytes more may be gone through."""
        self._equations -= count
        return self._equations >= 0

    def room(self, count: int) -> bool:
        """Whether one array of so many bytes is not much more than the file has: float64 is twice what float32 is."""
        return count <= FREE_WEIGHTS // 4 + 4 * self._owned

    def keep(self, array: np.ndarray) -> np.ndarray | None:
        """The array, or one of the same bits that is there; None where loops have made too much of the file's."""
        key = array.dtype.name, array.shape, sha256(array.data).digest()
        if key not in self._kept:
            self._weights -= array.nbytes
            if self._weights < 0:
                return None
            self._kept[key] = array
        return self._kept[key]
