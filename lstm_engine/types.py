"""Names of types that several parts use: what arrays are here, and what callers may choose from."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[Any]]
