"""Finds a BLAS for the C core's slot: the one NumPy carries, then SciPy's, else the core's own loop."""

from __future__ import annotations

import os
import threading
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from . import _core

# (symbol prefix and suffix around "cblas_?gemm", its integers); NumPy's wheels use the first.
_NAMES = (("scipy_", "64_", "ilp64"), ("", "64_", "ilp64"), ("", "$NEWLAPACK$ILP64", "ilp64"), ("scipy_", "", "lp64"),
          ("", "", "lp64"))


def _numpy_libraries() -> list[str]:
    """The libraries whose symbols NumPy's own module can see; on Windows the BLAS itself must be opened."""
    from glob import glob

    libraries = [str(import_module("numpy._core._multiarray_umath").__file__)]
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


def _address(function: Any) -> int:
    """Where a function of a library that ctypes has opened stands."""
    import ctypes

    return ctypes.cast(function, ctypes.c_void_p).value or 0


def _try(sgemm: int, dgemm: int, kind: str) -> bool:
    _core.set_blas(sgemm, dgemm, kind)
    if _right("float32") and _right("float64"):
        return True
    _none()
    return False


def _none() -> None:
    """Back to what was linked at build time, or the plain loop."""
    _core.set_blas(0, 0, "lp64")


def _from_numpy() -> str | None:
    import ctypes

    for path in _numpy_libraries():
        try:
            library = ctypes.CDLL(path)
        except OSError:
            continue
        for prefix, suffix, kind in _NAMES:
            sgemm, dgemm = (getattr(library, f"{prefix}cblas_{letter}gemm{suffix}", None) for letter in "sd")
            if sgemm and dgemm and _try(_address(sgemm), _address(dgemm), kind):
                return f"numpy ({prefix}cblas_sgemm{suffix})"
    return None


def _from_scipy() -> str | None:
    """What SciPy's cython_blas exports to other extension modules: Fortran's routines as capsules."""
    import ctypes

    try:
        from scipy.linalg import cython_blas
    except ImportError:
        return None
    get_name = ctypes.pythonapi.PyCapsule_GetName
    get_name.restype, get_name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
    get_pointer.restype, get_pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    addresses: list[int] = []
    for routine in ("sgemm", "dgemm"):
        capsule = getattr(cython_blas, "__pyx_capi__", {}).get(routine)
        name = get_name(capsule) if capsule is not None else b""
        if not name.startswith(b"void (char *, char *, int *, int *, int *, "):     # sizes of another width, say
            return None
        addresses.append(get_pointer(capsule, name))
    sgemm, dgemm = addresses
    return "scipy (cython_blas)" if sgemm and dgemm and _try(sgemm, dgemm, "fortran") else None


_lock = threading.Lock()


def _fresh_lock() -> None:
    """In a forked child, whose parent may have been filling the slot in another thread."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_fresh_lock)


def provider() -> str:
    """Fill the C core's BLAS slot once and name what is in it; threads that come meanwhile wait.

    Order: linked at build time; the BLAS that NumPy's own extension module resolves; SciPy's; a plain C loop. Every
    candidate is tried on a small product before it is trusted.
    """
    with _lock:
        return _fill()


@cache
def _fill() -> str:
    _none()
    if _core.blas_linked() and _right("float32") and _right("float64"):
        return "linked at build time"
    return _from_numpy() or _from_scipy() or "none (plain loop)"
