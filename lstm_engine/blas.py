"""Finds a BLAS for the C core's slot: the one NumPy carries, then SciPy's, else the core's own loop."""

from __future__ import annotations

import importlib.util
from functools import cache

import numpy as np

from . import _core

# (symbol prefix and suffix around "cblas_?gemm", whether its integers are 64 bits wide); NumPy's wheels use the first.
_NAMES = (("scipy_", "64_", True), ("", "64_", True), ("", "$NEWLAPACK$ILP64", True), ("scipy_", "", False),
          ("", "", False))


def _numpy_libraries() -> list[str]:
    """The libraries whose symbols NumPy's own module can see; on Windows the BLAS itself must be opened."""
    import os
    from glob import glob

    from numpy._core import _multiarray_umath

    libraries = [_multiarray_umath.__file__]
    if os.name == "nt":
        libraries += glob(os.path.join(os.path.dirname(np.__file__), os.pardir, "numpy.libs", "*openblas*.dll"))
    return libraries


def _right(dtype: str) -> bool:
    """Whether the product now in the slot is right on a small case that is not square."""
    a = np.arange(6, dtype=dtype).reshape(2, 3)
    b = np.arange(12, dtype=dtype).reshape(3, 4) - 5
    c = np.full((2, 4), np.nan, dtype)
    _core.blas_product(a, b, c)
    return bool((c == a @ b).all())


def _try(sgemm: int, dgemm: int, ilp64: bool) -> bool:
    _core.set_blas(sgemm, dgemm, ilp64)
    if _right("float32") and _right("float64"):
        return True
    _core.set_blas(0, 0, False)
    return False


def _from_numpy() -> str | None:
    import ctypes

    for path in _numpy_libraries():
        try:
            library = ctypes.CDLL(path)
        except OSError:
            continue
        for prefix, suffix, ilp64 in _NAMES:
            addresses = []
            for kind in "sd":
                function = getattr(library, f"{prefix}cblas_{kind}gemm{suffix}", None)
                addresses.append(ctypes.cast(function, ctypes.c_void_p).value or 0 if function else 0)
            if all(addresses) and _try(*addresses, ilp64):
                return f"numpy ({prefix}cblas_sgemm{suffix})"
    return None


@cache
def provider() -> str:
    """Fill the C core's BLAS slot once and name what is in it.

    Order: linked at build time; the BLAS that NumPy's own extension module resolves; a plain C loop. Every candidate
    is tried on a small product before it is trusted.
    """
    if _core.blas_linked():
        return "linked at build time"
    if importlib.util.find_spec("numpy") and (found := _from_numpy()):
        return found
    _core.set_blas(0, 0, False)
    return "none (plain loop)"
