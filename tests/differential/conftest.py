"""What several tests beside Keras share."""

from __future__ import annotations

import pytest


@pytest.fixture
def double_precision(monkeypatch):
    """Keras keeps float64 on TensorFlow alone; elsewhere its matmul falls back to float32, to be like JAX."""
    import keras
    from keras.src.backend.common import dtypes

    monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float64")
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    keras.utils.clear_session()
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
