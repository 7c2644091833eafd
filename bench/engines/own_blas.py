"""lstm_engine with gemm="blas": Dense and the input projections through the BLAS that NumPy carries."""

from __future__ import annotations

from .own import Own


def create() -> Own:
    return Own("blas")
